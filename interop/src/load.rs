//! A crowd of peers in one process that ask one seeder for all it can give, and keep nothing.
//!
//! Plain BEP 3, in one thread, with little work for a block: what it costs should not hide what the seeder costs.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use metainfo::{BLOCK, Metainfo, PeerId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
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
    goal: Arc<Goal>,
}

/// What all have got together.
struct Goal {
    bytes: u64,
    got: AtomicU64,
    /// Peers that got a block.
    served: AtomicUsize,
}

struct Peer {
    stream: TcpStream,
    blocks: Blocks,
    outstanding: u32,
    served: bool,
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
            Ok(Peer { stream, blocks: Blocks { count, in_piece, next }, outstanding: 0, served: false })
        };
        let peers = (0..peers).map(|number| runtime.block_on(connect(number))).collect::<Result<_, _>>()?;
        let goal = Arc::new(Goal { bytes, got: AtomicU64::new(0), served: AtomicUsize::new(0) });
        Ok(Self { runtime, peers, goal })
    }

    /// Has all of them ask until the bytes are there; says how many got a block.
    pub fn fetch(self) -> Result<usize, Box<dyn std::error::Error>> {
        let Self { runtime, peers, goal } = self;
        let all = async {
            let mut tasks = JoinSet::new();
            for peer in peers {
                tasks.spawn(peer.fetch(Arc::clone(&goal)));
            }
            // The first to see the goal reached ends it for all.
            tasks.join_next().await
        };
        let first = runtime.block_on(async { tokio::time::timeout(PATIENCE, all).await })?;
        first.ok_or("nobody asked")?.map_err(|error| error.to_string())??;
        Ok(goal.served.load(Ordering::Relaxed))
    }
}

impl Peer {
    async fn fetch(mut self, goal: Arc<Goal>) -> std::io::Result<()> {
        let mut buffer = vec![0; READ];
        // Bytes of a header that is not all there, and of a message to be passed over.
        let (mut held, mut skip) = (0, 0);
        self.say(&[Message::Interested]).await?;
        while goal.got.load(Ordering::Relaxed) < goal.bytes {
            let read = self.stream.read(&mut buffer[held..]).await?;
            if read == 0 {
                return Err(std::io::Error::other("the seeder hung up"));
            }
            let end = held + read;
            let mut at = skip.min(end);
            skip -= at;
            while let Some(&[a, b, c, d]) = buffer[at..end].first_chunk() {
                let length = u32::from_be_bytes([a, b, c, d]);
                let Some(&id) = buffer[..end].get(at + 4) else { break };
                let whole = 4 + length as usize;
                if length > 0 {
                    self.heard(id, length, &goal).await?;
                }
                skip = whole.saturating_sub(end - at);
                at = end.min(at + whole);
            }
            buffer.copy_within(at..end, 0);
            held = end - at;
        }
        Ok(())
    }

    /// A message begins. What it says beyond its id is of no interest.
    async fn heard(&mut self, id: u8, length: u32, goal: &Goal) -> std::io::Result<()> {
        match id {
            // With a choke all requests are forgotten.
            0 => self.outstanding = 0,
            1 => self.ask().await?,
            7 => {
                goal.got.fetch_add(u64::from(length) - 9, Ordering::Relaxed);
                if !std::mem::replace(&mut self.served, true) {
                    goal.served.fetch_add(1, Ordering::Relaxed);
                }
                self.outstanding = self.outstanding.saturating_sub(1);
                if self.outstanding == DEPTH / 2 {
                    self.ask().await?;
                }
            }
            _ => {}
        }
        Ok(())
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
