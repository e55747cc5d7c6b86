//! Bencoding: the integers, byte strings, lists and dictionaries of BEP 3.
//!
//! Owned by whoever holds the bytes; a decoded document borrows them. It knows no key of any format: what a dictionary
//! must hold is for `metainfo`, `wire` and `announce` to say.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod decode;
mod encode;
mod error;
mod value;

pub use decode::{Decoded, MAX_DEPTH, MAX_TOKENS, Options, decode, decode_prefix};
pub use encode::{DictEncoder, Encoder, encode_dict};
pub use error::{Error, ErrorKind};
pub use value::{Dict, Entries, Kind, List, Value};
