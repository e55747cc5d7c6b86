//! The chores of this repository: `cargo xtask NAME`. Nothing to install first.
//!
//! Each chore is a module of its own; what they share is how to run a command.

// These programs talk to the developer's terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod browser;
mod ci;
mod counts;
mod fuzz;
mod interop;
mod sim;
mod step;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask CHORE

  ci [STEP]...                    all that a commit must pass, or only some of its steps
  bench [CASE]... [--rounds N]    Headwater beside the clients and creators that are installed, into docs/benchmarks.md
  counts [--accept]               instructions a block, a message and a file cost, beside the baseline (needs valgrind)
  sim SEED [--log]                simulate one swarm, with all that happens in it
  sim [FIRST] --seeds N           simulate N swarms on all cores
  sim [FIRST] --origin --seeds N  the same for origins that size themselves, with what they sent
  fuzz TARGET|--all [--seconds N] feed a decoder random bytes (60 seconds each)
  interop [WORD]...               other creators, clients and trackers against us; only the cells that have all words
  publish [WORD]...               the publisher's page, export, receipt and server with real clients
  crowd [PAYLOAD]                 one slow origin, five downloaders, the origin killed half way (4 GiB + 1 byte)
  browser                         a person with Chromium: handler, clicks, pages (needs root for a browser policy)
  origin [MIB]                    an origin that sizes itself among eight downloaders, beside a plain one (512 MiB)
  crash                           kill -9 in the middle of a download, then the same command again";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.split_first() {
        Some((&"ci", rest)) => ci::run(rest),
        Some((&"bench", rest)) => bench::run(rest),
        Some((&"counts", rest)) => counts::run(rest),
        Some((&"sim", rest)) => sim::run(rest),
        Some((&"fuzz", rest)) => fuzz::run(rest),
        Some((chore @ (&"interop" | &"publish" | &"crowd" | &"origin" | &"crash"), rest)) => {
            interop::run(chore, rest)
        }
        Some((&"browser", [])) => browser::run(),
        _ => Err(HELP.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
