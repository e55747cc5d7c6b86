//! One peer connection, as bytes: handshake, messages and extensions (BEP 3, 4, 6, 9, 10, 20, 21), and
//! encryption (Message Stream Encryption).
//!
//! Pure: bytes in, messages out, and back. It knows no torrent: whether an index exists is for `swarm` to say.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]
#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod client;
mod decoder;
mod encoder;
pub mod encryption;
mod extension;
mod fault;
mod handshake;
mod message;
mod pex;

pub use client::{client_name, our_peer_id};
pub use decoder::{Decoder, MAX_MESSAGE};
pub use encoder::{Encoder, piece_header};
pub use extension::{MAX_METADATA, MAX_REQUEST_QUEUE, METADATA_PIECE, UT_METADATA, UT_PEX};
pub use fault::Fault;
pub use handshake::{Handshake, Reserved};
pub use message::{ExtensionHandshake, Message, MetadataMessage, PeerExchange, Request};
