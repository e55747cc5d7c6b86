//! Hashing pieces: SHA-1 of BEP 3, the SHA-256 block trees of BEP 52, and the verdict over both.
//!
//! Used by disk threads and by `create`. It touches no file; `kernels` does the arithmetic.

use bytes::Bytes;
use metainfo::{BLOCK, Info, PieceIndex, merkle};

use crate::kernels::{SHA1, SHA256, Streams};

/// SHA-1 of one block as it was received: evidence of who sent bad data.
pub type Digest = [u8; 20];

/// Zeros for padding and holes.
pub(crate) static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// SHA-1 of several messages, each given as slices that stand one behind the other.
pub(crate) fn sha1_batch(messages: &[&[Bytes]]) -> Vec<Digest> {
    SHA1.hash(messages).into_iter().map(digest).collect()
}

/// SHA-256 of several blocks, each given as slices that stand one behind the other.
pub(crate) fn leaf_batch(blocks: &[&[&[u8]]]) -> Vec<merkle::Hash> {
    SHA256.hash(blocks).into_iter().map(leaf).collect()
}

/// Which hashes of a piece are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its SHA-1.
    pub(crate) v1: bool,
    /// The SHA-256 of each block.
    pub(crate) v2: bool,
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

    /// What is needed to judge.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted { v1: self.v1.is_some(), v2: self.v2.is_some() }
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

/// The SHA-1 and the block hashes of a piece, each if it was asked for.
pub(crate) type Hashes = (Option<Digest>, Option<Vec<merkle::Hash>>);

/// The next bytes of a piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) bytes: &'a [u8],
    /// How many of them are of the user's files; the rest is padding, which only v1 hashes (BEP 47).
    pub(crate) content: usize,
}

/// Hashes pieces of one length side by side as their bytes come by.
#[derive(Debug)]
pub(crate) struct PieceHashers {
    sha1: Option<Streams<'static, 5>>,
    digests: Vec<Digest>,
    leaves: Option<Vec<Vec<merkle::Hash>>>,
}

impl PieceHashers {
    pub(crate) fn new(wanted: Wanted, count: usize) -> Self {
        Self {
            sha1: wanted.v1.then(|| Streams::new(&SHA1, count)),
            digests: Vec::new(),
            leaves: wanted.v2.then(|| vec![Vec::new(); count]),
        }
    }

    /// The next chunk of each piece, all of one length: whole blocks of 16 KiB, but for the last of the piece.
    pub(crate) fn update(&mut self, chunks: &[Chunk<'_>]) {
        if let Some(mut sha1) = self.sha1.take() {
            let (blocks, tails): (Vec<_>, Vec<_>) =
                chunks.iter().map(|chunk| chunk.bytes.as_chunks()).unzip();
            sha1.update(&blocks);
            if tails.iter().all(|tail| tail.is_empty()) {
                self.sha1 = Some(sha1);
            } else {
                self.digests = sha1.finish(&tails).into_iter().map(digest).collect();
            }
        }
        if let Some(leaves) = &mut self.leaves {
            let contents = chunks.iter().map(|chunk| &chunk.bytes[..chunk.content]);
            let blocks: Vec<&[u8]> = contents.flat_map(|content| content.chunks(BLOCK as usize)).collect();
            let blocks: Vec<&[&[u8]]> = blocks.iter().map(std::slice::from_ref).collect();
            let mut hashes = leaf_batch(&blocks).into_iter();
            for (leaves, chunk) in leaves.iter_mut().zip(chunks) {
                leaves.extend(hashes.by_ref().take(chunk.content.div_ceil(BLOCK as usize)));
            }
        }
    }

    /// The hashes of each piece, in the order of the chunks.
    pub(crate) fn finish(mut self) -> Vec<Hashes> {
        if let Some(sha1) = self.sha1 {
            let tails = vec![&[][..]; sha1.count()];
            self.digests = sha1.finish(&tails).into_iter().map(digest).collect();
        }
        let count = self.digests.len().max(self.leaves.as_ref().map_or(0, Vec::len));
        let mut leaves = self.leaves.map(Vec::into_iter);
        (0..count)
            .map(|at| (self.digests.get(at).copied(), leaves.as_mut().and_then(Iterator::next)))
            .collect()
    }
}

fn digest(words: [u32; 5]) -> Digest {
    bytes(words)
}

fn leaf(words: [u32; 8]) -> merkle::Hash {
    bytes(words)
}

/// A hash as it is written: its words in big-endian order.
fn bytes<const WORDS: usize, const BYTES: usize>(words: [u32; WORDS]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes.copy_from_slice(words.map(u32::to_be_bytes).as_flattened());
    bytes
}

#[cfg(test)]
mod tests {
    use sha1::Sha1;
    use sha2::Digest as _;

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
    fn padding_counts_for_v1_only_and_pieces_do_not_mix() {
        let pieces: Vec<Vec<u8>> = (0..7u8).map(|piece| vec![piece; 100_000]).collect();
        let contents = [0usize, 1, 16_384, 40_000, 65_536, 70_000, 100_000];
        let mut hashers = PieceHashers::new(Wanted { v1: true, v2: true }, pieces.len());
        for at in [0, 65_536] {
            let chunks: Vec<Chunk<'_>> = pieces
                .iter()
                .zip(contents)
                .map(|(piece, content)| {
                    let bytes = &piece[at..piece.len().min(at + 65_536)];
                    Chunk { bytes, content: content.saturating_sub(at).min(bytes.len()) }
                })
                .collect();
            hashers.update(&chunks);
        }
        for ((piece, content), (sha1, leaves)) in pieces.iter().zip(contents).zip(hashers.finish()) {
            assert_eq!(sha1, Some(Sha1::digest(piece).into()));
            let expected: Vec<_> = piece[..content].chunks(16_384).map(merkle::leaf).collect();
            assert_eq!(leaves, Some(expected));
        }
    }
}
