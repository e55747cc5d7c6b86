//! What every front end of the tracker must do alike. A front end's tests call [`contract_tests!`].

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use announce::{Announce, AnnounceEvent, AnnounceReply, PeerFormat, ScrapeEntry};
use metainfo::{InfoHash, PeerId};
use tracker::{Access, Config, Origin, Tracker};

/// A way to ask a tracker.
pub(crate) trait FrontEnd {
    /// A tracker of its own, and the front end to it.
    fn new(config: Config) -> Self;
    /// The tracker behind it.
    fn tracker(&self) -> &Tracker;
    /// Announces from an address by way of a trusted proxy, if there is one in such a front end; the error is the
    /// failure reason.
    fn announce(&mut self, from: IpAddr, announce: &Announce) -> Result<AnnounceReply, String>;
    /// Announces from this machine at 127.0.0.1, where it also reaches the tracker.
    fn announce_here(&mut self, announce: &Announce) -> Result<AnnounceReply, String>;
    /// Scrapes.
    fn scrape(&mut self, hashes: &[InfoHash]) -> Result<Vec<(InfoHash, ScrapeEntry)>, String>;
}

/// One test function for each sentence of the contract.
macro_rules! contract_tests {
    ($front_end:ty: $($name:ident)*) => { $(
        #[test]
        fn $name() {
            contract::$name::<$front_end>();
        }
    )* };
    ($front_end:ty) => {
        contract_tests! { $front_end:
            peers_learn_of_each_other_and_never_of_themselves
            seeds_are_not_shown_to_seeds
            an_origin_comes_first_whoever_asks
            an_origin_is_listed_where_the_asker_reached_us
            an_origin_that_announces_is_not_listed_twice
            an_origin_counts_as_one_seed
            origins_may_come_and_go
            peers_are_told_to_the_process_itself
            a_partial_seed_is_shown_to_downloaders_and_counted_apart
            numwant_is_honoured
            a_thousand_peers_are_all_found_by_asking_again
            both_families_find_each_other
            an_address_with_two_ports_is_two_peers
            announcing_again_changes_the_one_peer
            stopped_removes_the_peer_and_shows_none
            a_completed_download_is_counted_once
            lists_decide_what_is_tracked
            scrapes_give_counts_and_zeros_for_the_unknown
            intervals_are_jittered_and_the_address_is_told
            one_address_cannot_fill_the_tracker
            ports_of_sixteen_bits_and_addresses_are_not_mixed_up
        }
    };
}
pub(crate) use contract_tests;

pub(crate) const HASH: InfoHash = InfoHash([0xab; 20]);

/// A downloader's regular announce; its port and its id follow from `number`.
pub(crate) fn downloader(number: u16) -> Announce {
    let mut id = *b"-HW0100-............";
    id[18..].copy_from_slice(&number.to_be_bytes());
    Announce {
        info_hash: HASH,
        peer_id: PeerId(id),
        port: number,
        uploaded: 0,
        downloaded: 0,
        left: 100,
        event: None,
        numwant: None,
        key: None,
        tracker_id: None,
        format: PeerFormat::Compact,
    }
}

pub(crate) fn seed(number: u16) -> Announce {
    Announce { left: 0, ..downloader(number) }
}

pub(crate) fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn at(last: u8, port: u16) -> SocketAddr {
    (ip(last), port).into()
}

/// Announces and gives the peers that came back, in order.
#[track_caller]
fn peers(front: &mut impl FrontEnd, from: IpAddr, announce: &Announce) -> Vec<SocketAddr> {
    let mut peers = front.announce(from, announce).unwrap().peers;
    peers.sort_unstable();
    peers
}

pub(crate) fn peers_learn_of_each_other_and_never_of_themselves<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    assert_eq!(peers(&mut front, ip(1), &downloader(1)), []);
    assert_eq!(peers(&mut front, ip(2), &downloader(2)), [at(1, 1)]);
    assert_eq!(peers(&mut front, ip(1), &downloader(1)), [at(2, 2)]);
    let other = Announce { info_hash: InfoHash([1; 20]), ..downloader(3) };
    assert_eq!(peers(&mut front, ip(3), &other), [], "another torrent");
}

pub(crate) fn seeds_are_not_shown_to_seeds<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    assert_eq!(peers(&mut front, ip(1), &seed(1)), []);
    assert_eq!(peers(&mut front, ip(2), &seed(2)), []);
    assert_eq!(peers(&mut front, ip(3), &downloader(3)), [at(1, 1), at(2, 2)]);
    assert_eq!(peers(&mut front, ip(1), &seed(1)), [at(3, 3)]);
}

