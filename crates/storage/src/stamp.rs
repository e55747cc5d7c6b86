//! What files look like from outside: size and time, by which a later run knows whether they are as they were.
//!
//! It reads metadata, no contents.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file's size and time of change: if both are as they were, its bytes are taken to be too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Length in bytes.
    pub size: u64,
    /// Time of the last change of the bytes, in nanoseconds since 1970.
    pub mtime_ns: i64,
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let mtime_ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Self { size: metadata.len(), mtime_ns }
    }
}

/// Looks at many files, one folder after the other, and at none in a folder that is not there: a download begins with
/// thousands of those.
#[derive(Debug)]
pub(crate) struct Survey<'a> {
    /// Folders above this one are there.
    top: &'a Path,
    /// The folder of the file that was last found missing, if it is there itself.
    there: PathBuf,
    /// The highest folder that was found missing.
    gone: Option<PathBuf>,
}

impl<'a> Survey<'a> {
    pub(crate) fn below(top: &'a Path) -> Self {
        Self { top, there: top.to_owned(), gone: None }
    }

    /// A file's metadata by `look`, if there is such a file.
    pub(crate) fn look(
        &mut self,
        path: &Path,
        look: impl FnOnce(&Path) -> io::Result<Metadata>,
    ) -> Option<Metadata> {
        if self.gone.as_ref().is_some_and(|gone| path.starts_with(gone)) {
            return None;
        }
        let found = look(path).ok();
        if found.is_none() && path.parent() != Some(&self.there) {
            let folders = path.ancestors().skip(1).take_while(|folder| *folder != self.top);
            self.gone = folders.take_while(|folder| !folder.exists()).last().map(Path::to_owned);
            if self.gone.is_none() {
                self.there = path.parent().unwrap_or(self.top).to_owned();
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::*;

    #[test]
    fn nothing_is_looked_at_in_a_folder_that_is_not_there() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("torrent/some")).unwrap();
        fs::write(home.path().join("torrent/some/b"), "b").unwrap();
        let looks = Cell::new(0);
        let mut survey = Survey::below(home.path());
        let found: Vec<bool> = ["none/a/a", "none/a/b", "none/c", "some/a", "some/b", "some/c", "z"]
            .iter()
            .map(|name| {
                let path = home.path().join("torrent").join(name);
                let look = |path: &Path| {
                    looks.set(looks.get() + 1);
                    path.metadata()
                };
                survey.look(&path, look).is_some()
            })
            .collect();
        assert_eq!(found, [false, false, false, false, true, false, false]);
        assert_eq!(looks.get(), 5);
    }
}
