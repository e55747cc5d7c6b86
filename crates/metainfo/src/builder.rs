//! New metainfo files from hashes that somebody else computed (BEP 3, 12, 19, 27, 47, 52).
//!
//! Writes what other makers write for the same files, byte for byte, so that equal content has an equal name. Reading and
//! hashing files is for `storage` to do; it asks [`Builder::layout`] which bytes a piece covers.

use std::collections::BTreeMap;

use bencode::{DictEncoder, Encoder, encode_dict};

use crate::merkle::Hash;
use crate::safe_path::MAX_PATH_PARTS;
use crate::{BLOCK, Format, Layout, LayoutError, MAX_METAINFO};

/// All that a new metainfo file says.
#[derive(Clone, Debug)]
pub struct Builder {
    /// The name of the file or folder.
    pub name: String,
    /// Bytes of a piece.
    pub piece_length: u32,
    /// Which hashes it has.
    pub format: Format,
    /// It is one file, not a folder: `files` has one, whose path is the name.
    pub single_file: bool,
    /// The files, sorted by [`Builder::sort`].
    pub files: Vec<NewFile>,
    /// The SHA-1 hashes of all pieces, 20 bytes each; unused in v2.
    pub v1_pieces: Vec<u8>,
    /// Peers may come only from the trackers (BEP 27).
    pub private: bool,
    /// A mark that gives the same content another hash.
    pub source: Option<String>,
    /// Torrents that share files with it (BEP 38): their 20 or 32 byte hashes.
    pub similar: Vec<Vec<u8>>,
    /// Where newer versions will be found (BEP 39).
    pub update_url: Option<String>,
    /// The keys outside `info`.
    pub outer: Outer,
}

/// The keys outside `info`, which do not change the hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outer {
    /// The trackers' URLs, in tiers (BEP 12).
    pub tiers: Vec<Vec<String>>,
    /// Web servers that have the content (BEP 19).
    pub web_seeds: Vec<String>,
    /// DHT nodes to start from: host and port.
    pub nodes: Vec<(String, u16)>,
    /// What the maker says about it.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
    /// Seconds since 1970.
    pub creation_date: Option<i64>,
}

/// One file of a new torrent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewFile {
    /// The parts of its path below the root folder; just the name in a single-file torrent.
    pub path: Vec<String>,
    /// Its length in bytes, 0 for a symbolic link.
    pub length: u64,
    /// It may be run as a program.
    pub executable: bool,
    /// It is to be hidden where systems can do so.
    pub hidden: bool,
    /// It is a symbolic link to this path, counted from the root folder.
    pub symlink: Option<Vec<String>>,
    /// The root of its hash tree; needed in v2 and hybrid torrents unless it is empty.
    pub root: Option<Hash>,
    /// The hashes of its pieces; needed in v2 and hybrid torrents if it is longer than a piece.
    pub layer: Vec<Hash>,
}

/// Why no metainfo file can be made. Those but the first two are mistakes of the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Sizes that make no torrent.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A path that readers would not take as it is.
    #[error("the path {0:?} cannot be in a torrent")]
    Path(String),
    /// The result is larger than readers accept.
    #[error(
        "the torrent file would have {0} bytes, more than clients accept ({MAX_METAINFO}): use longer pieces"
    )]
    TooLarge(usize),
    /// v2 allows powers of two from 16 KiB.
    #[error(
        "the piece length {0} is not a power of two of 16 KiB or more, which v2 and hybrid torrents need"
    )]
    PieceLength(u32),
    /// Files are not sorted, occur twice, or lie below another file.
    #[error("the file {0:?} is out of order, or there twice")]
    Order(String),
    /// Hashes are missing or too many.
    #[error("the hashes of {0:?} do not fit its length")]
    Hashes(String),
}

