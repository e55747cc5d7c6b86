use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::*;
use crate::test_torrent::{TestTorrent, check, commit};
use crate::{Disk, Mode};

const PIECE: usize = 16 << 10;
const TOTALS: Totals = Totals { uploaded: 5, downloaded: 7 };

fn open(torrent: &TestTorrent) -> Result<Resume, StorageError> {
    Resume::open(&torrent.state_dir(), torrent.info.wire_hash(), &torrent.folder(), None)
}

/// Commits pieces, saves after those before `unsaved`, and ends as a killed process does: without a word.
fn download(torrent: &TestTorrent, saved: &[u32], unsaved: &[u32]) -> Resume {
    let (disk, files) = (Disk::start(1), torrent.fetch());
    let mut resume = open(torrent).unwrap();
    resume.attach(&files).unwrap();
    for &piece in saved {
        commit(&disk, &files, piece, torrent.blocks(piece));
    }
    resume.save(&files, TOTALS).unwrap();
    for &piece in unsaved {
        commit(&disk, &files, piece, torrent.blocks(piece));
    }
    resume
}

fn finish(mut resume: Resume, torrent: &TestTorrent, have: &[u32]) {
    let files = torrent.fetch();
    for &piece in have {
        files.found(metainfo::PieceIndex(piece));
    }
    resume.finish(&files, TOTALS).unwrap();
}

fn trusted(torrent: &TestTorrent) -> (Vec<u32>, Vec<u32>) {
    let trust = open(torrent).unwrap().attach(&torrent.fetch()).unwrap();
    (trust.have.iter().collect(), trust.recheck.iter().collect())
}

fn set_mtime(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn state_file(torrent: &TestTorrent) -> PathBuf {
    state_path(&torrent.state_dir(), torrent.info.wire_hash(), &torrent.folder(), None).unwrap()
}

#[test]
fn after_a_clean_stop_unchanged_files_are_trusted_without_a_look() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 4 * PIECE), ("b", 2 * PIECE)]);
    finish(download(&torrent, &[0, 2, 5], &[]), &torrent, &[0, 2, 5]);
    assert_eq!(trusted(&torrent), (vec![0, 2, 5], vec![]));
    assert_eq!(open(&torrent).unwrap().totals(), TOTALS);
}

#[test]
fn after_a_clean_stop_only_the_pieces_of_changed_files_are_looked_at() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 4 * PIECE), ("b", 2 * PIECE), ("c", PIECE)]);
    finish(download(&torrent, &[0, 2, 5, 6], &[]), &torrent, &[0, 2, 5, 6]);
    set_mtime(&torrent.path(1).unwrap(), SystemTime::now() + Duration::from_secs(9));
    fs::remove_file(torrent.path(2).unwrap()).unwrap();
    assert_eq!(trusted(&torrent), (vec![0, 2], vec![4, 5]));
}

#[test]
fn doubt_about_a_file_outlives_a_kill_before_it_is_checked() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 4 * PIECE)]);
    finish(download(&torrent, &[0, 2], &[]), &torrent, &[0, 2]);
    set_mtime(&torrent.path(0).unwrap(), SystemTime::now() + Duration::from_secs(9));
    for _ in 0..3 {
        assert_eq!(trusted(&torrent), (vec![], vec![0, 1, 2, 3]));
    }
}

/// Kill -9: what was finished after the last save is found again and need not be fetched.
#[test]
fn after_a_kill_claims_stand_and_unclaimed_pieces_are_looked_for() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 6 * PIECE), ("b", PIECE)]);
    drop(download(&torrent, &[0, 2, 6], &[3, 5]));
    assert_eq!(trusted(&torrent), (vec![0, 2, 6], vec![1, 3, 4, 5]));
    let (files, mut resume) = (torrent.fetch(), open(&torrent).unwrap());
    let trust = resume.attach(&files).unwrap();
    assert_eq!(check(&Disk::start(2), &files, &trust.recheck).unwrap(), [3, 5]);
    resume.save(&files, TOTALS).unwrap();
    assert_eq!(files.have().iter().collect::<Vec<_>>(), [0, 2, 3, 5, 6]);
    drop(resume);
    assert_eq!(trusted(&torrent).0, [0, 2, 3, 5, 6]);
}

