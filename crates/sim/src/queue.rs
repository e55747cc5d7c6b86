//! What is still to happen, in order of time; what is due at the same time happens in the order in which it was queued.
//!
//! Owned by the world. The heap orders small keys only; the things themselves stay where they were put.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    slots: Vec<Option<T>>,
    free: Vec<usize>,
    pushed: u64,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), pushed: 0 }
    }

    pub(crate) fn push(&mut self, at: Duration, what: T) {
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot] = Some(what);
            slot
        } else {
            self.slots.push(Some(what));
            self.slots.len() - 1
        };
        self.pushed += 1;
        self.heap.push(Reverse((at, self.pushed, slot)));
    }

    pub(crate) fn pop(&mut self) -> Option<(Duration, T)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        Some((at, self.slots[slot].take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_in_order_of_time_and_then_of_queueing() {
        let mut queue = Queue::new();
        for (at, name) in [(3, "c"), (1, "a"), (3, "d"), (2, "b")] {
            queue.push(Duration::from_secs(at), name);
        }
        assert_eq!(queue.pop(), Some((Duration::from_secs(1), "a")));
        queue.push(Duration::from_secs(3), "e");
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, name)| name).collect();
        assert_eq!(rest, ["b", "c", "d", "e"]);
    }
}
