//! SHA-256 of whole files: what people compare by hand, and the list of it that `sha256sum -c` reads.
//!
//! Torrents have hashes of their own; these are for whoever fetched a file some other way.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use crate::catalogue::Release;
use crate::names::hex;

/// How much is read at once: large enough that system calls do not show, small enough for the processor's cache.
const CHUNK: usize = 256 << 10;

/// The SHA-256 of a file. Bytes are added to `progress` as they are behind it. Blocks: call it on a thread of its own.
pub fn sha256_file(path: &Path, progress: &AtomicU64) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(digest.finalize().into()),
            Ok(read) => {
                digest.update(&buffer[..read]);
                progress.fetch_add(read as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The list of a release's files as coreutils write and check it, beside the torrent's folder. `None` if no hash is known.
pub(crate) fn sums(release: &Release) -> Option<String> {
    let known = release.files.iter().filter_map(|file| Some((file.sha256?, &*file.path)));
    let lines: String = known.map(|(hash, path)| line(&hash, path)).collect();
    (!lines.is_empty()).then_some(lines)
}

/// A name with a line break or backslash is escaped, which a backslash before the hash says.
fn line(hash: &[u8], path: &str) -> String {
    let escaped = path.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    let mark = if escaped == path { "" } else { "\\" };
    format!("{mark}{}  {escaped}\n", hex(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_hashed_and_its_length_is_told() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let progress = AtomicU64::new(0);
        let hash = sha256_file(&path, &progress).unwrap();
        assert_eq!(hex(&hash), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(progress.into_inner(), 3);
    }

    #[test]
    fn lines_are_those_of_coreutils() {
        assert_eq!(line(&[1, 2], "a b"), "0102  a b\n");
        assert_eq!(line(&[1, 2], "a\\b\nc"), "\\0102  a\\\\b\\nc\n");
    }
}
