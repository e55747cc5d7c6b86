//! The two halves of a uTP stream, as a peer holds them.
//!
//! Each keeps its side of the credit: the reader gives back what it has read, the writer writes no more than there is room for.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::utp::ConnectionKey;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::sync::mpsc;

use super::Order;

/// Bytes read before the port is told: little against the window, much against the cost of telling.
const TELL: usize = 64 << 10;

/// Bytes handed to the port at a time at most: they are copied, so that they leave in whole packets.
const WRITE: usize = 64 << 10;

/// Ends the connection when both halves are gone.
#[derive(Debug)]
struct Tie {
    key: ConnectionKey,
    number: u64,
    port: mpsc::UnboundedSender<Order>,
}

impl Tie {
    fn send(&self, order: Order) -> io::Result<()> {
        self.port.send(order).map_err(|_| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        // A port that is gone has closed all.
        let _gone = self.send(Order::Close(self.key, self.number));
    }
}

/// What arrives.
#[derive(Debug)]
pub(crate) struct Reader {
    tie: Arc<Tie>,
    parts: mpsc::Receiver<io::Result<Bytes>>,
    /// The rest of the part that is being read.
    part: Bytes,
    /// Read, and the port not told.
    read: usize,
    ended: bool,
}

/// What leaves.
#[derive(Debug)]
pub(crate) struct Writer {
    tie: Arc<Tie>,
    credits: mpsc::Receiver<usize>,
    room: usize,
}

pub(super) fn pair(
    key: ConnectionKey,
    number: u64,
    port: mpsc::UnboundedSender<Order>,
    parts: mpsc::Receiver<io::Result<Bytes>>,
    credits: mpsc::Receiver<usize>,
    room: usize,
) -> (Reader, Writer) {
    let tie = Arc::new(Tie { key, number, port });
    let reader = Reader { tie: tie.clone(), parts, part: Bytes::new(), read: 0, ended: false };
    (reader, Writer { tie, credits, room })
}

impl Reader {
    /// Ready when there is something to read, or nothing ever will be.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.part.is_empty() && !self.ended {
            match ready!(self.parts.poll_recv(cx)) {
                Some(part) => self.part = part?,
                None => self.ended = true,
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn try_read_buf(&mut self, buffer: &mut impl BufMut) -> io::Result<usize> {
        let mut total = 0;
        while buffer.has_remaining_mut() {
            if self.part.is_empty() {
                match self.parts.try_recv() {
                    Ok(Ok(part)) => self.part = part,
                    Ok(Err(error)) if total == 0 => return Err(error),
                    Err(mpsc::error::TryRecvError::Empty) if total == 0 => {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    Ok(Err(_)) | Err(_) => break,
                }
            }
            let length = self.part.len().min(buffer.remaining_mut());
            buffer.put_slice(&self.part[..length]);
            self.part.advance(length);
            total += length;
        }
        self.read += total;
        if self.read >= TELL {
            let order = Order::Read(self.tie.key, self.tie.number, std::mem::take(&mut self.read));
            // Without a port the stream ends by itself.
            let _gone = self.tie.send(order);
        }
        Ok(total)
    }
}

impl Writer {
    /// Bytes there is room for, once there is any.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while self.room == 0 {
            let credit = ready!(self.credits.poll_recv(cx)).ok_or(io::ErrorKind::BrokenPipe)?;
            self.room += credit;
        }
        while let Ok(credit) = self.credits.try_recv() {
            self.room += credit;
        }
        Poll::Ready(Ok(self.room))
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_room(cx))?.min(WRITE);
        let mut bytes = BytesMut::with_capacity(room.min(slices.iter().map(|slice| slice.len()).sum()));
        for slice in slices {
            bytes.extend_from_slice(&slice[..slice.len().min(room - bytes.len())]);
        }
        let written = bytes.len();
        self.room -= written;
        self.tie.send(Order::Write(self.tie.key, self.tie.number, bytes.freeze()))?;
        Poll::Ready(Ok(written))
    }
}
