//! The HTTP front end: announces, scrapes, a few pages (HTTP/1.1, RFC 9112; BEP 3, 48).
//!
//! `serve` owns the listener and one task a connection; `request` reads heads; `connection` speaks. No request has a
//! body, no file is read: what else is to be served comes from a [`Site`].

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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::Tracker;
use connection::Connection;

pub use request::{BadHead, MAX_HEAD, Parsed, Request, parse};

/// How long to wait when no connection can be accepted, usually because files have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long connections may take to send what they have begun when the server stops.
const STOP_TIME: Duration = Duration::from_secs(2);

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
    let max_connections = tracker.config().max_connections.max(1);
    let mut sweeps = interval(tracker.sweep_period());
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
            _ = sweeps.tick() => server.tracker.sweep(server.tracker.now()),
        }
    }
    // No receiver is left if there are no connections.
    let _ = stopping.send(true);
    let _ = timeout(STOP_TIME, async { while connections.join_next().await.is_some() {} }).await;
}

async fn converse(stream: TcpStream, from: SocketAddr, server: Arc<Server>, stopped: watch::Receiver<bool>) {
    if let Err(error) = Connection::new(stream, from, &server).run(stopped).await {
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
