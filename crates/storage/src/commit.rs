//! From received blocks to verified bytes on disk (step 8 of a block's way): hash, compare, and only then write.
//!
//! Runs on a disk thread, which hashes and writes. It never reads back, and never writes what did not match.

use std::sync::Arc;

use bytes::Bytes;
use metainfo::{BLOCK, PieceIndex};

use crate::descriptors::Descriptors;
use crate::error::StorageError;
use crate::files::TorrentFiles;
use crate::hash::{Digest, Expected, Verdict, leaf_batch, sha1_batch};

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
    let wanted = || batch.iter().zip(expected.iter().map(Expected::wanted));
    let messages: Vec<&[Bytes]> =
        wanted().filter(|(_, wanted)| wanted.v1).map(|(ready, _)| &ready.blocks[..]).collect();
    let mut sha1s = sha1_batch(&messages).into_iter();
    let leaves: Vec<Vec<Vec<&[u8]>>> =
        wanted().map(|(ready, wanted)| if wanted.v2 { ready.leaves() } else { Vec::new() }).collect();
    let messages: Vec<&[&[u8]]> = leaves.iter().flatten().map(Vec::as_slice).collect();
    let mut hashes = leaf_batch(&messages).into_iter();
    let judged: Vec<Verdict> = wanted()
        .zip(&expected)
        .zip(&leaves)
        .map(|(((ready, wanted), expected), leaves)| {
            let sha1 = if wanted.v1 { sha1s.next() } else { None };
            let leaves = hashes.by_ref().take(leaves.len()).collect();
            if ready.length() != ready.files.layout().piece_size(ready.piece) as usize {
                return Verdict::Bad;
            }
            expected.judge(sha1, wanted.v2.then_some(leaves))
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

impl Ready {
    /// Bytes of it.
    pub(crate) fn length(&self) -> usize {
        self.blocks.iter().map(Bytes::len).sum()
    }

    /// What is hashed for v2: the file's bytes, without the padding behind them (BEP 52), in blocks of 16 KiB, each in the slices
    /// that it arrived in.
    fn leaves(&self) -> Vec<Vec<&[u8]>> {
        let mut leaves: Vec<Vec<&[u8]>> = Vec::new();
        let mut content = self.files.layout().piece_content(self.piece) as usize;
        let mut room = 0;
        for block in &self.blocks {
            let mut bytes = &block[..block.len().min(content)];
            content -= bytes.len();
            while !bytes.is_empty() {
                if room == 0 {
                    leaves.push(Vec::new());
                    room = BLOCK as usize;
                }
                let (now, rest) = bytes.split_at(bytes.len().min(room));
                leaves.last_mut().expect("one was begun").push(now);
                room -= now.len();
                bytes = rest;
            }
        }
        leaves
    }
}

fn block_digests(blocks: &[Bytes]) -> Vec<Digest> {
    sha1_batch(&blocks.iter().map(std::slice::from_ref).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
