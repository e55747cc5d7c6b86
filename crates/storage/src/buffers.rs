//! Recycled read buffers: allocating one per read costs more than the read itself.
//!
//! Owned by `Disk`. A buffer returns here when its last `Bytes` slice is dropped, wherever that happens.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// The sizes kept: a lone block must not hold a mebibyte, and a joined read needs one.
const SIZES: [usize; 4] = [16 << 10, 64 << 10, 256 << 10, 1 << 20];

/// How many free buffers of one size are kept: 8 of each are 10.6 MiB at most, and enough for
/// a few disk threads with a read in the socket queue for each.
const KEPT: usize = 8;

/// Where buffers begin: the kernel copies file pages up to six times slower to addresses between such boundaries, and large
/// allocations begin 16 bytes behind one.
const ALIGNMENT: usize = 64;

/// Bytes that begin at a multiple of [`ALIGNMENT`].
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    bytes: Box<[u8]>,
    from: usize,
}

/// Free buffers by size.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: [Mutex<Vec<Aligned>>; SIZES.len()],
}

/// A buffer on loan. Its bytes are whatever the last user left: fill all of it.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Empty once it is on its way home.
    bytes: Aligned,
    length: usize,
    home: Arc<Buffers>,
}

impl Aligned {
    pub(crate) fn new(length: usize) -> Self {
        let bytes: Box<[u8]> = vec![0; length + ALIGNMENT - 1].into();
        let from = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT - 1);
        Self { bytes, from }
    }

    fn len(&self) -> usize {
        self.bytes.len().saturating_sub(ALIGNMENT - 1)
    }
}

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.from..][..self.len()]
    }
}

impl AsMut<[u8]> for Aligned {
    fn as_mut(&mut self) -> &mut [u8] {
        let length = self.len();
        &mut self.bytes[self.from..][..length]
    }
}

impl Buffers {
    /// A buffer of `length` bytes.
    pub(crate) fn take(self: &Arc<Self>, length: usize) -> Buffer {
        let bytes = match SIZES.iter().position(|&size| length <= size) {
            Some(class) => self.recycled(class).unwrap_or_else(|| Aligned::new(SIZES[class])),
            None => Aligned::new(length),
        };
        Buffer { bytes, length, home: Arc::clone(self) }
    }

    fn recycled(&self, class: usize) -> Option<Aligned> {
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
        &self.bytes.as_ref()[..self.length]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes.as_mut()[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = mem::take(&mut self.bytes);
        if let Some(class) = SIZES.iter().position(|&size| size == bytes.len()) {
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

    /// Alignment shows in nothing but speed.
    #[test]
    fn every_buffer_is_aligned() {
        let pool = Arc::new(Buffers::default());
        let loans: Vec<Buffer> = [1, 16 << 10, 100_000, 1 << 20, 3 << 20].map(|size| pool.take(size)).into();
        assert!(loans.iter().all(|loan| loan.as_ref().as_ptr().addr() % ALIGNMENT == 0));
    }

    #[test]
    fn no_more_than_a_few_free_buffers_are_kept() {
        let pool = Arc::new(Buffers::default());
        let loans: Vec<Buffer> = (0..3 * KEPT).map(|_| pool.take(1)).collect();
        drop(loans);
        assert_eq!(pool.free[0].lock().unwrap().len(), KEPT);
    }
}
