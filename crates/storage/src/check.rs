//! Finding out which pieces are right on disk: before seeding, on resume, for `--check` and `verify`.
//!
//! All disk threads hash pieces of one torrent, each taking the next that nobody has; a thread goes back to the queue after a few
//! of them, so that other torrents are served meanwhile. Missing files and holes are skipped without reading.

use std::mem;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};

use metainfo::{Bitfield, FileIndex, Info, PieceIndex, Span};
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::disk::{Disk, Shared};
use crate::error::StorageError;
use crate::files::{Mode, TorrentFiles};
use crate::hash::{Chunk, Expected, Hashes, PieceHashers, Verdict, Wanted, ZEROS};
use crate::scan::{CHUNK, lanes, scan};

/// A thread checks about so many bytes before it lets others have their turn: pieces of 1 MiB enough to be hashed side by side,
/// and a tenth of a second of a slow disk.
const TURN: u32 = 8 << 20;

/// A thread takes at least so many pieces a turn, however long they are: one by one they hash at less than half the speed.
const LEAST: u32 = 4;

/// What is called at the end.
pub(crate) type Done = Box<dyn FnOnce(Result<Bitfield, StorageError>) + Send>;

/// One check, shared by the threads that work on it.
pub(crate) struct Check {
    files: Arc<TorrentFiles>,
    todo: Vec<u32>,
    /// Lengths of the files when the check began; `None` for those that are not there.
    sizes: Vec<Option<u64>>,
    next: AtomicUsize,
    /// Threads that have not come to the end.
    working: AtomicUsize,
    result: Mutex<Outcome>,
    progress: Arc<AtomicU64>,
    cancel: Arc<AtomicBool>,
    /// What a whole piece of zeros hashes to, once a hole has been met.
    zeros: OnceLock<Hashes>,
}

struct Outcome {
    good: Bitfield,
    error: Option<StorageError>,
    done: Option<Done>,
}

impl Check {
    pub(crate) fn start(
        shared: &Arc<Shared>,
        files: Arc<TorrentFiles>,
        pieces: &Bitfield,
        progress: Arc<AtomicU64>,
        cancel: Arc<AtomicBool>,
        done: Done,
    ) {
        let good = Bitfield::none(files.layout().piece_count());
        let todo: Vec<u32> = pieces.iter().collect();
        let next = Arc::clone(shared);
        shared.run(move || {
            let sizes = files.stamps().into_iter().map(|stamp| stamp.map(|stamp| stamp.size)).collect();
            let check = Arc::new(Self {
                files,
                todo,
                sizes,
                next: AtomicUsize::new(0),
                working: AtomicUsize::new(next.threads),
                result: Mutex::new(Outcome { good, error: None, done: Some(done) }),
                progress,
                cancel,
                zeros: OnceLock::new(),
            });
            (0..next.threads).for_each(|_| Arc::clone(&check).queue(&next));
        });
    }

    fn queue(self: Arc<Self>, shared: &Arc<Shared>) {
        let next = Arc::clone(shared);
        shared.run(move || self.turn(&next));
    }

    /// Checks the next few pieces, and queues up again unless the end is reached.
    fn turn(self: Arc<Self>, shared: &Arc<Shared>) {
        let count = (TURN / self.files.layout().piece_length()).max(LEAST) as usize;
        let count = count.min(self.todo.len().div_ceil(shared.threads));
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let pieces = self.todo.get(first..(first + count).min(self.todo.len())).unwrap_or_default();
        if pieces.is_empty() || self.cancel.load(Ordering::Relaxed) {
            return self.leave();
        }
        if let Err(error) = self.judge(pieces, shared) {
            self.result().error.get_or_insert(error);
            return self.leave();
        }
        self.queue(shared);
    }

    /// The last thread to leave tells the result.
    fn leave(&self) {
        self.next.store(self.todo.len(), Ordering::Relaxed);
        if self.working.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let mut result = self.result();
        let good = mem::replace(&mut result.good, Bitfield::none(0));
        let (error, done) = (result.error.take(), result.done.take());
        drop(result);
        let cancelled = self.cancel.load(Ordering::Relaxed).then_some(StorageError::Cancelled);
        if let Some(done) = done {
            done(error.or(cancelled).map_or(Ok(good), Err));
        }
    }

