//! Recycled read buffers: allocating one per read costs more than the read itself.
//!
//! Owned by `Disk`. A buffer returns here when its last `Bytes` slice is dropped, wherever that happens.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// The sizes kept: a lone block must not hold a mebibyte, and a joined read needs one.
const SIZES: [usize; 4] = [16 << 10, 64 << 10, 256 << 10, 1 << 20];

/// A page. The kernel copies from the page cache a multiple slower into memory that begins a few bytes behind a page's
/// beginning, where large allocations usually do.
const PAGE: usize = 4096;

/// How many free buffers of one size are kept: 8 of each are 10.6 MiB at most, and enough for
/// a few disk threads with a read in the socket queue for each.
const KEPT: usize = 8;

/// Free buffers by size.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: [Mutex<Vec<Box<[u8]>>>; SIZES.len()],
}

/// A buffer on loan. Its bytes are whatever the last user left: fill all of it.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    /// Where the first page begins.
    start: usize,
    length: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    /// A buffer of `length` bytes.
    pub(crate) fn take(self: &Arc<Self>, length: usize) -> Buffer {
        let bytes = match SIZES.iter().position(|&size| length <= size) {
            Some(class) => self.recycled(class).unwrap_or_else(|| vec![0; SIZES[class] + PAGE].into()),
            None => vec![0; length + PAGE].into(),
        };
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Buffer { bytes, start, length, home: Arc::clone(self) }
    }

    fn recycled(&self, class: usize) -> Option<Box<[u8]>> {
        self.free[class].lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

impl Buffer {
    /// The buffer as shared bytes; it goes home when the last of them is dropped.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..][..self.length]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = mem::take(&mut self.bytes);
        if let Some(class) = SIZES.iter().position(|&size| size + PAGE == bytes.len()) {
            let mut free = self.home.free[class].lock().unwrap_or_else(PoisonError::into_inner);
            if free.len() < KEPT {
                free.push(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_its_last_slice_is_dropped() {
        let pool = Arc::new(Buffers::default());
        let bytes = pool.take(1 << 20).freeze();
        let (slice, address) = (bytes.slice(5..9), bytes.as_ptr());
        drop(bytes);
        let other = pool.take(1 << 20);
        assert_ne!(other.as_ref().as_ptr(), address);
        drop(slice);
        assert_eq!(pool.take((1 << 20) - 1).as_ref().as_ptr(), address);
    }

    #[test]
    fn no_more_than_a_few_free_buffers_are_kept() {
        let pool = Arc::new(Buffers::default());
        let loans: Vec<Buffer> = (0..3 * KEPT).map(|_| pool.take(1)).collect();
        drop(loans);
        assert_eq!(pool.free[0].lock().unwrap().len(), KEPT);
    }
}
