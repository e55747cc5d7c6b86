//! Peers come and go: who may stay, and what is said first (BEP 3, 6, 10).
//!
//! Part of `Swarm`.

use std::time::Duration;

use bytes::Bytes;
use metainfo::PeerId;
use wire::{ExtensionHandshake, Message, Reserved};

use crate::candidates::{Ended, canonical};
use crate::peers::{Peer, ip};
use crate::requests::MAX_DEPTH;
use crate::swarm::Swarm;
use crate::{Action, Endpoint, HangUp, PeerKey, Source};

/// Two connections between the same peers are one crossing of dials if the first is younger than this.
const CROSSING: Duration = Duration::from_secs(10);

/// A connection that ends before it has lasted this long counts as a failed dial.
const LASTING: Duration = Duration::from_secs(60);

/// A peer that neither gives nor takes for this long makes place for a new one.
const IDLE: Duration = Duration::from_secs(60);

/// Pieces a newcomer may have while choked (BEP 6). Fewer than the text's ten: on large pieces they are a gift of megabytes.
const GRANTED: usize = 5;

impl Swarm {
    pub(crate) fn connected(
        &mut self,
        key: PeerKey,
        at: Endpoint,
        incoming: bool,
        id: PeerId,
        reserved: Reserved,
    ) {
        if self.peers.contains_key(&key) {
            return;
        }
        let at = canonical(at).unwrap_or(at);
        let mut peer = Peer::new(self.now, at, incoming, id, self.layout.piece_count());
        if let Some(why) = self.objection(key, &mut peer) {
            if let Some(home) = peer.home {
                self.candidates.ended(self.now, home, ended(&why), &mut self.rng);
            }
            self.act(Action::HangUp { peer: key, why });
            return;
        }
        peer.fast = reserved.fast();
        peer.extended = reserved.extended();
        if let Some(home) = peer.home {
            self.candidates.connected(home);
        }
        self.peers.insert(key, peer);
        self.welcome(key);
        self.greet(key);
    }

    /// Why a newcomer may not stay. It may stay in the place of another that leaves for it.
    fn objection(&mut self, key: PeerKey, newcomer: &mut Peer) -> Option<HangUp> {
        if newcomer.id == self.our_id {
            return Some(HangUp::Ourselves);
        }
        if !self.blame.meet(key, newcomer.person()) {
            return Some(HangUp::Poison);
        }
        let twin = self.peers.iter().find(|(_, peer)| peer.id == newcomer.id).map(|(&twin, _)| twin);
        if let Some(twin) = twin {
            return self.one_of_twins(twin, newcomer);
        }
        if self.peers.len() >= self.config.max_peers {
            let now = self.now;
            let idle =
                |peer: &Peer| !peer.interested && peer.offers == 0 && now.saturating_sub(peer.since) > IDLE;
            let Some(idle) = self.peers.iter().find(|(_, peer)| idle(peer)).map(|(&idle, _)| idle) else {
                return Some(HangUp::Crowded);
            };
            self.hang_up(idle, HangUp::Crowded);
        }
        None
    }

    /// Two connections with one peer: when two dials crossed, both sides keep the one dialled by the smaller peer id; else
    /// the older stays.
    fn one_of_twins(&mut self, twin: PeerKey, newcomer: &mut Peer) -> Option<HangUp> {
        let older = self.peers.get_mut(&twin)?;
        let crossed = older.incoming != newcomer.incoming && self.now.saturating_sub(older.since) < CROSSING;
        let newcomer_dialled_by = if newcomer.incoming { newcomer.id } else { self.our_id };
        let smaller = self.our_id.min(newcomer.id);
        if crossed && newcomer_dialled_by == smaller {
            newcomer.home = newcomer.home.or(older.home);
            older.home = None;
            self.hang_up(twin, HangUp::Duplicate);
            return None;
        }
        if older.home.is_none() || older.home == newcomer.home {
            older.home = newcomer.home.take().or(older.home);
            if let Some(home) = older.home {
                self.candidates.connected(home);
            }
        }
        Some(HangUp::Duplicate)
    }

    /// What we have, and who we are.
    fn greet(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get(&key) else { return };
        let (fast, extended) = (peer.fast, peer.extended);
        let have = self.pieces.have();
        // A sizing origin tells a guest of pieces one by one.
        let count = if self.origin.is_some() { 0 } else { have.count() };
        let ours = match (count, fast) {
            (0, true) => Some(Message::HaveNone),
            (0, false) => None,
            (_, true) if have.is_full() => Some(Message::HaveAll),
            _ => Some(Message::Bitfield(Bytes::copy_from_slice(have.as_bytes()))),
        };
        if let Some(ours) = ours {
            self.say(key, ours);
        }
        if extended {
            self.introduce(key);
        }
        if self.origin.is_none() {
            self.grant(key);
        }
    }

