//! Neighbours of the local network tell each other what they have (BEP 14): datagrams to a multicast group.
//!
//! Owned by the engine, one for all its torrents. It knows nothing of sockets, of who is a neighbour, or of private torrents: its
//! driver hands over datagrams of neighbours alone, and torrents that are not private alone (BEP 27).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use metainfo::InfoHash;

/// The port of both groups.
pub const PORT: u16 = 6771;

/// The group of IPv4.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 152, 143);

/// The group of IPv6.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f);

/// The longest datagram, in bytes: it must not be cut into fragments (BEP 14).
pub const MAX_DATAGRAM: usize = 1400;

/// Torrents named in one datagram: each takes 52 bytes, all else less than 140.
const MAX_NAMED: usize = 24;

/// How often a torrent is announced (BEP 14).
const PERIOD: Duration = Duration::from_secs(5 * 60);

/// How long after one datagram the next may follow (BEP 14); torrents that do not fit wait for it.
const REST: Duration = Duration::from_secs(60);

/// How long a new torrent waits for others that are added with it.
const GATHER: Duration = Duration::from_secs(1);

/// Datagrams heard from one neighbour in a minute: one with five hundred torrents that names each alone, every five minutes.
const MAX_FROM_ONE: u32 = 100;

/// Datagrams heard from all in a minute: ten such, or a big office. It bounds the neighbours that are counted, too.
const MAX_FROM_ALL: u32 = 1000;

/// What the machine is told.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// We are in this torrent's swarm, and all may know.
    Join(InfoHash),
    /// No longer.
    Leave(InfoHash),
    /// A datagram of a neighbour.
    Heard {
        /// Whose.
        from: SocketAddr,
        /// What.
        bytes: &'a [u8],
    },
    /// The deadline has come.
    Tick,
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this to the groups.
    Announce {
        /// To [`GROUP_V4`].
        v4: Vec<u8>,
        /// To [`GROUP_V6`].
        v6: Vec<u8>,
    },
    /// A neighbour is in the swarm of a torrent of ours.
    Found {
        /// The torrent.
        hash: InfoHash,
        /// Where the neighbour listens.
        at: SocketAddr,
    },
}

/// See the module's head.
#[derive(Debug)]
pub struct Discovery {
    /// Where we listen.
    port: u16,
    /// By it we know our own datagrams.
    cookie: String,
    /// When each torrent is due.
    torrents: BTreeMap<InfoHash, Duration>,
    due: BTreeSet<(Duration, InfoHash)>,
    /// No datagram before this.
    rests_until: Duration,
    /// Datagrams of the minute that began at `counted_since`.
    heard: BTreeMap<IpAddr, u32>,
    heard_of_all: u32,
    counted_since: Duration,
    actions: VecDeque<Action>,
}

impl Discovery {
    /// `port`: where peers reach us. `cookie`: anything that no neighbour has by chance.
    pub fn new(port: u16, cookie: u32) -> Self {
        Self {
            port,
            cookie: format!("{cookie:08x}"),
            torrents: BTreeMap::new(),
            due: BTreeSet::new(),
            rests_until: Duration::ZERO,
            heard: BTreeMap::new(),
            heard_of_all: 0,
            counted_since: Duration::ZERO,
            actions: VecDeque::new(),
        }
    }

    /// The only way in. `now` never goes back.
    pub fn handle(&mut self, now: Duration, event: Event<'_>) {
        match event {
            Event::Join(hash) if !self.torrents.contains_key(&hash) => self.schedule(hash, now + GATHER),
            Event::Leave(hash) => {
                if let Some(due) = self.torrents.remove(&hash) {
                    self.due.remove(&(due, hash));
                }
            }
            Event::Heard { from, bytes } if self.may_speak(now, from.ip()) => self.hear(from, bytes),
            Event::Tick if self.next_deadline().is_some_and(|deadline| deadline <= now) => self.announce(now),
            Event::Join(_) | Event::Heard { .. } | Event::Tick => {}
        }
    }

    /// The only way out. Call until `None` after each event.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call `handle(now, Event::Tick)` if nothing else happens first.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.due.first().map(|&(due, _)| due.max(self.rests_until))
    }

    fn schedule(&mut self, hash: InfoHash, due: Duration) {
        self.torrents.insert(hash, due);
        self.due.insert((due, hash));
    }

    /// Names those that have waited longest.
    fn announce(&mut self, now: Duration) {
        let mut named = Vec::new();
        while named.len() < MAX_NAMED
            && let Some(&(due, hash)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            named.push(hash);
        }
        for &hash in &named {
            self.schedule(hash, now + PERIOD);
        }
        self.rests_until = now + REST;
        let text = |host: String| write(&host, self.port, &self.cookie, &named);
        let (v4, v6) = (text(format!("{GROUP_V4}:{PORT}")), text(format!("[{GROUP_V6}]:{PORT}")));
        self.actions.push_back(Action::Announce { v4, v6 });
    }

    fn hear(&mut self, mut from: SocketAddr, bytes: &[u8]) {
        let Some(said) = read(bytes).filter(|said| said.cookie != Some(self.cookie.as_bytes())) else {
            return;
        };
        from.set_port(said.port);
        let ours = said.hashes.into_iter().filter(|hash| self.torrents.contains_key(hash));
        self.actions.extend(ours.map(|hash| Action::Found { hash, at: from }));
    }

    /// Whether a neighbour, and all together, have not said too much in this minute.
    fn may_speak(&mut self, now: Duration, from: IpAddr) -> bool {
        if now >= self.counted_since + Duration::from_secs(60) {
            (self.counted_since, self.heard_of_all) = (now, 0);
            self.heard.clear();
        }
        if self.heard_of_all >= MAX_FROM_ALL {
            return false;
        }
        let count = self.heard.entry(from).or_default();
        if *count >= MAX_FROM_ONE {
            return false;
        }
        *count += 1;
        self.heard_of_all += 1;
        true
    }
}

fn write(host: &str, port: u16, cookie: &str, hashes: &[InfoHash]) -> Vec<u8> {
    let mut text = format!("BT-SEARCH * HTTP/1.1\r\nHost: {host}\r\nPort: {port}\r\n");
    for hash in hashes {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "Infohash: {hash}\r\n");
    }
    let _ = write!(text, "cookie: {cookie}\r\n\r\n\r\n");
    text.into_bytes()
}

/// What a datagram says.
struct Said<'a> {
    port: u16,
    hashes: BTreeSet<InfoHash>,
    cookie: Option<&'a [u8]>,
}

/// Reads a datagram; `None`: it is no announce. Headers that are not known are passed over.
fn read(bytes: &[u8]) -> Option<Said<'_>> {
    if bytes.len() > MAX_DATAGRAM {
        return None;
    }
    let mut lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    if !lines.next()?.starts_with(b"BT-SEARCH * HTTP/") {
        return None;
    }
    let (mut port, mut hashes, mut cookie) = (None, BTreeSet::new(), None);
    for line in lines {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"port") {
            port = std::str::from_utf8(value).ok()?.parse().ok();
        } else if name.eq_ignore_ascii_case(b"infohash") {
            hashes.extend(std::str::from_utf8(value).ok().and_then(InfoHash::from_hex));
        } else if name.eq_ignore_ascii_case(b"cookie") {
            cookie = Some(value);
        }
    }
    Some(Said { port: port.filter(|&port| port != 0)?, hashes, cookie })
}
