//! The handle to one torrent: commands go in, its status comes out.
//!
//! Anyone may hold one; dropping it changes nothing. Commands go by way of the session, which knows whether the torrent has a
//! task or is idle.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use ::announce::Edit;
use metainfo::{Info, InfoHash, InfoHashes, PeerId};
use swarm::Priority;
use tokio::sync::{mpsc, watch};

use crate::session;
use crate::status::{Phase, Status};

/// What the user asks of a torrent.
#[derive(Debug)]
pub(crate) enum Command {
    Priorities(Vec<Priority>),
    Sequential(bool),
    Limits { download: Option<u64>, upload: Option<u64> },
    Peers(Vec<SocketAddr>),
    Found(Vec<SocketAddr>),
    Heard(SocketAddr),
    Announced(PeerId, IpAddr, u64),
    Trackers(Edit),
    Pause,
    Resume,
}

/// A torrent of an engine. Commands to one that has ended do nothing.
#[derive(Clone, Debug)]
pub struct Torrent {
    pub(crate) hashes: InfoHashes,
    pub(crate) wire_hash: InfoHash,
    pub(crate) peer_id: PeerId,
    /// Gone when the engine is dropped, whoever still has this handle.
    pub(crate) session: mpsc::WeakSender<session::Command>,
    pub(crate) status: watch::Receiver<Arc<Status>>,
    pub(crate) info: Arc<OnceLock<Arc<Info>>>,
}

impl Torrent {
    /// The hash it goes by on the wire and at trackers.
    pub fn hash(&self) -> InfoHash {
        self.wire_hash
    }

    /// All its hashes known from the start: for a magnet link those in the link.
    pub fn hashes(&self) -> InfoHashes {
        self.hashes
    }

    /// Our name in its swarm, new in each run.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// How it is, at most half a second old.
    pub fn status(&self) -> Arc<Status> {
        self.status.borrow().clone()
    }

    /// Waits until its status is another one than at the last call; `false`: it has ended and nothing will change.
    pub async fn changed(&mut self) -> bool {
        self.status.changed().await.is_ok()
    }

    /// Its info dictionary, once known.
    pub fn info(&self) -> Option<Arc<Info>> {
        self.info.get().cloned()
    }

    /// What the user wants of each file of [`Info::files`], padding included.
    pub async fn set_priorities(&self, priorities: Vec<Priority>) {
        self.send(Command::Priorities(priorities)).await;
    }

    /// Fetch pieces in order, or rarest first again.
    pub async fn set_sequential(&self, sequential: bool) {
        self.send(Command::Sequential(sequential)).await;
    }

    /// Its own limits in bytes a second, below the engine's; `None`: no limit.
    pub async fn set_limits(&self, download: Option<u64>, upload: Option<u64>) {
        self.send(Command::Limits { download, upload }).await;
    }

    /// Addresses the user names.
    pub async fn add_peers(&self, peers: Vec<SocketAddr>) {
        self.send(Command::Peers(peers)).await;
    }

    /// Addresses that a tracker knows, told in another way than by an announce.
    pub async fn found_peers(&self, peers: Vec<SocketAddr>) {
        self.send(Command::Found(peers)).await;
    }

    /// A peer told a tracker of ours that it begins to fetch so many bytes: a sizing origin counts downloads by that.
    pub async fn announced(&self, id: PeerId, ip: IpAddr, left: u64) {
        self.send(Command::Announced(id, ip, left)).await;
    }

    /// More trackers, in tiers behind those that there are; they are announced to at once, and may be on any address.
    pub async fn add_trackers(&self, tiers: Vec<Vec<String>>) {
        self.send(Command::Trackers(Edit::Add(tiers))).await;
    }

    /// Without these trackers, which are told that we leave.
    pub async fn remove_trackers(&self, urls: Vec<String>) {
        self.send(Command::Trackers(Edit::Remove(urls))).await;
    }

    /// These trackers instead of all that there are; those that stay notice nothing.
    pub async fn replace_trackers(&self, tiers: Vec<Vec<String>>) {
        self.send(Command::Trackers(Edit::Replace(tiers))).await;
    }

    /// Asks for nothing and serves nothing until [`Torrent::resume`]; connections stay.
    pub async fn pause(&self) {
        self.send(Command::Pause).await;
    }

    /// Goes on after a pause, or after the reason of a [`Phase::Failed`] has been dealt with.
    pub async fn resume(&self) {
        self.send(Command::Resume).await;
    }

    /// Ends it: tells its trackers (for at most three seconds), finishes writing, saves; returns when all is done.
    pub async fn stop(&self) {
        self.ask(session::Command::Stop(self.wire_hash)).await;
        let mut status = self.status.clone();
        while status.changed().await.is_ok() {}
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        matches!(self.status.borrow().phase, Phase::Stopped) || self.status.has_changed().is_err()
    }

    async fn send(&self, command: Command) {
        self.ask(session::Command::Tell(self.wire_hash, Box::new(command))).await;
    }

    async fn ask(&self, command: session::Command) {
        let Some(session) = self.session.upgrade() else { return };
        if session.send(command).await.is_err() {
            tracing::debug!(hash = %self.wire_hash, "the engine has ended");
        }
    }
}
