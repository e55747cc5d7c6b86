//! Every foreign client in both directions over both trackers, over one of them by UDP, and once in secret, then all of them in one swarm.
//!
//! Transmission 3.00 refuses every hybrid torrent, and aria2 1.36 computes a wrong hash for it (whoever made it), so these two are
//! given v1 torrents; libtorrent is given hybrids.

use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::clients::{Client, OTHERS, PATIENCE, Peer, Task};
use crate::creators::field;
use crate::world::{Process, World, fingerprint, output};
use crate::{Outcome, Setup};

/// The port both trackers listen on.
const TRACKER_PORT: u16 = 6969;

/// Their address: the first of the world.
const TRACKER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracker {
    Headwater,
    Opentracker,
    /// The same by UDP (BEP 15).
    OpentrackerUdp,
}

impl Tracker {
    fn url(self, at: Ipv4Addr) -> String {
        let scheme = if self == Self::OpentrackerUdp { "udp" } else { "http" };
        format!("{scheme}://{at}:{TRACKER_PORT}/announce")
    }

    /// aria2 speaks to UDP trackers through its DHT's socket, and has no DHT here.
    fn is_spoken_by(self, client: Client) -> bool {
        (self, client) != (Self::OpentrackerUdp, Client::Aria2)
    }
}

/// A payload with its torrent.
struct Release {
    torrent: PathBuf,
    /// The folder that holds the payload.
    folder: PathBuf,
    name: OsString,
}

