//! The receipt against the clients' own counters, with liars in the swarm; then the publisher starts again and still knows.

use std::error::Error;
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use metainfo::Metainfo;
use serde_json::Value;

use super::liar::Liar;
use super::{ORIGIN_PORT, Publisher, complete, curl, get, number, payload, publish, save};
use crate::clients::{PATIENCE, PORT};
use crate::matrix::say;
use crate::world::{Process, World};
use crate::{Outcome, Setup};

const SIZE: usize = 64 << 20;

/// How long the proof of a download may take: a holder unchokes strangers in turns of half a minute.
const PROOF: Duration = Duration::from_secs(120);

pub(super) fn run(setup: &Setup) -> Outcome {
    let mut world = World::new()?;
    let at = world.address();
    let payload = payload(&world, "demo.bin", SIZE)?;
    let mut site =
        publish(setup, &world, at, &payload, &["--limit-upload", "16MiB", "--price-per-gb", "0.09"])?;
    let (torrent, url) = (world.path("demo.torrent"), format!("{}/demo.bin.torrent", site.url));
    save(&url, &torrent)?;
    let metainfo = Metainfo::parse(&fs::read(&torrent)?)?;
    let mut ours = Vec::new();
    for number in 0..3 {
        let address = world.address();
        ours.push(get(setup, &world, &format!("get-{number}"), address, &url, &["--limit-upload", "16MiB"])?);
    }
    let mut theirs = Vec::new();
    for number in 0..2 {
        theirs.push(libtorrent(setup, &mut world, number, &torrent)?);
    }
    let origin = (at, ORIGIN_PORT);
    let liars: Vec<Liar> = (0..3).map(|number| Liar::start(origin, &site.url, &metainfo, number)).collect();
    for process in &mut ours {
        process.wait_until("complete", PATIENCE, complete)?;
    }
    for process in &mut theirs {
        process.wait_until("complete", PATIENCE, |process| process.stdout().contains("complete"))?;
    }
    let receipt = proved(&site, 5)?;
    drop(liars);
    let clients = clients(&ours, &theirs)?;
    compare(&receipt, clients)?;
    site.process.terminate()?;
    let site = publish(setup, &world, at, &payload, &[])?;
    let again = total(&site)?;
    for key in ["delivered", "verified", "claimed"] {
        if again[key] != receipt[key] {
            return Err(format!("{key} was {} before the restart and is {}", receipt[key], again[key]).into());
        }
    }
    Ok(())
}

/// The receipt, once so many downloads are proved.
fn proved(site: &Publisher, downloads: u64) -> Result<Value, Box<dyn Error>> {
    let deadline = Instant::now() + PROOF;
    loop {
        let receipt = total(site)?;
        if receipt["verified"].as_u64() >= Some(downloads) {
            return Ok(receipt);
        }
        if Instant::now() > deadline {
            return Err(format!("{downloads} downloads, and the receipt says {receipt}").into());
        }
        thread::sleep(Duration::from_millis(500));
    }
}

fn total(site: &Publisher) -> Result<Value, Box<dyn Error>> {
    let receipt: Value = serde_json::from_str(&curl(&format!("{}/receipt.json", site.url))?)?;
    Ok(receipt["total"].clone())
}

/// Payload bytes that the clients say they received.
fn clients(ours: &[Process], theirs: &[Process]) -> Result<u64, Box<dyn Error>> {
    let ours = ours.iter().map(|process| number(process, "downloaded"));
    let theirs = theirs.iter().map(|process| {
        let text = process.stdout();
        text.lines().rev().find_map(|line| line.strip_prefix("complete ")?.trim().parse().ok())
    });
    ours.chain(theirs).map(|bytes| bytes.ok_or_else(|| "a client does not say what it received".into())).sum()
}

fn compare(receipt: &Value, clients: u64) -> Outcome {
    let number = |key: &str| receipt[key].as_u64().unwrap_or(0);
    let (delivered, sent, saved) = (number("delivered"), number("sent"), number("saved"));
    say(&format!(
        "      clients received {clients}, delivered {delivered}, origin sent {sent}, saved {saved}, verified {}, claimed {}",
        receipt["verified"], receipt["claimed"]
    ));
    if delivered.abs_diff(clients) * 100 > clients {
        return Err(format!("{delivered} delivered is not within 1 % of {clients}").into());
    }
    if number("verified") != 5 || saved != delivered - sent {
        return Err(format!("the receipt says {receipt}").into());
    }
    Ok(())
}

fn libtorrent(
    setup: &Setup,
    world: &mut World,
    number: u8,
    torrent: &std::path::Path,
) -> Result<Process, Box<dyn Error>> {
    let name = format!("libtorrent-{number}");
    let (folder, address): (_, Ipv4Addr) = (world.folder(&name)?, world.address());
    let mut command = Command::new(&setup.python);
    command.arg(setup.scripts.join("libtorrent_peer.py")).arg(torrent).arg(folder);
    // The last words: no limit of its upload, encryption as it likes.
    command.args([address.to_string(), PORT.to_string(), "0".to_owned(), "allow".to_owned()]);
    world.start(&name, &mut command)
}
