//! Where a request goes: the path of its target, decoded once (RFC 3986).
//!
//! Pure. What is there is [`Content`](crate::content::Content)'s to say.

/// The path, percent-decoded; `None` if nothing can be there: not absolute, not UTF-8, wrongly encoded, with a NUL, or
/// with a segment that would lead elsewhere.
pub(super) fn decode(raw: &str) -> Option<String> {
    let mut bytes = raw.bytes();
    let mut decoded = Vec::with_capacity(raw.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            byte => byte,
        });
    }
    let path = String::from_utf8(decoded).ok()?;
    let leads_on = path.split('/').all(|segment| !matches!(segment, "." | ".."));
    (path.starts_with('/') && leads_on && !path.contains('\0')).then_some(path)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: &str) {
        assert_eq!(decode(raw).as_deref(), Some(expected), "{raw}");
    }

    #[test]
    fn a_path_is_decoded_once() {
        check("/", "/");
        check("/a%20b/%C3%BC.iso", "/a b/ü.iso");
        check("/100%25", "/100%");
        check("/%252e%252e/x", "/%2e%2e/x");
        check("/a..b/...", "/a..b/...");
    }

    #[test]
    fn nothing_is_at_a_path_that_leads_elsewhere_or_cannot_be_read() {
        let bad = [
            "",
            "*",
            "a",
            "/..",
            "/a/../b",
            "/%2e%2e/etc",
            "/a%2f..%2fb",
            "/.",
            "/a/./b",
            "/%00",
            "/%",
            "/%4",
        ];
        for raw in bad.into_iter().chain(["/%zz", "/%+1", "/%ff", "/%c3%28"]) {
            assert_eq!(decode(raw), None, "{raw}");
        }
    }
}
