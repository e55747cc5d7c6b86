//! What a swarm is given at its start: the torrent, what is here already, and the user's limits.
//!
//! Owned by whoever makes the [`Swarm`](crate::Swarm). Plain values; nothing is decided here.

use std::sync::Arc;

use bytes::Bytes;
use metainfo::{Bitfield, Layout, PeerId};

use crate::event::Priority;
use crate::origin::Sizing;

/// The user's limits for one torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The most connections at a time. 500 is what one torrent can use; more is only memory.
    pub max_peers: usize,
    /// How many peers are served at a time; `None`: eight, and more as the upload rate grows.
    pub upload_slots: Option<usize>,
    /// Bytes of unverified pieces held in memory. One piece may always be held, however long.
    pub memory_budget: u64,
    /// Fetch pieces in order instead of rarest first.
    pub sequential: bool,
    /// A swarm that begins complete gives each piece about once, and nothing while the crowd can do without it. `None`: it serves
    /// whoever asks.
    pub sizing: Option<Sizing>,
    /// Our listening port, told to peers; 0: we do not listen.
    pub listen_port: u16,
    /// Peers are told of each other, and believed (BEP 11); not in private torrents.
    pub pex: bool,
    /// Our name and version, told to peers.
    pub client: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_peers: 500,
            upload_slots: None,
            memory_budget: 64 << 20,
            sequential: false,
            sizing: None,
            listen_port: 0,
            pex: true,
            client: String::from("Headwater"),
        }
    }
}

/// All that a swarm needs to begin.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The geometry of the torrent.
    pub layout: Arc<Layout>,
    /// The raw info dictionary, for serving it (BEP 9).
    pub metadata: Option<Bytes>,
    /// The pieces that are on disk and verified. One of a wrong length counts as empty.
    pub have: Bitfield,
    /// The user's wish for each file in order; files beyond its end are `Normal`.
    pub priorities: Vec<Priority>,
    /// The limits.
    pub config: Config,
    /// Our own name in this run.
    pub our_id: PeerId,
    /// Peers come from trackers and the user only (BEP 27).
    pub private: bool,
    /// The web seeds, each by a number for its host: two fetches at a time are made from one host. The first
    /// [`MAX_WEB_SEEDS`](crate::MAX_WEB_SEEDS) are used.
    pub web_seeds: Vec<u32>,
    /// Seeds every random choice.
    pub seed: u64,
}
