//! How a client and a tracker talk, in both directions, and neighbours without one (BEP 3, 7, 12, 14, 15, 21, 23, 24, 27, 31, 41, 48).
//!
//! Pure: it turns announces into URLs or datagrams and replies into values for a client, the reverse for a tracker, and decides
//! whom a client asks and when ([`Announcer`]). Sockets, and the counters that an announce reports, are the driver's.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod announcer;
pub mod http;
pub mod lsd;
mod reply;
pub mod udp;

use metainfo::{InfoHash, PeerId};

pub use announcer::{Action, Announcer, Edit, Event, TrackerKey, TrackerState, TrackerStatus};
pub use reply::{AnnounceError, AnnounceReply, ReplyError, Retry, ScrapeEntry};

/// What an announce says has happened since the last one (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceEvent {
    /// The download (or the seeding) begins.
    Started,
    /// The last wanted piece has come; never sent by a peer that started complete.
    Completed,
    /// The peer leaves.
    Stopped,
    /// The peer has what it wants but not everything, and only uploads (BEP 21).
    Paused,
}

/// How a client would like the peers written (BEP 23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerFormat {
    /// Packed addresses: six bytes a peer, eighteen for IPv6.
    #[default]
    Compact,
    /// A list of dictionaries.
    Dictionary,
}

/// One announce: who is in which swarm, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Who announces.
    pub peer_id: PeerId,
    /// Where the peer listens; never 0.
    pub port: u16,
    /// Payload bytes sent since `started`.
    pub uploaded: u64,
    /// Payload bytes received since `started`.
    pub downloaded: u64,
    /// Bytes still missing of the whole torrent; any number but 0 while that is unknown.
    pub left: u64,
    /// What happened, if anything did.
    pub event: Option<AnnounceEvent>,
    /// How many peers are wanted; `None` leaves it to the tracker.
    pub numwant: Option<u32>,
    /// Stays the same when the client's address changes.
    pub key: Option<u32>,
    /// What the tracker asked to be told again (BEP 3, `tracker id`).
    pub tracker_id: Option<Vec<u8>>,
    /// How the peers are to be written.
    pub format: PeerFormat,
}
