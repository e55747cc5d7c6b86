//! The tracker's side: reads query strings, writes replies.
//!
//! Used by the tracker's HTTP front end. It knows nothing of swarms; what is answered is the tracker's decision.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use metainfo::{InfoHash, PeerId};

use super::percent;
use crate::{Announce, AnnounceEvent, PeerFormat, Retry, ScrapeEntry};

/// How many torrents one scrape may name; more are ignored. As many as fit into one UDP datagram, so that all front
/// ends give the same.
pub const MAX_SCRAPE_HASHES: usize = 74;

/// Why a query is no announce or scrape; its text is the `failure reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// A parameter without which nothing can be answered is not there.
    #[error("missing parameter {0}")]
    Missing(&'static str),
    /// A parameter stands there twice, and which one is meant is anybody's guess.
    #[error("parameter {0} given more than once")]
    Duplicate(&'static str),
    /// A `%` is not followed by two hexadecimal digits, or the result is not 20 bytes.
    #[error("{0} must be 20 percent-encoded bytes")]
    TwentyBytes(&'static str),
    /// Not a whole number from 0 to 2^64 - 1.
    #[error("{0} is not a valid number")]
    Number(&'static str),
    /// Not a number from 1 to 65535.
    #[error("port must be from 1 to 65535")]
    Port,
    /// None of the events of BEP 3 and 21.
    #[error("unknown event")]
    Event,
}

/// What a tracker answers to an announce; the peers as they are packed on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reply<'a> {
    /// When to come back.
    pub interval: Duration,
    /// When to come back at the earliest.
    pub min_interval: Duration,
    /// Peers that have everything.
    pub complete: u32,
    /// Peers that do not.
    pub incomplete: u32,
    /// Downloads that were completed.
    pub downloaded: u32,
    /// The asker's own address (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// IPv4 peers: address and port, both big-endian (BEP 23).
    pub peers: &'a [[u8; 6]],
    /// IPv6 peers, likewise (BEP 7).
    pub peers6: &'a [[u8; 18]],
}

/// Reads the query string of an announce: parameters in any order, unknown ones ignored.
pub fn parse_query(query: &[u8]) -> Result<Announce, BadRequest> {
    let fields = Fields::split(query)?;
    Ok(Announce {
        info_hash: InfoHash(twenty("info_hash", fields.info_hash)?),
        peer_id: PeerId(twenty("peer_id", fields.peer_id)?),
        port: port(fields.port)?,
        uploaded: number("uploaded", fields.uploaded)?.unwrap_or(0),
        downloaded: number("downloaded", fields.downloaded)?.unwrap_or(0),
        left: number("left", fields.left)?.ok_or(BadRequest::Missing("left"))?,
        event: event(fields.event)?,
        numwant: numwant(fields.numwant)?,
        key: fields.key.and_then(|key| u32::from_str_radix(std::str::from_utf8(key).ok()?, 16).ok()),
        tracker_id: fields.trackerid.and_then(percent::bytes).map(std::borrow::Cow::into_owned),
        format: if fields.compact == Some(b"0") { PeerFormat::Dictionary } else { PeerFormat::Compact },
    })
}

/// Reads the query string of a scrape: the torrents it names, the first [`MAX_SCRAPE_HASHES`] of them.
pub fn parse_scrape_query(query: &[u8]) -> Result<Vec<InfoHash>, BadRequest> {
    pairs(query)
        .filter(|(key, _)| *key == b"info_hash")
        .take(MAX_SCRAPE_HASHES)
        .map(|(_, value)| twenty("info_hash", Some(value)).map(InfoHash))
        .collect()
}

/// Appends the bencoded reply.
pub fn encode_reply(reply: &Reply<'_>, format: PeerFormat, out: &mut Vec<u8>) {
    out.push(b'd');
    int(b"8:complete", reply.complete.into(), out);
    int(b"10:downloaded", reply.downloaded.into(), out);
    match reply.external_ip {
        Some(IpAddr::V4(ip)) => bytes(b"11:external ip", &ip.octets(), out),
        Some(IpAddr::V6(ip)) => bytes(b"11:external ip", &ip.octets(), out),
        None => {}
    }
    int(b"10:incomplete", reply.incomplete.into(), out);
    int(b"8:interval", reply.interval.as_secs(), out);
    int(b"12:min interval", reply.min_interval.as_secs(), out);
    match format {
        PeerFormat::Compact => {
            bytes(b"5:peers", reply.peers.as_flattened(), out);
            if !reply.peers6.is_empty() {
                bytes(b"6:peers6", reply.peers6.as_flattened(), out);
            }
        }
        PeerFormat::Dictionary => {
            out.extend_from_slice(b"5:peersl");
            for [a, b, c, d, high, low] in reply.peers {
                dictionary_peer(Ipv4Addr::new(*a, *b, *c, *d).into(), [*high, *low], out);
            }
            for (ip, port) in reply.peers6.iter().filter_map(|peer| peer.split_first_chunk::<16>()) {
                dictionary_peer(Ipv6Addr::from(*ip).into(), port.try_into().unwrap_or_default(), out);
            }
            out.push(b'e');
        }
    }
    out.push(b'e');
}

/// Appends a refusal: why, and when to come back if that is known (BEP 31).
pub fn encode_failure(reason: &str, retry: Option<Retry>, out: &mut Vec<u8>) {
    out.push(b'd');
    bytes(b"14:failure reason", reason.as_bytes(), out);
    match retry {
        Some(Retry::After(time)) => int(b"8:retry in", time.as_secs().div_ceil(60), out),
        Some(Retry::Never) => bytes(b"8:retry in", b"never", out),
        None => {}
    }
    out.push(b'e');
}

/// Appends the counts of some torrents, each named by its 20 raw bytes (BEP 48).
pub fn encode_scrape(entries: &mut Vec<(InfoHash, ScrapeEntry)>, out: &mut Vec<u8>) {
    entries.sort_unstable_by_key(|(hash, _)| *hash);
    entries.dedup_by_key(|(hash, _)| *hash);
    out.extend_from_slice(b"d5:filesd");
    for (hash, entry) in entries {
        bytes(b"", hash.as_bytes(), out);
        out.push(b'd');
        int(b"8:complete", entry.complete.into(), out);
        int(b"10:downloaded", entry.downloaded.into(), out);
        if let Some(downloaders) = entry.downloaders {
            int(b"11:downloaders", downloaders.into(), out);
        }
        int(b"10:incomplete", entry.incomplete.into(), out);
        out.push(b'e');
    }
    out.extend_from_slice(b"ee");
}

/// The parameters of an announce, not decoded yet.
#[derive(Default)]
struct Fields<'a> {
    info_hash: Option<&'a [u8]>,
    peer_id: Option<&'a [u8]>,
    port: Option<&'a [u8]>,
    uploaded: Option<&'a [u8]>,
    downloaded: Option<&'a [u8]>,
    left: Option<&'a [u8]>,
    event: Option<&'a [u8]>,
    numwant: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    trackerid: Option<&'a [u8]>,
    compact: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn split(query: &'a [u8]) -> Result<Self, BadRequest> {
        let mut fields = Self::default();
        for (key, value) in pairs(query) {
            let (name, field) = match key {
                b"info_hash" => ("info_hash", &mut fields.info_hash),
                b"peer_id" => ("peer_id", &mut fields.peer_id),
                b"port" => ("port", &mut fields.port),
                b"uploaded" => ("uploaded", &mut fields.uploaded),
                b"downloaded" => ("downloaded", &mut fields.downloaded),
                b"left" => ("left", &mut fields.left),
                b"event" => ("event", &mut fields.event),
                b"numwant" => ("numwant", &mut fields.numwant),
                b"key" => ("key", &mut fields.key),
                b"trackerid" => ("trackerid", &mut fields.trackerid),
                b"compact" => ("compact", &mut fields.compact),
                _ => continue,
            };
            if field.replace(value).is_some() {
                return Err(BadRequest::Duplicate(name));
            }
        }
        Ok(fields)
    }
}

fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|&byte| byte == b'&').map(|pair| {
        let mut halves = pair.splitn(2, |&byte| byte == b'=');
        (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
    })
}

