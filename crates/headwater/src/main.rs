//! The command line of Headwater: makes, shows, verifies, publishes, tracks, seeds and downloads torrents.
//!
//! `main` joins the parts: arguments in, one command run, its end told and turned into an exit code.

mod args;
mod commands;
mod config;
mod failure;
mod net;
mod output;
mod programs;
mod select;
mod settings;
mod signals;
mod source;
mod tls;
mod units;

use std::process::ExitCode;

use args::{Cli, Command, Global};
use clap::FromArgMatches;
use output::Output;
use settings::Settings;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> ExitCode {
    let cli = parse(args::command());
    let output = Output::new(&cli.global);
    let result = start_log(&output, &cli.global)
        .and_then(|()| configured(cli))
        .and_then(|cli| commands::run(cli, &output))
        .and_then(|exit| output.finish().map(|()| exit));
    let exit = result.unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.exit
    });
    ExitCode::from(exit.code())
}

fn parse(grammar: clap::Command) -> Cli {
    let matches = grammar.get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Reads the command line again, with the configuration file behind it. `headwater config` looks into the file by itself.
fn configured(cli: Cli) -> Result<Cli, failure::Failure> {
    if matches!(cli.command, Command::Config(_)) {
        return Ok(cli);
    }
    let settings = Settings::load(cli.global.config.as_deref())?;
    Ok(if settings.0.is_empty() { cli } else { parse(args::configured(&settings)) })
}

/// Sends log lines to stderr: what `HEADWATER_LOG` names (`engine=debug,tracker=info`), else as loud as `-v` says.
fn start_log(output: &Output, global: &Global) -> Result<(), failure::Failure> {
    let targets = match std::env::var("HEADWATER_LOG") {
        Ok(filter) if !filter.is_empty() => filter.parse::<Targets>().map_err(|error| {
            failure::Failure::usage(format!("HEADWATER_LOG={filter} makes no sense"))
                .because(&error)
                .hint("HEADWATER_LOG=engine=debug,tracker=info")
        })?,
        _ => Targets::new().with_default(match global.verbose {
            0 => Level::ERROR,
            1 => Level::INFO,
            2 => Level::DEBUG,
            _ => Level::TRACE,
        }),
    };
    let output = output.clone();
    let lines = tracing_subscriber::fmt::layer().with_writer(move || output.log());
    tracing_subscriber::registry().with(lines).with(targets).init();
    Ok(())
}
