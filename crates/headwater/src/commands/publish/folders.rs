//! Folders whose entries are published as they come and go (`--watch`).
//!
//! Owned by the publisher. The system tells that something changed; what is there is then looked at. An entry counts once it has
//! stood still from one look to the next, so that nothing is published while it is being copied. Publishing is the owner's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::failure::{Exit, Failure};

/// How long an entry must stand still: copies write more often than that.
pub(super) const STILL: Duration = Duration::from_secs(1);

/// Endings of what other programs have not finished writing.
const UNFINISHED: [&str; 5] = ["part", "tmp", "crdownload", "aria2", "filepart"];

/// See the module's head.
pub(super) struct Folders {
    roots: Vec<PathBuf>,
    seen: BTreeMap<PathBuf, Seen>,
    /// Ends with us.
    _watcher: RecommendedWatcher,
    stirred: mpsc::Receiver<()>,
}

/// An entry as it was at the last look.
#[derive(Clone, Copy, Debug)]
struct Seen {
    look: Look,
    /// It has been reported as fresh, looking like that.
    told: bool,
}

/// What an entry looks like from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    files: u64,
    bytes: u64,
    newest: Option<SystemTime>,
}

/// What changed since the last look.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// What stands still and is new, or other than it was.
    pub(super) fresh: Vec<PathBuf>,
    /// What is still being written, or just appeared.
    pub(super) moving: Vec<PathBuf>,
    /// What is no longer there.
    pub(super) gone: Vec<PathBuf>,
}

impl Folders {
    /// Begins to watch.
    pub(super) fn watch(roots: &[PathBuf]) -> Result<Self, Failure> {
        // One word is enough: whoever hears it looks at everything.
        let (sender, stirred) = mpsc::channel(1);
        let told = move |event: notify::Result<notify::Event>| {
            if event.as_ref().map_or(true, is_change) {
                // Full: somebody was told already.
                let _told = sender.try_send(());
            }
        };
        let trouble = |what: String, error: &notify::Error| Failure::new(Exit::Other, what).because(error);
        let mut watcher = notify::recommended_watcher(told)
            .map_err(|error| trouble("cannot watch folders".into(), &error))?;
        for root in roots {
            if !root.is_dir() {
                return Err(Failure::new(Exit::NotFound, format!("{} is no folder", root.display()))
                    .hint("--watch publishes what is in folders; name the folder"));
            }
            watcher
                .watch(root, RecursiveMode::Recursive)
                .map_err(|error| trouble(format!("cannot watch {}", root.display()), &error))?;
        }
        Ok(Self { roots: roots.to_vec(), seen: BTreeMap::new(), _watcher: watcher, stirred })
    }

    /// Waits until something changed since the last call.
    pub(super) async fn stirred(&mut self) {
        if self.stirred.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Looks at everything. A folder that cannot be read keeps what it had: an unmounted disk withdraws nothing.
    pub(super) fn look(&mut self) -> Changes {
        let mut changes = Changes::default();
        for root in self.roots.clone() {
            match entries(&root) {
                Ok(found) => self.compare(&root, found, &mut changes),
                Err(error) => tracing::warn!(root = %root.display(), %error, "cannot look into a folder"),
            }
        }
        changes
    }

    fn compare(&mut self, root: &Path, found: BTreeMap<PathBuf, Look>, changes: &mut Changes) {
        let gone = self.seen.keys().filter(|path| path.starts_with(root) && !found.contains_key(*path));
        changes.gone.extend(gone.cloned());
        self.seen.retain(|path, _| !path.starts_with(root) || found.contains_key(path));
        for (path, look) in found {
            match self.seen.get_mut(&path).filter(|seen| seen.look == look) {
                Some(seen) if seen.told => {}
                Some(seen) => {
                    seen.told = true;
                    changes.fresh.push(path);
                }
                None => {
                    self.seen.insert(path.clone(), Seen { look, told: false });
                    changes.moving.push(path);
                }
            }
        }
    }
}

/// Whether something is other than before: the system tells of our own looks and hashing, too.
fn is_change(event: &notify::Event) -> bool {
    !event.kind.is_access()
}

fn entries(root: &Path) -> std::io::Result<BTreeMap<PathBuf, Look>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let unfinished = path.extension().is_some_and(|end| UNFINISHED.iter().any(|known| end == *known));
        if name.starts_with('.') || unfinished {
            continue;
        }
        let mut look = Look::default();
        // What vanishes while it is looked at is gone.
        if add(&path, &mut look).is_ok() && look.files > 0 {
            found.insert(path, look);
        }
    }
    Ok(found)
}

/// Adds all files at or below a path.
fn add(path: &Path, look: &mut Look) -> std::io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // A link to a folder could lead round in a circle.
            if !(entry.file_type()?.is_symlink() && entry.path().is_dir()) {
                add(&entry.path(), look)?;
            }
        }
    } else if metadata.is_file() {
        look.files += 1;
        look.bytes += metadata.len();
        look.newest = look.newest.max(metadata.modified().ok());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
        paths.into_iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn an_entry_counts_once_when_it_stands_still_and_is_gone_when_it_left() {
        let root = tempfile::tempdir().unwrap();
        let mut folders = Folders::watch(&[root.path().to_owned()]).unwrap();
        let path = root.path().join("demo.iso");
        fs::write(&path, "half").unwrap();
        assert_eq!(names(folders.look().moving), ["demo.iso"]);
        fs::write(&path, "half and whole").unwrap();
        assert_eq!(names(folders.look().moving), ["demo.iso"]);
        assert_eq!(names(folders.look().fresh), ["demo.iso"]);
        let calm = folders.look();
        assert!(calm.fresh.is_empty() && calm.moving.is_empty() && calm.gone.is_empty());
        fs::remove_file(&path).unwrap();
        assert_eq!(names(folders.look().gone), ["demo.iso"]);
        assert!(folders.look().gone.is_empty());
    }

    #[test]
    fn hidden_unfinished_and_empty_entries_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        for name in [".hidden", "film.mkv.part", "page.crdownload"] {
            fs::write(root.path().join(name), "x").unwrap();
        }
        fs::create_dir(root.path().join("empty")).unwrap();
        let mut folders = Folders::watch(&[root.path().to_owned()]).unwrap();
        assert!(folders.look().moving.is_empty());
    }

    #[test]
    fn a_folder_that_cannot_be_read_withdraws_nothing() {
        let root = tempfile::tempdir().unwrap();
        let drop = root.path().join("drop");
        fs::create_dir(&drop).unwrap();
        fs::write(drop.join("demo.iso"), "x").unwrap();
        let mut folders = Folders::watch(std::slice::from_ref(&drop)).unwrap();
        folders.look();
        fs::rename(&drop, root.path().join("elsewhere")).unwrap();
        assert!(folders.look().gone.is_empty());
    }

    #[test]
    fn what_is_read_has_not_changed() {
        use notify::event::{AccessKind, DataChange, EventKind, ModifyKind, RemoveKind};
        let is_change = |kind| is_change(&notify::Event::new(kind));
        assert!(!is_change(EventKind::Access(AccessKind::Read)));
        assert!(is_change(EventKind::Modify(ModifyKind::Data(DataChange::Any))));
        assert!(is_change(EventKind::Remove(RemoveKind::File)));
    }

    #[tokio::test]
    async fn a_change_is_told() {
        let root = tempfile::tempdir().unwrap();
        let mut folders = Folders::watch(&[root.path().to_owned()]).unwrap();
        fs::write(root.path().join("demo.iso"), "x").unwrap();
        folders.stirred().await;
    }
}
