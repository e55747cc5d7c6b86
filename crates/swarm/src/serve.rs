//! Giving blocks, and whom to (BEP 3, 6, 9).
//!
//! Part of `Swarm`. Whom to unchoke is decided by `choker`; here it is done.

use std::time::Duration;

use metainfo::BlockRef;
use wire::{METADATA_PIECE, Message, MetadataMessage, Request};

use crate::choker::{Applicant, slots};
use crate::fetch::request;
use crate::origin::Origin;
use crate::requests::MAX_DEPTH;
use crate::swarm::{Run, Swarm};
use crate::{Action, HangUp, PeerKey};

/// Requests for what does not exist, is not ours to give or is not allowed, before a peer is hung up on.
const MAX_BAD_REQUESTS: u32 = 10;

/// How long after a choke requests may still arrive that were made before it: on a slow line they wait behind blocks, four of
/// 16 KiB at 1 KiB/s.
const CHOKE_GRACE: Duration = Duration::from_secs(60);

/// Metadata bytes sent to one peer a second: a dictionary of ordinary size at once, and no lever for a flood.
const METADATA_PER_SECOND: usize = 1 << 20;

impl Swarm {
    /// A peer asks for a block.
    pub(crate) fn requested(&mut self, key: PeerKey, asked: Request) -> Result<(), HangUp> {
        self.met(key);
        let block = self.layout.block(asked.index, asked.begin, asked.length);
        let told = self.may_ask(key, asked.index);
        let have = told && self.pieces.have().get(asked.index);
        let Some(peer) = self.peers.get_mut(&key) else { return Ok(()) };
        let granted = peer.granted.contains(&asked.index);
        let crossed = peer.choked_since != peer.since
            && self.now.saturating_sub(peer.choked_since) < CHOKE_GRACE
            && self.run == Run::Going;
        let served = (!peer.choked || granted) && self.run != Run::Paused;
        if let Some(block) = block.filter(|_| have && served && peer.queue.len() < MAX_DEPTH) {
            peer.queue.push_back(block);
            self.act(Action::Serve { peer: key, block });
            return Ok(());
        }
        let excused = block.is_some()
            && told
            && self.pieces.was_told(asked.index)
            && (served || crossed || self.run != Run::Going);
        if !excused {
            peer.bad_requests += 1;
            if peer.bad_requests >= MAX_BAD_REQUESTS {
                return Err(HangUp::Breach("requests for blocks it may not have"));
            }
        }
        self.refuse(key, asked);
        Ok(())
    }

    fn refuse(&mut self, key: PeerKey, asked: Request) {
        if self.peers.get(&key).is_some_and(|peer| peer.fast) {
            self.say(key, Message::RejectRequest(asked));
        }
    }

    /// A peer takes a request back. If the block has not left it is refused, as the fast extension demands of an answer.
    pub(crate) fn cancelled(&mut self, key: PeerKey, asked: Request) {
        let Some(block) = self.layout.block(asked.index, asked.begin, asked.length) else { return };
        if self.unqueue(key, block) {
            self.act(Action::Unserve { peer: key, block: Some(block) });
            self.refuse(key, asked);
        }
    }

    /// A block left, or could not be read.
    pub(crate) fn served(&mut self, key: PeerKey, block: BlockRef, bytes: u32) {
        self.up.add(self.now, u64::from(bytes));
        let queued = self.unqueue(key, block);
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.up.add(self.now, u64::from(bytes));
        peer.said = self.now;
        if queued && bytes == 0 {
            self.refuse(key, request(block));
        }
        self.gave(key, block.piece().0, bytes);
    }

    /// Takes a block off a peer's queue; says whether it was there. It mostly is the first.
    fn unqueue(&mut self, key: PeerKey, block: BlockRef) -> bool {
        let Some(peer) = self.peers.get_mut(&key) else { return false };
        let at = peer.queue.iter().position(|&queued| queued == block);
        at.and_then(|at| peer.queue.remove(at)).is_some()
    }

