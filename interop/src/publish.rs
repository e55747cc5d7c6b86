//! The publisher's side as people meet it: the page and its links, three processes of which two die, the receipt, and a
//! server full of clients that hang.

mod hanging;
mod liar;
mod links;
mod receipt;
mod survivors;

use std::error::Error;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clients::PATIENCE;
use crate::matrix::{noise, report};
use crate::world::{Process, World, output};
use crate::{Outcome, Setup};

/// The port the site is served on.
pub(crate) const SITE_PORT: u16 = 8080;

/// The port of the origin: another one than clients have, since Transmission must share its address.
pub(crate) const ORIGIN_PORT: u16 = 6889;

type Cell = (&'static str, fn(&Setup) -> Outcome);

const CELLS: [Cell; 7] = [
    ("publish: Transmission, aria2, get and wget from the page's links", links::from_the_page),
    ("publish: the export behind an unmodified nginx", links::from_nginx),
    ("publish: tracker and origin die", survivors::nginx_alone),
    ("publish: tracker and web server die", survivors::origin_alone),
    ("publish: origin and web server die", survivors::crowd_alone),
    ("publish: the receipt of five downloads and three liars", receipt::run),
    ("publish: 2,000 clients that hang", hanging::run),
];

pub(crate) fn run(setup: &Setup, words: &[&str]) -> Outcome {
    let mut failures = Vec::new();
    for (title, cell) in CELLS {
        if words.iter().all(|word| title.to_lowercase().contains(&word.to_lowercase())) {
            report(title, &mut failures, || cell(setup));
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(format!("{} failed: {}", failures.len(), failures.join("; ")).into())
    }
}

/// A site with its tracker and origin.
pub(crate) struct Publisher {
    pub(crate) process: Process,
    /// Its address, without a slash at the end.
    pub(crate) url: String,
}

/// Publishes a payload at an address of its own. `extra` flags follow.
pub(crate) fn publish(
    setup: &Setup,
    world: &World,
    at: Ipv4Addr,
    payload: &Path,
    extra: &[&str],
) -> Result<Publisher, Box<dyn Error>> {
    let mut command = Command::new(&setup.headwater);
    command.arg("--state-dir").arg(world.folder("publish-state")?).args(["publish", "--progress", "json"]);
    command.args(["--http", &format!("{at}:{SITE_PORT}"), "--listen", &format!("{at}:{ORIGIN_PORT}")]);
    command.args(extra).arg(payload);
    let mut process = world.start("publish", &mut command)?;
    process
        .wait_until("publishing", PATIENCE, |process| process.stdout().contains(r#""event":"publishing""#))?;
    Ok(Publisher { process, url: format!("http://{at}:{SITE_PORT}") })
}

/// A file of noise in the world's payload folder.
pub(crate) fn payload(world: &World, name: &str, size: usize) -> Result<PathBuf, Box<dyn Error>> {
    let path = world.folder("payload")?.join(name);
    fs::write(&path, noise(size))?;
    Ok(path)
}

/// What an address gives.
pub(crate) fn curl(url: &str) -> Result<String, Box<dyn Error>> {
    output(Command::new("curl").args(["--silent", "--show-error", "--fail", "--max-time", "20", url]))
}

/// Saves what an address gives.
pub(crate) fn save(url: &str, path: &Path) -> Outcome {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--max-time", "60", "--output"]).arg(path).arg(url);
    output(&mut curl).map(drop)
}

/// The value of an attribute of the first tag of a page that contains `mark`.
pub(crate) fn attribute(page: &str, mark: &str, name: &str) -> Result<String, Box<dyn Error>> {
    let tag = page.split('<').find(|tag| tag.split('>').next().is_some_and(|tag| tag.contains(mark)));
    let value =
        tag.and_then(|tag| tag.split(&format!("{name}=\"")).nth(1)).and_then(|rest| rest.split('"').next());
    let value = value.ok_or_else(|| format!("the page has no {name} of {mark}"))?;
    Ok(value.replace("&amp;", "&").replace("&#x2f;", "/"))
}

/// Our own downloader, which stays as a seed.
pub(crate) fn get(
    setup: &Setup,
    world: &World,
    name: &str,
    address: Ipv4Addr,
    source: &str,
    extra: &[&str],
) -> Result<Process, Box<dyn Error>> {
    let mut command = Command::new(&setup.headwater);
    command.arg("--state-dir").arg(world.folder(&format!("{name}-state"))?).args([
        "get",
        "--progress",
        "json",
    ]);
    command.args(["--seed-time", "1h", "--no-lsd", "--listen", &format!("{address}:6881")]).args(extra);
    command.arg(source).arg("-d").arg(world.folder(name)?);
    world.start(name, &mut command)
}

/// Whether a downloader with `--progress json` says that it is complete.
pub(crate) fn complete(process: &Process) -> bool {
    process.stdout().contains(r#""event":"complete""#)
}

/// The last value of a number in a process's JSON events.
pub(crate) fn number(process: &Process, key: &str) -> Option<u64> {
    let text = process.stdout();
    let events = text.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    events.into_iter().find_map(|event| event.get(key)?.as_u64())
}
