//! The metainfo file: an `info` dictionary and who knows its peers (BEP 3, 12, 17, 19, and the keys of 5, 38, 39).
//!
//! Made once from bytes and then only read. What the torrent contains is [`Info`]'s business.

use std::collections::BTreeSet;
use std::sync::Arc;

use bencode::{Decoded, Dict, Options, Value};
use bytes::Bytes;

use crate::info::read_info;
use crate::lint::{LintKind, Lints};
use crate::safe_path::{MAX_PATH_PARTS, Names};
use crate::{Info, Lint, ParseError};

/// The largest metainfo file, in bytes. libtorrent's default is 10 MB; 400,000 files need about 20 MB.
pub const MAX_METAINFO: usize = 32 << 20;
/// The most trackers kept: nobody's list is longer, and each costs a connection.
pub const MAX_TRACKERS: usize = 500;
/// The most web seeds kept, and the most DHT nodes.
pub const MAX_SEEDS: usize = 200;
/// The longest URL kept, in bytes: what web servers commonly accept.
pub const MAX_URL: usize = 8 << 10;

/// Keys outside `info` that some BEP or wide use defines.
const KNOWN_KEYS: &[&str] = &[
    "announce",
    "announce-list",
    "azureus_properties",
    "codepage",
    "collections",
    "comment",
    "comment.utf-8",
    "created by",
    "creation date",
    "encoding",
    "httpseeds",
    "info",
    "nodes",
    "originator",
    "piece layers",
    "publisher",
    "publisher-url",
    "publisher-url.utf-8",
    "publisher.utf-8",
    "signature",
    "signatures",
    "similar",
    "source",
    "title",
    "update-url",
    "url-list",
    "website",
];

/// A metainfo file.
#[derive(Clone, Debug)]
pub struct Metainfo {
    /// What the torrent contains.
    pub info: Arc<Info>,
    /// The trackers' URLs: tiers in order of preference, trackers of one tier equal (BEP 12).
    pub announce: Vec<Vec<String>>,
    /// Web servers that have the content (`url-list`, BEP 19).
    pub web_seeds: Vec<String>,
    /// Web servers that serve pieces by number (`httpseeds`, BEP 17).
    pub http_seeds: Vec<String>,
    /// DHT nodes to start from (BEP 5): host and port.
    pub nodes: Vec<(String, u16)>,
    /// What the maker says about it.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
    /// When it was made, in seconds since 1970.
    pub creation_date: Option<i64>,
    /// Torrents that share files with it (BEP 38): their 20 or 32 byte hashes.
    pub similar: Vec<Vec<u8>>,
    /// Where a newer version may be found (BEP 39).
    pub update_url: Option<String>,
    /// What is odd about it, `info` included.
    pub lints: Vec<Lint>,
    raw: Bytes,
}