/// An origin of this torrent at port 7000, known elsewhere as 192.0.2.77 and in IPv6.
fn origin(hash: InfoHash) -> Origin {
    Origin { hash, port: 7000, host: vec![ip(77), "2001:db8::77".parse().unwrap()] }
}

pub(crate) fn an_origin_comes_first_whoever_asks<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    front.tracker().set_origins(vec![origin(HASH)]);
    assert_eq!(peers(&mut front, ip(1), &seed(1)), [at(77, 7000)]);
    for number in 100..200 {
        front.announce(ip(2), &downloader(number)).unwrap();
    }
    let found = front.announce(ip(1), &downloader(1)).unwrap().peers;
    assert_eq!((found[0], found.len()), (at(77, 7000), 50));
    let none = Announce { numwant: Some(0), ..downloader(1) };
    assert_eq!(peers(&mut front, ip(1), &none), []);
    let six = front.announce("2001:db8::1".parse().unwrap(), &downloader(1)).unwrap().peers;
    assert!(six.contains(&"[2001:db8::77]:7000".parse().unwrap()) && !six.contains(&at(77, 7000)), "{six:?}");
    let other = Announce { info_hash: InfoHash([1; 20]), ..downloader(1) };
    assert_eq!(peers(&mut front, ip(1), &other), [], "another torrent");
}

pub(crate) fn an_origin_is_listed_where_the_asker_reached_us<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    front.tracker().set_origins(vec![origin(HASH)]);
    assert_eq!(front.announce_here(&downloader(1)).unwrap().peers, ["127.0.0.1:7000".parse().unwrap()]);
}

pub(crate) fn an_origin_that_announces_is_not_listed_twice<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    let early = Announce { port: 7000, ..seed(1) };
    front.announce(ip(77), &early).unwrap();
    front.tracker().set_origins(vec![origin(HASH)]);
    front.announce(ip(77), &early).unwrap();
    assert_eq!(front.announce_here(&early).unwrap().peers, [], "nor to itself");
    assert_eq!(peers(&mut front, ip(1), &downloader(1)), [at(77, 7000)]);
}

pub(crate) fn an_origin_counts_as_one_seed<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    front.tracker().set_origins(vec![origin(HASH)]);
    front.announce_here(&Announce { port: 7000, ..seed(1) }).unwrap();
    front.announce(ip(1), &seed(1)).unwrap();
    let reply = front.announce(ip(2), &downloader(2)).unwrap();
    assert_eq!((reply.complete, reply.incomplete), (Some(2), Some(1)));
    assert_eq!(front.scrape(&[HASH]).unwrap()[0].1.complete, 2);
    assert_eq!(front.tracker().counts(HASH).complete, 1, "the process knows that it has an origin");
}

pub(crate) fn origins_may_come_and_go<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    // Both hashes of a hybrid torrent.
    let second = InfoHash([2; 20]);
    front.tracker().set_origins(vec![origin(HASH), origin(second)]);
    for info_hash in [HASH, second] {
        let announce = Announce { info_hash, event: Some(AnnounceEvent::Completed), ..seed(1) };
        assert_eq!(peers(&mut front, ip(1), &announce), [at(77, 7000)]);
        front.announce(ip(1), &Announce { event: Some(AnnounceEvent::Stopped), ..announce }).unwrap();
    }
    front.tracker().set_origins(vec![origin(HASH)]);
    assert_eq!(front.scrape(&[HASH]).unwrap()[0].1.downloaded, 1, "what was counted stays");
    assert_eq!(peers(&mut front, ip(1), &seed(1)), [at(77, 7000)]);
    let announce = Announce { info_hash: second, ..seed(1) };
    assert_eq!(peers(&mut front, ip(1), &announce), [], "withdrawn");
    front.announce(ip(1), &Announce { event: Some(AnnounceEvent::Stopped), ..announce }).unwrap();
    assert_eq!(front.tracker().stats().torrents, 1);
}

pub(crate) fn peers_are_told_to_the_process_itself<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    front.tracker().set_origins(vec![origin(HASH)]);
    let six: IpAddr = "2001:db8::1".parse().unwrap();
    front.announce(ip(1), &seed(1)).unwrap();
    front.announce(ip(2), &downloader(2)).unwrap();
    front.announce(six, &seed(3)).unwrap();
    let mut told = front.tracker().peers(HASH, 10);
    told.sort_unstable();
    assert_eq!(told, [at(1, 1), at(2, 2), (six, 3).into()]);
    let told = front.tracker().peers(HASH, 2);
    assert_eq!(told.iter().filter(|peer| peer.is_ipv6()).count(), 1, "{told:?}");
    assert_eq!(told.len(), 2);
    assert_eq!(front.tracker().peers(InfoHash([1; 20]), 10), []);
}

