//! Addresses that may be dialled, and when.
//!
//! Owned by `Swarm`. It keeps the back-off of each address and the budget of dials. Who is welcome once connected is for the
//! `Swarm` to say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::event::{Endpoint, Source};
use crate::peers::ip;

/// Addresses kept: the peer list of libtorrent, four answers of a large tracker.
const MAX_CANDIDATES: usize = 3000;

/// Dials a second, so that a home router's connection table survives the start.
const DIALS_PER_SECOND: u32 = 30;

/// Dials under way at a time.
const MAX_DIALING: usize = 100;

/// Wait after the first failed dial; it doubles with each more.
const BACK_OFF: Duration = Duration::from_secs(30);

/// The same for an address the user named, who may be starting that peer at this moment.
const USER_BACK_OFF: Duration = Duration::from_secs(4);

/// The same for an address that only a peer named: it may be nobody's, named so that a crowd dials it (P-13).
const PEX_BACK_OFF: Duration = Duration::from_secs(10 * 60);

/// The longest wait.
const MAX_BACK_OFF: Duration = Duration::from_secs(15 * 60);

/// Failed dials after which an address is forgotten, unless the user named it.
const MAX_FAILURES: u32 = 8;

/// How often a sizing origin dials an address, whatever came of it before: the copies there may be the ones it waits for.
const INSISTENCE: Duration = Duration::from_secs(15);

/// Wait before a peer is dialled again that hung up having everything: it takes us for one that has everything, too, until we greet
/// it anew.
const AFTER_COMPLETION: Duration = Duration::from_secs(2);

/// Wait before a peer that left is dialled again.
const AFTER_LEAVING: Duration = Duration::from_secs(20);

/// Why a connection ended, as far as dialling again is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was good while it lasted.
    Left,
    /// It did not last, as with a failed dial.
    LeftSoon,
    /// It has everything, and we want to see it again.
    Holder,
    /// It broke a rule, or there was no place: not soon.
    Unwelcome,
    /// It has nothing for us and wants nothing, as long as we are complete.
    Useless,
    /// It is ourselves, or banned.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be dialled then. The number shuffles those of the same time.
    Waiting(Duration, u32),
    Dialing,
    Connected,
    /// Not to be dialled while we are complete.
    Useless,
    Never,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    state: State,
    failures: u32,
    /// The best who told us: sources are in the order of trust.
    by: Source,
}

impl Candidate {
    fn by_user(self) -> bool {
        self.by == Source::User
    }
}

/// All addresses known.
#[derive(Debug)]
pub(crate) struct Candidates {
    known: BTreeMap<Endpoint, Candidate>,
    /// Those that wait, by time.
    waiting: BTreeSet<(Duration, u32, Endpoint)>,
    dialing: usize,
    /// Every address is dialled again and again.
    insists: bool,
    /// Dials allowed in the second that began then.
    budget: (Duration, u32),
}

impl Candidates {
    pub(crate) fn new() -> Self {
        Self {
            known: BTreeMap::new(),
            waiting: BTreeSet::new(),
            dialing: 0,
            insists: false,
            budget: (Duration::ZERO, DIALS_PER_SECOND),
        }
    }

