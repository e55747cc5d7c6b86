//! Performs the actions of swarms, as the engine's driver would; nodes that mean no good act differently here.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use metainfo::{BlockRef, PieceIndex};
use swarm::{Action, Endpoint, Event, HangUp, PeerKey};
use wire::{Message, MetadataMessage};

use crate::disk::{self, Verdict};
use crate::link::{Phase, other};
use crate::node::{address, at_address};
use crate::payload::{self, Mark};
use crate::script::{Conduct, RandomTime};
use crate::traffic::Parcel;
use crate::world::{Happening, Stored, World};

impl World<'_> {
    pub(crate) fn perform(&mut self, index: usize, action: Action) {
        match action {
            Action::Dial(at) => self.dial(index, at),
            Action::Say { peer, message } => self.say(index, peer, message),
            Action::Serve { peer, block } => self.serve(index, peer, block),
            Action::Unserve { peer, block } => self.network.forget_blocks(peer, block),
            Action::Commit { piece, blocks, digests } => self.commit(index, piece, &blocks, digests),
            Action::Compare { peer, block, data } => self.compare(index, peer, block, &data),
            Action::Resized { mode, .. } => {
                let record = &mut self.nodes[index].record;
                record.modes.push((self.now, mode, record.sent));
            }
            Action::HangUp { peer, why } => self.hang_up(index, peer, &why),
            Action::Ban(ip) => self.ban(index, ip),
            Action::Fetch { seed, fetch, blocks } => self.fetch(index, seed, fetch, &blocks),
            Action::Unfetch(fetch) => _ = self.nodes[index].fetches.remove(&fetch),
            Action::BanWebSeed(seed) => self.ban_server(index, seed),
            Action::Complete => {
                if !self.nodes[index].complete() {
                    self.fail(index, "says that it is complete and is not");
                }
                self.nodes[index].record.said_complete = true;
            }
            Action::WantPeers => self.want_peers(index),
        }
    }

    /// Starts the next block of a node's upload line, if it is idle.
    pub(crate) fn start_block(&mut self, index: usize) {
        let Some((key, block, takes)) = self.network.start_block(index) else { return };
        let life = self.nodes[index].life;
        let spoilt = match self.nodes[index].plan.conduct {
            Conduct::Poisons(share) => self.rng.f64() < share,
            _ => false,
        };
        let id = if spoilt {
            self.rng.usize(..payload::BLOCKS)
        } else {
            disk::block_id(&self.script.layout, block)
        };
        let data = payload::block(Mark { id, sender: index, spoilt }, block.length());
        let message = Message::Piece { index: block.piece().0, begin: block.begin(), data };
        let leaves = self.now + takes;
        self.send(key, leaves, Parcel::Message(message));
        self.queue.push(leaves, Happening::Sent { from: key, life, block });
    }

    fn dial(&mut self, from: usize, at: Endpoint) {
        let target = match at {
            Endpoint::Tcp(at) => at_address(at.ip()).filter(|&to| to < self.nodes.len() && address(to) == at),
            _ => None,
        };
        let life = self.nodes[from].life;
        match target {
            Some(to) if self.nodes[to].brain.is_some() && self.now >= self.nodes[to].cut_until => {
                // The first packet of the connection, its answer, and the handshake.
                let at = self.now + self.network.delay(from, to) * 3;
                self.queue.push(at, Happening::Knock { from, life, to });
            }
            _ => self.tell_later(DIAL_TIMEOUT, from, Event::DialFailed { at }),
        }
    }

    fn say(&mut self, index: usize, peer: PeerKey, message: Message) {
        if !matches!(self.network.end(peer).phase, Phase::Open | Phase::Dead) {
            return;
        }
        let message = match (self.nodes[index].plan.conduct, message) {
            (Conduct::Chokes, Message::Unchoke | Message::AllowedFast(_))
            | (Conduct::Lies, Message::Metadata(_)) => return,
            (Conduct::Poisons(_), Message::Metadata(MetadataMessage::Data { piece, total_size, data })) => {
                let data = Bytes::from(vec![0; data.len()]);
                Message::Metadata(MetadataMessage::Data { piece, total_size, data })
            }
            (_, message) => message,
        };
        self.send(peer, self.now, Parcel::Message(message));
    }

    fn serve(&mut self, index: usize, peer: PeerKey, block: BlockRef) {
        let node = &self.nodes[index];
        match node.plan.conduct {
            Conduct::Lies | Conduct::Chokes => {
                return self.tell_later(Duration::ZERO, index, Event::Served { peer, block, bytes: 0 });
            }
            _ if !node.disk.have.get(block.piece().0) => {
                self.fail(index, "serves a piece that it does not have");
            }
            Conduct::Honest | Conduct::Poisons(_) => {}
        }
        if self.network.end(peer).phase == Phase::Closed {
            return;
        }
        self.network.queue_block(peer, block);
        self.start_block(index);
    }

    fn commit(&mut self, index: usize, piece: PieceIndex, blocks: &[Bytes], digests: bool) {
        let verdict = disk::judge(&self.script.layout, piece, blocks);
        let digests = digests || matches!(verdict, Verdict::Bad { .. });
        let digests = digests.then(|| blocks.iter().map(|block| payload::digest(block)).collect());
        let node = &self.nodes[index];
        let stored = Stored { piece, verdict, no_room: node.disk.full, digests };
        let life = node.life;
        let at = self.now + MIN_COMMIT + self.rng.duration(1) / 50;
        self.queue.push(at, Happening::Stored { node: index, life, stored });
    }

    fn compare(&mut self, index: usize, peer: PeerKey, block: BlockRef, data: &Bytes) {
        let good = |mark: Mark| !mark.spoilt && mark.id == disk::block_id(&self.script.layout, block);
        let equal = data.len() == block.length() as usize && payload::read(data).is_some_and(good);
        self.nodes[index].record.proofs += data.len() as u64;
        self.tell_later(MIN_COMMIT, index, Event::Compared { peer, block, equal });
    }

    fn hang_up(&mut self, index: usize, peer: PeerKey, why: &HangUp) {
        let end = self.network.end(peer);
        if end.phase == Phase::Closed {
            return;
        }
        let target = self.network.end(other(peer)).node;
        let blamed = matches!(why, HangUp::Fault(_) | HangUp::Breach(_) | HangUp::Poison);
        if blamed && self.nodes[index].plan.honest() && self.nodes[target].plan.honest() {
            let name = &self.nodes[target].name;
            let what = format!("hung up on honest peer {name} ({why:?})");
            self.fail(index, &what);
        }
        self.send(peer, self.now, Parcel::Close);
        self.close(peer);
        self.tell_later(Duration::ZERO, index, Event::Gone { peer });
    }

    fn ban(&mut self, index: usize, ip: IpAddr) {
        self.nodes[index].banned.insert(ip);
        let target = at_address(ip).and_then(|target| self.nodes.get(target));
        if let Some(target) = target.filter(|target| target.plan.honest() && self.nodes[index].plan.honest())
        {
            let what = format!("banned honest peer {}", target.name);
            self.fail(index, &what);
        }
    }

    fn want_peers(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.announce_planned || !node.plan.announces {
            return;
        }
        node.announce_planned = true;
        let at = self.now.max(node.next_announce).max(node.cut_until);
        let happening = Happening::Announce { node: index, life: node.life, periodic: false };
        self.queue.push(at, happening);
    }
}

/// How long a dial to an address without anybody takes to fail.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Hashing and writing a piece takes 1 to 21 ms.
const MIN_COMMIT: Duration = Duration::from_millis(1);
