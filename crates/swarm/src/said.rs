//! What peers say (BEP 3, 6, 9, 10, 11, 21).
//!
//! Part of `Swarm`: notes what a message tells of the peer, and hands the rest to `fetch` and `serve`.

use std::time::Duration;

use metainfo::Bitfield;
use wire::{ExtensionHandshake, Message};

use crate::peers::{Has, Peer};
use crate::swarm::Swarm;
use crate::{Endpoint, HangUp, PeerKey};

/// Hints kept of one peer, suggestions and allowed pieces each; more are ignored.
const MAX_HINTS: usize = 16;

/// A peer may send its pieces as a whole again, but not more often than this.
const BITFIELD_PAUSE: Duration = Duration::from_secs(1);

impl Swarm {
    /// A message of a peer, or why it was its last.
    pub(crate) fn said(&mut self, key: PeerKey, message: Message) -> Result<(), HangUp> {
        let Some(peer) = self.peers.get_mut(&key) else { return Ok(()) };
        peer.heard = self.now;
        check_fast(peer, &message)?;
        match message {
            Message::Piece { index, begin, data } => self.block(key, index, begin, data),
            Message::Request(request) => self.requested(key, request),
            Message::Have(index) => self.has(key, index),
            Message::Bitfield(bytes) => {
                let pieces = Bitfield::from_wire(&bytes, self.layout.piece_count());
                self.has_pieces(
                    key,
                    &pieces.ok_or(HangUp::Breach("a bitfield that does not fit the torrent"))?,
                )
            }
            Message::HaveAll => self.has_pieces(key, &Bitfield::all(self.layout.piece_count())),
            Message::Choke => {
                self.choked_by(key);
                Ok(())
            }
            Message::Unchoke => {
                self.unchoked_by(key);
                Ok(())
            }
            Message::Interested => {
                self.wants_something(key);
                Ok(())
            }
            Message::NotInterested => {
                peer.interested = false;
                self.fill_slots();
                self.check_use(key)
            }
            Message::Cancel(request) => {
                self.cancelled(key, request);
                Ok(())
            }
            Message::RejectRequest(request) => {
                self.rejected_request(key, request);
                Ok(())
            }
            Message::SuggestPiece(index) => {
                self.suggested(key, index);
                Ok(())
            }
            Message::AllowedFast(index) => {
                self.allowed(key, index);
                Ok(())
            }
            Message::ExtensionHandshake(handshake) => self.introduced(key, *handshake),
            Message::Metadata(_) | Message::PeerExchange(_) => {
                self.extended(key, &message);
                Ok(())
            }
            Message::HaveNone => {
                self.met(key);
                Ok(())
            }
            Message::KeepAlive | Message::Port(_) | Message::Unknown { .. } => Ok(()),
        }
    }

    /// A message of an extension.
    fn extended(&mut self, key: PeerKey, message: &Message) {
        match message {
            Message::Metadata(message) => self.serve_metadata(key, message),
            Message::PeerExchange(said) => self.told_of(key, said),
            _ => {}
        }
    }

