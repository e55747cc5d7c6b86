//! The downloads of this process as values: what each is, and how it stands.
//!
//! Owned by `Host`, behind its lock. Nothing here waits or touches the machine.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engine::{Phase, Torrent};
use metainfo::InfoHash;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::failure::{Exit, Failure};
use crate::output::Output;

/// How many downloads are listed: more than anybody reads.
const MAX_ENTRIES: usize = 500;

/// How many tickets may be out: pages that were shown and not looked at yet.
const MAX_TICKETS: usize = 16;

/// How long a ticket is good: the time a browser may take to start on a slow machine, and somebody to paste a line.
const TICKET_TIME: Duration = Duration::from_secs(10 * 60);

/// All downloads, and what is to be remembered beside them.
pub(super) struct List {
    pub(super) entries: Vec<Entry>,
    /// Where clicks without a wish of their own are saved.
    pub(super) folder: PathBuf,
    /// The page has been shown.
    pub(super) shown: bool,
    /// This process is about to end and takes nothing up.
    pub(super) closing: bool,
    tickets: Vec<(String, Instant)>,
    last_id: u32,
}

/// One download.
pub(super) struct Entry {
    pub(super) id: u32,
    /// The source as it was clicked.
    pub(super) text: String,
    pub(super) hash: Option<InfoHash>,
    pub(super) folder: PathBuf,
    /// Where it tells its progress besides the page.
    pub(super) output: Output,
    pub(super) stage: Stage,
    /// It shall stop and go on in this folder.
    pub(super) moving: Option<PathBuf>,
}

/// How far a download has come.
pub(super) enum Stage {
    /// Its torrent is not known yet.
    Finding { ask: watch::Sender<Option<Exit>> },
    /// Its torrent is at work.
    Working { ask: watch::Sender<Option<Exit>>, torrent: Torrent },
    /// Nothing happens any more.
    Ended { how: End, torrent: Option<Torrent> },
}

/// How a download ended.
pub(super) enum End {
    Complete,
    Stopped,
    Failed(Failure),
}

impl List {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { entries: Vec::new(), folder, shown: false, closing: false, tickets: Vec::new(), last_id: 0 }
    }

    /// Adds a download that is about to begin, and names it.
    pub(super) fn add(&mut self, mut entry: Entry) -> Result<u32, Failure> {
        if self.entries.len() >= MAX_ENTRIES {
            return Err(
                Failure::new(Exit::Other, "the list of downloads is full").hint("remove some on the page")
            );
        }
        self.last_id += 1;
        entry.id = self.last_id;
        self.entries.push(entry);
        Ok(self.last_id)
    }

    pub(super) fn get(&mut self, id: u32) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.id == id)
    }

    /// The download of a source. Only its server may know the hash of a URL, which is then found by its text.
    pub(super) fn find(&mut self, text: &str, hash: Option<InfoHash>) -> Option<&mut Entry> {
        let is_it = |entry: &&mut Entry| entry.text == text || (hash.is_some() && entry.hash == hash);
        self.entries.iter_mut().find(is_it)
    }

    /// Whether anything is still to be done.
    pub(super) fn is_busy(&self) -> bool {
        self.entries.iter().any(|entry| entry.ask().is_some())
    }

    /// Lets one browser in, once.
    pub(super) fn issue(&mut self, ticket: String) {
        self.tickets.retain(|(_, issued)| issued.elapsed() < TICKET_TIME);
        if self.tickets.len() >= MAX_TICKETS {
            self.tickets.remove(0);
        }
        self.tickets.push((ticket, Instant::now()));
    }

    /// Whether a ticket is good. It is not a second time.
    pub(super) fn redeem(&mut self, ticket: &str) -> bool {
        let good = |(known, issued): &(String, Instant)| known == ticket && issued.elapsed() < TICKET_TIME;
        let found = self.tickets.iter().position(good);
        found.map(|place| self.tickets.remove(place)).is_some()
    }

    /// What the page shows.
    pub(super) fn describe(&self) -> Value {
        let downloads: Vec<Value> = self.entries.iter().rev().map(Entry::describe).collect();
        json!({ "schema": 1, "folder": self.folder, "downloads": downloads })
    }
}

