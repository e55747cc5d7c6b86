//! Whose request a proxy passes on: `X-Forwarded-For` and `Forwarded` (RFC 7239).
//!
//! Used by `answer`. Believed only as far as each address that vouches for the next is trusted (T-09).

use std::net::{IpAddr, SocketAddr};

use super::Client;
use crate::{Caller, Net};

/// Who is behind a connection: who made it, or whose request it passes on.
pub(super) fn caller(client: Client<'_>, trusted: &[Net]) -> Caller {
    let Client { from, reached, x_forwarded_for, forwarded } = client;
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(ip));
    let Some(list) = forwarded.or(x_forwarded_for).filter(|_| is_trusted(from)) else {
        return Caller { from, reached };
    };
    let hops = list.rsplit(',').map(if forwarded.is_some() { hop_forwarded } else { address });
    // The nearest that no trusted proxy vouches for is the client; without one, the farthest that is known.
    let mut nearest = from;
    for hop in hops {
        let Some(ip) = hop else { break };
        nearest = ip;
        if !is_trusted(ip) {
            break;
        }
    }
    Caller { from: nearest, reached: None }
}

/// The `for` parameter of one element.
fn hop_forwarded(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(value.trim().trim_matches('"'))
}

/// An address with or without a port, an IPv6 one with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port).map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Parsed, parse};

    fn check(from: &str, header: &str, expected: &str) {
        let head = format!("GET / HTTP/1.1\r\n{header}\r\n\r\n");
        let Ok(Parsed::Whole { request, .. }) = parse(head.as_bytes()) else { panic!("{header}") };
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        let (x_forwarded_for, forwarded) = (request.x_forwarded_for, request.forwarded);
        let ours = Some([192, 0, 2, 80].into());
        let client = Client { from: from.parse().unwrap(), reached: ours, x_forwarded_for, forwarded };
        let found = caller(client, &trusted);
        assert_eq!(found.from, expected.parse::<IpAddr>().unwrap(), "{header}");
        assert_eq!(found.reached, ours.filter(|_| from == "192.0.2.1"), "{header}");
    }

    #[test]
    fn a_stranger_is_not_believed() {
        // T-09
        check("192.0.2.1", "X-Forwarded-For: 198.51.100.7", "192.0.2.1");
        check("192.0.2.1", "Forwarded: for=198.51.100.7", "192.0.2.1");
    }

    #[test]
    fn a_trusted_proxy_names_its_client_and_the_client_cannot_name_another() {
        check("10.0.0.1", "X-Forwarded-For: 198.51.100.7", "198.51.100.7");
        check("10.0.0.1", "X-Forwarded-For: 203.0.113.9, 198.51.100.7, 10.0.0.2", "198.51.100.7");
        check("::1", "Forwarded: for=1.2.3.4, for=\"[2001:db8::1]:4711\";proto=https", "2001:db8::1");
    }

    #[test]
    fn what_cannot_be_read_leaves_the_nearest_known_address() {
        check("10.0.0.1", "X-Forwarded-For: nonsense", "10.0.0.1");
        check("10.0.0.1", "X-Forwarded-For: 198.51.100.7, unknown", "10.0.0.1");
        check("10.0.0.1", "Forwarded: by=10.0.0.2", "10.0.0.1");
    }
}
