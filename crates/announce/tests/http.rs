//! What is said over HTTP between client and tracker, in both directions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use announce::http::{
    BadRequest, MAX_PEERS, Reply, UrlError, announce_url, encode_failure, encode_reply, encode_scrape,
    parse_query, parse_reply, parse_scrape, parse_scrape_query, scrape_url,
};
use announce::{Announce, AnnounceEvent, PeerFormat, ReplyError, Retry, ScrapeEntry};
use metainfo::{InfoHash, PeerId};
use proptest::prelude::*;

const TRACKER: &str = "http://tracker.example/announce";

fn announce() -> Announce {
    Announce {
        info_hash: InfoHash(*b"\x00\x12\x34Vx\x9a\xbc\xde\xf1#Eg\x89\xab\xcd\xef\x124Vx"),
        peer_id: PeerId(*b"-HW0100-abc.~_& =?%+"),
        port: 6881,
        uploaded: 1,
        downloaded: 2,
        left: 3,
        event: None,
        numwant: None,
        key: None,
        tracker_id: None,
        format: PeerFormat::Compact,
    }
}

fn query(url: &str) -> &[u8] {
    url.split_once('?').unwrap().1.as_bytes()
}

#[test]
fn an_announce_is_written_with_every_raw_byte_escaped() {
    let all = Announce {
        event: Some(AnnounceEvent::Started),
        numwant: Some(50),
        key: Some(0xab),
        tracker_id: Some(b"a&b".to_vec()),
        ..announce()
    };
    assert_eq!(
        announce_url(TRACKER, &all).unwrap(),
        "http://tracker.example/announce?info_hash=%00%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx\
         &peer_id=-HW0100-abc.~_%26%20%3D%3F%25%2B&port=6881&uploaded=1&downloaded=2&left=3&compact=1&numwant=50\
         &key=000000AB&event=started&trackerid=a%26b"
    );
}

#[test]
fn a_tracker_keeps_its_own_query_and_loses_its_fragment() {
    for (tracker, start) in [
        ("http://t/a?passkey=x", "http://t/a?passkey=x&info_hash="),
        ("http://t/a?", "http://t/a?info_hash="),
        ("http://t/a?x=1&", "http://t/a?x=1&info_hash="),
        ("http://t/a#part", "http://t/a?info_hash="),
    ] {
        assert!(announce_url(tracker, &announce()).unwrap().starts_with(start), "{tracker}");
    }
}

#[test]
fn a_tracker_whose_url_speaks_for_us_is_refused() {
    // S-23
    for key in ["info_hash", "peer_id", "INFO_HASH", "info%5fhash", "peer%5Fid", "event", "ip"] {
        let url = format!("http://t/announce?x=1&{key}=abc");
        assert!(matches!(announce_url(&url, &announce()), Err(UrlError::Reserved(_))), "{key}");
        assert_eq!(scrape_url(&url, &[]), None, "{key}");
    }
    assert!(announce_url("http://t/announce?x=info_hash", &announce()).is_ok());
    for url in ["http://t/a b", "http://t/\r\nHost: x", "http://t/\u{fc}"] {
        assert_eq!(announce_url(url, &announce()), Err(UrlError::Character), "{url}");
    }
}

#[test]
fn a_scrape_url_follows_the_convention() {
    let check = |tracker, expected: Option<&str>| {
        assert_eq!(scrape_url(tracker, &[]).as_deref(), expected, "{tracker}");
    };
    check("http://t/announce", Some("http://t/scrape"));
    check("http://t/x/announce.php?k=a/b", Some("http://t/x/scrape.php?k=a/b"));
    check("http://t/a", None);
    check("http://t/announce/x", None);
    check("http://t/?x=announce", None);
    let url = scrape_url("http://t/announce?k=1", &[InfoHash([b'a'; 20]), InfoHash([0xff; 20])]).unwrap();
    assert_eq!(parse_scrape_query(query(&url)).unwrap(), [InfoHash([b'a'; 20]), InfoHash([0xff; 20])]);
}