    /// For a sizing origin, which wants to see every copy there is.
    pub(crate) fn insistent() -> Self {
        Self { insists: true, ..Self::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Somebody says that there is a peer.
    pub(crate) fn found(&mut self, now: Duration, at: Endpoint, by: Source, rng: &mut fastrand::Rng) {
        let Some(at) = canonical(at) else { return };
        if let Some(known) = self.known.get_mut(&at) {
            known.by = known.by.min(by);
            return;
        }
        if self.known.len() >= MAX_CANDIDATES && !self.make_place(by == Source::User) {
            return;
        }
        self.known.insert(at, Candidate { state: State::Useless, failures: 0, by });
        self.set(at, State::Waiting(now, rng.u32(..)));
    }

    /// Forgets the address that would have been dialled last; says whether there was one.
    fn make_place(&mut self, urgent: bool) -> bool {
        let last = self.waiting.last().copied();
        let worst = last.filter(|(_, _, at)| {
            self.known
                .get(at)
                .is_some_and(|candidate| !candidate.by_user() && (urgent || candidate.failures > 0))
        });
        worst.is_some_and(|(_, _, at)| self.forget(at))
    }

    /// The next address to dial; it is being dialled from here on.
    pub(crate) fn next_dial(&mut self, now: Duration) -> Option<Endpoint> {
        if now >= self.budget.0 + Duration::from_secs(1) {
            self.budget = (now, DIALS_PER_SECOND);
        }
        let &(due, _, at) = self.waiting.first()?;
        if due > now || self.dialing >= MAX_DIALING || self.budget.1 == 0 {
            return None;
        }
        self.budget.1 -= 1;
        self.set(at, State::Dialing);
        Some(at)
    }

    /// When `next_dial` may have something.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let &(due, _, _) = self.waiting.first()?;
        let refill = self.budget.0 + Duration::from_secs(1);
        (self.dialing < MAX_DIALING).then(|| if self.budget.1 == 0 { due.max(refill) } else { due })
    }

    /// A dial came to nothing.
    pub(crate) fn failed(&mut self, now: Duration, at: Endpoint, rng: &mut fastrand::Rng) {
        let Some(candidate) = self.known.get_mut(&at).filter(|known| known.state == State::Dialing) else {
            return;
        };
        candidate.failures += 1;
        let (failures, by_user) = (candidate.failures, candidate.by_user());
        if failures >= MAX_FAILURES && !by_user {
            self.forget(at);
            return;
        }
        let base = match candidate.by {
            Source::User => USER_BACK_OFF,
            Source::Pex => PEX_BACK_OFF,
            _ => BACK_OFF,
        };
        self.wait(now, at, self.pause(back_off(base, failures)), rng);
    }

    /// A peer is connected that can be dialled at `at`.
    pub(crate) fn connected(&mut self, at: Endpoint) {
        let Some(at) = canonical(at) else { return };
        if self.known.len() < MAX_CANDIDATES || self.known.contains_key(&at) {
            let fresh = Candidate { state: State::Useless, failures: 0, by: Source::Incoming };
            self.known.entry(at).or_insert(fresh);
            self.set(at, State::Connected);
        }
    }

    /// That connection ended.
    pub(crate) fn ended(&mut self, now: Duration, at: Endpoint, why: Ended, rng: &mut fastrand::Rng) {
        let Some(at) = canonical(at).filter(|at| self.known.contains_key(at)) else { return };
        if why == Ended::Left
            && let Some(known) = self.known.get_mut(&at)
        {
            known.failures = 0;
        }
        match why {
            Ended::Left => self.wait(now, at, self.pause(AFTER_LEAVING), rng),
            Ended::LeftSoon | Ended::Holder => {
                let failures = self.known.get_mut(&at).map_or(0, |known| {
                    known.failures += 1;
                    known.failures
                });
                let pause = self.pause(back_off(AFTER_LEAVING, failures));
                let first = why == Ended::Holder && failures == 1;
                self.wait(now, at, if first { AFTER_COMPLETION } else { pause }, rng);
            }
            Ended::Unwelcome => self.wait(now, at, MAX_BACK_OFF, rng),
            Ended::Useless => self.set(at, State::Useless),
            Ended::Never => self.set(at, State::Never),
        }
    }

    /// Nobody at this address is to be dialled again.
    pub(crate) fn ban(&mut self, banned: std::net::IpAddr) {
        let there: Vec<Endpoint> = self.known.keys().copied().filter(|&at| ip(at) == banned).collect();
        for at in there {
            self.set(at, State::Never);
        }
    }

    /// We want something again: peers that were useless are not.
    pub(crate) fn reconsider(&mut self, now: Duration, rng: &mut fastrand::Rng) {
        let idle: Vec<Endpoint> =
            self.known.iter().filter(|(_, known)| known.state == State::Useless).map(|(at, _)| *at).collect();
        for at in idle {
            self.set(at, State::Waiting(now, rng.u32(..)));
        }
    }

    pub(crate) fn dialing(&self) -> usize {
        self.dialing
    }

    /// Addresses that may be of use one day.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Addresses that another swarm of the same torrent should know; those being dialled only if the user named them.
    pub(crate) fn worth_telling(&self) -> impl Iterator<Item = (Endpoint, Source)> + '_ {
        let idle = |state| matches!(state, State::Waiting(..) | State::Useless);
        self.known
            .iter()
            .filter(move |(_, known)| idle(known.state) || known.by_user())
            .map(|(&at, known)| (at, known.by))
    }

