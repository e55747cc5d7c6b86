//! Hashing pieces: SHA-1 of BEP 3, the SHA-256 block trees of BEP 52, and the verdict over both.
//!
//! Used by disk threads and by `create`. It touches no file.

use bytes::Bytes;
use metainfo::{BLOCK, Info, PieceIndex, merkle};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// SHA-1 of one block as it was received: evidence of who sent bad data.
pub type Digest = [u8; 20];

/// Zeros for padding and holes.
pub(crate) static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// How many pieces the SHA-1 kernel hashes at once: the scalar kernel of the `sha1` crate takes one.
pub(crate) const LANES: usize = 1;

/// SHA-1 of several messages, each given as slices that stand one behind the other.
///
/// Callers hand over messages of equal length, up to [`LANES`] of them where they have so many, so that a kernel which hashes
/// several messages side by side fits under this signature.
pub(crate) fn sha1_batch(messages: &[&[Bytes]]) -> Vec<Digest> {
    let one = |slices: &&[Bytes]| {
        let mut sha1 = Sha1::new();
        slices.iter().for_each(|slice| sha1.update(slice));
        sha1.finalize().into()
    };
    messages.iter().map(one).collect()
}

/// What a piece must hash to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    v1: Option<Digest>,
    v2: Option<metainfo::V2Piece>,
}

/// Whether a piece is what the torrent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has every hash the torrent gives for it.
    Good,
    /// It has none of them (or the torrent gives none, so nothing can be said for it).
    Bad,
    /// It has one of its two hashes and not the other: the torrent contradicts itself.
    Disagree,
}

impl Expected {
    pub(crate) fn of(info: &Info, piece: PieceIndex) -> Self {
        Self { v1: info.v1_piece(piece), v2: info.v2_piece(piece) }
    }

    /// Whether a SHA-1 is needed to judge.
    pub(crate) fn needs_v1(&self) -> bool {
        self.v1.is_some()
    }

    /// Whether block hashes are needed to judge.
    pub(crate) fn needs_v2(&self) -> bool {
        self.v2.is_some()
    }

    pub(crate) fn judge(&self, sha1: Option<Digest>, leaves: Option<Vec<merkle::Hash>>) -> Verdict {
        let v1 = self.v1.map(|wanted| sha1 == Some(wanted));
        let v2 = self.v2.map(|wanted| {
            leaves.is_some_and(|leaves| merkle::root(leaves, u64::from(wanted.leaves)) == wanted.hash)
        });
        match (v1, v2) {
            (Some(true), None | Some(true)) | (None, Some(true)) => Verdict::Good,
            (Some(one), Some(other)) if one != other => Verdict::Disagree,
            _ => Verdict::Bad,
        }
    }
}

/// Hashes one piece as its bytes come by.
#[derive(Debug, Default)]
pub(crate) struct PieceHasher {
    sha1: Option<Sha1>,
    leaves: Option<Leaves>,
}

impl PieceHasher {
    pub(crate) fn new(v1: bool, v2: bool) -> Self {
        Self { sha1: v1.then(Sha1::new), leaves: v2.then(Leaves::default) }
    }

    /// Bytes of the user's files.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(bytes);
        }
        if let Some(leaves) = &mut self.leaves {
            leaves.update(bytes);
        }
    }

    /// Padding, which only v1 hashes (BEP 47).
    pub(crate) fn pad(&mut self, length: u32) {
        if let Some(sha1) = &mut self.sha1 {
            zeros(length).for_each(|run| sha1.update(run));
        }
    }

    /// The SHA-1 and the block hashes, each if it was asked for.
    pub(crate) fn finish(self) -> (Option<Digest>, Option<Vec<merkle::Hash>>) {
        (self.sha1.map(|sha1| sha1.finalize().into()), self.leaves.map(Leaves::finish))
    }
}

/// `length` zeros in runs.
pub(crate) fn zeros(length: u32) -> impl Iterator<Item = &'static [u8]> {
    let length = length as usize;
    (0..length).step_by(ZEROS.len()).map(move |at| &ZEROS[..ZEROS.len().min(length - at)])
}

/// SHA-256 of each block of 16 KiB; the last may be shorter.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    done: Vec<merkle::Hash>,
    open: Sha256,
    filled: usize,
}

impl Leaves {
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(BLOCK as usize - self.filled));
            self.open.update(now);
            self.filled += now.len();
            if self.filled == BLOCK as usize {
                self.close();
            }
            bytes = rest;
        }
    }

    pub(crate) fn finish(mut self) -> Vec<merkle::Hash> {
        if self.filled > 0 {
            self.close();
        }
        self.done
    }

    fn close(&mut self) {
        self.done.push(self.open.finalize_reset().into());
        self.filled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_slices_hashes_like_the_whole() {
        let whole: Vec<u8> = (0..100_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let slices: Vec<Bytes> = whole.chunks(16_384).map(Bytes::copy_from_slice).collect();
        let other = [Bytes::from_static(b"abc")];
        let expected: Vec<Digest> = vec![Sha1::digest(&whole).into(), Sha1::digest(b"abc").into()];
        assert_eq!(sha1_batch(&[&slices, &other]), expected);
    }

    #[test]
    fn block_hashes_do_not_depend_on_how_the_bytes_arrive() {
        let whole: Vec<u8> = (0..50_000u32).map(|n| n.to_le_bytes()[1]).collect();
        let expected: Vec<merkle::Hash> = whole.chunks(16_384).map(merkle::leaf).collect();
        for step in [1, 1000, 16_384, 20_000, 50_000] {
            let mut leaves = Leaves::default();
            whole.chunks(step).for_each(|chunk| leaves.update(chunk));
            assert_eq!(leaves.finish(), expected, "in steps of {step}");
        }
    }

    #[test]
    fn padding_counts_for_v1_only() {
        let mut hasher = PieceHasher::new(true, true);
        hasher.update(b"abc");
        hasher.pad(70_000);
        let (sha1, leaves) = hasher.finish();
        let padded: Vec<u8> = b"abc".iter().copied().chain(std::iter::repeat_n(0, 70_000)).collect();
        assert_eq!(sha1, Some(Sha1::digest(&padded).into()));
        assert_eq!(leaves, Some(vec![merkle::leaf(b"abc")]));
    }
}
