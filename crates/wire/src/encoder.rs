//! From messages to the bytes of the stream (BEP 3, 6, 9, 10, 11).
//!
//! Owned by the peer task, one for each connection, because extension messages carry the number the peer chose for them.

use bytes::{BufMut, BytesMut};

use crate::extension;
use crate::message::{ExtensionHandshake, Message, Request, id};
use crate::pex;

/// Writes messages for one peer.
#[derive(Debug, Default)]
pub struct Encoder {
    /// The number under which the peer wants `ut_metadata` messages (BEP 9); 0: it does not speak it.
    pub ut_metadata: u8,
    /// The same for `ut_pex` messages (BEP 11).
    pub ut_pex: u8,
}

impl Encoder {
    /// Takes note of the number the peer chose: to be called with each extension handshake it sends. What a later one
    /// leaves out stays as it was (BEP 10).
    pub fn heard(&mut self, handshake: &ExtensionHandshake) {
        self.ut_metadata = handshake.ut_metadata.unwrap_or(self.ut_metadata);
        self.ut_pex = handshake.ut_pex.unwrap_or(self.ut_pex);
    }

    /// Appends `message` to `out`.
    ///
    /// Nothing is written for [`Message::Unknown`], nor for messages of an extension to a peer that does not speak it.
    pub fn encode(&self, message: &Message, out: &mut BytesMut) {
        match message {
            Message::KeepAlive => out.put_u32(0),
            Message::Choke => plain(out, id::CHOKE),
            Message::Unchoke => plain(out, id::UNCHOKE),
            Message::Interested => plain(out, id::INTERESTED),
            Message::NotInterested => plain(out, id::NOT_INTERESTED),
            Message::Have(piece) => number(out, id::HAVE, *piece),
            Message::Bitfield(bits) => {
                out.put_u32(length(1 + bits.len()));
                out.put_u8(id::BITFIELD);
                out.put_slice(bits);
            }
            Message::Request(asked) => request(out, id::REQUEST, *asked),
            Message::Piece { index, begin, data } => {
                out.put_slice(&piece_header(*index, *begin, length(data.len())));
                out.put_slice(data);
            }
            Message::Cancel(asked) => request(out, id::CANCEL, *asked),
            Message::Port(port) => {
                out.put_u32(3);
                out.put_u8(id::PORT);
                out.put_u16(*port);
            }
            Message::SuggestPiece(piece) => number(out, id::SUGGEST_PIECE, *piece),
            Message::HaveAll => plain(out, id::HAVE_ALL),
            Message::HaveNone => plain(out, id::HAVE_NONE),
            Message::RejectRequest(asked) => request(out, id::REJECT_REQUEST, *asked),
            Message::AllowedFast(piece) => number(out, id::ALLOWED_FAST, *piece),
            Message::ExtensionHandshake(handshake) => {
                extended(out, extension::HANDSHAKE, &extension::write_handshake(handshake), &[]);
            }
            Message::Metadata(message) if self.ut_metadata != 0 => {
                let (head, data) = extension::write_metadata(message);
                extended(out, self.ut_metadata, &head, data);
            }
            Message::PeerExchange(message) if self.ut_pex != 0 => {
                extended(out, self.ut_pex, &pex::write(message), &[]);
            }
            Message::Metadata(_) | Message::PeerExchange(_) | Message::Unknown { .. } => {}
        }
    }
}

/// What stands before a block's `length` bytes of data, for sending the data from where it lies.
pub fn piece_header(index: u32, begin: u32, length: u32) -> [u8; 13] {
    let mut header = [0; 13];
    let before_index = length.saturating_add(9).to_be_bytes().into_iter().chain([id::PIECE]);
    let fields = before_index.chain(index.to_be_bytes()).chain(begin.to_be_bytes());
    for (byte, field) in header.iter_mut().zip(fields) {
        *byte = field;
    }
    header
}

fn plain(out: &mut BytesMut, id: u8) {
    out.put_u32(1);
    out.put_u8(id);
}

fn number(out: &mut BytesMut, id: u8, number: u32) {
    out.put_u32(5);
    out.put_u8(id);
    out.put_u32(number);
}

fn request(out: &mut BytesMut, id: u8, request: Request) {
    out.put_u32(13);
    out.put_u8(id);
    out.put_u32(request.index);
    out.put_u32(request.begin);
    out.put_u32(request.length);
}

fn extended(out: &mut BytesMut, extension: u8, head: &[u8], data: &[u8]) {
    out.put_u32(length(2 + head.len() + data.len()));
    out.put_u8(id::EXTENDED);
    out.put_u8(extension);
    out.put_slice(head);
    out.put_slice(data);
}

/// A length prefix. Nothing we send comes near 4 GiB.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
