//! What a tracker answers (BEP 3, 24, 31, 48), as values.
//!
//! Owned by whoever asked. How the answer looks on the wire is `http`'s business.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A tracker's answer to an announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceReply {
    /// When to announce again; always within [`crate::http::INTERVALS`].
    pub interval: Duration,
    /// Never to announce earlier than this, events apart.
    pub min_interval: Option<Duration>,
    /// To be repeated in the next announce to this tracker.
    pub tracker_id: Option<Vec<u8>>,
    /// Something the user should read, although the announce was accepted.
    pub warning: Option<String>,
    /// Where other peers listen; no port is 0.
    pub peers: Vec<SocketAddr>,
    /// How many peers have everything.
    pub complete: Option<u32>,
    /// How many do not.
    pub incomplete: Option<u32>,
    /// Our address as the tracker sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
}

/// Counts of one swarm (BEP 48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeEntry {
    /// Peers that have everything.
    pub complete: u32,
    /// Peers that do not.
    pub incomplete: u32,
    /// Downloads that were completed.
    pub downloaded: u32,
    /// Peers that still download: the incomplete without the partial seeds (BEP 21).
    pub downloaders: Option<u32>,
}

/// When a refused client may come back (BEP 31).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After this long.
    After(Duration),
    /// Not at all.
    Never,
}

/// Why a reply holds no peers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The tracker refused, in its own words.
    #[error("{reason}")]
    Failure {
        /// The tracker's words, made safe to print.
        reason: String,
        /// When it may be asked again, if it said so.
        retry: Option<Retry>,
    },
    /// The bytes are no tracker reply.
    #[error("not a tracker reply: {0}")]
    Malformed(&'static str),
}

/// Why an announce came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// No answer: the name, the connection, the time or the HTTP status; in the driver's words.
    #[error("{0}")]
    Unreachable(String),
    /// An answer without peers.
    #[error(transparent)]
    Reply(#[from] ReplyError),
}
