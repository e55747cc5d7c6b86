//! Flags of what meets the desktop: `open`, `handler` and `config`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{Net, parse_ratio};
use crate::units::{parse_duration, parse_rate};

/// Download what was clicked, in the background
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "Examples:
  headwater open dist.torrent
  headwater open 'magnet:?xt=urn:btih:…'
  headwater open dist.torrent --wait --time 0s     stay in the foreground until it is complete
  headwater open                                   show the page of the downloads under way
It saves into your Downloads folder and shows progress on a page of this machine. The first call starts a process in the
background, later calls hand over to it, and it ends by itself once nothing is left to do.
`headwater handler install` makes browsers call it.")]
pub(crate) struct Open {
    /// Torrent files, magnet links, or URLs of torrent files
    #[arg(value_name = "URI|FILE")]
    pub(crate) source: Vec<String>,
    /// Folder to download into [default: the desktop's Downloads folder]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Folder for downloads that nobody names one for: here, or on the page
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) usual_dir: Option<PathBuf>,
    /// Share each download until this many times its size has been uploaded
    #[arg(long, value_name = "RATIO", value_parser = parse_ratio, default_value = "1.0")]
    pub(crate) ratio: f64,
    /// Share each download no longer than this after completion
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1h")]
    pub(crate) time: Duration,
    /// Stay in the foreground until the downloads have ended
    #[arg(long)]
    pub(crate) wait: bool,
    /// When to show the page of the downloads in the browser
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) page: Page,
    /// Whether to notify the desktop
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) notify: Notify,
    /// Most to download per second
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) limit_rate: Option<u64>,
    /// Most to upload per second
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) limit_upload: Option<u64>,
    /// A peer to ask; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) peer: Vec<String>,
    /// Be the process in the background
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
    #[command(flatten)]
    pub(crate) net: Net,
}

/// When to show the page of the downloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Page {
    /// At the first of several downloads
    #[default]
    Once,
    /// At each download
    Always,
    /// Only when called for
    Never,
}

/// Whether to notify the desktop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Notify {
    /// If the desktop can show notifications
    #[default]
    Always,
    /// Not at all
    Never,
}

/// Make browsers open magnet links and torrent files with Headwater
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "Examples:
  headwater handler install
  headwater handler install --magnet --dry-run
  headwater handler remove                 gives the links back to the program that had them
  headwater handler status")]
pub(crate) struct Handler {
    #[command(subcommand)]
    pub(crate) action: HandlerAction,
}

/// What to do about the desktop's associations.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum HandlerAction {
    /// Become the default program
    Install(HandlerWhat),
    /// Give way to the program that was the default before
    Remove(HandlerWhat),
    /// Say which program is the default
    Status(HandlerWhat),
}

/// Which associations.
#[derive(Clone, Debug, Args)]
pub(crate) struct HandlerWhat {
    /// Only magnet links
    #[arg(long)]
    pub(crate) magnet: bool,
    /// Only torrent files
    #[arg(long)]
    pub(crate) torrent: bool,
    /// For all users of this machine
    #[arg(long)]
    pub(crate) system: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Show or check the configuration file
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "Examples:
  headwater config path
  headwater config show --origin
  headwater config check ~/.config/headwater/config.toml
A key stands for a flag: the file's value holds unless the environment or the command line says otherwise.")]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

/// What to do with the configuration file.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print where the files are looked for, the weaker first
    Path,
    /// Print what the files say
    Show {
        /// And where they say it
        #[arg(long)]
        origin: bool,
    },
    /// Say whether a file is valid
    Check {
        /// The file [default: those that are in use]
        file: Option<PathBuf>,
    },
}
