//! Web seeds: servers that have every piece and are asked for what peers cannot give in time (BEP 17, 19).
//!
//! [`WebSeeds`] is owned by `Swarm`. Here is decided when a server is asked, for which blocks, and when it is left alone. Where
//! it is and how it is asked is the driver's business. In an open piece a server stands like a peer, under a key of its own, so
//! that its bytes take the same way as all others and the same blame.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use metainfo::{BlockRef, PieceIndex};

use crate::event::{FetchKey, FetchTrouble, WebSeedKey};
use crate::fetch::{SOLE_PATIENCE, with_padding};
use crate::open_piece::OpenPiece;
use crate::peers::Peer;
use crate::rate::Meter;
use crate::status::WebSeedStatus;
use crate::swarm::{Run, Swarm};
use crate::{Action, PeerKey};

/// Web seeds used of one torrent: more than any honest one names.
pub const MAX_WEB_SEEDS: usize = 16;

/// Fetches under way from one host: while one waits for its first byte the other one flows.
const LANES: usize = 2;

/// Bytes of one fetch, if pieces are shorter: what the server gives in some seconds, so that little is held up if it stops, and
/// between these, so that requests are few.
const RUN_SECONDS: u64 = 4;
const SHORTEST_RUN: u64 = 512 << 10;
const LONGEST_RUN: u64 = 4 << 20;

/// How long peers may give too little before servers are asked: time to meet them, and to be unchoked by a good one.
const PATIENCE: Duration = Duration::from_secs(2);

/// Peers that together give this many bytes a second are enough, however much is missing.
const ENOUGH: u64 = 256 << 10;

/// So are slower ones that give all that is missing within so many seconds.
const SOON: u64 = 20;

/// A fetch has failed if neither it nor another one from its server brings anything for this long: some servers answer one
/// request after the other.
const SILENCE: Duration = Duration::from_secs(15);

/// A fetch that would take longer than this at the end is left to peers that have nothing else to do.
const SLOW: Duration = Duration::from_secs(2);

/// How long a server rests after its first failure, and at most.
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(300);

/// The longest rest that a server may ask for.
const LONGEST_WISH: Duration = Duration::from_secs(3600);

/// All web seeds of a torrent.
#[derive(Debug, Default)]
pub(crate) struct WebSeeds {
    seeds: Vec<WebSeed>,
    fetches: BTreeMap<FetchKey, Fetch>,
    fetched: u64,
    /// Since when peers give too little.
    short_since: Option<Duration>,
    /// They did so for long enough.
    needed: bool,
    /// Something changed that may give a server work.
    stirred: bool,
    pub(crate) down: Meter,
}

#[derive(Debug, Default)]
struct WebSeed {
    /// Those with the same number share a host.
    host: u32,
    /// It is asked nothing more in this run.
    out: bool,
    /// Fetches that failed since the last good one.
    failures: u32,
    /// It is asked nothing before this time.
    rest_until: Duration,
    /// When a block last came from it.
    heard: Duration,
    /// The piece behind its last fetch: going on there gives long runs.
    next: u32,
    down: Meter,
}

/// Blocks on their way from a server, in the order in which they come.
#[derive(Debug)]
struct Fetch {
    seed: WebSeedKey,
    blocks: VecDeque<BlockRef>,
    begun: Duration,
}

impl WebSeedKey {
    /// What a server is called where the senders of blocks are noted: peers are counted from below.
    fn sender(self) -> PeerKey {
        PeerKey(u64::MAX - u64::from(self.0))
    }
}

impl WebSeeds {
    pub(crate) fn new(hosts: &[u32]) -> Self {
        let seeds = hosts.iter().take(MAX_WEB_SEEDS).map(|&host| WebSeed { host, ..WebSeed::default() });
        Self { seeds: seeds.collect(), ..Self::default() }
    }

