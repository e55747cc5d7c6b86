//! Any bytes as a resume file: no panic, and at worst it counts as none.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{fs, iter};

use libfuzzer_sys::fuzz_target;
use metainfo::InfoHash;
use storage::resume::Resume;
use tempfile::TempDir;

/// A state folder that all runs of this process share.
static STATE: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("no folder for temporary files"));

/// Where the state of the one torrent lies: told by the lock beside it.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    drop(open());
    let locks =
        files(STATE.path()).filter(|path| path.extension().is_some_and(|extension| extension == "lock"));
    let lock = locks.last().expect("no lock was made");
    lock.with_extension("hwr")
});

fuzz_target!(|data: &[u8]| {
    fs::write(&*FILE, data).expect("the state cannot be written");
    if let Ok(resume) = open() {
        resume.totals();
    }
});

fn open() -> Result<Resume, storage::StorageError> {
    Resume::open(STATE.path(), InfoHash([1; 20]), STATE.path(), None)
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let mut folders = vec![folder.to_owned()];
    let mut found = Vec::new();
    iter::from_fn(move || {
        while found.is_empty() {
            let entries = fs::read_dir(folders.pop()?).ok()?;
            let (inner, here): (Vec<_>, Vec<_>) =
                entries.filter_map(|entry| Some(entry.ok()?.path())).partition(|path| path.is_dir());
            folders.extend(inner);
            found.extend(here);
        }
        found.pop()
    })
}
