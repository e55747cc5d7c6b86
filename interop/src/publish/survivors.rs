//! Tracker, origin and web server are three processes; any two of them are killed while downloads run. They still end in the right file.

use std::path::Path;

use super::links::Parts;
use super::{complete, get, number, payload};
use crate::clients::PATIENCE;
use crate::world::{World, fingerprint};
use crate::{Outcome, Setup};

const SIZE: usize = 48 << 20;

/// So slow that much is missing when the two die.
const SLOWLY: [&str; 4] = ["--limit-rate", "4MiB", "--limit-upload", "4MiB"];

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nginx,
    Origin,
    Tracker,
}

pub(super) fn nginx_alone(setup: &Setup) -> Outcome {
    run(setup, Left::Nginx)
}

pub(super) fn origin_alone(setup: &Setup) -> Outcome {
    run(setup, Left::Origin)
}

/// Both sources die: one downloader is complete by then.
pub(super) fn crowd_alone(setup: &Setup) -> Outcome {
    run(setup, Left::Tracker)
}

fn run(setup: &Setup, left: Left) -> Outcome {
    let mut world = World::new()?;
    let (at, web) = (world.address(), world.address());
    let payload = payload(&world, "demo.bin", SIZE)?;
    let mut parts = Parts::start(setup, &world, at, web, &payload)?;
    let mut holder = None;
    if left == Left::Tracker {
        let address = world.address();
        let mut process = get(setup, &world, "holder", address, &parts.torrent, &[])?;
        process.wait_until("complete", PATIENCE, complete)?;
        holder = Some(process);
    }
    let mut downloaders = Vec::new();
    for number in 0..3 {
        let (address, name) = (world.address(), format!("fetched-{number}"));
        downloaders.push((get(setup, &world, &name, address, &parts.torrent, &SLOWLY)?, name));
    }
    for (process, _) in &mut downloaders {
        process.wait_until("under way", PATIENCE, |process| {
            number(process, "done").is_some_and(|done| done > 2 << 20)
        })?;
    }
    for (part, process) in [
        (Left::Tracker, &mut parts.tracker),
        (Left::Origin, &mut parts.origin),
        (Left::Nginx, &mut parts.nginx),
    ] {
        if part != left {
            process.kill();
        }
    }
    if downloaders.iter().all(|(process, _)| complete(process)) {
        return Err("all downloads were over before anything was killed".into());
    }
    let want = fingerprint(&payload)?;
    for (process, name) in &mut downloaders {
        process.wait_until("complete", PATIENCE, complete)?;
        let got = fingerprint(&world.path(name).join(Path::new("demo.bin")))?;
        if got != want {
            return Err(format!("{name} has SHA-256 {got} instead of {want}").into());
        }
    }
    drop(holder);
    Ok(())
}