    /// Every server, and under which key pieces know it.
    pub(crate) fn senders(&self) -> impl Iterator<Item = (WebSeedKey, PeerKey)> + use<> {
        let count = u32::try_from(self.seeds.len()).unwrap_or(0);
        (0..count).map(WebSeedKey).map(|key| (key, key.sender()))
    }

    /// Whether anything was ever asked of a server.
    pub(crate) fn was_used(&self) -> bool {
        self.fetched > 0
    }

    /// Whether time may bring work for one.
    pub(crate) fn has_hope(&self) -> bool {
        self.seeds.iter().any(|seed| !seed.out)
    }

    /// Servers with a fetch under way.
    pub(crate) fn busy(&self) -> usize {
        (0u32..).zip(&self.seeds).filter(|(key, _)| self.lanes(WebSeedKey(*key)) > 0).count()
    }

    pub(crate) fn status(&self) -> impl Iterator<Item = WebSeedStatus> + '_ {
        (0u32..).zip(&self.seeds).map(|(key, seed)| WebSeedStatus {
            seed: WebSeedKey(key),
            fetches: self.lanes(WebSeedKey(key)),
            downloaded: seed.down.total(),
            failures: seed.failures,
            out: seed.out,
        })
    }

    /// A finished piece or a request that ended may give a server work.
    pub(crate) fn stir(&mut self) {
        self.stirred = true;
    }

    fn get_mut(&mut self, key: WebSeedKey) -> Option<&mut WebSeed> {
        self.seeds.get_mut(key.0 as usize)
    }

    fn lanes(&self, key: WebSeedKey) -> usize {
        self.fetches.values().filter(|fetch| fetch.seed == key).count()
    }

    /// Fetches under way from a host.
    fn lanes_of_host(&self, host: u32) -> usize {
        let same =
            |fetch: &&Fetch| self.seeds.get(fetch.seed.0 as usize).is_some_and(|seed| seed.host == host);
        self.fetches.values().filter(same).count()
    }

    /// The servers that may be asked, those with the fewest fetches first.
    fn free(&self, now: Duration) -> Vec<WebSeedKey> {
        let ready = (0u32..).zip(&self.seeds).filter(|(_, seed)| !seed.out && now >= seed.rest_until);
        let ready = ready.filter(|(_, seed)| self.lanes_of_host(seed.host) < LANES);
        let mut free: Vec<WebSeedKey> = ready.map(|(key, _)| WebSeedKey(key)).collect();
        free.sort_by_key(|&key| self.lanes(key));
        free
    }

    /// The blocks on their way, and under which key their pieces know the server.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (PeerKey, BlockRef)> + '_ {
        self.fetches.values().flat_map(|fetch| fetch.blocks.iter().map(|&block| (fetch.seed.sender(), block)))
    }
}

impl Swarm {
    /// The next block of a fetch came.
    pub(crate) fn fetched(&mut self, key: FetchKey, data: Bytes) {
        let (now, length) = (self.now, data.len() as u64);
        self.down.add(now, length);
        self.web.down.add(now, length);
        let Some(fetch) = self.web.fetches.get_mut(&key) else {
            self.wasted += length;
            return;
        };
        let Some(block) = fetch.blocks.pop_front() else { return };
        let (seed, over) = (fetch.seed, fetch.blocks.is_empty());
        if over {
            self.web.fetches.remove(&key);
            self.web.stir();
        }
        if let Some(seed) = self.web.get_mut(seed) {
            seed.down.add(now, length);
            seed.heard = now;
            seed.failures = if over { 0 } else { seed.failures };
        }
        let (piece, number) = (block.piece().0, block.number());
        let data = with_padding(block, data);
        match self.pieces.receive(self.now, piece, number, data, seed.sender()) {
            None => self.wasted += length,
            Some(received) => {
                for other in received.others {
                    self.take_back(other, piece, number);
                }
                if received.complete {
                    self.commit(piece);
                }
            }
        }
    }

