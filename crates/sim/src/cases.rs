//! Scripts for special promises. Each plays one and says in the report's failure if the promise was broken.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metainfo::{BLOCK, Layout};

use crate::link::Speed;
use crate::script::{Conduct, Fate, Plan, Script};
use crate::web::Server;
use crate::world::TRACKER_DELAY;
use crate::{Report, play};

/// 50 of 55 seeds serve 1 KiB/s and never choke; one downloader finishes within 1.3 times what the five good ones need (P-20).
pub fn slow_peers(seed: u64) -> Report {
    let layout = layout(PIECES, 4);
    let slow = Speed { up: 1_024, ..speed(GOOD_UP) };
    let mut nodes = vec![Plan::leecher(&layout, speed(10 * GOOD_UP))];
    nodes.extend((0..55).map(|n| Plan::origin(&layout, if n < 5 { speed(GOOD_UP) } else { slow.clone() })));
    nodes[0].knows = (1..=55).collect();
    nodes[0].fates = vec![(START, Fate::Join)];
    for plan in &mut nodes {
        plan.announces = false;
    }
    let ideal = Duration::from_secs(size(&layout)) / (5 * GOOD_UP);
    let report = play("slow_peers", script(seed, layout, nodes), None);
    let took = report.nodes[0].completed.unwrap_or_default().saturating_sub(START);
    report.expect("slow_peers", took <= ideal.mul_f64(1.3), |_| {
        format!("it took {:.1} s instead of {:.1} s", took.as_secs_f64(), ideal.as_secs_f64())
    })
}

/// So many of 20 nodes spoil one in ten blocks; they are found out, nobody else is blamed, and
/// what is thrown away is at most twice what they spoilt (P-10).
pub fn poisoners(seed: u64, count: usize) -> Report {
    let layout = layout(PIECES, 4);
    let mut nodes = vec![Plan::origin(&layout, speed(GOOD_UP))];
    for n in 1..20 {
        let plan = Plan::leecher(&layout, speed(GOOD_UP));
        let conduct = if n <= count { Conduct::Poisons(0.1) } else { Conduct::Honest };
        nodes.push(Plan { conduct, ..plan });
    }
    let report = play("poisoners", script(seed, layout, nodes), None);
    let honest = &report.nodes[count + 1..];
    let rejected: u32 = honest.iter().map(|node| node.rejected).sum();
    let spoilt: u32 = honest.iter().map(|node| node.spoilt_pieces).sum();
    report
        .expect("poisoners", rejected <= 2 * spoilt, |_| format!("{spoilt} pieces came bad {rejected} times"))
}

/// Twelve of 14 peers claim everything, take every request and send nothing; nobody waits for them at the end.
pub fn liars(seed: u64) -> Report {
    let layout = layout(PIECES, 4);
    let mut nodes: Vec<Plan> = (0..2).map(|_| Plan::origin(&layout, speed(GOOD_UP))).collect();
    nodes.extend((2..14).map(|_| Plan {
        conduct: Conduct::Lies,
        origin: false,
        ..Plan::origin(&layout, speed(GOOD_UP))
    }));
    let downloader = Plan { fates: vec![(START, Fate::Join)], ..Plan::leecher(&layout, speed(10 * GOOD_UP)) };
    nodes.push(downloader);
    let ideal = Duration::from_secs(size(&layout)) / (2 * GOOD_UP);
    let bound = ideal.mul_f64(1.3);
    let report = play("liars", script(seed, layout, nodes), None);
    let took = report.nodes[14].completed.unwrap_or_default().saturating_sub(START);
    report.expect("liars", took <= bound, |_| {
        format!("it took {:.1} s instead of {:.1} s", took.as_secs_f64(), bound.as_secs_f64())
    })
}

/// The origin goes as soon as every piece is somewhere else, and still everybody ends with all of it.
pub fn origin_leaves(seed: u64) -> Report {
    let layout = layout(PIECES, 2);
    let mut nodes = vec![Plan::origin(&layout, speed(GOOD_UP))];
    nodes.extend((1..20).map(|_| Plan::leecher(&layout, speed(GOOD_UP))));
    let script = Script { origins_leave: true, ..script(seed, layout, nodes) };
    play("origin_leaves", script, None)
}

/// Everybody waits for one slow origin; it sends its file little more than once, because the others trade.
pub fn slow_origin(seed: u64) -> Report {
    let layout = layout(PIECES, 4);
    let mut nodes = vec![Plan::origin(&layout, speed(GOOD_UP))];
    nodes.extend((1..6).map(|_| Plan::leecher(&layout, speed(2 * GOOD_UP))));
    let size = size(&layout);
    let report = play("slow_origin", script(seed, layout, nodes), None);
    let sent = report.nodes[0].sent;
    report.expect("slow_origin", sent * 2 <= size * 3, |_| format!("the origin sent {sent} bytes of {size}"))
}