impl Entry {
    /// What stops it; nothing if it has ended.
    pub(super) fn ask(&self) -> Option<&watch::Sender<Option<Exit>>> {
        match &self.stage {
            Stage::Finding { ask } | Stage::Working { ask, .. } => Some(ask),
            Stage::Ended { .. } => None,
        }
    }

    fn torrent(&self) -> Option<&Torrent> {
        match &self.stage {
            Stage::Finding { .. } => None,
            Stage::Working { torrent, .. } => Some(torrent),
            Stage::Ended { torrent, .. } => torrent.as_ref(),
        }
    }

    /// The folder its files are in, and their name, once that is known.
    pub(super) fn files(&self) -> Option<(&Path, String)> {
        let info = self.torrent()?.info()?;
        Some((&self.folder, info.name().to_owned()))
    }

    /// What it is called: a link without a name goes by its beginning.
    pub(super) fn name(&self) -> String {
        self.torrent()
            .map_or_else(|| self.text.chars().take(80).collect(), |torrent| torrent.status().name.clone())
    }

    /// Whether pieces of it are on disk.
    pub(super) fn has_data(&self) -> bool {
        self.torrent().is_some_and(|torrent| torrent.status().have > 0)
    }

    /// Whether nothing is missing.
    pub(super) fn is_complete(&self) -> bool {
        let whole = |torrent: &Torrent| {
            let status = torrent.status();
            status.total > 0 && status.done >= status.total
        };
        self.torrent().is_some_and(whole)
    }

    fn state(&self) -> &'static str {
        match &self.stage {
            Stage::Finding { .. } => "finding",
            Stage::Working { torrent, .. } => match &torrent.status().phase {
                Phase::Metadata => "metadata",
                Phase::Checking { .. } => "checking",
                Phase::Seeding => "seeding",
                _ => "downloading",
            },
            Stage::Ended { how: End::Failed(_), .. } => "failed",
            Stage::Ended { .. } if self.is_complete() => "complete",
            Stage::Ended { how: End::Complete, .. } => "complete",
            Stage::Ended { how: End::Stopped, .. } => "stopped",
        }
    }

    /// What the page shows of it.
    pub(super) fn describe(&self) -> Value {
        let mut view = json!({
            "id": self.id, "name": self.name(), "state": self.state(), "folder": self.folder,
            "hash": self.hash.map(|hash| hash.to_string()), "error": Value::Null,
        });
        if let (Some(torrent), Some(view)) = (self.torrent(), view.as_object_mut()) {
            let status = torrent.status();
            let (done, total) = match &status.phase {
                Phase::Checking { done, total } => (*done, *total),
                _ => (status.done, status.total),
            };
            let numbers = json!({
                "done": done, "total": total, "down": status.rate_down, "up": status.rate_up,
                "uploaded": status.uploaded, "peers": status.peers, "seeds": status.seeds,
                "eta": status.eta.map(|eta| eta.as_secs()),
                "path": torrent.info().map(|info| self.folder.join(info.name())),
            });
            view.extend(numbers.as_object().cloned().unwrap_or_default());
        }
        if let Stage::Ended { how: End::Failed(failure), .. } = &self.stage {
            view["error"] = failure.describe();
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once() {
        let mut list = List::new(PathBuf::from("/in"));
        list.issue("a".to_owned());
        assert!(!list.redeem("b"));
        assert!(list.redeem("a"));
        assert!(!list.redeem("a"));
        for number in 0..=MAX_TICKETS {
            list.issue(number.to_string());
        }
        assert!(!list.redeem("0"));
        assert!(list.redeem("1"));
    }
}