    fn judge(&self, pieces: &[u32], shared: &Shared) -> Result<(), StorageError> {
        let mut unread = Vec::new();
        for piece in pieces.iter().copied().map(PieceIndex) {
            let expected = Expected::of(self.files.info(), piece);
            match self.look(piece, &expected, shared)? {
                Some(good) => self.tell(piece, good),
                None => unread.push((piece, expected)),
            }
        }
        // Only pieces of one length are hashed side by side; all but the last have it.
        let kind = |(piece, expected): &(PieceIndex, Expected)| {
            let wanted = expected.wanted();
            (wanted, wanted.v1.then(|| self.files.layout().piece_size(*piece)))
        };
        for alike in unread.chunk_by(|one, other| kind(one) == kind(other)) {
            for batch in alike.chunks(lanes()) {
                self.judge_together(batch, shared)?;
            }
        }
        Ok(())
    }

    /// What can be said of a piece without reading it.
    fn look(
        &self,
        piece: PieceIndex,
        expected: &Expected,
        shared: &Shared,
    ) -> Result<Option<bool>, StorageError> {
        let layout = self.files.layout();
        let there = |span: &Span| {
            let size = self.sizes.get(span.file.0 as usize).copied().flatten();
            span.pad || size.is_some_and(|size| size >= span.offset + u64::from(span.length))
        };
        if !layout.piece_spans(piece).all(|span| there(&span)) {
            return Ok(Some(false));
        }
        let whole = layout.piece_spans(piece).find(|span| !span.pad && span.length == layout.piece_length());
        let Some(span) = whole else { return Ok(None) };
        match self.is_hole(&span, shared) {
            Ok(true) => {
                let (sha1, leaves) =
                    self.zeros.get_or_init(|| hash_zeros(span.length as usize, expected.wanted())).clone();
                Ok(Some(expected.judge(sha1, leaves) == Verdict::Good))
            }
            Ok(false) => Ok(None),
            Err(error) if error.is_missing() => Ok(Some(false)),
            Err(error) => Err(error),
        }
    }

    /// Reads and judges pieces that are alike.
    fn judge_together(&self, batch: &[(PieceIndex, Expected)], shared: &Shared) -> Result<(), StorageError> {
        let Some((_, expected)) = batch.first() else { return Ok(()) };
        let pieces: Vec<PieceIndex> = batch.iter().map(|(piece, _)| *piece).collect();
        let mut buffer = shared.buffers.take(batch.len() * CHUNK);
        let mut gone = vec![false; batch.len()];
        let read = |at: usize, span: Span, bytes: &mut [u8]| {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(StorageError::Cancelled);
            }
            match self.files.read(&shared.descriptors, &self.files, span, bytes) {
                // The file was taken away or cut while we looked.
                Err(error) if error.is_missing() || matches!(error, StorageError::Shorter { .. }) => {
                    gone[at] = true;
                    Ok(())
                }
                other => other,
            }
        };
        let hashes = scan(self.files.layout(), &pieces, expected.wanted(), buffer.as_mut(), read)?;
        for (((piece, expected), (sha1, leaves)), gone) in batch.iter().zip(hashes).zip(gone) {
            self.tell(*piece, !gone && expected.judge(sha1, leaves) == Verdict::Good);
        }
        Ok(())
    }

    fn tell(&self, piece: PieceIndex, good: bool) {
        if good {
            self.files.found(piece);
            self.result().good.set(piece.0);
        } else {
            self.files.lost(piece);
        }
        self.progress.fetch_add(u64::from(self.files.layout().piece_size(piece)), Ordering::Relaxed);
    }

    /// Whether no byte of the run was ever written, as in the missing parts of a sparse file.
    fn is_hole(&self, span: &Span, shared: &Shared) -> Result<bool, StorageError> {
        let file = self.files.descriptor(&shared.descriptors, &self.files, span.file, false)?;
        // Every access names its position, so that moving the descriptor's own disturbs nobody.
        Ok(match rustix::fs::seek(&*file, SeekFrom::Data(span.offset)) {
            Ok(data) => data >= span.offset + u64::from(span.length),
            Err(error) => error == Errno::NXIO,
        })
    }

    fn result(&self) -> MutexGuard<'_, Outcome> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash_zeros(length: usize, wanted: Wanted) -> Hashes {
    let mut hasher = PieceHashers::new(wanted, 1);
    for at in (0..length).step_by(ZEROS.len()) {
        let bytes = &ZEROS[..ZEROS.len().min(length - at)];
        hasher.update(&[Chunk { bytes, content: bytes.len() }]);
    }
    hasher.finish().pop().unwrap_or_default()
}

