//! The payloads of extension messages: the extension handshake, the metadata and the peer exchange (BEP 9, 10, 11, 21).
//!
//! Called by `Decoder` and `Encoder`. Values that make no sense are clamped or ignored as the fields' comments say;
//! only a message that cannot be read at all is a fault.

use std::net::IpAddr;

use bencode::{Dict, Options, Value};
use bytes::{Buf, Bytes};

use crate::Fault;
use crate::message::{ExtensionHandshake, Message, MetadataMessage, id};
use crate::pex;

/// The number under which we want `ut_metadata` messages: what our extension handshake says.
pub const UT_METADATA: u8 = 2;

/// The same for `ut_pex` messages.
pub const UT_PEX: u8 = 1;

/// The length of every piece of an info dictionary but the last: 16 KiB (BEP 9).
pub const METADATA_PIECE: u32 = 16 * 1024;

/// The longest info dictionary exchanged between peers: 32 MiB, as for metainfo files.
pub const MAX_METADATA: u32 = 32 << 20;

/// The most requests a peer's `reqq` is believed to queue: 1 GiB of 16 KiB blocks, a second's worth on the fastest link.
pub const MAX_REQUEST_QUEUE: u32 = 1 << 16;

/// The number of the extension handshake.
pub(crate) const HANDSHAKE: u8 = 0;

/// Characters kept of a client's name, each at most four bytes.
const MAX_CLIENT: usize = 64;

/// What an extension message may hold: the richest handshakes seen have some forty values, four levels deep.
/// M-01: nesting beyond that is a fault, and 4,096 values cost 48 KiB.
pub(crate) const LIMITS: Options = Options { max_depth: 16, max_tokens: 4096, ..Options::LENIENT };

/// Reads the payload of an `extended` message.
pub(crate) fn read(mut payload: Bytes) -> Result<Message, Fault> {
    let length = payload.len();
    let extension = payload.try_get_u8().map_err(|_| Fault::WrongLength { id: id::EXTENDED, length })?;
    match extension {
        HANDSHAKE => read_handshake(&payload),
        UT_METADATA => Ok(read_metadata(payload)?.map_or(unknown(length), Message::Metadata)),
        UT_PEX => Ok(Message::PeerExchange(Box::new(pex::read(&payload)?))),
        _ => Ok(unknown(length)),
    }
}

/// The payload of an extension handshake.
pub(crate) fn write_handshake(handshake: &ExtensionHandshake) -> Vec<u8> {
    bencode::encode_dict(|dict| {
        dict.dict("m", |extensions| {
            if let Some(id) = handshake.ut_metadata {
                extensions.int("ut_metadata", id.into());
            }
            if let Some(id) = handshake.ut_pex {
                extensions.int("ut_pex", id.into());
            }
        });
        if let Some(size) = handshake.metadata_size {
            dict.int("metadata_size", size.into());
        }
        if let Some(port) = handshake.port {
            dict.int("p", port.into());
        }
        if let Some(requests) = handshake.request_queue {
            dict.int("reqq", requests.into());
        }
        if handshake.upload_only {
            dict.int("upload_only", 1);
        }
        if let Some(client) = &handshake.client {
            dict.bytes("v", client);
        }
        match handshake.your_ip {
            Some(IpAddr::V4(ip)) => dict.bytes("yourip", ip.octets()),
            Some(IpAddr::V6(ip)) => dict.bytes("yourip", ip.octets()),
            None => {}
        }
    })
}

/// The two parts of a metadata message: the dictionary, and the data behind it.
pub(crate) fn write_metadata(message: &MetadataMessage) -> (Vec<u8>, &[u8]) {
    let head = |kind: i64, piece: u32, total: Option<u32>| {
        bencode::encode_dict(|dict| {
            dict.int("msg_type", kind);
            dict.int("piece", piece.into());
            if let Some(total) = total {
                dict.int("total_size", total.into());
            }
        })
    };
    match message {
        MetadataMessage::Request(piece) => (head(0, *piece, None), &[]),
        MetadataMessage::Data { piece, total_size, data } => (head(1, *piece, Some(*total_size)), data),
        MetadataMessage::Reject(piece) => (head(2, *piece, None), &[]),
    }
}

