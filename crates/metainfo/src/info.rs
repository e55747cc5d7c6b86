//! The `info` dictionary: what a torrent contains, and by which hashes its data are known (BEP 3, 27, 47, 52).
//!
//! Shared by everything that works on the torrent. It keeps the bytes it was read from, because they are what the torrent is
//! named after; who announces it is [`Metainfo`](crate::Metainfo)'s business.

mod layers;
mod read;
mod tree;

pub(crate) use read::info as read_info;

use std::sync::Arc;

use bytes::Bytes;

use crate::lint::Lints;
use crate::merkle::Hash;
use crate::safe_path::Names;
use crate::{BLOCK, InfoHash, InfoHashes, Layout, Lint, ParseError, PieceIndex};

/// Which of the two formats a torrent speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Only the original one (BEP 3): SHA-1 over pieces.
    V1,
    /// Only the second one (BEP 52): a SHA-256 tree for each file.
    V2,
    /// Both, over the same files.
    Hybrid,
}

/// One file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its safe path, joined by `/`. It begins with the torrent's name; the one file of a single-file torrent has just that.
    pub path: Box<str>,
    /// Its length in bytes.
    pub length: u64,
    /// A padding file: zeros that are never written nor asked for (BEP 47).
    pub pad: bool,
    /// It may be run as a program.
    pub executable: bool,
    /// It is to be hidden where systems can do so.
    pub hidden: bool,
    /// It is a symbolic link to this path, which is relative to the torrent's root folder and safe like `path`, but without
    /// the torrent's name. It never leads outside: it has no `..` and no file lies behind a link.
    pub symlink: Option<Box<str>>,
    pub(crate) root: Option<Box<Hash>>,
}

impl File {
    /// The root of its hash tree (`pieces root`); only files of v2 and hybrid torrents that are not empty have one.
    pub fn root(&self) -> Option<&Hash> {
        self.root.as_deref()
    }
}

/// What the hash tree says about one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V2Piece {
    /// The root over the SHA-256 hashes of the piece's 16 KiB blocks.
    pub hash: Hash,
    /// How many leaves the tree has, a power of two: hashes of zeros stand for missing blocks.
    pub leaves: u32,
}

/// The content of a torrent.
#[derive(Clone, Debug)]
pub struct Info {
    raw: Bytes,
    hashes: InfoHashes,
    wire_hash: InfoHash,
    format: Format,
    name: Box<str>,
    single_file: bool,
    private: bool,
    source: Option<Box<str>>,
    layout: Arc<Layout>,
    files: Vec<File>,
    /// 20 bytes for each piece; empty in v2-only torrents.
    v1_pieces: Bytes,
    /// The piece layers of files longer than a piece, 32 bytes for each piece, sorted by file.
    layers: Vec<(u32, Bytes)>,
    lints: Vec<Lint>,
}

impl Info {
    /// Reads an info dictionary that came alone, from a peer (BEP 9). Piece layers are not part of it.
    pub fn parse(raw: &[u8]) -> Result<Self, ParseError> {
        Self::parse_with(raw, Names::default())
    }

    /// The same, with other rules for names.
    pub fn parse_with(raw: &[u8], names: Names) -> Result<Self, ParseError> {
        let raw = Bytes::copy_from_slice(raw);
        let decoded = crate::torrent::decode(&raw)?;
        let mut lints = Lints::default();
        let mut info = read::info(raw.clone(), decoded.root(), names, &mut lints)?;
        info.lints = lints.finish();
        Ok(info)
    }

    /// Both names of the torrent.
    pub fn hashes(&self) -> InfoHashes {
        self.hashes
    }

    /// The name that trackers and handshakes carry: the v1 hash where there is one, else the truncated v2 hash.
    pub fn wire_hash(&self) -> InfoHash {
        self.wire_hash
    }

    /// The dictionary as it was read, byte for byte.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Which formats it speaks.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The suggested name of the file or folder, made safe.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is one file, not a folder of files.
    pub fn single_file(&self) -> bool {
        self.single_file
    }

    /// Whether peers may come only from the torrent's own trackers (BEP 27).
    pub fn private(&self) -> bool {
        self.private
    }

    /// The `source` mark, which trackers use to tell their torrents from others' of the same content.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The geometry of pieces and files.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The files, padding included, in the order of [`Layout::files`].
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The SHA-1 hash of a piece; `None` in v2-only torrents.
    pub fn v1_piece(&self, piece: PieceIndex) -> Option<[u8; 20]> {
        let start = (piece.0 as usize).checked_mul(20)?;
        self.v1_pieces.get(start..start + 20)?.try_into().ok()
    }

    /// The hash tree of a piece; `None` in v1 torrents, and where the piece layer is missing.
    ///
    /// In a hybrid torrent it covers the piece less its padding.
    pub fn v2_piece(&self, piece: PieceIndex) -> Option<V2Piece> {
        let span = self.layout.piece_spans(piece).find(|span| !span.pad)?;
        let file = self.files.get(span.file.0 as usize)?;
        let piece_length = self.layout.piece_length();
        if file.length <= u64::from(piece_length) {
            let blocks = u32::try_from(file.length.div_ceil(BLOCK.into())).ok()?;
            return Some(V2Piece { hash: *file.root()?, leaves: blocks.next_power_of_two() });
        }
        let at = self.layers.binary_search_by_key(&span.file.0, |(file, _)| *file).ok()?;
        let (_, layer) = self.layers.get(at)?;
        let start = usize::try_from(span.offset / u64::from(piece_length)).ok()?.checked_mul(32)?;
        let hash = layer.get(start..start + 32)?.try_into().ok()?;
        Some(V2Piece { hash, leaves: piece_length / BLOCK })
    }

    /// Whether every piece has all the hashes that its format promises. Only v2 piece layers can be missing.
    pub fn has_all_hashes(&self) -> bool {
        self.format == Format::V1 || self.layers.len() == self.layered_files().count()
    }

    /// The piece layer of each file that has one, by its `pieces root`: what `piece layers` of a metainfo file lists.
    pub fn piece_layers(&self) -> impl Iterator<Item = (&Hash, &Bytes)> {
        self.layers.iter().filter_map(|(file, layer)| Some((self.files.get(*file as usize)?.root()?, layer)))
    }

    /// What is odd about it.
    pub fn lints(&self) -> &[Lint] {
        &self.lints
    }

    /// The files that need a piece layer: those longer than a piece, with their numbers and roots.
    fn layered_files(&self) -> impl Iterator<Item = (u32, &File, &Hash)> {
        let shortest = u64::from(self.layout.piece_length());
        let files = (0u32..).zip(&self.files).filter(move |(_, file)| file.length > shortest);
        files.filter_map(|(index, file)| Some((index, file, file.root()?)))
    }
}
