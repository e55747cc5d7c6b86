//! From the links of the page to the file, with the programs that people have; the page by us, and by nginx from the export.

use std::error::Error;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{ORIGIN_PORT, attribute, complete, curl, get, payload, publish, save};
use crate::clients::{Client, PATIENCE, Task};
use crate::matrix::say;
use crate::world::{Process, World, fingerprint, output};
use crate::{Outcome, Setup};

const SIZE: usize = 100_000_000;

/// From the command to the page. Hashing 100 MB takes a fraction of it.
const PAGE_WITHIN: Duration = Duration::from_secs(10);

/// The port of nginx.
const NGINX_PORT: u16 = 8081;

pub(super) fn from_the_page(setup: &Setup) -> Outcome {
    let mut world = World::new()?;
    let at = world.address();
    let payload = payload(&world, "demo image.iso", SIZE)?;
    let start = Instant::now();
    let site = publish(setup, &world, at, &payload, &[])?;
    let page = curl(&format!("{}/", site.url))?;
    let elapsed = start.elapsed();
    say(&format!("      page of {SIZE} bytes up after {elapsed:.1?}"));
    if elapsed > PAGE_WITHIN {
        return Err(format!("the page came after {elapsed:.1?}").into());
    }
    follow(setup, &mut world, &site.url, &page, &payload)
}

pub(super) fn from_nginx(setup: &Setup) -> Outcome {
    let mut world = World::new()?;
    let (at, web) = (world.address(), world.address());
    let payload = payload(&world, "demo image.iso", SIZE / 4)?;
    let parts = Parts::start(setup, &world, at, web, &payload)?;
    let page = curl(&format!("{}/", parts.url))?;
    follow(setup, &mut world, &parts.url, &page, &payload)
}

/// Follows every link of a page to the file.
fn follow(setup: &Setup, world: &mut World, url: &str, page: &str, payload: &Path) -> Outcome {
    let link = |mark: &str| attribute(page, mark, "href").map(|href| absolute(url, &href));
    let (torrent_url, plain, magnet) =
        (link("class=\"download\"")?, link("\" download")?, link("href=\"magnet:")?);
    let head = output(Command::new("curl").args(["--silent", "--show-error", "--head", &torrent_url]))?;
    if !head.to_lowercase().contains("content-type: application/x-bittorrent") {
        return Err(format!("the torrent's head is {head}").into());
    }
    let torrent = world.path("from-the-page.torrent");
    save(&torrent_url, &torrent)?;
    let want = fingerprint(payload)?;
    let fetched = world.folder("wget")?;
    output(
        Command::new("wget")
            .args(["--quiet", "--content-disposition", "--directory-prefix"])
            .arg(&fetched)
            .arg(&plain),
    )?;
    same(&want, &named(&fetched, payload)?, "wget")?;
    for (name, source) in [("get-torrent", &torrent_url), ("get-magnet", &magnet)] {
        let address = world.address();
        let mut process = get(setup, world, name, address, source, &[])?;
        process.wait_until("complete", PATIENCE, complete)?;
        same(&want, &named(&world.path(name), payload)?, name)?;
    }
    for client in [Client::Transmission, Client::Aria2] {
        let folder = world.folder(&format!("{client:?}"))?;
        // Transmission announces from whichever address the system picks, which is that of the tracker here.
        let address = if client == Client::Transmission { World::FIRST } else { world.address() };
        let task = Task {
            role: "page",
            torrent: &torrent,
            folder: &folder,
            address,
            seed: false,
            upload: None,
            encrypted: false,
        };
        client.start(setup, world, &task)?.complete()?;
        same(&want, &named(&folder, payload)?, &format!("{client:?}"))?;
    }
    Ok(())
}

fn absolute(url: &str, href: &str) -> String {
    if href.contains("://") || href.starts_with("magnet:") {
        return href.to_owned();
    }
    format!("{url}/{}", href.trim_start_matches("./").trim_start_matches('/'))
}

