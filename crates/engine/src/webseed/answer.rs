//! Judges the head of a web server's answer to a request for a range (RFC 9110 sections 14 and 15).
//!
//! Pure. All of it is a stranger's words: whatever is odd ends the fetch.

use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};
use swarm::FetchTrouble;

use super::Trouble;

/// A `Content-Range` of bytes: the first and the last of them, and the length of the whole, if it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    total: Option<u64>,
}

/// Whether the body begins with the `length` bytes at `offset` of a file of `total` bytes.
pub(crate) fn judge_file(
    status: StatusCode,
    headers: &HeaderMap,
    offset: u64,
    length: u64,
    total: u64,
) -> Result<(), Trouble> {
    let other_length =
        |theirs: u64| Trouble::gone(format!("the file there has {theirs} bytes, the torrent's has {total}"));
    refuse_encoding(headers)?;
    match status {
        StatusCode::PARTIAL_CONTENT => {
            let said = text(headers, &CONTENT_RANGE).and_then(content_range);
            let said = said.ok_or_else(|| Trouble::gone("an answer in part that does not say which part"))?;
            match said.total {
                Some(theirs) if theirs != total => Err(other_length(theirs)),
                _ if (said.first, said.last) == (offset, offset + length - 1) => Ok(()),
                _ => Err(Trouble::gone("the answer is another part of the file than was asked for")),
            }
        }
        StatusCode::OK => match number(headers, &CONTENT_LENGTH) {
            Some(theirs) if theirs != total => Err(other_length(theirs)),
            _ if offset == 0 => Ok(()),
            _ => Err(Trouble::gone("the server cannot send parts of files")),
        },
        StatusCode::RANGE_NOT_SATISFIABLE => {
            Err(Trouble::gone("the file there is shorter than the torrent's"))
        }
        status => Err(refusal(status, headers)),
    }
}

/// Whether the body is what a script was asked for.
pub(crate) fn judge_piece(status: StatusCode, headers: &HeaderMap, length: u64) -> Result<(), Trouble> {
    refuse_encoding(headers)?;
    match number(headers, &CONTENT_LENGTH) {
        Some(theirs) if status == StatusCode::OK && theirs != length => {
            Err(Trouble::gone(format!("{theirs} bytes in answer to a request for {length}")))
        }
        _ if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) => Ok(()),
        _ => Err(refusal(status, headers)),
    }
}

/// What a status of refusal means for the next request.
fn refusal(status: StatusCode, headers: &HeaderMap) -> Trouble {
    let words = format!("HTTP status {}", status.as_u16());
    let wait = number(headers, &RETRY_AFTER).map(Duration::from_secs);
    match (status, wait) {
        (StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS, Some(wait)) => later(&words, wait),
        (StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
            Trouble::gone(words)
        }
        _ => Trouble::broken(words),
    }
}

/// A script says in the body of a 503 how many seconds to wait (BEP 17).
pub(crate) fn wait_of_script(body: &[u8]) -> Option<Trouble> {
    let seconds = std::str::from_utf8(body).ok()?.trim().parse().ok()?;
    Some(later("HTTP status 503", Duration::from_secs(seconds)))
}

fn later(words: &str, wait: Duration) -> Trouble {
    let words = format!("{words}, to be asked again in {} s", wait.as_secs());
    Trouble { why: FetchTrouble::Later(wait), words }
}

