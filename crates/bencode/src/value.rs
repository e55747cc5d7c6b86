//! Reading a decoded document: cheap, copyable views into it.
//!
//! A view borrows the document and the bytes it was decoded from; nothing is copied or allocated.

use std::fmt;
use std::ops::Range;

use crate::decode::{Token, string_body};

/// One value of a decoded document.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    source: &'a [u8],
    tokens: &'a [Token],
    token: Token,
    /// The index of the token behind `token`: its first child, if it has children.
    inside: u32,
}

/// A value by its type.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// An integer.
    Int(i64),
    /// A byte string; often, but not always, UTF-8.
    Bytes(&'a [u8]),
    /// A list.
    List(List<'a>),
    /// A dictionary.
    Dict(Dict<'a>),
}

/// The values of a list, in order.
#[derive(Clone, Copy, Debug)]
pub struct List<'a>(Inside<'a>);

/// The entries of a dictionary, in the order of the document.
#[derive(Clone, Copy, Debug)]
pub struct Dict<'a>(Inside<'a>);

impl<'a> Value<'a> {
    pub(crate) fn of(source: &'a [u8], tokens: &'a [Token], token: Token, inside: u32) -> Self {
        Self { source, tokens, token, inside }
    }

    /// The value by its type.
    pub fn kind(self) -> Kind<'a> {
        let inside =
            Inside { source: self.source, tokens: self.tokens, at: self.inside, end: self.token.next };
        match self.raw() {
            [b'i', digits @ .., b'e'] => Kind::Int(parse_checked(digits)),
            [b'l', ..] => Kind::List(List(inside)),
            [b'd', ..] => Kind::Dict(Dict(inside)),
            string => Kind::Bytes(string_body(string)),
        }
    }

    /// The integer, if it is one.
    pub fn int(self) -> Option<i64> {
        if let Kind::Int(number) = self.kind() { Some(number) } else { None }
    }

    /// The byte string, if it is one.
    pub fn bytes(self) -> Option<&'a [u8]> {
        if let Kind::Bytes(bytes) = self.kind() { Some(bytes) } else { None }
    }

    /// The text, if it is a byte string of valid UTF-8.
    pub fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The list, if it is one.
    pub fn list(self) -> Option<List<'a>> {
        if let Kind::List(list) = self.kind() { Some(list) } else { None }
    }

    /// The dictionary, if it is one.
    pub fn dict(self) -> Option<Dict<'a>> {
        if let Kind::Dict(dict) = self.kind() { Some(dict) } else { None }
    }

    /// The bytes it was decoded from, exactly as they stood there.
    pub fn raw(self) -> &'a [u8] {
        self.source.get(self.span()).unwrap_or_default()
    }

    /// Where those bytes stand in the input.
    pub fn span(self) -> Range<usize> {
        self.token.start as usize..self.token.end as usize
    }

    /// Where a byte string's content stands in the input, its length prefix left out; `None` for other values.
    pub fn bytes_span(self) -> Option<Range<usize>> {
        let end = self.token.end as usize;
        Some(end - self.bytes()?.len()..end)
    }

    /// Whether all dictionaries in it have their keys in order, so that encoding it again gives the same bytes.
    pub fn is_sorted(self) -> bool {
        let here = self.inside.saturating_sub(1);
        let tokens = self.tokens.get(here as usize..self.token.next as usize).unwrap_or_default();
        let values = tokens.iter().zip(here + 1..).map(|(&token, inside)| Value { token, inside, ..self });
        values.filter_map(Value::dict).all(|dict| dict.iter().map(|(key, _)| key).is_sorted())
    }
}

impl<'a> List<'a> {
    /// The values, in order.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        Children(self.0)
    }

    /// Whether it has no values.
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }
}

impl<'a> Dict<'a> {
    /// Keys and values, in the order of the document.
    pub fn iter(self) -> Entries<'a> {
        Entries(Children(self.0))
    }

    /// The value of `key`. Takes time proportional to the number of entries.
    pub fn get(self, key: impl AsRef<[u8]>) -> Option<Value<'a>> {
        self.iter().find(|(name, _)| *name == key.as_ref()).map(|(_, value)| value)
    }

    /// Whether it has no entries.
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }
}

/// The entries of a dictionary, one after the other.
#[derive(Clone, Debug)]
pub struct Entries<'a>(Children<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.next()?.bytes()?, self.0.next()?))
    }
}

/// The tokens inside a list or dictionary.
#[derive(Clone, Copy)]
struct Inside<'a> {
    source: &'a [u8],
    tokens: &'a [Token],
    at: u32,
    end: u32,
}

/// Values that stand side by side.
#[derive(Clone)]
struct Children<'a>(Inside<'a>);

impl<'a> Iterator for Children<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let Inside { source, tokens, at, end } = self.0;
        let token = *tokens.get(at as usize).filter(|_| at < end)?;
        self.0.at = token.next;
        Some(Value::of(source, tokens, token, at + 1))
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.raw().escape_ascii())
    }
}

impl fmt::Debug for Inside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(Children(*self)).finish()
    }
}

impl fmt::Debug for Children<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads digits that the decoder has already checked.
fn parse_checked(digits: &[u8]) -> i64 {
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}
