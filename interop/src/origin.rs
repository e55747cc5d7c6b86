//! The origin that sizes itself, on sockets: eight downloaders of three kinds, once with a plain origin and once with one that spreads.
//!
//! Measured are what the origin sends, whether it falls silent with three holders, how soon it is back when two of them are killed,
//! and the longest time in which a downloader got nothing.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use metainfo::Metainfo;
use serde_json::Value;

use crate::clients::{Client, PORT, Peer, Task};
use crate::crowd::{seeding, uploaded};
use crate::matrix::say;
use crate::watch::Watch;
use crate::world::{Process, World, fingerprint, output};
use crate::{Outcome, Setup};

/// The downloaders. The first three stay longest, so that a holder of each kind has to be counted.
const CROWD: [Client; 8] = [
    Client::Headwater,
    Client::Aria2,
    Client::Libtorrent,
    Client::Headwater,
    Client::Aria2,
    Client::Libtorrent,
    Client::Headwater,
    Client::Headwater,
];

/// Copies at which the origin falls silent.
const COPIES: &str = "3";

/// Bytes a second that a downloader may send.
const PEER_UP: u64 = 8 << 20;

/// The most that the origin may send until all have the file, in per cent of the file.
const MOST: u64 = 115;

/// No downloader may stand still for longer, nor the origin keep silent when it is needed.
const LIMIT: Duration = Duration::from_secs(30);

/// How long the silence is listened to.
const SILENCE: Duration = Duration::from_secs(20);

const TRACKER_PORT: u16 = 6969;
const PATIENCE: Duration = Duration::from_secs(900);
const POLL: Duration = Duration::from_millis(200);

/// How often the run says how it goes.
const REPORT: Duration = Duration::from_secs(15);

/// At least this often an origin reports its progress.
const PROGRESS: Duration = Duration::from_millis(1500);

/// A crowd and its origin.
struct Scene {
    world: World,
    payload: PathBuf,
    torrent: PathBuf,
    origin: Process,
    crowd: Vec<Peer>,
    addresses: Vec<(Ipv4Addr, u16)>,
    _tracker: Process,
}

pub(crate) fn run(setup: &Setup, mebibytes: u64) -> Outcome {
    let (plain, stall) = Scene::new(setup, mebibytes, false)?.follow()?;
    say(&format!(
        "plain origin: sent {plain} % of {mebibytes} MiB; longest stall of a downloader {stall:.1?}"
    ));
    let mut scene = Scene::new(setup, mebibytes, true)?;
    let (sent, stall) = scene.follow()?;
    say(&format!(
        "sizing origin: sent {sent} % of {mebibytes} MiB; longest stall of a downloader {stall:.1?}"
    ));
    scene.wait_for_mode(|mode| mode == "silent", PATIENCE)?;
    let silent = scene.listen()?;
    say(&format!("sizing origin: sent {silent} bytes in {SILENCE:?} of silence"));
    scene.kill(3..CROWD.len());
    thread::sleep(SILENCE);
    let (mode, reason) = scene.mode().ok_or("the origin never told its mode")?;
    say(&format!("five of eight holders killed: {mode} ({reason})\n{}", scene.story()));
    scene.kill(1..3);
    let back = scene.wait_for_mode(|mode| mode != "silent", PATIENCE)?;
    let reason = scene.mode().map(|(_, reason)| reason).unwrap_or_default();
    say(&format!("two of three holders killed: back after {back:.1?} ({reason})"));
    let served = scene.serve_another(setup)?;
    say(&format!("another downloader was complete after {served:.1?}"));
    say(&format!("what the origin said:\n{}", scene.story()));
    let failures = [
        (sent > MOST, format!("the sizing origin sent more than {MOST} % of the file")),
        (silent > 0, "the origin sent something although it was silent".to_owned()),
        (mode != "silent", "the origin was not silent with three holders".to_owned()),
        (back > LIMIT, "the origin took too long to come back".to_owned()),
        (stall > LIMIT, "a downloader stood still for too long".to_owned()),
    ];
    failures.into_iter().find(|(failed, _)| *failed).map_or(Ok(()), |(_, what)| Err(what.into()))
}

impl Scene {
    fn new(setup: &Setup, mebibytes: u64, sizes: bool) -> Result<Self, Box<dyn Error>> {
        let mut world = World::new()?;
        let payload = payload(&world, mebibytes)?;
        let at = world.address();
        let torrent = world.path("origin.torrent");
        let url = format!("http://{at}:{TRACKER_PORT}/announce");
        let mut create = Command::new(&setup.headwater);
        create.args(["create", "--format", "v1", "-t", &url, "-o"]).arg(&torrent).arg(&payload);
        output(&mut create)?;
        let mut track = Command::new(&setup.headwater);
        track.args(["track", "--interval", "10s", "--http", &format!("{at}:{TRACKER_PORT}")]);
        let mut tracker = world.start("tracker", &mut track)?;
        tracker.wait_until("listening", PATIENCE, |_| TcpStream::connect((at, TRACKER_PORT)).is_ok())?;
        let origin = origin(setup, &mut world, &torrent, &payload, sizes)?;
        let mut scene = Self {
            world,
            payload,
            torrent,
            origin,
            crowd: Vec::new(),
            addresses: Vec::new(),
            _tracker: tracker,
        };
        for client in CROWD {
            scene.add(setup, client)?;
        }
        Ok(scene)
    }

