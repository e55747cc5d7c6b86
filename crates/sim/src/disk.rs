//! A node's disk: judges pieces by the marks of their blocks, keeps the bits of the good ones, and can be full.
//!
//! Owned by its node and kept while the node is away, as resume data would.

use bytes::Bytes;
use metainfo::{Bitfield, BlockRef, Layout, PieceIndex};

use crate::payload::{self, Mark};

pub(crate) struct Disk {
    pub(crate) have: Bitfield,
    pub(crate) full: bool,
}

/// What a piece turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    /// Some blocks are spoilt.
    Bad {
        /// Who sent the spoilt ones, each once.
        culprits: Vec<usize>,
        /// Nobody else had a hand in this piece.
        alone: bool,
    },
    /// These are not the blocks of this piece at all: the swarm mixed them up.
    Mixed,
}

/// Compares the blocks of a piece with what they should be.
pub(crate) fn judge(layout: &Layout, piece: PieceIndex, blocks: &[Bytes]) -> Verdict {
    let expected: Vec<BlockRef> = layout.blocks(piece).collect();
    if expected.len() != blocks.len() {
        return Verdict::Mixed;
    }
    let (mut culprits, mut senders) = (Vec::new(), Vec::new());
    for (&block, data) in expected.iter().zip(blocks) {
        match payload::read(data) {
            _ if data.len() != block.length() as usize => return Verdict::Mixed,
            None if layout.is_pad(block) && data.first() == Some(&0) => {}
            Some(Mark { spoilt: true, sender, .. }) => {
                culprits.push(sender);
                senders.push(sender);
            }
            Some(mark) if mark.id == block_id(layout, block) => senders.push(mark.sender),
            Some(_) | None => return Verdict::Mixed,
        }
    }
    if culprits.is_empty() {
        return Verdict::Good;
    }
    culprits.sort_unstable();
    culprits.dedup();
    let alone = senders.iter().all(|sender| *sender == culprits[0]);
    Verdict::Bad { culprits, alone }
}

/// The number of a block within its torrent.
pub(crate) fn block_id(layout: &Layout, block: BlockRef) -> usize {
    let per_piece = layout.piece_length().div_ceil(metainfo::BLOCK);
    (block.piece().0 * per_piece + block.number()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(senders: [(usize, bool); 2], swapped: bool, expected: &Verdict) {
        let layout = Layout::contiguous(32_768, [(65_536, false)]).unwrap();
        let piece = PieceIndex(1);
        let mut blocks: Vec<Bytes> = layout
            .blocks(piece)
            .zip(senders)
            .map(|(block, (sender, spoilt))| {
                payload::block(Mark { id: block_id(&layout, block), sender, spoilt }, block.length())
            })
            .collect();
        if swapped {
            blocks.reverse();
        }
        assert_eq!(judge(&layout, piece, &blocks), *expected);
    }

    #[test]
    fn a_piece_is_judged_by_its_blocks() {
        check([(1, false), (2, false)], false, &Verdict::Good);
        check([(1, false), (2, false)], true, &Verdict::Mixed);
        check([(1, false), (2, true)], false, &Verdict::Bad { culprits: vec![2], alone: false });
        check([(2, false), (2, true)], false, &Verdict::Bad { culprits: vec![2], alone: true });
        check([(1, true), (2, true)], false, &Verdict::Bad { culprits: vec![1, 2], alone: false });
    }
}
