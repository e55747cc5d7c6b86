//! Fetching the info dictionary of a magnet link from peers (BEP 9).
//!
//! Owned by one torrent task until the dictionary is here; then a [`Swarm`](crate::Swarm) takes over the connections. Each
//! of up to three peers sends the whole dictionary: it is small, and so a wrong one has exactly one author.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use metainfo::{InfoHashes, PeerId};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use wire::{ExtensionHandshake, Message, MetadataMessage, Reserved};

use crate::blame::Person;
use crate::candidates::{Candidates, Ended, canonical};
use crate::dictionary::Dictionary;
use crate::peers::ip;
use crate::pex::Exchange;
use crate::remembered::Remembered;
use crate::{Action, Config, Endpoint, Event, HangUp, PeerKey, Source};

/// Peers that send the dictionary at a time: 3 × 32 MiB at the worst is what one magnet link may cost.
const MAX_SENDERS: usize = 3;

/// A sender that sends nothing for this long makes place for another.
const PATIENCE: Duration = Duration::from_secs(10);

/// We say something at least this often, and a peer not heard of for that long is gone; as in a swarm.
const KEEP_ALIVE: Duration = Duration::from_secs(100);
const SILENCE: Duration = Duration::from_secs(150);

/// Connected peers, or addresses within reach, below which more are asked for, and how often.
const ENOUGH_PEERS: usize = 20;
const WANT_PAUSE: Duration = Duration::from_secs(30);

const TICK: Duration = Duration::from_secs(1);

/// A swarm that knows only the torrent's hashes and fetches its info dictionary.
#[derive(Debug)]
pub struct MetadataFetch {
    now: Duration,
    hashes: InfoHashes,
    config: Config,
    our_id: PeerId,
    rng: fastrand::Rng,
    peers: BTreeMap<PeerKey, Sender>,
    candidates: Candidates,
    banned: BTreeSet<Person>,
    actions: VecDeque<Action>,
    fetched: Option<Bytes>,
    over: bool,
    next_tick: Duration,
    wanted_peers_at: Duration,
}

/// A connected peer.
#[derive(Debug)]
struct Sender {
    /// What a swarm has to be told of it.
    told: Remembered,
    /// Its length of the dictionary, if it has it and speaks of it.
    size: Option<u32>,
    /// What it has sent so far, while it is asked.
    dictionary: Option<Dictionary>,
    /// Not asked before this time.
    rest_until: Duration,
    heard: Duration,
    said: Duration,
    exchange: Exchange,
}

impl MetadataFetch {
    /// A fetch without peers.
    pub fn new(now: Duration, hashes: InfoHashes, config: Config, our_id: PeerId, seed: u64) -> Self {
        Self {
            now,
            hashes,
            config,
            our_id,
            rng: fastrand::Rng::with_seed(seed),
            peers: BTreeMap::new(),
            candidates: Candidates::new(),
            banned: BTreeSet::new(),
            actions: VecDeque::new(),
            fetched: None,
            over: false,
            next_tick: now,
            wanted_peers_at: now,
        }
    }