fn refuse_encoding(headers: &HeaderMap) -> Result<(), Trouble> {
    match text(headers, &CONTENT_ENCODING) {
        None => Ok(()),
        Some(encoding) if encoding.trim().eq_ignore_ascii_case("identity") => Ok(()),
        Some(_) => Err(Trouble::gone("the server sends files compressed, although it was asked not to")),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    digits(text(headers, name)?.trim())
}

/// Digits alone: what `parse` takes besides, such as a sign, is no number here.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Reads `bytes FIRST-LAST/TOTAL`, where the total may be `*`.
fn content_range(text: &str) -> Option<ContentRange> {
    let (unit, rest) = text.trim().split_once(' ')?;
    let (range, total) = rest.trim_start().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (digits(first)?, digits(last)?);
    let total = if total == "*" { None } else { Some(digits(total)?) };
    let fits = first <= last && total.is_none_or(|total| last < total);
    (unit.eq_ignore_ascii_case("bytes") && fits).then_some(ContentRange { first, last, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(status: u16, fields: &[(HeaderName, &'static str)]) -> Result<(), Trouble> {
        let fields = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        judge_file(StatusCode::from_u16(status).unwrap(), &fields.collect(), 100, 50, 1000)
    }

    fn why(status: u16, fields: &[(HeaderName, &'static str)]) -> FetchTrouble {
        judge(status, fields).unwrap_err().why
    }

    #[test]
    fn only_the_very_part_of_the_very_file_is_taken() {
        for range in ["bytes 100-149/1000", "bytes 100-149/*", "Bytes  100-149/1000"] {
            assert!(judge(206, &[(CONTENT_RANGE, range)]).is_ok(), "{range}");
        }
        for range in [
            "bytes 100-149/999",
            "bytes 100-150/1000",
            "bytes 99-148/1000",
            "bytes */1000",
            "bytes 100-149",
            "lines 100-149/1000",
            "bytes +100-149/1000",
            "bytes 149-100/1000",
            "bytes 100-149/149",
            "",
            "x",
            "bytes 100-99999999999999999999/1000",
        ] {
            assert_eq!(why(206, &[(CONTENT_RANGE, range)]), FetchTrouble::Gone, "{range}");
        }
        assert_eq!(why(206, &[]), FetchTrouble::Gone);
    }

    #[test]
    fn a_server_that_ignores_ranges_is_good_for_the_start_of_files() {
        let headers: HeaderMap = [(CONTENT_LENGTH, "1000".parse().unwrap())].into_iter().collect();
        assert!(judge_file(StatusCode::OK, &headers, 0, 50, 1000).is_ok());
        assert!(judge_file(StatusCode::OK, &headers, 0, 50, 1001).is_err());
        assert_eq!(why(200, &[(CONTENT_LENGTH, "1000")]), FetchTrouble::Gone);
    }

    #[test]
    fn refusals_say_whether_to_come_again() {
        let wait = FetchTrouble::Later(Duration::from_secs(30));
        assert_eq!(why(503, &[(RETRY_AFTER, "30")]), wait);
        assert_eq!(why(429, &[(RETRY_AFTER, "30")]), wait);
        assert_eq!((why(503, &[]), why(500, &[])), (FetchTrouble::Broken, FetchTrouble::Broken));
        for status in [401, 403, 404, 410, 416] {
            assert_eq!(why(status, &[]), FetchTrouble::Gone, "{status}");
        }
        assert_eq!(wait_of_script(b" 30\n").unwrap().why, wait);
        assert!(wait_of_script(b"come again").is_none());
    }

    #[test]
    fn compressed_files_are_refused() {
        let range = (CONTENT_RANGE, "bytes 100-149/1000");
        assert!(judge(206, &[range.clone(), (CONTENT_ENCODING, "identity")]).is_ok());
        assert_eq!(why(206, &[range, (CONTENT_ENCODING, "gzip")]), FetchTrouble::Gone);
    }

    #[test]
    fn no_words_of_a_server_make_the_reader_stumble() {
        let mut rng = fastrand::Rng::with_seed(5);
        let alphabet = b"bytes 0123456789-/*+ \t18446744073709551615";
        for _ in 0..50_000 {
            let length = rng.usize(..30);
            let text: String =
                (0..length).map(|_| char::from(alphabet[rng.usize(..alphabet.len())])).collect();
            for text in [text.clone(), format!("bytes {text}")] {
                if let Some(range) = content_range(&text) {
                    assert!(range.first <= range.last && range.total.is_none_or(|total| range.last < total));
                }
            }
        }
    }
}
