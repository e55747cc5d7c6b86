//! One `Swarm` among peers and a disk that do at once what they are asked for.
//!
//! Events come as the driver brings them: those of one read together, then all actions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metainfo::{BLOCK, Bitfield, Layout, PeerId};
use swarm::{Action, Config, Endpoint, Event, PeerKey, Setup, Swarm};
use wire::{ExtensionHandshake, Message, Request, Reserved};

use super::Work;

/// Blocks in one read of 256 KiB.
const READ: u32 = 16;

/// How long a block takes at 1 GB/s.
const BLOCK_TIME: Duration = Duration::from_micros(16);

/// Peers that have half of the pieces each.
const HALVES: u32 = 8;

/// Blocks of a download; also the pieces of those whose pieces are one block long.
const BLOCKS: u32 = 16_384;

/// Peers that begin with nothing, and what each comes to have in a round.
const STARTERS: u32 = 50;
const HAVES: u32 = 2_000;

static DATA: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// A download from one seed, in pieces of 1 MiB.
pub(super) const FETCH: Work = Work {
    name: "swarm-fetch",
    unit: "block",
    units: BLOCKS,
    prepare: || {
        let layout = layout(BLOCKS / 64, 64);
        Box::new(move || {
            let mut world = World::new(&layout, false);
            world.connect(1, Message::HaveAll);
            world.fetch_all();
        })
    },
};

/// A download from peers that have half of the pieces each; a piece is one block, so that each block is picked and told to all.
pub(super) const PICK: Work = Work {
    name: "swarm-pick",
    unit: "piece",
    units: BLOCKS,
    prepare: || {
        let layout = layout(BLOCKS, 1);
        // Neighbours in the circle overlap, so that every piece is there and some are rarer than others.
        let halves = (0..HALVES).map(|peer| half(BLOCKS, peer)).collect::<Vec<_>>();
        Box::new(move || {
            let mut world = World::new(&layout, false);
            (1..).zip(&halves).for_each(|(peer, half)| world.connect(peer, Message::Bitfield(half.clone())));
            world.fetch_all();
        })
    },
};

/// Peers that tell of the pieces they come to have, while all of them choke us.
pub(super) const HAVE: Work = Work {
    name: "swarm-have",
    unit: "message",
    units: HAVES * STARTERS,
    prepare: || {
        let layout = layout(BLOCKS, 1);
        Box::new(move || {
            let mut world = World::new(&layout, false);
            (1..=STARTERS).for_each(|peer| world.connect(peer, Message::HaveNone));
            (1..=STARTERS).for_each(|peer| world.say(peer, Message::Choke));
            for piece in 0..HAVES {
                (1..=STARTERS).for_each(|peer| world.say(peer, Message::Have(piece * 7)));
                world.settle();
            }
        })
    },
};

/// A seed that is asked for one block after the other.
pub(super) const SERVE: Work = Work {
    name: "swarm-serve",
    unit: "block",
    units: BLOCKS,
    prepare: || {
        let layout = layout(BLOCKS / 64, 64);
        let mut world = World::new(&layout, true);
        world.connect(1, Message::HaveNone);
        world.say(1, Message::Interested);
        Box::new(move || {
            let before = world.served;
            for first in (0..BLOCKS).step_by(READ as usize) {
                for block in first..first + READ {
                    let (index, begin) = (block / 64, block % 64 * BLOCK);
                    world.say(1, Message::Request(Request { index, begin, length: BLOCK }));
                }
                world.settle();
            }
            assert_eq!(world.served - before, BLOCKS, "not all was served");
        })
    },
};

struct World {
    swarm: Swarm,
    now: Duration,
    /// What peers were asked for and have not sent.
    owed: VecDeque<(PeerKey, Request)>,
    served: u32,
    complete: bool,
}

impl World {
    fn new(layout: &Arc<Layout>, seed: bool) -> Self {
        let count = layout.piece_count();
        let setup = Setup {
            layout: Arc::clone(layout),
            metadata: None,
            have: if seed { Bitfield::all(count) } else { Bitfield::none(count) },
            priorities: Vec::new(),
            config: Config::default(),
            our_id: PeerId([b'm'; 20]),
            private: false,
            web_seeds: Vec::new(),
            seed: 1,
        };
        let (swarm, owed) = (Swarm::new(Duration::ZERO, setup), VecDeque::new());
        Self { swarm, now: Duration::ZERO, owed, served: 0, complete: false }
    }

    /// A peer that has this and does not choke us.
    fn connect(&mut self, name: u32, pieces: Message) {
        let mut id = PeerId([b'z'; 20]);
        id.0[16..].copy_from_slice(&name.to_be_bytes());
        let [.., last] = name.to_be_bytes();
        let at = Endpoint::Tcp(([10, 0, 0, last], 6881).into());
        let reserved = Reserved::ours();
        self.tell(Event::Connected { peer: PeerKey(name.into()), at, incoming: false, id, reserved });
        let hello = ExtensionHandshake { request_queue: Some(2000), ..ExtensionHandshake::default() };
        self.say(name, pieces);
        self.say(name, Message::ExtensionHandshake(Box::new(hello)));
        self.say(name, Message::Unchoke);
        self.settle();
    }

    fn say(&mut self, peer: u32, message: Message) {
        self.tell(Event::Said { peer: PeerKey(peer.into()), message });
    }

    fn tell(&mut self, event: Event) {
        self.swarm.handle(self.now, event);
    }

    /// Does all that the swarm wants done.
    fn settle(&mut self) {
        while let Some(action) = self.swarm.next_action() {
            match action {
                Action::Say { peer, message: Message::Request(request) } => {
                    self.owed.push_back((peer, request));
                }
                Action::Commit { piece, .. } => self.tell(Event::Committed { piece, digests: None }),
                Action::Serve { peer, block } => {
                    self.now += BLOCK_TIME;
                    self.served += 1;
                    self.tell(Event::Served { peer, block, bytes: block.length() });
                }
                Action::Complete => self.complete = true,
                _ => {}
            }
        }
    }

    /// Peers send what they owe until there is no more.
    fn fetch_all(&mut self) {
        while !self.owed.is_empty() {
            for (peer, request) in self.owed.drain(..self.owed.len().min(READ as usize)).collect::<Vec<_>>() {
                self.now += BLOCK_TIME;
                let data = Bytes::from_static(&DATA);
                let message = Message::Piece { index: request.index, begin: request.begin, data };
                self.tell(Event::Said { peer, message });
            }
            self.settle();
        }
        assert!(self.complete, "the download stands still");
    }
}

fn layout(pieces: u32, blocks: u32) -> Arc<Layout> {
    let piece = u64::from(blocks * BLOCK);
    let layout = Layout::contiguous(piece, [(u64::from(pieces) * piece, false)]);
    Arc::new(layout.expect("it is a layout"))
}

/// The pieces of a peer that has half of them: one run, which begins elsewhere for each peer.
fn half(pieces: u32, peer: u32) -> Bytes {
    let mut bits = Bitfield::none(pieces);
    let first = pieces / HALVES * peer;
    (first..first + pieces / 2).for_each(|piece| _ = bits.set(piece % pieces));
    Bytes::copy_from_slice(bits.as_bytes())
}
