//! Errors of commands to the engine, typed by what the user can do about them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use metainfo::InfoHash;

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The listening port cannot be had.
    #[error("cannot listen on {at}")]
    Listen {
        /// Where.
        at: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The folder of resume data cannot be made.
    #[error("{}", path.display())]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why a torrent was not taken up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The torrent has v2 hashes alone; only v1 and hybrid torrents can be transferred.
    #[error("v2-only torrents cannot be transferred")]
    V2Only,
    /// This engine has the torrent.
    #[error("torrent {0} was added before")]
    Duplicate(InfoHash),
    /// The system gives no random numbers.
    #[error("no random numbers from the system")]
    Random(#[source] io::Error),
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
}

/// An error and its causes on one line.
pub(crate) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let deeper = error.to_string();
        if !words.ends_with(&deeper) {
            words = format!("{words}: {deeper}");
        }
        cause = error.source();
    }
    words
}

/// Why a URL gave nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// It is no `http` or `https` URL with a host.
    #[error("not an http or https URL: {0}")]
    Url(String),
    /// The host's name has no address of a family in use.
    #[error("no address for {0}")]
    NoAddress(String),
    /// The name service failed.
    #[error("looking up {host}")]
    Lookup {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The address is private or loopback, and who named it may not point there.
    #[error("{0} is not a public address; --allow-local permits it")]
    NotGlobal(IpAddr),
    /// No address of the host answered.
    #[error("connecting to {at}")]
    Connect {
        /// The last address tried.
        at: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificates to trust cannot be used.
    #[error("certificates to trust")]
    Trust(#[source] io::Error),
    /// The server's certificate proves nothing.
    #[error("the certificate of {host} {why}")]
    Certificate {
        /// The host.
        host: String,
        /// What is wrong with it.
        why: String,
    },
    /// The encrypted connection did not come about.
    #[error("TLS with {host}")]
    Tls {
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The server broke HTTP or hung up.
    #[error("HTTP")]
    Http(#[source] hyper::Error),
    /// The server answered with another status than success.
    #[error("HTTP status {0}")]
    Status(u16),
    /// More redirects than any honest server needs.
    #[error("more than {0} redirects")]
    Redirects(usize),
    /// The answer is longer than allowed.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
}
