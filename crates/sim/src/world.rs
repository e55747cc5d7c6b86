//! The world: a clock, a queue of what is to happen, and the nodes it happens to.
//!
//! One thread, no real time. It plays a [`Script`]: it tells swarms what happened (`tell`), has their actions performed
//! (`perform.rs`), and stops when all are done, when something is wrong, or when the time is up.

use std::io::Write;
use std::time::Duration;

use fastrand::Rng;
use metainfo::{BlockRef, FileIndex, InfoHash, InfoHashes, PieceIndex};
use sha1::{Digest as _, Sha1};
use swarm::{Config, Endpoint, Event, MetadataFetch, PeerKey, Priority, Setup, Source, Swarm};

use crate::disk::Verdict;
use crate::invariants::Watch;
use crate::link::{Network, Phase};
use crate::log::Log;
use crate::node::{Brain, Node, PORT, address, peer_id};
use crate::queue::Queue;
use crate::script::{Fate, Script};
use crate::tracker::Tracker;
use crate::traffic::Parcel;
use crate::web::Fetched;

pub(crate) struct World<'a> {
    pub(crate) script: Script,
    pub(crate) now: Duration,
    pub(crate) queue: Queue<Happening>,
    pub(crate) network: Network,
    pub(crate) nodes: Vec<Node>,
    pub(crate) tracker: Tracker,
    pub(crate) rng: Rng,
    pub(crate) log: Log<'a>,
    pub(crate) watch: Watch,
    pub(crate) events: u64,
    /// The first thing that went wrong.
    pub(crate) failure: Option<String>,
}

/// Something that is to happen. `life` names the life of the node it is meant for.
pub(crate) enum Happening {
    Befall {
        node: usize,
        fate: Fate,
    },
    Tick {
        node: usize,
        life: u32,
    },
    Tell {
        node: usize,
        life: u32,
        event: Event,
    },
    Announce {
        node: usize,
        life: u32,
        periodic: bool,
    },
    /// A dialler's handshake reaches the node dialled.
    Knock {
        from: usize,
        life: u32,
        to: usize,
    },
    /// A parcel reaches the receiver's download line.
    Land {
        to: PeerKey,
        parcel: Parcel,
    },
    /// A parcel is through it.
    Deliver {
        to: PeerKey,
        parcel: Parcel,
    },
    /// A block left its sender.
    Sent {
        from: PeerKey,
        life: u32,
        block: BlockRef,
    },
    /// The disk is done with a piece.
    Stored {
        node: usize,
        life: u32,
        stored: Stored,
    },
    /// A block comes from a web server.
    Fetched {
        node: usize,
        life: u32,
        fetched: Fetched,
    },
    /// The end of a cut connection notices.
    Notice {
        key: PeerKey,
    },
}

/// A piece the disk is done with.
pub(crate) struct Stored {
    pub(crate) piece: PieceIndex,
    pub(crate) verdict: Verdict,
    /// It was good, but there was no room for it.
    pub(crate) no_room: bool,
    pub(crate) digests: Option<Vec<swarm::Digest>>,
}

impl<'a> World<'a> {
    pub(crate) fn new(script: Script, out: Option<&'a mut dyn Write>) -> Self {
        let mut network = Network::default();
        let mut queue = Queue::new();
        let mut script = script;
        let mut nodes = Vec::with_capacity(script.nodes.len());
        for (index, plan) in std::mem::take(&mut script.nodes).into_iter().enumerate() {
            network.add_line(plan.speed.clone());
            for &(at, fate) in &plan.fates {
                queue.push(at, Happening::Befall { node: index, fate });
            }
            let wanted = plan.wanted(&script.layout);
            nodes.push(Node::new(index, plan, wanted));
        }
        Self {
            now: Duration::ZERO,
            queue,
            network,
            tracker: Tracker::default(),
            rng: Rng::with_seed(script.seed ^ WORLD_SEED),
            log: Log::new(out),
            watch: Watch::new(&script.layout, &nodes),
            events: 0,
            failure: None,
            script,
            nodes,
        }
    }

