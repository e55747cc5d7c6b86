//! Flags of the commands that move data: `get`, `seed`, and the network flags they share with `publish`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::units::{parse_duration, parse_rate};

/// Download files
#[derive(Clone, Debug, Default, Args)]
#[command(after_long_help = "Examples:
  headwater get https://example.org/dist.torrent
  headwater get 'magnet:?xt=urn:btih:…' -d ~/Downloads
  headwater get dist.torrent --list
  headwater get dist.torrent -f 1-3 -f '*.md'
Interrupted downloads resume by themselves when the same line is run again.")]
pub(crate) struct Get {
    /// Torrent files, URLs of torrent files, magnet links, or bare info hashes
    #[arg(value_name = "SOURCE", required_unless_present = "input")]
    pub(crate) source: Vec<String>,
    /// Read more sources from a file, one a line; `-` is stdin
    #[arg(short, long, value_name = "LIST")]
    pub(crate) input: Option<PathBuf>,
    /// Folder to download into
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Name for the file or folder, in place of the torrent's own
    #[arg(short, long, value_name = "NAME")]
    pub(crate) output: Option<String>,
    /// Fetch only these files: a glob, or numbers as `--list` shows them; may be repeated
    #[arg(short, long, value_name = "GLOB|RANGES")]
    pub(crate) files: Vec<String>,
    /// List the files and exit
    #[arg(long)]
    pub(crate) list: bool,
    /// Fetch the pieces in order
    #[arg(long)]
    pub(crate) sequential: bool,
    /// Fetch the torrent file alone
    #[arg(long)]
    pub(crate) torrent_only: bool,
    /// Stay until this many times the size has been uploaded
    #[arg(long, value_name = "RATIO", value_parser = parse_ratio)]
    pub(crate) seed_ratio: Option<f64>,
    /// Stay this long after completion
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) seed_time: Option<Duration>,
    /// Give up after this time (exit 7)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Give up when nothing arrived for this time (exit 7)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) stall_timeout: Option<Duration>,
    /// Most to download per second
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) limit_rate: Option<u64>,
    /// Most to upload per second
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) limit_upload: Option<u64>,
    /// A peer to ask; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) peer: Vec<String>,
    /// Web server that has the files, asked for what peers do not give in time; may be repeated
    #[arg(short, long, value_name = "URL")]
    pub(crate) web_seed: Vec<String>,
    /// Command to run at completion (not supported)
    #[arg(long, value_name = "CMD", hide = true)]
    pub(crate) on_complete: Option<String>,
    /// How to reserve disk space
    #[arg(long, value_enum, default_value_t)]
    pub(crate) allocate: Allocate,
    /// Check all data on disk first, whatever the resume data say
    #[arg(long)]
    pub(crate) check: bool,
    /// Replace files that are in the way
    #[arg(long)]
    pub(crate) force: bool,
    /// Hand the download to the daemon (not supported)
    #[arg(long, hide = true, conflicts_with = "no_daemon")]
    pub(crate) daemon: bool,
    /// Download in this process, as always
    #[arg(long, hide = true)]
    pub(crate) no_daemon: bool,
    /// Accepted for habit's sake: downloads always resume
    #[arg(short, long = "continue", hide = true)]
    pub(crate) continue_: bool,
    #[command(flatten)]
    pub(crate) net: Net,
}

/// How to reserve disk space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Allocate {
    /// Full size at once, without using space until data arrive
    #[default]
    Sparse,
    /// All space at once
    Full,
    /// Let files grow
    None,
}

/// Upload files to whoever asks
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "Examples:
  headwater seed dist.torrent
  headwater seed dist.torrent -d /srv/files --limit-upload 5MiB
  headwater seed dist.torrent --copies 3     falls silent while three peers have everything
  headwater seed disk.img                    makes the torrent in memory and prints its magnet link")]
