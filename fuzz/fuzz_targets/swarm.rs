//! A swarm among strangers: any messages, any order, any luck with the disk. No panic, and after each event its parts agree.
//!
//! The driver here keeps its promises (a commit is answered once, a hang-up ends in `Gone`); peers keep none.

#![no_main]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use metainfo::{BLOCK, Bitfield, BlockRef, FileIndex, Layout, PeerId, PieceIndex};
use swarm::{
    Action, Config, Digest, Endpoint, Event, FetchKey, FetchTrouble, PeerKey, Priority, Setup, Sizing,
    Source, Swarm,
};
use wire::{ExtensionHandshake, Message, MetadataMessage, Request, Reserved};

/// What befalls the swarm next. Numbers are cut down to where they may mean something.
#[derive(Arbitrary, Debug)]
enum Step {
    Wait {
        milliseconds: u16,
    },
    Connect {
        address: u8,
        incoming: bool,
        id: u8,
        plain: bool,
    },
    Dialled {
        fails: bool,
        id: u8,
    },
    Say {
        peer: u8,
        said: Said,
    },
    /// An honest answer to the oldest request.
    Answer {
        peer: u8,
        spoiled: bool,
    },
    Served {
        dropped: bool,
    },
    Committed {
        outcome: Outcome,
    },
    Compared {
        equal: bool,
    },
    Leave {
        peer: u8,
    },
    Lost {
        piece: u8,
    },
    Found {
        addresses: Vec<u8>,
    },
    Pause,
    Resume,
    Want {
        file: u8,
        how: u8,
    },
    Sequential(bool),
    /// A web seed sends the next block of a fetch.
    Fetched {
        which: u8,
    },
    FetchFailed {
        which: u8,
        how: u8,
    },
}

#[derive(Arbitrary, Debug)]
enum Outcome {
    Written,
    Mismatch,
    Failed,
}

#[derive(Arbitrary, Debug)]
enum Said {
    KeepAlive,
    Choke,
    Unchoke,
    Interested,
    NotInterested,
    Have(u8),
    Bitfield(Vec<u8>),
    Request {
        piece: u8,
        block: u8,
        length: u32,
    },
    Piece {
        piece: u8,
        begin: u32,
        length: u16,
    },
    Cancel {
        piece: u8,
        block: u8,
        length: u32,
    },
    Port(u16),
    Suggest(u8),
    HaveAll,
    HaveNone,
    Reject {
        piece: u8,
        block: u8,
        length: u32,
    },
    AllowedFast(u8),
    Handshake {
        ut_metadata: Option<u8>,
        size: Option<u32>,
        port: Option<u16>,
        queue: Option<u32>,
        upload_only: bool,
    },
    MetadataRequest(u8),
    MetadataReject(u8),
    MetadataData {
        piece: u8,
        total: u32,
        length: u8,
    },
    Unknown {
        id: u8,
        length: u16,
    },
}

#[derive(Arbitrary, Debug)]
struct Input {
    aligned: bool,
    have: u16,
    sizing: bool,
    sequential: bool,
    private: bool,
    small_budget: bool,
    few_peers: bool,
    seed: u8,
    steps: Vec<Step>,
}

/// The other side of the swarm: what it asked for and has not been answered.
struct World {
    now: Duration,
    swarm: Swarm,
    layout: Arc<Layout>,
    next_key: u64,
    peers: BTreeMap<PeerKey, VecDeque<Request>>,
    dials: VecDeque<Endpoint>,
    serves: VecDeque<(PeerKey, BlockRef)>,
    commits: VecDeque<(PieceIndex, usize)>,
    fetches: BTreeMap<FetchKey, VecDeque<BlockRef>>,
    compares: VecDeque<(PeerKey, BlockRef)>,
}

fuzz_target!(|input: Input| {
    let mut world = World::new(&input);
    world.perform();
    for step in input.steps {
        if let Some(event) = world.event(step) {
            world.swarm.handle(world.now, event);
            world.swarm.check_invariants();
            world.perform();
        }
    }
});

impl World {
    fn new(input: &Input) -> Self {
        let layout = if input.aligned {
            Layout::aligned(3 * u64::from(BLOCK), [100_000, 0, 5, 90_000, 60_000])
        } else {
            Layout::contiguous(
                2 * u64::from(BLOCK),
                [(70_000, false), (28_304, true), (0, false), (200_001, false)],
            )
        };
        let layout = Arc::new(layout.expect("the layout is sound"));
        let mut have = Bitfield::none(layout.piece_count());
        (0..16).filter(|bit| input.have >> bit & 1 == 1).for_each(|piece| _ = have.set(piece));
        if input.sizing {
            have = Bitfield::all(layout.piece_count());
        }
        let config = Config {
            max_peers: if input.few_peers { 3 } else { 50 },
            memory_budget: if input.small_budget { 1 } else { 1 << 20 },
            sequential: input.sequential,
            sizing: input.sizing.then_some(Sizing { copies: 2, ..Sizing::default() }),
            listen_port: 6881,
            ..Config::default()
        };
        let setup = Setup {
            layout: Arc::clone(&layout),
            metadata: Some(Bytes::from(vec![b'x'; 20_000])),
            have,
            priorities: Vec::new(),
            config,
            our_id: PeerId([0; 20]),
            private: input.private,
            web_seeds: vec![0, 1, 1],
            seed: input.seed.into(),
        };
        Self {
            now: Duration::ZERO,
            swarm: Swarm::new(Duration::ZERO, setup),
            layout,
            next_key: 0,
            peers: BTreeMap::new(),
            dials: VecDeque::new(),
            serves: VecDeque::new(),
            commits: VecDeque::new(),
            fetches: BTreeMap::new(),
            compares: VecDeque::new(),
        }
    }

