//! Scripts for special promises. Each plays one and says in the report's failure if the promise was broken.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metainfo::{BLOCK, Layout};

use crate::link::Speed;
use crate::script::{Conduct, Fate, Plan, Script};
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
        origins_leave: false,
        tracker_peers: 50,
        announce_interval: Duration::from_secs(300),
        limit: Duration::ZERO,
    };
    script.limit = script.generous_limit();
    script
}
