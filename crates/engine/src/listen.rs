//! Accepts connections and reads their handshakes (BEP 3), until the torrent they are for is known.
//!
//! Owned by the listen task. Which torrent that is, is the session's business; the answer to the handshake is the peer task's.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use wire::Handshake;

use crate::bind;
use crate::context::Context;

/// How long a stranger may take to say who they are (P-07).
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);

/// Unfinished handshakes of one address, loopback apart (P-08). Peers behind one address seldom come in a crowd.
const UNFINISHED_PER_ADDRESS: u32 = 8;

/// Rest after the system refused to accept: it is out of descriptors, and asking again at once would spin.
const REST: Duration = Duration::from_millis(100);

/// A connection through its first half of the handshake.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) stream: TcpStream,
    pub(crate) from: SocketAddr,
    pub(crate) handshake: Handshake,
    /// Its place among all connections.
    pub(crate) place: OwnedSemaphorePermit,
}

/// Accepts on one socket until nobody takes the connections any more.
pub(crate) async fn run(context: Arc<Context>, listener: TcpListener, session: mpsc::Sender<Incoming>) {
    let mut unfinished = Unfinished::default();
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) if !context.is_banned(from.ip()) => {
                    // Without a free place the connection is closed at once: the peer will try others.
                    let Ok(place) = context.connections.clone().try_acquire_owned() else { continue };
                    if unfinished.enter(from.ip()) {
                        handshakes.spawn(greet(stream, from, place));
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "accepting connections");
                    tokio::time::sleep(REST).await;
                }
            },
            Some(greeted) = handshakes.join_next(), if !handshakes.is_empty() => {
                let Ok((from, incoming)) = greeted else { continue };
                unfinished.leave(from.ip());
                match incoming {
                    Ok(incoming) => if session.send(incoming).await.is_err() { return },
                    Err(error) => tracing::debug!(%from, %error, "handshake"),
                }
            }
            () = session.closed() => return,
        }
    }
}

async fn greet(
    mut stream: TcpStream,
    from: SocketAddr,
    place: OwnedSemaphorePermit,
) -> (SocketAddr, io::Result<Incoming>) {
    bind::prepare(&stream);
    let incoming =
        read_handshake(&mut stream).await.map(|handshake| Incoming { stream, from, handshake, place });
    (from, incoming)
}

/// Reads a peer's handshake; what cannot become one is refused at its first wrong byte.
pub(crate) async fn read_handshake(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Handshake> {
    let reading = async {
        let mut bytes = [0; Handshake::LENGTH];
        let mut filled = 0;
        while filled < bytes.len() {
            match stream.read(&mut bytes[filled..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => filled += n,
            }
            if !Handshake::prefix_ok(&bytes[..filled]) {
                return Err(io::Error::other(wire::Fault::NotBitTorrent));
            }
        }
        Handshake::decode(&bytes).map_err(io::Error::other)
    };
    tokio::time::timeout(HANDSHAKE, reading).await?
}

/// How many handshakes each address has not finished.
#[derive(Debug, Default)]
struct Unfinished(HashMap<IpAddr, u32>);

impl Unfinished {
    fn enter(&mut self, ip: IpAddr) -> bool {
        let count = self.0.entry(ip).or_default();
        let room = *count < UNFINISHED_PER_ADDRESS || ip.to_canonical().is_loopback();
        *count += u32::from(room);
        room
    }

    fn leave(&mut self, ip: IpAddr) {
        if let Some(count) = self.0.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::time::Instant;

    use super::*;

    // P-08
    #[test]
    fn one_address_may_have_eight_unfinished_handshakes_but_loopback_any_number() {
        let mut unfinished = Unfinished::default();
        let ip = "198.51.100.7".parse().unwrap();
        assert_eq!((0..20).filter(|_| unfinished.enter(ip)).count(), 8);
        unfinished.leave(ip);
        assert!(unfinished.enter(ip) && !unfinished.enter(ip));
        assert!((0..20).all(|_| unfinished.enter("::1".parse().unwrap())));
    }

    // P-07
    #[tokio::test(start_paused = true)]
    async fn a_slow_handshake_ends_after_ten_seconds() {
        let (mut ours, mut theirs) = tokio::io::duplex(100);
        let drip = tokio::spawn(async move {
            for byte in *b"\x13BitTorrent protocol" {
                tokio::time::sleep(Duration::from_secs(3)).await;
                if theirs.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        });
        let begin = Instant::now();
        let error = read_handshake(&mut ours).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed(), HANDSHAKE);
        drip.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn garbage_is_refused_at_its_first_byte() {
        let (mut ours, mut theirs) = tokio::io::duplex(100);
        theirs.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let begin = Instant::now();
        assert!(read_handshake(&mut ours).await.is_err());
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
