//! Names of torrents and peers: 20 and 32 byte identifiers.
//!
//! They are plain values; what they are computed from is the `torrent` module's business.

use std::fmt;

/// The SHA-1 hash of a v1 `info` dictionary, or the first 20 bytes of a v2 one (BEP 3, 52): what trackers and handshakes carry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

/// The SHA-256 hash of a v2 `info` dictionary (BEP 52).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashV2(pub [u8; 32]);

/// Both names of a torrent; a hybrid has both, every torrent at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashes {
    /// The v1 hash, if the torrent has v1 keys.
    pub v1: Option<InfoHash>,
    /// The v2 hash, if the torrent has v2 keys.
    pub v2: Option<InfoHashV2>,
}

/// A peer's 20 byte name, chosen anew at each start (BEP 3, 20).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

impl InfoHashV2 {
    /// The 20 byte form that trackers, the DHT and handshakes carry (BEP 52).
    pub fn truncated(&self) -> InfoHash {
        let mut short = [0; 20];
        short.copy_from_slice(&self.0[..20]);
        InfoHash(short)
    }
}

impl InfoHashes {
    /// The name used on the wire: v1 where there is one, else the truncated v2 hash.
    ///
    /// `None` only for a value that names no torrent at all.
    pub fn wire(&self) -> Option<InfoHash> {
        self.v1.or_else(|| self.v2.map(|v2| v2.truncated()))
    }

    /// Whether `hash` is one of the 20 byte names of this torrent.
    pub fn matches(&self, hash: InfoHash) -> bool {
        self.v1 == Some(hash) || self.v2.is_some_and(|v2| v2.truncated() == hash)
    }
}

macro_rules! hex_name {
    ($name:ident, $bytes:literal) => {
        impl $name {
            /// Reads exactly twice as many hexadecimal digits as there are bytes, in either case.
            pub fn from_hex(text: &str) -> Option<Self> {
                let text = text.as_bytes();
                if text.len() != 2 * $bytes {
                    return None;
                }
                let mut bytes = [0; $bytes];
                for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                    let &[high, low] = pair else { return None };
                    *byte = nibble(high)? << 4 | nibble(low)?;
                }
                Some(Self(bytes))
            }

            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

hex_name!(InfoHash, 20);
hex_name!(InfoHashV2, 32);

impl PeerId {
    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.0.escape_ascii())
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_in_either_case_and_written_in_lower() {
        let hash = InfoHash::from_hex("ABCDEF0123456789abcdef0123456789abcdef01").unwrap();
        assert_eq!(hash.to_string(), "abcdef0123456789abcdef0123456789abcdef01");
        assert_eq!(InfoHash::from_hex("abc"), None);
        assert_eq!(InfoHash::from_hex("zbcdef0123456789abcdef0123456789abcdef01"), None);
    }

    #[test]
    fn a_hybrid_goes_by_its_v1_name_and_answers_to_both() {
        let v1 = InfoHash([1; 20]);
        let v2 = InfoHashV2([2; 32]);
        let both = InfoHashes { v1: Some(v1), v2: Some(v2) };
        assert_eq!(both.wire(), Some(v1));
        assert!(both.matches(v1) && both.matches(InfoHash([2; 20])));
        assert!(!both.matches(InfoHash([3; 20])));
    }
}