    /// Plays the script to its end.
    pub(crate) fn run(&mut self) {
        while self.failure.is_none() && self.watch.unfinished > 0 {
            let Some((at, what)) = self.queue.pop() else { break };
            if at > self.script.limit {
                break;
            }
            self.now = at;
            self.events += 1;
            self.happen(what);
            if self.events.is_multiple_of(EVENTS_PER_CHECK) {
                self.check_swarms();
            }
        }
        if self.failure.is_none() {
            self.check_swarms();
            self.failure = self.watch.final_check(&self.script, &self.nodes);
        }
    }

    pub(crate) fn fail(&mut self, node: usize, what: &str) {
        let name = &self.nodes[node].name;
        let at = self.now.as_secs_f64();
        self.failure.get_or_insert_with(|| format!("peer {name} {what} at {at:.1} s"));
    }

    /// Tells a node that something happened, and performs what it wants done.
    pub(crate) fn tell(&mut self, index: usize, event: Event) {
        let node = &mut self.nodes[index];
        let Some(brain) = &mut node.brain else { return };
        self.log.event(self.now, &node.name, &event);
        brain.handle(self.now, event);
        self.pump(index);
    }

    pub(crate) fn tell_later(&mut self, after: Duration, node: usize, event: Event) {
        let life = self.nodes[node].life;
        self.queue.push(self.now + after, Happening::Tell { node, life, event });
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Befall { node, fate } => self.befall(node, fate),
            Happening::Tick { node, life } => self.tick(node, life),
            Happening::Tell { node, life, event } if self.lives(node, life) => self.tell(node, event),
            Happening::Announce { node, life, periodic } if self.lives(node, life) => {
                self.announce(node, periodic);
            }
            Happening::Knock { from, life, to } if self.lives(from, life) => self.knock(from, to),
            Happening::Land { to, parcel } => self.land(to, parcel),
            Happening::Deliver { to, parcel } => self.deliver(to, parcel),
            Happening::Sent { from, life, block } => self.sent(from, life, block),
            Happening::Stored { node, life, stored } if self.lives(node, life) => self.stored(node, stored),
            Happening::Fetched { node, life, fetched } if self.lives(node, life) => {
                self.deliver_fetched(node, &fetched);
            }
            Happening::Notice { key } => self.notice(key),
            _ => {}
        }
    }

    pub(crate) fn lives(&self, node: usize, life: u32) -> bool {
        self.nodes[node].life == life && self.nodes[node].brain.is_some()
    }

    fn befall(&mut self, index: usize, fate: Fate) {
        self.log.world(self.now, &self.nodes[index].name, &format!("{fate:?}"));
        match fate {
            Fate::Join => self.join(index),
            Fate::Leave => self.leave(index),
            Fate::Cut(length) => self.cut(index, length),
            Fate::DiskFull => self.nodes[index].disk.full = true,
            Fate::DiskFree => {
                self.nodes[index].disk.full = false;
                self.tell(index, Event::Resume);
            }
            Fate::Pause => self.tell(index, Event::Pause),
            Fate::Resume => self.tell(index, Event::Resume),
            Fate::WantAll => self.want_all(index),
        }
    }

    fn join(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.life += 1;
        node.record.joined.get_or_insert(self.now);
        node.record.moved = self.now;
        node.record.evidence.clear();
        node.record.suspects.clear();
        let life = node.life;
        let seed = self.script.seed.wrapping_mul(1_000_003) + (index as u64) * 1_000 + u64::from(life);
        let brain = if node.plan.magnet {
            let hashes =
                InfoHashes { v1: Some(InfoHash(Sha1::digest(&self.script.metadata).into())), v2: None };
            let id = peer_id(index, life);
            Brain::Fetch(Box::new(MetadataFetch::new(self.now, hashes, config(node), id, seed)))
        } else {
            Brain::Swarm(Box::new(Swarm::new(self.now, setup(&self.script, index, node, seed))))
        };
        node.brain = Some(brain);
        let known: Vec<Endpoint> =
            node.plan.knows.iter().map(|&known| Endpoint::Tcp(address(known))).collect();
        let announces = node.plan.announces;
        self.watch.joined(&self.nodes[index]);
        self.pump(index);
        if !known.is_empty() {
            self.tell(index, Event::Found { at: known, by: Source::User });
        }
        if announces {
            self.announce(index, true);
        }
        self.check_coverage();
    }

    fn leave(&mut self, index: usize) {
        for key in std::mem::take(&mut self.nodes[index].keys) {
            self.network.set_phase(key, Phase::Closed);
            self.send(key, self.now, Parcel::Close);
        }
        let node = &mut self.nodes[index];
        node.brain = None;
        node.tick = None;
        node.fetches.clear();
        node.announce_planned = false;
        node.record.lives_lost += 1;
        if self.rng.bool() {
            self.tracker.goodbye(index);
        }
    }

    fn want_all(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let was_complete = node.complete();
        for wish in &mut node.plan.priorities {
            *wish = Priority::Normal;
        }
        let files = node.plan.priorities.len();
        node.wanted = node.plan.wanted(&self.script.layout);
        if was_complete && !node.complete() {
            self.watch.reopened(node);
        }
        for file in (0..).take(files).map(FileIndex) {
            self.tell(index, Event::SetPriority { file, priority: Priority::Normal });
        }
    }

    fn tick(&mut self, index: usize, life: u32) {
        let now = self.now;
        if !self.lives(index, life) || self.nodes[index].tick != Some(now) {
            return;
        }
        self.nodes[index].tick = None;
        let deadline = |world: &Self| world.nodes[index].brain.as_ref().and_then(Brain::next_deadline);
        if deadline(self).is_some_and(|deadline| deadline <= now) {
            self.tell(index, Event::Tick);
            if deadline(self).is_some_and(|deadline| deadline <= now) {
                self.fail(index, "was told that its deadline passed and still has it");
            }
        }
        self.arrange_tick(index);
    }

    /// Performs all that a node wants done.
    fn pump(&mut self, index: usize) {
        while let Some(brain) = &mut self.nodes[index].brain {
            if let Some(action) = brain.next_action() {
                self.log.action(self.now, &self.nodes[index].name, &action);
                self.perform(index, action);
            } else if let Some((metadata, replay)) = brain.take_metadata() {
                self.begin_download(index, &metadata, replay);
            } else {
                break;
            }
        }
        self.arrange_tick(index);
    }

    fn begin_download(&mut self, index: usize, metadata: &[u8], replay: Vec<Event>) {
        if metadata != self.script.metadata {
            self.fail(index, "took wrong metadata for right");
        }
        let node = &mut self.nodes[index];
        node.plan.magnet = false;
        let seed = self.script.seed + index as u64;
        let mut swarm = Swarm::new(self.now, setup(&self.script, index, node, seed));
        for event in replay {
            self.log.event(self.now, &node.name, &event);
            swarm.handle(self.now, event);
        }
        node.tick = None;
        node.brain = Some(Brain::Swarm(Box::new(swarm)));
    }

    fn arrange_tick(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(deadline) = node.brain.as_ref().and_then(Brain::next_deadline) else { return };
        let deadline = deadline.max(self.now);
        if node.tick.is_none_or(|tick| deadline < tick) {
            node.tick = Some(deadline);
            self.queue.push(deadline, Happening::Tick { node: index, life: node.life });
        }
    }

    fn announce(&mut self, index: usize, periodic: bool) {
        let node = &mut self.nodes[index];
        let life = node.life;
        if periodic {
            let at = self.now + self.script.announce_interval;
            self.queue.push(at, Happening::Announce { node: index, life, periodic });
        } else {
            node.announce_planned = false;
        }
        if self.now < node.cut_until {
            return;
        }
        node.next_announce = self.now + MIN_ANNOUNCE_INTERVAL;
        let found = self.tracker.announce(self.now, index, self.script.tracker_peers, &mut self.rng);
        let at = found.into_iter().map(|found| Endpoint::Tcp(address(found))).collect();
        self.tell_later(TRACKER_DELAY, index, Event::Found { at, by: Source::Tracker });
    }

    fn stored(&mut self, index: usize, stored: Stored) {
        let Stored { piece, verdict, no_room, digests } = stored;
        let node = &mut self.nodes[index];
        let bytes = u64::from(self.script.layout.piece_size(piece));
        match verdict {
            Verdict::Mixed => self.fail(index, "mixed up the blocks of a piece"),
            Verdict::Good if no_room => {
                node.record.refused += bytes;
                if !node.disk.full {
                    self.tell_later(DISK_RETRY, index, Event::Resume);
                }
                self.tell(index, Event::WriteFailed { piece });
            }
            Verdict::Good => {
                if !node.disk.have.set(piece.0) {
                    self.fail(index, "stored a piece twice");
                }
                self.watch.committed(self.now, &mut self.nodes[index], piece, bytes);
                self.tell(index, Event::Committed { piece, digests });
                self.check_finish(index);
                self.check_coverage();
            }
            Verdict::Bad { culprits, alone } => {
                node.record.refused += bytes;
                Watch::rejected(node, piece, &culprits, alone);
                self.tell(index, Event::Rejected { piece, digests: digests.unwrap_or_default() });
            }
        }
        if let Some(what) = Watch::check_evidence(&self.nodes, index) {
            self.fail(index, &what);
        }
    }

    fn check_finish(&mut self, index: usize) {
        let node = &self.nodes[index];
        if node.complete() && !node.record.said_complete {
            self.fail(index, "has every wanted piece and does not say that it is complete");
        }
    }

    /// Once every piece is on a node that stays, the origins may go.
    fn check_coverage(&mut self) {
        if !self.script.origins_leave || !self.watch.newly_covered() {
            return;
        }
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.plan.origin) {
            self.log.world(self.now, &node.name, "every piece is elsewhere");
            self.queue.push(self.now, Happening::Befall { node: index, fate: Fate::Leave });
        }
    }

    fn check_swarms(&self) {
        for node in &self.nodes {
            if let Some(Brain::Swarm(swarm)) = &node.brain {
                swarm.check_invariants();
            }
        }
    }
}

