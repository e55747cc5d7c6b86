//! Peer exchange: connected peers are told of each other (BEP 11).
//!
//! Part of `Swarm`; each peer has an [`Exchange`], and those of a `MetadataFetch` are believed in the same way. When an address is
//! dialled is for `candidates` to say. Private torrents are without all this (BEP 27).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use wire::{Message, PeerExchange};

use crate::swarm::Swarm;
use crate::{Endpoint, PeerKey, Source};

/// How often a peer is told at most, and the span in which what it tells is counted (BEP 11).
const PERIOD: Duration = Duration::from_secs(60);

/// How often it is looked whether there is something to tell: whoever comes should not wait long for the first word.
const LOOK: Duration = Duration::from_secs(5);

/// Addresses in each list of a message (BEP 11).
const MAX_TOLD: usize = 50;

/// Addresses believed of one peer in one period (P-13).
const MAX_BELIEVED: usize = 50;

/// Ports below are those of other services, which a liar would like to see dialled by a crowd (P-13).
const FIRST_PORT: u16 = 1024;

/// What one peer was told, and told us.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) speaks: bool,
    told: BTreeSet<SocketAddr>,
    /// When to look whether there are news.
    due: Duration,
    /// Addresses believed in the period that began then.
    believed: (Duration, usize),
}

impl Exchange {
    /// Those of the addresses that a peer at `teller` names that are worth a try.
    pub(crate) fn believe(&mut self, now: Duration, teller: IpAddr, said: &PeerExchange) -> Vec<Endpoint> {
        if now >= self.believed.0 + PERIOD {
            self.believed = (now, 0);
        }
        let places = MAX_BELIEVED.saturating_sub(self.believed.1);
        let worth = said.added.iter().map(|&(at, _)| at).filter(|&at| is_plausible(at, teller));
        let believed: Vec<_> = worth.take(places).map(Endpoint::Tcp).collect();
        self.believed.1 += believed.len();
        believed
    }

    /// What has changed among `others` since the last word, which this one then is.
    fn news(&mut self, now: Duration, others: &[(SocketAddr, u8)]) -> Option<PeerExchange> {
        let fresh = others.iter().filter(|(at, _)| !self.told.contains(at));
        let added: Vec<_> = fresh.take(MAX_TOLD).copied().collect();
        let connected: BTreeSet<_> = others.iter().map(|&(at, _)| at).collect();
        let dropped: Vec<_> = self.told.difference(&connected).take(MAX_TOLD).copied().collect();
        if added.is_empty() && dropped.is_empty() {
            self.due = now + LOOK;
            return None;
        }
        self.due = now + PERIOD;
        self.told.retain(|at| !dropped.contains(at));
        self.told.extend(added.iter().map(|&(at, _)| at));
        Some(PeerExchange { added, dropped })
    }
}

impl Swarm {
    /// Whether peers tell each other at all.
    pub(crate) fn exchanges(&self) -> bool {
        self.config.pex && !self.private
    }

    /// A peer names others.
    pub(crate) fn told_of(&mut self, key: PeerKey, said: &PeerExchange) {
        let exchanges = self.exchanges();
        let Some(peer) = self.peers.get_mut(&key).filter(|_| exchanges) else { return };
        let teller = peer.ip();
        let believed = peer.exchange.believe(self.now, teller, said);
        self.found(&believed, Source::Pex);
    }

    /// Tells a peer of the others, if it is time and there are news.
    pub(crate) fn tell_of_others(&mut self, key: PeerKey) {
        let now = self.now;
        let is_due = |exchange: &Exchange| exchange.speaks && now >= exchange.due;
        if !self.exchanges() || !self.peers.get(&key).is_some_and(|peer| is_due(&peer.exchange)) {
            return;
        }
        let others: Vec<_> = self
            .peers
            .iter()
            .filter(|&(&other, _)| other != key)
            .filter_map(|(_, peer)| {
                let Endpoint::Tcp(at) = peer.home?;
                Some((at, if peer.is_seed() || peer.upload_only { PeerExchange::SEED } else { 0 }))
            })
            .collect();
        let news = self.peers.get_mut(&key).and_then(|peer| peer.exchange.news(now, &others));
        if let Some(news) = news {
            self.say(key, Message::PeerExchange(Box::new(news)));
        }
    }
}

/// Whether a peer can be there. Addresses of a local network are known only to those in it (P-13).
fn is_plausible(at: SocketAddr, teller: IpAddr) -> bool {
    let ip = at.ip().to_canonical();
    at.port() >= FIRST_PORT
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && ip != IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
        && (!is_local(ip) || is_local(teller.to_canonical()))
}

fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u16) -> SocketAddr {
        let [high, low] = number.to_be_bytes();
        ([198, 51, high, low], 6881).into()
    }

    // P-13
    #[test]
    fn addresses_that_can_be_no_peers_are_not_believed() {
        let check = |believed: bool, address: &str, teller: &str| {
            let is = is_plausible(address.parse().unwrap(), teller.parse().unwrap());
            assert_eq!(is, believed, "{address} of {teller}");
        };
        for address in ["198.51.100.7:6881", "[2001:db8::7]:6881"] {
            check(true, address, "203.0.113.1");
            check(true, address, "127.0.0.1");
        }
        for address in [
            "198.51.100.7:0",
            "198.51.100.7:22",
            "224.0.0.1:6881",
            "[ff02::1]:6881",
            "0.0.0.0:6881",
            "255.255.255.255:6881",
        ] {
            check(false, address, "203.0.113.1");
            check(false, address, "192.168.0.1");
        }
        for address in [
            "127.0.0.1:6881",
            "10.1.1.1:6881",
            "169.254.169.254:6881",
            "[::1]:6881",
            "[::ffff:10.0.0.1]:6881",
        ] {
            check(false, address, "203.0.113.1");
            check(true, address, "192.168.0.1");
        }
    }

    // P-13
    #[test]
    fn a_peer_is_believed_fifty_addresses_a_minute() {
        let mut exchange = Exchange::default();
        let said =
            PeerExchange { added: (0..100).map(|number| (at(number), 0)).collect(), dropped: Vec::new() };
        let mut believed =
            |seconds| exchange.believe(Duration::from_secs(seconds), [203, 0, 113, 1].into(), &said).len();
        assert_eq!([believed(0), believed(1), believed(59), believed(60)], [50, 0, 0, 50]);
    }

    #[test]
    fn a_peer_hears_of_many_others_bit_by_bit_and_of_each_once() {
        let mut exchange = Exchange::default();
        let others: Vec<_> = (0..120).map(|number| (at(number), 0)).collect();
        let mut told = BTreeSet::new();
        while let Some(news) = exchange.news(Duration::ZERO, &others) {
            assert!(news.added.len() <= MAX_TOLD && news.dropped.is_empty());
            for (at, _) in news.added {
                assert!(told.insert(at), "{at} twice");
            }
        }
        assert_eq!(told.len(), 120);
        let news = exchange.news(Duration::ZERO, &others[1..]).unwrap();
        assert_eq!((news.added.len(), news.dropped), (0, vec![at(0)]));
    }
}