impl Metainfo {
    /// Reads a metainfo file.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        Self::from_bytes(Bytes::copy_from_slice(bytes), Names::default())
    }

    /// Reads a metainfo file and keeps its bytes instead of a copy.
    pub fn from_bytes(bytes: Bytes, names: Names) -> Result<Self, ParseError> {
        let decoded = decode(&bytes)?;
        let root = decoded.root();
        let dict = root.dict().ok_or_else(|| ParseError::key("the torrent", "must be a dictionary"))?;
        let info_value = dict.get("info").ok_or_else(|| ParseError::key("info", "is missing"))?;
        let mut lints = Lints::default();
        let mut info = read_info(bytes.slice(info_value.span()), info_value, names, &mut lints)?;
        if info.format() != crate::Format::V1 {
            let complete = match dict.get("piece layers") {
                Some(layers) => info.take_layers(layers, &bytes)?,
                None => info.has_all_hashes(),
            };
            if !complete {
                lints.add(LintKind::MissingPieceLayers, "");
            }
        }
        let mut metainfo = Self::outer(dict, info, &mut lints);
        metainfo.lint(root, &mut lints);
        metainfo.lints = lints.finish();
        drop(decoded);
        metainfo.raw = bytes;
        Ok(metainfo)
    }

    /// The bytes it was read from.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    fn outer(dict: Dict<'_>, info: Info, lints: &mut Lints) -> Self {
        let mut text_of =
            |key: &str| inside_or_out(dict, key).next().and_then(|value| text(key, value, lints));
        let comment = text_of("comment.utf-8").or_else(|| text_of("comment"));
        let created_by = text_of("created by");
        let update_url = text_of("update-url");
        Self {
            announce: tiers(dict, lints),
            web_seeds: urls(dict, "url-list", MAX_SEEDS, lints),
            http_seeds: urls(dict, "httpseeds", MAX_SEEDS, lints),
            nodes: nodes(dict, lints),
            comment,
            created_by,
            creation_date: dict.get("creation date").and_then(Value::int),
            similar: similar(dict),
            update_url,
            info: Arc::new(info),
            lints: Vec::new(),
            raw: Bytes::new(),
        }
    }

    fn lint(&self, root: Value<'_>, lints: &mut Lints) {
        let Some(dict) = root.dict() else { return };
        if !dict.iter().map(|(key, _)| key).is_sorted() {
            lints.add(LintKind::UnsortedKeys, "");
        }
        for (key, _) in
            dict.iter().filter(|(key, _)| !KNOWN_KEYS.iter().any(|known| known.as_bytes() == *key))
        {
            lints.add(LintKind::UnknownKey, key);
        }
        let trackers = self.announce.iter().flatten();
        for url in trackers.filter(|url| !is_tracker(url)) {
            lints.add(LintKind::TrackerUrl, url);
        }
        match (self.announce.is_empty(), self.info.private()) {
            (true, true) => lints.add(LintKind::PrivateWithoutTracker, ""),
            (true, false) if self.nodes.is_empty() => lints.add(LintKind::MissingAnnounce, ""),
            _ => {}
        }
        if self.info.private() && !self.nodes.is_empty() {
            lints.add(LintKind::PrivateWithNodes, "");
        }
    }
}

/// Decodes what should be a metainfo file or an info dictionary; names the common things that it is instead.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded<'_>, ParseError> {
    if bytes.len() > MAX_METAINFO {
        return Err(ParseError::TooLarge(bytes.len()));
    }
    match bytes {
        [] => return Err(ParseError::Empty),
        [0x1f, 0x8b, ..] => return Err(ParseError::Compressed("gzip")),
        [b'P', b'K', 3 | 5, ..] => return Err(ParseError::Compressed("zip")),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return Err(ParseError::Compressed("zstd")),
        [b'B', b'Z', b'h', ..] => return Err(ParseError::Compressed("bzip2")),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => return Err(ParseError::Compressed("xz")),
        [b'<', ..] => return Err(ParseError::WebPage),
        _ => {}
    }
    // Around the directories of a file tree stand the file, `info`, the dictionary that holds it, and the tree itself.
    let options = Options { max_depth: MAX_PATH_PARTS + 4, ..Options::LENIENT };
    Ok(bencode::decode(bytes, options)?)
}

