//! What is known of each connected peer.
//!
//! Owned by `Swarm`, one `Peer` a connection. It holds state; what is done about it is decided elsewhere.

use std::collections::VecDeque;
use std::time::Duration;

use metainfo::{Bitfield, BlockRef, PeerId};

use crate::blame::Person;
use crate::event::{Endpoint, PeerKey};
use crate::pex::Exchange;
use crate::rate::Meter;
use crate::requests::Requests;

/// The pieces a peer has.
#[derive(Clone, Debug)]
pub(crate) enum Has {
    /// Every one: a seed, for which no bits are kept.
    All,
    /// These.
    Some(Bitfield),
}

impl Has {
    pub(crate) fn get(&self, piece: u32) -> bool {
        match self {
            Has::All => true,
            Has::Some(pieces) => pieces.get(piece),
        }
    }
}

/// A connected peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) at: Endpoint,
    /// Where it can be dialled, if that is known.
    pub(crate) home: Option<Endpoint>,
    pub(crate) incoming: bool,
    pub(crate) id: PeerId,
    pub(crate) fast: bool,
    pub(crate) extended: bool,
    pub(crate) since: Duration,

    pub(crate) has: Has,
    /// When it last sent its pieces as a whole.
    pub(crate) bitfield_at: Option<Duration>,
    /// The same, sent again too soon: it is looked at a little later.
    pub(crate) unheard: Option<Bitfield>,
    /// How many of its pieces we want and do not have.
    pub(crate) offers: u32,
    pub(crate) upload_only: bool,
    pub(crate) client: Option<String>,
    pub(crate) exchange: Exchange,

    pub(crate) choking_us: bool,
    /// We have said that we are interested.
    pub(crate) interesting: bool,
    /// We choke it, and since when that is so or not so.
    pub(crate) choked: bool,
    pub(crate) choked_since: Duration,
    pub(crate) interested: bool,

    pub(crate) requests: Requests,
    /// The open piece it is working on.
    pub(crate) current: Option<u32>,
    /// It took part in a bad piece and gets pieces alone until one is good.
    pub(crate) parole: bool,
    /// Nothing was found for it: it is not looked at again until something changes.
    pub(crate) idle: bool,
    /// The picker's version at which no piece could be begun with it.
    pub(crate) fruitless: u64,
    /// No request is made before this time.
    pub(crate) rest_until: Duration,
    /// Pieces it suggests (BEP 6).
    pub(crate) suggested: VecDeque<u32>,
    /// Pieces we may ask for while choked, and those it may ask for (BEP 6).
    pub(crate) allowed: Vec<u32>,
    pub(crate) granted: Vec<u32>,

    /// Blocks it asked for that have not left.
    pub(crate) queue: VecDeque<BlockRef>,
    pub(crate) bad_requests: u32,
    /// Payload bytes that it sent without being asked.
    pub(crate) unasked: u64,
    pub(crate) down: Meter,
    pub(crate) up: Meter,
    /// When it last said something, and when we did.
    pub(crate) heard: Duration,
    pub(crate) said: Duration,
    /// Metadata bytes sent in the second that began then.
    pub(crate) metadata_sent: (Duration, usize),
}

impl Peer {
    pub(crate) fn new(now: Duration, at: Endpoint, incoming: bool, id: PeerId, pieces: u32) -> Self {
        Self {
            at,
            home: (!incoming).then_some(at),
            incoming,
            id,
            fast: false,
            extended: false,
            since: now,
            has: Has::Some(Bitfield::none(pieces)),
            bitfield_at: None,
            unheard: None,
            offers: 0,
            upload_only: false,
            client: None,
            exchange: Exchange::default(),
            choking_us: true,
            interesting: false,
            choked: true,
            choked_since: now,
            interested: false,
            requests: Requests::default(),
            current: None,
            parole: false,
            idle: false,
            fruitless: 0,
            rest_until: Duration::ZERO,
            suggested: VecDeque::new(),
            allowed: Vec::new(),
            granted: Vec::new(),
            queue: VecDeque::new(),
            bad_requests: 0,
            unasked: 0,
            down: Meter::default(),
            up: Meter::default(),
            heard: now,
            said: now,
            metadata_sent: (now, 0),
        }
    }

    /// Whether it may be asked for blocks of this piece.
    pub(crate) fn can_give(&self, piece: u32) -> bool {
        self.has.get(piece) && (!self.choking_us || self.allowed.contains(&piece))
    }

    pub(crate) fn is_seed(&self) -> bool {
        matches!(self.has, Has::All)
    }

    /// Whether it wants or waits for a block of ours.
    pub(crate) fn is_curious(&self) -> bool {
        self.interested || !self.queue.is_empty()
    }

    /// Whom a ban of this peer is for.
    pub(crate) fn person(&self) -> Person {
        Person::new(self.ip(), self.id)
    }

    pub(crate) fn ip(&self) -> std::net::IpAddr {
        ip(self.at)
    }
}

/// The address of an endpoint.
pub(crate) fn ip(at: Endpoint) -> std::net::IpAddr {
    let Endpoint::Tcp(addr) = at;
    addr.ip()
}

/// All connected peers.
pub(crate) type Peers = std::collections::BTreeMap<PeerKey, Peer>;
