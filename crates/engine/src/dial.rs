//! Dials a peer and shakes hands (BEP 3), then becomes its peer task; or answers a peer that dialled us.
//!
//! Runs in the peer's own task. Whom to dial is the swarm's business.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use swarm::{Endpoint, Event, PeerKey};
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use wire::{Handshake, Reserved};

use crate::config::Config;
use crate::context::Context;
use crate::listen::{self, Incoming};
use crate::outside::{Home, Input, Joined};
use crate::peer::Peer;
use crate::stream::Stream;
use crate::{PEER_ORDERS, bind};

/// How long a connection may take to come about: three tries of TCP (at 0, 1 and 3 s), and the way back.
const CONNECT: Duration = Duration::from_secs(10);

/// Connects to a peer the swarm chose.
pub(crate) async fn outgoing(home: Arc<Home>, key: PeerKey, at: SocketAddr) {
    match reach(&home, at).await {
        Ok((stream, handshake, place)) => join(home, key, at, false, stream, &handshake, place).await,
        Err(error) => {
            tracing::debug!(%at, %error, "dial");
            let failed = Event::DialFailed { at: Endpoint::Tcp(at) };
            if home.inbox.send(Input::Events(vec![failed])).await.is_err() {
                tracing::trace!("the torrent ended first");
            }
        }
    }
}

/// Takes in a peer that dialled us and named this torrent.
pub(crate) async fn incoming(home: Arc<Home>, key: PeerKey, incoming: Incoming) {
    let Incoming { stream, from, handshake, place } = incoming;
    join(home, key, from, true, stream, &handshake, place).await;
}

async fn reach(home: &Home, at: SocketAddr) -> io::Result<(Stream, Handshake, OwnedSemaphorePermit)> {
    if home.context.is_banned(at.ip()) || !home.context.config.families.allow(at.ip()) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let place = home.context.connections.clone().try_acquire_owned().map_err(io::Error::other)?;
    let _half_open = home.context.half_open.acquire().await.map_err(io::Error::other)?;
    let mut stream = connect(&home.context, at).await?;
    stream.write_all(&our_handshake(home).encode()).await?;
    let handshake = listen::read_handshake(&mut stream).await?;
    if handshake.info_hash != home.wire_hash {
        return Err(io::Error::other("the peer answered for another torrent"));
    }
    Ok((stream, handshake, place))
}

/// By TCP; if that leads nowhere, by uTP, which passes more home routers (BEP 29).
async fn connect(context: &Context, at: SocketAddr) -> io::Result<Stream> {
    let Config { tcp, utp, listen, .. } = context.config;
    let mut failed = io::ErrorKind::Unsupported.into();
    if tcp {
        match bind::connect(at, listen, CONNECT).await {
            Ok(stream) => return Ok(Stream::Tcp(stream)),
            Err(error) => failed = error,
        }
    }
    if utp { context.utp.connect(at).await } else { Err(failed) }
}

fn our_handshake(home: &Home) -> Handshake {
    Handshake { reserved: Reserved::ours(), info_hash: home.wire_hash, peer_id: home.peer_id }
}

async fn join(
    home: Arc<Home>,
    key: PeerKey,
    at: SocketAddr,
    incoming: bool,
    stream: Stream,
    theirs: &Handshake,
    place: OwnedSemaphorePermit,
) {
    let (sender, orders) = mpsc::channel(PEER_ORDERS);
    let mut peer = Peer::new(key, home.clone(), stream, place, orders);
    if incoming {
        peer.shake(&our_handshake(&home));
    }
    let connected = Event::Connected {
        peer: key,
        at: Endpoint::Tcp(at),
        incoming,
        id: theirs.peer_id,
        reserved: theirs.reserved,
    };
    let joined = Box::new(Joined { key, orders: sender, connected });
    if home.inbox.send(Input::Joined(joined)).await.is_ok() {
        peer.run().await;
    }
}
