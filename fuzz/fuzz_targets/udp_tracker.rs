//! Any datagrams at any time as a UDP tracker's answers: no panic, no peer that cannot be dialled, and an end.

#![no_main]

use std::time::Duration;

use announce::http::{INTERVALS, MAX_PEERS};
use announce::udp::{Action, Event, Exchange, Family};
use announce::{Announce, PeerFormat};
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use metainfo::{InfoHash, PeerId};

#[derive(Arbitrary, Debug)]
struct Case {
    v6: bool,
    known: Option<u64>,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Raw(Vec<u8>),
    /// An answer to the last request.
    Near { action: u8, body: Vec<u8> },
    Wait(u8),
}

fuzz_target!(|case: Case| {
    let announce = Announce {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId([2; 20]),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: None,
        numwant: None,
        key: None,
        tracker_id: None,
        format: PeerFormat::Compact,
    };
    let family = if case.v6 { Family::V6 } else { Family::V4 };
    let mut now = Duration::ZERO;
    let mut exchange = Exchange::new(now, announce, "/announce", family, case.known, 1);
    let (mut last, mut ends) = (Vec::new(), 0);
    // Enough time for any exchange to end.
    let end = [Step::Wait(255), Step::Wait(255), Step::Wait(255), Step::Wait(255), Step::Wait(255), Step::Wait(255)];
    for step in case.steps.into_iter().chain(end) {
        while let Some(action) = exchange.next_action() {
            match action {
                Action::Send(bytes) => last = bytes,
                Action::Connected(_) => {}
                Action::Done(result) => {
                    ends += 1;
                    let Ok(reply) = result else { continue };
                    assert!(reply.peers.len() <= MAX_PEERS);
                    assert!(reply.peers.iter().all(|peer| peer.port() != 0));
                    assert!(INTERVALS.contains(&reply.interval));
                }
            }
        }
        match step {
            Step::Raw(bytes) => exchange.handle(now, Event::Datagram(&bytes)),
            Step::Near { action, body } => {
                let transaction = last.get(12..16).unwrap_or_default();
                let bytes = [&u32::from(action % 4).to_be_bytes(), transaction, &body].concat();
                exchange.handle(now, Event::Datagram(&bytes));
            }
            Step::Wait(seconds) => {
                now += Duration::from_secs(seconds.into());
                exchange.handle(now, Event::Tick);
            }
        }
    }
    while let Some(action) = exchange.next_action() {
        ends += u32::from(matches!(action, Action::Done(_)));
    }
    assert_eq!(ends, 1, "an exchange ends once");
});