fn config(node: &Node) -> Config {
    let (sequential, sizing) = (node.plan.sequential, node.plan.sizing);
    Config { sequential, sizing, listen_port: PORT, ..Config::default() }
}

fn setup(script: &Script, index: usize, node: &Node, seed: u64) -> Setup {
    Setup {
        layout: script.layout.clone(),
        metadata: Some(script.metadata.clone()),
        have: node.disk.have.clone(),
        priorities: node.plan.priorities.clone(),
        config: config(node),
        our_id: peer_id(index, node.life),
        private: false,
        web_seeds: (0..).zip(&script.servers).map(|(host, _)| host).collect(),
        seed,
    }
}

/// Keeps the world's dice apart from those that drew the script.
const WORLD_SEED: u64 = 0x776f_726c_6400_0000;

/// How often every swarm's own invariants are checked: about a hundred times in a run.
const EVENTS_PER_CHECK: u64 = 2_000;

/// How soon a node may ask the tracker again if it wants peers.
const MIN_ANNOUNCE_INTERVAL: Duration = Duration::from_secs(30);

/// From an announce to its answer: the connection and the question, two round trips of 60 ms.
pub(crate) const TRACKER_DELAY: Duration = Duration::from_millis(120);

/// How soon a node goes on whose disk was full when it wrote and is free again when it learns so.
const DISK_RETRY: Duration = Duration::from_secs(1);
