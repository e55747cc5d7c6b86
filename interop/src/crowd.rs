//! The main job at full size: one slow origin, five downloaders that trade, and the origin killed half way.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use metainfo::Metainfo;

use crate::matrix::say;
use crate::watch::Watch;
use crate::world::{Process, World, fingerprint, output};
use crate::{Outcome, Setup};

const DOWNLOADERS: usize = 5;
const PORT: u16 = 6881;
const TRACKER_PORT: u16 = 6969;

/// What the origin may send, in per cent of what it has to give: the rest is for the downloaders to trade.
const MOST_FROM_ORIGIN: u64 = 150;

/// 4 GiB at 20 MiB/s are 205 s; four times that is generous.
const PATIENCE: Duration = Duration::from_secs(900);

/// How often the run says how it goes.
const REPORT: Duration = Duration::from_secs(10);

/// At least this often a running transfer reports its progress.
const PROGRESS: Duration = Duration::from_secs(1);

pub(crate) fn run(setup: &Setup, payload: Option<PathBuf>) -> Outcome {
    let mut world = World::new()?;
    let payload = match payload {
        Some(path) => fs::canonicalize(path)?,
        None => big_file(&world)?,
    };
    let at = world.address();
    let torrent = create(setup, &world, &payload, at)?;
    let metainfo = Metainfo::parse(&fs::read(&torrent)?)?;
    let _tracker = tracker(setup, &world, at)?;
    let mut origin =
        origin(setup, &mut world, &torrent, payload.parent().ok_or("the payload has no folder")?)?;
    let (mut downloaders, mut addresses) = (Vec::new(), Vec::new());
    for number in 0..DOWNLOADERS {
        let address = world.address();
        addresses.push((address, PORT));
        downloaders.push(downloader(setup, &world, number, &address.to_string(), &torrent)?);
    }
    let layout = metainfo.info.layout();
    let watch = Watch::start(&addresses, metainfo.info.wire_hash(), layout.piece_count());
    let start = Instant::now();
    spread(&watch, &origin)?;
    let (elapsed, waiting) = (start.elapsed(), downloaders.iter().filter(|process| !done(process)).count());
    // The counter is a progress event behind: the origin stays a moment longer than it would have to.
    thread::sleep(PROGRESS);
    let sent = uploaded(&origin).ok_or("the origin reported no bytes sent")?;
    origin.kill();
    say(&format!(
        "every piece is among the downloaders after {elapsed:.1?}, {waiting} of them unfinished: origin killed"
    ));
    for process in &mut downloaders {
        process.wait_until("complete", PATIENCE, done)?;
    }
    say(&format!("all complete after {:.1?}", start.elapsed()));
    let share = sent * 100 / layout.content_length();
    say(&format!("the origin sent {sent} bytes, {share} % of the size"));
    if share > MOST_FROM_ORIGIN {
        return Err(format!("the origin sent more than {MOST_FROM_ORIGIN} % of the size").into());
    }
    compare(&world, &payload)
}

