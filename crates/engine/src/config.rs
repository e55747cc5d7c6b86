//! What the user may set: one engine's [`Config`], and one torrent's [`Add`].
//!
//! Plain values. Flags, files and defaults that depend on the machine are the command line's business.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use metainfo::{Info, Magnet, Metainfo};
use storage::Allocate;
use swarm::{Priority, Sizing};

/// How an engine behaves, for all its torrents.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to accept peers.
    pub listen: Listen,
    /// The folder of resume data.
    pub state_dir: PathBuf,
    /// Bytes a second to receive at most, all torrents together; `None`: no limit.
    pub download_limit: Option<u64>,
    /// Bytes a second to send at most, all torrents together; `None`: no limit.
    pub upload_limit: Option<u64>,
    /// Connections at most, all torrents together.
    pub max_peers: usize,
    /// Trackers, redirects and peers on private and loopback addresses are taken from strangers too.
    pub allow_local: bool,
    /// Trust the certificates in this PEM file, besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The address families to use.
    pub families: Families,
    /// Whether connections to peers are encrypted.
    pub encryption: Encryption,
    /// Reach peers by TCP, and let them reach us by it.
    pub tcp: bool,
    /// The same for uTP (BEP 29), which is tried when TCP leads nowhere.
    pub utp: bool,
    /// Look for peers in the local network (BEP 14); never with a loopback address to listen on.
    pub lsd: bool,
    /// Peers are told of each other (BEP 11), except in private torrents.
    pub pex: bool,
    /// Program and version, as told to peers and trackers (`Headwater 0.1.0`).
    pub client: String,
    /// Unverified blocks and blocks on their way out may take this many bytes of memory, all torrents together.
    pub memory: u64,
}

impl Config {
    /// The defaults, with resume data in `state_dir`.
    pub fn new(state_dir: PathBuf) -> Self {
        Self {
            listen: Listen::default(),
            state_dir,
            download_limit: None,
            upload_limit: None,
            max_peers: 500,
            allow_local: false,
            ca_file: None,
            families: Families::Both,
            encryption: Encryption::default(),
            tcp: true,
            utp: true,
            lsd: true,
            pex: true,
            client: concat!("Headwater ", env!("CARGO_PKG_VERSION")).into(),
            memory: 64 << 20,
        }
    }
}

/// Where to accept peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// The one address to listen on; `None`: all, of both families.
    pub ip: Option<IpAddr>,
    /// The port; `None`: the first free one of 6881 to 6889, else any; 0: any.
    pub port: Option<u16>,
}

/// Whether connections to peers are encrypted (Message Stream Encryption). It hides what is spoken, not who speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Never.
    Off,
    /// If the other side wants it; peers are dialled in the clear first.
    #[default]
    Allow,
    /// Peers are dialled encrypted first. What follows the opening goes in the clear where both sides take that: it costs less.
    Prefer,
    /// Always, all bytes.
    Require,
}

impl Encryption {
    /// Whether bytes may go in the clear.
    pub(crate) fn takes_clear(self) -> bool {
        self != Self::Require
    }

    /// How to dial a peer, one after the other as long as it hangs up: encrypted, or not.
    pub(crate) fn ways(self) -> &'static [bool] {
        match self {
            Self::Off => &[false],
            Self::Allow => &[false, true],
            Self::Prefer => &[true, false],
            Self::Require => &[true],
        }
    }

    /// What is added to an announce, so that trackers can tell peers of like mind.
    pub(crate) fn announced(self) -> &'static str {
        match self {
            Self::Off => "",
            Self::Allow | Self::Prefer => "&supportcrypto=1",
            Self::Require => "&supportcrypto=1&requirecrypto=1",
        }
    }
}

/// The address families to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// IPv4 and IPv6.
    #[default]
    Both,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Families {
    /// Whether an address is of a family in use; an IPv4 address in IPv6 clothes counts as IPv4.
    pub fn allow(self, ip: IpAddr) -> bool {
        match self {
            Self::Both => true,
            Self::V4 => ip.to_canonical().is_ipv4(),
            Self::V6 => ip.to_canonical().is_ipv6(),
        }
    }
}

/// What to take up.
#[derive(Clone, Debug)]
pub enum What {
    /// A torrent whose metainfo is at hand.
    Metainfo(Arc<Metainfo>),
    /// A link: the info dictionary is fetched from peers first (BEP 9).
    Magnet(Box<Magnet>),
}

impl From<Arc<Metainfo>> for What {
    fn from(metainfo: Arc<Metainfo>) -> Self {
        Self::Metainfo(metainfo)
    }
}

impl From<Magnet> for What {
    fn from(magnet: Magnet) -> Self {
        Self::Magnet(Box::new(magnet))
    }
}

/// Chooses the files to fetch once they are known: one priority per file of [`Info::files`], padding included.
///
/// An error in words stops the torrent with [`Halt::Selection`](crate::Halt::Selection).
pub type Select = Box<dyn FnOnce(&Info) -> Result<Vec<Priority>, String> + Send + Sync>;

/// A torrent to take up, and how.
pub struct Add {
    /// Which.
    pub what: What,
    /// The folder its files lie in or go to.
    pub folder: PathBuf,
    /// Another name for the torrent's file or top folder.
    pub rename: Option<String>,
    /// Only serve what is there: nothing is fetched or written.
    pub seed_only: bool,
    /// An origin that gives each piece about once, and nothing while the crowd can do without it; `None`: it serves whoever asks.
    pub sizing: Option<Sizing>,
    /// Hash all files again, whatever the resume data says.
    pub check: bool,
    /// Fetch pieces in order.
    pub sequential: bool,
    /// How room is made for files.
    pub allocate: Allocate,
    /// Which files to fetch; `None`: all.
    pub select: Option<Select>,
    /// Peers the user named.
    pub peers: Vec<SocketAddr>,
    /// Trackers the user named, in tiers, before the torrent's own; they may be on any address.
    pub trackers: Vec<Vec<String>>,
    /// Web seeds the user named (BEP 19), besides the torrent's own; they may be on any address.
    pub web_seeds: Vec<String>,
    /// The server on a private or loopback address that the torrent file came from: web seeds there may be used (S-24).
    pub local_server: Option<(String, u16)>,
    /// Stop once the info dictionary is known; see [`Torrent::info`](crate::Torrent::info).
    pub metadata_only: bool,
}

impl Add {
    /// Fetch or seed everything of `what` in `folder`, with no special wishes.
    pub fn new(what: impl Into<What>, folder: PathBuf) -> Self {
        Self {
            what: what.into(),
            folder,
            rename: None,
            seed_only: false,
            sizing: None,
            check: false,
            sequential: false,
            allocate: Allocate::default(),
            select: None,
            peers: Vec::new(),
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            local_server: None,
            metadata_only: false,
        }
    }
}

impl std::fmt::Debug for Add {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Add").field("what", &self.what).field("folder", &self.folder).finish_non_exhaustive()
    }
}