pub(crate) fn a_partial_seed_is_shown_to_downloaders_and_counted_apart<F: FrontEnd>() {
    // BEP 21
    let mut front = F::new(Config::default());
    let partial = |number| Announce { event: Some(AnnounceEvent::Paused), ..downloader(number) };
    peers(&mut front, ip(1), &partial(1));
    assert_eq!(peers(&mut front, ip(2), &partial(2)), []);
    assert_eq!(peers(&mut front, ip(3), &downloader(3)), [at(1, 1), at(2, 2)]);
    let counts = front.scrape(&[HASH]).unwrap()[0].1;
    assert_eq!((counts.complete, counts.incomplete), (0, 3));
    assert_eq!(peers(&mut front, ip(1), &downloader(1)), [at(2, 2), at(3, 3)], "it wants more after all");
}

pub(crate) fn numwant_is_honoured<F: FrontEnd>() {
    let mut front = F::new(Config { max_numwant: 60, ..Config::default() });
    for number in 1..=100 {
        front.announce(ip(1), &downloader(number)).unwrap();
    }
    let mut count =
        |numwant| front.announce(ip(2), &Announce { numwant, ..downloader(1) }).unwrap().peers.len();
    assert_eq!(count(None), 50);
    assert_eq!(count(Some(0)), 0);
    assert_eq!(count(Some(7)), 7);
    assert_eq!(count(Some(u32::MAX)), 60);
}

pub(crate) fn a_thousand_peers_are_all_found_by_asking_again<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    for number in 1..=1000 {
        let peer = if number % 2 == 0 { seed(number) } else { downloader(number) };
        front.announce(ip(1), &peer).unwrap();
    }
    let mut found = BTreeSet::new();
    for _ in 0..400 {
        let peers = peers(&mut front, ip(2), &downloader(1));
        let seeds = peers.iter().filter(|peer| peer.port() % 2 == 0).count();
        assert_eq!((peers.len(), seeds), (50, 25));
        assert_eq!(peers.iter().collect::<BTreeSet<_>>().len(), 50, "no peer twice");
        found.extend(peers);
    }
    assert_eq!(found.len(), 1000);
    let reply = front.announce(ip(2), &downloader(1)).unwrap();
    assert_eq!((reply.complete, reply.incomplete), (Some(500), Some(501)));
    assert!(peers(&mut front, ip(3), &seed(2)).iter().all(|peer| peer.port() % 2 == 1));
}

pub(crate) fn both_families_find_each_other<F: FrontEnd>() {
    // BEP 7
    let mut front = F::new(Config::default());
    let six: IpAddr = "2001:db8::1".parse().unwrap();
    peers(&mut front, ip(1), &downloader(1));
    assert_eq!(peers(&mut front, six, &downloader(2)), [at(1, 1)]);
    assert_eq!(peers(&mut front, ip(1), &downloader(1)), [SocketAddr::from((six, 2))]);
    let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
    assert_eq!(
        peers(&mut front, mapped, &downloader(1)),
        [SocketAddr::from((six, 2))],
        "the same peer as before"
    );
    for number in 10..200 {
        front.announce(ip(3), &downloader(number)).unwrap();
        front.announce(six, &downloader(number)).unwrap();
    }
    let found = peers(&mut front, six, &downloader(2));
    let own = found.iter().filter(|peer| peer.is_ipv6()).count();
    assert_eq!((own, found.len()), (38, 50), "three quarters of the asker's family");
}

pub(crate) fn an_address_with_two_ports_is_two_peers<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    peers(&mut front, ip(1), &downloader(1));
    assert_eq!(peers(&mut front, ip(1), &Announce { port: 2, ..downloader(1) }), [at(1, 1)]);
}

pub(crate) fn announcing_again_changes_the_one_peer<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    for _ in 0..5 {
        peers(&mut front, ip(1), &downloader(1));
    }
    peers(&mut front, ip(1), &seed(1));
    let reply = front.announce(ip(2), &downloader(2)).unwrap();
    assert_eq!((reply.complete, reply.incomplete), (Some(1), Some(1)));
}

