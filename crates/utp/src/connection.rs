//! One connection, from SYN to FIN (BEP 29, "connection setup").
//!
//! Part of `Socket`, which finds it by address and id. Joins the two directions, and decides when it is over. There are no half-open
//! streams: whoever ends its direction is done with the other one too, for BitTorrent has no use for the rest.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::packet::{Header, Kind, Packet};
use crate::path::Path;
use crate::receiver::Receiver;
use crate::run::{MAX_SEGMENTS, Run};
use crate::sender::{Acknowledged, Sender};
use crate::sequence;
use crate::socket::{Action, ConnectionKey};

/// When a SYN is sent again, and given up at last: after 1, 3 and 7 seconds.
const SYN_TIMEOUT: Duration = Duration::from_secs(1);
const SYNS: u32 = 3;

/// The largest datagram we take: all there are.
const LARGEST: u16 = u16::MAX;

/// How long the last bytes may take to arrive once nobody is interested in the connection any more.
const LINGER: Duration = Duration::from_secs(30);

/// Why a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum End {
    /// The peer said all it had to say.
    #[error("the peer ended the connection")]
    Finished,
    /// The peer knows nothing of the connection.
    #[error("the peer reset the connection")]
    Reset,
    /// The peer was silent for too long.
    #[error("the peer does not answer")]
    TimedOut,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Dialling {
        syns: u32,
        again_at: Duration,
    },
    Open,
    /// The user is gone, or knows of the end; what is left is to make sure the peer does.
    Leaving {
        until: Duration,
    },
    Over,
}

#[derive(Debug)]
pub(crate) struct Connection {
    key: ConnectionKey,
    send_id: u16,
    phase: Phase,
    /// The number of our SYN, or 0.
    syn: u16,
    sender: Sender,
    receiver: Receiver,
    /// What the last packet seemed to take to come here, in microseconds.
    delay: u32,
    /// When the latest packet left, by the peer's clock.
    newest: Option<u32>,
}

impl Connection {
    /// One that we ask for; the SYN leaves with the next `transmit`.
    pub(crate) fn dial(now: Duration, key: ConnectionKey, syn: u16, path: Path, capacity: usize) -> Self {
        Self {
            key,
            send_id: key.id.wrapping_add(1),
            phase: Phase::Dialling { syns: 0, again_at: now },
            syn,
            sender: Sender::new(sequence::first(syn) + 1, path),
            receiver: Receiver::new(0, capacity),
            delay: 0,
            newest: None,
        }
    }

    /// One whose peer has shown that it received our `answer` to its `syn`.
    pub(crate) fn accept(key: ConnectionKey, syn: u16, answer: u16, path: Path, capacity: usize) -> Self {
        Self {
            key,
            send_id: key.id.wrapping_sub(1),
            phase: Phase::Open,
            syn: 0,
            sender: Sender::new(sequence::first(answer), path),
            receiver: Receiver::new(sequence::first(syn), capacity),
            delay: 0,
            newest: None,
        }
    }

    fn is_loopback(&self) -> bool {
        self.key.at.ip().to_canonical().is_loopback()
    }

    /// Whether a reset with this id can be meant for us: its sender knows only the id that we sent.
    pub(crate) fn answers_to(&self, id: u16) -> bool {
        id == self.key.id || id == self.send_id
    }

    pub(crate) fn handle(&mut self, now: Duration, packet: &Packet<'_>, actions: &mut VecDeque<Action>) {
        let header = packet.header;
        match (header.kind, self.phase) {
            (Kind::Syn, _) | (_, Phase::Over) => return,
            (Kind::Reset, Phase::Dialling { .. }) if header.ack != self.syn => return,
            (Kind::Reset, Phase::Dialling { .. }) => return self.end(now, End::Reset, actions),
            (Kind::Reset, _) => {
                // A peer that lost its memory has our number from our last packet, which may have had the next one.
                let next = sequence::wire(self.sender.next_number());
                if header.ack == next || self.sender.is_plausible(header.ack) {
                    self.end(now, End::Reset, actions);
                    self.phase = Phase::Over;
                }
                return;
            }
            (Kind::State, Phase::Dialling { .. }) if header.ack == self.syn => {
                // It has the number of the first packet to come.
                self.receiver = Receiver::new(sequence::first(header.seq) - 1, self.receiver.capacity());
                self.phase = Phase::Open;
                actions.push_back(Action::Connected { key: self.key });
            }
            (_, Phase::Dialling { .. }) => return,
            _ if !self.sender.is_plausible(header.ack) => return,
            _ => {}
        }
        // A window that was overtaken by a smaller one would have us send what does not fit.
        let is_newest =
            self.newest.is_none_or(|newest| header.timestamp.wrapping_sub(newest).cast_signed() >= 0);
        if is_newest {
            self.newest = Some(header.timestamp);
        }
        if let Some(takes) = packet.takes.filter(|_| self.is_loopback()) {
            self.sender.widen(takes.into());
        }
        self.delay = micros(now).wrapping_sub(header.timestamp).max(1);
        self.sender.acknowledged(
            now,
            Acknowledged {
                ack: header.ack,
                selective: packet.selective.unwrap_or_default(),
                window: is_newest.then_some(header.window),
                delay: header.delay,
                bare: header.kind == Kind::State,
            },
        );
        if let Kind::Data | Kind::Fin = header.kind {
            self.receiver.receive(now, header.seq, packet.payload, header.kind == Kind::Fin);
        }
    }

