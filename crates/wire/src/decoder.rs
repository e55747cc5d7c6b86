//! From a stream of bytes to messages (BEP 3, 6, 9, 10).
//!
//! Owned by the peer task, one for each connection. It holds no bytes: the caller keeps what is not yet a whole message.

use bytes::{Buf, Bytes};

use crate::Fault;
use crate::extension;
use crate::message::{Message, Request, id};

/// The longest message taken unless [`Decoder::allow`] says otherwise, the length prefix not counted: 1 MiB.
///
/// The longest honest ones are blocks (16 KiB, some clients send 128 KiB) and bitfields (512 KiB for the 4 Mi pieces
/// a torrent may have).
pub const MAX_MESSAGE: u32 = 1 << 20;

/// The bytes of a length prefix.
const PREFIX: usize = 4;

/// Length prefix, id, piece and offset: what stands before a block.
const BLOCK_HEADER: usize = 13;

/// Cuts messages off a stream of bytes.
#[derive(Debug)]
pub struct Decoder {
    limit: u32,
    needed: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder for the bytes after the handshake.
    pub fn new() -> Self {
        Self { limit: MAX_MESSAGE, needed: PREFIX }
    }

    /// Allows messages of up to `length` bytes if that is more than [`MAX_MESSAGE`]: for a torrent whose bitfield is longer.
    pub fn allow(&mut self, length: u32) {
        self.limit = length.max(MAX_MESSAGE);
    }

    /// How many bytes `decode` must see before it can give the next message: right after it gave none, and a hint
    /// only, because the length of a message is known from its first four bytes on.
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Takes one message off the front of `input`. `Ok(None)`: it is not all there, and `input` is as it was.
    ///
    /// A block's data is a slice of `input`: nothing is copied. After a fault the stream has no meaning any more.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Message>, Fault> {
        let Some(prefix) = input.first_chunk::<PREFIX>() else {
            self.needed = PREFIX;
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix);
        if length > self.limit {
            return Err(Fault::MessageTooLong(length)); // P-01
        }
        let length = length as usize;
        if length > 0
            && let Some(&id) = input.get(PREFIX)
        {
            check_length(id, length - 1)?;
        }
        self.needed = PREFIX + length;
        let Some(message) = input.get(PREFIX..self.needed) else { return Ok(None) };
        if let Some((index, begin)) = block_header(message) {
            input.advance(BLOCK_HEADER);
            let data = input.split_to(self.needed - BLOCK_HEADER);
            return Ok(Some(Message::Piece { index, begin, data }));
        }
        let mut payload = input.split_to(self.needed);
        payload.advance(PREFIX);
        let Some(&id) = payload.first() else { return Ok(Some(Message::KeepAlive)) };
        payload.advance(1);
        read(id, payload).map(Some)
    }
}

/// Refuses a payload of a length that its kind cannot have, before its bytes are waited for.
fn check_length(id: u8, length: usize) -> Result<(), Fault> {
    let fits = match id {
        id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED | id::HAVE_ALL | id::HAVE_NONE => {
            length == 0
        }
        id::HAVE | id::SUGGEST_PIECE | id::ALLOWED_FAST => length == 4,
        id::REQUEST | id::CANCEL | id::REJECT_REQUEST => length == 12,
        id::PORT => length == 2,
        id::PIECE => length >= 8,
        id::EXTENDED => length >= 1,
        _ => true,
    };
    if fits { Ok(()) } else { Err(Fault::WrongLength { id, length }) }
}

/// Reads the payload of any message but a block; its length has been checked.
fn read(id: u8, payload: Bytes) -> Result<Message, Fault> {
    let length = payload.len();
    let wrong = Fault::WrongLength { id, length };
    let number = || payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).ok_or(wrong.clone());
    let request = || request(&payload).ok_or(wrong.clone());
    Ok(match id {
        id::CHOKE => Message::Choke,
        id::UNCHOKE => Message::Unchoke,
        id::INTERESTED => Message::Interested,
        id::NOT_INTERESTED => Message::NotInterested,
        id::HAVE => Message::Have(number()?),
        id::BITFIELD => Message::Bitfield(payload),
        id::REQUEST => Message::Request(request()?),
        id::CANCEL => Message::Cancel(request()?),
        id::PORT => {
            Message::Port(payload.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)).ok_or(wrong)?)
        }
        id::SUGGEST_PIECE => Message::SuggestPiece(number()?),
        id::HAVE_ALL => Message::HaveAll,
        id::HAVE_NONE => Message::HaveNone,
        id::REJECT_REQUEST => Message::RejectRequest(request()?),
        id::ALLOWED_FAST => Message::AllowedFast(number()?),
        id::EXTENDED => return extension::read(payload),
        _ => Message::Unknown { id, length },
    })
}

/// Piece and offset, if `message`, its length prefix left out, is a block.
fn block_header(message: &[u8]) -> Option<(u32, u32)> {
    let (index, rest) = message.strip_prefix(&[id::PIECE])?.split_first_chunk()?;
    let begin = rest.first_chunk()?;
    Some((u32::from_be_bytes(*index), u32::from_be_bytes(*begin)))
}

fn request(payload: &[u8]) -> Option<Request> {
    let (index, rest) = payload.split_first_chunk()?;
    let (begin, rest) = rest.split_first_chunk()?;
    let length = rest.first_chunk()?;
    Some(Request {
        index: u32::from_be_bytes(*index),
        begin: u32::from_be_bytes(*begin),
        length: u32::from_be_bytes(*length),
    })
}
