//! What one connection is doing: counters that its tasks write and `room` reads.
//!
//! Shared by the connection's task, its answers and `room`. It judges nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Counts;

/// How many files one connection is sent at once; HTTP/2 could ask for a hundred, and each has a buffer and a descriptor.
/// The others wait for their turn.
const FILES_AT_ONCE: usize = 4;

/// One connection. Times are in milliseconds since it began.
#[derive(Debug)]
pub(super) struct Link {
    began: Instant,
    /// Requests that were not answered to the end.
    under_way: AtomicU32,
    /// When the last of them ended.
    rested: AtomicU64,
    /// When a handshake or a head began that has not ended: plus one, zero for none.
    head: AtomicU64,
    /// Several requests may be under way at once, and bytes come in between them (HTTP/2): no head is timed.
    many: AtomicBool,
    /// Bytes that were written.
    written: AtomicU64,
    /// The client does not take what is to be written.
    blocked: AtomicBool,
    /// Turns at reading files.
    pub(super) files: Arc<Semaphore>,
    counts: Arc<Counts>,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// For the rest of a handshake or head, since.
    Head(Duration),
    /// For a request, since.
    Request(Duration),
    /// For its client to take what it asked for.
    Client,
}

impl Link {
    pub(super) fn new(counts: Arc<Counts>) -> Self {
        counts.accepted.fetch_add(1, Relaxed);
        counts.open.fetch_add(1, Relaxed);
        Self {
            began: Instant::now(),
            under_way: AtomicU32::new(0),
            rested: AtomicU64::new(0),
            head: AtomicU64::new(1),
            many: AtomicBool::new(false),
            written: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            files: Arc::new(Semaphore::new(FILES_AT_ONCE)),
            counts,
        }
    }

    /// How long it has been there.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// What it waits for; times count from when it began.
    pub(super) fn waits(&self) -> Waits {
        if self.under_way.load(Relaxed) > 0 || self.blocked.load(Relaxed) {
            return Waits::Client;
        }
        match self.head.load(Relaxed).checked_sub(1) {
            Some(since) => Waits::Head(Duration::from_millis(since)),
            None => Waits::Request(self.rested()),
        }
    }

    /// When the last answer ended.
    pub(super) fn rested(&self) -> Duration {
        Duration::from_millis(self.rested.load(Relaxed))
    }

    /// How many bytes it took.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// The handshake is done: now a head is due.
    pub(super) fn greeted(&self, many: bool) {
        self.many.store(many, Relaxed);
        self.head.store(self.milliseconds() + 1, Relaxed);
    }

    /// A head is complete; the request is under way until the ticket is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Ticket {
        self.under_way.fetch_add(1, Relaxed);
        self.head.store(0, Relaxed);
        Ticket(Arc::clone(self))
    }

    fn milliseconds(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    fn note_read(&self) {
        let is_head = self.under_way.load(Relaxed) == 0 && !self.many.load(Relaxed);
        if is_head && self.head.load(Relaxed) == 0 {
            self.head.store(self.milliseconds() + 1, Relaxed);
        }
    }

    fn note_written(&self, outcome: &Poll<io::Result<usize>>) {
        self.blocked.store(outcome.is_pending(), Relaxed);
        if let Poll::Ready(Ok(count)) = outcome {
            self.written.fetch_add(*count as u64, Relaxed);
            self.counts.sent.fetch_add(*count as u64, Relaxed);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.counts.open.fetch_sub(1, Relaxed);
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Ticket(Arc<Link>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.rested.store(self.0.milliseconds(), Relaxed);
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

/// A stream whose reads and writes are noted.
#[derive(Debug)]
pub(super) struct Noted<S> {
    pub(super) stream: S,
    pub(super) link: Arc<Link>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.link.note_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.link.note_written(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.link.note_written(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        // What TLS has taken in is not out yet.
        self.link.blocked.store(outcome.is_pending(), Relaxed);
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
