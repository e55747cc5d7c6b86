//! The target folder, and how to open things below it without ever leaving it.
//!
//! Owned by `TorrentFiles`. No component of a path is followed if it is a link, so a link planted before or during a
//! download is refused wherever it stands. It knows paths only, nothing of torrents.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{StorageError, failed};

/// A folder that nothing below escapes from.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading; links are followed, since whoever seeds a tree chose what it links to.
    ReadThroughLinks,
    /// Reading a file of a download.
    Read,
    /// Writing (and reading); the file and its folders are created if they are missing.
    Write,
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the regular file at `relative`, a '/'-joined path, and looks at it.
    pub(crate) fn open(&self, relative: &str, access: Access) -> Result<(File, Metadata), StorageError> {
        let full = self.path.join(relative);
        let (folders, name) = split(relative)?;
        // A FIFO or device in place of the file must not block us before its type is known.
        let flags = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = match access {
            Access::ReadThroughLinks => rustix::fs::openat(CWD, &full, flags | OFlags::RDONLY, Mode::empty()),
            Access::Read | Access::Write => {
                let write = access == Access::Write;
                let (flags, mode) = if write {
                    (flags | OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW, Mode::from_raw_mode(0o666))
                } else {
                    (flags | OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty())
                };
                match at_once(&full, flags, mode) {
                    Some(descriptor) => Ok(descriptor),
                    None => rustix::fs::openat(self.descend(folders, write)?, name, flags, mode),
                }
            }
        };
        let file = match opened {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::LOOP) => return Err(StorageError::Symlink(full)),
            Err(Errno::ISDIR | Errno::NXIO) => return Err(StorageError::NotAFile(full)),
            Err(error) => return Err(failed("open", &full)(error)),
        };
        let metadata = file.metadata().map_err(failed("open", &full))?;
        if metadata.is_file() { Ok((file, metadata)) } else { Err(StorageError::NotAFile(full)) }
    }

    /// Creates the link `relative` that says `target`; the same link may be there already.
    pub(crate) fn link(&self, relative: &str, target: &str) -> Result<(), StorageError> {
        let full = self.path.join(relative);
        let (folders, name) = split(relative)?;
        let parent = self.descend(folders, true)?;
        match rustix::fs::symlinkat(target, &parent, name) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => match rustix::fs::readlinkat(&parent, name, Vec::new()) {
                Ok(found) if found.as_bytes() == target.as_bytes() => Ok(()),
                _ => Err(StorageError::Occupied(full)),
            },
            Err(error) => Err(failed("create", &full)(error)),
        }
    }

    /// Refuses a link among the folders above `relative`; missing ones are fine. Whether all are there.
    pub(crate) fn inspect_folders(&self, relative: &str) -> Result<bool, StorageError> {
        let (folders, _) = split(relative)?;
        match self.descend(folders, false) {
            Err(error) if !error.is_missing() => Err(error),
            found => Ok(found.is_ok()),
        }
    }

    /// Opens one folder after the other, following no link.
    fn descend(&self, folders: Option<&str>, create: bool) -> Result<rustix::fd::OwnedFd, StorageError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut path = self.path.clone();
        let root = rustix::fs::open(&path, flags, Mode::empty());
        let mut at = root.map_err(failed("open", &path))?;
        for name in folders.into_iter().flat_map(|folders| folders.split('/')) {
            path.push(name);
            let open = || rustix::fs::openat(&at, name, flags | OFlags::NOFOLLOW, Mode::empty());
            let opened = match open() {
                Err(Errno::NOENT) if create => {
                    match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => open(),
                        Err(error) => return Err(failed("create", &path)(error)),
                    }
                }
                other => other,
            };
            at = match opened {
                Ok(folder) => folder,
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let stat = rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW);
                    let link =
                        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
                    return Err(if link {
                        StorageError::Symlink(path)
                    } else {
                        StorageError::NotAFolder(path)
                    });
                }
                Err(error) => return Err(failed("open", &path)(error)),
            };
        }
        Ok(at)
    }
}

