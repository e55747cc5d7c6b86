//! From bytes to a flat list of tokens, without recursion (BEP 3).
//!
//! Memory is twelve bytes for every value and key, bounded by [`Options::max_tokens`]; the stack does not grow with the input.

use std::fmt::Write as _;

use crate::value::Value;
use crate::{Error, ErrorKind};

/// How deep lists and dictionaries may be nested. Real documents need less than ten, file trees of BEP 52 a few dozen.
pub const MAX_DEPTH: usize = 64;

/// How many values and keys a document may have: 4 Mi of 12 bytes are 48 MiB.
///
/// A metainfo file of 400,000 files has about 3 million.
pub const MAX_TOKENS: usize = 4 << 20;

/// How much of a strange key an error shows, in bytes.
const MAX_SHOWN_KEY: usize = 40;

/// What a decoder puts up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Refuse dictionaries whose keys are not in order. Duplicate keys are refused always.
    pub sorted: bool,
    /// How deep lists and dictionaries may be nested.
    pub max_depth: usize,
    /// How many values and keys there may be.
    pub max_tokens: usize,
}

impl Options {
    /// Only bytes that an encoder could have written.
    pub const STRICT: Self = Self { sorted: true, max_depth: MAX_DEPTH, max_tokens: MAX_TOKENS };
    /// Keys may stand in any order, as in some documents met in the wild.
    pub const LENIENT: Self = Self { sorted: false, ..Self::STRICT };
}

/// A decoded document.
#[derive(Debug)]
pub struct Decoded<'a> {
    source: &'a [u8],
    /// Never empty: the first token is the root.
    tokens: Vec<Token>,
    root: Token,
}

/// Where one value stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    /// Its first byte.
    pub(crate) start: u32,
    /// The byte behind its last.
    pub(crate) end: u32,
    /// The index of the first token that is not inside it.
    pub(crate) next: u32,
}

/// Decodes one value that takes up all of `source`.
pub fn decode(source: &[u8], options: Options) -> Result<Decoded<'_>, Error> {
    let decoded = decode_prefix(source, options)?;
    if decoded.end() == source.len() {
        Ok(decoded)
    } else {
        Err(Error { kind: ErrorKind::TrailingBytes, offset: decoded.end(), path: String::new() })
    }
}

/// Decodes the value at the start of `source`; other data may follow it, as in metadata messages (BEP 9).
pub fn decode_prefix(source: &[u8], options: Options) -> Result<Decoded<'_>, Error> {
    let mut decoder = Decoder { source, at: 0, tokens: Vec::new(), open: Vec::new(), options };
    match decoder.run() {
        Ok(root) => Ok(Decoded { source, tokens: decoder.tokens, root }),
        Err(kind) => Err(Error { kind, offset: decoder.at, path: decoder.path() }),
    }
}

impl Decoded<'_> {
    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        Value::of(self.source, &self.tokens, self.root, 1)
    }

    /// How many bytes of the input it takes up.
    pub fn end(&self) -> usize {
        self.root.end as usize
    }
}

/// The content of an encoded string: what follows its colon.
pub(crate) fn string_body(encoded: &[u8]) -> &[u8] {
    let colon = encoded.iter().position(|&byte| byte == b':').unwrap_or_default();
    encoded.get(colon + 1..).unwrap_or_default()
}

struct Decoder<'a> {
    source: &'a [u8],
    at: usize,
    tokens: Vec<Token>,
    open: Vec<Open<'a>>,
    options: Options,
}

/// A list or dictionary whose end has not been reached.
struct Open<'a> {
    token: usize,
    place: Place<'a>,
}

enum Place<'a> {
    List { index: usize },
    Dict { key: Option<&'a [u8]>, value_due: bool, sorted: bool },
}

impl<'a> Decoder<'a> {
    fn run(&mut self) -> Result<Token, ErrorKind> {
        if u32::try_from(self.source.len()).is_err() {
            return Err(ErrorKind::TooLarge);
        }
        loop {
            let first = *self.source.get(self.at).ok_or(ErrorKind::Truncated)?;
            let key_due =
                matches!(self.open.last(), Some(Open { place: Place::Dict { value_due: false, .. }, .. }));
            let done = match first {
                b'e' if !self.open.is_empty() => Some(self.close()?),
                b'0'..=b'9' if key_due => {
                    self.key()?;
                    None
                }
                _ if key_due => return Err(ErrorKind::KeyNotString),
                b'0'..=b'9' => {
                    let end = self.string_end()?;
                    Some(self.leaf(end)?)
                }
                b'i' => {
                    let end = self.int_end()?;
                    Some(self.leaf(end)?)
                }
                b'l' => self.start(Place::List { index: 0 })?,
                b'd' => self.start(Place::Dict { key: None, value_due: false, sorted: true })?,
                other => return Err(ErrorKind::UnexpectedByte(other)),
            };
            if let Some(token) = done {
                match self.open.last_mut().map(|open| &mut open.place) {
                    None => return Ok(token),
                    Some(Place::List { index }) => *index += 1,
                    Some(Place::Dict { value_due, .. }) => *value_due = false,
                }
            }
        }
    }

