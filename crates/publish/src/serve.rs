//! The web server: HTTP/1.1 and HTTP/2, in the clear and over TLS (RFC 9110, 9112, 9113).
//!
//! [`serve`] owns the listeners and every connection. It decides who may stay connected and for how long; what is at a
//! path is [`Content`]'s to say, and certificates are made elsewhere.
//!
//! | module | what |
//! |---|---|
//! | `room` | who is connected, who must go, and who makes way |
//! | `link` | what one connection is doing, for `room` to judge |
//! | `connection` | the handshake, and HTTP spoken on one connection |
//! | `answer` | a request in, an answer out |
//! | `path`, `forwarded`, `conditional` | what a request says: where, who, and on which terms |
//! | `body`, `reader` | bytes out, and read from disk |

mod answer;
mod body;
pub mod conditional;
mod connection;
mod forwarded;
mod link;
mod path;
mod reader;
mod room;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::content::{Announces, Content};
use connection::Server;
use room::Room;

/// How long to wait when no connection can be accepted, usually because descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long answers under way may take when the server stops.
const STOP_TIME: Duration = Duration::from_secs(2);

/// What is served.
pub struct Site {
    /// What is at a path.
    pub content: Arc<dyn Content>,
    /// Answers `announce` and `scrape`.
    pub tracker: Arc<dyn Announces>,
    /// The text of `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether an address is that of a proxy whose `Forwarded` and `X-Forwarded-For` are believed.
    pub is_proxy: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// What the server did.
    pub counts: Arc<Counts>,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("counts", &self.counts).finish_non_exhaustive()
    }
}

/// Where connections come in.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub tcp: TcpListener,
    /// TLS is spoken on it, and HTTP/2 where ALPN says `h2`. A certificate that changes is its resolver's matter.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// How much strangers may have of the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many connections are open at once. 2,000, of which a quarter take nothing of a file, have 0.11 GiB.
    pub connections: usize,
    /// How many of them one address may have: an IPv4 address, or the /64 of an IPv6 one. Enough for a large office
    /// behind one address; 40 addresses are needed to fill the server. Loopback and proxies are exempt.
    pub per_address: usize,
    /// How long a handshake may take, and how long a head from its first byte on, or from the start of the connection.
    /// A dozen round trips by satellite; a trickle of bytes holds no place for longer.
    pub head: Duration,
    /// How long a connection may have nothing under way. A browser's next click, or a downloader's next range, mostly
    /// comes sooner; else it connects again.
    pub idle: Duration,
    /// How long a client may take less than a trickle (1 KiB) of what it is owed. Longer than the retransmissions
    /// of a bad link, and than a player or a pausing browser holds its breath.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            per_address: 256,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            stall: Duration::from_secs(30),
        }
    }
}

/// What the server did since it was started, for metrics.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that are open.
    pub open: AtomicU64,
    /// Connections that were accepted.
    pub accepted: AtomicU64,
    /// Connections that were closed at once, because their address has too many.
    pub turned_away: AtomicU64,
    /// Connections that were closed for being slow, idle or in the way.
    pub closed: AtomicU64,
    /// Answers by the first digit of their status: those of 1xx come first.
    pub answers: [AtomicU64; 5],
    /// Bytes sent, heads included, before encryption.
    pub sent: AtomicU64,
}

impl Counts {
    fn count_answer(&self, status: http::StatusCode) {
        if let Some(count) =
            usize::from(status.as_u16() / 100).checked_sub(1).and_then(|at| self.answers.get(at))
        {
            count.fetch_add(1, Relaxed);
        }
    }
}

/// Answers on all `listeners` until `stop` completes; then lets answers under way be sent, for a moment.
pub async fn serve(
    listeners: Vec<Listener>,
    site: Arc<Site>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let mut room = Room::new(limits, Arc::clone(&site));
    let server = Arc::new(Server::new(site));
    let mut rounds = interval(room.round());
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = pin!(stop);
    let mut first = 0;
    loop {
        tokio::select! {
            () = &mut stop => break,
            (at, accepted) = poll_fn(|context| poll_accept(&listeners, first, context)), if room.has_place() => {
                // Nobody waits behind a listener that is flooded.
                first = at + 1;
                match accepted {
                    Ok((stream, from)) => {
                        let tls = listeners.get(at).and_then(|listener| listener.tls.clone());
                        room.admit(from.ip().to_canonical(), |link| Arc::clone(&server).converse(stream, from, tls, link));
                    }
                    Err(error) => rest(&error, &mut room).await,
                }
            }
            () = room.one_left() => {}
            _ = rounds.tick() => room.look_round(),
        }
    }
    drop(listeners);
    server.stop();
    room.empty(STOP_TIME).await;
}

/// The next connection on any listener, asked in turn from number `first` on, and that listener's number.
fn poll_accept(
    listeners: &[Listener],
    first: usize,
    context: &mut Context<'_>,
) -> Poll<(usize, io::Result<(TcpStream, SocketAddr)>)> {
    let turn =
        listeners.iter().enumerate().cycle().skip(first % listeners.len().max(1)).take(listeners.len());
    for (at, listener) in turn {
        if let Poll::Ready(accepted) = listener.tcp.poll_accept(context) {
            return Poll::Ready((at, accepted));
        }
    }
    Poll::Pending
}

/// A connection that was reset before it was accepted is that peer's matter; anything else needs room and a moment.
async fn rest(error: &io::Error, room: &mut Room) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        tracing::warn!(%error, "cannot accept connections");
        room.make_way();
        sleep(ACCEPT_PAUSE).await;
    }
}