    /// The extension handshake (BEP 10).
    fn introduce(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get(&key) else { return };
        let handshake = ExtensionHandshake {
            ut_metadata: Some(wire::UT_METADATA),
            ut_pex: Some(wire::UT_PEX).filter(|_| self.exchanges()),
            metadata_size: self.metadata.as_ref().and_then(|bytes| u32::try_from(bytes.len()).ok()),
            client: Some(self.config.client.clone()),
            port: Some(self.config.listen_port).filter(|&port| port != 0),
            request_queue: u32::try_from(MAX_DEPTH).ok(),
            upload_only: self.is_complete() && self.origin.is_none(),
            your_ip: Some(peer.ip()),
        };
        self.say(key, Message::ExtensionHandshake(Box::new(handshake)));
    }

    /// Says again who we are, because something changed.
    pub(crate) fn introduce_all(&mut self) {
        let extended = self.peers.iter().filter(|(_, peer)| peer.extended).map(|(&key, _)| key);
        extended.collect::<Vec<_>>().into_iter().for_each(|key| self.introduce(key));
    }

    /// Names the pieces a newcomer may have while choked. The same address gets the same ones (BEP 6), or it would come back
    /// for more.
    fn grant(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key).filter(|peer| peer.fast) else { return };
        let ip = match peer.ip() {
            std::net::IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8),
            std::net::IpAddr::V6(ip) => u64::try_from(ip.to_bits() >> 64).unwrap_or(0),
        };
        let mut rng = fastrand::Rng::with_seed(ip);
        let have = self.pieces.have();
        let draws = std::iter::repeat_with(|| rng.u32(..have.len())).take(GRANTED * 4);
        for piece in draws.filter(|&piece| have.get(piece)) {
            if peer.granted.len() < GRANTED && !peer.granted.contains(&piece) {
                peer.granted.push(piece);
            }
        }
        for piece in peer.granted.clone() {
            self.say(key, Message::AllowedFast(piece));
        }
    }

    /// The other side ended the connection, or the line broke.
    pub(crate) fn gone(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get(&key) else { return };
        let has_all = self.origin.is_some() && peer.is_seed();
        let ended = if has_all {
            Ended::Holder
        } else if self.check_use(key).is_err() {
            Ended::Useless
        } else if self.now.saturating_sub(peer.since) < LASTING {
            Ended::LeftSoon
        } else {
            Ended::Left
        };
        self.depart(key, ended);
    }

    /// Drops all that is kept of a peer we hang up on; says whether there was one.
    pub(crate) fn forget(&mut self, key: PeerKey, why: &HangUp) -> bool {
        // Useless is for good only while we are complete.
        let ended = match ended(why) {
            Ended::Useless if !self.is_complete() => Ended::Unwelcome,
            ended => ended,
        };
        self.depart(key, ended)
    }

    fn depart(&mut self, key: PeerKey, why: Ended) -> bool {
        let Some(peer) = self.peers.remove(&key) else { return false };
        self.picker.remove_copies(&peer.has);
        self.farewell(key, &peer);
        for ask in peer.requests.iter() {
            self.pieces.give_back(ask.piece, ask.number, key, false);
        }
        self.share_pieces_of(key);
        if let Some(home) = peer.home {
            self.candidates.ended(self.now, home, why, &mut self.rng);
        }
        if !peer.choked {
            self.fill_slots();
        }
        self.stirred = true;
        true
    }

    pub(crate) fn found(&mut self, at: &[Endpoint], by: Source) {
        // A private torrent's peers come from its trackers and its user only (BEP 27).
        if self.private && !matches!(by, Source::Tracker | Source::User) {
            return;
        }
        for &at in at.iter().filter(|&&at| !self.blame.is_banned_address(ip(at))) {
            self.candidates.found(self.now, at, by, &mut self.rng);
        }
    }

    /// Dials as many addresses as the budget allows.
    pub(crate) fn dial(&mut self) {
        while self.has_place()
            && let Some(at) = self.candidates.next_dial(self.now)
        {
            self.act(Action::Dial(at));
        }
    }

    pub(crate) fn has_place(&self) -> bool {
        self.peers.len() + self.candidates.dialing() < self.config.max_peers
    }
}

/// What a hang-up means for dialling again.
fn ended(why: &HangUp) -> Ended {
    match why {
        HangUp::Poison | HangUp::Ourselves => Ended::Never,
        HangUp::Useless => Ended::Useless,
        HangUp::Silent => Ended::Left,
        HangUp::Fault(_) | HangUp::Breach(_) | HangUp::Duplicate | HangUp::Crowded => Ended::Unwelcome,
    }
}
