//! The bencoded structure of a torrent for people: drawn whole, or one value of it.

use std::fmt::Write as _;

use bencode::{Kind, Options, Value, decode};

use crate::failure::{Exit, Failure};
use crate::output::clean;

/// How much of a byte string that is no text is shown, in bytes: one SHA-256 hash.
const SHOWN_BYTES: usize = 32;

/// The whole structure, one value a line.
pub(super) fn draw(bytes: &[u8]) -> Result<String, Failure> {
    let decoded = decode(bytes, Options::LENIENT).map_err(|error| malformed(&error))?;
    let mut out = String::new();
    draw_value(&mut out, decoded.root(), 0);
    Ok(out)
}

/// The value at a path of keys and list positions joined by dots: `info.name`, `announce-list.0.0`.
pub(super) fn field(bytes: &[u8], path: &str) -> Result<String, Failure> {
    let decoded = decode(bytes, Options::LENIENT).map_err(|error| malformed(&error))?;
    let mut value = decoded.root();
    for key in path.split('.') {
        let next = match value.kind() {
            Kind::Dict(dict) => dict.get(key),
            Kind::List(list) => key.parse().ok().and_then(|position| list.iter().nth(position)),
            _ => None,
        };
        value = next.ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("the torrent has no `{path}`"))
                .hint("`headwater show --raw` shows all keys; join them by dots, as in info.name")
        })?;
    }
    let mut out = String::new();
    match value.kind() {
        Kind::Bytes(bytes) => out.push_str(&text_or_hex(bytes, usize::MAX)),
        _ => draw_value(&mut out, value, 0),
    }
    Ok(out)
}

/// The depth is bounded by the decoder's limit.
fn draw_value(out: &mut String, value: Value<'_>, depth: usize) {
    let newline = |out: &mut String| {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&"  ".repeat(depth));
    };
    // Writing to a string cannot fail.
    match value.kind() {
        Kind::Int(number) => _ = write!(out, "{number}"),
        Kind::Bytes(bytes) => out.push_str(&text_or_hex(bytes, SHOWN_BYTES)),
        Kind::List(list) => {
            for item in list.iter() {
                newline(out);
                out.push_str(if is_container(item) { "-" } else { "- " });
                draw_value(out, item, depth + 1);
            }
        }
        Kind::Dict(dict) => {
            for (key, item) in dict.iter() {
                newline(out);
                let key = if key.is_empty() { "\"\"".to_owned() } else { text_or_hex(key, SHOWN_BYTES) };
                _ = write!(out, "{key}:{}", if is_container(item) { "" } else { " " });
                draw_value(out, item, depth + 1);
            }
        }
    }
}

/// Whether a value goes on lines of its own.
fn is_container(value: Value<'_>) -> bool {
    matches!(value.kind(), Kind::List(_) | Kind::Dict(_))
}

fn text_or_hex(bytes: &[u8], shown: usize) -> String {
    let text =
        std::str::from_utf8(bytes).ok().filter(|text| !text.contains(|c: char| c.is_control() && c != '\n'));
    if let Some(text) = text {
        return clean(text).into_owned();
    }
    let mut hex = String::new();
    // Writing to a string cannot fail.
    bytes.iter().take(shown).for_each(|byte| _ = write!(hex, "{byte:02x}"));
    if bytes.len() > shown { format!("{hex}… ({} bytes)", bytes.len()) } else { hex }
}

fn malformed(error: &bencode::Error) -> Failure {
    Failure::new(Exit::Invalid, "the structure cannot be drawn").because(error)
}
