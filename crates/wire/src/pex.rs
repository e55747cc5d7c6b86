//! The payload of a peer exchange message (BEP 11).
//!
//! Called by `extension`. Addresses are read as they stand; whether they are believed is for the swarm to say.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bencode::{Dict, Value};

use crate::Fault;
use crate::extension::LIMITS;
use crate::message::PeerExchange;

/// Addresses read of each list. BEP 11 wants 50 at most, and twice as many in a first message; what is beyond is ignored.
const MAX_READ: usize = 100;

/// Bytes of an address with its port.
const V4: usize = 6;
const V6: usize = 18;

/// Reads what stands behind the extension's number.
pub(crate) fn read(payload: &[u8]) -> Result<PeerExchange, Fault> {
    const BAD: Fault = Fault::BadExtension("the peer exchange message is no dictionary");
    let document = bencode::decode_prefix(payload, LIMITS).map_err(|_| BAD)?;
    let dict = document.root().dict().ok_or(BAD)?;
    let flags = bytes(dict, "added.f").iter().chain(std::iter::repeat(&0));
    let flags6 = bytes(dict, "added6.f").iter().chain(std::iter::repeat(&0));
    let (v4, v6) = (v4(bytes(dict, "added")), v6(bytes(dict, "added6")));
    let added = v4.zip(flags.copied()).chain(v6.zip(flags6.copied())).collect();
    let dropped = self::v4(bytes(dict, "dropped")).chain(self::v6(bytes(dict, "dropped6"))).collect();
    Ok(PeerExchange { added, dropped })
}

/// The payload of a message. Some clients read no list of addresses without its list of flags.
pub(crate) fn write(message: &PeerExchange) -> Vec<u8> {
    let (mut added, mut added6) = (List::default(), List::default());
    for &(at, flags) in &message.added {
        if at.is_ipv4() { &mut added } else { &mut added6 }.push(at, flags);
    }
    let (mut dropped, mut dropped6) = (List::default(), List::default());
    for &at in &message.dropped {
        if at.is_ipv4() { &mut dropped } else { &mut dropped6 }.push(at, 0);
    }
    bencode::encode_dict(|dict| {
        dict.bytes("added", &added.addresses);
        dict.bytes("added.f", &added.flags);
        dict.bytes("added6", &added6.addresses);
        dict.bytes("added6.f", &added6.flags);
        dict.bytes("dropped", &dropped.addresses);
        dict.bytes("dropped6", &dropped6.addresses);
    })
}

/// Addresses of one family, as they are written.
#[derive(Default)]
struct List {
    addresses: Vec<u8>,
    flags: Vec<u8>,
}

impl List {
    fn push(&mut self, at: SocketAddr, flags: u8) {
        match at {
            SocketAddr::V4(at) => self.addresses.extend(at.ip().octets()),
            SocketAddr::V6(at) => self.addresses.extend(at.ip().octets()),
        }
        self.addresses.extend(at.port().to_be_bytes());
        self.flags.push(flags);
    }
}

fn bytes<'a>(dict: Dict<'a>, key: &str) -> &'a [u8] {
    dict.get(key).and_then(Value::bytes).unwrap_or_default()
}

fn v4(list: &[u8]) -> impl Iterator<Item = SocketAddr> {
    let (addresses, _) = list.as_chunks::<V4>();
    addresses
        .iter()
        .take(MAX_READ)
        .map(|&[a, b, c, d, high, low]| (Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into())
}

fn v6(list: &[u8]) -> impl Iterator<Item = SocketAddr> {
    let (addresses, _) = list.as_chunks::<V6>();
    addresses.iter().take(MAX_READ).filter_map(|address| {
        let (ip, port) = address.split_first_chunk::<16>()?;
        Some((Ipv6Addr::from(*ip), u16::from_be_bytes(port.try_into().ok()?)).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let added = vec![("192.0.2.1:6881".parse().unwrap(), 2), ("[2001:db8::1]:1".parse().unwrap(), 0)];
        let dropped = vec!["192.0.2.2:80".parse().unwrap(), "[2001:db8::2]:65535".parse().unwrap()];
        let message = PeerExchange { added, dropped };
        assert_eq!(read(&write(&message)), Ok(message));
    }

    #[test]
    fn odd_lists_are_read_as_far_as_they_go() {
        let message =
            read(b"d5:added13:\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\0\x01x7:added.f1:\x02e").unwrap();
        let expected = [("1.2.3.4:6881".parse().unwrap(), 2), ("5.6.7.8:1".parse().unwrap(), 0)];
        assert_eq!(message.added, expected);
        assert_eq!(read(b"d5:addedi1e7:droppedlee"), Ok(PeerExchange::default()));
        assert!(matches!(read(b"le"), Err(Fault::BadExtension(_))));
    }

    // P-13
    #[test]
    fn of_ten_thousand_addresses_few_are_read() {
        let at: SocketAddr = "192.0.2.1:6881".parse().unwrap();
        let message = PeerExchange { added: vec![(at, 0); 10_000], dropped: vec![at; 10_000] };
        let read = read(&write(&message)).unwrap();
        assert_eq!((read.added.len(), read.dropped.len()), (MAX_READ, MAX_READ));
    }
}
