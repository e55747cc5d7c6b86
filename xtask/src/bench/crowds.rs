//! Many peers on one torrent, and many torrents between two processes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::creators::fill;
use super::machine::{Bystanders, Cost, Running, cost, cpu, warm};
use super::report::{Column, Section, Table};
use super::{Bench, MB, MIB};
use crate::step::output;

/// Where the seeder listens.
const AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 21_000);

/// How long a seeder may take to check what it has.
const PATIENCE: Duration = Duration::from_secs(60);

/// MiB that a crowd gets: more than a seeder sends in the ten seconds after which it serves as many as its rate is enough for.
const CROWD_SIZE: u32 = 32 << 10;

const CROWD: &[Column] = &[
    Column("MB/s", 0, Some(true)),
    Column("seeder CPU-s/GiB", 2, Some(false)),
    Column("load process CPU-s/GiB", 2, None),
    Column("seeder RSS MiB", 0, None),
    Column("peers that got a block", 0, None),
    Column("others' CPU %", 0, None),
];

const MANY: &[Column] = &[
    Column("wall s", 2, Some(false)),
    Column("MB/s", 0, Some(true)),
    Column("seeder CPU-s/GiB", 2, Some(false)),
    Column("downloader CPU-s/GiB", 2, Some(false)),
    Column("seeder RSS MiB", 0, None),
    Column("downloader RSS MiB", 0, None),
    Column("others' CPU %", 0, None),
];

const SEVERAL: &[Column] = &[
    Column("wall s", 2, None),
    Column("MB/s", 0, None),
    Column("downloader CPU-s/GiB", 2, None),
    Column("downloader RSS MiB", 0, None),
    Column("others' CPU %", 0, None),
];

/// One downloader that gets the same torrent from so many seeders.
pub(super) fn several(bench: &Bench) -> Result<Section, String> {
    let torrents = torrents(bench, 1, bench.size(2048))?;
    let mut table = Table::new("", SEVERAL);
    for _ in 0..bench.rounds {
        for seeders in [1, 4, 16] {
            warm(bench.size(2048));
            let figures = transfer(bench, &torrents, seeders, bench.size(2048)).map(|figures| {
                // The seeders' share the cores with the downloader, and are of no interest here.
                [0, 1, 3, 5, 6].map(|column: usize| figures[column]).to_vec()
            });
            table.add(&format!("headwater, seeders: {seeders}"), figures);
        }
    }
    let mut section = Section { tables: vec![table], ..Section::default() };
    section.commands.push("headwater seed -i LIST -d DIR --listen 127.0.0.1:21000 & …".into());
    section
        .commands
        .push("headwater get -i LIST -d OTHER --peer 127.0.0.1:21000 --peer … --seed-time 0".into());
    Ok(section)
}

/// One load process with one peer and with 500, each with a seeder of its own.
pub(super) fn crowd(bench: &Bench) -> Result<Section, String> {
    let torrents = torrents(bench, 1, bench.size(1024))?;
    let mebibytes = bench.size(CROWD_SIZE);
    let mut table = Table::new("", CROWD);
    for _ in 0..bench.rounds {
        for (name, peers) in [("one peer", 1), ("500 peers, headwater", 500)] {
            warm(512);
            table.add(name, load(bench, &torrents, peers, mebibytes));
        }
    }
    let mut section = Section { tables: vec![table], ..Section::default() };
    let note = format!(
        "One load process connects all peers, each interested and with 250 requests outstanding; it discards what it gets, {mebibytes} MiB in all.\n\
         × is 500 peers beside one."
    );
    section.notes.push(note);
    section.commands.push("headwater seed -i LIST -d DIR --listen 127.0.0.1:21000 &".into());
    Ok(section)
}

fn load(bench: &Bench, torrents: &[PathBuf], peers: u32, mebibytes: u32) -> Result<Vec<Option<f64>>, String> {
    let seeder = seed(bench, torrents, AT)?;
    let load = interop::Load::connect(AT, &torrents[0], peers, u64::from(mebibytes) * MIB)
        .map_err(|error| error.to_string())?;
    let (before, own) = (seeder.cpu(), cpu("self", 2));
    let (bystanders, start) = (Bystanders::watch(), Instant::now());
    let served = load.fetch().map_err(|error| error.to_string())?;
    let (wall, seeder_cpu, own) =
        (start.elapsed().as_secs_f64(), seeder.cpu() - before, cpu("self", 2) - own);
    let (served, others) = (u32::try_from(served).ok(), bystanders.share(seeder_cpu));
    let per_gib = |seconds: f64| Some(seconds * 1024.0 / f64::from(mebibytes));
    let rate = Some(f64::from(mebibytes) * MB / wall);
    Ok(vec![rate, per_gib(seeder_cpu), per_gib(own), seeder.peak(), served.map(f64::from), Some(others)])
}

