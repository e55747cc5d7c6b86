//! What is here, what is under way, and what is missing.
//!
//! Owned by `Swarm`. It holds the blocks of open pieces and counts the memory they take. It decides nothing: which piece to
//! open and whom to ask is said by its callers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metainfo::{BLOCK, Bitfield, BlockRef, Layout, PieceIndex};

use crate::event::PeerKey;
use crate::open_piece::{OpenPiece, Received};

/// What padding is made of (BEP 47).
static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// The state of a piece. It is in exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Missing,
    Open,
    Committing,
    Have,
}

/// All pieces of a torrent.
#[derive(Debug)]
pub(crate) struct Pieces {
    layout: Arc<Layout>,
    /// Whether the torrent has padding at all, so that most need not look for it.
    padded: bool,
    have: Bitfield,
    /// Pieces we once had, and told peers of.
    lost: BTreeSet<u32>,
    open: BTreeMap<u32, OpenPiece>,
    /// Pieces being verified and written, and who sent each block.
    committing: BTreeMap<u32, Vec<Option<PeerKey>>>,
    /// Open pieces with blocks that nobody was asked for.
    unasked: BTreeSet<u32>,
    /// Bytes of memory that open and committing pieces may take, and take.
    budget: u64,
    held: u64,
    /// Bytes of the user's in pieces that are not here.
    left: u64,
}

impl Pieces {
    pub(crate) fn new(layout: Arc<Layout>, have: Bitfield, budget: u64) -> Self {
        let count = layout.piece_count();
        let have = if have.len() == count { have } else { Bitfield::none(count) };
        let content = |piece| u64::from(layout.piece_content(PieceIndex(piece)));
        let left = (0..count).filter(|&piece| !have.get(piece)).map(content).sum();
        let padded = layout.files().iter().any(|file| file.pad);
        Self {
            layout,
            padded,
            have,
            lost: BTreeSet::new(),
            open: BTreeMap::new(),
            committing: BTreeMap::new(),
            unasked: BTreeSet::new(),
            budget,
            held: 0,
            left,
        }
    }

    pub(crate) fn state(&self, piece: u32) -> Piece {
        if self.have.get(piece) {
            Piece::Have
        } else if self.open.contains_key(&piece) {
            Piece::Open
        } else if self.committing.contains_key(&piece) {
            Piece::Committing
        } else {
            Piece::Missing
        }
    }

    pub(crate) fn is_missing(&self, piece: u32) -> bool {
        self.state(piece) == Piece::Missing
    }

    pub(crate) fn have(&self) -> &Bitfield {
        &self.have
    }

    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    pub(crate) fn content(&self, piece: u32) -> u64 {
        u64::from(self.layout.piece_content(PieceIndex(piece)))
    }

    pub(crate) fn open_pieces(&self) -> impl Iterator<Item = (u32, &OpenPiece)> {
        self.open.iter().map(|(&piece, open)| (piece, open))
    }

    pub(crate) fn open_piece(&self, piece: u32) -> Option<&OpenPiece> {
        self.open.get(&piece)
    }

    /// Open pieces with blocks that nobody was asked for.
    pub(crate) fn unasked(&self) -> impl Iterator<Item = (u32, &OpenPiece)> {
        self.unasked.iter().filter_map(|piece| Some((*piece, self.open.get(piece)?)))
    }

    pub(crate) fn has_unasked(&self, piece: u32) -> bool {
        self.unasked.contains(&piece)
    }

    /// Whether one more piece may be held in memory. A short one needs the room of a long one, so that the answer is the same
    /// for all.
    pub(crate) fn has_room(&self) -> bool {
        self.held == 0 || self.held + u64::from(self.layout.piece_length()) <= self.budget
    }

    /// Begins a missing piece; `sole`: only this peer is to be asked for it. Padding is filled in at once, and says `true`
    /// if that completes the piece.
    pub(crate) fn begin(&mut self, piece: u32, now: Duration, sole: Option<PeerKey>) -> bool {
        debug_assert!(self.is_missing(piece), "piece {piece} is begun twice");
        let size = self.size(piece);
        let mut open = OpenPiece::new(size, now, sole);
        if self.padded {
            for block in self.layout.blocks(PieceIndex(piece)).filter(|&block| self.layout.is_pad(block)) {
                open.fill(block.number(), Bytes::from_static(&ZEROS[..block.length() as usize]));
            }
        }
        let complete = open.is_complete();
        self.held += u64::from(size);
        self.open.insert(piece, open);
        self.note(piece);
        complete
    }

    /// Asks `by` for the next block of an open piece that nobody else was asked for.
    pub(crate) fn ask_next(&mut self, piece: u32, by: PeerKey) -> Option<BlockRef> {
        let open = self.open.get_mut(&piece)?;
        let number = open.ask_next(by);
        if !open.has_unasked() {
            self.unasked.remove(&piece);
        }
        self.layout.grid_block(PieceIndex(piece), number?)
    }

