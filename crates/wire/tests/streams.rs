//! Streams that strangers send: lengths that lie, messages nobody knows, blocks that must not be copied.

use bytes::{Bytes, BytesMut};
use wire::{Decoder, Encoder, ExtensionHandshake, Fault, MAX_MESSAGE, Message, MetadataMessage};

fn decode(stream: impl Into<Bytes>) -> Result<Option<Message>, Fault> {
    Decoder::new().decode(&mut stream.into())
}

fn prefix(length: u32) -> Vec<u8> {
    length.to_be_bytes().to_vec()
}

#[test] // P-01
fn a_length_beyond_the_limit_is_a_fault_before_any_of_it_is_read() {
    for length in [MAX_MESSAGE + 1, (1 << 31) - 1, u32::MAX] {
        assert_eq!(decode(prefix(length)), Err(Fault::MessageTooLong(length)));
    }
    assert_eq!(decode(prefix(MAX_MESSAGE)), Ok(None));
}

#[test]
fn a_longer_bitfield_is_taken_if_the_torrent_is_that_large() {
    let mut decoder = Decoder::new();
    decoder.allow(MAX_MESSAGE + 7);
    assert_eq!(decoder.decode(&mut prefix(MAX_MESSAGE + 7).into()), Ok(None));
    assert_eq!(decoder.needed(), MAX_MESSAGE as usize + 11);
    decoder.allow(3);
    assert_eq!(decoder.decode(&mut prefix(MAX_MESSAGE).into()), Ok(None), "never less than the usual limit");
}

#[test]
fn a_length_that_its_kind_cannot_have_is_a_fault_before_its_bytes_come() {
    let wrong = [
        (0, 1),
        (3, 4),
        (4, 3),
        (4, 1000),
        (6, 11),
        (6, 13),
        (7, 7),
        (8, 0),
        (9, 4),
        (14, 1),
        (16, 11),
        (17, 0),
        (20, 0),
    ];
    for (id, length) in wrong {
        let mut stream = prefix(length + 1);
        stream.push(id);
        assert_eq!(decode(stream), Err(Fault::WrongLength { id, length: length as usize }));
    }
}

#[test]
fn unknown_messages_are_passed_over() {
    let mut input = Bytes::from_static(b"\0\0\0\x03\xfeab\0\0\0\x01\x01\0\0\0\x00");
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(&mut input), Ok(Some(Message::Unknown { id: 0xfe, length: 2 })));
    assert_eq!(decoder.decode(&mut input), Ok(Some(Message::Unchoke)));
    assert_eq!(decoder.decode(&mut input), Ok(Some(Message::KeepAlive)));
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert!(input.is_empty());
}

#[test]
fn an_empty_message_ends_before_the_next_one_begins() {
    // The second length begins with the id of a block.
    let mut input = Bytes::from_static(b"\0\0\0\0\x07\0\0\0abcdefgh");
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(&mut input), Ok(Some(Message::KeepAlive)));
    assert_eq!(decoder.decode(&mut input), Err(Fault::MessageTooLong(0x0700_0000)));
}

#[test]
fn a_block_is_a_slice_of_what_was_read() {
    let block = Message::Piece { index: 1, begin: 2, data: Bytes::from_static(&[9; 100]) };
    let mut stream = BytesMut::new();
    Encoder::default().encode(&block, &mut stream);
    let mut input = stream.freeze();
    let bytes = input.clone();
    let Ok(Some(Message::Piece { index: 1, begin: 2, data })) = Decoder::new().decode(&mut input) else {
        panic!()
    };
    assert_eq!(data.as_ptr(), bytes[13..].as_ptr());
    assert_eq!(data.len(), 100);
}

#[test]
fn an_incomplete_message_is_left_alone() {
    let whole = Bytes::from_static(b"\0\0\0\x0d\x06\0\0\0\x01\0\0\0\x02\0\0\0\x03");
    for cut in 0..whole.len() {
        let mut decoder = Decoder::new();
        let mut input = whole.slice(..cut);
        assert_eq!(decoder.decode(&mut input), Ok(None));
        assert_eq!(input.len(), cut);
        assert_eq!(decoder.needed(), if cut < 4 { 4 } else { 17 });
    }
}

#[test]
fn metadata_goes_out_under_the_number_the_peer_chose() {
    let request = Message::Metadata(MetadataMessage::Request(0));
    let mut encoder = Encoder::default();
    let sent = |encoder: &Encoder| {
        let mut out = BytesMut::new();
        encoder.encode(&request, &mut out);
        out
    };
    assert!(sent(&encoder).is_empty(), "it does not speak it");
    encoder.heard(&ExtensionHandshake { ut_metadata: Some(9), ..Default::default() });
    assert_eq!(sent(&encoder)[4..6], [20, 9]);
    encoder.heard(&ExtensionHandshake::default());
    assert_eq!(sent(&encoder)[4..6], [20, 9], "a later handshake that says nothing changes nothing");
    encoder.heard(&ExtensionHandshake { ut_metadata: Some(0), ..Default::default() });
    assert!(sent(&encoder).is_empty(), "it stopped speaking it");
}
