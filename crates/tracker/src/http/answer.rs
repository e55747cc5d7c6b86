//! What the tracker answers to a path and a query: the same in our own front end and in another's web server.
//!
//! It knows no connection: who asks is a [`Client`], the body is appended to a buffer of the caller's.

use std::net::IpAddr;

use announce::http::{Reply, encode_failure, encode_reply, encode_scrape, parse_query, parse_scrape_query};
use bytes::Bytes;

use super::forwarded;
use crate::{Found, Tracker};

/// The media type of replies; what trackers have always sent.
pub(super) const BENCODED: &str = "text/plain";

/// Who asks over HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The address at the other end of the connection.
    pub from: IpAddr,
    /// The address at our end.
    pub reached: Option<IpAddr>,
    /// The `X-Forwarded-For` field; believed only if a trusted proxy sends it.
    pub x_forwarded_for: Option<&'a str>,
    /// The `Forwarded` field (RFC 7239), likewise.
    pub forwarded: Option<&'a str>,
}

/// An answer, to be sent with status 200 whatever it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The media type.
    pub content_type: &'static str,
    /// A bencoded dictionary.
    pub body: Bytes,
}

/// Answers a request that came in through another web server; `None` if its path is not the tracker's.
///
/// The tracker's paths are those whose last segment is `announce` or `scrape`. `query` is what follows the `?`.
pub fn answer(tracker: &Tracker, path: &str, query: &str, client: Client<'_>) -> Option<Answer> {
    let question = Question::of(path)?;
    let mut body = Vec::new();
    question.answer(tracker, query, client, &mut Found::default(), &mut body);
    Some(Answer { content_type: BENCODED, body: body.into() })
}

/// What a path asks the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Announce,
    Scrape,
}

impl Question {
    pub(super) fn of(path: &str) -> Option<Self> {
        match path.rsplit('/').next()? {
            "announce" => Some(Self::Announce),
            "scrape" => Some(Self::Scrape),
            _ => None,
        }
    }

    /// Appends the answer to `body`; `found` is room to work in.
    pub(super) fn answer(
        self,
        tracker: &Tracker,
        query: &str,
        client: Client<'_>,
        found: &mut Found,
        body: &mut Vec<u8>,
    ) {
        match self {
            Self::Announce => announce(tracker, query, client, found, body),
            Self::Scrape => scrape(tracker, query, body),
        }
    }
}

fn announce(tracker: &Tracker, query: &str, client: Client<'_>, found: &mut Found, body: &mut Vec<u8>) {
    let announce = match parse_query(query.as_bytes()) {
        Ok(announce) => announce,
        Err(bad) => {
            tracker.count_refused();
            return encode_failure(&bad.to_string(), None, body);
        }
    };
    let caller = forwarded::caller(client, &tracker.config().trust_proxy);
    match tracker.announce(tracker.now(), caller, &announce, found) {
        Ok(standing) => {
            let reply = Reply {
                interval: standing.interval,
                min_interval: standing.min_interval,
                complete: standing.counts.complete,
                incomplete: standing.counts.incomplete,
                downloaded: standing.counts.downloaded,
                external_ip: Some(standing.external_ip),
                peers: &found.v4,
                peers6: &found.v6,
            };
            encode_reply(&reply, announce.format, body);
        }
        Err(refusal) => encode_failure(&refusal.to_string(), refusal.retry(), body),
    }
}

fn scrape(tracker: &Tracker, query: &str, body: &mut Vec<u8>) {
    match parse_scrape_query(query.as_bytes()) {
        Ok(hashes) => match tracker.scrape(&hashes) {
            Ok(mut entries) => encode_scrape(&mut entries, body),
            Err(refusal) => encode_failure(&refusal.to_string(), refusal.retry(), body),
        },
        Err(bad) => {
            tracker.count_refused();
            encode_failure(&bad.to_string(), None, body);
        }
    }
}
