//! What the web server shows: the site, the receipt and the tracker, put together.
//!
//! Reads what the publisher shows and changes nothing but its memory of refused web seed requests.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use announce::{Announce, AnnounceEvent};
use metainfo::{InfoHash, PeerId};
use publish::content::{Announces, Content, Found, Page, TrackerAnswer, TrackerRequest};
use publish::live::{Live, Standing};
use publish::serve::Counts;
use publish::site::Site;
use tokio::sync::{mpsc, watch};
use tracker::Tracker;

use super::publisher::Stage;

/// When a downloader that was refused by the web seed may come back: soon, since it may be stranded by then.
const RETRY: Duration = Duration::from_secs(5);

/// Who is not among the origin's peers and goes on asking for this long has nobody else to ask.
const STRANDED: Duration = Duration::from_secs(20);

/// Who did not ask for this long has found the bytes elsewhere.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// Addresses remembered, about 1 MiB. More of them are served as if they were stranded.
const MAX_REFUSED: usize = 10_000;

/// What others see of the publisher.
pub(super) type Stages = watch::Receiver<Arc<Stage>>;

/// See the module's head.
pub(super) struct Front {
    pub(super) site: Arc<Site>,
    pub(super) stages: Stages,
    pub(super) price: Option<f64>,
}

impl Content for Front {
    fn find(&self, path: &str, from: IpAddr) -> Option<Found> {
        let books = || self.stages.borrow().books.clone();
        match path {
            "/receipt.json" => Some(text("application/json", books().json(self.price))),
            "/receipt.csv" => Some(text("text/csv; charset=utf-8", books().csv(self.price))),
            _ => self.site.find(path, from),
        }
    }
}

fn text(content_type: &'static str, body: String) -> Found {
    Found::Page(Page::new(content_type, body.into()))
}

/// Whether the web seed gives (BEP 19): while the origin holds back it does so only to those whom peers leave stranded.
///
/// The swarm sees to its own peers. Somebody who asks over HTTP alone is known by going on to ask.
#[derive(Debug)]
pub(super) struct Gate {
    stages: Stages,
    /// When an address was refused first and last.
    refused: Mutex<HashMap<(InfoHash, IpAddr), (Instant, Instant)>>,
}

impl Gate {
    pub(super) fn new(stages: Stages) -> Self {
        Self { stages, refused: Mutex::default() }
    }

    /// When to come back; `None`: it is served.
    pub(super) fn refuses(&self, hash: InfoHash, from: IpAddr, now: Instant) -> Option<Duration> {
        let stage = Arc::clone(&self.stages.borrow());
        let holds_back = stage
            .standings
            .get(&hash)
            .is_some_and(|standing| ["spread", "silent"].contains(&standing.origin.mode));
        if !holds_back {
            return None;
        }
        if stage.connected.contains(&from) {
            return Some(RETRY);
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= MAX_REFUSED {
            refused.retain(|_, (_, last)| now.saturating_duration_since(*last) < FORGOTTEN);
            if refused.len() >= MAX_REFUSED {
                return None;
            }
        }
        let (first, last) = refused.entry((hash, from)).or_insert((now, now));
        if now.saturating_duration_since(*last) >= FORGOTTEN {
            *first = now;
        }
        *last = now;
        (now.saturating_duration_since(*first) < STRANDED).then_some(RETRY)
    }
}

/// Somebody told the tracker that a download begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) hash: InfoHash,
    pub(super) peer: PeerId,
    pub(super) from: IpAddr,
    /// Bytes that it says it lacks.
    pub(super) left: u64,
}

/// Downloads that began and that the publisher has not heard of: more are not told, and counted by what the origin sees of them.
pub(super) const BEGUN: usize = 4096;

/// The tracker behind the web server; or none.
pub(super) struct Door {
    pub(super) tracker: Option<Arc<Tracker>>,
    pub(super) begun: mpsc::Sender<Begun>,
}

impl Door {
    fn note(&self, from: IpAddr, query: &str) {
        let Ok(announce) = announce::http::parse_query(query.as_bytes()) else { return };
        if announce.event == Some(AnnounceEvent::Started) && announce.left > 0 {
            let Announce { info_hash: hash, peer_id: peer, left, .. } = announce;
            // Full: see `BEGUN`.
            let _ = self.begun.try_send(Begun { hash, peer, from, left });
        }
    }
}

impl Announces for Door {
    fn answer(&self, request: TrackerRequest<'_>) -> Option<TrackerAnswer> {
        // A published file may be called like that, too.
        let published = ["/files/", "/seed/"].iter().any(|place| request.path.starts_with(place));
        let tracker = self.tracker.as_ref().filter(|_| !published)?;
        let (from, reached) = (request.from, request.reached);
        // The web server has judged already whom a proxy may speak for.
        let client = tracker::http::Client { from, reached, x_forwarded_for: None, forwarded: None };
        let answer = tracker::http::answer(tracker, request.path, request.query, client)?;
        if request.query.contains("event=started") {
            self.note(from, request.query);
        }
        Some(TrackerAnswer { content_type: answer.content_type, body: answer.body })
    }
}

/// How releases stand, for the page.
pub(super) struct Standings(pub(super) Stages);

