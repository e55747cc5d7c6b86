//! Performs one announce over UDP, to each address family the tracker and we have (BEP 7, 15, 41).
//!
//! Runs in the announce's task, with one connected socket for each family: nobody but the tracker is heard. What is said, and
//! when it is said again, is decided by `announce::udp`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::announce::udp::{Action, Event, Exchange, Family, MAX_URL_DATA};
use ::announce::{Announce, AnnounceError, AnnounceReply};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::bind;
use crate::context::Context;
use crate::error::{FetchError, in_words};
use crate::http::keep_reachable;

/// How long an answer waits for that of the other family, which may have no way out: the same as a slow round trip twice.
const OTHER_FAMILY: Duration = Duration::from_secs(2);

/// The longest datagram read: 200 IPv6 peers take a quarter of it.
const MAX_DATAGRAM: usize = 16 << 10;

/// Asks a tracker. `local`: it may be at a private or loopback address.
pub(super) async fn ask(
    context: &Arc<Context>,
    url: &str,
    local: bool,
    announce: &Announce,
) -> Result<AnnounceReply, AnnounceError> {
    let trackers = find(context, url, local).await?;
    let url_data = url_data(url);
    if url_data.len() > MAX_URL_DATA {
        return Err(AnnounceError::Unreachable("the URL is too long for a UDP tracker".into()));
    }
    ask_at(context, &trackers, &url_data, announce).await
}

/// Asks all at once; what one has to say is enough, if the others take long.
async fn ask_at(
    context: &Arc<Context>,
    trackers: &[SocketAddr],
    url_data: &str,
    announce: &Announce,
) -> Result<AnnounceReply, AnnounceError> {
    let mut exchanges = JoinSet::new();
    for &at in trackers {
        exchanges.spawn(exchange(context.clone(), at, url_data.to_owned(), announce.clone()));
    }
    let mut answer = Err(AnnounceError::Unreachable("no reply".into()));
    loop {
        let patience = if answer.is_ok() { OTHER_FAMILY } else { Duration::MAX };
        match timeout(patience, exchanges.join_next()).await {
            Ok(Some(Ok(result))) => answer = merged(answer, result),
            Ok(Some(Err(error))) => tracing::error!(%error, "an announce crashed"),
            Ok(None) | Err(_) => return answer,
        }
    }
}

/// The addresses of a tracker to ask: the first of each family.
async fn find(context: &Context, url: &str, local: bool) -> Result<Vec<SocketAddr>, AnnounceError> {
    let words = |error: FetchError| AnnounceError::Unreachable(in_words(&error));
    let parsed = url.parse::<::http::Uri>().ok();
    let place = parsed.as_ref().and_then(|uri| Some((uri.host()?, uri.port_u16()?)));
    let Some((host, port)) = place.filter(|&(host, port)| !host.is_empty() && port != 0) else {
        return Err(AnnounceError::Unreachable("a udp URL needs a host and a port".into()));
    };
    let config = &context.config;
    let found = bind::resolve(host, port, config.families).await;
    let found = found.map_err(|source| words(FetchError::Lookup { host: host.into(), source }))?;
    let (may, may_not): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|at| context.http.may_ask(at.ip(), local));
    match (may.is_empty(), may_not.first()) {
        (true, Some(at)) => Err(words(FetchError::NotGlobal(at.ip()))),
        (true, None) => Err(words(FetchError::NoAddress(host.into()))),
        (false, _) => Ok(one_of_each_family(&may, config.listen.ip)),
    }
}

/// An announce goes out to either family, but not to the one that we do not listen on if there is a choice.
fn one_of_each_family(found: &[SocketAddr], listens: Option<IpAddr>) -> Vec<SocketAddr> {
    let first = |v4: bool| found.iter().find(|at| at.is_ipv4() == v4).copied();
    let both = [first(true), first(false)];
    let heard = match listens {
        Some(ip) if !ip.is_unspecified() => both[usize::from(ip.is_ipv6())],
        _ => None,
    };
    heard.map_or_else(|| both.into_iter().flatten().collect(), |at| vec![at])
}

/// Path and query, which are told to the tracker unless there are none (BEP 41).
fn url_data(url: &str) -> String {
    let uri = url.parse::<::http::Uri>().ok();
    let path = uri.as_ref().and_then(::http::Uri::path_and_query).map_or("", |path| path.as_str());
    if path == "/" { String::new() } else { path.into() }
}

/// What both families said: the peers of both, and the first one's word on all else.
fn merged(
    one: Result<AnnounceReply, AnnounceError>,
    two: Result<AnnounceReply, AnnounceError>,
) -> Result<AnnounceReply, AnnounceError> {
    match (one, two) {
        (Ok(mut one), Ok(two)) => {
            one.peers.extend(two.peers);
            Ok(one)
        }
        (Ok(good), Err(_)) | (Err(_), Ok(good)) => Ok(good),
        (Err(_), Err(last)) => Err(last),
    }
}

async fn exchange(
    context: Arc<Context>,
    at: SocketAddr,
    url_data: String,
    announce: Announce,
) -> Result<AnnounceReply, AnnounceError> {
    let mut reply = converse(&context, at, &url_data, announce).await?;
    keep_reachable(&mut reply.peers, at.ip(), context.config.allow_local);
    Ok(reply)
}

