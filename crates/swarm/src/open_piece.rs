//! A piece on its way: which of its blocks are here, and who was asked for the others.
//!
//! Owned by `Pieces`. It knows nothing of the rest of the torrent.

use std::time::Duration;

use bytes::Bytes;
use metainfo::BLOCK;

use crate::event::PeerKey;

/// A block of an open piece.
#[derive(Clone, Debug)]
enum Block {
    /// Nobody is asked for it.
    Unasked,
    /// This peer is asked for it.
    Asked(PeerKey),
    /// It came from this peer, or is padding.
    Here(Bytes, Option<PeerKey>),
}

/// What a useful block did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// All blocks are here.
    pub(crate) complete: bool,
    /// Other peers that were asked for it.
    pub(crate) others: Vec<PeerKey>,
}

/// The blocks of one open piece.
#[derive(Debug)]
pub(crate) struct OpenPiece {
    blocks: Vec<Block>,
    /// Blocks that are unasked, and blocks that are not here.
    unasked: u32,
    absent: u32,
    /// No block before this one is unasked.
    low: u32,
    /// More peers than the first that may send a block: asked in the end game, or given up with hope.
    also: Vec<(u32, PeerKey)>,
    /// Only this peer is to be asked, so that it alone explains the piece if it is bad.
    sole: Option<PeerKey>,
    /// When the piece was begun or its last block came.
    moved: Duration,
}

impl OpenPiece {
    pub(crate) fn new(size: u32, now: Duration, sole: Option<PeerKey>) -> Self {
        let count = size.div_ceil(BLOCK);
        let blocks = vec![Block::Unasked; count as usize];
        Self { blocks, unasked: count, absent: count, low: 0, also: Vec::new(), sole, moved: now }
    }

    /// Puts padding in place.
    pub(crate) fn fill(&mut self, number: u32, zeros: Bytes) {
        if let Some(block @ Block::Unasked) = self.blocks.get_mut(number as usize) {
            *block = Block::Here(zeros, None);
            self.unasked -= 1;
            self.absent -= 1;
        }
    }

    pub(crate) fn has_unasked(&self) -> bool {
        self.unasked > 0
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.absent == 0
    }

    pub(crate) fn sole(&self) -> Option<PeerKey> {
        self.sole
    }

    pub(crate) fn share(&mut self) {
        self.sole = None;
    }

    pub(crate) fn moved(&self) -> Duration {
        self.moved
    }

    /// Bytes that came from peers and are here.
    pub(crate) fn received(&self) -> u64 {
        let came = self.blocks.iter().map(|block| match block {
            Block::Here(data, Some(_)) => data.len() as u64,
            _ => 0,
        });
        came.sum()
    }

    /// Whether the block is missing and fewer than `most` peers besides the first were asked for it, `by` none of them.
    pub(crate) fn may_ask_too(&self, number: u32, by: PeerKey, most: usize) -> bool {
        let first = match self.blocks.get(number as usize) {
            Some(Block::Asked(first)) => *first,
            _ => return false,
        };
        first != by
            && !self.is_also(number, by)
            && self.also.iter().filter(|also| also.0 == number).count() < most
    }

    /// The next unasked block becomes one that `by` is asked for.
    pub(crate) fn ask_next(&mut self, by: PeerKey) -> Option<u32> {
        if self.unasked == 0 {
            return None;
        }
        let mut lowest = None;
        for number in self.low..u32::try_from(self.blocks.len()).unwrap_or(u32::MAX) {
            if !matches!(self.blocks[number as usize], Block::Unasked) {
                continue;
            }
            lowest.get_or_insert(number);
            if self.also.is_empty() || !self.is_also(number, by) {
                self.blocks[number as usize] = Block::Asked(by);
                self.unasked -= 1;
                self.low = lowest.filter(|&low| low != number).unwrap_or(number + 1);
                return Some(number);
            }
        }
        None
    }

    /// `by` is asked for a block besides another peer; says whether that makes sense.
    pub(crate) fn ask_too(&mut self, number: u32, by: PeerKey) -> bool {
        let sensible = self.may_ask_too(number, by, usize::MAX);
        if sensible {
            self.also.push((number, by));
        }
        sensible
    }

    /// `by` is asked no longer, and another that was asked too takes its place. With `hope` its answer would still be welcome, and
    /// anyone may be asked afresh: those asked too may be no better.
    pub(crate) fn give_back(&mut self, number: u32, by: PeerKey, hope: bool) {
        let heir = self.also.iter().position(|also| also.0 == number && !hope);
        match self.blocks.get_mut(number as usize) {
            Some(Block::Asked(first)) if *first == by => match heir {
                Some(at) => *first = self.also.remove(at).1,
                None => self.unask(number),
            },
            _ if hope => return,
            _ => self.also.retain(|&also| also != (number, by)),
        }
        if hope {
            self.also.push((number, by));
        }
    }

