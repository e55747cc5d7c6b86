//! `cargo xtask sim`: plays simulated swarms (`crates/sim`), one seed to look at or many to find a failure.
//!
//! With `--origin` they are those of `sim::origin`, and what its origins sent is shown.

use std::io::{BufWriter, Write as _, stdout};
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use sim::Report;

use crate::step::{Outcome, cargo};

/// How many seeds `ci` plays, and `sim` if nothing is said.
const SEEDS: u64 = 1000;

/// What the arguments ask for.
enum Job {
    /// One seed, with every event on standard output if so wished.
    One { seed: u64, log: bool },
    /// So many seeds from the first.
    Many { first: u64, count: u64 },
}

/// Plays the seeds that the arguments name. Unoptimised code would take ten times as long, so a debug build starts a release build.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    let origin = arguments.contains(&"--origin");
    let rest: Vec<&str> = arguments.iter().copied().filter(|word| *word != "--origin").collect();
    let job = parse(&rest)?;
    if cfg!(debug_assertions) {
        let release = ["run", "--quiet", "--release", "--package", "xtask", "--", "sim"];
        return cargo(&[&release, arguments].concat());
    }
    match job {
        Job::One { seed, log } if origin => one_origin(seed, log),
        Job::One { seed, log } => one(seed, log),
        Job::Many { first, count } if origin => many_origins(first, count),
        Job::Many { first, count } => {
            let play = |seed| {
                let report = sim::run(seed);
                show_failure(&report);
                report.ok
            };
            finish(first, count, many(first, count, play)?.iter().filter(|ok| !**ok).count())
        }
    }
}

fn parse(arguments: &[&str]) -> Result<Job, String> {
    let number =
        |text: Option<&&str>| text.and_then(|text| text.parse::<u64>().ok()).ok_or("sim wants numbers");
    let (mut seed, mut count, mut log, mut rest) = (None, None, false, arguments.iter());
    while let Some(argument) = rest.next() {
        match *argument {
            "--seeds" => count = Some(number(rest.next())?),
            "--log" => log = true,
            _ => seed = Some(number(Some(argument))?),
        }
    }
    Ok(match (seed, count) {
        (Some(seed), None) => Job::One { seed, log },
        (first, count) => Job::Many { first: first.unwrap_or(0), count: count.unwrap_or(SEEDS) },
    })
}

fn one(seed: u64, log: bool) -> Outcome {
    let report = if log {
        let mut out = BufWriter::new(stdout().lock());
        let report = sim::run_logged(seed, &mut out);
        out.flush().map_err(|error| format!("standard output: {error}"))?;
        report
    } else {
        sim::run(seed)
    };
    for node in &report.nodes {
        println!("{:>4}: {}", node.name, node_line(node));
    }
    conclude(&report)
}

fn conclude(report: &Report) -> Outcome {
    println!("{report}");
    if report.ok { Ok(()) } else { Err("the swarm did not do what it should".to_owned()) }
}

fn one_origin(seed: u64, log: bool) -> Outcome {
    let outcome = if log {
        let mut out = BufWriter::new(stdout().lock());
        let outcome = sim::origin::run_logged(seed, &mut out);
        out.flush().map_err(|error| format!("standard output: {error}"))?;
        outcome
    } else {
        sim::origin::run(seed)
    };
    for node in &outcome.report.nodes {
        println!("{:>4}: {}, stood still {:.1?}", node.name, node_line(node), node.longest_stall);
    }
    for (at, mode, sent) in &outcome.report.nodes[0].modes {
        println!("{:>7.1} s: {}, {} KiB sent", at.as_secs_f64(), mode.name(), sent / 1024);
    }
    let sim::origin::Outcome { spread, plain, silent, back, stall, .. } = outcome;
    println!(
        "sent {spread} % of the file, plain {plain} %, in silence {silent} bytes; back after {back:.1?}; longest stall {stall:.1?}"
    );
    conclude(&outcome.report)
}

fn many_origins(first: u64, count: u64) -> Outcome {
    let outcomes = many(first, count, sim::origin::run)?;
    let figures = |what: &str, of: &dyn Fn(&sim::origin::Outcome) -> u64| {
        let mut all: Vec<u64> = outcomes.iter().map(of).collect();
        all.sort_unstable();
        let at =
            |share: usize| all.get((all.len() * share / 100).min(all.len().saturating_sub(1))).unwrap_or(&0);
        println!("{what}: median {}, 95th percentile {}, most {}", at(50), at(95), at(100));
    };
    figures("sent by a sizing origin, per cent of the file", &|outcome| outcome.spread);
    figures("sent by a plain origin, per cent of the file", &|outcome| outcome.plain);
    figures("sent in silence, bytes", &|outcome| outcome.silent);
    figures("back after two holders left, milliseconds", &|outcome| millis(outcome.back));
    figures("longest stall of a downloader, milliseconds", &|outcome| millis(outcome.stall));
    for outcome in &outcomes {
        show_failure(&outcome.report);
    }
    finish(first, count, outcomes.iter().filter(|outcome| !outcome.report.ok).count())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn node_line(node: &sim::NodeReport) -> String {
    let at = |time: Option<Duration>| {
        time.map_or("never".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
    };
    let banned = if node.banned.is_empty() { String::new() } else { format!(", banned {:?}", node.banned) };
    format!(
        "joined {}, complete {}, received {} KiB, sent {} KiB, {} bad pieces{banned}",
        at(node.joined),
        at(node.completed),
        node.received / 1024,
        node.sent / 1024,
        node.rejected
    )
}

/// Plays many seeds on all cores.
fn many<T: Send>(first: u64, count: u64, play: impl Fn(u64) -> T + Sync) -> Result<Vec<T>, String> {
    let end = first.checked_add(count).ok_or("no seeds are that large")?;
    let next = AtomicU64::new(first);
    let work = || {
        let seeds =
            std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < end));
        seeds.map(&play).collect::<Vec<T>>()
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| "a simulation crashed")?);
        }
        Ok(all)
    })
}

fn finish(first: u64, count: u64, failed: usize) -> Outcome {
    println!("{count} seeds from {first}: {failed} failed");
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {count} simulated swarms failed")) }
}

fn show_failure(report: &Report) {
    if !report.ok {
        println!("{report}");
    }
}
