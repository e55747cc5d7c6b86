//! What must always hold, whatever peers say.
//!
//! For tests, simulation and fuzzing; it costs time and changes nothing.

use crate::pieces::Piece;
use crate::swarm::{Swarm, Wanted};

impl Swarm {
    /// Panics if the parts contradict each other. For tests and fuzzing.
    pub fn check_invariants(&self) {
        self.pieces.check_invariants();
        self.picker.check_invariants();
        self.candidates.check_invariants();
        if let Some(origin) = &self.origin {
            origin.check_invariants();
        }
        self.check_queue();
        self.check_requests();
        self.check_sums();
        assert!(self.peers.len() <= self.config.max_peers, "more peers than allowed");
    }

    /// Every wanted missing piece waits in exactly one place, and nothing else does.
    fn check_queue(&self) {
        for piece in 0..self.layout.piece_count() {
            let waits = u32::from(self.picker.is_queued(piece)) + u32::from(self.blame.is_waiting(piece));
            let state = self.pieces.state(piece);
            let due = u32::from(state == Piece::Missing && self.picker.is_wanted(piece));
            assert_eq!(waits, due, "piece {piece} waits in {waits} places, {state:?}");
        }
    }

    /// Every request is noted in its piece, and every piece's request with its peer.
    fn check_requests(&self) {
        let mut asked = 0;
        for (&key, peer) in &self.peers {
            for ask in peer.requests.iter() {
                let open = self.pieces.open_piece(ask.piece);
                let noted = open.is_some_and(|open| open.is_asked_of(ask.number, key));
                assert!(noted, "{key:?} owes {}:{}, but the piece does not know", ask.piece, ask.number);
                asked += 1;
            }
        }
        // Of blocks that two fetches bring one is noted, and of those that came by another way none.
        let fetched: std::collections::BTreeSet<_> =
            self.web.requests().map(|(by, block)| (by, block.piece().0, block.number())).collect();
        asked += fetched
            .iter()
            .filter(|(by, piece, number)| {
                self.pieces.open_piece(*piece).is_some_and(|open| open.is_asked_of(*number, *by))
            })
            .count();
        let noted: usize = self.pieces.open_pieces().map(|(_, open)| open.requests()).sum();
        assert_eq!(noted, asked, "a piece waits for a peer that was not asked");
    }

    fn check_sums(&self) {
        let mut sums = Wanted::default();
        for piece in (0..self.layout.piece_count()).filter(|&piece| self.picker.is_wanted(piece)) {
            let content = self.pieces.content(piece);
            sums.total += content;
            if !self.pieces.have().get(piece) {
                sums.left += content;
                sums.missing += 1;
            }
        }
        assert_eq!(sums, self.wanted);
        for (key, peer) in &self.peers {
            let offers = (0..self.layout.piece_count()).filter(|&piece| {
                peer.has.get(piece) && self.picker.is_wanted(piece) && !self.pieces.have().get(piece)
            });
            assert_eq!(offers.count(), peer.offers as usize, "offers of {key:?}");
            let wanted = self.origin.as_ref().is_some_and(|origin| origin.wants(*key));
            assert_eq!(peer.interesting, peer.offers > 0 || wanted, "interest in {key:?}");
        }
    }
}