/// The usual case in one system call: all folders are there and none is a link. `None`: go the long way, which creates
/// folders and says what is wrong.
#[cfg(target_os = "linux")]
fn at_once(full: &Path, flags: OFlags, mode: Mode) -> Option<rustix::fd::OwnedFd> {
    use rustix::fs::ResolveFlags;
    rustix::fs::openat2(CWD, full, flags, mode, ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS).ok()
}

#[cfg(not(target_os = "linux"))]
fn at_once(_: &Path, _: OFlags, _: Mode) -> Option<rustix::fd::OwnedFd> {
    None
}

/// Divides a path into its folders and its last name, if every component is a plain name.
fn split(relative: &str) -> Result<(Option<&str>, &str), StorageError> {
    let plain = |name: &str| !name.is_empty() && name != "." && name != ".." && !name.contains('\0');
    if !relative.split('/').all(plain) {
        return Err(StorageError::UnsafePath(relative.to_owned()));
    }
    Ok(match relative.rsplit_once('/') {
        Some((folders, name)) => (Some(folders), name),
        None => (None, relative),
    })
}

/// The absolute path of `folder` without links, even if its last parts do not exist yet.
pub(crate) fn canonical(folder: &Path) -> Result<PathBuf, StorageError> {
    let absolute = std::path::absolute(folder).map_err(failed("find", folder))?;
    match absolute.canonicalize() {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            match (absolute.parent(), absolute.file_name()) {
                (Some(parent), Some(name)) => Ok(canonical(parent)?.join(name)),
                _ => Err(failed("find", folder)(error)),
            }
        }
        Err(error) => Err(failed("find", folder)(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn folders_are_created_on_the_way_to_a_file() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path().to_owned());
        assert!(folder.open("a/b/c", Access::Read).unwrap_err().is_missing());
        folder.open("a/b/c", Access::Write).unwrap();
        assert!(home.path().join("a/b/c").is_file());
    }

    /// M-12: whatever the caller let through, a path that climbs is refused here too.
    #[test]
    fn a_path_that_climbs_or_starts_at_the_root_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path().join("inside"));
        fs::create_dir(folder.path()).unwrap();
        for path in ["../x", "a/../x", "/x", "", "a//b", ".", "a/.", "x\0y"] {
            let refused = folder.open(path, Access::Write).unwrap_err();
            assert!(matches!(refused, StorageError::UnsafePath(_)), "{path:?}: {refused}");
        }
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    /// M-17, M-18.
    #[test]
    fn a_planted_link_is_refused_by_name_wherever_it_stands() {
        let home = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "theirs").unwrap();
        symlink(outside.path(), home.path().join("link")).unwrap();
        symlink(outside.path().join("file"), home.path().join("leaf")).unwrap();
        symlink(outside.path().join("new"), home.path().join("dangling")).unwrap();
        let folder = Folder::new(home.path().to_owned());
        for (path, component) in
            [("link/file", "link"), ("link/deep/er", "link"), ("leaf", "leaf"), ("dangling", "dangling")]
        {
            for access in [Access::Read, Access::Write] {
                match folder.open(path, access).unwrap_err() {
                    StorageError::Symlink(at) => assert_eq!(at, home.path().join(component)),
                    other => panic!("{path}: {other}"),
                }
            }
        }
        assert_eq!(fs::read(outside.path().join("file")).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_or_no_folder_is_named() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("file"), "").unwrap();
        fs::create_dir(home.path().join("folder")).unwrap();
        let folder = Folder::new(home.path().to_owned());
        assert!(matches!(folder.open("file/x", Access::Write), Err(StorageError::NotAFolder(_))));
        assert!(matches!(folder.open("folder", Access::Write), Err(StorageError::NotAFile(_))));
        assert!(matches!(folder.open("folder", Access::Read), Err(StorageError::NotAFile(_))));
    }

    #[test]
    fn a_folder_that_does_not_exist_has_a_canonical_name_already() {
        let home = tempfile::tempdir().unwrap();
        let real = home.path().canonicalize().unwrap();
        symlink(&real, real.join("self")).unwrap();
        assert_eq!(canonical(&real.join("self/not/yet")).unwrap(), real.join("not/yet"));
    }
}
