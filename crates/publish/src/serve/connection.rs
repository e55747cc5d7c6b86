//! One connection: the TLS handshake, then HTTP/1.1 or HTTP/2 until it ends.
//!
//! Owned by its task. How long anything may take is `room`'s to watch.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::Site;
use super::link::{Link, Noted};
use super::reader::Shelf;

/// The longest head, in bytes: browsers send 1,000 to 2,000, and a scrape of 200 torrents has 14,000. hyper allows 100
/// fields by itself.
const MAX_HEAD: u32 = 16 << 10;

/// Requests under way on one HTTP/2 connection: what RFC 9113 recommends as the least.
const MAX_STREAMS: u32 = 100;

/// The window of an HTTP/2 stream and connection: requests have no bodies, and less is not allowed for a connection.
const WINDOW: u32 = (1 << 16) - 1;

/// Answers kept ready for each HTTP/2 stream, in bytes: a large read, so that the next begins when it is sent.
const SEND_BUFFER: usize = 256 << 10;

/// Streams that a client may open and take back at once before it is hung up on ("rapid reset", CVE-2023-44487).
const MAX_RESETS: usize = 20;

/// Streams that may be reset for breaking rules before the client is hung up on (RUSTSEC-2024-0003).
const MAX_BROKEN_STREAMS: usize = 100;

/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);

/// The name under which an ACME server connects to see the certificate of a challenge (RFC 8737).
const ACME: &[u8] = b"acme-tls/1";

/// What every connection shares.
pub(super) struct Server {
    pub(super) site: Arc<Site>,
    pub(super) shelf: Arc<Shelf>,
    one: Builder<TokioExecutor>,
    two: Builder<TokioExecutor>,
    stopping: watch::Sender<bool>,
}

/// Who asks, and where we were reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    /// The other end of the connection.
    pub(super) from: IpAddr,
    /// Our end.
    pub(super) reached: IpAddr,
}

impl Server {
    pub(super) fn new(site: Arc<Site>) -> Self {
        let mut one = Builder::new(TokioExecutor::new()).http1_only();
        one.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD as usize);
        let mut two = Builder::new(TokioExecutor::new()).http2_only();
        two.http2()
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HEAD)
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .max_local_error_reset_streams(MAX_BROKEN_STREAMS)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        Self { site, shelf: Arc::default(), one, two, stopping: watch::Sender::new(false) }
    }

    /// Every connection shall end when its answers under way are sent.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Answers until the client has enough or breaks a rule, or the server stops.
    pub(super) async fn converse(
        self: Arc<Self>,
        stream: TcpStream,
        from: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        link: Arc<Link>,
    ) {
        if let Err(error) = self.try_converse(stream, from, tls, link).await {
            tracing::debug!(%from, %error, "connection ended");
        }
    }

    async fn try_converse(
        self: &Arc<Self>,
        stream: TcpStream,
        from: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        link: Arc<Link>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let ends = Ends { from: from.ip().to_canonical(), reached: local(&stream)? };
        let Some(tls) = tls else {
            return self.speak(stream, &self.one, ends, link).await;
        };
        let stream = TlsAcceptor::from(tls).accept(stream).await?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => {
                link.greeted(true);
                self.speak(stream, &self.two, ends, link).await
            }
            Some(ACME) => Ok(()),
            _ => {
                link.greeted(false);
                self.speak(stream, &self.one, ends, link).await
            }
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        self: &Arc<Self>,
        stream: S,
        protocol: &Builder<TokioExecutor>,
        ends: Ends,
        link: Arc<Link>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let io = TokioIo::new(Noted { stream, link: Arc::clone(&link) });
        let service = service_fn(|request| {
            let (server, link) = (Arc::clone(self), Arc::clone(&link));
            async move { Ok::<_, Infallible>(server.answer(&request, ends, &link).await) }
        });
        let mut connection = pin!(protocol.serve_connection(io, service));
        let mut stopping = self.stopping.subscribe();
        let stopped = async { stopping.wait_for(|&stopping| stopping).await.is_ok() };
        tokio::select! {
            ended = connection.as_mut() => ended,
            _ = stopped => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    }
}

/// Our address of a connection.
fn local(stream: &TcpStream) -> io::Result<IpAddr> {
    Ok(stream.local_addr()?.ip().to_canonical())
}
