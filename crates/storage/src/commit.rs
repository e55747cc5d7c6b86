//! From received blocks to verified bytes on disk (step 8 of a block's way): hash, compare, and only then write.
//!
//! Runs on a disk thread, which hashes and writes. It never reads back, and never writes what did not match.

use std::sync::Arc;

use bytes::Bytes;
use metainfo::PieceIndex;

use crate::descriptors::Descriptors;
use crate::error::StorageError;
use crate::files::TorrentFiles;
use crate::hash::{Digest, Expected, Leaves, Verdict, sha1_batch};

/// What became of a piece.
#[derive(Debug)]
pub enum Commit {
    /// It was right and is written.
    Written {
        /// Digests of its blocks in order, if they were asked for.
        digests: Option<Vec<Digest>>,
    },
    /// It was wrong; nothing was written.
    Mismatch {
        /// Digests of its blocks in order.
        digests: Vec<Digest>,
    },
    /// It matched one of the v1 and v2 hashes and not the other, so the torrent contradicts itself; nothing was written.
    Disagree,
    /// It was right but could not be written.
    Failed(StorageError),
}

/// A complete piece on its way to the disk.
pub(crate) struct Ready {
    pub(crate) files: Arc<TorrentFiles>,
    pub(crate) piece: PieceIndex,
    pub(crate) blocks: Vec<Bytes>,
    /// Whether digests are wanted even if the piece is right.
    pub(crate) digests: bool,
    pub(crate) done: Box<dyn FnOnce(Commit) + Send>,
}

/// Verifies pieces together and writes those that are right, each in turn.
pub(crate) fn commit(batch: Vec<Ready>, descriptors: &Descriptors) {
    let expected: Vec<Expected> =
        batch.iter().map(|ready| Expected::of(ready.files.info(), ready.piece)).collect();
    let v1 = |at: &usize| expected[*at].needs_v1();
    let messages: Vec<&[Bytes]> = (0..batch.len()).filter(v1).map(|at| batch[at].blocks.as_slice()).collect();
    let mut sha1s = sha1_batch(&messages).into_iter();
    let judged: Vec<Verdict> = batch
        .iter()
        .zip(&expected)
        .map(|(ready, expected)| {
            let sha1 = if expected.needs_v1() { sha1s.next() } else { None };
            let whole = ready.blocks.iter().map(Bytes::len).sum::<usize>();
            if whole != ready.files.layout().piece_size(ready.piece) as usize {
                return Verdict::Bad;
            }
            expected.judge(sha1, expected.needs_v2().then(|| leaves(ready)))
        })
        .collect();
    for (ready, verdict) in batch.into_iter().zip(judged) {
        let Ready { files, piece, blocks, digests, done } = ready;
        done(match verdict {
            Verdict::Good => match files.write(descriptors, &files, piece, &blocks) {
                Ok(()) => {
                    files.found(piece);
                    Commit::Written { digests: digests.then(|| block_digests(&blocks)) }
                }
                Err(error) => Commit::Failed(error),
            },
            Verdict::Bad => Commit::Mismatch { digests: block_digests(&blocks) },
            Verdict::Disagree => Commit::Disagree,
        });
    }
}

/// The block hashes of a piece: of the file's bytes, without the padding behind them (BEP 52).
fn leaves(ready: &Ready) -> Vec<metainfo::merkle::Hash> {
    let mut leaves = Leaves::default();
    let mut content = ready.files.layout().piece_content(ready.piece) as usize;
    for block in &ready.blocks {
        let now = block.len().min(content);
        leaves.update(&block[..now]);
        content -= now;
    }
    leaves.finish()
}

fn block_digests(blocks: &[Bytes]) -> Vec<Digest> {
    blocks.iter().flat_map(|block| sha1_batch(&[std::slice::from_ref(block)])).collect()
}

#[cfg(test)]
mod tests;
