//! Hash trees of v2 torrents (BEP 52): SHA-256 over 16 KiB blocks, filled up with zero hashes to a power of two.
//!
//! Knows hashes, not files: which blocks belong to which tree is for [`Layout`](crate::Layout) and [`Info`](crate::Info) to say.

use sha2::{Digest, Sha256};

use crate::BLOCK;

/// A hash of the tree.
pub type Hash = [u8; 32];

/// No tree is higher: 2^64 blocks.
const MAX_LEVELS: u32 = 64;

/// The hash of one block: of up to 16 KiB, without any filling.
pub fn leaf(block: &[u8]) -> Hash {
    Sha256::digest(block).into()
}

/// The hash over two neighbours.
pub fn pair(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update(left).chain_update(right).finalize().into()
}

/// The hash that stands for absent data: the root of a tree of 2^`level` zero leaves.
pub fn pad(level: u32) -> Hash {
    (0..level.min(MAX_LEVELS)).fold([0; 32], |below, _| pair(&below, &below))
}

/// The root over block hashes, filled up to `width` leaves (a power of two).
///
/// `width` 0 stands for the smallest power of two that holds them.
pub fn root(leaves: impl IntoIterator<Item = Hash>, width: u64) -> Hash {
    root_above(0, leaves, width)
}

/// The root over hashes that each stand for 2^`level` blocks, filled up to `width` of them (a power of two, 0 for the smallest).
pub fn root_above(level: u32, hashes: impl IntoIterator<Item = Hash>, width: u64) -> Hash {
    let mut tree = Tree::new(level);
    for hash in hashes {
        tree.push(hash);
    }
    tree.finish(width)
}

/// The root of a file's tree from its piece layer: what `pieces root` must be.
pub fn root_of_layer(layer: impl IntoIterator<Item = Hash>, piece_length: u32) -> Hash {
    root_above(piece_level(piece_length), layer, 0)
}

/// How many levels a piece stands above its blocks: the logarithm of its number of blocks.
pub fn piece_level(piece_length: u32) -> u32 {
    (piece_length / BLOCK).max(1).ilog2()
}

/// A tree that grows leaf by leaf and keeps one hash for each level.
struct Tree {
    /// The level of the leaves.
    level: u32,
    /// Roots of finished subtrees with their levels, highest first.
    done: Vec<(u32, Hash)>,
    count: u64,
}

impl Tree {
    fn new(level: u32) -> Self {
        Self { level, done: Vec::new(), count: 0 }
    }

    fn push(&mut self, hash: Hash) {
        self.count += 1;
        self.carry(self.level, hash);
    }

    /// Adds the root of a subtree, and joins it with its left neighbour as often as that is complete.
    fn carry(&mut self, mut level: u32, mut hash: Hash) {
        while let Some((_, left)) = self.done.pop_if(|(other, _)| *other == level) {
            hash = pair(&left, &hash);
            level += 1;
        }
        self.done.push((level, hash));
    }

    fn finish(mut self, width: u64) -> Hash {
        let width = width.max(self.count).checked_next_power_of_two().unwrap_or(1 << 63);
        let top = self.level + width.ilog2();
        if self.count == 0 {
            return pad(top);
        }
        let mut filler = pad(self.level);
        let mut filler_level = self.level;
        while let Some(&(level, hash)) = self.done.last() {
            if level >= top {
                return hash;
            }
            while filler_level < level {
                filler = pair(&filler, &filler);
                filler_level += 1;
            }
            self.carry(level, filler);
        }
        filler
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(mut row: Vec<Hash>, width: usize) -> Hash {
        row.resize(width, [0; 32]);
        while row.len() > 1 {
            row = row.chunks(2).map(|two| pair(&two[0], &two[1])).collect();
        }
        row[0]
    }

    #[test]
    fn growing_gives_the_same_root_as_the_whole_tree() {
        for count in 1..20usize {
            let leaves: Vec<Hash> = (0..count).map(|n| leaf(&[u8::try_from(n).unwrap()])).collect();
            let smallest = count.next_power_of_two();
            assert_eq!(root(leaves.clone(), 0), naive(leaves.clone(), smallest), "{count}");
            assert_eq!(root(leaves.clone(), 64), naive(leaves, 64), "{count}");
        }
        assert_eq!(root([], 8), naive(vec![], 8));
        assert_eq!(pad(3), naive(vec![], 8));
    }

    #[test]
    fn a_layer_has_the_root_of_its_blocks() {
        let leaves: Vec<Hash> = (0..11u8).map(|n| leaf(&[n])).collect();
        let layer: Vec<Hash> = leaves.chunks(4).map(|piece| root(piece.to_vec(), 4)).collect();
        assert_eq!(root_of_layer(layer, 4 * BLOCK), root(leaves, 0));
    }
}
