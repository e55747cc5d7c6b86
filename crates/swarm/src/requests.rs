//! How much to ask of one peer, and what it owes (BEP 3, "pipelining").
//!
//! Owned by each `Peer`. Decides the depth of the peer's queue. Which blocks go into it is `fetch`'s business.

use std::collections::VecDeque;
use std::time::Duration;

use metainfo::BLOCK;

/// Blocks asked of a peer before anything is known of its speed: 1 MiB.
const FIRST_DEPTH: usize = 64;

/// Blocks asked of the slowest peer: while one travels the next waits.
pub(crate) const MIN_DEPTH: usize = 2;

/// The most blocks asked of any peer: 32 MiB, a second at 33 MB/s or 20 ms at 1.6 GB/s; what libtorrent and Transmission queue.
pub(crate) const MAX_DEPTH: usize = 2000;

/// What a peer queues if it does not say: the smallest queue of clients in use (libtorrent before version 1.2).
const SILENT_LIMIT: usize = 250;

/// How long a peer may owe a block and send nothing before others are asked.
///
/// One second of pipeline, plus the 1 + 2 + 4 s TCP may spend on three retransmissions.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// What a line takes that has not shown it yet: the worst of ordinary ones.
const UNKNOWN_LATENCY: Duration = Duration::from_secs(1);

/// One block asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) piece: u32,
    pub(crate) number: u32,
    pub(crate) at: Duration,
}

/// What a block or a reject answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// A request that stands.
    Asked,
    /// A request that was taken back, or died with a choke.
    GivenUp,
    /// Nothing.
    Nothing,
}

/// The requests to one peer.
#[derive(Debug)]
pub(crate) struct Requests {
    /// In the order they were made.
    asked: VecDeque<Ask>,
    /// Requests no longer wanted that may still be answered, the oldest first; at most `MAX_DEPTH`.
    given_up: VecDeque<(u32, u32)>,
    depth: usize,
    /// The peer's own limit.
    limit: usize,
    /// The depth still grows with each block: the peer's speed is not known yet.
    growing: bool,
    /// The least time a request took lately: the line's, without what waits in the peer's queue.
    latency: Duration,
    /// When the last block came, or the first request was made after an idle time.
    heard: Duration,
    /// It owes blocks and has sent nothing for too long.
    snubbing: bool,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            asked: VecDeque::new(),
            given_up: VecDeque::new(),
            depth: FIRST_DEPTH,
            limit: SILENT_LIMIT,
            growing: true,
            latency: UNKNOWN_LATENCY,
            heard: Duration::ZERO,
            snubbing: false,
        }
    }
}

impl Requests {
    /// The peer says how many requests it queues.
    pub(crate) fn set_limit(&mut self, limit: u32) {
        self.limit = usize::try_from(limit).unwrap_or(MAX_DEPTH).clamp(MIN_DEPTH, MAX_DEPTH);
    }

    /// How many blocks to have outstanding.
    pub(crate) fn depth(&self) -> usize {
        if self.snubbing { 1 } else { self.depth.min(self.limit) }
    }

    /// How many more blocks may be asked for.
    pub(crate) fn room(&self) -> usize {
        self.depth().saturating_sub(self.asked.len())
    }

    /// Whether so many requests were answered that a batch of new ones is due.
    pub(crate) fn is_low(&self) -> bool {
        self.asked.len() <= self.depth() - self.depth() / 4
    }

    pub(crate) fn len(&self) -> usize {
        self.asked.len()
    }

    /// When the last block came.
    pub(crate) fn last_heard(&self) -> Duration {
        self.heard
    }

