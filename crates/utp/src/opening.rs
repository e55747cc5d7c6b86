//! Who may open a connection with us: whoever shows that it received our answer (S-40 to S-42).
//!
//! Part of `Socket`. The number in our answer to a SYN is computed from a secret, the address and the SYN, so nothing is kept
//! until the peer acknowledges it: no flood of SYNs takes memory, and no address is sent more than it seems to send.

use std::net::{IpAddr, SocketAddr};

use sha1::{Digest, Sha1};

/// How far the peer's packets may be ahead of its first one and still count as its opening ones, which overtook each other.
const OVERTAKING: u16 = 64;

/// What a packet of no known connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opening {
    /// The first one after our answer: the peer is where it says.
    First { syn: u16, answer: u16 },
    /// One that overtook the first: it will be sent again.
    Early,
    /// None of ours.
    Stranger,
}

/// The secret of one port.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    secret: [u8; 16],
}

impl Doorkeeper {
    pub(crate) fn new(rng: &mut fastrand::Rng) -> Self {
        Self { secret: rng.u128(..).to_le_bytes() }
    }

    /// The number of our answer to a SYN of this connection id and number.
    pub(crate) fn answer(&self, from: SocketAddr, id: u16, syn: u16) -> u16 {
        self.offset(from, id).wrapping_add(syn)
    }

    /// Judges a data packet that came for `id`, which is one above the SYN's.
    pub(crate) fn judge(&self, from: SocketAddr, id: u16, seq: u16, ack: u16) -> Opening {
        // Our answer has the number of our first packet, so the peer acknowledges the one before it.
        let answer = ack.wrapping_add(1);
        let syn = answer.wrapping_sub(self.offset(from, id.wrapping_sub(1)));
        match seq.wrapping_sub(syn) {
            1 => Opening::First { syn, answer },
            2..=OVERTAKING => Opening::Early,
            _ => Opening::Stranger,
        }
    }

    fn offset(&self, from: SocketAddr, id: u16) -> u16 {
        let mut hash = Sha1::new_with_prefix(self.secret);
        match from.ip() {
            IpAddr::V4(ip) => hash.update(ip.octets()),
            IpAddr::V6(ip) => hash.update(ip.octets()),
        }
        hash.update(from.port().to_be_bytes());
        hash.update(id.to_be_bytes());
        let [high, low, ..] = hash.finalize().0;
        u16::from_be_bytes([high, low])
    }
}
