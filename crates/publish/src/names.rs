//! Names in addresses: what a release is called in URLs, and text as part of a URL.
//!
//! Plain functions. That two releases do not get one name is seen to here; where the names are used is the catalogue's business.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use metainfo::InfoHash;

/// The longest name of a release in URLs, in bytes: what people still copy by hand, with room for the hash in a file name.
const MAX_SLUG: usize = 80;
/// The longest name of a torrent file before its ending, in bytes: with `-` and eight digits of the hash it is within the 255
/// bytes that file systems hold.
const MAX_STEM: usize = 255 - ".torrent".len() - 9;

/// What stands at the site's root itself, so that no release may be called so.
const RESERVED: &[&str] = &[
    "announce",
    "assets",
    "favicon.ico",
    "feed.atom",
    "files",
    "health",
    "healthz",
    "icon.svg",
    "index.html",
    "live.json",
    "metrics",
    "page.js",
    "readyz",
    "receipt.csv",
    "receipt.json",
    "robots.txt",
    "scrape",
    "seed",
    "stats",
    "style.css",
    "theme.css",
];

/// What each release is called in URLs, in order: its name in lower case, or with eight digits of its hash if that is taken.
pub fn slugs<'a>(releases: impl IntoIterator<Item = (&'a str, InfoHash)>) -> Vec<String> {
    let taken = |slug: &str| RESERVED.contains(&slug) || slug.ends_with(".torrent");
    unique(releases.into_iter().map(|(name, hash)| (slug(name), hash)), taken)
}

/// The names of the torrent files, in order, by the same rule.
pub(crate) fn torrent_names<'a>(releases: impl IntoIterator<Item = (&'a str, InfoHash)>) -> Vec<String> {
    let stems = releases.into_iter().map(|(name, hash)| (cut(name, MAX_STEM).to_owned(), hash));
    unique(stems, |_| false).into_iter().map(|stem| format!("{stem}.torrent")).collect()
}

/// The URL for `url-list` (BEP 19) of a torrent that is served by this site at `base`; its files' names are added to it.
pub fn web_seed_url(base: &str, hash: InfoHash) -> String {
    format!("{base}/seed/{hash}/")
}

/// The same for files that a web server of its own serves from an export.
pub fn exported_seed_url(base: &str, slug: &str) -> String {
    format!("{base}/files/{}/", escape(slug))
}

/// Text as one segment of a URL's path.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

/// A path whose parts are joined by `/`, as the path of a URL.
pub(crate) fn escape_path(path: &str) -> String {
    path.split('/').map(escape).collect::<Vec<_>>().join("/")
}

/// The value of `Content-Disposition` that saves under this name (RFC 6266).
pub(crate) fn attachment(name: &str) -> String {
    format!("attachment; filename*=UTF-8''{}", escape(name))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        // Writing to a string cannot fail.
        _ = write!(out, "{byte:02x}");
        out
    })
}

/// The names in order; whoever comes later with a taken one gets eight digits of its hash behind it, and if need be all.
fn unique(names: impl Iterator<Item = (String, InfoHash)>, reserved: impl Fn(&str) -> bool) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let give = |(name, hash): (String, InfoHash)| {
        let hash = hash.to_string();
        let short = format!("{name}-{}", &hash[..8]);
        let names = [name.clone(), short, format!("{name}-{hash}")];
        let free = names.into_iter().find(|name| !reserved(name) && taken.insert(name.clone()));
        // All three are taken only by the same torrent given twice, which is then served once.
        free.unwrap_or(name)
    };
    names.map(give).collect()
}

/// Letters, digits, `.`, `_` and `-` stay, in lower case; whatever lies between them becomes one `-`.
fn slug(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        match c {
            '.' | '_' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            _ if out.ends_with('-') => {}
            _ => out.push('-'),
        }
    }
    let slug = cut(out.trim_matches(['-', '.']), MAX_SLUG).trim_end_matches(['-', '.']);
    if slug.is_empty() { "release".to_owned() } else { slug.to_owned() }
}

/// The start of a text, of at most this many bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: InfoHash = InfoHash([0xa1; 20]);
    const B: InfoHash = InfoHash([0xb2; 20]);

    #[test]
    fn a_release_is_called_after_its_torrent() {
        for (name, slug) in [
            ("debian-12.5.0-amd64.iso", "debian-12.5.0-amd64.iso"),
            ("My Film (2020)", "my-film-2020"),
            ("  ../..", "release"),
            ("žluťoučký kůň", "žluťoučký-kůň"),
            (".hidden", "hidden"),
        ] {
            assert_eq!(slugs([(name, A)]), [slug], "{name}");
        }
        assert_eq!(slugs([(&*"x".repeat(300), A)])[0].len(), MAX_SLUG);
    }

    #[test]
    fn the_second_of_a_name_gets_its_hash_behind_it() {
        assert_eq!(slugs([("Dist", A), ("dist", B)]), ["dist", "dist-b2b2b2b2"]);
        assert_eq!(torrent_names([("dist", A), ("dist", B)]), ["dist.torrent", "dist-b2b2b2b2.torrent"]);
    }

    #[test]
    fn no_release_takes_the_place_of_a_page_or_of_a_torrent_file() {
        assert_eq!(slugs([("files", A)]), ["files-a1a1a1a1"]);
        assert_eq!(slugs([("style.css", A)]), ["style.css-a1a1a1a1"]);
        assert_eq!(slugs([("dist.torrent", A)]), ["dist.torrent-a1a1a1a1"]);
    }

    #[test]
    fn a_torrent_file_fits_a_file_system_whatever_its_name() {
        let long = "ž".repeat(127);
        let names = torrent_names([(&*long, A), (&*long, B)]);
        assert!(names.iter().all(|name| name.len() <= 255 && name.ends_with(".torrent")), "{names:?}");
        assert_ne!(names[0], names[1]);
    }

    #[test]
    fn names_are_escaped_segment_by_segment() {
        assert_eq!(escape_path("a b/ž?#%/\"<"), "a%20b/%C5%BE%3F%23%25/%22%3C");
        assert_eq!(attachment("a\"\r\nb"), "attachment; filename*=UTF-8''a%22%0D%0Ab");
    }
}
