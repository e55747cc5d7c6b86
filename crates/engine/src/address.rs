//! Which addresses strangers may send us to: public ones (reliability of servers in our own network depends on it).
//!
//! Pure. The check is made on the address that is connected to, so that names and number tricks do not matter.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address belongs to the public internet. IPv4 inside IPv6 (mapped, NAT64, 6to4) is judged as what it holds.
pub(crate) fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_global_v4(ip),
        IpAddr::V6(ip) => embedded(ip).map_or_else(|| is_global_v6(ip), is_global_v4),
    }
}

fn is_global_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (b == 18 || b == 19);
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation();
    !(special || shared || protocol || benchmark || a == 0 || a >= 240)
}

fn is_global_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let global_unicast = a & 0xe000 == 0x2000;
    let documentation = (a == 0x2001 && b == 0xdb8) || a & 0xfff0 == 0x3ff0;
    let protocol = a == 0x2001 && b < 0x200;
    global_unicast && !documentation && !protocol
}

/// The IPv4 address that an IPv6 address stands for.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = ip.segments();
    let at = |n: usize| Ipv4Addr::from(u32::from(segments[n]) << 16 | u32::from(segments[n + 1]));
    match segments {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(at(6)),
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => Some(at(6)),
        [0x2002, ..] => Some(at(1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(global: bool, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(is_global(address.parse().unwrap()), global, "{address}");
        }
    }

    // S-20
    #[test]
    fn private_loopback_and_disguised_addresses_are_not_global() {
        check(
            false,
            &[
                "127.0.0.1",
                "10.1.2.3",
                "192.168.0.1",
                "172.16.5.5",
                "169.254.169.254",
                "0.0.0.0",
                "255.255.255.255",
            ],
        );
        check(false, &["100.64.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "192.0.0.8", "203.0.113.9"]);
        check(false, &["::1", "::", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1", "64:ff9b:1::1"]);
        check(
            false,
            &["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::10.0.0.1", "2002:7f00:1::", "::ffff:0:1"],
        );
    }

    #[test]
    fn public_addresses_are_global() {
        check(true, &["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]);
        check(true, &["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::"]);
    }
}
