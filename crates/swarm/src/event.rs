//! What happens to a swarm: the only way in.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use metainfo::{BlockRef, FileIndex, PeerId, PieceIndex};
use wire::{Message, Reserved};

/// A connection, named by the driver, who counts from below; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u64);

/// A web seed of the torrent, by its place in the driver's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebSeedKey(pub u32);

/// A fetch from a web seed, named by the swarm; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchKey(pub u64);

/// Why a fetch did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchTrouble {
    /// The server wants to be asked again after this time.
    Later(std::time::Duration),
    /// It failed in a way that may pass.
    Broken,
    /// The server does not have the torrent, or may not be asked.
    Gone,
}

/// Where a peer is, and how it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A TCP address.
    Tcp(SocketAddr),
}

/// Who told us of an address; the most trusted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The user (`--peer`, a magnet's `x.pe`).
    User,
    /// A tracker.
    Tracker,
    /// Local service discovery (BEP 14).
    Lsd,
    /// Another peer (BEP 11).
    Pex,
    /// It connected to us.
    Incoming,
    /// The resume data of an earlier run.
    Resume,
}

/// How much the user wants a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Not at all: no piece is fetched for its sake.
    Skip,
    /// After all others.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// SHA-1 of one block as it was received: evidence of who sent bad data.
pub type Digest = [u8; 20];

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A connection is through its handshake.
    Connected {
        /// Its name from here on.
        peer: PeerKey,
        /// Where it is (its listening port is unknown if it is incoming).
        at: Endpoint,
        /// It dialled us.
        incoming: bool,
        /// The peer's own name.
        id: PeerId,
        /// The extensions it speaks.
        reserved: Reserved,
    },
    /// A dial asked for by `Action::Dial` came to nothing.
    DialFailed {
        /// The address dialled.
        at: Endpoint,
    },
    /// A peer said something, blocks included.
    Said {
        /// Who.
        peer: PeerKey,
        /// What.
        message: Message,
    },
    /// A block asked for by `Action::Serve` left for the socket, or was dropped because it could not be read.
    Served {
        /// To whom.
        peer: PeerKey,
        /// Which.
        block: BlockRef,
        /// Payload bytes sent; 0 if it was dropped.
        bytes: u32,
    },
    /// A connection ended, whoever ended it; also the answer to `Action::HangUp`.
    Gone {
        /// Which.
        peer: PeerKey,
    },
    /// A piece was verified and written.
    Committed {
        /// Which.
        piece: PieceIndex,
        /// Digests of its blocks in order, if `Action::Commit` asked for them.
        digests: Option<Vec<Digest>>,
    },
    /// A piece did not match its hash; nothing was written.
    Rejected {
        /// Which.
        piece: PieceIndex,
        /// Digests of its blocks in order.
        digests: Vec<Digest>,
    },
    /// A piece could not be written; its blocks are lost. The swarm asks for nothing until `Resume`.
    WriteFailed {
        /// Which.
        piece: PieceIndex,
    },
    /// A piece we had turned out to be missing or damaged on disk.
    Lost {
        /// Which.
        piece: PieceIndex,
    },
    /// The next block of a fetch came, without the padding at its end.
    Fetched {
        /// Of which.
        fetch: FetchKey,
        /// Its bytes.
        data: Bytes,
    },
    /// A fetch ended before its last block came.
    FetchFailed {
        /// Which.
        fetch: FetchKey,
        /// Why.
        why: FetchTrouble,
    },
    /// A peer's proof was compared with our own copy.
    Compared {
        /// Whose.
        peer: PeerKey,
        /// Which block.
        block: BlockRef,
        /// Whether all bytes are the same. Said only if our own copy is right.
        equal: bool,
    },
    /// A peer told a tracker of ours that it begins to fetch.
    Announced {
        /// Which.
        id: PeerId,
        /// Where it is.
        ip: IpAddr,
        /// How many bytes it says that it lacks.
        left: u64,
    },
    /// Addresses of peers.
    Found {
        /// Where.
        at: Vec<Endpoint>,
        /// Who says so.
        by: Source,
    },
    /// The deadline passed.
    Tick,
    /// Ask for nothing and serve nothing; connections stay.
    Pause,
    /// Go on after `Pause` or `WriteFailed`.
    Resume,
    /// The user's wish for one file.
    SetPriority {
        /// The file.
        file: FileIndex,
        /// How much it is wanted.
        priority: Priority,
    },
    /// Fetch pieces in order, or rarest first again.
    SetSequential(bool),
    /// The info dictionary became known elsewhere, for serving it (BEP 9).
    Metadata(Bytes),
}
