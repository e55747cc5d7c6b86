//! Asking for blocks, and what comes back (BEP 3, 6).
//!
//! Part of `Swarm`. Finding work for a peer goes from the best to the last resort: its own open piece, any open piece, a new
//! piece, a piece kept for another peer that does not move, and in the end game blocks that slower peers were asked for.

use std::time::Duration;

use bytes::Bytes;
use metainfo::{BLOCK, BlockRef, PieceIndex};
use wire::{Message, Request};

use crate::open_piece::OpenPiece;
use crate::peers::Peer;
use crate::requests::{Answers, Ask, MIN_DEPTH};
use crate::swarm::{Run, Swarm};
use crate::{Action, HangUp, PeerKey};

/// Unasked bytes for which nobody is hung up on: a few blocks may cross anything.
const UNASKED_GRACE: u64 = 16 * BLOCK as u64;

/// One unasked byte in this many is too much: 3 %.
const UNASKED_SHARE: u64 = 33;

/// How long a piece kept for one peer may stand still before others join in.
pub(crate) const SOLE_PATIENCE: Duration = Duration::from_secs(3);

/// A peer that refuses a request is asked nothing more for this long.
const AFTER_REJECT: Duration = Duration::from_secs(1);

/// A block is asked for twice only if the second peer is expected to be this much earlier, besides twice as early and early enough
/// for the other request to be cancelled: near the end, and while there are pieces to begin.
const END_MARGIN: Duration = Duration::from_millis(300);
const MARGIN: Duration = Duration::from_secs(2);

/// A block of a piece kept for one peer is asked of another only if it would take this long.
const SOLE_MARGIN: Duration = Duration::from_secs(5);

/// Blocks asked of a peer that has sent nothing yet, however many peers there are: two round trips' worth at 1 MiB/s and 64 ms.
const MIN_SHARE: usize = 8;

/// Idle peers that help at a time: looking for blocks costs a look at every peer.
const MAX_HELPERS: usize = 16;

/// Peers asked for one block besides the first; a peer of unknown speed is asked only if it is the only such.
const MAX_ALSO: usize = 3;

/// Slow peers looked at for blocks to ask of a faster one.
const MAX_HELPED: usize = 8;

impl Swarm {
    /// A block arrived.
    pub(crate) fn block(&mut self, key: PeerKey, index: u32, begin: u32, data: Bytes) -> Result<(), HangUp> {
        if self.answered(key, index, begin, &data) {
            return Ok(());
        }
        let length = data.len() as u64;
        let grid = u32::try_from(data.len()).ok().and_then(|length| self.grid_block(index, begin, length));
        let data = match grid {
            Some(block) => with_padding(block, data),
            None => data,
        };
        let Some(peer) = self.peers.get_mut(&key) else { return Ok(()) };
        peer.down.add(self.now, length);
        self.down.add(self.now, length);
        let number = begin / BLOCK;
        let answers = grid.map_or(Answers::Nothing, |_| peer.requests.block(self.now, index, number));
        if answers == Answers::Nothing {
            self.wasted += length;
            peer.unasked += length;
            let too_much = peer.unasked > UNASKED_GRACE.max(peer.down.total() / UNASKED_SHARE);
            return if too_much { Err(HangUp::Breach("blocks nobody asked for")) } else { Ok(()) };
        }
        let low = peer.requests.is_low() && !peer.idle;
        match self.pieces.receive(self.now, index, number, data, key) {
            None => self.wasted += length,
            Some(received) => {
                for other in received.others {
                    self.take_back(other, index, number);
                }
                if received.complete {
                    self.commit(index);
                }
            }
        }
        if low {
            self.refill(key);
            if self.is_nearly_done() && self.peers.get(&key).is_some_and(|peer| peer.idle) {
                self.help(key);
            }
        }
        Ok(())
    }

    /// The block of the grid that is asked for by exactly these numbers.
    fn grid_block(&self, index: u32, begin: u32, length: u32) -> Option<BlockRef> {
        let block = self.layout.grid_block(self.layout.piece(index)?, begin / BLOCK)?;
        (self.request(block) == Request { index, begin, length }).then_some(block)
    }

    /// How a block of the grid is asked for: without padding at its end, which every small file of a hybrid has (BEP 47).
    fn request(&self, block: BlockRef) -> Request {
        request(self.layout.without_padding(block))
    }

