//! Magnet links: a torrent by its hash alone (BEP 9; `so` of BEP 53, `btmh` of BEP 52).
//!
//! A link is what somebody typed or clicked. Whether its peers and servers may be contacted is for the engine to decide.

use std::fmt;
use std::ops::RangeInclusive;

use crate::{InfoHash, InfoHashV2, InfoHashes, Metainfo};

/// The longest link, in bytes; browsers and shells stop earlier.
pub const MAX_MAGNET: usize = 256 << 10;
/// The most trackers, the most web seeds and the most peers that are kept of a link.
pub const MAX_LISTED: usize = 100;
/// The most ranges that `so` may have.
pub const MAX_RANGES: usize = 1000;
/// The longest name that is kept, in bytes.
const MAX_NAME: usize = crate::safe_path::MAX_NAME;

/// A magnet link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    /// The torrent's names: one at least.
    pub hashes: InfoHashes,
    /// What to show until the torrent's own name is known (`dn`). Not a safe path.
    pub name: Option<String>,
    /// The trackers' URLs (`tr`).
    pub trackers: Vec<String>,
    /// Web servers that have the content (`ws`).
    pub web_seeds: Vec<String>,
    /// Peers to try, as `host:port` (`x.pe`).
    pub peers: Vec<PeerAddr>,
    /// The numbers of the files to fetch (`so`); `None` for all. No file may have such a number.
    pub select: Option<Vec<RangeInclusive<u32>>>,
    /// The length of the content in bytes, as the link claims (`xl`).
    pub length: Option<u64>,
    /// Where the metainfo file may be fetched (`xs`).
    pub exact_source: Option<String>,
}

/// Where a peer listens, as written in a link: its host may be a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddr {
    /// A host name or address; IPv6 addresses without brackets.
    pub host: String,
    /// Its TCP port, never 0.
    pub port: u16,
}

/// Why a text is no magnet link for a torrent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MagnetError {
    /// It does not begin with `magnet:?`.
    #[error("a magnet link begins with `magnet:?`")]
    Scheme,
    /// Longer than [`MAX_MAGNET`].
    #[error("{0} bytes are too many for a magnet link ({MAX_MAGNET})")]
    TooLong(usize),
    /// It names no torrent.
    #[error("the magnet link has no `xt=urn:btih:` or `xt=urn:btmh:` hash")]
    NoHash,
    /// A hash is malformed.
    #[error(
        "`{0}` is not a torrent's hash: 40 hexadecimal digits or 32 of base32 after `btih:`, `1220` and 64 after `btmh:`"
    )]
    Hash(String),
    /// It names two torrents.
    #[error("the magnet link names two different torrents")]
    TwoTorrents,
    /// `so` is not a list of numbers and ranges.
    #[error("`so={0}` is not a list of file numbers such as 0,2,4-6")]
    Select(String),
}

impl Magnet {
    /// A link that has nothing but the torrent's names.
    pub fn new(hashes: InfoHashes) -> Self {
        let (trackers, web_seeds, peers) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            hashes,
            name: None,
            trackers,
            web_seeds,
            peers,
            select: None,
            length: None,
            exact_source: None,
        }
    }

    /// The link of a torrent: its names, trackers and web seeds.
    pub fn of(metainfo: &Metainfo) -> Self {
        Self {
            name: Some(metainfo.info.name().to_owned()),
            trackers: metainfo.announce.concat(),
            web_seeds: metainfo.web_seeds.clone(),
            length: Some(metainfo.info.layout().content_length()),
            ..Self::new(metainfo.info.hashes())
        }
    }

    /// Reads a link. Parameters that nobody knows are ignored, as are trackers and peers that make no sense.
    pub fn parse(link: &str) -> Result<Self, MagnetError> {
        let link = link.trim();
        if link.len() > MAX_MAGNET {
            return Err(MagnetError::TooLong(link.len()));
        }
        let query = link.split_at_checked(8).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("magnet:?"));
        let (_, query) = query.ok_or(MagnetError::Scheme)?;
        let mut magnet = Self::new(InfoHashes { v1: None, v2: None });
        // Some makers escape `&` as they would in HTML.
        for parameter in query.split('&').map(|part| part.strip_prefix("amp;").unwrap_or(part)) {
            if let Some((key, value)) = parameter.split_once('=') {
                // `tr.1`, `tr.2` are the same as `tr` twice; `x.pe` is a name of its own.
                let numbered =
                    key.split_once('.').filter(|(_, number)| number.bytes().all(|c| c.is_ascii_digit()));
                magnet.take(numbered.map_or(key, |(name, _)| name), value)?;
            }
        }
        magnet.hashes.wire().map(|_| magnet).ok_or(MagnetError::NoHash)
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), MagnetError> {
        match key.to_ascii_lowercase().as_str() {
            "xt" => self.take_hash(value)?,
            "dn" if self.name.is_none() => self.name = Some(name(value)).filter(|name| !name.is_empty()),
            "tr" => keep(&mut self.trackers, url(value)),
            "ws" => keep(&mut self.web_seeds, url(value)),
            "x.pe" => keep(&mut self.peers, PeerAddr::parse(&decoded(value))),
            "xl" => self.length = value.parse().ok(),
            "xs" => self.exact_source = self.exact_source.take().or_else(|| url(value)),
            "so" => {
                let text = decoded(value);
                let select = self.select.get_or_insert_default();
                select.extend(ranges(&text).ok_or_else(|| MagnetError::Select(shown(&text)))?);
                select.truncate(MAX_RANGES);
            }
            _ => {}
        }
        Ok(())
    }

    fn take_hash(&mut self, value: &str) -> Result<(), MagnetError> {
        let urn = decoded(value);
        let malformed = || MagnetError::Hash(shown(&urn));
        if let Some(hash) = strip_prefix(&urn, "urn:btih:") {
            let hash = InfoHash::from_hex(hash).or_else(|| base32(hash)).ok_or_else(malformed)?;
            same(&mut self.hashes.v1, hash)
        } else if let Some(hash) = strip_prefix(&urn, "urn:btmh:") {
            // A multihash: 0x12 is SHA-256, 0x20 its length.
            let hash = strip_prefix(hash, "1220").and_then(InfoHashV2::from_hex).ok_or_else(malformed)?;
            same(&mut self.hashes.v2, hash)
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "magnet:?";
        let mut put = |key: &str, value: fmt::Arguments<'_>| {
            write!(f, "{separator}{key}={value}")?;
            separator = "&";
            Ok(())
        };
        if let Some(hash) = self.hashes.v1 {
            put("xt", format_args!("urn:btih:{hash}"))?;
        }
        if let Some(hash) = self.hashes.v2 {
            put("xt", format_args!("urn:btmh:1220{hash}"))?;
        }
        if let Some(name) = &self.name {
            put("dn", format_args!("{}", Escaped(name)))?;
        }
        if let Some(length) = self.length {
            put("xl", format_args!("{length}"))?;
        }
        self.trackers.iter().try_for_each(|url| put("tr", format_args!("{}", Escaped(url))))?;
        self.web_seeds.iter().try_for_each(|url| put("ws", format_args!("{}", Escaped(url))))?;
        self.exact_source.iter().try_for_each(|url| put("xs", format_args!("{}", Escaped(url))))?;
        self.peers.iter().try_for_each(|peer| put("x.pe", format_args!("{peer}")))?;
        if let Some(select) = &self.select {
            let ranges: Vec<String> = select.iter().map(range_text).collect();
            put("so", format_args!("{}", ranges.join(",")))?;
        }
        Ok(())
    }
}

