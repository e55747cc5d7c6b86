//! The disk threads: one queue, a few workers, and the jobs a torrent gives them.
//!
//! Whoever holds a `Disk` may give jobs and never waits for them: results come through the `done` function, which is called on a
//! disk thread and must not block for long. Jobs start in the order they were given. Long work (a check) gives itself back to the
//! queue piece by piece, so that reads and writes of other torrents get their turn.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use bytes::Bytes;
use metainfo::{Bitfield, BlockRef, PieceIndex};
use rustix::process::{Resource, getrlimit};

use crate::buffers::Buffers;
use crate::check::Check;
use crate::commit::{Commit, Ready, commit};
use crate::descriptors::Descriptors;
use crate::error::StorageError;
use crate::files::TorrentFiles;
use crate::hash::LANES;
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
    closed: bool,
}

enum Job {
    /// Pieces are a kind of their own, so that a worker can take several that wait in a row and hash them together.
    Commit(Ready),
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

    /// Verifies a piece and writes it if it is right. `blocks` are all its bytes in order.
    pub fn commit(
        &self,
        files: &Arc<TorrentFiles>,
        piece: PieceIndex,
        blocks: Vec<Bytes>,
        digests: bool,
        done: impl FnOnce(Commit) + Send + 'static,
    ) {
        let files = Arc::clone(files);
        self.shared().push(Job::Commit(Ready { files, piece, blocks, digests, done: Box::new(done) }));
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
        self.push(Job::Run(Box::new(job)));
    }

    fn push(&self, job: Job) {
        self.locked().jobs.push_back(job);
        self.wake.notify_one();
    }

    fn locked(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a disk thread. A job that panics takes its `done` with it, which its owner notices; the thread goes on.
    fn work(&self) {
        while let Some(job) = self.next() {
            let _ = catch_unwind(AssertUnwindSafe(|| match job {
                Job::Run(run) => run(),
                Job::Commit(ready) => {
                    let mut batch = vec![ready];
                    self.locked().join_ready(&mut batch);
                    commit(batch, &self.descriptors);
                }
            }));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.locked();
        loop {
            match queue.jobs.pop_front() {
                Some(job) => return Some(job),
                None if queue.closed => return None,
                None => queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Queue {
    /// Takes the pieces that wait right behind the first, as many as are hashed together.
    fn join_ready(&mut self, batch: &mut Vec<Ready>) {
        while batch.len() < LANES {
            match self.jobs.pop_front() {
                Some(Job::Commit(ready)) => batch.push(ready),
                Some(other) => return self.jobs.push_front(other),
                None => return,
            }
        }
    }
}

/// A quarter of what this process may open: the rest is for sockets.
fn open_files() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from((limit / 4).clamp(16, MAX_OPEN)).unwrap_or(16)
}

#[cfg(test)]
mod tests;
