//! What the web server serves: pages made in memory, and files of releases as they lie on disk.
//!
//! Plain values. [`Content`] says what is at a path; the server sends it and decides nothing.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::shelf::digest;

/// Says what is at a path.
pub trait Content: Send + Sync + 'static {
    /// What is at `path` for who asks `from` there. The path is percent-decoded, with its leading slash, without the query.
    /// `None`: 404.
    fn find(&self, path: &str, from: IpAddr) -> Option<Found>;
}

/// What is at a path.
#[derive(Clone, Debug)]
pub enum Found {
    /// Bytes in memory.
    Page(Page),
    /// Bytes of files on disk.
    File(FileBody),
    /// It is elsewhere: a path on this server, percent-encoded.
    Moved(String),
    /// It is here but not given now: 503 with `Retry-After`.
    Later(Duration),
}

/// A page made in memory.
#[derive(Clone, Debug)]
pub struct Page {
    /// The media type.
    pub content_type: &'static str,
    /// The value of `Content-Disposition`, for files to be saved. Has no line breaks.
    pub disposition: Option<String>,
    /// What is sent.
    pub body: Bytes,
    /// The strong validator, quotes included.
    pub etag: String,
    /// How long it may be kept without being asked for again; zero: always ask (`no-cache`).
    pub fresh: Duration,
}

impl Page {
    /// A page that is asked for again each time, and shown in the browser.
    pub fn new(content_type: &'static str, body: Bytes) -> Self {
        let etag = format!("\"{}\"", digest(&body));
        Self { content_type, disposition: None, body, etag, fresh: Duration::ZERO }
    }
}

/// One file as people see it, put together from parts of files on disk.
#[derive(Clone, Debug)]
pub struct FileBody {
    /// In order; their lengths add up to the whole.
    pub parts: Arc<[Part]>,
    /// The media type.
    pub content_type: &'static str,
    /// The value of `Content-Disposition`. Has no line breaks.
    pub disposition: Option<String>,
    /// The strong validator, quotes included: changes with the bytes.
    pub etag: String,
    /// When it was last changed.
    pub modified: Option<SystemTime>,
    /// Body bytes that were handed to the socket are added here: one of the origin's own counters.
    pub sent: Arc<AtomicU64>,
}

/// A run of bytes.
#[derive(Clone, Debug)]
pub enum Part {
    /// Of a file, from `offset` on. Should the file have become shorter, the connection is broken off.
    File {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// Zeros: padding (BEP 47).
    Zeros(u64),
}

impl Part {
    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        match self {
            Self::File { length, .. } | Self::Zeros(length) => *length,
        }
    }
}

/// A request to the tracker that came in through the web server.
#[derive(Clone, Copy, Debug)]
pub struct TrackerRequest<'a> {
    /// The path, percent-encoded as it came.
    pub path: &'a str,
    /// The query, without its question mark.
    pub query: &'a str,
    /// Who asks; behind a proxy whose word is believed, whom it names.
    pub from: IpAddr,
    /// The address of ours at which the asker arrived; `None`: at a proxy, and how that is reached is unknown.
    pub reached: Option<IpAddr>,
}

/// What the tracker says.
#[derive(Clone, Debug)]
pub struct TrackerAnswer {
    /// The media type.
    pub content_type: &'static str,
    /// What is sent, with status 200.
    pub body: Bytes,
}

/// A tracker behind the web server: answers paths whose last segment is `announce` or `scrape`.
pub trait Announces: Send + Sync + 'static {
    /// The answer; `None` if there is no tracker here: 404.
    fn answer(&self, request: TrackerRequest<'_>) -> Option<TrackerAnswer>;
}
