//! How long complete pieces wait for others, so that several are hashed together.
//!
//! Owned by the queue of `disk`. It decides; it hashes nothing and looks at no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many start at once while no thread commits: four hash in little more than the time of one and a half, and more only cost memory.
const ENOUGH: usize = 4;

/// The most that are taken together.
const MOST: usize = 8;

/// So many bytes waiting start at once, and no more are taken together than the first piece beyond them: long pieces gain no less
/// from company, but must not fill the memory.
const MOST_BYTES: usize = 16 << 20;

/// A piece waits no longer than this. At 1 GB/s four pieces of 1 MiB arrive in less; where fewer arrive, hashing is no bottleneck.
const PATIENCE: Duration = Duration::from_millis(5);

/// Nor any longer than this while another thread commits. Threads that write to one file wait for each other in the kernel, so
/// that a second one is of use only to another disk.
const PATIENCE_BESIDE: Duration = Duration::from_millis(100);

/// Pieces in the order in which they came.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    pieces: VecDeque<(T, usize, Instant)>,
    bytes: usize,
    hurried: bool,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { pieces: VecDeque::new(), bytes: 0, hurried: false }
    }
}

impl<T> Waiting<T> {
    pub(crate) fn push(&mut self, piece: T, length: usize, now: Instant) {
        self.pieces.push_back((piece, length, now));
        self.bytes += length;
        self.hurried = false;
    }

    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Nothing else comes soon.
    pub(crate) fn hurry(&mut self) {
        self.hurried = true;
    }

    /// Whether they are to be taken; `busy` says that some are being committed.
    pub(crate) fn is_due(&self, busy: bool, now: Instant) -> bool {
        let late = self.deadline(busy).is_some_and(|deadline| now >= deadline);
        let enough = self.hurried || self.bytes >= MOST_BYTES || self.len() >= ENOUGH;
        late || (enough && !busy)
    }

    /// When the oldest has waited long enough.
    pub(crate) fn deadline(&self, busy: bool) -> Option<Instant> {
        let patience = if busy { PATIENCE_BESIDE } else { PATIENCE };
        self.pieces.front().map(|(_, _, since)| *since + patience)
    }

    /// Those that are hashed together, oldest first.
    pub(crate) fn take(&mut self) -> Vec<T> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while taken.len() < MOST
            && bytes < MOST_BYTES
            && let Some((piece, length, _)) = self.pieces.pop_front()
        {
            bytes += length;
            taken.push(piece);
        }
        self.bytes -= bytes;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn waiting(lengths: &[usize]) -> (Waiting<usize>, Instant) {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        lengths.iter().enumerate().for_each(|(piece, &length)| waiting.push(piece, length, now));
        (waiting, now)
    }

    #[test]
    fn four_pieces_start_at_once_unless_others_are_being_written() {
        let (three, now) = waiting(&[MIB; 3]);
        assert!(!three.is_due(false, now));
        let (four, now) = waiting(&[MIB; 4]);
        assert!(four.is_due(false, now) && !four.is_due(true, now));
        assert!(four.is_due(true, now + PATIENCE_BESIDE), "a disk that hangs holds up no other");
    }

    #[test]
    fn a_lone_piece_starts_after_five_milliseconds_or_when_nothing_else_is_due() {
        let (mut waiting, now) = waiting(&[MIB]);
        assert!(!waiting.is_due(false, now) && !waiting.is_due(false, now + Duration::from_millis(4)));
        assert!(waiting.is_due(false, now + Duration::from_millis(5)));
        waiting.hurry();
        assert!(waiting.is_due(false, now));
        waiting.push(1, MIB, now);
        assert!(!waiting.is_due(false, now), "something else came");
    }

    #[test]
    fn long_pieces_do_not_fill_the_memory() {
        let (mut waiting, now) = waiting(&[12 * MIB, 12 * MIB, 12 * MIB]);
        assert!(waiting.is_due(false, now));
        assert_eq!(waiting.take(), [0, 1]);
        assert!(!waiting.is_due(false, now));
    }

    #[test]
    fn no_more_than_eight_are_taken_and_in_order() {
        let (mut waiting, _) = waiting(&[MIB; 10]);
        assert_eq!(waiting.take(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(waiting.take(), [8, 9]);
        assert_eq!(waiting.take(), [0; 0]);
    }
}
