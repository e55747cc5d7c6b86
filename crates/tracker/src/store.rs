//! All swarms, in shards of which each has a lock of its own.
//!
//! Owned by `Tracker`. The shard of a torrent follows from a keyed hash, so nobody can aim at one. A lock is held for one
//! announce or for the sweep of one shard, and no other is taken meanwhile; totals are atomics.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use announce::{AnnounceEvent, ScrapeEntry};
use fastrand::Rng;
use metainfo::InfoHash;

use crate::origin::{Caller, Origin};
use crate::peers::{Choice, Found, Keyed, Packed, Peers, Role, Stamp, units};

/// How many shards there are: with a few announces under way at a time, two seldom meet.
pub(crate) const SHARDS: u32 = 64;

/// How many counters keep track of addresses; several addresses may share one, so a count is never too low.
const SOURCES: usize = 1 << 16;

/// About how many bytes a torrent takes: its place in a table that is two thirds full, and its first allocation.
const TORRENT_BYTES: u64 = 128;

/// The share of a shard's peers that is forgotten at once when the memory is full: rare enough to cost little a peer.
const EVICTED_SHARE: usize = 8;

/// Nothing more is taken in from this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreFull;

/// What the store must keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) lifetime: Duration,
    pub(crate) memory: u64,
    pub(crate) max_per_address: u32,
}

/// One announce, as far as the store is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) hash: InfoHash,
    /// Whose address and port together are the peer's identity; in canonical form.
    pub(crate) caller: Caller,
    pub(crate) port: u16,
    pub(crate) role: Role,
    pub(crate) event: Option<AnnounceEvent>,
    pub(crate) want: u32,
}

#[derive(Debug)]
pub(crate) struct Store {
    shards: Box<[Mutex<Shard>]>,
    /// How many (torrent, port) pairs there are by hash of the address.
    sources: Box<[AtomicU32]>,
    limits: Limits,
    keyed: Keyed,
    torrents: AtomicU64,
    peers: AtomicU64,
    bytes: AtomicU64,
    /// The shard that is swept next.
    next_sweep: AtomicU32,
}

#[derive(Debug)]
struct Shard {
    swarms: Swarms,
    rng: Rng,
}

type Swarms = HashMap<InfoHash, Swarm, Keyed>;

#[derive(Debug, Default)]
struct Swarm {
    v4: Peers<6>,
    rest: Option<Box<Rest>>,
}

/// What many swarms do without.
#[derive(Debug, Default)]
struct Rest {
    v6: Peers<18>,
    /// Downloads that were completed.
    completed: u32,
    /// The peer of this process; its swarm stays, and its count of downloads, when everybody else has left.
    origin: Option<Box<Origin>>,
}