    fn wants_something(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.interested = true;
        }
        self.met(key);
        self.fill_slots();
    }

    fn has(&mut self, key: PeerKey, index: u32) -> Result<(), HangUp> {
        if self.layout.piece(index).is_none() {
            return Err(HangUp::Breach("a `have` of a piece beyond the torrent"));
        }
        self.met(key);
        self.learn(key, std::iter::once(index));
        self.check_use(key)
    }

    fn has_pieces(&mut self, key: PeerKey, pieces: &Bitfield) -> Result<(), HangUp> {
        let Some(peer) = self.peers.get_mut(&key) else { return Ok(()) };
        if peer.bitfield_at.is_some_and(|at| self.now.saturating_sub(at) < BITFIELD_PAUSE) {
            peer.unheard = Some(pieces.clone());
            return Ok(());
        }
        peer.bitfield_at = Some(self.now);
        peer.unheard = None;
        if pieces.is_full() {
            self.is_seed(key);
        } else {
            self.learn(key, pieces.iter());
        }
        self.met(key);
        self.check_use(key)
    }

    /// Looks at the pieces that a peer sent too soon after others, if it is time.
    pub(crate) fn hear_late(&mut self, key: PeerKey) -> Result<(), HangUp> {
        let late = self.peers.get_mut(&key).and_then(|peer| peer.unheard.take());
        late.map_or(Ok(()), |pieces| self.has_pieces(key, &pieces))
    }

    /// The peer has these pieces, perhaps known already.
    pub(crate) fn learn(&mut self, key: PeerKey, pieces: impl Iterator<Item = u32>) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let Has::Some(known) = &mut peer.has else { return };
        for piece in pieces.filter(|&piece| known.set(piece)) {
            self.picker.add_copy(piece);
            peer.offers += u32::from(self.picker.is_wanted(piece) && !self.pieces.have().get(piece));
            if let Some(origin) = &mut self.origin {
                let have = self.pieces.have().get(piece);
                origin.gained(self.now, key, piece, self.picker.claims(piece), have);
            }
        }
        if known.is_full() {
            self.is_seed(key);
        } else {
            self.has_more(key);
        }
    }

    fn is_seed(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key).filter(|peer| !peer.is_seed()) else { return };
        self.picker.remove_copies(&peer.has);
        let before = std::mem::replace(&mut peer.has, Has::All);
        peer.offers = self.wanted.missing;
        self.picker.add_copies(&peer.has);
        self.completes(key, &before);
        self.has_more(key);
    }

    /// The peer may be of more use than before.
    fn has_more(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.fruitless = 0;
        peer.idle = false;
        self.show_interest(key);
        self.refill(key);
        self.attend(key);
    }

    /// Says whether we want something of the peer, if that changed.
    pub(crate) fn show_interest(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let interesting = peer.offers > 0 || self.origin.as_ref().is_some_and(|origin| origin.wants(key));
        if interesting != peer.interesting {
            peer.interesting = interesting;
            self.say(key, if interesting { Message::Interested } else { Message::NotInterested });
        }
    }

    /// Two peers that both lack nothing they want have nothing to say to each other (BEP 21).
    pub(crate) fn check_use(&self, key: PeerKey) -> Result<(), HangUp> {
        let Some(peer) = self.peers.get(&key) else { return Ok(()) };
        let satisfied = peer.is_seed() || (peer.upload_only && !peer.interested);
        // To a sizing origin a peer that has everything is a copy; and it may want to see that we are one.
        let watched = self.origin.is_some() || (self.completed_at.is_some() && peer.is_curious());
        if self.is_complete() && !watched && satisfied { Err(HangUp::Useless) } else { Ok(()) }
    }

    fn suggested(&mut self, key: PeerKey, index: u32) {
        let wanted = |piece: u32| self.picker.is_queued(piece);
        let Some(peer) = self.peers.get_mut(&key).filter(|_| wanted(index)) else { return };
        if peer.suggested.len() == MAX_HINTS {
            peer.suggested.retain(|&piece| wanted(piece));
        }
        if peer.suggested.len() < MAX_HINTS && !peer.suggested.contains(&index) {
            peer.suggested.push_back(index);
        }
    }

    fn allowed(&mut self, key: PeerKey, index: u32) {
        let known = self.layout.piece(index).is_some();
        let Some(peer) = self.peers.get_mut(&key).filter(|_| known) else { return };
        if peer.allowed.len() < MAX_HINTS && !peer.allowed.contains(&index) {
            peer.allowed.push(index);
            peer.idle = false;
            self.refill(key);
        }
    }

    fn introduced(&mut self, key: PeerKey, handshake: ExtensionHandshake) -> Result<(), HangUp> {
        let Some(peer) = self.peers.get_mut(&key) else { return Ok(()) };
        peer.client = handshake.client.or_else(|| peer.client.take());
        peer.upload_only = handshake.upload_only;
        peer.exchange.speaks = handshake.ut_pex.map_or(peer.exchange.speaks, |id| id != 0);
        if let Some(limit) = handshake.request_queue {
            peer.requests.set_limit(limit);
        }
        if let (None, Some(port)) = (peer.home, handshake.port.filter(|&port| port != 0)) {
            let home = Endpoint::Tcp((peer.ip(), port).into());
            peer.home = Some(home);
            self.candidates.connected(home);
        }
        self.check_use(key)
    }

    /// Ends connections that became useless because we have all we want.
    pub(crate) fn leave_useless(&mut self) {
        let useless: Vec<PeerKey> =
            self.peers.keys().copied().filter(|&key| self.check_use(key).is_err()).collect();
        for key in useless {
            self.hang_up(key, HangUp::Useless);
        }
    }

    /// We want something again: those we left may be of use.
    pub(crate) fn want_again(&mut self) {
        self.candidates.reconsider(self.now, &mut self.rng);
        self.introduce_all();
    }
}

/// Messages of the fast extension come only from those who offered it (BEP 6).
fn check_fast(peer: &Peer, message: &Message) -> Result<(), HangUp> {
    let of_fast = matches!(
        message,
        Message::HaveAll
            | Message::HaveNone
            | Message::RejectRequest(_)
            | Message::SuggestPiece(_)
            | Message::AllowedFast(_)
    );
    if of_fast && !peer.fast {
        return Err(HangUp::Breach("a message of the fast extension, which was not agreed"));
    }
    Ok(())
}
