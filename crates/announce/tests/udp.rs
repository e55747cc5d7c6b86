//! What is said over UDP between client and tracker (BEP 15, 41), and when.

use std::time::Duration;

use announce::udp::{Action, Connections, Event, Exchange, Family};
use announce::{Announce, AnnounceError, AnnounceEvent, AnnounceReply, PeerFormat, ReplyError};
use metainfo::{InfoHash, PeerId};
use proptest::prelude::*;

const CONNECTION: u64 = 0x0102_0304_0506_0708;

fn announce() -> Announce {
    Announce {
        info_hash: InfoHash([b'h'; 20]),
        peer_id: PeerId([b'p'; 20]),
        port: 6881,
        uploaded: 3,
        downloaded: 1,
        left: 2,
        event: Some(AnnounceEvent::Started),
        numwant: Some(100),
        key: Some(7),
        tracker_id: None,
        format: PeerFormat::Compact,
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn exchange(url_data: &str, family: Family, known: Option<u64>) -> Exchange {
    Exchange::new(secs(0), announce(), url_data, family, known, 1)
}

fn sent(exchange: &mut Exchange) -> Vec<u8> {
    match exchange.next_action() {
        Some(Action::Send(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

fn done(exchange: &mut Exchange) -> Result<AnnounceReply, AnnounceError> {
    assert_eq!(exchange.next_deadline(), None);
    match exchange.next_action() {
        Some(Action::Done(result)) => result,
        other => panic!("{other:?}"),
    }
}

/// An answer to a request, with its transaction id.
fn answer(request: &[u8], action: u32, body: &[u8]) -> Vec<u8> {
    [&action.to_be_bytes(), &request[12..16], body].concat()
}

fn hear(exchange: &mut Exchange, at: u64, datagram: &[u8]) {
    exchange.handle(secs(at), Event::Datagram(datagram));
}

/// Gets the connection; the announce that follows.
fn connect(exchange: &mut Exchange) -> Vec<u8> {
    let request = sent(exchange);
    hear(exchange, 1, &answer(&request, 0, &CONNECTION.to_be_bytes()));
    assert_eq!(exchange.next_action(), Some(Action::Connected(CONNECTION)));
    sent(exchange)
}

#[test]
fn an_announce_is_written_as_bep_15_draws_it() {
    let mut exchange = exchange("", Family::V4, None);
    let mut first = exchange.next_action().into_iter();
    let Some(Action::Send(request)) = first.next() else { panic!("nothing sent") };
    assert_eq!(request[..12], [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0]);
    assert_eq!(request.len(), 16);
    hear(&mut exchange, 1, &answer(&request, 0, &CONNECTION.to_be_bytes()));
    exchange.next_action();
    let request = sent(&mut exchange);
    assert_eq!(request[..8], CONNECTION.to_be_bytes());
    assert_eq!(request[8..12], [0, 0, 0, 1]);
    let numbers = [1_u64, 2, 3].map(u64::to_be_bytes).concat();
    let rest = [&[b'h'; 20], &[b'p'; 20], &numbers[..], &[0, 0, 0, 2], &[0; 4], &[0, 0, 0, 7]].concat();
    assert_eq!(request[16..], [&rest[..], &[0, 0, 0, 100], &[0x1a, 0xe1]].concat());
}

#[test]
fn a_reply_gives_counts_interval_and_peers_of_its_family() {
    let counts = [900_u32, 7, 5].map(u32::to_be_bytes).concat();
    let check = |family, peer: &[u8], at: &str| {
        let mut exchange = exchange("", family, None);
        let request = connect(&mut exchange);
        hear(&mut exchange, 2, &answer(&request, 1, &[&counts, peer, b"tail"].concat()));
        let reply = done(&mut exchange).unwrap();
        assert_eq!(reply.peers, [at.parse().unwrap()]);
        assert_eq!((reply.interval, reply.incomplete, reply.complete), (secs(900), Some(7), Some(5)));
    };
    check(Family::V4, &[1, 2, 3, 4, 0x1a, 0xe1], "1.2.3.4:6881");
    let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1, 0x1a, 0xe1]].concat();
    check(Family::V6, &v6, "[2001:db8::1]:6881");
}

// BEP 41
#[test]
fn path_and_query_of_the_url_follow_the_announce_in_pieces() {
    let mut short = exchange("/secret?x=1", Family::V4, None);
    assert_eq!(connect(&mut short)[98..], *b"\x02\x0b/secret?x=1");
    let long = format!("/{}", "a".repeat(299));
    let request = connect(&mut exchange(&long, Family::V4, None));
    assert_eq!((request[98], request[99], request[355], request[356]), (2, 255, 2, 45));
    assert_eq!(request.len(), 98 + 2 + 255 + 2 + 45);
}

#[test]
fn a_silent_tracker_is_asked_again_after_15_s_and_given_up_after_45() {
    let mut exchange = exchange("", Family::V4, None);
    let first = sent(&mut exchange);
    assert_eq!(exchange.next_deadline(), Some(secs(15)));
    exchange.handle(secs(14), Event::Tick);
    assert_eq!(exchange.next_action(), None);
    exchange.handle(secs(15), Event::Tick);
    assert_eq!(sent(&mut exchange), first);
    assert_eq!(exchange.next_deadline(), Some(secs(45)));
    exchange.handle(secs(45), Event::Tick);
    assert_eq!(done(&mut exchange).unwrap_err().to_string(), "no reply");
}

#[test]
fn a_lost_announce_is_sent_again_over_the_same_connection() {
    let mut exchange = exchange("", Family::V4, None);
    let request = connect(&mut exchange);
    exchange.handle(secs(16), Event::Tick);
    assert_eq!(sent(&mut exchange), request);
}

#[test]
fn whoever_does_not_know_the_transaction_is_not_heard() {
    let mut exchange = exchange("", Family::V4, None);
    let request = connect(&mut exchange);
    let mut forged = answer(&request, 1, &[0; 12]);
    forged[7] ^= 1;
    for datagram in
        [&forged[..], &[], &request[..7], &answer(&request, 2, &[0; 12]), &answer(&request, 0, &[0; 8])]
    {
        hear(&mut exchange, 2, datagram);
        assert_eq!(exchange.next_action(), None, "{datagram:?}");
    }
    forged[7] ^= 1;
    hear(&mut exchange, 2, &forged);
    assert!(done(&mut exchange).is_ok());
}

#[test]
fn a_refusal_is_told_in_the_trackers_words() {
    let mut exchange = exchange("", Family::V4, None);
    let request = connect(&mut exchange);
    hear(&mut exchange, 2, &answer(&request, 3, b"\x1bnot here"));
    assert_eq!(done(&mut exchange).unwrap_err().to_string(), "not here");
}

#[test]
fn an_announce_reply_without_its_numbers_is_no_reply() {
    let mut exchange = exchange("", Family::V4, None);
    let request = connect(&mut exchange);
    hear(&mut exchange, 2, &answer(&request, 1, &[0; 11]));
    assert_eq!(done(&mut exchange), Err(ReplyError::Malformed("too short").into()));
}

#[test]
fn a_known_connection_saves_a_round_trip_and_is_replaced_when_it_fails() {
    let known = Some(CONNECTION);
    let mut good = exchange("", Family::V4, known);
    let request = sent(&mut good);
    assert_eq!(request[..8], CONNECTION.to_be_bytes());
    hear(&mut good, 1, &answer(&request, 1, &[0; 12]));
    assert!(done(&mut good).is_ok());

    let mut refused = exchange("", Family::V4, known);
    let request = sent(&mut refused);
    hear(&mut refused, 1, &answer(&request, 3, b"bad connection id"));
    assert_eq!(sent(&mut refused).len(), 16, "a connect request follows");

    let mut silent = exchange("", Family::V4, known);
    sent(&mut silent);
    silent.handle(secs(15), Event::Tick);
    assert_eq!(sent(&mut silent).len(), 16, "a connect request follows");
}

#[test]
fn a_connection_is_good_for_one_minute() {
    let (one, two) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.1:2".parse().unwrap());
    let mut connections = Connections::default();
    connections.keep(secs(10), one, 5);
    assert_eq!(connections.get(secs(69), one), Some(5));
    assert_eq!(connections.get(secs(70), one), None);
    assert_eq!(connections.get(secs(10), two), None);
}

proptest! {
    #[test]
    fn any_datagrams_leave_the_exchange_waiting_or_done(datagrams: Vec<Vec<u8>>, ends in 0..3_u64) {
        let mut exchange = exchange("/a", Family::V6, None);
        connect(&mut exchange);
        for datagram in datagrams {
            hear(&mut exchange, 1, &datagram);
        }
        for tick in 0..ends {
            exchange.handle(secs(100 * tick), Event::Tick);
        }
        prop_assert!(exchange.next_deadline().is_some() || exchange.next_action().is_some());
    }
}
