//! Who sent the bad block.
//!
//! Owned by `Swarm`. When a piece does not match its hash it keeps the digests of the blocks and their senders. When a good
//! copy comes, whoever's block differs is the liar. A peer that alone sent two bad pieces is one without waiting for that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use metainfo::PeerId;

use crate::event::{Digest, PeerKey, WebSeedKey};

/// Bad pieces that only one peer can explain before it is banned. One might be a fault of memory or of the line; a web seed, over
/// which nothing was agreed and whose file would only be wrong again, is banned for the first.
const MAX_ALONE: u32 = 2;

/// Bad copies kept of one piece.
const MAX_COPIES: usize = 4;

/// Blocks whose evidence is kept, over all pieces: 256 Ki of 36 bytes are 9 MiB.
const MAX_EVIDENCE: usize = 256 << 10;

/// People remembered after they left, so that a late verdict still finds them.
const MAX_PEOPLE: usize = 4096;

/// How long a bad piece waits for a peer that had no part in it.
const UNTAINTED_WAIT: Duration = Duration::from_secs(5);

/// Who a ban is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Person {
    /// Everyone at an address.
    Address(IpAddr),
    /// One of the many peers that loopback is.
    Local(IpAddr, PeerId),
    /// A web seed.
    Server(WebSeedKey),
}

impl Person {
    pub(crate) fn new(ip: IpAddr, id: PeerId) -> Self {
        if ip.is_loopback() { Self::Local(ip, id) } else { Self::Address(ip) }
    }

    /// Bad pieces that only it can explain before it is banned.
    fn grace(&self) -> u32 {
        if matches!(self, Self::Server(_)) { 1 } else { MAX_ALONE }
    }
}

/// One bad copy of a piece.
#[derive(Debug)]
struct Copy {
    digests: Vec<Digest>,
    senders: Vec<Option<PeerKey>>,
}

/// The evidence.
#[derive(Debug, Default)]
pub(crate) struct Blame {
    copies: BTreeMap<u32, Vec<Copy>>,
    evidence: usize,
    /// Bad pieces nobody else had a part in.
    alone: BTreeMap<Person, u32>,
    people: BTreeMap<PeerKey, Person>,
    banned: BTreeSet<Person>,
    /// Bad pieces that nobody has begun again, and since when they wait.
    retries: BTreeMap<u32, Duration>,
}

impl Blame {
    /// A peer connected; says whether it is welcome.
    pub(crate) fn meet(&mut self, peer: PeerKey, person: Person) -> bool {
        self.people.insert(peer, person);
        if self.people.len() > MAX_PEOPLE {
            self.people.pop_first();
        }
        !self.banned.contains(&person)
    }

    /// Whether digests of this piece's blocks are wanted.
    pub(crate) fn watches(&self, piece: u32) -> bool {
        self.copies.contains_key(&piece)
    }

    /// A piece was bad. Who is to be banned for it.
    pub(crate) fn bad(
        &mut self,
        piece: u32,
        digests: Vec<Digest>,
        senders: Vec<Option<PeerKey>>,
    ) -> Vec<Person> {
        let mut verdict = Vec::new();
        if let Some(person) = self.only_one(&senders) {
            let count = self.alone.entry(person).or_default();
            *count += 1;
            if *count >= person.grace() && self.banned.insert(person) {
                verdict.push(person);
            }
        }
        let copies = self.copies.entry(piece).or_default();
        if copies.len() == MAX_COPIES {
            self.evidence -= copies.remove(0).digests.len();
        }
        self.evidence += digests.len();
        copies.push(Copy { digests, senders });
        while self.evidence > MAX_EVIDENCE
            && let Some((_, old)) = self.copies.pop_first()
        {
            self.evidence -= old.iter().map(|copy| copy.digests.len()).sum::<usize>();
        }
        verdict
    }

    /// Somebody was caught in a lie.
    pub(crate) fn condemn(&mut self, liar: Person) {
        self.banned.insert(liar);
    }

    /// A good copy of a piece came. Who is to be banned for the bad ones.
    pub(crate) fn good(&mut self, piece: u32, digests: &[Digest]) -> Vec<Person> {
        let copies = self.forget(piece);
        let differing = copies.iter().flat_map(|copy| {
            let pairs = copy.digests.iter().zip(digests).zip(&copy.senders);
            pairs.filter(|((bad, good), _)| bad != good).filter_map(|(_, sender)| *sender)
        });
        let liars = differing.filter_map(|peer| self.people.get(&peer).copied());
        liars.filter(|&liar| self.banned.insert(liar)).collect()
    }