    /// Addresses that wait for being dialled.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn pause(&self, usual: Duration) -> Duration {
        if self.insists { INSISTENCE } else { usual }
    }

    fn wait(&mut self, now: Duration, at: Endpoint, base: Duration, rng: &mut fastrand::Rng) {
        let jitter = base.mul_f64(rng.f64() * 0.25);
        self.set(at, State::Waiting(now + base + jitter, rng.u32(..)));
    }

    fn forget(&mut self, at: Endpoint) -> bool {
        self.set(at, State::Useless);
        self.known.remove(&at).is_some()
    }

    fn set(&mut self, at: Endpoint, state: State) {
        let Some(candidate) = self.known.get_mut(&at) else { return };
        match std::mem::replace(&mut candidate.state, state) {
            State::Waiting(due, tie) => {
                self.waiting.remove(&(due, tie, at));
            }
            State::Dialing => self.dialing -= 1,
            State::Connected | State::Useless | State::Never => {}
        }
        match state {
            State::Waiting(due, tie) => {
                self.waiting.insert((due, tie, at));
            }
            State::Dialing => self.dialing += 1,
            State::Connected | State::Useless | State::Never => {}
        }
    }

    /// Panics if the lists contradict each other.
    pub(crate) fn check_invariants(&self) {
        let count =
            |wanted: fn(&State) -> bool| self.known.values().filter(|known| wanted(&known.state)).count();
        assert_eq!(count(|state| matches!(state, State::Waiting(..))), self.waiting.len());
        assert_eq!(count(|state| *state == State::Dialing), self.dialing);
        assert!(self.dialing <= MAX_DIALING && self.known.len() <= MAX_CANDIDATES);
    }
}

/// The wait after this many failures: each doubles it.
fn back_off(base: Duration, failures: u32) -> Duration {
    (base * 2u32.pow(failures.saturating_sub(1).min(8))).min(MAX_BACK_OFF)
}

/// One spelling of each address; `None` for what nobody can be at.
pub(crate) fn canonical(at: Endpoint) -> Option<Endpoint> {
    let Endpoint::Tcp(mut addr) = at;
    addr.set_ip(addr.ip().to_canonical());
    let ip = addr.ip();
    (addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast()).then_some(Endpoint::Tcp(addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u16) -> Endpoint {
        let [high, low] = last.to_be_bytes();
        Endpoint::Tcp(([10, 0, high, low], 6881).into())
    }

    fn with(count: u16, by: Source) -> (Candidates, fastrand::Rng) {
        let (mut candidates, mut rng) = (Candidates::new(), fastrand::Rng::with_seed(1));
        (0..count).for_each(|last| candidates.found(Duration::ZERO, at(last), by, &mut rng));
        candidates.check_invariants();
        (candidates, rng)
    }

    fn dials(candidates: &mut Candidates, millis: u64) -> usize {
        std::iter::from_fn(|| candidates.next_dial(Duration::from_millis(millis))).count()
    }

    #[test]
    fn thirty_are_dialled_a_second_and_a_hundred_at_a_time() {
        let (mut candidates, _) = with(500, Source::Tracker);
        let per_second: Vec<usize> = (0..6).map(|second| dials(&mut candidates, second * 1000)).collect();
        assert_eq!(per_second, [30, 30, 30, 10, 0, 0]);
        candidates.check_invariants();
    }

    #[test]
    fn an_address_told_twice_is_dialled_once() {
        let (mut candidates, mut rng) = with(1, Source::Tracker);
        candidates.found(Duration::ZERO, at(0), Source::Resume, &mut rng);
        let mapped = Endpoint::Tcp("[::ffff:10.0.0.0]:6881".parse().unwrap());
        candidates.found(Duration::ZERO, mapped, Source::Tracker, &mut rng);
        assert_eq!(dials(&mut candidates, 0), 1);
    }

    #[test]
    fn a_failing_address_is_tried_ever_more_seldom_and_then_forgotten() {
        let (mut candidates, mut rng) = with(1, Source::Tracker);
        let mut tries = Vec::new();
        while let Some(due) = candidates.next_due() {
            assert_eq!(candidates.next_dial(due), Some(at(0)));
            candidates.failed(due, at(0), &mut rng);
            tries.push(due.as_secs());
        }
        assert_eq!(tries.len(), 8);
        let waits: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits[0] >= 30 && waits[..5].is_sorted(), "{waits:?}");
        assert_eq!(candidates.len(), 0);
    }

    #[test]
    fn an_address_of_the_users_is_tried_soon_and_forever() {
        let (mut candidates, mut rng) = with(1, Source::User);
        for round in 0..20 {
            let due = candidates.next_due().unwrap();
            assert!(round != 1 || due <= Duration::from_secs(5));
            candidates.next_dial(due).unwrap();
            candidates.failed(due, at(0), &mut rng);
        }
    }

    #[test]
    fn senseless_addresses_are_not_kept() {
        let (mut candidates, mut rng) = with(0, Source::Tracker);
        for text in ["10.0.0.1:0", "0.0.0.0:80", "224.0.0.1:80", "[::]:80", "[ff02::1]:80"] {
            candidates.found(Duration::ZERO, Endpoint::Tcp(text.parse().unwrap()), Source::Tracker, &mut rng);
        }
        assert_eq!(candidates.len(), 0);
    }

    #[test]
    fn ten_thousand_addresses_do_not_fill_the_memory() {
        let (candidates, _) = with(10_000, Source::Tracker);
        assert_eq!(candidates.len(), MAX_CANDIDATES);
    }
}
