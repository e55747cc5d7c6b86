//! What the user sees of a torrent: its [`Status`], and why it stopped, a [`Halt`].
//!
//! Made by the torrent task, read by anyone; never changed in place.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metainfo::{InfoHash, PieceIndex};
use storage::StorageError;
use swarm::{Completions, Mode};

/// A torrent at one moment. Bytes are payload bytes; padding is never counted.
#[derive(Clone, Debug)]
pub struct Status {
    /// The name on the wire and at trackers.
    pub hash: InfoHash,
    /// The torrent's name, or the magnet link's, or the hash.
    pub name: String,
    /// What it is doing.
    pub phase: Phase,
    /// Pieces verified and on disk.
    pub have: u32,
    /// Pieces of the torrent; 0 while unknown.
    pub pieces: u32,
    /// Bytes of the wanted files that are verified and on disk.
    pub done: u64,
    /// Bytes of the wanted files; 0 while unknown.
    pub total: u64,
    /// Bytes of the whole torrent that are missing, wanted or not.
    pub left: u64,
    /// Payload received, all runs together.
    pub downloaded: u64,
    /// Payload sent, all runs together.
    pub uploaded: u64,
    /// Payload received for nothing: late, unasked or damaged.
    pub wasted: u64,
    /// Bytes a second being received.
    pub rate_down: u64,
    /// Bytes a second being sent.
    pub rate_up: u64,
    /// Connected peers.
    pub peers: u32,
    /// Those of them that have everything.
    pub seeds: u32,
    /// Web seeds that are being fetched from.
    pub web_seeds: u32,
    /// Payload received from web seeds in this run; a part of `downloaded`.
    pub from_web: u64,
    /// Its web seeds, the user's first.
    pub web: Vec<WebSeedStatus>,
    /// Its trackers, in order.
    pub trackers: Vec<TrackerStatus>,
    /// How long the rest takes at the present rate.
    pub eta: Option<Duration>,
    /// Bytes of the info dictionary received and expected, while it is being fetched and its size is known.
    pub metadata: Option<(u64, u64)>,
    /// A connected peer lacks a piece that no other connected peer has.
    pub needed_by_others: bool,
    /// How a sizing origin does; see [`Add::sizing`](crate::Add::sizing).
    pub origin: Option<OriginStatus>,
}

/// A sizing origin at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginStatus {
    /// How much it gives.
    pub mode: Mode,
    /// How long it has been doing so.
    pub age: Duration,
    /// Why, in words.
    pub reason: String,
    /// Copies of the rarest piece at connected peers that proved what they have.
    pub copies: usize,
    /// Connected peers that lack something and ask for it.
    pub downloaders: usize,
    /// Connected peers that have everything and proved it.
    pub holders: usize,
    /// Downloads that came to their end in this run.
    pub completions: Completions,
    /// Where its connected peers are.
    pub connected: Vec<IpAddr>,
}

/// What a torrent is doing.
#[derive(Clone, Debug)]
pub enum Phase {
    /// The info dictionary is being fetched from peers.
    Metadata,
    /// Files on disk are being hashed.
    Checking {
        /// Bytes hashed.
        done: u64,
        /// Bytes to hash.
        total: u64,
    },
    /// Something wanted is missing.
    Downloading,
    /// Nothing wanted is missing.
    Seeding,
    /// The user paused it.
    Paused,
    /// It ended as asked.
    Stopped,
    /// It cannot go on by itself.
    Failed(Arc<Halt>),
}

impl Phase {
    /// Whether two phases are the same step, progress apart.
    pub(crate) fn same_step(&self, other: &Phase) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// One tracker, as the user wants to see it.
#[derive(Clone, Debug, Default)]
pub struct TrackerStatus {
    /// Its address.
    pub url: String,
    /// It answered the last announce well.
    pub working: bool,
    /// What went wrong last, in words; also a tracker's warning.
    pub message: Option<String>,
    /// Complete peers, as it counted them.
    pub seeds: Option<u64>,
    /// Incomplete peers, as it counted them.
    pub leechers: Option<u64>,
    /// Time until the next announce.
    pub next: Option<Duration>,
}

/// One web seed, as the user wants to see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSeedStatus {
    /// Its address.
    pub url: String,
    /// Nothing speaks against it: its last fetch went well, or wants to be repeated later, or it has not been asked.
    pub working: bool,
    /// It is asked nothing more.
    pub out: bool,
    /// What went wrong last, in words.
    pub message: Option<String>,
    /// Payload received from it in this run.
    pub downloaded: u64,
}

/// Why a torrent cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Halt {
    /// No room for a piece.
    #[error("the disk is full")]
    DiskFull(#[source] StorageError),
    /// The system forbids it.
    #[error("no permission")]
    Permission(#[source] StorageError),
    /// Reading or writing went wrong in another way.
    #[error("the files cannot be used")]
    Storage(#[source] StorageError),
    /// The v1 and the v2 hashes of one piece contradict each other: no data can satisfy both.
    #[error("the v1 and v2 hashes of piece {} disagree", .0.0)]
    Disagree(PieceIndex),
    /// Another process has this torrent in this folder.
    #[error("this torrent is in use in this folder")]
    Locked(#[source] StorageError),
    /// The info dictionary the peers sent has the right hash but is no torrent.
    #[error("the torrent's info dictionary is malformed")]
    Metadata(#[source] metainfo::ParseError),
    /// The torrent has v2 hashes alone; only v1 and hybrid torrents can be transferred.
    #[error("v2-only torrents cannot be transferred")]
    V2Only,
    /// The choice of files makes no sense for this torrent, in the chooser's words.
    #[error("{0}")]
    Selection(String),
    /// A defect in the program; the other torrents go on.
    #[error("the torrent's task crashed")]
    Crashed,
}

impl From<StorageError> for Halt {
    fn from(error: StorageError) -> Self {
        if matches!(error, StorageError::Locked { .. }) {
            Self::Locked(error)
        } else if error.is_disk_full() {
            Self::DiskFull(error)
        } else if error.is_permission() {
            Self::Permission(error)
        } else {
            Self::Storage(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn halt(kind: io::ErrorKind) -> Halt {
        StorageError::Io { doing: "write", path: "film".into(), source: kind.into() }.into()
    }

    #[test]
    fn a_halt_says_what_the_user_can_do_about_it() {
        assert!(matches!(halt(io::ErrorKind::StorageFull), Halt::DiskFull(_)));
        assert!(matches!(halt(io::ErrorKind::PermissionDenied), Halt::Permission(_)));
        assert!(matches!(halt(io::ErrorKind::InvalidInput), Halt::Storage(_)));
    }
}
