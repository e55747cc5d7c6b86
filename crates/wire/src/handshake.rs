//! The 68 bytes that open a connection (BEP 3), and the reserved bits in them (BEP 4).
//!
//! Whether the torrent is known and the peer wanted is for the driver to say.

use metainfo::{InfoHash, PeerId};

use crate::Fault;

/// The length of the protocol's name, and the name.
const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// The fast extension: this bit of byte 7 (BEP 4, 6).
const FAST: u8 = 0x04;

/// The extension protocol: this bit of byte 5 (BEP 4, 10).
const EXTENDED: u8 = 0x10;

/// The eight reserved bytes: which extensions the sender speaks (BEP 4). Bits we do not know are kept and ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved(pub [u8; 8]);

/// What both sides say first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The extensions spoken.
    pub reserved: Reserved,
    /// The torrent.
    pub info_hash: InfoHash,
    /// The sender's name.
    pub peer_id: PeerId,
}

impl Reserved {
    /// What we speak: the fast extension and the extension protocol.
    pub fn ours() -> Self {
        Self::default().with_fast().with_extended()
    }

    /// Whether the sender speaks the fast extension (BEP 6).
    pub fn fast(self) -> bool {
        let [.., last] = self.0;
        last & FAST != 0
    }

    /// Whether the sender speaks the extension protocol (BEP 10).
    pub fn extended(self) -> bool {
        let [_, _, _, _, _, byte, _, _] = self.0;
        byte & EXTENDED != 0
    }

    /// The same, with the fast extension.
    #[must_use]
    pub fn with_fast(mut self) -> Self {
        let [.., last] = &mut self.0;
        *last |= FAST;
        self
    }

    /// The same, with the extension protocol.
    #[must_use]
    pub fn with_extended(mut self) -> Self {
        let [_, _, _, _, _, byte, _, _] = &mut self.0;
        *byte |= EXTENDED;
        self
    }
}

impl Handshake {
    /// Its length in bytes, always.
    pub const LENGTH: usize = 68;

    /// The bytes to send.
    pub fn encode(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let fields = PROTOCOL.iter().chain(&self.reserved.0).chain(&self.info_hash.0).chain(&self.peer_id.0);
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = *field;
        }
        bytes
    }

    /// Reads what a peer sent.
    pub fn decode(bytes: &[u8; Self::LENGTH]) -> Result<Self, Fault> {
        Self::split(bytes).ok_or(Fault::NotBitTorrent)
    }

    /// Whether `start`, the bytes that came so far, can still become a handshake: anything else is refused at once,
    /// without waiting for 68 bytes that may never come.
    pub fn prefix_ok(start: &[u8]) -> bool {
        start.iter().zip(PROTOCOL).all(|(byte, expected)| byte == expected)
    }

    fn split(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(PROTOCOL)?;
        let (reserved, rest) = rest.split_first_chunk()?;
        let (info_hash, rest) = rest.split_first_chunk()?;
        let peer_id = rest.first_chunk()?;
        Some(Self {
            reserved: Reserved(*reserved),
            info_hash: InfoHash(*info_hash),
            peer_id: PeerId(*peer_id),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> Handshake {
        Handshake {
            reserved: Reserved::ours(),
            info_hash: InfoHash([7; 20]),
            peer_id: PeerId(*b"-HW0100-abcdefghijkl"),
        }
    }

    #[test]
    fn a_handshake_is_read_as_it_was_sent() {
        let bytes = handshake().encode();
        assert_eq!(&bytes[..28], b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04");
        assert_eq!(&bytes[28..48], [7; 20]);
        assert_eq!(Handshake::decode(&bytes), Ok(handshake()));
    }

    #[test]
    fn garbage_is_refused_at_its_first_wrong_byte() {
        let bytes = handshake().encode();
        for cut in 0..bytes.len() {
            assert!(Handshake::prefix_ok(&bytes[..cut]));
        }
        assert!(!Handshake::prefix_ok(b"GET /"));
        assert!(!Handshake::prefix_ok(b"\x13BitTorrent protocoL"));
        let mut wrong = bytes;
        wrong[19] = b'L';
        assert_eq!(Handshake::decode(&wrong), Err(Fault::NotBitTorrent));
    }

    #[test] // P-09
    fn unknown_reserved_bits_change_nothing() {
        let all = Reserved([0xff; 8]);
        assert!(all.fast() && all.extended());
        let others = Reserved([0xff, 0xff, 0xff, 0xff, 0xff, 0xef, 0xff, 0xfb]);
        assert!(!others.fast() && !others.extended());
        let mut sent = handshake();
        sent.reserved = all;
        assert_eq!(Handshake::decode(&sent.encode()), Ok(sent));
    }
}
