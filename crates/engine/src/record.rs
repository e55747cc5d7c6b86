//! What is kept of a torrent while nothing happens; the torrent's task works on it while something does.
//!
//! Belongs to the task as long as there is one, else to the session (decision 0009). It decides nothing.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::announce::Announcer;
use metainfo::{Info, InfoHashes, PeerId};
use storage::TorrentFiles;
use swarm::Priority;

use crate::config::Add;
use crate::save::Saver;

/// See the module's head.
pub(crate) struct Record {
    pub(crate) add: Add,
    pub(crate) hashes: InfoHashes,
    pub(crate) peer_id: PeerId,
    /// Bytes of memory for unverified pieces.
    pub(crate) memory: u64,
    /// Seeds the machines.
    pub(crate) rng: fastrand::Rng,
    pub(crate) info: Arc<OnceLock<Arc<Info>>>,
    pub(crate) announcer: Option<Announcer>,
    pub(crate) saver: Saver,
    /// What the user wants of each file.
    pub(crate) wishes: Vec<Priority>,
    /// Its place on disk, once that has been looked at.
    pub(crate) files: Option<Arc<TorrentFiles>>,
    /// Of this run, the present swarm's not counted.
    pub(crate) moved: Moved,
    /// Its own limits in bytes a second.
    pub(crate) download_limit: Option<u64>,
    pub(crate) upload_limit: Option<u64>,
}

/// Payload bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    pub(crate) uploaded: u64,
    pub(crate) downloaded: u64,
    pub(crate) wasted: u64,
}

impl Record {
    pub(crate) fn new(
        add: Add,
        hashes: InfoHashes,
        peer_id: PeerId,
        memory: u64,
        seed: u64,
        info: Arc<OnceLock<Arc<Info>>>,
    ) -> Self {
        Self {
            add,
            hashes,
            peer_id,
            memory,
            rng: fastrand::Rng::with_seed(seed),
            info,
            announcer: None,
            saver: Saver::default(),
            wishes: Vec::new(),
            files: None,
            moved: Moved::default(),
            download_limit: None,
            upload_limit: None,
        }
    }

    /// When it has to announce again.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.announcer.as_ref().and_then(Announcer::next_deadline)
    }
}
