//! What follows the head of an answer: nothing, bytes in memory, or files as they are read.
//!
//! Owned by the connection. The request is under way until its body is dropped.

use std::io;
use std::mem;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::link::{Link, Ticket};
use super::reader::{Reader, Reading, Shelf};
use crate::content::FileBody;

/// A client that takes a read in less time than this is fast, and is read for in large reads: from 64 KiB a second on.
const FAST: Duration = Duration::from_millis(250);

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) payload: Payload,
    /// Says that the request is under way.
    pub(super) _ticket: Ticket,
}

/// Where the bytes come from.
#[derive(Debug)]
pub(super) enum Payload {
    /// There are none.
    Empty,
    /// From memory.
    Page(Bytes),
    /// From disk.
    File(FileStream),
}

impl Body for Outgoing {
    type Data = Chunk;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Chunk>>>> {
        match &mut self.payload {
            Payload::Empty => Poll::Ready(None),
            Payload::Page(bytes) => {
                let chunk = Chunk { bytes: mem::take(bytes), sent: None };
                self.payload = Payload::Empty;
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Payload::File(stream) => stream.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

impl Outgoing {
    fn left(&self) -> u64 {
        match &self.payload {
            Payload::Empty => 0,
            Payload::Page(bytes) => bytes.len() as u64,
            Payload::File(stream) => stream.left,
        }
    }
}

/// Bytes on their way to the socket.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: Bytes,
    /// What the socket took is added here.
    sent: Option<Arc<AtomicU64>>,
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(sent) = &self.sent {
            sent.fetch_add(count as u64, Relaxed);
        }
    }
}

/// A file that is being sent, one read at a time: it is the system that reads ahead.
#[derive(Debug)]
pub(super) struct FileStream {
    shelf: Arc<Shelf>,
    state: State,
    /// Bytes that were not given yet.
    left: u64,
    /// When the last read was given, if one was.
    given: Option<Instant>,
    is_fast: bool,
    sent: Arc<AtomicU64>,
    /// The connection's turn at reading a file.
    _turn: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum State {
    /// Nothing is read until the client wants it.
    Resting(Reader),
    /// Waiting for a disk.
    Reading(Reading),
    /// Read, and not given yet.
    Read(Reader, Bytes),
    Over,
}

impl FileStream {
    /// Reads the first bytes of a range that has some: once that works, the head can be sent.
    pub(super) async fn open(
        shelf: Arc<Shelf>,
        file: FileBody,
        range: Range<u64>,
        link: &Link,
    ) -> io::Result<Self> {
        let turn = Arc::clone(&link.files).acquire_owned().await.map_err(io::Error::other)?;
        let reader = Reader::new(file.parts, range);
        let left = reader.left();
        let (reader, bytes) = shelf.read(reader, false).await?;
        let state = State::Read(reader, bytes);
        Ok(Self { shelf, state, left, given: None, is_fast: false, sent: file.sent, _turn: turn })
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Chunk>>>> {
        let outcome = ready!(self.poll_read(context));
        Poll::Ready(match outcome {
            Ok(Some((reader, bytes))) => Some(Ok(self.give(reader, bytes))),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "a file changed while it was sent: the connection is broken off");
                Some(Err(error))
            }
        })
    }

    /// The next bytes; `None`: there are no more. Leaves the state `Over`.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<(Reader, Bytes)>>> {
        let mut reading = match mem::replace(&mut self.state, State::Over) {
            State::Over => return Poll::Ready(Ok(None)),
            State::Read(reader, bytes) => return Poll::Ready(Ok(Some((reader, bytes)))),
            State::Reading(reading) => reading,
            State::Resting(mut reader) => match self.shelf.read_now(&mut reader, self.is_fast)? {
                Some(bytes) => return Poll::Ready(Ok(Some((reader, bytes)))),
                None => self.shelf.read(reader, self.is_fast),
            },
        };
        match Pin::new(&mut reading).poll(context) {
            Poll::Ready(read) => Poll::Ready(read.map(Some)),
            Poll::Pending => {
                self.state = State::Reading(reading);
                Poll::Pending
            }
        }
    }

    fn give(&mut self, reader: Reader, bytes: Bytes) -> Frame<Chunk> {
        let now = Instant::now();
        self.is_fast = self.given.is_some_and(|given| now.duration_since(given) < FAST);
        self.given = Some(now);
        self.left -= bytes.len() as u64;
        if reader.left() > 0 {
            self.state = State::Resting(reader);
        }
        Frame::data(Chunk { bytes, sent: Some(Arc::clone(&self.sent)) })
    }
}
