//! What a torrent is: metainfo files, magnet links, hashes, and the geometry of pieces and files (BEP 3, 9, 12, 19, 27, 47, 52).
//!
//! Pure: it reads and writes bytes that others carry. The nouns every other crate shares
//! (`InfoHash`, `PeerId`, `PieceIndex`, `BlockRef`, `Bitfield`) live here, because they name things a torrent defines.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod bitfield;
mod builder;
pub mod edit;
mod error;
mod id;
mod info;
mod layout;
mod lint;
pub mod magnet;
pub mod merkle;
pub mod piece_length;
pub mod safe_path;
#[cfg(test)]
mod testing;
mod torrent;

pub use bitfield::Bitfield;
pub use builder::{BuildError, Builder, NewFile, Outer};
pub use error::ParseError;
pub use id::{InfoHash, InfoHashV2, InfoHashes, PeerId};
pub use info::{File, Format, Info, V2Piece};
pub use layout::{BLOCK, BlockRef, FileIndex, FileSlot, Layout, LayoutError, PieceIndex, Span};
pub use lint::{Lint, LintKind, UnknownLint};
pub use magnet::{Magnet, MagnetError, PeerAddr};
pub use torrent::{MAX_METAINFO, MAX_SEEDS, MAX_TRACKERS, MAX_URL, Metainfo};
