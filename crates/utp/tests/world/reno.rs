//! A flow that behaves as TCP does (RFC 5681): the neighbour that uTP has to give way to.

use std::collections::BTreeMap;
use std::time::Duration;

/// The sending side; the receiving one acknowledges every packet.
#[derive(Debug)]
pub(crate) struct Reno {
    window: f64,
    threshold: f64,
    next: u64,
    flight: BTreeMap<u64, Duration>,
    recovery: u64,
    heard: Duration,
    pub(crate) arrived: u64,
}

impl Default for Reno {
    fn default() -> Self {
        Self {
            window: 10.0,
            threshold: f64::MAX,
            next: 0,
            flight: BTreeMap::new(),
            recovery: 0,
            heard: Duration::ZERO,
            arrived: 0,
        }
    }
}

impl Reno {
    pub(crate) fn next(&mut self, now: Duration) -> Option<u64> {
        if self.flight.len() as f64 >= self.window {
            // A second of silence: all was lost.
            if now < self.heard + Duration::from_secs(2) {
                return None;
            }
            (self.threshold, self.window) = (self.window / 2.0, 1.0);
            self.flight.clear();
            self.heard = now;
        }
        self.next += 1;
        self.flight.insert(self.next, now);
        Some(self.next)
    }

    pub(crate) fn acknowledged(&mut self, now: Duration, packet: u64) {
        self.heard = now;
        if self.flight.remove(&packet).is_none() {
            return;
        }
        self.arrived += 1;
        self.window += if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
        while let Some((&oldest, _)) =
            self.flight.first_key_value().filter(|&(&oldest, _)| oldest + 3 <= packet)
        {
            self.flight.remove(&oldest);
            if oldest > self.recovery {
                self.recovery = self.next;
                self.window = (self.window / 2.0).max(2.0);
                self.threshold = self.window;
            }
        }
    }
}
