//! Downloads that came to their end: which are only claimed, and which are verified.
//!
//! Owned by `Origin`. A download is a peer that was seen incomplete and later says that it has everything. It is verified once the
//! peer has given a random block of the whole torrent after that. Numbers only; nothing depends on them.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use metainfo::PeerId;

/// Peers remembered, connected or not: a day of a thousand downloads in an hour, or 2 MiB.
const MAX_DOWNLOADS: usize = 24_000;

/// Ended downloads of this run, in numbers and in bytes of content that they had to fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completions {
    /// Those whose peer gave a random block that equals ours. Never falls.
    pub verified: u64,
    /// Content bytes that those had to fetch. Never falls.
    pub verified_bytes: u64,
    /// Those whose peer only says so. Falls when one of them is verified.
    pub claimed: u64,
    /// Content bytes that those had to fetch.
    pub claimed_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It told the tracker that it begins, and was not seen yet.
    Announced,
    Fetching,
    Claimed,
    Verified,
}

#[derive(Debug)]
struct Download {
    ip: IpAddr,
    /// Content bytes that it lacked when it began, as far as it said so, or when first seen.
    bytes: u64,
    /// It told the tracker how much it had to fetch.
    announced: bool,
    state: State,
}

impl Download {
    fn is_unannounced(&self) -> bool {
        self.state == State::Fetching && !self.announced
    }
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    downloads: BTreeMap<PeerId, Download>,
    /// The same, the oldest first.
    order: VecDeque<PeerId>,
    sums: Completions,
}

impl Ledger {
    pub(super) fn completions(&self) -> Completions {
        self.sums
    }

    /// A peer told the tracker that it begins to fetch so many bytes: what it has by the time we meet came from other peers. That
    /// alone counts for nothing. Some clients have another name at each connection, so the address tells them too.
    pub(super) fn announce(&mut self, id: PeerId, ip: IpAddr, bytes: u64) {
        let known = self.downloads.contains_key(&id);
        let mut likely = self.downloads.iter().filter(|(_, one)| one.ip == ip && one.is_unannounced());
        let id = if known { Some(id) } else { likely.next().map(|(&id, _)| id) }.unwrap_or(id);
        match self.downloads.get_mut(&id) {
            Some(download) if !download.announced => {
                let more = bytes.saturating_sub(download.bytes);
                download.announced = true;
                download.bytes += more;
                match download.state {
                    State::Claimed => self.sums.claimed_bytes += more,
                    State::Verified => self.sums.verified_bytes += more,
                    State::Announced | State::Fetching => {}
                }
            }
            Some(_) => {}
            None => self.remember(id, Download { ip, bytes, announced: true, state: State::Announced }),
        }
    }

    /// A peer is there and lacks so much. Only what it lacked at first counts.
    pub(super) fn meet(&mut self, id: PeerId, ip: IpAddr, bytes: u64) {
        if bytes == 0 {
            return;
        }
        if self.downloads.get(&id).is_some_and(|download| download.state != State::Announced) {
            return;
        }
        let waits = |download: &Download| download.ip == ip && download.state == State::Announced;
        let mut likely = self.downloads.iter().filter(|(_, download)| waits(download));
        let begun = self.downloads.get_key_value(&id).or_else(|| likely.next()).map(|(&begun, _)| begun);
        let begun = begun.and_then(|begun| self.downloads.remove(&begun));
        let bytes = begun.as_ref().map_or(bytes, |begun| begun.bytes.max(bytes));
        self.remember(id, Download { ip, bytes, announced: begun.is_some(), state: State::Fetching });
    }

    fn remember(&mut self, id: PeerId, download: Download) {
        if self.order.len() >= MAX_DOWNLOADS
            && let Some(oldest) = self.order.pop_front()
        {
            self.downloads.remove(&oldest);
        }
        self.order.push_back(id);
        self.downloads.insert(id, download);
    }

    /// A peer says that it has everything.
    pub(super) fn claim(&mut self, id: PeerId) {
        let Some(download) = self.downloads.get_mut(&id).filter(|download| download.state == State::Fetching)
        else {
            return;
        };
        download.state = State::Claimed;
        self.sums.claimed += 1;
        self.sums.claimed_bytes += download.bytes;
    }

