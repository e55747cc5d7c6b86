//! Any bytes as a peer's side of a connection: no panic, the same messages however they arrive, and every message
//! that is read can be written and read again.

#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use wire::{Decoder, Encoder, Fault, Handshake, Message, UT_METADATA, UT_PEX, client_name};

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (chunks, stream) = input;
    if let Some(bytes) = stream.first_chunk::<{ Handshake::LENGTH }>() {
        let handshake = Handshake::decode(bytes);
        assert_eq!(handshake.is_ok(), Handshake::prefix_ok(bytes));
        if let Ok(handshake) = handshake {
            assert_eq!(handshake.encode(), *bytes);
        }
    }
    if let Some(id) = stream.first_chunk() {
        let name = client_name(&metainfo::PeerId(*id));
        assert!(!name.is_some_and(|name| name.contains(char::is_control)));
    }
    let (messages, fault) = receive(&stream, &[]);
    assert_eq!((&messages, &fault), (&receive(&stream, &chunks).0, &receive(&stream, &chunks).1));
    let encoder = Encoder { ut_metadata: UT_METADATA, ut_pex: UT_PEX };
    let known: Vec<_> =
        messages.into_iter().filter(|message| !matches!(message, Message::Unknown { .. })).collect();
    let mut out = BytesMut::new();
    known.iter().for_each(|message| encoder.encode(message, &mut out));
    assert_eq!(receive(&out, &[]), (known, None));
});

/// What comes out of a stream that arrives in chunks of these sizes, the last one taking the rest.
fn receive(stream: &[u8], chunks: &[u8]) -> (Vec<Message>, Option<Fault>) {
    let (mut decoder, mut messages, mut kept, mut rest) = (Decoder::new(), Vec::new(), Vec::new(), stream);
    for size in chunks.iter().map(|&size| usize::from(size)).chain([usize::MAX]) {
        let (chunk, later) = rest.split_at(size.min(rest.len()));
        rest = later;
        kept.extend_from_slice(chunk);
        let mut input = Bytes::from(std::mem::take(&mut kept));
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault)),
            }
        }
        assert!(decoder.needed() > input.len());
        kept = input.to_vec();
    }
    (messages, None)
}