/// The first block arrives within three round trips after a known address was dialled, two of which are the handshakes'.
pub fn first_block(seed: u64) -> Report {
    let layout = layout(PIECES, 4);
    let mut nodes = vec![Plan::origin(&layout, speed(GOOD_UP)), Plan::leecher(&layout, speed(GOOD_UP))];
    nodes[1].knows = vec![0];
    for plan in &mut nodes {
        plan.announces = false;
    }
    let round_trip = nodes[0].speed.delay * 4;
    let sending = Duration::from_secs(BLOCK.into()) / GOOD_UP;
    let report = play("first_block", script(seed, layout, nodes), None);
    let first = report.nodes[1].first_block.unwrap_or_default();
    let bound = round_trip * 3 + sending + Duration::from_millis(1);
    report.expect("first_block", first <= bound, |_| {
        format!("the first block took {} ms instead of {} ms", first.as_millis(), bound.as_millis())
    })
}

/// With an address from a tracker the first block takes three round trips more than the tracker's answer, which is two: its
/// connection and the question.
pub fn first_block_by_tracker(seed: u64) -> Report {
    let layout = layout(PIECES, 4);
    let mut nodes = vec![Plan::origin(&layout, speed(GOOD_UP)), Plan::leecher(&layout, speed(GOOD_UP))];
    nodes[1].fates = vec![(START, Fate::Join)];
    let round_trip = nodes[0].speed.delay * 4;
    let sending = Duration::from_secs(BLOCK.into()) / GOOD_UP;
    let report = play("first_block_by_tracker", script(seed, layout, nodes), None);
    let first = report.nodes[1].first_block.unwrap_or_default().saturating_sub(START);
    let bound = TRACKER_DELAY + round_trip * 3 + sending + Duration::from_millis(1);
    report.expect("first_block_by_tracker", first <= bound, |_| {
        format!("the first block took {} ms instead of {} ms", first.as_millis(), bound.as_millis())
    })
}

/// Magnet links among several peers, one of which sends false metadata: all honest ones get the right one (P-11).
pub fn metadata(seed: u64) -> Report {
    let layout = layout(PIECES, 1);
    let mut nodes = vec![Plan::origin(&layout, speed(GOOD_UP)), Plan::origin(&layout, speed(GOOD_UP))];
    nodes.push(Plan { conduct: Conduct::Poisons(0.0), ..Plan::origin(&layout, speed(GOOD_UP)) });
    nodes.push(Plan { conduct: Conduct::Lies, ..Plan::origin(&layout, speed(GOOD_UP)) });
    nodes.extend((0..5).map(|_| Plan { magnet: true, ..Plan::leecher(&layout, speed(GOOD_UP)) }));
    for foe in &mut nodes[2..4] {
        foe.origin = false;
    }
    play("metadata", script(seed, layout, nodes), None)
}

/// Without a tracker, one node that has nothing knows an origin, and everybody else, magnet links among them, knows that node alone:
/// they learn of each other from it (BEP 11), so that it need not pass everything on.
pub fn known_to_one(seed: u64) -> Report {
    let layout = layout(PIECES, 4);
    let mut nodes =
        vec![Plan::origin(&layout, speed(20 * GOOD_UP)), Plan::leecher(&layout, speed(GOOD_UP / 8))];
    nodes.extend((2..8).map(|n| Plan { magnet: n % 2 == 0, ..Plan::leecher(&layout, speed(GOOD_UP)) }));
    for (number, plan) in (0..).zip(&mut nodes) {
        plan.announces = false;
        plan.knows = (number > 0).then_some(usize::from(number > 1)).into_iter().collect();
    }
    let size = size(&layout);
    let report = play("known_to_one", script(seed, layout, nodes), None);
    let sent = report.nodes[1].sent;
    report
        .expect("known_to_one", sent < 3 * size, |_| format!("it sent {sent} bytes of {size} to six others"))
}

/// A web server alone gives everything, at its full rate after the first seconds.
pub fn web_server_alone(seed: u64) -> Report {
    let layout = layout(PIECES, 4);
    let ideal = Duration::from_secs(size(&layout)) / GOOD_UP;
    let nodes = vec![Plan::leecher(&layout, speed(GOOD_UP))];
    let script = Script { servers: vec![Server::new(GOOD_UP)], ..script(seed, layout, nodes) };
    let report = play("web_server_alone", with_time(script), None);
    let took = report.nodes[0].completed.unwrap_or_default();
    let bound = ideal.mul_f64(1.05) + Duration::from_secs(4);
    report.expect("web_server_alone", took <= bound, |_| {
        format!("it took {:.1} s instead of {:.1} s", took.as_secs_f64(), bound.as_secs_f64())
    })
}

/// Beside three fast peers a web server, however fast, gives a tenth of the bytes at most.
pub fn web_server_and_fast_peers(seed: u64) -> Report {
    let report = play("web_server_and_fast_peers", beside_three_peers(seed, Server::new(10 * GOOD_UP)), None);
    let node = &report.nodes[3];
    let (from_web, received) = (node.from_web, node.received);
    report.expect("web_server_and_fast_peers", from_web * 10 <= received, |_| {
        format!("{from_web} of {received} bytes came from the web server")
    })
}