    /// A fetch came to nothing, or not to its end.
    pub(crate) fn fetch_failed(&mut self, key: FetchKey, why: FetchTrouble) {
        let (now, dice) = (self.now, self.rng.u32(75..=125));
        let Some(seed) = self.end_fetch(key) else { return };
        let Some(server) = self.web.get_mut(seed) else { return };
        match why {
            FetchTrouble::Gone => self.leave_web_seed(seed),
            FetchTrouble::Later(wish) => {
                server.rest_until = now + wish.clamp(Duration::from_secs(1), LONGEST_WISH);
            }
            // Both fetches from a server that is down fail together: that is one failure.
            FetchTrouble::Broken if now < server.rest_until => {}
            FetchTrouble::Broken => {
                let rest = FIRST_REST * 2u32.saturating_pow(server.failures.min(16));
                server.failures = server.failures.saturating_add(1);
                server.rest_until = now + rest.min(LONGEST_REST) * dice / 100;
            }
        }
    }

    /// A server is asked nothing more: what it owes is for others.
    pub(crate) fn leave_web_seed(&mut self, seed: WebSeedKey) {
        if let Some(server) = self.web.get_mut(seed) {
            server.out = true;
        }
        self.unfetch(|fetch| fetch.seed == seed);
    }

    /// No fetch goes on.
    pub(crate) fn stop_fetching(&mut self) {
        self.unfetch(|_| true);
    }

    /// A piece is dropped, and fetches that bring parts of it with it.
    pub(crate) fn stop_fetching_piece(&mut self, piece: u32) {
        self.unfetch(|fetch| fetch.blocks.iter().any(|block| block.piece().0 == piece));
    }

    fn unfetch(&mut self, which: impl Fn(&Fetch) -> bool) {
        let which = self.web.fetches.iter().filter(|(_, fetch)| which(fetch)).map(|(&key, _)| key);
        for key in which.collect::<Vec<_>>() {
            self.end_fetch(key);
            self.act(Action::Unfetch(key));
        }
    }

    /// Forgets a fetch; others may be asked for what it has not brought. Whose it was.
    fn end_fetch(&mut self, key: FetchKey) -> Option<WebSeedKey> {
        let fetch = self.web.fetches.remove(&key)?;
        let sender = fetch.seed.sender();
        for block in &fetch.blocks {
            self.pieces.give_back(block.piece().0, block.number(), sender, false);
        }
        let mut pieces: Vec<u32> = fetch.blocks.iter().map(|block| block.piece().0).collect();
        pieces.dedup();
        for piece in pieces {
            let Some(open) = self.pieces.open_piece(piece).filter(|open| open.sole() == Some(sender)) else {
                continue;
            };
            if open.received() == 0 && open.requests() == 0 {
                self.abandon(piece);
            } else {
                self.pieces.share(piece);
            }
        }
        self.stirred = true;
        self.web.stir();
        Some(fetch.seed)
    }

    /// Looks, with the tick, at whether servers are needed and how their fetches do.
    pub(crate) fn tend_web_seeds(&mut self) {
        if self.web.seeds.is_empty() {
            return;
        }
        let short = self.run == Run::Going && !self.is_complete() && self.peers_fall_short();
        self.web.short_since = short.then(|| self.web.short_since.unwrap_or(self.now));
        self.web.needed =
            self.web.short_since.is_some_and(|since| self.now.saturating_sub(since) >= PATIENCE);
        self.web.stir();
        let silent = |fetch: &Fetch| {
            let heard = self.web.seeds.get(fetch.seed.0 as usize).map_or(fetch.begun, |seed| seed.heard);
            self.now.saturating_sub(heard.max(fetch.begun)) >= SILENCE
        };
        let silent: Vec<FetchKey> =
            self.web.fetches.iter().filter(|(_, fetch)| silent(fetch)).map(|(&key, _)| key).collect();
        for key in silent {
            self.fetch_failed(key, FetchTrouble::Broken);
            self.act(Action::Unfetch(key));
        }
        let pointless: Vec<FetchKey> =
            self.web.fetches.iter().filter(|(_, f)| self.is_pointless(f)).map(|(&key, _)| key).collect();
        for key in pointless {
            self.end_fetch(key);
            self.act(Action::Unfetch(key));
        }
    }

