//! `cargo xtask sim`: plays simulated swarms (`crates/sim`), one seed to look at or many to find a failure.

use std::io::{BufWriter, Write as _, stdout};
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

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
    let job = parse(arguments)?;
    if cfg!(debug_assertions) {
        let release = ["run", "--quiet", "--release", "--package", "xtask", "--", "sim"];
        return cargo(&[&release, arguments].concat());
    }
    match job {
        Job::One { seed, log } => one(seed, log),
        Job::Many { first, count } => many(first, count),
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
    println!("{report}");
    if report.ok { Ok(()) } else { Err("the swarm did not do what it should".to_owned()) }
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

fn many(first: u64, count: u64) -> Outcome {
    let start = Instant::now();
    let end = first.checked_add(count).ok_or("no seeds are that large")?;
    let next = AtomicU64::new(first);
    let work = || {
        let seeds =
            std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < end));
        seeds.map(sim::run).inspect(show_failure).filter(|report| !report.ok).count()
    };
    let failed: usize = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(1)).sum()
    });
    println!("{count} seeds from {first}: {failed} failed, in {} s", start.elapsed().as_secs());
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {count} simulated swarms failed")) }
}

fn show_failure(report: &Report) {
    if !report.ok {
        println!("{report}");
    }
}
