//! Which files go into a new torrent: walking a tree in a reproducible order.
//!
//! It reads folders, then the metadata of all files with several threads; no contents.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::{CreateError, Symlinks, side_by_side};
use crate::stamp::Stamp;

/// Deeper trees are refused: no honest one is, and a loop of mounts would never end.
const MAX_DEPTH: usize = 128;

/// What desktops, editors and version control leave behind; nobody means to publish it.
const JUNK: [&str; 6] = [".DS_Store", ".Trashes", ".Spotlight-V100", ".git", "Thumbs.db", "desktop.ini"];

/// Which entries of a tree are taken.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    include: Option<GlobSet>,
    exclude: GlobSet,
    hidden: bool,
    symlinks: Symlinks,
}

/// A file to be hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Components below the root; for a single file its name.
    pub(super) path: Vec<String>,
    /// Where it is read from.
    pub(super) on_disk: PathBuf,
    pub(super) stamp: Stamp,
    pub(super) executable: bool,
    /// The target of a kept link, counted from the root.
    pub(super) link: Option<Vec<String>>,
}

/// Something that was left out though nothing asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// What.
    pub path: PathBuf,
    /// Why, in words.
    pub why: &'static str,
}

/// What is in a tree, in the order of the torrent: by path components, bytewise.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) files: Vec<Found>,
    pub(super) skipped: Vec<Skipped>,
}

/// A tree on the way, its files not yet looked at.
#[derive(Debug, Default)]
struct Walk {
    files: Vec<Named>,
    skipped: Vec<Skipped>,
}

/// A file whose kind its folder told.
#[derive(Debug)]
struct Named {
    path: Vec<String>,
    on_disk: PathBuf,
    link: Option<Vec<String>>,
}

impl Selection {
    pub(super) fn new(
        include: &[String],
        exclude: &[String],
        hidden: bool,
        symlinks: Symlinks,
    ) -> Result<Self, CreateError> {
        let include = if include.is_empty() { None } else { Some(globs(include)?) };
        Ok(Self { include, exclude: globs(exclude)?, hidden, symlinks })
    }

    /// A folder is left out with all it holds by its own name; what to include is asked of files only.
    fn admits(&self, relative: &Path, name: &OsStr, folder: bool) -> bool {
        let included = folder || self.include.as_ref().is_none_or(|globs| globs.is_match(relative));
        let visible = self.hidden || !name.as_encoded_bytes().starts_with(b".");
        included && visible && !JUNK.iter().any(|junk| name == *junk) && !self.exclude.is_match(relative)
    }
}

/// Walks the tree below `root`.
pub(super) fn walk(root: &Path, selection: &Selection) -> Result<Tree, CreateError> {
    let mut walk = Walk::default();
    let metadata = fs::metadata(root).map_err(CreateError::read(root))?;
    walk.folder(root, &mut Vec::new(), &mut vec![(metadata.dev(), metadata.ino())], selection)?;
    Ok(Tree { files: side_by_side(walk.files, Named::look)?, skipped: walk.skipped })
}

/// A file given by itself; it is taken whatever it is called.
pub(super) fn single(path: &Path, metadata: &Metadata, name: String) -> Found {
    Named { path: vec![name], on_disk: path.to_owned(), link: None }.found(metadata)
}

impl Named {
    fn look(self) -> Result<Found, CreateError> {
        let looked = if self.link.is_some() { fs::symlink_metadata } else { fs::metadata }(&self.on_disk);
        let metadata = looked.map_err(CreateError::read(&self.on_disk))?;
        // What was a file when its folder was read may be a pipe, which would be waited for.
        if self.link.is_none() && !metadata.is_file() {
            return Err(CreateError::Changed(self.on_disk));
        }
        Ok(self.found(&metadata))
    }

    fn found(self, metadata: &Metadata) -> Found {
        let Self { path, on_disk, link } = self;
        let stamp = Stamp::of(metadata);
        match link {
            Some(_) => Found { path, on_disk, stamp: Stamp { size: 0, ..stamp }, executable: false, link },
            None => Found { path, on_disk, stamp, executable: metadata.mode() & 0o100 != 0, link },
        }
    }
}

impl Walk {
    /// `above` are the folders on the way here, so that a link back to one of them is noticed.
    fn folder(
        &mut self,
        folder: &Path,
        path: &mut Vec<String>,
        above: &mut Vec<(u64, u64)>,
        selection: &Selection,
    ) -> Result<(), CreateError> {
        if path.len() > MAX_DEPTH {
            return Err(CreateError::TooDeep(folder.to_owned()));
        }
        // Bytewise order of names within each folder makes the order of whole paths component by component.
        let mut entries = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(CreateError::read(folder))? {
            let entry = entry.map_err(CreateError::read(folder))?;
            let kind =
                entry.file_type().map_err(|source| CreateError::Read { path: entry.path(), source })?;
            entries.insert(entry.file_name(), (entry.path(), kind));
        }
        for (name, (full, kind)) in entries {
            let Some(text) = name.to_str() else { return Err(CreateError::NotText(full)) };
            path.push(text.to_owned());
            self.entry(full, kind, &name, path, above, selection)?;
            path.pop();
        }
        Ok(())
    }

