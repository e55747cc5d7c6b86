//! The cases of the Python harness in `$HEADWATER_BENCH`: transfers, recheck, idle torrents.
//!
//! The harness is started anew for each run, so that programs take turns and memory is warm before each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{io, thread};

use serde_json::Value;

use super::Bench;
use super::floor::Floor;
use super::machine::{POLL, held};
use super::report::{Column, Section, Table};
use crate::interop::named;

/// Bytes in a GiB.
const GIB: f64 = 1_073_741_824.0;

const TRANSFER: &[Column] = &[
    Column("wall s", 2, Some(false)),
    Column("MB/s", 0, Some(true)),
    Column("seeder CPU-s/GiB", 2, Some(false)),
    Column("downloader CPU-s/GiB", 2, Some(false)),
    Column("both", 2, Some(false)),
    Column("seeder RSS MiB", 0, Some(false)),
    Column("downloader RSS MiB", 0, Some(false)),
    Column("others' CPU %", 0, None),
];

const RECHECK: &[Column] = &[
    Column("wall s", 2, Some(false)),
    Column("MB/s", 0, Some(true)),
    Column("CPU-s/GiB", 2, Some(false)),
    Column("RSS MiB", 0, Some(false)),
    Column("others' CPU %", 0, None),
];

const IDLE: &[Column] = &[
    Column("all seeding after s", 2, Some(false)),
    Column("CPU s until then", 2, Some(false)),
    Column("RSS MiB", 0, Some(false)),
    Column("KiB a torrent", 1, Some(false)),
    Column("idle CPU % of a core", 1, Some(false)),
];

/// One scenario of the harness.
struct Scenario<'a> {
    name: &'a str,
    words: String,
    columns: &'static [Column],
    /// MiB of memory that a run uses.
    memory: u32,
    work: &'a Path,
}

pub(super) fn pair(bench: &Bench) -> Result<Section, String> {
    let mut section = Section::default();
    let clients = clients(bench, bench.peers.aria2.then_some("aria2"));
    let mut floor =
        Floor::new(bench, &harness()?).inspect_err(|why| eprintln!("floor.c, left out: {why}")).ok();
    run_between(bench, &mut section, "", &clients, &big(bench, 1024, &bench.work), || {
        floor.iter_mut().for_each(Floor::round);
    })?;
    section.tables.extend(floor.map(|floor| floor.table));
    Ok(section)
}

pub(super) fn pieces(bench: &Bench) -> Result<Section, String> {
    let mut section = Section::default();
    for piece in [256, 4096] {
        let title = format!("Pieces of {piece} KiB");
        run(bench, &mut section, &title, &clients(bench, None), &big(bench, piece, &bench.work))?;
    }
    Ok(section)
}

pub(super) fn cross(bench: &Bench) -> Result<Section, String> {
    if bench.peers.libtorrent.is_none() {
        return Err("libtorrent is missing".into());
    }
    let mut section = Section::default();
    let clients = ["libtorrent", "headwater", "headwater --only-cross"];
    run(bench, &mut section, "", &clients, &big(bench, 1024, &bench.work))?;
    Ok(section)
}

pub(super) fn files(bench: &Bench) -> Result<Section, String> {
    let mut section = Section::default();
    for files in [15_000, 100_000] {
        let files = bench.size(files);
        let size = bench.size(1024);
        let words = format!("--files {files} --size {size} --piece 1024");
        let scenario = Scenario { name: "pair", words, columns: TRANSFER, memory: size, work: &bench.work };
        run(bench, &mut section, &format!("{files} files"), &clients(bench, None), &scenario)?;
    }
    Ok(section)
}

pub(super) fn disk(bench: &Bench) -> Result<Section, String> {
    let mut section = Section::default();
    run(bench, &mut section, "", &clients(bench, None), &big(bench, 1024, &bench.disk))?;
    Ok(section)
}

pub(super) fn swarm(bench: &Bench) -> Result<Section, String> {
    let mut section = Section::default();
    let size = bench.size(256);
    let words = format!("--size {size} --leechers 8 --piece 1024");
    let scenario = Scenario { name: "swarm", words, columns: TRANSFER, memory: 8 * size, work: &bench.work };
    section
        .notes
        .push("CPU is divided by what all eight got together; RSS is that of the largest of them.".into());
    run(bench, &mut section, "", &clients(bench, None), &scenario)?;
    Ok(section)
}

pub(super) fn recheck(bench: &Bench) -> Result<Section, String> {
    let mut section = Section::default();
    let scenario = Scenario { name: "recheck", columns: RECHECK, ..big(bench, 1024, &bench.work) };
    run(bench, &mut section, "", &clients(bench, bench.peers.aria2.then_some("aria2")), &scenario)?;
    Ok(section)
}

pub(super) fn idle(bench: &Bench) -> Result<Section, String> {
    let mut section = Section::default();
    let words = format!("--torrents {}", bench.size(10_000));
    let scenario = Scenario { name: "idle", words, columns: IDLE, memory: 512, work: &bench.work };
    run(bench, &mut section, "", &clients(bench, None), &scenario)?;
    Ok(section)
}

/// The pair of 2 GiB.
fn big<'a>(bench: &Bench, piece: u32, work: &'a Path) -> Scenario<'a> {
    let size = bench.size(2048);
    let words = format!("--size {size} --piece {piece}");
    Scenario { name: "pair", words, columns: TRANSFER, memory: size, work }
}

