//! What a run contains: the torrent, the nodes, how they behave and what befalls them.
//!
//! A script is plain data; the world plays it. [`Script::random`] draws one from a seed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use metainfo::{BLOCK, Bitfield, Layout, PieceIndex};
use swarm::{Priority, Sizing};

use crate::link::{Speed, time_for};
use crate::web::Server;

pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) layout: Arc<Layout>,
    /// The raw info dictionary; only its hash matters here.
    pub(crate) metadata: Bytes,
    pub(crate) nodes: Vec<Plan>,
    /// Web servers that everybody knows.
    pub(crate) servers: Vec<Server>,
    /// The origins leave for good once every piece is on a node that stays.
    pub(crate) origins_leave: bool,
    /// Addresses that the tracker hands out at a time.
    pub(crate) tracker_peers: usize,
    /// How often a node asks the tracker, if it does not want peers earlier.
    pub(crate) announce_interval: Duration,
    /// All honest nodes that stay must be complete by then.
    pub(crate) limit: Duration,
}

/// How a node behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Conduct {
    Honest,
    /// Spoils this share of the blocks it sends, and all metadata.
    Poisons(f64),
    /// Claims every piece, lets everybody ask, and sends nothing.
    Lies,
    /// Never unchokes anybody.
    Chokes,
}

/// What befalls a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Join,
    Leave,
    /// All connections are lost, some unnoticed for a while, and new ones are impossible for so long.
    Cut(Duration),
    DiskFull,
    DiskFree,
    Pause,
    Resume,
    /// Its user wants all files after all.
    WantAll,
}

/// One node of a script.
pub(crate) struct Plan {
    pub(crate) conduct: Conduct,
    /// Has everything from the start and is the reason why others can.
    pub(crate) origin: bool,
    pub(crate) speed: Speed,
    /// The pieces on its disk at the start.
    pub(crate) have: Bitfield,
    pub(crate) priorities: Vec<Priority>,
    pub(crate) sequential: bool,
    /// It sizes itself, if it has everything.
    pub(crate) sizing: Option<Sizing>,
    /// It begins with a magnet link.
    pub(crate) magnet: bool,
    /// It speaks no fast extension.
    pub(crate) plain: bool,
    /// Uses the tracker; otherwise it only knows and meets `knows`.
    pub(crate) announces: bool,
    /// Nodes whose addresses its user gave.
    pub(crate) knows: Vec<usize>,
    pub(crate) fates: Vec<(Duration, Fate)>,
}

impl Plan {
    /// An honest node that joins at the start with nothing and stays.
    pub(crate) fn leecher(layout: &Layout, speed: Speed) -> Self {
        Self {
            conduct: Conduct::Honest,
            origin: false,
            speed,
            have: Bitfield::none(layout.piece_count()),
            priorities: Vec::new(),
            sequential: false,
            sizing: None,
            magnet: false,
            plain: false,
            announces: true,
            knows: Vec::new(),
            fates: vec![(Duration::ZERO, Fate::Join)],
        }
    }

    /// An honest node that has everything.
    pub(crate) fn origin(layout: &Layout, speed: Speed) -> Self {
        let have = Bitfield::all(layout.piece_count());
        Self { origin: true, have, ..Self::leecher(layout, speed) }
    }

    pub(crate) fn honest(&self) -> bool {
        self.conduct == Conduct::Honest
    }

    /// Whether it is there at the end.
    pub(crate) fn stays(&self) -> bool {
        self.fates
            .iter()
            .rfind(|(_, fate)| matches!(fate, Fate::Join | Fate::Leave))
            .is_none_or(|f| f.1 == Fate::Join)
    }

    /// Others can rely on it to hand on what it has: it never leaves and is not hopelessly slow.
    pub(crate) fn reliable(&self) -> bool {
        let leaves = self.fates.iter().any(|(_, fate)| *fate == Fate::Leave);
        self.honest() && !leaves && !self.origin && self.speed.up >= MIN_RELIABLE
    }

    /// The pieces that hold bytes of a file it wants.
    pub(crate) fn wanted(&self, layout: &Layout) -> Bitfield {
        let mut wanted = Bitfield::none(layout.piece_count());
        for index in 0..layout.piece_count() {
            let skipped = layout
                .piece_spans(PieceIndex(index))
                .all(|span| span.pad || self.priorities.get(span.file.0 as usize) == Some(&Priority::Skip));
            if !skipped {
                wanted.set(index);
            }
        }
        wanted
    }
}

