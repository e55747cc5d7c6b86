use super::*;

/// Of what is asked for in these tests.
const ETAG: &str = "\"a,b\"";
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// `headers` is one a line; the thing has `length` bytes.
fn asked(is_get: bool, lines: &str, length: u64) -> Terms {
    let mut headers = HeaderMap::new();
    for (name, value) in lines.lines().filter_map(|line| line.trim().split_once(": ")) {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let modified = Some(UNIX_EPOCH + Duration::from_millis(784_111_777_500));
    terms(is_get, &headers, About { etag: ETAG, modified, length })
}

fn check(lines: &str, expected: &Terms) {
    assert_eq!(asked(true, lines, 1000), *expected, "{lines}");
}

fn part(first: u64, last: u64) -> Terms {
    Terms::Part(first..last + 1)
}

#[test]
fn ranges() {
    check("Range: bytes=0-499", &part(0, 499));
    check("Range: Bytes = 500-", &part(500, 999));
    check("Range: bytes=-1", &part(999, 999));
    check("Range: bytes=-5000", &part(0, 999));
    check("Range: bytes=0-99999", &part(0, 999));
    check("Range: bytes=999-999, ", &part(999, 999));
    check("Range: bytes=5-99999999999999999999999", &part(5, 999));
    check("Range: bytes=1000-", &Terms::OutOfRange);
    check("Range: bytes=1000-1001", &Terms::OutOfRange);
    check("Range: bytes=99999999999999999999999-", &Terms::OutOfRange);
    check("Range: bytes=18446744073709551615-18446744073709551615", &Terms::OutOfRange);
    check("Range: bytes=-0", &Terms::OutOfRange);
}

#[test]
fn ranges_that_cannot_be_read_or_are_several_are_ignored() {
    for range in
        ["bytes=", "bytes", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=+1-2", "bytes=0-1-2", "bytes=0x1-2"]
    {
        check(&format!("Range: {range}"), &Terms::Whole);
    }
    check("Range: lines=0-1", &Terms::Whole);
    check("Range: bytes=0-1,5-6", &Terms::Whole);
    check("Range: bytes=0-1\nRange: bytes=5-6", &Terms::Whole);
}

#[test]
fn an_empty_thing_has_no_range() {
    assert_eq!(asked(true, "Range: bytes=0-", 0), Terms::OutOfRange);
    assert_eq!(asked(true, "", 0), Terms::Whole);
}

#[test]
fn ranges_are_for_get_alone() {
    assert_eq!(asked(false, "Range: bytes=0-1", 1000), Terms::Whole);
    assert_eq!(asked(false, &format!("If-None-Match: {ETAG}"), 1000), Terms::NotModified);
}

#[test]
fn a_part_is_sent_only_of_what_the_client_has_the_rest_of() {
    let check =
        |line: &str, expected: &Terms| check(&format!("Range: bytes=0-1\nIf-Range: {line}"), expected);
    check(ETAG, &part(0, 1));
    check(DATE, &part(0, 1));
    for other in ["\"other\"", "W/\"a,b\"", EARLIER, LATER, "nonsense", "*", "\"a,b\" "] {
        check(other, &if other.trim() == ETAG { part(0, 1) } else { Terms::Whole });
    }
    check(&format!("{ETAG}\nIf-Range: {ETAG}"), &Terms::Whole);
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    for tags in [ETAG, "W/\"a,b\"", "*", " * ", "\"x\", \"a,b\"", "\"x\",W/\"a,b\" ", ",, \"a,b\""] {
        check(&format!("If-None-Match: {tags}"), &Terms::NotModified);
    }
    check("If-None-Match: \"x\"\nIf-None-Match: \"a,b\"", &Terms::NotModified);
    for tags in ["\"x\"", "\"a\"", "a,b", "\"\"", "\"a,b", "x\"a,b\"", "W/", "\"*\""] {
        check(&format!("If-None-Match: {tags}"), &Terms::Whole);
    }
    check(&format!("If-Modified-Since: {DATE}"), &Terms::NotModified);
    check(&format!("If-Modified-Since: {LATER}"), &Terms::NotModified);
    check(&format!("If-Modified-Since: {EARLIER}"), &Terms::Whole);
    check("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT", &Terms::NotModified);
    check("If-Modified-Since: yesterday", &Terms::Whole);
    // A validator outweighs a date.
    check(&format!("If-None-Match: \"x\"\nIf-Modified-Since: {DATE}"), &Terms::Whole);
    check(&format!("If-None-Match: {ETAG}\nRange: bytes=0-1"), &Terms::NotModified);
}

#[test]
fn what_the_client_takes_it_for_must_be_so() {
    for tags in [ETAG, "*", "\"x\", \"a,b\""] {
        check(&format!("If-Match: {tags}"), &Terms::Whole);
    }
    for tags in ["\"x\"", "W/\"a,b\"", "nonsense"] {
        check(&format!("If-Match: {tags}"), &Terms::Failed);
        check(&format!("If-Match: {tags}\nIf-None-Match: {ETAG}\nRange: bytes=5000-"), &Terms::Failed);
    }
    check(&format!("If-Unmodified-Since: {DATE}"), &Terms::Whole);
    check(&format!("If-Unmodified-Since: {LATER}"), &Terms::Whole);
    check(&format!("If-Unmodified-Since: {EARLIER}"), &Terms::Failed);
    check("If-Unmodified-Since: yesterday", &Terms::Whole);
    check(&format!("If-Match: {ETAG}\nIf-Unmodified-Since: {EARLIER}"), &Terms::Whole);
}

#[test]
fn times_that_http_cannot_write_down_are_left_out() {
    assert_eq!(date_text(UNIX_EPOCH + Duration::from_millis(784_111_777_900)).as_deref(), Some(DATE));
    assert_eq!(date_text(UNIX_EPOCH - Duration::from_secs(1)), None);
    assert_eq!(date_text(UNIX_EPOCH + Duration::from_secs(LAST_SECOND + 1)), None);
    assert!(date_text(UNIX_EPOCH + Duration::from_secs(LAST_SECOND)).is_some());
}
