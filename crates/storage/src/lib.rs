//! Files, hashing, resume data and the disk threads (BEP 3, 47, 52).
//!
//! What a torrent's bytes do on this machine: [`Disk`] verifies and writes pieces and reads them back for peers,
//! [`TorrentFiles`] knows where they go and lets nothing out of the target folder, [`check`] finds what is there already,
//! [`resume`] remembers it, and [`create`] hashes files into a new torrent. It decides nothing about peers and holds no sockets.

mod buffers;
pub mod check;
mod commit;
pub mod create;
mod descriptors;
mod disk;
mod error;
mod files;
mod folder;
mod gather;
mod hash;
pub mod kernels;
mod read;
pub mod resume;
mod scan;
mod stamp;
#[cfg(test)]
mod test_torrent;

pub use commit::Commit;
pub use disk::Disk;
pub use error::StorageError;
pub use files::{Allocate, Mode, TorrentFiles};
pub use hash::Digest;
pub use read::MAX_READ;
pub use stamp::Stamp;