    fn add(&mut self, setup: &Setup, client: Client) -> Outcome {
        let (number, address) = (self.crowd.len(), self.world.address());
        let folder = self.world.folder(&format!("fetched-{number}"))?;
        let (role, upload) = (format!("downloader-{number}"), Some(PEER_UP));
        let task = Task {
            role: &role,
            torrent: &self.torrent,
            folder: &folder,
            address,
            seed: false,
            upload,
            encrypted: false,
        };
        self.crowd.push(client.start(setup, &self.world, &task)?);
        self.addresses.push((address, PORT));
        Ok(())
    }

    /// Waits until all are complete; what the origin sent, in per cent of the file, and for how long one of them stood still at most.
    fn follow(&mut self) -> Result<(u64, Duration), Box<dyn Error>> {
        let metainfo = Metainfo::parse(&fs::read(&self.torrent)?)?;
        let layout = metainfo.info.layout();
        let watch = Watch::start(&self.addresses, metainfo.info.wire_hash(), layout.piece_count());
        let (start, mut report) = (Instant::now(), REPORT);
        let mut seen = vec![(0, start); self.crowd.len()];
        let mut longest = Duration::ZERO;
        while !self.crowd.iter().all(Peer::is_complete) {
            for (count, (before, since)) in watch.counts().into_iter().zip(&mut seen) {
                if *before < layout.piece_count() {
                    longest = longest.max(since.elapsed());
                }
                if count > *before {
                    (*before, *since) = (count, Instant::now());
                }
            }
            if start.elapsed() > report {
                report += REPORT;
                let counts: Vec<u32> = seen.iter().map(|(count, _)| *count).collect();
                let sent = uploaded(&self.origin).unwrap_or(0) >> 20;
                say(&format!(
                    "{:.0?}: pieces {counts:?} of {}, {sent} MiB sent",
                    start.elapsed(),
                    layout.piece_count()
                ));
            }
            if start.elapsed() > PATIENCE {
                return Err("the downloaders did not complete in time".into());
            }
            thread::sleep(POLL);
        }
        say(&format!("all complete after {:.1?}", start.elapsed()));
        thread::sleep(PROGRESS);
        let sent = uploaded(&self.origin).ok_or("the origin reported no bytes sent")?;
        Ok((sent * 100 / layout.content_length(), longest))
    }

    /// The bytes that the origin sends during some seconds.
    fn listen(&self) -> Result<u64, Box<dyn Error>> {
        thread::sleep(PROGRESS);
        let before = uploaded(&self.origin).ok_or("the origin reported no bytes sent")?;
        thread::sleep(SILENCE);
        Ok(uploaded(&self.origin).unwrap_or(before) - before)
    }

    fn kill(&mut self, which: Range<usize>) {
        for peer in &mut self.crowd[which] {
            peer.process.kill();
        }
    }

    /// All that the origin said of its modes, one a line, and its last word on its peers.
    fn story(&self) -> String {
        let text = self.origin.stdout();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let events: Vec<Value> = events.collect();
        let modes = events.iter().filter(|event| event["event"] == "mode");
        let last = events.iter().rfind(|event| event["event"] == "progress");
        modes.chain(last).map(|event| format!("      {event}")).collect::<Vec<_>>().join("\n")
    }

    /// What the origin last said of its mode, and why it has it.
    fn mode(&self) -> Option<(String, String)> {
        let text = self.origin.stdout();
        let events = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut modes = events.filter(|event| event["event"] == "mode");
        let event = modes.next()?;
        Some((event["mode"].as_str()?.to_owned(), event["reason"].as_str()?.to_owned()))
    }

    fn wait_for_mode(
        &mut self,
        fits: impl Fn(&str) -> bool,
        within: Duration,
    ) -> Result<Duration, Box<dyn Error>> {
        let start = Instant::now();
        while !self.mode().is_some_and(|(mode, _)| fits(&mode)) {
            if start.elapsed() > within {
                return Err(format!("the origin stays as it is: {:?}", self.mode()).into());
            }
            thread::sleep(POLL);
        }
        Ok(start.elapsed())
    }

    /// One more downloader comes, and gets what was published.
    fn serve_another(&mut self, setup: &Setup) -> Result<Duration, Box<dyn Error>> {
        let start = Instant::now();
        self.add(setup, Client::Headwater)?;
        let peer = self.crowd.last_mut().ok_or("nobody was added")?;
        peer.process.wait_until("complete", PATIENCE, |process| process.stdout().contains("Done:"))?;
        let took = start.elapsed();
        let got = peer.folder.join(self.payload.file_name().unwrap_or_default());
        if fingerprint(&got)? == fingerprint(&self.payload)? {
            Ok(took)
        } else {
            Err("it got another file".into())
        }
    }
}

fn origin(
    setup: &Setup,
    world: &mut World,
    torrent: &Path,
    payload: &Path,
    sizes: bool,
) -> Result<Process, Box<dyn Error>> {
    let address = world.address();
    let mut command = Command::new(&setup.headwater);
    command.arg("--state-dir").arg(world.folder("origin-state")?);
    command.args(["--progress", "json", "seed", "--no-lsd", "--listen", &format!("{address}:{PORT}")]);
    command.args(["--limit-upload", "4MiB", "--copies", if sizes { COPIES } else { "0" }]);
    command.arg(torrent).arg("-d").arg(payload.parent().ok_or("the payload has no folder")?);
    let mut origin = world.start("origin", &mut command)?;
    origin.wait_until("seeding", PATIENCE, seeding)?;
    Ok(origin)
}

fn payload(world: &World, mebibytes: u64) -> Result<PathBuf, Box<dyn Error>> {
    let path = world.folder("payload")?.join("release.bin");
    let mut file = File::create(&path)?;
    let mut random = fastrand::Rng::with_seed(6);
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        random.fill(&mut buffer);
        file.write_all(&buffer)?;
    }
    Ok(path)
}
