//! Hashing all pieces of a plan in one pass, with several threads.
//!
//! Each thread takes the next pieces that nobody has, and hashes them side by side.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;

use metainfo::merkle::{self, Hash};
use metainfo::{FileIndex, Format, Layout, PieceIndex, Span};

use super::{CreateError, Plan, sources_by_slot, tree_width};
use crate::buffers::Aligned;
use crate::hash::{Digest, Wanted};
use crate::scan::{CHUNK, lanes, scan};

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
    let threads = threads.max(1);
    // Few pieces are shared out rather than hashed side by side.
    let lanes = lanes().min((layout.piece_count() as usize).div_ceil(threads));
    let work = Work { plan, layout, sources, lanes, next: AtomicU32::new(0), progress, cancel };
    let parts: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work.run())).collect();
        workers.into_iter().map(|worker| worker.join().expect("hashing does not panic")).collect()
    });
    let mut hashes = vec![PieceHash::default(); layout.piece_count() as usize];
    for part in parts {
        for (piece, hash) in part? {
            hashes[piece.0 as usize] = hash;
        }
    }
    Ok(hashes)
}

struct Work<'a> {
    plan: &'a Plan,
    layout: &'a Layout,
    /// From files of the layout to those of the plan, which has no padding.
    sources: BTreeMap<u32, usize>,
    /// How many pieces a thread hashes side by side.
    lanes: usize,
    next: AtomicU32,
    progress: &'a AtomicU64,
    cancel: &'a AtomicBool,
}

/// A thread's buffer, and for each piece in it the file that was read last: the next run is mostly of the same.
struct Reader {
    buffer: Aligned,
    open: Vec<Option<(FileIndex, File)>>,
}

impl Work<'_> {
    fn run(&self) -> Result<Vec<(PieceIndex, PieceHash)>, CreateError> {
        let mut reader = Reader {
            buffer: Aligned::new(self.lanes * CHUNK),
            open: (0..self.lanes).map(|_| None).collect(),
        };
        let mut done = Vec::new();
        let lanes = u32::try_from(self.lanes).unwrap_or(1);
        loop {
            let first = self.next.fetch_add(lanes, Ordering::Relaxed);
            let pieces: Vec<PieceIndex> =
                (first..first.saturating_add(lanes)).map_while(|index| self.layout.piece(index)).collect();
            if pieces.is_empty() {
                return Ok(done);
            }
            // The last piece of a torrent is mostly shorter than those before it.
            let size = |piece: &PieceIndex| self.layout.piece_size(*piece);
            let v1 = self.plan.builder.format != Format::V2;
            for pieces in pieces.chunk_by(|one, other| !v1 || size(one) == size(other)) {
                match self.hash(pieces, &mut reader) {
                    Ok(hashes) => done.extend(pieces.iter().copied().zip(hashes)),
                    Err(error) => {
                        self.next.store(self.layout.piece_count(), Ordering::Relaxed);
                        return Err(error);
                    }
                }
            }
        }
    }

    fn hash(&self, pieces: &[PieceIndex], reader: &mut Reader) -> Result<Vec<PieceHash>, CreateError> {
        let format = self.plan.builder.format;
        let wanted = Wanted { v1: format != Format::V2, v2: format != Format::V1 };
        let Reader { buffer, open } = reader;
        let hashes = scan(self.layout, pieces, wanted, buffer.as_mut(), |at, span, bytes| {
            self.read(span, &mut open[at], bytes)
        })?;
        let root = |(piece, (sha1, leaves)): (&PieceIndex, (_, Option<Vec<Hash>>))| {
            let root = leaves.map(|leaves| merkle::root(leaves, tree_width(self.layout, *piece)));
            PieceHash { sha1, root }
        };
        Ok(pieces.iter().zip(hashes).map(root).collect())
    }

    fn read(
        &self,
        span: Span,
        open: &mut Option<(FileIndex, File)>,
        bytes: &mut [u8],
    ) -> Result<(), CreateError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(CreateError::Cancelled);
        }
        let source = self.sources.get(&span.file.0).and_then(|&at| self.plan.sources.get(at));
        let path = &source.expect("every file of the layout that is not padding is one of the plan").path;
        let file = match open {
            Some((index, file)) if *index == span.file => file,
            _ => &mut open.insert((span.file, File::open(path).map_err(CreateError::read(path))?)).1,
        };
        file.read_exact_at(bytes, span.offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => CreateError::Changed(path.clone()),
            _ => CreateError::read(path)(error),
        })?;
        self.progress.fetch_add(span.length.into(), Ordering::Relaxed);
        Ok(())
    }
}
