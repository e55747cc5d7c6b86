//! Any bytes as the other side of an encrypted opening: no panic, no more held than the padding allows, and the same end
//! however they arrive.

#![no_main]

use libfuzzer_sys::fuzz_target;
use metainfo::InfoHash;
use wire::encryption::{Exchange, MAX_PADDING, PUBLIC, SECRET, torrent_name};

const HASH: InfoHash = InfoHash([9; 20]);

/// More than the exchange takes: key, two paddings, a hash, a name, an offer.
const MOST: usize = PUBLIC + 2 * MAX_PADDING + 20 + 20 + 16;

fuzz_target!(|input: (bool, bool, bool, Vec<u8>, Vec<u8>)| {
    let (dials, clear, honest, chunks, stream) = input;
    // Strangers that go on where an honest side would have: else nobody gets beyond the key.
    let stream = if honest { opened(!dials, clear, &stream) } else { stream };
    let whole = talk(side(dials, clear), &[], &stream);
    assert_eq!(whole, talk(side(dials, clear), &chunks, &stream));
});

fn side(dials: bool, clear: bool) -> Exchange {
    let secret = [if dials { 1 } else { 2 }; SECRET];
    if dials {
        Exchange::dial(secret, vec![5; 9], clear, HASH, b"first".to_vec())
    } else {
        Exchange::answer(secret, vec![5; 9], clear)
    }
}

/// What an honest side says to the other kind, with `damage` laid over it from its end.
fn opened(dials: bool, clear: bool, damage: &[u8]) -> Vec<u8> {
    let (mut us, mut them) = (side(dials, clear), side(!dials, clear));
    let mut said = Vec::new();
    for _ in 0..3 {
        let now = us.output();
        said.extend_from_slice(&now);
        let heard = them.receive(&mut &now[..], find).map(|_| them.output()).unwrap_or_default();
        let ended = us.receive(&mut &heard[..], find).is_err();
        assert!(!ended);
    }
    said.iter_mut().rev().zip(damage).for_each(|(byte, damage)| *byte ^= damage);
    said
}

fn find(name: &[u8; 20]) -> Option<InfoHash> {
    (*name == torrent_name(&HASH)).then_some(HASH)
}

/// How an exchange ends, what it said, and how many bytes it took.
fn talk(mut side: Exchange, chunks: &[u8], stream: &[u8]) -> (String, Vec<u8>, usize) {
    let (mut rest, mut said) = (stream, side.output());
    for size in chunks.iter().map(|&size| usize::from(size)).chain([usize::MAX]) {
        let (mut now, _) = rest.split_at(size.min(rest.len()));
        let before = now.len();
        let end = side.receive(&mut now, find);
        rest = &rest[before - now.len()..];
        said.extend(side.output());
        let taken = stream.len() - rest.len();
        match end {
            Ok(None) => assert!(side.needs() > 0 && now.is_empty() && taken <= MOST),
            Ok(Some(settled)) => {
                assert!(taken <= MOST);
                return (format!("{settled:?}"), said, taken);
            }
            Err(fault) => return (fault.to_string(), said, 0),
        }
    }
    (String::new(), said, stream.len() - rest.len())
}
