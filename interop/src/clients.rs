//! The programs of the matrix: how each is told to seed or fetch one torrent, and how it says that it is done.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::world::{Process, World};
use crate::{Outcome, Setup};

/// The port every client listens on, each at its own address.
pub(crate) const PORT: u16 = 6881;

/// How long a client may take to be ready or done. Transmission starts its peers on timers of up to a minute.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A client program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Headwater,
    Transmission,
    Aria2,
    Libtorrent,
}

/// The foreign ones.
pub(crate) const OTHERS: [Client; 3] = [Client::Transmission, Client::Aria2, Client::Libtorrent];

/// What a client is started for.
pub(crate) struct Task<'a> {
    /// Names its process and its logs.
    pub(crate) role: &'a str,
    pub(crate) torrent: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) address: Ipv4Addr,
    pub(crate) seed: bool,
    /// Bytes a second that it may send; Transmission knows no such limit here.
    pub(crate) upload: Option<u64>,
    /// It talks to no peer but in secret, all bytes.
    pub(crate) encrypted: bool,
}

/// A client at work on one torrent.
pub(crate) struct Peer {
    client: Client,
    pub(crate) process: Process,
    pub(crate) folder: PathBuf,
    rpc: Option<String>,
}

impl Client {
    /// Starts the client: it fetches what is missing in the folder and seeds the rest.
    pub(crate) fn start(
        self,
        setup: &Setup,
        world: &World,
        task: &Task<'_>,
    ) -> Result<Peer, Box<dyn std::error::Error>> {
        let &Task { role, torrent, folder, address, upload, encrypted, .. } = task;
        let name = format!("{self:?}-{role}").to_lowercase();
        let state = world.folder(&format!("{name}-state"))?;
        let mut rpc = None;
        let mut command = match self {
            Client::Headwater => headwater(setup, &state, task),
            Client::Aria2 => aria2(task),
            Client::Libtorrent => {
                let mut command = Command::new(&setup.python);
                command.arg(setup.scripts.join("libtorrent_peer.py")).args([torrent, folder]);
                command.args([address.to_string(), PORT.to_string(), upload.unwrap_or(0).to_string()]);
                command.arg(if encrypted { "require" } else { "allow" });
                command
            }
            Client::Transmission => {
                fs::write(state.join("settings.json"), transmission_settings(task).to_string())?;
                rpc = Some(format!("{address}:9091"));
                let mut command = Command::new("transmission-daemon");
                command.args(["--foreground", "--config-dir"]).arg(&state).arg("--log-info");
                command
            }
        };
        let mut process = world.start(&name, &mut command)?;
        if let Some(rpc) = &rpc {
            process.wait_until("answering its RPC", PATIENCE, |_| {
                remote(rpc).arg("-si").output().is_ok_and(|o| o.status.success())
            })?;
            crate::world::output(remote(rpc).arg("-a").arg(torrent).arg("-w").arg(folder))?;
            crate::world::output(remote(rpc).args(["-t", "all", "-v"]))?;
        }
        Ok(Peer { client: self, process, folder: folder.to_owned(), rpc })
    }
}

impl Peer {
    /// Waits until the client says that it has everything (as a seed: that it seeds).
    pub(crate) fn complete(&mut self) -> Outcome {
        let (client, rpc) = (self.client, self.rpc.clone());
        self.process
            .wait_until("complete", PATIENCE, |process| says_complete(client, rpc.as_deref(), process))
    }

    /// Whether it says so.
    pub(crate) fn is_complete(&self) -> bool {
        says_complete(self.client, self.rpc.as_deref(), &self.process)
    }
}

fn says_complete(client: Client, rpc: Option<&str>, process: &Process) -> bool {
    match client {
        Client::Headwater => {
            process.stdout().contains("Seeding ")
                || process.stdout().contains("Done:")
                || process.stderr().contains("Done:")
        }
        Client::Aria2 => process.stdout().contains("Download complete") || process.stdout().contains("SEED("),
        Client::Libtorrent => process.stdout().contains("complete"),
        Client::Transmission => rpc.is_some_and(|rpc| {
            let listing = remote(rpc).args(["-t", "all", "-i"]).output();
            listing.is_ok_and(|o| {
                let text = String::from_utf8_lossy(&o.stdout).into_owned();
                text.contains("Percent Done: 100%") && !text.contains("State: Verifying")
            })
        }),
    }
}

fn headwater(setup: &Setup, state: &Path, task: &Task<'_>) -> Command {
    let &Task { torrent, folder, address, seed, upload, encrypted, .. } = task;
    let mut command = Command::new(&setup.headwater);
    command
        .arg("--state-dir")
        .arg(state)
        .arg(if seed { "seed" } else { "get" })
        .arg(torrent)
        .arg("-d")
        .arg(folder);
    command.args(["--listen", &format!("{address}:{PORT}"), "--no-lsd", "-v"]);
    if !seed {
        command.args(["--seed-time", "1h"]);
    }
    if encrypted {
        command.args(["--encryption", "require"]);
    }
    if let Some(upload) = upload {
        command.arg("--limit-upload").arg(upload.to_string());
    }
    command
}

fn aria2(task: &Task<'_>) -> Command {
    let &Task { torrent, folder, address, seed, upload, encrypted, .. } = task;
    let mut command = Command::new("aria2c");
    command
        .arg("--dir")
        .arg(folder)
        .arg(format!("--listen-port={PORT}"))
        .arg(format!("--interface={address}"));
    command.args([
        "--enable-dht=false",
        "--bt-enable-lpd=false",
        "--enable-peer-exchange=false",
        "--file-allocation=none",
    ]);
    command.args([
        "--summary-interval=1",
        "--console-log-level=notice",
        "--bt-tracker-interval=5",
        "--seed-ratio=0.0",
    ]);
    if seed {
        command.arg("--check-integrity=true");
    }
    if encrypted {
        command.args(["--bt-require-crypto=true", "--bt-min-crypto-level=arc4"]);
    }
    if let Some(upload) = upload {
        command.arg(format!("--max-upload-limit={upload}"));
    }
    command.arg(torrent);
    command
}

fn transmission_settings(task: &Task<'_>) -> serde_json::Value {
    let &Task { folder, address, encrypted, .. } = task;
    serde_json::json!({
        "download-dir": folder, "bind-address-ipv4": address.to_string(), "peer-port": PORT,
        "rpc-bind-address": address.to_string(), "rpc-port": 9091, "rpc-whitelist-enabled": false, "rpc-host-whitelist-enabled": false,
        "dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false, "port-forwarding-enabled": false,
        "encryption": if encrypted { 2 } else { 0 }, "incomplete-dir-enabled": false, "ratio-limit-enabled": false,
    })
}

fn remote(rpc: &str) -> Command {
    let mut command = Command::new("transmission-remote");
    command.arg(rpc);
    command
}
