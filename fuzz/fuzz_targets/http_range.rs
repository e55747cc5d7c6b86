//! Any header lines as the terms of a request: no panic, and no bytes are promised that are not there.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use publish::serve::conditional::{About, Terms, terms};

const NAMES: [&str; 6] =
    ["range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];

// The first eight bytes are a length; then each line is the number of a name and a value.
fuzz_target!(|data: &[u8]| {
    let Some((length, lines)) = data.split_first_chunk() else { return };
    let length = u64::from_be_bytes(*length);
    let mut headers = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n') {
        if let Some((number, value)) = line.split_first()
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            headers.append(HeaderName::from_static(NAMES[usize::from(*number) % NAMES.len()]), value);
        }
    }
    let modified = Some(UNIX_EPOCH + Duration::from_secs(784_111_777));
    let about = About { etag: "\"etag\"", modified, length };
    if let Terms::Part(range) = terms(true, &headers, about) {
        assert!(range.start < range.end && range.end <= length);
        assert!(headers.contains_key("range"));
    }
    assert!(!matches!(terms(false, &headers, about), Terms::Part(_) | Terms::OutOfRange));
    if !headers.keys().any(|name| name.as_str().starts_with("if-m") || name.as_str().starts_with("if-u")) {
        assert_ne!(terms(true, &headers, about), Terms::Failed);
    }
});
