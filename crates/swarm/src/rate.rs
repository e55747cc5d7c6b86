//! How fast bytes flow: a sum over the last few seconds.
//!
//! Owned by whoever counts the bytes. It has no clock; each call says what time it is.

use std::time::Duration;

/// The grain of the window.
const SLOT: Duration = Duration::from_millis(500);

/// Slots in the window: four seconds, long enough to smooth TCP's bursts and short enough to notice a peer that stops.
const SLOTS: usize = 8;

/// A young meter divides by at least this, so that one early burst is not taken for a rate.
const LEAST: Duration = Duration::from_millis(250);

/// Bytes counted over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    slots: [u64; SLOTS],
    /// The number of the newest slot, counted from the beginning of the world.
    newest: u64,
    /// When bytes could first flow.
    began: Option<Duration>,
    total: u64,
}

impl Meter {
    /// Bytes may flow from here on: the time before is not counted.
    pub(crate) fn start(&mut self, now: Duration) {
        self.began.get_or_insert(now);
    }

    /// Counts bytes.
    pub(crate) fn add(&mut self, now: Duration, bytes: u64) {
        let slot = number(now);
        let passed = slot.saturating_sub(self.newest);
        for back in 0..passed.min(SLOTS as u64) {
            self.slots[place(slot - back)] = 0;
        }
        self.newest = self.newest.max(slot);
        self.slots[place(self.newest)] += bytes;
        self.start(now);
        self.total += bytes;
    }

    /// All bytes ever counted.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Bytes a second, over the window.
    pub(crate) fn rate(&self, now: Duration) -> u64 {
        let Some(began) = self.began else { return 0 };
        let slot = number(now).max(self.newest);
        let oldest = slot.saturating_sub(SLOTS as u64 - 1);
        let sum: u64 = (oldest..=self.newest).map(|at| self.slots[place(at)]).sum();
        let window_start = SLOT * u32::try_from(oldest).unwrap_or(u32::MAX);
        let span = now.saturating_sub(began.max(window_start)).max(LEAST);
        u64::try_from(u128::from(sum) * 1000 / span.as_millis().max(1)).unwrap_or(u64::MAX)
    }
}

fn number(now: Duration) -> u64 {
    u64::try_from(now.as_millis() / SLOT.as_millis()).unwrap_or(u64::MAX)
}

fn place(slot: u64) -> usize {
    usize::try_from(slot % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_flow_shows_its_rate_and_a_stopped_one_fades() {
        let mut meter = Meter::default();
        for tenth in 0..100 {
            meter.add(Duration::from_millis(tenth * 100), 100);
        }
        let rate = meter.rate(Duration::from_secs(10));
        assert!((950..1100).contains(&rate), "{rate}");
        assert!(meter.rate(Duration::from_secs(12)) < 700);
        assert_eq!(meter.rate(Duration::from_secs(15)), 0);
        assert_eq!(meter.total(), 10_000);
    }

    #[test]
    fn a_pause_of_any_length_leaves_no_ghost() {
        let mut meter = Meter::default();
        meter.add(Duration::ZERO, 1_000_000);
        meter.add(Duration::from_secs(100_000), 4);
        assert_eq!(meter.rate(Duration::from_secs(100_000)), 1);
    }
}
