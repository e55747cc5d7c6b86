//! What is done because time passes: depths, slow peers, chokes, silence (BEP 3).
//!
//! Part of `Swarm`.

use std::time::Duration;

use wire::Message;

use crate::peers::Peer;
use crate::requests::PATIENCE;
use crate::swarm::{Run, Swarm};
use crate::{Action, HangUp, PeerKey};

/// How often peers are looked at, and how often while some of them could be helped by idle ones.
const TICK: Duration = Duration::from_secs(1);
const BUSY_TICK: Duration = Duration::from_millis(250);

/// We say something at least this often: clients in use wait 120 s.
const KEEP_ALIVE: Duration = Duration::from_secs(100);

/// A peer not heard of for this long is gone: its keep-alive is due every two minutes (BEP 3), and may be late.
const SILENCE: Duration = Duration::from_secs(150);

/// A peer that neither side wants anything of is left after this long.
const IDLE: Duration = Duration::from_secs(600);

/// How long a peer that has everything, too, may want to see a block of ours once we are complete: an origin that counts copies asks
/// for one at once, and some round trips are enough.
pub(crate) const COURTESY: Duration = Duration::from_secs(1);

/// An open piece that got no block for this long may be dropped if it keeps others from being begun.
const STALL: Duration = Duration::from_secs(30);

/// Peers, connected or within reach, below which more addresses are asked for.
const ENOUGH_PEERS: usize = 50;

/// How often they are asked for.
const WANT_PAUSE: Duration = Duration::from_secs(30);

impl Swarm {
    pub(crate) fn tick(&mut self) {
        for key in self.peers.keys().copied().collect::<Vec<_>>() {
            if let Err(why) = self.hear_late(key) {
                self.hang_up(key, why);
            }
            self.tend(key);
        }
        self.tend_guests();
        self.end_courtesy();
        if self.choker.is_due(self.now) && self.run != Run::Paused {
            self.rechoke();
        }
        self.drop_stalled();
        self.tend_web_seeds();
        self.refill_all();
        self.help_all();
        if self.lacks_peers() && self.now >= self.next_want() {
            self.wanted_peers_at = self.now;
            self.act(Action::WantPeers);
        }
        let busy = self.pieces.open_pieces().next().is_some() && self.peers.values().any(|peer| peer.idle);
        self.next_tick = self.now + if busy { BUSY_TICK } else { TICK };
    }

    fn tend(&mut self, key: PeerKey) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if now.saturating_sub(peer.heard) >= SILENCE {
            return self.hang_up(key, HangUp::Silent);
        }
        if is_idle(peer, now) && self.origin.is_none() {
            return self.hang_up(key, HangUp::Useless);
        }
        let rate = peer.down.rate(now);
        peer.requests.adapt(now, rate);
        let (owed, depth) = (peer.requests.len(), peer.requests.depth());
        let snubbing = peer.requests.is_snubbing();
        let last_due = peer.requests.due(now, rate, owed.saturating_sub(1));
        if now.saturating_sub(peer.said) >= KEEP_ALIVE {
            self.say(key, Message::KeepAlive);
        }
        self.tell_of_others(key);
        if snubbing {
            self.relieve(key);
        } else if owed > depth && last_due.is_some_and(|due| due > PATIENCE) {
            let mut excess = owed - depth;
            self.give_back(key, true, |_| {
                let gives = excess > 0;
                excess -= usize::from(gives);
                gives
            });
        }
    }

    /// Those that might have wanted to see that we are complete have had their time.
    fn end_courtesy(&mut self) {
        if self.completed_at.is_some_and(|at| self.now.saturating_sub(at) >= COURTESY) {
            self.completed_at = None;
            if self.is_complete() {
                self.leave_useless();
            }
        }
    }

    /// A snubbing peer's blocks are for others. It keeps the oldest, which others may have too.
    fn relieve(&mut self, key: PeerKey) {
        let Some(oldest) = self.peers.get(&key).and_then(|peer| peer.requests.iter().next().copied()) else {
            return;
        };
        self.give_back(key, true, |&ask| ask != oldest);
        self.pieces.give_back(oldest.piece, oldest.number, key, true);
        self.share_pieces_of(key);
        self.stirred = true;
    }

    /// Makes place in memory: if a peer has nothing to do but could begin a piece that does not fit, the emptiest piece that has
    /// stood still is dropped.
    fn drop_stalled(&mut self) {
        let hungry = |peer: &Peer| {
            !peer.choking_us && peer.offers > 0 && peer.requests.len() == 0 && self.now >= peer.rest_until
        };
        let blocked =
            |peer: &Peer| hungry(peer) && self.picker.pick(&peer.has, &mut self.rng.clone()).is_some();
        if self.pieces.has_room() || self.run != Run::Going || !self.peers.values().any(blocked) {
            return;
        }
        let stalled =
            self.pieces.open_pieces().filter(|(_, open)| self.now.saturating_sub(open.moved()) >= STALL);
        if let Some((piece, _)) = stalled.min_by_key(|(piece, open)| (open.received(), *piece)) {
            self.abandon(piece);
        }
    }

    /// Whether more addresses would help.
    pub(crate) fn lacks_peers(&self) -> bool {
        let enough = self.config.max_peers.min(ENOUGH_PEERS);
        let reach = self.peers.len() + self.candidates.dialing() + self.candidates.waiting();
        !self.is_complete() && self.run == Run::Going && reach < enough
    }

    /// When more addresses may be asked for.
    pub(crate) fn next_want(&self) -> Duration {
        self.wanted_peers_at + WANT_PAUSE
    }
}

fn is_idle(peer: &Peer, now: Duration) -> bool {
    let rests = !peer.interested && !peer.interesting;
    let since = peer.choked_since.max(peer.since).max(peer.requests.last_heard());
    rests && now.saturating_sub(since) >= IDLE
}