    /// Asks `by` for a block that somebody else was asked for already.
    pub(crate) fn ask_too(&mut self, piece: u32, number: u32, by: PeerKey) -> Option<BlockRef> {
        self.open.get_mut(&piece)?.ask_too(number, by).then_some(())?;
        self.layout.grid_block(PieceIndex(piece), number)
    }

    /// `by` is asked no longer; with `hope` its answer would still be welcome, and it need not be asked again.
    pub(crate) fn give_back(&mut self, piece: u32, number: u32, by: PeerKey, hope: bool) {
        if let Some(open) = self.open.get_mut(&piece) {
            open.give_back(number, by, hope);
            self.note(piece);
        }
    }

    /// Nobody in particular is to be asked for an open piece any more.
    pub(crate) fn share(&mut self, piece: u32) {
        if let Some(open) = self.open.get_mut(&piece) {
            open.share();
        }
    }

    /// A block arrived; `None` if it is of no use.
    pub(crate) fn receive(
        &mut self,
        now: Duration,
        piece: u32,
        number: u32,
        data: Bytes,
        from: PeerKey,
    ) -> Option<Received> {
        let open = self.open.get_mut(&piece)?;
        let had_unasked = open.has_unasked();
        let received = open.receive(now, number, data, from)?;
        if had_unasked && !open.has_unasked() {
            self.unasked.remove(&piece);
        }
        Some(received)
    }

    /// Takes the blocks out of a complete piece.
    pub(crate) fn commit(&mut self, piece: u32) -> Option<Vec<Bytes>> {
        let open = self.open.remove(&piece)?;
        self.unasked.remove(&piece);
        let (blocks, senders) = open.into_blocks();
        self.committing.insert(piece, senders);
        Some(blocks)
    }

    /// Forgets an open piece: it is missing again. What it held, and whom it asked.
    pub(crate) fn abandon(&mut self, piece: u32) -> Option<OpenPiece> {
        let open = self.open.remove(&piece)?;
        self.unasked.remove(&piece);
        self.held -= u64::from(self.size(piece));
        Some(open)
    }

    /// A committing piece is here. Who sent its blocks.
    pub(crate) fn committed(&mut self, piece: u32) -> Option<Vec<Option<PeerKey>>> {
        let senders = self.uncommit(piece)?;
        self.have.set(piece);
        self.left -= self.content(piece);
        Some(senders)
    }

    /// A committing piece is missing again. Who sent its blocks.
    pub(crate) fn uncommit(&mut self, piece: u32) -> Option<Vec<Option<PeerKey>>> {
        let senders = self.committing.remove(&piece)?;
        self.held -= u64::from(self.size(piece));
        Some(senders)
    }

    /// A piece we had is missing; says whether we had it.
    pub(crate) fn lose(&mut self, piece: u32) -> bool {
        let lost = self.have.clear(piece);
        if lost {
            self.lost.insert(piece);
            self.left += self.content(piece);
        }
        lost
    }

    /// Whether peers may believe that we have this piece.
    pub(crate) fn was_told(&self, piece: u32) -> bool {
        self.have.get(piece) || self.lost.contains(&piece)
    }

    pub(crate) fn size(&self, piece: u32) -> u32 {
        self.layout.piece_size(PieceIndex(piece))
    }

    fn note(&mut self, piece: u32) {
        if self.open.get(&piece).is_some_and(OpenPiece::has_unasked) {
            self.unasked.insert(piece);
        } else {
            self.unasked.remove(&piece);
        }
    }

    /// Panics if the maps contradict each other.
    pub(crate) fn check_invariants(&self) {
        let mut held = 0;
        for (&piece, open) in &self.open {
            open.check_invariants();
            assert!(
                !self.have.get(piece) && !self.committing.contains_key(&piece),
                "piece {piece} in two states"
            );
            assert_eq!(open.has_unasked(), self.unasked.contains(&piece), "piece {piece}: unasked");
            assert!(!open.is_complete(), "piece {piece} is complete and open");
            held += u64::from(self.size(piece));
        }
        for &piece in self.committing.keys() {
            assert!(!self.have.get(piece), "piece {piece} in two states");
            held += u64::from(self.size(piece));
        }
        assert!(self.unasked.iter().all(|piece| self.open.contains_key(piece)));
        assert_eq!(held, self.held);
        let fits = held <= self.budget || self.open.len() + self.committing.len() == 1;
        assert!(fits, "{held} bytes held, {} allowed", self.budget);
        let missing = (0..self.have.len()).filter(|&piece| !self.have.get(piece));
        assert_eq!(missing.map(|piece| self.content(piece)).sum::<u64>(), self.left);
    }
}
