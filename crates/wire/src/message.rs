//! The messages of a connection, typed (BEP 3, 6, 9, 10).
//!
//! Plain values: `Decoder` makes them, `Encoder` writes them. Their numbers are still a stranger's: `swarm` turns
//! them into blocks and pieces, or into a fault.

use std::net::SocketAddr;

use bytes::Bytes;

/// The fields of `request`, `cancel` and `reject request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    /// The piece.
    pub index: u32,
    /// First byte within the piece.
    pub begin: u32,
    /// Bytes.
    pub length: u32,
}

/// One message of the peer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// An empty message: the line is alive.
    KeepAlive,
    /// No requests will be answered from here on.
    Choke,
    /// Requests will be answered.
    Unchoke,
    /// The sender wants pieces of ours.
    Interested,
    /// The sender wants nothing.
    NotInterested,
    /// The sender has one more piece.
    Have(u32),
    /// The pieces the sender has, in wire order.
    Bitfield(Bytes),
    /// A block is asked for.
    Request(Request),
    /// A block.
    Piece {
        /// The piece.
        index: u32,
        /// First byte within the piece.
        begin: u32,
        /// The bytes: a slice of the read buffer, not a copy.
        data: Bytes,
    },
    /// A request is taken back.
    Cancel(Request),
    /// The UDP port of the sender's DHT node (BEP 5).
    Port(u16),
    /// A hint to ask for this piece (BEP 6).
    SuggestPiece(u32),
    /// All pieces, instead of a bitfield (BEP 6).
    HaveAll,
    /// No piece, instead of a bitfield (BEP 6).
    HaveNone,
    /// A request will not be answered (BEP 6).
    RejectRequest(Request),
    /// This piece may be asked for even while choked (BEP 6).
    AllowedFast(u32),
    /// The extension handshake (BEP 10).
    ExtensionHandshake(Box<ExtensionHandshake>),
    /// A message of the metadata exchange (BEP 9).
    Metadata(MetadataMessage),
    /// Whom the sender is connected to (BEP 11).
    PeerExchange(Box<PeerExchange>),
    /// An extension message, or a whole message id, that we do not know: counted, not read.
    Unknown {
        /// The message id.
        id: u8,
        /// The payload's length.
        length: usize,
    },
}

/// What a peer says of itself in the extension handshake (BEP 10, 21), values already clamped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionHandshake {
    /// The id under which the sender wants `ut_metadata` messages; 0 or absent: not spoken (BEP 9).
    pub ut_metadata: Option<u8>,
    /// The same for `ut_pex` messages (BEP 11).
    pub ut_pex: Option<u8>,
    /// Length of the info dictionary in bytes, if the sender has it (BEP 9).
    pub metadata_size: Option<u32>,
    /// The sender's program and version, at most 64 characters.
    pub client: Option<String>,
    /// The sender's listening port.
    pub port: Option<u16>,
    /// How many requests the sender queues.
    pub request_queue: Option<u32>,
    /// The sender only uploads: a seed or partial seed (BEP 21).
    pub upload_only: bool,
    /// The address under which the sender sees us: 4 or 16 bytes.
    pub your_ip: Option<std::net::IpAddr>,
}

/// The metadata exchange (BEP 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMessage {
    /// A 16 KiB piece of the info dictionary is asked for.
    Request(u32),
    /// A piece of the info dictionary.
    Data {
        /// Its number.
        piece: u32,
        /// Length of the whole dictionary as the sender sees it.
        total_size: u32,
        /// The bytes.
        data: Bytes,
    },
    /// The piece will not be sent.
    Reject(u32),
}

/// Whom the sender is connected to, since its last such message (BEP 11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerExchange {
    /// Where new ones can be dialled, and flags for each.
    pub added: Vec<(SocketAddr, u8)>,
    /// Those that are gone.
    pub dropped: Vec<SocketAddr>,
}

impl PeerExchange {
    /// The flag of a peer that only uploads.
    pub const SEED: u8 = 0x02;
}

/// The ids of the messages.
pub(crate) mod id {
    pub(crate) const CHOKE: u8 = 0;
    pub(crate) const UNCHOKE: u8 = 1;
    pub(crate) const INTERESTED: u8 = 2;
    pub(crate) const NOT_INTERESTED: u8 = 3;
    pub(crate) const HAVE: u8 = 4;
    pub(crate) const BITFIELD: u8 = 5;
    pub(crate) const REQUEST: u8 = 6;
    pub(crate) const PIECE: u8 = 7;
    pub(crate) const CANCEL: u8 = 8;
    pub(crate) const PORT: u8 = 9;
    pub(crate) const SUGGEST_PIECE: u8 = 13;
    pub(crate) const HAVE_ALL: u8 = 14;
    pub(crate) const HAVE_NONE: u8 = 15;
    pub(crate) const REJECT_REQUEST: u8 = 16;
    pub(crate) const ALLOWED_FAST: u8 = 17;
    pub(crate) const EXTENDED: u8 = 20;
}
