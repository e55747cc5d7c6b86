use std::fs;
use std::sync::mpsc;

use super::*;
use crate::Mode;
use crate::test_torrent::{TestTorrent, commit as commit_piece, read as read_piece};

const PIECE: usize = 64 << 10;

#[test]
fn what_was_committed_can_be_read_over_blocks_and_files() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 50_000), ("b", 3), ("c", 100_000)]);
    let (disk, files) = (Disk::start(2), torrent.fetch());
    for piece in 0..torrent.piece_count() {
        commit_piece(&disk, &files, piece, torrent.blocks(piece));
    }
    let whole: Vec<u8> = torrent.blocks(0).concat();
    for (begin, length) in [(0, 65_536), (49_999, 5), (16_384, 40_000), (65_535, 1)] {
        let bytes = read_piece(&disk, &files, 0, begin, length).unwrap();
        assert_eq!(bytes, whole[begin as usize..(begin + length) as usize], "{begin} {length}");
    }
}

#[test]
fn blocks_of_several_pieces_come_in_one_read_in_the_order_asked_for() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 3 * PIECE)]);
    let (disk, files) = (Disk::start(1), torrent.fetch());
    for piece in 0..torrent.piece_count() {
        commit_piece(&disk, &files, piece, torrent.blocks(piece));
    }
    let places = [(2, 0, 16_384), (2, 16_384, 16_384), (0, 5, 100), (1, 65_535, 1)];
    let block = |&(piece, begin, length)| files.layout().block(piece, begin, length).unwrap();
    let (tell, told) = mpsc::channel();
    disk.read(&files, places.iter().map(block).collect(), move |_, result| tell.send(result).unwrap());
    let cut = |&(piece, begin, length)| {
        torrent.blocks(piece).concat()[begin as usize..(begin + length) as usize].to_vec()
    };
    assert_eq!(told.recv().unwrap().unwrap(), places.iter().flat_map(cut).collect::<Vec<u8>>());
}

#[test]
fn a_block_of_another_torrent_is_refused() {
    let torrent = TestTorrent::v1(PIECE, &[("a", PIECE + 1)]);
    let longer = TestTorrent::v1(PIECE, &[("a", 3 * PIECE)]).fetch();
    let (disk, files) = (Disk::start(1), torrent.fetch());
    for (piece, begin, length) in [(1, 0, 2), (1, 1, 1), (2, 0, 1)] {
        let block = longer.layout().block(piece, begin, length).unwrap();
        let (tell, told) = mpsc::channel();
        disk.read(&files, vec![block], move |_, result| tell.send(result).unwrap());
        let (at, refused) = told.recv().unwrap().unwrap_err();
        assert!(at.0 == piece && matches!(refused, StorageError::Outside { .. }), "{piece} {begin} {length}");
    }
}

/// C-07.
#[test]
fn a_file_that_vanished_or_shrank_is_an_error_that_names_it() {
    let torrent = TestTorrent::v1(PIECE, &[("a", PIECE), ("b", PIECE)]);
    torrent.put_files();
    let (disk, files) = (Disk::start(1), torrent.open(Mode::Seed).unwrap());
    fs::remove_file(torrent.path(0).unwrap()).unwrap();
    fs::write(torrent.path(1).unwrap(), "cut").unwrap();
    let gone = read_piece(&disk, &files, 0, 0, 10).unwrap_err();
    assert!(gone.is_missing() && gone.path().unwrap().ends_with("t/a"), "{gone}");
    let cut = read_piece(&disk, &files, 1, 0, 10).unwrap_err();
    assert!(matches!(&cut, StorageError::Shorter { path, wanted: 10 } if path.ends_with("t/b")), "{cut}");
    assert!(!torrent.path(0).unwrap().exists(), "seeding creates nothing");
}

#[test]
fn jobs_queued_before_the_last_handle_is_dropped_are_still_done() {
    let (tell, told) = mpsc::channel();
    let disk = Disk::start(1);
    for number in 0..100 {
        let tell = tell.clone();
        disk.run(move || tell.send(number).unwrap());
    }
    drop((disk, tell));
    assert_eq!(told.iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_job_that_panics_does_not_take_its_thread_along() {
    let (tell, told) = mpsc::channel();
    let disk = Disk::start(1);
    disk.run(|| panic!("on purpose"));
    disk.run(move || tell.send(()).unwrap());
    assert_eq!(told.recv(), Ok(()));
}

/// C-10: a bound on open files does not bound the torrent.
#[test]
fn thousands_of_files_are_written_and_read_back() {
    let names: Vec<String> = (0..3000).map(|n| format!("{}/{n}", n % 40)).collect();
    let list: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 100)).collect();
    let torrent = TestTorrent::v1(16_384, &list);
    let (disk, files) = (Disk::start(2), torrent.fetch());
    for piece in 0..torrent.piece_count() {
        let written = commit_piece(&disk, &files, piece, torrent.blocks(piece));
        assert!(matches!(written, Commit::Written { .. }), "{written:?}");
    }
    for file in (0..3000).step_by(17) {
        assert_eq!(fs::read(torrent.path(file).unwrap()).unwrap(), torrent.content(file));
    }
}
