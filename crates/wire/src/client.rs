//! What peer ids say about the program behind them (BEP 20): ours, and the names of others for display.
//!
//! A peer id is a claim, not evidence: nothing may be decided by it.

use metainfo::PeerId;

/// How our peer ids begin: `HW` and the version.
const PREFIX: &[u8; 8] = b"-HW0100-";

/// Two letters of a peer id, and the program that uses them.
const CLIENTS: &[(&[u8; 2], &str)] = &[
    (b"7T", "aTorrent"),
    (b"AG", "Ares"),
    (b"AR", "Arctic"),
    (b"AZ", "Vuze"),
    (b"BC", "BitComet"),
    (b"BE", "BitTorrent SDK"),
    (b"BI", "BiglyBT"),
    (b"BP", "BitTorrent Pro"),
    (b"BT", "BitTorrent"),
    (b"BW", "BitTorrent Web"),
    (b"CD", "Enhanced CTorrent"),
    (b"DE", "Deluge"),
    (b"FD", "Free Download Manager"),
    (b"FL", "Folx"),
    (b"FX", "Freebox"),
    (b"GT", "anacrolix/torrent"),
    (b"HW", "Headwater"),
    (b"KT", "KTorrent"),
    (b"LP", "Lphant"),
    (b"LT", "libtorrent"),
    (b"lt", "rTorrent"),
    (b"LW", "LimeWire"),
    (b"PI", "PicoTorrent"),
    (b"qB", "qBittorrent"),
    (b"rQ", "rqbit"),
    (b"SD", "Xunlei"),
    (b"TL", "Tribler"),
    (b"TR", "Transmission"),
    (b"TX", "Tixati"),
    (b"UE", "µTorrent Embedded"),
    (b"UM", "µTorrent Mac"),
    (b"UT", "µTorrent"),
    (b"UW", "µTorrent Web"),
    (b"WD", "WebTorrent Desktop"),
    (b"WW", "WebTorrent"),
    (b"XL", "Xunlei"),
];

/// Our peer id: the caller gives the 12 bytes that make it ours alone.
pub fn our_peer_id(random: [u8; 12]) -> PeerId {
    let mut id = [0; 20];
    for (byte, source) in id.iter_mut().zip(PREFIX.iter().chain(&random)) {
        *byte = *source;
    }
    PeerId(id)
}

/// The program and version a peer id speaks of, for display; `None` if it says nothing we can read.
pub fn client_name(id: &PeerId) -> Option<String> {
    match id.as_bytes() {
        [b'-', a, b, version @ .., _, _, _, _, _, _, _, _, _, _, _, _, _] => azureus([*a, *b], version),
        [b'A', b'2', b'-', version @ ..] => dashed("aria2", version),
        [b'M', version @ ..] => dashed("BitTorrent", version),
        _ => None,
    }
}

/// `-XX1234-`: two letters and four digits.
fn azureus(letters: [u8; 2], version: &[u8]) -> Option<String> {
    let name = CLIENTS.iter().find(|(code, _)| **code == letters).map(|(_, name)| *name)?;
    let &[a, b, c, d] = version else { return None };
    let numbers = [digit(a), digit(b), digit(c), digit(d)];
    let [Some(a), Some(b), Some(c), Some(d)] = numbers else { return Some(name.to_owned()) };
    Some(match (a, b, c, d) {
        // Before version 4 the second and third digits were one number.
        (0..=3, ..) if name == "Transmission" => format!("{name} {a}.{b}{c}"),
        (_, _, 0, 0) => format!("{name} {a}.{b}"),
        (_, _, _, 0) => format!("{name} {a}.{b}.{c}"),
        _ => format!("{name} {a}.{b}.{c}.{d}"),
    })
}

/// `M7-10-5--`: numbers of any length with dashes between.
fn dashed(name: &str, version: &[u8]) -> Option<String> {
    let mut parts = version.split(|byte| *byte == b'-');
    let mut part = || {
        let text = std::str::from_utf8(parts.next()?).ok()?;
        text.parse::<u16>().ok()
    };
    let (major, minor, patch) = (part()?, part()?, part()?);
    Some(format!("{name} {major}.{minor}.{patch}"))
}

/// A digit of a version: letters go on where 9 ends.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'Z' => Some(byte - b'A' + 10),
        b'a'..=b'z' => Some(byte - b'a' + 36),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(start: &str, expected: Option<&str>) {
        let mut id = [b'x'; 20];
        id[..start.len()].copy_from_slice(start.as_bytes());
        assert_eq!(client_name(&PeerId(id)).as_deref(), expected, "{start}");
    }

    #[test]
    fn common_clients_are_named() {
        check("-TR3000-", Some("Transmission 3.00"));
        check("-TR4050-", Some("Transmission 4.0.5"));
        check("-qB4520-", Some("qBittorrent 4.5.2"));
        check("-LT20B0-", Some("libtorrent 2.0.11"));
        check("-LT2110-", Some("libtorrent 2.1.1"));
        check("-lt0D60-", Some("rTorrent 0.13.6"));
        check("-WW0000-", Some("WebTorrent 0.0"));
        check("A2-1-36-0-", Some("aria2 1.36.0"));
        check("M7-10-5--", Some("BitTorrent 7.10.5"));
        check("-UT35\n5-", Some("µTorrent"));
    }

    #[test]
    fn other_ids_have_no_name() {
        for id in ["", "-ZZ1234-", "-", "M", "A2-", "exbc\0\0", "-\u{1b}[0000-"] {
            check(id, None);
        }
    }

    #[test]
    fn our_own_id_tells_our_version() {
        let id = our_peer_id(*b"0123456789ab");
        assert_eq!(id.as_bytes(), b"-HW0100-0123456789ab");
        let version = env!("CARGO_PKG_VERSION").strip_suffix(".0").unwrap();
        assert_eq!(client_name(&id), Some(format!("Headwater {version}")));
    }
}
