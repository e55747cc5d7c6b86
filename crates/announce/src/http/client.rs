//! The client's side: announce and scrape URLs, and what comes back.
//!
//! Used by the engine. Everything a tracker sends is bounded and checked here; the connection is the engine's.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use bencode::{Dict, Kind, Options, Value, decode};
use metainfo::InfoHash;

use super::{INTERVALS, percent};
use crate::reply::{keep_usable, packed_ip, packed_peers, within, words};
use crate::{Announce, AnnounceEvent, AnnounceReply, PeerFormat, ReplyError, Retry, ScrapeEntry};

/// The longest reply that is looked at, in bytes: room for 58,000 IPv6 peers, far beyond what any tracker sends.
pub const MAX_REPLY: usize = 1 << 20;

/// How many torrents of one scrape reply are kept; nobody asks for more than fit into a URL.
pub const MAX_SCRAPED: usize = 1000;

/// The longest tracker id that is repeated, in bytes: three times its length must fit into a request line.
const MAX_TRACKER_ID: usize = 512;

/// How deep a reply nests: a dictionary of a list of dictionaries, and room for extensions.
const MAX_DEPTH: usize = 8;

/// How many values and keys a reply has at most: the longest list of peer dictionaries that fits into [`MAX_REPLY`].
const MAX_TOKENS: usize = 1 << 18;

/// How soon a refused client may come back, whatever the tracker says.
const RETRIES: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(7 * 24 * 60 * 60);

/// What every announce carries; a URL that has one of them already would let its author speak for us.
const OURS: [&[u8]; 17] = [
    b"info_hash",
    b"peer_id",
    b"port",
    b"uploaded",
    b"downloaded",
    b"left",
    b"event",
    b"numwant",
    b"key",
    b"trackerid",
    b"compact",
    b"no_peer_id",
    b"ip",
    b"ipv4",
    b"ipv6",
    b"supportcrypto",
    b"requirecrypto",
];

/// Why a tracker's URL is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Its query has a parameter that only the announce itself may set.
    #[error("the URL already has the parameter '{0}'")]
    Reserved(String),
    /// It has a character that may not stand in a URL, such as a space or a line break.
    #[error("the URL has a character that must be percent-encoded")]
    Character,
}

/// The URL of an announce: the tracker's own, its query kept, with ours behind it (BEP 3).
pub fn announce_url(tracker: &str, announce: &Announce) -> Result<String, UrlError> {
    let mut url = checked(tracker)?;
    separate(&mut url);
    url.push_str("info_hash=");
    percent::encode(announce.info_hash.as_bytes(), &mut url);
    url.push_str("&peer_id=");
    percent::encode(announce.peer_id.as_bytes(), &mut url);
    let Announce { port, uploaded, downloaded, left, .. } = announce;
    // Writing to a `String` cannot fail.
    let _ = write!(url, "&port={port}&uploaded={uploaded}&downloaded={downloaded}&left={left}");
    url.push_str(match announce.format {
        PeerFormat::Compact => "&compact=1",
        PeerFormat::Dictionary => "&compact=0",
    });
    if let Some(numwant) = announce.numwant {
        let _ = write!(url, "&numwant={numwant}");
    }
    if let Some(key) = announce.key {
        let _ = write!(url, "&key={key:08X}");
    }
    if let Some(event) = announce.event {
        url.push_str("&event=");
        url.push_str(event_name(event));
    }
    if let Some(id) = &announce.tracker_id {
        url.push_str("&trackerid=");
        percent::encode(id, &mut url);
    }
    Ok(url)
}

/// The URL of a scrape, or `None` if the tracker's last path segment does not begin with `announce` (BEP 48).
pub fn scrape_url(tracker: &str, hashes: &[InfoHash]) -> Option<String> {
    let tracker = checked(tracker).ok()?;
    let (path, query) =
        tracker.split_once('?').map_or((tracker.as_str(), None), |(path, query)| (path, Some(query)));
    let (folder, file) = path.rsplit_once('/')?;
    let mut url = format!("{folder}/scrape{}", file.strip_prefix("announce")?);
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    for hash in hashes {
        separate(&mut url);
        url.push_str("info_hash=");
        percent::encode(hash.as_bytes(), &mut url);
    }
    Some(url)
}

/// Reads the answer to an announce. Peers beyond `MAX_PEERS`, with port 0 are left out.
pub fn parse_reply(body: &[u8]) -> Result<AnnounceReply, ReplyError> {
    let decoded = decode_body(body)?;
    let reply = root(decoded.root())?;
    let interval = seconds(reply, "interval").ok_or(ReplyError::Malformed("no interval"))?;
    let mut peers = Vec::new();
    if let Some(value) = reply.get("peers") {
        read_peers::<6>(value, &mut peers)?;
    }
    if let Some(value) = reply.get("peers6") {
        read_peers::<18>(value, &mut peers)?;
    }
    Ok(AnnounceReply {
        interval,
        min_interval: seconds(reply, "min interval"),
        tracker_id: bytes(reply, "tracker id").filter(|id| id.len() <= MAX_TRACKER_ID).map(<[u8]>::to_vec),
        warning: bytes(reply, "warning message").map(words),
        peers,
        complete: count(reply, "complete"),
        incomplete: count(reply, "incomplete"),
        external_ip: bytes(reply, "external ip").and_then(packed_ip),
    })
}