impl Store {
    pub(crate) fn new(limits: Limits, seed: [u8; 16]) -> Self {
        let keyed = Keyed(seed);
        let shard = |number: u32| {
            let rng = Rng::with_seed(keyed.hash_one(number));
            Mutex::new(Shard { swarms: HashMap::with_hasher(keyed), rng })
        };
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            sources: (0..SOURCES).map(|_| AtomicU32::new(0)).collect(),
            limits,
            keyed,
            torrents: AtomicU64::new(0),
            peers: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            next_sweep: AtomicU32::new(0),
        }
    }

    /// Takes in an announce and finds peers for it. The number is random, for the jitter of the interval.
    pub(crate) fn announce(
        &self,
        now: Duration,
        asker: &Asker,
        found: &mut Found,
    ) -> Result<(ScrapeEntry, u8), StoreFull> {
        let stamp = Stamp::at(now);
        let packed = Packed::from(SocketAddr::new(asker.caller.from, asker.port));
        let mut shard = self.shard(asker.hash);
        let luck = shard.rng.u8(..);
        if asker.event == Some(AnnounceEvent::Stopped) {
            let counts = self.remove(&mut shard, asker, packed);
            return Ok((counts, luck));
        }
        let swarm = shard.swarms.get(&asker.hash);
        // Our own origin is listed as such, and not once more under the address that it announces from.
        let origin = swarm.and_then(Swarm::origin).is_some_and(|origin| origin.is(asker.caller, asker.port));
        if !origin && !swarm.is_some_and(|swarm| swarm.contains(packed)) {
            self.admit(&mut shard, asker, packed, stamp)?;
        }
        let Shard { swarms, rng } = &mut *shard;
        let swarm = self.swarm(swarms, asker.hash);
        if !origin {
            swarm.take_in(packed, asker, stamp, self.keyed);
        }
        swarm.find(packed, asker, stamp, units(self.limits.lifetime), rng, found);
        Ok((swarm.counts(), luck))
    }

    /// Replaces the origins of all torrents.
    pub(crate) fn set_origins(&self, origins: Vec<Origin>) {
        let stay: HashSet<InfoHash> = origins.iter().map(|origin| origin.hash).collect();
        for origin in origins {
            let hash = origin.hash;
            let mut shard = self.shard(hash);
            self.swarm(&mut shard.swarms, hash).rest_mut().origin = Some(Box::new(origin));
        }
        for shard in &self.shards {
            lock(shard).swarms.retain(|hash, swarm| {
                if let Some(rest) = swarm.rest.as_mut().filter(|_| !stay.contains(hash)) {
                    rest.origin = None;
                }
                self.keep(swarm)
            });
        }
    }

    pub(crate) fn scrape(&self, hash: InfoHash) -> ScrapeEntry {
        self.shard(hash).swarms.get(&hash).map(Swarm::counts).unwrap_or_default()
    }

    /// As [`Store::scrape`], without the origin.
    pub(crate) fn announced(&self, hash: InfoHash) -> ScrapeEntry {
        self.shard(hash).swarms.get(&hash).map(Swarm::announced).unwrap_or_default()
    }

    /// Up to `max` peers of a torrent: half of them of each family, if there are as many.
    pub(crate) fn some_peers(&self, now: Duration, hash: InfoHash, max: usize) -> Vec<SocketAddr> {
        let (now, lifetime) = (Stamp::at(now), units(self.limits.lifetime));
        let mut shard = self.shard(hash);
        let Shard { swarms, rng } = &mut *shard;
        let Some(swarm) = swarms.get(&hash) else { return Vec::new() };
        let none = Rest::default();
        let rest = swarm.rest.as_deref().unwrap_or(&none);
        let v6 = rest.v6.some(now, lifetime, rng).take(max).map(|peer| Packed::V6(peer).address());
        let v6: Vec<SocketAddr> = v6.collect();
        let room = max - v6.len().min(max / 2);
        let v4 = swarm.v4.some(now, lifetime, rng).take(room).map(|peer| Packed::V4(peer).address());
        v4.chain(v6).take(max).collect()
    }

    /// The counts of all torrents, up to `limit` of them.
    pub(crate) fn scrape_all(&self, limit: usize) -> Vec<(InfoHash, ScrapeEntry)> {
        let mut entries = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let room = limit - entries.len();
            entries.extend(shard.swarms.iter().take(room).map(|(hash, swarm)| (*hash, swarm.counts())));
        }
        entries
    }

    /// Forgets the silent peers of the next shard, and its torrents without peers.
    pub(crate) fn sweep(&self, now: Duration) {
        let turn = self.next_sweep.fetch_add(1, Relaxed) % SHARDS;
        if let Some(shard) = self.shards.get(turn as usize) {
            let mut shard = lock(shard);
            let mut everyone = usize::MAX;
            self.expire(&mut shard, Stamp::at(now), units(self.limits.lifetime) + 1, &mut everyone);
            if shard.swarms.len() < shard.swarms.capacity() / 4 {
                shard.swarms.shrink_to_fit();
            }
        }
    }

    pub(crate) fn torrents(&self) -> u64 {
        self.torrents.load(Relaxed)
    }

    pub(crate) fn peers(&self) -> u64 {
        self.peers.load(Relaxed)
    }

    /// The swarm of a torrent, made if it is not there.
    fn swarm<'a>(&self, swarms: &'a mut Swarms, hash: InfoHash) -> &'a mut Swarm {
        swarms.entry(hash).or_insert_with(|| {
            self.torrents.fetch_add(1, Relaxed);
            self.bytes.fetch_add(TORRENT_BYTES, Relaxed);
            Swarm::default()
        })
    }

    /// Makes sure that a new peer may be added, and counts it.
    fn admit(&self, shard: &mut Shard, asker: &Asker, packed: Packed, now: Stamp) -> Result<(), StoreFull> {
        let source = self.source(packed);
        // T-04: one address cannot fill the store.
        if source.is_some_and(|count| count.load(Relaxed) >= self.limits.max_per_address) {
            return Err(StoreFull);
        }
        let known = shard.swarms.contains_key(&asker.hash);
        let needed = packed.bytes() + if known { 0 } else { TORRENT_BYTES };
        if self.bytes.load(Relaxed) + needed > self.limits.memory {
            self.make_room(shard, now);
        }
        source.inspect(|count| _ = count.fetch_add(1, Relaxed));
        self.peers.fetch_add(1, Relaxed);
        self.bytes.fetch_add(packed.bytes(), Relaxed);
        Ok(())
    }

    /// Forgets the peers of this shard that were not heard of for longest.
    fn make_room(&self, shard: &mut Shard, now: Stamp) {
        let mut ages: Vec<u16> = shard.swarms.values().flat_map(|swarm| swarm.ages(now)).collect();
        let mut budget = ages.len().div_ceil(EVICTED_SHARE);
        if budget > 0 {
            let oldest = ages.len() - budget;
            let (_, &mut age, _) = ages.select_nth_unstable(oldest);
            self.expire(shard, now, age, &mut budget);
        }
    }

    fn expire(&self, shard: &mut Shard, now: Stamp, age: u16, budget: &mut usize) {
        shard.swarms.retain(|_, swarm| {
            swarm.v4.expire(now, age, budget, |gone| self.forget(Packed::V4(*gone)));
            if let Some(rest) = &mut swarm.rest {
                rest.v6.expire(now, age, budget, |gone| self.forget(Packed::V6(*gone)));
            }
            self.keep(swarm)
        });
    }

    fn remove(&self, shard: &mut Shard, asker: &Asker, packed: Packed) -> ScrapeEntry {
        let Some(swarm) = shard.swarms.get_mut(&asker.hash) else { return ScrapeEntry::default() };
        if swarm.remove(packed) {
            self.forget(packed);
        }
        let counts = swarm.counts();
        if !self.keep(swarm) {
            shard.swarms.remove(&asker.hash);
        }
        counts
    }

    /// Whether a swarm has peers or an origin; if not it is counted as gone.
    fn keep(&self, swarm: &Swarm) -> bool {
        let keep = !swarm.is_empty();
        if !keep {
            self.torrents.fetch_sub(1, Relaxed);
            self.bytes.fetch_sub(TORRENT_BYTES, Relaxed);
        }
        keep
    }

    /// Counts a peer as gone.
    fn forget(&self, packed: Packed) {
        self.source(packed).inspect(|count| _ = count.fetch_sub(1, Relaxed));
        self.peers.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(packed.bytes(), Relaxed);
    }

    /// The counter of an address: an IPv4 address, or the /64 that one holder of IPv6 addresses has at least.
    fn source(&self, packed: Packed) -> Option<&AtomicU32> {
        let hash = match packed.address().ip() {
            IpAddr::V4(ip) => self.keyed.hash_one(ip),
            IpAddr::V6(ip) => self.keyed.hash_one(u128::from(ip) >> 64),
        };
        self.sources.get(usize::try_from(hash % SOURCES as u64).unwrap_or(0))
    }

    #[expect(clippy::indexing_slicing, reason = "the number is masked to below SHARDS")]
    fn shard(&self, hash: InfoHash) -> MutexGuard<'_, Shard> {
        // The table inside the shard uses the low bits of the same hash.
        let number = self.keyed.hash_one(hash) >> 32 & u64::from(SHARDS - 1);
        lock(&self.shards[number as usize])
    }
}