#[test]
fn compact_peers_dictionaries_and_ipv6_give_the_same() {
    let compact = parse_reply(b"d8:intervali1800e5:peers6:\x01\x02\x03\x04\x1a\xe1e").unwrap();
    let long = parse_reply(b"d8:intervali1800e5:peersld2:ip7:1.2.3.44:porti6881eeee").unwrap();
    let mapped =
        parse_reply(b"d8:intervali1800e6:peers618:\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04\x1a\xe1e")
            .unwrap();
    let peer: SocketAddr = "1.2.3.4:6881".parse().unwrap();
    for reply in [compact, long, mapped] {
        assert_eq!((reply.peers, reply.interval), (vec![peer], Duration::from_secs(1800)));
    }
    let v6 = parse_reply(b"d8:intervali1800e6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1e")
        .unwrap();
    assert_eq!(v6.peers, ["[2001:db8::1]:6881".parse().unwrap()]);
}

#[test]
fn everything_else_in_a_reply_is_read() {
    let reply = parse_reply(
        b"d8:completei5e11:external ip4:\x01\x02\x03\x0410:incompletei7e8:intervali900e12:min intervali60e5:peers0:\
          10:tracker id3:abc15:warning message5:\x1b[31me",
    )
    .unwrap();
    assert_eq!((reply.complete, reply.incomplete), (Some(5), Some(7)));
    assert_eq!(reply.external_ip, Some(IpAddr::V4(Ipv4Addr::new(1, 2, 3, 4))));
    assert_eq!(reply.min_interval, Some(Duration::from_secs(60)));
    assert_eq!(reply.tracker_id.as_deref(), Some(&b"abc"[..]));
    assert_eq!(reply.warning.as_deref(), Some("[31m"), "control characters must not reach a terminal");
}

#[test]
fn useless_peers_are_left_out_and_long_lists_are_cut() {
    let reply = parse_reply(
        b"d8:intervali60e5:peers20:\x01\x02\x03\x04\0\0\0\0\0\0\x1a\xe1\x01\x02\x03\x05\x1a\xe1xxe",
    );
    assert_eq!(reply.unwrap().peers, ["1.2.3.5:6881".parse().unwrap()]);
    let mut long = format!("d8:intervali60e5:peers{}:", 6 * 5000).into_bytes();
    long.resize(long.len() + 6 * 5000, 9);
    long.push(b'e');
    assert_eq!(parse_reply(&long).unwrap().peers.len(), MAX_PEERS);
    let names =
        parse_reply(b"d8:intervali60e5:peersld2:ip11:example.org4:porti1eed2:ip7:1.2.3.44:porti99999eeee");
    assert_eq!(names.unwrap().peers, []);
}

#[test]
fn intervals_are_kept_within_reason() {
    let interval =
        |text: &str| parse_reply(format!("d8:intervali{text}e5:peers0:e").as_bytes()).unwrap().interval;
    assert_eq!(interval("0"), Duration::from_secs(5));
    assert_eq!(interval("-7"), Duration::from_secs(5));
    assert_eq!(interval("9223372036854775807"), Duration::from_secs(86_400));
}

#[test]
fn failures_say_why_and_when_to_come_back() {
    // BEP 31
    let check = |retry: &str, expected| {
        let body = format!("d14:failure reason4:busy{retry}e");
        let failure = ReplyError::Failure { reason: "busy".into(), retry: expected };
        assert_eq!(parse_reply(body.as_bytes()), Err(failure), "{retry}");
    };
    check("", None);
    check("8:retry ini2e", Some(Retry::After(Duration::from_secs(120))));
    check("8:retry in1:3", Some(Retry::After(Duration::from_secs(180))));
    check("8:retry in5:never", Some(Retry::Never));
    check("8:retry in4:soon", None);
    check("8:retry ini-1e", None);
}

#[test]
fn garbage_is_an_error_with_a_name() {
    let deep = [vec![b'l'; 10_000], vec![b'e'; 10_000]].concat(); // M-01
    let bodies: [&[u8]; 8] = [
        b"",
        b"<html>",
        b"i1e",
        b"de",
        b"d8:intervali60e5:peersi1ee",
        b"d8:interval2:60e",
        b"d5:peers0:",
        &deep,
    ];
    for body in bodies {
        assert!(matches!(parse_reply(body), Err(ReplyError::Malformed(_))), "{}", body.escape_ascii());
    }
    assert!(matches!(parse_reply(&vec![b'0'; 2 << 20]), Err(ReplyError::Malformed("longer than 1 MiB"))));
}

#[test]
fn unsorted_keys_and_a_line_break_at_the_end_are_put_up_with() {
    assert!(parse_reply(b"d5:peers0:8:intervali60ee\r\n").is_ok());
}

