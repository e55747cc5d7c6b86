//! The peers of one swarm in one address family, packed, and the slices of them that answers are made of.
//!
//! Owned by a shard of the store. One IPv4 peer takes eight bytes, so an answer is nearly a copy of memory.
//! Downloaders stand in front, those who only give behind them: whoever has everything is shown only the front.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

/// From how many peers on there is an index. Below, a scan of at most 1 KiB costs no more than a look-up.
const INDEXED_FROM: usize = 128;

/// Seconds in one unit of [`Stamp`]: peers expire after many minutes.
const UNIT: u64 = 8;

/// What a peer does in its swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It lacks pieces and wants them.
    Downloader,
    /// It lacks pieces and wants none of them (BEP 21).
    PartialSeed,
    /// It has everything.
    Seed,
}

/// A coarse time of 15 bits, in units of 8 s; it wraps after three days, so peers must be swept more often than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(u16);

/// Addresses found for an asker, ready for the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// IPv4 addresses and ports, big-endian (BEP 23).
    pub v4: Vec<[u8; 6]>,
    /// IPv6 addresses and ports, big-endian (BEP 7).
    pub v6: Vec<[u8; 18]>,
}

/// A packed address of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packed {
    V4([u8; 6]),
    V6([u8; 18]),
}

/// Hashes with a key that strangers do not know, so they cannot choose what collides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed(pub(crate) [u8; 16]);

/// The peers of one swarm whose packed addresses have `N` bytes.
#[derive(Debug, Default)]
pub(crate) struct Peers<const N: usize> {
    entries: Vec<Entry<N>>,
    /// Where the downloaders end and the others begin.
    downloaders: u32,
    /// How many of the others are partial seeds.
    partial: u32,
    /// Where each address stands, in large swarms.
    index: Option<Box<Index<N>>>,
}

/// Places by address. Boxed, because most swarms have none.
#[derive(Debug)]
struct Index<const N: usize> {
    places: HashMap<[u8; N], u32, Keyed>,
}

#[derive(Clone, Copy, Debug)]
struct Entry<const N: usize> {
    address: [u8; N],
    /// The stamp; the highest bit marks a partial seed.
    seen: u16,
}

const PARTIAL: u16 = 1 << 15;

impl Stamp {
    pub(crate) fn at(now: Duration) -> Self {
        let units = now.as_secs() / UNIT % u64::from(PARTIAL);
        Self(u16::try_from(units).unwrap_or(0))
    }

    /// How many units `self` is later than `seen`.
    fn since(self, seen: u16) -> u16 {
        self.0.wrapping_sub(seen) & !PARTIAL
    }
}

/// A time as a number of whole units, rounded up.
pub(crate) fn units(time: Duration) -> u16 {
    u16::try_from(time.as_secs().div_ceil(UNIT)).unwrap_or(u16::MAX).min(PARTIAL - 1)
}

impl Found {
    /// Forgets all addresses and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.v4.clear();
        self.v6.clear();
    }

    pub(crate) fn push(&mut self, address: SocketAddr) {
        match Packed::from(address) {
            Packed::V4(peer) => self.v4.push(peer),
            Packed::V6(peer) => self.v6.push(peer),
        }
    }

    /// Of each of these addresses leaves only the first.
    pub(crate) fn drop_repeated(&mut self, addresses: &[SocketAddr]) {
        for &address in addresses {
            match Packed::from(address) {
                Packed::V4(peer) => keep_first(peer, &mut self.v4),
                Packed::V6(peer) => keep_first(peer, &mut self.v6),
            }
        }
    }

    /// How many addresses there are.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let v4 = self.v4.iter().map(|&peer| Packed::V4(peer));
        v4.chain(self.v6.iter().map(|&peer| Packed::V6(peer))).map(Packed::address)
    }
}

fn keep_first<const N: usize>(peer: [u8; N], peers: &mut Vec<[u8; N]>) {
    let mut met = false;
    peers.retain(|other| *other != peer || !std::mem::replace(&mut met, true));
}

