//! The savings receipt: what was delivered, and what of it the origin had to send, per release and day (UTC).
//!
//! Owned by whoever runs the swarms, who hands in the origin's own [`Counters`]; what clients report to the tracker is noted
//! beside them and never mixed in, because it can be forged. Each release has a file of its own in the receipt folder, so that
//! programs that publish different things do not meet. It measures nothing itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::civil::Date;
use metainfo::InfoHash;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::live::Saved;

/// The version of the files and of what is served.
const SCHEMA: u32 = 1;

/// Days kept of a release: ten years. Older ones are added to the oldest.
const MAX_DAYS: usize = 3660;

/// The bytes that prices are named for.
const GIGABYTE: f64 = 1e9;

/// What happened since the process began. Bytes are payload bytes; no counter goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Downloads whose end was proved: the peer served a random block that equals the origin's.
    pub verified: u64,
    /// What those downloads fetched.
    pub verified_bytes: u64,
    /// Downloads that said they had ended, proved or not.
    pub claimed: u64,
    /// Downloads that clients reported to the tracker as completed: can be forged.
    pub reported: u64,
    /// Sent by the origin to peers.
    pub sent_peers: u64,
    /// Sent by the web seed (BEP 19).
    pub sent_web_seed: u64,
    /// Sent by the plain link.
    pub sent_http: u64,
}

/// Why a receipt cannot be read or kept.
#[derive(Debug, thiserror::Error)]
#[error("the receipt {path}")]
pub struct ReceiptError {
    /// Which file.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// The receipts of all releases that are or were published by this process.
#[derive(Debug)]
pub struct Receipts {
    folder: PathBuf,
    books: BTreeMap<InfoHash, Entry>,
}

/// One release's receipt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Book {
    schema: u32,
    hash: String,
    name: String,
    size: u64,
    days: BTreeMap<String, Counters>,
}

#[derive(Debug)]
struct Entry {
    /// Shared with those who show it, and copied when it changes.
    book: Arc<Book>,
    /// What has been booked of this process's counters.
    booked: Counters,
    changed: bool,
}

impl Counters {
    /// All that the origin sent.
    pub fn sent(&self) -> u64 {
        self.sent_peers + self.sent_web_seed + self.sent_http
    }

    /// All that arrived: in proved downloads, and over plain HTTP, where what is sent arrives.
    pub fn delivered(&self) -> u64 {
        self.verified_bytes + self.sent_http
    }

    /// What peers carried for each other.
    pub fn saved(&self) -> u64 {
        self.delivered().saturating_sub(self.sent())
    }

    fn zip(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            verified: with(self.verified, other.verified),
            verified_bytes: with(self.verified_bytes, other.verified_bytes),
            claimed: with(self.claimed, other.claimed),
            reported: with(self.reported, other.reported),
            sent_peers: with(self.sent_peers, other.sent_peers),
            sent_web_seed: with(self.sent_web_seed, other.sent_web_seed),
            sent_http: with(self.sent_http, other.sent_http),
        }
    }

    fn plus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }

    /// What was counted since. A counter that went back is a new one: it counts from zero.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        self.zip(before, |now, before| now.checked_sub(before).unwrap_or(now))
    }
}

impl Book {
    fn new(hash: InfoHash, name: &str, size: u64) -> Self {
        Self { schema: SCHEMA, hash: hash.to_string(), name: name.to_owned(), size, days: BTreeMap::new() }
    }

    /// The sum of all days.
    pub fn total(&self) -> Counters {
        self.days.values().fold(Counters::default(), |sum, &day| sum.plus(day))
    }

    fn add(&mut self, day: Date, news: Counters) {
        let entry = self.days.entry(day.to_string()).or_default();
        *entry = entry.plus(news);
        while self.days.len() > MAX_DAYS {
            let Some((_, oldest)) = self.days.pop_first() else { return };
            let Some(mut next) = self.days.first_entry() else { return };
            *next.get_mut() = next.get().plus(oldest);
        }
    }

