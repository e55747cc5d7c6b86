//! What must hold for any torrent: no path leaves its folder, and the pieces cover the files exactly once.

use bencode::encode_dict;
use metainfo::{Info, Layout, Magnet, Metainfo, PieceIndex};
use proptest::prelude::*;

/// The parts of a path.
type Path = Vec<Vec<u8>>;

/// Parts of names that have led astray before, and some that have not.
fn hostile_name() -> impl Strategy<Value = Vec<u8>> {
    let bits: Vec<&[u8]> = vec![
        b"..",
        b".",
        b"",
        b"/",
        b"\\",
        b"a",
        b"b",
        b"A",
        b"\0",
        b"\xc0\xae",
        b"\xff",
        b"C:",
        b"\xe2\x80\xae",
        b"con",
        b".1",
        b" ",
    ];
    prop::collection::vec(prop::sample::select(bits), 0..4).prop_map(|bits| bits.concat())
}

fn hostile_path() -> impl Strategy<Value = Path> {
    prop::collection::vec(hostile_name(), 1..4)
}

fn info_of(name: &[u8], files: &[(Path, Option<Path>)]) -> Vec<u8> {
    encode_dict(|info| {
        info.bytes("name", name);
        info.int("piece length", 16 << 10);
        info.bytes("pieces", [0; 20]);
        info.list("files", |list| {
            for (path, symlink) in files {
                list.dict(|file| {
                    file.int("length", i64::from(symlink.is_none()));
                    file.list("path", |list| path.iter().for_each(|part| list.bytes(part)));
                    if let Some(target) = symlink {
                        file.bytes("attr", "l");
                        file.list("symlink path", |list| target.iter().for_each(|part| list.bytes(part)));
                    }
                });
            }
        });
    })
}

fn stays_inside(path: &str) -> bool {
    path.split('/')
        .all(|part| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']) && part.len() <= 255)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    // M-12, M-16, M-17
    #[test]
    fn no_name_leaves_the_folder_and_no_two_files_share_a_path(
        name in hostile_name(),
        files in prop::collection::vec((hostile_path(), prop::option::weighted(0.3, hostile_path())), 1..12),
    ) {
        let Ok(info) = Info::parse(&info_of(&name, &files)) else { return Ok(()) };
        let paths: Vec<&str> = info.files().iter().map(|file| &*file.path).collect();
        for (index, path) in paths.iter().copied().enumerate() {
            prop_assert!(stays_inside(path), "{path}");
            prop_assert!(path.starts_with(&format!("{}/", info.name())), "{path}");
            let below = format!("{path}/");
            let clash = |(other, twin): (usize, &str)| other != index && (twin == path || twin.starts_with(&below));
            prop_assert!(!paths.iter().copied().enumerate().any(clash), "{path} in {paths:?}");
        }
        for target in info.files().iter().filter_map(|file| file.symlink.as_deref()) {
            prop_assert!(stays_inside(target), "{target}");
        }
    }

    #[test]
    fn pieces_cover_the_files_exactly_once(
        piece_length in 1u64..200,
        sizes in prop::collection::vec((0u64..500, any::<bool>()), 1..12),
        aligned in any::<bool>(),
    ) {
        let layout = if aligned {
            Layout::aligned(piece_length, sizes.iter().map(|(size, _)| *size))
        } else {
            Layout::contiguous(piece_length, sizes.iter().copied())
        };
        let Ok(layout) = layout else { return Ok(()) };
        let mut ends = vec![0; layout.files().len()];
        for piece in (0..layout.piece_count()).map(PieceIndex) {
            let mut covered = 0;
            for span in layout.piece_spans(piece) {
                let end = &mut ends[span.file.0 as usize];
                prop_assert_eq!(span.offset, *end);
                *end += u64::from(span.length);
                covered += span.length;
            }
            prop_assert_eq!(covered, layout.piece_size(piece));
        }
        prop_assert!(ends.iter().zip(layout.files()).all(|(end, file)| *end == file.length));
    }

    #[test]
    fn strange_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,100}") {
        let _ = Metainfo::parse(&bytes);
        let _ = Info::parse(&bytes);
        let _ = Magnet::parse(&text);
        if let Ok(magnet) = Magnet::parse(&format!("magnet:?xt=urn:btih:{}&{text}", "a".repeat(40))) {
            prop_assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
        }
    }

    #[test]
    fn damaged_torrents_are_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>(), hostile in hostile_path()) {
        let mut info = info_of(b"name", &[(hostile, None), (vec![b"x".to_vec()], Some(vec![b"y".to_vec()]))]);
        let at = at.index(info.len());
        info[at] = byte;
        let _ = Info::parse(&info);
    }
}