/// How thorough [`verify`] is, and with how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Thoroughness {
    /// Threads that read and hash.
    pub threads: usize,
    /// Compare the sizes of the files only.
    pub quick: bool,
}

/// What [`verify`] found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The pieces that are right (after a quick look: those whose files all have the right size).
    pub good: Bitfield,
    /// What is to be said of each file, padding left out, in the order of the torrent.
    pub files: Vec<(FileIndex, FileVerdict)>,
}

/// What [`verify`] says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileVerdict {
    /// All as the torrent says.
    Ok,
    /// It is not there.
    Missing,
    /// It has another length.
    WrongSize {
        /// Its length in bytes.
        found: u64,
    },
    /// It has the right length, but these of its pieces are wrong. A piece may be wrong through a neighbouring file alone.
    Bad {
        /// Piece numbers in order.
        pieces: Vec<u32>,
    },
}

impl Report {
    /// Whether every file is as the torrent says.
    pub fn is_ok(&self) -> bool {
        self.files.iter().all(|(_, verdict)| *verdict == FileVerdict::Ok)
    }
}

/// Compares files with their torrent. Waits for the end; `progress` and `cancel` are as in [`Disk::check`].
pub fn verify(
    info: &Arc<Info>,
    folder: &Path,
    rename: Option<String>,
    thoroughness: Thoroughness,
    progress: &Arc<AtomicU64>,
    cancel: &Arc<AtomicBool>,
) -> Result<Report, StorageError> {
    let files = TorrentFiles::open(Arc::clone(info), folder, rename, Mode::Seed)?;
    let mut pieces = Bitfield::all(info.layout().piece_count());
    let good = if thoroughness.quick {
        for index in files.indices().filter(|&index| !size_fits(&files, index)) {
            info.layout().pieces_of(index).for_each(|piece| _ = pieces.clear(piece));
        }
        pieces
    } else {
        let (tell, told) = mpsc::channel();
        let disk = Disk::start(thoroughness.threads);
        disk.check(&files, &pieces, Arc::clone(progress), Arc::clone(cancel), move |result| {
            _ = tell.send(result);
        });
        told.recv().unwrap_or(Err(StorageError::Cancelled))?
    };
    let judged = files.indices().filter_map(|index| Some((index, judge_file(&files, index, &good)?)));
    Ok(Report { files: judged.collect(), good })
}

fn size_fits(files: &TorrentFiles, index: FileIndex) -> bool {
    let Some(slot) = files.layout().files().get(index.0 as usize) else { return false };
    slot.pad || files.stamp(index).is_some_and(|stamp| stamp.size == slot.length)
}

fn judge_file(files: &TorrentFiles, index: FileIndex, good: &Bitfield) -> Option<FileVerdict> {
    let path = files.path_of(index)?;
    let file = files.info().files().get(index.0 as usize)?;
    if file.symlink.is_some() {
        let there = path.symlink_metadata().is_ok();
        return Some(if there { FileVerdict::Ok } else { FileVerdict::Missing });
    }
    let pieces = || files.layout().pieces_of(index).filter(|&piece| !good.get(piece)).collect::<Vec<u32>>();
    Some(match files.stamp(index) {
        None => FileVerdict::Missing,
        Some(stamp) if stamp.size != file.length => FileVerdict::WrongSize { found: stamp.size },
        Some(_) => match pieces() {
            pieces if pieces.is_empty() => FileVerdict::Ok,
            pieces => FileVerdict::Bad { pieces },
        },
    })
}

#[cfg(test)]
mod tests;
