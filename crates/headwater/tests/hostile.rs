//! Torrent files made to do harm, given to the built program: each is refused in words, and nothing is created.

mod world;

use std::process::Command;

use world::{World, stdout};

/// KiB of memory a refusal may take.
const MEMORY: u32 = 64 << 10;

/// KiB for a file as long as is read at all: it is held whole, and so are the four million values read of it at most.
const MEMORY_OF_A_BOMB: u32 = 160 << 10;

const GOOD: &str = "d4:infod6:lengthi9e4:name1:t12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee";

/// A good torrent but for this.
fn with(from: &str, to: &str) -> Vec<u8> {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1).into()
}

/// Every command that reads a torrent refuses this one, within so much memory.
#[track_caller]
fn refused(world: &World, row: &str, bytes: impl AsRef<[u8]>, kib: u32) {
    world.write("bad.torrent", bytes);
    for line in ["show bad.torrent", "verify bad.torrent here", "get bad.torrent -d here"] {
        let mut shell = Command::new("sh");
        let script = format!("ulimit -d {kib}; exec \"$0\" {line}");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_headwater")]);
        let shell = shell.current_dir(world.path("")).env("HEADWATER_STATE_DIR", world.path("state"));
        let output = shell.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{row}, {line}: {told}");
        assert!(told.starts_with("error: bad.torrent is not a valid torrent"), "{row}, {line}: {told}");
        assert!(output.stdout.is_empty(), "{row}, {line}");
    }
    let names = std::fs::read_dir(world.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(
        names.into_iter().all(|name| name == "bad.torrent" || name == "state"),
        "{row}: files were created"
    );
}

#[test]
fn malformed_torrents_are_refused_in_words_and_create_nothing() {
    let world = World::new();
    let nested = |open: &str| [b"d4:info".to_vec(), open.repeat(10_000).into()].concat();
    let twice = "6:pieces20:aaaaaaaaaaaaaaaaaaaa6:pieces20:bbbbbbbbbbbbbbbbbbbb";
    for (row, bytes) in [
        ("M-01", nested("l")),
        ("M-01", nested("d1:a")),
        ("M-02", with("4:name", "9223372036854775807:x")),
        ("M-02", with("4:name", "99999999999:x")),
        ("M-02", with("4:name", "-1:")),
        ("M-02", with("4:name", "04:name")),
        ("M-02", b"1".to_vec()),
        ("M-03", with("i9e", "i-0e")),
        ("M-03", with("i9e", "i09e")),
        ("M-03", with("i9e", "ie")),
        ("M-03", with("i9e", "i9223372036854775808e")),
        ("M-04", with("6:pieces20:aaaaaaaaaaaaaaaaaaaa", twice)),
        ("M-06", format!("{GOOD}\n").into()),
        ("M-08", with("i16384e", "i0e")),
        ("M-08", with("i16384e", "i-1e")),
        ("M-08", with("i16384e", "i2147483648e")),
        ("M-09", with("i9e", "i-1e")),
        ("M-09", with("i9e", "i9223372036854775807e")),
        ("M-10", with("20:aaaaaaaaaaaaaaaaaaaa", "19:aaaaaaaaaaaaaaaaaaa")),
        ("M-10", with("20:aaaaaaaaaaaaaaaaaaaa", "0:")),
        ("M-11", with("i9e", "i0e")),
        ("M-23", b"d4:infoi1ee".to_vec()),
        ("M-23", b"4:spam".to_vec()),
        ("M-23", Vec::new()),
        ("M-26", b"\x1f\x8b\x08\0".to_vec()),
        ("M-26", b"PK\x03\x04".to_vec()),
    ] {
        refused(&world, row, bytes, MEMORY);
    }
}

// M-07
#[test]
fn bombs_of_values_and_endless_files_are_refused() {
    let world = World::new();
    let bomb = |length: usize| [b"l".to_vec(), b"i0e".repeat(length / 3), b"e".to_vec()].concat();
    refused(&world, "values", bomb(30 << 20), MEMORY_OF_A_BOMB);
    refused(&world, "length", bomb(64 << 20), MEMORY_OF_A_BOMB);
}

// M-24
#[test]
fn a_torrent_that_only_sha1_protects_is_shown_as_such() {
    let world = World::new();
    world.write_dist();
    world.run("create dist --format v1").success();
    let shown = stdout(&world.run("show dist.torrent").success());
    assert!(shown.starts_with("dist  v1\n") && !shown.contains("v2 hash"), "{shown}");
}
