//! Stories of transfers over real loopback sockets, told through the built program.

mod world;

use world::{Running, World, damage, noise, stderr, stdout};

const SIZE: usize = 3_000_000;

/// Publishes a file and says where its torrent is.
fn publish(world: &World, flags: &str) -> (Running, String) {
    world.write("site/film.bin", noise(SIZE));
    let mut origin =
        world.start(&format!("publish site/film.bin --http 127.0.0.1:0 --state-dir origin {flags}"));
    let url = origin.word_after("headwater get ");
    (origin, url)
}

#[test]
fn a_published_file_is_fetched_by_the_printed_line() {
    let world = World::new();
    let (origin, url) = publish(&world, "");
    let got = world.run(&format!("get {url} -d here")).success();
    assert!(stdout(&got).starts_with("Done: film.bin (2.86 MiB in "), "{}", stdout(&got));
    assert_eq!(world.read("here/film.bin"), noise(SIZE));
    // The printed line that keeps it alive is exact.
    let line = stdout(&got).split_once("headwater ").unwrap().1.trim().to_owned();
    let mut seed = world.start(&line);
    seed.wait_for("Seeding film.bin");
    seed.signal("INT");
    assert_eq!(seed.wait().code(), Some(130));
    origin.signal("TERM");
    assert_eq!(origin.wait().code(), Some(0));
}

#[test]
fn a_download_is_done_even_if_its_torrent_cannot_be_kept() {
    let world = World::new();
    let (_origin, url) = publish(&world, "");
    world.write("state/torrents", "in the way");
    let got = world.run(&format!("get {url} -d here")).success();
    assert!(stdout(&got).starts_with("Done: film.bin"), "{}", stdout(&got));
    assert!(stderr(&got).contains("its torrent is not kept"), "{}", stderr(&got));
    assert_eq!(world.read("here/film.bin"), noise(SIZE));
}

#[test]
fn a_second_downloader_completes_after_the_origin_has_gone() {
    let world = World::new();
    let mut tracker = world.start("track --http 127.0.0.1:0");
    let announce = tracker.word_after("Tracking at ");
    world.write("site/film.bin", noise(SIZE));
    world.run(&format!("create site/film.bin -t {announce}")).success();
    let mut origin = world.start("seed film.bin.torrent -d site --state-dir origin --listen 127.0.0.1:0");
    origin.wait_for("Seeding film.bin");
    let mut first =
        world.start("get film.bin.torrent -d first --state-dir one --seed-time 1h --listen 127.0.0.1:0");
    first.wait_for("Done:");
    origin.signal("INT");
    assert_eq!(origin.wait().code(), Some(130));
    world.run("get film.bin.torrent -d second --state-dir two --listen 127.0.0.1:0").success();
    assert_eq!(world.read("second/film.bin"), noise(SIZE));
    first.signal("TERM");
    assert_eq!(first.wait().code(), Some(143));
    tracker.signal("INT");
    assert_eq!(tracker.wait().code(), Some(0));
}

#[test]
fn a_magnet_link_and_a_peer_are_enough() {
    let world = World::new();
    world.write("film.bin", noise(SIZE));
    let mut seed = world.start("seed film.bin --listen 127.0.0.1:0 --json");
    let event: serde_json::Value = serde_json::from_str(&seed.wait_for("\"seeding\"")).unwrap();
    let (link, port) = (event["magnet"].as_str().unwrap(), &event["port"]);
    let hash = event["hash"].as_str().unwrap();
    for source in [link, hash] {
        let folder = format!("copy{}", source.len());
        let peer = format!("127.0.0.1:{port}");
        let mut get = world.command(["get", source, "--peer", &peer, "-d", &folder, "--state-dir", "getter"]);
        let output = get.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(world.read(&format!("{folder}/film.bin")), noise(SIZE));
    }
}

