//! The open files of all torrents: a least-recently-used list with a bound.
//!
//! Owned by `Disk`. It opens nothing itself and knows no paths. A descriptor that is thrown out while a job still uses it is
//! closed when that job ends.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use metainfo::FileIndex;

use crate::error::StorageError;
use crate::files::TorrentFiles;

/// Which open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The torrent, by the number its `TorrentFiles` got when it was made.
    pub(crate) torrent: u64,
    /// The file of the torrent.
    pub(crate) file: FileIndex,
    /// Open for writing too.
    pub(crate) write: bool,
}

/// Open files, no more than a bound.
#[derive(Debug)]
pub(crate) struct Descriptors {
    bound: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<Key, Open>,
    by_age: BTreeMap<u64, Key>,
    clock: u64,
}

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    used: u64,
    owner: Weak<TorrentFiles>,
}

impl Descriptors {
    pub(crate) fn new(bound: usize) -> Self {
        Self { bound: bound.max(1), inner: Mutex::default() }
    }

    /// The open file, or a newly opened one. Opening happens outside the lock; two threads may open a file at once and one
    /// of the two descriptors is closed again.
    pub(crate) fn get(
        &self,
        key: Key,
        owner: &Arc<TorrentFiles>,
        open: impl FnOnce() -> Result<File, StorageError>,
    ) -> Result<Arc<File>, StorageError> {
        if let Some(file) = self.locked().touch(key) {
            return Ok(file);
        }
        let file = Arc::new(open()?);
        self.locked().insert(key, Arc::clone(&file), Arc::downgrade(owner), self.bound);
        Ok(file)
    }

    /// Closes all files of a torrent.
    pub(crate) fn close(&self, torrent: u64) {
        self.locked().retain(|key, _| key.torrent != torrent);
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// A file open for writing serves readers too.
    fn touch(&mut self, key: Key) -> Option<Arc<File>> {
        let key = [Key { write: true, ..key }, key].into_iter().find(|key| self.open.contains_key(key))?;
        self.clock += 1;
        let open = self.open.get_mut(&key)?;
        self.by_age.remove(&open.used);
        open.used = self.clock;
        self.by_age.insert(self.clock, key);
        Some(Arc::clone(&open.file))
    }

    fn insert(&mut self, key: Key, file: Arc<File>, owner: Weak<TorrentFiles>, bound: usize) {
        self.retain(|_, open| open.owner.strong_count() > 0);
        self.clock += 1;
        if let Some(older) = self.open.insert(key, Open { file, used: self.clock, owner }) {
            self.by_age.remove(&older.used);
        }
        self.by_age.insert(self.clock, key);
        while self.open.len() > bound
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.open.remove(&oldest);
        }
    }

    fn retain(&mut self, keep: impl Fn(&Key, &Open) -> bool) {
        let Self { open, by_age, .. } = self;
        open.retain(|key, open| {
            let kept = keep(key, open);
            if !kept {
                by_age.remove(&open.used);
            }
            kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_torrent::TestTorrent;

    fn opened(descriptors: &Descriptors) -> Vec<u32> {
        let mut files: Vec<u32> = descriptors.locked().open.keys().map(|key| key.file.0).collect();
        files.sort_unstable();
        files
    }

    /// C-10.
    #[test]
    fn the_file_used_longest_ago_is_closed_first() {
        let torrent = TestTorrent::v1(16_384, &[("a", 10)]);
        let files = torrent.fetch();
        let descriptors = Descriptors::new(3);
        let key = |file| Key { torrent: 1, file: FileIndex(file), write: false };
        let open = || Ok(tempfile::tempfile().unwrap());
        for file in [0, 1, 2, 0, 3] {
            descriptors.get(key(file), &files, open).unwrap();
        }
        assert_eq!(opened(&descriptors), [0, 2, 3]);
        descriptors.close(1);
        assert_eq!(opened(&descriptors), [0; 0]);
    }

    #[test]
    fn files_of_a_torrent_that_is_gone_are_closed() {
        let torrent = TestTorrent::v1(16_384, &[("a", 10)]);
        let (gone, stays) = (torrent.fetch(), torrent.fetch());
        let descriptors = Descriptors::new(3);
        let open = || Ok(tempfile::tempfile().unwrap());
        descriptors.get(Key { torrent: 1, file: FileIndex(7), write: false }, &gone, open).unwrap();
        drop(gone);
        descriptors.get(Key { torrent: 2, file: FileIndex(8), write: false }, &stays, open).unwrap();
        assert_eq!(opened(&descriptors), [8]);
    }
}
