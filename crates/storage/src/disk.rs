//! The disk threads: one queue, a few workers, and the jobs a torrent gives them.
//!
//! Whoever holds a `Disk` may give jobs and never waits for them: results come through the `done` function, which is called on a
//! disk thread and must not block for long. Jobs start in the order they were given, but for complete pieces: these wait for a few
//! milliseconds for others, since several are hashed together for less (`gather` says how long). Long work (a check) gives itself
//! back to the queue after a few pieces, so that reads and writes of other torrents get their turn.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use metainfo::{Bitfield, BlockRef, PieceIndex};
use rustix::process::{Resource, getrlimit};

use crate::buffers::Buffers;
use crate::check::Check;
use crate::commit::{Commit, Ready, commit};
use crate::descriptors::Descriptors;
use crate::error::StorageError;
use crate::files::TorrentFiles;
use crate::gather::Waiting;
use crate::read;

/// The most files kept open: enough for a few torrents of many small files, and far from any usual limit.
const MAX_OPEN: u64 = 256;

/// The disk threads. Clones are handles to the same threads, which finish what is queued and end when the last one is dropped.
#[derive(Clone)]
pub struct Disk {
    handle: Arc<Handle>,
}

/// What every job may use.
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    pub(crate) descriptors: Descriptors,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) threads: usize,
}

struct Handle(Arc<Shared>);

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Complete pieces that wait for others.
    waiting: Waiting<Ready>,
    /// Whether there is a [`Job::Commit`] among the jobs.
    due: bool,
    /// How many threads commit pieces.
    committing: usize,
    closed: bool,
}

enum Job {
    /// As many of the waiting pieces as are hashed together.
    Commit,
    Run(Box<dyn FnOnce() + Send>),
}

impl Disk {
    /// Starts the threads, at least one.
    pub fn start(threads: usize) -> Self {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            descriptors: Descriptors::new(open_files()),
            buffers: Arc::default(),
            threads,
        });
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            let thread = thread::Builder::new().name(format!("disk-{number}")).spawn(move || shared.work());
            thread.expect("the system starts a few threads for any process");
        }
        Self { handle: Arc::new(Handle(shared)) }
    }

    /// Verifies a piece and writes it if it is right. `blocks` are all its bytes in order. It may wait a few milliseconds for other
    /// pieces; see [`Disk::hurry`].
    pub fn commit(
        &self,
        files: &Arc<TorrentFiles>,
        piece: PieceIndex,
        blocks: Vec<Bytes>,
        digests: bool,
        done: impl FnOnce(Commit) + Send + 'static,
    ) {
        let files = Arc::clone(files);
        let length = blocks.iter().map(Bytes::len).sum();
        let ready = Ready { files, piece, blocks, digests, done: Box::new(done) };
        let mut queue = self.shared().locked();
        queue.waiting.push(ready, length, Instant::now());
        // The first needs a thread that watches the clock.
        if queue.waiting.len() == 1 || queue.commit_if_due() {
            self.shared().wake.notify_one();
        }
    }

    /// No more pieces are to be expected soon: those that wait for others are committed at once.
    pub fn hurry(&self) {
        self.shared().locked().waiting.hurry();
        self.shared().wake.notify_one();
    }

    /// Reads blocks into one recycled buffer, one behind the other; best no more than [`MAX_READ`](crate::MAX_READ).
    /// Padding reads as zeros. An error comes with the piece that could not be read.
    pub fn read(
        &self,
        files: &Arc<TorrentFiles>,
        blocks: Vec<BlockRef>,
        done: impl FnOnce(Vec<BlockRef>, Result<Bytes, (PieceIndex, StorageError)>) + Send + 'static,
    ) {
        let (files, shared) = (Arc::clone(files), Arc::clone(self.shared()));
        self.run(move || {
            let result = read::read(&files, &blocks, &shared);
            done(blocks, result);
        });
    }

    /// Hashes the given pieces on all disk threads and says which are right. Those are noted as had, the others as lost.
    ///
    /// `progress` grows by the bytes judged; setting `cancel` ends the check soon, with [`StorageError::Cancelled`].
    pub fn check(
        &self,
        files: &Arc<TorrentFiles>,
        pieces: &Bitfield,
        progress: Arc<AtomicU64>,
        cancel: Arc<AtomicBool>,
        done: impl FnOnce(Result<Bitfield, StorageError>) + Send + 'static,
    ) {
        Check::start(self.shared(), Arc::clone(files), pieces, progress, cancel, Box::new(done));
    }

    /// Runs any other work that may wait for the disk: saving, preparing, syncing.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.shared().run(job);
    }

    /// Closes the files of a torrent; they are opened again when next used.
    pub fn close(&self, files: &TorrentFiles) {
        self.shared().descriptors.close(files.id());
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.0
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("threads", &self.shared().threads).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.locked().closed = true;
        self.0.wake.notify_all();
    }
}

impl Shared {
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.locked().jobs.push_back(Job::Run(Box::new(job)));
        self.wake.notify_one();
    }

    fn locked(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a disk thread. A job that panics takes its `done` with it, which its owner notices; the thread goes on.
    fn work(&self) {
        while let Some(job) = self.next() {
            match job {
                Job::Run(run) => _ = catch_unwind(AssertUnwindSafe(run)),
                Job::Commit => {
                    let batch = self.locked().take_batch();
                    _ = catch_unwind(AssertUnwindSafe(|| commit(batch, &self.descriptors)));
                    self.locked().committing -= 1;
                }
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.locked();
        loop {
            queue.commit_if_due();
            if let Some(job) = queue.jobs.pop_front() {
                // Whoever else has nothing to do takes over what is left, or watches the clock.
                if !queue.jobs.is_empty() || queue.waiting.len() > 0 {
                    self.wake.notify_one();
                }
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue = match queue.waiting.deadline(queue.committing > 0) {
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    self.wake.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Queue {
    /// Queues the waiting pieces if it is time, and says whether it did.
    fn commit_if_due(&mut self) -> bool {
        let due = !self.due
            && self.waiting.len() > 0
            && (self.closed || self.waiting.is_due(self.committing > 0, Instant::now()));
        if due {
            self.due = true;
            self.jobs.push_back(Job::Commit);
        }
        due
    }

    fn take_batch(&mut self) -> Vec<Ready> {
        self.due = false;
        self.committing += 1;
        self.waiting.take()
    }
}

/// A quarter of what this process may open: the rest is for sockets.
fn open_files() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from((limit / 4).clamp(16, MAX_OPEN)).unwrap_or(16)
}

#[cfg(test)]
mod tests;