    fn start(&mut self, place: Place<'a>) -> Result<Option<Token>, ErrorKind> {
        if self.open.len() >= self.options.max_depth {
            return Err(ErrorKind::Depth);
        }
        self.open.push(Open { token: self.tokens.len(), place });
        self.leaf(self.at + 1)?;
        Ok(None)
    }

    fn close(&mut self) -> Result<Token, ErrorKind> {
        match self.open.last() {
            Some(Open { place: Place::Dict { value_due: true, .. }, .. }) => {
                return Err(ErrorKind::MissingValue);
            }
            Some(Open { token, place: Place::Dict { sorted: false, .. } }) if self.has_duplicates(*token) => {
                return Err(ErrorKind::DuplicateKey);
            }
            _ => {}
        }
        self.at += 1;
        let (end, next) = (short(self.at)?, short(self.tokens.len())?);
        let token = self.open.pop().and_then(|open| self.tokens.get_mut(open.token));
        let token = token.ok_or(ErrorKind::Truncated)?;
        (token.end, token.next) = (end, next);
        Ok(*token)
    }

    fn key(&mut self) -> Result<(), ErrorKind> {
        let end = self.string_end()?;
        let name = self.source.get(self.at..end).map(string_body).unwrap_or_default();
        if let Some(Open { place: Place::Dict { key, value_due, sorted }, .. }) = self.open.last_mut() {
            match key.replace(name).map(|before| before.cmp(name)) {
                Some(std::cmp::Ordering::Equal) => return Err(ErrorKind::DuplicateKey),
                Some(std::cmp::Ordering::Greater) if self.options.sorted => {
                    return Err(ErrorKind::UnsortedKeys);
                }
                Some(std::cmp::Ordering::Greater) => *sorted = false,
                _ => {}
            }
            *value_due = true;
        }
        self.leaf(end).map(drop)
    }

    /// Adds a token from here to `end`, and steps over it.
    fn leaf(&mut self, end: usize) -> Result<Token, ErrorKind> {
        if self.tokens.len() >= self.options.max_tokens {
            return Err(ErrorKind::TooManyValues);
        }
        let token = Token { start: short(self.at)?, end: short(end)?, next: short(self.tokens.len() + 1)? };
        self.tokens.push(token);
        self.at = end;
        Ok(token)
    }

    /// The end of the string that begins here.
    fn string_end(&self) -> Result<usize, ErrorKind> {
        // A length of more digits than the input's own length has cannot be right.
        let head = self.source.get(self.at..).unwrap_or_default();
        let digits = head.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
        match head.get(digits) {
            None => return Err(ErrorKind::Truncated),
            Some(b':') if digits == 1 || head.first() != Some(&b'0') => {}
            Some(_) => return Err(ErrorKind::Length),
        }
        let length = head.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok());
        let length: usize = length.and_then(|text| text.parse().ok()).ok_or(ErrorKind::StringTooLong)?;
        let end = (self.at + digits + 1).checked_add(length);
        end.filter(|&end| end <= self.source.len()).ok_or(ErrorKind::StringTooLong)
    }

    /// The end of the integer that begins here.
    fn int_end(&self) -> Result<usize, ErrorKind> {
        // The longest 64 bit number has a sign and 19 digits.
        let text = self.source.get(self.at + 1..).unwrap_or_default();
        let length = text.iter().take(21).position(|&byte| byte == b'e');
        let Some(length) = length else {
            return Err(if text.len() > 20 { ErrorKind::Integer } else { ErrorKind::Truncated });
        };
        let number = text.get(..length).unwrap_or_default();
        let canonical = match number {
            [b'0'] => true,
            [b'-', b'1'..=b'9', rest @ ..] | [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        let fits = std::str::from_utf8(number).is_ok_and(|text| text.parse::<i64>().is_ok());
        if canonical && fits { Ok(self.at + length + 2) } else { Err(ErrorKind::Integer) }
    }

    /// Whether the open dictionary of this token has a key twice. All its entries are decoded.
    fn has_duplicates(&self, token: usize) -> bool {
        let mut keys = Vec::new();
        let mut at = token + 1;
        while let Some(key) = self.tokens.get(at) {
            keys.push(
                self.source.get(key.start as usize..key.end as usize).map(string_body).unwrap_or_default(),
            );
            at = self.tokens.get(key.next as usize).map_or(usize::MAX, |value| value.next as usize);
        }
        keys.sort_unstable();
        keys.windows(2).any(|pair| pair.first() == pair.last())
    }

    /// The keys and list positions that lead to where the decoder stands.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.place {
                Place::List { index } => {
                    let _ = write!(path, "[{index}]");
                }
                Place::Dict { key: Some(key), .. } => {
                    let shown = key.get(..key.len().min(MAX_SHOWN_KEY)).unwrap_or_default();
                    let dot = if path.is_empty() { "" } else { "." };
                    let _ = write!(path, "{dot}{}", shown.escape_ascii());
                }
                Place::Dict { key: None, .. } => {}
            }
        }
        path
    }
}

/// Offsets and token numbers are kept short; `run` refuses inputs they could not reach.
fn short(number: usize) -> Result<u32, ErrorKind> {
    u32::try_from(number).map_err(|_| ErrorKind::TooLarge)
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
