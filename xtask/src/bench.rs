//! `cargo xtask bench`: Headwater beside other programs, each case a section of `docs/benchmarks.md`.
//!
//! Programs take turns, round by round, so that whatever else the machine does befalls all of them. A run of one case leaves the other
//! sections as they are. `transfers` drives the Python harness in `$HEADWATER_BENCH`, the rest is ours.

mod creators;
mod crowds;
mod floor;
mod hashes;
mod machine;
mod report;
mod transfers;

use std::fs;
use std::path::PathBuf;

use crate::interop::{headwater, named};
use crate::step::{Outcome, root};
use machine::{Peers, conditions};
use report::{Section, keep};

/// How often each program runs in a case if nothing else is said.
const ROUNDS: u32 = 5;

/// `--quick` divides all sizes by this.
const QUICK: u32 = 16;

/// Bytes in a MiB.
const MIB: u64 = 1 << 20;

/// MB in a MiB: rates are in powers of ten.
const MB: f64 = 1.048_576;

/// A case: its name, its heading, and what measures it.
struct Case {
    name: &'static str,
    title: &'static str,
    run: fn(&Bench) -> Result<Section, String>,
}

const CASES: &[Case] = &[
    Case {
        name: "pair",
        title: "One seeder, one downloader: 2 GiB in pieces of 1 MiB",
        run: transfers::pair,
    },
    Case { name: "pieces", title: "The same in pieces of 256 KiB and of 4 MiB", run: transfers::pieces },
    Case { name: "cross", title: "Headwater and libtorrent with each other", run: transfers::cross },
    Case { name: "files", title: "1 GiB in 15,000 and in 100,000 files", run: transfers::files },
    Case { name: "ext4", title: "The pair on a disk", run: transfers::disk },
    Case { name: "swarm", title: "One seeder, eight downloaders of 256 MiB", run: transfers::swarm },
    Case { name: "recheck", title: "2 GiB checked", run: transfers::recheck },
    Case { name: "idle", title: "10,000 torrents that nobody asks for", run: transfers::idle },
    Case { name: "create", title: "Torrents made: 4 GiB in one file, 1 GiB in 20,000", run: creators::run },
    Case { name: "peers", title: "2 GiB from one, four and sixteen seeders", run: crowds::several },
    Case { name: "crowd500", title: "500 peers that discard what they get", run: crowds::crowd },
    Case { name: "many", title: "50 torrents at once", run: crowds::many },
    Case { name: "hash", title: "Hashing, one core", run: hashes::run },
];

/// What every case needs to know.
struct Bench {
    headwater: PathBuf,
    peers: Peers,
    /// A folder in memory, gone afterwards, and one on a disk.
    work: PathBuf,
    disk: PathBuf,
    rounds: u32,
    /// What sizes and numbers are divided by.
    divisor: u32,
}

/// Runs the cases named, or all.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    let (mut cases, mut rounds, mut divisor, mut rest) = (Vec::new(), ROUNDS, 1, arguments.iter());
    while let Some(&argument) = rest.next() {
        match argument {
            "--rounds" => {
                let number = rest.next().and_then(|text| text.parse().ok()).filter(|&number| number > 0);
                rounds = number.ok_or("--rounds wants a number")?;
            }
            "--quick" => divisor = QUICK,
            name => cases.push(CASES.iter().find(|case| case.name == name).ok_or_else(|| no_case(name))?),
        }
    }
    if cases.is_empty() {
        cases.extend(CASES);
    }
    let memory = named("BENCH_WORK").unwrap_or_else(|| "/dev/shm".into());
    let folder = |parent: PathBuf| parent.join(format!("headwater-bench-{}", std::process::id()));
    let (work, disk) = (folder(memory), folder(root().join("target")));
    let bench = Bench { headwater: headwater()?, peers: Peers::find(), work, disk, rounds, divisor };
    cases.into_iter().try_for_each(|case| {
        eprintln!("== {}", case.name);
        let outcome = bench.measure(case);
        let _ = (fs::remove_dir_all(&bench.work), fs::remove_dir_all(&bench.disk));
        outcome
    })
}

fn no_case(name: &str) -> String {
    let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
    format!("no case {name}: there are {}", names.join(", "))
}

impl Bench {
    /// Measures a case and keeps its section.
    fn measure(&self, case: &Case) -> Outcome {
        for folder in [&self.work, &self.disk] {
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let section = (case.run)(self).map_err(|why| format!("{}: {why}", case.name))?;
        let command = format!("cargo xtask bench {} --rounds {}", case.name, self.rounds);
        let text = section.text(case.name, case.title, &command, &conditions(self)?);
        println!("{text}");
        let path = if self.divisor == 1 { "docs/benchmarks.md" } else { "target/benchmarks-quick.md" };
        keep(&root().join(path), case.name, &text, CASES.iter().map(|case| case.name))
    }

    /// So many MiB, files or torrents, less if the run is a quick one.
    fn size(&self, size: u32) -> u32 {
        (size / self.divisor).max(1)
    }
}
