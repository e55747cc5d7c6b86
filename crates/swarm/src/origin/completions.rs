//! Downloads that came to their end: which are only claimed, and which are verified.
//!
//! Owned by `Origin`. A download is a peer that was seen incomplete and later says that it has everything. It is verified once the
//! peer has given a random block of the whole torrent after that. Numbers only; nothing depends on them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use metainfo::PeerId;

/// Peers remembered, connected or not: a day of a thousand downloads in an hour, or 5 MiB.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// It told the tracker that it begins, and was not seen yet.
    Announced,
    Fetching,
    Claimed,
    Verified,
}

#[derive(Debug)]
struct Download {
    id: PeerId,
    ip: IpAddr,
    /// Content bytes that it lacked when it began, as far as it said so, or when first seen.
    bytes: u64,
    /// It told the tracker how much it had to fetch.
    announced: bool,
    state: State,
}

/// Where a download is looked for whose name is not known, and its number.
type Place = (IpAddr, State, bool, u64);

impl Download {
    fn place(&self, number: u64) -> Place {
        (self.ip, self.state, self.announced, number)
    }
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// By number, the oldest first.
    downloads: BTreeMap<u64, Download>,
    names: BTreeMap<PeerId, u64>,
    places: BTreeSet<Place>,
    /// Downloads numbered so far.
    begun: u64,
    sums: Completions,
}

impl Ledger {
    pub(super) fn completions(&self) -> Completions {
        self.sums
    }

    /// A peer told the tracker that it begins to fetch so many bytes: what it has by the time we meet came from other peers. That
    /// alone counts for nothing. Some clients have another name at each connection, so the address tells them too.
    pub(super) fn announce(&mut self, id: PeerId, ip: IpAddr, bytes: u64) {
        let Some(number) = self.named(id).or_else(|| self.at(ip, State::Fetching, false)) else {
            return self.remember(Download { id, ip, bytes, announced: true, state: State::Announced });
        };
        let Some(download) = self.downloads.get(&number).filter(|download| !download.announced) else {
            return;
        };
        let more = bytes.saturating_sub(download.bytes);
        match download.state {
            State::Claimed => self.sums.claimed_bytes += more,
            State::Verified => self.sums.verified_bytes += more,
            State::Announced | State::Fetching => {}
        }
        self.change(number, |download| {
            download.announced = true;
            download.bytes += more;
        });
    }

    /// A peer is there and lacks so much. Only what it lacked at first counts.
    pub(super) fn meet(&mut self, id: PeerId, ip: IpAddr, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let Some(number) = self.named(id).or_else(|| self.at(ip, State::Announced, true)) else {
            return self.remember(Download { id, ip, bytes, announced: false, state: State::Fetching });
        };
        self.change(number, |download| {
            if download.state == State::Announced {
                let bytes = download.bytes.max(bytes);
                *download = Download { id, ip, bytes, announced: true, state: State::Fetching };
            }
        });
    }

    /// A peer says that it has everything.
    pub(super) fn claim(&mut self, id: PeerId) {
        let Some(number) = self.named(id) else { return };
        let Some(bytes) = self.bytes_of(number, State::Fetching) else { return };
        self.change(number, |download| download.state = State::Claimed);
        self.sums.claimed += 1;
        self.sums.claimed_bytes += bytes;
    }

    /// A peer that says so has proved it. If it is unknown, it may be one that was here under another name: a client takes a new
    /// one at each start.
    pub(super) fn verify(&mut self, id: PeerId, ip: IpAddr) {
        let before = || self.at(ip, State::Claimed, true).or_else(|| self.at(ip, State::Claimed, false));
        let Some(number) = self.named(id).or_else(before) else { return };
        let Some(bytes) = self.bytes_of(number, State::Claimed) else { return };
        self.change(number, |download| download.state = State::Verified);
        self.sums.claimed -= 1;
        self.sums.claimed_bytes -= bytes;
        self.sums.verified += 1;
        self.sums.verified_bytes += bytes;
    }

    fn named(&self, id: PeerId) -> Option<u64> {
        self.names.get(&id).copied()
    }

    /// The oldest download at an address in this state.
    fn at(&self, ip: IpAddr, state: State, announced: bool) -> Option<u64> {
        let here = (ip, state, announced, 0)..=(ip, state, announced, u64::MAX);
        self.places.range(here).next().map(|&(.., number)| number)
    }

    fn bytes_of(&self, number: u64, state: State) -> Option<u64> {
        self.downloads.get(&number).filter(|download| download.state == state).map(|download| download.bytes)
    }

    fn remember(&mut self, download: Download) {
        if self.downloads.len() >= MAX_DOWNLOADS
            && let Some(&oldest) = self.downloads.keys().next()
        {
            self.take(oldest);
        }
        self.begun += 1;
        self.put(self.begun, download);
    }

    fn change(&mut self, number: u64, how: impl FnOnce(&mut Download)) {
        if let Some(mut download) = self.take(number) {
            how(&mut download);
            self.put(number, download);
        }
    }

    fn put(&mut self, number: u64, download: Download) {
        self.names.insert(download.id, number);
        self.places.insert(download.place(number));
        self.downloads.insert(number, download);
    }

    fn take(&mut self, number: u64) -> Option<Download> {
        let download = self.downloads.remove(&number)?;
        self.names.remove(&download.id);
        self.places.remove(&download.place(number));
        Some(download)
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

    fn name(number: u32) -> PeerId {
        let mut id = PeerId([0; 20]);
        id.0[..4].copy_from_slice(&number.to_be_bytes());
        id
    }

    #[test]
    fn a_million_names_do_not_fill_the_memory() {
        let mut ledger = Ledger::default();
        (0..30_000).for_each(|number| ledger.meet(name(number), IP, 1));
        let remembered = [ledger.downloads.len(), ledger.names.len(), ledger.places.len()];
        assert_eq!(remembered, [MAX_DOWNLOADS; 3]);
    }

    #[test]
    fn twenty_thousand_that_announce_themselves_and_come_are_all_remembered() {
        let mut ledger = Ledger::default();
        for number in 0..20_000 {
            ledger.announce(name(number), IP, 100);
            ledger.meet(name(number), IP, 60);
        }
        (0..20_000).for_each(|number| ledger.claim(name(number)));
        assert_eq!(ledger.completions().claimed, 20_000);
    }
}
