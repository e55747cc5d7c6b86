//! Stories of a swarm, told through one small world.

mod fetching;
mod meeting;
mod origin;
mod poison;
mod random;
mod serving;
mod web;
mod wishes;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metainfo::{BLOCK, Bitfield, BlockRef, FileIndex, Layout, PeerId, PieceIndex};
use wire::{ExtensionHandshake, Message, Request, Reserved};

use crate::*;

pub(super) const OURS: PeerId = PeerId([b'm'; 20]);

/// A swarm, its clock, its disk, and all it has said that no test has asked about yet.
pub(super) struct World {
    pub(super) swarm: Swarm,
    pub(super) now: Duration,
    pub(super) layout: Arc<Layout>,
    heard: Vec<Action>,
    next_peer: u64,
}

/// A world around a torrent of equal pieces; every other field of `Setup` and `Config` may be set.
macro_rules! swarm {
    ($(pieces: $pieces:expr, blocks_per_piece: $blocks:expr)? $(, have: $have:expr)? $(, config: { $($key:ident: $value:expr),* })?) => {{
        let layout = $crate::tests::layout($($pieces, $blocks)?);
        #[allow(unused_mut)]
        let mut setup = $crate::tests::setup(layout);
        $(setup.have = $have(setup.layout.piece_count());)?
        $($(setup.config.$key = $value;)*)?
        $crate::tests::World::new(setup)
    }};
}
pub(super) use swarm;

pub(super) fn layout(pieces: u64, blocks: u64) -> Layout {
    let piece = blocks * u64::from(BLOCK);
    Layout::contiguous(piece, [(pieces * piece, false)]).unwrap()
}

pub(super) fn setup(layout: Layout) -> Setup {
    Setup {
        have: Bitfield::none(layout.piece_count()),
        layout: Arc::new(layout),
        metadata: None,
        priorities: Vec::new(),
        config: Config::default(),
        our_id: OURS,
        private: false,
        web_seeds: Vec::new(),
        seed: 1,
    }
}

pub(super) fn addr(name: u64) -> Endpoint {
    let [.., high, low] = name.to_be_bytes();
    Endpoint::Tcp(([10, 0, high, low], 6881).into())
}

/// What block `name` holds if its sender is honest.
pub(super) fn good(block: BlockRef) -> Bytes {
    Bytes::from(vec![b'g'; block.length() as usize])
}

impl World {
    pub(super) fn new(setup: Setup) -> Self {
        let layout = Arc::clone(&setup.layout);
        let swarm = Swarm::new(Duration::ZERO, setup);
        swarm.check_invariants();
        Self { swarm, now: Duration::ZERO, layout, heard: Vec::new(), next_peer: 1 }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.swarm.handle(self.now, event);
        self.swarm.check_invariants();
        self.heard.extend(std::iter::from_fn(|| self.swarm.next_action()));
    }

