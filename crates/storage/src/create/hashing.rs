//! Hashing all pieces of a plan in one pass, with several threads.
//!
//! Each thread takes the next piece that nobody has, and reads straight into its own buffer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;

use metainfo::merkle::{self, Hash};
use metainfo::{FileIndex, Format, Layout, PieceIndex, Span};

use super::{CreateError, Plan, sources_by_slot, tree_width};
use crate::hash::{Digest, PieceHasher};

/// How much is read before it is hashed: small enough to be still in the core's cache then.
const CHUNK: usize = 256 << 10;

/// What a piece hashes to, as far as the format asks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PieceHash {
    pub(super) sha1: Option<Digest>,
    /// The root over its blocks.
    pub(super) root: Option<Hash>,
}

/// The hashes of all pieces, in order.
pub(super) fn hash_pieces(
    plan: &Plan,
    layout: &Layout,
    threads: usize,
    progress: &AtomicU64,
    cancel: &AtomicBool,
) -> Result<Vec<PieceHash>, CreateError> {
    let sources = sources_by_slot(layout);
    let work = Work { plan, layout, sources, next: AtomicU32::new(0), progress, cancel };
    let parts: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(|| work.run())).collect();
        workers.into_iter().map(|worker| worker.join().expect("hashing does not panic")).collect()
    });
    let mut hashes = vec![PieceHash::default(); layout.piece_count() as usize];
    for part in parts {
        for (piece, hash) in part? {
            hashes[piece as usize] = hash;
        }
    }
    Ok(hashes)
}

struct Work<'a> {
    plan: &'a Plan,
    layout: &'a Layout,
    /// From files of the layout to those of the plan, which has no padding.
    sources: BTreeMap<u32, usize>,
    next: AtomicU32,
    progress: &'a AtomicU64,
    cancel: &'a AtomicBool,
}

/// A thread's buffer and the file it read last: neighbouring pieces are mostly of one file.
struct Reader {
    buffer: Vec<u8>,
    open: Option<(FileIndex, File)>,
}

impl Work<'_> {
    fn run(&self) -> Result<Vec<(u32, PieceHash)>, CreateError> {
        let mut reader = Reader { buffer: vec![0; CHUNK], open: None };
        let mut done = Vec::new();
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = self.layout.piece(index) else { return Ok(done) };
            if self.cancel.load(Ordering::Relaxed) {
                return Err(CreateError::Cancelled);
            }
            match self.hash(piece, &mut reader) {
                Ok(hash) => done.push((index, hash)),
                Err(error) => {
                    self.next.store(self.layout.piece_count(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    }

    fn hash(&self, piece: PieceIndex, reader: &mut Reader) -> Result<PieceHash, CreateError> {
        let format = self.plan.builder.format;
        let mut hasher = PieceHasher::new(format != Format::V2, format != Format::V1);
        for span in self.layout.piece_spans(piece) {
            if span.pad {
                hasher.pad(span.length);
            } else {
                self.read(span, reader, &mut hasher)?;
                self.progress.fetch_add(span.length.into(), Ordering::Relaxed);
            }
        }
        let (sha1, leaves) = hasher.finish();
        let root = leaves.map(|leaves| merkle::root(leaves, tree_width(self.layout, piece)));
        Ok(PieceHash { sha1, root })
    }

    fn read(&self, span: Span, reader: &mut Reader, hasher: &mut PieceHasher) -> Result<(), CreateError> {
        let source = self.sources.get(&span.file.0).and_then(|&at| self.plan.sources.get(at));
        let path = &source.expect("every file of the layout that is not padding is one of the plan").path;
        if reader.open.as_ref().is_none_or(|(file, _)| *file != span.file) {
            reader.open = Some((span.file, File::open(path).map_err(CreateError::read(path))?));
        }
        let Reader { buffer, open: Some((_, file)) } = reader else { return Ok(()) };
        let (mut offset, mut left) = (span.offset, span.length as usize);
        while left > 0 {
            let bytes = &mut buffer[..left.min(CHUNK)];
            file.read_exact_at(bytes, offset).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => CreateError::Changed(path.clone()),
                _ => CreateError::read(path)(error),
            })?;
            hasher.update(bytes);
            offset += bytes.len() as u64;
            left -= bytes.len();
        }
        Ok(())
    }
}
