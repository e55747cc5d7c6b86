//! What goes out: cut into packets, kept until acknowledged, sent again when lost (BEP 29, "packet loss", "timeouts").
//!
//! Part of `Connection`. A packet is lost when others that left after it arrived, and it would have too by now (as in RFC 8985):
//! at once after three of them, a little later if the path is known to let packets overtake each other.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::congestion::Congestion;
use crate::packet::{Header, Kind};
use crate::path::Path;
use crate::queue::Queue;
use crate::receiver::REACH;
use crate::round_trip::RoundTrip;
use crate::sequence;

/// Bytes that may be written before they leave. Enough to keep the line busy until more are written; what waits here delays
/// all that is written later.
pub const MAX_QUEUED: usize = 256 << 10;

/// Packets acknowledged behind a missing one that make it a lost one, and duplicate acknowledgements that do: BEP 29.
const LATER: usize = 3;

/// Timeouts in a row after which the peer is gone: at least half a minute of silence.
const MAX_TIMEOUTS: u32 = 6;

#[derive(Debug)]
pub(crate) struct Sender {
    /// The oldest packet in flight, or the next one to send.
    base: u64,
    flight: VecDeque<Sent>,
    /// Bytes of those under way.
    under_way: usize,
    /// Packets to send again, none of them before this one.
    lost: usize,
    lost_from: u64,
    /// Transmissions, and the latest one of them that arrived.
    transmissions: u64,
    arrived: u64,
    /// Packets arrived that had been overtaken.
    overtaken: bool,
    /// The highest packet that a selective acknowledgement named.
    highest: u64,
    duplicates: usize,
    /// Losses before this packet belong to a round trip that had one.
    recovery: u64,
    /// Packets of that round trip that were held to be lost and may have been.
    losses: usize,
    /// The latest packet that was not full: only one is under way.
    small: u64,
    queue: Queue,
    ending: Ending,
    peer_window: usize,
    congestion: Congestion,
    round_trip: RoundTrip,
    path: Path,
    timeouts: u32,
    timeout_at: Option<Duration>,
    loss_at: Option<Duration>,
    /// The peer has no room, and is asked with one byte whether that is still so.
    ask_for_room: bool,
}

/// How far the end of the stream is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    Open,
    /// It leaves after all that is queued.
    Wanted,
    Sent,
}

#[derive(Debug)]
struct Sent {
    kind: Kind,
    payload: Bytes,
    at: Duration,
    transmission: u64,
    state: Fate,
    again: bool,
    probe: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    UnderWay,
    Lost,
    Arrived,
}

/// A packet to send.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) kind: Kind,
    pub(crate) seq: u16,
    pub(crate) payload: Bytes,
    /// Must not be fragmented on the way.
    pub(crate) probe: bool,
}

/// What an acknowledgement says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged<'a> {
    pub(crate) ack: u16,
    pub(crate) selective: &'a [u8],
    /// `None`: older than what is known.
    pub(crate) window: Option<u32>,
    pub(crate) delay: u32,
    /// Nothing but an acknowledgement.
    pub(crate) bare: bool,
}

impl Sender {
    /// `first` is the number of the first packet.
    pub(crate) fn new(first: u64, path: Path) -> Self {
        Self {
            base: first,
            flight: VecDeque::new(),
            under_way: 0,
            lost: 0,
            lost_from: first,
            transmissions: 0,
            arrived: 0,
            overtaken: false,
            highest: 0,
            duplicates: 0,
            recovery: 0,
            losses: 0,
            small: 0,
            queue: Queue::default(),
            ending: Ending::Open,
            peer_window: 0,
            congestion: Congestion::new(path.size()),
            round_trip: RoundTrip::default(),
            path,
            timeouts: 0,
            timeout_at: None,
            loss_at: None,
            ask_for_room: false,
        }
    }

    pub(crate) fn write(&mut self, bytes: Bytes) {
        if !bytes.is_empty() && self.ending == Ending::Open {
            self.queue.push(bytes);
        }
    }

    /// Nothing more will be written.
    pub(crate) fn end(&mut self) {
        if self.ending == Ending::Open {
            self.ending = Ending::Wanted;
        }
    }

