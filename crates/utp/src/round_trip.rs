//! How long packets take there and back, and when to stop waiting for an acknowledgement (BEP 29, "timeouts").
//!
//! Part of `Sender`, which feeds it packets that were sent only once.

use std::time::Duration;

/// Before the first measurement.
const INITIAL: Duration = Duration::from_secs(1);

/// The least, so that an acknowledgement may be delayed: BEP 29.
const LEAST: Duration = Duration::from_millis(500);

/// The most that doubling leads to: a link that is back is noticed within the time people wait.
const MOST: Duration = Duration::from_secs(16);

#[derive(Debug, Default)]
pub(crate) struct RoundTrip {
    /// Mean and mean deviation.
    measured: Option<(Duration, Duration)>,
    /// The least ever.
    least: Option<Duration>,
    /// Quarters of the mean by which packets may be late; less one.
    more_slack: u32,
}

impl RoundTrip {
    pub(crate) fn measure(&mut self, sample: Duration) {
        self.least = Some(self.least.map_or(sample, |least| least.min(sample)));
        self.measured = Some(match self.measured {
            None => (sample, sample / 2),
            Some((mean, deviation)) => ((mean * 7 + sample) / 8, (deviation * 3 + mean.abs_diff(sample)) / 4),
        });
    }

    pub(crate) fn mean(&self) -> Option<Duration> {
        self.measured.map(|(mean, _)| mean)
    }

    /// Whether an acknowledgement so soon after a packet was sent again must be for its first copy.
    pub(crate) fn is_too_soon(&self, elapsed: Duration) -> bool {
        self.least.is_some_and(|least| elapsed < least)
    }

    /// How much later than the mean a packet may arrive and have been overtaken only.
    pub(crate) fn slack(&self) -> Duration {
        let quarters = 1 + self.more_slack;
        self.measured.map_or(INITIAL, |(mean, deviation)| (mean * quarters / 4).max(deviation * 2))
    }

    /// A packet was held to be lost that was only late: up to a round trip of patience is worth while (RFC 8985).
    pub(crate) fn be_patient(&mut self) {
        self.more_slack = (self.more_slack + 1).min(3);
    }

    /// How long to wait after `timeouts` of them in a row.
    pub(crate) fn timeout(&self, timeouts: u32) -> Duration {
        let once = self.measured.map_or(INITIAL, |(mean, deviation)| (mean + deviation * 4).max(LEAST));
        (once * (1 << timeouts.min(8))).min(MOST.max(once))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_follows_the_measurements_and_doubles() {
        let ms = Duration::from_millis;
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.timeout(0), ms(1000));
        round_trip.measure(ms(10));
        assert_eq!(
            (round_trip.timeout(0), round_trip.timeout(1), round_trip.timeout(30)),
            (ms(500), ms(1000), MOST)
        );
        for _ in 0..100 {
            round_trip.measure(ms(800));
        }
        assert!((ms(790)..ms(900)).contains(&round_trip.timeout(0)));
    }
}
