//! What neighbours say and hear (BEP 14), and how often.

use std::net::SocketAddr;
use std::time::Duration;

use announce::lsd::{Action, Discovery, Event, MAX_DATAGRAM};
use metainfo::InfoHash;
use proptest::prelude::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn hash(number: u8) -> InfoHash {
    InfoHash([number; 20])
}

fn neighbour() -> SocketAddr {
    "192.168.1.7:6771".parse().unwrap()
}

fn with(torrents: u8) -> Discovery {
    let mut discovery = Discovery::new(6881, 0xc00c_1e55);
    for number in 0..torrents {
        discovery.handle(secs(0), Event::Join(hash(number)));
    }
    discovery
}

/// Waits for the next announce to IPv4; when it came, and what it says.
fn wait(discovery: &mut Discovery) -> (Duration, String) {
    let now = discovery.next_deadline().unwrap();
    discovery.handle(now, Event::Tick);
    match discovery.next_action() {
        Some(Action::Announce { v4, .. }) => (now, String::from_utf8(v4).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn hear(discovery: &mut Discovery, at: u64, text: &str) -> Vec<Action> {
    discovery.handle(secs(at), Event::Heard { from: neighbour(), bytes: text.as_bytes() });
    std::iter::from_fn(|| discovery.next_action()).collect()
}

fn found(number: u8, at: &str) -> Action {
    Action::Found { hash: hash(number), at: at.parse().unwrap() }
}

#[test]
fn an_announce_is_written_as_bep_14_draws_it() {
    let mut discovery = with(1);
    discovery.handle(secs(1), Event::Tick);
    let Some(Action::Announce { v4, v6 }) = discovery.next_action() else { panic!("nothing said") };
    let text = |host: &str| {
        format!(
            "BT-SEARCH * HTTP/1.1\r\nHost: {host}\r\nPort: 6881\r\nInfohash: {}\r\ncookie: c00c1e55\r\n\r\n\r\n",
            "00".repeat(20)
        )
    };
    assert_eq!(String::from_utf8(v4).unwrap(), text("239.192.152.143:6771"));
    assert_eq!(String::from_utf8(v6).unwrap(), text("[ff15::efc0:988f]:6771"));
}

#[test]
fn a_neighbour_is_found_by_what_we_have_in_common() {
    let mut discovery = with(2);
    let text = |number: u8| format!("{number:02X}").repeat(20);
    let said = format!(
        "BT-SEARCH * HTTP/1.1\r\nHost: x\r\nPORT: 4000\r\nInfohash: {}\r\nInfohash:{}\r\nNew: thing\r\nInfohash: {}\r\n\r\n",
        text(1),
        text(9),
        text(1)
    );
    assert_eq!(hear(&mut discovery, 0, &said), [found(1, "192.168.1.7:4000")]);
    discovery.handle(secs(0), Event::Leave(hash(1)));
    assert_eq!(hear(&mut discovery, 0, &said), []);
}

#[test]
fn we_do_not_find_ourselves() {
    let mut discovery = with(1);
    let (_, ours) = wait(&mut discovery);
    assert_eq!(hear(&mut discovery, 1, &ours), []);
    assert_eq!(hear(&mut discovery, 1, &ours.replace("c00c1e55", "00000000")).len(), 1);
}

#[test]
fn a_torrent_is_announced_every_five_minutes_and_nothing_more_often_than_each_minute() {
    let mut discovery = with(1);
    assert_eq!(wait(&mut discovery).0, secs(1));
    discovery.handle(secs(2), Event::Join(hash(7)));
    let (at, text) = wait(&mut discovery);
    assert_eq!((at, text.contains("0707"), text.contains("0000")), (secs(61), true, false));
    assert_eq!(wait(&mut discovery).0, secs(301));
    discovery.handle(secs(301), Event::Leave(hash(0)));
    discovery.handle(secs(301), Event::Leave(hash(7)));
    assert_eq!(discovery.next_deadline(), None);
}

#[test]
fn many_torrents_share_datagrams_that_are_short_enough_and_take_turns() {
    let mut discovery = with(60);
    let mut named = 0;
    for minute in 0..3 {
        let (at, text) = wait(&mut discovery);
        assert_eq!(at, secs(1 + 60 * minute));
        assert!(text.len() <= MAX_DATAGRAM, "{}", text.len());
        named += text.matches("Infohash").count();
    }
    assert_eq!(named, 60);
    assert_eq!(discovery.next_deadline(), Some(secs(301)));
}

#[test]
fn whoever_talks_too_much_is_not_heard_until_the_minute_is_over() {
    let mut discovery = with(1);
    let said = format!("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: {}\r\n\r\n", "00".repeat(20));
    let heard = (0..150).filter(|_| !hear(&mut discovery, 0, &said).is_empty()).count();
    assert_eq!(heard, 100);
    let mut others = 0;
    for host in 0..=255 {
        for _ in 0..10 {
            let from = SocketAddr::from(([192, 168, 2, host], 6771));
            discovery.handle(secs(1), Event::Heard { from, bytes: said.as_bytes() });
            others += usize::from(discovery.next_action().is_some());
        }
    }
    assert_eq!(others, 900);
    assert_eq!(hear(&mut discovery, 61, &said).len(), 1);
}

#[test]
fn what_is_no_announce_is_not_heard() {
    let mut discovery = with(1);
    let zeros = "00".repeat(20);
    for text in [
        String::new(),
        format!("M-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: {zeros}\r\n\r\n"),
        format!("BT-SEARCH * HTTP/1.1\r\nInfohash: {zeros}\r\n\r\n"),
        format!("BT-SEARCH * HTTP/1.1\r\nPort: 0\r\nInfohash: {zeros}\r\n\r\n"),
        format!("BT-SEARCH * HTTP/1.1\r\nPort: 65536\r\nInfohash: {zeros}\r\n\r\n"),
        format!("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: {}\r\n\r\n", &zeros[1..]),
        format!("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: {zeros}\r\nx:{}\r\n\r\n", "x".repeat(1400)),
    ] {
        assert_eq!(hear(&mut discovery, 0, &text), [], "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_heard_without_harm(bytes: Vec<u8>, middle in "[A-Za-z: 0-9\r\n]{0,200}") {
        let mut discovery = with(1);
        discovery.handle(secs(0), Event::Heard { from: neighbour(), bytes: &bytes });
        hear(&mut discovery, 0, &format!("BT-SEARCH * HTTP/1.1\r\n{middle}"));
    }
}
