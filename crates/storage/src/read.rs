//! Reading runs of verified pieces, to be sent to peers.
//!
//! Runs on a disk thread. Whether the piece is had is for the caller to know.

use std::sync::Arc;

use bytes::Bytes;
use metainfo::{Layout, PieceIndex, Span};

use crate::disk::Shared;
use crate::error::StorageError;
use crate::files::TorrentFiles;

/// The longest read: neighbouring requests joined into one. More gains nothing and costs memory per peer.
pub const MAX_READ: u32 = 1 << 20;

/// Reads into a recycled buffer.
pub(crate) fn read(
    files: &Arc<TorrentFiles>,
    piece: PieceIndex,
    begin: u32,
    length: u32,
    shared: &Shared,
) -> Result<Bytes, StorageError> {
    let end = u64::from(begin) + u64::from(length);
    if length > MAX_READ || end > u64::from(files.layout().piece_size(piece)) {
        return Err(StorageError::Outside { piece: piece.0, begin, end });
    }
    let mut buffer = shared.buffers.take(length as usize);
    let mut rest = buffer.as_mut();
    for span in part(files.layout(), piece, begin, length) {
        let (now, later) = rest.split_at_mut(span.length as usize);
        files.read(&shared.descriptors, files, span, now)?;
        rest = later;
    }
    Ok(buffer.freeze())
}

/// The runs of files that `length` bytes from `begin` of a piece cover.
fn part(layout: &Layout, piece: PieceIndex, begin: u32, length: u32) -> impl Iterator<Item = Span> + '_ {
    let end = begin.saturating_add(length);
    let mut at = 0u32;
    layout.piece_spans(piece).filter_map(move |span| {
        let start = at;
        at += span.length;
        let (from, to) = (start.max(begin), at.min(end));
        let offset = span.offset + u64::from(from.saturating_sub(start));
        (from < to).then(|| Span { offset, length: to - from, ..span })
    })
}
