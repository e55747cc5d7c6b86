//! Accepts connections and lets them say who they are, until the torrent they are for is known.
//!
//! Owned by the listen task. Which torrent that is, is the session's business; the answer to the handshake is the peer task's.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{self, AbortHandle, JoinSet};
use wire::Handshake;

use crate::bind;
use crate::context::Context;
use crate::encryption::{self, Ciphers};
use crate::stream::Stream;
use crate::utp;

/// Unfinished handshakes of one address, loopback apart (P-08). Peers behind one address seldom come in a crowd.
const UNFINISHED_PER_ADDRESS: usize = 8;

/// Rest after the system refused to accept: it is out of descriptors, and asking again at once would spin.
const REST: Duration = Duration::from_millis(100);

/// Unfinished handshakes together. When there are more, the oldest gives way: an honest one takes a round trip (P-07).
const UNFINISHED: usize = 256;

/// A connection through its first half of the handshake.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) stream: Stream,
    pub(crate) from: SocketAddr,
    pub(crate) handshake: Handshake,
    pub(crate) ciphers: Ciphers,
    /// Its place among all connections.
    pub(crate) place: OwnedSemaphorePermit,
}

/// Where connections come from.
#[derive(Debug)]
pub(crate) enum Door {
    Tcp(TcpListener),
    Utp(mpsc::Receiver<utp::Accepted>),
}

impl Door {
    async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                bind::prepare(&stream);
                Ok((Stream::Tcp(stream), from))
            }
            Self::Utp(accepted) => accepted.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into()),
        }
    }
}

/// Accepts on one socket until nobody takes the connections any more.
pub(crate) async fn run(context: Arc<Context>, mut door: Door, session: mpsc::Sender<Incoming>) {
    let mut unfinished = Unfinished::default();
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            accepted = door.accept() => match accepted {
                Ok((stream, from)) if !context.is_banned(from.ip()) && unfinished.has_room(from.ip()) => {
                    let task = handshakes.spawn(greet(context.clone(), stream, from));
                    unfinished.enter(from.ip(), task);
                }
                Ok((_, from)) => tracing::debug!(%from, "refused"),
                Err(error) => {
                    tracing::warn!(%error, "accepting connections");
                    tokio::time::sleep(REST).await;
                }
            },
            Some(greeted) = handshakes.join_next_with_id(), if !handshakes.is_empty() => {
                let id = greeted.as_ref().map_or_else(task::JoinError::id, |(id, _)| *id);
                unfinished.leave(id);
                match greeted {
                    Ok((_, Ok(incoming))) => if session.send(incoming).await.is_err() { return },
                    Ok((_, Err(error))) => tracing::debug!(%error, "handshake"),
                    Err(error) => tracing::debug!(%error, "handshake given up"),
                }
            }
            () = session.closed() => return,
        }
    }
}

async fn greet(context: Arc<Context>, mut stream: Stream, from: SocketAddr) -> io::Result<Incoming> {
    let encryption = context.config.encryption;
    let (handshake, ciphers) = encryption::answer(&mut stream, encryption, &context.names).await?;
    // Without a free place the connection is closed: the peer will try others.
    let place = context.connections.clone().try_acquire_owned().map_err(io::Error::other)?;
    Ok(Incoming { stream, from, handshake, ciphers, place })
}

/// The handshakes that are not finished, oldest first.
#[derive(Debug, Default)]
struct Unfinished(VecDeque<(IpAddr, AbortHandle)>);

impl Unfinished {
    /// Whether an address may have one more (P-08).
    fn has_room(&self, ip: IpAddr) -> bool {
        let others = || self.0.iter().filter(|(other, _)| *other == ip).count();
        ip.to_canonical().is_loopback() || others() < UNFINISHED_PER_ADDRESS
    }

    fn enter(&mut self, ip: IpAddr, task: AbortHandle) {
        self.0.push_back((ip, task));
        if self.0.len() > UNFINISHED
            && let Some((_, oldest)) = self.0.pop_front()
        {
            oldest.abort();
        }
    }

    fn leave(&mut self, id: task::Id) {
        self.0.retain(|(_, task)| task.id() != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // P-08
    #[tokio::test]
    async fn one_address_may_have_eight_unfinished_handshakes_but_loopback_any_number() {
        let mut unfinished = Unfinished::default();
        let mut tasks = JoinSet::new();
        let mut enter = |unfinished: &mut Unfinished, ip: &str| {
            let ip = ip.parse().unwrap();
            let room = unfinished.has_room(ip);
            room.then(|| unfinished.enter(ip, tasks.spawn(std::future::pending::<()>())));
            room
        };
        assert_eq!((0..20).filter(|_| enter(&mut unfinished, "198.51.100.7")).count(), 8);
        assert!((0..20).all(|_| enter(&mut unfinished, "::1")));
        let first = unfinished.0[0].1.id();
        unfinished.leave(first);
        assert!(enter(&mut unfinished, "198.51.100.7") && !enter(&mut unfinished, "198.51.100.7"));
    }

    // P-07
    #[tokio::test]
    async fn among_too_many_unfinished_handshakes_the_oldest_gives_way() {
        let mut unfinished = Unfinished::default();
        let mut tasks = JoinSet::new();
        for _ in 0..=UNFINISHED {
            unfinished.enter("::1".parse().unwrap(), tasks.spawn(std::future::pending::<()>()));
        }
        assert!(tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
        assert_eq!(unfinished.0.len(), UNFINISHED);
    }
}