fn unknown(length: usize) -> Message {
    Message::Unknown { id: id::EXTENDED, length }
}

/// P-19: what is out of range is clamped or left out.
fn read_handshake(payload: &[u8]) -> Result<Message, Fault> {
    const BAD: Fault = Fault::BadExtension("the extension handshake is no dictionary");
    let document = bencode::decode_prefix(payload, LIMITS).map_err(|_| BAD)?;
    let dict = document.root().dict().ok_or(BAD)?;
    let extensions = dict.get("m").and_then(Value::dict);
    Ok(Message::ExtensionHandshake(Box::new(ExtensionHandshake {
        ut_metadata: extensions.and_then(|extensions| number(extensions, "ut_metadata")),
        ut_pex: extensions.and_then(|extensions| number(extensions, "ut_pex")),
        metadata_size: number(dict, "metadata_size").filter(|size| (1..=MAX_METADATA).contains(size)),
        client: dict.get("v").and_then(Value::bytes).and_then(clean_text),
        port: number(dict, "p").filter(|port| *port != 0),
        request_queue: dict.get("reqq").and_then(Value::int).filter(|n| *n > 0).map(clamp_queue),
        upload_only: dict.get("upload_only").and_then(Value::int).is_some_and(|n| n != 0),
        your_ip: dict.get("yourip").and_then(Value::bytes).and_then(ip),
    })))
}

fn clamp_queue(requests: i64) -> u32 {
    u32::try_from(requests).map_or(MAX_REQUEST_QUEUE, |requests| requests.min(MAX_REQUEST_QUEUE))
}

/// P-11: `None` for a kind of message that a later protocol may add.
fn read_metadata(mut payload: Bytes) -> Result<Option<MetadataMessage>, Fault> {
    const BAD: Fault = Fault::BadExtension("the metadata message is no dictionary");
    let document = bencode::decode_prefix(&payload, LIMITS).map_err(|_| BAD)?;
    let dict = document.root().dict().ok_or(BAD)?;
    let kind = dict.get("msg_type").and_then(Value::int);
    let piece = number(dict, "piece").filter(|piece| *piece < MAX_METADATA / METADATA_PIECE);
    let piece = piece.ok_or(Fault::BadExtension("no such metadata piece"))?;
    let total_size = number(dict, "total_size").filter(|size| (1..=MAX_METADATA).contains(size));
    let head = document.end();
    Ok(match kind {
        Some(0) => Some(MetadataMessage::Request(piece)),
        Some(1) => {
            let total_size = total_size.ok_or(Fault::BadExtension("metadata of an impossible size"))?;
            payload.advance(head);
            let due = total_size.saturating_sub(piece * METADATA_PIECE).min(METADATA_PIECE);
            if due == 0 || payload.len() != due as usize {
                return Err(Fault::BadExtension("a metadata piece of the wrong length"));
            }
            Some(MetadataMessage::Data { piece, total_size, data: payload })
        }
        Some(2) => Some(MetadataMessage::Reject(piece)),
        _ => None,
    })
}

/// The integer under `key`, if it is there and its type can hold it.
fn number<T: TryFrom<i64>>(dict: Dict<'_>, key: &str) -> Option<T> {
    T::try_from(dict.get(key)?.int()?).ok()
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// A stranger's text made fit for a terminal: no control characters, none that turn the direction of writing.
fn clean_text(bytes: &[u8]) -> Option<String> {
    let start = bytes.get(..4 * MAX_CLIENT).unwrap_or(bytes);
    let text = String::from_utf8_lossy(start);
    let text: String =
        text.chars().filter(|c| !c.is_control() && !turns_direction(*c)).take(MAX_CLIENT).collect();
    Some(text).filter(|text| !text.is_empty())
}

fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
#[path = "extension_tests.rs"]
mod tests;
