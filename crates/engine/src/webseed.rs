//! The web seeds of one torrent: which servers they are, what is under way from each, what went wrong (BEP 17, 19).
//!
//! [`WebSeeds`] is owned by the torrent task. Each fetch is a task of the torrent (`fetch`), whose requests `parts` plans and
//! whose answers `answer` judges. When a server is asked and for what is the swarm's business.

mod answer;
mod fetch;
mod parts;

use std::collections::BTreeMap;
use std::sync::Arc;

use metainfo::BlockRef;
use swarm::{Event, FetchKey, FetchTrouble, MAX_WEB_SEEDS, Swarm, WebSeedKey};
use tokio::task::{AbortHandle, JoinSet};

use crate::announce::is_plain_announce;
use crate::config::{Add, What};
use crate::http::{Hop, NamedBy};
use crate::outside::Home;
use crate::status::WebSeedStatus;

pub(crate) use fetch::Server;

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// For ranges of files, as any web server (BEP 19).
    Files,
    /// For pieces by number, as a script that knows the torrent (BEP 17).
    Pieces,
}

/// Why a fetch ended early.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) why: FetchTrouble,
    pub(crate) words: String,
}

/// A fetch that ended early.
#[derive(Debug)]
pub(crate) struct Unfetched {
    pub(crate) seed: WebSeedKey,
    pub(crate) fetch: FetchKey,
    pub(crate) trouble: Trouble,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct WebSeeds {
    servers: Vec<Arc<Server>>,
    /// What went wrong last with each.
    troubles: Vec<Option<String>>,
    under_way: BTreeMap<FetchKey, AbortHandle>,
}

impl Trouble {
    pub(crate) fn gone(words: impl Into<String>) -> Self {
        Self { why: FetchTrouble::Gone, words: words.into() }
    }

    pub(crate) fn broken(words: impl Into<String>) -> Self {
        Self { why: FetchTrouble::Broken, words: words.into() }
    }
}

impl WebSeeds {
    /// The user's own first, then the torrent's; a torrent that is only served needs none.
    pub(crate) fn of(add: &Add) -> Self {
        let (theirs, pieces): (&[String], &[String]) = match &add.what {
            _ if add.seed_only => return Self::default(),
            What::Metainfo(metainfo) => (&metainfo.web_seeds, &metainfo.http_seeds),
            What::Magnet(magnet) => (&magnet.web_seeds, &[]),
        };
        let typed = add.web_seeds.iter().map(|url| (url, true, Dialect::Files));
        let named = theirs.iter().map(|url| (url, false, Dialect::Files));
        let legacy = pieces.iter().map(|url| (url, false, Dialect::Pieces));
        let mut servers: Vec<Arc<Server>> = Vec::new();
        for (url, typed, dialect) in typed.chain(named).chain(legacy) {
            if servers.len() == MAX_WEB_SEEDS {
                break;
            }
            if !servers.iter().any(|server| server.url == *url) {
                let named_by = if typed { NamedBy::User } else { named_by(add, url) };
                servers.push(Arc::new(Server::new(url.clone(), named_by, dialect)));
            }
        }
        Self { troubles: vec![None; servers.len()], servers, under_way: BTreeMap::new() }
    }

    /// For each a number that is the same for those of one host.
    pub(crate) fn hosts(&self) -> Vec<u32> {
        let host = |server: &Arc<Server>| Hop::parse(&server.url).map(|hop| hop.server().0.to_owned()).ok();
        let hosts: Vec<Option<String>> = self.servers.iter().map(host).collect();
        (0u32..)
            .zip(&hosts)
            .map(|(own, host)| {
                (0..).zip(&hosts).find(|(_, other)| *other == host).map_or(own, |(first, _)| first)
            })
            .collect()
    }

    /// Starts a fetch as a task.
    pub(crate) fn fetch(
        &mut self,
        home: &Arc<Home>,
        tasks: &mut JoinSet<()>,
        seed: WebSeedKey,
        key: FetchKey,
        blocks: &[BlockRef],
    ) {
        let (Some(server), Some(files)) = (self.servers.get(seed.0 as usize), home.files.get()) else {
            return;
        };
        let plan = match server.dialect {
            Dialect::Files => parts::of_files(&server.url, files.info(), blocks),
            Dialect::Pieces => parts::of_pieces(&server.url, home.wire_hash, files.info(), blocks),
        };
        tracing::debug!(url = server.url, fetch = key.0, blocks = blocks.len(), "fetching");
        let task = tasks.spawn(fetch::run(home.clone(), server.clone(), seed, key, plan));
        self.under_way.insert(key, task);
        self.under_way.retain(|_, task| !task.is_finished());
    }

    pub(crate) fn unfetch(&mut self, fetch: FetchKey) {
        if let Some(task) = self.under_way.remove(&fetch) {
            task.abort();
        }
    }

    pub(crate) fn unfetch_all(&mut self) {
        for task in std::mem::take(&mut self.under_way).into_values() {
            task.abort();
        }
    }

