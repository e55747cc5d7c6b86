use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use super::FileVerdict::{Bad, Missing, Ok, WrongSize};
use super::*;
use crate::test_torrent::{TestTorrent, check, content};

const PIECE: usize = 32 << 10;

fn all_of(torrent: &TestTorrent) -> Bitfield {
    Bitfield::all(torrent.piece_count())
}

fn flip(torrent: &TestTorrent, file: usize, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(torrent.path(file).unwrap()).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn verified(torrent: &TestTorrent, quick: bool) -> Report {
    let thoroughness = Thoroughness { threads: 2, quick };
    verify(&torrent.info, &torrent.folder(), None, thoroughness, &Arc::default(), &Arc::default()).unwrap()
}

#[test]
fn good_pieces_are_found_and_bad_ones_are_not() {
    for torrent in [
        TestTorrent::v1(PIECE, &[("a", 20 * PIECE + 5), ("b", 0), ("c", 100)]),
        TestTorrent::hybrid(PIECE, &[("a", 20 * PIECE + 5), ("b", 0), ("c", 100)]),
    ] {
        torrent.put_files();
        let (disk, files) = (Disk::start(2), torrent.fetch());
        let mut good: Vec<u32> = (0..torrent.piece_count()).collect();
        assert_eq!(check(&disk, &files, &all_of(&torrent)).unwrap(), good);
        flip(&torrent, 0, 3 * PIECE as u64);
        flip(&torrent, 0, 7 * PIECE as u64 - 1);
        good.retain(|piece| ![3, 6].contains(piece));
        assert_eq!(check(&disk, &files, &all_of(&torrent)).unwrap(), good);
        assert_eq!(files.have().iter().collect::<Vec<_>>(), good);
    }
}

/// M-20.
#[test]
fn a_piece_with_only_one_of_its_two_hashes_is_not_good() {
    let files = vec![("a", content("a", PIECE)), ("b", content("b", 10))];
    let torrent = TestTorrent::hybrid_of(PIECE, files, true);
    torrent.put_files();
    assert_eq!(check(&Disk::start(1), &torrent.fetch(), &all_of(&torrent)).unwrap(), [1]);
    assert_eq!(verified(&torrent, false).good.iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn only_the_pieces_asked_for_are_judged() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 10 * PIECE)]);
    torrent.put_files();
    let files = torrent.fetch();
    let mut wanted = Bitfield::none(10);
    for piece in [2, 5, 9] {
        wanted.set(piece);
    }
    assert_eq!(check(&Disk::start(2), &files, &wanted).unwrap(), [2, 5, 9]);
}

#[test]
fn missing_and_short_files_make_their_pieces_bad_and_nothing_else() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 2 * PIECE), ("b", 2 * PIECE), ("c", 2 * PIECE)]);
    torrent.put_files();
    fs::remove_file(torrent.path(0).unwrap()).unwrap();
    OpenOptions::new().write(true).open(torrent.path(1).unwrap()).unwrap().set_len(PIECE as u64 + 1).unwrap();
    assert_eq!(check(&Disk::start(2), &torrent.fetch(), &all_of(&torrent)).unwrap(), [2, 4, 5]);
    assert!(!torrent.path(0).unwrap().exists(), "checking creates nothing");
}

#[test]
fn holes_count_as_the_zeros_they_are() {
    let zeros = vec![0; 3 * PIECE];
    let torrent = TestTorrent::hybrid_of(PIECE, vec![("a", zeros), ("b", vec![1; PIECE])], false);
    fs::create_dir_all(torrent.folder().join("t")).unwrap();
    for file in [0, 2].into_iter().filter_map(|file| torrent.path(file.min(torrent.info.files().len() - 1))) {
        let length = if file.ends_with("a") { 3 * PIECE } else { PIECE };
        fs::File::create(file).unwrap().set_len(length as u64).unwrap();
    }
    assert_eq!(check(&Disk::start(1), &torrent.fetch(), &all_of(&torrent)).unwrap(), [0, 1, 2]);
}

#[test]
fn a_check_can_be_cancelled_and_shows_its_progress() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 50 * PIECE)]);
    torrent.put_files();
    let (disk, files) = (Disk::start(2), torrent.fetch());
    for cancelled in [false, true] {
        let (progress, cancel) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(cancelled)));
        let (tell, told) = mpsc::channel();
        disk.check(&files, &all_of(&torrent), Arc::clone(&progress), cancel, move |result| {
            tell.send(result).unwrap();
        });
        let result = told.recv().unwrap();
        let done = progress.load(Ordering::Relaxed);
        if cancelled {
            assert!(matches!(result, Err(StorageError::Cancelled)) && done == 0);
        } else {
            assert!(result.unwrap().is_full() && done == 50 * PIECE as u64);
        }
    }
}

#[test]
fn reads_of_others_get_their_turn_during_a_check() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 300 * PIECE)]);
    torrent.put_files();
    let (disk, files) = (Disk::start(1), torrent.fetch());
    let (tell, told) = mpsc::channel();
    let checked = tell.clone();
    disk.check(&files, &all_of(&torrent), Arc::default(), Arc::default(), move |_| {
        checked.send("check").unwrap();
    });
    let block = files.layout().block(0, 0, 10).unwrap();
    disk.read(&files, vec![block], move |_, _| tell.send("read").unwrap());
    assert_eq!(told.iter().collect::<Vec<_>>(), ["read", "check"]);
}

#[test]
fn verify_says_what_is_wrong_with_each_file() {
    let names =
        [("bad", 3 * PIECE), ("empty", 0), ("gone", PIECE), ("long", PIECE), ("ok", PIECE), ("void", 0)];
    let torrent = TestTorrent::v1(PIECE, &names);
    torrent.put_files();
    assert!(verified(&torrent, false).is_ok() && verified(&torrent, true).is_ok());
    flip(&torrent, 0, PIECE as u64);
    fs::remove_file(torrent.path(2).unwrap()).unwrap();
    OpenOptions::new().write(true).open(torrent.path(3).unwrap()).unwrap().set_len(2 * PIECE as u64).unwrap();
    fs::remove_file(torrent.path(5).unwrap()).unwrap();
    let verdicts =
        |quick| verified(&torrent, quick).files.into_iter().map(|(_, verdict)| verdict).collect::<Vec<_>>();
    let wrong_size = WrongSize { found: 2 * PIECE as u64 };
    assert_eq!(verdicts(false), [Bad { pieces: vec![1] }, Ok, Missing, wrong_size.clone(), Ok, Missing]);
    assert_eq!(verdicts(true), [Ok, Ok, Missing, wrong_size, Ok, Missing]);
    assert_eq!(verified(&torrent, false).good.iter().collect::<Vec<_>>(), [0, 2, 4, 5]);
}
