//! Small torrents for tests, hashed here by the plainest means, so that nothing is tested against itself.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc;

use bytes::Bytes;
use metainfo::{BLOCK, Bitfield, FileIndex, Info, Metainfo, PieceIndex};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{Commit, Disk, Mode, StorageError, TorrentFiles};

/// A torrent called `t`, its bytes, and a folder to work in.
pub(crate) struct TestTorrent {
    pub(crate) info: Arc<Info>,
    /// Content of the files, padding included.
    contents: Vec<Vec<u8>>,
    pub(crate) home: TempDir,
}

type Hash = [u8; 32];

impl TestTorrent {
    pub(crate) fn v1(piece_length: usize, files: &[(&str, usize)]) -> Self {
        let contents: Vec<Vec<u8>> = files.iter().map(|(name, length)| content(name, *length)).collect();
        let list = files
            .iter()
            .map(|(name, length)| (format!("4:pathl{}e", path(name)), *length, ""))
            .collect::<Vec<_>>();
        let info = format!("d5:files{}4:name1:t12:piece lengthi{piece_length}e", file_list(&list));
        Self::parse(&[info.as_bytes(), &pieces(&contents, piece_length), b"e"].concat(), b"", contents)
    }

    /// One that is both v1 and v2. File names must be sorted and without folders.
    pub(crate) fn hybrid(piece_length: usize, files: &[(&str, usize)]) -> Self {
        Self::hybrid_of(
            piece_length,
            files.iter().map(|(name, length)| (*name, content(name, *length))).collect(),
            false,
        )
    }

    /// As [`Self::hybrid`], with `broken` of two hashes of the first piece, the v2 one is for other bytes.
    pub(crate) fn hybrid_of(piece_length: usize, files: Vec<(&str, Vec<u8>)>, broken: bool) -> Self {
        let (mut contents, mut list) = (Vec::new(), Vec::new());
        let (mut tree, mut layers) = (Vec::new(), Vec::new());
        let count = files.len();
        for (at, (name, bytes)) in files.into_iter().enumerate() {
            let mut v2_bytes = bytes.clone();
            if broken && at == 0 {
                v2_bytes[0] ^= 1;
            }
            let (root, layer) = v2(&v2_bytes, piece_length);
            tree.extend(format!("{}:{name}d0:d6:lengthi{}e", name.len(), bytes.len()).bytes());
            if !bytes.is_empty() {
                tree.extend([b"11:pieces root32:", &root[..]].concat());
            }
            tree.extend(b"ee");
            if bytes.len() > piece_length {
                layers.push((root, layer));
            }
            let padding = bytes.len().next_multiple_of(piece_length) - bytes.len();
            list.push((format!("4:pathl{}e", path(name)), bytes.len(), ""));
            contents.push(bytes);
            if padding > 0 && at + 1 < count {
                let name = padding.to_string();
                list.push((format!("4:pathl4:.pad{}e", path(&name)), padding, "4:attr1:p"));
                contents.push(vec![0; padding]);
            }
        }
        let mut info = b"d9:file treed".to_vec();
        info.extend(tree);
        info.extend(
            format!("e5:files{}12:meta versioni2e4:name1:t12:piece lengthi{piece_length}e", file_list(&list))
                .bytes(),
        );
        info.extend(pieces(&contents, piece_length));
        info.push(b'e');
        layers.sort_unstable();
        let layers: Vec<u8> = layers
            .iter()
            .flat_map(|(root, layer)| {
                [b"32:", &root[..], format!("{}:", layer.len()).as_bytes(), layer].concat()
            })
            .collect();
        Self::parse(&info, &[b"12:piece layersd", &layers[..], b"e"].concat(), contents)
    }

