//! The datagrams of a UDP tracker (BEP 15), and the path of its URL behind an announce (BEP 41).
//!
//! Used by `Exchange`. Bytes from a tracker are strangers' bytes: what is not an answer to our request is no answer.

use std::time::Duration;

use crate::reply::{INTERVALS, keep_usable, packed_peers, within, words};
use crate::{Announce, AnnounceEvent, AnnounceReply, ReplyError};

/// Where a connect request begins, so that the tracker knows what is spoken.
const PROTOCOL: u64 = 0x417_2710_1980;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const ERROR: u32 = 3;

/// BEP 41: what follows is a piece of the URL, after its length in one byte.
const URL_DATA: u8 = 2;

/// The longest path and query that are sent, in bytes: with all else they fit into one packet of any network.
pub const MAX_URL_DATA: usize = 1000;

/// What a datagram went over; it says how long the peers in an answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Peers of six bytes.
    V4,
    /// Peers of eighteen bytes.
    V6,
}

/// An answer to our request.
#[derive(Debug)]
pub(super) enum Reply {
    Connected(u64),
    Announced(Result<AnnounceReply, ReplyError>),
    /// In the tracker's words.
    Refused(String),
}

pub(super) fn connect_request(transaction: u32) -> Vec<u8> {
    let mut bytes = PROTOCOL.to_be_bytes().to_vec();
    bytes.extend(CONNECT.to_be_bytes());
    bytes.extend(transaction.to_be_bytes());
    bytes
}

/// The whole of `url_data` is sent, in pieces of at most 255 bytes.
pub(super) fn announce_request(
    connection: u64,
    transaction: u32,
    announce: &Announce,
    url_data: &[u8],
) -> Vec<u8> {
    let mut bytes = connection.to_be_bytes().to_vec();
    bytes.extend(ANNOUNCE.to_be_bytes());
    bytes.extend(transaction.to_be_bytes());
    bytes.extend(announce.info_hash.as_bytes());
    bytes.extend(announce.peer_id.as_bytes());
    for amount in [announce.downloaded, announce.left, announce.uploaded] {
        bytes.extend(amount.to_be_bytes());
    }
    bytes.extend(event_number(announce.event).to_be_bytes());
    // Our address: whatever the tracker sees.
    bytes.extend([0; 4]);
    bytes.extend(announce.key.unwrap_or(0).to_be_bytes());
    // All ones leave the number to the tracker.
    bytes.extend(announce.numwant.unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(announce.port.to_be_bytes());
    for part in url_data.chunks(usize::from(u8::MAX)) {
        bytes.push(URL_DATA);
        bytes.extend(u8::try_from(part.len()));
        bytes.extend(part);
    }
    bytes
}

/// BEP 15 has no word for a partial seed (BEP 21).
fn event_number(event: Option<AnnounceEvent>) -> u32 {
    match event {
        None | Some(AnnounceEvent::Paused) => 0,
        Some(AnnounceEvent::Completed) => 1,
        Some(AnnounceEvent::Started) => 2,
        Some(AnnounceEvent::Stopped) => 3,
    }
}

/// Reads a datagram; `None`: it answers no request of this transaction. It may be longer than we know of (BEP 15).
pub(super) fn read(bytes: &[u8], transaction: u32, family: Family) -> Option<Reply> {
    let (action, rest) = number(bytes)?;
    let (answered, rest) = number(rest)?;
    match action {
        _ if answered != transaction => None,
        CONNECT => Some(Reply::Connected(u64::from_be_bytes(*rest.first_chunk()?))),
        ANNOUNCE => Some(Reply::Announced(announced(rest, family).ok_or(ReplyError::Malformed("too short")))),
        ERROR => Some(Reply::Refused(words(rest))),
        _ => None,
    }
}

fn announced(rest: &[u8], family: Family) -> Option<AnnounceReply> {
    let (interval, rest) = number(rest)?;
    let (incomplete, rest) = number(rest)?;
    let (complete, rest) = number(rest)?;
    let mut peers = Vec::new();
    match family {
        Family::V4 => keep_usable(packed_peers::<6>(rest), &mut peers),
        Family::V6 => keep_usable(packed_peers::<18>(rest), &mut peers),
    }
    Some(AnnounceReply {
        interval: within(Duration::from_secs(interval.into()), &INTERVALS),
        complete: Some(complete),
        incomplete: Some(incomplete),
        peers,
        ..AnnounceReply::default()
    })
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}
