//! The tracker: tells the peers of a swarm about each other (BEP 3, 7, 21, 23, 24, 31, 48).
//!
//! [`Tracker`] holds the swarms and the policy and answers every front end alike; `http` is the front end over HTTP.
//! It transfers no files, and remembers nothing about a peer but its address and when it was last heard.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod access;
pub mod http;
mod origin;
mod peers;
mod store;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use announce::{Announce, AnnounceEvent, Retry, ScrapeEntry};
use metainfo::InfoHash;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub use access::{Access, ListError, Net, NetError, parse_list};
pub use origin::{Caller, Origin};
pub use peers::Found;
use peers::Role;
use store::{Asker, Limits, Store, StoreFull};

/// How many peers an answer has if the client does not say: what most clients ask for.
const USUAL_NUMWANT: u32 = 50;

/// The most torrents that a scrape of the whole tracker lists: 8 MiB of reply.
const MAX_FULL_SCRAPE: usize = 100_000;

/// What the operator may choose.
#[derive(Clone, Debug)]
pub struct Config {
    /// How often a peer shall announce; it is forgotten after twice this time. From 10 s to 12 h.
    pub interval: Duration,
    /// How early a peer that needs more peers may announce again.
    pub min_interval: Duration,
    /// The most peers in one answer.
    pub max_numwant: u32,
    /// Which torrents are tracked.
    pub access: Access,
    /// Proxies whose `Forwarded` and `X-Forwarded-For` headers are believed.
    pub trust_proxy: Vec<Net>,
    /// Whether a scrape without a hash lists every torrent.
    pub full_scrape: bool,
    /// About how many bytes the swarms may take; beyond, the peers not heard of for longest are forgotten early.
    pub memory: u64,
    /// How many (torrent, port) pairs one address may hold: an IPv4 address, or the /64 of an IPv6 one.
    pub max_per_address: u32,
    /// How many connections an HTTP front end keeps open.
    pub max_connections: usize,
}

/// Why an announce or a scrape is not answered; its text is the `failure reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The operator tracks other torrents.
    #[error("this torrent is not tracked here")]
    NotTracked,
    /// The address holds as many pairs of torrent and port as one address may.
    #[error("too many peers from this address")]
    Crowded,
    /// A scrape that names no torrent.
    #[error("name the torrents to scrape with info_hash")]
    FullScrape,
}

/// How a swarm stands, told to a peer with the addresses in [`Found`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When to announce again: a little different for each, so that those who came together do not stay together.
    pub interval: Duration,
    /// When to announce again at the earliest.
    pub min_interval: Duration,
    /// The counts of the swarm, the asker included.
    pub counts: ScrapeEntry,
    /// The asker's address as seen from here, in its plain form.
    pub external_ip: IpAddr,
}

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Torrents with at least one peer or an origin.
    pub torrents: u64,
    /// Peers in all swarms.
    pub peers: u64,
    /// Announces answered.
    pub announces: u64,
    /// Scrapes answered.
    pub scrapes: u64,
    /// Requests refused, malformed ones included.
    pub refused: u64,
}

/// All swarms, and the rules by which they are told about.
#[derive(Debug)]
pub struct Tracker {
    config: Config,
    started: Instant,
    store: Store,
    /// A leaf lock like those of the store: held for one look-up.
    access: RwLock<Access>,
    announces: AtomicU64,
    scrapes: AtomicU64,
    refused: AtomicU64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30 * 60),
            min_interval: Duration::from_secs(60),
            max_numwant: 200,
            access: Access::Open,
            trust_proxy: Vec::new(),
            full_scrape: false,
            memory: 512 << 20,
            max_per_address: 100_000,
            max_connections: 10_000,
        }
    }
}