    /// Whether the connected peers do not give what is missing in time.
    fn peers_fall_short(&self) -> bool {
        let gives = |peer: &Peer| peer.offers > 0 && !peer.choking_us && !peer.requests.is_snubbing();
        if !self.peers.values().any(gives) {
            return true;
        }
        let rate = self.down.rate(self.now).saturating_sub(self.web.down.rate(self.now));
        rate < ENOUGH && rate * SOON < self.wanted.left
    }

    /// Whether nobody waits for what a fetch still brings; or peers that have nothing else to do are better at it.
    fn is_pointless(&self, fetch: &Fetch) -> bool {
        let sender = fetch.seed.sender();
        let mut asked = fetch.blocks.iter().filter(|block| {
            let open = self.pieces.open_piece(block.piece().0);
            open.is_some_and(|open| open.is_asked_of(block.number(), sender))
        });
        let Some(first) = asked.next() else { return true };
        if self.web.needed || !self.is_nearly_done() {
            return false;
        }
        let rate = self.web.seeds.get(fetch.seed.0 as usize).map_or(0, |seed| seed.down.rate(self.now));
        let left = fetch.blocks.iter().map(|block| u64::from(block.length())).sum::<u64>();
        let soon = rate.saturating_mul(SLOW.as_secs()) > left * self.web.lanes(fetch.seed) as u64;
        let idle = |peer: &Peer| peer.idle && peer.can_give(first.piece().0) && !peer.requests.is_snubbing();
        !soon && self.peers.values().any(idle)
    }

    /// Asks servers, if they are needed and something changed since they were asked last.
    pub(crate) fn ask_web_seeds(&mut self) {
        if !std::mem::take(&mut self.web.stirred) || !self.web.needed || self.run != Run::Going {
            return;
        }
        loop {
            let mut free = self.web.free(self.now).into_iter();
            let found = free.find_map(|seed| Some((seed, self.find_fetch(seed)?)));
            let Some((seed, blocks)) = found else { return };
            self.fetch(seed, blocks);
        }
    }

    fn fetch(&mut self, seed: WebSeedKey, blocks: Vec<BlockRef>) {
        let key = FetchKey(self.web.fetched);
        self.web.fetched += 1;
        self.web.down.start(self.now);
        if let Some(server) = self.web.get_mut(seed) {
            server.down.start(self.now);
        }
        let fetch = Fetch { seed, blocks: blocks.iter().copied().collect(), begun: self.now };
        self.web.fetches.insert(key, fetch);
        self.act(Action::Fetch { seed, fetch: key, blocks });
    }

    /// The blocks to ask a server for: those of open pieces that nobody was asked for, new pieces, and last of all what slow peers
    /// were asked for.
    fn find_fetch(&mut self, seed: WebSeedKey) -> Option<Vec<BlockRef>> {
        let sender = seed.sender();
        let stands = |open: &OpenPiece| self.now.saturating_sub(open.moved()) >= SOLE_PATIENCE;
        let mut open = self.pieces.unasked();
        let joined = open.find(|(_, open)| open.sole().is_none() || stands(open)).map(|(piece, _)| piece);
        drop(open);
        if let Some(piece) = joined {
            self.pieces.share(piece);
            let run = self.ask_run(piece, sender);
            if !run.is_empty() {
                return Some(run);
            }
        }
        let retry = self.blame.retries_for(self.now, sender).next().filter(|_| self.pieces.has_room());
        if let Some(piece) = retry {
            let mut blocks = Vec::new();
            self.begin_whole(piece, sender, &mut blocks);
            return Some(blocks);
        }
        let blocks = self.begin_run(seed);
        let blocks = if blocks.is_empty() { self.help_slow_peers(sender) } else { blocks };
        (!blocks.is_empty()).then_some(blocks)
    }

