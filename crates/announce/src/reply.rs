//! What a tracker answers (BEP 3, 24, 31, 48), as values.
//!
//! Owned by whoever asked. How the answer looks on the wire is `http`'s and `udp`'s business; what both must check is here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The announce intervals a client accepts; anything outside is moved to the nearer end.
///
/// Five seconds is the fastest we ask anybody anything; after a day a peer would long have been forgotten.
pub const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(24 * 60 * 60);

/// How many peers of one reply are kept: ten times what a big tracker sends, and forty times what a swarm connects to.
pub const MAX_PEERS: usize = 2000;

/// How much of a tracker's words is shown, in characters: a few lines of a terminal.
const MAX_WORDS: usize = 300;

/// A tracker's answer to an announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceReply {
    /// When to announce again; always within [`INTERVALS`].
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

/// Packed addresses of `N` bytes. A tail shorter than a peer is ignored: the whole ones before it are good.
pub(crate) fn packed_peers<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> + '_ {
    bytes.as_chunks::<N>().0.iter().filter_map(|chunk| {
        let (ip, port) = chunk.split_last_chunk::<2>()?;
        Some((packed_ip(ip)?, u16::from_be_bytes(*port)).into())
    })
}

pub(crate) fn packed_ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|ip| IpAddr::V4(ip.into()));
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|ip| IpAddr::V6(Ipv6Addr::from(ip)).to_canonical())).ok()
}

/// Adds the peers that can be dialled, up to [`MAX_PEERS`] in all.
pub(crate) fn keep_usable(found: impl Iterator<Item = SocketAddr>, peers: &mut Vec<SocketAddr>) {
    let room = MAX_PEERS.saturating_sub(peers.len());
    peers.extend(found.filter(|peer| peer.port() != 0 && !peer.ip().is_unspecified()).take(room));
}

pub(crate) fn within(time: Duration, bounds: &RangeInclusive<Duration>) -> Duration {
    time.clamp(*bounds.start(), *bounds.end())
}

/// A stranger's words, without control characters and not endless.
pub(crate) fn words(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes.get(..MAX_WORDS * 4).unwrap_or(bytes)).into_owned();
    text.retain(|character| !character.is_control());
    text.chars().take(MAX_WORDS).collect()
}