/// Waits until every piece is somewhere among the downloaders, saying how it goes.
fn spread(watch: &Watch, origin: &Process) -> Outcome {
    let start = Instant::now();
    let mut next = REPORT;
    loop {
        let (covered, pieces) = watch.covered();
        let elapsed = start.elapsed();
        if elapsed >= next || covered == pieces {
            next += REPORT;
            let sent = uploaded(origin).unwrap_or(0) >> 20;
            say(&format!(
                "{elapsed:.0?}: {covered} of {pieces} pieces among the downloaders, {sent} MiB sent by the origin"
            ));
        }
        if covered == pieces {
            return Ok(());
        }
        if elapsed > PATIENCE {
            return Err(format!("not every piece is among the downloaders after {PATIENCE:?}").into());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn done(process: &Process) -> bool {
    process.stdout().contains("Done:")
}

fn create(setup: &Setup, world: &World, payload: &Path, at: Ipv4Addr) -> Result<PathBuf, Box<dyn Error>> {
    let start = Instant::now();
    let torrent = world.path("crowd.torrent");
    let url = format!("http://{at}:{TRACKER_PORT}/announce");
    let mut command = Command::new(&setup.headwater);
    command.args(["create", "--hidden", "-t", &url, "-o"]).arg(&torrent).arg(payload);
    say(output(&mut command)?.trim());
    say(&format!("created in {:.1?}", start.elapsed()));
    Ok(torrent)
}

fn tracker(setup: &Setup, world: &World, at: Ipv4Addr) -> Result<Process, Box<dyn Error>> {
    let mut command = Command::new(&setup.headwater);
    command.args(["track", "--interval", "10s", "--http", &format!("{at}:{TRACKER_PORT}")]);
    let mut tracker = world.start("tracker", &mut command)?;
    tracker.wait_until("listening", PATIENCE, |_| TcpStream::connect((at, TRACKER_PORT)).is_ok())?;
    Ok(tracker)
}

fn origin(
    setup: &Setup,
    world: &mut World,
    torrent: &Path,
    folder: &Path,
) -> Result<Process, Box<dyn Error>> {
    let address = world.address().to_string();
    let mut command = headwater(setup, world, "origin", "seed", &address)?;
    command.args(["--progress", "json", "--limit-upload", "20MiB"]).arg(torrent).arg("-d").arg(folder);
    let mut origin = world.start("origin", &mut command)?;
    origin.wait_until("seeding", PATIENCE, seeding)?;
    Ok(origin)
}

fn compare(world: &World, payload: &Path) -> Outcome {
    let name = payload.file_name().ok_or("the payload has no name")?;
    let want = fingerprint(payload)?;
    for number in 0..DOWNLOADERS {
        let got = fingerprint(&world.path(&format!("fetched-{number}")).join(name))?;
        if got != want {
            return Err(format!("downloader {number} has SHA-256 {got} instead of {want}").into());
        }
    }
    say(&format!("ok    {DOWNLOADERS} copies equal, SHA-256 {want}"));
    Ok(())
}

fn downloader(
    setup: &Setup,
    world: &World,
    number: usize,
    address: &str,
    torrent: &Path,
) -> Result<Process, Box<dyn Error>> {
    let name = format!("fetched-{number}");
    let mut command = headwater(setup, world, &name, "get", address)?;
    command
        .args(["--limit-upload", "40MiB", "--seed-time", "1h"])
        .arg(torrent)
        .arg("-d")
        .arg(world.folder(&name)?);
    world.start(&name, &mut command)
}

fn headwater(
    setup: &Setup,
    world: &World,
    name: &str,
    verb: &str,
    address: &str,
) -> Result<Command, Box<dyn Error>> {
    let mut command = Command::new(&setup.headwater);
    command.arg("--state-dir").arg(world.folder(&format!("{name}-state"))?);
    command.args([verb, "--no-lsd", "--listen", &format!("{address}:{PORT}")]);
    Ok(command)
}

/// Whether an origin with `--progress json` says that it seeds.
pub(crate) fn seeding(process: &Process) -> bool {
    process.stdout().contains(r#""event":"seeding""#)
}

/// The payload bytes a process says it has sent, from its last progress event.
pub(crate) fn uploaded(process: &Process) -> Option<u64> {
    let text = process.stdout() + &process.stderr();
    let events = text.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    events.into_iter().find_map(|event| event.get("uploaded")?.as_u64())
}

fn big_file(world: &World) -> Result<PathBuf, Box<dyn Error>> {
    let path = world.path("big.bin");
    let mut file = File::create(&path)?;
    let mut random = fastrand::Rng::with_seed(4);
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..4096 {
        random.fill(&mut buffer);
        file.write_all(&buffer)?;
    }
    file.write_all(b"!")?;
    Ok(path)
}
