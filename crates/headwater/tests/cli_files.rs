//! Stories of the commands that make, read and change torrent files, told through the built program.

mod world;

use world::{World, damage, stderr, stdout};

#[test]
fn a_torrent_is_made_shown_verified_edited_and_linked() {
    let world = World::new();
    world.write_dist();
    let made = world.run("create dist -t http://tracker.test/announce").success();
    assert!(
        stdout(&made)
            .starts_with("Wrote dist.torrent  hybrid, 3 files, 195.32 KiB in 14 pieces of 16 KiB\n  v1 ")
    );

    let shown = stdout(&world.run("show dist.torrent").success());
    assert!(shown.contains("http://tracker.test/announce"), "{shown}");
    let tree = stdout(&world.run("show dist.torrent --tree").success());
    assert_eq!(tree, "dist\n  README  8 bytes\n  empty  0 bytes\n  img/\n    disk0.raw  195.31 KiB\n");

    let verified = world.run("verify dist.torrent").success();
    assert_eq!(stdout(&verified), "dist: ok  3 files, 195.32 KiB, 14 pieces\n");

    let before = world.json("show dist.torrent");
    world.run("edit dist.torrent -o edited.torrent -c hello -t udp://other.test:1/announce").success();
    let after = world.json("show edited.torrent");
    assert_eq!(after["v1"], before["v1"]);
    assert_eq!(after["comment"], "hello");
    assert_eq!(after["trackers"], serde_json::json!([["udp://other.test:1/announce"]]));

    let link = stdout(&world.run("magnet edited.torrent").success());
    assert!(link.starts_with(&format!("magnet:?xt=urn:btih:{}&", before["v1"].as_str().unwrap())));
    let mut show = world.command(["show", link.trim(), "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&show.output().unwrap().stdout).unwrap();
    assert_eq!(shown["v2"], before["v2"]);
}

#[test]
fn a_flipped_bit_is_found_and_its_file_and_piece_are_named() {
    let world = World::new();
    world.write_dist();
    world.run("create dist").success();
    damage(&world.path("dist/img/disk0.raw"), 70_000);
    std::fs::remove_file(world.path("dist/empty")).unwrap();
    let found = stdout(&world.run("verify dist.torrent").code(5));
    assert_eq!(
        found,
        "dist: differs  2 of 3 files, 1 of 14 pieces\n  empty: missing\n  img/disk0.raw: bad piece 5\n"
    );
    let document = world.json("verify dist.torrent");
    let expected = serde_json::json!({
        "schema": 1, "torrent": "dist.torrent", "ok": false, "pieces": { "total": 14, "good": 13, "bad": [5] },
        "files": [
            { "path": "empty", "ok": false, "missing": true },
            { "path": "img/disk0.raw", "ok": false, "bad_pieces": [5], "size": 200_000 },
        ],
    });
    assert_eq!(document, expected);
    assert_eq!(stdout(&world.run("verify dist.torrent --list-bad").code(5)), "empty\nimg/disk0.raw\n");
    assert_eq!(stdout(&world.run("verify dist.torrent dist --quick --list-bad").code(5)), "empty\n");
}

#[test]
fn a_renamed_folder_can_be_verified_by_its_path() {
    let world = World::new();
    world.write_dist();
    world.run("create dist").success();
    std::fs::rename(world.path("dist"), world.path("copy")).unwrap();
    world.run("verify dist.torrent copy").success();
    world.run("verify dist.torrent").code(5);
    world.run("verify dist.torrent nowhere").code(3);
}

#[test]
fn nothing_is_overwritten_unless_forced() {
    let world = World::new();
    world.write_dist();
    world.write("dist.torrent", "mine");
    let refused = world.run("create dist").code(13);
    assert_eq!(
        stderr(&refused),
        "error: dist.torrent exists\nhint:  use --force to replace it, or -o OTHER.torrent\n"
    );
    assert_eq!(world.read("dist.torrent"), b"mine");
    world.run("create dist --dry-run").success();
    assert_eq!(world.read("dist.torrent"), b"mine");
    world.run("create dist --force").success();
    world.run("edit dist.torrent -o dist.torrent -c x").code(13);
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let world = World::new();
    world.write_dist();
    world.run("create dist --date none -j 1").success();
    world.run("create dist --date none -j 4 -o again.torrent").success();
    assert_eq!(world.read("dist.torrent"), world.read("again.torrent"));
    let piped = world.run("create dist --date none -o - --json").success();
    assert_eq!(piped.get_output().stdout, world.read("dist.torrent"));
}

#[test]
fn json_describes_what_was_made() {
    let world = World::new();
    world.write_dist();
    let made = world.json("create dist --format v2 -o x.torrent");
    assert_eq!(made["schema"], 1);
    assert_eq!(made["torrent"], "x.torrent");
    assert_eq!(made["v1"], serde_json::Value::Null);
    assert_eq!(made["v2"].as_str().unwrap().len(), 64);
    let shown = world.json("show x.torrent");
    assert_eq!(shown["format"], "v2");
    assert_eq!(shown["files"][2], serde_json::json!({ "path": "img/disk0.raw", "size": 200_000 }));
    let error = world.json("show missing.torrent");
    assert_eq!(error["exit"], 3);
}

#[test]
fn mistakes_are_answered_with_what_helps() {
    let world = World::new();
    world.write_dist();
    for (line, code, words) in [
        ("create dist -l 18", 2, "hint:  -l 256KiB"),
        ("create missing", 3, "cannot read missing"),
        ("create dist -p", 2, "--allow private-without-tracker"),
        ("create dist -t example.org", 2, "hint:  -t https://"),
        ("show dist", 4, "headwater create dist"),
        ("show dist/README", 4, "not a valid torrent"),
        ("show magnet:?dn=x", 4, "not a valid magnet link"),
        ("edit dist.torrent -o y", 3, "cannot read dist.torrent"),
        ("cretae dist", 2, "create"),
        ("get x.torrent --encryption always", 2, "prefer, require"),
        ("get x.torrent --proxy socks5://localhost:1", 2, "--proxy is not supported"),
        ("get x.torrent -o -", 2, "download to a file"),
        ("track --udp 127.0.0.1:0", 2, "--udp is not supported"),
        ("publish dist --http 192.0.2.1:0", 1, "no address of this machine"),
        ("publish dist --https :443", 2, "--https needs a certificate"),
    ] {
        let told = stderr(&world.run(line).code(code));
        assert!(told.contains(words), "{line}: {told}");
    }
}

#[test]
fn a_file_without_permission_is_exit_10() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    world.write("secret", "x");
    std::fs::set_permissions(world.path("secret"), std::fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything.
    if std::fs::read(world.path("secret")).is_err() {
        world.run("show secret").code(10);
    }
}

#[test]
fn flags_may_come_from_the_environment() {
    let world = World::new();
    world.write_dist();
    let mut create = world.command(["create", "dist"]);
    assert!(
        create
            .env("HEADWATER_COMMENT", "from afar")
            .env("HEADWATER_PRIVATE", "0")
            .output()
            .unwrap()
            .status
            .success()
    );
    assert_eq!(world.json("show dist.torrent")["comment"], "from afar");
}

#[test]
fn a_field_is_printed_alone() {
    let world = World::new();
    world.write_dist();
    world.run("create dist -t http://a/announce,http://b/announce").success();
    assert_eq!(stdout(&world.run("show dist.torrent --field info.name").success()), "dist\n");
    assert_eq!(
        stdout(&world.run("show dist.torrent --field announce-list.0.1").success()),
        "http://b/announce\n"
    );
    world.run("show dist.torrent --field nothing").code(3);
}

#[test]
fn a_magnet_link_selects_files_by_the_numbers_shown() {
    let world = World::new();
    world.write_dist();
    world.run("create dist --format v1").success();
    let link = stdout(&world.run("magnet dist.torrent --select 2-3 --peer 192.0.2.1:6881").success());
    assert!(link.contains("so=1-2") || link.contains("so=1,2"), "{link}");
    assert!(link.contains("x.pe=192.0.2.1"), "{link}");
    assert!(stdout(&world.run("magnet dist.torrent --qr").success()).contains('█'));
}

#[test]
fn colours_are_for_terminals_unless_asked_for() {
    let world = World::new();
    world.write_dist();
    world.run("create dist").success();
    assert!(!stdout(&world.run("show dist.torrent").success()).contains('\u{1b}'));
    assert!(stdout(&world.run("show dist.torrent --color always").success()).contains('\u{1b}'));
}

#[test]
fn the_program_describes_itself() {
    let world = World::new();
    assert!(stdout(&world.run("version").success()).starts_with("headwater 0."));
    assert!(stdout(&world.run("completions bash").success()).contains("headwater"));
    world.run("man pages").success();
    assert!(world.path("pages/headwater-get.1").exists());
    world.run("man pages").code(13);
    assert!(stdout(&world.run("help create").success()).contains("Examples:"));
}