    /// Unchokes interested peers while slots are free.
    pub(crate) fn fill_slots(&mut self) {
        if self.run == Run::Paused {
            return;
        }
        let taken = self.peers.values().filter(|peer| peer.interested && !peer.choked).count();
        let free = self.slots().saturating_sub(taken);
        let waiting = self.peers.iter().filter(|(_, peer)| peer.interested && peer.choked);
        for key in waiting.map(|(&key, _)| key).take(free).collect::<Vec<_>>() {
            self.unchoke(key);
        }
    }

    /// How many peers are served at a time.
    pub(crate) fn slots(&self) -> usize {
        let silent = self.origin.as_ref().is_some_and(Origin::is_silent);
        if silent { 0 } else { slots(self.config.upload_slots, self.up.rate(self.now)) }
    }

    /// Chooses anew whom to serve.
    pub(crate) fn rechoke(&mut self) {
        let now = self.now;
        let interested = self.peers.iter().filter(|(_, peer)| peer.interested);
        let applicants: Vec<Applicant> = interested
            .map(|(&key, peer)| Applicant {
                peer: key,
                gives: peer.down.rate(now),
                snubbing: peer.requests.is_snubbing(),
                choked: peer.choked,
                held: now.saturating_sub(peer.choked_since),
                age: now.saturating_sub(peer.since),
            })
            .collect();
        let slots = self.slots();
        let mut chosen = self.choker.choose(now, applicants, slots, self.is_complete(), &mut self.rng);
        chosen.sort_unstable();
        let chosen_now = |key: &PeerKey| chosen.binary_search(key).is_ok();
        let (mut to_choke, mut to_unchoke) = (Vec::new(), Vec::new());
        for (&key, peer) in &self.peers {
            match (peer.choked, chosen_now(&key)) {
                (true, true) => to_unchoke.push(key),
                // An unchoked peer without interest takes no slot, unless others want it.
                (false, false) if peer.interested || chosen.len() >= slots => to_choke.push(key),
                _ => {}
            }
        }
        for key in to_choke {
            self.choke(key);
        }
        for key in to_unchoke {
            self.unchoke(key);
        }
    }

    pub(crate) fn unchoke(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.choked = false;
        peer.choked_since = self.now;
        self.say(key, Message::Unchoke);
    }

    /// Serves a peer no longer: what it asked for is refused, but for the pieces it was granted.
    pub(crate) fn choke(&mut self, key: PeerKey) {
        let paused = self.run == Run::Paused;
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.choked = true;
        peer.choked_since = self.now;
        let queue = std::mem::take(&mut peer.queue);
        let keeps = |block: &BlockRef| !paused && peer.granted.contains(&block.piece().0);
        let (kept, dropped): (Vec<_>, Vec<_>) = queue.into_iter().partition(keeps);
        let all = kept.is_empty();
        peer.queue.extend(kept);
        self.say(key, Message::Choke);
        if all && !dropped.is_empty() {
            self.act(Action::Unserve { peer: key, block: None });
        }
        for block in dropped {
            if !all {
                self.act(Action::Unserve { peer: key, block: Some(block) });
            }
            self.refuse(key, request(block));
        }
    }

    /// Answers a request for a piece of the info dictionary (BEP 9).
    pub(crate) fn serve_metadata(&mut self, key: PeerKey, message: &MetadataMessage) {
        let MetadataMessage::Request(number) = *message else { return };
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let (since, sent) = peer.metadata_sent;
        let sent = if self.now.saturating_sub(since) < Duration::from_secs(1) { sent } else { 0 };
        let data = self.metadata.as_ref().and_then(|bytes| {
            let begin = usize::try_from(number.checked_mul(METADATA_PIECE)?).ok()?;
            let end = bytes.len().min(begin.checked_add(METADATA_PIECE as usize)?);
            (begin < end).then(|| bytes.slice(begin..end))
        });
        let total_size = self.metadata.as_ref().and_then(|bytes| u32::try_from(bytes.len()).ok());
        let answer = match (data, total_size) {
            (Some(data), Some(total_size)) if sent + data.len() <= METADATA_PER_SECOND => {
                peer.metadata_sent = (if sent == 0 { self.now } else { since }, sent + data.len());
                MetadataMessage::Data { piece: number, total_size, data }
            }
            _ => MetadataMessage::Reject(number),
        };
        self.say(key, Message::Metadata(answer));
    }
}