    /// The first run of unasked blocks of an open piece.
    fn ask_run(&mut self, piece: u32, sender: PeerKey) -> Vec<BlockRef> {
        let mut run: Vec<BlockRef> = Vec::new();
        while let Some(block) = self.pieces.ask_next(piece, sender) {
            if run.last().is_some_and(|last| last.number() + 1 != block.number()) {
                self.pieces.give_back(piece, block.number(), sender, false);
                break;
            }
            run.push(block);
        }
        run
    }

    /// Begins missing pieces that follow one another, as many as make a run and memory holds.
    fn begin_run(&mut self, seed: WebSeedKey) -> Vec<BlockRef> {
        let mut blocks = Vec::new();
        let Some(best) = self.picker.pick(&crate::peers::Has::All, &mut self.rng) else { return blocks };
        let wish = self.picker.wish(best);
        let now = self.now;
        let (next, rate) =
            self.web.get_mut(seed).map_or((best, 0), |server| (server.next, server.down.rate(now)));
        let longest = rate.saturating_mul(RUN_SECONDS).clamp(SHORTEST_RUN, LONGEST_RUN);
        let fits = |swarm: &Self, piece: u32| {
            swarm.picker.is_queued(piece) && swarm.picker.wish(piece) == wish && swarm.pieces.has_room()
        };
        let first = if fits(self, next) { next } else { best };
        let (mut piece, mut length) = (first, 0);
        while fits(self, piece) {
            length += u64::from(self.pieces.size(piece));
            if piece != first && length > longest {
                break;
            }
            self.begin_whole(piece, seed.sender(), &mut blocks);
            piece += 1;
        }
        if let Some(server) = self.web.get_mut(seed) {
            server.next = piece;
        }
        blocks
    }

    /// Begins a piece and asks one server for all of it.
    fn begin_whole(&mut self, piece: u32, sender: PeerKey, blocks: &mut Vec<BlockRef>) {
        self.picker.withdraw(piece);
        self.blame.stop_waiting(piece);
        if self.pieces.begin(piece, self.now, Some(sender)) {
            self.commit(piece); // Nothing but padding.
            return;
        }
        blocks.extend(std::iter::from_fn(|| self.pieces.ask_next(piece, sender)));
    }

    /// Blocks that slow peers, or a server that does not move, were asked for already: whichever copy comes first is taken.
    fn help_slow_peers(&mut self, sender: PeerKey) -> Vec<BlockRef> {
        if !self.is_nearly_done() {
            return Vec::new();
        }
        let servers: Vec<PeerKey> = self.web.senders().map(|(_, sender)| sender).collect();
        let free = |open: &OpenPiece, block: &BlockRef| {
            let stands = self.now.saturating_sub(open.moved()) >= SOLE_PATIENCE;
            let by_peers = !open.askers(block.number()).any(|asker| servers.contains(&asker));
            (stands || by_peers) && open.may_ask_too(block.number(), sender, 1)
        };
        let of = |piece: u32, open: &OpenPiece| -> Vec<BlockRef> {
            let blocks = self.layout.blocks(PieceIndex(piece));
            blocks.skip_while(|block| !free(open, block)).take_while(|block| free(open, block)).collect()
        };
        let run = self.pieces.open_pieces().map(|(piece, open)| of(piece, open)).find(|run| !run.is_empty());
        let run = run.unwrap_or_default();
        for block in &run {
            self.pieces.share(block.piece().0);
            self.pieces.ask_too(block.piece().0, block.number(), sender);
        }
        run
    }
}
