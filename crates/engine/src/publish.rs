//! Shows a torrent to the outside: its status at most twice a second, and at once when its phase changes.
//!
//! Owned by the torrent task. Readers never ask; they look at the last one published.

use std::sync::Arc;
use std::time::Duration;

use ::announce::{Announcer, TrackerState};
use metainfo::InfoHash;
use tokio::sync::watch;

use crate::config::{Add, What};
use crate::status::{Phase, Status, TrackerStatus};

/// The least time between two statuses of the same phase.
const PERIOD: Duration = Duration::from_millis(500);

/// See the module's head.
pub(crate) struct Publisher {
    sender: Arc<watch::Sender<Arc<Status>>>,
    /// When a status is due, if anything happened since the last one.
    due: Option<Duration>,
    last: Duration,
}

impl Publisher {
    pub(crate) fn new(sender: Arc<watch::Sender<Arc<Status>>>) -> Self {
        Self { sender, due: None, last: Duration::ZERO }
    }

    pub(crate) fn into_sender(self) -> Arc<watch::Sender<Arc<Status>>> {
        self.sender
    }

    /// Something happened.
    pub(crate) fn touch(&mut self) {
        self.due.get_or_insert(self.last + PERIOD);
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.due
    }

    pub(crate) fn is_due(&self, now: Duration) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    pub(crate) fn current(&self) -> Arc<Status> {
        self.sender.borrow().clone()
    }

    /// Publishes; while anything moves another one will follow, so that rates are seen to fall.
    pub(crate) fn publish(&mut self, now: Duration, status: Status) {
        self.last = now;
        let moving = status.rate_down > 0 || status.rate_up > 0;
        self.due = moving.then_some(now + PERIOD);
        self.sender.send_replace(Arc::new(status));
    }

    /// Publishes another phase; all else is as it was.
    pub(crate) fn phase(&mut self, phase: Phase) {
        self.sender.send_modify(|status| Arc::make_mut(status).phase = phase);
    }
}

/// The status of a torrent whose task has not begun.
pub(crate) fn first_status(hash: InfoHash, name: Option<String>, add: &Add) -> Status {
    let (phase, pieces, total) = match &add.what {
        What::Metainfo(metainfo) => {
            let layout = metainfo.info.layout();
            let total = layout.content_length();
            (Phase::Checking { done: 0, total: 0 }, layout.piece_count(), total)
        }
        What::Magnet(_) => (Phase::Metadata, 0, 0),
    };
    Status {
        hash,
        name: name.unwrap_or_else(|| hash.to_string()),
        phase,
        have: 0,
        pieces,
        done: 0,
        total,
        left: total,
        downloaded: 0,
        uploaded: 0,
        wasted: 0,
        rate_down: 0,
        rate_up: 0,
        peers: 0,
        seeds: 0,
        web_seeds: 0,
        from_web: 0,
        web: Vec::new(),
        trackers: Vec::new(),
        eta: None,
        metadata: None,
        needed_by_others: false,
        origin: None,
    }
}

/// The trackers, as people want to see them.
pub(crate) fn trackers(now: Duration, announcer: &Announcer) -> Vec<TrackerStatus> {
    let shown = |tracker: ::announce::TrackerStatus| {
        let (working, message) = match tracker.state {
            TrackerState::Unasked => (false, None),
            TrackerState::Working { warning, .. } => (true, warning),
            TrackerState::Failing(error) => (false, Some(error.to_string())),
        };
        TrackerStatus {
            url: tracker.url,
            working,
            message,
            seeds: tracker.seeds.map(u64::from),
            leechers: tracker.leechers.map(u64::from),
            next: tracker.next.map(|next| next.saturating_sub(now)),
        }
    };
    announcer.status().map(shown).collect()
}