/// Reads the answer to a scrape: the torrents it names, in its order.
pub fn parse_scrape(body: &[u8]) -> Result<Vec<(InfoHash, ScrapeEntry)>, ReplyError> {
    let decoded = decode_body(body)?;
    let files =
        root(decoded.root())?.get("files").and_then(Value::dict).ok_or(ReplyError::Malformed("no files"))?;
    let entry = |(hash, value): (&[u8], Value<'_>)| {
        let entry = value.dict()?;
        let number = |key: &str| count(entry, key);
        let counts = ScrapeEntry {
            complete: number("complete").unwrap_or(0),
            incomplete: number("incomplete").unwrap_or(0),
            downloaded: number("downloaded").unwrap_or(0),
            downloaders: number("downloaders"),
        };
        Some((InfoHash(hash.try_into().ok()?), counts))
    };
    Ok(files.iter().filter_map(entry).take(MAX_SCRAPED).collect())
}

/// The name of an event on the wire.
fn event_name(event: AnnounceEvent) -> &'static str {
    match event {
        AnnounceEvent::Started => "started",
        AnnounceEvent::Completed => "completed",
        AnnounceEvent::Stopped => "stopped",
        AnnounceEvent::Paused => "paused",
    }
}

/// The URL without its fragment, once it is known to hold nothing that breaks out of a request line or speaks for us.
fn checked(tracker: &str) -> Result<String, UrlError> {
    let url = tracker.split_once('#').map_or(tracker, |(url, _)| url);
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(UrlError::Character);
    }
    let query = url.split_once('?').map_or("", |(_, query)| query);
    for pair in query.split(['&', ';']) {
        let key = pair.split_once('=').map_or(pair, |(key, _)| key);
        let plain = percent::bytes(key.as_bytes()).unwrap_or_default().to_ascii_lowercase();
        if OURS.contains(&plain.as_slice()) {
            return Err(UrlError::Reserved(String::from_utf8_lossy(&plain).into_owned()));
        }
    }
    Ok(url.to_owned())
}

/// Appends whatever must stand between what the URL has and the next parameter.
fn separate(url: &mut String) {
    match url.split_once('?') {
        None => url.push('?'),
        Some((_, "")) => {}
        Some((_, query)) if query.ends_with('&') => {}
        Some(_) => url.push('&'),
    }
}

fn decode_body(body: &[u8]) -> Result<bencode::Decoded<'_>, ReplyError> {
    if body.len() > MAX_REPLY {
        return Err(ReplyError::Malformed("longer than 1 MiB"));
    }
    // Some trackers end their reply with a line break, and some do not sort their keys.
    let end = body.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |last| last + 1);
    let options = Options { max_depth: MAX_DEPTH, max_tokens: MAX_TOKENS, ..Options::LENIENT };
    decode(body.get(..end).unwrap_or_default(), options).map_err(|_| ReplyError::Malformed("not bencoded"))
}

/// The outermost dictionary, unless it says that the request failed.
fn root(value: Value<'_>) -> Result<Dict<'_>, ReplyError> {
    let reply = value.dict().ok_or(ReplyError::Malformed("not a dictionary"))?;
    match reply.get("failure reason") {
        None => Ok(reply),
        Some(reason) => Err(ReplyError::Failure {
            reason: words(reason.bytes().unwrap_or_default()),
            retry: reply.get("retry in").and_then(retry),
        }),
    }
}

/// BEP 31: minutes, as a number or in digits, or the word `never`.
fn retry(value: Value<'_>) -> Option<Retry> {
    let minutes = match value.kind() {
        Kind::Bytes(b"never") => return Some(Retry::Never),
        Kind::Bytes(digits) => std::str::from_utf8(digits).ok()?.parse().ok()?,
        Kind::Int(minutes) => u64::try_from(minutes).ok()?,
        _ => return None,
    };
    Some(Retry::After(within(Duration::from_secs(minutes.saturating_mul(60)), &RETRIES)))
}

/// Peers as packed addresses of `N` bytes or as dictionaries: `peers` and `peers6` may be either.
fn read_peers<const N: usize>(value: Value<'_>, peers: &mut Vec<SocketAddr>) -> Result<(), ReplyError> {
    match value.kind() {
        Kind::Bytes(bytes) => keep_usable(packed_peers::<N>(bytes), peers),
        Kind::List(list) => {
            keep_usable(list.iter().filter_map(Value::dict).filter_map(dictionary_peer), peers);
        }
        _ => return Err(ReplyError::Malformed("peers are neither bytes nor a list")),
    }
    Ok(())
}

/// A peer of the long form. Names instead of addresses (BEP 3 allows them) are left out: we look up no stranger's names.
fn dictionary_peer(peer: Dict<'_>) -> Option<SocketAddr> {
    let ip: IpAddr = peer.get("ip")?.text()?.parse().ok()?;
    Some((ip.to_canonical(), u16::try_from(peer.get("port")?.int()?).ok()?).into())
}

fn seconds(reply: Dict<'_>, key: &str) -> Option<Duration> {
    let seconds = reply.get(key)?.int()?;
    Some(within(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)), &INTERVALS))
}

fn count(reply: Dict<'_>, key: &str) -> Option<u32> {
    u32::try_from(reply.get(key)?.int()?).ok()
}

fn bytes<'a>(reply: Dict<'a>, key: &str) -> Option<&'a [u8]> {
    reply.get(key)?.bytes()
}