    fn entry(
        &mut self,
        full: PathBuf,
        kind: FileType,
        name: &OsStr,
        path: &mut Vec<String>,
        above: &mut Vec<(u64, u64)>,
        selection: &Selection,
    ) -> Result<(), CreateError> {
        let relative: PathBuf = path.iter().collect();
        let kind = match (kind.is_symlink(), selection.symlinks) {
            (false, _) => kind,
            _ if !selection.admits(&relative, name, false) && !selection.admits(&relative, name, true) => {
                return Ok(());
            }
            (true, Symlinks::Skip) => return self.skip(&full, "a symbolic link"),
            (true, Symlinks::Keep) if !selection.admits(&relative, name, false) => return Ok(()),
            (true, Symlinks::Keep) => return self.keep_link(full, path),
            (true, Symlinks::Follow) => match fs::metadata(&full) {
                Ok(metadata) => metadata.file_type(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return self.skip(&full, "a symbolic link to nothing");
                }
                Err(error) => return Err(CreateError::read(&full)(error)),
            },
        };
        if !selection.admits(&relative, name, kind.is_dir()) {
            return Ok(());
        }
        if kind.is_file() {
            self.files.push(Named { path: path.clone(), on_disk: full, link: None });
            return Ok(());
        }
        if !kind.is_dir() {
            return self.skip(&full, "neither file nor folder");
        }
        let metadata = fs::metadata(&full).map_err(CreateError::read(&full))?;
        let identity = (metadata.dev(), metadata.ino());
        if above.contains(&identity) {
            return self.skip(&full, "a symbolic link to a folder around it");
        }
        above.push(identity);
        let walked = self.folder(&full, path, above, selection);
        above.pop();
        walked
    }

    /// A link is kept if it stays inside; readers refuse any other (BEP 47).
    fn keep_link(&mut self, full: PathBuf, path: &[String]) -> Result<(), CreateError> {
        let target = fs::read_link(&full).map_err(CreateError::read(&full))?;
        let Some(text) = target.to_str() else { return Err(CreateError::NotText(target)) };
        match resolve(path, text) {
            Some(link) => {
                self.files.push(Named { path: path.to_vec(), on_disk: full, link: Some(link) });
                Ok(())
            }
            None => self.skip(&full, "a symbolic link out of the tree"),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "so that callers can end with it")]
    fn skip(&mut self, path: &Path, why: &'static str) -> Result<(), CreateError> {
        self.skipped.push(Skipped { path: path.to_owned(), why });
        Ok(())
    }
}

/// Where a link at `path` leads, counted from the root; `None` if that is outside, or the root itself.
fn resolve(path: &[String], target: &str) -> Option<Vec<String>> {
    if target.starts_with('/') {
        return None;
    }
    let mut at = path.split_last()?.1.to_vec();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            at.pop()?;
        } else {
            at.push(part.to_owned());
        }
    }
    (!at.is_empty()).then_some(at)
}

fn globs(patterns: &[String]) -> Result<GlobSet, CreateError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        // "build/" means the folder and so all below it.
        set.add(Glob::new(pattern.trim_end_matches('/')).map_err(CreateError::Glob)?);
    }
    set.build().map_err(CreateError::Glob)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for file in files {
            let path = home.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        home
    }

    fn found(
        root: &Path,
        include: &[&str],
        exclude: &[&str],
        hidden: bool,
        symlinks: Symlinks,
    ) -> Vec<String> {
        let text = |patterns: &[&str]| patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>();
        let selection = Selection::new(&text(include), &text(exclude), hidden, symlinks).unwrap();
        walk(root, &selection).unwrap().files.into_iter().map(|file| file.path.join("/")).collect()
    }

    #[test]
    fn files_come_in_the_order_of_their_components() {
        let home = tree(&["b", "a/z", "a.txt", "a/b/c", "B"]);
        assert_eq!(
            found(home.path(), &[], &[], false, Symlinks::Follow),
            ["B", "a/b/c", "a/z", "a.txt", "b"]
        );
    }

    #[test]
    fn junk_and_hidden_files_stay_out_unless_hidden_ones_are_asked_for() {
        let home = tree(&[".git/config", ".hidden", "a/.DS_Store", "a/Thumbs.db", "a/b", ".conf/x"]);
        assert_eq!(found(home.path(), &[], &[], false, Symlinks::Follow), ["a/b"]);
        assert_eq!(found(home.path(), &[], &[], true, Symlinks::Follow), [".conf/x", ".hidden", "a/b"]);
    }

    #[test]
    fn globs_choose_files_at_any_depth_and_prune_folders() {
        let home = tree(&["a.iso", "b.txt", "deep/c.iso", "target/d.iso", "target/x/e.iso"]);
        assert_eq!(
            found(home.path(), &["*.iso"], &["target/"], false, Symlinks::Follow),
            ["a.iso", "deep/c.iso"]
        );
        assert_eq!(found(home.path(), &[], &["*.iso"], false, Symlinks::Follow), ["b.txt"]);
    }

    #[test]
    fn links_are_followed_kept_or_skipped_as_asked() {
        let home = tree(&["a/file", "z"]);
        symlink("file", home.path().join("a/inside")).unwrap();
        symlink("../../outside", home.path().join("a/out")).unwrap();
        symlink("..", home.path().join("a/round")).unwrap();
        assert_eq!(found(home.path(), &[], &[], false, Symlinks::Follow), ["a/file", "a/inside", "z"]);
        assert_eq!(found(home.path(), &[], &[], false, Symlinks::Skip), ["a/file", "z"]);
        let selection = Selection::new(&[], &[], false, Symlinks::Keep).unwrap();
        let kept = walk(home.path(), &selection).unwrap();
        let links: Vec<_> = kept.files.iter().filter_map(|file| file.link.clone()).collect();
        assert_eq!(links, [["a", "file"]]);
        assert_eq!(kept.skipped.len(), 2, "{:?}", kept.skipped);
    }
}
