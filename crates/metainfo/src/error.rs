//! Why bytes are no torrent.
//!
//! The same for a metainfo file and for an info dictionary that came from a peer.

use crate::LayoutError;

/// Why bytes are no torrent. The texts are for the user: they name the key and what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There are no bytes.
    #[error("the file is empty")]
    Empty,
    /// More bytes than [`MAX_METAINFO`](crate::MAX_METAINFO).
    #[error("{0} bytes are more than a torrent file may have ({max})", max = crate::MAX_METAINFO)]
    TooLarge(usize),
    /// Compressed data, of this format. It is refused, not unpacked, so that no small file can become a huge one.
    #[error("the file is {0} data, not a torrent: unpack it first")]
    Compressed(&'static str),
    /// A web page, as servers send in place of a file.
    #[error("the file is a web page, not a torrent")]
    WebPage,
    /// Not bencoding.
    #[error("not a torrent: {0}")]
    Bencode(#[from] bencode::Error),
    /// A key that is needed is missing, or its value is not what it must be.
    #[error("`{key}` {problem}")]
    Key {
        /// The key, with the dictionaries around it: `info.piece length`.
        key: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The files and the piece length make no torrent.
    #[error("senseless sizes: {0}")]
    Layout(#[from] LayoutError),
    /// The number of piece hashes is not the number of pieces.
    #[error("`info.pieces` has {found} hashes for {expected} pieces")]
    PieceCount {
        /// Hashes in the file.
        found: usize,
        /// Pieces that the files make.
        expected: u32,
    },
    /// A `meta version` that nobody knows yet.
    #[error("meta version {0} is not supported")]
    MetaVersion(i64),
    /// The v1 and the v2 description of a hybrid torrent differ, so that it is two torrents in one (BEP 52).
    #[error("the v1 and v2 file lists disagree: {0}")]
    Disagree(String),
    /// `piece layers` do not belong to the files.
    #[error("`piece layers` {0}")]
    PieceLayers(&'static str),
    /// More names had to be changed to be told apart than an honest torrent can need.
    #[error("more than {max} files have the same name as another", max = crate::safe_path::MAX_RENAMED)]
    DuplicateNames,
}

impl ParseError {
    pub(crate) fn key(key: impl Into<String>, problem: &'static str) -> Self {
        Self::Key { key: key.into(), problem }
    }
}