/// Three peers leave, or their lines are cut, on the way: the web server takes over within ten seconds.
pub fn web_server_takes_over(seed: u64) -> Report {
    let at = Duration::from_secs(15);
    let mut script = beside_three_peers(seed, Server::new(GOOD_UP));
    for (place, plan) in script.nodes[..3].iter_mut().enumerate() {
        let fate = if place == 0 { Fate::Leave } else { Fate::Cut(Duration::from_secs(3600)) };
        plan.fates.push((at, fate));
    }
    let size = size(&script.layout);
    let report = play("web_server_takes_over", with_time(script), None);
    let node = &report.nodes[3];
    let ideal = Duration::from_secs(node.from_web.min(size)) / GOOD_UP;
    let (took, bound) =
        (node.completed.unwrap_or_default().saturating_sub(at), ideal + Duration::from_secs(10));
    report.expect("web_server_takes_over", took <= bound, |_| {
        format!("it took {:.1} s instead of {:.1} s", took.as_secs_f64(), bound.as_secs_f64())
    })
}

/// A web server that spoils one block in ten is found out by everybody who uses it; no peer is blamed for it.
pub fn web_server_lies(seed: u64) -> Report {
    let layout = layout(PIECES, 4);
    let mut nodes = vec![Plan::origin(&layout, speed(GOOD_UP / 4))];
    nodes.extend((1..6).map(|_| Plan::leecher(&layout, speed(GOOD_UP))));
    let liar = Server { spoils: 0.1, ..Server::new(GOOD_UP) };
    let script = Script { servers: vec![liar], ..script(seed, layout, nodes) };
    let report = play("web_server_lies", with_time(script), None);
    let liar = report.nodes.len();
    let used = |node: &crate::NodeReport| node.from_web > 20 * u64::from(4 * BLOCK);
    let fooled = report.nodes.iter().find(|node| used(node) && !node.banned.contains(&liar));
    let fooled = fooled.map(|node| node.name.clone());
    report
        .expect("web_server_lies", fooled.is_none(), |_| format!("{fooled:?} still believes the web server"))
}

/// The first web server dies half way and the second is slow; peers that come late still find all work done in time.
pub fn web_server_dies(seed: u64) -> Report {
    let layout = layout(PIECES, 4);
    let mut nodes = vec![Plan::leecher(&layout, speed(GOOD_UP)), Plan::origin(&layout, speed(GOOD_UP))];
    nodes[0].knows = vec![1];
    nodes[1].fates = vec![(Duration::from_secs(60), Fate::Join)];
    let half = Duration::from_secs(size(&layout)) / GOOD_UP / 2;
    let dies = Server { dies: Some(half), ..Server::new(GOOD_UP) };
    let servers = vec![dies, Server::new(GOOD_UP / 50)];
    let bound = Duration::from_secs(60) + half + Duration::from_secs(60);
    let script = Script { servers, ..script(seed, layout, nodes) };
    let report = play("web_server_dies", with_time(script), None);
    let took = report.nodes[0].completed.unwrap_or_default();
    report.expect("web_server_dies", took <= bound, |_| {
        format!("it took {:.1} s instead of {:.1} s", took.as_secs_f64(), bound.as_secs_f64())
    })
}

/// A downloader, three good peers whose addresses it knows, and a web server.
fn beside_three_peers(seed: u64, server: Server) -> Script {
    let layout = layout(PIECES, 4);
    let mut nodes: Vec<Plan> = (0..3).map(|_| Plan::origin(&layout, speed(GOOD_UP))).collect();
    nodes.push(Plan {
        knows: vec![0, 1, 2],
        fates: vec![(START, Fate::Join)],
        ..Plan::leecher(&layout, speed(10 * GOOD_UP))
    });
    with_time(Script { servers: vec![server], ..script(seed, layout, nodes) })
}

/// An hour is enough for all of these.
fn with_time(script: Script) -> Script {
    Script { limit: Duration::from_secs(3600), ..script }
}

/// Pieces of every script here.
const PIECES: u64 = 210;

/// When a downloader joins whose peers must be there already.
const START: Duration = Duration::from_secs(1);

/// Upload of an ordinary node, in bytes a second.
const GOOD_UP: u32 = 200_000;

fn layout(pieces: u64, blocks: u32) -> Layout {
    let piece_length = u64::from(blocks * BLOCK);
    Layout::contiguous(piece_length, [(pieces * piece_length - 1_000, false)])
        .expect("lengths are small and positive")
}

fn size(layout: &Layout) -> u64 {
    layout.content_length()
}

fn speed(up: u32) -> Speed {
    Speed { up, down: up * 10, delay: Duration::from_millis(20), jitter: 0.0, loss: 0.0 }
}

fn script(seed: u64, layout: Layout, nodes: Vec<Plan>) -> Script {
    let mut script = Script {
        seed,
        layout: Arc::new(layout),
        metadata: Bytes::from(vec![b'm'; 40_000]),
        nodes,
        servers: Vec::new(),
        origins_leave: false,
        tracker_peers: 50,
        announce_interval: Duration::from_secs(300),
        limit: Duration::ZERO,
    };
    script.limit = script.generous_limit();
    script
}
