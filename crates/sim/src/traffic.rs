//! What happens on connections: they come about, carry parcels, break, and end.

use std::time::Duration;

use metainfo::BlockRef;
use swarm::{Endpoint, Event, PeerKey};
use wire::{Message, Reserved};

use crate::link::{Phase, other};
use crate::node::{address, peer_id};
use crate::script::RandomTime;
use crate::world::{Happening, World};

/// What travels over a connection.
pub(crate) enum Parcel {
    /// The answer to the dialler's handshake.
    Handshake,
    Message(Message),
    Close,
}

impl World<'_> {
    pub(crate) fn knock(&mut self, from: usize, to: usize) {
        let now = self.now;
        let refused = self.nodes[to].brain.is_none()
            || self.nodes[to].banned.contains(&address(from).ip())
            || [from, to].iter().any(|&node| now < self.nodes[node].cut_until);
        if refused {
            let at = Endpoint::Tcp(address(to));
            return self.tell_later(self.network.delay(from, to), from, Event::DialFailed { at });
        }
        let (dialler, listener) = self.network.connect(from, to);
        self.nodes[from].keys.push(dialler);
        self.nodes[to].keys.push(listener);
        self.send(listener, now, Parcel::Handshake);
        self.connected(listener, true);
    }

    pub(crate) fn send(&mut self, from: PeerKey, leaves: Duration, parcel: Parcel) {
        let at = self.network.arrival(from, leaves, &mut self.rng);
        self.queue.push(at, Happening::Land { to: other(from), parcel });
    }

    pub(crate) fn close(&mut self, key: PeerKey) {
        let node = self.network.end(key).node;
        self.network.set_phase(key, Phase::Closed);
        self.nodes[node].keys.retain(|&k| k != key);
    }

    pub(crate) fn land(&mut self, to: PeerKey, parcel: Parcel) {
        if !matches!(self.network.end(to).phase, Phase::Opening | Phase::Open) {
            return;
        }
        let bytes = match &parcel {
            Parcel::Message(Message::Piece { data, .. }) => u32::try_from(data.len()).unwrap_or(u32::MAX),
            _ => 0,
        };
        let at = self.network.delivery(to, self.now, bytes);
        if at > self.now {
            self.queue.push(at, Happening::Deliver { to, parcel });
        } else {
            self.deliver(to, parcel);
        }
    }

    pub(crate) fn deliver(&mut self, to: PeerKey, parcel: Parcel) {
        let (node, phase) = (self.network.end(to).node, self.network.end(to).phase);
        match (phase, parcel) {
            (Phase::Opening, Parcel::Handshake) => {
                self.network.set_phase(to, Phase::Open);
                self.connected(to, false);
            }
            (Phase::Opening, Parcel::Close) => self.dial_failed(to),
            (Phase::Open, Parcel::Close) => {
                self.close(to);
                self.tell(node, Event::Gone { peer: to });
            }
            (Phase::Open, Parcel::Message(message)) => {
                if let Message::Piece { data, .. } = &message {
                    self.network.acknowledge(other(to));
                    self.start_block(self.network.end(other(to)).node);
                    let record = &mut self.nodes[node].record;
                    record.received += data.len() as u64;
                    record.first_block.get_or_insert(self.now);
                }
                self.tell(node, Event::Said { peer: to, message });
            }
            _ => {}
        }
    }

    pub(crate) fn sent(&mut self, from: PeerKey, life: u32, block: BlockRef) {
        let node = self.network.end(from).node;
        self.network.finish_block(node);
        self.nodes[node].record.sent += u64::from(block.length());
        let open = matches!(self.network.end(from).phase, Phase::Open | Phase::Dead);
        if open && self.lives(node, life) {
            self.tell(node, Event::Served { peer: from, block, bytes: block.length() });
        }
        self.start_block(node);
    }

    pub(crate) fn cut(&mut self, index: usize, length: Duration) {
        self.nodes[index].cut_until = self.now + length;
        for key in self.nodes[index].keys.clone() {
            for end in [key, other(key)] {
                if self.network.end(end).phase == Phase::Open {
                    self.network.set_phase(end, Phase::Dead);
                }
                let after = self.rng.duration(MAX_SECONDS_UNNOTICED);
                self.queue.push(self.now + after, Happening::Notice { key: end });
            }
        }
    }

    pub(crate) fn notice(&mut self, key: PeerKey) {
        let (node, phase) = (self.network.end(key).node, self.network.end(key).phase);
        match phase {
            Phase::Closed => {}
            Phase::Opening => self.dial_failed(key),
            Phase::Open | Phase::Dead => {
                self.close(key);
                self.tell(node, Event::Gone { peer: key });
            }
        }
    }

    fn connected(&mut self, key: PeerKey, incoming: bool) {
        let (here, there) = (self.network.end(key).node, self.network.end(other(key)).node);
        let mut at = address(there);
        if incoming {
            at.set_port(EPHEMERAL_PORT);
        }
        let plain = self.nodes[here].plan.plain || self.nodes[there].plan.plain;
        let reserved = Reserved([0, 0, 0, 0, 0, EXTENDED, 0, if plain { 0 } else { FAST }]);
        let id = peer_id(there, self.nodes[there].life);
        self.tell(here, Event::Connected { peer: key, at: Endpoint::Tcp(at), incoming, id, reserved });
    }

    fn dial_failed(&mut self, key: PeerKey) {
        self.close(key);
        let at = Endpoint::Tcp(address(self.network.end(other(key)).node));
        self.tell(self.network.end(key).node, Event::DialFailed { at });
    }
}

/// A lost connection is noticed by either side within half a minute.
const MAX_SECONDS_UNNOTICED: u64 = 30;

/// What a listener sees as the port of a dialler.
const EPHEMERAL_PORT: u16 = 50_000;

/// The bits of BEP 10 and BEP 6 in their reserved bytes.
const EXTENDED: u8 = 0x10;
const FAST: u8 = 0x04;
