//! Flags of the commands that make, read and change metainfo files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Make a torrent from a file or folder
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "Examples:
  headwater create dist/ -t https://tracker.example.org/announce
  headwater create disk.img -l 4MiB --format v1 -o - > disk.torrent
  headwater create dist/ --date none --exclude '*.tmp'        same bytes every time")]
pub(crate) struct Create {
    /// The file or folder to describe
    pub(crate) path: PathBuf,
    /// Where to write; `-` is stdout [default: NAME.torrent]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) outer: Outer,
    /// Name of the torrent [default: the name of PATH]
    #[arg(short, long)]
    pub(crate) name: Option<String>,
    /// Bytes in a piece, a power of two, or `auto`
    #[arg(short = 'l', long, value_name = "SIZE", default_value = "auto")]
    pub(crate) piece_length: String,
    /// Which hashes to write
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: FormatArg,
    /// Only the trackers named may introduce peers (BEP 27)
    #[arg(short, long)]
    pub(crate) private: bool,
    /// A label that makes the hash differ from one tracker to another
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) source: Option<String>,
    /// Take only files that match; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// Leave out files that match; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Take hidden files too
    #[arg(long)]
    pub(crate) hidden: bool,
    /// What to do with symbolic links
    #[arg(long, value_enum, default_value_t)]
    pub(crate) symlinks: Symlinks,
    /// A DHT node to start from; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) dht_node: Vec<String>,
    /// A torrent that shares files with this one; may be repeated
    #[arg(long, value_name = "HASH")]
    pub(crate) similar: Vec<String>,
    /// Where a newer torrent will be found (BEP 39)
    #[arg(long, value_name = "URL")]
    pub(crate) update_url: Option<String>,
    /// Date to write: seconds since 1970, 2026-11-22T16:00:00Z, or `none` [default: the time it is]
    #[arg(long, value_name = "TIME")]
    pub(crate) date: Option<String>,
    /// Program to name as the maker, or `none` [default: this one]
    #[arg(long, value_name = "TEXT")]
    pub(crate) created_by: Option<String>,
    /// Hashing threads [default: one a core]
    #[arg(short = 'j', long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Accept what a check complains of; may be repeated
    #[arg(long, value_name = "LINT")]
    pub(crate) allow: Vec<String>,
    /// Replace the output file if it exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Do everything but write the file
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the magnet link alone
    #[arg(long)]
    pub(crate) magnet: bool,
    /// Seed it afterwards
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) seed: bool,
}

/// The keys outside `info`: changing them leaves the hash as it is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Outer {
    /// Tracker; repeated for the next tier, comma-separated within one
    #[arg(
        short = 't',
        long = "tracker",
        visible_short_alias = 'a',
        visible_alias = "announce",
        value_name = "URL[,URL]"
    )]
    pub(crate) tracker: Vec<String>,
    /// Web server that has the files (BEP 19); may be repeated
    #[arg(short, long, value_name = "URL")]
    pub(crate) web_seed: Vec<String>,
    /// A comment for people
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

/// Which hashes a torrent has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// Both: every client can fetch it
    #[default]
    Hybrid,
    /// SHA-1 only (BEP 3)
    V1,
    /// SHA-256 only (BEP 52)
    V2,
}

/// What to do with symbolic links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Symlinks {
    /// Take what they point to
    #[default]
    Follow,
    /// Describe them as links (BEP 47)
    Keep,
    /// Leave them out
    Skip,
}

/// Show what is in a torrent or magnet link
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "Examples:
  headwater show dist.torrent --tree
  headwater show https://example.org/dist.torrent --json
  curl -s https://example.org/dist.torrent | headwater show - --field info.name")]
pub(crate) struct Show {
    /// A torrent file, magnet link, URL, or `-` for stdin
    #[arg(value_name = "TORRENT|MAGNET|URL|-")]
    pub(crate) source: String,
    #[command(flatten)]
    pub(crate) what: ShowWhat,
}

/// Which side of the torrent to show.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
pub(crate) struct ShowWhat {
    /// List the files with their numbers and sizes
    #[arg(long)]
    pub(crate) files: bool,
    /// Draw the files as a tree
    #[arg(long)]
    pub(crate) tree: bool,
    /// List the trackers by tier
    #[arg(long)]
    pub(crate) trackers: bool,
    /// List what is unusual about the file
    #[arg(long)]
    pub(crate) lints: bool,
    /// Print the bencoded structure
    #[arg(long)]
    pub(crate) raw: bool,
    /// Print one value, such as `info.name` or `announce`
    #[arg(long, value_name = "KEY")]
    pub(crate) field: Option<String>,
}

/// Check files on disk against a torrent
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "Examples:
  headwater verify dist.torrent
  headwater verify dist.torrent /srv/mirror/dist --list-bad
Exits with 5 if anything differs.")]
pub(crate) struct Verify {
    /// The torrent file
    pub(crate) torrent: PathBuf,
    /// The data, or the folder that holds them [default: here, else beside the torrent]
    pub(crate) path: Option<PathBuf>,
    /// Compare names and sizes only
    #[arg(long)]
    pub(crate) quick: bool,
    /// Print the paths of bad files alone, one a line
    #[arg(long)]
    pub(crate) list_bad: bool,
    /// Hashing threads [default: one a core]
    #[arg(short = 'j', long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

/// Print the magnet link of a torrent
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "Examples:
  headwater magnet dist.torrent
  headwater magnet dist.torrent --select 1-3,7 --peer 192.0.2.7:6881
  headwater magnet dist.torrent --qr")]
pub(crate) struct Magnet {
    /// The torrent files
    #[arg(required = true)]
    pub(crate) torrent: Vec<PathBuf>,
    /// Leave the trackers out
    #[arg(long)]
    pub(crate) no_trackers: bool,
    /// A peer to name in the link; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) peer: Vec<String>,
    /// Files to select, by the numbers of `show --files`
    #[arg(long, value_name = "RANGES")]
    pub(crate) select: Option<String>,
    /// Which hashes to name
    #[arg(long, value_enum, default_value = "both")]
    pub(crate) hash: HashArg,
    /// Draw the link as a QR code
    #[arg(long)]
    pub(crate) qr: bool,
}

/// Which hashes a magnet link names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HashArg {
    /// The SHA-1 hash
    V1,
    /// The SHA-256 hash
    V2,
    /// All that the torrent has
    Both,
}

/// Change a torrent outside `info`: the hash stays
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "Examples:
  headwater edit old.torrent -o new.torrent -t https://tracker.example.org/announce
An empty value removes a key: -c '' removes the comment, -t '' the trackers.")]
pub(crate) struct Edit {
    /// The torrent file
    pub(crate) torrent: PathBuf,
    /// Where to write; `-` is stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) outer: Outer,
    /// Date to write: seconds since 1970, 2026-11-22T16:00:00Z, or `none`
    #[arg(long, value_name = "TIME")]
    pub(crate) date: Option<String>,
    /// Program to name as the maker, or `none`
    #[arg(long, value_name = "TEXT")]
    pub(crate) created_by: Option<String>,
    /// Replace the output file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}
