//! What a torrent task is driven by: the fetch of an info dictionary first, if it is unknown, and then the swarm.
//!
//! Both machines look alike; this is the one `match` between them.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use swarm::{Action, Endpoint, Event, MetadataFetch, Swarm};

use crate::status::{OriginStatus, Status};

/// See the module's head.
#[derive(Debug)]
pub(crate) enum Brain {
    /// A magnet link whose torrent is unknown.
    Fetch(Box<MetadataFetch>),
    /// A torrent.
    Swarm(Box<Swarm>),
}

impl Brain {
    pub(crate) fn handle(&mut self, now: Duration, event: Event) {
        match self {
            Self::Fetch(fetch) => fetch.handle(now, event),
            Self::Swarm(swarm) => swarm.handle(now, event),
        }
    }

    pub(crate) fn next_action(&mut self) -> Option<Action> {
        match self {
            Self::Fetch(fetch) => fetch.next_action(),
            Self::Swarm(swarm) => swarm.next_action(),
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        match self {
            Self::Fetch(fetch) => fetch.next_deadline(),
            Self::Swarm(swarm) => swarm.next_deadline(),
        }
    }

    /// Whether a machine built anew from what is on disk would do the same as this one: nothing until somebody comes.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self, Self::Swarm(swarm) if swarm.is_idle())
    }

    /// The info dictionary, once a fetch has it, and the events that tell a swarm of the connected peers.
    pub(crate) fn take(&mut self) -> Option<(Bytes, Vec<Event>)> {
        match self {
            Self::Fetch(fetch) => fetch.take(),
            Self::Swarm(_) => None,
        }
    }

    /// Fills in what is known of the swarm.
    pub(crate) fn describe(&self, time: Duration, status: &mut Status) {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        match self {
            Self::Fetch(fetch) => {
                let (done, total) = fetch.progress();
                status.metadata = total.map(|total| (done.into(), total.into()));
                status.peers = count(fetch.peers());
            }
            Self::Swarm(swarm) => {
                let now = swarm.status();
                (status.have, status.pieces) = (now.have.count(), now.have.len());
                (status.done, status.total) =
                    (now.wanted_total.saturating_sub(now.wanted_left), now.wanted_total);
                (status.left, status.wasted) = (now.left, now.wasted);
                (status.rate_down, status.rate_up) = (now.rate_down, now.rate_up);
                (status.peers, status.seeds) = (count(now.peers), count(now.seeds));
                (status.web_seeds, status.from_web) = (count(now.web_seeds), now.from_web);
                status.metadata = None;
                status.eta = now.wanted_left.checked_div(now.rate_down).map(Duration::from_secs);
                status.needed_by_others = swarm.needed_by_others();
                status.origin = now.origin.map(|origin| OriginStatus {
                    mode: origin.mode,
                    age: time.saturating_sub(origin.since),
                    reason: origin.reason.to_owned(),
                    copies: origin.copies,
                    downloaders: origin.downloaders,
                    holders: origin.holders,
                    completions: origin.completions,
                    connected: swarm.peers().filter_map(|peer| ip(peer.at)).collect(),
                });
            }
        }
    }
}

fn ip(at: Endpoint) -> Option<IpAddr> {
    match at {
        Endpoint::Tcp(at) => Some(at.ip().to_canonical()),
        _ => None,
    }
}