impl Swarm {
    fn origin(&self) -> Option<&Origin> {
        self.rest.as_ref()?.origin.as_deref()
    }

    fn contains(&self, packed: Packed) -> bool {
        match packed {
            Packed::V4(address) => self.v4.contains(&address),
            Packed::V6(address) => self.rest.as_ref().is_some_and(|rest| rest.v6.contains(&address)),
        }
    }

    /// Adds the asker or refreshes it.
    fn take_in(&mut self, packed: Packed, asker: &Asker, now: Stamp, keyed: Keyed) {
        let before = self.put(packed, asker.role, now, keyed);
        if asker.event == Some(AnnounceEvent::Completed) && before != Some(Role::Seed) {
            let completed = &mut self.rest_mut().completed;
            *completed = completed.saturating_add(1);
        }
    }

    fn put(&mut self, packed: Packed, role: Role, now: Stamp, keyed: Keyed) -> Option<Role> {
        match packed {
            Packed::V4(address) => self.v4.put(address, role, now, keyed),
            Packed::V6(address) => self.rest_mut().v6.put(address, role, now, keyed),
        }
    }

    fn remove(&mut self, packed: Packed) -> bool {
        match packed {
            Packed::V4(address) => self.v4.remove(&address),
            Packed::V6(address) => self.rest.as_mut().is_some_and(|rest| rest.v6.remove(&address)),
        }
    }

