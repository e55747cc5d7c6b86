//! Stories of `headwater open`: clicks, the process that they share, and its page. Told over real loopback sockets.

mod world;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use world::{Running, World, noise, stderr, stdout};

const SIZE: usize = 3_000_000;

/// A seed of `film.bin`, with the link and the address that lead to it.
fn seed(world: &World, flags: &str) -> (Running, String, String) {
    world.write("site/film.bin", noise(SIZE));
    let mut seed =
        world.start(&format!("seed site/film.bin --listen 127.0.0.1:0 --json --state-dir seeder {flags}"));
    let event: Value = serde_json::from_str(&seed.wait_for("\"seeding\"")).unwrap();
    let peer = format!("127.0.0.1:{}", event["port"]);
    (seed, event["magnet"].as_str().unwrap().to_owned(), peer)
}

/// The page of the process that downloads in this world.
struct Page {
    port: u64,
    token: String,
    pid: u64,
}

impl Page {
    fn of(world: &World) -> Self {
        let card: Value = serde_json::from_slice(&world.read("state/open/card.json")).unwrap();
        let token = card["token"].as_str().unwrap().to_owned();
        Self { port: card["port"].as_u64().unwrap(), token, pid: card["pid"].as_u64().unwrap() }
    }

    /// Sends a request with these header lines and reads the answer: its status, its head, its body.
    fn ask(&self, request: &str, headers: &[&str], body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", u16::try_from(self.port).unwrap())).unwrap();
        let mut head =
            format!("{request} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        for header in headers {
            head.extend([header, "\r\n"]);
        }
        write!(stream, "{head}\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }

    /// The list, as our own clicks see it.
    fn list(&self) -> Value {
        let (status, _, body) = self.ask("GET /api/downloads", &[&self.host(), &self.bearer()], "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let (status, _, answer) =
            self.ask(&format!("POST {path}"), &[&self.host(), &self.bearer()], &body.to_string());
        (status, answer)
    }

    /// Looks at the list until a download is as wanted.
    fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let list = self.list();
            if let Some(view) = list["downloads"].as_array().unwrap().iter().find(|view| wanted(view)) {
                return view.clone();
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "never {what}: {list}");
            std::thread::yield_now();
        }
    }

    fn host(&self) -> String {
        format!("Host: 127.0.0.1:{}", self.port)
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }
}

/// Starts the process in the foreground with a link that nobody serves, so that it goes on.
fn start_host(world: &World) -> (Running, Page) {
    let link = "magnet:?xt=urn:btih:1111111111111111111111111111111111111111&dn=nobody";
    let mut host = world.start(&format!("open {link} --wait --json --allow-local --listen 127.0.0.1:0"));
    host.wait_for("\"opened\"");
    (host, Page::of(world))
}

#[test]
fn a_clicked_torrent_ends_in_the_downloads_folder() {
    let world = World::new();
    world.write("home/.config/user-dirs.dirs", "XDG_DOWNLOAD_DIR=\"$HOME/In box\"\n");
    let (_seed, _, peer) = seed(&world, "");
    world.run("create site/film.bin --format v1 -o film.torrent").success();
    let url = format!("file://{}", world.path("film.torrent").display());
    let flags = "--wait --time 0s --listen 127.0.0.1:0 --peer";
    let got = world.run(&format!("open {url} {flags} {peer}")).success();
    assert!(stdout(&got).starts_with("Done: film.bin"), "{}", stdout(&got));
    assert_eq!(world.read("home/In box/film.bin"), noise(SIZE));

    // The configuration file names another folder, and a flag a third.
    world.write(
        "home/.config/headwater/config.toml",
        format!("download_dir = \"{}\"\n", world.path("srv").display()),
    );
    world.run(&format!("open film.torrent {flags} {peer}")).success();
    assert_eq!(world.read("srv/film.bin"), noise(SIZE));
    world.run(&format!("open film.torrent {flags} {peer} -d here")).success();
    assert_eq!(world.read("here/film.bin"), noise(SIZE));
}

#[test]
fn a_click_starts_a_process_that_outlives_it_and_the_torrent_file() {
    let world = World::new();
    let (_seed, _, peer) = seed(&world, "");
    world.run("create site/film.bin --format v1 -o film.torrent").success();
    let opened =
        world.run(&format!("open film.torrent --time 0s --listen 127.0.0.1:0 --peer {peer}")).success();
    std::fs::remove_file(world.path("film.torrent")).unwrap();
    assert!(stdout(&opened).starts_with("Progress: http://127.0.0.1:"), "{}", stdout(&opened));
    let page = Page::of(&world);
    page.until("complete", |view| view["state"] == "complete");
    assert_eq!(world.read("home/Downloads/film.bin"), noise(SIZE));
    let ended = std::process::Command::new("kill").arg(page.pid.to_string()).status();
    assert!(ended.unwrap().success());
}

#[test]
fn several_clicks_share_one_process() {
    let world = World::new();
    let (host, page) = start_host(&world);
    let (_seed, link, _) = seed(&world, "");
    world.run(&format!("open {link}")).success();
    // The same once more is the same download.
    world.run(&format!("open {link} --dir elsewhere")).success();
    // And so is the same address, whose hash only its server knows.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/film.torrent", silent.local_addr().unwrap());
    for _ in [1, 2] {
        world.run(&format!("open {url}")).success();
    }
    let list = page.list();
    assert_eq!(list["downloads"].as_array().unwrap().len(), 3, "{list}");
    assert_eq!(list["downloads"][1]["name"], "film.bin");
    assert_eq!(list["downloads"][1]["folder"], world.path("home/Downloads").to_str().unwrap());
    host.signal("INT");
    assert_eq!(host.wait().code(), Some(130));
    // It took its card along: nobody is there to show a page.
    assert!(stderr(&world.run("open").code(3)).contains("nothing is being downloaded"));
}

#[test]
fn the_folder_of_the_page_counts_unless_a_click_names_one() {
    let world = World::new();
    let usual = world.path("srv");
    world.write("home/.config/headwater/config.toml", format!("download_dir = \"{}\"\n", usual.display()));
    let (_host, page) = start_host(&world);
    let folder_of = |number: &str, flags: &str| {
        let link = format!("magnet:?xt=urn:btih:{}&dn={number}", number.repeat(40));
        world.run(&format!("open {link} {flags}")).success();
        page.until("listed", |view| view["name"] == number)["folder"].as_str().unwrap().to_owned()
    };
    assert_eq!(folder_of("2", ""), usual.to_str().unwrap());
    let chosen = world.path("chosen");
    assert_eq!(page.post("/api/folder", &json!({ "folder": chosen })).0, 200);
    assert_eq!(folder_of("3", ""), chosen.to_str().unwrap());
    // Even the usual one is a wish if it is named.
    assert_eq!(folder_of("4", "-d srv"), usual.to_str().unwrap());
}

#[test]
fn a_process_that_was_killed_is_no_obstacle() {
    let world = World::new();
    let (host, _) = start_host(&world);
    host.signal("KILL");
    host.wait();
    assert!(world.path("state/open/card.json").exists());
    let (_host, page) = start_host(&world);
    assert_eq!(page.list()["downloads"].as_array().unwrap().len(), 1);
}

#[test]
fn no_shell_ever_sees_what_was_clicked() {
    let world = World::new();
    let (_host, page) = start_host(&world);
    let name = "$(touch pwned);`touch pwned`|touch pwned && touch pwned";
    let raw = "magnet:?xt=urn:btih:3333333333333333333333333333333333333333&dn=$(touch${IFS}pwned);'\"`touch pwned`";
    let link = format!(
        "magnet:?xt=urn:btih:2222222222222222222222222222222222222222&dn={}",
        name.replace('&', "%26")
    );
    for link in [raw, &link] {
        let opened = world.command(["open", link]).output().unwrap();
        assert!(opened.status.success(), "{opened:?}");
    }
    let names: Vec<Value> =
        page.list()["downloads"].as_array().unwrap().iter().map(|view| view["name"].clone()).collect();
    assert!(names.contains(&json!(name)), "{names:?}");
    assert!(names.contains(&json!("$(touch${IFS}pwned);'\"`touch pwned`")), "{names:?}");
    assert!(!world.path("pwned").exists());
}

#[test]
fn the_page_is_for_one_browser_and_no_other_page() {
    let world = World::new();
    let (host, page) = start_host(&world);
    let opened = stdout(&world.run("open").success());
    let url = opened.trim().strip_prefix("Progress: ").unwrap().to_owned();
    let path = url.split_once(&format!(":{}", page.port)).unwrap().1;
    let here = page.host();

    assert_eq!(page.ask("GET /", &[&here], "").0, 403);
    assert_eq!(page.ask("GET /api/downloads", &[&here, "Authorization: Bearer guess"], "").0, 403);
    assert_eq!(page.ask("GET /api/downloads", &["Host: evil.example", &page.bearer()], "").0, 421);
    assert_eq!(page.ask(&format!("GET {path}"), &["Host: evil.example"], "").0, 421);

    let (status, head, _) = page.ask(&format!("GET {path}"), &[&here], "");
    assert_eq!(status, 303);
    assert!(head.contains("httponly; samesite=strict"), "{head}");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    assert_eq!(page.ask(&format!("GET {path}"), &[&here], "").0, 403, "a ticket is good once");

    let (status, head, body) = page.ask("GET /", &[&here, &cookie], "");
    assert_eq!(status, 200);
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(!body.contains("<style") && !body.contains("onclick") && !body.contains("://"), "{body}");
    let own = format!("Origin: http://127.0.0.1:{}", page.port);
    let stop = "POST /api/downloads/1/stop";
    assert_eq!(page.ask(stop, &[&here, &cookie], "{}").0, 403);
    assert_eq!(page.ask(stop, &[&here, &cookie, "Origin: http://evil.example"], "{}").0, 403);
    assert_eq!(page.ask(stop, &[&here, &cookie, &own], "{}").0, 200);
    assert_eq!(host.wait().code(), Some(7));
}

#[test]
fn a_download_moves_to_another_folder_with_what_it_has() {
    let world = World::new();
    let (host, page) = start_host(&world);
    let (_seed, link, peer) = seed(&world, "--limit-upload 1MiB");
    let link = format!("{link}&x.pe={peer}");
    world.run(&format!("open {link}")).success();
    page.until("under way", |view| view["done"].as_u64() > Some(0));
    let (status, answer) = page.post("/api/downloads/2/folder", &json!({ "folder": "relative" }));
    assert_eq!(status, 400, "{answer}");
    let there = world.path("there");
    let (status, answer) = page.post("/api/downloads/2/folder", &json!({ "folder": there }));
    assert_eq!(status, 200, "{answer}");
    page.until("complete", |view| view["folder"] == there.to_str().unwrap() && view["state"] == "seeding");
    assert_eq!(world.read("there/film.bin"), noise(SIZE));
    assert!(!world.path("home/Downloads/film.bin").exists());
    for id in [1, 2] {
        assert_eq!(page.post(&format!("/api/downloads/{id}/stop"), &json!({})).0, 200);
    }
    assert_eq!(host.wait().code(), Some(7));
}

#[test]
fn what_goes_wrong_is_on_the_page_with_its_reason_and_a_way_out() {
    let world = World::new();
    let (_host, page) = start_host(&world);
    let (_seed, link, peer) = seed(&world, "");
    world.write("home/Downloads/film.bin", "somebody's diary");
    world.run(&format!("open {link}&x.pe={peer}")).success();
    let failed = page.until("failed", |view| view["state"] == "failed");
    assert!(failed["error"]["error"].as_str().unwrap().contains("film.bin exists"), "{failed}");
    assert!(failed["error"]["hint"].as_str().unwrap().contains("another folder"), "{failed}");
    assert_eq!(world.read("home/Downloads/film.bin"), b"somebody's diary");
    let folder = world.path("free");
    assert_eq!(page.post("/api/downloads/2/folder", &json!({ "folder": folder })).0, 200);
    page.until("complete", |view| view["state"] == "seeding");
    assert_eq!(world.read("free/film.bin"), noise(SIZE));
    assert!(stderr(&world.run("open missing.torrent").code(3)).contains("missing.torrent"));
    world.run("open magnet:?xt=nothing").code(4);
}

/// Puts a program into `bin` that only notes what it is called with.
fn note_calls(world: &World, name: &str) {
    use std::os::unix::fs::PermissionsExt;
    let told = world.path(&format!("{name}.told"));
    let script = format!("#!/bin/sh\nprintf '%s|' \"$HEADWATER_DETACHED\" \"$@\" >> {}\n", told.display());
    world.write(&format!("bin/{name}"), script);
    std::fs::set_permissions(world.path(&format!("bin/{name}")), PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn the_desktop_is_told_by_plain_arguments_and_shows_the_page_once() {
    let world = World::new();
    note_calls(&world, "notify-send");
    note_calls(&world, "xdg-open");
    for number in [1, 2] {
        let link = format!("magnet:?xt=urn:btih:{}&dn=x", number.to_string().repeat(40));
        let mut open = world.command(["open", &link, "--listen", "127.0.0.1:0"]);
        assert!(open.env("DISPLAY", ":99").output().unwrap().status.success());
    }
    let mut broken = world.command(["open", "--", "-$(touch pwned)<b>.torrent"]);
    assert_eq!(broken.env("DISPLAY", ":99").output().unwrap().status.code(), Some(3));
    let page = Page::of(&world);
    let read = |name: &str| String::from_utf8(std::fs::read(world.path(name)).unwrap_or_default()).unwrap();
    let begun = Instant::now();
    while read("xdg-open.told").is_empty() || !read("notify-send.told").contains("torrent") {
        assert!(begun.elapsed() < Duration::from_secs(60), "the desktop hears nothing");
        std::thread::yield_now();
    }
    let shown = read("xdg-open.told");
    assert!(shown.starts_with(&format!("|http://127.0.0.1:{}/?t=", page.port)), "{shown}");
    assert_eq!(shown.matches("http://").count(), 1, "{shown}");
    let told = read("notify-send.told");
    assert!(told.contains("|--|Cannot open what you clicked|"), "{told}");
    assert!(told.contains("-$(touch pwned)&lt;b&gt;.torrent"), "{told}");
    assert!(std::process::Command::new("kill").arg(page.pid.to_string()).status().unwrap().success());
}
