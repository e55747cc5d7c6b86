//! How much may be under way: LEDBAT, which fills a line but gives way to whoever else wants it (BEP 29, "congestion control"; RFC 6817).
//!
//! Part of `Sender`, which says what arrived, how long it took and what was lost. Counts bytes; knows no packets.

use std::time::Duration;

/// The delay that we may add to the line's own, in microseconds: BEP 29.
const TARGET: i64 = 100_000;

/// By how many bytes the window grows in a round trip when nothing waits in the line: BEP 29.
const GAIN: i64 = 3000;

/// Queueing at which the line counts as full for the first time, in microseconds: doubling on until the target is reached
/// would overshoot it by all that is sent in one more round trip.
const FILLING: i64 = TARGET / 4;

/// The most under way: what keeps 100 Mbit/s busy over 300 ms. Bounds the memory of a connection.
const MOST: i64 = 4 << 20;

/// The window at the start, in packets: RFC 3390.
const INITIAL: usize = 4;

/// Parts of a byte that are counted, because thousands of small gains make a byte.
const PARTS: i64 = 256;

/// Minutes for which the least delay stands for the line's own: RFC 6817. Our own queue must not pass for it.
const HISTORY: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// Samples of which the least counts as the present delay: RFC 6817. One late packet is no queue.
const RECENT: usize = 4;

/// The window.
#[derive(Debug)]
pub(crate) struct Congestion {
    /// In parts of a byte.
    window: i64,
    /// In bytes: up to here the window doubles.
    threshold: i64,
    /// Both as they were before the last loss.
    before: (i64, i64),
    delays: Delays,
}

impl Congestion {
    pub(crate) fn new(packet: usize) -> Self {
        let window = bytes(packet * INITIAL) * PARTS;
        Self { window, threshold: MOST, before: (window, MOST), delays: Delays::default() }
    }

    /// Bytes that may be under way.
    pub(crate) fn window(&self) -> usize {
        usize::try_from(self.window / PARTS).unwrap_or_default()
    }

    /// Packets arrived. `limited`: more would have been sent if it had been allowed. Without that the window does not grow.
    pub(crate) fn arrived(
        &mut self,
        now: Duration,
        arrived: usize,
        delay: u32,
        limited: bool,
        packet: usize,
    ) {
        let queueing = self.delays.queueing(now, delay);
        let (window, arrived) = (self.window / PARTS, bytes(arrived).min(MOST));
        let change = if window < self.threshold && queueing < FILLING {
            arrived * PARTS
        } else {
            self.threshold = self.threshold.min(window);
            let off_target = (TARGET - queueing).max(-10 * TARGET);
            GAIN * PARTS * off_target / TARGET * arrived / window.max(1)
        };
        if change < 0 || limited {
            self.window = (self.window + change).clamp(bytes(packet) * PARTS, MOST * PARTS);
        }
    }

    /// Packets were lost, of a round trip in which none were before.
    pub(crate) fn lost(&mut self, packet: usize) {
        self.before = (self.window, self.threshold);
        self.window = (self.window / 2).max(bytes(packet) * PARTS);
        self.threshold = self.window / PARTS;
    }

    /// Nothing arrives at all.
    pub(crate) fn timed_out(&mut self, packet: usize) {
        self.before = (self.window, self.threshold);
        self.threshold = (self.window / PARTS / 2).max(bytes(packet) * 2);
        self.window = bytes(packet) * PARTS;
    }

    /// The last loss was none.
    pub(crate) fn regret(&mut self) {
        self.window = self.window.max(self.before.0);
        self.threshold = self.threshold.max(self.before.1);
    }
}

fn bytes(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(MOST)
}

/// What the peer says of how long our packets take. Its clock is not ours, so only differences mean anything, and they wrap.
#[derive(Debug, Default)]
struct Delays {
    /// The least of each minute, the present one last.
    minutes: Vec<u32>,
    minute_ends: Duration,
    recent: [u32; RECENT],
    next: usize,
}

impl Delays {
    /// How long packets wait in the line, in microseconds. A sample of 0 is none.
    fn queueing(&mut self, now: Duration, delay: u32) -> i64 {
        if delay != 0 {
            self.sample(now, delay);
        }
        let Some(base) = self.minutes.iter().copied().reduce(earlier) else { return 0 };
        let recent = self.recent.iter().copied().reduce(earlier).unwrap_or(base);
        recent.wrapping_sub(base).cast_signed().max(0).into()
    }

    fn sample(&mut self, now: Duration, delay: u32) {
        if self.minutes.is_empty() {
            self.recent = [delay; RECENT];
        }
        if now >= self.minute_ends {
            self.minute_ends = now + MINUTE;
            if self.minutes.len() == HISTORY {
                self.minutes.remove(0);
            }
            self.minutes.push(delay);
        }
        if let Some(least) = self.minutes.last_mut() {
            *least = earlier(*least, delay);
        }
        if let Some(oldest) = self.recent.get_mut(self.next) {
            *oldest = delay;
        }
        self.next = (self.next + 1) % RECENT;
    }
}

fn earlier(a: u32, b: u32) -> u32 {
    if b.wrapping_sub(a).cast_signed() < 0 { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: usize = 1400;

    fn after(delays: impl IntoIterator<Item = u32>) -> (usize, usize) {
        let mut congestion = Congestion::new(PACKET);
        congestion.lost(PACKET);
        let before = congestion.window();
        for delay in delays {
            congestion.arrived(Duration::from_secs(1), PACKET, delay, true, PACKET);
        }
        (before, congestion.window())
    }

    #[test]
    fn the_window_grows_below_the_target_and_shrinks_above_it() {
        let (before, grown) = after([5000; 10]);
        assert!(grown > before);
        let (_, shrunk) = after([5000; 10].into_iter().chain([305_000; 10]));
        assert!(shrunk < grown);
        // One late packet is no queue.
        let (_, jitter) = after([5000; 10].into_iter().chain([305_000]));
        assert!(jitter > grown);
    }

    #[test]
    fn clocks_that_differ_and_wrap_change_nothing() {
        let plain = after([0, 5, 90].map(|ms| 1 + ms * 1000));
        let wrapped = after([0, 5, 90].map(|ms: u32| (u32::MAX - 3000).wrapping_add(ms * 1000)));
        assert_eq!(plain, wrapped);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut congestion = Congestion::new(PACKET);
        let before = congestion.window();
        congestion.arrived(Duration::ZERO, PACKET, 7, false, PACKET);
        assert_eq!(congestion.window(), before);
        congestion.arrived(Duration::ZERO, PACKET, 7, true, PACKET);
        assert_eq!(congestion.window(), before + PACKET);
    }

    #[test]
    fn a_loss_halves_the_window_and_silence_leaves_one_packet() {
        let mut congestion = Congestion::new(PACKET);
        congestion.lost(PACKET);
        assert_eq!(congestion.window(), 2 * PACKET);
        congestion.timed_out(PACKET);
        assert_eq!(congestion.window(), PACKET);
        congestion.regret();
        assert_eq!(congestion.window(), 2 * PACKET);
    }
}
