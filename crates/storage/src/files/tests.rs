use std::os::unix::fs::symlink;

use super::*;
use crate::Disk;
use crate::commit::Commit;
use crate::test_torrent::{TestTorrent, all, commit, content, read};

const PIECE: usize = 32 << 10;

fn written(torrent: &TestTorrent, mode: Mode) -> Result<(), StorageError> {
    let files = torrent.open(mode)?;
    files.prepare(all)?;
    match commit(&Disk::start(1), &files, 0, torrent.blocks(0)) {
        Commit::Written { .. } => Ok(()),
        Commit::Failed(error) => Err(error),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_piece_over_many_files_lands_in_each_of_them() {
    let names: Vec<String> = (0..300).map(|n| format!("d{}/f{n}", n % 7)).collect();
    let list: Vec<(&str, usize)> =
        names.iter().enumerate().map(|(n, name)| (name.as_str(), n % 50)).collect();
    let torrent = TestTorrent::v1(PIECE, &list);
    written(&torrent, Mode::FETCH).unwrap();
    for file in 0..list.len() {
        assert_eq!(fs::read(torrent.path(file).unwrap()).unwrap(), torrent.content(file), "{file}");
    }
}

#[test]
fn more_slices_than_one_system_call_takes_are_all_written() {
    let torrent = TestTorrent::v1(PIECE, &[("a", PIECE)]);
    let whole: Vec<u8> = torrent.blocks(0).concat();
    let slices: Vec<Bytes> = whole.chunks(10).map(Bytes::copy_from_slice).collect();
    assert!(slices.len() > 3 * MAX_SLICES);
    let written = commit(&Disk::start(1), &torrent.fetch(), 0, slices);
    assert!(matches!(written, Commit::Written { .. }), "{written:?}");
    assert_eq!(fs::read(torrent.path(0).unwrap()).unwrap(), whole);
}

/// M-22: padding is never written.
#[test]
fn padding_is_read_as_zeros_and_has_no_file() {
    let torrent = TestTorrent::hybrid(PIECE, &[("a", 100), ("b", 200)]);
    written(&torrent, Mode::FETCH).unwrap();
    let disk = Disk::start(1);
    let bytes = read(&disk, &torrent.fetch(), 0, 50, 1000).unwrap();
    assert_eq!(bytes[..50], torrent.content(0)[50..]);
    assert!(bytes[50..].iter().all(|&byte| byte == 0));
    let entries = fs::read_dir(torrent.folder().join("t")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(entries.collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_sparse_file_has_its_length_at_once_and_a_growing_one_only_what_was_written() {
    for (allocate, length) in
        [(Allocate::Sparse, 3 * PIECE), (Allocate::Full, 3 * PIECE), (Allocate::None, PIECE)]
    {
        let torrent = TestTorrent::v1(PIECE, &[("a", 3 * PIECE)]);
        written(&torrent, Mode::Fetch { allocate, cut_longer: false }).unwrap();
        let metadata = fs::metadata(torrent.path(0).unwrap()).unwrap();
        assert_eq!(metadata.len(), length as u64, "{allocate:?}");
        let full = metadata.blocks() * 512 >= 3 * PIECE as u64;
        assert_eq!(full, allocate == Allocate::Full, "{allocate:?}");
    }
}

#[test]
fn allocating_in_full_happens_before_the_first_byte() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 3 * PIECE), ("b", PIECE)]);
    let files = torrent.open(Mode::Fetch { allocate: Allocate::Full, cut_longer: false }).unwrap();
    files.prepare(|file| file.0 == 0).unwrap();
    assert_eq!(fs::metadata(torrent.path(0).unwrap()).unwrap().len(), 3 * PIECE as u64);
    assert!(!torrent.path(1).unwrap().exists());
}

#[test]
fn a_shorter_file_is_extended_and_a_longer_one_is_refused_unless_it_may_be_cut() {
    let torrent = TestTorrent::v1(PIECE, &[("a", PIECE)]);
    let path = torrent.path(0).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "short").unwrap();
    written(&torrent, Mode::FETCH).unwrap();
    assert_eq!(fs::read(&path).unwrap(), torrent.content(0));

    fs::write(&path, vec![7; PIECE + 1]).unwrap();
    let refused = written(&torrent, Mode::FETCH).unwrap_err();
    assert!(matches!(refused, StorageError::Longer { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), vec![7; PIECE + 1]);
    written(&torrent, Mode::Fetch { allocate: Allocate::Sparse, cut_longer: true }).unwrap();
    assert_eq!(fs::read(&path).unwrap(), torrent.content(0));
}

/// M-18.
#[test]
fn a_planted_hard_link_is_refused_and_its_other_name_stays_as_it_was() {
    let torrent = TestTorrent::v1(PIECE, &[("a", PIECE)]);
    let (path, other) = (torrent.path(0).unwrap(), torrent.home.path().join("precious"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&other, "precious").unwrap();
    fs::hard_link(&other, &path).unwrap();
    match written(&torrent, Mode::FETCH).unwrap_err() {
        StorageError::HardLink { path: named, others } => {
            assert_eq!((named, others), (path.canonicalize().unwrap(), 1));
        }
        other => panic!("{other}"),
    }
    assert_eq!(fs::read(other).unwrap(), b"precious");
}

/// M-17, M-18.
#[test]
fn a_planted_symbolic_link_is_refused_before_the_first_byte_arrives() {
    for planted in ["t", "t/d", "t/d/a"] {
        let torrent = TestTorrent::v1(PIECE, &[("d/a", PIECE)]);
        let outside = tempfile::tempdir().unwrap();
        let link = torrent.folder().join(planted);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(outside.path(), &link).unwrap();
        let refused = torrent.fetch().prepare(all).unwrap_err();
        assert!(matches!(refused, StorageError::Symlink(_)), "{refused}");
        assert!(refused.path().unwrap().ends_with(planted), "{refused}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_tree_with_links_of_the_users_own_can_be_seeded() {
    let torrent = TestTorrent::v1(PIECE, &[("d/a", PIECE)]);
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("a"), torrent.content(0)).unwrap();
    fs::create_dir_all(torrent.folder().join("t")).unwrap();
    symlink(elsewhere.path(), torrent.folder().join("t/d")).unwrap();
    let files = torrent.open(Mode::Seed).unwrap();
    let disk = Disk::start(1);
    assert_eq!(read(&disk, &files, 0, 0, 100).unwrap(), torrent.content(0)[..100]);
    let refused = commit(&disk, &files, 0, torrent.blocks(0));
    assert!(matches!(refused, Commit::Failed(StorageError::ReadOnly(_))), "{refused:?}");
}

#[test]
fn empty_files_links_and_executable_bits_are_made() {
    let list = "ld4:attr1:x6:lengthi5e4:pathl3:bin3:runeed6:lengthi0e4:pathl5:emptyeed4:attr1:l6:lengthi0e4:pathl3:lib4:linke12:symlink pathl3:bin3:runeee";
    let sha1 = <sha1::Sha1 as sha1::Digest>::digest(b"hello");
    let info = [format!("d5:files{list}4:name1:t12:piece lengthi16384e6:pieces20:").as_bytes(), &sha1, b"e"]
        .concat();
    let info = Arc::new(Info::parse(&info).unwrap());
    let home = tempfile::tempdir().unwrap();
    let files = TorrentFiles::open(info, home.path().join("d"), Some("other".into()), Mode::FETCH).unwrap();
    files.prepare(all).unwrap();
    files.prepare(all).unwrap();
    commit(&Disk::start(1), &files, 0, vec![Bytes::from_static(b"hello")]);
    files.finish(all).unwrap();
    let root = home.path().join("d/other");
    assert_eq!(fs::metadata(root.join("empty")).unwrap().len(), 0);
    assert_eq!(fs::read_link(root.join("lib/link")).unwrap(), Path::new("../bin/run"));
    assert_eq!(fs::read(root.join("lib/link")).unwrap(), b"hello");
    assert_eq!(fs::metadata(root.join("bin/run")).unwrap().mode() & 0o100, 0o100);
}

#[test]
fn a_file_over_four_gibibytes_is_written_and_read_at_its_far_end() {
    let length = (4u64 << 30) + 5;
    let piece_length = 1u64 << 20;
    let count = usize::try_from(length.div_ceil(piece_length)).unwrap();
    let mut hashes = vec![0u8; 20 * count];
    let last = <sha1::Sha1 as sha1::Digest>::digest(b"12345");
    hashes[20 * (count - 1)..].copy_from_slice(&last);
    let head =
        format!("d6:lengthi{length}e4:name3:big12:piece lengthi{piece_length}e6:pieces{}:", hashes.len());
    let info = Arc::new(Info::parse(&[head.as_bytes(), &hashes, b"e"].concat()).unwrap());
    let home = tempfile::tempdir().unwrap();
    let files = TorrentFiles::open(info, home.path(), None, Mode::FETCH).unwrap();
    let (disk, piece) = (Disk::start(1), u32::try_from(count - 1).unwrap());
    let written = commit(&disk, &files, piece, vec![Bytes::from_static(b"12345")]);
    assert!(matches!(written, Commit::Written { .. }), "{written:?}");
    assert_eq!(read(&disk, &files, piece, 0, 5).unwrap(), b"12345"[..]);
    let metadata = fs::metadata(home.path().join("big")).unwrap();
    assert_eq!(metadata.len(), length);
    assert!(metadata.blocks() * 512 < 1 << 20, "it is sparse");
    assert!(read(&disk, &files, 7, 0, 1 << 20).unwrap().iter().all(|&byte| byte == 0));
}

#[test]
fn a_rename_that_is_a_path_is_refused() {
    let torrent = TestTorrent::v1(PIECE, &[("a", 10)]);
    for name in ["../x", "a/b", ""] {
        let refused =
            TorrentFiles::open(Arc::clone(&torrent.info), torrent.folder(), Some(name.into()), Mode::FETCH);
        assert!(matches!(refused, Err(StorageError::UnsafePath(_))), "{name}");
    }
}

#[test]
fn slices_follow_the_spans_and_not_the_blocks() {
    let blocks = [content("x", 10), content("y", 1), content("z", 10)].map(Bytes::from);
    let whole = blocks.concat();
    let mut cursor = Cursor { blocks: &blocks, at: 0 };
    let taken: Vec<Vec<u8>> = [4, 6, 3, 8]
        .map(|length| cursor.take(length).iter().flat_map(|slice| slice.to_vec()).collect())
        .to_vec();
    assert_eq!(taken.iter().map(Vec::len).collect::<Vec<_>>(), [4, 6, 3, 8]);
    assert_eq!(taken.concat(), whole);
}
