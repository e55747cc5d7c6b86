//! Heads as clients send them, and as they should not.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn whole(head: &str) -> Request<'_> {
    match parse(head.as_bytes()) {
        Ok(Parsed::Whole { request, length }) if length == head.len() => request,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_target(target: &str, path: &str, query: &str) {
    let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let request = whole(&head);
    assert_eq!((request.path, request.query), (path, query));
}

#[test]
fn a_target_is_split_into_path_and_query() {
    check_target("/announce?a=1&b=2", "/announce", "a=1&b=2");
    check_target("/a?b?c", "/a", "b?c");
    check_target("/", "/", "");
    check_target("http://host:80/x?y", "/x", "y");
    check_target("HTTP://host?y", "/", "y");
    check_target("https://host", "/", "");
}

#[test]
fn connections_are_kept_as_the_version_says() {
    let keeps = |start: &str, field: &str| whole(&format!("GET / {start}\r\n{field}\r\n")).keep_alive;
    assert!(keeps("HTTP/1.1", ""));
    assert!(!keeps("HTTP/1.1", "Connection: close\r\n"));
    assert!(!keeps("HTTP/1.1", "connection: x, Close\r\n"));
    assert!(!keeps("HTTP/1.0", ""));
    assert!(keeps("HTTP/1.0", "Connection: Keep-Alive\r\n"));
}

#[test]
fn what_is_no_request_of_ours_is_refused_by_name() {
    let check = |head: &str, expected| assert_eq!(parse(head.as_bytes()), Err(expected), "{head:?}");
    check("POST / HTTP/1.1\r\n\r\n", BadHead::Method);
    check("GET / HTTP/2.0\r\n\r\n", BadHead::Version);
    check("GET announce HTTP/1.1\r\n\r\n", BadHead::Malformed);
    check("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", BadHead::Malformed);
    check("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", BadHead::Malformed);
    check("GET / HTTP/1.1\r\nno colon\r\n\r\n", BadHead::Malformed);
    check("\0\0\0\0", BadHead::Malformed);
    check(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65)), BadHead::HeadTooLong);
    check(&format!("GET /{}", "a".repeat(MAX_HEAD)), BadHead::UriTooLong);
    check(&format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(MAX_HEAD)), BadHead::HeadTooLong);
}

proptest! {
    #[test]
    fn a_head_cut_anywhere_is_partial(cut in 0_usize..52) {
        let head = b"GET /announce?x=1 HTTP/1.1\r\nHost: example.org\r\n\r\n rest";
        let parsed = parse(&head[..cut.min(49)]);
        prop_assert_eq!(parsed.unwrap() == Parsed::Partial, cut < 49);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), start in "(GET|HEAD) [ -~]{0,20}") {
        let _ = parse(&bytes);
        let _ = parse(&[start.as_bytes(), &bytes].concat());
    }
}
