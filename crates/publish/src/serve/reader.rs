//! Bytes of files from disk, in large reads for clients that are fast and small ones for those that are not.
//!
//! [`Shelf`] is shared by all connections and bounds what they take together; a [`Reader`] belongs to one body. What the
//! page cache has is read at once; only what has to come from a disk is waited for, on a thread for that
//! (see `docs/decisions/0007-files-over-http.md`).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use rustix::fs::OFlags;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::content::Part;

/// A read for a client that is fast, in bytes: large enough that its costs are those of copying, and small enough that it
/// is still in the processor's cache when it is sent.
const LARGE: usize = 256 << 10;

/// Large buffers of all connections together: 64 MiB. Who gets none is read to in small ones.
const LARGE_BUFFERS: usize = 256;

/// Large buffers that are kept when nobody needs them: 4 MiB.
const KEPT: usize = 16;

/// A read for any other client. 10,000 that take nothing hold 160 MiB; four times that, if they all use HTTP/2.
const SMALL: usize = 16 << 10;

/// What buffers are aligned to, in bytes: the kernel copies into others up to six times slower.
const LINE: usize = 64;

/// Reads at once of all connections together: keeps a disk's queue full, and leaves threads to others.
const READS_AT_ONCE: usize = 32;

/// Buffers, and turns at the disk.
#[derive(Debug)]
pub(super) struct Shelf {
    kept: Mutex<Vec<Box<[u8]>>>,
    large: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            large: Arc::new(Semaphore::new(LARGE_BUFFERS)),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
        }
    }
}

impl Shelf {
    /// The next bytes, if they are there without waiting: a few at least.
    pub(super) fn read_now(
        self: &Arc<Self>,
        reader: &mut Reader,
        is_fast: bool,
    ) -> io::Result<Option<Bytes>> {
        let mut buffer = self.buffer(reader.left, is_fast);
        buffer.length = reader.fill(buffer.bytes_mut(), read_cached)?;
        Ok((buffer.length > 0).then(|| Bytes::from_owner(buffer)))
    }

    /// Begins to read the next bytes, as many as suit the client; gives the reader back with them.
    pub(super) fn read(self: &Arc<Self>, mut reader: Reader, is_fast: bool) -> Reading {
        let this = Arc::clone(self);
        Reading(tokio::spawn(async move {
            // Never closed.
            let turn = Arc::clone(&this.reads).acquire_owned().await.map_err(io::Error::other)?;
            let work = move || {
                let _turn = turn;
                let mut buffer = this.buffer(reader.left, is_fast);
                reader.fill(buffer.bytes_mut(), read_all)?;
                Ok((reader, Bytes::from_owner(buffer)))
            };
            spawn_blocking(work).await.map_err(io::Error::other)?
        }))
    }

    /// A buffer for no more than `left` bytes.
    fn buffer(self: &Arc<Self>, left: u64, is_fast: bool) -> Buffer {
        let fitting = |size: usize| usize::try_from(left).map_or(size, |left| left.min(size));
        if is_fast
            && fitting(LARGE) > SMALL
            && let Ok(permit) = Arc::clone(&self.large).try_acquire_owned()
        {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let room = kept.unwrap_or_else(|| vec![0; LARGE + LINE].into());
            return Buffer::new(room, fitting(LARGE), Some((Arc::clone(self), permit)));
        }
        let length = fitting(SMALL);
        Buffer::new(vec![0; length + LINE].into(), length, None)
    }
}

/// A read under way; it does not begin any more once this is dropped.
///
/// It is a task of its own because a body is not always asked: one whose client takes nothing would keep its turn from others.
#[derive(Debug)]
pub(super) struct Reading(JoinHandle<io::Result<(Reader, Bytes)>>);

impl Future for Reading {
    type Output = io::Result<(Reader, Bytes)>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|read| read.map_err(io::Error::other).flatten())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where a body is to be read on.
