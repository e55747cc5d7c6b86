//! Bytes that were written and have not left, cut into packets when they do.
//!
//! Part of `Sender`. Copies only where a packet takes from two writes.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

#[derive(Debug, Default)]
pub(crate) struct Queue {
    writes: VecDeque<Bytes>,
    length: usize,
    /// Bytes that the writer was not told of leaving.
    freed: usize,
}

impl Queue {
    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.length += bytes.len();
        self.writes.push_back(bytes);
    }

    pub(crate) fn clear(&mut self) {
        self.writes.clear();
        self.length = 0;
    }

    /// Bytes in it.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Bytes that left since the last call.
    pub(crate) fn take_freed(&mut self) -> usize {
        std::mem::take(&mut self.freed)
    }

    /// Takes so many bytes, which must be there.
    pub(crate) fn cut(&mut self, size: usize) -> Bytes {
        self.length -= size;
        self.freed += size;
        let mut whole = BytesMut::new();
        while let Some(front) = self.writes.front_mut() {
            let part = front.split_to(front.len().min(size - whole.len()));
            if front.is_empty() {
                self.writes.pop_front();
            }
            if part.len() == size {
                return part;
            }
            whole.extend_from_slice(&part);
            if whole.len() == size {
                break;
            }
        }
        whole.freeze()
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        assert_eq!(self.length, self.writes.iter().map(Bytes::len).sum::<usize>());
    }
}
