//! Whose request a proxy passes on: `Forwarded` (RFC 7239), else `X-Forwarded-For`.
//!
//! Pure. Believed only as far as each address that vouches for the next is a known proxy.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::FORWARDED;

/// The address of the client behind a connection from `from`: the nearest that no proxy vouches for.
pub(super) fn client(from: IpAddr, headers: &HeaderMap, is_proxy: impl Fn(IpAddr) -> bool) -> IpAddr {
    if !is_proxy(from) {
        return from;
    }
    let (name, read): (_, fn(&str) -> Option<IpAddr>) =
        if headers.contains_key(FORWARDED) { ("forwarded", element) } else { ("x-forwarded-for", address) };
    let lines: Vec<_> = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or_default()).collect();
    let mut client = from;
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')).map(read) {
        let Some(hop) = hop else { break };
        client = hop;
        if !is_proxy(hop) {
            break;
        }
    }
    client
}

/// The `for` of one element of `Forwarded`.
fn element(text: &str) -> Option<IpAddr> {
    let mut pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(value.trim().trim_matches('"'))
}

/// An address, with or without port and brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(IpAddr::to_canonical(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &str, lines: &[(&'static str, &str)], expected: &str) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let is_proxy = |ip: IpAddr| {
            ["10.0.0.1", "10.0.0.2", "::1"].iter().any(|known| ip == known.parse::<IpAddr>().unwrap())
        };
        assert_eq!(client(from.parse().unwrap(), &headers, is_proxy).to_string(), expected, "{lines:?}");
    }

    #[test]
    fn a_stranger_is_not_believed() {
        check("192.0.2.1", &[("x-forwarded-for", "198.51.100.7")], "192.0.2.1");
        check("192.0.2.1", &[("forwarded", "for=198.51.100.7")], "192.0.2.1");
    }

    #[test]
    fn a_proxy_names_its_client_and_the_client_cannot_name_another() {
        check("10.0.0.1", &[("x-forwarded-for", "198.51.100.7")], "198.51.100.7");
        check("10.0.0.1", &[("x-forwarded-for", "203.0.113.9, 198.51.100.7, 10.0.0.2")], "198.51.100.7");
        check(
            "10.0.0.1",
            &[("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "198.51.100.7")],
            "198.51.100.7",
        );
        check("::1", &[("forwarded", "for=1.2.3.4, for=\"[2001:db8::1]:4711\";proto=https")], "2001:db8::1");
    }

    #[test]
    fn what_cannot_be_read_leaves_the_nearest_known_address() {
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &[("x-forwarded-for", "nonsense")], "10.0.0.1");
        check("10.0.0.1", &[("x-forwarded-for", "198.51.100.7, unknown, 10.0.0.2")], "10.0.0.2");
        check("10.0.0.1", &[("forwarded", "by=10.0.0.2"), ("x-forwarded-for", "198.51.100.7")], "10.0.0.1");
    }
}