    /// Gives the user what the packets brought, after all of those that came together.
    pub(crate) fn deliver(&mut self, now: Duration, actions: &mut VecDeque<Action>) {
        let key = self.key;
        if let Some(bytes) = self.receiver.take() {
            match self.phase {
                Phase::Open => actions.push_back(Action::Data { key, bytes }),
                _ => self.receiver.read(bytes.len()),
            }
        }
        if self.receiver.is_ended() && self.phase == Phase::Open {
            self.end(now, End::Finished, actions);
        }
    }

    pub(crate) fn write(&mut self, bytes: Bytes) {
        self.sender.write(bytes);
    }

    pub(crate) fn read(&mut self, bytes: usize) {
        self.receiver.read(bytes);
    }

    /// The user is gone. What it wrote still leaves.
    pub(crate) fn close(&mut self, now: Duration) {
        match self.phase {
            Phase::Dialling { .. } => self.phase = Phase::Over,
            Phase::Open => {
                self.sender.end();
                self.phase = Phase::Leaving { until: now + LINGER };
            }
            Phase::Leaving { .. } | Phase::Over => {}
        }
    }

    pub(crate) fn tick(&mut self, now: Duration, actions: &mut VecDeque<Action>) {
        match self.phase {
            Phase::Dialling { syns: SYNS, again_at } if again_at <= now => {
                self.end(now, End::TimedOut, actions);
            }
            Phase::Leaving { until } if until <= now => self.phase = Phase::Over,
            Phase::Open | Phase::Leaving { .. } if !self.sender.tick(now) => {
                self.end(now, End::TimedOut, actions);
                self.phase = Phase::Over;
            }
            _ => {}
        }
    }

    fn end(&mut self, now: Duration, end: End, actions: &mut VecDeque<Action>) {
        match self.phase {
            Phase::Dialling { .. } | Phase::Open => actions.push_back(Action::Ended { key: self.key, end }),
            Phase::Leaving { .. } | Phase::Over => {}
        }
        self.sender.forget_queue();
        self.close(now);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        let phase = match self.phase {
            Phase::Dialling { again_at, .. } => Some(again_at),
            Phase::Leaving { until } => Some(until),
            Phase::Open | Phase::Over => None,
        };
        [phase, self.sender.deadline(), self.receiver.due_at()].into_iter().flatten().min()
    }

    /// Sends what may leave. `true`: there is more, after the other connections' turn.
    pub(crate) fn transmit(&mut self, now: Duration, run: &mut Run<'_>) -> bool {
        match &mut self.phase {
            Phase::Over => return false,
            Phase::Dialling { syns, again_at } => {
                if *again_at <= now && *syns < SYNS {
                    *again_at = now + SYN_TIMEOUT * (1 << *syns);
                    *syns += 1;
                    let header = Header { id: self.key.id, ack: 0, ..self.header(now, Kind::Syn, self.syn) };
                    run.push(&header, &[], false);
                }
                return false;
            }
            Phase::Open | Phase::Leaving { .. } => {}
        }
        for _ in 0..MAX_SEGMENTS {
            let Some(outgoing) = self.sender.next(now) else {
                self.acknowledge(now, run);
                return false;
            };
            let header = self.header(now, outgoing.kind, outgoing.seq);
            run.push(&header, &outgoing.payload, outgoing.probe);
        }
        true
    }

    fn acknowledge(&mut self, now: Duration, run: &mut Run<'_>) {
        if self.receiver.is_due(now) {
            let seq = sequence::wire(self.sender.next_number());
            let header = self.header(now, Kind::State, seq);
            run.push_state(&header, &self.receiver.selective(), self.is_loopback().then_some(LARGEST));
        }
    }

    /// Tells the user of room in the queue, and finds out whether all is over.
    pub(crate) fn settle(&mut self, now: Duration, actions: &mut VecDeque<Action>) {
        let freed = self.sender.take_freed();
        if freed > 0 && self.phase == Phase::Open {
            actions.push_back(Action::Writable { key: self.key, bytes: freed });
        }
        if matches!(self.phase, Phase::Leaving { .. }) && self.sender.is_done() && !self.receiver.is_due(now)
        {
            self.phase = Phase::Over;
        }
    }

    fn header(&mut self, now: Duration, kind: Kind, seq: u16) -> Header {
        let (ack, window) = self.receiver.announce();
        Header { kind, id: self.send_id, timestamp: micros(now), delay: self.delay, window, seq, ack }
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        if !self.is_over() {
            self.sender.check();
            self.receiver.check();
        }
    }
}

/// The low 32 bits of a time in microseconds, which is what the wire has.
#[expect(clippy::cast_possible_truncation, reason = "the wire has the low bits")]
pub(crate) fn micros(now: Duration) -> u32 {
    now.as_micros() as u32
}
