//! How fast bytes may move: a rate for the session above a rate for each torrent.
//!
//! A [`Bucket`] hands out moments: who asks for n bytes is told when it may move them, and the next asker's moment is
//! n/rate later. So waiting is first come, first served, nobody holds a lock while waiting, and an unlimited bucket costs
//! one atomic read. Buckets are shared counters; each direction of each peer task owns an [`Allowance`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What may pile up unused and then move at once. Long enough to even out timers, short enough to go unnoticed.
const BURST: Duration = Duration::from_millis(100);

/// The share of a second one reservation asks for, so that many peers take turns smoothly.
const TURNS_PER_SECOND: u64 = 20;

/// The most bytes of one reservation: four blocks, so that fast limits do not cost a wake-up for each block.
const MAX_QUANTUM: u64 = 64 * 1024;

/// The fewest: a segment on the wire, so that slow limits do not send crumbs.
const MIN_QUANTUM: u64 = 1400;

/// How long a waiter sleeps at most before it looks whether the limit was changed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Bytes a second, as one shared counter.
#[derive(Debug)]
pub(crate) struct Bucket {
    born: Instant,
    /// Bytes a second; 0: no limit.
    rate: AtomicU64,
    /// How often the rate was changed: moments given out before count no more.
    changes: AtomicU64,
    /// The next moment to give out, in nanoseconds since `born`.
    next: AtomicU64,
}

impl Bucket {
    /// A bucket of this rate in bytes a second; `None`: no limit.
    pub(crate) fn new(now: Instant, rate: Option<u64>) -> Self {
        let rate = AtomicU64::new(as_number(rate));
        Self { born: now, rate, changes: AtomicU64::new(0), next: AtomicU64::new(0) }
    }

    /// Changes the rate at once; who waits asks anew.
    pub(crate) fn set(&self, now: Instant, rate: Option<u64>) {
        self.rate.store(as_number(rate), Ordering::Relaxed);
        self.next.store(self.nanos(now), Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn rate(&self) -> Option<u64> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|&rate| rate > 0)
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_nanos()).unwrap_or(u64::MAX)
    }

    /// When `bytes` may move.
    fn reserve(&self, now: Instant, bytes: u64) -> Instant {
        let Some(rate) = self.rate() else { return now };
        let cost = u64::try_from(u128::from(bytes) * 1_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX);
        let burst = u64::try_from(BURST.as_nanos()).unwrap_or(0);
        let earliest = self.nanos(now).saturating_sub(burst);
        let slot = |next: u64| next.max(earliest);
        let advance = |next| Some(slot(next).saturating_add(cost));
        let before = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance);
        self.born + Duration::from_nanos(slot(before.unwrap_or_else(|next| next)))
    }
}

fn as_number(rate: Option<u64>) -> u64 {
    rate.map_or(0, |rate| rate.max(1))
}

/// The two buckets one direction of a torrent's traffic passes.
#[derive(Clone, Copy)]
pub(crate) struct Levels<'a>(pub(crate) &'a Bucket, pub(crate) &'a Bucket);

/// What one direction of one connection may move.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    bytes: u64,
    /// When they may move.
    at: Option<Instant>,
    changes: u64,
}

impl Allowance {
    /// How many bytes may move at `now`, at least one; or when to ask again.
    pub(crate) fn claim(
        &mut self,
        now: Instant,
        Levels(session, torrent): Levels<'_>,
    ) -> Result<usize, Instant> {
        let Some(rate) = session.rate().into_iter().chain(torrent.rate()).min() else {
            *self = Self::default();
            return Ok(usize::MAX);
        };
        let changes = session.changes.load(Ordering::Relaxed) + torrent.changes.load(Ordering::Relaxed);
        if self.bytes == 0 || changes != self.changes {
            let bytes = (rate / TURNS_PER_SECOND).clamp(MIN_QUANTUM, MAX_QUANTUM);
            let at = session.reserve(now, bytes).max(torrent.reserve(now, bytes));
            *self = Self { bytes, at: Some(at), changes };
        }
        match self.at {
            Some(at) if at > now => Err(at.min(now + LOOK_AGAIN)),
            _ => Ok(usize::try_from(self.bytes).unwrap_or(usize::MAX)),
        }
    }

    /// So many bytes were moved.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moves as much as it may for a second of the paused clock; returns the bytes.
    async fn moved_in_a_second(peers: usize, session: &Bucket, torrent: &Bucket) -> Vec<u64> {
        let mut allowances: Vec<_> = (0..peers).map(|_| Allowance::default()).collect();
        let mut moved = vec![0; peers];
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            for (allowance, moved) in allowances.iter_mut().zip(&mut moved) {
                if let Ok(bytes) = allowance.claim(Instant::now(), Levels(session, torrent)) {
                    allowance.spend(bytes);
                    *moved += bytes as u64;
                }
            }
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        moved
    }

    #[tokio::test(start_paused = true)]
    async fn the_lower_of_two_limits_holds_and_is_shared_fairly() {
        let (session, torrent) =
            (Bucket::new(Instant::now(), Some(4_000_000)), Bucket::new(Instant::now(), Some(1_000_000)));
        let moved = moved_in_a_second(4, &session, &torrent).await;
        let total: u64 = moved.iter().sum();
        assert!((950_000..=1_250_000).contains(&total), "{total}");
        assert!(moved.iter().all(|&bytes| (200_000..=350_000).contains(&bytes)), "{moved:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_everything_moves_at_once() {
        let (session, torrent) = (Bucket::new(Instant::now(), None), Bucket::new(Instant::now(), None));
        assert_eq!(Allowance::default().claim(Instant::now(), Levels(&session, &torrent)), Ok(usize::MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_raised_limit_frees_those_who_wait() {
        let now = Instant::now();
        let (session, torrent) = (Bucket::new(now, Some(100)), Bucket::new(now, None));
        let (mut first, mut second) = (Allowance::default(), Allowance::default());
        assert!(first.claim(now, Levels(&session, &torrent)).is_ok());
        assert!(second.claim(now, Levels(&session, &torrent)).is_err());
        session.set(now, Some(1_000_000_000));
        assert!(second.claim(now, Levels(&session, &torrent)).is_ok());
    }
}