impl Builder {
    /// Puts the files in the order that the torrent lists them: by the bytes of their paths, part by part, as a v2 tree is sorted.
    pub fn sort(&mut self) {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// The geometry of the torrent to be. Its files are [`Builder::files`] in order, and in a hybrid the padding between them.
    pub fn layout(&self) -> Result<Layout, BuildError> {
        let lengths = self.files.iter().map(|file| file.length);
        let piece_length = u64::from(self.piece_length);
        Ok(match self.format {
            Format::V2 => Layout::aligned(piece_length, lengths)?,
            Format::V1 => Layout::contiguous(piece_length, lengths.map(|length| (length, false)))?,
            Format::Hybrid => {
                let padded = lengths.flat_map(|length| {
                    let padding = self.padding(length);
                    [Some((length, false)), (padding > 0).then_some((padding, true))]
                });
                Layout::contiguous(piece_length, padded.flatten())?
            }
        })
    }

    /// The bytes of the metainfo file.
    pub fn encode(&self) -> Result<Vec<u8>, BuildError> {
        self.check()?;
        let info = encode_dict(|info| self.info(info));
        let bytes = encode_dict(|dict| {
            self.outer.encode(dict);
            dict.raw("info", &info);
            if self.format != Format::V1 {
                self.piece_layers(dict);
            }
        });
        if bytes.len() > MAX_METAINFO { Err(BuildError::TooLarge(bytes.len())) } else { Ok(bytes) }
    }

    /// Bytes of padding behind a file of this length, so that the next one begins a piece.
    ///
    /// The last file is padded too, as libtorrent does; one that stands alone is not.
    fn padding(&self, length: u64) -> u64 {
        if self.single_file || self.format != Format::Hybrid || self.piece_length == 0 {
            return 0;
        }
        length.next_multiple_of(self.piece_length.into()) - length
    }

    fn check(&self) -> Result<(), BuildError> {
        let even = self.piece_length.is_power_of_two() && self.piece_length >= BLOCK;
        if self.format != Format::V1 && !even {
            return Err(BuildError::PieceLength(self.piece_length));
        }
        let layout = self.layout()?;
        let hashes = layout.piece_count() as usize * 20;
        if self.format != Format::V2 && self.v1_pieces.len() != hashes {
            return Err(BuildError::Hashes(self.name.clone()));
        }
        if !is_part(&self.name) {
            return Err(BuildError::Path(self.name.clone()));
        }
        if self.single_file && self.files.iter().any(|file| file.path != [&*self.name]) {
            return Err(BuildError::Path(self.name.clone()));
        }
        for file in &self.files {
            let sober =
                (1..=MAX_PATH_PARTS).contains(&file.path.len()) && file.path.iter().all(|part| is_part(part));
            if !sober {
                return Err(BuildError::Path(file.path.join("/")));
            }
            if self.format != Format::V1 && !file.has_hashes(self.piece_length.into()) {
                return Err(BuildError::Hashes(file.path.join("/")));
            }
        }
        let ordered =
            |pair: &[NewFile]| matches!(pair, [a, b] if a.path < b.path && !b.path.starts_with(&a.path));
        match self.files.windows(2).find(|pair| !ordered(pair)) {
            Some(pair) => {
                Err(BuildError::Order(pair.last().map(|file| file.path.join("/")).unwrap_or_default()))
            }
            None => Ok(()),
        }
    }

    fn info(&self, info: &mut DictEncoder<'_>) {
        info.bytes("name", &self.name);
        info.int("piece length", self.piece_length.into());
        if self.private {
            info.int("private", 1);
        }
        if let Some(source) = &self.source {
            info.bytes("source", source);
        }
        if !self.similar.is_empty() {
            info.list("similar", |list| self.similar.iter().for_each(|hash| list.bytes(hash)));
        }
        if let Some(url) = &self.update_url {
            info.bytes("update-url", url);
        }
        if self.format != Format::V1 {
            info.int("meta version", 2);
            info.dict("file tree", |tree| file_tree(tree, &self.files, 0));
        }
        if self.format != Format::V2 {
            info.bytes("pieces", &self.v1_pieces);
            match self.files.as_slice() {
                [file] if self.single_file => {
                    info.int("length", signed(file.length));
                    file.attributes(info);
                }
                files => info.list("files", |list| files.iter().for_each(|file| self.v1_file(file, list))),
            }
        }
    }

    fn v1_file(&self, file: &NewFile, list: &mut Encoder) {
        list.dict(|dict| {
            dict.int("length", signed(file.length));
            dict.list("path", |path| file.path.iter().for_each(|part| path.bytes(part)));
            file.attributes(dict);
        });
        let padding = self.padding(file.length);
        if padding > 0 {
            list.dict(|dict| {
                dict.bytes("attr", "p");
                dict.int("length", signed(padding));
                dict.list("path", |path| {
                    path.bytes(".pad");
                    path.bytes(padding.to_string());
                });
            });
        }
    }

    fn piece_layers(&self, dict: &mut DictEncoder<'_>) {
        let layered = self.files.iter().filter(|file| !file.layer.is_empty());
        let layers: BTreeMap<Hash, &[Hash]> =
            layered.filter_map(|file| Some((file.root?, &*file.layer))).collect();
        dict.dict("piece layers", |dict| {
            for (root, layer) in layers {
                dict.bytes(root, layer.as_flattened());
            }
        });
    }
}

impl NewFile {
    fn has_hashes(&self, piece_length: u64) -> bool {
        let pieces = if self.length > piece_length { self.length.div_ceil(piece_length) } else { 0 };
        self.root.is_some() == (self.length > 0) && self.layer.len() as u64 == pieces
    }

