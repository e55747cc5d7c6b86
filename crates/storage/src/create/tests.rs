use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use metainfo::Metainfo;
use sha1::{Digest, Sha1};

use super::*;
use crate::check::{Thoroughness, verify};
use crate::test_torrent::{content, v2};

const PIECE: usize = 32 << 10;
const TREE: [(&str, usize); 5] =
    [("a", 5 * PIECE + 1000), ("b/c", 3), ("b/d", 0), ("b.txt", PIECE), ("e", 2 * PIECE)];

fn tree() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for (name, length) in TREE {
        let path = home.path().join("tree").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content(name, length)).unwrap();
    }
    home
}

fn options(path: PathBuf, format: Format) -> Options {
    Options {
        path,
        name: None,
        piece_length: Some(u32::try_from(PIECE).unwrap()),
        format,
        include: vec![],
        exclude: vec![],
        hidden: false,
        symlinks: Symlinks::Follow,
    }
}

fn hashed(options: &Options, threads: usize) -> Builder {
    let progress = AtomicU64::new(0);
    let plan = plan(options).unwrap();
    let total = plan.total();
    let builder = plan.hash(threads, &progress, &AtomicBool::new(false)).unwrap();
    assert_eq!(progress.into_inner(), total);
    builder
}

fn sha1s(whole: &[u8]) -> Vec<u8> {
    whole.chunks(PIECE).flat_map(|piece| Sha1::digest(piece).to_vec()).collect()
}

#[test]
fn v1_hashes_run_over_all_files() {
    let home = tree();
    let whole: Vec<u8> = TREE.iter().flat_map(|(name, length)| content(name, *length)).collect();
    let builder = hashed(&options(home.path().join("tree"), Format::V1), 2);
    assert_eq!(builder.v1_pieces, sha1s(&whole));
    assert_eq!(builder.name, "tree");
    let paths: Vec<String> = builder.files.iter().map(|file| file.path.join("/")).collect();
    assert_eq!(paths, TREE.map(|(name, _)| name));
}

#[test]
fn a_hybrid_has_both_hashes_of_the_same_bytes() {
    let home = tree();
    let builder = hashed(&options(home.path().join("tree"), Format::Hybrid), 2);
    let mut whole = Vec::new();
    for (name, length) in TREE {
        whole.extend(content(name, length));
        whole.resize(whole.len().next_multiple_of(PIECE), 0);
    }
    assert_eq!(builder.v1_pieces, sha1s(&whole));
    for (file, (name, length)) in builder.files.iter().zip(TREE) {
        if length == 0 {
            assert_eq!(file.root, None);
            continue;
        }
        let (root, layer) = v2(&content(name, length), PIECE);
        assert_eq!(file.root, Some(root), "{name}");
        assert_eq!(file.layer.as_flattened(), if length > PIECE { &layer[..] } else { &[] }, "{name}");
    }
}

/// Pieces of several chunks: some begin with content, some are nothing but padding.
#[test]
fn long_pieces_of_a_hybrid_tree_are_hashed_over_content_and_padding() {
    const LONG: usize = 256 << 10;
    let files =
        [("a", 2 * LONG + 70_000), ("b", 10), ("c", 100_000), ("d", LONG), ("e", 65_536), ("f", 150_000)];
    let home = tempfile::tempdir().unwrap();
    let mut whole = Vec::new();
    for (name, length) in files {
        whole.extend(content(name, length));
        whole.resize(whole.len().next_multiple_of(LONG), 0);
        fs::write(home.path().join(name), content(name, length)).unwrap();
    }
    let mut options = options(home.path().to_owned(), Format::Hybrid);
    options.piece_length = Some(u32::try_from(LONG).unwrap());
    options.name = Some("t".into());
    for threads in [1, 3] {
        let builder = hashed(&options, threads);
        let expected: Vec<u8> = whole.chunks(LONG).flat_map(|piece| Sha1::digest(piece).to_vec()).collect();
        assert_eq!(builder.v1_pieces, expected);
        for (file, (name, length)) in builder.files.iter().zip(files) {
            assert_eq!(file.root, Some(v2(&content(name, length), LONG).0), "{name}");
        }
    }
}

#[test]
fn every_format_is_reproducible_and_verifies() {
    let home = tree();
    for format in [Format::V1, Format::V2, Format::Hybrid] {
        let options = options(home.path().join("tree"), format);
        let bytes = hashed(&options, 1).encode().unwrap();
        assert_eq!(bytes, hashed(&options, 3).encode().unwrap(), "{format:?}");
        let info = Arc::clone(&Metainfo::parse(&bytes).unwrap().info);
        let thoroughness = Thoroughness { threads: 2, quick: false };
        let report =
            verify(&info, home.path(), None, thoroughness, &Arc::default(), &Arc::default()).unwrap();
        assert!(report.is_ok() && report.good.is_full(), "{format:?}: {report:?}");
    }
}