pub(crate) fn run(setup: &Setup, words: &[&str]) -> Outcome {
    let mut failures = Vec::new();
    let wanted = |title: &str| words.iter().all(|word| title.to_lowercase().contains(&word.to_lowercase()));
    for tracker in [Tracker::Headwater, Tracker::Opentracker, Tracker::OpentrackerUdp] {
        for client in OTHERS.into_iter().filter(|&client| tracker.is_spoken_by(client)) {
            for they_seed in [false, true] {
                let title = direction(client, they_seed, &format!("over {tracker:?}"));
                if wanted(&title) {
                    report(&title, &mut failures, || cell(setup, tracker, client, they_seed, false));
                }
            }
        }
    }
    for tracker in [Tracker::Headwater, Tracker::Opentracker] {
        let title = format!("mixed swarm of four over {tracker:?}");
        if wanted(&title) {
            report(&title, &mut failures, || mixed(setup, tracker));
        }
    }
    for client in OTHERS {
        for they_seed in [false, true] {
            let title = direction(client, they_seed, "encrypted");
            if wanted(&title) {
                report(&title, &mut failures, || cell(setup, Tracker::Headwater, client, they_seed, true));
            }
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(format!("{} failed: {}", failures.len(), failures.join("; ")).into())
    }
}

fn direction(client: Client, they_seed: bool, how: &str) -> String {
    if they_seed {
        format!("{client:?} -> Headwater {how}")
    } else {
        format!("Headwater -> {client:?} {how}")
    }
}

pub(crate) fn report(title: &str, failures: &mut Vec<String>, run: impl FnOnce() -> Outcome) {
    let start = Instant::now();
    let outcome = run();
    let seconds = start.elapsed().as_secs_f32();
    match outcome {
        Ok(()) => say(&format!("ok    {title} ({seconds:.1} s)")),
        Err(error) => {
            say(&format!("FAIL  {title} ({seconds:.1} s): {error}"));
            failures.push(title.to_owned());
        }
    }
}

/// One seed, one downloader; the file must be right in the end.
fn cell(setup: &Setup, tracker: Tracker, client: Client, they_seed: bool, encrypted: bool) -> Outcome {
    let mut world = World::new()?;
    let at = world.address();
    let url = tracker.url(at);
    let release = match (client, they_seed) {
        (Client::Libtorrent, _) => tree(setup, &world, &url, "hybrid")?,
        (_, true) => single_file(setup, &world, &url, "v1")?,
        (_, false) => tree(setup, &world, &url, "v1")?,
    };
    let _tracker = start_tracker(setup, &world, tracker, at, &release)?;
    let (seed, leech) = if they_seed { (client, Client::Headwater) } else { (Client::Headwater, client) };
    let mut origin = start(setup, &mut world, seed, &release, Role { name: "seed", seed: true, encrypted })?;
    origin.complete()?;
    let mut downloader =
        start(setup, &mut world, leech, &release, Role { name: "leech", seed: false, encrypted })?;
    downloader.complete()?;
    same(&release, &downloader.folder)
}

/// Our origin and one downloader of each kind; all end with the file.
fn mixed(setup: &Setup, tracker: Tracker) -> Outcome {
    let mut world = World::new()?;
    let at = world.address();
    let release = tree(setup, &world, &tracker.url(at), "v1")?;
    let _tracker = start_tracker(setup, &world, tracker, at, &release)?;
    let mut origin = start(
        setup,
        &mut world,
        Client::Headwater,
        &release,
        Role { name: "origin", seed: true, encrypted: false },
    )?;
    origin.complete()?;
    let mut peers = Vec::new();
    for client in [Client::Headwater, Client::Transmission, Client::Aria2, Client::Libtorrent] {
        peers.push(start(
            setup,
            &mut world,
            client,
            &release,
            Role { name: "mixed", seed: false, encrypted: false },
        )?);
    }
    for peer in &mut peers {
        peer.complete()?;
        same(&release, &peer.folder)?;
    }
    Ok(())
}

/// What one client of a cell does.
struct Role {
    name: &'static str,
    seed: bool,
    encrypted: bool,
}

/// A client at an address of its own; a downloader gets an empty folder.
fn start(
    setup: &Setup,
    world: &mut World,
    client: Client,
    release: &Release,
    Role { name, seed, encrypted }: Role,
) -> Result<Peer, Box<dyn std::error::Error>> {
    let folder = if seed { release.folder.clone() } else { world.folder(&format!("fetched-{client:?}"))? };
    // Transmission announces from whichever address the system picks, which is that of the tracker here.
    let address = if client == Client::Transmission { TRACKER } else { world.address() };
    client.start(
        setup,
        world,
        &Task {
            role: name,
            torrent: &release.torrent,
            folder: &folder,
            address,
            seed,
            upload: None,
            encrypted,
        },
    )
}

fn same(release: &Release, folder: &Path) -> Outcome {
    let (want, got) =
        (fingerprint(&release.folder.join(&release.name))?, fingerprint(&folder.join(&release.name))?);
    if want == got { Ok(()) } else { Err(format!("the files differ: SHA-256 {want} became {got}").into()) }
}

fn start_tracker(
    setup: &Setup,
    world: &World,
    tracker: Tracker,
    at: Ipv4Addr,
    release: &Release,
) -> Result<Process, Box<dyn std::error::Error>> {
    let mut command = match tracker {
        Tracker::Headwater => {
            let mut command = Command::new(&setup.headwater);
            command.args(["track", "--interval", "10s", "--http", &format!("{at}:{TRACKER_PORT}")]);
            command
        }
        Tracker::Opentracker | Tracker::OpentrackerUdp => {
            // It changes its root to a folder and gives up its privileges before it reads the list.
            let root = world.folder("opentracker")?;
            let hash = field(setup, &release.torrent, "v1")?;
            fs::write(root.join("allowed"), format!("{hash}\n"))?;
            world.open_to_all()?;
            let mut command = Command::new("opentracker");
            let port = TRACKER_PORT.to_string();
            command.args(["-i", &at.to_string(), "-p", &port, "-P", &port, "-w", "/allowed", "-d"]).arg(root);
            command
        }
    };
    let mut process = world.start("tracker", &mut command)?;
    process
        .wait_until("listening", PATIENCE, |_| std::net::TcpStream::connect((at, TRACKER_PORT)).is_ok())?;
    Ok(process)
}

/// 24 MiB in one file: what other clients can seed from our data, since it needs no padding files.
fn single_file(
    setup: &Setup,
    world: &World,
    url: &str,
    format: &str,
) -> Result<Release, Box<dyn std::error::Error>> {
    let folder = world.folder("payload")?;
    fs::write(folder.join("film.bin"), noise(24 << 20))?;
    create(setup, world, &folder.join("film.bin"), format, url)
}

/// A folder of files of many sizes; none is empty, since Transmission 3.00 makes no empty files.
fn tree(
    setup: &Setup,
    world: &World,
    url: &str,
    format: &str,
) -> Result<Release, Box<dyn std::error::Error>> {
    let folder = world.folder("payload")?;
    for (index, size) in [1, 16_384, 16_385, 100_000, 1 << 20, 5_000_001, 12_345_678].into_iter().enumerate()
    {
        let sub = world.folder(&format!("payload/tree/d{}", index % 3))?;
        fs::write(sub.join(format!("f{index}")), noise(size))?;
    }
    create(setup, world, &folder.join("tree"), format, url)
}

fn create(
    setup: &Setup,
    world: &World,
    payload: &Path,
    format: &str,
    url: &str,
) -> Result<Release, Box<dyn std::error::Error>> {
    let torrent = world.path("release.torrent");
    output(
        Command::new(&setup.headwater)
            .arg("create")
            .arg(payload)
            .args(["--format", format, "-t", url, "-o"])
            .arg(&torrent),
    )?;
    let (folder, name) = payload.parent().zip(payload.file_name()).ok_or("the payload has no name")?;
    Ok(Release { torrent, folder: folder.to_owned(), name: name.to_owned() })
}

pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    fastrand::Rng::with_seed(size as u64).fill(&mut bytes);
    bytes
}

#[expect(clippy::print_stdout, reason = "the run's report is its product")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
