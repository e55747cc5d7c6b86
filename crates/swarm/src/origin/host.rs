//! What a sizing origin does: it greets guests, gives them pieces, watches their progress and changes its mode.
//!
//! Part of `Swarm`; what is decided is `Origin`'s.

use std::net::IpAddr;
use std::time::Duration;

use metainfo::PeerId;
use wire::Message;

use super::guest::Fate;
use super::{Guest, Mode, OriginStatus};
use crate::peers::{Has, Peer};
use crate::swarm::{Run, Swarm};
use crate::{Action, Endpoint, PeerKey};

/// Pieces given to a guest at a time, whatever its rate: while it takes one the next is on its way.
const FEW_PIECES: usize = 2;

/// The same for the only downloader. Few enough that a second one finds something that was not promised to the first.
const MANY_PIECES: usize = 8;

/// Seconds of a guest's rate that are given to it at a time: its requests and its word that it has a piece travel meanwhile.
const WINDOW: u64 = 2;
const WIDE_WINDOW: u64 = 4;

/// A guest that says nothing has nothing after this long.
const INTRODUCTION: Duration = Duration::from_secs(1);

/// Whether a guest lacks something and fetches it. Who is `upload_only` lacks what its user does not want (BEP 21).
fn downloads(guest: &Guest, peer: &Peer) -> bool {
    guest.met && !guest.complete && !guest.dormant && !peer.upload_only
}

impl Swarm {
    /// A peer connected.
    pub(crate) fn welcome(&mut self, key: PeerKey) {
        if let (Some(origin), Some(peer)) = (&mut self.origin, self.peers.get(&key)) {
            origin.guests.insert(key, Guest::new(self.now, peer.id, peer.ip(), self.layout.piece_count()));
        }
    }

    /// A peer has said what it has, or begins to do without.
    pub(crate) fn met(&mut self, key: PeerKey) {
        let (Some(origin), Some(peer)) = (&mut self.origin, self.peers.get(&key)) else { return };
        let Some(guest) = origin.guests.get_mut(&key).filter(|guest| !guest.met) else { return };
        guest.met = true;
        let lacks = match &peer.has {
            Has::All => 0,
            Has::Some(has) => {
                let here: u64 = has.iter().map(|piece| self.pieces.content(piece)).sum();
                self.layout.content_length() - here
            }
        };
        origin.ledger.meet(guest.id, guest.ip, lacks);
        self.judge_mode(None);
        self.attend(key);
    }

    /// A peer told our tracker that it begins, and what it lacks: no more than there is.
    pub(crate) fn announced(&mut self, id: PeerId, ip: IpAddr, left: u64) {
        if let Some(origin) = &mut self.origin {
            origin.ledger.announce(id, ip, left.min(self.layout.content_length()));
        }
    }

    /// A guest turned out to have every piece; so far it was known to have `before`.
    pub(crate) fn completes(&mut self, key: PeerKey, before: &Has) {
        if let Some(origin) = &mut self.origin {
            origin.completes(self.now, key, before);
            self.refresh_pool(&Has::All);
            self.judge_mode(None);
        }
    }

    /// Something changed about a guest: it may get pieces, and be asked for a proof.
    pub(crate) fn attend(&mut self, key: PeerKey) {
        if self.origin.is_some() {
            self.prove(key);
            self.give(key);
        }
    }

    /// A guest asks for a block of a piece; says whether it was told of it.
    pub(crate) fn may_ask(&mut self, key: PeerKey, piece: u32) -> bool {
        let Some(origin) = &mut self.origin else { return true };
        if let Some(guest) = origin.guests.get_mut(&key) {
            guest.asks(self.now, piece);
        }
        origin.reveals(key, piece)
    }

