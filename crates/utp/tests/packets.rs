//! Packets as bytes.

use bytes::BytesMut;
use proptest::prelude::*;
use utp::{Header, Kind, Malformed, Packet};

const HEADER: [u8; 20] = [0x01, 0, 0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 0, 0xff, 0xfe, 0xff, 0xfd];

fn with(first: [u8; 2], rest: &[u8]) -> Vec<u8> {
    [&first, &HEADER[2..], rest].concat()
}

#[test]
fn the_fields_are_where_the_bep_says() {
    let bytes = with([0x01, 0], b"payload");
    let packet = Packet::decode(&bytes).unwrap();
    let header = Header {
        kind: Kind::Data,
        id: 0x1234,
        timestamp: 1,
        delay: 2,
        window: 65_536,
        seq: 65_534,
        ack: 65_533,
    };
    assert_eq!(packet, Packet { header, selective: None, takes: None, payload: b"payload" });
}

#[test]
fn every_type_and_no_other_is_known() {
    let kinds = [Kind::Data, Kind::Fin, Kind::State, Kind::Reset, Kind::Syn];
    for (kind, first) in kinds.into_iter().zip([0x01, 0x11, 0x21, 0x31, 0x41]) {
        assert_eq!(Packet::decode(&with([first, 0], b"")).unwrap().header.kind, kind);
    }
    for first in [0x00, 0x02, 0x51, 0xf1, b'd'] {
        assert_eq!(Packet::decode(&with([first, 0], b"")), Err(Malformed::Version));
    }
}

#[test]
fn unknown_extensions_are_skipped_and_false_lengths_refused() {
    let check = |extension, rest: &[u8]| {
        Packet::decode(&with([0x21, extension], rest))
            .map(|packet| (packet.selective.unwrap_or_default().to_vec(), packet.payload.to_vec()))
    };
    assert_eq!(check(1, &[0, 4, 1, 2, 3, 4, 5]), Ok((vec![1, 2, 3, 4], vec![5])));
    assert_eq!(check(3, &[1, 2, 9, 9, 0, 4, 1, 2, 3, 4]), Ok((vec![1, 2, 3, 4], vec![])));
    assert_eq!(check(2, &[0, 0, 5]), Ok((vec![], vec![5])));
    assert_eq!(check(1, &[0, 4, 1, 2, 3]), Err(Malformed::Short));
    assert_eq!(check(9, &[0]), Err(Malformed::Short));
    assert_eq!(check(1, &[9, 4, 1, 2, 3, 4]), Err(Malformed::Short));
    assert_eq!(check(1, &[0, 0]), Err(Malformed::Selective));
    assert_eq!(check(1, &[0, 3, 1, 2, 3]), Ok((vec![1, 2, 3], vec![])));
    assert_eq!(check(1, &[1, 4, 1, 2, 3, 4, 0, 4, 1, 2, 3, 4]), Err(Malformed::Selective));
}

#[test]
fn whatever_is_cut_short_is_refused() {
    let whole = with([0x21, 1], &[0, 4, 1, 2, 3, 4]);
    for length in 0..whole.len() {
        assert_eq!(Packet::decode(&whole[..length]), Err(Malformed::Short), "{length}");
    }
}

proptest! {
    #[test]
    fn what_is_written_can_be_read(kind in 0usize..5, numbers: (u16, u16, u16), times: (u32, u32, u32), words in 0usize..=63, takes: Option<u16>, payload: Vec<u8>) {
        let ((id, seq, ack), (timestamp, delay, window)) = (numbers, times);
        let kind = [Kind::Data, Kind::Fin, Kind::State, Kind::Reset, Kind::Syn][kind];
        let header = Header { kind, id, timestamp, delay, window, seq, ack };
        let mask = vec![7; words * 4];
        let mut bytes = BytesMut::new();
        header.encode(&mask, takes, &mut bytes);
        bytes.extend_from_slice(&payload);
        let selective = (words > 0).then_some(&mask[..]);
        prop_assert_eq!(Packet::decode(&bytes), Ok(Packet { header, selective, takes, payload: &payload }));
    }
}