impl Script {
    /// Twenty nodes, 200 pieces or more, and whatever the seed holds for them.
    pub(crate) fn random(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let layout = random_layout(&mut rng);
        let origins_leave = rng.f64() < 0.4;
        let mut nodes = Vec::with_capacity(NODES);
        for _ in 0..rng.usize(1..=2) {
            nodes.push(Plan::origin(
                &layout,
                Speed { up: rng.u32(150_000..1_000_000), ..random_speed(&mut rng) },
            ));
        }
        let poisoners = if rng.bool() { 0 } else { rng.usize(1..=5) };
        let (liars, chokers, slow) = (rng.usize(0..=2), rng.usize(0..=2), rng.usize(0..=3));
        nodes.extend((0..poisoners).map(|_| foe(Conduct::Poisons(0.1), &layout, &mut rng)));
        nodes.extend((0..liars).map(|_| foe(Conduct::Lies, &layout, &mut rng)));
        nodes.extend((0..chokers).map(|_| foe(Conduct::Chokes, &layout, &mut rng)));
        for _ in 0..slow {
            let mut plan = random_leecher(&layout, &mut rng);
            plan.speed.up = rng.u32(1_024..8_192);
            nodes.push(plan);
        }
        nodes.resize_with(NODES, || random_leecher(&layout, &mut rng));
        let metadata = (0..rng.usize(1_000..50_000)).map(|_| rng.u8(..)).collect();
        let mut script = Self {
            seed,
            layout: Arc::new(layout),
            metadata,
            nodes,
            servers: random_servers(&mut rng),
            origins_leave,
            tracker_peers: rng.usize(5..=19),
            announce_interval: Duration::from_secs(300),
            limit: Duration::ZERO,
        };
        script.limit = script.generous_limit();
        script
    }

    /// Ten times what the uploads would need if they were always busy, after the last disturbance, and some minutes
    /// for those who wait for the tracker, for a silent peer, or for their turn.
    pub(crate) fn generous_limit(&self) -> Duration {
        let size: u32 = (0..self.layout.piece_count()).map(|i| self.layout.piece_size(PieceIndex(i))).sum();
        let staying = || self.nodes.iter().filter(|plan| plan.honest() && plan.stays());
        let helps = |plan: &&Plan| plan.reliable() || (plan.origin && !self.origins_leave);
        let upload: u32 = staying().filter(helps).map(|plan| plan.speed.up).sum();
        let needed = size * u32::try_from(staying().count()).expect("few nodes");
        let slowest = staying().map(|plan| plan.speed.down).min().unwrap_or(u32::MAX);
        let calm = self.nodes.iter().flat_map(|plan| &plan.fates).map(|&(at, fate)| match fate {
            Fate::Cut(length) => at + length,
            _ => at,
        });
        let work = time_for(needed, upload.max(1)) + time_for(size, slowest);
        calm.max().unwrap_or_default() + work * 10 + Duration::from_secs(600)
    }
}

/// Nodes of a random script, origins included.
const NODES: usize = 20;

/// Upload in bytes a second below which nobody should have to rely on a node for a piece.
const MIN_RELIABLE: u32 = 16 * 1024;

/// In one swarm of four a web server or two, of which some lie and some die.
fn random_servers(rng: &mut Rng) -> Vec<Server> {
    let count = if rng.f64() < 0.25 { rng.usize(1..=2) } else { 0 };
    let server = |_| Server {
        delay: Duration::from_millis(rng.u64(5..150)),
        spoils: if rng.f64() < 0.3 { 0.1 } else { 0.0 },
        dies: (rng.f64() < 0.3).then(|| Duration::from_secs(rng.u64(10..120))),
        ..Server::new(rng.u32(20_000..400_000))
    };
    (0..count).map(server).collect()
}