    /// Nobody will read what waits.
    pub(crate) fn forget_queue(&mut self) {
        self.queue.clear();
    }

    /// Whether everything, the end included, has arrived.
    pub(crate) fn is_done(&self) -> bool {
        self.ending == Ending::Sent && self.flight.is_empty()
    }

    /// Bytes that left the queue since the last call.
    pub(crate) fn take_freed(&mut self) -> usize {
        self.queue.take_freed()
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.base + u64::try_from(self.flight.len()).unwrap_or_default()
    }

    /// Whether `ack` may come from a peer that received our packets.
    pub(crate) fn is_plausible(&self, ack: u16) -> bool {
        let ack = sequence::nearest(self.base, ack);
        // A peer that missed our latest acknowledgements may be a whole flight behind.
        ack < self.next_number() && ack + 2 * REACH >= self.base
    }

    /// The peer takes datagrams of this size over loopback.
    pub(crate) fn widen(&mut self, takes: usize) {
        self.path.widen(takes);
    }

    fn packet(&self) -> usize {
        self.path.size()
    }

    fn payload(&self) -> usize {
        self.packet() - Header::LENGTH
    }

    // ── what leaves ──

    /// The next packet that may leave.
    pub(crate) fn next(&mut self, now: Duration) -> Option<Outgoing> {
        let outgoing = if self.lost > 0 { self.next_lost(now) } else { self.next_new(now) };
        if self.timeout_at.is_none() && (self.queue.length() > 0 || !self.flight.is_empty()) {
            self.timeout_at = Some(now + self.round_trip.timeout(self.timeouts));
        }
        outgoing
    }

    fn next_lost(&mut self, now: Duration) -> Option<Outgoing> {
        let window = self.congestion.window();
        let start = usize::try_from(self.lost_from.saturating_sub(self.base)).ok()?;
        let index = start + self.flight.iter().skip(start).position(|sent| sent.state == Fate::Lost)?;
        let number = self.base + u64::try_from(index).ok()?;
        let sent = self.flight.get_mut(index)?;
        let size = sent.payload.len() + Header::LENGTH;
        if self.under_way > 0 && self.under_way + size > window {
            return None;
        }
        self.transmissions += 1;
        (sent.at, sent.transmission, sent.state, sent.again) =
            (now, self.transmissions, Fate::UnderWay, true);
        self.under_way += size;
        self.lost -= 1;
        self.lost_from = number + 1;
        let payload = sent.payload.clone();
        Some(Outgoing { kind: sent.kind, seq: sequence::wire(number), payload, probe: false })
    }

    fn next_new(&mut self, now: Duration) -> Option<Outgoing> {
        if self.ending == Ending::Sent || u64::try_from(self.flight.len()).is_ok_and(|flight| flight >= REACH)
        {
            return None;
        }
        if self.queue.length() == 0 {
            return (self.ending == Ending::Wanted).then(|| {
                self.ending = Ending::Sent;
                self.transmit(now, Kind::Fin, Bytes::new(), false)
            });
        }
        let peer_room = self.peer_window.saturating_sub(self.under_way);
        let may_leave = self.congestion.window().saturating_sub(self.under_way);
        let probe = self.path.next_probe().map(|size| size - Header::LENGTH);
        if let Some(payload) = probe.filter(|&payload| payload <= self.queue.length() && payload <= peer_room)
            && (self.flight.is_empty() || payload + Header::LENGTH <= may_leave)
        {
            self.path.probe_sent();
            let payload = self.queue.cut(payload);
            return Some(self.transmit(now, Kind::Data, payload, true));
        }
        let full = self.payload();
        let mut size = full.min(self.queue.length());
        if self.flight.is_empty() {
            // Whatever the windows say, one packet may be under way, as long as the peer has room for it.
            let asked = usize::from(std::mem::take(&mut self.ask_for_room));
            size = size.min(self.peer_window.max(asked));
        } else if size > peer_room || size + Header::LENGTH > may_leave {
            return None;
        }
        if size == 0 || (size < full && self.ending == Ending::Open && self.small >= self.base) {
            return None;
        }
        if size < full {
            self.small = self.next_number();
        }
        let payload = self.queue.cut(size);
        Some(self.transmit(now, Kind::Data, payload, false))
    }