pub(crate) fn stopped_removes_the_peer_and_shows_none<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    let stopped = |number| Announce { event: Some(AnnounceEvent::Stopped), ..downloader(number) };
    peers(&mut front, ip(1), &downloader(1));
    peers(&mut front, ip(2), &downloader(2));
    assert_eq!(peers(&mut front, ip(1), &stopped(1)), []);
    assert_eq!(peers(&mut front, ip(3), &downloader(3)), [at(2, 2)]);
    assert_eq!(peers(&mut front, ip(9), &stopped(9)), [], "who was never here may leave");
    peers(&mut front, ip(2), &stopped(2));
    peers(&mut front, ip(3), &stopped(3));
    let stats = front.tracker().stats();
    assert_eq!((stats.torrents, stats.peers), (0, 0));
}

pub(crate) fn a_completed_download_is_counted_once<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    let completed = Announce { event: Some(AnnounceEvent::Completed), ..seed(1) };
    peers(&mut front, ip(1), &downloader(1));
    peers(&mut front, ip(1), &completed);
    peers(&mut front, ip(1), &completed);
    let counts = front.scrape(&[HASH]).unwrap()[0].1;
    assert_eq!((counts.complete, counts.incomplete, counts.downloaded), (1, 0, 1));
}

pub(crate) fn lists_decide_what_is_tracked<F: FrontEnd>() {
    // T-06
    let mut front = F::new(Config { access: Access::Allow([HASH].into()), ..Config::default() });
    let other = Announce { info_hash: InfoHash([1; 20]), ..downloader(1) };
    assert_eq!(front.announce(ip(1), &other), Err("this torrent is not tracked here".into()));
    assert!(front.announce(ip(1), &downloader(1)).is_ok());
    front.tracker().set_access(Access::Deny([HASH].into()));
    assert!(front.announce(ip(1), &other).is_ok());
    assert!(front.announce(ip(1), &downloader(1)).is_err());
    front.tracker().set_access(Access::Open);
    assert!(front.announce(ip(1), &downloader(1)).is_ok());
}

pub(crate) fn scrapes_give_counts_and_zeros_for_the_unknown<F: FrontEnd>() {
    // BEP 48
    let mut front = F::new(Config::default());
    peers(&mut front, ip(1), &downloader(1));
    peers(&mut front, ip(2), &seed(2));
    let unknown = InfoHash([0xff; 20]);
    let scraped = front.scrape(&[unknown, HASH]).unwrap();
    let of = |hash| scraped.iter().find(|(found, _)| *found == hash).unwrap().1;
    assert_eq!((of(HASH).complete, of(HASH).incomplete), (1, 1));
    assert_eq!((of(unknown).complete, of(unknown).incomplete), (0, 0));
}

pub(crate) fn intervals_are_jittered_and_the_address_is_told<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    let replies: Vec<_> = (0..50).map(|_| front.announce(ip(7), &downloader(1)).unwrap()).collect();
    let intervals: BTreeSet<_> = replies.iter().map(|reply| reply.interval).collect();
    let range = Duration::from_secs(1800)..=Duration::from_secs(1980);
    assert!(
        intervals.len() > 10 && intervals.iter().all(|interval| range.contains(interval)),
        "{intervals:?}"
    );
    // BEP 24; front ends that cannot say it say nothing.
    assert!(replies.iter().all(|reply| reply.external_ip.is_none_or(|told| told == ip(7))));
}

pub(crate) fn one_address_cannot_fill_the_tracker<F: FrontEnd>() {
    // T-04
    let mut front = F::new(Config { max_per_address: 20, ..Config::default() });
    let accepted = (1..=100).filter(|&number| front.announce(ip(1), &downloader(number)).is_ok()).count();
    assert_eq!(accepted, 20);
    assert_eq!(front.tracker().stats().peers, 20);
    assert!(front.announce(ip(1), &downloader(20)).is_ok(), "those it has stay");
    assert!(front.announce(ip(2), &downloader(1)).is_ok(), "others are not affected");
    front.announce(ip(1), &Announce { event: Some(AnnounceEvent::Stopped), ..downloader(1) }).unwrap();
    assert!(front.announce(ip(1), &downloader(50)).is_ok(), "one left, so there is room for one");
}

pub(crate) fn ports_of_sixteen_bits_and_addresses_are_not_mixed_up<F: FrontEnd>() {
    let mut front = F::new(Config::default());
    let addresses = [(ip(1), 1), (ip(1), 256), (ip(1), u16::MAX), (ip(2), 1)];
    for (from, port) in addresses {
        front.announce(from, &downloader(port)).unwrap();
    }
    let expected: BTreeSet<_> = addresses.into_iter().map(SocketAddr::from).collect();
    assert_eq!(peers(&mut front, ip(9), &downloader(9)).into_iter().collect::<BTreeSet<_>>(), expected);
}