fn same(want: &str, path: &Path, by: &str) -> Outcome {
    let got = fingerprint(path)?;
    if got == want { Ok(()) } else { Err(format!("{by} got SHA-256 {got} instead of {want}").into()) }
}

/// The fetched copy of the payload.
fn named(folder: &Path, payload: &Path) -> Result<PathBuf, Box<dyn Error>> {
    Ok(folder.join(payload.file_name().ok_or("the payload has no name")?))
}

/// A tracker, an origin, and nginx over the export: three processes that know nothing of each other.
pub(super) struct Parts {
    pub(super) tracker: Process,
    pub(super) origin: Process,
    pub(super) nginx: Process,
    /// The site's address, without a slash at the end.
    pub(super) url: String,
    /// The torrent's address.
    pub(super) torrent: String,
}

impl Parts {
    pub(super) fn start(
        setup: &Setup,
        world: &World,
        at: Ipv4Addr,
        web: Ipv4Addr,
        payload: &Path,
    ) -> Result<Self, Box<dyn Error>> {
        let (url, announce) = (format!("http://{web}:{NGINX_PORT}"), format!("http://{at}:6969/announce"));
        let export = world.path("export");
        let mut command = Command::new(&setup.headwater);
        command.arg("--state-dir").arg(world.folder("export-state")?).arg("publish").arg(payload);
        command.args(["--url", &url, "--tracker", &announce, "--export"]).arg(&export);
        output(&mut command)?;
        let torrents = crate::world::files_below(&export)?.into_iter();
        let torrent = torrents.into_iter().find(|path| path.extension().is_some_and(|end| end == "torrent"));
        let torrent = torrent.ok_or("the export has no torrent")?;
        let nginx = nginx(world, web, &export)?;
        let mut command = Command::new(&setup.headwater);
        command.args(["track", "--interval", "10s", "--http", &format!("{at}:6969")]);
        let mut tracker = world.start("track", &mut command)?;
        tracker.wait_until("listening", PATIENCE, |_| std::net::TcpStream::connect((at, 6969)).is_ok())?;
        let mut command = Command::new(&setup.headwater);
        command.arg("--state-dir").arg(world.folder("origin-state")?).args(["seed", "--progress", "json"]);
        command.args(["--listen", &format!("{at}:{ORIGIN_PORT}"), "--limit-upload", "6MiB"]).arg(&torrent);
        command.arg("-d").arg(payload.parent().ok_or("the payload has no folder")?);
        let mut origin = world.start("origin", &mut command)?;
        origin.wait_until("seeding", PATIENCE, crate::crowd::seeding)?;
        let name = torrent.file_name().unwrap_or_default().to_string_lossy().replace(' ', "%20");
        Ok(Self { tracker, origin, nginx, torrent: format!("{url}/{name}"), url })
    }
}

/// nginx as Debian has it, told no more than the folder, the address, and what a torrent is.
fn nginx(world: &World, at: Ipv4Addr, root: &Path) -> Result<Process, Box<dyn Error>> {
    let folder = world.folder("nginx")?;
    let conf = folder.join("nginx.conf");
    let (folder, root) = (folder.display(), root.display());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}/{kind};"));
    fs::write(
        &conf,
        format!(
            "daemon off; master_process off; user root; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\n\
             http {{ access_log off; {}\n include /etc/nginx/mime.types;\n\
             server {{ listen {at}:{NGINX_PORT}; root {root}; limit_rate 4m;\n\
             types {{ text/html html; text/css css; application/javascript js; image/svg+xml svg; \
             application/atom+xml atom; application/x-bittorrent torrent; }} }} }}\n",
            temporary.join(" ")
        ),
    )?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&conf).arg("-p").arg(folder.to_string());
    let mut nginx = world.start("nginx", &mut command)?;
    nginx.wait_until("listening", PATIENCE, |_| std::net::TcpStream::connect((at, NGINX_PORT)).is_ok())?;
    Ok(nginx)
}
