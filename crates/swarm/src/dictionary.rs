//! An info dictionary as one peer sends it, piece by piece (BEP 9).
//!
//! Owned by `MetadataFetch`, one a sender. It checks numbers and lengths; the hash is checked by its owner.

use std::time::Duration;

use bytes::Bytes;
use wire::{MAX_METADATA, METADATA_PIECE};

/// Requests outstanding at a time: 128 KiB, a tenth of a second of what a peer gives a second.
const PIPELINE: usize = 8;

/// A dictionary on its way.
#[derive(Debug)]
pub(crate) struct Dictionary {
    size: u32,
    pieces: Vec<Option<Bytes>>,
    /// The first piece not asked for.
    next: u32,
    outstanding: usize,
    received: u32,
    moved: Duration,
}

impl Dictionary {
    /// Whether a dictionary may be of this size.
    pub(crate) fn is_sane(size: u32) -> bool {
        size > 0 && size <= MAX_METADATA
    }

    pub(crate) fn new(now: Duration, size: u32) -> Self {
        let pieces = vec![None; size.div_ceil(METADATA_PIECE) as usize];
        Self { size, pieces, next: 0, outstanding: 0, received: 0, moved: now }
    }

    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    pub(crate) fn received(&self) -> u32 {
        self.received
    }

    /// When the sender was first asked, or the last piece came.
    pub(crate) fn moved(&self) -> Duration {
        self.moved
    }

    /// The next piece to ask for, if one is due.
    pub(crate) fn next_request(&mut self) -> Option<u32> {
        let due = self.outstanding < PIPELINE && (self.next as usize) < self.pieces.len();
        due.then(|| {
            self.outstanding += 1;
            self.next += 1;
            self.next - 1
        })
    }

    /// Keeps a piece; says whether it fits. A piece that is here already is ignored.
    pub(crate) fn receive(&mut self, now: Duration, piece: u32, total_size: u32, data: &Bytes) -> bool {
        let length = self.size.saturating_sub(piece.saturating_mul(METADATA_PIECE)).min(METADATA_PIECE);
        let fits = piece < self.next && total_size == self.size && data.len() == length as usize;
        if let (true, Some(slot @ None)) = (fits, self.pieces.get_mut(piece as usize)) {
            // A copy, so that a small slice keeps no large read buffer alive.
            *slot = Some(Bytes::copy_from_slice(data));
            self.outstanding -= 1;
            self.received += length;
            self.moved = now;
        }
        fits
    }

    /// The whole, once it is here.
    pub(crate) fn complete(&self) -> Option<Bytes> {
        (self.received == self.size).then(|| self.pieces.iter().flatten().flatten().copied().collect())
    }
}
