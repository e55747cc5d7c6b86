//! On which terms something is asked for: preconditions and a range (RFC 9110, sections 13 and 14).
//!
//! Pure. It knows what the thing is called and how long it is, never the bytes.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{self, HeaderName};

/// The last second that has a date in HTTP: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Its strong validator, quotes included.
    pub etag: &'a str,
    /// When it was last changed.
    pub modified: Option<SystemTime>,
    /// How many bytes it has.
    pub length: u64,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terms {
    /// All of it: 200.
    Whole,
    /// These bytes, of which there is at least one: 206.
    Part(Range<u64>),
    /// Nothing, the client has it: 304.
    NotModified,
    /// Nothing, it is not what the client takes it for: 412.
    Failed,
    /// Nothing, it has no such bytes: 416.
    OutOfRange,
}

/// What a request with these headers shall be sent. Ranges are for `GET` alone.
pub fn terms(is_get: bool, headers: &HeaderMap, about: About<'_>) -> Terms {
    let modified = about.modified.and_then(second);
    let since = |name| single(headers, name).and_then(date).zip(modified);
    let met = match listed(headers, header::IF_MATCH, |tag, is_weak| !is_weak && tag == about.etag) {
        Some(met) => met,
        None => since(header::IF_UNMODIFIED_SINCE).is_none_or(|(since, modified)| modified <= since),
    };
    if !met {
        return Terms::Failed;
    }
    let has_it = match listed(headers, header::IF_NONE_MATCH, |tag, _| tag == about.etag) {
        Some(has_it) => has_it,
        None => since(header::IF_MODIFIED_SINCE).is_some_and(|(since, modified)| modified <= since),
    };
    if has_it {
        return Terms::NotModified;
    }
    let holds = |text: &str| match text.strip_prefix('"') {
        Some(_) => text == about.etag,
        None => date(text).is_some_and(|date| Some(date) == modified),
    };
    let is_same =
        !headers.contains_key(header::IF_RANGE) || single(headers, header::IF_RANGE).is_some_and(holds);
    match single(headers, header::RANGE).and_then(|text| range(text, about.length)) {
        Some(terms) if is_get && is_same => terms,
        _ => Terms::Whole,
    }
}

/// The seconds since 1970 of a time that HTTP can write down.
pub(super) fn second(time: SystemTime) -> Option<u64> {
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    (seconds <= LAST_SECOND).then_some(seconds)
}

/// A date as it stands in headers; `None` if HTTP cannot write it down.
pub(super) fn date_text(time: SystemTime) -> Option<String> {
    second(time).map(|seconds| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds)))
}

fn date(text: &str) -> Option<u64> {
    httpdate::parse_http_date(text).ok().and_then(second)
}

/// The value of a header that stands there once.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value.trim())
}

/// Whether a list of validators has one that `is_meant`; `None` if there is no list. What cannot be read ends a list.
fn listed(headers: &HeaderMap, name: HeaderName, is_meant: impl Fn(&str, bool) -> bool) -> Option<bool> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    Some(lines.filter_map(|line| line.to_str().ok()).any(|line| {
        let mut rest = line;
        let mut tags = std::iter::from_fn(|| {
            let (tag, is_weak, after) = first_tag(rest)?;
            rest = after;
            Some((tag, is_weak))
        });
        line.trim() == "*" || tags.any(|(tag, is_weak)| is_meant(tag, is_weak))
    }))
}

/// The first validator of a list, quotes included, whether it is a weak one, and what follows.
fn first_tag(list: &str) -> Option<(&str, bool, &str)> {
    let list = list.trim_start_matches([' ', '\t', ',']);
    let (text, is_weak) = list.strip_prefix("W/").map_or((list, false), |text| (text, true));
    let end = text.strip_prefix('"')?.find('"')? + 2;
    let (tag, after) = text.split_at_checked(end)?;
    Some((tag, is_weak, after))
}

/// What a `Range` asks for. `None`: it is to be ignored, since it cannot be read or names several ranges.
fn range(text: &str, length: u64) -> Option<Terms> {
    let (unit, ranges) = text.split_once('=')?;
    let mut ranges = ranges.split(',').map(str::trim).filter(|range| !range.is_empty());
    let (first, last) = ranges.next()?.split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || ranges.next().is_some() {
        return None;
    }
    let range = match (first, last) {
        ("", last) => length.saturating_sub(number(last)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if range.is_empty() { Terms::OutOfRange } else { Terms::Part(range) })
}

/// A number in digits alone; those that are too large are as large as can be.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
