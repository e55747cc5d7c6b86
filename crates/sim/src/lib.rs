//! A world for the pure crates: a fake network, fake disks and a fake clock, all of it drawn from one seed.
//!
//! [`run`] plays a random swarm of twenty nodes with slow peers, poisoners, liars, leavers, cut lines and full disks; the same
//! seed always plays the same. [`cases`] holds scripts for special promises. For tests only: no product code depends on it.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

pub mod cases;
mod disk;
mod invariants;
mod link;
mod log;
mod node;
pub mod origin;
mod payload;
mod perform;
mod queue;
mod script;
mod tracker;
mod traffic;
mod web;
mod world;

use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use script::Script;
use world::World;

/// How a run went.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it was drawn from.
    pub seed: u64,
    /// Nothing went wrong.
    pub ok: bool,
    /// One line that says what went wrong first and how to see it again.
    pub failure: Option<String>,
    /// A number for everything that was said and done: equal in two runs that were equal.
    pub log_hash: u64,
    /// How long it took on the fake clock.
    pub simulated: Duration,
    /// Things that happened.
    pub events: u64,
    /// The nodes, in the order of the script.
    pub nodes: Vec<NodeReport>,
}

/// How a run went for one node.
#[derive(Clone, Debug)]
pub struct NodeReport {
    /// Its name: A, B, …
    pub name: String,
    /// When it first joined.
    pub joined: Option<Duration>,
    /// When its first block arrived.
    pub first_block: Option<Duration>,
    /// When its disk held all it wanted; `None` too if it had it from the start.
    pub completed: Option<Duration>,
    /// Payload bytes received, good or not.
    pub received: u64,
    /// Those of them that came from web servers.
    pub from_web: u64,
    /// Payload bytes sent.
    pub sent: u64,
    /// Bytes received in pieces that were bad or found no room.
    pub refused: u64,
    /// Bytes of the pieces stored.
    pub committed: u64,
    /// How often a piece turned out bad.
    pub rejected: u32,
    /// How many pieces that were.
    pub spoilt_pieces: u32,
    /// The longest time between two pieces stored, or between joining and the first.
    pub longest_stall: Duration,
    /// When it changed its mode as a sizing origin, to which, and what it had sent by then.
    pub modes: Vec<(Duration, swarm::Mode, u64)>,
    /// The nodes it banned, by their place in the list; web servers are counted after the nodes.
    pub banned: Vec<usize>,
}

/// Plays the random swarm of a seed.
pub fn run(seed: u64) -> Report {
    play("", Script::random(seed), None)
}

/// Plays the random swarm of a seed and writes what every node is told and does.
pub fn run_logged(seed: u64, out: &mut dyn Write) -> Report {
    play("", Script::random(seed), Some(out))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            Some(failure) => f.write_str(failure),
            None => write!(
                f,
                "seed {}: ok after {:.1} s and {} events; log hash {:016x}",
                self.seed,
                self.simulated.as_secs_f64(),
                self.events,
                self.log_hash
            ),
        }
    }
}

/// Plays a script; `case` names it, or is empty for a random one. A panic in a swarm is a failure like others.
fn play(case: &str, script: Script, out: Option<&mut dyn Write>) -> Report {
    let seed = script.seed;
    let mut world = World::new(script, out);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.run())) {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        let (at, text) = (world.now.as_secs_f64(), text.unwrap_or("unknown"));
        world.failure = Some(format!("panic at {at:.1} s: {text}"));
    }
    let failure = world.failure.take().map(|what| failure_line(case, seed, &what));
    Report {
        seed,
        ok: failure.is_none(),
        failure,
        log_hash: world.log.hash(),
        simulated: world.now,
        events: world.events,
        nodes: world.nodes.iter().map(NodeReport::of).collect(),
    }
}

fn failure_line(case: &str, seed: u64, what: &str) -> String {
    if case.is_empty() {
        format!("seed {seed}: {what}; rerun: cargo xtask sim {seed}")
    } else {
        format!("case {case}, seed {seed}: {what}; rerun: cargo test --package sim")
    }
}

impl Report {
    /// Makes the run a failure unless `holds`.
    fn expect(mut self, case: &str, holds: bool, what: impl FnOnce(&Self) -> String) -> Self {
        if self.ok && !holds {
            self.ok = false;
            self.failure = Some(failure_line(case, self.seed, &what(&self)));
        }
        self
    }
}

impl NodeReport {
    fn of(node: &node::Node) -> Self {
        let record = &node.record;
        Self {
            name: node.name.clone(),
            joined: record.joined,
            first_block: record.first_block,
            completed: record.completed,
            received: record.received,
            from_web: record.from_web,
            sent: record.sent,
            refused: record.refused,
            committed: record.committed,
            rejected: record.rejected,
            spoilt_pieces: record.spoilt.iter().map(|_| 1).sum(),
            longest_stall: record.longest_stall,
            modes: record.modes.clone(),
            banned: node.banned.iter().filter_map(|&ip| node::at_address(ip)).collect(),
        }
    }
}