#[test]
fn a_file_written_long_before_the_kill_is_not_looked_at_again() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 4 * PIECE)]);
    let path = torrent.path(0).unwrap();
    let (files, mut resume) = (torrent.fetch(), open(&torrent).unwrap());
    resume.attach(&files).unwrap();
    commit(&Disk::start(1), &files, 1, torrent.blocks(1));
    set_mtime(&path, SystemTime::now() - Duration::from_secs(60));
    resume.save(&files, TOTALS).unwrap();
    drop(resume);
    assert_eq!(trusted(&torrent), (vec![1], vec![]));
}

#[test]
fn a_complete_file_changed_after_a_kill_is_looked_at() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 2 * PIECE), ("b", 2 * PIECE)]);
    drop(download(&torrent, &[0, 1, 2], &[]));
    set_mtime(&torrent.path(0).unwrap(), SystemTime::now() + Duration::from_secs(9));
    assert_eq!(trusted(&torrent), (vec![2], vec![0, 1, 3]));
}

#[test]
fn without_state_existing_files_are_looked_at_and_missing_ones_are_not() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 2 * PIECE), ("b", 2 * PIECE)]);
    torrent.put_files();
    fs::remove_file(torrent.path(1).unwrap()).unwrap();
    assert_eq!(trusted(&torrent), (vec![], vec![0, 1]));
}

/// An existing good file is found and not written again.
#[test]
fn files_that_are_there_already_are_claimed_by_the_next_save() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 3 * PIECE)]);
    torrent.put_files();
    let (files, mut resume) = (torrent.open(Mode::Seed).unwrap(), open(&torrent).unwrap());
    let trust = resume.attach(&files).unwrap();
    check(&Disk::start(1), &files, &trust.recheck).unwrap();
    resume.finish(&files, TOTALS).unwrap();
    drop(resume);
    assert_eq!(trusted(&torrent), (vec![0, 1, 2], vec![]));
}

#[test]
fn a_piece_that_was_lost_is_not_claimed_again() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 3 * PIECE)]);
    let (files, mut resume) = (torrent.fetch(), open(&torrent).unwrap());
    resume.attach(&files).unwrap();
    (0..3).for_each(|piece| _ = commit(&Disk::start(1), &files, piece, torrent.blocks(piece)));
    resume.save(&files, TOTALS).unwrap();
    files.lost(metainfo::PieceIndex(1));
    resume.finish(&files, TOTALS).unwrap();
    drop(resume);
    assert_eq!(trusted(&torrent).0, [0, 2]);
}

/// Claim ⇒ durable: what cannot be made durable is not claimed.
#[test]
fn a_piece_whose_file_cannot_be_synced_is_not_claimed() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 2 * PIECE), ("b", PIECE)]);
    let (disk, files) = (Disk::start(1), torrent.fetch());
    let mut resume = open(&torrent).unwrap();
    resume.attach(&files).unwrap();
    commit(&disk, &files, 0, torrent.blocks(0));
    resume.save(&files, TOTALS).unwrap();
    commit(&disk, &files, 2, torrent.blocks(2));
    let (path, aside) = (torrent.path(1).unwrap(), torrent.home.path().join("aside"));
    fs::rename(&path, &aside).unwrap();
    assert!(resume.save(&files, TOTALS).unwrap_err().is_missing());
    assert!(!State::decode(&fs::read(state_file(&torrent)).unwrap()).unwrap().claimed.get(2));
    fs::rename(&aside, &path).unwrap();
    resume.save(&files, TOTALS).unwrap();
    assert!(State::decode(&fs::read(state_file(&torrent)).unwrap()).unwrap().claimed.get(2));
}

#[test]
fn of_many_files_too_none_is_claimed_that_cannot_be_synced() {
    let names: Vec<String> = (0..40).map(|number| format!("{number:02}")).collect();
    let sizes: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), PIECE)).collect();
    let torrent = TestTorrent::v1(PIECE, &sizes);
    let (disk, files) = (Disk::start(1), torrent.fetch());
    let mut resume = open(&torrent).unwrap();
    resume.attach(&files).unwrap();
    (0..40).for_each(|piece| _ = commit(&disk, &files, piece, torrent.blocks(piece)));
    let (path, aside) = (torrent.path(39).unwrap(), torrent.home.path().join("aside"));
    fs::rename(&path, &aside).unwrap();
    assert!(resume.save(&files, TOTALS).unwrap_err().is_missing());
    fs::rename(&aside, &path).unwrap();
    resume.save(&files, TOTALS).unwrap();
    let claimed = State::decode(&fs::read(state_file(&torrent)).unwrap()).unwrap().claimed;
    assert!((0..40).all(|piece| claimed.get(piece)));
}

