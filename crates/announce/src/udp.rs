//! One announce over UDP: connect, announce, and what is sent again when nothing comes back (BEP 15, 41).
//!
//! Owned by the engine's task that has the socket, which is connected to the tracker, so nobody else's datagrams get here. It
//! looks up no names; which trackers are asked, and when, is the announcer's. Scrapes are not spoken: nobody asks for them.

mod packet;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;

use crate::{Announce, AnnounceError, AnnounceReply, ReplyError};

pub use packet::{Family, MAX_URL_DATA};
use packet::{Reply, announce_request, connect_request};

/// How long a request may go unanswered before it is sent again; each time twice as long as before (BEP 15).
const FIRST_WAIT: Duration = Duration::from_secs(15);

/// How often a request is sent. BEP 15 would go on for hours; with two a dead tracker is known for one after 15 + 30 s, and the
/// announcer has asked the next one long before.
const MAX_SENDS: u32 = 2;

/// How long a connection id may be used (BEP 15).
const CONNECTION_LIFE: Duration = Duration::from_secs(60);

/// How many trackers' connection ids are kept: more than anybody has torrents at in one minute, in a few KiB.
const MAX_CONNECTIONS: usize = 256;

/// What the exchange is told.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The tracker sent this.
    Datagram(&'a [u8]),
    /// The deadline has come.
    Tick,
}

/// What the exchange wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this to the tracker.
    Send(Vec<u8>),
    /// The tracker gave a connection id, which [`Connections`] may keep for others.
    Connected(u64),
    /// The exchange is over; nothing follows.
    Done(Result<AnnounceReply, AnnounceError>),
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Connecting,
    /// `reused`: the connection id is an earlier exchange's, so the tracker may not know it any more.
    Announcing {
        connection: u64,
        reused: bool,
    },
    Over,
}

/// See the module's head.
#[derive(Debug)]
pub struct Exchange {
    announce: Announce,
    url_data: Vec<u8>,
    family: Family,
    step: Step,
    transaction: u32,
    /// How often the present request was sent.
    sends: u32,
    deadline: Duration,
    actions: Vec<Action>,
    rng: Rng,
}

impl Exchange {
    /// Begins at once. `url_data`: path and query of the tracker's URL. `seed` must not be guessed by strangers.
    pub fn new(
        now: Duration,
        announce: Announce,
        url_data: &str,
        family: Family,
        known: Option<u64>,
        seed: u64,
    ) -> Self {
        let mut exchange = Self {
            announce,
            url_data: url_data.as_bytes().to_vec(),
            family,
            step: Step::Over,
            transaction: 0,
            sends: 0,
            deadline: now,
            actions: Vec::new(),
            rng: Rng::with_seed(seed),
        };
        exchange.begin(
            now,
            match known {
                Some(connection) => Step::Announcing { connection, reused: true },
                None => Step::Connecting,
            },
        );
        exchange
    }

    /// The only way in. `now` never goes back.
    pub fn handle(&mut self, now: Duration, event: Event<'_>) {
        match event {
            Event::Datagram(bytes) => self.take(now, bytes),
            Event::Tick if self.step != Step::Over && now >= self.deadline => self.silence(now),
            Event::Tick => {}
        }
    }

    /// The only way out. Call until `None` after each event.
    pub fn next_action(&mut self) -> Option<Action> {
        (!self.actions.is_empty()).then(|| self.actions.remove(0))
    }

    /// When to call `handle(now, Event::Tick)` if nothing else happens first.
    pub fn next_deadline(&self) -> Option<Duration> {
        (self.step != Step::Over).then_some(self.deadline)
    }

    fn take(&mut self, now: Duration, bytes: &[u8]) {
        let Some(reply) = packet::read(bytes, self.transaction, self.family) else { return };
        match (reply, self.step) {
            (Reply::Connected(connection), Step::Connecting) => {
                self.actions.push(Action::Connected(connection));
                self.begin(now, Step::Announcing { connection, reused: false });
            }
            (Reply::Announced(result), Step::Announcing { .. }) => self.end(result.map_err(Into::into)),
            // It may be the id that the tracker refuses.
            (Reply::Refused(_), Step::Announcing { reused: true, .. }) => self.begin(now, Step::Connecting),
            (Reply::Refused(reason), Step::Connecting | Step::Announcing { .. }) => {
                self.end(Err(ReplyError::Failure { reason, retry: None }.into()));
            }
            _ => {}
        }
    }

    fn silence(&mut self, now: Duration) {
        match self.step {
            Step::Announcing { reused: true, .. } => self.begin(now, Step::Connecting),
            _ if self.sends < MAX_SENDS => self.send(now),
            _ => self.end(Err(AnnounceError::Unreachable("no reply".into()))),
        }
    }

    fn begin(&mut self, now: Duration, step: Step) {
        (self.step, self.sends) = (step, 0);
        self.transaction = self.rng.u32(..);
        self.send(now);
    }

    fn send(&mut self, now: Duration) {
        self.deadline = now + FIRST_WAIT * (1 << self.sends);
        self.sends += 1;
        let bytes = match self.step {
            Step::Connecting => connect_request(self.transaction),
            Step::Announcing { connection, .. } => {
                announce_request(connection, self.transaction, &self.announce, &self.url_data)
            }
            Step::Over => return,
        };
        self.actions.push(Action::Send(bytes));
    }

    fn end(&mut self, result: Result<AnnounceReply, AnnounceError>) {
        self.step = Step::Over;
        self.actions.push(Action::Done(result));
    }
}

/// The connection ids that trackers gave us, for their one minute: many torrents at one tracker connect once.
#[derive(Debug, Default)]
pub struct Connections(BTreeMap<SocketAddr, (u64, Duration)>);

impl Connections {
    /// The id that a tracker gave, if it is still good.
    pub fn get(&self, now: Duration, tracker: SocketAddr) -> Option<u64> {
        self.0.get(&tracker).filter(|&&(_, end)| now < end).map(|&(id, _)| id)
    }

    /// Keeps an id that a tracker just gave.
    pub fn keep(&mut self, now: Duration, tracker: SocketAddr, id: u64) {
        self.0.retain(|_, &mut (_, end)| now < end);
        if self.0.len() < MAX_CONNECTIONS || self.0.contains_key(&tracker) {
            self.0.insert(tracker, (id, now + CONNECTION_LIFE));
        }
    }
}
