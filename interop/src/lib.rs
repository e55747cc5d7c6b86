//! Headwater beside the programs people already run: real processes, real sockets, real files.
//!
//! Run by `cargo xtask interop`, `crowd`, `origin`, `crash` and, for its crowds, `bench`. Nothing here is linked into the product, and nothing is mocked:
//! a program that is missing is named and the run fails.

mod acme;
mod clients;
mod crash;
mod creators;
mod crowd;
mod https;
mod load;
mod local;
mod matrix;
mod origin;
mod publish;
mod tls;
mod watch;
mod world;

use std::error::Error;
use std::path::PathBuf;

pub use load::Load;
pub use world::inside_namespace;

/// What every run needs to know of the machine.
pub struct Setup {
    /// The `headwater` binary under test.
    pub headwater: PathBuf,
    /// A Python interpreter that has the `libtorrent` wheel.
    pub python: PathBuf,
    /// The `fixtures` folder of npm's `webtorrent-fixtures`.
    pub fixtures: PathBuf,
    /// The folder of this crate: its scripts lie there.
    pub scripts: PathBuf,
}

/// What a run may end with: a sentence for a person.
pub type Outcome = Result<(), Box<dyn Error>>;

/// Creators and clients: the hashes other creators give, then every client in both directions over the trackers, then
/// neighbours without a tracker, HTTPS and ACME.
///
/// `words` narrow the matrix down to the cells whose titles have all of them; then the creators are left out.
pub fn interop(setup: &Setup, words: &[&str]) -> Outcome {
    world::require(&["transmission-daemon", "transmission-remote", "aria2c", "opentracker", "mktorrent"])?;
    world::require(&["pebble", "pebble-challtestsrv"])?;
    world::require_path(&setup.python, "a virtual environment with the libtorrent wheel")?;
    world::require_path(&setup.fixtures, "npm's webtorrent-fixtures")?;
    if words.is_empty() {
        creators::run(setup)?;
    }
    matrix::run(setup, words)?;
    local::run(setup, words)?;
    https::run(setup, words)?;
    acme::run(setup, words)
}

/// The publisher's side: page, links, export behind nginx, receipt, clients that hang. `words` narrow it down.
pub fn publish(setup: &Setup, words: &[&str]) -> Outcome {
    world::require(&["transmission-daemon", "transmission-remote", "aria2c", "nginx", "curl", "wget"])?;
    world::require_path(&setup.python, "a virtual environment with the libtorrent wheel")?;
    publish::run(setup, words)
}

/// A crowd of five downloaders behind one slow origin that is killed half way, on `payload` (a file or a folder).
///
/// `None` makes a file of 4 GiB + 1 byte.
pub fn crowd(setup: &Setup, payload: Option<PathBuf>) -> Outcome {
    crowd::run(setup, payload)
}

/// A sizing origin among eight downloaders, beside a plain one; with a file of so many MiB.
pub fn origin(setup: &Setup, mebibytes: u64) -> Outcome {
    world::require(&["aria2c"])?;
    world::require_path(&setup.python, "a virtual environment with the libtorrent wheel")?;
    origin::run(setup, mebibytes)
}

/// `kill -9` in the middle of a download, then the same command again.
pub fn crash(setup: &Setup) -> Outcome {
    crash::run(setup)
}