#[test]
fn a_torn_tail_costs_only_the_last_save() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 8 * PIECE)]);
    let (disk, files) = (Disk::start(1), torrent.fetch());
    let mut resume = open(&torrent).unwrap();
    resume.attach(&files).unwrap();
    let mut lengths = Vec::new();
    for piece in 0..4 {
        commit(&disk, &files, piece, torrent.blocks(piece));
        resume.save(&files, TOTALS).unwrap();
        lengths.push(usize::try_from(fs::metadata(state_file(&torrent)).unwrap().len()).unwrap());
    }
    drop(resume);
    let whole = fs::read(state_file(&torrent)).unwrap();
    for cut in lengths[2]..lengths[3] {
        fs::write(state_file(&torrent), &whole[..cut]).unwrap();
        let (have, recheck) = trusted(&torrent);
        assert!(have.starts_with(&[0, 1, 2]), "cut at {cut}: {have:?}");
        assert!(have.contains(&3) || recheck.contains(&3), "cut at {cut}");
    }
    fs::write(state_file(&torrent), &whole[..lengths[3] - 1]).unwrap();
    let mut resume = open(&torrent).unwrap();
    resume.attach(&files).unwrap();
    files.found(metainfo::PieceIndex(3));
    resume.finish(&files, TOTALS).unwrap();
    drop(resume);
    assert_eq!(trusted(&torrent), (vec![0, 1, 2, 3], vec![]), "nothing is appended to a torn tail");
}

/// C-13.
#[test]
fn a_damaged_record_loses_only_itself_and_no_damage_makes_a_false_claim() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 8 * PIECE)]);
    let (disk, files) = (Disk::start(1), torrent.fetch());
    let mut resume = open(&torrent).unwrap();
    resume.attach(&files).unwrap();
    for piece in 0..4 {
        commit(&disk, &files, piece, torrent.blocks(piece));
        resume.save(&files, TOTALS).unwrap();
    }
    drop(resume);
    let whole = fs::read(state_file(&torrent)).unwrap();
    let head = 8 + 4 + 20 + 4 + 8;
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        match State::decode(&damaged) {
            Ok(state) => {
                assert!(state.claimed.iter().all(|piece| piece < 4), "byte {at}");
                assert!(state.claimed.count() >= 3 && (state.damaged || state.torn), "byte {at}: {state:?}");
            }
            Err(_) => assert!(at < head, "byte {at}"),
        }
        fs::write(state_file(&torrent), &damaged).unwrap();
        if at >= head {
            let (have, recheck) = trusted(&torrent);
            assert!((0..4).all(|piece| have.contains(&piece) || recheck.contains(&piece)), "byte {at}");
        }
    }
}

/// C-13.
#[test]
fn state_of_a_newer_version_is_refused_and_left_as_it_is() {
    let torrent = TestTorrent::v1(PIECE, &[("a", PIECE)]);
    drop(download(&torrent, &[0], &[]));
    let mut bytes = fs::read(state_file(&torrent)).unwrap();
    bytes[8] = 2;
    fs::write(state_file(&torrent), &bytes).unwrap();
    let refused = open(&torrent).unwrap_err();
    assert!(matches!(refused, StorageError::Newer { version: 2, .. }), "{refused}");
    assert_eq!(fs::read(state_file(&torrent)).unwrap(), bytes);
}

/// C-12.
#[test]
fn a_second_user_of_the_same_state_is_told_who_has_it_and_a_stale_lock_is_no_obstacle() {
    let torrent = TestTorrent::v1(PIECE, &[("a", PIECE)]);
    let first = open(&torrent).unwrap();
    let refused = open(&torrent).unwrap_err();
    assert!(
        matches!(refused, StorageError::Locked { pid: Some(pid), .. } if pid == std::process::id()),
        "{refused}"
    );
    let elsewhere = torrent.home.path().join("elsewhere");
    Resume::open(&torrent.state_dir(), torrent.info.wire_hash(), &elsewhere, None).unwrap();
    Resume::open(&torrent.state_dir(), torrent.info.wire_hash(), &torrent.folder(), Some("renamed")).unwrap();
    drop(first);
    open(&torrent).unwrap();
}