    /// In short, for the page. `price`: of a gigabyte.
    pub fn saved(&self, price: Option<f64>) -> Saved {
        let total = self.total();
        Saved {
            delivered: total.delivered(),
            sent: total.sent(),
            saved: total.saved(),
            verified: total.verified,
            claimed: total.claimed.saturating_sub(total.verified),
            saved_cents: price.map(|price| cents(total.saved(), price)),
        }
    }

    fn json(&self, price: Option<f64>) -> Value {
        let days = self.days.iter().map(|(day, counters)| {
            let mut row = figures(counters, price);
            row["day"] = json!(day);
            row
        });
        json!({
            "hash": self.hash, "name": self.name, "size": self.size,
            "total": figures(&self.total(), price), "days": days.collect::<Vec<_>>(),
        })
    }
}

impl Receipts {
    /// No receipts yet; files will be kept in `folder`, which is made when it is needed.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, books: BTreeMap::new() }
    }

    /// Takes up a release: its receipt goes on where the last run left it. A file that is no receipt is put aside as
    /// `….damaged`, and a new receipt begun.
    pub fn open(&mut self, hash: InfoHash, name: &str, size: u64) -> Result<(), ReceiptError> {
        if self.books.contains_key(&hash) {
            return Ok(());
        }
        let path = self.path(hash);
        let book = match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice::<Book>(&bytes) {
                Ok(book) if book.schema == SCHEMA => book,
                _ => {
                    let aside = path.with_extension("json.damaged");
                    tracing::warn!(path = %path.display(), "not a receipt: put aside");
                    fs::rename(&path, aside).map_err(|source| ReceiptError { path, source })?;
                    Book::new(hash, name, size)
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Book::new(hash, name, size),
            Err(source) => return Err(ReceiptError { path, source }),
        };
        self.books.insert(hash, Entry { book: Arc::new(book), booked: Counters::default(), changed: false });
        Ok(())
    }

    /// Books what the counters say more than at the last call.
    pub fn record(&mut self, hash: InfoHash, day: Date, now: Counters) {
        let Some(entry) = self.books.get_mut(&hash) else { return };
        let news = now.since(entry.booked);
        entry.booked = now;
        if news != Counters::default() {
            Arc::make_mut(&mut entry.book).add(day, news);
            entry.changed = true;
        }
    }

    /// A release is gone from the catalogue: its swarm may begin again with other counters.
    pub fn rest(&mut self, hash: InfoHash) {
        if let Some(entry) = self.books.get_mut(&hash) {
            entry.booked = Counters::default();
        }
    }

    /// Writes what changed; a file is replaced whole, after its bytes are on disk.
    pub fn save(&mut self) -> Result<(), ReceiptError> {
        for (&hash, entry) in self.books.iter_mut().filter(|(_, entry)| entry.changed) {
            let path = self.folder.join(format!("{hash}.json"));
            write(&path, &entry.book).map_err(|source| ReceiptError { path, source })?;
            entry.changed = false;
        }
        Ok(())
    }

    /// All receipts as they are now, for those who show them.
    pub fn books(&self) -> Books {
        Books(self.books.iter().map(|(&hash, entry)| (hash, Arc::clone(&entry.book))).collect())
    }

    fn path(&self, hash: InfoHash) -> PathBuf {
        self.folder.join(format!("{hash}.json"))
    }
}

/// All receipts as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct Books(BTreeMap<InfoHash, Arc<Book>>);

impl Books {
    /// One release's receipt.
    pub fn get(&self, hash: InfoHash) -> Option<&Book> {
        self.0.get(&hash).map(Arc::as_ref)
    }

    /// `/receipt.json`. `price`: of a gigabyte.
    pub fn json(&self, price: Option<f64>) -> String {
        let total = self.0.values().fold(Counters::default(), |sum, book| sum.plus(book.total()));
        let releases: Vec<Value> = self.0.values().map(|book| book.json(price)).collect();
        format!("{:#}\n", json!({ "schema": SCHEMA, "total": figures(&total, price), "releases": releases }))
    }

