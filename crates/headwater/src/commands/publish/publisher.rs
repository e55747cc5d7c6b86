//! Runs what is published: releases come and go, the origin meets the peers its tracker knows, the receipt is kept.
//!
//! The publisher owns the releases and their swarms, and the receipts; what others may see of it is a [`Stage`], renewed each
//! second. It serves no requests and picks no peers.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use engine::{Add, AddError, Engine, Mode, Torrent};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use metainfo::{InfoHash, PeerId};
use publish::catalogue::{Catalogue, Publication, Sent};
use publish::live::{Origin, Standing};
use publish::names::web_seed_url;
use publish::receipt::{Books, Counters, ReceiptError, Receipts};
use publish::site::Site;
use publish::{Settings, Theme};
use serde_json::json;
use storage::TorrentFiles;
use tokio::sync::{mpsc, watch};
use tracker::{Access, Tracker};

use super::addresses::Addresses;
use super::front::Begun;
use super::material::Material;
use crate::commands::{Context, seed};
use crate::failure::{Exit, Failure};
use crate::output::{Meter, Output};

/// How often the origin is told of the peers at its tracker: whoever announces is met this soon.
const MEET: Duration = Duration::from_secs(5);

/// The most peers it is told of at a time: more than it dials in that time.
const MAX_MET: usize = 200;

/// How often receipts are written: what a crash may lose.
const SAVE: Duration = Duration::from_secs(5);

/// What others see of the publisher.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    pub(super) standings: BTreeMap<InfoHash, Standing>,
    /// Peers that are connected to the origin.
    pub(super) connected: HashSet<IpAddr>,
    pub(super) books: Books,
}

/// How the publisher goes about it.
pub(super) struct Terms {
    pub(super) addresses: Addresses,
    /// When the origin holds back; `None`: it serves whoever asks.
    pub(super) sizing: Option<engine::Sizing>,
    /// What the only release is called.
    pub(super) title: Option<String>,
    /// Of a gigabyte.
    pub(super) price: Option<f64>,
    /// Where the origin is for askers that did not reach this machine by themselves.
    pub(super) hosts: Vec<IpAddr>,
}

/// What the publisher is joined to.
pub(super) struct Joints {
    pub(super) engine: Engine,
    pub(super) tracker: Option<Arc<Tracker>>,
    pub(super) site: Arc<Site>,
    pub(super) stage: watch::Sender<Arc<Stage>>,
    /// Downloads that begin, as the tracker hears of them.
    pub(super) news: mpsc::Receiver<Begun>,
}

/// See the module's head.
pub(super) struct Publisher {
    context: Context,
    terms: Terms,
    joints: Joints,
    receipts: Receipts,
    published: BTreeMap<PathBuf, Published>,
    met: Instant,
    saved: Instant,
}

/// Something published.
struct Published {
    material: Material,
    publication: Publication,
    torrent: Torrent,
    meter: Meter,
    /// It is on the page.
    shown: bool,
    /// What was counted before it was shown: by earlier runs of the torrent, and by the tracker since its start.
    before: Counters,
    /// The origin's mode that was told last.
    told: Option<Mode>,
}

impl Publisher {
    pub(super) fn new(context: &Context, terms: Terms, joints: Joints) -> Self {
        let receipts = Receipts::new(context.state.path().join("receipts"));
        let (met, saved) = (Instant::now(), Instant::now());
        Self { context: context.clone(), terms, joints, receipts, published: BTreeMap::new(), met, saved }
    }

    /// The page says other things, or looks otherwise.
    pub(super) fn restyle(&self, settings: Settings, theme: Theme) -> Result<(), Failure> {
        self.joints.site.restyle(settings, theme).map_err(|error| super::theme_failure(&error))
    }

    /// What is on the page.
    pub(super) fn catalogue(&self) -> Arc<Catalogue> {
        self.joints.site.catalogue()
    }

    /// Starts the origin of what was made of a path. `None`: it is published already, just so. It is shown by
    /// [`Publisher::show`], once its data are known to be right.
    pub(super) async fn start(
        &mut self,
        path: &Path,
        material: Material,
    ) -> Result<Option<Torrent>, Failure> {
        if self.published.get(path).is_some_and(|published| published.material.is_like(&material)) {
            return Ok(None);
        }
        self.withdraw(path).await;
        let publication = self.publication(&material)?;
        let info = &material.metainfo.info;
        let opened = self.receipts.open(info.wire_hash(), info.name(), info.layout().content_length());
        opened.map_err(|error| unkept(&error))?;
        let torrent = self.seed(&material).await?;
        let meter = self.context.output.meter(info.name());
        let published = Published {
            material,
            publication,
            torrent: torrent.clone(),
            meter,
            shown: false,
            before: Counters::default(),
            told: Some(Mode::Full),
        };
        self.published.insert(path.to_owned(), published);
        Ok(Some(torrent))
    }

