//! What became of a piece: written, refused, lost (BEP 3).
//!
//! Part of `Swarm`. The evidence against liars is kept by `blame`; here the sentence is carried out.

use wire::Message;

use crate::blame::Person;
use crate::event::Digest;
use crate::swarm::{Run, Swarm};
use crate::{Action, HangUp, PeerKey};

impl Swarm {
    /// A piece was verified and written.
    pub(crate) fn committed(&mut self, piece: u32, digests: Option<Vec<Digest>>) {
        let Some(senders) = self.pieces.committed(piece) else { return };
        self.refresh(piece);
        if let Some(digests) = digests {
            let liars = self.blame.good(piece, &digests);
            self.ban(&liars);
        }
        let honest = self.blame.only_one(&senders);
        for peer in self.peers.values_mut().filter(|peer| peer.parole) {
            peer.parole = honest != Some(peer.person());
        }
        // Those that have it are told too: an origin that gives each piece to one of us wants to see that it arrived (BEP 16).
        if self.origin.is_none() {
            for key in self.peers.keys().copied().collect::<Vec<_>>() {
                self.say(key, Message::Have(piece));
            }
        }
        self.stirred = true;
        self.web.stir();
        if self.picker.is_wanted(piece) {
            self.count_wanted(piece, false);
            self.check_complete();
        }
    }

    /// A piece did not match its hash.
    pub(crate) fn rejected_piece(&mut self, piece: u32, digests: Vec<Digest>) {
        let Some(senders) = self.pieces.uncommit(piece) else { return };
        self.wasted += self.pieces.content(piece);
        for sender in senders.iter().flatten() {
            if let Some(peer) = self.peers.get_mut(sender) {
                peer.parole = true;
            }
        }
        let liars = self.blame.bad(piece, digests, senders);
        self.put_back(piece);
        self.ban(&liars);
    }

    /// A piece could not be written: nothing more is asked for until the user says so.
    pub(crate) fn write_failed(&mut self, piece: u32) {
        if self.pieces.uncommit(piece).is_some() {
            self.put_back(piece);
        }
        if self.run == Run::Going {
            self.run = Run::Halted;
            self.stop_asking();
        }
    }

    /// A piece we had is missing or damaged. Peers still believe that we have it.
    pub(crate) fn lost(&mut self, piece: u32) {
        if !self.pieces.lose(piece) {
            return;
        }
        self.refresh(piece);
        self.put_back(piece);
        if self.picker.is_wanted(piece) {
            let was_complete = self.is_complete();
            self.count_wanted(piece, true);
            if was_complete {
                self.want_again();
            }
        }
    }

    /// A piece is missing again: it waits in the queue, or for one peer to send it whole.
    pub(crate) fn put_back(&mut self, piece: u32) {
        if !self.picker.is_wanted(piece) {
            return;
        }
        if self.blame.watches(piece) {
            self.blame.wait(self.now, piece);
        } else {
            self.picker.offer(piece);
        }
        self.stirred = true;
    }

    /// Drops an open piece with all it holds and all that was asked for it.
    pub(crate) fn abandon(&mut self, piece: u32) {
        self.stop_fetching_piece(piece);
        let asked: Vec<(PeerKey, u32)> = self
            .peers
            .iter()
            .flat_map(|(&key, peer)| {
                let asks = peer.requests.iter().filter(|ask| ask.piece == piece);
                asks.map(move |ask| (key, ask.number))
            })
            .collect();
        for (key, number) in asked {
            self.take_back(key, piece, number);
        }
        if let Some(open) = self.pieces.abandon(piece) {
            self.wasted += open.received();
            self.put_back(piece);
        }
    }

    /// A wanted piece came, or a piece is wanted that is not here: the sums follow, and so does our interest in peers.
    pub(crate) fn count_wanted(&mut self, piece: u32, missing: bool) {
        let content = self.pieces.content(piece);
        if missing {
            self.wanted.missing += 1;
            self.wanted.left += content;
        } else {
            self.wanted.missing -= 1;
            self.wanted.left -= content;
        }
        let mut changed = Vec::new();
        for (&key, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.has.get(piece)) {
            peer.offers = if missing { peer.offers + 1 } else { peer.offers - 1 };
            if (peer.offers > 0) != peer.interesting {
                changed.push(key);
            }
        }
        for key in changed {
            self.show_interest(key);
        }
    }

    /// Says so if the last wanted piece is here, and leaves those who want nothing of us.
    pub(crate) fn check_complete(&mut self) {
        if !self.is_complete() {
            return;
        }
        self.stop_fetching();
        self.act(Action::Complete);
        self.completed_at = Some(self.now);
        // Not all pieces we got were announced to those who have them, so nobody can tell by them that we want no more (BEP 21).
        self.introduce_all();
        self.leave_useless();
    }

    pub(crate) fn ban(&mut self, liars: &[Person]) {
        for &liar in liars {
            let keys = self.peers.iter().filter(|(_, peer)| peer.person() == liar).map(|(&key, _)| key);
            for key in keys.collect::<Vec<_>>() {
                self.hang_up(key, HangUp::Poison);
            }
            match liar {
                Person::Address(ip) => {
                    self.candidates.ban(ip);
                    self.act(Action::Ban(ip));
                }
                Person::Local(..) => {}
                Person::Server(seed) => {
                    self.leave_web_seed(seed);
                    self.act(Action::BanWebSeed(seed));
                }
            }
        }
    }
}