    /// Who sent every block that anyone sent, over one connection or several, if it was one person.
    pub(crate) fn only_one(&self, senders: &[Option<PeerKey>]) -> Option<Person> {
        let mut people = senders.iter().flatten().map(|sender| self.people.get(sender));
        let first = *people.next()??;
        people.all(|person| person == Some(&first)).then_some(first)
    }

    /// Nothing about this piece matters any more.
    fn forget(&mut self, piece: u32) -> Vec<Copy> {
        let copies = self.copies.remove(&piece).unwrap_or_default();
        self.evidence -= copies.iter().map(|copy| copy.digests.len()).sum::<usize>();
        copies
    }

    /// A bad piece is missing again, and waits for one peer to send it whole.
    pub(crate) fn wait(&mut self, now: Duration, piece: u32) {
        self.retries.insert(piece, now);
    }

    /// A piece that waited is begun, or no longer wanted.
    pub(crate) fn stop_waiting(&mut self, piece: u32) -> bool {
        self.retries.remove(&piece).is_some()
    }

    /// Pieces that wait for one peer to send them whole, and may be given to this one: best to a peer that had no part in them,
    /// after some seconds to anyone.
    pub(crate) fn retries_for(&self, now: Duration, peer: PeerKey) -> impl Iterator<Item = u32> + '_ {
        self.retries.iter().filter_map(move |(&piece, &since)| {
            let waited = now.saturating_sub(since) >= UNTAINTED_WAIT;
            (waited || !self.is_tainted(piece, peer)).then_some(piece)
        })
    }

    /// Whether the peer sent part of a bad copy.
    fn is_tainted(&self, piece: u32, peer: PeerKey) -> bool {
        let person = self.people.get(&peer);
        let mut senders =
            self.copies.get(&piece).into_iter().flatten().flat_map(|copy| copy.senders.iter().flatten());
        senders.any(|sender| self.people.get(sender) == person)
    }

    pub(crate) fn has_retries(&self) -> bool {
        !self.retries.is_empty()
    }

    pub(crate) fn is_waiting(&self, piece: u32) -> bool {
        self.retries.contains_key(&piece)
    }

    /// Whether nobody has done anything wrong.
    pub(crate) fn is_blank(&self) -> bool {
        self.alone.is_empty() && self.banned.is_empty()
    }

    /// Whether everyone at this address is banned.
    pub(crate) fn is_banned_address(&self, ip: IpAddr) -> bool {
        self.banned.contains(&Person::Address(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: PeerKey = PeerKey(1);
    const TWO: PeerKey = PeerKey(2);

    fn person(last: u8) -> Person {
        Person::new(IpAddr::from([10, 0, 0, last]), PeerId([last; 20]))
    }

    fn blame() -> Blame {
        let mut blame = Blame::default();
        assert!(blame.meet(ONE, person(1)) && blame.meet(TWO, person(2)));
        blame
    }

    #[test]
    fn the_sender_of_the_block_that_differs_is_the_liar() {
        let mut blame = blame();
        let senders = vec![Some(ONE), Some(TWO), None];
        assert_eq!(blame.bad(0, vec![[1; 20], [9; 20], [3; 20]], senders), []);
        assert!(blame.watches(0));
        assert_eq!(blame.good(0, &[[1; 20], [2; 20], [3; 20]]), [person(2)]);
        assert!(!blame.watches(0) && !blame.meet(PeerKey(3), person(2)));
    }

    #[test]
    fn two_bad_pieces_that_only_one_peer_can_explain_are_enough() {
        let mut blame = blame();
        assert_eq!(blame.bad(0, vec![[1; 20]], vec![Some(ONE)]), []);
        assert_eq!(blame.bad(1, vec![[1; 20], [2; 20]], vec![Some(ONE), Some(TWO)]), []);
        assert_eq!(blame.bad(2, vec![[1; 20]], vec![Some(ONE)]), [person(1)]);
    }

    #[test]
    fn evidence_is_bounded() {
        let mut blame = blame();
        for piece in 0..100 {
            for _ in 0..10 {
                blame.bad(piece, vec![[1; 20]; 10_000], vec![Some(ONE), Some(TWO)]);
            }
        }
        assert!(blame.evidence <= MAX_EVIDENCE);
    }
}
