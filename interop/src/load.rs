//! A crowd of peers in one process that ask one seeder for all it can give, and keep nothing.
//!
//! Plain BEP 3, in one thread, with little work for a block: what it costs should not hide what the seeder costs.

use std::cell::{Cell, RefCell};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use metainfo::{BLOCK, Metainfo, PeerId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, LocalSet};
use wire::{Encoder, Handshake, Message, Request, Reserved};

/// Requests that a peer has outstanding: what clients take if nothing is said, 4 MiB.
const DEPTH: u32 = 250;

/// Bytes read at a time.
const READ: usize = 256 << 10;

/// How long the whole may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Peers connected to the seeder that have not said yet that they want something.
pub struct Load {
    runtime: Runtime,
    peers: Vec<Peer>,
    goal: Rc<Goal>,
}

/// What all have got together.
struct Goal {
    bytes: u64,
    got: Cell<u64>,
    /// Peers that got a block.
    served: Cell<usize>,
    /// What is discarded goes through one buffer, which stays in the core's cache.
    buffer: RefCell<Vec<u8>>,
}

struct Peer {
    stream: TcpStream,
    blocks: Blocks,
    outstanding: u32,
    served: bool,
    /// The length and the id of a message, as far as they are there.
    head: Vec<u8>,
    /// Bytes of a message that are still to come, and to be passed over.
    skip: usize,
}

/// The blocks of a torrent, round and round; a shorter one at its end is left out.
struct Blocks {
    count: u32,
    in_piece: u32,
    next: u32,
}

impl Load {
    /// Connects so many peers, which will fetch so many bytes together.
    pub fn connect(
        at: SocketAddr,
        torrent: &Path,
        peers: u32,
        bytes: u64,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let metainfo = Metainfo::parse(&fs::read(torrent)?)?;
        let layout = metainfo.info.layout();
        let count = u32::try_from(layout.content_length() / u64::from(BLOCK))?;
        let info_hash = metainfo.info.wire_hash();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connect = async |number: u32| -> Result<Peer, std::io::Error> {
            let mut peer_id = *b"-HW0000-discards....";
            peer_id[16..].copy_from_slice(&number.to_be_bytes());
            let hello = Handshake { reserved: Reserved::default(), info_hash, peer_id: PeerId(peer_id) };
            let mut stream = TcpStream::connect(at).await?;
            stream.write_all(&hello.encode()).await?;
            stream.read_exact(&mut [0; Handshake::LENGTH]).await?;
            // Each begins elsewhere, at the beginning of a piece.
            let in_piece = layout.piece_length() / BLOCK;
            let next = count / in_piece / peers * number * in_piece % count;
            Ok(Peer {
                stream,
                blocks: Blocks { count, in_piece, next },
                outstanding: 0,
                served: false,
                head: Vec::new(),
                skip: 0,
            })
        };
        let peers = (0..peers).map(|number| runtime.block_on(connect(number))).collect::<Result<_, _>>()?;
        let (got, served, buffer) = (Cell::new(0), Cell::new(0), RefCell::new(vec![0; READ]));
        let goal = Rc::new(Goal { bytes, got, served, buffer });
        Ok(Self { runtime, peers, goal })
    }

    /// Has all of them ask until the bytes are there; says how many got a block.
    pub fn fetch(self) -> Result<usize, Box<dyn std::error::Error>> {
        let Self { runtime, peers, goal } = self;
        let all = async {
            let mut tasks = JoinSet::new();
            for peer in peers {
                tasks.spawn_local(peer.fetch(Rc::clone(&goal)));
            }
            // The first to see the goal reached ends it for all.
            tasks.join_next().await
        };
        let local = LocalSet::new();
        let all = local.run_until(all);
        let first = runtime.block_on(async { tokio::time::timeout(PATIENCE, all).await })?;
        first.ok_or("nobody asked")?.map_err(|error| error.to_string())??;
        Ok(goal.served.get())
    }
}

impl Peer {
    async fn fetch(mut self, goal: Rc<Goal>) -> std::io::Result<()> {
        self.say(&[Message::Interested]).await?;
        while goal.got.get() < goal.bytes {
            self.stream.readable().await?;
            if self.read(&goal)? {
                self.ask().await?;
            }
        }
        Ok(())
    }

    /// Reads what is there; says whether there is room for requests.
    fn read(&mut self, goal: &Goal) -> std::io::Result<bool> {
        let mut buffer = goal.buffer.borrow_mut();
        match self.stream.try_read(&mut buffer) {
            Ok(0) => Err(std::io::Error::other("the seeder hung up")),
            Ok(read) => Ok(self.heard(&buffer[..read], goal)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Passes over what was read; says whether there is room for requests.
    fn heard(&mut self, mut bytes: &[u8], goal: &Goal) -> bool {
        let mut room = false;
        while let Some((&first, rest)) = bytes.split_first() {
            if self.skip > 0 {
                let now = bytes.len().min(self.skip);
                self.skip -= now;
                bytes = &bytes[now..];
                continue;
            }
            bytes = rest;
            self.head.push(first);
            let Some((&length, id)) = self.head.split_first_chunk() else { continue };
            let length = u32::from_be_bytes(length) as usize;
            match id {
                _ if length == 0 => self.head.clear(),
                &[id] => {
                    self.skip = length - 1;
                    self.head.clear();
                    room |= self.message(id, length as u64, goal);
                }
                _ => {}
            }
        }
        room
    }

    /// A message begins. What it says beyond its id is of no interest.
    fn message(&mut self, id: u8, length: u64, goal: &Goal) -> bool {
        match id {
            // With a choke all requests are forgotten.
            0 => self.outstanding = 0,
            1 => return true,
            7 => {
                goal.got.set(goal.got.get() + length - 9);
                if !std::mem::replace(&mut self.served, true) {
                    goal.served.set(goal.served.get() + 1);
                }
                self.outstanding = self.outstanding.saturating_sub(1);
                return self.outstanding == DEPTH / 2;
            }
            _ => {}
        }
        false
    }

    /// Fills the pipeline.
    async fn ask(&mut self) -> std::io::Result<()> {
        let requests: Vec<_> = self.blocks.by_ref().take((DEPTH - self.outstanding) as usize).collect();
        self.outstanding = DEPTH;
        self.say(&requests).await
    }

    async fn say(&mut self, messages: &[Message]) -> std::io::Result<()> {
        let mut bytes = BytesMut::new();
        for message in messages {
            Encoder::default().encode(message, &mut bytes);
        }
        self.stream.write_all(&bytes).await
    }
}

impl Iterator for Blocks {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let block = self.next;
        self.next = (block + 1) % self.count;
        let (index, begin) = (block / self.in_piece, block % self.in_piece * BLOCK);
        Some(Message::Request(Request { index, begin, length: BLOCK }))
    }
}