    /// The only way in. `now` never goes back.
    pub fn handle(&mut self, now: Duration, event: Event) {
        self.now = self.now.max(now);
        if self.over {
            return;
        }
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
            Event::Gone { peer } => self.depart(peer, Ended::Left),
            Event::Found { at, by } => self.found(&at, by),
            _ => {}
        }
        if self.now >= self.next_tick {
            self.tick();
        }
        self.choose_senders();
        while self.has_place()
            && let Some(at) = self.candidates.next_dial(self.now)
        {
            self.actions.push_back(Action::Dial(at));
        }
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
        let tick = (!self.peers.is_empty()).then_some(self.next_tick);
        let dial = self.candidates.next_due().filter(|_| self.has_place());
        let want = self.lacks_peers().then(|| self.next_tick.max(self.wanted_peers_at + WANT_PAUSE));
        let due = [tick, dial, want].into_iter().flatten().min().map(|due| due.max(self.now));
        due.filter(|_| !self.over)
    }

    /// Bytes of the dictionary that are here, and its length as the peer says that has sent most of it.
    pub fn progress(&self) -> (u32, Option<u32>) {
        let dictionaries = self.peers.values().filter_map(|peer| peer.dictionary.as_ref());
        let best = dictionaries.max_by_key(|dictionary| dictionary.received());
        best.map_or((0, None), |best| (best.received(), Some(best.size())))
    }

    /// Connected peers.
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// The verified dictionary and the events that bring a new [`Swarm`](crate::Swarm) up to date on the connected
    /// peers; `Some` once. After that the fetch is over and says nothing more.
    pub fn take(&mut self) -> Option<(Bytes, Vec<Event>)> {
        let fetched = self.fetched.take()?;
        self.over = true;
        let peers = std::mem::take(&mut self.peers);
        let mut replay: Vec<Event> =
            peers.into_iter().flat_map(|(key, peer)| peer.told.replay(key)).collect();
        let mut found: BTreeMap<Source, Vec<Endpoint>> = BTreeMap::new();
        for (at, by) in self.candidates.worth_telling() {
            found.entry(by).or_default().push(at);
        }
        replay.extend(found.into_iter().map(|(by, at)| Event::Found { at, by }));
        Some((fetched, replay))
    }

    fn connected(&mut self, key: PeerKey, at: Endpoint, incoming: bool, id: PeerId, reserved: Reserved) {
        let at = canonical(at).unwrap_or(at);
        let person = Person::new(ip(at), id);
        let why = if id == self.our_id {
            Some((HangUp::Ourselves, Ended::Never))
        } else if self.banned.contains(&person) {
            Some((HangUp::Poison, Ended::Never))
        } else if self.peers.values().any(|peer| peer.told.id == id) {
            Some((HangUp::Duplicate, Ended::Unwelcome))
        } else if self.peers.len() >= self.config.max_peers || self.peers.contains_key(&key) {
            Some((HangUp::Crowded, Ended::Unwelcome))
        } else {
            None
        };
        if let Some((why, ended)) = why {
            if !incoming {
                self.candidates.ended(self.now, at, ended, &mut self.rng);
            }
            self.actions.push_back(Action::HangUp { peer: key, why });
            return;
        }
        if !incoming {
            self.candidates.connected(at);
        }
        let told = Remembered::new(at, incoming, id, reserved);
        let (heard, said, rest_until) = (self.now, self.now, Duration::ZERO);
        self.peers.insert(
            key,
            Sender {
                told,
                size: None,
                dictionary: None,
                rest_until,
                heard,
                said,
                exchange: Exchange::default(),
            },
        );
        if reserved.fast() {
            self.say(key, Message::HaveNone);
        }
        if reserved.extended() {
            let handshake = ExtensionHandshake {
                ut_metadata: Some(wire::UT_METADATA),
                ut_pex: Some(wire::UT_PEX).filter(|_| self.config.pex),
                client: Some(self.config.client.clone()),
                port: Some(self.config.listen_port).filter(|&port| port != 0),
                your_ip: Some(ip(at)),
                ..ExtensionHandshake::default()
            };
            self.say(key, Message::ExtensionHandshake(Box::new(handshake)));
        }
    }

    fn found(&mut self, at: &[Endpoint], by: Source) {
        for &at in at {
            if !self.is_banned_address(at) {
                self.candidates.found(self.now, at, by, &mut self.rng);
            }
        }
    }

    fn said(&mut self, key: PeerKey, message: Message) -> Result<(), HangUp> {
        let Some(peer) = self.peers.get_mut(&key) else { return Ok(()) };
        peer.heard = self.now;
        match message {
            Message::Metadata(message) => self.metadata(key, message),
            Message::ExtensionHandshake(handshake) => {
                let speaks = handshake.ut_metadata.is_some_and(|id| id != 0);
                let size = handshake.metadata_size.filter(|&size| speaks && Dictionary::is_sane(size));
                if size != peer.size {
                    peer.dictionary = None;
                    peer.size = size;
                }
                peer.told.note(Message::ExtensionHandshake(handshake))
            }
            Message::PeerExchange(said) => {
                let believed = peer.exchange.believe(self.now, ip(peer.told.at), &said);
                self.found(&believed, Source::Pex);
                Ok(())
            }
            message => peer.told.note(message),
        }
    }

    fn metadata(&mut self, key: PeerKey, message: MetadataMessage) -> Result<(), HangUp> {
        let Some(peer) = self.peers.get_mut(&key) else { return Ok(()) };
        match message {
            MetadataMessage::Request(piece) => {
                self.say(key, Message::Metadata(MetadataMessage::Reject(piece)));
            }
            MetadataMessage::Reject(_) => {
                peer.dictionary = None;
                peer.rest_until = self.now + PATIENCE;
            }
            MetadataMessage::Data { piece, total_size, data } => {
                let Some(dictionary) = &mut peer.dictionary else { return Ok(()) };
                if !dictionary.receive(self.now, piece, total_size, &data) {
                    return Err(HangUp::Breach("a piece of metadata that does not fit"));
                }
                if let Some(bytes) = dictionary.complete() {
                    return self.judge(key, bytes);
                }
                self.ask(key);
            }
        }
        Ok(())
    }

    /// A whole dictionary is here: either it is the one, or its sender is a liar.
    fn judge(&mut self, key: PeerKey, bytes: Bytes) -> Result<(), HangUp> {
        if self.is_right(&bytes) {
            self.fetched = Some(bytes);
            self.peers.values_mut().for_each(|peer| peer.dictionary = None);
            return Ok(());
        }
        if let Some(peer) = self.peers.get(&key) {
            let liar = Person::new(ip(peer.told.at), peer.told.id);
            self.banned.insert(liar);
            if let Person::Address(ip) = liar {
                self.actions.push_back(Action::Ban(ip));
            }
        }
        Err(HangUp::Poison)
    }

    fn is_right(&self, bytes: &[u8]) -> bool {
        let v1 = self.hashes.v1.is_none_or(|hash| Sha1::digest(bytes)[..] == hash.0[..]);
        let v2 = self.hashes.v2.is_none_or(|hash| Sha256::digest(bytes)[..] == hash.0[..]);
        v1 && v2 && self.hashes.wire().is_some()
    }

    /// Keeps up to three peers sending.
    fn choose_senders(&mut self) {
        let sending = self.peers.values().filter(|peer| peer.dictionary.is_some()).count();
        if self.fetched.is_some() || sending >= MAX_SENDERS {
            return;
        }
        let rested = |peer: &Sender| peer.dictionary.is_none() && self.now >= peer.rest_until;
        let ready = self
            .peers
            .iter()
            .filter(|(_, peer)| rested(peer))
            .filter_map(|(&key, peer)| Some((key, peer.size?)));
        let mut ready: Vec<(PeerKey, u32)> = ready.collect();
        self.rng.shuffle(&mut ready);
        for (key, size) in ready.into_iter().take(MAX_SENDERS - sending) {
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.dictionary = Some(Dictionary::new(self.now, size));
            }
            self.ask(key);
        }
    }

    fn ask(&mut self, key: PeerKey) {
        let Some(dictionary) = self.peers.get_mut(&key).and_then(|peer| peer.dictionary.as_mut()) else {
            return;
        };
        while let Some(piece) = dictionary.next_request() {
            let message = Message::Metadata(MetadataMessage::Request(piece));
            self.actions.push_back(Action::Say { peer: key, message });
        }
    }

    fn tick(&mut self) {
        self.next_tick = self.now + TICK;
        let (mut silent, mut quiet) = (Vec::new(), Vec::new());
        for (&key, peer) in &mut self.peers {
            let since = |then: Duration| self.now.saturating_sub(then);
            if peer.dictionary.as_ref().is_some_and(|dictionary| since(dictionary.moved()) >= PATIENCE) {
                peer.dictionary = None;
                peer.rest_until = self.now + PATIENCE;
            }
            if since(peer.heard) >= SILENCE {
                silent.push(key);
            } else if since(peer.said) >= KEEP_ALIVE {
                quiet.push(key);
            }
        }
        for key in silent {
            self.hang_up(key, HangUp::Silent);
        }
        for key in quiet {
            self.say(key, Message::KeepAlive);
        }
        if self.lacks_peers() && self.now >= self.wanted_peers_at + WANT_PAUSE {
            self.wanted_peers_at = self.now;
            self.actions.push_back(Action::WantPeers);
        }
    }

    fn say(&mut self, peer: PeerKey, message: Message) {
        self.actions.push_back(Action::Say { peer, message });
    }

    fn hang_up(&mut self, peer: PeerKey, why: HangUp) {
        let ended = match why {
            HangUp::Poison => Ended::Never,
            HangUp::Silent => Ended::Left,
            _ => Ended::Unwelcome,
        };
        self.depart(peer, ended);
        self.actions.push_back(Action::HangUp { peer, why });
    }

    fn depart(&mut self, key: PeerKey, why: Ended) {
        if let Some(peer) = self.peers.remove(&key)
            && !peer.told.incoming
        {
            self.candidates.ended(self.now, peer.told.at, why, &mut self.rng);
        }
    }

    fn is_banned_address(&self, at: Endpoint) -> bool {
        self.banned.contains(&Person::Address(ip(at)))
    }

    fn has_place(&self) -> bool {
        self.fetched.is_none() && self.peers.len() + self.candidates.dialing() < self.config.max_peers
    }

    fn lacks_peers(&self) -> bool {
        let reach = self.peers.len() + self.candidates.dialing() + self.candidates.waiting();
        self.fetched.is_none() && reach < ENOUGH_PEERS.min(self.config.max_peers)
    }
}

#[cfg(test)]
mod tests;