    /// Notes what went wrong; what the swarm is to be told.
    pub(crate) fn unfetched(&mut self, Unfetched { seed, fetch, trouble }: Unfetched) -> Event {
        self.under_way.remove(&fetch);
        self.complain(seed, trouble.words, trouble.why == FetchTrouble::Gone);
        Event::FetchFailed { fetch, why: trouble.why }
    }

    pub(crate) fn banned(&mut self, seed: WebSeedKey) {
        self.complain(seed, "sent data that is not the torrent's".into(), true);
    }

    fn complain(&mut self, seed: WebSeedKey, words: String, out: bool) {
        let url = self.servers.get(seed.0 as usize).map_or("", |server| &server.url);
        if out {
            tracing::warn!(url, "this web seed is not used: {words}");
        } else {
            tracing::debug!(url, words, "web seed");
        }
        if let Some(trouble) = self.troubles.get_mut(seed.0 as usize) {
            *trouble = Some(words);
        }
    }

    /// All web seeds, as people want to see them.
    pub(crate) fn describe(&self, swarm: &Swarm) -> Vec<WebSeedStatus> {
        let known = self.servers.iter().zip(&self.troubles).zip(swarm.web_seeds());
        let shown = known.map(|((server, trouble), now)| WebSeedStatus {
            url: server.url.clone(),
            working: !now.out && now.failures == 0,
            out: now.out,
            message: trouble.clone(),
            downloaded: now.downloaded,
        });
        shown.collect()
    }
}

/// Where a torrent's web seed may point: to a local address only if the torrent came from that very server, or, without a query,
/// if it stands beside one of the torrent's trackers that may be local (S-24).
fn named_by(add: &Add, url: &str) -> NamedBy {
    let trackers: Vec<&String> = match &add.what {
        What::Metainfo(metainfo) => metainfo.announce.iter().flatten().collect(),
        What::Magnet(magnet) => magnet.trackers.iter().collect(),
    };
    let local = Hop::parse(url).is_ok_and(|hop| {
        let (host, port) = hop.server();
        let source = add.local_server.as_ref().is_some_and(|(from, at)| (from.as_str(), *at) == (host, port));
        let beside = |tracker: &&String| {
            is_plain_announce(tracker) && Hop::parse(tracker).is_ok_and(|tracker| tracker.server().0 == host)
        };
        source || (!hop.has_query() && trackers.iter().any(beside))
    });
    NamedBy::Torrent { local }
}

#[cfg(test)]
mod tests {
    use metainfo::Magnet;

    use super::*;

    fn add(trackers: &[&str], local_server: Option<(&str, u16)>) -> Add {
        let link = format!("magnet:?xt=urn:btih:{}", "0".repeat(40));
        let mut magnet = Magnet::parse(&link).unwrap();
        magnet.trackers = trackers.iter().map(|url| (*url).to_owned()).collect();
        let local_server = local_server.map(|(host, port)| (host.to_owned(), port));
        Add { local_server, ..Add::new(magnet, ".".into()) }
    }

    // S-24
    #[test]
    fn a_torrent_may_name_a_local_web_seed_only_where_it_came_from_or_beside_its_tracker() {
        let allowed = |add: &Add, url: &str| named_by(add, url) == NamedBy::Torrent { local: true };
        let lone = add(&["http://t.example/announce"], None);
        assert!(!allowed(&lone, "http://127.0.0.1:8080/x"));
        let fetched = add(&[], Some(("127.0.0.1", 8080)));
        assert!(allowed(&fetched, "http://127.0.0.1:8080/x?y=1"));
        assert!(!allowed(&fetched, "http://127.0.0.1:8081/x") && !allowed(&fetched, "http://[::1]:8080/x"));
        let tracked = add(&["http://192.168.1.2:6969/announce"], None);
        assert!(allowed(&tracked, "http://192.168.1.2/files/"));
        assert!(!allowed(&tracked, "http://192.168.1.2/files/?delete=1"));
        assert!(!allowed(&add(&["http://192.168.1.2/x/announce"], None), "http://192.168.1.2/files/"));
    }

    #[test]
    fn a_web_seed_counts_once_and_sixteen_are_used() {
        let mut add = add(&[], None);
        add.web_seeds = vec!["http://a.example/".into()];
        if let What::Magnet(magnet) = &mut add.what {
            magnet.web_seeds = (0..40).map(|n| format!("http://{n}.example/")).collect();
            magnet.web_seeds.insert(0, "http://a.example/".into());
        }
        let seeds = WebSeeds::of(&add);
        assert_eq!(seeds.hosts(), (0..16).collect::<Vec<u32>>());
        assert!(seeds.servers[0].url.contains("a.example") && seeds.servers[1].url.contains("0.example"));
        add.seed_only = true;
        assert_eq!(WebSeeds::of(&add).hosts(), [] as [u32; 0]);
    }
}
