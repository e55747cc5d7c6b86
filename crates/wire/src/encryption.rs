//! A connection that looks random: key exchange and cipher of Message Stream Encryption.
//!
//! Used by the engine before the handshake and for every byte after it. It hides what is spoken from who looks on, and proves
//! nothing about who is at the other end; which torrents there are, time and randomness are the driver's.

mod exchange;
mod key;
mod rc4;

pub use exchange::{Exchange, ExchangeFault, MAX_PADDING, Settled, torrent_name};
pub use key::{PUBLIC, SECRET};
pub use rc4::Cipher;