    /// `/receipt.csv`: a row for each day and release (RFC 4180).
    pub fn csv(&self, price: Option<f64>) -> String {
        let mut out = String::from(
            "day,hash,name,delivered,sent,sent_peers,sent_web_seed,sent_http,saved,verified,claimed,reported,saved_money\r\n",
        );
        for book in self.0.values() {
            for (day, counters) in &book.days {
                let Counters { sent_peers, sent_web_seed, sent_http, verified, claimed, reported, .. } =
                    counters;
                let money = price.map(|price| money(counters.saved(), price)).unwrap_or_default();
                // Writing to a string cannot fail.
                _ = write!(
                    out,
                    "{day},{},{},{},{},{sent_peers},{sent_web_seed},{sent_http},{},{verified},{},{reported},{money}\r\n",
                    book.hash,
                    field(&book.name),
                    counters.delivered(),
                    counters.sent(),
                    counters.saved(),
                    claimed.saturating_sub(*verified),
                );
            }
        }
        out
    }

    /// What a release is called in metrics: its name, and the start of its hash where two have the same.
    pub fn label(&self, hash: InfoHash) -> String {
        let Some(book) = self.0.get(&hash) else { return String::new() };
        let twin = self.0.iter().any(|(&other, twin)| other != hash && twin.name == book.name);
        let suffix = if twin { format!("-{}", &book.hash[..8]) } else { String::new() };
        label(&(book.name.clone() + &suffix))
    }

    /// The receipt's part of `/metrics`, in Prometheus' text format.
    pub fn metrics(&self) -> String {
        let mut out = String::new();
        let mut metric = |name: &str, help: &str, values: &dyn Fn(&Counters) -> Vec<(&'static str, u64)>| {
            // Writing to a string cannot fail.
            _ = writeln!(
                out,
                "# HELP headwater_publish_{name}_total {help}\n# TYPE headwater_publish_{name}_total counter"
            );
            for (&hash, book) in &self.0 {
                let release = self.label(hash);
                for (via, value) in values(&book.total()) {
                    let via = if via.is_empty() { String::new() } else { format!(",via=\"{via}\"") };
                    _ = writeln!(out, "headwater_publish_{name}_total{{release=\"{release}\"{via}}} {value}");
                }
            }
        };
        metric("delivered_bytes", "Payload delivered in verified downloads and over plain HTTP.", &|total| {
            vec![("", total.delivered())]
        });
        metric("sent_bytes", "Payload sent by the origin.", &|total| {
            vec![("peers", total.sent_peers), ("web_seed", total.sent_web_seed), ("http", total.sent_http)]
        });
        metric("saved_bytes", "Payload that peers carried for each other.", &|total| {
            vec![("", total.saved())]
        });
        metric("downloads", "Downloads that ended, by how that is known.", &|total| {
            let claimed = total.claimed.saturating_sub(total.verified);
            vec![("verified", total.verified), ("claimed", claimed), ("reported", total.reported)]
        });
        out
    }
}

fn figures(counters: &Counters, price: Option<f64>) -> Value {
    let mut figures = json!({
        "delivered": counters.delivered(),
        "sent": counters.sent(),
        "sent_peers": counters.sent_peers,
        "sent_web_seed": counters.sent_web_seed,
        "sent_http": counters.sent_http,
        "saved": counters.saved(),
        "verified": counters.verified,
        "claimed": counters.claimed.saturating_sub(counters.verified),
        "reported": counters.reported,
    });
    if let Some(price) = price {
        figures["saved_money"] = json!(money(counters.saved(), price));
    }
    figures
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts of floats stop at the ends"
)]
#[expect(clippy::cast_precision_loss, reason = "a cent in 90 million gigabytes")]
fn cents(bytes: u64, price: f64) -> u64 {
    (bytes as f64 / GIGABYTE * price * 100.0).round() as u64
}

fn money(bytes: u64, price: f64) -> String {
    let cents = cents(bytes, price);
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// A field of CSV: quoted if it must be, and no formula in a spreadsheet.
fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// A label's value of Prometheus.
fn label(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

fn write(path: &Path, book: &Book) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let part = path.with_extension("json.part");
    let mut file = File::create(&part)?;
    file.write_all(&serde_json::to_vec_pretty(book)?)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