#[test]
fn bad_announces_are_refused_with_a_reason() {
    // T-02
    let good = "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=1&left=0";
    let check = |from: &str, to: &str, expected| {
        assert!(good.contains(from), "{from}");
        assert_eq!(parse_query(good.replacen(from, to, 1).as_bytes()), Err(expected), "{to}");
    };
    let (hash, id) = ("info_hash=aaaaaaaaaaaaaaaaaaaa", "peer_id=bbbbbbbbbbbbbbbbbbbb");
    check(hash, "", BadRequest::Missing("info_hash"));
    check(hash, "info_hash", BadRequest::TwentyBytes("info_hash"));
    check(hash, "info_hash=aaaaaaaaaaaaaaaaaaa", BadRequest::TwentyBytes("info_hash"));
    check(hash, "info_hash=aaaaaaaaaaaaaaaaaaaaa", BadRequest::TwentyBytes("info_hash"));
    check(hash, "info_hash=aaaaaaaaaaaaaaaaaaa%", BadRequest::TwentyBytes("info_hash"));
    check(hash, "info_hash=aaaaaaaaaaaaaaaaaaa%4", BadRequest::TwentyBytes("info_hash"));
    check(hash, "info_hash=aaaaaaaaaaaaaaaaaaa%+4", BadRequest::TwentyBytes("info_hash"));
    check("&port", "&info_hash=cccccccccccccccccccc&port", BadRequest::Duplicate("info_hash"));
    check(id, "", BadRequest::Missing("peer_id"));
    check(id, "peer_id=short", BadRequest::TwentyBytes("peer_id"));
    check("&port=1", "", BadRequest::Missing("port"));
    for port in ["", "0", "65536", "-1", "+1", "1.5", "x", "99999999999999999999"] {
        check("port=1", &format!("port={port}"), BadRequest::Port);
    }
    check("&left=0", "", BadRequest::Missing("left"));
    for left in ["", "-1", "18446744073709551616", "x"] {
        check("left=0", &format!("left={left}"), BadRequest::Number("left"));
    }
    check("&left", "&uploaded=-5&left", BadRequest::Number("uploaded"));
    check("&left", "&numwant=abc&left", BadRequest::Number("numwant"));
    check("&left", "&event=bogus&left", BadRequest::Event);
}

#[test]
fn what_clients_really_send_is_understood() {
    let parse = |more: &str| {
        let query = format!(
            "left=7&port=65535&peer_id=bbbbbbbbbbbbbbbbbbbb&info_hash=%61%4a%4Aaaaaaaaaaaaaaaaaa{more}"
        );
        parse_query(query.as_bytes()).unwrap()
    };
    let plain = parse("&event=&supportcrypto=1&&junk&ip=1.2.3.4");
    assert_eq!(plain.info_hash, InfoHash(*b"aJJaaaaaaaaaaaaaaaaa"));
    assert_eq!((plain.event, plain.numwant, plain.format), (None, None, PeerFormat::Compact));
    assert_eq!(parse("&numwant=-1").numwant, None);
    assert_eq!(parse("&numwant=0").numwant, Some(0));
    assert_eq!(parse("&numwant=99999999999").numwant, Some(u32::MAX));
    assert_eq!(parse("&event=paused").event, Some(AnnounceEvent::Paused));
    assert_eq!(parse("&compact=0&no_peer_id=1").format, PeerFormat::Dictionary);
}

#[test]
fn scrapes_keep_raw_hashes_and_are_cut_at_74() {
    let hash = InfoHash([0xe9; 20]);
    let counts = ScrapeEntry { complete: 1, incomplete: 2, downloaded: 3, downloaders: Some(1) };
    let mut body = Vec::new();
    encode_scrape(
        &mut vec![(hash, counts), (InfoHash([0; 20]), ScrapeEntry::default()), (hash, counts)],
        &mut body,
    );
    assert_eq!(parse_scrape(&body).unwrap(), [(InfoHash([0; 20]), ScrapeEntry::default()), (hash, counts)]);
    assert!(bencode::decode(&body, bencode::Options::STRICT).is_ok());
    let many = "info_hash=aaaaaaaaaaaaaaaaaaaa&".repeat(10_000); // T-02
    assert_eq!(parse_scrape_query(many.as_bytes()).unwrap().len(), 74);
    assert_eq!(parse_scrape_query(b"info_hash=a"), Err(BadRequest::TwentyBytes("info_hash")));
}

