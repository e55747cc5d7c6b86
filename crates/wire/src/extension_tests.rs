//! Extension messages as strangers send them.

use super::*;

fn handshake(payload: &[u8]) -> ExtensionHandshake {
    let whole = [&[HANDSHAKE], payload].concat();
    match read(whole.into()).unwrap() {
        Message::ExtensionHandshake(handshake) => *handshake,
        other => panic!("{other:?}"),
    }
}

fn metadata(dict: &str, data: &[u8]) -> Result<Message, Fault> {
    read([&[UT_METADATA], dict.as_bytes(), data].concat().into())
}

fn is_bad(result: &Result<Message, Fault>) -> bool {
    matches!(result, Err(Fault::BadExtension(_)))
}

#[test]
fn a_handshake_says_what_the_peer_can_do() {
    let said = handshake(
        b"d1:md11:ut_metadatai3e6:ut_pexi1ee13:metadata_sizei31235e1:pi6881e4:reqqi250e11:upload_onlyi1e1:v15:Some Client 1.26:yourip4:\x7f\0\0\x01e",
    );
    let expected = ExtensionHandshake {
        ut_metadata: Some(3),
        ut_pex: Some(1),
        metadata_size: Some(31235),
        client: Some("Some Client 1.2".to_owned()),
        port: Some(6881),
        request_queue: Some(250),
        upload_only: true,
        your_ip: Some([127, 0, 0, 1].into()),
    };
    assert_eq!(said, expected);
    assert_eq!(handshake(&write_handshake(&expected)), expected);
    assert_eq!(handshake(b"de"), ExtensionHandshake::default());
}

#[test] // P-19
fn senseless_values_are_clamped_or_ignored() {
    let queue = |n: i64| handshake(format!("d4:reqqi{n}ee").as_bytes()).request_queue;
    assert_eq!(queue(-1), None);
    assert_eq!(queue(0), None);
    assert_eq!(queue(1 << 31), Some(MAX_REQUEST_QUEUE));
    assert_eq!(queue(i64::MAX), Some(MAX_REQUEST_QUEUE));

    let port = |n: i64| handshake(format!("d1:pi{n}ee").as_bytes()).port;
    assert_eq!(
        [port(-1), port(0), port(1), port(65_535), port(65_536)],
        [None, None, Some(1), Some(65_535), None]
    );

    let size = |n: i64| handshake(format!("d13:metadata_sizei{n}ee").as_bytes()).metadata_size;
    for n in [-1, 0, 1 << 30, 1 << 31, i64::MIN] {
        assert_eq!(size(n), None, "{n}"); // P-11
    }
    assert_eq!(size(MAX_METADATA.into()), Some(MAX_METADATA));

    assert_eq!(handshake(b"d6:yourip3:abce").your_ip, None);
    assert_eq!(
        handshake(b"d6:yourip16:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01e").your_ip,
        Some("::1".parse().unwrap())
    );
    assert_eq!(handshake(b"d1:md11:ut_metadatai256eee").ut_metadata, None);
    assert_eq!(handshake(b"d1:m3:abc4:reqq1:x11:upload_only0:1:vi7ee"), ExtensionHandshake::default());
}

#[test] // P-19
fn two_extensions_under_one_number_do_no_harm() {
    let crowded = bencode::encode_dict(|dict| {
        dict.dict("m", |extensions| (0..256).for_each(|n| extensions.int(format!("x{n:03}"), n / 2)));
    });
    assert_eq!(handshake(&crowded), ExtensionHandshake::default());
    assert_eq!(handshake(b"d1:md11:ut_metadatai2e6:ut_pexi2eee").ut_metadata, Some(2));
}

#[test] // P-19
fn a_client_name_is_short_and_safe_to_print() {
    let name = |text: &[u8]| handshake(&bencode::encode_dict(|dict| dict.bytes("v", text))).client;
    assert_eq!(name(&vec![b'a'; 1 << 20]), Some("a".repeat(64)));
    assert_eq!(name("µ".repeat(200).as_bytes()), Some("µ".repeat(64)));
    assert_eq!(name(b"\x1b[31mred\r\n\0"), Some("[31mred".to_owned()));
    assert_eq!(name("a\u{202e}b\u{9b}c".as_bytes()), Some("abc".to_owned()));
    assert_eq!(name(b"\xff\xfe"), Some("\u{fffd}\u{fffd}".to_owned()));
    assert_eq!(name(b"\n"), None);
}

#[test] // M-01
fn deep_nesting_is_a_fault_and_not_a_crash() {
    for (open, close) in [("l", "e"), ("d1:a", "e")] {
        let bomb = format!("{}{}", open.repeat(10_000), close.repeat(10_000));
        assert!(is_bad(&read([&[HANDSHAKE], bomb.as_bytes()].concat().into())));
        assert!(is_bad(&metadata(&bomb, b"")));
        assert!(is_bad(&read([&[HANDSHAKE], format!("d1:a{bomb}e").as_bytes()].concat().into())));
    }
    assert!(is_bad(&read([&[HANDSHAKE], b"i1e".as_slice()].concat().into())));
    assert!(is_bad(&read(Bytes::from_static(&[HANDSHAKE]))));
}

#[test]
fn metadata_messages_are_told_apart() {
    let data = [7; 100];
    let request = MetadataMessage::Request(3);
    assert_eq!(metadata("d8:msg_typei0e5:piecei3ee", b""), Ok(Message::Metadata(request)));
    let piece = MetadataMessage::Data {
        piece: 1,
        total_size: METADATA_PIECE + 100,
        data: Bytes::copy_from_slice(&data),
    };
    assert_eq!(
        metadata("d8:msg_typei1e5:piecei1e10:total_sizei16484ee", &data),
        Ok(Message::Metadata(piece))
    );
    let reject = MetadataMessage::Reject(0);
    assert_eq!(metadata("d8:msg_typei2e5:piecei0ee", b""), Ok(Message::Metadata(reject)));
    assert!(matches!(metadata("d8:msg_typei3e5:piecei0ee", b""), Ok(Message::Unknown { id: 20, .. })));
}

#[test] // P-11
fn metadata_that_cannot_be_is_a_fault() {
    for size in [-1, 0, i64::from(MAX_METADATA) + 1, 1 << 30, 1 << 31] {
        let head = format!("d8:msg_typei1e5:piecei0e10:total_sizei{size}ee");
        assert!(is_bad(&metadata(&head, &[0; 100])), "{size}");
    }
    for piece in [-1, 2, 2048, i64::MAX] {
        let head = format!("d8:msg_typei1e5:piecei{piece}e10:total_sizei16484ee");
        assert!(is_bad(&metadata(&head, &[0; 100])), "{piece}");
    }
    assert!(is_bad(&metadata("d8:msg_typei0e5:piecei-1ee", b"")));
    assert!(is_bad(&metadata("d8:msg_typei0ee", b"")));
    assert!(is_bad(&metadata("d8:msg_typei1e5:piecei0ee", &[0; 100])));
    for length in [0, 99, 101, 20_000] {
        let data = vec![0; length];
        assert!(is_bad(&metadata("d8:msg_typei1e5:piecei1e10:total_sizei16484ee", &data)), "{length}");
    }
}

#[test]
fn other_extensions_are_not_read() {
    let message = Bytes::from_static(b"\x03d5:added");
    assert_eq!(read(message), Ok(Message::Unknown { id: 20, length: 9 }));
}
