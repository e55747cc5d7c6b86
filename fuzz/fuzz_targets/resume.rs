//! Any bytes as a resume file: no panic, and at worst it counts as none.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{fs, iter};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use metainfo::InfoHash;
use sha2::{Digest, Sha256};
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

/// A file as it may lie there.
#[derive(Arbitrary, Debug)]
enum Content {
    Bytes(Vec<u8>),
    /// Good checksums over any content, so that what stands behind them is reached (`docs/formats.md`).
    Records {
        pieces: u16,
        records: Vec<(u8, Vec<u8>)>,
        tail: Vec<u8>,
    },
}

fuzz_target!(|content: Content| {
    fs::write(&*FILE, bytes(content)).expect("the state cannot be written");
    if let Ok(resume) = open() {
        resume.totals();
    }
});

const HASH: InfoHash = InfoHash([1; 20]);

fn bytes(content: Content) -> Vec<u8> {
    let (pieces, records, tail) = match content {
        Content::Bytes(bytes) => return bytes,
        Content::Records { pieces, records, tail } => (pieces, records, tail),
    };
    let mut out =
        [b"HWRESUME".as_slice(), &1u32.to_le_bytes(), &HASH.0, &u32::from(pieces).to_le_bytes()].concat();
    out.extend(check(&out));
    for (kind, payload) in records {
        let length = u32::try_from(payload.len()).expect("inputs are short").to_le_bytes();
        let checked = [&[kind % 8], length.as_slice(), &payload].concat();
        out.extend(b"\xf5rec");
        out.extend(&checked);
        out.extend(check(&checked));
    }
    out.extend(tail);
    out
}

fn check(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes)[..8].to_vec()
}

fn open() -> Result<Resume, storage::StorageError> {
    Resume::open(STATE.path(), HASH, STATE.path(), None)
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
