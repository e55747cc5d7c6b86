//! Read buffers that are used again: a fresh one for every read would cost a page fault for every 4 KiB received.
//!
//! Shared by all peer tasks. The lock is a leaf, held to move a few handles, about once for every 256 KiB received.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::BytesMut;

/// The length of a buffer, and the most one read takes from a socket. More measures alike; 256 KiB wakes the torrent
/// task once for 16 blocks.
pub(crate) const READ: usize = 256 * 1024;

/// The least room worth a read: half of that costs a third more for every byte.
pub(crate) const ROOM: usize = 128 * 1024;

/// Fewer bytes than that are copied out of a buffer, lest they keep all of it from being used again: two blocks.
pub(crate) const FEW: usize = 32 * 1024;

/// Buffers remembered, 32 MiB together: what is received, hashed and written at full speed. More are given back to the
/// allocator.
const KEPT: usize = 128;

/// Buffers looked at for one whose bytes nobody uses any more. They come free in about the order they were filled.
const LOOKS: usize = 8;

/// Buffers that have room, then those whose bytes may be in use.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    kept: Mutex<VecDeque<BytesMut>>,
}

impl Buffers {
    /// An empty buffer with room for a read.
    pub(crate) fn take(&self) -> BytesMut {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..kept.len().min(LOOKS) {
            let Some(mut buffer) = kept.pop_front() else { break };
            if buffer.capacity() >= ROOM || buffer.try_reclaim(READ) {
                return buffer;
            }
            kept.push_back(buffer);
        }
        BytesMut::with_capacity(READ)
    }

    /// Takes back an empty buffer. What was split off it may still be in use.
    pub(crate) fn give(&self, buffer: BytesMut) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.capacity() >= ROOM {
            kept.push_front(buffer);
        } else {
            kept.push_back(buffer);
        }
        kept.truncate(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_its_last_slice_is_gone() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        let address = buffer.as_ptr();
        buffer.resize(READ, 7);
        let bytes = buffer.split().freeze();
        let slice = bytes.slice(0..1);
        buffers.give(buffer);
        drop(bytes);
        assert_ne!(buffers.take().as_ptr(), address);
        assert_eq!(slice[0], 7);
        drop(slice);
        assert_eq!(buffers.take().as_ptr(), address);
    }

    #[test]
    fn what_a_short_read_left_is_filled_by_the_next() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        let address = buffer.as_ptr();
        buffer.resize(READ / 4, 7);
        let _in_use = buffer.split().freeze();
        buffers.give(buffer);
        let next = buffers.take();
        assert_eq!(next.as_ptr() as usize, address as usize + READ / 4);
    }
}