    fn parse(info: &[u8], after: &[u8], contents: Vec<Vec<u8>>) -> Self {
        let whole = [b"d4:info", info, after, b"e"].concat();
        let info = Arc::clone(&Metainfo::parse(&whole).expect("a valid torrent").info);
        Self { info, contents, home: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.home.path().join("downloads")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// The files, opened for downloading.
    pub(crate) fn fetch(&self) -> Arc<TorrentFiles> {
        self.open(Mode::FETCH).unwrap()
    }

    pub(crate) fn open(&self, mode: Mode) -> Result<Arc<TorrentFiles>, StorageError> {
        TorrentFiles::open(Arc::clone(&self.info), self.folder(), None, mode)
    }

    /// Writes all files as they should be.
    pub(crate) fn put_files(&self) {
        for (at, content) in self.contents.iter().enumerate() {
            if let Some(path) = self.path(at) {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
        }
    }

    /// Where a file belongs; `None` for padding.
    pub(crate) fn path(&self, file: usize) -> Option<PathBuf> {
        let file = &self.info.files()[file];
        (!file.pad).then(|| self.folder().join(&*file.path))
    }

    pub(crate) fn content(&self, file: usize) -> &[u8] {
        &self.contents[file]
    }

    /// The bytes of a piece, padding included, in blocks.
    pub(crate) fn blocks(&self, piece: u32) -> Vec<Bytes> {
        let layout = self.info.layout();
        let mut bytes = Vec::new();
        for span in layout.piece_spans(PieceIndex(piece)) {
            let from = usize::try_from(span.offset).unwrap();
            bytes.extend(&self.contents[span.file.0 as usize][from..from + span.length as usize]);
        }
        let whole = Bytes::from(bytes);
        (0..whole.len())
            .step_by(BLOCK as usize)
            .map(|at| whole.slice(at..whole.len().min(at + BLOCK as usize)))
            .collect()
    }

    pub(crate) fn piece_count(&self) -> u32 {
        self.info.layout().piece_count()
    }
}

/// Hands a piece to the disk and waits for what becomes of it.
pub(crate) fn commit(disk: &Disk, files: &Arc<TorrentFiles>, piece: u32, blocks: Vec<Bytes>) -> Commit {
    let (tell, told) = mpsc::channel();
    disk.commit(files, PieceIndex(piece), blocks, true, move |result| tell.send(result).unwrap());
    told.recv().unwrap()
}

pub(crate) fn read(
    disk: &Disk,
    files: &Arc<TorrentFiles>,
    piece: u32,
    begin: u32,
    length: u32,
) -> Result<Bytes, StorageError> {
    let (tell, told) = mpsc::channel();
    let blocks = (begin..begin + length).step_by(BLOCK as usize);
    let block = |at| files.layout().block(piece, at, BLOCK.min(begin + length - at)).unwrap();
    disk.read(files, blocks.map(block).collect(), move |_, result| tell.send(result).unwrap());
    told.recv().unwrap().map_err(|(_, error)| error)
}

/// Checks pieces and gives the good ones.
pub(crate) fn check(
    disk: &Disk,
    files: &Arc<TorrentFiles>,
    pieces: &Bitfield,
) -> Result<Vec<u32>, StorageError> {
    let (tell, told) = mpsc::channel();
    let (progress, cancel) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    disk.check(files, pieces, progress, cancel, move |result| tell.send(result).unwrap());
    Ok(told.recv().unwrap()?.iter().collect())
}

/// Everything is wanted.
pub(crate) fn all(_: FileIndex) -> bool {
    true
}

/// Bytes that differ from file to file and from place to place.
pub(crate) fn content(name: &str, length: usize) -> Vec<u8> {
    let mut state =
        name.bytes().fold(0x9e37_79b9_7f4a_7c15u64, |state, byte| state.rotate_left(7) ^ u64::from(byte));
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()[6]
    };
    (0..length).map(|_| next()).collect()
}

fn path(name: &str) -> String {
    name.split('/').map(|part| format!("{}:{part}", part.len())).collect::<Vec<_>>().concat()
}

fn file_list(files: &[(String, usize, &str)]) -> String {
    let entries = files.iter().map(|(path, length, attr)| format!("d{attr}6:lengthi{length}e{path}e"));
    format!("l{}e", entries.collect::<Vec<_>>().concat())
}

fn pieces(contents: &[Vec<u8>], piece_length: usize) -> Vec<u8> {
    let hashes: Vec<u8> =
        contents.concat().chunks(piece_length).flat_map(|piece| Sha1::digest(piece).to_vec()).collect();
    [format!("6:pieces{}:", hashes.len()).as_bytes(), &hashes].concat()
}

/// The root and the piece layer of a file (BEP 52), by building whole rows.
pub(crate) fn v2(bytes: &[u8], piece_length: usize) -> (Hash, Vec<u8>) {
    let leaves: Vec<Hash> = bytes.chunks(16_384).map(|block| Sha256::digest(block).into()).collect();
    let mut row = leaves.clone();
    row.resize(leaves.len().next_power_of_two(), [0; 32]);
    let per_piece = piece_length / 16_384;
    let layer = leaves.chunks(per_piece).flat_map(|piece| {
        let mut row = piece.to_vec();
        row.resize(per_piece, [0; 32]);
        climb(row)
    });
    (climb(row), layer.collect())
}

fn climb(mut row: Vec<Hash>) -> Hash {
    while row.len() > 1 {
        row = row.chunks(2).map(|two| Sha256::digest(two.concat()).into()).collect();
    }
    row[0]
}