    /// The keys of BEP 47, which both formats share.
    fn attributes(&self, dict: &mut DictEncoder<'_>) {
        let letters = [(self.hidden, 'h'), (self.executable, 'x'), (self.symlink.is_some(), 'l')];
        let attr: String = letters.iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect();
        if !attr.is_empty() {
            dict.bytes("attr", attr);
        }
        if let Some(target) = &self.symlink {
            dict.list("symlink path", |path| target.iter().for_each(|part| path.bytes(part)));
        }
    }

    fn leaf(&self, dict: &mut DictEncoder<'_>) {
        self.attributes(dict);
        if self.symlink.is_none() {
            dict.int("length", signed(self.length));
        }
        if let Some(root) = self.root {
            dict.bytes("pieces root", root);
        }
    }
}

impl Outer {
    /// Writes the keys; `announce` is the first tracker, for readers that do not know tiers.
    pub(crate) fn encode(&self, dict: &mut DictEncoder<'_>) {
        if let Some(first) = self.tiers.iter().flatten().next() {
            dict.bytes("announce", first);
        }
        if self.tiers.iter().flatten().count() > 1 {
            dict.list("announce-list", |list| {
                for tier in self.tiers.iter().filter(|tier| !tier.is_empty()) {
                    list.list(|list| tier.iter().for_each(|url| list.bytes(url)));
                }
            });
        }
        if !self.web_seeds.is_empty() {
            dict.list("url-list", |list| self.web_seeds.iter().for_each(|url| list.bytes(url)));
        }
        if !self.nodes.is_empty() {
            dict.list("nodes", |list| {
                for (host, port) in &self.nodes {
                    list.list(|node| {
                        node.bytes(host);
                        node.int((*port).into());
                    });
                }
            });
        }
        self.comment.iter().for_each(|comment| dict.bytes("comment", comment));
        self.created_by.iter().for_each(|name| dict.bytes("created by", name));
        self.creation_date.iter().for_each(|date| dict.int("creation date", *date));
    }
}

/// Writes the directory that all `files` share up to part `depth` of their paths. The files are sorted.
fn file_tree(tree: &mut DictEncoder<'_>, files: &[NewFile], depth: usize) {
    for group in files.chunk_by(|a, b| a.path.get(depth) == b.path.get(depth)) {
        let Some((first, name)) = group.first().and_then(|file| Some((file, file.path.get(depth)?))) else {
            continue;
        };
        tree.dict(name, |node| {
            if first.path.len() == depth + 1 {
                node.dict("", |leaf| first.leaf(leaf));
            } else {
                file_tree(node, group, depth + 1);
            }
        });
    }
}

/// Whether readers take this part of a path as it is, or nearly so.
fn is_part(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && !part.contains(['/', '\0'])
}

/// Lengths are below 2^63: [`Layout`] sees to that.
fn signed(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
