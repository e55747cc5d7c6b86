//! One node: its swarm while it is there, its disk, and what is remembered of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use metainfo::{Bitfield, PeerId};
use swarm::{Action, Event, FetchKey, MetadataFetch, Mode, PeerKey, Swarm};

use crate::disk::Disk;
use crate::script::Plan;

/// The machine that drives a node.
pub(crate) enum Brain {
    Fetch(Box<MetadataFetch>),
    Swarm(Box<Swarm>),
}

pub(crate) struct Node {
    pub(crate) plan: Plan,
    pub(crate) name: String,
    /// `None` while the node is away.
    pub(crate) brain: Option<Brain>,
    /// Counts its joins, so that what was meant for an earlier life can be told apart.
    pub(crate) life: u32,
    /// The deadline the world knows of.
    pub(crate) tick: Option<Duration>,
    pub(crate) disk: Disk,
    pub(crate) wanted: Bitfield,
    /// Its ends of connections, opening ones included.
    pub(crate) keys: Vec<PeerKey>,
    /// Fetches from web servers under way.
    pub(crate) fetches: BTreeSet<FetchKey>,
    pub(crate) banned: BTreeSet<IpAddr>,
    pub(crate) cut_until: Duration,
    /// When it may ask the tracker again, and whether that is planned.
    pub(crate) next_announce: Duration,
    pub(crate) announce_planned: bool,
    pub(crate) record: Record,
}

/// What happened to a node.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) joined: Option<Duration>,
    pub(crate) first_block: Option<Duration>,
    pub(crate) last_progress: Option<Duration>,
    /// When it last joined or stored a piece, and the longest time between.
    pub(crate) moved: Duration,
    pub(crate) longest_stall: Duration,
    /// When its disk held all it wants.
    pub(crate) completed: Option<Duration>,
    /// Its swarm said so too, in this life.
    pub(crate) said_complete: bool,
    /// Payload bytes received, sent, received in pieces that were bad or found no room, and stored.
    pub(crate) received: u64,
    /// Those received from web servers.
    pub(crate) from_web: u64,
    pub(crate) sent: u64,
    pub(crate) refused: u64,
    pub(crate) committed: u64,
    /// Bytes received as proofs of what others have.
    pub(crate) proofs: u64,
    /// How much it gave as a sizing origin, since when, and what it had sent by then.
    pub(crate) modes: Vec<(Duration, Mode, u64)>,
    /// How often it left, and lost its unfinished pieces by that.
    pub(crate) lives_lost: u32,
    /// Pieces that did not match.
    pub(crate) rejected: u32,
    /// Which ones.
    pub(crate) spoilt: BTreeSet<u32>,
    /// Rejected pieces that only this node can explain, by culprit.
    pub(crate) evidence: BTreeMap<usize, BTreeSet<u32>>,
    /// Culprits in rejected pieces that others had a hand in, by piece.
    pub(crate) suspects: BTreeMap<u32, BTreeSet<usize>>,
}

impl Node {
    pub(crate) fn new(index: usize, plan: Plan, wanted: Bitfield) -> Self {
        Self {
            name: name(index),
            brain: None,
            life: 0,
            tick: None,
            disk: Disk { have: plan.have.clone(), full: false },
            wanted,
            keys: Vec::new(),
            fetches: BTreeSet::new(),
            banned: BTreeSet::new(),
            cut_until: Duration::ZERO,
            next_announce: Duration::ZERO,
            announce_planned: false,
            record: Record::default(),
            plan,
        }
    }

    pub(crate) fn complete(&self) -> bool {
        !self.disk.have.lacks_any_of(&self.wanted)
    }

    /// It is honest, meant to be there at the end, and is not done.
    pub(crate) fn unfinished(&self) -> bool {
        self.plan.honest() && self.plan.stays() && !self.complete()
    }
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

    /// What a finished metadata fetch leaves.
    pub(crate) fn take_metadata(&mut self) -> Option<(Bytes, Vec<Event>)> {
        match self {
            Self::Fetch(fetch) => fetch.take(),
            Self::Swarm(_) => None,
        }
    }
}

/// A, B, … Z, AA, AB, …
fn name(index: usize) -> String {
    let letter = |n: usize| char::from(b'A' + u8::try_from(n % 26).unwrap_or_default());
    let first = (index >= 26).then(|| letter(index / 26 - 1));
    first.into_iter().chain([letter(index)]).collect()
}

/// Every node has an address of its own, in a range that is neither private nor anybody's.
pub(crate) fn address(index: usize) -> SocketAddr {
    let host = u8::try_from(index + 1).expect("fewer than 255 nodes");
    SocketAddr::new(Ipv4Addr::new(11, 0, 0, host).into(), PORT)
}

/// The node that has this address.
pub(crate) fn at_address(ip: IpAddr) -> Option<usize> {
    match ip {
        IpAddr::V4(ip) => (usize::from(ip.octets()[3])).checked_sub(1),
        IpAddr::V6(_) => None,
    }
}

pub(crate) const PORT: u16 = 6881;

/// A node's name in one of its lives.
pub(crate) fn peer_id(index: usize, life: u32) -> PeerId {
    let mut id = *b"-HW0100-simulated---";
    id[18] = u8::try_from(index).unwrap_or_default();
    id[19] = u8::try_from(life % 256).unwrap_or_default();
    PeerId(id)
}
