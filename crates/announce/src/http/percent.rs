//! Percent-encoding of raw bytes in a query string (RFC 3986, section 2.1).
//!
//! Used by both directions. It knows no parameter; those are `client`'s and `server`'s.

use std::borrow::Cow;

/// Appends `bytes`, with everything but RFC 3986's unreserved characters written as `%XX`.
pub(super) fn encode(bytes: &[u8], out: &mut String) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend([byte >> 4, byte & 15].iter().filter_map(|&nibble| DIGITS.get(usize::from(nibble))));
        }
    }
}

/// Yields the decoded bytes one by one, `None` where a `%` is not followed by two hexadecimal digits.
pub(super) fn decode(text: &[u8]) -> impl Iterator<Item = Option<u8>> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (&first, tail) = rest.split_first()?;
        rest = tail;
        Some(match first {
            b'%' => pair(tail).inspect(|_| rest = tail.get(2..).unwrap_or_default()),
            b'+' => Some(b' '),
            plain => Some(plain),
        })
    })
}

/// Exactly `N` decoded bytes, or `None`.
pub(super) fn exactly<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut decoded = decode(text);
    for byte in &mut bytes {
        *byte = decoded.next()??;
    }
    decoded.next().is_none().then_some(bytes)
}

/// The decoded bytes, borrowed if there was nothing to decode.
pub(super) fn bytes(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if text.contains(&b'%') || text.contains(&b'+') {
        decode(text).collect::<Option<Vec<u8>>>().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(text))
    }
}

fn pair(text: &[u8]) -> Option<u8> {
    let digit =
        |at: usize| char::from(*text.get(at)?).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(digit(0)? << 4 | digit(1)?)
}