#[derive(Debug)]
pub(super) struct Reader {
    parts: Arc<[Part]>,
    /// The number of the part that is next, and how far in it.
    part: usize,
    within: u64,
    /// How many bytes are left to be read.
    left: u64,
    /// The file of that part, if it was opened.
    file: Option<File>,
}

impl Reader {
    /// Reads a range of what the parts have together.
    pub(super) fn new(parts: Arc<[Part]>, range: Range<u64>) -> Self {
        let left = range.end.saturating_sub(range.start);
        Self { parts, part: 0, within: range.start, left, file: None }
    }

    /// How many bytes are left to be read.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Fills a buffer that is no longer than what is left, as far as `read` does not stop short; says how far.
    fn fill(&mut self, buffer: &mut [u8], read: ReadAt) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let part = self.parts.get(self.part).ok_or(io::ErrorKind::UnexpectedEof)?;
            let Some(length) = part.length().checked_sub(self.within).filter(|&length| length > 0) else {
                self.within = self.within.saturating_sub(part.length());
                self.part += 1;
                self.file = None;
                continue;
            };
            let wanted = usize::try_from(length).map_or(rest.len(), |length| length.min(rest.len()));
            let next = rest.get_mut(..wanted).unwrap_or_default();
            let count = match part {
                Part::Zeros(_) => {
                    next.fill(0);
                    wanted
                }
                Part::File { path, offset, .. } => read(&mut self.file, path, next, offset + self.within)?,
            };
            filled += count;
            self.within += count as u64;
            self.left -= count as u64;
            if count < wanted {
                break;
            }
        }
        Ok(filled)
    }
}

/// Fills a buffer from an offset of a file, which is opened if it is not; says how many bytes there were without waiting.
type ReadAt = fn(&mut Option<File>, &Path, &mut [u8], u64) -> io::Result<usize>;

/// Waits for all of it.
fn read_all(file: &mut Option<File>, path: &Path, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let file = match file {
        Some(file) => file,
        none => none.insert(open(path)?),
    };
    file.read_exact_at(buffer, offset)?;
    Ok(buffer.len())
}

/// Reads what the page cache has of an open file. An end that comes too early is left to [`read_all`].
#[cfg(target_os = "linux")]
#[expect(clippy::unnecessary_wraps, reason = "it stands in for `read_all`")]
fn read_cached(file: &mut Option<File>, _path: &Path, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let Some(file) = file else { return Ok(0) };
    // Any fault means that it has to be waited for; many file systems cannot do otherwise.
    let flags = rustix::io::ReadWriteFlags::NOWAIT;
    Ok(rustix::io::preadv2(file, &mut [io::IoSliceMut::new(buffer)], offset, flags).unwrap_or(0))
}

/// Nowhere else can be asked for what the page cache has.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "it stands in for `read_all`")]
fn read_cached(
    _file: &mut Option<File>,
    _path: &Path,
    _buffer: &mut [u8],
    _offset: u64,
) -> io::Result<usize> {
    Ok(0)
}

/// Opens a file, and nothing else: a pipe in its place would be waited for.
fn open(path: &Path) -> io::Result<File> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

/// Bytes that were read. They begin with a line of the processor's cache.
struct Buffer {
    room: Box<[u8]>,
    start: usize,
    length: usize,
    /// A large one goes back on the shelf.
    loan: Option<(Arc<Shelf>, OwnedSemaphorePermit)>,
}

impl Buffer {
    /// `room` is larger than `length` by a line.
    fn new(room: Box<[u8]>, length: usize, loan: Option<(Arc<Shelf>, OwnedSemaphorePermit)>) -> Self {
        let start = room.as_ptr().align_offset(LINE).min(LINE);
        Self { room, start, length, loan }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let range = self.start..self.start + self.length;
        self.room.get_mut(range).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.room.get(self.start..self.start + self.length).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some((shelf, _)) = &self.loan {
            let mut kept = shelf.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT {
                kept.push(std::mem::take(&mut self.room));
            }
        }
    }
}

#[cfg(test)]
mod tests;
