//! The origin that sizes itself, in a world that draws lines, losses, liars and leavers from a seed.
//!
//! One slow origin and eight downloaders. Once all have the file, most leave, then two of the last three, and a new one comes.
//! The same world is played with an origin that does not size itself, to compare.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use metainfo::{BLOCK, Layout};
use swarm::{Mode, Sizing};

use crate::link::Speed;
use crate::script::{Conduct, Fate, Plan, RandomTime, Script};
use crate::{NodeReport, Report, play};

/// What one world showed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The run with the sizing origin; a broken promise is its failure.
    pub report: Report,
    /// What the sizing origin sent until the crowd had the file, in per cent of the file.
    pub spread: u64,
    /// The same of an origin that serves whoever asks.
    pub plain: u64,
    /// Bytes it sent while it was silent: at most what was on its way.
    pub silent: u64,
    /// How long after two of three holders had left it gave again.
    pub back: Duration,
    /// The longest time in which a downloader got nothing.
    pub stall: Duration,
}

/// Plays the world of a seed.
pub fn run(seed: u64) -> Outcome {
    judge(seed, play("origin", script(seed, Some(Sizing::default())), None))
}

/// Plays the world of a seed and writes what every node is told and does.
pub fn run_logged(seed: u64, out: &mut dyn Write) -> Outcome {
    judge(seed, play("origin", script(seed, Some(Sizing::default())), Some(out)))
}

fn judge(seed: u64, report: Report) -> Outcome {
    let plain = play("origin", script(seed, None), None);
    let size = u64::from(PIECES) * u64::from(BLOCKS_PER_PIECE * BLOCK);
    let origin = &report.nodes[0];
    let downloaders = &report.nodes[1..=DOWNLOADERS];
    let until = downloaders.iter().filter_map(|node| node.completed).max().unwrap_or_default();
    let woke = origin.modes.iter().find(|(at, mode, _)| *at >= TWO_LEAVE && *mode != Mode::Silent);
    let outcome = Outcome {
        spread: sent_by(origin, until) * 100 / size,
        plain: plain.nodes[0].sent * 100 / size,
        silent: sent_in_silence(origin),
        back: woke.map_or(Duration::MAX, |(at, ..)| at.saturating_sub(TWO_LEAVE)),
        stall: report.nodes.iter().map(|node| node.longest_stall).max().unwrap_or_default(),
        report,
    };
    let Outcome { spread, silent, back, stall, .. } = outcome;
    let quiet = is_silent(&outcome.report.nodes[0], MOST_LEAVE);
    let done = outcome.report.nodes[1..=DOWNLOADERS].iter().all(|node| node.completed.is_some());
    let report = outcome.report.clone();
    let report = report.expect("origin", done, |_| "a downloader left without the file".to_owned());
    let report =
        report.expect("origin", spread <= MOST, |_| format!("the origin sent {spread} % of the file"));
    let report = report
        .expect("origin", quiet, |_| "the origin is not silent although everybody has the file".to_owned());
    let report =
        report.expect("origin", silent <= BLOCK.into(), |_| format!("{silent} bytes sent in silence"));
    let report = report.expect("origin", back <= PATIENCE, |_| format!("back only after {back:?}"));
    let report =
        report.expect("origin", stall <= PATIENCE, |_| format!("a downloader stood still for {stall:?}"));
    Outcome { report, ..outcome }
}

/// What the origin had sent when it fell silent after `until`, or in the end.
fn sent_by(origin: &NodeReport, until: Duration) -> u64 {
    let silent = origin.modes.iter().find(|(at, mode, _)| *at >= until && *mode == Mode::Silent);
    let earlier =
        origin.modes.iter().rfind(|(at, ..)| *at < until).filter(|(_, mode, _)| *mode == Mode::Silent);
    earlier.or(silent).map_or(origin.sent, |(.., sent)| *sent)
}

fn is_silent(origin: &NodeReport, at: Duration) -> bool {
    origin.modes.iter().rfind(|(since, ..)| *since < at).is_some_and(|(_, mode, _)| *mode == Mode::Silent)
}