impl Packed {
    pub(crate) fn address(self) -> SocketAddr {
        match self {
            Self::V4([a, b, c, d, high, low]) => {
                (IpAddr::from([a, b, c, d]), u16::from_be_bytes([high, low])).into()
            }
            Self::V6(bytes) => {
                let [ip @ .., high, low] = bytes;
                (IpAddr::from(ip), u16::from_be_bytes([high, low])).into()
            }
        }
    }
}

impl From<SocketAddr> for Packed {
    fn from(address: SocketAddr) -> Self {
        let [high, low] = address.port().to_be_bytes();
        match address.ip() {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                Self::V4([a, b, c, d, high, low])
            }
            IpAddr::V6(ip) => {
                let mut bytes = [0; 18];
                for (to, from) in bytes.iter_mut().zip(ip.octets().into_iter().chain([high, low])) {
                    *to = from;
                }
                Self::V6(bytes)
            }
        }
    }
}

impl BuildHasher for Keyed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.0);
        hasher
    }
}

impl<const N: usize> Peers<N> {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn downloaders(&self) -> u32 {
        self.downloaders
    }

    pub(crate) fn partial_seeds(&self) -> u32 {
        self.partial
    }

    pub(crate) fn seeds(&self) -> u32 {
        self.count() - self.downloaders - self.partial
    }

    pub(crate) fn contains(&self, address: &[u8; N]) -> bool {
        self.find(address).is_some()
    }

    /// Adds a peer or refreshes it; gives the role it had.
    pub(crate) fn put(&mut self, address: [u8; N], role: Role, now: Stamp, keyed: Keyed) -> Option<Role> {
        let before = self.find(&address).map(|at| (at, self.role_at(at)));
        match before {
            Some((at, known)) if known == role => {
                if let Some(entry) = self.entries.get_mut(at) {
                    entry.seen = now.0 | entry.seen & PARTIAL;
                }
            }
            Some((at, _)) => {
                self.remove_at(at);
                self.push(address, role, now, keyed);
            }
            None => self.push(address, role, now, keyed),
        }
        before.map(|(_, role)| role)
    }

    /// Takes a peer out; says whether it was there.
    pub(crate) fn remove(&mut self, address: &[u8; N]) -> bool {
        self.find(address).map(|at| self.remove_at(at)).is_some()
    }

    /// Takes out peers not heard of for `age` units or more, as long as `budget` lasts.
    pub(crate) fn expire(
        &mut self,
        now: Stamp,
        age: u16,
        budget: &mut usize,
        mut gone: impl FnMut(&[u8; N]),
    ) {
        let mut at = self.entries.len();
        while at > 0 && *budget > 0 {
            at -= 1;
            let Some(entry) = self.entries.get(at).copied() else { break };
            if now.since(entry.seen) >= age {
                self.remove_at(at);
                gone(&entry.address);
                *budget -= 1;
            }
        }
        if self.entries.len() < self.entries.capacity() / 2 {
            self.entries.shrink_to_fit();
        }
    }

