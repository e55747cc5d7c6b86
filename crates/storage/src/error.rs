//! What can go wrong between a torrent and the file system, typed by what the user can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why files or state could not be read or written. It always names the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The operating system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was attempted, as a verb: "open", "read", "write".
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason the system gave.
        #[source]
        source: io::Error,
    },
    /// A component of the path is a symbolic link, which could lead out of the target folder.
    #[error("{} is a symbolic link, and nothing is written through links", .0.display())]
    Symlink(PathBuf),
    /// The file has other names, which a write would change too.
    #[error("{} is a hard link: writing would change its {others} other names too", path.display())]
    HardLink {
        /// The file.
        path: PathBuf,
        /// How many other names it has.
        others: u64,
    },
    /// Something that is not a regular file stands where a file belongs.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Something that is not a folder stands where a folder belongs.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// Something else stands where a symbolic link of the torrent belongs.
    #[error("{} exists and is not the link that the torrent asks for", .0.display())]
    Occupied(PathBuf),
    /// The path would leave the target folder.
    #[error("{0:?} is not a path below the target folder")]
    UnsafePath(String),
    /// The file is longer than the torrent says, so it may be something else.
    #[error("{} has {found} bytes where the torrent has {expected}", path.display())]
    Longer {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// The length in the torrent.
        expected: u64,
    },
    /// The file ends before the bytes asked for.
    #[error("{} ends before byte {wanted}", path.display())]
    Shorter {
        /// The file.
        path: PathBuf,
        /// The byte that should have been there.
        wanted: u64,
    },
    /// The files were opened for seeding only.
    #[error("{} is open for seeding only", .0.display())]
    ReadOnly(PathBuf),
    /// The piece does not have the bytes asked for.
    #[error("piece {piece} has no bytes {begin} to {end}")]
    Outside {
        /// The piece.
        piece: u32,
        /// First byte.
        begin: u32,
        /// One past the last byte.
        end: u64,
    },
    /// Another process, or another torrent of this one, holds the state file.
    #[error("{} is in use by process {}", path.display(), pid.map_or_else(|| "(unknown)".to_owned(), |pid| pid.to_string()))]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, if it says so.
        pid: Option<u32>,
    },
    /// The state file was written by a newer version; it is left as it is.
    #[error("{} is of the newer format {version}", path.display())]
    Newer {
        /// The state file.
        path: PathBuf,
        /// Its format version.
        version: u32,
    },
    /// The caller asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

impl StorageError {
    /// The volume has no room left (space, quota or file-size limit).
    pub fn is_disk_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self.kind(), Some(StorageFull | QuotaExceeded | FileTooLarge))
    }

    /// The user may not do this here.
    pub fn is_permission(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        matches!(self.kind(), Some(PermissionDenied | ReadOnlyFilesystem))
    }

    /// The file or folder is not there.
    pub fn is_missing(&self) -> bool {
        self.kind() == Some(io::ErrorKind::NotFound)
    }

    /// The path it is about, where there is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::Symlink(path)
            | Self::HardLink { path, .. }
            | Self::NotAFile(path)
            | Self::NotAFolder(path)
            | Self::Occupied(path)
            | Self::Longer { path, .. }
            | Self::Shorter { path, .. }
            | Self::ReadOnly(path)
            | Self::Locked { path, .. }
            | Self::Newer { path, .. } => Some(path),
            Self::UnsafePath(_) | Self::Outside { .. } | Self::Cancelled => None,
        }
    }

    fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}

/// Makes an error of the system one of ours: `.map_err(failed("open", path))`.
pub(crate) fn failed<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> StorageError {
    move |source| StorageError::Io { doing, path: path.to_owned(), source: source.into() }
}
