//! What must hold in every run, seen from outside the swarms.
//!
//! No honest node bans another (checked where bans are performed); a poisoner is banned once two bad pieces can be explained by it
//! alone; everybody honest who stays completes in time; what is received is kept, but for little.

use std::time::Duration;

use metainfo::{BLOCK, Layout, PieceIndex};

use crate::node::{Node, address};
use crate::script::Script;

/// Keeps count of what the checks need.
pub(crate) struct Watch {
    /// Honest nodes that stay and are not complete.
    pub(crate) unfinished: usize,
    /// How many reliable nodes have each piece.
    copies: Vec<u32>,
    /// Pieces that no reliable node has.
    uncovered: usize,
    said_covered: bool,
}

impl Watch {
    pub(crate) fn new(layout: &Layout, nodes: &[Node]) -> Self {
        let pieces = layout.piece_count() as usize;
        Self {
            unfinished: nodes.iter().filter(|node| node.unfinished()).count(),
            copies: vec![0; pieces],
            uncovered: pieces,
            said_covered: false,
        }
    }

    pub(crate) fn joined(&mut self, node: &Node) {
        if node.plan.reliable() {
            node.disk.have.iter().for_each(|piece| self.cover(piece));
        }
    }

    pub(crate) fn committed(&mut self, now: Duration, node: &mut Node, piece: PieceIndex, bytes: u64) {
        node.record.last_progress = Some(now);
        let still = now.saturating_sub(node.record.moved);
        node.record.longest_stall = node.record.longest_stall.max(still);
        node.record.moved = now;
        node.record.committed += bytes;
        for culprit in node.record.suspects.remove(&piece.0).unwrap_or_default() {
            node.record.evidence.entry(culprit).or_default().insert(piece.0);
        }
        if node.plan.reliable() {
            self.cover(piece.0);
        }
        if node.complete() && node.record.completed.is_none() {
            node.record.completed = Some(now);
            self.unfinished -= usize::from(node.plan.honest() && node.plan.stays());
        }
    }

    /// A node was complete until its user wanted more.
    pub(crate) fn reopened(&mut self, node: &mut Node) {
        node.record.completed = None;
        node.record.said_complete = false;
        self.unfinished += usize::from(node.plan.honest() && node.plan.stays());
    }

    pub(crate) fn rejected(node: &mut Node, piece: PieceIndex, culprits: &[usize], alone: bool) {
        node.record.rejected += 1;
        node.record.spoilt.insert(piece.0);
        for &culprit in culprits {
            if alone {
                node.record.evidence.entry(culprit).or_default().insert(piece.0);
            } else {
                node.record.suspects.entry(piece.0).or_default().insert(culprit);
            }
        }
    }

    /// Whether somebody may go unbanned of whom there is enough evidence.
    pub(crate) fn check_evidence(nodes: &[Node], index: usize) -> Option<String> {
        let node = &nodes[index];
        let guilty = |(culprit, pieces): &(&usize, &std::collections::BTreeSet<u32>)| {
            pieces.len() >= BAD_PIECES && !node.banned.contains(&address(**culprit).ip())
        };
        let (culprit, pieces) = node.record.evidence.iter().find(guilty)?;
        let name = nodes.get(*culprit).map_or("a web server", |node| &node.name);
        Some(format!("has not banned {name}, who spoilt pieces {pieces:?}"))
    }

    /// True once: when every piece is on a reliable node.
    pub(crate) fn newly_covered(&mut self) -> bool {
        let newly = self.uncovered == 0 && !self.said_covered;
        self.said_covered |= newly;
        newly
    }

    pub(crate) fn final_check(&self, script: &Script, nodes: &[Node]) -> Option<String> {
        if self.unfinished > 0 {
            let node = nodes.iter().find(|node| node.unfinished())?;
            let progress = node.record.last_progress.unwrap_or_default().as_secs_f64();
            return Some(format!("peer {} never completed; last progress at {progress:.1} s", node.name));
        }
        let mut honest = nodes.iter().filter(|node| node.plan.honest());
        honest.find_map(|node| wasteful(script, node)).or_else(|| wasteful_together(nodes))
    }

    fn cover(&mut self, piece: u32) {
        let copies = &mut self.copies[piece as usize];
        self.uncovered -= usize::from(*copies == 0);
        *copies += 1;
    }
}

/// A poisoner must be banned when so many bad pieces can be explained by it alone (P-10).
const BAD_PIECES: usize = 2;

/// Blocks come twice when a cancel crosses them. That may be one in ten of what the torrent holds, …
const WASTE_SHARE: u64 = 10;

/// … and in the end game, which may be all of a small torrent, some pipelines more: two as deep as the first of a new peer for the
/// unluckiest node, half of one for all nodes on average.
const WORST_WASTE: u64 = 128 * BLOCK as u64;
const MEAN_WASTE: u64 = 32 * BLOCK as u64;

fn wasteful(script: &Script, node: &Node) -> Option<String> {
    let bound = lives(node) * (script.layout.content_length() / WASTE_SHARE + WORST_WASTE);
    let (waste, received) = (waste(node), node.record.received);
    (waste > bound).then(|| format!("peer {} wasted {waste} of {received} bytes received", node.name))
}

fn wasteful_together(nodes: &[Node]) -> Option<String> {
    let honest = || nodes.iter().filter(|node| node.plan.honest());
    let wasted: u64 = honest().map(waste).sum();
    let received: u64 = honest().map(|node| node.record.received).sum();
    let bound = received / WASTE_SHARE + honest().map(lives).sum::<u64>() * MEAN_WASTE;
    (wasted > bound).then(|| format!("all peers together wasted {wasted} of {received} bytes received"))
}

/// A node that left begins again, and its unfinished pieces with it.
fn lives(node: &Node) -> u64 {
    u64::from(node.record.lives_lost + 1)
}

/// Payload received that was neither stored, nor bad, nor without room on the disk, nor a proof.
fn waste(node: &Node) -> u64 {
    let record = &node.record;
    record.received.saturating_sub(record.committed + record.refused + record.proofs)
}