fn any_announce() -> impl Strategy<Value = Announce> {
    let event = prop_oneof![
        Just(None),
        Just(Some(AnnounceEvent::Started)),
        Just(Some(AnnounceEvent::Completed)),
        Just(Some(AnnounceEvent::Stopped)),
        Just(Some(AnnounceEvent::Paused)),
    ];
    let names = (any::<[u8; 20]>(), any::<[u8; 20]>(), 1..=u16::MAX);
    let counters = (any::<u64>(), any::<u64>(), any::<u64>());
    let rest = (event, any::<Option<u32>>(), any::<Option<u32>>(), any::<Option<Vec<u8>>>(), any::<bool>());
    (names, counters, rest).prop_map(|((hash, id, port), (uploaded, downloaded, left), rest)| Announce {
        info_hash: InfoHash(hash),
        peer_id: PeerId(id),
        port,
        uploaded,
        downloaded,
        left,
        event: rest.0,
        numwant: rest.1,
        key: rest.2,
        tracker_id: rest.3,
        format: if rest.4 { PeerFormat::Compact } else { PeerFormat::Dictionary },
    })
}

proptest! {
    #[test]
    fn a_tracker_reads_what_a_client_wrote(announce in any_announce()) {
        let url = announce_url("https://t/x/announce?passkey=1", &announce).unwrap();
        prop_assert_eq!(parse_query(query(&url)), Ok(announce));
    }

    #[test]
    fn a_client_reads_what_a_tracker_wrote(
        v4 in prop::collection::vec((1..=u32::MAX, 1..=u16::MAX), 0..60),
        v6 in prop::collection::vec((1_u128 << 64..=u128::MAX, 1..=u16::MAX), 0..60),
        counts in any::<(u32, u32, u32)>(),
        dictionary in any::<bool>(),
    ) {
        let pack4 = |&(ip, port): &(u32, u16)| [&ip.to_be_bytes()[..], &port.to_be_bytes()].concat().try_into().unwrap();
        let pack6 = |&(ip, port): &(u128, u16)| [&ip.to_be_bytes()[..], &port.to_be_bytes()].concat().try_into().unwrap();
        let (peers, peers6): (Vec<_>, Vec<_>) = (v4.iter().map(pack4).collect(), v6.iter().map(pack6).collect());
        let reply = Reply {
            interval: Duration::from_secs(1800),
            min_interval: Duration::from_secs(60),
            complete: counts.0,
            incomplete: counts.1,
            downloaded: counts.2,
            external_ip: Some(Ipv6Addr::LOCALHOST.into()),
            peers: &peers,
            peers6: &peers6,
        };
        let mut body = Vec::new();
        encode_reply(&reply, if dictionary { PeerFormat::Dictionary } else { PeerFormat::Compact }, &mut body);
        prop_assert!(bencode::decode(&body, bencode::Options::STRICT).is_ok());
        let read = parse_reply(&body).unwrap();
        let v4 = v4.into_iter().map(|(ip, port)| SocketAddr::from((Ipv4Addr::from(ip), port)));
        let v6 = v6.into_iter().map(|(ip, port)| SocketAddr::from((Ipv6Addr::from(ip), port)));
        prop_assert_eq!(read.peers, v4.chain(v6).collect::<Vec<_>>());
        prop_assert_eq!((read.complete, read.incomplete), (Some(counts.0), Some(counts.1)));
        prop_assert_eq!(read.external_ip, Some(Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    fn a_failure_arrives_as_it_was_sent(reason in "[ -~]{0,100}", minutes in 1_u64..1000, kind in 0_usize..3) {
        let retry = [None, Some(Retry::Never), Some(Retry::After(Duration::from_secs(60 * minutes)))][kind];
        let mut body = Vec::new();
        encode_failure(&reason, retry, &mut body);
        prop_assert_eq!(parse_reply(&body), Err(ReplyError::Failure { reason, retry }));
    }

    #[test]
    fn no_bytes_make_either_side_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = (parse_reply(&bytes), parse_scrape(&bytes), parse_query(&bytes), parse_scrape_query(&bytes));
        let text = String::from_utf8_lossy(&bytes);
        let _ = (announce_url(&text, &announce()), scrape_url(&text, &[]));
    }
}
