//! Why bytes are not the bencoding that was asked for, and where.
//!
//! Made by the decoder alone.

use std::fmt;

/// What is wrong, at which byte, and under which keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The byte at which it was noticed, counted from the start of the input.
    pub offset: usize,
    /// The keys and list positions that lead there, for example `info.files[3].path`; empty at the root.
    pub path: String,
}

/// What can be wrong with bencoded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The input ends inside a value.
    #[error("the data ends too early")]
    Truncated,
    /// No value begins with this byte.
    #[error("unexpected byte 0x{0:02x}")]
    UnexpectedByte(u8),
    /// Not a decimal number without leading zeros that fits 64 bits.
    #[error("malformed integer")]
    Integer,
    /// Not a decimal length without leading zeros.
    #[error("malformed string length")]
    Length,
    /// A string claims more bytes than are there.
    #[error("a string is longer than the data")]
    StringTooLong,
    /// Lists and dictionaries are nested deeper than allowed.
    #[error("the depth of nesting is over the limit")]
    Depth,
    /// More values than allowed.
    #[error("there are too many values")]
    TooManyValues,
    /// The input is longer than offsets can say (4 GiB).
    #[error("the data is too large")]
    TooLarge,
    /// A dictionary key is not a string.
    #[error("a dictionary key is not a string")]
    KeyNotString,
    /// A dictionary ends after a key.
    #[error("a dictionary key has no value")]
    MissingValue,
    /// A dictionary's keys are not in order, and strictness was asked for.
    #[error("dictionary keys are not sorted")]
    UnsortedKeys,
    /// A dictionary has a key twice, so that its meaning depends on the reader.
    #[error("a dictionary key occurs twice")]
    DuplicateKey,
    /// Something follows the value.
    #[error("there are extra bytes after the end")]
    TrailingBytes,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.offset)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, " in {}", self.path) }
    }
}

impl std::error::Error for Error {}
