//! Why we hang up on a peer: the peer's doing, so it may be banned.

/// A peer's breach of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The first bytes are no BitTorrent handshake.
    #[error("not a BitTorrent handshake")]
    NotBitTorrent,
    /// A length prefix beyond what any message needs.
    #[error("a message of {0} bytes")]
    MessageTooLong(u32),
    /// A message whose payload does not fit its kind.
    #[error("message {id} with a payload of {length} bytes")]
    WrongLength {
        /// The message's id.
        id: u8,
        /// Its payload's length.
        length: usize,
    },
    /// An extension message that is no dictionary of the expected kind (BEP 9, 10).
    #[error("malformed extension message: {0}")]
    BadExtension(&'static str),
}
