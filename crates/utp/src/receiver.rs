//! What comes in: back in order, bounded by the window that we announce, and acknowledged (BEP 29, "selective ack").
//!
//! Part of `Connection`. Decides what is kept and when an acknowledgement is due; the connection sends it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::sequence;

/// How far beyond the first missing packet others are kept: what a selective acknowledgement can name, whose length is one byte.
pub(crate) const REACH: u64 = 63 * 32;

/// How long an acknowledgement may wait for another packet or for something to say. Short, because the sender measures by it.
const DELAY: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Receiver {
    /// The last packet before the first that is missing.
    last: u64,
    /// What came too early.
    early: BTreeMap<u64, Bytes>,
    early_bytes: usize,
    /// In order, not yet given to the reader.
    ready: BytesMut,
    /// Given to the reader, who has not used it yet.
    unread: usize,
    /// All that may be kept.
    capacity: usize,
    /// The number of the last packet there will be.
    end: Option<u64>,
    acknowledgement: Acknowledgement,
    /// The window as the peer knows it.
    announced: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Acknowledgement {
    NotDue,
    /// One packet came.
    DueAt(Duration),
    Due,
}

impl Receiver {
    pub(crate) fn new(last: u64, capacity: usize) -> Self {
        Self {
            last,
            early: BTreeMap::new(),
            early_bytes: 0,
            ready: BytesMut::new(),
            unread: 0,
            capacity,
            end: None,
            acknowledgement: Acknowledgement::NotDue,
            announced: capacity,
        }
    }

    /// Takes in a numbered packet. What does not fit the window is as good as lost.
    pub(crate) fn receive(&mut self, now: Duration, wire: u16, payload: &[u8], is_end: bool) {
        let number = sequence::nearest(self.last, wire);
        let in_order = number == self.last + 1;
        self.acknowledgement = match self.acknowledgement {
            Acknowledgement::NotDue if in_order && self.early.is_empty() && !is_end => {
                Acknowledgement::DueAt(now + DELAY)
            }
            _ => Acknowledgement::Due,
        };
        let fits = payload.len() <= self.room() && number <= self.last + 1 + REACH;
        if number <= self.last || !fits || self.end.is_some_and(|end| number > end) {
            return;
        }
        if is_end && self.early.last_key_value().is_none_or(|(&last, _)| last < number) {
            self.end = self.end.or(Some(number));
        }
        if !in_order {
            if !self.early.contains_key(&number) {
                self.early_bytes += payload.len();
                self.early.insert(number, Bytes::copy_from_slice(payload));
            }
            return;
        }
        self.ready.extend_from_slice(payload);
        self.last = number;
        while let Some(payload) = self.early.remove(&(self.last + 1)) {
            self.early_bytes -= payload.len();
            self.ready.extend_from_slice(&payload);
            self.last += 1;
        }
    }

    /// What the reader can have.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        self.unread += self.ready.len();
        (!self.ready.is_empty()).then(|| self.ready.split().freeze())
    }

    /// The reader used so much. The peer is told when it makes a difference.
    pub(crate) fn read(&mut self, bytes: usize) {
        self.unread = self.unread.saturating_sub(bytes);
        if self.announced < self.capacity / 2 && self.room() >= self.announced + self.capacity / 4 {
            self.acknowledgement = Acknowledgement::Due;
        }
    }

    /// All that the peer said has come.
    pub(crate) fn is_ended(&self) -> bool {
        self.end == Some(self.last)
    }

    pub(crate) fn is_due(&self, now: Duration) -> bool {
        match self.acknowledgement {
            Acknowledgement::NotDue => false,
            Acknowledgement::DueAt(at) => at <= now,
            Acknowledgement::Due => true,
        }
    }

    /// Whether packets are missing, so that only a packet with a selective acknowledgement says all.
    pub(crate) fn has_gaps(&self) -> bool {
        !self.early.is_empty()
    }

    pub(crate) fn due_at(&self) -> Option<Duration> {
        match self.acknowledgement {
            Acknowledgement::DueAt(at) => Some(at),
            _ => None,
        }
    }

    /// The acknowledgement and the window for a packet that leaves.
    pub(crate) fn announce(&mut self) -> (u16, u32) {
        if !self.has_gaps() {
            self.acknowledgement = Acknowledgement::NotDue;
        }
        self.announced = self.room();
        (sequence::wire(self.last), u32::try_from(self.announced).unwrap_or(u32::MAX))
    }

    /// The same for one that says which packets came early.
    pub(crate) fn selective(&mut self) -> Vec<u8> {
        self.acknowledgement = Acknowledgement::NotDue;
        let Some((&newest, _)) = self.early.last_key_value() else { return Vec::new() };
        let index = |number: u64| usize::try_from(number - self.last - 2).unwrap_or_default();
        let mut mask = vec![0; (index(newest) / 32 + 1) * 4];
        for &number in self.early.keys() {
            if let Some(byte) = mask.get_mut(index(number) / 8) {
                *byte |= 1 << (index(number) % 8);
            }
        }
        mask
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes that fit.
    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.early_bytes + self.ready.len() + self.unread)
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        assert!(self.early_bytes + self.ready.len() <= self.capacity, "keeps more than it announced");
        assert_eq!(self.early_bytes, self.early.values().map(Bytes::len).sum());
        assert!(self.early.keys().all(|&number| number > self.last + 1 && number <= self.last + 1 + REACH));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver() -> Receiver {
        Receiver::new(sequence::first(65_534), 100)
    }

    fn receive(receiver: &mut Receiver, number: u16, payload: &[u8]) {
        receiver.receive(Duration::ZERO, number, payload, false);
        receiver.check();
    }

    #[test]
    fn packets_come_out_in_order_past_the_wrap() {
        let mut receiver = receiver();
        for number in [0, 2, 65_535, 2, 65_534, 1] {
            receive(&mut receiver, number, &[u8::try_from(number & 0xff).unwrap()]);
        }
        assert_eq!(receiver.take().unwrap(), [255, 0, 1, 2].as_slice());
        assert_eq!(receiver.announce().0, 2);
    }

    #[test]
    fn the_mask_names_what_came_early() {
        let mut receiver = receiver();
        assert_eq!(receiver.selective(), []);
        // 65,535 is missing; bit 0 is packet 0.
        for number in [0, 1, 9] {
            receive(&mut receiver, number, b"x");
        }
        assert_eq!(receiver.selective(), [0b11, 0b10, 0, 0]);
        receive(&mut receiver, 32, b"x");
        assert_eq!(receiver.selective(), [0b11, 0b10, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn no_more_is_kept_than_was_announced() {
        let mut receiver = receiver();
        receive(&mut receiver, 0, &[0; 60]);
        receive(&mut receiver, 65_535, &[1; 60]);
        assert_eq!(receiver.take(), None);
        receive(&mut receiver, 65_535, &[1; 40]);
        assert_eq!(receiver.take().unwrap().len(), 100);
        assert_eq!(receiver.announce(), (0, 0));
        receive(&mut receiver, 1, b"x");
        assert_eq!(receiver.take(), None);
        receiver.read(100);
        assert!(receiver.is_due(Duration::ZERO));
        assert_eq!(receiver.announce(), (0, 100));
    }

    #[test]
    fn nothing_beyond_the_reach_is_kept() {
        let mut receiver = receiver();
        let beyond = sequence::wire(receiver.last + 2 + REACH);
        receive(&mut receiver, beyond, b"x");
        assert!(!receiver.has_gaps());
        receive(&mut receiver, beyond.wrapping_sub(1), b"x");
        assert_eq!(receiver.selective().len(), 252);
    }

    #[test]
    fn one_packet_waits_for_another_but_a_gap_is_told_at_once() {
        let mut receiver = receiver();
        receive(&mut receiver, 65_535, b"x");
        assert!(!receiver.is_due(Duration::ZERO) && receiver.is_due(DELAY));
        receive(&mut receiver, 0, b"x");
        assert!(receiver.is_due(Duration::ZERO));
        receiver.announce();
        receive(&mut receiver, 2, b"x");
        assert!(receiver.is_due(Duration::ZERO));
    }

    #[test]
    fn the_end_is_reached_when_nothing_is_missing_before_it() {
        let mut receiver = receiver();
        receiver.receive(Duration::ZERO, 0, b"", true);
        receive(&mut receiver, 1, b"beyond the end");
        assert!(!receiver.is_ended());
        receive(&mut receiver, 65_535, b"x");
        assert!(receiver.is_ended());
        assert_eq!(receiver.take().unwrap(), "x");
    }
}