    /// Whether this run of a torrent is what there is of a path.
    pub(super) fn is_running(&self, path: &Path, run: PeerId) -> bool {
        self.published.get(path).is_some_and(|published| published.torrent.peer_id() == run)
    }

    /// Puts what was started on the page and into the tracker. The torrent's hash, for those who want to tell.
    pub(super) fn show(&mut self, path: &Path) -> Result<Option<InfoHash>, Failure> {
        let Some(published) = self.published.get_mut(path) else { return Ok(None) };
        let hash = published.torrent.hash();
        published.shown = true;
        published.before = published.counted(self.joints.tracker.as_deref());
        self.follow()?;
        Ok(Some(hash))
    }

    /// Withdraws what was published of a path: it leaves the page, the tracker and the swarm at once.
    pub(super) async fn withdraw(&mut self, path: &Path) -> bool {
        let Some(published) = self.published.remove(path) else { return false };
        if let Err(failure) = self.follow() {
            self.context.output.failure(&failure);
        }
        published.torrent.stop().await;
        published.book(&mut self.receipts, self.joints.tracker.as_deref(), Timestamp::now());
        self.receipts.rest(published.torrent.hash());
        self.save();
        true
    }

    fn publication(&self, material: &Material) -> Result<Publication, Failure> {
        let addresses = &self.terms.addresses;
        let web_seed = web_seed_url(&addresses.base, material.metainfo.info.wire_hash());
        let metainfo = addresses.name_ours(&material.metainfo, web_seed)?;
        let name = metainfo.info.name();
        self.context.state.keep_torrent(&metainfo.info.wire_hash().to_string(), material.metainfo.raw())?;
        let place = TorrentFiles::open(
            metainfo.info.clone(),
            material.place.folder.clone(),
            material.place.rename.clone(),
            storage::Mode::Seed,
        );
        let place = place
            .map_err(|error| crate::commands::storage_failure(&format!("cannot publish {name}"), &error))?;
        Ok(Publication {
            place,
            sha256: material.sha256.clone(),
            published: material.published,
            title: self.terms.title.clone(),
            notes: None,
            sent: Sent::default(),
            metainfo,
        })
    }

    /// Starts the origin. It knows the torrent's own trackers; of ours it is told without announcing.
    async fn seed(&self, material: &Material) -> Result<Torrent, Failure> {
        let add = Add {
            rename: material.place.rename.clone(),
            seed_only: true,
            sizing: self.terms.sizing,
            ..Add::new(Arc::clone(&material.metainfo), material.place.folder.clone())
        };
        self.joints.engine.add(add).await.map_err(|error| {
            let name = material.metainfo.info.name();
            match error {
                AddError::Duplicate(_) => Failure::usage(format!("{name} is published already"))
                    .cause("another path holds the same files under the same name"),
                error => seed::add_failure(name, &error),
            }
        })
    }

    /// Lets the page and the tracker follow what is published.
    fn follow(&self) -> Result<(), Failure> {
        let shown = || self.published.values().filter(|published| published.shown);
        let catalogue = Catalogue::new(shown().map(|published| published.publication.clone()));
        self.joints.site.replace(catalogue).map_err(|error| super::theme_failure(&error))?;
        let Some(tracker) = &self.joints.tracker else { return Ok(()) };
        let names = |published: &Published| {
            let hashes = published.publication.metainfo.info.hashes();
            [hashes.v1, hashes.v2.map(|v2| v2.truncated())].into_iter().flatten().collect::<Vec<_>>()
        };
        let hashes: HashSet<InfoHash> = shown().flat_map(names).collect();
        let origin = |&hash: &InfoHash| tracker::Origin {
            hash,
            port: self.joints.engine.port(),
            host: self.terms.hosts.clone(),
        };
        tracker.set_origins(hashes.iter().map(origin).collect());
        tracker.set_access(Access::Allow(hashes));
        Ok(())
    }

    /// The next download that begins, as the tracker hears of it.
    pub(super) async fn begun(&mut self) -> Begun {
        match self.joints.news.recv().await {
            Some(begun) => begun,
            None => std::future::pending().await,
        }
    }

    /// Tells the origin of a download that begins, before it can be over.
    pub(super) async fn tell_begun(&self, Begun { hash, peer, from, left }: Begun) {
        if let Some(published) = self.published.values().find(|published| published.torrent.hash() == hash) {
            published.torrent.announced(peer, from, left).await;
        }
    }

