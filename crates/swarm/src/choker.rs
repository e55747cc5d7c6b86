//! Whom to serve: tit for tat while we want something, a fair rotation when we only give (BEP 3).
//!
//! Owned by `Swarm`. It decides who is unchoked; choking and unchoking is done by `serve`.

use std::cmp::Reverse;
use std::time::Duration;

use crate::event::PeerKey;

/// How often the choice is made anew. Shorter, and TCP has not yet shown what a peer can give (BEP 3).
pub(crate) const ROUND: Duration = Duration::from_secs(10);

/// How long an optimistic unchoke lasts (BEP 3).
const OPTIMISM: Duration = Duration::from_secs(30);

/// How long a seed serves a peer before others get its turn.
const TURN: Duration = Duration::from_secs(30);

/// A peer that connected less than this ago is three times as likely to be unchoked optimistically (BEP 3 practice).
const NEWCOMER: Duration = Duration::from_secs(60);

/// Upload slots if the user names no number.
const SLOTS: usize = 8;

/// Bytes a second for which one more slot is opened, if the user names no number.
const RATE_PER_SLOT: u64 = 64 << 10;

/// The most slots opened that way: every peer of a full torrent.
const MAX_SLOTS: usize = 500;

/// What the choker looks at in an interested peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applicant {
    pub(crate) peer: PeerKey,
    /// Bytes a second that it gives us.
    pub(crate) gives: u64,
    /// It owes us blocks and sends nothing.
    pub(crate) snubbing: bool,
    pub(crate) choked: bool,
    /// How long it has been choked, or served.
    pub(crate) held: Duration,
    /// How long it has been connected.
    pub(crate) age: Duration,
}

/// The choice so far.
#[derive(Debug)]
pub(crate) struct Choker {
    next_round: Duration,
    /// The peer unchoked without having earned it, and until when.
    optimistic: Option<(PeerKey, Duration)>,
}

impl Choker {
    pub(crate) fn new(now: Duration) -> Self {
        Self { next_round: now + ROUND, optimistic: None }
    }

    /// Whether a round is due; if so the next one is set.
    pub(crate) fn is_due(&mut self, now: Duration) -> bool {
        let due = now >= self.next_round;
        if due {
            self.next_round = now + ROUND;
        }
        due
    }

    /// Who is to be unchoked; everybody else is to be choked.
    pub(crate) fn choose(
        &mut self,
        now: Duration,
        mut applicants: Vec<Applicant>,
        slots: usize,
        seeding: bool,
        rng: &mut fastrand::Rng,
    ) -> Vec<PeerKey> {
        rng.shuffle(&mut applicants);
        if seeding {
            applicants.sort_by_key(turn);
            applicants.truncate(slots);
            return applicants.iter().map(|applicant| applicant.peer).collect();
        }
        let lucky = self.optimist(now, &applicants, rng).filter(|_| slots > 0);
        applicants.retain(|applicant| Some(applicant.peer) != lucky);
        applicants.sort_by_key(|applicant| (applicant.snubbing, Reverse(applicant.gives), applicant.choked));
        let earned = slots.saturating_sub(usize::from(lucky.is_some()));
        applicants.iter().take(earned).map(|applicant| applicant.peer).chain(lucky).collect()
    }

    /// The peer of the optimistic slot: the same for a while, then another.
    fn optimist(
        &mut self,
        now: Duration,
        applicants: &[Applicant],
        rng: &mut fastrand::Rng,
    ) -> Option<PeerKey> {
        if let Some((peer, until)) = self.optimistic
            && now < until
            && applicants.iter().any(|applicant| applicant.peer == peer)
        {
            return Some(peer);
        }
        let tickets = |applicant: &&Applicant| if applicant.age < NEWCOMER { 3 } else { 1 };
        let choked = applicants.iter().filter(|applicant| applicant.choked);
        let total: u32 = choked.clone().map(|applicant| tickets(&applicant)).sum();
        let mut draw = rng.u32(..total.max(1));
        let lucky = choked.clone().find(|applicant| {
            let hit = draw < tickets(applicant);
            draw = draw.saturating_sub(tickets(applicant));
            hit
        });
        self.optimistic = lucky.map(|applicant| (applicant.peer, now + OPTIMISM));
        lucky.map(|applicant| applicant.peer)
    }
}

