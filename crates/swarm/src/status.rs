//! What people see of a swarm.
//!
//! Computed when asked for; nothing is kept for it but what the parts need anyway.

use metainfo::{Bitfield, PeerId};

use crate::event::{Endpoint, PeerKey, WebSeedKey};
use crate::origin::OriginStatus;
use crate::peers::Has;
use crate::swarm::{Run, Swarm};
use crate::tend::COURTESY;

/// A swarm at a glance.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a> {
    /// The pieces that are verified and written.
    pub have: &'a Bitfield,
    /// Bytes of the user's files, padding not counted.
    pub total: u64,
    /// Bytes of the user's files that are missing, wanted or not.
    pub left: u64,
    /// Bytes of the pieces that hold something wanted.
    pub wanted_total: u64,
    /// Bytes of wanted pieces that are missing.
    pub wanted_left: u64,
    /// Payload bytes received, useful or not.
    pub downloaded: u64,
    /// Payload bytes sent.
    pub uploaded: u64,
    /// Payload bytes received and thrown away.
    pub wasted: u64,
    /// Payload bytes received a second, over the last few seconds.
    pub rate_down: u64,
    /// Payload bytes sent a second, over the last few seconds.
    pub rate_up: u64,
    /// Connected peers.
    pub peers: usize,
    /// Connected peers that have every piece.
    pub seeds: usize,
    /// Dials under way.
    pub connecting: usize,
    /// Addresses known.
    pub candidates: usize,
    /// Web seeds that are being fetched from.
    pub web_seeds: usize,
    /// Payload bytes received from web seeds; a part of `downloaded`.
    pub from_web: u64,
    /// Every wanted piece is here.
    pub complete: bool,
    /// The user paused it.
    pub paused: bool,
    /// A write failed, and nothing is asked for until `Event::Resume`.
    pub halted: bool,
    /// How much a sizing origin gives, and why.
    pub origin: Option<OriginStatus<'a>>,
}

/// One connected peer, for display.
#[derive(Clone, Debug)]
pub struct PeerStatus<'a> {
    /// Its name.
    pub peer: PeerKey,
    /// Where it is.
    pub at: Endpoint,
    /// Its own name.
    pub id: PeerId,
    /// Its program, as it says.
    pub client: Option<&'a str>,
    /// It dialled us.
    pub incoming: bool,
    /// Pieces it has.
    pub pieces: u32,
    /// Payload bytes received of it.
    pub downloaded: u64,
    /// Payload bytes sent to it.
    pub uploaded: u64,
    /// Payload bytes received of it a second.
    pub rate_down: u64,
    /// Payload bytes sent to it a second.
    pub rate_up: u64,
    /// It does not answer our requests.
    pub choking_us: bool,
    /// We do not answer its requests.
    pub choked: bool,
    /// We want pieces of it.
    pub interesting: bool,
    /// It wants pieces of ours.
    pub interested: bool,
    /// It owes blocks and sends nothing.
    pub snubbing: bool,
    /// Blocks asked of it and not yet here.
    pub requests: usize,
    /// Blocks it asked for and that are not yet sent.
    pub queued: usize,
}

/// One web seed, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSeedStatus {
    /// Which.
    pub seed: WebSeedKey,
    /// Fetches under way.
    pub fetches: usize,
    /// Payload bytes received of it.
    pub downloaded: u64,
    /// Fetches that failed since the last good one.
    pub failures: u32,
    /// It is asked nothing more.
    pub out: bool,
}

impl Swarm {
    /// Whether more pieces are on their way.
    pub fn is_fetching(&self) -> bool {
        self.pieces.open_pieces().next().is_some()
    }

    /// The swarm at a glance.
    pub fn status(&self) -> Status<'_> {
        Status {
            have: self.pieces.have(),
            total: self.layout.content_length(),
            left: self.pieces.left(),
            wanted_total: self.wanted.total,
            wanted_left: self.wanted.left,
            downloaded: self.down.total(),
            uploaded: self.up.total(),
            wasted: self.wasted,
            rate_down: self.down.rate(self.now),
            rate_up: self.up.rate(self.now),
            peers: self.peers.len(),
            seeds: self.picker.seeds(),
            connecting: self.candidates.dialing(),
            candidates: self.candidates.len(),
            web_seeds: self.web.busy(),
            from_web: self.web.down.total(),
            complete: self.is_complete(),
            paused: self.run == Run::Paused,
            halted: self.run == Run::Halted,
            origin: self.origin_status(),
        }
    }

    /// The connected peers, for display.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus<'_>> {
        self.peers.iter().map(|(&key, peer)| PeerStatus {
            peer: key,
            at: peer.at,
            id: peer.id,
            client: peer.client.as_deref(),
            incoming: peer.incoming,
            pieces: match &peer.has {
                Has::All => self.layout.piece_count(),
                Has::Some(pieces) => pieces.count(),
            },
            downloaded: peer.down.total(),
            uploaded: peer.up.total(),
            rate_down: peer.down.rate(self.now),
            rate_up: peer.up.rate(self.now),
            choking_us: peer.choking_us,
            choked: peer.choked,
            interesting: peer.interesting,
            interested: peer.interested,
            snubbing: peer.requests.is_snubbing(),
            requests: peer.requests.len(),
            queued: peer.queue.len(),
        })
    }

    /// The web seeds, for display.
    pub fn web_seeds(&self) -> impl Iterator<Item = WebSeedStatus> + '_ {
        self.web.status()
    }

    /// How many connected peers have the piece that fewest of them have. We are not counted.
    pub fn rarest_copies(&self) -> usize {
        self.picker.rarest()
    }

    /// Whether we have just become complete and a peer that gave us something still wants to see a block of ours.
    fn is_being_checked(&self) -> bool {
        let fresh = self.completed_at.is_some_and(|at| self.now.saturating_sub(at) < COURTESY);
        fresh && self.peers.values().any(|peer| peer.is_curious() && peer.down.total() > 0)
    }

    /// Whether a connected peer that wants more lacks a piece that we have and no other connected peer has, or one that fed us
    /// wants to see that we are complete.
    pub fn needed_by_others(&self) -> bool {
        // Who wants nothing of us lacks nothing, whatever it shows: a sizing origin shows few of its pieces.
        let anyone = self.peers.values().any(|peer| peer.interested);
        if self.is_being_checked() {
            return true;
        }
        anyone && self.picker.any_without_copies(self.pieces.have())
    }
}
