//! Many connections on one port (BEP 29).
//!
//! Owned by the driver of a UDP port. Finds the connection of each datagram, answers those of none, and keeps the turns fair.
//! What happens in a connection is the `connection`'s.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::connection::{Connection, End, micros};
use crate::opening::{Doorkeeper, Opening};
use crate::packet::{Header, Kind, Packet};
use crate::path::Path;
use crate::run::Run;

/// Connects with the dialled ones' random ids, of which so many are tried for one that is free.
const ID_TRIES: usize = 16;

/// How a socket is set up.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes that a connection keeps for a reader that is slower than its peer. Bounds its rate over long paths.
    pub receive_window: usize,
    /// The MTU of the interface, in bytes with IP and UDP headers; loopback has its own.
    pub mtu: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { receive_window: 1 << 20, mtu: 1500 }
    }
}

/// Names a connection of this socket: no two at a time have the same.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnectionKey {
    /// The peer's address.
    pub at: SocketAddr,
    /// The id that the peer sends with.
    pub id: u16,
}

/// What happens outside.
#[derive(Debug)]
pub enum Event<'a> {
    /// Datagrams of one sender came, each of `segment` bytes, but the last one may be shorter (`UDP_GRO`).
    Datagram {
        /// Who sent them.
        from: SocketAddr,
        /// All of them.
        bytes: &'a [u8],
        /// Bytes in each.
        segment: usize,
    },
    /// Connect with this key, from [`Socket::unused_key`].
    Connect {
        /// The connection's name from now on.
        key: ConnectionKey,
    },
    /// Send these bytes: no more than there is room for, which is [`crate::MAX_QUEUED`] at first, less what was written, plus what
    /// each [`Action::Writable`] says.
    Write {
        /// The connection.
        key: ConnectionKey,
        /// What to send.
        bytes: Bytes,
    },
    /// So many bytes of what [`Action::Data`] brought are used and forgotten.
    Read {
        /// The connection.
        key: ConnectionKey,
        /// How many.
        bytes: usize,
    },
    /// The user is done. What it wrote is still sent; nothing more is said of the connection.
    Close {
        /// The connection.
        key: ConnectionKey,
    },
    /// Time has passed.
    Tick,
}

/// What to do outside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Send datagrams of `segment` bytes each; the last one may be shorter (`UDP_SEGMENT`).
    Send {
        /// Whom to.
        to: SocketAddr,
        /// All of them, at most [`crate::MAX_SEGMENTS`] and 65,507 bytes.
        bytes: Bytes,
        /// Bytes in each.
        segment: usize,
        /// Finds out what the path takes: must not be fragmented. One that the system refuses as too large is as good as lost.
        probe: bool,
    },
    /// A peer connected.
    Accepted {
        /// The connection.
        key: ConnectionKey,
    },
    /// A connection that was asked for is there.
    Connected {
        /// The connection.
        key: ConnectionKey,
    },
    /// The next bytes of the stream.
    Data {
        /// The connection.
        key: ConnectionKey,
        /// They count against the window until they are [`Event::Read`].
        bytes: Bytes,
    },
    /// There is room for so many more bytes than there was.
    Writable {
        /// The connection.
        key: ConnectionKey,
        /// How many more.
        bytes: usize,
    },
    /// A connection ended: its key means nothing any more.
    Ended {
        /// The connection.
        key: ConnectionKey,
        /// Why.
        end: End,
    },
}

/// All connections of a port.
#[derive(Debug)]
pub struct Socket {
    config: Config,
    rng: fastrand::Rng,
    doorkeeper: Doorkeeper,
    now: Duration,
    connections: BTreeMap<ConnectionKey, Slot>,
    /// Those that something happened to, each once.
    turns: VecDeque<ConnectionKey>,
    /// When each wants to be looked after; an early one is found out when it is due.
    timers: BTreeSet<(Duration, ConnectionKey)>,
    actions: VecDeque<Action>,
    bytes: BytesMut,
}

#[derive(Debug)]
struct Slot {
    connection: Box<Connection>,
    has_turn: bool,
    timer: Option<Duration>,
}

impl Socket {
    /// A socket without connections.
    pub fn new(config: Config, mut rng: fastrand::Rng) -> Self {
        Self {
            config,
            doorkeeper: Doorkeeper::new(&mut rng),
            rng,
            now: Duration::ZERO,
            connections: BTreeMap::new(),
            turns: VecDeque::new(),
            timers: BTreeSet::new(),
            actions: VecDeque::new(),
            bytes: BytesMut::new(),
        }
    }

    /// A key to connect with; `None`: there are too many connections with this address.
    pub fn unused_key(&mut self, at: SocketAddr) -> Option<ConnectionKey> {
        let mut tries = (0..ID_TRIES).map(|_| ConnectionKey { at, id: self.rng.u16(..) });
        // The neighbours' ids are those that resets for us may come with.
        tries.find(|key| {
            [key.id.wrapping_sub(1), key.id, key.id.wrapping_add(1)]
                .into_iter()
                .all(|id| !self.connections.contains_key(&ConnectionKey { at, id }))
        })
    }

    /// The only way in. `now` never goes back.
    pub fn handle(&mut self, now: Duration, event: Event<'_>) {
        self.now = now;
        match event {
            Event::Datagram { from, bytes, segment } => {
                for datagram in bytes.chunks(segment.max(1)) {
                    if let Ok(packet) = Packet::decode(datagram) {
                        self.packet(from, &packet);
                    }
                }
            }
            Event::Connect { key } => {
                let path = Path::new(key.at.ip(), self.config.mtu);
                let connection =
                    Connection::dial(now, key, self.rng.u16(..), path, self.config.receive_window);
                self.insert(key, connection);
            }
            Event::Write { key, bytes } => self.with(key, |connection| connection.write(bytes)),
            Event::Read { key, bytes } => self.with(key, |connection| connection.read(bytes)),
            Event::Close { key } => self.with(key, |connection| connection.close(now)),
            Event::Tick => self.tick(),
        }
    }

