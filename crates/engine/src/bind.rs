//! The one door to the network: every socket of the engine is opened here, so that limits and families hold everywhere.
//!
//! Knows nothing of what is said over the sockets, nor of who may be talked to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use crate::config::{Families, Listen};
use crate::error::StartError;

/// The ports that BEP 3 names, tried in order.
const USUAL_PORTS: std::ops::RangeInclusive<u16> = 6881..=6889;

/// Connections the system may hold for us before we accept them.
const BACKLOG: i32 = 512;

/// How often any free port is tried: the one given for IPv4 may be taken for IPv6.
const TRIES: usize = 16;

/// Listens as configured; all sockets have the same port.
pub(crate) fn listen(listen: Listen, families: Families) -> Result<(Vec<TcpListener>, u16), StartError> {
    let ips = match listen.ip {
        // The systems' own default is that `::` stands for both families.
        Some(ip) if ip != IpAddr::V6(Ipv6Addr::UNSPECIFIED) => vec![ip],
        _ => [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]
            .into_iter()
            .filter(|&ip| families.allow(ip))
            .collect(),
    };
    let ports: Vec<u16> = match listen.port {
        Some(0) => vec![0; TRIES],
        Some(port) => vec![port],
        None => USUAL_PORTS.chain([0; TRIES]).collect(),
    };
    let mut failure = None;
    for port in ports {
        match listen_on(&ips, port) {
            Ok(listeners) => return Ok(listeners),
            Err(error) => failure = Some(error),
        }
    }
    let (at, source) =
        failure.unwrap_or_else(|| ((Ipv4Addr::UNSPECIFIED, 0).into(), io::ErrorKind::AddrInUse.into()));
    Err(StartError::Listen { at, source })
}

/// One socket for each address; a family the machine lacks is left out as long as another one is there.
fn listen_on(ips: &[IpAddr], mut port: u16) -> Result<(Vec<TcpListener>, u16), (SocketAddr, io::Error)> {
    let mut listeners = Vec::new();
    let mut missing = None;
    for &ip in ips {
        let at = SocketAddr::new(ip, port);
        match listener(at) {
            Ok(listener) => {
                port = listener.local_addr().map_err(|error| (at, error))?.port();
                listeners.push(listener);
            }
            Err(error) if is_missing_family(&error) => missing = Some((at, error)),
            Err(error) => return Err((at, error)),
        }
    }
    match missing {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok((listeners, port)),
    }
}

fn is_missing_family(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// The system's "address family not supported", which has no name in `std`.
const EAFNOSUPPORT: i32 = 97;

fn listener(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A UDP socket with the address and port of a TCP one.
pub(crate) fn datagrams(beside: &TcpListener) -> io::Result<UdpSocket> {
    let at = beside.local_addr()?;
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    UdpSocket::from_std(socket.into())
}

/// A UDP socket that hears nobody but `at`, from the address that is listened on.
pub(crate) async fn datagrams_to(at: SocketAddr, listen: Listen) -> io::Result<UdpSocket> {
    let any = if at.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((source(at.ip(), listen).unwrap_or(any), 0)).await?;
    socket.connect(at).await?;
    Ok(socket)
}

/// A UDP socket that hears what is said to a multicast group and nothing else, beside others on this machine that do.
pub(crate) fn group(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    UdpSocket::from_std(socket.into())
}

/// Joins a group wherever that can be done: on the interface of the address that is listened on, else on all. Gives the interfaces
/// to speak on; in IPv4 that is the one of the system's choice.
pub(crate) fn join(socket: &UdpSocket, group: IpAddr, listen: Listen) -> Vec<u32> {
    let socket = SockRef::from(socket);
    // Joined before is as good.
    let joined = |joining: io::Result<()>| match joining {
        Err(error) => error.kind() == io::ErrorKind::AddrInUse,
        Ok(()) => true,
    };
    match (group, listen.ip) {
        (IpAddr::V4(group), Some(IpAddr::V4(own))) if !own.is_unspecified() => {
            let spoken_on = socket.set_multicast_if_v4(&own);
            let joining = socket.join_multicast_v4(&group, &own);
            vec![0; usize::from(joined(joining) && spoken_on.is_ok())]
        }
        (IpAddr::V4(group), _) => {
            let join = |&index: &u32| {
                joined(socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index)))
            };
            let any = INTERFACES.filter(join).count() > 0;
            vec![0; usize::from(any)]
        }
        (IpAddr::V6(group), _) => {
            INTERFACES.filter(|&index| joined(socket.join_multicast_v6(&group, index))).collect()
        }
    }
}

/// Chooses the interface for what is said next, as [`join`] names it.
pub(crate) fn speak_on(socket: &UdpSocket, group: IpAddr, interface: u32) -> io::Result<()> {
    if group.is_ipv4() { Ok(()) } else { SockRef::from(socket).set_multicast_if_v6(interface) }
}

/// The numbers that interfaces may have. Systems count from 1 in the order of their coming; to ask for those that exist would
/// take one more dependency, and to try one that does not costs a microsecond.
const INTERFACES: std::ops::RangeInclusive<u32> = 1..=64;

/// Connects within `patience`; from the address that is listened on, so that peers and trackers see the one they can dial.
pub(crate) async fn connect(at: SocketAddr, listen: Listen, patience: Duration) -> io::Result<TcpStream> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(ip) = source(at.ip(), listen) {
        socket.bind((ip, 0).into())?;
    }
    let stream = tokio::time::timeout(patience, socket.connect(at)).await??;
    prepare(&stream);
    Ok(stream)
}

/// The address to connect from; `None`: the system's choice. Loopback reaches nothing but itself, so it is no choice.
fn source(to: IpAddr, listen: Listen) -> Option<IpAddr> {
    listen.ip.filter(|ip| !ip.is_unspecified() && !ip.is_loopback() && ip.is_ipv4() == to.is_ipv4())
}

/// Bytes that may wait in the system for their turn to leave, besides those under way: enough to keep the line busy until we
/// write again, and no more, because what waits there delays every control message and cannot be taken back.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNSENT: u32 = 256 << 10;

/// What every stream wants, accepted ones too: we coalesce writes ourselves, so nothing is gained by the system's waiting.
pub(crate) fn prepare(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT) {
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT");
    }
}

/// The addresses of a host, by the system's name service.
pub(crate) async fn resolve(host: &str, port: u16, families: Families) -> io::Result<Vec<SocketAddr>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(tokio::net::lookup_host((host, port)).await?.filter(|at| families.allow(at.ip())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_from_the_address_that_is_listened_on() {
        let source = |to: &str, ip: &str| {
            source(to.parse().unwrap(), Listen { ip: ip.parse().ok(), port: None }).map(|ip| ip.to_string())
        };
        assert_eq!(source("198.51.100.1", "192.0.2.1"), Some("192.0.2.1".into()));
        assert_eq!(source("2001:db8::1", "192.0.2.1"), None);
        assert_eq!(source("198.51.100.1", "127.0.0.1"), None);
        assert_eq!(source("198.51.100.1", "0.0.0.0"), None);
        assert_eq!(source("198.51.100.1", ""), None);
    }
}
