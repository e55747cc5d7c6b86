//! Any bytes as a metainfo file: no panic, and a torrent that loads is safe to download.

#![no_main]

use libfuzzer_sys::fuzz_target;
use metainfo::{Info, Metainfo, PieceIndex};

fuzz_target!(|data: &[u8]| {
    if let Ok(torrent) = Metainfo::parse(data) {
        check(&torrent.info);
        let again = Info::parse(torrent.info.raw()).expect("the info dictionary alone is refused");
        assert_eq!(again.hashes(), torrent.info.hashes());
    }
    if let Ok(info) = Info::parse(data) {
        check(&info);
        assert_eq!(info.raw(), data);
    }
});

fn check(info: &Info) {
    let layout = info.layout();
    assert_eq!(info.files().len(), layout.files().len());
    for (file, slot) in info.files().iter().zip(layout.files()) {
        assert_eq!(file.length, slot.length);
        let safe =
            |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\0', '\\']);
        assert!(file.path.split('/').all(safe), "{:?}", file.path);
    }
    let mut paths: Vec<_> = info.files().iter().filter(|file| !file.pad).map(|file| &file.path).collect();
    paths.sort_unstable();
    assert!(paths.windows(2).all(|pair| pair[0] != pair[1]), "two files have one path");

    // Long torrents are checked at both ends.
    let last = layout.piece_count();
    for index in (0..last.min(64)).chain(last.saturating_sub(64)..last) {
        let piece = PieceIndex(index);
        let covered: u64 = layout.piece_spans(piece).map(|span| u64::from(span.length)).sum();
        assert_eq!(covered, u64::from(layout.piece_size(piece)));
        assert!(
            info.v1_piece(piece).is_some() || info.v2_piece(piece).is_some() || info.hashes().v1.is_none()
        );
    }
}