#[test]
fn an_origin_tells_how_much_it_gives_and_why() {
    let world = World::new();
    world.write("film.bin", noise(SIZE));
    let mut seed = world.start("seed film.bin --listen 127.0.0.1:0 --json --copies 1");
    let event: serde_json::Value = serde_json::from_str(&seed.wait_for("\"seeding\"")).unwrap();
    let (hash, peer) = (event["hash"].as_str().unwrap(), format!("127.0.0.1:{}", event["port"]));
    let mode: serde_json::Value = serde_json::from_str(&seed.wait_for("\"mode\"")).unwrap();
    assert_eq!((&mode["mode"], &mode["reason"]), (&"full".into(), &"nobody downloads".into()));
    let get = world.start(&format!("get {hash} --peer {peer} -d copy --state-dir getter --seed-time 1m"));
    let silent = seed.wait_for("\"silent\"");
    assert!(silent.contains("1 copy held for 10 s"), "{silent}");
    assert_eq!(world.read("copy/film.bin"), noise(SIZE));
    drop(get);
}

#[test]
fn events_tell_the_story_of_a_download() {
    let world = World::new();
    let (_origin, url) = publish(&world, "");
    let got = stdout(&world.run(&format!("get {url} -d here --progress json")).success());
    let events: Vec<serde_json::Value> =
        got.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (first, last) = (events.first().unwrap(), events.last().unwrap());
    assert_eq!(
        (&first["schema"], &first["event"], &first["size"]),
        (&1.into(), &"metadata".into(), &SIZE.into())
    );
    assert_eq!((&last["event"], &last["path"]), (&"complete".into(), &"here/film.bin".into()));
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let world = World::new();
    let (_origin, url) = publish(&world, "--limit-upload 1MiB");
    let mut get = world.start(&format!("get {url} -d here --progress json"));
    while !get.wait_for("progress").contains("\"peers\":1") {}
    get.signal("INT");
    assert_eq!(get.wait().code(), Some(130));
    world.run(&format!("get {url} -d here")).success();
    assert_eq!(world.read("here/film.bin"), noise(SIZE));
}

#[test]
fn a_strangers_file_is_not_overwritten_but_an_own_one_is_repaired() {
    let world = World::new();
    let (_origin, url) = publish(&world, "");
    world.write("here/film.bin", "somebody's diary");
    let refused = world.run(&format!("get {url} -d here")).code(13);
    assert!(stderr(&refused).contains("here/film.bin exists"), "{}", stderr(&refused));
    assert_eq!(world.read("here/film.bin"), b"somebody's diary");
    world.run(&format!("get {url} -d here --force")).success();
    assert_eq!(world.read("here/film.bin"), noise(SIZE));

    world.write("there/film.bin", noise(SIZE));
    damage(&world.path("there/film.bin"), 1_000_000);
    world.run(&format!("get {url} -d there")).success();
    assert_eq!(world.read("there/film.bin"), noise(SIZE));
}

/// In a hybrid no two files share a piece, so nothing of the others comes along.
#[test]
fn chosen_files_alone_are_fetched() {
    let world = World::new();
    world.write_dist();
    let mut origin = world.start("publish dist --format hybrid --http 127.0.0.1:0 --state-dir origin");
    let url = origin.word_after("headwater get ");
    let list = stdout(&world.run(&format!("get {url} --list")).success());
    assert_eq!(list.lines().count(), 3, "{list}");
    world.run(&format!("get {url} -d here -f README -o renamed")).success();
    assert_eq!(world.read("here/renamed/README"), b"read me\n");
    assert!(!world.path("here/renamed/img/disk0.raw").exists());
    world.run(&format!("get {url} -d here -f *.mp4")).code(2);

    // A part cannot be seeded alone: only the whole is told how to live on.
    let part = world.run(&format!("get {url} -d part -f README")).success();
    assert!(stdout(&part).ends_with("verified).\n"), "{}", stdout(&part));

    world.run(&format!("get {url} -o dist.torrent --torrent-only")).success();
    let link = stdout(&world.run("magnet dist.torrent --select 1").success());
    world.run(&format!("get {} -d linked", link.trim())).success();
    assert_eq!(world.read("linked/dist/README"), b"read me\n");
    assert!(!world.path("linked/dist/img/disk0.raw").exists());
    let beyond = format!("{}&so=1000", link.trim().split("&so=").next().unwrap());
    world.run(&format!("get {beyond} -d beyond")).code(4);
}

