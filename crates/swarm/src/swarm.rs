//! The switchboard of one torrent's swarm: events in, actions out.
//!
//! Owned by one torrent task. Its parts own their state and its modules are its duties: `said` hears peers, `fetch` asks for
//! blocks, `verdict` hears what became of pieces, `serve` gives blocks, `web_seeds` asks servers, `wish` hears the user, `tend` keeps the time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metainfo::{Layout, PeerId};
use wire::Message;

use crate::blame::{Blame, Person};
use crate::candidates::Candidates;
use crate::choker::Choker;
use crate::origin::Origin;
use crate::peers::Peers;
use crate::picker::Picker;
use crate::pieces::Pieces;
use crate::rate::Meter;
use crate::web_seeds::WebSeeds;
use crate::{Action, Config, Event, HangUp, PeerKey, Priority, Setup};

/// The most connections, whatever the user says: copies of a piece are counted in 16 bits.
const MAX_PEERS: usize = 60_000;

/// Whether blocks are asked for and served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    Going,
    /// A write failed: nothing is asked for.
    Halted,
    /// The user wants nothing asked for and nothing served.
    Paused,
}

/// One torrent's swarm.
#[derive(Debug)]
pub struct Swarm {
    pub(crate) now: Duration,
    pub(crate) layout: Arc<Layout>,
    pub(crate) metadata: Option<Bytes>,
    pub(crate) config: Config,
    pub(crate) our_id: PeerId,
    pub(crate) private: bool,
    pub(crate) rng: fastrand::Rng,
    pub(crate) peers: Peers,
    pub(crate) pieces: Pieces,
    pub(crate) picker: Picker,
    pub(crate) blame: Blame,
    pub(crate) choker: Choker,
    pub(crate) candidates: Candidates,
    pub(crate) web: WebSeeds,
    /// What a sizing origin knows of its guests.
    pub(crate) origin: Option<Origin>,
    /// The user's wish for each file.
    pub(crate) priorities: Vec<Priority>,
    pub(crate) wanted: Wanted,
    pub(crate) run: Run,
    /// When the last wanted piece came, for as long as somebody may want to see that we have it.
    pub(crate) completed_at: Option<Duration>,
    pub(crate) down: Meter,
    pub(crate) up: Meter,
    pub(crate) wasted: u64,
    pub(crate) next_tick: Duration,
    pub(crate) wanted_peers_at: Duration,
    /// Something changed that may give idle peers work.
    pub(crate) stirred: bool,
    pub(crate) actions: VecDeque<Action>,
}

/// What the user wants, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Content bytes of wanted pieces, and of those that are not here.
    pub(crate) total: u64,
    pub(crate) left: u64,
    /// Wanted pieces that are not here.
    pub(crate) missing: u32,
}

impl Swarm {
    /// A swarm without peers. If every wanted piece is here already, no `Complete` is said.
    pub fn new(now: Duration, setup: Setup) -> Self {
        let count = setup.layout.piece_count();
        let max_peers = setup.config.max_peers.min(MAX_PEERS);
        let budget = setup.config.memory_budget;
        let sizing = setup.config.sizing.filter(|_| setup.have.len() == count && setup.have.is_full());
        let mut swarm = Self {
            now,
            metadata: setup.metadata,
            our_id: setup.our_id,
            private: setup.private,
            rng: fastrand::Rng::with_seed(setup.seed),
            peers: Peers::new(),
            origin: sizing.map(|sizing| Origin::new(now, sizing, &setup.layout)),
            pieces: Pieces::new(Arc::clone(&setup.layout), setup.have, budget),
            picker: Picker::new(count, setup.config.sequential),
            blame: Blame::default(),
            choker: Choker::new(now),
            candidates: if sizing.is_some() { Candidates::insistent() } else { Candidates::new() },
            web: WebSeeds::new(&setup.web_seeds),
            priorities: Vec::new(),
            wanted: Wanted::default(),
            run: Run::Going,
            completed_at: None,
            down: Meter::default(),
            up: Meter::default(),
            wasted: 0,
            next_tick: now,
            wanted_peers_at: now,
            stirred: false,
            actions: VecDeque::new(),
            layout: setup.layout,
            config: Config { max_peers, ..setup.config },
        };
        for (seed, sender) in swarm.web.senders() {
            swarm.blame.meet(sender, Person::Server(seed));
        }
        swarm.begin_with(&setup.priorities);
        swarm
    }