impl PeerAddr {
    /// Reads `host:port`; IPv6 addresses stand in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let inner = host.strip_prefix('[').map(|rest| rest.strip_suffix(']'));
        let host = match inner {
            Some(inner) => inner.filter(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())?,
            None => host,
        };
        let fits =
            !host.is_empty() && host.len() <= 253 && (inner.is_some() || !host.contains([':', '[', ']']));
        let sober = host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_' | b':'));
        let port = port.parse().ok().filter(|&port| port > 0)?;
        (fits && sober).then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}:{}", self.host, self.port)
    }
}

/// Reads numbers and ranges of file numbers, such as `0,2,4-6` (BEP 53). Ranges stay ranges, however wide.
pub fn ranges(text: &str) -> Option<Vec<RangeInclusive<u32>>> {
    let parts = text.split(',').take(MAX_RANGES + 1).map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = first.parse().ok()?..=last.parse().ok()?;
        (!range.is_empty()).then_some(range)
    });
    let ranges: Vec<_> = parts.collect::<Option<_>>()?;
    (ranges.len() <= MAX_RANGES).then_some(ranges)
}

fn range_text(range: &RangeInclusive<u32>) -> String {
    let (first, last) = (range.start(), range.end());
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// Adds an item unless it is there, or the list is at its limit.
fn keep<T: PartialEq>(list: &mut Vec<T>, item: Option<T>) {
    list.extend(item.filter(|item| list.len() < MAX_LISTED && !list.contains(item)));
}

fn same<T: PartialEq>(slot: &mut Option<T>, hash: T) -> Result<(), MagnetError> {
    if slot.as_ref().is_some_and(|known| *known != hash) {
        return Err(MagnetError::TwoTorrents);
    }
    *slot = Some(hash);
    Ok(())
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn name(value: &str) -> String {
    let text = decoded(&value.replace('+', " "));
    let mut end = text.len().min(MAX_NAME);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().chars().filter(|c| !c.is_control()).collect()
}

fn url(value: &str) -> Option<String> {
    let url = decoded(value);
    let fits = url.len() <= crate::MAX_URL && url.contains("://");
    (fits && !url.chars().any(|c| c.is_control() || c == '\u{fffd}')).then_some(url)
}

/// The start of a strange text, for an error.
fn shown(text: &str) -> String {
    text.chars().take(100).filter(|c| !c.is_control()).collect()
}

/// Undoes percent-encoding. What is no escape stays; bytes that are not UTF-8 are replaced.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = match rest {
            [b'%', high, low, tail @ ..] => {
                hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, tail))
            }
            _ => None,
        };
        let (byte, tail) = escape.unwrap_or((*first, tail));
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// 32 digits of RFC 4648, as old links have them.
fn base32(text: &str) -> Option<InfoHash> {
    if text.len() != 32 {
        return None;
    }
    let mut bits = Vec::with_capacity(160);
    for digit in text.bytes() {
        let value = match digit.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            number @ b'2'..=b'7' => number - b'2' + 26,
            _ => return None,
        };
        bits.extend((0..5).rev().map(|shift| value >> shift & 1));
    }
    let mut hash = [0; 20];
    for (byte, bits) in hash.iter_mut().zip(bits.chunks(8)) {
        *byte = bits.iter().fold(0, |byte, bit| byte << 1 | bit);
    }
    Some(InfoHash(hash))
}

/// Text in which everything but letters, digits and `-._~` is percent-encoded.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                write!(f, "{}", char::from(byte))
            }
            other => write!(f, "%{other:02X}"),
        })
    }
}

#[cfg(test)]
#[path = "magnet_tests.rs"]
mod tests;