/// Does what the exchange wants until it is over.
async fn converse(
    context: &Context,
    at: SocketAddr,
    url_data: &str,
    announce: Announce,
) -> Result<AnnounceReply, AnnounceError> {
    let trouble = |source| AnnounceError::Unreachable(in_words(&FetchError::Connect { at, source }));
    let socket: UdpSocket = bind::datagrams_to(at, context.config.listen).await.map_err(trouble)?;
    let family = if at.is_ipv4() { Family::V4 } else { Family::V6 };
    let seed = getrandom::u64().map_err(|error| AnnounceError::Unreachable(error.to_string()))?;
    let now = || context.start.elapsed();
    let known = context.trackers.lock().ok().and_then(|trackers| trackers.get(now(), at));
    let mut exchange = Exchange::new(now(), announce, url_data, family, known, seed);
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        while let Some(action) = exchange.next_action() {
            match action {
                Action::Send(bytes) => _ = socket.send(&bytes).await.map_err(trouble)?,
                Action::Connected(id) => {
                    if let Ok(mut trackers) = context.trackers.lock() {
                        trackers.keep(now(), at, id);
                    }
                }
                Action::Done(result) => return result,
            }
        }
        let deadline = context.start + exchange.next_deadline().unwrap_or_default();
        tokio::select! {
            read = socket.recv(&mut buffer) => {
                let length = read.map_err(trouble)?;
                exchange.handle(now(), Event::Datagram(buffer.get(..length).unwrap_or_default()));
            }
            () = sleep_until(deadline) => exchange.handle(now(), Event::Tick),
        }
    }
}

#[cfg(test)]
mod tests {
    use ::announce::PeerFormat;
    use metainfo::{InfoHash, PeerId};

    use super::*;
    use crate::config::Config;

    #[test]
    fn each_family_is_asked_once_unless_only_one_is_listened_on() {
        let found: Vec<SocketAddr> =
            ["192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.2:1"].iter().map(|at| at.parse().unwrap()).collect();
        let asked = |listens: Option<&str>| one_of_each_family(&found, listens.map(|ip| ip.parse().unwrap()));
        assert_eq!(asked(None), found[..2]);
        assert_eq!(asked(Some("0.0.0.0")), found[..2]);
        assert_eq!(asked(Some("192.0.2.9")), found[..1]);
        assert_eq!(asked(Some("2001:db8::9")), found[1..2]);
        assert_eq!(one_of_each_family(&found[..1], "::1".parse().ok()), found[..1]);
    }

    #[test]
    fn the_peers_of_both_families_are_taken() {
        let reply =
            |peer: &str| Ok(AnnounceReply { peers: vec![peer.parse().unwrap()], ..AnnounceReply::default() });
        let silent = || Err(AnnounceError::Unreachable("no reply".into()));
        let peers = |reply: Result<AnnounceReply, _>| reply.map_or(0, |reply| reply.peers.len());
        assert_eq!(peers(merged(reply("192.0.2.1:1"), reply("[2001:db8::1]:1"))), 2);
        assert_eq!(peers(merged(reply("192.0.2.1:1"), silent())), 1);
        assert_eq!(peers(merged(silent(), reply("192.0.2.1:1"))), 1);
        assert_eq!(peers(merged(silent(), silent())), 0);
    }

    /// A tracker for one announce, which names itself as a peer; gives the key that it was told.
    fn tracker() -> (SocketAddr, tokio::task::JoinHandle<[u8; 4]>) {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let answering = tokio::task::spawn_blocking(move || {
            let mut request = [0; 200];
            let (_, from) = socket.recv_from(&mut request).unwrap();
            socket.send_to(&[&request[8..16], b"connects"].concat(), from).unwrap();
            socket.recv_from(&mut request).unwrap();
            let port = at.port().to_be_bytes();
            let reply = [&request[8..16], &[0; 12], &[127, 0, 0, 1], &port].concat();
            socket.send_to(&reply, from).unwrap();
            request[88..92].try_into().unwrap()
        });
        (at, answering)
    }

    #[tokio::test]
    async fn all_addresses_are_told_the_same_key_and_their_peers_are_taken_together() {
        let dir = tempfile::tempdir().unwrap();
        let context = Arc::new(Context::new(Config::new(dir.path().to_owned()), 1).await.unwrap());
        let ((one, one_told), (two, two_told)) = (tracker(), tracker());
        let announce = Announce {
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
            port: 1,
            uploaded: 0,
            downloaded: 0,
            left: 1,
            event: None,
            numwant: None,
            key: Some(7),
            tracker_id: None,
            format: PeerFormat::Compact,
        };
        let mut peers = ask_at(&context, &[one, two], "", &announce).await.unwrap().peers;
        peers.sort_unstable();
        let mut expected = [one, two];
        expected.sort_unstable();
        assert_eq!(peers, expected);
        assert_eq!((one_told.await.unwrap(), two_told.await.unwrap()), ([0, 0, 0, 7], [0, 0, 0, 7]));
        assert!(context.trackers.lock().unwrap().get(context.start.elapsed(), one).is_some());
    }

    // BEP 41
    #[test]
    fn what_follows_the_port_is_told_to_the_tracker() {
        for (url, data) in [
            ("udp://h:1", ""),
            ("udp://h:1/", ""),
            ("udp://h:1/announce", "/announce"),
            ("udp://h:1/a?b=1", "/a?b=1"),
        ] {
            assert_eq!(url_data(url), data, "{url}");
        }
    }
}
