//! A torrent's hands: performs what its swarm wants done, and never waits (architecture section 4.2).
//!
//! Owned by the torrent task. Peer tasks, dials and announces run as its tasks; what comes of them arrives as [`Input`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use ::announce::{AnnounceError, AnnounceReply, TrackerKey};
use bytes::Bytes;
use metainfo::{Bitfield, BlockRef, InfoHash, PeerId, PieceIndex};
use storage::resume::Resume;
use storage::{Commit, TorrentFiles};
use swarm::{Action, Endpoint, Event, PeerKey};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::dial;
use crate::limits::{Bucket, Levels};
use crate::listen::Incoming;
use crate::peer::Order;
use crate::status::Halt;
use crate::webseed::{Unfetched, WebSeeds};

/// What all tasks of one torrent have in common.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) context: Arc<Context>,
    pub(crate) wire_hash: InfoHash,
    pub(crate) peer_id: PeerId,
    pub(crate) inbox: mpsc::Sender<Input>,
    /// Where blocks are read from, once the torrent is known.
    pub(crate) files: OnceLock<Arc<TorrentFiles>>,
    pub(crate) download: Bucket,
    pub(crate) upload: Bucket,
}

impl Home {
    pub(crate) fn download(&self) -> Levels<'_> {
        Levels(&self.context.download, &self.download)
    }

    pub(crate) fn upload(&self) -> Levels<'_> {
        Levels(&self.context.upload, &self.upload)
    }
}

/// What arrives at a torrent task. Channels are made for 32 of them at a time, so what is large is boxed.
#[derive(Debug)]
pub(crate) enum Input {
    /// What one read or write of one peer gave.
    Events(Vec<Event>),
    /// A connection is through its handshake.
    Joined(Box<Joined>),
    /// A peer that dialled us named this torrent.
    Incoming(Box<Incoming>),
    /// A piece was written, or not.
    Committed(Box<(Event, Option<Halt>)>),
    /// A tracker answered, or not.
    Announced { tracker: TrackerKey, result: Box<Result<AnnounceReply, AnnounceError>> },
    /// A fetch from a web seed ended before its end.
    Unfetched(Box<Unfetched>),
    /// Addresses the user named.
    Named(Vec<SocketAddr>),
    /// A save of resume data is over.
    Saved(Box<Resume>),
}

/// A peer task that can be given orders.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) key: PeerKey,
    pub(crate) orders: mpsc::Sender<Vec<Order>>,
    pub(crate) connected: Event,
}

/// See the module's head.
pub(crate) struct Outside {
    pub(crate) home: Arc<Home>,
    pub(crate) tasks: JoinSet<()>,
    /// Pieces at the disk threads.
    pub(crate) commits: usize,
    pub(crate) web: WebSeeds,
    links: BTreeMap<PeerKey, Link>,
    /// Those whose orders wait to be sent.
    touched: Vec<PeerKey>,
    next_key: u64,
}

struct Link {
    /// `None`: hung up on; its `Gone` is on the way.
    channel: Option<mpsc::Sender<Vec<Order>>>,
    orders: Vec<Order>,
    touched: bool,
}

impl Outside {
    pub(crate) fn new(home: Arc<Home>) -> Self {
        Self {
            home,
            tasks: JoinSet::new(),
            commits: 0,
            web: WebSeeds::default(),
            links: BTreeMap::new(),
            touched: Vec::new(),
            next_key: 0,
        }
    }

    /// Does what needs no decision; `Complete` and `WantPeers` are the torrent's business.
    pub(crate) fn perform(&mut self, action: Action) {
        match action {
            Action::Dial(at) => self.dial(at),
            Action::Say { peer, message } => self.order(peer, Order::Say(message)),
            Action::Serve { peer, block } => self.order(peer, Order::Serve(block)),
            Action::Unserve { peer, block } => self.order(peer, Order::Unserve(block)),
            Action::Commit { piece, blocks, digests } => self.commit(piece, blocks, digests),
            Action::Compare { peer, block, data } => self.compare(peer, block, data),
            Action::Resized { mode, reason } => {
                tracing::info!(hash = %self.home.wire_hash, mode = mode.name(), reason, "the origin changes its mode");
            }
            Action::HangUp { peer, why } => {
                tracing::debug!(peer = peer.0, ?why, "hanging up");
                self.hang_up(peer);
            }
            Action::Ban(ip) => {
                tracing::info!(%ip, "banned");
                self.home.context.ban(ip);
            }
            Action::Fetch { seed, fetch, blocks } => {
                self.web.fetch(&self.home, &mut self.tasks, seed, fetch, &blocks);
            }
            Action::Unfetch(fetch) => self.web.unfetch(fetch),
            Action::BanWebSeed(seed) => self.web.banned(seed),
            Action::Complete | Action::WantPeers => {}
        }
    }

