//! What holds for every message and every stream: reading gives back what was written, however the bytes arrive.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use wire::{
    Decoder, Encoder, ExtensionHandshake, Fault, MAX_METADATA, MAX_REQUEST_QUEUE, METADATA_PIECE, Message,
    MetadataMessage, PeerExchange, Request, UT_METADATA, UT_PEX, piece_header,
};

fn encoder() -> Encoder {
    Encoder { ut_metadata: UT_METADATA, ut_pex: UT_PEX }
}

fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), length).prop_map(Bytes::from)
}

fn request() -> impl Strategy<Value = Request> {
    any::<(u32, u32, u32)>().prop_map(|(index, begin, length)| Request { index, begin, length })
}

fn extension_handshake() -> impl Strategy<Value = ExtensionHandshake> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
        any::<[u8; 16]>().prop_map(std::net::IpAddr::from)
    ];
    (
        any::<(Option<u8>, Option<u8>)>(),
        prop::option::of(1..=MAX_METADATA),
        prop::option::of("[A-Za-zµ /.0-9]{1,64}"),
        prop::option::of(1..=u16::MAX),
        prop::option::of(1..=MAX_REQUEST_QUEUE),
        any::<bool>(),
        prop::option::of(ip),
    )
        .prop_map(
            |((ut_metadata, ut_pex), metadata_size, client, port, request_queue, upload_only, your_ip)| {
                ExtensionHandshake {
                    ut_metadata,
                    ut_pex,
                    metadata_size,
                    client,
                    port,
                    request_queue,
                    upload_only,
                    your_ip,
                }
            },
        )
}

fn metadata() -> impl Strategy<Value = MetadataMessage> {
    let pieces = 0..MAX_METADATA / METADATA_PIECE;
    let data = (0u32..3, bytes(1..300)).prop_map(|(piece, data)| {
        let total_size = piece * METADATA_PIECE + u32::try_from(data.len()).unwrap();
        MetadataMessage::Data { piece, total_size, data }
    });
    prop_oneof![
        pieces.clone().prop_map(MetadataMessage::Request),
        data,
        pieces.prop_map(MetadataMessage::Reject)
    ]
}

/// IPv4 addresses first, as they are read.
fn peer_exchange() -> impl Strategy<Value = PeerExchange> {
    let v4 = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
    let v6 = any::<([u8; 16], u16)>().prop_map(SocketAddr::from);
    let list = (prop::collection::vec(v4, 0..9), prop::collection::vec(v6, 0..9));
    let list = list.prop_map(|(v4, v6)| [v4, v6].concat());
    let flagged = list.clone().prop_map(|list| list.into_iter().map(|at| (at, PeerExchange::SEED)).collect());
    (flagged, list).prop_map(|(added, dropped)| PeerExchange { added, dropped })
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        Just(Message::KeepAlive),
        Just(Message::Choke),
        Just(Message::Unchoke),
        Just(Message::Interested),
        Just(Message::NotInterested),
        any::<u32>().prop_map(Message::Have),
        bytes(0..300).prop_map(Message::Bitfield),
        request().prop_map(Message::Request),
        (any::<u32>(), any::<u32>(), bytes(0..300)).prop_map(|(index, begin, data)| Message::Piece {
            index,
            begin,
            data
        }),
        request().prop_map(Message::Cancel),
        any::<u16>().prop_map(Message::Port),
        any::<u32>().prop_map(Message::SuggestPiece),
        Just(Message::HaveAll),
        Just(Message::HaveNone),
        request().prop_map(Message::RejectRequest),
        any::<u32>().prop_map(Message::AllowedFast),
        extension_handshake().prop_map(|handshake| Message::ExtensionHandshake(Box::new(handshake))),
        metadata().prop_map(Message::Metadata),
        peer_exchange().prop_map(|said| Message::PeerExchange(Box::new(said))),
    ]
}

/// All messages of a stream that arrives in chunks of the given sizes, the last one taking the rest.
fn receive(stream: &[u8], chunks: &[usize]) -> Result<Vec<Message>, Fault> {
    let (mut decoder, mut messages, mut kept, mut rest) = (Decoder::new(), Vec::new(), Vec::new(), stream);
    for size in chunks.iter().copied().chain([usize::MAX]) {
        let (chunk, later) = rest.split_at(size.min(rest.len()));
        rest = later;
        kept.extend_from_slice(chunk);
        let mut input = Bytes::from(std::mem::take(&mut kept));
        while let Some(message) = decoder.decode(&mut input)? {
            messages.push(message);
        }
        assert!(decoder.needed() > input.len(), "more bytes are needed than there are");
        kept = input.to_vec();
    }
    assert!(kept.len() < 4 || u32::from_be_bytes(kept[..4].try_into().unwrap()) as usize > kept.len() - 4);
    Ok(messages)
}

fn send(messages: &[Message]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for message in messages {
        encoder().encode(message, &mut out);
    }
    out.to_vec()
}

proptest! {
    #[test]
    fn messages_are_read_as_they_were_written_however_they_arrive(
        messages in vec(message(), 0..20),
        chunks in vec(0usize..40, 0..40),
    ) {
        prop_assert_eq!(receive(&send(&messages), &chunks), Ok(messages));
    }

    #[test]
    fn no_stream_makes_the_decoder_panic(stream in vec(any::<u8>(), 0..2000), chunks in vec(0usize..40, 0..10)) {
        prop_assert_eq!(receive(&stream, &chunks), receive(&stream, &[]));
    }

    #[test]
    fn no_payload_makes_the_decoder_panic(id in 0u8..=21, extension in 0u8..4, payload in "[dlie0-9:a-z]{0,60}") {
        let body = [&[id, extension], payload.as_bytes()].concat();
        let stream = [&u32::try_from(body.len()).unwrap().to_be_bytes(), body.as_slice()].concat();
        prop_assert_eq!(receive(&stream, &[3, 1, 1]), receive(&stream, &[]));
    }

    #[test]
    fn a_block_can_be_sent_in_two_parts(index: u32, begin: u32, data in bytes(0..300)) {
        let header = piece_header(index, begin, u32::try_from(data.len()).unwrap());
        let parts = [&header, &data[..]].concat();
        prop_assert_eq!(parts, send(&[Message::Piece { index, begin, data }]));
    }
}