impl Live for Standings {
    fn standing(&self, hash: InfoHash) -> Option<Standing> {
        self.0.borrow().standings.get(&hash).cloned()
    }
}

/// `/metrics`, in Prometheus' text format.
pub(super) fn metrics(stage: &Stage, counts: &Counts, tracker: Option<&Tracker>) -> String {
    let mut out = stage.books.metrics();
    // Writing to a string cannot fail.
    _ = writeln!(
        out,
        "# HELP headwater_origin_copies Proved copies of the rarest piece among peers.\n# TYPE headwater_origin_copies gauge"
    );
    for (hash, standing) in &stage.standings {
        let release = stage.books.label(*hash);
        _ = writeln!(out, "headwater_origin_copies{{release=\"{release}\"}} {}", standing.origin.copies);
    }
    _ = writeln!(
        out,
        "# HELP headwater_origin_mode What the origin does: 1 for the mode it is in.\n# TYPE headwater_origin_mode gauge"
    );
    for (hash, standing) in &stage.standings {
        let release = stage.books.label(*hash);
        _ = writeln!(
            out,
            "headwater_origin_mode{{release=\"{release}\",mode=\"{}\"}} 1",
            standing.origin.mode
        );
    }
    numbers(&mut out, counts, tracker);
    _ = writeln!(
        out,
        "# HELP headwater_http_requests_total Answers by class of status.\n# TYPE headwater_http_requests_total counter"
    );
    for (class, count) in (1..).zip(&counts.answers) {
        _ = writeln!(out, "headwater_http_requests_total{{class=\"{class}xx\"}} {}", count.load(Relaxed));
    }
    let version = env!("CARGO_PKG_VERSION");
    _ = writeln!(
        out,
        "# HELP headwater_build_info The version.\n# TYPE headwater_build_info gauge\nheadwater_build_info{{version=\"{version}\"}} 1"
    );
    out
}

/// The counters of the web server and the tracker.
fn numbers(out: &mut String, counts: &Counts, tracker: Option<&Tracker>) {
    let mut number = |name: &str, kind: &str, help: &str, value: u64| {
        _ = writeln!(
            out,
            "# HELP headwater_{name} {help}\n# TYPE headwater_{name} {kind}\nheadwater_{name} {value}"
        );
    };
    number("http_connections", "gauge", "Open connections of the web server.", counts.open.load(Relaxed));
    number("http_accepted_total", "counter", "Connections accepted.", counts.accepted.load(Relaxed));
    number(
        "http_turned_away_total",
        "counter",
        "Connections closed at once, because their address has too many.",
        counts.turned_away.load(Relaxed),
    );
    number("http_sent_bytes_total", "counter", "Bytes sent by the web server.", counts.sent.load(Relaxed));
    number(
        "http_closed_total",
        "counter",
        "Connections closed for being slow or idle.",
        counts.closed.load(Relaxed),
    );
    if let Some(stats) = tracker.map(Tracker::stats) {
        number("tracker_torrents", "gauge", "Torrents with peers.", stats.torrents);
        number("tracker_peers", "gauge", "Peers in all swarms.", stats.peers);
        number("tracker_announces_total", "counter", "Announces answered.", stats.announces);
        number("tracker_refused_total", "counter", "Requests refused.", stats.refused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: InfoHash = InfoHash([1; 20]);

    /// The gate of an origin in this mode with these peers.
    fn gate(mode: &'static str, connected: &[&str]) -> Gate {
        let mut standing = Standing::default();
        standing.origin.mode = mode;
        let connected = connected.iter().map(|ip| ip.parse().unwrap()).collect();
        let stage = Stage { standings: [(HASH, standing)].into(), connected, ..Stage::default() };
        Gate::new(watch::channel(Arc::new(stage)).1)
    }

    fn somebody() -> IpAddr {
        "192.0.2.1".parse().unwrap()
    }

    #[test]
    fn the_web_seed_gives_freely_while_the_origin_does() {
        for mode in ["full", "plain"] {
            assert_eq!(gate(mode, &[]).refuses(HASH, somebody(), Instant::now()), None, "{mode}");
        }
    }

    #[test]
    fn who_has_nobody_else_to_ask_is_served_soon() {
        let (gate, begin) = (gate("silent", &[]), Instant::now());
        assert_eq!(gate.refuses(HASH, somebody(), begin), Some(RETRY));
        assert_eq!(gate.refuses(HASH, somebody(), begin + RETRY), Some(RETRY));
        assert_eq!(gate.refuses(HASH, somebody(), begin + STRANDED), None);
    }

    #[test]
    fn a_peer_of_the_origin_is_left_to_the_swarm() {
        let (gate, begin) = (gate("spread", &["192.0.2.1"]), Instant::now());
        for seconds in [0, 15, 30, 45, 600] {
            let now = begin + Duration::from_secs(seconds);
            assert_eq!(gate.refuses(HASH, somebody(), now), Some(RETRY), "{seconds}");
        }
    }

    #[test]
    fn who_comes_back_after_a_long_while_waits_again() {
        let (gate, begin) = (gate("silent", &[]), Instant::now());
        assert_eq!(gate.refuses(HASH, somebody(), begin), Some(RETRY));
        assert_eq!(gate.refuses(HASH, somebody(), begin + FORGOTTEN + RETRY), Some(RETRY));
    }
}