    /// The ages of all peers, in units.
    pub(crate) fn ages(&self, now: Stamp) -> impl Iterator<Item = u16> + '_ {
        self.entries.iter().map(move |entry| now.since(entry.seen))
    }

    /// Appends up to `want` peers heard of within `lifetime` units: about half of them downloaders if there are as many,
    /// and nobody else if the asker does not download.
    pub(crate) fn sample(&self, choice: &Choice<N>, rng: &mut Rng, found: &mut Vec<[u8; N]>) {
        let (front, all) = (self.downloaders as usize, self.entries.len());
        let givers = if choice.givers {
            (all - front).min((choice.want / 2).max(choice.want.saturating_sub(front)))
        } else {
            0
        };
        let end = found.len() + choice.want;
        self.slice(0..front, end - givers, choice, rng, found);
        if choice.givers {
            self.slice(front..all, end, choice, rng, found);
        }
    }

    /// Peers heard of within `lifetime` units, from a random one on.
    pub(crate) fn some(
        &self,
        now: Stamp,
        lifetime: u16,
        rng: &mut Rng,
    ) -> impl Iterator<Item = [u8; N]> + '_ {
        let from = rng.usize(..self.entries.len().max(1));
        let (before, after) = (self.entries.iter().take(from), self.entries.iter().skip(from));
        let fresh = after.chain(before).filter(move |entry| now.since(entry.seen) <= lifetime);
        fresh.map(|entry| entry.address)
    }

    /// Appends peers from a random place of `part` on, until there are `end` or all were seen.
    fn slice(
        &self,
        part: Range<usize>,
        end: usize,
        choice: &Choice<N>,
        rng: &mut Rng,
        found: &mut Vec<[u8; N]>,
    ) {
        let Some(entries) = self.entries.get(part).filter(|entries| !entries.is_empty()) else { return };
        let (before, after) = entries.split_at(rng.usize(..entries.len()));
        for entry in after.iter().chain(before) {
            if found.len() >= end {
                return;
            }
            if choice.now.since(entry.seen) <= choice.lifetime && Some(entry.address) != choice.not {
                found.push(entry.address);
            }
        }
    }

    fn find(&self, address: &[u8; N]) -> Option<usize> {
        match &self.index {
            Some(index) => index.places.get(address).map(|&at| at as usize),
            None => self.entries.iter().position(|entry| entry.address == *address),
        }
    }

    fn role_at(&self, at: usize) -> Role {
        if at < self.downloaders as usize {
            Role::Downloader
        } else if self.entries.get(at).is_some_and(|entry| entry.seen & PARTIAL != 0) {
            Role::PartialSeed
        } else {
            Role::Seed
        }
    }

    fn push(&mut self, address: [u8; N], role: Role, now: Stamp, keyed: Keyed) {
        if self.entries.len() == self.entries.capacity() {
            // Most swarms are small: grow by little, to odd numbers, as an allocator's blocks of 16 n - 8 bytes are then full.
            let step = if self.entries.is_empty() { 3 } else { (self.entries.len() / 4 + 2) & !1 };
            self.entries.reserve_exact(step);
        }
        let partial = if role == Role::PartialSeed { PARTIAL } else { 0 };
        let at = self.count();
        self.entries.push(Entry { address, seen: now.0 | partial });
        self.partial += u32::from(role == Role::PartialSeed);
        if let Some(index) = &mut self.index {
            index.places.insert(address, at);
        } else if self.entries.len() >= INDEXED_FROM {
            let mut places = HashMap::with_hasher(keyed);
            places.extend(self.entries.iter().map(|entry| entry.address).zip(0..));
            self.index = Some(Box::new(Index { places }));
        }
        if role == Role::Downloader {
            self.swap(self.downloaders as usize, at as usize);
            self.downloaders += 1;
        }
    }

    fn remove_at(&mut self, mut at: usize) {
        self.partial -= u32::from(self.role_at(at) == Role::PartialSeed);
        if at < self.downloaders as usize {
            self.downloaders -= 1;
            self.swap(at, self.downloaders as usize);
            at = self.downloaders as usize;
        }
        self.swap(at, self.entries.len() - 1);
        let Some(entry) = self.entries.pop() else { return };
        if let Some(index) = &mut self.index {
            index.places.remove(&entry.address);
        }
        if self.entries.len() < INDEXED_FROM / 2 {
            self.index = None;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.entries.swap(one, other);
        if let Some(index) = &mut self.index {
            for at in [one, other] {
                if let (Some(entry), Ok(place)) = (self.entries.get(at), u32::try_from(at)) {
                    index.places.insert(entry.address, place);
                }
            }
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }
}

/// What an asker may be shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<const N: usize> {
    /// How many peers at most.
    pub(crate) want: usize,
    /// Whether seeds and partial seeds are of use to it.
    pub(crate) givers: bool,
    /// The asker itself.
    pub(crate) not: Option<[u8; N]>,
    pub(crate) now: Stamp,
    pub(crate) lifetime: u16,
}

#[cfg(test)]
mod tests;
