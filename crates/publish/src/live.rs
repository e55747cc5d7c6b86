//! How a release stands at this moment: what the page shows beside it and `/live.json` tells.
//!
//! Plain values, given by whoever runs the swarms. Nothing is measured here.

use metainfo::InfoHash;
use serde::Serialize;

/// Tells how releases stand.
pub trait Live: Send + Sync + 'static {
    /// How a release stands, by the hash it goes by on the wire; `None`: nobody knows.
    fn standing(&self, hash: InfoHash) -> Option<Standing>;
}

/// How one release stands.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Standing {
    /// Complete peers that the tracker counts, the origin not among them.
    pub seeders: u64,
    /// Incomplete peers that the tracker counts.
    pub leechers: u64,
    /// Downloads that were completed, as clients report them: can be forged.
    pub reported: u64,
    /// What the origin does.
    pub origin: Origin,
    /// What was saved so far.
    pub saved: Saved,
}

/// What the origin does.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Origin {
    /// `full`, `spread`, `silent`, or `plain` if it does not size itself.
    pub mode: &'static str,
    /// Why, in words.
    pub reason: String,
    /// Copies of the rarest piece among the peers that it knows.
    pub copies: u32,
    /// Bytes a second it sends.
    pub rate: u64,
}

/// What the crowd carried, from the origin's own counters. In bytes of payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Saved {
    /// Payload delivered in verified downloads, and over plain HTTP.
    pub delivered: u64,
    /// Payload the origin sent: peer protocol, web seed and plain HTTP.
    pub sent: u64,
    /// Delivered by peers: the difference.
    pub saved: u64,
    /// Downloads that were proved complete.
    pub verified: u64,
    /// Downloads that said so and were not proved.
    pub claimed: u64,
    /// Money not spent, in hundredths, if the publisher named a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved_cents: Option<u64>,
}
