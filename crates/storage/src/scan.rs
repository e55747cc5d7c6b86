//! Hashing pieces that lie in files: several side by side, each a chunk at a time, so that all chunks are still in the core's cache
//! when they are hashed.
//!
//! Used by `check` and `create`, which say how a run of a file is read, and bring the buffer. It opens nothing.

use std::slice::ChunksExactMut;

use metainfo::{Layout, PieceIndex, Span};

use crate::hash::{Chunk, Hashes, PieceHashers, Wanted, ZEROS};
use crate::kernels::{SHA1, SHA256};

/// How much of a piece is read at a time. Sixteen pieces' chunks, the most that are hashed side by side, fill a core's cache of 1 MiB;
/// each read is long enough for its call not to count.
pub(crate) const CHUNK: usize = ZEROS.len();

/// How many pieces are best hashed side by side.
pub(crate) fn lanes() -> usize {
    SHA1.lanes().max(SHA256.lanes())
}

/// Hashes up to [`lanes`] pieces, all of one length if a SHA-1 is wanted. `read` fills a buffer with a run of a file, for the piece
/// that it is told the place of; `buffer` has a [`CHUNK`] for each piece.
pub(crate) fn scan<E>(
    layout: &Layout,
    pieces: &[PieceIndex],
    wanted: Wanted,
    buffer: &mut [u8],
    mut read: impl FnMut(usize, Span, &mut [u8]) -> Result<(), E>,
) -> Result<Vec<Hashes>, E> {
    let mut lanes: Vec<_> = pieces
        .iter()
        .map(|&piece| Lane {
            spans: layout.piece_spans(piece),
            rest: None,
            left: layout.piece_size(piece) as usize,
        })
        .collect();
    let mut hashers = PieceHashers::new(wanted, pieces.len());
    while lanes.iter().any(|lane| lane.left > 0) {
        let buffers: ChunksExactMut<'_, u8> = buffer.chunks_exact_mut(CHUNK);
        let mut chunks = Vec::with_capacity(pieces.len());
        for (at, (lane, buffer)) in lanes.iter_mut().zip(buffers).enumerate() {
            chunks.push(lane.next(buffer, |span, bytes| read(at, span, bytes))?);
        }
        hashers.update(&chunks);
    }
    Ok(hashers.finish())
}

/// A piece on its way through the buffer.
struct Lane<I> {
    spans: I,
    /// What the last chunk left of a span.
    rest: Option<Span>,
    /// Bytes not yet read.
    left: usize,
}

impl<I: Iterator<Item = Span>> Lane<I> {
    /// The next chunk. Padding is never read, and a chunk of nothing else not even written.
    fn next<'a, E>(
        &mut self,
        buffer: &'a mut [u8],
        mut read: impl FnMut(Span, &mut [u8]) -> Result<(), E>,
    ) -> Result<Chunk<'a>, E> {
        let length = self.left.min(CHUNK);
        self.left -= length;
        let (mut filled, mut content) = (0, 0);
        while filled < length
            && let Some(span) = self.rest.take().or_else(|| self.spans.next())
        {
            let now = span.length.min(u32::try_from(length - filled).unwrap_or(u32::MAX));
            let bytes = &mut buffer[filled..filled + now as usize];
            filled += bytes.len();
            if !span.pad {
                content += bytes.len();
                read(Span { length: now, ..span }, bytes)?;
            } else if bytes.len() < length {
                bytes.fill(0);
            }
            let offset = span.offset + u64::from(now);
            self.rest = (now < span.length).then_some(Span { offset, length: span.length - now, ..span });
        }
        Ok(Chunk { bytes: if content > 0 { &buffer[..length] } else { &ZEROS[..length] }, content })
    }
}