/// A string for people; bytes that are not UTF-8 are replaced.
pub(crate) fn text(key: &str, value: Value<'_>, lints: &mut Lints) -> Option<String> {
    let Some(bytes) = value.bytes() else {
        lints.add(LintKind::IgnoredKey, key);
        return None;
    };
    if std::str::from_utf8(bytes).is_err() {
        lints.add(LintKind::NonUtf8, key);
    }
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// A URL worth keeping.
fn url(value: Value<'_>) -> Option<&str> {
    let url = value.text()?.trim();
    (!url.is_empty() && url.len() <= MAX_URL && !url.chars().any(char::is_control)).then_some(url)
}

fn is_tracker(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    scheme.is_some_and(|scheme| matches!(&*scheme, "http" | "https" | "udp" | "ws" | "wss"))
}

/// `announce-list` where it has a tracker, else `announce` (BEP 12). Each tracker is kept once.
fn tiers(dict: Dict<'_>, lints: &mut Lints) -> Vec<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut keep = |value: Value<'_>, lints: &mut Lints| match url(value) {
        None => {
            lints.add(LintKind::IgnoredKey, "announce");
            None
        }
        Some(_) if seen.len() >= MAX_TRACKERS => {
            lints.add(LintKind::TooMany, "announce-list");
            None
        }
        Some(url) => seen.insert(url.to_owned()).then(|| url.to_owned()),
    };
    let mut tiers: Vec<Vec<String>> = Vec::new();
    for tier in dict.get("announce-list").and_then(Value::list).into_iter().flat_map(bencode::List::iter) {
        // Some makers write a plain list of trackers.
        let trackers = match tier.list() {
            Some(tier) => tier.iter().filter_map(|value| keep(value, lints)).collect(),
            None => keep(tier, lints).into_iter().collect(),
        };
        tiers.push(trackers);
    }
    tiers.retain(|tier| !tier.is_empty());
    if tiers.is_empty()
        && let Some(announce) = dict.get("announce")
    {
        tiers.extend(keep(announce, lints).map(|tracker| vec![tracker]));
    }
    tiers
}

/// The URLs of a key that is a list, or one string.
fn urls(dict: Dict<'_>, key: &str, most: usize, lints: &mut Lints) -> Vec<String> {
    let Some(value) = dict.get(key) else { return Vec::new() };
    let values: Vec<Value<'_>> = match value.list() {
        Some(list) => list.iter().take(most + 1).collect(),
        // An empty string is how some makers say that there is none.
        None if value.bytes().is_some_and(<[u8]>::is_empty) => Vec::new(),
        None => vec![value],
    };
    if values.len() > most {
        lints.add(LintKind::TooMany, key);
    }
    let mut kept: Vec<String> = Vec::new();
    for value in values.into_iter().take(most) {
        match url(value) {
            Some(url) if kept.iter().any(|other| other == url) => {}
            Some(url) => kept.push(url.to_owned()),
            None => lints.add(LintKind::IgnoredKey, key),
        }
    }
    kept
}

fn nodes(dict: Dict<'_>, lints: &mut Lints) -> Vec<(String, u16)> {
    let list = dict.get("nodes").and_then(Value::list);
    let mut nodes = Vec::new();
    for node in list.into_iter().flat_map(bencode::List::iter) {
        if nodes.len() >= MAX_SEEDS {
            lints.add(LintKind::TooMany, "nodes");
            break;
        }
        match self::node(node) {
            Some(node) => nodes.push(node),
            None => lints.add(LintKind::IgnoredKey, "nodes"),
        }
    }
    nodes
}

fn node(node: Value<'_>) -> Option<(String, u16)> {
    let mut pair = node.list()?.iter();
    let host = pair.next()?.text().filter(|host| !host.is_empty() && host.len() <= 253)?;
    let port = u16::try_from(pair.next()?.int()?).ok().filter(|&port| port > 0)?;
    Some((host.to_owned(), port))
}

/// The values of a key outside and inside of `info`: some makers and some BEPs (38, 39) put keys in one place, some in the other.
fn inside_or_out<'a>(dict: Dict<'a>, key: &str) -> impl Iterator<Item = Value<'a>> {
    let info = dict.get("info").and_then(Value::dict);
    [dict.get(key), info.and_then(|info| info.get(key))].into_iter().flatten()
}

fn similar(dict: Dict<'_>) -> Vec<Vec<u8>> {
    let lists = inside_or_out(dict, "similar").filter_map(Value::list);
    let hashes = lists.flat_map(bencode::List::iter).filter_map(Value::bytes);
    hashes.filter(|hash| matches!(hash.len(), 20 | 32)).take(MAX_SEEDS).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
#[path = "torrent_tests.rs"]
mod tests;