    /// Sends each peer its orders, in one batch.
    pub(crate) fn flush(&mut self) {
        for key in std::mem::take(&mut self.touched) {
            let Some(link) = self.links.get_mut(&key) else { continue };
            link.touched = false;
            let orders = std::mem::take(&mut link.orders);
            let Some(channel) = &link.channel else { continue };
            if let Err(error) = channel.try_send(orders) {
                tracing::debug!(peer = key.0, %error, "orders");
                link.channel = None;
            }
        }
    }

    /// Takes in a peer that said its handshake to us.
    pub(crate) fn accept(&mut self, incoming: Incoming) {
        let key = self.new_key();
        self.tasks.spawn(dial::incoming(self.home.clone(), key, incoming));
    }

    /// Opens the way for orders; the first batch is sent even if it is empty, because the peer task waits for it.
    pub(crate) fn joined(&mut self, Joined { key, orders, connected }: Joined) -> Event {
        self.links.insert(key, Link { channel: Some(orders), orders: Vec::new(), touched: true });
        self.touched.push(key);
        connected
    }

    /// A peer task ended; `false` if that was known.
    pub(crate) fn gone(&mut self, peer: PeerKey) -> bool {
        self.links.remove(&peer).is_some()
    }

    /// A task crashed: the peers whose task is no more.
    pub(crate) fn lost(&self) -> Vec<PeerKey> {
        let closed = |link: &Link| link.channel.as_ref().is_none_or(mpsc::Sender::is_closed);
        self.links.iter().filter(|(_, link)| closed(link)).map(|(&key, _)| key).collect()
    }

    /// Whether no task of the torrent's is left, and nothing that the disk has to answer.
    pub(crate) fn is_idle(&self) -> bool {
        self.tasks.is_empty() && self.links.is_empty() && self.commits == 0
    }

    /// Ends all connections.
    pub(crate) fn hang_up_all(&mut self) {
        self.web.unfetch_all();
        self.links.clear();
    }

    fn hang_up(&mut self, peer: PeerKey) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.channel = None;
        }
    }

    fn new_key(&mut self) -> PeerKey {
        self.next_key += 1;
        PeerKey(self.next_key)
    }

    fn dial(&mut self, at: Endpoint) {
        let key = self.new_key();
        match at {
            Endpoint::Tcp(at) => self.tasks.spawn(dial::outgoing(self.home.clone(), key, at)),
            _ => return,
        };
    }

    fn order(&mut self, peer: PeerKey, order: Order) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        link.orders.push(order);
        if !link.touched {
            link.touched = true;
            self.touched.push(peer);
        }
    }

    /// Compares a proof with our own copy. If they differ ours is hashed before anybody is blamed.
    fn compare(&self, peer: PeerKey, block: BlockRef, data: Bytes) {
        let Some(files) = self.home.files.get().cloned() else { return };
        let (disk, inbox) = (self.home.context.disk.clone(), self.home.inbox.clone());
        let piece = block.piece();
        // The torrent may have ended; then nobody asks.
        let tell = move |event| _ = inbox.blocking_send(Input::Events(vec![event]));
        self.home.context.disk.read(&files.clone(), vec![block], move |_, ours| match ours {
            Ok(ours) if ours == data => tell(Event::Compared { peer, block, equal: true }),
            Ok(_) => {
                let mut suspect = Bitfield::none(files.info().layout().piece_count());
                suspect.set(piece.0);
                let (progress, cancel) = (Arc::default(), Arc::default());
                disk.check(&files, &suspect, progress, cancel, move |right| {
                    let ours_is_right = right.is_ok_and(|right| right.get(piece.0));
                    let blame = Event::Compared { peer, block, equal: false };
                    tell(if ours_is_right { blame } else { Event::Lost { piece } });
                });
            }
            Err((_, error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "reading a block");
                tell(Event::Lost { piece });
            }
        });
    }

    fn commit(&mut self, piece: PieceIndex, blocks: Vec<Bytes>, digests: bool) {
        let Some(files) = self.home.files.get() else { return };
        self.commits += 1;
        let inbox = self.home.inbox.clone();
        let held = self.home.context.backlog.hold(blocks.iter().map(|block| block.len() as u64).sum());
        self.home.context.disk.commit(files, piece, blocks, digests, move |commit| {
            drop(held);
            let (event, halt) = match commit {
                Commit::Written { digests } => (Event::Committed { piece, digests }, None),
                Commit::Mismatch { digests } => (Event::Rejected { piece, digests }, None),
                Commit::Disagree => (Event::WriteFailed { piece }, Some(Halt::Disagree(piece))),
                Commit::Failed(error) => (Event::WriteFailed { piece }, Some(error.into())),
            };
            // The torrent may have ended; then nobody asks.
            let _ended = inbox.blocking_send(Input::Committed(Box::new((event, halt))));
        });
    }
}