fn twenty(name: &'static str, value: Option<&[u8]>) -> Result<[u8; 20], BadRequest> {
    percent::exactly(value.ok_or(BadRequest::Missing(name))?).ok_or(BadRequest::TwentyBytes(name))
}

fn number(name: &'static str, value: Option<&[u8]>) -> Result<Option<u64>, BadRequest> {
    let Some(digits) = value else { return Ok(None) };
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
    digits.and_then(|digits| digits.parse().ok()).map(Some).ok_or(BadRequest::Number(name))
}

fn port(value: Option<&[u8]>) -> Result<u16, BadRequest> {
    let number = number("port", value).map_err(|_| BadRequest::Port)?.ok_or(BadRequest::Missing("port"))?;
    u16::try_from(number).ok().filter(|&port| port != 0).ok_or(BadRequest::Port)
}

/// A negative number, as some clients send, means the same as none; a huge one is as good as the tracker's maximum.
fn numwant(value: Option<&[u8]>) -> Result<Option<u32>, BadRequest> {
    match value {
        None | Some(b"") => Ok(None),
        Some([b'-', digits @ ..]) => number("numwant", Some(digits)).map(|_| None),
        digits => Ok(number("numwant", digits)?.map(|number| u32::try_from(number).unwrap_or(u32::MAX))),
    }
}

fn event(value: Option<&[u8]>) -> Result<Option<AnnounceEvent>, BadRequest> {
    match value.unwrap_or_default() {
        b"" | b"none" | b"empty" => Ok(None),
        b"started" => Ok(Some(AnnounceEvent::Started)),
        b"completed" => Ok(Some(AnnounceEvent::Completed)),
        b"stopped" => Ok(Some(AnnounceEvent::Stopped)),
        b"paused" => Ok(Some(AnnounceEvent::Paused)),
        _ => Err(BadRequest::Event),
    }
}

fn dictionary_peer(ip: IpAddr, port: [u8; 2], out: &mut Vec<u8>) {
    let text = ip.to_string();
    out.push(b'd');
    bytes(b"2:ip", text.as_bytes(), out);
    int(b"4:port", u16::from_be_bytes(port).into(), out);
    out.push(b'e');
}

fn int(key: &[u8], number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    // Writing to a `Vec` cannot fail.
    let _ = write!(out, "i{number}e");
}

fn bytes(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    let _ = write!(out, "{}:", value.len());
    out.extend_from_slice(value);
}
