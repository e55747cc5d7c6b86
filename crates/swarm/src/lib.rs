//! One torrent's brain: what to ask of whom, whom to serve, whom to ban (BEP 3, 6, 9, 10, 21).
//!
//! Pure, like all protocol crates: events in, actions out, time and randomness as arguments. Owned by one torrent task.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod action;
mod blame;
mod candidates;
mod check;
mod choker;
mod config;
mod dictionary;
mod event;
mod fetch;
mod meet;
mod metadata;
mod open_piece;
mod origin;
mod peers;
mod pex;
mod picker;
mod pieces;
mod rate;
mod remembered;
mod requests;
mod said;
mod serve;
mod status;
mod swarm;
mod tend;
mod verdict;
mod web_seeds;
mod wish;

pub use action::{Action, HangUp};
pub use config::{Config, Setup};
pub use event::{Digest, Endpoint, Event, FetchKey, FetchTrouble, PeerKey, Priority, Source, WebSeedKey};
pub use metadata::MetadataFetch;
pub use origin::{Completions, Mode, OriginStatus, Sizing};
pub use status::{PeerStatus, Status, WebSeedStatus};
pub use swarm::Swarm;
pub use web_seeds::MAX_WEB_SEEDS;

#[cfg(test)]
mod tests;
