//! `kill -9` in the middle of a download: what was finished at the last save is not fetched again.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::crowd::{seeding, uploaded};
use crate::matrix::say;
use crate::world::{Process, World, fingerprint, output};
use crate::{Outcome, Setup};

const SIZE: usize = 384 << 20;

/// The save interval promised, times the origin's rate, and a second more: what a kill may cost.
const MOST_LOST: u64 = 6 * RATE;

const RATE: u64 = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run(setup: &Setup) -> Outcome {
    let mut world = World::new()?;
    let folder = world.folder("payload")?;
    let mut bytes = vec![0; SIZE];
    fastrand::Rng::with_seed(5).fill(&mut bytes);
    fs::write(folder.join("film.bin"), bytes)?;
    let torrent = world.path("film.torrent");
    output(
        Command::new(&setup.headwater)
            .arg("create")
            .args(["-l", "256KiB", "-o"])
            .arg(&torrent)
            .arg(folder.join("film.bin")),
    )?;
    let address = world.address();
    let mut command = Command::new(&setup.headwater);
    command.arg("--state-dir").arg(world.folder("origin-state")?).args([
        "--progress",
        "json",
        "seed",
        "--limit-upload",
        "16MiB",
    ]);
    command.arg(&torrent).arg("-d").arg(&folder).args(["--listen", &format!("{address}:6881")]);
    let mut origin = world.start("origin", &mut command)?;
    origin.wait_until("seeding", PATIENCE, seeding)?;

    let peer = format!("{address}:6881");
    let mut first = get(setup, &world, &torrent, &peer)?;
    first.wait_until("past half of the file", PATIENCE, |_| {
        uploaded(&origin).unwrap_or(0) > SIZE as u64 / 2
    })?;
    first.kill();
    // The origin's counter is a progress event behind.
    thread::sleep(Duration::from_secs(2));
    let before = uploaded(&origin).unwrap_or(0);
    let mut second = get(setup, &world, &torrent, &peer)?;
    second.finish(PATIENCE)?;
    thread::sleep(Duration::from_secs(2));
    let total = uploaded(&origin).unwrap_or(0);
    let again = total.saturating_sub(SIZE as u64);
    say(&format!("killed after {before} bytes; fetched again: {again} bytes of {SIZE}"));
    if fingerprint(&folder.join("film.bin"))? != fingerprint(&world.path("fetched").join("film.bin"))? {
        return Err("the files differ".into());
    }
    if again > MOST_LOST {
        return Err(format!("{again} bytes were fetched again, more than {MOST_LOST}").into());
    }
    say("ok    kill -9 and restart");
    Ok(())
}

fn get(
    setup: &Setup,
    world: &World,
    torrent: &Path,
    peer: &str,
) -> Result<Process, Box<dyn std::error::Error>> {
    let mut command = Command::new(&setup.headwater);
    command.arg("--state-dir").arg(world.folder("state")?).args(["get", "--seed-time", "0", "--peer", peer]);
    command.arg(torrent).arg("-d").arg(world.folder("fetched")?);
    world.start("downloader", &mut command)
}
