//! The tracker without a front end: the contract, and what needs time or numbers.

mod contract;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use announce::{Announce, AnnounceEvent, AnnounceReply, ScrapeEntry};
use contract::{FrontEnd, HASH, contract_tests, downloader, ip, seed};
use metainfo::InfoHash;
use tracker::{Caller, Config, Found, Tracker};

struct Direct {
    tracker: Tracker,
    now: Duration,
}

impl FrontEnd for Direct {
    fn new(config: Config) -> Self {
        Self { tracker: Tracker::new(config, [7; 16]), now: Duration::ZERO }
    }

    fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    fn announce(&mut self, from: IpAddr, announce: &Announce) -> Result<AnnounceReply, String> {
        self.ask(Caller { from, reached: None }, announce)
    }

    fn announce_here(&mut self, announce: &Announce) -> Result<AnnounceReply, String> {
        let here = Ipv4Addr::LOCALHOST.into();
        self.ask(Caller { from: here, reached: Some(here) }, announce)
    }

    fn scrape(&mut self, hashes: &[InfoHash]) -> Result<Vec<(InfoHash, ScrapeEntry)>, String> {
        self.tracker.scrape(hashes).map_err(|refusal| refusal.to_string())
    }
}

impl Direct {
    fn ask(&self, caller: Caller, announce: &Announce) -> Result<AnnounceReply, String> {
        let mut found = Found::default();
        let standing = self
            .tracker
            .announce(self.now, caller, announce, &mut found)
            .map_err(|refusal| refusal.to_string())?;
        Ok(AnnounceReply {
            interval: standing.interval,
            peers: found.addresses().collect(),
            complete: Some(standing.counts.complete),
            incomplete: Some(standing.counts.incomplete),
            external_ip: Some(standing.external_ip),
            ..AnnounceReply::default()
        })
    }
}

contract_tests!(Direct);

const HOUR: Duration = Duration::from_secs(3600);

fn sweep_all(front: &Direct) {
    for _ in 0..64 {
        front.tracker.sweep(front.now);
    }
}

#[test]
fn a_silent_peer_is_shown_no_more_after_two_intervals_and_then_swept() {
    let mut front = Direct::new(Config::default());
    front.announce(ip(1), &downloader(1)).unwrap();
    front.now = Duration::from_secs(3590);
    assert_eq!(front.announce(ip(2), &downloader(2)).unwrap().peers.len(), 1);
    front.now = HOUR + Duration::from_secs(20);
    assert_eq!(front.announce(ip(2), &downloader(2)).unwrap().peers, []);
    sweep_all(&front);
    assert_eq!(front.tracker.stats().peers, 1);
    front.now += 2 * HOUR;
    sweep_all(&front);
    assert_eq!((front.tracker.stats().peers, front.tracker.stats().torrents), (0, 0));
}

#[test]
fn peers_that_come_back_in_time_stay_for_days() {
    let mut front = Direct::new(Config::default());
    for half_hours in 0..400 {
        front.now = half_hours * HOUR / 2;
        front.announce(ip(1), &downloader(1)).unwrap();
        sweep_all(&front);
        assert_eq!(front.tracker.stats().peers, 1, "after {:?}", front.now);
    }
}

#[test]
fn full_memory_forgets_the_oldest_first() {
    // T-04, T-05
    let mut front = Direct::new(Config { memory: 200 * 1024, ..Config::default() });
    for number in 0..20_000_u32 {
        front.now = Duration::from_secs(u64::from(number) / 20);
        let from = IpAddr::from(Ipv4Addr::from(number + (1 << 24)));
        front.announce(from, &downloader(1)).unwrap();
    }
    let stats = front.tracker.stats();
    assert!((15_000..=20_480).contains(&stats.peers), "{stats:?}");
    let reply = front.announce(ip(1), &Announce { numwant: Some(200), ..downloader(1) }).unwrap();
    let first_kept = Ipv4Addr::from((1 << 24) + 20_000 - u32::try_from(stats.peers).unwrap() - 200);
    assert!(reply.peers.iter().all(|peer| peer.ip() >= first_kept), "{first_kept}: {reply:?}");
}

#[test]
fn a_flood_of_torrents_stays_under_the_ceiling() {
    // T-04
    let mut front =
        Direct::new(Config { memory: 138 * 2000, max_per_address: u32::MAX, ..Config::default() });
    for number in 0..20_000_u32 {
        let mut hash = [0; 20];
        hash[..4].copy_from_slice(&number.to_le_bytes());
        front.announce(ip(1), &Announce { info_hash: InfoHash(hash), ..downloader(1) }).unwrap();
    }
    let stats = front.tracker.stats();
    assert!((1500..=2064).contains(&stats.torrents) && stats.torrents == stats.peers, "{stats:?}");
}

#[test]
fn a_large_swarm_that_leaves_one_by_one_leaves_nothing() {
    let mut front = Direct::new(Config::default());
    for number in 1..=2000 {
        let peer = if number % 3 == 0 { seed(number) } else { downloader(number) };
        front.announce(ip(1), &peer).unwrap();
    }
    for number in (1..=2000).rev().step_by(2).chain((1..=2000).step_by(2)) {
        front
            .announce(ip(1), &Announce { event: Some(AnnounceEvent::Stopped), ..downloader(number) })
            .unwrap();
    }
    assert_eq!(front.tracker.stats().peers, 0);
    assert_eq!(front.scrape(&[HASH]).unwrap()[0].1.downloaded, 0);
}

#[test]
fn a_scrape_of_everything_is_for_the_operator_to_allow() {
    let mut closed = Direct::new(Config::default());
    assert!(closed.scrape(&[]).is_err());
    let mut open = Direct::new(Config { full_scrape: true, ..Config::default() });
    open.announce(ip(1), &downloader(1)).unwrap();
    assert_eq!(open.scrape(&[]).unwrap().len(), 1);
}