pub(crate) struct Seed {
    /// Torrent files, or files and folders that have none yet
    #[arg(value_name = "TORRENT|PATH", required_unless_present = "input")]
    pub(crate) source: Vec<String>,
    /// Read more sources from a file, one a line; `-` is stdin
    #[arg(short, long, value_name = "LIST")]
    pub(crate) input: Option<PathBuf>,
    /// Folder that holds the data [default: here, else beside the torrent]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Upload each piece about once, and nothing while K other copies of all of them are held; 0: serve whoever asks
    #[arg(long, value_name = "K")]
    pub(crate) copies: Option<usize>,
    /// Upload each piece about once, however many copies there are
    #[arg(long = "super", conflicts_with = "copies")]
    pub(crate) super_: bool,
    /// Stop when this many times the size has been uploaded
    #[arg(long, value_name = "RATIO", value_parser = parse_ratio)]
    pub(crate) ratio: Option<f64>,
    /// Stop after this time
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) time: Option<Duration>,
    /// Most to upload per second
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) limit_upload: Option<u64>,
    /// Print the magnet links too
    #[arg(long)]
    pub(crate) magnet: bool,
    #[command(flatten)]
    pub(crate) net: Net,
}

/// How to meet the network.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Network options")]
pub(crate) struct Net {
    /// Reach trackers and peers on this machine or network wherever a torrent names them
    #[arg(long)]
    pub(crate) allow_local: bool,
    /// Trust the certificates of this file, besides the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Where to accept peers [default: the first free port of 6881-6889, else any]
    #[arg(long, value_name = "[IP]:PORT")]
    pub(crate) listen: Option<String>,
    /// Most connections to peers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub(crate) max_peers: Option<u32>,
    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6', long)]
    pub(crate) ipv6: bool,
    /// Without the DHT, as always
    #[arg(long, hide = true)]
    pub(crate) no_dht: bool,
    /// Without peers' telling of each other
    #[arg(long)]
    pub(crate) no_pex: bool,
    /// Without looking for peers in the local network
    #[arg(long)]
    pub(crate) no_lsd: bool,
    /// Without uTP: TCP alone
    #[arg(long)]
    pub(crate) no_utp: bool,
    /// Without port mapping, as always
    #[arg(long, hide = true)]
    pub(crate) no_upnp: bool,
    /// Without TCP: uTP alone
    #[arg(long, conflicts_with = "no_utp")]
    pub(crate) no_tcp: bool,
    /// Whether connections to peers are encrypted [default: prefer]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) encryption: Option<Encryption>,
    /// Network interface to stay on (not supported)
    #[arg(long, value_name = "IF", hide = true)]
    pub(crate) interface: Option<String>,
    /// Proxy (not supported)
    #[arg(long, value_name = "URL", hide = true)]
    pub(crate) proxy: Option<String>,
    /// Addresses never to talk to (not supported)
    #[arg(long, value_name = "FILE|URL", hide = true)]
    pub(crate) blocklist: Option<String>,
}

/// How much to insist on encrypted connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Encryption {
    /// Plain connections only
    Off,
    /// Encrypted if the other side insists
    Allow,
    /// The opening encrypted if the other side can, the data if it insists
    Prefer,
    /// All encrypted, or no connection
    Require,
}

impl From<Encryption> for engine::Encryption {
    fn from(how: Encryption) -> Self {
        match how {
            Encryption::Off => Self::Off,
            Encryption::Allow => Self::Allow,
            Encryption::Prefer => Self::Prefer,
            Encryption::Require => Self::Require,
        }
    }
}

impl From<Allocate> for storage::Allocate {
    fn from(how: Allocate) -> Self {
        match how {
            Allocate::Sparse => Self::Sparse,
            Allocate::Full => Self::Full,
            Allocate::None => Self::None,
        }
    }
}

/// Reads a ratio of upload to size: `1.0`.
pub(crate) fn parse_ratio(text: &str) -> Result<f64, String> {
    let ratio: Option<f64> = text.parse().ok().filter(|ratio: &f64| ratio.is_finite() && *ratio >= 0.0);
    ratio.ok_or_else(|| format!("`{text}` is not a ratio; write for example 1.0"))
}
