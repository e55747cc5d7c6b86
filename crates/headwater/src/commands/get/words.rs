//! How a transfer stands, in words.

use std::net::SocketAddr;
use std::time::Duration;

use engine::{Status, TrackerStatus};

use crate::failure::{Exit, Failure};
use crate::net::distrust_hint;
use crate::units::{duration, part, plural, rate, size};

/// A download: `2.54/4.10 GiB  ↓ 88.1 MiB/s ↑ 12.0 MiB/s  peers 31 (9 seeds)  eta 18s`.
pub(super) fn rates(status: &Status) -> String {
    let (part, down, up) = (part(status.done, status.total), rate(status.rate_down), rate(status.rate_up));
    let mut words = format!("{part}  ↓ {down} ↑ {up}  {}", peers(status));
    if let Some(eta) = status.eta.filter(|_| status.done < status.total) {
        let seconds = eta.as_secs();
        let eta = if seconds < 60 { format!("{seconds}s") } else { duration(eta) };
        words += "  eta ";
        words += &eta;
    }
    words
}

/// One that only uploads: `↑ 12.0 MiB/s  peers 31 (9 seeds)  sent 4.10 GiB`.
pub(in crate::commands) fn uploads(status: &Status) -> String {
    format!("↑ {}  {}  sent {}", rate(status.rate_up), peers(status), size(status.uploaded))
}

fn peers(status: &Status) -> String {
    let seeds = if status.seeds == 1 { "1 seed".to_owned() } else { format!("{} seeds", status.seeds) };
    let web = match status.web_seeds {
        0 => String::new(),
        count => format!(" + {}", plural(count.into(), "web seed")),
    };
    format!("peers {} ({seeds}){web}", status.peers)
}

fn connected(status: &Status) -> String {
    plural(status.peers.into(), "peer")
}

/// What a magnet link waits for.
pub(super) fn waiting(status: &Status) -> String {
    match status.metadata {
        Some((done, total)) => {
            format!("fetching the file list, {} from {}", part(done, total), connected(status))
        }
        None if status.peers > 0 => format!("asking {} for the file list", connected(status)),
        None => "looking for peers".to_owned(),
    }
}

/// A time that the user set is over.
pub(super) fn gave_up(what: &str, status: &Status, flag: &str) -> Failure {
    let failure = Failure::new(Exit::Unfinished, what).cause(if status.peers > 0 {
        format!("{} connected", connected(status))
    } else {
        tried(&status.trackers)
    });
    let failure = with_web_seeds(failure, status);
    failure.hint(format!("what arrived is kept: run the same line again to go on, or with a longer {flag}"))
}

/// Nobody answered at all, of the trackers or of the `given` peers.
pub(super) fn nobody(status: &Status, given: &[SocketAddr], waited: Duration) -> Failure {
    let what = format!("no peer answered for {} within {}", status.name, duration(waited));
    let failure = with_web_seeds(Failure::new(Exit::Network, what).cause(tried(&status.trackers)), status);
    if let Some(hint) = certificate_hint(status) {
        return failure.hint(hint);
    }
    if given.is_empty() {
        return failure.hint("give a peer you know: --peer HOST:PORT; or wait longer: --timeout 10m");
    }
    let given: Vec<String> = given.iter().map(ToString::to_string).collect();
    failure
        .cause(format!("{} tried: {}", plural(given.len() as u64, "peer"), given.join(", ")))
        .hint("is it running there, and does it have this torrent? To wait longer: --timeout 10m")
}

/// Only web seeds were named, and none of them can be used.
pub(super) fn nothing_left(status: &Status) -> Failure {
    let what = format!("nobody is left to fetch {} from", status.name);
    let failure = with_web_seeds(Failure::new(Exit::Network, what).cause(tried(&status.trackers)), status);
    failure.hint(
        certificate_hint(status)
            .unwrap_or("name a server that has the files: -w URL; or a peer: --peer HOST:PORT"),
    )
}

/// Names the web seeds as causes, if there are any.
fn with_web_seeds(failure: Failure, status: &Status) -> Failure {
    let each = status.web.iter().map(|web| {
        let outcome = web.message.as_deref().unwrap_or("no reply");
        format!("{} ({outcome})", web.url)
    });
    match status.web.len() as u64 {
        0 => failure,
        count => failure.cause(format!(
            "{} tried: {}",
            plural(count, "web seed"),
            each.collect::<Vec<_>>().join(", ")
        )),
    }
}

/// What to do if a server was refused because of its certificate.
fn certificate_hint(status: &Status) -> Option<&'static str> {
    let said = status
        .trackers
        .iter()
        .map(|tracker| &tracker.message)
        .chain(status.web.iter().map(|web| &web.message));
    said.flatten().find(|words| words.contains("the certificate of ")).map(|words| distrust_hint(words))
}

/// `2 trackers tried: tracker.example.org (connection refused), udp://t2.example.net:6969 (no reply)`.
fn tried(trackers: &[TrackerStatus]) -> String {
    let each = trackers.iter().map(|tracker| {
        let (scheme, rest) = tracker.url.split_once("://").unwrap_or(("", &tracker.url));
        let host = rest.split('/').next().unwrap_or_default();
        let udp = if scheme == "udp" { "udp://" } else { "" };
        let outcome = tracker.message.clone().unwrap_or_else(|| {
            if tracker.working { "knows no peer".to_owned() } else { "no reply".to_owned() }
        });
        format!("{udp}{host} ({outcome})")
    });
    match trackers.len() {
        0 => "the torrent names no tracker".to_owned(),
        1 => format!("1 tracker tried: {}", each.collect::<String>()),
        count => format!("{count} trackers tried: {}", each.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tracker_is_named_with_what_came_of_it() {
        let tracker = |url: &str, message: Option<&str>| TrackerStatus {
            url: url.into(),
            message: message.map(Into::into),
            ..TrackerStatus::default()
        };
        let trackers = [
            tracker("https://tracker.example.org/announce", Some("connection refused")),
            tracker("udp://t2.example.net:6969/announce", Some("no reply")),
        ];
        assert_eq!(
            tried(&trackers),
            "2 trackers tried: tracker.example.org (connection refused), udp://t2.example.net:6969 (no reply)"
        );
    }
}
