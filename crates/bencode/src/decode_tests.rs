use super::*;
use crate::Kind;

fn refused(source: &[u8]) -> Error {
    decode(source, Options::LENIENT).expect_err(&source.escape_ascii().to_string())
}

#[test]
fn a_document_is_read_with_its_bytes() {
    let source = b"d4:infod6:lengthi7e4:name1:xe4:listl1:ai-2elee5:otherdee";
    let decoded = decode(source, Options::STRICT).unwrap();
    let root = decoded.root().dict().unwrap();
    let info = root.get("info").unwrap();
    assert_eq!(info.raw(), b"d6:lengthi7e4:name1:xe");
    assert_eq!(info.span(), 7..29);
    assert_eq!(info.dict().unwrap().get("length").unwrap().int(), Some(7));
    assert_eq!(info.dict().unwrap().get("name").unwrap().text(), Some("x"));
    let list: Vec<_> = root.get("list").unwrap().list().unwrap().iter().collect();
    assert!(matches!(list[1].kind(), Kind::Int(-2)) && list[2].list().unwrap().is_empty());
    assert_eq!(list[0].bytes_span().map(|span| &source[span]), Some(&b"a"[..]));
    let keys: Vec<_> = root.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [&b"info"[..], b"list", b"other"]);
    assert!(root.get("nothing").is_none() && root.get("other").unwrap().dict().unwrap().is_empty());
}

// M-01
#[test]
fn bombs_of_depth_are_refused() {
    assert_eq!(refused(&b"l".repeat(10_000)).kind, ErrorKind::Depth);
    assert_eq!(refused(&b"d1:a".repeat(10_000)).kind, ErrorKind::Depth);
    let deepest = [b"l".repeat(MAX_DEPTH), b"e".repeat(MAX_DEPTH)].concat();
    assert!(decode(&deepest, Options::STRICT).unwrap().root().is_sorted());
}

// M-02
#[test]
fn senseless_string_lengths_are_refused() {
    for source in
        ["9223372036854775807:x", "99999999999:x", "99999999999999999999999:x", "-1:", "01:a", "1", "1:"]
    {
        refused(source.as_bytes());
    }
    assert_eq!(refused(b"5:abcd").kind, ErrorKind::StringTooLong);
    assert_eq!(refused(b"00:").kind, ErrorKind::Length);
    assert_eq!(decode(b"0:", Options::STRICT).unwrap().root().bytes(), Some(&b""[..]));
}

// M-03
#[test]
fn integers_are_canonical_and_fit_64_bits() {
    let long = format!("i{}e", "1".repeat(1000));
    for source in
        ["i-0e", "i03e", "i-03e", "ie", "i-e", "i9223372036854775808e", "i1", "i 1e", "i+1e", "i1.5e", &long]
    {
        refused(source.as_bytes());
    }
    for number in [i64::MAX, i64::MIN, 0, -1] {
        let source = format!("i{number}e");
        assert_eq!(decode(source.as_bytes(), Options::STRICT).unwrap().root().int(), Some(number));
    }
}

// M-04
#[test]
fn a_key_twice_is_refused_in_any_order() {
    assert_eq!(refused(b"d6:pieces1:a6:pieces1:be").kind, ErrorKind::DuplicateKey);
    let apart = refused(b"d4:infod1:bi1e1:ai2e1:bi3eee");
    assert_eq!((apart.kind, apart.path.as_str()), (ErrorKind::DuplicateKey, "info.b"));
}

// M-05
#[test]
fn unsorted_keys_are_for_the_caller_to_judge() {
    let source = b"d1:bi1e1:ad1:zi0e1:yi0eee";
    assert_eq!(decode(source, Options::STRICT).unwrap_err().kind, ErrorKind::UnsortedKeys);
    let decoded = decode(source, Options::LENIENT).unwrap();
    assert!(!decoded.root().is_sorted());
    assert_eq!(decoded.root().dict().unwrap().get("a").unwrap().raw(), b"d1:zi0e1:yi0ee");
}

// M-06
#[test]
fn bytes_behind_the_end_are_refused_unless_expected() {
    assert_eq!(refused(b"de\n"), Error { kind: ErrorKind::TrailingBytes, offset: 2, path: String::new() });
    let decoded = decode_prefix(b"d8:msg_typei1eeDATA", Options::LENIENT).unwrap();
    assert_eq!(decoded.end(), 15);
}

// M-07
#[test]
fn bombs_of_tokens_are_refused() {
    let bomb = [b"l".to_vec(), b"i0e".repeat(MAX_TOKENS), b"e".to_vec()].concat();
    let error = refused(&bomb);
    assert_eq!(error.kind, ErrorKind::TooManyValues);
    assert!(error.offset <= 3 * MAX_TOKENS);
}

#[test]
fn an_error_says_where() {
    let error = refused(b"d4:infod5:filesld6:lengthi1eed4:pathl1:xi01eeeee");
    assert_eq!(error.to_string(), "malformed integer at byte 40 in info.files[1].path[1]");
}

#[test]
fn malformed_structures_are_refused() {
    for (source, kind) in [
        (&b""[..], ErrorKind::Truncated),
        (b"e", ErrorKind::UnexpectedByte(b'e')),
        (b"x", ErrorKind::UnexpectedByte(b'x')),
        (b"l", ErrorKind::Truncated),
        (b"d1:ae", ErrorKind::MissingValue),
        (b"di1e1:ae", ErrorKind::KeyNotString),
        (b"dlee", ErrorKind::KeyNotString),
        (b"li1e", ErrorKind::Truncated),
    ] {
        assert_eq!(refused(source).kind, kind, "{}", source.escape_ascii());
    }
}
