//! Two of us in one network, with nothing but local discovery (BEP 14) to find each other.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::clients::{PATIENCE, PORT};
use crate::matrix::{noise, report};
use crate::world::{Process, World, fingerprint, output};
use crate::{Outcome, Setup};

pub(crate) fn run(setup: &Setup, words: &[&str]) -> Outcome {
    let mut failures = Vec::new();
    let title = "neighbours without a tracker";
    if words.iter().all(|word| title.contains(&word.to_lowercase())) {
        report(title, &mut failures, || neighbours(setup));
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("failed: {title}").into()) }
}

fn neighbours(setup: &Setup) -> Outcome {
    let mut world = World::new()?;
    let (payload, torrent) = (world.folder("payload")?.join("film.bin"), world.path("film.torrent"));
    fs::write(&payload, noise(5 << 20))?;
    output(Command::new(&setup.headwater).arg("create").arg(&payload).arg("-o").arg(&torrent))?;
    let (shared, fetched) = (world.folder("payload")?, world.folder("fetched")?);
    let mut seed = start(setup, &mut world, "seed", &torrent, &shared)?;
    seed.wait_until("seeding", PATIENCE, |process| process.stdout().contains("Seeding "))?;
    let mut get = start(setup, &mut world, "get", &torrent, &fetched)?;
    get.finish(PATIENCE)?;
    let (want, got) = (fingerprint(&payload)?, fingerprint(&fetched.join("film.bin"))?);
    if want == got { Ok(()) } else { Err(format!("SHA-256 {want} became {got}").into()) }
}

fn start(
    setup: &Setup,
    world: &mut World,
    role: &str,
    torrent: &Path,
    folder: &Path,
) -> Result<Process, Box<dyn std::error::Error>> {
    let mut command = Command::new(&setup.headwater);
    command.arg("--state-dir").arg(world.folder(&format!("{role}-state"))?).arg(role).arg(torrent).arg("-d");
    command.arg(folder).args(["--listen", &format!("{}:{PORT}", world.address()), "--no-dht", "-v"]);
    if role == "get" {
        command.args(["--seed-time", "0"]);
    }
    world.start(role, &mut command)
}
