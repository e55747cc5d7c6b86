//! What the user asks of a running swarm: files, order, pause (product terms; no BEP).
//!
//! Part of `Swarm`.

use metainfo::{FileIndex, PieceIndex};

use crate::swarm::{Run, Swarm};
use crate::{PeerKey, Priority};

impl Swarm {
    /// The wishes that the swarm begins with.
    pub(crate) fn begin_with(&mut self, priorities: &[Priority]) {
        let files = self.layout.files().len();
        self.priorities =
            priorities.iter().copied().chain(std::iter::repeat(Priority::Normal)).take(files).collect();
        for piece in 0..self.layout.piece_count() {
            let wish = self.wish_for(piece);
            self.picker.set_wish(piece, wish);
            if wish == Priority::Skip {
                continue;
            }
            let content = self.pieces.content(piece);
            self.wanted.total += content;
            if self.pieces.is_missing(piece) {
                self.wanted.missing += 1;
                self.wanted.left += content;
                self.picker.offer(piece);
            }
        }
    }

    /// A piece is wanted as much as the most wanted of its files.
    fn wish_for(&self, piece: u32) -> Priority {
        let files = self.layout.piece_spans(PieceIndex(piece)).filter(|span| !span.pad);
        let wishes = files.filter_map(|span| self.priorities.get(span.file.0 as usize));
        wishes.max().copied().unwrap_or(Priority::Skip)
    }

    pub(crate) fn set_priority(&mut self, file: FileIndex, priority: Priority) {
        let Some(wish) = self.priorities.get_mut(file.0 as usize) else { return };
        *wish = priority;
        let was_complete = self.is_complete();
        for piece in self.layout.pieces_of(file) {
            self.change_wish(piece, self.wish_for(piece));
        }
        match (was_complete, self.is_complete()) {
            (true, false) => self.want_again(),
            (false, true) => self.check_complete(),
            _ => {}
        }
    }

    fn change_wish(&mut self, piece: u32, wish: Priority) {
        let (was_wanted, is_wanted) = (self.picker.is_wanted(piece), wish != Priority::Skip);
        self.picker.set_wish(piece, wish);
        if was_wanted == is_wanted {
            return;
        }
        let (content, have) = (self.pieces.content(piece), self.pieces.have().get(piece));
        if is_wanted {
            self.wanted.total += content;
        } else {
            self.wanted.total -= content;
        }
        if have {
            return;
        }
        self.count_wanted(piece, is_wanted);
        if !is_wanted {
            self.blame.stop_waiting(piece);
            self.abandon(piece);
        } else if self.pieces.is_missing(piece) {
            self.put_back(piece);
        }
    }

    /// Takes every request back.
    pub(crate) fn stop_asking(&mut self) {
        self.stop_fetching();
        for key in self.peers.keys().copied().collect::<Vec<PeerKey>>() {
            self.give_back(key, true, |_| true);
        }
    }

    pub(crate) fn pause(&mut self) {
        self.run = Run::Paused;
        self.stop_asking();
        let served: Vec<PeerKey> = self
            .peers
            .iter()
            .filter(|(_, peer)| !peer.choked || !peer.queue.is_empty())
            .map(|(&key, _)| key)
            .collect();
        for key in served {
            self.choke(key);
        }
    }

    pub(crate) fn resume(&mut self) {
        self.run = Run::Going;
        self.fill_slots();
        self.stirred = true;
    }
}
