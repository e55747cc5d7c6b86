use bencode::{DictEncoder, Encoder, encode_dict};

use super::*;
use crate::testing::{build, content};
use crate::{Builder, Format, InfoHash, LayoutError, PieceIndex};

/// A torrent of the given info dictionary.
fn torrent(info: &[u8]) -> Vec<u8> {
    [b"d4:info", info, b"e"].concat()
}

/// A v1 info dictionary: what `fill` writes comes in place of the defaults.
fn v1_info(fill: impl FnOnce(&mut DictEncoder<'_>)) -> Vec<u8> {
    encode_dict(|dict| {
        dict.bytes("name", "t");
        dict.int("piece length", 16 << 10);
        dict.bytes("pieces", [7; 20]);
        fill(dict);
    })
}

fn v1(fill: impl FnOnce(&mut DictEncoder<'_>)) -> Result<Metainfo, ParseError> {
    Metainfo::parse(&torrent(&v1_info(fill)))
}

type V1File<'a> = (i64, &'a [&'a [u8]], &'a str);

fn files(list: &mut Encoder, files: &[V1File<'_>]) {
    for (length, path, attr) in files {
        list.dict(|file| {
            file.int("length", *length);
            file.list("path", |list| path.iter().for_each(|part| list.bytes(part)));
            if !attr.is_empty() {
                file.bytes("attr", attr);
            }
        });
    }
}

fn v1_files(entries: &[V1File<'_>]) -> Result<Metainfo, ParseError> {
    v1(|dict| dict.list("files", |list| files(list, entries)))
}

fn paths(metainfo: &Metainfo) -> Vec<&str> {
    metainfo.info.files().iter().map(|file| &*file.path).collect()
}

fn has(metainfo: &Metainfo, kind: LintKind) -> bool {
    metainfo.lints.iter().any(|lint| lint.kind == kind)
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("nothing to replace");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

fn sample(format: Format) -> Builder {
    let files = [
        ("a", content(20_000, 1)),
        ("d/b", content(70_000, 2)),
        ("d/c", content(0, 0)),
        ("e", content(9, 3)),
    ];
    build("t", format, 32 << 10, &files)
}

#[test]
fn a_plain_torrent_is_read() {
    let metainfo = v1(|dict| dict.int("length", 9)).unwrap();
    let info = &metainfo.info;
    assert_eq!((info.name(), info.single_file(), info.format()), ("t", true, Format::V1));
    assert_eq!(info.v1_piece(PieceIndex(0)), Some([7; 20]));
    assert_eq!((info.v1_piece(PieceIndex(1)), info.v2_piece(PieceIndex(0))), (None, None));
    assert_eq!(paths(&metainfo), ["t"]);
    assert!(has(&metainfo, LintKind::MissingAnnounce) && metainfo.lints.len() == 1);
    let alone = Info::parse(info.raw()).unwrap();
    assert_eq!((alone.hashes(), alone.wire_hash()), (info.hashes(), info.wire_hash()));
}

// M-05
#[test]
fn unsorted_v1_keys_keep_their_hash_and_v2_ones_are_refused() {
    let sorted = v1_info(|dict| dict.int("length", 9));
    let unsorted = replaced(&sorted, b"d6:lengthi9e4:name1:t", b"d4:name1:t6:lengthi9e");
    let metainfo = Metainfo::parse(&torrent(&unsorted)).unwrap();
    assert!(has(&metainfo, LintKind::UnsortedKeys));
    assert_eq!(metainfo.info.raw()[..], unsorted);
    let hash = <sha1::Sha1 as sha1::Digest>::digest(&unsorted);
    assert_eq!(metainfo.info.wire_hash(), InfoHash(hash.into()));
    let v2 = sample(Format::V2).encode().unwrap();
    let unsorted = replaced(&v2, b"12:meta versioni2e4:name1:t", b"4:name1:t12:meta versioni2e");
    assert!(matches!(Metainfo::parse(&unsorted), Err(ParseError::Key { .. })));
}

// M-08
#[test]
fn piece_lengths_make_sense() {
    for length in [0, -1, 1 << 31, i64::MAX, i64::MIN] {
        assert!(
            v1(|dict| {
                dict.int("length", 9);
                dict.int("piece length", length);
            })
            .is_err(),
            "{length}"
        );
    }
    let large = v1(|dict| {
        dict.int("length", 9);
        dict.int("piece length", 536_854_528);
    });
    let large = large.unwrap();
    assert!(has(&large, LintKind::LargePieces) && has(&large, LintKind::UnevenPieces));
    let missing = encode_dict(|dict| {
        dict.bytes("name", "t");
        dict.int("length", 9);
        dict.bytes("pieces", [7; 20]);
    });
    assert!(matches!(Metainfo::parse(&torrent(&missing)), Err(ParseError::Key { .. })));
    for format in [Format::V2, Format::Hybrid] {
        let good = sample(format).encode().unwrap();
        for length in ["i32767e", "i8192e", "i0e", "i49152e", "i-32768e", "i2147483648e"] {
            let bad = replaced(&good, b"lengthi32768e", format!("length{length}").as_bytes());
            assert!(Metainfo::parse(&bad).is_err(), "{length}");
        }
    }
}

// M-09
#[test]
fn senseless_file_sizes_are_refused() {
    assert!(v1(|dict| dict.int("length", -1)).is_err());
    assert!(v1(|dict| dict.int("length", i64::MAX)).is_err());
    let refused = |files: &[V1File<'_>]| v1_files(files).unwrap_err();
    assert!(matches!(refused(&[(-1, &[b"a"], "")]), ParseError::Key { .. }));
    let overflow = refused(&[(i64::MAX, &[b"a"], ""), (i64::MAX, &[b"b"], "")]);
    assert_eq!(overflow, ParseError::Layout(LayoutError::Overflow));
    let many = refused(&[(1 << 40, &[b"a"], "")]);
    assert_eq!(many, ParseError::Layout(LayoutError::TooManyPieces(1 << 26)));
    let v2 = sample(Format::V2).encode().unwrap();
    for length in ["i-9e", "i9223372036854775807e", "i1099511627776e"] {
        assert!(
            Metainfo::parse(&replaced(&v2, b"6:lengthi9e", format!("6:length{length}").as_bytes())).is_err()
        );
    }
}

// M-10
#[test]
fn there_are_as_many_hashes_as_pieces() {
    for size in [0, 19, 21, 40] {
        let result = v1(|dict| {
            dict.int("length", 9);
            dict.bytes("pieces", vec![7; size]);
        });
        assert!(result.is_err(), "{size}");
    }
    let too_few = v1(|dict| dict.int("length", (16 << 10) + 1)).unwrap_err();
    assert_eq!(too_few.to_string(), "`info.pieces` has 1 hashes for 2 pieces");
}

// M-11
#[test]
fn empty_files_are_fine_but_not_alone() {
    assert_eq!(v1(|dict| dict.int("length", 0)).unwrap_err(), ParseError::Layout(LayoutError::Empty));
    assert!(v1_files(&[(0, &[b"a"], ""), (0, &[b"b"], "")]).is_err());
    assert!(v1_files(&[]).is_err());
    let metainfo = v1_files(&[(0, &[b"a"], ""), (5, &[b"b"], ""), (0, &[b"c"], "")]).unwrap();
    assert_eq!(paths(&metainfo), ["t/a", "t/b", "t/c"]);
}

// M-12, M-14, M-16
#[test]
fn no_path_leaves_the_torrents_folder() {
    let metainfo = v1_files(&[
        (1, &[b"..", b"..", b"etc"], ""),
        (1, &[b"/etc/passwd"], ""),
        (1, &[b"..", b"a"], ""),
        (1, &[b"..", b"a"], ""),
        (1, &[b"\xc0\xae.", b""], ""),
    ])
    .unwrap();
    assert_eq!(paths(&metainfo), ["t/_/_/etc", "t/_etc_passwd", "t/_/a", "t/_/a.1", "t/__./_"]);
    assert!(has(&metainfo, LintKind::UnsafeName) && has(&metainfo, LintKind::NonUtf8));
    assert!(has(&metainfo, LintKind::DuplicateName));
    let named = v1(|dict| {
        dict.int("length", 9);
        dict.bytes("name", "../../x");
    });
    assert_eq!(named.unwrap().info.name(), ".._.._x");
    let v2 =
        build("t", Format::V2, 16 << 10, &[("ab", content(5, 1)), ("cd/x", content(5, 1))]).encode().unwrap();
    let metainfo = Metainfo::parse(&replaced(&v2, b"2:abd", b"2:..d")).unwrap();
    assert_eq!(paths(&metainfo), ["t/_", "t/cd/x"]);
    let nameless = replaced(&v2, b"2:abd", b"0:d");
    assert!(matches!(Metainfo::parse(&nameless), Err(ParseError::Key { .. })));
    assert!(v1_files(&[(1, &[&b"a"[..]; 65], "")]).is_err());
}

#[test]
fn utf8_names_win_over_others() {
    let metainfo = v1(|dict| {
        dict.bytes("name.utf-8", "caf\u{e9}");
        dict.list("files", |list| {
            list.dict(|file| {
                file.int("length", 1);
                file.list("path", |path| path.bytes(b"\xff"));
                file.list("path.utf-8", |path| path.bytes("\u{4f60}"));
            });
        });
    });
    assert_eq!(paths(&metainfo.unwrap()), ["caf\u{e9}/\u{4f60}"]);
}

/// A torrent of a file `a`, and a link `d/l` to `target`.
fn linked(target: &[&[u8]]) -> Metainfo {
    let metainfo = v1(|dict| {
        dict.list("files", |list| {
            files(list, &[(1, &[b"a"], "")]);
            list.dict(|file| {
                file.bytes("attr", "l");
                file.int("length", 0);
                file.list("path", |path| ["d", "l"].iter().for_each(|part| path.bytes(part)));
                file.list("symlink path", |path| target.iter().for_each(|part| path.bytes(part)));
            });
        });
    });
    metainfo.unwrap()
}

// M-17
#[test]
fn links_lead_inside_or_nowhere() {
    assert_eq!(linked(&[b"a"]).info.files()[1].symlink.as_deref(), Some("a"));
    let outside: [&[&[u8]]; 8] = [
        &[b"..", b"..", b"etc", b"passwd"],
        &[b"/etc/passwd"],
        &[b"", b"etc"],
        &[b"."],
        &[b"x", b"..", b"..", b"y"],
        &[b"..\\x"],
        &[],
        &[b"d", b"l"],
    ];
    for target in outside {
        let metainfo = linked(target);
        assert_eq!(metainfo.info.files()[1].symlink, None, "{target:?}");
        assert!(has(&metainfo, LintKind::DroppedSymlink));
    }
}

// M-17
#[test]
fn no_file_lies_behind_a_link() {
    let metainfo = v1(|dict| {
        dict.list("files", |list| {
            list.dict(|file| {
                file.bytes("attr", "l");
                file.list("path", |path| path.bytes("x"));
                file.list("symlink path", |path| path.bytes("y"));
            });
            files(list, &[(1, &[b"x", b"f"], "")]);
        });
    });
    assert_eq!(paths(&metainfo.unwrap()), ["t/x.1", "t/x/f"]);
}

// M-19
#[test]
fn the_two_lists_of_a_hybrid_agree() {
    let good = sample(Format::Hybrid).encode().unwrap();
    let metainfo = Metainfo::parse(&good).unwrap();
    assert_eq!(
        paths(&metainfo),
        ["t/a", "t/.pad/12768", "t/d/b", "t/.pad/28304", "t/d/c", "t/e", "t/.pad/32759"]
    );
    assert!(metainfo.info.files()[1].pad && metainfo.info.layout().files()[1].pad);
    let changes: [(&[u8], &[u8]); 6] = [
        (b"d6:lengthi9e4:pathl1:eee", b"d6:lengthi8e4:pathl1:eee"),
        (b"d6:lengthi9e4:pathl1:eee", b"d6:lengthi9e4:pathl1:fee"),
        (b"d6:lengthi9e4:pathl1:eee", b""),
        (b"d6:lengthi0e4:pathl1:d1:cee", b"d6:lengthi0e4:pathl1:d1:cee d6:lengthi0e4:pathl1:d1:dee"),
        (b"6:lengthi12768e", b"6:lengthi12767e"),
        (
            b"d6:lengthi0e4:pathl1:d1:ceed6:lengthi9e4:pathl1:eee",
            b"d6:lengthi9e4:pathl1:eeed6:lengthi0e4:pathl1:d1:cee",
        ),
    ];
    for (from, to) in changes {
        let to: Vec<u8> = to.iter().copied().filter(|byte| *byte != b' ').collect();
        let error = Metainfo::parse(&replaced(&good, from, &to)).unwrap_err();
        assert!(matches!(error, ParseError::Disagree(_)), "{error}");
    }
}

// M-21
#[test]
fn piece_layers_are_proved() {
    let good = sample(Format::V2);
    let bytes = good.encode().unwrap();
    let root = good.files[1].root.unwrap();
    assert!(Metainfo::parse(&bytes).unwrap().info.has_all_hashes());
    let entry = [b"32:", &root[..], b"96:"].concat();
    let wrong_hash = replaced(&bytes, &entry, &[b"32:", &root[..], b"96:x"].concat());
    let wrong_hash = [&wrong_hash[..wrong_hash.len() - 3], b"ee"].concat();
    assert!(matches!(Metainfo::parse(&wrong_hash), Err(ParseError::PieceLayers(_))));
    let wrong_size = replaced(&bytes, &entry, &[b"32:", &root[..], b"64:"].concat());
    let wrong_size = [&wrong_size[..wrong_size.len() - 34], b"ee"].concat();
    assert!(matches!(Metainfo::parse(&wrong_size), Err(ParseError::PieceLayers(_))));
    let extra =
        replaced(&bytes, b"12:piece layersd", &[&b"12:piece layersd32:"[..], &[0; 32], b"0:"].concat());
    assert!(matches!(Metainfo::parse(&extra), Err(ParseError::PieceLayers(_))));
    let zero_root = replaced(&bytes, &root, &[0; 32]);
    assert!(matches!(Metainfo::parse(&zero_root), Err(ParseError::Key { .. })));
}

// M-21
#[test]
fn without_piece_layers_a_torrent_is_like_a_magnet() {
    let bytes = sample(Format::V2).encode().unwrap();
    let at = bytes.windows(16).position(|window| window == b"12:piece layersd").unwrap();
    let metainfo = Metainfo::parse(&[&bytes[..at], b"e"].concat()).unwrap();
    assert!(!metainfo.info.has_all_hashes() && has(&metainfo, LintKind::MissingPieceLayers));
    assert!(
        metainfo.info.v2_piece(PieceIndex(0)).is_some() && metainfo.info.v2_piece(PieceIndex(1)).is_none()
    );
    let empty = Metainfo::parse(&[&bytes[..at], b"12:piece layersdee"].concat()).unwrap();
    assert!(!empty.info.has_all_hashes());
}

// M-22
#[test]
fn padding_is_known_in_v1_and_refused_in_v2() {
    let metainfo = v1(|dict| {
        dict.bytes("pieces", [7; 60]);
        dict.list("files", |list| {
            files(
                list,
                &[
                    (5, &[b"a"], ""),
                    (20_000, &[b".pad", b"1"], "p"),
                    (9, &[b".pad", b"1"], "p"),
                    (20_000, &[b"b"], ""),
                ],
            );
        });
    });
    let info = metainfo.unwrap().info;
    assert_eq!(info.files().iter().map(|file| file.pad).collect::<Vec<_>>(), [false, true, true, false]);
    assert_eq!(info.layout().content_length(), 20_005);
    assert_eq!(&*info.files()[2].path, "t/.pad/1");
    let v2 = sample(Format::V2).encode().unwrap();
    let padded = replaced(&v2, b"1:ed0:d6:length", b"1:ed0:d4:attr1:p6:length");
    assert!(matches!(Metainfo::parse(&padded), Err(ParseError::Key { .. })));
}

// M-23
#[test]
fn other_things_are_no_torrents() {
    for bytes in
        [&b"4:spam"[..], b"d", b"i1e", b"le", b"de", b"d4:infoi1ee", b"d4:info4:spame", b"d10:magnet-infodee"]
    {
        assert!(Metainfo::parse(bytes).is_err(), "{}", bytes.escape_ascii());
    }
    assert_eq!(Metainfo::parse(b"").unwrap_err(), ParseError::Empty);
    assert_eq!(Metainfo::parse(b"<!DOCTYPE html>").unwrap_err(), ParseError::WebPage);
}

// M-26
#[test]
fn compressed_files_are_named_not_unpacked() {
    assert_eq!(Metainfo::parse(b"\x1f\x8b\x08\0").unwrap_err(), ParseError::Compressed("gzip"));
    assert_eq!(Metainfo::parse(b"PK\x03\x04").unwrap_err(), ParseError::Compressed("zip"));
    let huge = vec![b'd'; MAX_METAINFO + 1];
    assert_eq!(Metainfo::parse(&huge).unwrap_err(), ParseError::TooLarge(MAX_METAINFO + 1));
}

// M-01
#[test]
fn deep_trees_are_read_and_bottomless_ones_refused() {
    let deep = ["d"; 63].join("/") + "/f";
    let builder = build("t", Format::V2, 16 << 10, &[(&deep, content(5, 1))]);
    let bytes = builder.encode().unwrap();
    assert_eq!(paths(&Metainfo::parse(&bytes).unwrap()), [format!("t/{deep}")]);
    let deeper = replaced(&replaced(&bytes, b"1:dd1:d", b"1:dd1:dd1:d"), b"eeee", b"eeeee");
    assert!(Metainfo::parse(&deeper).is_err());
    assert!(Metainfo::parse(&torrent(&[b"d9:file tree".to_vec(), b"d1:a".repeat(10_000)].concat())).is_err());
}

#[test]
fn trackers_seeds_and_nodes_are_read_leniently() {
    let info = v1_info(|dict| {
        dict.int("length", 9);
        dict.int("private", 1);
        dict.int("odd", 1);
    });
    let bytes = encode_dict(|dict| {
        dict.raw("info", &info);
        dict.bytes("announce", "http://ignored.example/");
        dict.list("announce-list", |list| {
            list.list(|tier| {
                for url in ["http://a.example/", " http://b.example/ ", "http://a.example/"] {
                    tier.bytes(url);
                }
            });
            list.list(|_| {});
            list.bytes("gopher://c.example/");
        });
        dict.bytes("url-list", "http://w.example/");
        dict.list("nodes", |list| {
            list.list(|node| {
                node.bytes("n.example");
                node.int(70_000);
            });
            list.list(|node| {
                node.bytes("n.example");
                node.int(7000);
            });
        });
        dict.bytes("comment", b"\xff");
        dict.int("strange", 1);
    });
    let metainfo = Metainfo::parse(&bytes).unwrap();
    assert_eq!(
        metainfo.announce,
        [vec!["http://a.example/", "http://b.example/"], vec!["gopher://c.example/"]]
    );
    assert_eq!(metainfo.web_seeds, ["http://w.example/"]);
    assert_eq!(metainfo.nodes, [("n.example".to_owned(), 7000)]);
    assert_eq!(metainfo.comment.as_deref(), Some("\u{fffd}"));
    let kinds: Vec<_> = metainfo.lints.iter().map(|lint| lint.kind.name()).collect();
    let expected =
        ["non-utf8", "private-with-nodes", "tracker-url", "ignored-key", "unknown-key", "unknown-info-key"];
    for kind in expected {
        assert!(kinds.contains(&kind), "{kind} is not in {kinds:?}");
    }
}
