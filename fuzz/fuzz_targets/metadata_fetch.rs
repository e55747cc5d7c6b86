//! The fetch of an info dictionary among strangers: any messages in any order. No panic, and only the right bytes are taken.

#![no_main]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use metainfo::{Info, InfoHashes, PeerId};
use swarm::{Action, Config, Endpoint, Event, MetadataFetch, PeerKey, Source};
use wire::{ExtensionHandshake, Message, MetadataMessage, Reserved};

#[derive(Arbitrary, Debug)]
enum Step {
    Wait {
        milliseconds: u16,
    },
    Connect {
        address: u8,
        id: u8,
    },
    /// What the peer says of itself: the right size, or another one.
    Handshake {
        peer: u8,
        size: Option<u32>,
        speaks: bool,
    },
    /// A piece: the right bytes, or others.
    Piece {
        peer: u8,
        piece: u8,
        honest: bool,
        total: Option<u32>,
    },
    Reject {
        peer: u8,
        piece: u8,
    },
    Request {
        peer: u8,
        piece: u8,
    },
    Bitfield {
        peer: u8,
        bits: Vec<u8>,
    },
    Have {
        peer: u8,
        piece: u32,
    },
    Choke {
        peer: u8,
        choked: bool,
    },
    Leave {
        peer: u8,
    },
    Found {
        addresses: Vec<u8>,
    },
}

const PIECE: usize = wire::METADATA_PIECE as usize;

fuzz_target!(|steps: Vec<Step>| {
    let dictionary = dictionary();
    let hashes = Info::parse(&dictionary).expect("the dictionary is sound").hashes();
    run(steps, &dictionary, hashes);
});

/// An info dictionary of a little more than two metadata pieces.
fn dictionary() -> Bytes {
    let pieces = 1700;
    let dictionary = bencode::encode_dict(|info| {
        info.int("length", pieces * 16_384);
        info.bytes("name", "fuzz");
        info.int("piece length", 16_384);
        info.bytes("pieces", vec![9; 20 * pieces as usize]);
    });
    dictionary.into()
}

fn run(steps: Vec<Step>, dictionary: &Bytes, hashes: InfoHashes) {
    let mut now = Duration::ZERO;
    let mut fetch = MetadataFetch::new(now, hashes, Config::default(), PeerId([0; 20]), 1);
    let (mut peers, mut next_key) = (BTreeSet::new(), 0);
    for step in steps {
        if let Step::Wait { milliseconds } = step {
            now += Duration::from_millis(milliseconds.into());
        }
        if let Step::Connect { .. } = step {
            peers.insert(PeerKey(next_key));
            next_key += 1;
        }
        let Some(event) = event(step, dictionary, &peers) else { continue };
        if let Event::Gone { peer } = event {
            peers.remove(&peer);
        }
        fetch.handle(now, event);
        while let Some(action) = fetch.next_action() {
            if let Action::HangUp { peer, .. } = action
                && peers.remove(&peer)
            {
                fetch.handle(now, Event::Gone { peer });
            }
        }
        let (have, total) = fetch.progress();
        assert!(total.is_none_or(|total| have <= total));
        if let Some((taken, _)) = fetch.take() {
            assert_eq!(taken, dictionary, "a wrong dictionary was taken");
            return;
        }
    }
}

fn event(step: Step, dictionary: &Bytes, peers: &BTreeSet<PeerKey>) -> Option<Event> {
    let size = u32::try_from(dictionary.len()).ok()?;
    let choose = |choice: u8| peers.iter().nth(usize::from(choice) % peers.len().max(1)).copied();
    let (peer, message) = match step {
        Step::Wait { .. } => return Some(Event::Tick),
        Step::Connect { address, id } => {
            let peer = *peers.last()?;
            let (at, id) = (address_of(address), PeerId([id; 20]));
            return Some(Event::Connected { peer, at, incoming: false, id, reserved: Reserved::ours() });
        }
        Step::Leave { peer } => return Some(Event::Gone { peer: choose(peer)? }),
        Step::Found { addresses } => {
            let at = addresses.into_iter().map(address_of).collect();
            return Some(Event::Found { at, by: Source::Tracker });
        }
        Step::Handshake { peer, size: other, speaks } => {
            let handshake = ExtensionHandshake {
                ut_metadata: speaks.then_some(3),
                metadata_size: Some(other.unwrap_or(size)),
                ..ExtensionHandshake::default()
            };
            (peer, Message::ExtensionHandshake(Box::new(handshake)))
        }
        Step::Piece { peer, piece, honest, total } => {
            let start = (usize::from(piece) * PIECE).min(dictionary.len());
            let data = dictionary.slice(start..(start + PIECE).min(dictionary.len()));
            let data = if honest { data } else { vec![b'?'; data.len()].into() };
            let (piece, total_size) = (piece.into(), total.unwrap_or(size));
            (peer, Message::Metadata(MetadataMessage::Data { piece, total_size, data }))
        }
        Step::Reject { peer, piece } => (peer, Message::Metadata(MetadataMessage::Reject(piece.into()))),
        Step::Request { peer, piece } => (peer, Message::Metadata(MetadataMessage::Request(piece.into()))),
        Step::Bitfield { peer, bits } => (peer, Message::Bitfield(bits.into())),
        Step::Have { peer, piece } => (peer, Message::Have(piece)),
        Step::Choke { peer, choked } => (peer, if choked { Message::Choke } else { Message::Unchoke }),
    };
    Some(Event::Said { peer: choose(peer)?, message })
}

fn address_of(number: u8) -> Endpoint {
    Endpoint::Tcp(SocketAddr::from(([10, 0, 0, number % 16], 6881)))
}
