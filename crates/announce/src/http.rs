//! Announces over HTTP: query strings and bencoded replies (BEP 3, 7, 23, 24, 31, 48).
//!
//! `client` writes questions and reads answers, `server` the reverse. Neither opens a connection or follows a redirect.

mod client;
mod percent;
mod server;

pub use client::{MAX_REPLY, MAX_SCRAPED, UrlError, announce_url, parse_reply, parse_scrape, scrape_url};
pub use server::{
    BadRequest, MAX_SCRAPE_HASHES, Reply, encode_failure, encode_reply, encode_scrape, parse_query,
    parse_scrape_query,
};

pub use crate::reply::{INTERVALS, MAX_PEERS};
