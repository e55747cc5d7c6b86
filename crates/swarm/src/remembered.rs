//! What a peer said before the torrent was known, to be said again to the swarm (BEP 3, 6, 10).
//!
//! Owned by `MetadataFetch`. It cannot check piece numbers, so it only bounds them.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use metainfo::{Layout, PeerId};
use wire::{ExtensionHandshake, Message, Reserved};

use crate::{Endpoint, Event, HangUp, PeerKey};

/// Single `have` messages kept of one peer, besides those that a bitfield holds; who sends more is hung up on.
const MAX_HAVES: usize = 64 << 10;

/// Pieces kept that may be asked for while choked; as many as a swarm keeps.
const MAX_ALLOWED: usize = 16;

/// One peer's words, merged.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) at: Endpoint,
    pub(crate) incoming: bool,
    pub(crate) id: PeerId,
    reserved: Reserved,
    has_all: bool,
    bitfield: Option<BytesMut>,
    haves: BTreeSet<u32>,
    handshake: Option<Box<ExtensionHandshake>>,
    unchokes: bool,
    interested: bool,
    allowed: Vec<u32>,
}

impl Remembered {
    pub(crate) fn new(at: Endpoint, incoming: bool, id: PeerId, reserved: Reserved) -> Self {
        Self {
            at,
            incoming,
            id,
            reserved,
            has_all: false,
            bitfield: None,
            haves: BTreeSet::new(),
            handshake: None,
            unchokes: false,
            interested: false,
            allowed: Vec::new(),
        }
    }

    /// Merges a message into what is known.
    pub(crate) fn note(&mut self, message: Message) -> Result<(), HangUp> {
        match message {
            Message::Choke => self.unchokes = false,
            Message::Unchoke => self.unchokes = true,
            Message::Interested => self.interested = true,
            Message::NotInterested => self.interested = false,
            Message::HaveAll if self.reserved.fast() => self.has_all = true,
            Message::Have(index) => return self.note_have(index),
            Message::Bitfield(bytes) => return self.note_bitfield(&bytes),
            Message::AllowedFast(index) if self.allowed.len() < MAX_ALLOWED => self.allowed.push(index),
            Message::ExtensionHandshake(handshake) => self.handshake = Some(handshake),
            _ => {}
        }
        Ok(())
    }

    fn note_have(&mut self, index: u32) -> Result<(), HangUp> {
        self.haves.insert(index);
        let sane = u64::from(index) < Layout::MAX_PIECES && self.haves.len() <= MAX_HAVES;
        if sane { Ok(()) } else { Err(HangUp::Breach("more `have` than any torrent has pieces")) }
    }

    fn note_bitfield(&mut self, bytes: &Bytes) -> Result<(), HangUp> {
        let merged = self.bitfield.get_or_insert_with(|| BytesMut::zeroed(bytes.len()));
        if merged.len() != bytes.len() || bytes.len() as u64 > Layout::MAX_PIECES / 8 {
            return Err(HangUp::Breach("a bitfield that does not fit any torrent"));
        }
        merged.iter_mut().zip(bytes).for_each(|(old, new)| *old |= new);
        Ok(())
    }

    /// The same, as events for a swarm.
    pub(crate) fn replay(self, peer: PeerKey) -> Vec<Event> {
        let Self { at, incoming, id, reserved, .. } = self;
        let mut messages = Vec::new();
        messages.extend(self.bitfield.map(|bytes| Message::Bitfield(bytes.freeze())));
        messages.extend(self.haves.into_iter().map(Message::Have));
        messages.extend(self.has_all.then_some(Message::HaveAll));
        messages.extend(self.handshake.map(Message::ExtensionHandshake));
        messages.extend(self.interested.then_some(Message::Interested));
        if reserved.fast() {
            messages.extend(self.allowed.into_iter().map(Message::AllowedFast));
        }
        messages.extend(self.unchokes.then_some(Message::Unchoke));
        let said = messages.into_iter().map(|message| Event::Said { peer, message });
        std::iter::once(Event::Connected { peer, at, incoming, id, reserved }).chain(said).collect()
    }
}
