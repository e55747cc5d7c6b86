//! Stories of a publisher: the page and its links, what is dropped and withdrawn, the export, the receipt.

mod world;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use assert_cmd::assert::OutputAssertExt;

use world::{Running, World, noise, stderr, stdout};

const SIZE: usize = 3_000_000;

/// Publishes with these flags on a free port; the site's address without a slash at its end.
fn publish(world: &World, flags: &str) -> (Running, String) {
    let mut site = world.start(&format!("publish {flags} --http 127.0.0.1:0 --state-dir origin"));
    let url = site.word_after("Publishing at ");
    (site, url.trim_end_matches('/').to_owned())
}

/// What a GET of an address gives: the head in lower case, and the body.
fn fetch(url: &str, fields: &str) -> (String, Vec<u8>) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    (String::from_utf8_lossy(&answer[..end]).to_lowercase(), answer.split_off(end + 4))
}

fn status(url: &str) -> u16 {
    fetch(url, "").0.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_page_leads_to_the_torrent_the_file_and_the_receipt() {
    let world = World::new();
    world.write("site/film.bin", noise(SIZE));
    let (_site, url) = publish(&world, "site/film.bin");
    let (head, page) = fetch(&format!("{url}/"), "");
    let page = String::from_utf8(page).unwrap();
    assert!(head.contains("content-security-policy") && head.contains("text/html"), "{head}");
    assert!(page.contains("film.bin.torrent") && page.contains("magnet:?xt=urn:btih:"), "{page}");
    let (head, torrent) = fetch(&format!("{url}/film.bin.torrent"), "");
    assert!(head.contains("content-type: application/x-bittorrent"), "{head}");
    world.write("fetched.torrent", torrent);
    let shown = world.json("show fetched.torrent");
    assert_eq!(shown["trackers"][0][0], format!("{url}/announce"));
    let (head, part) = fetch(&format!("{url}/files/film.bin/film.bin"), "Range: bytes=1000-1999\r\n");
    assert!(head.starts_with("http/1.1 206"), "{head}");
    assert_eq!(part, noise(SIZE)[1000..2000]);
    let (_, receipt) = fetch(&format!("{url}/receipt.json"), "");
    let receipt: serde_json::Value = serde_json::from_slice(&receipt).unwrap();
    assert_eq!(receipt["releases"][0]["name"], "film.bin");
    for path in ["receipt.csv", "live.json", "feed.atom", "metrics", "healthz", "film.bin/SHA256SUMS"] {
        assert_eq!(status(&format!("{url}/{path}")), 200, "{path}");
    }
    assert_eq!(status(&format!("{url}/files/film.bin/../../etc/passwd")), 404);
    let metrics = String::from_utf8(fetch(&format!("{url}/metrics"), "").1).unwrap();
    assert!(metrics.contains("\nheadwater_http_turned_away_total 0\n"), "{metrics}");
}

#[test]
fn a_second_run_hashes_nothing_that_is_unchanged() {
    let world = World::new();
    world.write("site/film.bin", noise(SIZE));
    let hash = || {
        let mut site = world.start("publish site/film.bin --http 127.0.0.1:0 --state-dir origin --json");
        let event: serde_json::Value = serde_json::from_str(&site.wait_for("\"publishing\"")).unwrap();
        site.signal("TERM");
        assert_eq!(site.wait().code(), Some(0));
        event["torrents"][0]["hash"].clone()
    };
    let first = hash();
    // Other bytes that look the same from outside are only found by reading them.
    let path = world.path("site/film.bin");
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(b"other bytes").unwrap();
    file.set_modified(times).unwrap();
    assert_eq!(hash(), first);
    // A file that was written to is hashed again.
    file.set_modified(times + std::time::Duration::from_secs(1)).unwrap();
    assert_ne!(hash(), first);
}

#[test]
fn what_is_dropped_into_a_watched_folder_is_published_and_withdrawn_with_it() {
    let world = World::new();
    fs::create_dir(world.path("drop")).unwrap();
    let (mut site, url) = publish(&world, "drop --watch");
    world.write("drop/first.bin", noise(40_000));
    site.wait_for(&format!("headwater get {url}/first.bin.torrent"));
    world.run(&format!("get {url}/first.bin.torrent -d here")).success();
    assert_eq!(world.read("here/first.bin"), noise(40_000));
    fs::remove_file(world.path("drop/first.bin")).unwrap();
    world.write("drop/second.bin", noise(50_000));
    site.wait_for(&format!("headwater get {url}/second.bin.torrent"));
    assert_eq!(status(&format!("{url}/first.bin.torrent")), 404);
    assert_eq!(status(&format!("{url}/second.bin.torrent")), 200);
}

/// Starts it with these flags and `--json`; the site, and its address without a slash at its end.
fn publish_json(world: &World, flags: &str) -> (Running, String) {
    let mut site = world.start(&format!("publish {flags} --http 127.0.0.1:0 --state-dir origin --json"));
    let event: serde_json::Value = serde_json::from_str(&site.wait_for("\"publishing\"")).unwrap();
    let url = event["url"].as_str().unwrap().trim_end_matches('/').to_owned();
    (site, url)
}

/// Ends a site; what the receipt of its only release says of its only day.
fn receipt_of(world: &World, site: Running) -> serde_json::Value {
    site.signal("TERM");
    assert_eq!(site.wait().code(), Some(0));
    let receipt = fs::read_dir(world.path("origin/receipts")).unwrap().next().unwrap().unwrap();
    let receipt: serde_json::Value = serde_json::from_slice(&fs::read(receipt.path()).unwrap()).unwrap();
    receipt["days"].as_object().unwrap().values().next().unwrap().clone()
}

#[test]
fn what_is_published_again_does_not_count_again_what_the_tracker_heard() {
    let world = World::new();
    fs::create_dir(world.path("drop")).unwrap();
    let (mut site, url) = publish_json(&world, "drop --watch");
    let publish = |site: &mut Running| {
        world.write("drop/film.bin", noise(40_000));
        let event: serde_json::Value = serde_json::from_str(&site.wait_for("\"published\"")).unwrap();
        event["hash"].as_str().unwrap().to_owned()
    };
    let hash = publish(&mut site);
    let escaped: String =
        hash.as_bytes().chunks(2).flat_map(|pair| ['%', pair[0].into(), pair[1].into()]).collect();
    let announce = format!("{url}/announce?info_hash={escaped}&peer_id={}&port=1&left=0", "a".repeat(20));
    fetch(&format!("{announce}&event=completed"), "");
    fs::remove_file(world.path("drop/film.bin")).unwrap();
    site.wait_for("\"withdrawn\"");
    assert_eq!(publish(&mut site), hash);
    assert_eq!(receipt_of(&world, site)["reported"], 1);
}

#[test]
fn what_was_sent_until_the_end_is_on_the_receipt() {
    let world = World::new();
    world.write("site/film.bin", noise(SIZE));
    let (site, url) = publish_json(&world, "site/film.bin");
    world.run(&format!("get {url}/film.bin.torrent -d here")).success();
    let day = receipt_of(&world, site);
    let sent = ["sent_peers", "sent_web_seed"].iter().filter_map(|by| day[by].as_u64()).sum::<u64>();
    assert!(sent >= SIZE as u64, "{day}");
}

#[test]
fn a_signal_ends_it_while_its_first_files_are_hashed() {
    let world = World::new();
    // Hashing this takes an hour.
    fs::File::create(world.path("huge.bin")).unwrap().set_len(1 << 42).unwrap();
    let flags = "--https 127.0.0.1:0 --tls-self-signed --state-dir origin --json";
    let mut site = world.start(&format!("publish huge.bin {flags}"));
    site.wait_for("\"certificate\"");
    site.signal("TERM");
    assert_eq!(site.wait().code(), Some(0));
}

#[test]
fn a_first_path_that_cannot_be_published_ends_it() {
    let world = World::new();
    world.write("site/film.bin", noise(40_000));
    let failed = world.run("publish site/film.bin missing.bin --http 127.0.0.1:0").code(3);
    assert!(stderr(&failed).contains("missing.bin does not exist"), "{}", stderr(&failed));
}

#[test]
fn a_withdrawn_path_leaves_the_page_at_the_next_signal() {
    let world = World::new();
    world.write("site/a.bin", noise(40_000));
    world.write("site/b.bin", noise(50_000));
    let (mut site, url) = publish_json(&world, "site/a.bin site/b.bin");
    fs::remove_file(world.path("site/a.bin")).unwrap();
    site.signal("HUP");
    site.wait_for("\"withdrawn\"");
    assert_eq!(status(&format!("{url}/a.bin.torrent")), 404);
    assert_eq!(status(&format!("{url}/b.bin.torrent")), 200);
}

#[test]
fn a_signal_makes_the_page_say_what_the_intro_says_by_then() {
    let world = World::new();
    world.write("site/film.bin", noise(40_000));
    world.write("intro.md", "Early words");
    let (mut site, url) = publish_json(&world, "site/film.bin --intro intro.md");
    let page = || String::from_utf8(fetch(&format!("{url}/"), "").1).unwrap();
    assert!(page().contains("Early words"));
    world.write("intro.md", "Late words");
    world.write("site/film.bin", noise(60_000));
    site.signal("HUP");
    // The changed file is published after the page was made anew.
    site.wait_for("\"published\"");
    assert!(page().contains("Late words"));
}

#[test]
fn a_torrent_or_file_that_changed_without_its_hash_is_published_anew() {
    let world = World::new();
    world.write("site/film.bin", noise(40_000));
    world.run("create site/film.bin -o site/film.torrent").success();
    let (mut site, url) = publish_json(&world, "site/film.torrent");
    let torrent = || String::from_utf8_lossy(&fetch(&format!("{url}/film.bin.torrent"), "").1).into_owned();
    assert!(!torrent().contains("late words"));
    world
        .command(["edit", "site/film.torrent", "-o", "site/film.torrent", "--force", "-c", "late words"])
        .assert()
        .success();
    site.signal("HUP");
    site.wait_for("\"published\"");
    assert!(torrent().contains("late words"));
    let file = format!("{url}/files/film.bin/film.bin");
    let early = fetch(&file, "").0;
    let touched = fs::File::options().write(true).open(world.path("site/film.bin")).unwrap();
    touched.set_modified(std::time::UNIX_EPOCH).unwrap();
    site.signal("HUP");
    site.wait_for("\"published\"");
    assert!(!early.contains("last-modified: thu, 01 jan 1970"), "{early}");
    assert!(fetch(&file, "").0.contains("last-modified: thu, 01 jan 1970"));
}

#[test]
fn only_what_is_published_is_tracked() {
    let world = World::new();
    world.write("site/film.bin", noise(40_000));
    let (_site, url) = publish(&world, "site/film.bin");
    let stranger = "a".repeat(20);
    let announce = format!("{url}/announce?info_hash={stranger}&peer_id={stranger}&port=1&left=1");
    let (_, answer) = fetch(&announce, "");
    assert!(String::from_utf8_lossy(&answer).contains("not tracked here"), "{answer:?}");
}

#[test]
fn the_export_has_all_that_a_web_server_needs_and_takes_nothing_of_others() {
    let world = World::new();
    world.write_dist();
    world.write("www/keep.txt", "mine");
    let line = "publish dist --export www --url http://files.example.org/dist";
    let told = stdout(&world.run(line).success());
    assert!(told.starts_with("Exported "), "{told}");
    for name in ["www/index.html", "www/dist.torrent", "www/style.css", "www/files/dist/dist/README"] {
        assert!(world.path(name).exists(), "{name}");
    }
    let shown = world.json("show www/dist.torrent");
    assert_eq!(shown["web_seeds"][0], "http://files.example.org/dist/files/dist/");
    assert_eq!(shown["trackers"][0][0], "http://files.example.org:6969/announce");
    let again = stdout(&world.run(line).success());
    assert!(again.contains(" 0 files written"), "{again}");
    assert_eq!(world.read("www/keep.txt"), b"mine");
    world.write("other/index.html", "mine");
    let refused = world.run("publish dist --export other --url http://files.example.org").code(13);
    assert!(stderr(&refused).contains("--force"), "{}", stderr(&refused));
    assert_eq!(world.read("other/index.html"), b"mine");
}

#[test]
fn with_tracker_origin_and_peers_gone_the_file_still_comes_over_http() {
    let world = World::new();
    world.write_dist();
    // A site whose tracker and origin nobody can reach: the web seed alone is left.
    let (_site, url) = publish(&world, "dist --no-tracker --copies 0");
    world.run(&format!("get {url}/dist.torrent -d here --listen 127.0.0.1:0")).success();
    for name in ["img/disk0.raw", "README", "empty"] {
        assert_eq!(world.read(&format!("here/dist/{name}")), world.read(&format!("dist/{name}")), "{name}");
    }
}