/// The order in which a seed serves: those whose turn is not over, then those that wait, the longest first, then the others, the
/// longest served last.
fn turn(applicant: &Applicant) -> (u8, Duration) {
    match (applicant.choked, applicant.held < TURN) {
        (false, true) => (0, applicant.held),
        (true, _) => (1, Duration::MAX.saturating_sub(applicant.held)),
        (false, false) => (2, applicant.held),
    }
}

/// How many peers to serve at a time.
pub(crate) fn slots(named: Option<usize>, rate_up: u64) -> usize {
    let grown = || usize::try_from(rate_up / RATE_PER_SLOT).unwrap_or(MAX_SLOTS).clamp(SLOTS, MAX_SLOTS);
    named.unwrap_or_else(grown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applicant(peer: u64, gives: u64, choked: bool, held: u64) -> Applicant {
        let held = Duration::from_secs(held);
        Applicant { peer: PeerKey(peer), gives, snubbing: false, choked, held, age: Duration::from_secs(100) }
    }

    fn choose(
        choker: &mut Choker,
        now: u64,
        applicants: &[Applicant],
        slots: usize,
        seeding: bool,
    ) -> Vec<u64> {
        let mut rng = fastrand::Rng::with_seed(now);
        let chosen = choker.choose(Duration::from_secs(now), applicants.to_vec(), slots, seeding, &mut rng);
        let mut chosen: Vec<u64> = chosen.iter().map(|peer| peer.0).collect();
        chosen.sort_unstable();
        chosen
    }

    #[test]
    fn those_who_give_most_are_served_and_one_more() {
        let mut choker = Choker::new(Duration::ZERO);
        let all: Vec<_> = (0..10).map(|peer| applicant(peer, peer * 100, peer < 7, 10)).collect();
        let chosen = choose(&mut choker, 10, &all, 4, false);
        assert_eq!(chosen[1..], [7, 8, 9], "{chosen:?}");
        assert!(chosen[0] < 7);
    }

    #[test]
    fn the_optimistic_peer_changes_every_thirty_seconds() {
        let mut choker = Choker::new(Duration::ZERO);
        let all: Vec<_> = (0..50).map(|peer| applicant(peer, peer, true, 10)).collect();
        let lucky: Vec<u64> =
            [10, 20, 30, 40, 70].iter().map(|&now| choose(&mut choker, now, &all, 1, false)[0]).collect();
        assert_eq!(lucky[0], lucky[1]);
        assert_eq!(lucky[0], lucky[2]);
        assert!(lucky[0] != lucky[3] || lucky[3] != lucky[4], "{lucky:?}");
    }

    #[test]
    fn a_seed_serves_everyone_in_turn() {
        let mut choker = Choker::new(Duration::ZERO);
        let all = [
            applicant(1, 0, false, 60),
            applicant(2, 0, false, 10),
            applicant(3, 0, true, 20),
            applicant(4, 0, true, 50),
            applicant(5, 0, false, 40),
        ];
        assert_eq!(choose(&mut choker, 10, &all, 1, true), [2]);
        assert_eq!(choose(&mut choker, 10, &all, 2, true), [2, 4]);
        assert_eq!(choose(&mut choker, 10, &all, 4, true), [2, 3, 4, 5]);
    }

    #[test]
    fn a_snubbing_peer_earns_nothing() {
        let mut choker = Choker::new(Duration::ZERO);
        let mut all = [applicant(1, 900, false, 10), applicant(2, 1, false, 10)];
        all[0].snubbing = true;
        assert_eq!(choose(&mut choker, 10, &all, 1, false), [2]);
    }

    #[test]
    fn slots_grow_with_the_rate_unless_the_user_names_a_number() {
        assert_eq!(slots(None, 0), 8);
        assert_eq!(slots(None, 1 << 20), 16);
        assert_eq!(slots(Some(3), 1 << 30), 3);
    }
}