    /// What is due each second.
    pub(super) async fn turn(&mut self) {
        if self.met.elapsed() >= MEET {
            self.met = Instant::now();
            self.meet().await;
        }
        let (now, tracker) = (Timestamp::now(), self.joints.tracker.as_deref());
        for published in self.published.values_mut() {
            published.book(&mut self.receipts, tracker, now);
            published.tell(&self.context.output);
        }
        self.renew_stage();
        if self.saved.elapsed() >= SAVE {
            self.saved = Instant::now();
            self.save();
        }
    }

    /// Tells the origin who is at its tracker.
    async fn meet(&self) {
        let Some(tracker) = &self.joints.tracker else { return };
        for published in self.published.values() {
            let peers = tracker.peers(published.torrent.hash(), MAX_MET);
            if !peers.is_empty() {
                published.torrent.found_peers(peers).await;
            }
        }
    }

    fn renew_stage(&self) {
        let books = self.receipts.books();
        let standing = |published: &Published| {
            let hash = published.torrent.hash();
            let saved = books.get(hash).map(|book| book.saved(self.terms.price)).unwrap_or_default();
            (hash, published.standing(self.joints.tracker.as_deref(), saved))
        };
        let standings = self.published.values().map(standing).collect();
        let statuses = self.published.values().map(|published| published.torrent.status());
        let connected = statuses.filter_map(|status| Some(status.origin.as_ref()?.connected.clone()));
        let connected = connected.flatten().collect();
        self.joints.stage.send_replace(Arc::new(Stage { standings, connected, books }));
    }

    fn save(&mut self) {
        if let Err(error) = self.receipts.save() {
            self.context.output.failure(&unkept(&error));
        }
    }

    /// Stops all swarms, then the web server, which answers their last announces; what both sent until then is written down.
    pub(super) async fn finish<T>(mut self, served: impl Future<Output = T>) -> T {
        self.joints.engine.stop().await;
        let served = served.await;
        for published in self.published.values() {
            published.book(&mut self.receipts, self.joints.tracker.as_deref(), Timestamp::now());
        }
        if let Err(error) = self.receipts.save() {
            self.context.output.failure(&unkept(&error));
        }
        served
    }
}

fn unkept(error: &ReceiptError) -> Failure {
    Failure::new(Exit::Other, "cannot keep the receipt").because(error)
}

impl Published {
    /// Books what happened since it was shown.
    fn book(&self, receipts: &mut Receipts, tracker: Option<&Tracker>, now: Timestamp) {
        if self.shown {
            let day = now.to_zoned(TimeZone::UTC).date();
            receipts.record(self.torrent.hash(), day, self.counted(tracker).since(self.before));
        }
    }

    fn counted(&self, tracker: Option<&Tracker>) -> Counters {
        let status = self.torrent.status();
        let Sent { http, web_seed } = &self.publication.sent;
        let downloads = status.origin.as_ref().map(|origin| origin.completions).unwrap_or_default();
        Counters {
            verified: downloads.verified,
            verified_bytes: downloads.verified_bytes,
            claimed: downloads.verified + downloads.claimed,
            reported: tracker.map_or(0, |tracker| tracker.counts(self.torrent.hash()).downloaded.into()),
            sent_peers: status.uploaded,
            sent_web_seed: web_seed.load(Relaxed),
            sent_http: http.load(Relaxed),
        }
    }

    fn standing(&self, tracker: Option<&Tracker>, saved: publish::live::Saved) -> Standing {
        let status = self.torrent.status();
        let counts = tracker.map(|tracker| tracker.counts(self.torrent.hash())).unwrap_or_default();
        let origin = status.origin.as_ref();
        Standing {
            seeders: counts.complete.into(),
            leechers: counts.incomplete.into(),
            reported: counts.downloaded.into(),
            origin: Origin {
                mode: origin.map_or("plain", |origin| origin.mode.name()),
                reason: origin.map(|origin| origin.reason.clone()).unwrap_or_default(),
                copies: origin.map_or(0, |origin| u32::try_from(origin.copies).unwrap_or(u32::MAX)),
                rate: status.rate_up,
            },
            saved,
        }
    }

    /// Shows how it goes, and says when the origin changes its mind.
    fn tell(&mut self, output: &Output) {
        let status = self.torrent.status();
        self.meter.wait(&crate::commands::get::uploads(&status));
        let origin = status.origin.as_ref();
        output.event(json!({
            "event": "progress", "hash": status.hash.to_string(), "up": status.rate_up, "uploaded": status.uploaded,
            "peers": status.peers, "seeds": status.seeds, "mode": origin.map(|origin| origin.mode.name()),
            "copies": origin.map(|origin| origin.copies),
        }));
        seed::show_mode(output, &status, &mut self.told);
    }
}