    /// A guest was sent bytes of a piece.
    pub(crate) fn gave(&mut self, key: PeerKey, piece: u32, bytes: u32) {
        let Some(origin) = self.origin.as_mut().filter(|_| bytes > 0) else { return };
        if let Some(unsent) = origin.unsent.get_mut(piece as usize) {
            *unsent = unsent.saturating_sub(bytes);
        }
        // Only a piece that is wholly sent makes room for another: nothing is looked for at each block.
        if origin.guests.get_mut(&key).is_some_and(|guest| guest.receive(self.now, piece, bytes)) {
            self.give(key);
        }
    }

    /// A peer left.
    pub(crate) fn farewell(&mut self, key: PeerKey, peer: &Peer) {
        let Some(origin) = &mut self.origin else { return };
        origin.count_proof(key, &peer.has, false);
        let Some(mut guest) = origin.guests.remove(&key) else { return };
        let open = guest.close_all();
        for &piece in &open {
            origin.unassign(piece);
        }
        for piece in open {
            self.refresh(piece);
        }
        self.refresh_pool(&peer.has);
        self.judge_mode(None);
    }

    /// Pieces whose copies changed all at once.
    pub(super) fn refresh_pool(&mut self, has: &Has) {
        for piece in (0..self.layout.piece_count()).filter(|&piece| has.get(piece)) {
            self.refresh(piece);
        }
    }

    /// Something changed about a piece: it may be given to somebody, or not any more.
    pub(crate) fn refresh(&mut self, piece: u32) {
        if let Some(origin) = &mut self.origin {
            origin.refresh(piece, self.picker.claims(piece), self.pieces.have().get(piece));
        }
    }

    /// Gives a guest as many pieces as it can use.
    fn give(&mut self, key: PeerKey) {
        while let Some(piece) = self.choose(key) {
            self.reveal(key, piece);
        }
    }

    fn choose(&mut self, key: PeerKey) -> Option<u32> {
        let slots = self.slots();
        let origin = self.origin.as_ref().filter(|_| self.run != Run::Paused)?;
        let (guest, peer) = (origin.guests.get(&key)?, self.peers.get(&key)?);
        let gives = downloads(guest, peer) && origin.mode != Mode::Silent;
        // A guest that has pieces open has a slot, or will have one once it knows that it wants it.
        let served = || origin.guests.values().filter(|other| other.open_pieces().next().is_some()).count();
        let seated = guest.open_pieces().next().is_some() || served() < slots;
        if !gives || !seated || guest.unsent() >= self.window(origin.mode, guest, peer) {
            return None;
        }
        let claims = |piece| self.picker.claims(piece);
        let from = self.rng.usize(..origin.pool.len().max(1));
        let new = origin.pick_new(guest, &peer.has, claims, from);
        if new.is_some() || (origin.mode == Mode::Spread && !guest.is_forsaken()) {
            return new;
        }
        let from = self.rng.u32(..self.layout.piece_count().max(1));
        origin.pick_any(guest, &peer.has, self.pieces.have(), claims, from)
    }

    /// How many pieces a guest may have before it that were not sent.
    fn window(&self, mode: Mode, guest: &Guest, peer: &Peer) -> usize {
        let alone = mode == Mode::Full && !guest.is_forsaken();
        let (least, seconds) = if alone { (MANY_PIECES, WIDE_WINDOW) } else { (FEW_PIECES, WINDOW) };
        let bytes = peer.up.rate(self.now).saturating_mul(seconds);
        usize::try_from(bytes / u64::from(self.layout.piece_length())).unwrap_or(usize::MAX).max(least)
    }

    fn reveal(&mut self, key: PeerKey, piece: u32) {
        // Padding is never asked for.
        let content = u32::try_from(self.pieces.content(piece)).unwrap_or(u32::MAX);
        let Some(origin) = &mut self.origin else { return };
        let Some(guest) = origin.guests.get_mut(&key) else { return };
        let is_news = guest.give(self.now, piece, content);
        if let Some(count) = origin.assigned.get_mut(piece as usize) {
            *count += 1;
        }
        self.refresh(piece);
        if is_news {
            self.say(key, Message::Have(piece));
        }
    }