    fn unask(&mut self, number: u32) {
        self.blocks[number as usize] = Block::Unasked;
        self.unasked += 1;
        self.low = self.low.min(number);
    }

    /// Keeps a block, unless it is here already.
    pub(crate) fn receive(
        &mut self,
        now: Duration,
        number: u32,
        data: Bytes,
        from: PeerKey,
    ) -> Option<Received> {
        let block = self.blocks.get_mut(number as usize)?;
        let mut others = Vec::new();
        match block {
            Block::Here(..) => return None,
            Block::Unasked => self.unasked -= 1,
            Block::Asked(first) if *first != from => others.push(*first),
            Block::Asked(_) => {}
        }
        *block = Block::Here(data, Some(from));
        self.absent -= 1;
        self.moved = now;
        if !self.also.is_empty() {
            let rest = self.also.extract_if(.., |also| also.0 == number).map(|also| also.1);
            others.extend(rest.filter(|&other| other != from));
        }
        Some(Received { complete: self.absent == 0, others })
    }

    /// The blocks in order and who sent each; of a complete piece.
    pub(crate) fn into_blocks(self) -> (Vec<Bytes>, Vec<Option<PeerKey>>) {
        let here = self.blocks.into_iter().filter_map(|block| match block {
            Block::Here(data, from) => Some((data, from)),
            _ => None,
        });
        here.unzip()
    }

    /// Whether `by` may send this block because it was asked to.
    pub(crate) fn is_asked_of(&self, number: u32, by: PeerKey) -> bool {
        let first = matches!(self.blocks.get(number as usize), Some(Block::Asked(first)) if *first == by);
        first || self.is_also(number, by)
    }

    /// Everyone who may send this block because they were asked to.
    pub(crate) fn askers(&self, number: u32) -> impl Iterator<Item = PeerKey> + '_ {
        let first = match self.blocks.get(number as usize) {
            Some(Block::Asked(first)) => Some(*first),
            _ => None,
        };
        first.into_iter().chain(self.also.iter().filter(move |also| also.0 == number).map(|also| also.1))
    }

    /// All requests that stand.
    pub(crate) fn requests(&self) -> usize {
        let first = self.blocks.iter().filter(|block| matches!(block, Block::Asked(_))).count();
        first + self.also.len()
    }

    fn is_also(&self, number: u32, by: PeerKey) -> bool {
        self.also.contains(&(number, by))
    }

    /// Panics if the counts are wrong.
    pub(crate) fn check_invariants(&self) {
        let count = |wanted: fn(&Block) -> bool| {
            u32::try_from(self.blocks.iter().filter(|block| wanted(block)).count()).unwrap_or(u32::MAX)
        };
        assert_eq!(self.unasked, count(|block| matches!(block, Block::Unasked)));
        assert_eq!(self.absent, count(|block| !matches!(block, Block::Here(..))));
        let before = &self.blocks[..self.low as usize];
        assert!(!before.iter().any(|block| matches!(block, Block::Unasked)), "unasked before {}", self.low);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEERS: [PeerKey; 3] = [PeerKey(1), PeerKey(2), PeerKey(3)];

    fn asked_of_two() -> OpenPiece {
        let mut piece = OpenPiece::new(BLOCK, Duration::ZERO, None);
        assert_eq!(piece.ask_next(PEERS[0]), Some(0));
        assert!(piece.ask_too(0, PEERS[1]));
        piece
    }

    #[test]
    fn who_was_asked_too_takes_the_place_of_one_who_leaves() {
        let mut piece = asked_of_two();
        piece.give_back(0, PEERS[0], false);
        piece.check_invariants();
        assert!(!piece.has_unasked() && piece.is_asked_of(0, PEERS[1]) && !piece.is_asked_of(0, PEERS[0]));
    }

    #[test]
    fn peers_that_do_not_answer_never_keep_others_from_being_asked() {
        let mut piece = asked_of_two();
        piece.give_back(0, PEERS[1], true);
        piece.give_back(0, PEERS[0], true);
        piece.check_invariants();
        assert!(piece.is_asked_of(0, PEERS[0]) && piece.is_asked_of(0, PEERS[1]));
        assert_eq!((piece.ask_next(PEERS[0]), piece.ask_next(PEERS[2])), (None, Some(0)));
    }

    #[test]
    fn whoever_sends_the_block_the_others_are_named() {
        let mut piece = asked_of_two();
        let received = piece.receive(Duration::ZERO, 0, Bytes::from_static(b"x"), PEERS[1]).unwrap();
        assert_eq!(received, Received { complete: true, others: vec![PEERS[0]] });
    }
}
