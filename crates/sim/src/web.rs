//! Web servers: each has every piece and one line, which all fetches from it share in the order they were made.

use std::time::Duration;

use metainfo::BlockRef;
use swarm::{Event, FetchKey, FetchTrouble, WebSeedKey};

use crate::disk;
use crate::link::time_for;
use crate::node::address;
use crate::payload::{self, Mark};
use crate::world::{Happening, World};

/// A web server of a script; every node that wants anything knows all of them.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Bytes a second.
    pub(crate) rate: u32,
    /// From the server to a node.
    pub(crate) delay: Duration,
    /// The share of blocks it spoils.
    pub(crate) spoils: f64,
    /// When it stops answering for good.
    pub(crate) dies: Option<Duration>,
    /// When its line is free again.
    pub(crate) busy_until: Duration,
}

/// A block on its way.
pub(crate) struct Fetched {
    pub(crate) fetch: FetchKey,
    pub(crate) server: usize,
    pub(crate) block: BlockRef,
    pub(crate) last: bool,
}

impl Server {
    pub(crate) fn new(rate: u32) -> Self {
        Self { rate, delay: Duration::from_millis(40), spoils: 0.0, dies: None, busy_until: Duration::ZERO }
    }

    fn is_dead(&self, now: Duration) -> bool {
        self.dies.is_some_and(|dies| now >= dies)
    }
}

impl World<'_> {
    pub(crate) fn fetch(&mut self, node: usize, seed: WebSeedKey, fetch: FetchKey, blocks: &[BlockRef]) {
        let server = seed.0 as usize;
        self.nodes[node].fetches.insert(fetch);
        let life = self.nodes[node].life;
        let at = &mut self.script.servers[server];
        let mut arrives = (self.now + at.delay * 2).max(at.busy_until);
        for (place, &block) in blocks.iter().enumerate() {
            arrives += time_for(self.script.layout.without_padding(block).length(), at.rate);
            let fetched = Fetched { fetch, server, block, last: place + 1 == blocks.len() };
            self.queue.push(arrives, Happening::Fetched { node, life, fetched });
        }
        at.busy_until = arrives;
    }

    /// A block arrives, unless its fetch was ended or its server died before.
    pub(crate) fn deliver_fetched(&mut self, node: usize, fetched: &Fetched) {
        let &Fetched { fetch, server, block, last } = fetched;
        if !self.nodes[node].fetches.contains(&fetch) {
            return;
        }
        let at = &self.script.servers[server];
        let (dead, share) = (at.is_dead(self.now), at.spoils);
        if dead || last {
            self.nodes[node].fetches.remove(&fetch);
        }
        if dead {
            return self.tell(node, Event::FetchFailed { fetch, why: FetchTrouble::Broken });
        }
        let spoilt = share > 0.0 && self.rng.f64() < share;
        let id = if spoilt {
            self.rng.usize(..payload::BLOCKS)
        } else {
            disk::block_id(&self.script.layout, block)
        };
        let sender = self.nodes.len() + server;
        let length = self.script.layout.without_padding(block).length();
        let record = &mut self.nodes[node].record;
        record.received += u64::from(length);
        record.from_web += u64::from(length);
        let data = payload::block(Mark { id, sender, spoilt }, length);
        self.tell(node, Event::Fetched { fetch, data });
    }

    pub(crate) fn ban_server(&mut self, node: usize, seed: WebSeedKey) {
        let server = seed.0 as usize;
        let ip = address(self.nodes.len() + server).ip();
        self.nodes[node].banned.insert(ip);
        if self.script.servers[server].spoils == 0.0 {
            self.fail(node, "banned an honest web server");
        }
    }
}