#[test]
fn a_single_file_goes_by_its_own_name_or_by_the_one_given() {
    let home = tree();
    let mut options = options(home.path().join("tree/a"), Format::Hybrid);
    let builder = hashed(&options, 2);
    assert!(builder.single_file && builder.name == "a" && builder.files[0].path == ["a"]);
    assert_eq!(builder.v1_pieces, sha1s(&content("a", 5 * PIECE + 1000)));
    options.name = Some("other".into());
    let bytes = hashed(&options, 2).encode().unwrap();
    assert_eq!(Metainfo::parse(&bytes).unwrap().info.name(), "other");
}

#[test]
fn a_file_that_changes_between_plan_and_end_is_an_error() {
    let home = tree();
    let path = home.path().join("tree/a");
    for damage in ["cut", "grow", "touch"] {
        let plan = plan(&options(home.path().join("tree"), Format::V1)).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        match damage {
            "cut" => file.set_len(5 * PIECE as u64).unwrap(),
            "grow" => file.set_len(6 * PIECE as u64).unwrap(),
            _ => file.write_all_at(b"x", 0).unwrap(),
        }
        // The clock of the file system may be too coarse to tell two moments of one test apart.
        file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(60)).unwrap();
        let error = plan.hash(2, &AtomicU64::new(0), &AtomicBool::new(false)).unwrap_err();
        assert!(
            matches!(&error, CreateError::Changed(changed) if changed.ends_with("tree/a")),
            "{damage}: {error}"
        );
    }
}

#[test]
fn kept_links_are_in_the_torrent_and_it_verifies() {
    let home = tree();
    std::os::unix::fs::symlink("c", home.path().join("tree/b/link")).unwrap();
    let options = Options { symlinks: Symlinks::Keep, ..options(home.path().join("tree"), Format::Hybrid) };
    let builder = hashed(&options, 2);
    let link = builder.files.iter().find(|file| file.symlink.is_some()).unwrap();
    assert_eq!(
        (link.path.join("/"), link.symlink.clone().unwrap().join("/")),
        ("b/link".into(), "b/c".into())
    );
    let info = Arc::clone(&Metainfo::parse(&builder.encode().unwrap()).unwrap().info);
    let thoroughness = Thoroughness { threads: 1, quick: false };
    assert!(
        verify(&info, home.path(), None, thoroughness, &Arc::default(), &Arc::default()).unwrap().is_ok()
    );
}

#[test]
fn nothing_to_hash_and_no_such_path_are_errors() {
    let home = tempfile::tempdir().unwrap();
    assert!(matches!(plan(&options(home.path().to_owned(), Format::V1)), Err(CreateError::Nothing(_))));
    assert!(matches!(plan(&options(home.path().join("no"), Format::V1)), Err(CreateError::Read { .. })));
    fs::write(home.path().join("empty"), "").unwrap();
    assert!(matches!(plan(&options(home.path().to_owned(), Format::V1)), Err(CreateError::Build(_))));
}

#[test]
fn hashing_can_be_cancelled() {
    let home = tree();
    let plan = plan(&options(home.path().join("tree"), Format::V1)).unwrap();
    let result = plan.hash(2, &AtomicU64::new(0), &AtomicBool::new(true));
    assert!(matches!(result, Err(CreateError::Cancelled)));
}

#[test]
fn a_tree_that_several_threads_look_at_keeps_its_order() {
    let home = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..3 * PER_THREAD + 7).map(|number| format!("{number:05}")).collect();
    for (number, name) in names.iter().enumerate() {
        fs::write(home.path().join(name), vec![0; number % 3]).unwrap();
    }
    let plan = plan(&options(home.path().to_owned(), Format::V1)).unwrap();
    let found: Vec<_> = plan.builder().files.iter().map(|file| (file.path.join("/"), file.length)).collect();
    let expected: Vec<_> = names.iter().cloned().zip((0..3).cycle()).collect();
    assert_eq!(found, expected);
    fs::write(home.path().join(&names[2 * PER_THREAD]), "changed").unwrap();
    let error = plan.hash(1, &AtomicU64::new(0), &AtomicBool::new(false)).unwrap_err();
    assert!(
        matches!(&error, CreateError::Changed(path) if path.ends_with(&names[2 * PER_THREAD])),
        "{error}"
    );
}
