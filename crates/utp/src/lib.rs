//! A reliable stream over datagrams that gives way to others (BEP 29, "uTP"; its congestion control is LEDBAT, RFC 6817).
//!
//! Pure: datagrams and orders in, datagrams and data out. It knows no socket, no clock and nothing of BitTorrent: the driver
//! owns a [`Socket`] and the UDP port under it, and routes to it what is neither DHT nor tracker.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]
#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod congestion;
mod connection;
mod opening;
mod packet;
mod path;
mod queue;
mod receiver;
mod round_trip;
mod run;
mod sender;
mod sequence;
mod socket;

pub use connection::End;
pub use packet::{Header, Kind, Malformed, Packet};
pub use run::MAX_SEGMENTS;
pub use sender::MAX_QUEUED;
pub use socket::{Action, Config, ConnectionKey, Event, Socket};