    /// What is due by the clock.
    pub(crate) fn tend_guests(&mut self) {
        if self.origin.is_none() {
            return;
        }
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for &key in &keys {
            if self.peers.get(&key).is_some_and(|peer| self.now.saturating_sub(peer.since) >= INTRODUCTION) {
                self.met(key);
            }
            self.review(key);
        }
        let stalled: Vec<(PeerKey, Duration)> =
            keys.iter().filter_map(|&key| Some((key, self.stalled(key)?))).collect();
        self.judge_mode(stalled.first().copied());
        for (key, _) in stalled {
            self.rescue(key);
        }
        for key in keys {
            self.attend(key);
        }
    }

    /// Takes pieces back that a guest has without saying so, or does not fetch.
    fn review(&mut self, key: PeerKey) {
        let (Some(peer), Some(origin)) = (self.peers.get(&key), &mut self.origin) else { return };
        let Some(guest) = origin.guests.get_mut(&key) else { return };
        let waits = |piece: u32| peer.queue.iter().any(|block| block.piece().0 == piece);
        let mut digested = Vec::new();
        for fate in guest.review(self.now, peer.choked, waits) {
            let (Fate::Digested(piece) | Fate::Lapsed(piece)) = fate;
            origin.unassign(piece);
            origin.refresh(piece, self.picker.claims(piece), self.pieces.have().get(piece));
            digested.extend((fate == Fate::Digested(piece)).then_some(piece));
        }
        if !digested.is_empty() {
            self.learn(key, digested.into_iter());
        }
    }

    fn stalled(&self, key: PeerKey) -> Option<Duration> {
        let (peer, origin) = (self.peers.get(&key)?, self.origin.as_ref()?);
        let guest =
            origin.guests.get(&key).filter(|guest| downloads(guest, peer) && self.run == Run::Going)?;
        guest.stalled(self.now)
    }

    /// A guest stands still: it is given its rarest pieces, whoever else may have them.
    fn rescue(&mut self, key: PeerKey) {
        let mut rare = Vec::new();
        for _ in 0..FEW_PIECES {
            let (Some(peer), Some(origin)) = (self.peers.get(&key), &self.origin) else { return };
            let Some(guest) = origin.guests.get(&key) else { return };
            let from = self.rng.u32(..self.layout.piece_count().max(1));
            let claims = |piece| self.picker.claims(piece);
            let Some(piece) = origin.pick_any(guest, &peer.has, self.pieces.have(), claims, from) else {
                break;
            };
            self.reveal(key, piece);
            rare.push(piece);
        }
        if let Some(guest) = self.origin.as_mut().and_then(|origin| origin.guests.get_mut(&key)) {
            guest.help(self.now);
        }
        if self.peers.get(&key).is_some_and(|peer| peer.choked) {
            self.unchoke(key);
        }
    }

    /// Looks whether another mode is right, and goes over to it.
    pub(super) fn judge_mode(&mut self, stalled: Option<(PeerKey, Duration)>) {
        let who = stalled.and_then(|(key, time)| {
            let Endpoint::Tcp(at) = self.peers.get(&key)?.at;
            Some((at.to_string(), time))
        });
        let Some(origin) = &mut self.origin else { return };
        let guests = origin.guests.iter();
        let guests =
            guests.filter(|(key, guest)| self.peers.get(key).is_some_and(|peer| downloads(guest, peer)));
        origin.downloaders = guests.count();
        let Some((mode, reason)) = origin.judge(self.now, who) else { return };
        let before = std::mem::replace(&mut origin.mode, mode);
        origin.since = self.now;
        origin.reason.clone_from(&reason);
        self.act(Action::Resized { mode, reason });
        if mode == Mode::Silent {
            self.rechoke();
        } else if before == Mode::Silent {
            self.fill_slots();
        }
        if mode != Mode::Silent {
            for key in self.peers.keys().copied().collect::<Vec<_>>() {
                self.give(key);
            }
        }
    }

    /// A sizing origin at a glance.
    pub(crate) fn origin_status(&self) -> Option<OriginStatus<'_>> {
        self.origin.as_ref().map(super::Origin::status)
    }
}
