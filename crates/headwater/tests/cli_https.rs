//! Stories of announces over HTTPS, told through the built program.

mod world;

use world::{World, noise, stderr};

const SIZE: usize = 300_000;

#[test]
fn a_tracker_over_https_alone_brings_peers_together() {
    let world = World::new();
    let mut tracker = world.start("track --https 127.0.0.1:0 --tls-self-signed");
    let announce = tracker.word_after("Tracking at ");
    assert!(announce.starts_with("https://127.0.0.1:"), "{announce}");
    world.write("site/film.bin", noise(SIZE));
    world.run(&format!("create site/film.bin -t {announce}")).success();
    let trust = "--ca-file state/self-signed.pem --listen 127.0.0.1:0";
    let mut origin = world.start(&format!("seed film.bin.torrent -d site --state-dir origin {trust}"));
    origin.wait_for("Seeding film.bin");
    world.run(&format!("get film.bin.torrent -d here --state-dir getter {trust}")).success();
    assert_eq!(world.read("here/film.bin"), noise(SIZE));
    // Reading its lists again cuts nobody off.
    tracker.signal("HUP");
    tracker.wait_for("Read the list again");
    world.run(&format!("get film.bin.torrent -d there --state-dir another {trust}")).success();
    tracker.signal("TERM");
    assert_eq!(tracker.wait().code(), Some(0));
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_at_the_start() {
    let world = World::new();
    world.write("cert.pem", "nonsense");
    let line = "track --https 127.0.0.1:0";
    for (flags, code, words) in [
        ("", 2, "--https needs a certificate"),
        ("--tls-cert cert.pem", 4, "cert.pem has no certificate in PEM form"),
        ("--tls-cert missing.pem", 3, "cannot read missing.pem"),
        ("--acme 192.0.2.1", 2, "is no domain"),
    ] {
        let refused = world.run(&format!("{line} {flags}")).code(code);
        assert!(stderr(&refused).contains(words), "{flags}: {}", stderr(&refused));
    }
    world.run("track --tls-self-signed").code(2);
}

#[test]
fn an_address_of_another_machine_is_refused_with_the_flag_that_named_it() {
    let world = World::new();
    world.write("site/film.bin", noise(SIZE));
    for command in ["track", "publish site/film.bin"] {
        let refused = world.run(&format!("{command} --https 192.0.2.1:4443 --tls-self-signed")).failure();
        assert!(stderr(&refused).contains("--https 0.0.0.0:4443"), "{command}: {}", stderr(&refused));
    }
}
