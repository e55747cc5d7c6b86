//! What is known of one tracker, and when it may be asked (BEP 3, 31).
//!
//! Owned by the announcer, which chooses among them.

use std::time::Duration;

use super::{Phase, TrackerKey, TrackerState, Turn};
use crate::{AnnounceError, AnnounceEvent, AnnounceReply, ReplyError, Retry};

/// The first wait after a failure; it doubles with each further one, up to [`LONGEST_WAIT`].
const SHORTEST_WAIT: Duration = Duration::from_secs(5);

/// The longest wait after failures; jitter adds up to half of it, so a tracker that comes back is found within 30 min.
const LONGEST_WAIT: Duration = Duration::from_secs(20 * 60);

/// How soon a peer that wants more peers may ask again, if the tracker gave no `min interval`.
///
/// It doubles with each answer up to the interval: a young swarm grows fast, an old small one is no reason to hurry.
const FIRST_REST: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Tracker {
    pub(super) key: TrackerKey,
    pub(super) url: String,
    /// `None` once the user has removed it: it only gets its `stopped`.
    pub(super) tier: Option<usize>,
    /// The user has just added it: it is asked at once, whoever else serves us.
    pub(super) urgent: bool,
    /// Whether it accepted our `started` and was not told `stopped`.
    pub(super) heard: bool,
    /// Whether it is to be told `completed`.
    pub(super) owes_completed: bool,
    pub(super) turn: Turn,
    /// Failures since the last good answer.
    pub(super) failures: u32,
    /// It is not asked before this: the wait after a failure. `Duration::MAX` if it said `never`.
    pub(super) waits_until: Duration,
    /// It is not asked before this, events apart: its `min interval`.
    pub(super) rests_until: Duration,
    /// What stands in for its `min interval` if it gives none.
    pub(super) rest: Duration,
    pub(super) id: Option<Vec<u8>>,
    pub(super) state: TrackerState,
    pub(super) seeds: Option<u32>,
    pub(super) leechers: Option<u32>,
}

impl Tracker {
    pub(super) fn new(key: TrackerKey, url: String) -> Self {
        Self {
            key,
            url,
            tier: None,
            urgent: false,
            heard: false,
            owes_completed: false,
            turn: Turn::Idle,
            failures: 0,
            waits_until: Duration::ZERO,
            rests_until: Duration::ZERO,
            rest: FIRST_REST,
            id: None,
            state: TrackerState::Unasked,
            seeds: None,
            leechers: None,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.turn == Turn::Idle
    }

    /// When it may get an announce without an event.
    pub(super) fn free_from(&self) -> Duration {
        self.waits_until.max(self.rests_until)
    }

    /// The event that does not wait for the tracker's turn.
    pub(super) fn owed_event(&self, phase: Phase) -> Option<AnnounceEvent> {
        if !self.is_idle() {
            None
        } else if !self.heard {
            let urgent = self.urgent && self.tier.is_some() && phase == Phase::Running;
            urgent.then_some(AnnounceEvent::Started)
        } else if self.owes_completed {
            Some(AnnounceEvent::Completed)
        } else {
            (phase != Phase::Running || self.tier.is_none()).then_some(AnnounceEvent::Stopped)
        }
    }

    pub(super) fn accepted(&mut self, now: Duration, event: Option<AnnounceEvent>, reply: &AnnounceReply) {
        self.heard = true;
        self.owes_completed &= event != Some(AnnounceEvent::Completed);
        self.failures = 0;
        self.waits_until = Duration::ZERO;
        self.rests_until = now + reply.min_interval.unwrap_or(self.rest).min(reply.interval);
        self.rest = self.rest.saturating_mul(2).min(reply.interval);
        if reply.tracker_id.is_some() {
            self.id.clone_from(&reply.tracker_id);
        }
        self.state = TrackerState::Working { peers: reply.peers.len(), warning: reply.warning.clone() };
        self.seeds = reply.complete;
        self.leechers = reply.incomplete;
    }

    /// `jitter`, from 1 to 1.5, keeps clients that failed together from coming back together.
    pub(super) fn failed(&mut self, now: Duration, error: AnnounceError, jitter: f64) {
        let doubled = SHORTEST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        self.waits_until = match &error {
            AnnounceError::Reply(ReplyError::Failure { retry: Some(Retry::After(wait)), .. }) => now + *wait,
            AnnounceError::Reply(ReplyError::Failure { retry: Some(Retry::Never), .. }) => {
                self.heard = false;
                Duration::MAX
            }
            _ => now + doubled.mul_f64(jitter),
        };
        self.state = TrackerState::Failing(error);
    }
}
