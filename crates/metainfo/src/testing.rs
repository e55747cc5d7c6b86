//! Small torrents for tests, hashed from contents in memory.

use sha1::{Digest, Sha1};

use crate::{BLOCK, Builder, FileIndex, Format, NewFile, Outer, merkle};

/// A byte sequence of this length that differs from block to block and from seed to seed.
pub(crate) fn content(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + seed + (i >> 8)).to_le_bytes()[0]).collect()
}

/// A builder of these files, complete with hashes. One file whose path is the torrent's name is a single-file torrent.
pub(crate) fn build(name: &str, format: Format, piece_length: u32, files: &[(&str, Vec<u8>)]) -> Builder {
    let new_file = |(path, data): &(&str, Vec<u8>)| {
        let leaves: Vec<_> = data.chunks(BLOCK as usize).map(merkle::leaf).collect();
        let blocks = (piece_length / BLOCK).max(1);
        let layer = leaves.chunks(blocks as usize).map(|piece| merkle::root(piece.to_vec(), blocks.into()));
        NewFile {
            path: path.split('/').map(Into::into).collect(),
            length: data.len() as u64,
            root: (!data.is_empty()).then(|| merkle::root(leaves.clone(), 0)),
            layer: if data.len() > piece_length as usize { layer.collect() } else { Vec::new() },
            ..NewFile::default()
        }
    };
    let mut files = files.to_vec();
    files.sort_by_key(|(path, _)| path.split('/').map(str::to_owned).collect::<Vec<_>>());
    let mut builder = Builder {
        name: name.into(),
        piece_length,
        format,
        single_file: matches!(&*files, [(path, _)] if *path == name),
        files: files.iter().map(new_file).collect(),
        v1_pieces: Vec::new(),
        private: false,
        source: None,
        similar: Vec::new(),
        update_url: None,
        outer: Outer::default(),
    };
    if format != Format::V2 {
        let layout = builder.layout().unwrap();
        let mut contents = files.iter().map(|(_, data)| data);
        let mut stream = Vec::new();
        for (index, slot) in (0u32..).zip(layout.files()) {
            assert_eq!(layout.pieces_of(FileIndex(index)).is_empty(), slot.length == 0);
            if slot.pad {
                stream.resize(stream.len() + usize::try_from(slot.length).unwrap(), 0);
            } else {
                stream.extend_from_slice(contents.next().unwrap());
            }
        }
        builder.v1_pieces = stream.chunks(piece_length as usize).flat_map(Sha1::digest).collect();
    }
    builder
}