    /// Finds peers of both families: a client may reach more than the one that it asks over. At most a quarter are of
    /// the other family, unless the asker's own has too few.
    fn find(
        &self,
        packed: Packed,
        asker: &Asker,
        now: Stamp,
        lifetime: u16,
        rng: &mut Rng,
        found: &mut Found,
    ) {
        let first = self.find_origin(asker, found);
        let want = asker.want as usize - found.len();
        let givers = asker.role == Role::Downloader;
        let (v4, v6) = match packed {
            Packed::V4(address) => (Some(address), None),
            Packed::V6(address) => (None, Some(address)),
        };
        let usable = |all: usize, downloaders: u32| if givers { all } else { downloaders as usize };
        let no_v6 = Peers::default();
        let peers6 = self.rest.as_ref().map_or(&no_v6, |rest| &rest.v6);
        let have4 = usable(self.v4.len(), self.v4.downloaders());
        let have6 = usable(peers6.len(), peers6.downloaders());
        let (own, other) = if v4.is_some() { (have4, have6) } else { (have6, have4) };
        let of_other = other.min((want / 4).max(want.saturating_sub(own)));
        let (want4, want6) =
            if v4.is_some() { (want - of_other, of_other) } else { (of_other, want - of_other) };
        self.v4.sample(&Choice { want: want4, givers, not: v4, now, lifetime }, rng, &mut found.v4);
        peers6.sample(&Choice { want: want6, givers, not: v6, now, lifetime }, rng, &mut found.v6);
        if !first.is_empty() {
            found.drop_repeated(&first);
        }
    }

    /// Puts the origin's addresses first, unless it is the origin that asks; gives them back.
    fn find_origin(&self, asker: &Asker, found: &mut Found) -> Vec<SocketAddr> {
        let origin = self.origin().filter(|origin| !origin.is(asker.caller, asker.port));
        let mut addresses = origin.map(|origin| origin.addresses(asker.caller)).unwrap_or_default();
        addresses.truncate(asker.want as usize);
        for &address in &addresses {
            found.push(address);
        }
        addresses
    }

    /// The counts of the peers that announced, and of the origin.
    fn counts(&self) -> ScrapeEntry {
        let mut counts = self.announced();
        counts.complete += u32::from(self.origin().is_some());
        counts
    }

    fn announced(&self) -> ScrapeEntry {
        let none = Rest::default();
        let rest = self.rest.as_deref().unwrap_or(&none);
        let downloaders = self.v4.downloaders() + rest.v6.downloaders();
        ScrapeEntry {
            complete: self.v4.seeds() + rest.v6.seeds(),
            incomplete: downloaders + self.v4.partial_seeds() + rest.v6.partial_seeds(),
            downloaded: rest.completed,
            downloaders: Some(downloaders),
        }
    }

    fn ages(&self, now: Stamp) -> impl Iterator<Item = u16> + '_ {
        self.v4.ages(now).chain(self.rest.iter().flat_map(move |rest| rest.v6.ages(now)))
    }

    fn is_empty(&self) -> bool {
        let unused = |rest: &Rest| rest.v6.len() == 0 && rest.origin.is_none();
        self.v4.len() == 0 && self.rest.as_deref().is_none_or(unused)
    }

    fn rest_mut(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }
}

impl Packed {
    /// About how many bytes a peer takes, with the room that its array keeps for growth.
    fn bytes(self) -> u64 {
        match self {
            Self::V4(_) => 10,
            Self::V6(_) => 24,
        }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // A panic inside leaves at worst a miscounted swarm.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
