//! The byte stream to a peer, over TCP or uTP: the one thing that peers, dials and handshakes know of either.
//!
//! Owned by whoever has the connection. What is said over it is not its business.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::utp;

/// Both directions.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Utp(utp::Reader, utp::Writer),
}

/// What arrives.
#[derive(Debug)]
pub(crate) enum Reader {
    Tcp(OwnedReadHalf),
    Utp(utp::Reader),
}

/// What leaves.
#[derive(Debug)]
pub(crate) enum Writer {
    Tcp(OwnedWriteHalf),
    Utp(utp::Writer),
}

impl Stream {
    pub(crate) fn into_split(self) -> (Reader, Writer) {
        match self {
            Self::Tcp(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::Tcp(reader), Writer::Tcp(writer))
            }
            Self::Utp(reader, writer) => (Reader::Utp(reader), Writer::Utp(writer)),
        }
    }
}

impl Reader {
    /// Waits until there may be something to read. Loses nothing when it is dropped.
    pub(crate) async fn readable(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(reader) => reader.readable().await,
            Self::Utp(reader) => std::future::poll_fn(|cx| reader.poll_readable(cx)).await,
        }
    }

    /// Reads what is there; `WouldBlock`: nothing is. 0: the peer ended the stream.
    pub(crate) fn try_read_buf(&mut self, buffer: &mut impl BufMut) -> io::Result<usize> {
        match self {
            Self::Tcp(reader) => reader.try_read_buf(buffer),
            Self::Utp(reader) => reader.try_read_buf(buffer),
        }
    }
}

impl Writer {
    /// Waits until something may be written. Loses nothing when it is dropped.
    pub(crate) async fn writable(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(writer) => writer.writable().await,
            Self::Utp(writer) => std::future::poll_fn(|cx| writer.poll_room(cx)).await.map(drop),
        }
    }

    /// Writes what the stream takes at once.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(writer) => Pin::new(writer).poll_write_vectored(cx, slices),
            Self::Utp(writer) => writer.poll_write(cx, slices),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Utp(reader, _) => {
                ready!(reader.poll_readable(cx))?;
                Poll::Ready(reader.try_read_buf(buffer).map(drop))
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Utp(_, writer) => writer.poll_write(cx, &[IoSlice::new(bytes)]),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Utp(..) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            // Dropping both halves ends the stream, after all that was written.
            Self::Utp(..) => Poll::Ready(Ok(())),
        }
    }
}
