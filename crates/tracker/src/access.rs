//! Who is answered: lists of torrents, trusted proxies.
//!
//! Owned by `Tracker`. Lists come as text; reading them from files is the caller's.

use std::collections::HashSet;
use std::net::IpAddr;
use std::str::FromStr;

use metainfo::{InfoHash, InfoHashV2};

/// Which torrents are tracked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// All.
    #[default]
    Open,
    /// Only these.
    Allow(HashSet<InfoHash>),
    /// All but these.
    Deny(HashSet<InfoHash>),
}

impl Access {
    /// Whether a torrent is tracked.
    pub(crate) fn admits(&self, hash: InfoHash) -> bool {
        match self {
            Self::Open => true,
            Self::Allow(list) => list.contains(&hash),
            Self::Deny(list) => !list.contains(&hash),
        }
    }
}

/// A line of a list that is no info hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected an info hash of 40 or 64 hexadecimal digits")]
pub struct ListError {
    /// Which line, counted from 1.
    pub line: usize,
}

/// Reads a list of info hashes in hexadecimal: one a line, v1 or v2; `#` begins a comment.
pub fn parse_list(text: &str) -> Result<HashSet<InfoHash>, ListError> {
    let hash = |(index, line): (usize, &str)| {
        let entry = line.split('#').next().unwrap_or_default().trim();
        let v2 = || InfoHashV2::from_hex(entry).map(|hash| hash.truncated());
        (!entry.is_empty())
            .then(|| InfoHash::from_hex(entry).or_else(v2).ok_or(ListError { line: index + 1 }))
    };
    text.lines().enumerate().filter_map(hash).collect()
}

/// A network: an address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    address: IpAddr,
    prefix: u8,
}

/// Text that names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address or a network such as 10.0.0.0/8")]
pub struct NetError;

impl Net {
    /// Whether an address is in it; an IPv4 address in its IPv6 form counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let differing = u32::from(net) ^ u32::from(address);
                differing.leading_zeros() >= self.prefix.into()
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let differing = u128::from(net) ^ u128::from(address);
                differing.leading_zeros() >= self.prefix.into()
            }
            _ => false,
        }
    }
}

impl FromStr for Net {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NetError)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), |prefix| prefix.parse().map_err(|_| NetError))?;
        if prefix <= bits { Ok(Self { address, prefix }) } else { Err(NetError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_have_comments_blank_lines_and_either_case() {
        let text = "# ours\n\n  ABCDEF0123456789abcdef0123456789abcdef01 # the first\r\n";
        let v2 = "22".repeat(32);
        let list = parse_list(&format!("{text}{v2}")).unwrap();
        assert_eq!(list.len(), 2);
        assert!(list.contains(&InfoHash([0x22; 20])));
    }

    #[test]
    fn a_bad_line_is_named() {
        assert_eq!(parse_list("#\nnothing"), Err(ListError { line: 2 }));
    }

    #[test]
    fn networks_contain_their_addresses_and_no_others() {
        let net: Net = "10.1.0.0/16".parse().unwrap();
        assert!(
            net.contains("10.1.2.3".parse().unwrap()) && net.contains("::ffff:10.1.2.3".parse().unwrap())
        );
        assert!(!net.contains("10.2.0.1".parse().unwrap()) && !net.contains("::1".parse().unwrap()));
        assert!("::/0".parse::<Net>().unwrap().contains("2001:db8::1".parse().unwrap()));
        assert!("127.0.0.1".parse::<Net>().unwrap().contains("127.0.0.1".parse().unwrap()));
        for bad in ["10.0.0.0/33", "ten", "10.0.0.0/", "/8"] {
            assert_eq!(bad.parse::<Net>(), Err(NetError), "{bad}");
        }
    }
}