/// The clients that are here; ours is the last.
fn clients(bench: &Bench, more: Option<&'static str>) -> Vec<&'static str> {
    let libtorrent = bench.peers.libtorrent.as_ref().map(|_| "libtorrent");
    let rqbit = bench.peers.rqbit.as_ref().map(|_| "rqbit");
    [libtorrent, rqbit, more, Some("headwater")].into_iter().flatten().collect()
}

/// Runs a scenario with all clients in turns, as often as there are rounds.
fn run(
    bench: &Bench,
    section: &mut Section,
    title: &str,
    clients: &[&str],
    scenario: &Scenario<'_>,
) -> Result<(), String> {
    run_between(bench, section, title, clients, scenario, || {})
}

/// The same, with something else after each round.
fn run_between(
    bench: &Bench,
    section: &mut Section,
    title: &str,
    clients: &[&str],
    scenario: &Scenario<'_>,
    mut between: impl FnMut(),
) -> Result<(), String> {
    let harness = harness()?;
    let Scenario { name, words, .. } = scenario;
    let mut table = Table::new(title, scenario.columns);
    for _ in 0..bench.rounds {
        for client in clients {
            for record in records(bench, &harness, client, scenario)? {
                table.add(&who(&record), figures(&record));
            }
        }
        between();
    }
    section.tables.push(table);
    let shown =
        format!("$HEADWATER_BENCH/bench.py {name} {words} --rounds 1 --timeout 300 --work … --clients");
    section.commands.extend(clients.iter().map(|client| format!("python3 {shown} {client}")));
    Ok(())
}

fn harness() -> Result<PathBuf, String> {
    let folder = named("HEADWATER_BENCH").ok_or(
        "HEADWATER_BENCH is not set\nhint: it names the folder of the Python harness (bench.py); create, peers, crowd500, many and hash do without",
    )?;
    if folder.join("bench.py").exists() {
        Ok(folder)
    } else {
        Err(format!("{} has no bench.py", folder.display()))
    }
}

/// What the harness has to say of one round with one client.
fn records(
    bench: &Bench,
    harness: &Path,
    client: &str,
    scenario: &Scenario<'_>,
) -> Result<Vec<Value>, String> {
    let results = scenario.work.join("results.jsonl");
    let _ = fs::remove_file(&results);
    let mut command = Command::new("python3");
    command.arg(harness.join("bench.py")).arg(scenario.name).args(scenario.words.split(' '));
    command.args(["--rounds", "1", "--timeout", "300"]);
    command.arg("--work").arg(scenario.work).arg("--results").arg(&results);
    command.arg("--clients").args(client.split(' '));
    command.env("BENCH_HEADWATER", &bench.headwater);
    bench.peers.libtorrent.iter().for_each(|python| _ = command.env("BENCH_LT_PYTHON", python));
    bench.peers.rqbit.iter().for_each(|rqbit| _ = command.env("BENCH_RQBIT", rqbit));
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let mut child = child.map_err(|error| format!("python3: {error}"))?;
    keep_warm(&mut child, scenario).map_err(|error| format!("python3: {error}"))?;
    let status = child.wait().map_err(|error| format!("python3: {error}"))?;
    let text = fs::read_to_string(&results).unwrap_or_default();
    if !status.success() || text.is_empty() {
        return Err(format!("the harness ended with {status} and no result"));
    }
    text.lines().map(|line| serde_json::from_str(line).map_err(|error| error.to_string())).collect()
}

/// Holds the memory that a run will use until its downloaders are about to start: what is free for some seconds, as while the seeder
/// checks its file, the host of a virtual machine takes back.
fn keep_warm(child: &mut Child, scenario: &Scenario<'_>) -> io::Result<()> {
    let started = scenario.work.join("leech");
    let held = held(scenario.memory);
    while !started.exists() && child.try_wait()?.is_none() {
        thread::sleep(POLL);
    }
    drop(held);
    Ok(())
}

fn who(record: &Value) -> String {
    let name = |key: &str| record[key].as_str().map(str::to_owned);
    let leech = name("leech").unwrap_or_default();
    name("seed").filter(|seed| *seed != leech).map_or(leech.clone(), |seed| format!("{seed} → {leech}"))
}

/// The columns of the scenario.
fn figures(record: &Value) -> Result<Vec<Option<f64>>, String> {
    if let Some(error) = record["error"].as_str() {
        return Err(error.to_owned());
    }
    let number = |key: &str| record[key].as_f64();
    let both = |key: &str| Some(record[key].as_array()?.iter().filter_map(Value::as_f64).sum::<f64>());
    let per_gib = |key: &str| Some(both(key)? * GIB / number("bytes")?);
    let others = number("others_cpu").map(|share| 100.0 * share);
    let (seed, leech) = (per_gib("seed_cpu"), per_gib("leech_cpu"));
    Ok(match record["scenario"].as_str() {
        Some("recheck") => vec![number("wall"), number("mb_per_s"), leech, number("leech_rss"), others],
        Some("idle") => {
            let cpu = number("idle_cpu_percent");
            vec![number("ready_s"), both("add_cpu"), number("rss"), number("kib_per_torrent"), cpu]
        }
        _ => {
            let sum = seed.zip(leech).map(|(seed, leech)| seed + leech);
            let memory = [number("seed_rss"), number("leech_rss"), others];
            [number("wall"), number("mb_per_s"), seed, leech, sum].into_iter().chain(memory).collect()
        }
    })
}