    fn transmit(&mut self, now: Duration, kind: Kind, payload: Bytes, probe: bool) -> Outgoing {
        let seq = sequence::wire(self.next_number());
        self.transmissions += 1;
        self.under_way += payload.len() + Header::LENGTH;
        self.flight.push_back(Sent {
            kind,
            payload: payload.clone(),
            at: now,
            transmission: self.transmissions,
            state: Fate::UnderWay,
            again: false,
            probe,
        });
        Outgoing { kind, seq, payload, probe }
    }

    // ── what arrives ──

    /// Takes in an acknowledgement. One that names packets we did not send is ignored.
    pub(crate) fn acknowledged(&mut self, now: Duration, said: Acknowledged<'_>) {
        let ack = sequence::nearest(self.base, said.ack);
        if ack + 1 < self.base || ack >= self.next_number() {
            return;
        }
        if let Some(window) = said.window {
            self.peer_window = usize::try_from(window).unwrap_or(usize::MAX);
        }
        self.timeouts = 0;
        let limited = self.queue.length() > 0
            || self.lost > 0
            || self.under_way + self.packet() > self.congestion.window();
        let mut arrived = Arrived::default();
        let before = self.base;
        while self.base <= ack
            && let Some(sent) = self.flight.pop_front()
        {
            self.arrive(now, &sent, self.base, &mut arrived);
            self.base += 1;
        }
        self.selectively(now, ack, said.selective, &mut arrived);
        let is_duplicate =
            said.bare && said.selective.is_empty() && self.base == before && !self.flight.is_empty();
        self.duplicates = if is_duplicate { self.duplicates + 1 } else { 0 };
        if let Some((transmission, at, again)) = arrived.latest {
            self.arrived = self.arrived.max(transmission);
            if !again {
                self.round_trip.measure(now.saturating_sub(at));
            }
            self.congestion.arrived(now, arrived.bytes, said.delay, limited, self.packet());
            self.timeout_at = None;
            self.rearm(now);
        }
        self.find_lost(now);
    }

    fn selectively(&mut self, now: Duration, ack: u64, mask: &[u8], arrived: &mut Arrived) {
        let bits = mask.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
        let mut highest = 0;
        for (number, _) in (ack + 2..).zip(bits).filter(|(_, is_set)| *is_set) {
            let index = usize::try_from(number - self.base).unwrap_or(usize::MAX);
            let Some(slot) = self.flight.get_mut(index) else { break };
            highest = number;
            if slot.state == Fate::Arrived {
                continue;
            }
            // The payload is needed no more; the place is, until all before it arrived.
            let payload = std::mem::take(&mut slot.payload);
            let sent = Sent { payload, ..*slot };
            slot.state = Fate::Arrived;
            self.arrive(now, &sent, number, arrived);
        }
        self.highest = self.highest.max(highest);
    }

    /// Counts a packet, unless it was counted before.
    fn arrive(&mut self, now: Duration, sent: &Sent, number: u64, arrived: &mut Arrived) {
        let size = sent.payload.len() + Header::LENGTH;
        match sent.state {
            Fate::Arrived => return,
            Fate::UnderWay => self.under_way -= size,
            Fate::Lost => self.lost -= 1,
        }
        if sent.probe && !sent.again && sent.state == Fate::UnderWay {
            self.path.probe_arrived();
        }
        if sent.again && self.round_trip.is_too_soon(now.saturating_sub(sent.at)) {
            self.regret();
        }
        self.overtaken |= !sent.again && number < self.highest;
        arrived.bytes += size;
        let this = (sent.transmission, sent.at, sent.again);
        arrived.latest = arrived.latest.max(Some(this));
    }

    /// A packet that was sent again had only been late.
    fn regret(&mut self) {
        self.overtaken = true;
        self.round_trip.be_patient();
        self.losses = self.losses.saturating_sub(1);
        if self.losses == 0 {
            self.congestion.regret();
        }
    }

    // ── what is lost ──

