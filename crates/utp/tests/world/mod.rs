//! Two sockets, a line between them, and a clock: what the tests of whole transfers stand on.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::cast_precision_loss, reason = "counts of a test are small")]

pub(crate) mod reno;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use utp::{Action, Config, ConnectionKey, End, Event, MAX_QUEUED, Socket};

/// One direction of a line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) delay: Duration,
    /// Bytes a second.
    pub(crate) rate: u64,
    /// How long the queue may become before packets are dropped.
    pub(crate) queue: Duration,
    /// Chances, in a thousand.
    pub(crate) loss: u32,
    pub(crate) reorder: u32,
    pub(crate) duplicate: u32,
    /// Up to so much later, each packet on its own.
    pub(crate) jitter: Duration,
    /// Larger datagrams arrive only if they may be fragmented. UDP payload.
    pub(crate) mtu: usize,
    pub(crate) free_at: Duration,
    pub(crate) waited: Duration,
    pub(crate) packets: u32,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            rate: 1_250_000,
            queue: Duration::from_millis(300),
            loss: 0,
            reorder: 0,
            duplicate: 0,
            jitter: Duration::ZERO,
            mtu: 1472,
            free_at: Duration::ZERO,
            waited: Duration::ZERO,
            packets: 0,
        }
    }
}

impl Line {
    /// When copies of a packet arrive.
    pub(crate) fn carry(
        &mut self,
        now: Duration,
        size: usize,
        probe: bool,
        rng: &mut fastrand::Rng,
    ) -> Vec<Duration> {
        let mut happens = |permille| rng.u32(..1000) < permille;
        if happens(self.loss) || (probe && size > self.mtu) {
            return vec![];
        }
        let starts = self.free_at.max(now);
        let wait = starts.saturating_sub(now);
        if wait > self.queue {
            return vec![];
        }
        self.waited += wait;
        self.packets += 1;
        self.free_at = starts + Duration::from_nanos((size as u64 + 28) * 1_000_000_000 / self.rate);
        let late =
            if happens(self.reorder) { Duration::from_millis(5) + self.delay / 4 } else { Duration::ZERO };
        let copies = if happens(self.duplicate) { 2 } else { 1 };
        let jitter = u64::try_from(self.jitter.as_micros()).unwrap();
        (0..copies)
            .map(|_| self.free_at + self.delay + late + Duration::from_micros(rng.u64(0..=jitter)))
            .collect()
    }

    /// How long packets waited in the queue, on average.
    pub(crate) fn queueing(&self) -> Duration {
        self.waited / self.packets.max(1)
    }
}

/// Something that arrives, at one of the two ends or in the Reno flow.
enum Arrival {
    Datagram { to: usize, bytes: Bytes },
    Reno { packet: u64 },
    RenoAck { packet: u64 },
}

pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) rng: fastrand::Rng,
    pub(crate) ends: [Host; 2],
    /// From end 0 to 1, and back.
    pub(crate) lines: [Line; 2],
    pub(crate) reno: Option<reno::Reno>,
    arrivals: BTreeMap<(Duration, u64), Arrival>,
    count: u64,
}

/// A socket and its user, who writes a pattern and expects one.
pub(crate) struct Host {
    pub(crate) at: SocketAddr,
    pub(crate) socket: Socket,
    pub(crate) key: Option<ConnectionKey>,
    pub(crate) ended: Option<End>,
    /// How much it still wants to write, and what it may write of it.
    pub(crate) to_write: u64,
    pub(crate) written: u64,
    pub(crate) room: usize,
    pub(crate) received: u64,
    pub(crate) reads: bool,
    pub(crate) unread: usize,
    pub(crate) bytes_out: usize,
    pub(crate) datagrams: Vec<usize>,
}

impl Host {
    fn new(at: &str, seed: u64, config: Config) -> Self {
        Self {
            at: at.parse().unwrap(),
            socket: Socket::new(config, fastrand::Rng::with_seed(seed)),
            key: None,
            ended: None,
            to_write: 0,
            written: 0,
            room: MAX_QUEUED,
            received: 0,
            reads: true,
            unread: 0,
            bytes_out: 0,
            datagrams: Vec::new(),
        }
    }

    fn write(&mut self, now: Duration) -> bool {
        let Some(key) = self.key else { return false };
        let size = self.to_write.min(self.room as u64).min(60_000);
        if size == 0 {
            return false;
        }
        let bytes = pattern(self.written, usize::try_from(size).unwrap());
        self.room -= bytes.len();
        self.to_write -= size;
        self.written += size;
        self.socket.handle(now, Event::Write { key, bytes });
        true
    }

