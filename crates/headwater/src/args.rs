//! What may stand on the command line: the global flags and the list of commands.
//!
//! Each flag with a long name has an environment twin, `HEADWATER_` and its name in capitals: [`command`] adds them all.
//! Meaning and checks beyond syntax are the commands'.

mod desktop;
mod files;
mod serve;
mod transfer;

use std::path::PathBuf;

use clap::builder::{FalseyValueParser, Styles};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

pub(crate) use desktop::{Config, ConfigAction, Handler, HandlerAction, HandlerWhat, Notify, Open, Page};
pub(crate) use files::{Create, Edit, FormatArg, HashArg, Magnet, Show, ShowWhat, Symlinks, Verify};
pub(crate) use serve::{Publish, Tls, Track, parse_price};
pub(crate) use transfer::{Get, Net, Seed, parse_ratio};

use crate::settings::Settings;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, styles = STYLES, disable_help_flag = true, max_term_width = 110)]
#[command(about = "Publishes files over BitTorrent, and fetches them")]
#[command(long_about = "Publishes files over BitTorrent, and fetches them.\n\n\
    The people who download share what they have while they download, so a publisher's server carries less.")]
#[command(
    after_long_help = "Every flag can also be set in the environment: --limit-rate is HEADWATER_LIMIT_RATE.\n\
    Exit codes: 0 done, 1 other, 2 usage, 3 not found, 4 not a valid torrent, 5 data differ, 6 network, \
    7 gave up unfinished, 9 disk full, 10 permission, 13 would overwrite, 130/143 stopped by a signal."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that may stand before or after the command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Print results and errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Print more: -v what happens, -vv every detail
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: Color,
    /// Print results as JSON: one document, or one event a line from commands that run
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How to show progress
    #[arg(long, global = true, value_name = "HOW", value_enum, default_value_t)]
    pub(crate) progress: Progress,
    /// Configuration file [default: see `headwater config path`]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder for what must survive a restart
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Print help
    #[arg(short, long, global = true, action = ArgAction::HelpShort)]
    help: Option<bool>,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Even into files and pipes
    Always,
    /// Not at all
    Never,
}

/// How to show progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// A bar on a terminal, else a line every 5 seconds
    #[default]
    Auto,
    /// A bar
    Bar,
    /// A line every 5 seconds
    Plain,
    /// JSON events on stdout
    Json,
    /// Not at all
    None,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(Create),
    Show(Show),
    Verify(Verify),
    Magnet(Magnet),
    Edit(Edit),
    Get(Box<Get>),
    Seed(Box<Seed>),
    Track(Track),
    Publish(Box<Publish>),
    Open(Box<Open>),
    Handler(Handler),
    Config(Config),
    /// Print a completion script for a shell
    #[command(
        after_long_help = "Examples:\n  headwater completions bash > ~/.local/share/bash-completion/completions/headwater"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    #[command(after_long_help = "Examples:\n  headwater man ~/.local/share/man/man1")]
    Man {
        /// The folder; it is created if missing
        dir: PathBuf,
        /// Replace pages that exist
        #[arg(long)]
        force: bool,
    },
    /// Print the version
    Version,
}

const STYLES: Styles = Styles::styled()
    .header(anstyle::Style::new().bold())
    .usage(anstyle::Style::new().bold())
    .literal(anstyle::AnsiColor::Cyan.on_default());

/// The whole grammar, with an environment twin for each flag that has a long name.
pub(crate) fn command() -> clap::Command {
    with_twins(Cli::command())
}

/// The whole grammar, with the values of the configuration file as defaults of the flags they stand for.
pub(crate) fn configured(settings: &Settings) -> clap::Command {
    settings.defaults().fold(command(), |command, (name, flag, value)| {
        // As with the twins: built once, and needed until the end.
        let value: &'static str = value.to_owned().leak();
        command.mut_subcommand(name, |sub| sub.mut_arg(flag, |arg| arg.default_value(value)))
    })
}

fn with_twins(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let Some(long) = arg.get_long().filter(|long| *long != "help" && *long != "version") else {
            return arg;
        };
        // The grammar is built once and lives as long as the process.
        let twin: &'static str = format!("HEADWATER_{}", long.to_uppercase().replace('-', "_")).leak();
        let arg = if matches!(arg.get_action(), ArgAction::SetTrue) {
            arg.value_parser(FalseyValueParser::new())
        } else {
            arg
        };
        arg.env(twin).hide_env(true)
    });
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, with_twins))
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let matches = command().try_get_matches_from(line.split_whitespace())?;
        Cli::from_arg_matches(&matches)
    }

    #[test]
    fn the_grammar_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in ["headwater --json -q show x", "headwater show x --json -q"] {
            let cli = parse(line).unwrap();
            assert!(cli.global.json && cli.global.quiet, "{line}");
        }
    }

    #[test]
    fn announce_is_another_name_of_tracker() {
        for flag in ["-t", "-a", "--tracker", "--announce"] {
            let cli = parse(&format!("headwater create x {flag} http://t/announce")).unwrap();
            let Command::Create(create) = cli.command else { panic!("not create") };
            assert_eq!(create.outer.tracker, ["http://t/announce"]);
        }
    }

    #[test]
    fn a_file_gives_defaults_that_the_command_line_overrides() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, "[limits]\ndown = \"2MiB\"\n[network]\nallow_local = true\n").unwrap();
        let settings = Settings::read(&file).unwrap();
        for (line, limit) in [("headwater get x", 2 << 20), ("headwater get x --limit-rate 1MiB", 1 << 20)] {
            let matches = configured(&settings).try_get_matches_from(line.split_whitespace()).unwrap();
            let Command::Get(get) = Cli::from_arg_matches(&matches).unwrap().command else {
                panic!("not get")
            };
            assert_eq!((get.limit_rate, get.net.allow_local), (Some(limit), true), "{line}");
        }
    }

    #[test]
    fn wgets_continue_is_accepted() {
        assert!(parse("headwater get -c x.torrent").is_ok());
    }
}
