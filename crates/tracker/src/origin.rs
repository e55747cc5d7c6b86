//! A peer of this very process: named to everybody although it never announces.
//!
//! Kept by the store in its swarm. Where it can be reached depends on who asks: at the address where the asker reached
//! us, since that one works for it.

use std::net::{IpAddr, SocketAddr};

use metainfo::InfoHash;

/// A complete peer that runs in this process, registered with [`Tracker::set_origins`](crate::Tracker::set_origins).
///
/// It counts as one seed of its torrent in replies and scrapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What it seeds; a hybrid torrent has one entry for each of its hashes.
    pub hash: InfoHash,
    /// Where it listens.
    pub port: u16,
    /// The addresses it is known by to those for whom the address at which they reached us is of no use: who came
    /// through a trusted proxy, or from outside to a private address of ours.
    pub host: Vec<IpAddr>,
}

/// Who asks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The asker's own address.
    pub from: IpAddr,
    /// The address of ours at which it arrived; `None` if it came through a proxy or by no connection at all.
    pub reached: Option<IpAddr>,
}

impl Caller {
    /// The same with addresses in their plain form, and without a `reached` that says nothing.
    pub(crate) fn canonical(self) -> Self {
        let reached = self.reached.map(|ip| ip.to_canonical()).filter(|ip| !ip.is_unspecified());
        Self { from: self.from.to_canonical(), reached }
    }
}

impl Origin {
    /// Where `caller` can reach it: addresses of the caller's family, or if there are none of the other.
    pub(crate) fn addresses(&self, caller: Caller) -> Vec<SocketAddr> {
        let useless = |ip: &IpAddr| is_private(*ip) && !is_private(caller.from) && !self.host.is_empty();
        let all = match &caller.reached {
            Some(ip) if !useless(ip) => std::slice::from_ref(ip),
            _ => &self.host,
        };
        let own_family = |ip: &&IpAddr| ip.is_ipv4() == caller.from.is_ipv4();
        let any = all.iter().any(|ip| own_family(&ip));
        all.iter().filter(|ip| !any || own_family(ip)).map(|&ip| (ip, self.port).into()).collect()
    }

    /// Whether it is the origin itself that announces from `caller` with this port: it comes from an address of this
    /// machine, where no other peer can have the port.
    pub(crate) fn is(&self, caller: Caller, port: u16) -> bool {
        port == self.port && (caller.reached == Some(caller.from) || self.host.contains(&caller.from))
    }
}

/// Whether an address has a meaning only on this machine or its own network.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an origin with an address of each family is listed as.
    #[track_caller]
    fn check(from: &str, reached: Option<&str>, expected: &[&str]) {
        let host = ["198.51.100.1", "2001:db8::1"].map(|ip| ip.parse().unwrap()).to_vec();
        let origin = Origin { hash: InfoHash([1; 20]), port: 7, host };
        let ip = |text: &str| text.parse().unwrap();
        let caller = Caller { from: ip(from), reached: reached.map(ip) }.canonical();
        let expected: Vec<SocketAddr> =
            expected.iter().map(|ip| (ip.parse::<IpAddr>().unwrap(), 7).into()).collect();
        assert_eq!(origin.addresses(caller), expected, "{from} {reached:?}");
    }

    #[test]
    fn each_asker_is_told_the_address_at_which_it_reached_us() {
        check("192.0.2.9", Some("203.0.113.5"), &["203.0.113.5"]);
        check("192.168.1.9", Some("192.168.1.5"), &["192.168.1.5"]);
        check("127.0.0.1", Some("127.0.0.1"), &["127.0.0.1"]);
        check("::ffff:192.0.2.9", Some("::ffff:203.0.113.5"), &["203.0.113.5"]);
    }

    #[test]
    fn who_came_by_a_proxy_is_told_the_host_in_its_own_family() {
        check("192.0.2.9", None, &["198.51.100.1"]);
        check("192.0.2.9", Some("::"), &["198.51.100.1"]);
        check("2001:db8::9", None, &["2001:db8::1"]);
    }

    #[test]
    fn who_came_from_outside_is_not_told_a_private_address() {
        check("192.0.2.9", Some("10.0.0.5"), &["198.51.100.1"]);
    }

    #[test]
    fn without_another_name_the_address_reached_is_better_than_none() {
        let origin = Origin { hash: InfoHash([1; 20]), port: 7, host: Vec::new() };
        let caller = Caller { from: [192, 0, 2, 9].into(), reached: Some([10, 0, 0, 5].into()) };
        assert_eq!(origin.addresses(caller), ["10.0.0.5:7".parse().unwrap()]);
    }
}
