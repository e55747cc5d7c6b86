//! `cargo xtask ci`: all that a commit must pass, in the order in which failures are cheapest.

use std::time::Instant;

use crate::step::{Outcome, cargo, cargo_command, run as run_command, works};
use crate::{counts, fuzz, sim};

/// A step's name, and what it does.
type Step = (&'static str, fn() -> Outcome);

/// All steps. Dependency arrows and file lengths are tests (`headwater/tests/tidy.rs`).
const STEPS: &[Step] = &[
    ("fmt", || cargo(&["fmt", "--all", "--check"])),
    ("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])),
    ("test", || cargo(&["test", "--workspace"])),
    ("doc", doc),
    ("deny", deny),
    ("sim", || sim::run(&["--seeds", "1000"])),
    ("origins", || sim::run(&["--origin", "--seeds", "200"])),
    ("counts", counts::step),
    ("fuzz", fuzz::smoke),
];

/// Runs all steps, or those named.
pub(crate) fn run(names: &[&str]) -> Outcome {
    let known: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!("no step {name}: there are {}", known.join(", ")));
    }
    for (name, step) in STEPS.iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        let start = Instant::now();
        step().map_err(|why| format!("step {name}: {why}"))?;
        eprintln!("step {name}: passed in {} s", start.elapsed().as_secs());
    }
    Ok(())
}

fn doc() -> Outcome {
    let mut command = cargo_command(&["doc", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "--deny warnings");
    run_command(command)
}

fn deny() -> Outcome {
    if !works(cargo_command(&["deny", "--version"])) {
        eprintln!("cargo-deny is not installed: licences and sources of dependencies are not checked");
        return Ok(());
    }
    cargo(&["deny", "check", "licenses", "bans", "sources"])
}