impl Tracker {
    /// An empty tracker. `seed` keys its hash tables and must be unknown to strangers.
    pub fn new(mut config: Config, seed: [u8; 16]) -> Self {
        config.interval = config.interval.clamp(Duration::from_secs(10), Duration::from_secs(12 * 60 * 60));
        config.min_interval = config.min_interval.min(config.interval);
        let access = std::mem::take(&mut config.access);
        let limits = Limits {
            lifetime: 2 * config.interval,
            memory: config.memory,
            max_per_address: config.max_per_address,
        };
        Self {
            store: Store::new(limits, seed),
            started: Instant::now(),
            access: RwLock::new(access),
            config,
            announces: AtomicU64::new(0),
            scrapes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// The time that all front ends give to [`Tracker::announce`]: since the start, whatever the wall clock does.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// What the tracker was started with; the access rules are kept apart.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes in one announce and picks peers for it into `found`, which is cleared first.
    pub fn announce(
        &self,
        now: Duration,
        caller: Caller,
        announce: &Announce,
        found: &mut Found,
    ) -> Result<Standing, Refusal> {
        found.clear();
        let caller = caller.canonical();
        let admitted = self.access.read().unwrap_or_else(PoisonError::into_inner).admits(announce.info_hash);
        let outcome = admitted.then_some(()).ok_or(Refusal::NotTracked).and_then(|()| {
            let asker = Asker {
                hash: announce.info_hash,
                caller,
                port: announce.port,
                role: role(announce),
                event: announce.event,
                want: announce.numwant.unwrap_or(USUAL_NUMWANT).min(self.config.max_numwant),
            };
            self.store.announce(now, &asker, found).map_err(|StoreFull| Refusal::Crowded)
        });
        let tally = if outcome.is_ok() { &self.announces } else { &self.refused };
        tally.fetch_add(1, Relaxed);
        let (counts, luck) = outcome?;
        Ok(Standing {
            interval: self.config.interval
                + self.config.interval.mul_f64(f64::from(luck) / 10.0 / f64::from(u8::MAX)),
            min_interval: self.config.min_interval,
            counts,
            external_ip: caller.from,
        })
    }

    /// The counts of the named torrents, zeros for those that have no peers here; of all torrents if none is named.
    pub fn scrape(&self, hashes: &[InfoHash]) -> Result<Vec<(InfoHash, ScrapeEntry)>, Refusal> {
        if hashes.is_empty() && !self.config.full_scrape {
            self.refused.fetch_add(1, Relaxed);
            return Err(Refusal::FullScrape);
        }
        self.scrapes.fetch_add(1, Relaxed);
        if hashes.is_empty() {
            return Ok(self.store.scrape_all(MAX_FULL_SCRAPE));
        }
        Ok(hashes.iter().map(|&hash| (hash, self.store.scrape(hash))).collect())
    }

    /// The counts of one torrent as its peers announced them: an origin of this process is not among them.
    pub fn counts(&self, hash: InfoHash) -> ScrapeEntry {
        self.store.announced(hash)
    }

    /// Up to `max` peers of a torrent at random, of both address families, for the origin of this process.
    pub fn peers(&self, hash: InfoHash, max: usize) -> Vec<SocketAddr> {
        self.store.some_peers(self.now(), hash, max)
    }

    /// Forgets silent peers in one part of the swarms; as many calls as there are parts go through the whole.
    pub fn sweep(&self, now: Duration) {
        self.store.sweep(now);
    }

    /// Forgets silent peers as time goes by, the whole gone through once an interval. To be run beside the front ends
    /// as long as there are any.
    pub async fn keep_swept(&self) {
        let mut turns = interval(self.config.interval / store::SHARDS);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            self.sweep(self.now());
        }
    }

    /// Replaces the rules; torrents no longer tracked get no more answers, and their peers are forgotten in time.
    pub fn set_access(&self, access: Access) {
        let old =
            std::mem::replace(&mut *self.access.write().unwrap_or_else(PoisonError::into_inner), access);
        // A long list takes a while to free: outside the lock.
        drop(old);
    }

    /// Replaces the origins: complete peers of this process, one a torrent, named first to everybody who asks, seeds
    /// included. They need not announce; one that does all the same is recognised and not listed twice.
    pub fn set_origins(&self, mut origins: Vec<Origin>) {
        for ip in origins.iter_mut().flat_map(|origin| &mut origin.host) {
            *ip = ip.to_canonical();
        }
        self.store.set_origins(origins);
    }

    /// Totals for display.
    pub fn stats(&self) -> Stats {
        Stats {
            torrents: self.store.torrents(),
            peers: self.store.peers(),
            announces: self.announces.load(Relaxed),
            scrapes: self.scrapes.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }

    /// Counts a request that a front end could not read.
    pub fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }
}

impl Refusal {
    /// When the asker may come back (BEP 31).
    pub fn retry(self) -> Option<Retry> {
        match self {
            Self::Crowded => Some(Retry::After(Duration::from_secs(30 * 60))),
            Self::NotTracked | Self::FullScrape => None,
        }
    }
}

fn role(announce: &Announce) -> Role {
    match (announce.left, announce.event) {
        (0, _) => Role::Seed,
        (_, Some(AnnounceEvent::Paused)) => Role::PartialSeed,
        _ => Role::Downloader,
    }
}