    /// The only way out. Call until `None` after each batch of events; when datagrams cannot leave, the rest may wait.
    pub fn next_action(&mut self) -> Option<Action> {
        while self.actions.is_empty() {
            let key = self.turns.pop_front()?;
            self.turn(key);
        }
        self.actions.pop_front()
    }

    /// When to call `handle(now, Event::Tick)` if nothing else happens first.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// How many connections there are, those included that only see to their end.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    fn packet(&mut self, from: SocketAddr, packet: &Packet<'_>) {
        let header = packet.header;
        let key = ConnectionKey { at: from, id: header.id };
        if header.kind == Kind::Syn {
            return self.answer(from, &header);
        }
        if header.kind == Kind::Reset {
            let ids = [header.id, header.id.wrapping_sub(1), header.id.wrapping_add(1)];
            let keys = ids.map(|id| ConnectionKey { at: from, id });
            let meant = |key: &ConnectionKey| {
                self.connections.get(key).is_some_and(|slot| slot.connection.answers_to(header.id))
            };
            if let Some(key) = keys.into_iter().find(meant) {
                self.give(key, packet);
            }
            return;
        }
        if self.connections.contains_key(&key) {
            return self.give(key, packet);
        }
        match self.doorkeeper.judge(from, header.id, header.seq, header.ack) {
            Opening::First { syn, answer } if header.kind == Kind::Data => {
                let path = Path::new(from.ip(), self.config.mtu);
                let connection = Connection::accept(key, syn, answer, path, self.config.receive_window);
                self.actions.push_back(Action::Accepted { key });
                self.insert(key, connection);
                self.give(key, packet);
            }
            Opening::Early | Opening::First { .. } => {}
            Opening::Stranger => {
                let (seq, ack) = (self.rng.u16(..), header.seq);
                self.reply(
                    from,
                    Header { kind: Kind::Reset, seq, ack, window: 0, ..header },
                    header.timestamp,
                );
            }
        }
    }

    /// Answers a SYN with its own size, and forgets it (S-40).
    fn answer(&mut self, from: SocketAddr, syn: &Header) {
        let seq = self.doorkeeper.answer(from, syn.id, syn.seq);
        let window = u32::try_from(self.config.receive_window).unwrap_or(u32::MAX);
        self.reply(from, Header { kind: Kind::State, seq, ack: syn.seq, window, ..*syn }, syn.timestamp);
    }

    fn reply(&mut self, to: SocketAddr, header: Header, sent: u32) {
        let timestamp = micros(self.now);
        let header = Header { timestamp, delay: timestamp.wrapping_sub(sent).max(1), ..header };
        let mut run = Run::new(to, &mut self.bytes, &mut self.actions);
        run.push(&header, &[], false);
        run.finish(false);
    }

    fn give(&mut self, key: ConnectionKey, packet: &Packet<'_>) {
        let now = self.now;
        if let Some(slot) = self.connections.get_mut(&key) {
            slot.connection.handle(now, packet, &mut self.actions);
            slot.want_turn(key, &mut self.turns);
        }
    }

    fn with(&mut self, key: ConnectionKey, change: impl FnOnce(&mut Connection)) {
        if let Some(slot) = self.connections.get_mut(&key) {
            change(&mut slot.connection);
            slot.want_turn(key, &mut self.turns);
        }
    }

    fn insert(&mut self, key: ConnectionKey, connection: Connection) {
        let mut slot = Slot { connection: Box::new(connection), has_turn: false, timer: None };
        slot.want_turn(key, &mut self.turns);
        let replaced = self.connections.insert(key, slot);
        debug_assert!(replaced.is_none(), "a key is in use once");
    }

    fn tick(&mut self) {
        while let Some(&(at, key)) = self.timers.first()
            && at <= self.now
        {
            self.timers.pop_first();
            if let Some(slot) = self.connections.get_mut(&key) {
                slot.timer = None;
                slot.connection.tick(self.now, &mut self.actions);
                slot.want_turn(key, &mut self.turns);
            }
        }
    }

    /// Lets one connection deliver and send, and sets its timer.
    fn turn(&mut self, key: ConnectionKey) {
        let now = self.now;
        let Some(slot) = self.connections.get_mut(&key) else { return };
        slot.has_turn = false;
        slot.connection.deliver(now, &mut self.actions);
        let mut run = Run::new(key.at, &mut self.bytes, &mut self.actions);
        let more = slot.connection.transmit(now, &mut run);
        run.finish(false);
        slot.connection.settle(now, &mut self.actions);
        #[cfg(any(test, debug_assertions))]
        slot.connection.check();
        if more {
            slot.want_turn(key, &mut self.turns);
        }
        let deadline = slot.connection.deadline().filter(|_| !slot.connection.is_over());
        // A timer that is too early costs a look; one that moves with every packet costs more.
        if slot.connection.is_over() || deadline.is_some_and(|at| slot.timer.is_none_or(|timer| at < timer)) {
            if let Some(timer) = slot.timer.take() {
                self.timers.remove(&(timer, key));
            }
            slot.timer = deadline;
            self.timers.extend(deadline.map(|at| (at, key)));
        }
        if slot.connection.is_over() {
            self.connections.remove(&key);
        }
    }
}

impl Slot {
    fn want_turn(&mut self, key: ConnectionKey, turns: &mut VecDeque<ConnectionKey>) {
        if !self.has_turn {
            self.has_turn = true;
            turns.push_back(key);
        }
    }
}