/// One torrent, and as many bytes in 50 of them.
pub(super) fn many(bench: &Bench) -> Result<Section, String> {
    let each = bench.size(40);
    let one = torrents(bench, 1, 50 * each)?;
    let fifty = torrents(bench, 50, each)?;
    let mut table = Table::new("", MANY);
    for _ in 0..bench.rounds {
        for (name, torrents) in [("one torrent", &one), ("50 torrents, headwater", &fifty)] {
            warm(50 * each);
            table.add(name, transfer(bench, torrents, 1, 50 * each));
        }
    }
    let mut section = Section { tables: vec![table], ..Section::default() };
    section.notes.push(format!(
        "{each} MiB each, one process seeds all and one fetches all. × is 50 torrents beside one of as many bytes."));
    section.commands.push("headwater seed -i LIST -d DIR --listen 127.0.0.1:21000 &".into());
    section.commands.push("headwater get -i LIST -d OTHER --peer 127.0.0.1:21000 --seed-time 0".into());
    Ok(section)
}

/// One process fetches torrents from so many that seed them; the figures are in the order of [`MANY`].
fn transfer(
    bench: &Bench,
    torrents: &[PathBuf],
    seeders: u16,
    mebibytes: u32,
) -> Result<Vec<Option<f64>>, String> {
    let ways: Vec<_> = (0..seeders).map(|number| SocketAddr::new(AT.ip(), AT.port() + number)).collect();
    let seeders: Vec<_> = ways.iter().map(|&at| seed(bench, torrents, at)).collect::<Result<_, _>>()?;
    let into = bench.work.join("into");
    let mut get = headwater(bench, "get", 0, torrents)?;
    get.arg("-d").arg(&into).args(["--listen", "127.0.0.1:0", "--seed-time", "0"]);
    for at in &ways {
        get.arg("--peer").arg(at.to_string());
    }
    let spent = || seeders.iter().map(Running::cpu).sum::<f64>();
    let (before, bystanders) = (spent(), Bystanders::watch());
    let Cost { wall, cpu, peak } = cost(&mut get, &bench.work.join("get.log"))?;
    let seeder_cpu = spent() - before;
    let others = bystanders.share(seeder_cpu);
    let _ = fs::remove_dir_all(&into);
    let per_gib = |seconds: f64| Some(seconds * 1024.0 / f64::from(mebibytes));
    let (rate, memory) = (f64::from(mebibytes) * MB / wall, seeders.first().and_then(Running::peak));
    Ok(vec![Some(wall), Some(rate), per_gib(seeder_cpu), per_gib(cpu), memory, peak, Some(others)])
}

/// A seeder of these torrents, ready.
fn seed(bench: &Bench, torrents: &[PathBuf], at: SocketAddr) -> Result<Running, String> {
    let mut command = headwater(bench, "seed", at.port(), torrents)?;
    command.arg("-d").arg(&bench.work).args(["--listen", &at.to_string()]);
    let mut seeder = Running::start(&mut command, &bench.work.join(format!("seed-{}.log", at.port())))?;
    seeder.wait_for("Seeding ", torrents.len(), PATIENCE)?;
    Ok(seeder)
}

/// A command with a fresh state folder and a list of these torrents, numbered so that several can run at once.
fn headwater(bench: &Bench, verb: &str, number: u16, torrents: &[PathBuf]) -> Result<Command, String> {
    let place = |what: &str| bench.work.join(format!("{verb}-{number}{what}"));
    let (list, state) = (place(".txt"), place("-state"));
    let _ = fs::remove_dir_all(&state);
    let lines: Vec<_> = torrents.iter().map(|torrent| torrent.to_string_lossy()).collect();
    fs::write(&list, lines.join("\n")).map_err(|error| format!("{}: {error}", list.display()))?;
    let mut command = Command::new(&bench.headwater);
    command.arg("--state-dir").arg(state).arg(verb).arg("-i").arg(list);
    Ok(command)
}

/// Files of this size in the work folder, and a torrent of each in pieces of 1 MiB.
fn torrents(bench: &Bench, count: u32, mebibytes: u32) -> Result<Vec<PathBuf>, String> {
    (0..count)
        .map(|number| torrent(bench, &bench.work.join(format!("{count}-{number}.bin")), mebibytes))
        .collect()
}

fn torrent(bench: &Bench, file: &Path, mebibytes: u32) -> Result<PathBuf, String> {
    fill(file, u64::from(mebibytes) * MIB).map_err(|error| format!("{}: {error}", file.display()))?;
    let torrent = file.with_extension("torrent");
    let mut create = Command::new(&bench.headwater);
    create.args(["create", "-l", "1MiB", "--format", "v1", "-o"]).arg(&torrent).arg(file);
    output(&mut create)?;
    Ok(torrent)
}
