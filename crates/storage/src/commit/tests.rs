use std::fs;
use std::sync::mpsc;

use super::*;
use crate::test_torrent::{TestTorrent, content};

const PIECE: usize = 32 << 10;

fn run(torrent: &TestTorrent, pieces: &[(u32, Vec<Bytes>)], digests: bool) -> Vec<Commit> {
    let files = torrent.fetch();
    let (tell, told) = mpsc::channel();
    let batch = pieces.iter().map(|(piece, blocks)| {
        let tell = tell.clone();
        let done = Box::new(move |result| tell.send(result).unwrap());
        Ready { files: Arc::clone(&files), piece: PieceIndex(*piece), blocks: blocks.clone(), digests, done }
    });
    commit(batch.collect(), &Descriptors::new(4));
    drop(tell);
    told.iter().collect()
}

fn damaged(mut blocks: Vec<Bytes>) -> Vec<Bytes> {
    let mut last = blocks.pop().unwrap().to_vec();
    last[0] ^= 1;
    blocks.push(last.into());
    blocks
}

#[test]
fn pieces_of_one_batch_are_judged_each_by_itself() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 4 * PIECE + 100)]);
    let batch = [(4, torrent.blocks(4)), (1, damaged(torrent.blocks(1))), (2, torrent.blocks(2))];
    let results = run(&torrent, &batch, false);
    assert!(matches!(
        results[..],
        [Commit::Written { digests: None }, Commit::Mismatch { .. }, Commit::Written { digests: None }]
    ));
    let file = fs::read(torrent.path(0).unwrap()).unwrap();
    assert_eq!(file[2 * PIECE..3 * PIECE], torrent.content(0)[2 * PIECE..3 * PIECE]);
    assert!(file[PIECE..2 * PIECE].iter().all(|&byte| byte == 0), "nothing unverified is written");
}

#[test]
fn a_wrong_piece_leaves_no_trace_on_disk_and_tells_the_digests_of_its_blocks() {
    let torrent = TestTorrent::v1(PIECE, &[("a", PIECE)]);
    let wrong = damaged(torrent.blocks(0));
    match &run(&torrent, &[(0, wrong.clone())], false)[..] {
        [Commit::Mismatch { digests }] => {
            let expected: Vec<Digest> =
                wrong.iter().map(|block| <sha1::Sha1 as sha1::Digest>::digest(block).into()).collect();
            assert_eq!(*digests, expected);
        }
        other => panic!("{other:?}"),
    }
    assert!(!torrent.path(0).unwrap().exists());
}

#[test]
fn a_piece_of_the_wrong_length_is_wrong() {
    let torrent = TestTorrent::v1(PIECE, &[("a", PIECE)]);
    let mut blocks = torrent.blocks(0);
    blocks.push(Bytes::from_static(b"more"));
    assert!(matches!(run(&torrent, &[(0, blocks)], false)[..], [Commit::Mismatch { .. }]));
    assert!(matches!(run(&torrent, &[(0, vec![])], false)[..], [Commit::Mismatch { .. }]));
}

#[test]
fn a_right_piece_tells_its_digests_when_asked() {
    let torrent = TestTorrent::v1(PIECE, &[("a", PIECE)]);
    let results = run(&torrent, &[(0, torrent.blocks(0))], true);
    assert!(
        matches!(&results[..], [Commit::Written { digests: Some(digests) }] if digests.len() == 2),
        "{results:?}"
    );
}

#[test]
fn every_piece_of_a_hybrid_matches_both_hashes() {
    let torrent =
        TestTorrent::hybrid(PIECE, &[("a", 3 * PIECE + 17_000), ("b", 5), ("c", PIECE), ("d", 20_000)]);
    let pieces: Vec<_> = (0..torrent.piece_count()).map(|piece| (piece, torrent.blocks(piece))).collect();
    let results = run(&torrent, &pieces, false);
    assert!(results.iter().all(|result| matches!(result, Commit::Written { .. })), "{results:?}");
}

/// M-20.
#[test]
fn a_hybrid_whose_hashes_contradict_each_other_is_never_written() {
    let torrent =
        TestTorrent::hybrid_of(PIECE, vec![("a", content("a", PIECE)), ("b", content("b", 10))], true);
    let results = run(&torrent, &[(0, torrent.blocks(0)), (1, torrent.blocks(1))], false);
    assert!(matches!(results[..], [Commit::Disagree, Commit::Written { .. }]), "{results:?}");
    let mut forged = content("a", PIECE);
    forged[0] ^= 1;
    let results = run(&torrent, &[(0, vec![Bytes::from(forged)])], false);
    assert!(matches!(results[..], [Commit::Disagree]), "{results:?}");
    assert!(!torrent.path(0).unwrap().exists());
}
