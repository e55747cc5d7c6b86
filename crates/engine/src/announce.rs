//! Performs one announce over HTTP, HTTPS (BEP 3, 7, 23) or UDP: counters in, peers out.
//!
//! Runs as a task of its torrent. Whom to announce to and when is the announcer's business.

mod udp;

use std::sync::Arc;
use std::time::Duration;

use ::announce::http::{announce_url, parse_reply};
use ::announce::{Announce, AnnounceError, AnnounceEvent, AnnounceReply, ReplyError, TrackerKey};

use crate::FAREWELL;
use crate::error::in_words;
use crate::http::{self, Get, NamedBy};
use crate::outside::{Home, Input};

/// How long a tracker may take over HTTP; over UDP the exchange knows.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest reply read: 200 peers take 4 KiB, and no honest tracker sends a hundred times that.
const MAX_REPLY: usize = 1 << 20;

/// Asks one tracker and tells the torrent what came of it.
pub(crate) async fn run(home: Arc<Home>, tracker: TrackerKey, url: String, typed: bool, announce: Announce) {
    let result = ask(&home, &url, typed, &announce).await;
    match &result {
        Ok(reply) => tracing::debug!(url, peers = reply.peers.len(), "announced"),
        Err(error) => tracing::debug!(url, %error, "announce"),
    }
    if home.inbox.send(Input::Announced { tracker, result: Box::new(result) }).await.is_err() {
        tracing::trace!("the torrent ended first");
    }
}

async fn ask(
    home: &Home,
    url: &str,
    typed: bool,
    announce: &Announce,
) -> Result<AnnounceReply, AnnounceError> {
    let leaving = announce.event == Some(AnnounceEvent::Stopped);
    if url.starts_with("udp:") {
        let local = typed || is_plain_announce(url);
        let patience = if leaving { FAREWELL } else { Duration::MAX };
        let answer = tokio::time::timeout(patience, udp::ask(&home.context, url, local, announce)).await;
        return answer.unwrap_or_else(|_| Err(AnnounceError::Unreachable("no reply".into())));
    }
    let patience = if leaving { FAREWELL } else { PATIENCE };
    let named_by = if typed { NamedBy::User } else { NamedBy::Torrent { local: is_plain_announce(url) } };
    ask_web(home, url, named_by, patience, announce).await
}

async fn ask_web(
    home: &Home,
    url: &str,
    named_by: NamedBy,
    patience: Duration,
    announce: &Announce,
) -> Result<AnnounceReply, AnnounceError> {
    let mut full =
        announce_url(url, announce).map_err(|error| AnnounceError::Unreachable(error.to_string()))?;
    full.push_str(home.context.config.encryption.announced());
    let get = Get { url: &full, named_by, max_bytes: MAX_REPLY, patience };
    let answer =
        home.context.http.get_any(get).await.map_err(|error| AnnounceError::Unreachable(in_words(&error)))?;
    // Some trackers say why they refuse under a status of failure.
    let mut reply = match parse_reply(&answer.body) {
        Err(ReplyError::Malformed(_)) if !answer.status.is_success() => {
            return Err(AnnounceError::Unreachable(format!("HTTP status {}", answer.status)));
        }
        parsed => parsed?,
    };
    http::keep_reachable(&mut reply.peers, answer.from, home.context.config.allow_local);
    Ok(reply)
}

/// Whether a tracker's URL is of the one form that may point to a local address without asking (S-24).
pub(crate) fn is_plain_announce(url: &str) -> bool {
    let uri = url.parse::<::http::Uri>();
    uri.is_ok_and(|uri| uri.path() == "/announce" && uri.query().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    // S-20, S-24
    #[test]
    fn only_a_plain_announce_may_be_local() {
        assert!(is_plain_announce("http://127.0.0.1:6969/announce"));
        for url in [
            "http://127.0.0.1/announce?x=1",
            "http://127.0.0.1/announce?",
            "http://[::1]/",
            "http://h/a/announce",
            "x",
        ] {
            assert!(!is_plain_announce(url), "{url}");
        }
    }
}
