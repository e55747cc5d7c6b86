//! The HTTP front end: announces, scrapes, a few pages (HTTP/1.1, RFC 9112; BEP 3, 48).
//!
//! `serve` and `serve_tls` own the listener and one task a connection; `request` reads heads; `connection` speaks; what is
//! said to announces and scrapes is `answer`'s, which other web servers may ask as well. No request has a body, no file is
//! read: what else is to be served comes from a [`Site`].

mod answer;
mod connection;
mod forwarded;
mod request;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::Tracker;
use connection::{Connection, Stream};

pub use answer::{Answer, Client, answer};
pub use request::{BadHead, MAX_HEAD, Parsed, Request, parse};

/// How long to wait when no connection can be accepted, usually because files have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long connections may take to send what they have begun when the server stops.
const STOP_TIME: Duration = Duration::from_secs(2);

/// How long a TLS handshake may take: as long as the head of a request.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How long the farewell of TLS may take; it fits into any socket's buffer that is not full.
const FAREWELL_TIME: Duration = Duration::from_secs(1);

/// A page that is no tracker's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The media type.
    pub content_type: &'static str,
    /// The value of `Content-Disposition`, for files to be saved. Must not have line breaks.
    pub disposition: Option<String>,
    /// What is sent.
    pub body: Bytes,
}

/// What is served beside the tracker.
pub trait Site: Send + Sync + 'static {
    /// The page at a path, as it stands in the request: percent-encoded, without the query.
    fn page(&self, path: &str) -> Option<Page>;
}

/// Nothing but the tracker.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSite;

impl Site for NoSite {
    fn page(&self, _path: &str) -> Option<Page> {
        None
    }
}

/// What every connection shares.
struct Server {
    tracker: Arc<Tracker>,
    site: Arc<dyn Site>,
    /// Few places are left: connections are not kept alive.
    crowded: AtomicBool,
}

/// Answers on `listener` until `stop` completes; then lets answers under way be sent.
pub async fn serve(
    listener: TcpListener,
    tracker: Arc<Tracker>,
    site: Arc<dyn Site>,
    stop: impl Future<Output = ()>,
) {
    run(listener, tracker, site, stop, converse).await;
}

/// The same over TLS. Handshakes wait for each other no more than connections do.
pub async fn serve_tls(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    tracker: Arc<Tracker>,
    site: Arc<dyn Site>,
    stop: impl Future<Output = ()>,
) {
    let acceptor = TlsAcceptor::from(config);
    let converse =
        |stream, from, server, stopped| converse_tls(acceptor.clone(), stream, from, server, stopped);
    run(listener, tracker, site, stop, converse).await;
}

async fn run<C: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    tracker: Arc<Tracker>,
    site: Arc<dyn Site>,
    stop: impl Future<Output = ()>,
    converse: impl Fn(TcpStream, SocketAddr, Arc<Server>, watch::Receiver<bool>) -> C,
) {
    let max_connections = tracker.config().max_connections.max(1);
    let server = Arc::new(Server { tracker, site, crowded: AtomicBool::new(false) });
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept(), if connections.len() < max_connections => match accepted {
                Ok((stream, from)) => {
                    server.crowded.store(connections.len() > max_connections / 4 * 3, Relaxed);
                    connections.spawn(converse(stream, from, Arc::clone(&server), stopped.clone()));
                }
                Err(error) => rest(&error).await,
            },
            Some(ended) = connections.join_next() => drop(ended),
        }
    }
    // No receiver is left if there are no connections.
    let _ = stopping.send(true);
    let _ = timeout(STOP_TIME, async { while connections.join_next().await.is_some() {} }).await;
}

async fn converse(
    mut stream: TcpStream,
    from: SocketAddr,
    server: Arc<Server>,
    stopped: watch::Receiver<bool>,
) {
    let reached = stream.local_addr();
    talk(&mut stream, from, reached, &server, stopped).await;
}

async fn converse_tls(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    from: SocketAddr,
    server: Arc<Server>,
    stopped: watch::Receiver<bool>,
) {
    let reached = stream.local_addr();
    // The last part of a handshake, or of an answer in several records, shall not wait to be acknowledged.
    let handshake = async {
        stream.set_nodelay(true)?;
        acceptor.accept(stream).await
    };
    match timeout(HANDSHAKE_TIME, handshake).await {
        Ok(Ok(mut stream)) => {
            talk(&mut stream, from, reached, &server, stopped).await;
            // Without this farewell the client cannot tell the end from a cut line.
            let _ = timeout(FAREWELL_TIME, stream.shutdown()).await;
        }
        Ok(Err(error)) => tracing::debug!(%from, %error, "no TLS"),
        Err(_) => tracing::debug!(%from, "too slow a handshake"),
    }
}

async fn talk(
    stream: &mut impl Stream,
    from: SocketAddr,
    reached: io::Result<SocketAddr>,
    server: &Server,
    stopped: watch::Receiver<bool>,
) {
    let reached = reached.ok().map(|at| at.ip());
    if let Err(error) = Connection::new(stream, from.ip(), reached, server).run(stopped).await {
        tracing::debug!(%from, %error, "connection ended");
    }
}

/// A connection that was reset before it was accepted is that peer's matter; anything else needs a moment.
async fn rest(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        tracing::warn!(%error, "cannot accept connections");
        sleep(ACCEPT_PAUSE).await;
    }
}