    /// Lets time pass, ticking whenever the swarm wishes.
    pub(super) fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.swarm.next_deadline().filter(|&due| due <= end) {
            self.now = due;
            self.tell(Event::Tick);
        }
        self.now = end;
        self.tell(Event::Tick);
    }

    pub(super) fn connect(&mut self, reserved: Reserved, incoming: bool) -> PeerKey {
        let name = self.next_peer;
        let mut id = PeerId([b'z'; 20]);
        id.0[12..].copy_from_slice(&name.to_be_bytes());
        self.connect_as(id, addr(name), reserved, incoming)
    }

    pub(super) fn connect_as(
        &mut self,
        id: PeerId,
        at: Endpoint,
        reserved: Reserved,
        incoming: bool,
    ) -> PeerKey {
        let peer = PeerKey(self.next_peer);
        self.next_peer += 1;
        self.tell(Event::Connected { peer, at, incoming, id, reserved });
        peer
    }

    pub(super) fn say(&mut self, peer: PeerKey, message: Message) {
        self.tell(Event::Said { peer, message });
    }

    /// A connected peer with every piece, choking us.
    pub(super) fn seed(&mut self) -> PeerKey {
        let peer = self.connect(Reserved::ours(), false);
        self.say(peer, Message::HaveAll);
        peer
    }

    /// A connected peer with every piece that does not choke us.
    pub(super) fn open_seed(&mut self) -> PeerKey {
        let peer = self.seed();
        self.say(peer, Message::Unchoke);
        peer
    }

    /// A connected peer with these pieces, choking us.
    pub(super) fn leech(&mut self, pieces: &[u32]) -> PeerKey {
        let peer = self.connect(Reserved::ours(), false);
        let mut bits = Bitfield::none(self.layout.piece_count());
        for &piece in pieces {
            assert!(bits.set(piece));
        }
        self.say(peer, Message::Bitfield(Bytes::copy_from_slice(bits.as_bytes())));
        peer
    }

    pub(super) fn introduce(&mut self, peer: PeerKey, handshake: ExtensionHandshake) {
        self.say(peer, Message::ExtensionHandshake(Box::new(handshake)));
    }

    /// Messages to a peer of one kind, taken out of what was heard.
    pub(super) fn told<T>(&mut self, peer: PeerKey, pick: impl Fn(&Message) -> Option<T>) -> Vec<T> {
        self.took(|action| match action {
            Action::Say { peer: to, message } if *to == peer => pick(message),
            _ => None,
        })
    }

    /// Actions of one kind, taken out of what was heard.
    pub(super) fn took<T>(&mut self, pick: impl Fn(&Action) -> Option<T>) -> Vec<T> {
        let mut taken = Vec::new();
        self.heard.retain(|action| match pick(action) {
            Some(it) => {
                taken.push(it);
                false
            }
            None => true,
        });
        taken
    }

    pub(super) fn is_told(&mut self, peer: PeerKey, message: &Message) -> bool {
        !self.told(peer, |told| (told == message).then_some(())).is_empty()
    }

    /// The blocks a peer was asked for, in order, as "piece:block".
    pub(super) fn asked(&mut self, peer: PeerKey) -> Vec<String> {
        let asked = self.requests(peer);
        asked.iter().map(|request| format!("{}:{}", request.index, request.begin / BLOCK)).collect()
    }

    pub(super) fn requests(&mut self, peer: PeerKey) -> Vec<Request> {
        self.told(peer, |message| if let Message::Request(request) = message { Some(*request) } else { None })
    }

    pub(super) fn cancelled(&mut self, peer: PeerKey) -> Vec<String> {
        let cancels = self
            .told(peer, |message| if let Message::Cancel(request) = message { Some(*request) } else { None });
        cancels.iter().map(|request| format!("{}:{}", request.index, request.begin / BLOCK)).collect()
    }

    pub(super) fn block(&self, name: &str) -> BlockRef {
        let (piece, number) = name.split_once(':').unwrap();
        self.layout.grid_block(PieceIndex(piece.parse().unwrap()), number.parse().unwrap()).unwrap()
    }

    pub(super) fn request(&self, name: &str) -> Request {
        crate::fetch::request(self.layout.without_padding(self.block(name)))
    }

    /// A good block arrives.
    pub(super) fn sends(&mut self, peer: PeerKey, name: &str) {
        let block = self.layout.without_padding(self.block(name));
        self.sends_data(peer, block, good(block));
    }

    pub(super) fn sends_bad(&mut self, peer: PeerKey, name: &str) {
        let block = self.block(name);
        self.sends_data(peer, block, Bytes::from(vec![b'x'; block.length() as usize]));
    }

    fn sends_data(&mut self, peer: PeerKey, block: BlockRef, data: Bytes) {
        self.say(peer, Message::Piece { index: block.piece().0, begin: block.begin(), data });
    }

    /// The peer answers its requests until there are no more, and the disk does its work.
    pub(super) fn sends_all(&mut self, peer: PeerKey) {
        loop {
            let asked = self.asked(peer);
            if asked.is_empty() {
                return;
            }
            for name in &asked {
                self.sends(peer, name);
            }
            self.commit();
        }
    }

    /// The disk verifies and writes, or refuses, all it was given; says which pieces and whether they were good.
    pub(super) fn commit(&mut self) -> Vec<(u32, bool)> {
        let given = self.took(|action| match action {
            Action::Commit { piece, blocks, digests } => Some((*piece, blocks.clone(), *digests)),
            _ => None,
        });
        let mut verdicts = Vec::new();
        for (piece, blocks, wanted) in given {
            let length: usize = blocks.iter().map(Bytes::len).sum();
            assert_eq!(length, self.layout.piece_size(piece) as usize, "a commit of a wrong length");
            let is_good = blocks.iter().flatten().all(|&byte| byte == b'g' || byte == 0);
            let digests: Vec<Digest> = blocks.iter().map(|data| [data[0]; 20]).collect();
            verdicts.push((piece.0, is_good));
            self.tell(if is_good {
                Event::Committed { piece, digests: wanted.then_some(digests) }
            } else {
                Event::Rejected { piece, digests }
            });
        }
        verdicts
    }

    pub(super) fn hung_up(&self, peer: PeerKey) -> Option<HangUp> {
        self.heard.iter().find_map(|action| match action {
            Action::HangUp { peer: whom, why } if *whom == peer => Some(why.clone()),
            _ => None,
        })
    }

    pub(super) fn breached(&self, peer: PeerKey) -> bool {
        matches!(self.hung_up(peer), Some(HangUp::Breach(_)))
    }

    pub(super) fn served(&mut self, peer: PeerKey) -> Vec<BlockRef> {
        self.took(|action| match action {
            Action::Serve { peer: to, block } if *to == peer => Some(*block),
            _ => None,
        })
    }

    pub(super) fn dials(&mut self) -> Vec<Endpoint> {
        self.took(|action| if let Action::Dial(at) = action { Some(*at) } else { None })
    }

    pub(super) fn completions(&mut self) -> usize {
        self.took(|action| matches!(action, Action::Complete).then_some(())).len()
    }

    pub(super) fn skip(&mut self, file: u32, priority: Priority) {
        self.tell(Event::SetPriority { file: FileIndex(file), priority });
    }
}
