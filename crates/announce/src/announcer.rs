//! Whom a torrent announces to, and when (BEP 3, 12, 31).
//!
//! Owned by the torrent's driver, which performs the requests and fills in the counters. It keeps no list of peers.
//!
//! One tracker at a time is asked: the first, in order of tiers, that is not waiting out a failure. One that answers
//! moves to the front of its tier and is enough until its interval is over. While one is silent the next is tried too.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fastrand::Rng;

use crate::{AnnounceError, AnnounceEvent, AnnounceReply};

#[cfg(test)]
mod tests;
mod tracker;

use tracker::Tracker;

/// How long one tracker may be silent before the next is tried too.
///
/// Four silent ones at the head of the list still leave the fifth to be asked within 15 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many peers are asked for: somewhat more than a swarm connects to, as some will not answer.
const NUMWANT: u32 = 100;

/// Names one tracker of one torrent, for as long as the announcer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerKey(u32);

/// What the announcer is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// An [`Action::Announce`] is over.
    Replied {
        /// Who was asked.
        tracker: TrackerKey,
        /// What came of it.
        result: Result<AnnounceReply, AnnounceError>,
    },
    /// The swarm has too few peers: ask as soon as the tracker allows.
    WantPeers,
    /// The last missing piece has come.
    Completed,
    /// Whether everything wanted is there although not everything is (BEP 21).
    PartialSeed(bool),
    /// The user changes the trackers: new ones are asked at once, those that stay are not asked anew.
    Edit(Edit),
    /// The torrent stops: say so to every tracker that knows of it.
    Stop,
    /// The deadline has come.
    Tick,
}

/// A change of the list of trackers. One that is in it already is not added again.
#[derive(Clone, Debug)]
pub enum Edit {
    /// More tiers, behind those that there are.
    Add(Vec<Vec<String>>),
    /// Without these.
    Remove(Vec<String>),
    /// These instead of all.
    Replace(Vec<Vec<String>>),
}

impl Edit {
    /// The trackers that are wanted by it.
    pub fn named(&self) -> impl Iterator<Item = &String> {
        let (Self::Add(tiers) | Self::Replace(tiers)) = self else { return [].iter().flatten() };
        tiers.iter().flatten()
    }
}

/// What the announcer wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an announce; must be answered by [`Event::Replied`], timeouts included.
    Announce {
        /// Whom to name in the answer.
        tracker: TrackerKey,
        /// The tracker's URL, as the torrent has it.
        url: String,
        /// What to report.
        event: Option<AnnounceEvent>,
        /// What this tracker asked to be told again.
        tracker_id: Option<Vec<u8>>,
        /// How many peers to ask for.
        numwant: u32,
    },
    /// Addresses to try.
    Peers(Vec<SocketAddr>),
    /// How a tracker sees our address (BEP 24).
    ExternalIp(IpAddr),
    /// After [`Event::Stop`]: nothing is left to be said.
    Done,
}

/// How one tracker is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackerState {
    /// It was not asked yet.
    Unasked,
    /// Its last answer was good.
    Working {
        /// How many peers it named.
        peers: usize,
        /// What it wants the user to read.
        warning: Option<String>,
    },
    /// Its last answer was bad or did not come.
    Failing(AnnounceError),
}

/// What can be shown of one tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerStatus {
    /// Its URL.
    pub url: String,
    /// Its tier, counted from 0.
    pub tier: usize,
    /// How it is doing.
    pub state: TrackerState,
    /// Whether an announce is under way.
    pub asking: bool,
    /// Peers that have everything, by its last good answer.
    pub seeds: Option<u32>,
    /// Peers that do not.
    pub leechers: Option<u32>,
    /// When it will be asked next, if it is its turn then; `None` while asking and if it wants no more questions.
    pub next: Option<Duration>,
}

/// Decides whom one torrent announces to, and when.
#[derive(Debug)]
pub struct Announcer {
    /// By tier; within a tier in the order in which they are tried.
    trackers: Vec<Tracker>,
    /// No announce is due before this, events apart.
    settled_until: Duration,
    /// When an announce last went out.
    last_asked: Duration,
    complete: bool,
    partial_seed: bool,
    phase: Phase,
    next_key: u32,
    actions: VecDeque<Action>,
    rng: Rng,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping,
    Stopped,
}

/// What passes between us and one tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Nothing.
    Idle,
    /// An announce with this event.
    Asking(Option<AnnounceEvent>),
}

