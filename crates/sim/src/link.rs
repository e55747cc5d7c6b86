//! The network: every node has a line with a speed, a delay and a loss; every connection delivers in order, as TCP does.
//!
//! Owned by the world. It says when something arrives; what arrives is the world's. Loss shows as the delay of a retransmission,
//! which holds up what follows in that direction. Blocks share a node's upload in turns, one from each connection, and a
//! connection has no more than a window of them under way, so a full download line holds its senders back. Control messages are
//! small beside them and only wait for what was sent before them on the same connection.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use metainfo::BlockRef;
use swarm::PeerKey;

/// How a node is connected to the world.
#[derive(Clone, Debug)]
pub(crate) struct Speed {
    /// Upload in bytes a second.
    pub(crate) up: u32,
    /// Download in bytes a second.
    pub(crate) down: u32,
    /// From the node to the middle of the network.
    pub(crate) delay: Duration,
    /// The most by which a delay may grow, as a share of it.
    pub(crate) jitter: f64,
    /// The chance that a message must be sent again.
    pub(crate) loss: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The dialler's end until the answer to its handshake arrives.
    Opening,
    Open,
    /// Open as far as its owner knows, but nothing arrives any more.
    Dead,
    Closed,
}

/// One side of a connection.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) node: usize,
    pub(crate) phase: Phase,
    /// When the last thing sent from here arrives; nothing sent later may arrive earlier.
    last_arrival: Duration,
    /// When the last thing received here is through the node's download line.
    last_delivery: Duration,
    /// Blocks to send.
    blocks: VecDeque<BlockRef>,
    /// Blocks that left and are not through the other end's download line.
    under_way: u32,
}

#[derive(Debug)]
struct Line {
    speed: Speed,
    /// A block is leaving.
    sending: bool,
    /// Connections with blocks to send, in the order of their turns.
    turns: VecDeque<PeerKey>,
    /// When all that has arrived is through the download line.
    busy_until: Duration,
}

/// All lines and all connections.
#[derive(Debug, Default)]
pub(crate) struct Network {
    lines: Vec<Line>,
    /// The two ends of a connection lie side by side: `key ^ 1` is the other one.
    ends: Vec<End>,
}

impl Network {
    pub(crate) fn add_line(&mut self, speed: Speed) {
        self.lines.push(Line { speed, sending: false, turns: VecDeque::new(), busy_until: Duration::ZERO });
    }

    /// A new connection: the ends of `dialler` (still opening) and of `listener`.
    pub(crate) fn connect(&mut self, dialler: usize, listener: usize) -> (PeerKey, PeerKey) {
        let first = self.ends.len() as u64;
        for (node, phase) in [(dialler, Phase::Opening), (listener, Phase::Open)] {
            let (last_arrival, last_delivery) = (Duration::ZERO, Duration::ZERO);
            let blocks = VecDeque::new();
            self.ends.push(End { node, phase, last_arrival, last_delivery, blocks, under_way: 0 });
        }
        (PeerKey(first), PeerKey(first + 1))
    }

    pub(crate) fn end(&self, key: PeerKey) -> &End {
        &self.ends[place(key)]
    }

    pub(crate) fn set_phase(&mut self, key: PeerKey, phase: Phase) {
        let end = &mut self.ends[place(key)];
        end.phase = phase;
        if phase == Phase::Closed {
            end.blocks.clear();
        }
    }

    /// One way between two nodes, without jitter.
    pub(crate) fn delay(&self, a: usize, b: usize) -> Duration {
        self.lines[a].speed.delay + self.lines[b].speed.delay
    }

    /// When something sent from `key` at `leaves` arrives at the other end.
    pub(crate) fn arrival(&mut self, key: PeerKey, leaves: Duration, rng: &mut Rng) -> Duration {
        let (from, to) = (self.end(key).node, self.end(other(key)).node);
        let (a, b) = (&self.lines[from].speed, &self.lines[to].speed);
        let delay = self.delay(from, to);
        let jitter = a.jitter.max(b.jitter) * rng.f64();
        let mut arrival = leaves + delay + delay.mul_f64(jitter);
        let loss = a.loss.max(b.loss);
        let mut patience = MIN_RETRANSMISSION.max(delay * 3);
        for _ in 0..MAX_RETRANSMISSIONS {
            if rng.f64() >= loss {
                break;
            }
            arrival += patience;
            patience *= 2;
        }
        let end = &mut self.ends[place(key)];
        end.last_arrival = arrival.max(end.last_arrival + TICK);
        end.last_arrival
    }

    /// When `bytes` that arrive at `key` now are through the download line.
    pub(crate) fn delivery(&mut self, key: PeerKey, now: Duration, bytes: u32) -> Duration {
        let end = &mut self.ends[place(key)];
        let mut at = now;
        if bytes > 0 {
            let line = &mut self.lines[end.node];
            at = at.max(line.busy_until);
            line.busy_until = at + time_for(bytes, line.speed.down);
        }
        at = at.max(end.last_delivery);
        end.last_delivery = at + TICK;
        at
    }

    /// Queues a block to leave from `key` when its turn comes.
    pub(crate) fn queue_block(&mut self, key: PeerKey, block: BlockRef) {
        let end = &mut self.ends[place(key)];
        if end.blocks.is_empty() && end.under_way < WINDOW {
            self.lines[end.node].turns.push_back(key);
        }
        end.blocks.push_back(block);
    }

    /// A block sent from `key` is through the other end's download line.
    pub(crate) fn acknowledge(&mut self, key: PeerKey) {
        let end = &mut self.ends[place(key)];
        if end.under_way == WINDOW && !end.blocks.is_empty() {
            self.lines[end.node].turns.push_back(key);
        }
        end.under_way -= 1;
    }

