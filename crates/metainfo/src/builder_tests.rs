use super::*;
use crate::testing::{build, content};
use crate::{Metainfo, PieceIndex};

/// Name of the torrent and its files: path, length, seed of the content. `exe` is a program.
type Sample = (&'static str, &'static [(&'static str, usize, usize)]);

const SINGLE: Sample = ("big.bin", &[("big.bin", 100_000, 1)]);
const TINY: Sample = ("small", &[("small", 10, 2)]);
const PROGRAM: Sample = ("exe", &[("exe", 33_000, 7)]);
const TREE: Sample = (
    "tree",
    &[
        ("b/big.bin", 100_000, 1),
        ("b/c/small", 10, 2),
        ("a/zero", 0, 3),
        ("a/one", 16_384, 4),
        ("ax/two", 16_385, 5),
        ("last", 70_000, 6),
        ("exe", 33_000, 7),
        ("B", 40_000, 9),
        ("zz", 20, 8),
    ],
);

fn sample((name, files): Sample, piece_length: u32, format: Format) -> Builder {
    let files: Vec<_> = files.iter().map(|&(path, length, seed)| (path, content(length, seed))).collect();
    let mut builder = build(name, format, piece_length, &files);
    builder.files.iter_mut().filter(|file| file.path == ["exe"]).for_each(|file| file.executable = true);
    builder
}

/// The hashes that libtorrent 2.1.1 gives the same files.
#[test]
fn equal_files_get_the_hashes_that_libtorrent_gives_them() {
    #[rustfmt::skip]
    let cases = [
        (SINGLE, 32 << 10, Format::V1,
         Some("6018210558dd6fa83dcedd68ed42c013b639d994"),
         None),
        (SINGLE, 32 << 10, Format::V2,
         None,
         Some("a9ed8a40ce984d3c370cf3b810827d4ca1d80a08023aaf61c19d1e4715871a67")),
        (SINGLE, 32 << 10, Format::Hybrid,
         Some("027fc5dfaaa7a2954180cbba98bdaaf01f763b3c"),
         Some("66fb2d3c5445185d4c9d326520aa615ecf15ae31e88a9fb2d58f531aff975842")),
        (TINY, 32 << 10, Format::V1,
         Some("169a29f715b8da7d2ae520c007548a0ba06da81d"),
         None),
        (TINY, 32 << 10, Format::V2,
         None,
         Some("1cec7bdefc30cefba8d3afa0b68be00682988a28a2ff4f43cce1469ffa6b341f")),
        (TINY, 32 << 10, Format::Hybrid,
         Some("59ef77e67140487d9129e89ed4af7555fac940f0"),
         Some("abf0661181b6419b6ecadbc1b713cede7939050c7ebbc7bfeecd027fea150302")),
        (PROGRAM, 32 << 10, Format::V1,
         Some("4dd0fad09233e85457aaf7571d1e4880ff0c683d"),
         None),
        (PROGRAM, 32 << 10, Format::V2,
         None,
         Some("3cbb730df590ceca8fc3b0334d49dafd836f3fdaba04ddc2be2b540c7e431b2b")),
        (PROGRAM, 32 << 10, Format::Hybrid,
         Some("615ad888560f90bb0cac7ce34032792f9f0839c3"),
         Some("11f706bdb468822c65051b3594f7eaacf7548edd6495eb31865e666b43d782aa")),
        (TREE, 16 << 10, Format::V2,
         None,
         Some("4af8e83d1e845aea8f876bbecb158f2b5398dcb277616ca257389e74a258f5c1")),
        (TREE, 16 << 10, Format::Hybrid,
         Some("004e42de2b8b8166a8fee96b4c2f85d1c1ff73a6"),
         Some("08b2d48f69414e2cabbed430f3cc8ebd0586f2c409100f260a0fb4a5f2e0c2a5")),
        (TREE, 32 << 10, Format::V2,
         None,
         Some("c39beaec3ca9cccc6b5c9981b3c78ec243a0cfb7017592df62581a5c0070cf8d")),
        (TREE, 32 << 10, Format::Hybrid,
         Some("c270e14bea67859bb2eb33fc2131748cc56ea00b"),
         Some("b0ab26f939cc2344a828e1fcee0020b813f5d94b7550f7af4906d1f7aa8a63ce")),
        (TREE, 1 << 20, Format::V2,
         None,
         Some("7e224a7a360eb90c063921f9c5528ecd04e0c39dc0e7bb30e9ab1add7c5c577a")),
        (TREE, 1 << 20, Format::Hybrid,
         Some("41cac5b35ea5a6bb2ee0e82f89c6473fd2092e33"),
         Some("0e83d39b3826077c268b610fa5e8d1fbd8056b716d483db1d940c32904cb2128")),
    ];
    for (files, piece_length, format, v1, v2) in cases {
        let builder = sample(files, piece_length, format);
        let metainfo = Metainfo::parse(&builder.encode().unwrap()).unwrap();
        let hashes = metainfo.info.hashes();
        let place = format!("{} {piece_length} {format:?}", files.0);
        assert_eq!(hashes.v1.map(|hash| hash.to_string()).as_deref(), v1, "{place}");
        assert_eq!(hashes.v2.map(|hash| hash.to_string()).as_deref(), v2, "{place}");
        assert_eq!(**metainfo.info.layout(), builder.layout().unwrap(), "{place}");
        assert!(metainfo.info.has_all_hashes(), "{place}");
    }
}

#[test]
fn what_is_built_is_read_back() {
    let mut builder = sample(TREE, 32 << 10, Format::Hybrid);
    builder.private = true;
    builder.source = Some("somewhere".into());
    builder.similar = vec![vec![1; 20]];
    builder.update_url = Some("http://u.example/".into());
    builder.outer = Outer {
        tiers: vec![
            vec!["http://a.example/".into(), "http://b.example/".into()],
            vec!["udp://c.example:1".into()],
        ],
        web_seeds: vec!["http://w.example/".into()],
        nodes: vec![("n.example".into(), 6881)],
        comment: Some("why".into()),
        created_by: Some("us".into()),
        creation_date: Some(1_000_000_000),
    };
    let metainfo = Metainfo::parse(&builder.encode().unwrap()).unwrap();
    assert_eq!(metainfo.announce, builder.outer.tiers);
    assert_eq!(metainfo.web_seeds, builder.outer.web_seeds);
    assert_eq!(metainfo.nodes, builder.outer.nodes);
    assert_eq!(
        (&metainfo.comment, &metainfo.created_by),
        (&builder.outer.comment, &builder.outer.created_by)
    );
    assert_eq!(metainfo.creation_date, builder.outer.creation_date);
    assert_eq!(metainfo.similar, builder.similar);
    assert_eq!(metainfo.update_url, builder.update_url);
    let info = &metainfo.info;
    assert!(info.private() && info.source() == Some("somewhere"));
    let programs = info.files().iter().filter(|file| file.executable);
    assert_eq!(programs.map(|file| &*file.path).collect::<Vec<_>>(), ["tree/exe"]);
}

#[test]
fn every_piece_has_the_hashes_of_its_bytes() {
    for format in [Format::V2, Format::Hybrid] {
        let metainfo = Metainfo::parse(&sample(TREE, 32 << 10, format).encode().unwrap()).unwrap();
        let layout = metainfo.info.layout();
        for index in 0..layout.piece_count() {
            let span = layout.piece_spans(PieceIndex(index)).find(|span| !span.pad).unwrap();
            let path = &metainfo.info.files()[span.file.0 as usize].path;
            let (_, length, seed) =
                TREE.1.iter().find(|(name, ..)| **path == format!("tree/{name}")).unwrap();
            let start = usize::try_from(span.offset).unwrap();
            let bytes = &content(*length, *seed)[start..start + span.length as usize];
            let piece = metainfo.info.v2_piece(PieceIndex(index)).unwrap();
            let leaves = bytes.chunks(BLOCK as usize).map(crate::merkle::leaf);
            assert_eq!(crate::merkle::root(leaves, piece.leaves.into()), piece.hash, "{format:?} {index}");
        }
    }
}

#[test]
fn directories_are_sorted_part_by_part() {
    let files = [("a-x", content(1, 1)), ("a/b", content(1, 2)), ("a", content(0, 0))];
    let builder = build("t", Format::Hybrid, 16 << 10, &files[..2]);
    let metainfo = Metainfo::parse(&builder.encode().unwrap()).unwrap();
    let files_of = metainfo.info.files().iter().filter(|file| !file.pad);
    assert_eq!(files_of.map(|file| &*file.path).collect::<Vec<_>>(), ["t/a/b", "t/a-x"]);
    let clash = build("t", Format::Hybrid, 16 << 10, &files);
    assert_eq!(clash.encode(), Err(BuildError::Order("a/b".into())));
}

#[test]
fn symbolic_links_are_kept() {
    let mut builder = build("t", Format::Hybrid, 16 << 10, &[("a", content(5, 1)), ("d/link", vec![])]);
    builder.files[1].symlink = Some(vec!["a".into()]);
    let metainfo = Metainfo::parse(&builder.encode().unwrap()).unwrap();
    let link = metainfo.info.files().iter().find(|file| file.symlink.is_some()).unwrap();
    assert_eq!((&*link.path, link.symlink.as_deref()), ("t/d/link", Some("a")));
}

#[test]
fn senseless_torrents_are_not_built() {
    let good = || build("t", Format::Hybrid, 16 << 10, &[("a", content(5, 1)), ("b", content(40_000, 2))]);
    let refused = |change: fn(&mut Builder)| {
        let mut builder = good();
        change(&mut builder);
        builder.encode().unwrap_err()
    };
    good().encode().unwrap();
    assert!(matches!(refused(|b| b.piece_length = 20_000), BuildError::PieceLength(_)));
    assert!(matches!(refused(|b| b.name = "..".into()), BuildError::Path(_)));
    assert!(matches!(refused(|b| b.files[0].path = vec!["x/y".into()]), BuildError::Path(_)));
    assert!(matches!(refused(|b| b.files[0].root = None), BuildError::Hashes(_)));
    assert!(matches!(refused(|b| b.files[1].layer.truncate(1)), BuildError::Hashes(_)));
    assert!(matches!(refused(|b| b.v1_pieces.truncate(20)), BuildError::Hashes(_)));
    assert!(matches!(refused(|b| b.files.swap(0, 1)), BuildError::Order(_)));
    assert!(matches!(refused(|b| b.files.clear()), BuildError::Layout(LayoutError::Empty)));
}
