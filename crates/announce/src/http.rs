//! Announces over HTTP: query strings and bencoded replies (BEP 3, 7, 23, 24, 31, 48).
//!
//! `client` writes questions and reads answers, `server` the reverse. Neither opens a connection or follows a redirect.

mod client;
mod percent;
mod server;

use std::ops::RangeInclusive;
use std::time::Duration;

pub use client::{
    MAX_PEERS, MAX_REPLY, MAX_SCRAPED, UrlError, announce_url, parse_reply, parse_scrape, scrape_url,
};
pub use server::{
    BadRequest, MAX_SCRAPE_HASHES, Reply, encode_failure, encode_reply, encode_scrape, parse_query,
    parse_scrape_query,
};

/// The announce intervals a client accepts; anything outside is moved to the nearer end.
///
/// Five seconds is the fastest we ask anybody anything; after a day a peer would long have been forgotten.
pub const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(24 * 60 * 60);