    /// Forgets one queued block, or all of this end's.
    pub(crate) fn forget_blocks(&mut self, key: PeerKey, block: Option<BlockRef>) {
        let queued = &mut self.ends[place(key)].blocks;
        match block {
            None => queued.clear(),
            Some(block) => {
                if let Some(at) = queued.iter().position(|&b| b == block) {
                    queued.remove(at);
                }
            }
        }
        if queued.is_empty() {
            let node = self.end(key).node;
            self.lines[node].turns.retain(|&turn| turn != key);
        }
    }

    /// Starts sending the next block of a node, unless one is leaving already: whose it is, and how long it takes.
    pub(crate) fn start_block(&mut self, node: usize) -> Option<(PeerKey, BlockRef, Duration)> {
        let line = &mut self.lines[node];
        while !line.sending {
            let key = line.turns.pop_front()?;
            let end = &mut self.ends[place(key)];
            let Some(block) = end.blocks.pop_front() else { continue };
            end.under_way += 1;
            if !end.blocks.is_empty() && end.under_way < WINDOW {
                line.turns.push_back(key);
            }
            line.sending = true;
            return Some((key, block, time_for(block.length(), line.speed.up)));
        }
        None
    }

    /// The block that was leaving has left.
    pub(crate) fn finish_block(&mut self, node: usize) {
        self.lines[node].sending = false;
    }
}

/// The other side of the connection.
pub(crate) fn other(key: PeerKey) -> PeerKey {
    PeerKey(key.0 ^ 1)
}

/// How long a line of `rate` bytes a second is busy with `bytes`.
pub(crate) fn time_for(bytes: u32, rate: u32) -> Duration {
    Duration::from_secs(u64::from(bytes)) / rate
}

/// The shortest time after which TCP sends again (Linux).
const MIN_RETRANSMISSION: Duration = Duration::from_millis(200);

/// Even a bad line gets a message through at the fourth attempt.
const MAX_RETRANSMISSIONS: u32 = 3;

/// Blocks under way on a connection: 64 KiB, the window of TCP without scaling.
const WINDOW: u32 = 4;

/// The least distance of two deliveries on one connection, which keeps their order.
const TICK: Duration = Duration::from_nanos(1);

fn place(key: PeerKey) -> usize {
    usize::try_from(key.0).expect("keys are places in a list")
}

#[cfg(test)]
mod tests {
    use metainfo::Layout;

    use super::*;

    fn network(loss: f64) -> (Network, PeerKey) {
        let mut network = Network::default();
        for _ in 0..3 {
            let delay = Duration::from_millis(20);
            network.add_line(Speed { up: 16_384, down: 163_840, delay, jitter: 0.5, loss });
        }
        let (dialler, _) = network.connect(0, 1);
        network.connect(0, 2);
        (network, dialler)
    }

    fn blocks() -> Vec<BlockRef> {
        let layout = Layout::contiguous(65_536, [(65_536, false)]).unwrap();
        layout.piece(0).into_iter().flat_map(|piece| layout.blocks(piece).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn a_lossy_line_delays_but_keeps_the_order() {
        let (mut network, key) = network(0.3);
        let mut rng = Rng::with_seed(1);
        let arrivals: Vec<Duration> =
            (0..200).map(|_| network.arrival(key, Duration::ZERO, &mut rng)).collect();
        assert!(arrivals.is_sorted_by(|a, b| a < b));
        assert!(arrivals[0] >= Duration::from_millis(40));
        assert!(*arrivals.last().unwrap() > Duration::from_millis(240), "something was lost and sent again");
    }

    #[test]
    fn connections_take_turns_on_the_upload_line() {
        let (mut network, first) = network(0.0);
        let second = PeerKey(2);
        let blocks = blocks();
        network.queue_block(first, blocks[0]);
        network.queue_block(first, blocks[1]);
        network.queue_block(second, blocks[2]);
        let mut order = Vec::new();
        while let Some((key, block, takes)) = network.start_block(0) {
            assert_eq!(takes, Duration::from_secs(1));
            assert!(network.start_block(0).is_none(), "one block at a time");
            network.finish_block(0);
            order.push((key, block));
        }
        assert_eq!(order, [(first, blocks[0]), (second, blocks[2]), (first, blocks[1])]);
    }

    #[test]
    fn forgotten_blocks_never_leave() {
        let (mut network, key) = network(0.0);
        let blocks = blocks();
        for &block in &blocks {
            network.queue_block(key, block);
        }
        network.forget_blocks(key, Some(blocks[0]));
        assert_eq!(network.start_block(0).map(|(_, block, _)| block), Some(blocks[1]));
        network.finish_block(0);
        network.forget_blocks(key, None);
        assert!(network.start_block(0).is_none());
    }

    #[test]
    fn a_connection_waits_when_its_window_is_full() {
        let (mut network, key) = network(0.0);
        for _ in 0..2 {
            for block in blocks() {
                network.queue_block(key, block);
            }
        }
        let send = |network: &mut Network| {
            let started = network.start_block(0).is_some();
            network.finish_block(0);
            started
        };
        assert_eq!((0..8).filter(|_| send(&mut network)).count(), 4);
        network.acknowledge(key);
        assert_eq!((0..8).filter(|_| send(&mut network)).count(), 1);
    }

    #[test]
    fn the_download_line_is_shared_and_control_messages_stay_behind_their_blocks() {
        let (mut network, dialler) = network(0.0);
        let now = Duration::from_secs(1);
        let end = other(dialler);
        assert_eq!(network.delivery(end, now, 16_384), now);
        let second = network.delivery(end, now, 16_384);
        assert_eq!(second, now + Duration::from_millis(100));
        assert!(network.delivery(end, now, 0) > second);
    }
}
