//! The values of a torrent's outer keys as flags give them, and writing a torrent where the user wants it.
//!
//! Shared by `create` and `edit`.

use std::path::Path;

use super::Context;
use crate::config::replace_file;
use crate::failure::{Exit, Failure};

/// Schemes that a tracker's URL may have.
const TRACKER_SCHEMES: [&str; 5] = ["http://", "https://", "udp://", "ws://", "wss://"];

/// Tiers of trackers: each text is a tier, its trackers separated by commas.
pub(super) fn tiers(texts: &[String]) -> Result<Vec<Vec<String>>, Failure> {
    let tier = |text: &String| -> Result<Vec<String>, Failure> {
        let urls = text.split(',').map(str::trim).filter(|url| !url.is_empty());
        urls.map(|url| checked(url, &TRACKER_SCHEMES, "a tracker", "-t https://tracker.example.org/announce"))
            .collect()
    };
    let tiers: Result<Vec<Vec<String>>, Failure> = texts.iter().map(tier).collect();
    Ok(tiers?.into_iter().filter(|tier| !tier.is_empty()).collect())
}

/// URLs of web seeds.
pub(super) fn web_seeds(texts: &[String]) -> Result<Vec<String>, Failure> {
    let urls = texts.iter().filter(|url| !url.is_empty());
    urls.map(|url| {
        checked(url, &["http://", "https://", "ftp://"], "a web seed", "-w https://dl.example.org/")
    })
    .collect()
}

/// DHT nodes.
pub(super) fn nodes(texts: &[String]) -> Result<Vec<(String, u16)>, Failure> {
    let node = |text: &String| {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some((host.to_owned(), port.parse().ok().filter(|&port: &u16| port > 0)?))
            .filter(|_| !host.is_empty())
    };
    let complaint = |text| Failure::usage(format!("`{text}` is no DHT node")).hint("--dht-node HOST:PORT");
    texts.iter().map(|text| node(text).ok_or_else(|| complaint(text))).collect()
}

/// A date: seconds since 1970 or RFC 3339; `none` is no date.
pub(super) fn date(text: &str) -> Result<Option<i64>, Failure> {
    if text.eq_ignore_ascii_case("none") || text.is_empty() {
        return Ok(None);
    }
    let seconds = text
        .parse::<i64>()
        .ok()
        .or_else(|| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second));
    seconds.map(Some).ok_or_else(|| {
        Failure::usage(format!("`{text}` is no date"))
            .hint("--date 2026-11-22T16:00:00Z, --date 1795363200 or --date none")
    })
}

/// The name of the program that makes a torrent; `none` is no name.
pub(super) fn creator(text: Option<&str>) -> Option<String> {
    match text {
        None => Some(concat!("Headwater ", env!("CARGO_PKG_VERSION")).to_owned()),
        Some(text) if text.eq_ignore_ascii_case("none") || text.is_empty() => None,
        Some(text) => Some(text.to_owned()),
    }
}

/// Refuses to replace a file, unless forced. `-` is stdout and may always be written.
pub(super) fn check_free(path: &Path, force: bool) -> Result<(), Failure> {
    if force || path.as_os_str() == "-" || path.symlink_metadata().is_err() {
        return Ok(());
    }
    let other = path.with_file_name("OTHER.torrent");
    Err(Failure::new(Exit::Exists, format!("{} exists", path.display()))
        .hint(format!("use --force to replace it, or -o {}", other.display())))
}

/// Writes a torrent file, or sends it to stdout if the path is `-`.
pub(super) fn write(context: &Context, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if path.as_os_str() == "-" {
        context.output.bytes(bytes);
        return Ok(());
    }
    replace_file(path, bytes)
}

fn checked(url: &str, schemes: &[&str], what: &str, hint: &str) -> Result<String, Failure> {
    let known = schemes
        .iter()
        .any(|scheme| url.len() > scheme.len() && url[..].to_ascii_lowercase().starts_with(scheme));
    if known && !url.contains(char::is_whitespace) {
        return Ok(url.to_owned());
    }
    Err(Failure::usage(format!("`{url}` is not the URL of {what}")).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_flags_are_tiers_and_commas_join_one() {
        let texts = ["http://a/announce,udp://b:1".to_owned(), "wss://c".to_owned()];
        assert_eq!(tiers(&texts).unwrap(), [vec!["http://a/announce", "udp://b:1"], vec!["wss://c"]]);
        assert_eq!(tiers(&["example.org".to_owned()]).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn dates_are_numbers_or_words() {
        assert_eq!(date("12").unwrap(), Some(12));
        assert_eq!(date("1970-01-01T00:01:00Z").unwrap(), Some(60));
        assert_eq!(date("none").unwrap(), None);
        assert!(date("yesterday").is_err());
    }
}