    pub(crate) fn close(&mut self, now: Duration) {
        self.socket.handle(now, Event::Close { key: self.key.unwrap() });
    }
}

/// Byte `i` of every stream.
fn pattern(from: u64, length: usize) -> Bytes {
    (from..).take(length).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

impl World {
    pub(crate) fn new(seed: u64, line: &Line) -> Self {
        Self::with(seed, line, Config::default())
    }

    pub(crate) fn with(seed: u64, line: &Line, config: Config) -> Self {
        let ends = [Host::new("192.0.2.1:1", seed, config), Host::new("192.0.2.2:2", seed ^ 1, config)];
        Self {
            now: Duration::from_secs(1),
            rng: fastrand::Rng::with_seed(seed ^ 2),
            ends,
            lines: [line.clone(), line.clone()],
            reno: None,
            arrivals: BTreeMap::new(),
            count: 0,
        }
    }

    /// End 0 dials end 1 and has so much to write.
    pub(crate) fn dial(&mut self, to_write: u64) {
        let at = self.ends[1].at;
        let dialler = &mut self.ends[0];
        dialler.to_write = to_write;
        let key = dialler.socket.unused_key(at).unwrap();
        dialler.socket.handle(self.now, Event::Connect { key });
    }

    /// Goes on until `done`, or for so long.
    pub(crate) fn run(&mut self, patience: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + patience;
        loop {
            self.perform();
            if done(self) {
                return true;
            }
            let deadlines = self.ends.iter().filter_map(|end| end.socket.next_deadline());
            let arrival = self.arrivals.first_key_value().map(|(&(at, _), _)| at);
            let Some(next) = deadlines.chain(arrival).min().filter(|&next| next <= end) else {
                self.now = end;
                return false;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.arrivals.first_entry().filter(|entry| entry.key().0 <= self.now) {
                match entry.remove() {
                    Arrival::Datagram { to, bytes } => self.arrive(to, &bytes),
                    Arrival::Reno { packet } => {
                        self.schedule(self.now + self.lines[1].delay, Arrival::RenoAck { packet });
                    }
                    Arrival::RenoAck { packet } => self.reno.as_mut().unwrap().acknowledged(self.now, packet),
                }
            }
            for end in &mut self.ends {
                end.socket.handle(self.now, Event::Tick);
            }
        }
    }

    fn arrive(&mut self, to: usize, bytes: &[u8]) {
        let from = self.ends[1 - to].at;
        let segment = bytes.len();
        self.ends[to].socket.handle(self.now, Event::Datagram { from, bytes, segment });
    }

    fn schedule(&mut self, at: Duration, arrival: Arrival) {
        self.count += 1;
        self.arrivals.insert((at, self.count), arrival);
    }

    fn perform(&mut self) {
        if let Some(mut reno) = self.reno.take() {
            while let Some(packet) = reno.next(self.now) {
                for at in self.lines[0].carry(self.now, 1472, false, &mut self.rng) {
                    self.schedule(at, Arrival::Reno { packet });
                }
            }
            self.reno = Some(reno);
        }
        for end in 0..2 {
            loop {
                while let Some(action) = self.ends[end].socket.next_action() {
                    self.act(end, action);
                }
                if !self.ends[end].write(self.now) {
                    break;
                }
            }
        }
    }

    fn act(&mut self, end: usize, action: Action) {
        let host = &mut self.ends[end];
        match action {
            Action::Send { to, bytes, segment, probe } => {
                assert_eq!(to, self.ends[1 - end].at);
                for at in 0..bytes.len().div_ceil(segment) {
                    let datagram = bytes.slice(at * segment..bytes.len().min((at + 1) * segment));
                    self.ends[end].bytes_out += datagram.len();
                    self.ends[end].datagrams.push(datagram.len());
                    for at in self.lines[end].carry(self.now, datagram.len(), probe, &mut self.rng) {
                        self.schedule(at, Arrival::Datagram { to: 1 - end, bytes: datagram.clone() });
                    }
                }
            }
            Action::Accepted { key } | Action::Connected { key } => host.key = Some(key),
            Action::Data { key, bytes } => {
                assert_eq!(bytes, pattern(host.received, bytes.len()), "what comes out is what went in");
                host.received += bytes.len() as u64;
                host.unread += bytes.len();
                if host.reads {
                    let bytes = std::mem::take(&mut host.unread);
                    host.socket.handle(self.now, Event::Read { key, bytes });
                }
            }
            Action::Writable { bytes, .. } => {
                host.room += bytes;
                assert!(host.room <= MAX_QUEUED);
            }
            Action::Ended { end, .. } => host.ended = Some(end),
        }
    }
}