    /// A peer that says so has proved it. If it is unknown, it may be one that was here under another name: a client takes a new
    /// one at each start.
    pub(super) fn verify(&mut self, id: PeerId, ip: IpAddr) {
        let known = self.downloads.contains_key(&id);
        let before = |download: &Download| download.ip == ip && download.state == State::Claimed;
        let download = if known {
            self.downloads.get_mut(&id)
        } else {
            self.downloads.values_mut().find(|download| before(download))
        };
        let Some(download) = download.filter(|download| download.state == State::Claimed) else { return };
        download.state = State::Verified;
        self.sums.claimed -= 1;
        self.sums.claimed_bytes -= download.bytes;
        self.sums.verified += 1;
        self.sums.verified_bytes += download.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.meet(PeerId([1; 20]), IP, 100);
        ledger.meet(PeerId([1; 20]), IP, 30);
        ledger
    }

    fn sums(verified_bytes: u64, claimed_bytes: u64) -> Completions {
        Completions {
            verified: u64::from(verified_bytes > 0),
            verified_bytes,
            claimed: u64::from(claimed_bytes > 0),
            claimed_bytes,
        }
    }

    #[test]
    fn a_download_is_claimed_and_then_verified_once() {
        let mut ledger = ledger();
        ledger.verify(PeerId([1; 20]), IP);
        assert_eq!(ledger.completions(), sums(0, 0));
        ledger.claim(PeerId([1; 20]));
        ledger.claim(PeerId([1; 20]));
        assert_eq!(ledger.completions(), sums(0, 100));
        ledger.verify(PeerId([1; 20]), IP);
        ledger.verify(PeerId([1; 20]), IP);
        assert_eq!(ledger.completions(), sums(100, 0));
    }

    #[test]
    fn who_comes_back_under_another_name_is_still_verified() {
        let mut ledger = ledger();
        ledger.claim(PeerId([1; 20]));
        ledger.verify(PeerId([2; 20]), IpAddr::from([192, 0, 2, 9]));
        assert_eq!(ledger.completions(), sums(0, 100));
        ledger.verify(PeerId([2; 20]), IP);
        assert_eq!(ledger.completions(), sums(100, 0));
    }

    #[test]
    fn what_came_from_others_before_we_met_counts_too() {
        let mut ledger = Ledger::default();
        ledger.announce(PeerId([1; 20]), IP, 100);
        ledger.meet(PeerId([1; 20]), IP, 60);
        ledger.claim(PeerId([1; 20]));
        assert_eq!(ledger.completions(), sums(0, 100));
    }

    #[test]
    fn a_client_with_another_name_at_its_connection_is_known_by_its_address() {
        let mut ledger = Ledger::default();
        ledger.announce(PeerId([8; 20]), IP, 100);
        ledger.meet(PeerId([1; 20]), IP, 60);
        ledger.meet(PeerId([2; 20]), IP, 50);
        ledger.announce(PeerId([9; 20]), IP, 90);
        ledger.claim(PeerId([1; 20]));
        assert_eq!(ledger.completions(), sums(0, 100));
        ledger.claim(PeerId([2; 20]));
        assert_eq!(ledger.completions().claimed_bytes, 190);
    }

    #[test]
    fn a_start_that_is_heard_of_late_counts_all_the_same() {
        let mut ledger = Ledger::default();
        ledger.meet(PeerId([1; 20]), IP, 60);
        ledger.claim(PeerId([1; 20]));
        ledger.verify(PeerId([1; 20]), IP);
        ledger.announce(PeerId([1; 20]), IP, 100);
        assert_eq!(ledger.completions(), sums(100, 0));
    }

    #[test]
    fn who_only_announces_downloads_nothing() {
        let mut ledger = Ledger::default();
        ledger.announce(PeerId([1; 20]), IP, 100);
        ledger.claim(PeerId([1; 20]));
        ledger.verify(PeerId([1; 20]), IP);
        assert_eq!(ledger.completions(), sums(0, 0));
    }

    #[test]
    fn who_came_with_everything_downloaded_nothing() {
        let mut ledger = Ledger::default();
        ledger.meet(PeerId([1; 20]), IP, 0);
        ledger.claim(PeerId([1; 20]));
        assert_eq!(ledger.completions(), sums(0, 0));
    }

    #[test]
    fn a_million_names_do_not_fill_the_memory() {
        let mut ledger = Ledger::default();
        for name in 0..30_000u32 {
            let mut id = PeerId([0; 20]);
            id.0[..4].copy_from_slice(&name.to_be_bytes());
            ledger.meet(id, IP, 1);
        }
        assert_eq!((ledger.downloads.len(), ledger.order.len()), (MAX_DOWNLOADS, MAX_DOWNLOADS));
    }
}