    /// The only way in. `now` never goes back.
    pub fn handle(&mut self, now: Duration, event: Event) {
        self.now = self.now.max(now);
        match event {
            Event::Connected { peer, at, incoming, id, reserved } => {
                self.connected(peer, at, incoming, id, reserved);
            }
            Event::DialFailed { at } => self.candidates.failed(now, at, &mut self.rng),
            Event::Said { peer, message } => {
                if let Err(why) = self.said(peer, message) {
                    self.hang_up(peer, why);
                }
            }
            Event::Served { peer, block, bytes } => self.served(peer, block, bytes),
            Event::Gone { peer } => self.gone(peer),
            Event::Committed { piece, digests } => self.committed(piece.0, digests),
            Event::Rejected { piece, digests } => self.rejected_piece(piece.0, digests),
            Event::WriteFailed { piece } => self.write_failed(piece.0),
            Event::Lost { piece } => self.lost(piece.0),
            Event::Fetched { fetch, data } => self.fetched(fetch, data),
            Event::FetchFailed { fetch, why } => self.fetch_failed(fetch, why),
            Event::Compared { peer, block, equal } => self.compared(peer, block, equal),
            Event::Announced { id, ip, left } => self.announced(id, ip, left),
            Event::Found { at, by } => self.found(&at, by),
            Event::Tick => {}
            Event::Pause => self.pause(),
            Event::Resume => self.resume(),
            Event::SetPriority { file, priority } => self.set_priority(file, priority),
            Event::SetSequential(sequential) => self.picker.set_sequential(sequential),
            Event::Metadata(bytes) => self.metadata = Some(bytes),
        }
        if self.now >= self.next_tick {
            self.tick();
        }
        if std::mem::take(&mut self.stirred) {
            self.refill_all();
            if self.is_nearly_done() {
                self.help_all();
            }
        }
        self.ask_web_seeds();
        self.dial();
    }

    /// The only way out. Call until `None` after each batch of events.
    pub fn next_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front()?;
        if let Action::Say { peer, .. } = &action
            && let Some(peer) = self.peers.get_mut(peer)
        {
            peer.said = self.now;
        }
        Some(action)
    }

    /// When to call `handle(now, Event::Tick)` if nothing else happens first.
    pub fn next_deadline(&self) -> Option<Duration> {
        let rates_fade = self.down.rate(self.now) > 0 || self.up.rate(self.now) > 0;
        let hopes = self.run == Run::Going && !self.is_complete() && self.web.has_hope();
        let tick = (!self.peers.is_empty() || rates_fade || hopes).then_some(self.next_tick);
        let dial = self.candidates.next_due().filter(|_| self.has_place());
        let peers = self.lacks_peers().then(|| self.next_want().max(self.next_tick));
        [tick, dial, peers].into_iter().flatten().min().map(|due| due.max(self.now))
    }

    /// Whether nothing is under way and nothing will be due before somebody comes, and whether nothing is known that a swarm made
    /// anew with the same pieces and wishes would not know.
    pub fn is_idle(&self) -> bool {
        self.is_complete()
            && self.run == Run::Going
            && self.origin.is_none()
            && self.peers.is_empty()
            && self.candidates.is_empty()
            && self.blame.is_blank()
            && !self.web.was_used()
            && self.actions.is_empty()
            && self.next_deadline().is_none()
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(crate) fn say(&mut self, peer: PeerKey, message: Message) {
        self.act(Action::Say { peer, message });
    }

    /// Ends a connection and forgets the peer at once; the driver's `Gone` will find nothing.
    pub(crate) fn hang_up(&mut self, peer: PeerKey, why: HangUp) {
        if self.forget(peer, &why) {
            self.act(Action::HangUp { peer, why });
        }
    }

    /// Whether every wanted piece is here.
    pub(crate) fn is_complete(&self) -> bool {
        self.wanted.missing == 0
    }
}
