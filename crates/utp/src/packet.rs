//! One datagram: header, extensions, payload (BEP 29, "header format").
//!
//! Decodes strangers' bytes, borrowing them. Whether a packet fits any connection is the `socket`'s to say.

use bytes::{BufMut, BytesMut};

/// What a packet is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Carries payload.
    Data,
    /// The last one of its direction.
    Fin,
    /// Acknowledges, and takes no sequence number.
    State,
    /// The sender knows nothing of this connection.
    Reset,
    /// Asks for a connection.
    Syn,
}

/// The fixed part of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// What it is for.
    pub kind: Kind,
    /// Which connection of the two addresses.
    pub id: u16,
    /// When it was sent, in microseconds by its sender's clock.
    pub timestamp: u32,
    /// How long the last packet in the other direction seemed to take, in microseconds; 0: none has come.
    pub delay: u32,
    /// Bytes that its sender has room for.
    pub window: u32,
    /// Its number; that of the next numbered packet if it takes none.
    pub seq: u16,
    /// The last packet received before the first that is missing.
    pub ack: u16,
}

/// A packet as it came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// The fixed part.
    pub header: Header,
    /// The selective acknowledgement: bit `i`, lowest bit first, is packet `ack + 2 + i`.
    pub selective: Option<&'a [u8]>,
    /// The largest datagram that its sender takes: an extension of ours, for loopback, where all sizes pass but not all
    /// programs have room for them.
    pub takes: Option<u16>,
    /// What comes after the header and its extensions.
    pub payload: &'a [u8],
}

/// Not a packet of this protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// It ends before its header or one of its extensions does.
    #[error("cut short")]
    Short,
    /// Another version than 1, or a type that does not exist.
    #[error("not version 1 of the protocol")]
    Version,
    /// A selective acknowledgement that is empty or comes twice.
    #[error("a senseless selective acknowledgement")]
    Selective,
}

const VERSION: u8 = 1;
const SELECTIVE: u8 = 1;
const TAKES: u8 = 200;

impl Header {
    /// Bytes without extensions.
    pub const LENGTH: usize = 20;

    /// Appends the header and the extensions there are: the selective acknowledgement has whole 32-bit words, at most 63 of
    /// them.
    pub fn encode(&self, selective: &[u8], takes: Option<u16>, out: &mut BytesMut) {
        let kind = match self.kind {
            Kind::Data => 0,
            Kind::Fin => 1,
            Kind::State => 2,
            Kind::Reset => 3,
            Kind::Syn => 4,
        };
        out.put_u8(kind << 4 | VERSION);
        let then = if takes.is_some() { TAKES } else { 0 };
        out.put_u8(if selective.is_empty() { then } else { SELECTIVE });
        out.put_u16(self.id);
        out.put_u32(self.timestamp);
        out.put_u32(self.delay);
        out.put_u32(self.window);
        out.put_u16(self.seq);
        out.put_u16(self.ack);
        if let Ok(length @ 1..) = u8::try_from(selective.len()) {
            debug_assert_eq!(length % 4, 0);
            out.put_u8(then);
            out.put_u8(length);
            out.put_slice(selective);
        }
        if let Some(takes) = takes {
            out.put_slice(&[0, 2]);
            out.put_u16(takes);
        }
    }
}

impl<'a> Packet<'a> {
    /// Reads a datagram. Unknown extensions are skipped.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let (head, mut rest) = datagram.split_first_chunk::<{ Header::LENGTH }>().ok_or(Malformed::Short)?;
        let &[first, mut extension, i0, i1, t0, t1, t2, t3, d0, d1, d2, d3, w0, w1, w2, w3, s0, s1, a0, a1] =
            head;
        let kind = match first >> 4 {
            _ if first & 0x0f != VERSION => return Err(Malformed::Version),
            0 => Kind::Data,
            1 => Kind::Fin,
            2 => Kind::State,
            3 => Kind::Reset,
            4 => Kind::Syn,
            _ => return Err(Malformed::Version),
        };
        let (mut selective, mut takes) = (None, None);
        while extension != 0 {
            let (&[next, length], body) = rest.split_first_chunk().ok_or(Malformed::Short)?;
            let (body, after) = body.split_at_checked(length.into()).ok_or(Malformed::Short)?;
            if extension == SELECTIVE
                // Whole words, says the BEP; libtorrent sends as many bytes as it needs.
                && (body.is_empty() || selective.replace(body).is_some())
            {
                return Err(Malformed::Selective);
            }
            if extension == TAKES {
                takes = body.try_into().ok().map(u16::from_be_bytes);
            }
            (extension, rest) = (next, after);
        }
        let header = Header {
            kind,
            id: u16::from_be_bytes([i0, i1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            delay: u32::from_be_bytes([d0, d1, d2, d3]),
            window: u32::from_be_bytes([w0, w1, w2, w3]),
            seq: u16::from_be_bytes([s0, s1]),
            ack: u16::from_be_bytes([a0, a1]),
        };
        Ok(Self { header, selective, takes, payload: rest })
    }
}