impl Announcer {
    /// Announces at once. `complete`: there is nothing to download, so `completed` will not be sent.
    pub fn new(now: Duration, tiers: Vec<Vec<String>>, complete: bool, seed: u64) -> Self {
        let mut announcer = Self {
            trackers: Vec::new(),
            settled_until: now,
            last_asked: Duration::ZERO,
            complete,
            partial_seed: false,
            phase: Phase::Running,
            next_key: 0,
            actions: VecDeque::new(),
            rng: Rng::with_seed(seed),
        };
        let tiers = announcer.shuffled(tiers);
        announcer.set_trackers(tiers, false);
        announcer.go_on(now);
        announcer
    }

    /// The only way in. `now` never goes back.
    pub fn handle(&mut self, now: Duration, event: Event) {
        match event {
            Event::Replied { tracker, result } => self.replied(now, tracker, result),
            Event::WantPeers => self.want_peers(now),
            Event::Completed => self.completed(),
            Event::PartialSeed(partial) => self.partial_seed = partial,
            Event::Edit(edit) => self.edit(now, edit),
            Event::Stop if self.phase == Phase::Running => self.phase = Phase::Stopping,
            Event::Stop | Event::Tick => {}
        }
        self.go_on(now);
    }

    /// The only way out. Call until `None` after each batch of events.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call `handle(now, Event::Tick)` if nothing else happens first.
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.phase != Phase::Running {
            return None;
        }
        let events = self.trackers.iter().filter(|tracker| tracker.owed_event(self.phase).is_some());
        let event = events.map(|tracker| tracker.waits_until).min();
        let idle = self.trackers.iter().filter(|tracker| tracker.tier.is_some() && tracker.is_idle());
        let regular = idle.map(Tracker::free_from).min().map(|free| free.max(self.next_turn()));
        [event, regular].into_iter().flatten().min().filter(|&deadline| deadline != Duration::MAX)
    }

    /// Every tracker, in the order in which they are tried.
    pub fn status(&self) -> impl Iterator<Item = TrackerStatus> + '_ {
        self.trackers.iter().filter_map(|tracker| {
            let next = tracker.free_from().max(self.settled_until);
            Some(TrackerStatus {
                url: tracker.url.clone(),
                tier: tracker.tier?,
                state: tracker.state.clone(),
                asking: !tracker.is_idle(),
                seeds: tracker.seeds,
                leechers: tracker.leechers,
                next: Some(next).filter(|&next| tracker.is_idle() && next != Duration::MAX),
            })
        })
    }

    /// Sends whatever is due.
    fn go_on(&mut self, now: Duration) {
        while let Some(due) = self.trackers.iter().position(|tracker| {
            tracker.owed_event(self.phase).is_some() && (now >= tracker.waits_until || !self.running())
        }) {
            self.ask(now, due);
        }
        while self.running() && now >= self.next_turn() {
            let idle = |tracker: &Tracker| tracker.tier.is_some() && tracker.is_idle();
            let Some(first) =
                self.trackers.iter().position(|tracker| idle(tracker) && now >= tracker.free_from())
            else {
                break;
            };
            self.ask(now, first);
        }
        self.trackers.retain(|tracker| tracker.tier.is_some() || tracker.heard || !tracker.is_idle());
        if self.phase == Phase::Stopping && self.trackers.iter().all(Tracker::is_idle) {
            self.phase = Phase::Stopped;
            self.actions.push_back(Action::Done);
        }
    }

    /// When the next tracker may be asked: the last answer has aged, and whoever is being asked has had their time.
    fn next_turn(&self) -> Duration {
        let asking = self.trackers.iter().any(|tracker| tracker.tier.is_some() && !tracker.is_idle());
        let patience = if asking { self.last_asked + PATIENCE } else { Duration::ZERO };
        self.settled_until.max(patience)
    }

    fn ask(&mut self, now: Duration, index: usize) {
        let Some(tracker) = self.trackers.get_mut(index) else { return };
        let usual = || if tracker.heard { None } else { Some(AnnounceEvent::Started) };
        let event = tracker.owed_event(self.phase).or_else(usual);
        let event = event.or(self.partial_seed.then_some(AnnounceEvent::Paused));
        tracker.turn = Turn::Asking(event);
        tracker.urgent = false;
        self.last_asked = now;
        self.actions.push_back(Action::Announce {
            tracker: tracker.key,
            url: tracker.url.clone(),
            event,
            tracker_id: tracker.id.clone(),
            numwant: if event == Some(AnnounceEvent::Stopped) { 0 } else { NUMWANT },
        });
    }

    fn replied(&mut self, now: Duration, key: TrackerKey, result: Result<AnnounceReply, AnnounceError>) {
        let Some(index) = self.trackers.iter().position(|tracker| tracker.key == key) else { return };
        let Some(tracker) = self.trackers.get_mut(index) else { return };
        let Turn::Asking(event) = std::mem::replace(&mut tracker.turn, Turn::Idle) else { return };
        if event == Some(AnnounceEvent::Stopped) {
            tracker.heard = false;
            return;
        }
        match result {
            Ok(reply) => {
                tracker.accepted(now, event, &reply);
                self.promote(index);
                self.settled_until = now + reply.interval;
                self.actions.extend(reply.external_ip.map(Action::ExternalIp));
                if !reply.peers.is_empty() {
                    self.actions.push_back(Action::Peers(reply.peers));
                }
            }
            Err(error) => {
                // Whoever leaves does not wait to try again.
                tracker.owes_completed &= self.phase == Phase::Running;
                let jitter = 1.0 + self.rng.f64() / 2.0;
                tracker.failed(now, error, jitter);
            }
        }
    }

    /// BEP 12: a tracker that answered becomes the first of its tier.
    fn promote(&mut self, index: usize) {
        let tier = self.trackers.get(index).and_then(|tracker| tracker.tier);
        let first = self.trackers.iter().position(|tracker| tracker.tier == tier).unwrap_or(index);
        if let Some(part) = self.trackers.get_mut(first..=index) {
            part.rotate_right(1);
        }
    }

    /// Asks the tracker that serves us as soon as it allows; the others at once if it named no peers.
    fn want_peers(&mut self, now: Duration) {
        let serving = self.trackers.iter().filter(|tracker| tracker.tier.is_some() && tracker.heard);
        let served =
            serving.clone().any(|tracker| matches!(tracker.state, TrackerState::Working { peers: 1.., .. }));
        let earliest = if served { serving.map(|tracker| tracker.rests_until).min() } else { None };
        self.settled_until = self.settled_until.min(earliest.unwrap_or(now).max(now));
    }

    fn completed(&mut self) {
        if std::mem::replace(&mut self.complete, true) {
            return;
        }
        for tracker in &mut self.trackers {
            tracker.owes_completed =
                tracker.heard || tracker.turn == Turn::Asking(Some(AnnounceEvent::Started));
        }
    }

    fn edit(&mut self, now: Duration, edit: Edit) {
        let tiers = match edit {
            Edit::Add(more) => [self.tiers(), self.shuffled(more)].concat(),
            Edit::Remove(urls) => {
                let mut tiers = self.tiers();
                for tier in &mut tiers {
                    tier.retain(|url| !urls.contains(url));
                }
                tiers
            }
            Edit::Replace(tiers) => self.shuffled(tiers),
        };
        self.set_trackers(tiers, true);
        self.settle_for_known(now);
    }

    /// The trackers as they are tried.
    fn tiers(&self) -> Vec<Vec<String>> {
        let known: Vec<&Tracker> = self.trackers.iter().filter(|tracker| tracker.tier.is_some()).collect();
        let tiers = known.chunk_by(|one, next| one.tier == next.tier);
        tiers.map(|tier| tier.iter().map(|tracker| tracker.url.clone()).collect()).collect()
    }

    /// BEP 12: the order within a tier is left to chance.
    fn shuffled(&mut self, mut tiers: Vec<Vec<String>>) -> Vec<Vec<String>> {
        for tier in &mut tiers {
            self.rng.shuffle(tier);
        }
        tiers
    }

    /// `urgent`: those that are new are asked at once.
    fn set_trackers(&mut self, tiers: Vec<Vec<String>>, urgent: bool) {
        let mut old = std::mem::take(&mut self.trackers);
        for (tier, urls) in tiers.into_iter().filter(|tier| !tier.is_empty()).enumerate() {
            for url in urls {
                if self.trackers.iter().any(|tracker| tracker.url == url) {
                    continue;
                }
                let known =
                    old.iter().position(|tracker| tracker.url == url).map(|index| old.swap_remove(index));
                let mut tracker = known.unwrap_or_else(|| {
                    self.next_key += 1;
                    Tracker::new(TrackerKey(self.next_key), url)
                });
                tracker.urgent |= urgent && tracker.tier.is_none();
                tracker.tier = Some(tier);
                self.trackers.push(tracker);
            }
        }
        self.trackers.extend(old.into_iter().map(|tracker| Tracker { tier: None, ..tracker }));
    }

    /// After a change of trackers: ask at once, unless one that stays serves us already.
    fn settle_for_known(&mut self, now: Duration) {
        if !self
            .trackers
            .iter()
            .any(|tracker| tracker.tier.is_some() && tracker.heard && tracker.failures == 0)
        {
            self.settled_until = now;
        }
    }

    fn running(&self) -> bool {
        self.phase == Phase::Running
    }
}