    /// What a step means to the swarm, if it can happen.
    fn event(&mut self, step: Step) -> Option<Event> {
        Some(match step {
            Step::Wait { milliseconds } => {
                self.now += Duration::from_millis(u64::from(milliseconds));
                Event::Tick
            }
            Step::Connect { address, incoming, id, plain } => {
                self.connect(address_of(address), incoming, id, plain)
            }
            Step::Dialled { fails, id } => match self.dials.pop_front()? {
                at if fails => Event::DialFailed { at },
                at => self.connect(at, false, id, false),
            },
            Step::Say { peer, said } => Event::Said { peer: self.peer(peer)?, message: self.message(said) },
            Step::Answer { peer, spoiled } => {
                let peer = self.peer(peer)?;
                let asked = self.peers.get_mut(&peer)?.pop_front()?;
                let data = Bytes::from(vec![u8::from(spoiled); asked.length as usize]);
                Event::Said { peer, message: Message::Piece { index: asked.index, begin: asked.begin, data } }
            }
            Step::Served { dropped } => {
                let (peer, block) = self.serves.pop_front()?;
                Event::Served { peer, block, bytes: if dropped { 0 } else { block.length() } }
            }
            Step::Committed { outcome } => self.committed(&outcome)?,
            Step::Compared { equal } => {
                let (peer, block) = self.compares.pop_front()?;
                Event::Compared { peer, block, equal }
            }
            Step::Leave { peer } => {
                let peer = self.peer(peer)?;
                self.gone(peer)
            }
            Step::Lost { piece } => Event::Lost { piece: self.layout.piece(piece.into())? },
            Step::Found { addresses } => {
                Event::Found { at: addresses.into_iter().map(address_of).collect(), by: Source::Tracker }
            }
            Step::Pause => Event::Pause,
            Step::Resume => Event::Resume,
            Step::Want { file, how } => {
                Event::SetPriority { file: FileIndex(u32::from(file % 6)), priority: priority(how) }
            }
            Step::Sequential(yes) => Event::SetSequential(yes),
            Step::Fetched { which } => {
                let fetch = self.fetch(which)?;
                let blocks = self.fetches.get_mut(&fetch)?;
                let block = self.layout.without_padding(blocks.pop_front()?);
                if blocks.is_empty() {
                    self.fetches.remove(&fetch);
                }
                Event::Fetched { fetch, data: Bytes::from(vec![0; block.length() as usize]) }
            }
            Step::FetchFailed { which, how } => {
                let fetch = self.fetch(which)?;
                self.fetches.remove(&fetch);
                let why = match how % 8 {
                    0 => FetchTrouble::Gone,
                    1 => FetchTrouble::Later(Duration::from_secs(how.into())),
                    _ => FetchTrouble::Broken,
                };
                Event::FetchFailed { fetch, why }
            }
        })
    }

    fn connect(&mut self, at: Endpoint, incoming: bool, id: u8, plain: bool) -> Event {
        let peer = PeerKey(self.next_key);
        self.next_key += 1;
        self.peers.insert(peer, VecDeque::new());
        let reserved = if plain { Reserved::default() } else { Reserved::ours() };
        Event::Connected { peer, at, incoming, id: PeerId([id; 20]), reserved }
    }

    fn gone(&mut self, peer: PeerKey) -> Event {
        self.peers.remove(&peer);
        self.serves.retain(|(to, _)| *to != peer);
        Event::Gone { peer }
    }

    fn committed(&mut self, outcome: &Outcome) -> Option<Event> {
        let (piece, blocks) = self.commits.pop_front()?;
        let digests: Vec<Digest> = vec![[1; 20]; blocks];
        Some(match outcome {
            Outcome::Written => Event::Committed { piece, digests: Some(digests) },
            Outcome::Mismatch => Event::Rejected { piece, digests },
            Outcome::Failed => Event::WriteFailed { piece },
        })
    }

    /// One of the connected peers.
    fn peer(&self, choice: u8) -> Option<PeerKey> {
        let count = self.peers.len().max(1);
        self.peers.keys().nth(usize::from(choice) % count).copied()
    }

    /// One of the fetches under way.
    fn fetch(&self, choice: u8) -> Option<FetchKey> {
        let count = self.fetches.len().max(1);
        self.fetches.keys().nth(usize::from(choice) % count).copied()
    }