#[test]
fn force_replaces_files_but_touches_nothing_behind_links() {
    let world = World::new();
    let (_origin, url) = publish(&world, "");
    let diary = vec![7; 2 * SIZE];
    world.write("diary", &diary);
    world.write("longer/film.bin", noise(2 * SIZE));
    world.run(&format!("get {url} -d longer")).code(13);
    world.run(&format!("get {url} -d longer --force")).success();
    assert!(world.read("longer/film.bin") == noise(SIZE));

    std::fs::create_dir(world.path("soft")).unwrap();
    std::os::unix::fs::symlink(world.path("diary"), world.path("soft/film.bin")).unwrap();
    std::fs::create_dir(world.path("hard")).unwrap();
    std::fs::hard_link(world.path("diary"), world.path("hard/film.bin")).unwrap();
    world.write("folder/film.bin/x", "x");
    for folder in ["soft", "hard", "folder"] {
        world.run(&format!("get {url} -d {folder} --force")).code(13);
    }
    assert!(world.read("diary") == diary);
}

#[test]
fn two_downloaders_at_once_both_complete() {
    let world = World::new();
    let (_origin, url) = publish(&world, "--limit-upload 2MiB");
    let mut first = world.start(&format!("get {url} -d first --state-dir one --listen 127.0.0.1:0"));
    let mut second = world.start(&format!("get {url} -d second --state-dir two --listen 127.0.0.1:0"));
    first.wait_for("Done:");
    second.wait_for("Done:");
    assert_eq!(first.wait().code(), Some(0));
    assert_eq!(second.wait().code(), Some(0));
    assert_eq!(world.read("first/film.bin"), world.read("second/film.bin"));
}

#[test]
fn a_tracker_reads_its_list_again_on_hangup() {
    let world = World::new();
    world.write("mine.txt", "not a hash\n");
    world.run("track --http 127.0.0.1:0 --allow mine.txt").code(4);
    world.write("mine.txt", "# nothing\n");
    let mut tracker = world.start("track --http 127.0.0.1:0 --allow mine.txt");
    let announce = tracker.word_after("Tracking at ");
    world.write("film.bin", noise(SIZE));
    let made = world.json(&format!("create film.bin -t {announce}"));
    world.run("get film.bin.torrent -d here --timeout 300ms").code(7);
    world.write("mine.txt", made["v1"].as_str().unwrap());
    tracker.signal("HUP");
    tracker.wait_for("Read the list again");
    let mut seed = world.start("seed film.bin.torrent --listen 127.0.0.1:0");
    seed.wait_for("Seeding film.bin");
    world.run("get film.bin.torrent -d here --state-dir getter").success();
}

#[test]
fn time_limits_are_kept_and_told() {
    let world = World::new();
    world.write("film.bin", noise(SIZE));
    world.run("create film.bin -o a.torrent").success();
    let gave_up = world.run("get a.torrent -d here --timeout 300ms").code(7);
    assert!(stderr(&gave_up).contains("film.bin is not complete after 0.3s"), "{}", stderr(&gave_up));
    let link = stdout(&world.run("magnet a.torrent").success());
    let mut get = world.command(["get", link.trim(), "-d", "there", "--timeout", "300ms"]);
    assert_eq!(get.output().unwrap().status.code(), Some(7));
}

#[test]
fn what_cannot_be_fetched_ends_with_its_own_code() {
    let world = World::new();
    let (_origin, url) = publish(&world, "");
    world.run(&format!("get {url}.missing")).code(3);
    world.run("get missing.torrent").code(3);
    world.run("get http://127.0.0.1:1/x.torrent").code(6);
    world.run("create site/film.bin --format v2 -o v2.torrent").success();
    for line in ["get v2.torrent -d x", "seed v2.torrent -d site"] {
        assert!(stderr(&world.run(line).code(4)).contains("v2-only"), "{line}");
    }
    world.run("seed v2.torrent missing").code(3);
}

#[test]
fn seeding_refuses_data_that_differ() {
    let world = World::new();
    world.write("film.bin", noise(SIZE));
    world.run("create film.bin").success();
    damage(&world.path("film.bin"), 5);
    let refused = world.run("seed film.bin.torrent --listen 127.0.0.1:0").code(5);
    assert!(stderr(&refused).contains("1 of 184 pieces"), "{}", stderr(&refused));
    assert_eq!(stdout(&refused), "");
}
