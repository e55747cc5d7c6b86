//! Bytes from strangers read: a torrent file, and a read's worth of messages.

use std::hint::black_box;

use bencode::Options;
use bytes::{Bytes, BytesMut};
use metainfo::BLOCK;
use wire::{Decoder, Encoder, Message, Request};

use super::Work;

/// What a peer task reads at most at a time.
const READ: usize = 256 << 10;

/// So many reads are a round.
const READS: u32 = 16;

/// So many files, each with a hash, are about 1 MiB of torrent.
const FILES: u32 = 12_300;

pub(super) const METAINFO: Work = Work {
    name: "bencode-metainfo",
    unit: "file",
    units: FILES,
    prepare: || {
        let torrent = torrent();
        Box::new(move || {
            let decoded = bencode::decode(&torrent, Options::LENIENT);
            black_box(decoded.expect("it is well formed"));
        })
    },
};

pub(super) const BLOCKS: Work = Work {
    name: "wire-blocks",
    unit: "message",
    units: READS * 15,
    prepare: || {
        let data = Bytes::from(vec![0; BLOCK as usize]);
        rounds(15, &Message::Piece { index: 7, begin: 3 * BLOCK, data })
    },
};

pub(super) const REQUESTS: Work = Work {
    name: "wire-requests",
    unit: "message",
    units: READS * 15_420,
    prepare: || rounds(15_420, &Message::Request(Request { index: 7, begin: 3 * BLOCK, length: BLOCK })),
};

/// Decodes reads that hold so many of this message, as many as fit.
fn rounds(messages: usize, message: &Message) -> Box<dyn FnMut()> {
    let mut read = BytesMut::new();
    (0..messages).for_each(|_| Encoder::default().encode(message, &mut read));
    assert!(READ - read.len() < read.len() / messages, "{messages} do not fill a read");
    let read = read.freeze();
    Box::new(move || {
        for _ in 0..READS {
            let (mut decoder, mut input) = (Decoder::new(), read.clone());
            for _ in 0..messages {
                black_box(decoder.decode(&mut input).expect("it is well formed").expect("it is whole"));
            }
        }
    })
}

/// The torrent of many files, in bencoding.
fn torrent() -> Vec<u8> {
    let mut torrent = b"d8:announce35:http://tracker.example.net/announce4:infod5:filesl".to_vec();
    for file in 0..FILES {
        torrent
            .extend(format!("d6:lengthi{}e4:pathl8:folder{:02}8:{file:08}ee", 1 + file, file % 100).bytes());
    }
    let pieces = FILES as usize * 20;
    torrent.extend(format!("e4:name7:content12:piece lengthi262144e6:pieces{pieces}:").bytes());
    torrent.resize(torrent.len() + pieces, b'h');
    torrent.extend(b"ee");
    torrent
}