    pub(crate) fn commit(&mut self, piece: u32) {
        let Some(blocks) = self.pieces.commit(piece) else { return };
        let digests = self.blame.watches(piece);
        self.act(Action::Commit { piece: PieceIndex(piece), blocks, digests });
    }

    /// A request is no longer needed, because the block is here or the piece is not wanted.
    pub(crate) fn take_back(&mut self, key: PeerKey, piece: u32, number: u32) {
        let taken = self.peers.get_mut(&key).is_some_and(|peer| peer.requests.give_up(piece, number));
        if taken {
            self.say_cancel(key, piece, number);
            self.stirred = true;
        }
    }

    fn say_cancel(&mut self, key: PeerKey, piece: u32, number: u32) {
        if let Some(block) = self.layout.grid_block(PieceIndex(piece), number) {
            self.say(key, Message::Cancel(self.request(block)));
        }
    }

    /// Gives requests back, so that others may be asked. `cancel`: the peer is told.
    pub(crate) fn give_back(&mut self, key: PeerKey, cancel: bool, which: impl FnMut(&Ask) -> bool) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        for ask in peer.requests.give_up_all(which) {
            self.pieces.give_back(ask.piece, ask.number, key, false);
            if cancel {
                self.say_cancel(key, ask.piece, ask.number);
            }
            self.stirred = true;
        }
    }

    pub(crate) fn choked_by(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.choking_us = true;
        peer.current = None;
        let allowed = peer.allowed.clone();
        self.give_back(key, false, |ask| !allowed.contains(&ask.piece));
        self.share_pieces_of(key);
        self.question_choked(key);
    }

    pub(crate) fn unchoked_by(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.choking_us = false;
        peer.fruitless = 0;
        peer.idle = false;
        self.refill(key);
        self.attend(key);
    }

    pub(crate) fn rejected_request(&mut self, key: PeerKey, request: Request) {
        if self.refused(key, request) {
            return;
        }
        let Some(block) = self.grid_block(request.index, request.begin, request.length) else { return };
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if peer.requests.reject(request.index, block.number()) == Answers::Asked {
            peer.rest_until = self.now + AFTER_REJECT;
            peer.allowed.retain(|&piece| piece != request.index);
            self.pieces.give_back(request.index, block.number(), key, false);
            self.pieces.share(request.index);
            self.stirred = true;
        }
    }

    /// Pieces kept for this peer are open to all.
    pub(crate) fn share_pieces_of(&mut self, key: PeerKey) {
        let kept = self.pieces.open_pieces().filter(|(_, open)| open.sole() == Some(key));
        for piece in kept.map(|(piece, _)| piece).collect::<Vec<_>>() {
            self.pieces.share(piece);
        }
    }

    /// Asks every peer with room for more, the idle ones too: the fastest first, because there may not be enough for all.
    pub(crate) fn refill_all(&mut self) {
        let mut hungry: Vec<(bool, u64, u32, PeerKey)> = Vec::new();
        for (&key, peer) in &mut self.peers {
            if peer.requests.room() > 0 && peer.offers > 0 {
                peer.idle = false;
                hungry.push((!peer.requests.is_snubbing(), peer.down.rate(self.now), self.rng.u32(..), key));
            }
        }
        hungry.sort_unstable_by(|one, other| other.cmp(one));
        for (.., key) in hungry {
            if !self.pieces.has_room() && self.pieces.unasked().next().is_none() {
                break;
            }
            self.refill(key);
        }
    }

    /// Lets some of the peers that found nothing help slower ones.
    pub(crate) fn help_all(&mut self) {
        let idle = self.peers.iter().filter(|(_, peer)| peer.idle && self.now >= peer.rest_until);
        let idle: Vec<PeerKey> = idle.map(|(&key, _)| key).collect();
        let first = self.rng.usize(..idle.len().max(1));
        for at in 0..idle.len().min(MAX_HELPERS) {
            self.help(idle[(first + at) % idle.len()]);
        }
    }

    /// Asks a peer for as many blocks as its pipeline has room for.
    pub(crate) fn refill(&mut self, key: PeerKey) {
        if self.run != Run::Going {
            return;
        }
        while let Some(peer) = self.peers.get(&key) {
            let room = peer.requests.room().min(self.share_of(peer).saturating_sub(peer.requests.len()));
            if room == 0 || self.now < peer.rest_until || peer.offers == 0 {
                return;
            }
            let asked = self.find_work(key).map_or(0, |piece| self.ask(key, piece, room));
            if asked == 0 {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.idle = true;
                }
                return;
            }
        }
    }

    /// How many blocks may be asked of a peer at all. One that has sent nothing yet gets half of its share of what is missing, so
    /// that slow peers cannot take all before they are known.
    fn share_of(&self, peer: &Peer) -> usize {
        let others = self.peers.len() as u64 - 1;
        if others == 0 || peer.down.total() > 0 {
            return usize::MAX;
        }
        let share = self.wanted.left / u64::from(BLOCK) / (2 * others);
        usize::try_from(share).unwrap_or(usize::MAX).max(MIN_SHARE)
    }

    /// Asks for up to `room` blocks of an open piece; says for how many.
    fn ask(&mut self, key: PeerKey, piece: u32, room: usize) -> usize {
        let Some(peer) = self.peers.get_mut(&key) else { return 0 };
        peer.current = Some(piece);
        for asked in 0..room {
            let Some(block) = self.pieces.ask_next(piece, key) else { return asked };
            peer.requests.ask(self.now, piece, block.number());
            peer.down.start(self.now);
            let message = Message::Request(request(self.layout.without_padding(block)));
            self.actions.push_back(Action::Say { peer: key, message });
        }
        room
    }

    /// An open piece with blocks for this peer; if need be one is begun.
    fn find_work(&mut self, key: PeerKey) -> Option<u32> {
        let peer = self.peers.get(&key)?;
        let fits = |piece: u32, open: &OpenPiece| {
            peer.can_give(piece) && open.sole().map_or(!peer.parole, |sole| sole == key)
        };
        let current = peer.current.filter(|&piece| self.pieces.has_unasked(piece));
        let current = current.and_then(|piece| Some((piece, self.pieces.open_piece(piece)?)));
        let joined =
            current.into_iter().chain(self.pieces.unasked()).find(|&(piece, open)| fits(piece, open));
        let joined = joined.map(|(piece, _)| piece);
        joined.or_else(|| self.begin_piece(key)).or_else(|| self.join_any(key))
    }

    /// Begins the best missing piece that this peer can give and memory can hold.
    fn begin_piece(&mut self, key: PeerKey) -> Option<u32> {
        loop {
            let (piece, sole) = self.pick(key)?;
            self.picker.withdraw(piece);
            self.blame.stop_waiting(piece);
            if !self.pieces.begin(piece, self.now, sole) {
                return Some(piece);
            }
            self.commit(piece); // Nothing but padding.
        }
    }

    /// The best missing piece for this peer, and whether it is to be kept for it alone.
    fn pick(&mut self, key: PeerKey) -> Option<(u32, Option<PeerKey>)> {
        let peer = self.peers.get_mut(&key).filter(|_| self.pieces.has_room())?;
        let mut retries = self.blame.retries_for(self.now, key);
        let retry = retries.find(|&piece| peer.can_give(piece));
        drop(retries);
        if let Some(piece) = retry {
            return Some((piece, Some(key)));
        }
        let hinted = if peer.choking_us { &peer.allowed[..] } else { peer.suggested.make_contiguous() };
        let ready = |piece: &&u32| self.picker.is_queued(**piece) && peer.has.get(**piece);
        let mut piece = hinted.iter().find(ready).copied();
        if piece.is_none() && !peer.choking_us && peer.fruitless != self.picker.version() {
            piece = self.picker.pick(&peer.has, &mut self.rng);
            if piece.is_none() {
                peer.fruitless = self.picker.version();
            }
        }
        Some((piece?, peer.parole.then_some(key)))
    }

    /// The last resort before the end game: a piece that was kept for another peer and does not move, or one that a peer on
    /// parole would rather not join.
    fn join_any(&mut self, key: PeerKey) -> Option<u32> {
        let peer = self.peers.get(&key)?;
        let stands = |open: &OpenPiece| self.now.saturating_sub(open.moved()) >= SOLE_PATIENCE;
        let mut open = self.pieces.unasked();
        let (piece, _) = open.find(|&(piece, open)| peer.can_give(piece) && stands(open))?;
        drop(open);
        self.pieces.share(piece);
        Some(piece)
    }

    /// Whether every wanted piece is begun.
    pub(crate) fn is_nearly_done(&self) -> bool {
        self.picker.is_empty() && !self.blame.has_retries()
    }

    /// Nothing else to do: asks for blocks that slower peers were asked for, those first that are due last. Whichever copy
    /// comes first, the other request is cancelled.
    fn help(&mut self, key: PeerKey) {
        let asks = |peer: &&Peer| !peer.parole && peer.offers > 0 && self.run == Run::Going;
        let Some(peer) = self.peers.get(&key).filter(asks) else { return };
        let (rate, queued) = (peer.down.rate(self.now), peer.requests.len());
        let most = if rate > 0 { MAX_ALSO } else { 1 };
        let room = if rate > 0 { peer.requests.room() } else { MIN_DEPTH.saturating_sub(queued) };
        let latency = peer.requests.latency();
        let margin = if self.is_nearly_done() { END_MARGIN } else { MARGIN };
        let ready_in = |more: usize| {
            let bytes = (queued + more + 1) as u64 * u64::from(BLOCK);
            latency + Duration::from_millis(bytes.saturating_mul(1000).checked_div(rate).unwrap_or(1000))
        };
        let mut found: Vec<Ask> = Vec::new();
        for (slow_key, slow) in self.slowest(key) {
            for (place, ask) in slow.requests.iter().enumerate().rev() {
                let due = self.due(slow, place);
                let enough = ready_in(found.len()) * 2 + slow.requests.latency() + margin;
                if found.len() == room || due < enough {
                    break;
                }
                let Some(open) = self.pieces.open_piece(ask.piece) else { continue };
                let others = open.askers(ask.number).filter(|&other| other != slow_key);
                let others_due =
                    others.filter_map(|other| self.peers.get(&other)).map(|other| self.last_due(other)).min();
                let late = others_due.is_none_or(|due| due >= enough);
                let free =
                    open.may_ask_too(ask.number, key, most) && (open.sole().is_none() || due > SOLE_MARGIN);
                let new = !found.iter().any(|other| (other.piece, other.number) == (ask.piece, ask.number));
                if late && free && new && peer.can_give(ask.piece) {
                    found.push(*ask);
                }
            }
        }
        for ask in found {
            self.ask_too(key, ask);
        }
    }

    /// When the block at this place of a peer's queue is due, counted from now.
    fn due(&self, peer: &Peer, place: usize) -> Duration {
        peer.requests.due(self.now, peer.down.rate(self.now), place).unwrap_or(Duration::MAX)
    }

    /// When all that a peer owes is due.
    fn last_due(&self, peer: &Peer) -> Duration {
        self.due(peer, peer.requests.len().saturating_sub(1))
    }

    /// The peers whose queues last longest, without this one.
    fn slowest(&self, key: PeerKey) -> impl Iterator<Item = (PeerKey, &Peer)> {
        let owing = self.peers.iter().filter(|(other, peer)| **other != key && peer.requests.len() > 0);
        let mut owing: Vec<(Duration, PeerKey)> =
            owing.map(|(&other, peer)| (self.last_due(peer), other)).collect();
        owing.sort_unstable_by(|one, other| other.cmp(one));
        owing.into_iter().take(MAX_HELPED).filter_map(|(_, other)| Some((other, self.peers.get(&other)?)))
    }

    fn ask_too(&mut self, key: PeerKey, ask: Ask) {
        let Some(block) = self.pieces.ask_too(ask.piece, ask.number, key) else { return };
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.requests.ask(self.now, ask.piece, ask.number);
        self.say(key, Message::Request(self.request(block)));
    }
}

/// The whole block: what was asked for, and the padding at its end.
pub(crate) fn with_padding(block: BlockRef, data: Bytes) -> Bytes {
    let length = usize::try_from(block.length()).unwrap_or(data.len());
    if data.len() >= length {
        return data;
    }
    let mut whole = data.to_vec();
    whole.resize(length, 0);
    whole.into()
}

/// A block as a message names it.
pub(crate) fn request(block: BlockRef) -> Request {
    Request { index: block.piece().0, begin: block.begin(), length: block.length() }
}