fn random_layout(rng: &mut Rng) -> Layout {
    let per_piece = rng.u32(1..=4);
    let odd = per_piece > 1 && rng.f64() < 0.25;
    let piece_length = u64::from(per_piece * BLOCK - if odd { BLOCK / 2 } else { 0 });
    // One piece less than the most, so that padding fits too.
    let pieces = rng.u64(200..=230);
    let mut left = (pieces - 1) * piece_length + rng.u64(1..=piece_length / 8) * 8;
    let count = rng.u64(1..=6);
    let hybrid = rng.f64() < 0.25;
    let mut files = Vec::new();
    for n in 1..=count {
        let length = if n == count { left } else { rng.u64(0..=left / 2) / 8 * 8 };
        left -= length;
        files.push((length, false));
        let pad = length.next_multiple_of(piece_length) - length;
        if hybrid && n < count && pad > 0 {
            files.push((pad, true));
        }
    }
    Layout::contiguous(piece_length, files).expect("lengths are small and positive")
}

fn random_speed(rng: &mut Rng) -> Speed {
    let up = rng.u32(40_000..400_000);
    Speed {
        up,
        down: up * rng.u32(2..=8),
        delay: Duration::from_millis(rng.u64(2..100)),
        jitter: rng.f64() * 0.3,
        loss: rng.f64() * 0.03,
    }
}

/// A node that means no good: it claims everything, or (a poisoner, every second time) starts with nothing and trades.
fn foe(conduct: Conduct, layout: &Layout, rng: &mut Rng) -> Plan {
    let mut plan = Plan { conduct, ..Plan::leecher(layout, random_speed(rng)) };
    if conduct == Conduct::Lies || rng.bool() {
        plan.have = Bitfield::all(layout.piece_count());
    }
    plan.fates[0].0 = rng.duration(30);
    plan
}

fn random_leecher(layout: &Layout, rng: &mut Rng) -> Plan {
    let mut plan = Plan::leecher(layout, random_speed(rng));
    let join = rng.duration(60);
    plan.fates = vec![(join, Fate::Join)];
    plan.sequential = rng.f64() < 0.1;
    plan.plain = rng.f64() < 0.1;
    if rng.f64() < 0.15 {
        (0..layout.piece_count()).filter(|_| rng.bool()).for_each(|index| {
            plan.have.set(index);
        });
    } else {
        plan.magnet = rng.f64() < 0.2;
    }
    if rng.f64() < 0.15 {
        let wishes = [Priority::Skip, Priority::Low, Priority::Normal, Priority::High];
        plan.priorities = layout.files().iter().map(|_| wishes[rng.usize(..wishes.len())]).collect();
    }
    let later = join + Duration::from_secs(5) + rng.duration(60);
    if !plan.priorities.is_empty() && rng.bool() {
        plan.fates.push((later + rng.duration(30), Fate::WantAll));
    }
    match rng.u32(0..100) {
        0..12 => plan.fates.push((later, Fate::Leave)),
        12..30 => {
            plan.fates.push((later, Fate::Leave));
            plan.fates.push((later + Duration::from_secs(2) + rng.duration(60), Fate::Join));
        }
        30..45 => plan.fates.push((later, Fate::Cut(Duration::from_secs(1) + rng.duration(60)))),
        45..55 => {
            plan.fates.push((later, Fate::DiskFull));
            plan.fates.push((later + Duration::from_secs(1) + rng.duration(60), Fate::DiskFree));
        }
        55..60 => {
            plan.fates.push((later, Fate::Pause));
            plan.fates.push((later + rng.duration(60), Fate::Resume));
        }
        _ => {}
    }
    plan
}

/// Random lengths of time.
pub(crate) trait RandomTime {
    /// Anything up to so many seconds.
    fn duration(&mut self, seconds: u64) -> Duration;
}

impl RandomTime for Rng {
    fn duration(&mut self, seconds: u64) -> Duration {
        Duration::from_micros(self.u64(0..seconds * 1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload;

    #[test]
    fn every_script_is_of_the_promised_size_and_can_be_completed() {
        for seed in 0..500 {
            let script = Script::random(seed);
            assert_eq!(script.nodes.len(), NODES);
            assert!(script.nodes.len() <= payload::SENDERS);
            assert!(script.layout.piece_count() >= 200, "seed {seed}");
            let blocks = script.layout.piece_count() * script.layout.block_count(PieceIndex(0));
            assert!(blocks as usize <= payload::BLOCKS, "seed {seed}: {blocks} blocks");
            assert!(script.nodes.iter().any(|plan| plan.origin && plan.stays()));
            assert!(script.nodes.iter().any(Plan::reliable), "seed {seed}: the origin could never leave");
            assert!(script.limit > Duration::from_secs(600));
        }
    }
}
