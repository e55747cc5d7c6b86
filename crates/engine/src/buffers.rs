//! Read buffers that are used again: a fresh one for every read would cost a page fault for every 4 KiB received.
//!
//! Shared by all peer tasks. The lock is a leaf, held to push or pop one pointer, about once for every 256 KiB received.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// The length of a buffer, and the most one read takes from a socket. 64 KiB and more measure alike; 256 KiB wakes
/// the torrent task once for 16 blocks.
pub(crate) const READ: usize = 256 * 1024;

/// Buffers kept for the next reader, 16 MiB together; more are given back to the allocator.
const KEPT: usize = 64;

/// The buffers nobody uses.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: Mutex<Vec<Box<[u8]>>>,
}

impl Buffers {
    /// A buffer of [`READ`] bytes, with anything in them.
    pub(crate) fn take(self: &Arc<Self>) -> Buffer {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: free.unwrap_or_else(|| vec![0; READ].into()), home: self.clone() }
    }
}

/// A buffer in use; goes back when it, or the last slice of it, is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    home: Arc<Buffers>,
}

impl Buffer {
    /// Its first `filled` bytes, to be sliced and passed on without copying.
    pub(crate) fn freeze(self, filled: usize) -> Bytes {
        let mut bytes = Bytes::from_owner(self);
        bytes.truncate(filled);
        bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = self.home.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_slice_goes() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take();
        buffer[0] = 7;
        let bytes = buffer.freeze(10);
        let slice = bytes.slice(0..1);
        drop(bytes);
        assert_eq!(buffers.free.lock().unwrap().len(), 0);
        assert_eq!(slice[0], 7);
        drop(slice);
        assert_eq!(buffers.free.lock().unwrap().len(), 1);
    }
}