    /// Finds what must have been lost, for others that left later arrived.
    fn find_lost(&mut self, now: Duration) {
        self.loss_at = None;
        if self.duplicates >= LATER {
            self.duplicates = 0;
            self.lose(now, 0);
        }
        let end = usize::try_from((self.highest + 1).saturating_sub(self.base)).unwrap_or_default();
        if end == 0 && !self.flight.front().is_some_and(|sent| sent.again) {
            return;
        }
        let (mean, slack) = (self.round_trip.mean().unwrap_or_default(), self.round_trip.slack());
        let mut later = self.flight.iter().take(end).filter(|sent| sent.state == Fate::Arrived).count();
        for index in 0..self.flight.len() {
            let Some(sent) = self.flight.get(index) else { break };
            if sent.state == Fate::Arrived {
                later = later.saturating_sub(1);
                continue;
            }
            if sent.state == Fate::Lost || sent.transmission > self.arrived {
                continue;
            }
            let patience_ends = sent.at + mean + slack;
            if patience_ends <= now || (later >= LATER && !self.overtaken && !sent.again) {
                self.lose(now, index);
            } else {
                self.loss_at = Some(self.loss_at.map_or(patience_ends, |at| at.min(patience_ends)));
            }
        }
    }

    fn lose(&mut self, now: Duration, index: usize) {
        let packet = self.packet();
        let next = self.next_number();
        let number = self.base + u64::try_from(index).unwrap_or_default();
        let Some(sent) = self.flight.get_mut(index).filter(|sent| sent.state == Fate::UnderWay) else {
            return;
        };
        sent.state = Fate::Lost;
        self.under_way -= sent.payload.len() + Header::LENGTH;
        self.lost_from = if self.lost == 0 { number } else { self.lost_from.min(number) };
        self.lost += 1;
        if sent.probe && !sent.again {
            self.path.probe_lost();
        } else if number >= self.recovery {
            (self.recovery, self.losses) = (next, 1);
            self.congestion.lost(packet);
        } else {
            self.losses += 1;
        }
        self.rearm(now);
    }

    fn rearm(&mut self, now: Duration) {
        if self.timeout_at.is_none() && !self.flight.is_empty() {
            self.timeout_at = Some(now + self.round_trip.timeout(self.timeouts));
        }
    }

    /// Time passed. `false`: the peer is gone.
    pub(crate) fn tick(&mut self, now: Duration) -> bool {
        if self.loss_at.is_some_and(|at| at <= now) {
            self.find_lost(now);
        }
        if self.timeout_at.is_none_or(|at| at > now) {
            return true;
        }
        self.timeout_at = None;
        if self.flight.is_empty() {
            // Every answer counts as heard, so a peer that says it has no room is asked again and again.
            self.ask_for_room = self.queue.length() > 0;
            return true;
        }
        self.timeouts += 1;
        if self.timeouts > MAX_TIMEOUTS {
            return false;
        }
        let only_probe =
            self.flight.len() == 1 && self.flight.front().is_some_and(|sent| sent.probe && !sent.again);
        for sent in self.flight.iter_mut().filter(|sent| sent.state == Fate::UnderWay) {
            sent.state = Fate::Lost;
            self.lost += 1;
            self.losses += 1;
            if sent.probe && !sent.again {
                self.path.probe_lost();
            }
        }
        self.under_way = 0;
        self.lost_from = self.base;
        self.recovery = self.next_number();
        if !only_probe && self.timeouts == 1 {
            self.congestion.timed_out(self.path.size());
        }
        self.rearm(now);
        true
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        [self.timeout_at, self.loss_at].into_iter().flatten().min()
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        let under_way = self.flight.iter().filter(|sent| sent.state == Fate::UnderWay);
        assert_eq!(self.under_way, under_way.map(|sent| sent.payload.len() + Header::LENGTH).sum::<usize>());
        assert_eq!(self.lost, self.flight.iter().filter(|sent| sent.state == Fate::Lost).count());
        self.queue.check();
        assert!(self.flight.is_empty() || self.timeout_at.is_some(), "nothing would ever be sent again");
    }
}

/// What one acknowledgement acknowledges.
#[derive(Debug, Default)]
struct Arrived {
    bytes: usize,
    /// The transmission that left last: its number, when it left, and whether the packet had been sent before.
    latest: Option<(u64, Duration, bool)>,
}