    /// Does what the swarm asks; a peer hung up on is gone at once.
    fn perform(&mut self) {
        while let Some(action) = self.swarm.next_action() {
            match action {
                Action::Dial(at) => self.dials.push_back(at),
                Action::Say { peer, message } => self.say(peer, message),
                Action::Serve { peer, block } => self.serves.push_back((peer, block)),
                Action::Unserve { peer, block } => {
                    self.serves
                        .retain(|(to, which)| *to != peer || block.is_some_and(|block| block != *which));
                }
                Action::Commit { piece, blocks, .. } => self.commit(piece, &blocks),
                Action::Compare { peer, block, data } => {
                    assert_eq!(data.len(), block.length() as usize, "a proof that is not the block");
                    self.compares.push_back((peer, block));
                }
                Action::HangUp { peer, .. } if self.peers.contains_key(&peer) => {
                    let gone = self.gone(peer);
                    self.swarm.handle(self.now, gone);
                    self.swarm.check_invariants();
                }
                Action::Fetch { fetch, blocks, .. } => _ = self.fetches.insert(fetch, blocks.into()),
                Action::Unfetch(fetch) => _ = self.fetches.remove(&fetch),
                Action::HangUp { .. }
                | Action::Resized { .. }
                | Action::Ban(_)
                | Action::BanWebSeed(_)
                | Action::Complete
                | Action::WantPeers => {}
            }
        }
    }

    fn say(&mut self, peer: PeerKey, message: Message) {
        match (message, self.peers.get_mut(&peer)) {
            (Message::Request(asked), Some(requests)) => {
                let block = self.layout.block(asked.index, asked.begin, asked.length);
                assert!(
                    block.is_some_and(|block| !self.layout.is_pad(block)),
                    "{asked:?} is not in the torrent"
                );
                requests.push_back(asked);
            }
            (Message::Cancel(taken_back), Some(requests)) => requests.retain(|asked| *asked != taken_back),
            _ => {}
        }
    }

    fn commit(&mut self, piece: PieceIndex, blocks: &[Bytes]) {
        let length: usize = blocks.iter().map(Bytes::len).sum();
        assert_eq!(length, self.layout.piece_size(piece) as usize, "a commit that is not the piece");
        assert!(self.commits.iter().all(|(other, _)| *other != piece), "a piece committed twice");
        self.commits.push_back((piece, blocks.len()));
    }

    fn message(&self, said: Said) -> Message {
        match said {
            Said::KeepAlive => Message::KeepAlive,
            Said::Choke => Message::Choke,
            Said::Unchoke => Message::Unchoke,
            Said::Interested => Message::Interested,
            Said::NotInterested => Message::NotInterested,
            Said::Have(piece) => Message::Have(number(piece)),
            Said::Bitfield(bits) => Message::Bitfield(bits.into()),
            Said::Request { piece, block, length } => Message::Request(request(piece, block, length)),
            Said::Piece { piece, begin, length } => {
                Message::Piece { index: number(piece), begin, data: vec![2; length.into()].into() }
            }
            Said::Cancel { piece, block, length } => Message::Cancel(request(piece, block, length)),
            Said::Port(port) => Message::Port(port),
            Said::Suggest(piece) => Message::SuggestPiece(number(piece)),
            Said::HaveAll => Message::HaveAll,
            Said::HaveNone => Message::HaveNone,
            Said::Reject { piece, block, length } => Message::RejectRequest(request(piece, block, length)),
            Said::AllowedFast(piece) => Message::AllowedFast(number(piece)),
            Said::Handshake { ut_metadata, size, port, queue, upload_only } => {
                Message::ExtensionHandshake(Box::new(ExtensionHandshake {
                    ut_metadata,
                    metadata_size: size,
                    port,
                    request_queue: queue,
                    upload_only,
                    ..ExtensionHandshake::default()
                }))
            }
            Said::MetadataRequest(piece) => Message::Metadata(MetadataMessage::Request(number(piece))),
            Said::MetadataReject(piece) => Message::Metadata(MetadataMessage::Reject(number(piece))),
            Said::MetadataData { piece, total, length } => Message::Metadata(MetadataMessage::Data {
                piece: number(piece),
                total_size: total,
                data: vec![3; length.into()].into(),
            }),
            Said::Unknown { id, length } => Message::Unknown { id, length: length.into() },
        }
    }
}

/// A piece's number: most lie in or just behind the torrent, one is as far out as can be.
fn number(piece: u8) -> u32 {
    if piece == u8::MAX { u32::MAX } else { u32::from(piece % 16) }
}

fn request(piece: u8, block: u8, length: u32) -> Request {
    let length = if length % 4 == 0 { length } else { BLOCK };
    Request { index: number(piece), begin: u32::from(block % 4) * BLOCK, length }
}

fn address_of(number: u8) -> Endpoint {
    Endpoint::Tcp(SocketAddr::from(([10, 0, 0, number % 16], 6881 + u16::from(number / 16))))
}

fn priority(how: u8) -> Priority {
    [Priority::Skip, Priority::Low, Priority::Normal, Priority::High][usize::from(how % 4)]
}
