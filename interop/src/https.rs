//! Announces over HTTPS alone: every client that speaks it completes with a test authority, and we refuse every certificate
//! that is not good.
//!
//! aria2 is not among them: Debian's looks at system-wide authorities only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clients::{Client, PATIENCE, Task};
use crate::matrix::{noise, report};
use crate::tls::{Authority, Certificate};
use crate::world::{Process, World, fingerprint, output};
use crate::{Outcome, Setup};

/// The port of the tracker.
const PORT: u16 = 6970;

/// A year that has not come, and one that is over.
const GOOD: i32 = 2100;
const OVER: i32 = 2020;

type Trouble = Box<dyn std::error::Error>;

pub(crate) fn run(setup: &Setup, words: &[&str]) -> Outcome {
    let mut failures = Vec::new();
    let wanted = |title: &str| words.iter().all(|word| title.to_lowercase().contains(&word.to_lowercase()));
    for client in [Client::Headwater, Client::Transmission, Client::Libtorrent] {
        let title = format!("Headwater -> {client:?} announcing over HTTPS");
        if wanted(&title) {
            report(&title, &mut failures, || completes(setup, client));
        }
    }
    let title = "get refuses trackers with foreign, expired and other names' certificates over HTTPS";
    if wanted(title) {
        report(title, &mut failures, || refused(setup));
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
}

/// Our origin and one downloader, who know each other only from the tracker.
fn completes(setup: &Setup, client: Client) -> Outcome {
    let mut world = World::new()?;
    let at = world.address();
    let authority = Authority::new("the test's authority")?;
    let trusted = authority.write(world.path("authority.pem"))?;
    let certificate = authority.vouch(&world.folder("tls")?, &at.to_string(), GOOD)?;
    world.trust(trusted);
    let _tracker = tracker(setup, &world, &at.to_string(), &certificate)?;
    let (torrent, payload) = release(setup, &world, &at.to_string())?;
    let folder = world.folder("payload")?;
    let origin = Task {
        role: "origin",
        torrent: &torrent,
        folder: &folder,
        address: world.address(),
        seed: true,
        upload: None,
        encrypted: false,
    };
    let mut origin = Client::Headwater.start(setup, &world, &origin)?;
    origin.complete()?;
    let fetched = world.folder("fetched")?;
    // Transmission announces from whichever address the system picks, which is that of the tracker here.
    let address = if client == Client::Transmission { at } else { world.address() };
    let leech = Task {
        role: "leech",
        torrent: &torrent,
        folder: &fetched,
        address,
        seed: false,
        upload: None,
        encrypted: false,
    };
    let mut leech = client.start(setup, &world, &leech)?;
    leech.complete()?;
    let (want, got) = (fingerprint(&payload)?, fingerprint(&fetched.join("film.bin"))?);
    if want == got { Ok(()) } else { Err("the files differ".into()) }
}

/// Downloads whose only tracker has a bad certificate end with the code for network trouble, and say why.
fn refused(setup: &Setup) -> Outcome {
    let mut world = World::new()?;
    let (authority, stranger) = (Authority::new("the test's authority")?, Authority::new("somebody else")?);
    world.trust(authority.write(world.path("authority.pem"))?);
    let kinds: [(&str, &Authority, Option<&str>, i32); 3] = [
        ("foreign", &stranger, None, GOOD),
        ("expired", &authority, None, OVER),
        ("misnamed", &authority, Some("198.18.0.99"), GOOD),
    ];
    let mut running = Vec::new();
    for (kind, authority, host, year) in kinds {
        let at = world.address().to_string();
        let certificate = authority.vouch(&world.folder(kind)?, host.unwrap_or(&at), year)?;
        let tracker = tracker(setup, &world, &at, &certificate)?;
        let (torrent, _) = release(setup, &world, &at)?;
        let mut command = Command::new(&setup.headwater);
        command.arg("--state-dir").arg(world.folder(&format!("state-{kind}"))?).arg("get").arg(&torrent);
        command.arg("-d").arg(world.folder(&format!("fetched-{kind}"))?);
        // Others without anybody to fetch from, who would find it in the local network, would let it hope.
        command.args(["--no-lsd", "--listen", &format!("{}:6881", world.address())]);
        running.push((kind, tracker, world.start(kind, &mut command)?));
    }
    // Each waits a minute for somebody to fetch from, all of them for the same minute.
    for (kind, _tracker, get) in &mut running {
        let code = get.exit_code(2 * PATIENCE)?;
        let said = get.stderr();
        if code != Some(6) || !said.contains("certificate") {
            return Err(
                format!("{kind}: exit {code:?}, wanted 6 and a word on the certificate: {said}").into()
            );
        }
    }
    Ok(())
}

fn tracker(setup: &Setup, world: &World, at: &str, certificate: &Certificate) -> Result<Process, Trouble> {
    let mut command = Command::new(&setup.headwater);
    command.args(["track", "--interval", "10s", "--https", &format!("{at}:{PORT}"), "--tls-cert"]);
    command.arg(&certificate.cert).arg("--tls-key").arg(&certificate.key);
    let mut process = world.start(&format!("tracker-{at}"), &mut command)?;
    process.wait_until("tracking", PATIENCE, |process| process.stdout().contains("Tracking at https://"))?;
    Ok(process)
}

/// A file of 8 MiB and its torrent, which announces over HTTPS alone.
fn release(setup: &Setup, world: &World, at: &str) -> Result<(PathBuf, PathBuf), Trouble> {
    let payload: PathBuf = world.folder("payload")?.join("film.bin");
    fs::write(&payload, noise(8 << 20))?;
    let torrent = world.path(&format!("film-{at}.torrent"));
    let url = format!("https://{at}:{PORT}/announce");
    create(setup, &payload, &url, &torrent)?;
    Ok((torrent, payload))
}

fn create(setup: &Setup, payload: &Path, url: &str, torrent: &Path) -> Outcome {
    let mut command = Command::new(&setup.headwater);
    command.arg("create").arg(payload).args(["--format", "v1", "-t", url, "-o"]).arg(torrent);
    output(&mut command).map(|_| ())
}
