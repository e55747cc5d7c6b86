//! What a swarm wants done: the only way out. The driver performs and decides nothing.

use bytes::Bytes;
use metainfo::{BlockRef, PieceIndex};
use wire::{Fault, Message};

use crate::event::{Endpoint, FetchKey, PeerKey, WebSeedKey};
use crate::origin::Mode;

/// Why the swarm ends a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HangUp {
    /// The peer broke the protocol.
    Fault(Fault),
    /// The peer broke a rule that needs the torrent to be known: said in words for the log.
    Breach(&'static str),
    /// The peer sent blocks that did not hash right, and is banned.
    Poison,
    /// We are that peer.
    Ourselves,
    /// We are connected to that peer already.
    Duplicate,
    /// Both sides have everything.
    Useless,
    /// Nothing was heard of it for too long.
    Silent,
    /// There are better peers for the place.
    Crowded,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Connect and shake hands; ends in `Event::Connected` or `Event::DialFailed`.
    Dial(Endpoint),
    /// Send a message; many for one peer are sent together.
    Say {
        /// To whom.
        peer: PeerKey,
        /// What.
        message: Message,
    },
    /// Read a block and send it; ends in `Event::Served`.
    Serve {
        /// To whom.
        peer: PeerKey,
        /// Which.
        block: BlockRef,
    },
    /// Forget a `Serve` that has not been read yet. If it was in time no `Event::Served` follows for it.
    Unserve {
        /// To whom.
        peer: PeerKey,
        /// Which; `None`: all of this peer's.
        block: Option<BlockRef>,
    },
    /// Verify and write a piece; ends in `Committed`, `Rejected` or `WriteFailed`.
    Commit {
        /// Which.
        piece: PieceIndex,
        /// Its bytes, all blocks in order.
        blocks: Vec<Bytes>,
        /// Whether `Committed` should carry digests of the blocks.
        digests: bool,
    },
    /// Compare a block that a peer gave as a proof with our own copy; ends in `Event::Compared`, or `Event::Lost` if ours is bad.
    Compare {
        /// Who gave it.
        peer: PeerKey,
        /// Which.
        block: BlockRef,
        /// What it gave: as many bytes as the block has.
        data: Bytes,
    },
    /// A sizing origin gives more or less from here on; for the log.
    Resized {
        /// How much.
        mode: Mode,
        /// Why.
        reason: String,
    },
    /// End a connection; `Event::Gone` follows.
    HangUp {
        /// Which.
        peer: PeerKey,
        /// Why.
        why: HangUp,
    },
    /// Refuse this address from here on, for all torrents.
    Ban(std::net::IpAddr),
    /// Fetch blocks from a web seed; each ends in `Event::Fetched`, in order, or all that are left in one `FetchFailed`.
    Fetch {
        /// From which.
        seed: WebSeedKey,
        /// What the fetch is called.
        fetch: FetchKey,
        /// The blocks: a run that follows one another but for blocks of padding alone, which are left out.
        blocks: Vec<BlockRef>,
    },
    /// Forget a fetch; events of it that are on their way are ignored.
    Unfetch(FetchKey),
    /// A web seed sent data that did not hash right. It is asked nothing more.
    BanWebSeed(WebSeedKey),
    /// Every wanted piece is here. Said once each time it becomes true after having been false.
    Complete,
    /// More addresses would help: ask the trackers when they allow it.
    WantPeers,
}