#[test]
fn the_info_dictionary_of_a_magnet_link_is_kept() {
    let torrent = TestTorrent::v1(PIECE, &[("a", PIECE)]);
    let (files, mut resume) = (torrent.fetch(), open(&torrent).unwrap());
    assert_eq!(resume.info(), None);
    resume.keep_info(torrent.info.raw().clone());
    resume.attach(&files).unwrap();
    resume.save(&files, TOTALS).unwrap();
    drop(resume);
    let resume = open(&torrent).unwrap();
    assert_eq!(resume.info(), Some(torrent.info.raw()));
    resume.remove().unwrap();
    assert_eq!(open(&torrent).unwrap().info(), None);
}

#[test]
fn a_long_log_is_folded_into_a_checkpoint() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 2 * PIECE)]);
    let (files, mut resume) = (torrent.fetch(), open(&torrent).unwrap());
    resume.attach(&files).unwrap();
    for uploaded in 0..6000 {
        resume.save(&files, Totals { uploaded, downloaded: 0 }).unwrap();
    }
    assert!(fs::metadata(state_file(&torrent)).unwrap().len() < MAX_LOG + 1024);
    drop(resume);
    assert_eq!(open(&torrent).unwrap().totals().uploaded, 5999);
}

#[test]
fn saving_without_change_writes_nothing() {
    let torrent = TestTorrent::v1(PIECE, &[("a", PIECE)]);
    let mut resume = download(&torrent, &[0], &[]);
    let before = fs::read(state_file(&torrent)).unwrap();
    let files = torrent.fetch();
    files.trust(&Bitfield::all(1));
    resume.save(&files, TOTALS).unwrap();
    assert_eq!(fs::read(state_file(&torrent)).unwrap(), before);
}

/// A changed byte behind the back of a clean stop is caught by the check that the state asks for.
#[test]
fn damage_done_between_runs_is_found() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 3 * PIECE)]);
    finish(download(&torrent, &[0, 1, 2], &[]), &torrent, &[0, 1, 2]);
    let path = torrent.path(0).unwrap();
    File::options().write(true).open(&path).unwrap().write_all_at(b"damage", PIECE as u64).unwrap();
    set_mtime(&path, SystemTime::now() + Duration::from_secs(9));
    let (files, mut resume) = (torrent.fetch(), open(&torrent).unwrap());
    let trust = resume.attach(&files).unwrap();
    assert_eq!(check(&Disk::start(1), &files, &trust.recheck).unwrap(), [0, 2]);
}

proptest::proptest! {
    /// C-13.
    #[test]
    fn no_bytes_make_the_reader_panic(tail: Vec<u8>, cut in 0usize..200, kind in 0u8..9) {
        let mut bytes = State::empty(InfoHash([7; 20]), 100).encode();
        bytes.truncate(cut.max(44));
        let mut valid_record = Vec::new();
        format::push_session(&mut valid_record, true);
        valid_record[4] = kind;
        bytes.extend(valid_record);
        bytes.extend(&tail);
        let _ = State::decode(&bytes);
        let _ = State::decode(&tail);
    }

    #[test]
    fn what_is_written_is_read_again(pieces: Vec<u16>, stamps: std::collections::BTreeMap<u32, (u64, i64)>, info: Option<Vec<u8>>) {
        let mut state = State::empty(InfoHash([7; 20]), 70_000);
        let (mut early, mut late) = (Vec::new(), Vec::new());
        for &piece in &pieces {
            if piece % 2 == 0 { early.push(u32::from(piece)) } else { late.push(u32::from(piece)) }
        }
        for piece in early {
            state.claimed.set(piece);
        }
        state.stamps = stamps.into_iter().map(|(file, (size, mtime_ns))| (FileIndex(file), Stamp { size, mtime_ns })).collect();
        state.info = info.map(Bytes::from);
        let mut bytes = state.encode();
        format::push_pieces(&mut bytes, late.clone());
        let read = State::decode(&bytes).unwrap();
        for piece in late {
            state.claimed.set(piece);
        }
        proptest::prop_assert_eq!(&read.claimed, &state.claimed);
        proptest::prop_assert_eq!(&read.stamps, &state.stamps);
        proptest::prop_assert_eq!(&read.info, &state.info);
        proptest::prop_assert!(!read.damaged && !read.torn);
    }
}