/// The most that was sent in any one silence.
fn sent_in_silence(origin: &NodeReport) -> u64 {
    let ends = origin.modes.iter().skip(1).map(|(.., sent)| *sent).chain([origin.sent]);
    let silences = origin.modes.iter().zip(ends).filter(|((_, mode, _), _)| *mode == Mode::Silent);
    silences.map(|((.., before), after)| after - before).max().unwrap_or(0)
}

const DOWNLOADERS: usize = 8;
const PIECES: u32 = 250;
const BLOCKS_PER_PIECE: u32 = 4;

/// The origin's upload in bytes a second, and a downloader's: as 4 to 8 MiB/s. The file takes two minutes.
const ORIGIN_UP: u32 = 128 << 10;
const PEER_UP: u32 = 256 << 10;

/// When five of the eight leave, when two of the last three do, and when another one comes.
const MOST_LEAVE: Duration = Duration::from_secs(300);
const TWO_LEAVE: Duration = Duration::from_secs(340);
const ANOTHER: Duration = Duration::from_secs(370);

/// The most the origin may send until the crowd has the file, in per cent of the file.
const MOST: u64 = 115;

/// No downloader may stand still for longer, nor the origin keep silent when it is needed.
const PATIENCE: Duration = Duration::from_secs(30);

fn script(seed: u64, sizing: Option<Sizing>) -> Script {
    let mut rng = Rng::with_seed(seed ^ ORIGIN_SEED);
    let piece_length = u64::from(BLOCKS_PER_PIECE * BLOCK);
    let layout = Layout::contiguous(piece_length, [(u64::from(PIECES) * piece_length, false)])
        .expect("lengths are small and positive");
    let mut nodes = vec![Plan { sizing, ..Plan::origin(&layout, speed(ORIGIN_UP, &mut rng)) }];
    for number in 0..DOWNLOADERS {
        let mut plan = Plan::leecher(&layout, speed(PEER_UP, &mut rng));
        let join = rng.duration(15);
        plan.fates = vec![(join, Fate::Join)];
        plan.plain = rng.f64() < 0.1;
        if number == 0 && rng.bool() {
            let leave = join + Duration::from_secs(10) + rng.duration(40);
            plan.fates.extend([(leave, Fate::Leave), (leave + rng.duration(30), Fate::Join)]);
        }
        plan.fates.extend(match number {
            0..5 => Some((MOST_LEAVE, Fate::Leave)),
            5 => Some((TWO_LEAVE, Fate::Leave)),
            6 => Some((TWO_LEAVE, Fate::Cut(Duration::from_secs(100)))),
            _ => None,
        });
        nodes.push(plan);
    }
    for _ in 0..rng.usize(0..=2) {
        let liar = Plan { origin: false, ..Plan::origin(&layout, speed(PEER_UP, &mut rng)) };
        let fates = vec![(rng.duration(40), Fate::Join)];
        nodes.push(Plan { conduct: Conduct::Lies, fates, ..liar });
    }
    if sizing.is_some() {
        let another = Plan::leecher(&layout, speed(PEER_UP, &mut rng));
        nodes.push(Plan { fates: vec![(ANOTHER, Fate::Join)], ..another });
    } else {
        // Who leaves later would be expected to be complete by then only if the run went on.
        for plan in &mut nodes {
            plan.fates.retain(|(at, _)| *at < MOST_LEAVE);
        }
    }
    let mut script = Script {
        servers: Vec::new(),
        seed,
        layout: Arc::new(layout),
        metadata: Bytes::from(vec![b'm'; 40_000]),
        nodes,
        origins_leave: false,
        tracker_peers: 50,
        announce_interval: Duration::from_secs(60),
        limit: Duration::ZERO,
    };
    script.limit = script.generous_limit();
    script
}

fn speed(up: u32, rng: &mut Rng) -> Speed {
    Speed {
        up,
        down: up * 10,
        delay: Duration::from_millis(rng.u64(5..80)),
        jitter: rng.f64() * 0.3,
        loss: rng.f64() * 0.02,
    }
}

/// Keeps these dice apart from others of the same seed.
const ORIGIN_SEED: u64 = 0x6f72_6967_696e_0000;
