//! Whether a peer has what it says: it is asked for one random block, which is compared with our own copy.
//!
//! Part of `Swarm`; each guest owns its `Proof`. We are interested in a peer from the time when a question is due until it is
//! answered, so that no unchoke is taken longer than needed.

use std::time::Duration;

use bytes::Bytes;
use metainfo::{BlockRef, PieceIndex};
use wire::{Message, Request};

use super::Origin;
use crate::fetch::request;
use crate::peers::Has;
use crate::swarm::{Run, Swarm};
use crate::{Action, PeerKey};

/// How often a proved peer is asked again, and for each of them at least this much: 32 KiB/s for all together.
const HEARTBEAT: Duration = Duration::from_secs(10);
const SHARE: Duration = Duration::from_millis(500);

/// A peer that lets us ask and does not answer for this long has proved nothing. With a heartbeat it makes 25 s until a holder
/// that vanished without a word counts no longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A proof is too old if the next one cannot be asked for during this long, because the peer chokes us: two of the rounds in which
/// a client unchokes somebody new.
const CHOKED: Duration = Duration::from_secs(60);

/// When a peer is asked again that refused or did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Draws for a block that is not padding.
const DRAWS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing is wanted of the peer before `next`.
    Rest,
    /// We wait for being unchoked.
    Wait,
    /// It was asked.
    Asked(Duration),
    /// Its answer is being compared.
    Compare(Duration),
}

/// What was asked of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Question {
    block: BlockRef,
    /// It was drawn from the whole torrent.
    whole: bool,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Proof {
    step: Step,
    /// When the question is due, or was.
    next: Duration,
    /// Stands until it is answered or another is asked, so that a late answer is known for what it is.
    question: Option<Question>,
    pub(super) proved: bool,
}

impl Proof {
    pub(super) fn new(now: Duration) -> Self {
        Self { step: Step::Rest, next: now, question: None, proved: false }
    }

    /// A question is due now. We are interested from this moment on without a break: who has just completed his download leaves
    /// those who are not.
    pub(super) fn hurry(&mut self, now: Duration) {
        self.next = now;
        if self.step == Step::Rest {
            self.step = Step::Wait;
        }
    }

    fn rest(&mut self, until: Duration) {
        self.step = Step::Rest;
        self.next = until;
    }

    fn is_wanted(&self) -> bool {
        matches!(self.step, Step::Wait | Step::Asked(_))
    }
}

impl Origin {
    /// Whether we are to be interested in a peer.
    pub(crate) fn wants(&self, key: PeerKey) -> bool {
        self.guests.get(&key).is_some_and(|guest| guest.proof.is_wanted() || guest.is_nearly_done())
    }

    fn heartbeat(&self) -> Duration {
        let proved = self.guests.values().filter(|guest| guest.proof.proved).count();
        HEARTBEAT.max(SHARE * u32::try_from(proved).unwrap_or(u32::MAX))
    }
}

impl Swarm {
    /// Asks a peer for a proof, if one is due and it lets us.
    pub(super) fn prove(&mut self, key: PeerKey) {
        let now = self.now;
        let Some(peer) = self.peers.get(&key) else { return };
        let choking = peer.choking_us;
        let Some(guest) = self.origin.as_mut().and_then(|origin| origin.guests.get_mut(&key)) else { return };
        let has_any = guest.complete || guest.lacks < self.layout.piece_count();
        match guest.proof.step {
            Step::Rest if has_any && now >= guest.proof.next && self.run != Run::Paused => {
                guest.proof.hurry(now);
            }
            Step::Asked(at) if now.saturating_sub(at) >= PATIENCE => return self.unproved(key),
            Step::Compare(at) if now.saturating_sub(at) >= PATIENCE => guest.proof.rest(now + HEARTBEAT),
            _ => {}
        }
        let waits = guest.proof.step == Step::Wait;
        if waits && now.saturating_sub(guest.proof.next) >= CHOKED {
            self.set_proved(key, false);
        }
        if waits
            && !choking
            && let Some(question) = self.draw(key)
        {
            self.with_proof(key, |proof| {
                proof.step = Step::Asked(now);
                proof.question = Some(question);
            });
            self.show_interest(key);
            return self.say(key, Message::Request(request(question.block)));
        }
        self.show_interest(key);
    }

    fn with_proof(&mut self, key: PeerKey, change: impl FnOnce(&mut Proof)) {
        if let Some(guest) = self.origin.as_mut().and_then(|origin| origin.guests.get_mut(&key)) {
            change(&mut guest.proof);
        }
    }