    pub(crate) fn is_snubbing(&self) -> bool {
        self.snubbing
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Ask> + DoubleEndedIterator {
        self.asked.iter()
    }

    /// Notes a request that is being made.
    pub(crate) fn ask(&mut self, now: Duration, piece: u32, number: u32) {
        if self.asked.is_empty() {
            self.heard = now;
        }
        self.asked.push_back(Ask { piece, number, at: now });
    }

    /// A block arrived: what it answers. The depth grows with it while the peer's speed is unknown.
    pub(crate) fn block(&mut self, now: Duration, piece: u32, number: u32) -> Answers {
        if let Some(ask) = self.close(piece, number) {
            self.heard = now;
            self.latency = (self.latency + self.latency / 64).min(now.saturating_sub(ask.at));
            self.depth = if self.snubbing { MIN_DEPTH } else { self.depth + usize::from(self.growing) };
            self.depth = self.depth.min(MAX_DEPTH);
            self.growing &= !self.snubbing;
            self.snubbing = false;
            return Answers::Asked;
        }
        match self.given_up.iter().position(|&given| given == (piece, number)) {
            Some(at) => {
                self.given_up.remove(at);
                Answers::GivenUp
            }
            None => Answers::Nothing,
        }
    }

    /// The peer refuses a request: what it answers. A refusal of a request given up may be followed by its block, which
    /// crossed it, and changes nothing.
    pub(crate) fn reject(&mut self, piece: u32, number: u32) -> Answers {
        if self.close(piece, number).is_some() {
            Answers::Asked
        } else if self.given_up.contains(&(piece, number)) {
            Answers::GivenUp
        } else {
            Answers::Nothing
        }
    }

    fn close(&mut self, piece: u32, number: u32) -> Option<Ask> {
        let at = self.asked.iter().position(|ask| (ask.piece, ask.number) == (piece, number))?;
        self.asked.remove(at)
    }

    /// Takes back one request, if it stands.
    pub(crate) fn give_up(&mut self, piece: u32, number: u32) -> bool {
        let stood = self.close(piece, number).is_some();
        if stood {
            self.regret(piece, number);
        }
        stood
    }

    /// Takes back all requests that `which` names, the newest first.
    pub(crate) fn give_up_all(&mut self, mut which: impl FnMut(&Ask) -> bool) -> Vec<Ask> {
        let (mut kept, mut given) = (VecDeque::new(), Vec::new());
        for ask in std::mem::take(&mut self.asked).into_iter().rev() {
            if which(&ask) {
                self.regret(ask.piece, ask.number);
                given.push(ask);
            } else {
                kept.push_front(ask);
            }
        }
        self.asked = kept;
        given
    }

    fn regret(&mut self, piece: u32, number: u32) {
        if self.given_up.len() == MAX_DEPTH {
            self.given_up.pop_front();
        }
        self.given_up.push_back((piece, number));
    }

    /// Looks at the peer's speed, once a second: the depth becomes a second and a half's worth. Growth from the first depth
    /// ends when the queue lasts longer than two seconds.
    pub(crate) fn adapt(&mut self, now: Duration, rate: u64) {
        let a_second = usize::try_from(rate / u64::from(BLOCK)).unwrap_or(MAX_DEPTH);
        let Some(oldest) = self.asked.front() else { return };
        self.growing &= now.saturating_sub(oldest.at) < Duration::from_secs(2);
        if !self.growing {
            self.depth = (a_second + a_second / 2 + MIN_DEPTH).min(MAX_DEPTH);
        }
        self.snubbing |= now.saturating_sub(self.heard.max(oldest.at)) >= PATIENCE;
    }

    /// What the line takes, there and back.
    pub(crate) fn latency(&self) -> Duration {
        self.latency
    }

    /// When the peer will have sent the block at this place of its queue, counted from now; `None` if nobody knows.
    pub(crate) fn due(&self, now: Duration, rate: u64, place: usize) -> Option<Duration> {
        let oldest = self.asked.front()?;
        if self.snubbing {
            return None;
        }
        if rate == 0 {
            let young = now.saturating_sub(oldest.at) < Duration::from_secs(1);
            return young.then_some(Duration::ZERO);
        }
        let bytes = (place as u64 + 1) * u64::from(BLOCK);
        Some(Duration::from_millis(bytes.saturating_mul(1000) / rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(at: u64) -> Duration {
        Duration::from_secs(at)
    }

    fn asked(blocks: u32) -> Requests {
        let mut requests = Requests::default();
        requests.set_limit(u32::MAX);
        (0..blocks).for_each(|number| requests.ask(second(0), 0, number));
        requests
    }

    #[test]
    fn the_depth_doubles_with_every_round_trip_up_to_the_peers_limit() {
        let mut requests = asked(64);
        (0..64).for_each(|number| assert_eq!(requests.block(second(0), 0, number), Answers::Asked));
        assert_eq!(requests.depth(), 128);
        requests.set_limit(100);
        assert_eq!(requests.depth(), 100);
    }

    #[test]
    fn the_depth_follows_the_rate() {
        for (rate, depth) in [(0, 2), (16 << 10, 3), (1 << 20, 98), (10 << 30, MAX_DEPTH)] {
            let mut requests = asked(64);
            requests.adapt(second(3), rate);
            assert_eq!(requests.depth(), depth, "{rate} B/s");
        }
    }

    #[test]
    fn a_peer_that_owes_blocks_and_sends_nothing_is_snubbing_until_it_sends() {
        let mut requests = asked(2);
        requests.adapt(second(7), 0);
        assert!(!requests.is_snubbing());
        requests.adapt(second(8), 0);
        assert!(requests.is_snubbing());
        assert_eq!(requests.depth(), 1);
        requests.block(second(9), 0, 0);
        assert!(!requests.is_snubbing());
        assert_eq!(requests.depth(), MIN_DEPTH);
    }

    #[test]
    fn a_block_given_up_is_known_once() {
        let mut requests = asked(2);
        assert!(requests.give_up(0, 1) && !requests.give_up(0, 1));
        assert_eq!(requests.reject(0, 1), Answers::GivenUp);
        assert_eq!(requests.block(second(1), 0, 1), Answers::GivenUp);
        assert_eq!(requests.block(second(1), 0, 1), Answers::Nothing);
    }
}
