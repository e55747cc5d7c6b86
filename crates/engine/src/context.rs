//! What all tasks of one engine have in common: settings, limits, counters, and the ways to the disk and the web.
//!
//! Made once at the start. Nothing in it is a decision; what changes is a counter or a list of its own kind.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use ::announce::udp::Connections;
use metainfo::PeerId;
use rustix::process::{Resource, getrlimit};
use storage::{Disk, MAX_READ};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::backlog::Backlog;
use crate::buffers::Buffers;
use crate::config::Config;
use crate::encryption::Names;
use crate::error::StartError;
use crate::http::Http;
use crate::limits::Bucket;
use crate::lsd::Local;
use crate::utp::Ports;

/// Dials under way at a time, all torrents together: more of them fill the tables of home routers.
const HALF_OPEN: usize = 100;

/// Banned addresses remembered, about 1 MiB. Whoever has more addresses than that is not stopped by a list.
const MAX_BANS: usize = 10_000;

/// Disk threads on a machine of one core; otherwise one for each core. One slow read must not stop the rest.
const MIN_DISK_THREADS: usize = 2;

/// Descriptors that are no connections: at most 256 open files, 256 handshakes under way, and 64 for everything else.
/// Half of what most systems grant.
const HEADROOM: usize = 576;

/// Bytes that all peers together may read from disk at once to be sent; each has as many more on the way to its socket.
const SERVED: u32 = 64 << 20;

/// The least that a peer may read at once, though that be too much for all together: less, and each byte costs twice as much.
/// With 500 peers it adds up to [`SERVED`].
const LEAST_SERVED: u32 = 128 << 10;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) port: u16,
    /// When the world began: all machines' `now` counts from here.
    pub(crate) start: Instant,
    pub(crate) disk: Disk,
    pub(crate) http: Http,
    pub(crate) download: Bucket,
    pub(crate) upload: Bucket,
    /// A permit for each connection, whoever dialled.
    pub(crate) connections: Arc<Semaphore>,
    /// A permit for each dial until it has shaken hands or failed.
    pub(crate) half_open: Semaphore,
    pub(crate) buffers: Buffers,
    pub(crate) backlog: Arc<Backlog>,
    /// Held by each peer task that has blocks to send.
    pub(crate) serving: Arc<()>,
    pub(crate) names: Names,
    pub(crate) utp: Ports,
    /// Connection ids of UDP trackers.
    pub(crate) trackers: Mutex<Connections>,
    /// Who takes part in local discovery, if anybody may.
    pub(crate) local: Option<Local>,
    bans: watch::Sender<HashSet<IpAddr>>,
}

impl Context {
    pub(crate) async fn new(config: Config, port: u16) -> Result<Self, StartError> {
        let dir = config.state_dir.clone();
        let made = tokio::task::spawn_blocking(move || std::fs::create_dir_all(dir)).await;
        let made = made.unwrap_or_else(|crashed| Err(std::io::Error::other(crashed)));
        made.map_err(|source| StartError::StateDir { path: config.state_dir.clone(), source })?;
        let start = Instant::now();
        let cores = std::thread::available_parallelism().map_or(MIN_DISK_THREADS, usize::from);
        Ok(Self {
            port,
            start,
            disk: Disk::start(cores.max(MIN_DISK_THREADS)),
            http: Http::new(&config),
            download: Bucket::new(start, config.download_limit),
            upload: Bucket::new(start, config.upload_limit),
            connections: Arc::new(Semaphore::new(config.max_peers.min(descriptors()))),
            half_open: Semaphore::new(HALF_OPEN),
            buffers: Buffers::default(),
            backlog: Arc::default(),
            serving: Arc::default(),
            names: Names::default(),
            utp: Ports::default(),
            trackers: Mutex::default(),
            local: Local::new(&config, port, start),
            bans: watch::Sender::default(),
            config,
        })
    }

    /// The bytes that a peer may read from disk at once: the fewer, the more peers are being served.
    pub(crate) fn served_at_once(&self) -> u32 {
        let peers = u32::try_from(Arc::strong_count(&self.serving)).unwrap_or(u32::MAX);
        (SERVED / peers).clamp(LEAST_SERVED, MAX_READ)
    }

    /// Bans an address for all torrents.
    pub(crate) fn ban(&self, ip: IpAddr) {
        let ip = ip.to_canonical();
        self.bans.send_if_modified(|bans| bans.len() < MAX_BANS && bans.insert(ip));
    }

    pub(crate) fn is_banned(&self, ip: IpAddr) -> bool {
        self.bans.borrow().contains(&ip.to_canonical())
    }
}

/// How many descriptors the system leaves to connections.
fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)).saturating_sub(HEADROOM)
}

/// A peer id of our own, good for one torrent in one run (BEP 20).
pub(crate) fn new_peer_id() -> Result<PeerId, getrandom::Error> {
    let mut random = [0; 12];
    getrandom::fill(&mut random)?;
    Ok(wire::our_peer_id(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    // P-06
    #[tokio::test]
    async fn the_more_peers_are_served_the_less_each_may_hold() {
        let dir = tempfile::tempdir().unwrap();
        let context = Context::new(Config::new(dir.path().to_owned()), 1).await.unwrap();
        let mut served = vec![context.serving.clone()];
        assert_eq!(context.served_at_once(), MAX_READ);
        served.resize(255, context.serving.clone());
        assert_eq!(context.served_at_once(), 256 << 10);
        served.resize(5000, context.serving.clone());
        assert_eq!(context.served_at_once(), LEAST_SERVED);
        drop(served);
        assert_eq!(context.served_at_once(), MAX_READ);
    }

    // P-10
    #[tokio::test]
    async fn a_ban_holds_for_every_way_to_write_the_address() {
        let dir = tempfile::tempdir().unwrap();
        let context = Context::new(Config::new(dir.path().to_owned()), 1).await.unwrap();
        context.ban("::ffff:192.0.2.7".parse().unwrap());
        assert!(context.is_banned("192.0.2.7".parse().unwrap()));
        assert!(context.is_banned("::ffff:192.0.2.7".parse().unwrap()));
        assert!(!context.is_banned("192.0.2.8".parse().unwrap()));
    }
}