    /// A random block of all that the peer claims and we have.
    fn draw(&mut self, key: PeerKey) -> Option<Question> {
        let peer = self.peers.get(&key)?;
        let have = self.pieces.have();
        let whole = peer.is_seed();
        let claimed = match &peer.has {
            Has::All => self.layout.piece_count(),
            Has::Some(pieces) => pieces.count(),
        };
        for _ in 0..DRAWS {
            let nth = self.rng.u32(..claimed.max(1));
            let piece = match &peer.has {
                Has::All => nth,
                Has::Some(pieces) => pieces.iter().nth(nth as usize)?,
            };
            let number = self.rng.u32(..self.layout.block_count(PieceIndex(piece)).max(1));
            let block = self.layout.grid_block(PieceIndex(piece), number)?;
            if have.get(piece) && !self.layout.is_pad(block) {
                return Some(Question { block: self.layout.without_padding(block), whole });
            }
        }
        None
    }

    /// A block arrived; says whether it was the answer to a question.
    pub(crate) fn answered(&mut self, key: PeerKey, index: u32, begin: u32, data: &Bytes) -> bool {
        let Some(guest) = self.origin.as_mut().and_then(|origin| origin.guests.get_mut(&key)) else {
            return false;
        };
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let fits = |question: &Question| request(question.block) == Request { index, begin, length };
        let Some(question) = guest.proof.question.filter(fits) else { return false };
        if matches!(guest.proof.step, Step::Compare(_)) {
            return false;
        }
        guest.proof.step = Step::Compare(self.now);
        self.down.add(self.now, u64::from(length));
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.down.add(self.now, u64::from(length));
        }
        self.act(Action::Compare { peer: key, block: question.block, data: data.clone() });
        self.show_interest(key);
        true
    }

    /// The answer was compared with our own copy.
    pub(crate) fn compared(&mut self, key: PeerKey, block: BlockRef, equal: bool) {
        let now = self.now;
        let (Some(peer), Some(origin)) = (self.peers.get(&key), &mut self.origin) else { return };
        let again = now + origin.heartbeat();
        let Some(guest) = origin.guests.get_mut(&key) else { return };
        let Some(question) = guest.proof.question.filter(|question| question.block == block) else { return };
        guest.proof.question = None;
        if !equal {
            let liar = peer.person();
            self.blame.condemn(liar);
            return self.ban(&[liar]);
        }
        let late = peer.is_seed() && !question.whole;
        guest.proof.rest(if late { now } else { again });
        let (id, ip) = (guest.id, guest.ip);
        if question.whole {
            origin.ledger.verify(id, ip);
        }
        // A block of the few pieces that it had when it was asked says nothing about all of them.
        if !late {
            self.set_proved(key, true);
        }
        self.prove(key);
    }

    /// A peer refuses what it was asked for; says whether it was a question.
    pub(crate) fn refused(&mut self, key: PeerKey, asked: Request) -> bool {
        let choking = self.peers.get(&key).is_some_and(|peer| peer.choking_us);
        let guest = self.origin.as_mut().and_then(|origin| origin.guests.get_mut(&key));
        let fits = |question: &Question| request(question.block) == asked;
        let Some(guest) = guest.filter(|guest| guest.proof.question.as_ref().is_some_and(fits)) else {
            return false;
        };
        match guest.proof.step {
            // It has answered already.
            Step::Compare(_) => return true,
            Step::Asked(_) if choking => guest.proof.step = Step::Wait,
            Step::Asked(_) => self.unproved(key),
            Step::Rest | Step::Wait => {}
        }
        self.with_proof(key, |proof| proof.question = None);
        true
    }

    /// A choke ends what was asked; the question is asked anew when it is over.
    pub(crate) fn question_choked(&mut self, key: PeerKey) {
        self.with_proof(key, |proof| {
            if matches!(proof.step, Step::Asked(_)) {
                proof.step = Step::Wait;
            }
        });
    }

    /// A peer that let us ask did not answer: what it says counts for nothing.
    fn unproved(&mut self, key: PeerKey) {
        let next = self.now + AFTER_FAILURE;
        self.with_proof(key, |proof| proof.rest(next));
        self.set_proved(key, false);
        self.show_interest(key);
    }

    fn set_proved(&mut self, key: PeerKey, proved: bool) {
        let (Some(peer), Some(origin)) = (self.peers.get(&key), &mut self.origin) else { return };
        let before = origin.guests.get(&key).is_some_and(|guest| guest.proof.proved);
        if before != proved {
            origin.count_proof(key, &peer.has, proved);
            let has = peer.has.clone();
            self.refresh_pool(&has);
            self.judge_mode(None);
        }
    }
}
