//! Reading blocks of verified pieces, to be sent to peers.
//!
//! Runs on a disk thread. Whether the pieces are had is for the caller to know.

use std::sync::Arc;

use bytes::Bytes;
use metainfo::{BlockRef, Layout, PieceIndex, Span};

use crate::disk::Shared;
use crate::error::StorageError;
use crate::files::TorrentFiles;

/// The most that is worth reading at once. More gains nothing and costs memory per peer.
pub const MAX_READ: u32 = 1 << 20;

/// Reads blocks into one recycled buffer, neighbours at once. If that fails: for which piece, and why.
pub(crate) fn read(
    files: &Arc<TorrentFiles>,
    blocks: &[BlockRef],
    shared: &Shared,
) -> Result<Bytes, (PieceIndex, StorageError)> {
    let length = |run: &[BlockRef]| run.iter().map(|block| block.length() as usize).sum::<usize>();
    let mut buffer = shared.buffers.take(length(blocks));
    let mut rest = buffer.as_mut();
    for run in blocks.chunk_by(follows) {
        let Some(first) = run.first() else { continue };
        let (now, later) = rest.split_at_mut(length(run));
        read_run(files, *first, now, shared).map_err(|error| (first.piece(), error))?;
        rest = later;
    }
    Ok(buffer.freeze())
}

fn follows(one: &BlockRef, next: &BlockRef) -> bool {
    next.piece() == one.piece() && next.begin() == one.begin() + one.length()
}

/// Fills `buffer` with the bytes of a piece from the beginning of a block on.
fn read_run(
    files: &Arc<TorrentFiles>,
    from: BlockRef,
    buffer: &mut [u8],
    shared: &Shared,
) -> Result<(), StorageError> {
    let end = u64::from(from.begin()) + buffer.len() as u64;
    if end > u64::from(files.layout().piece_size(from.piece())) {
        return Err(StorageError::Outside { piece: from.piece().0, begin: from.begin(), end });
    }
    let mut rest = buffer;
    for span in part(files.layout(), from, end) {
        let (now, later) = rest.split_at_mut(span.length as usize);
        files.read(&shared.descriptors, files, span, now)?;
        rest = later;
    }
    Ok(())
}

/// The runs of files that the bytes of a piece from the beginning of a block to `end` lie in.
fn part(layout: &Layout, from: BlockRef, end: u64) -> impl Iterator<Item = Span> + '_ {
    let mut at = 0u64;
    layout.piece_spans(from.piece()).filter_map(move |span| {
        let start = at;
        at += u64::from(span.length);
        let (begin, end) = (start.max(from.begin().into()), at.min(end));
        let length = u32::try_from(end.saturating_sub(begin)).ok().filter(|&length| length > 0)?;
        Some(Span { offset: span.offset + (begin - start), length, ..span })
    })
}
