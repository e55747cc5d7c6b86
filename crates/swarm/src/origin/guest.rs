//! One peer of a sizing origin: what it was given, whether it makes progress, and what it has proved.
//!
//! Owned by `Origin`. What is done about it is decided elsewhere.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use metainfo::{Bitfield, PeerId};

use super::prove::Proof;

/// A downloader that gets nothing for this long is helped, whatever else holds: a third of what a person takes for a breakdown.
const STALL: Duration = Duration::from_secs(10);

/// Unless it always took so many times less between two pieces.
const USUAL_GAPS: u32 = 3;

/// A piece given to a downloader that shows no sign of fetching it is for others after this long: longer than a round of any
/// client's choker, twice.
const LAPSE: Duration = Duration::from_secs(20);

/// A peer that was sent a whole piece has it after this long, if it does not say so: some clients tell a piece only to those that
/// lack it, and they believe that we do not.
const DIGEST: Duration = Duration::from_secs(5);

/// A piece revealed to a guest that does not have it.
#[derive(Debug)]
struct Open {
    /// Bytes of it that we have not sent.
    left: u32,
    moved: Duration,
    asked: bool,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) id: PeerId,
    pub(super) ip: IpAddr,
    /// It has said what it has, or had the time to.
    pub(super) met: bool,
    /// Pieces it was told of; that cannot be taken back.
    pub(super) revealed: Bitfield,
    /// Pieces it lacks.
    pub(super) lacks: u32,
    pub(super) complete: bool,
    open: BTreeMap<u32, Open>,
    /// When it last got a piece, a block of ours, or help.
    moved: Duration,
    since: Duration,
    /// Pieces it got while here.
    gains: u32,
    /// When it last got a piece, and the usual time between two.
    gained: Duration,
    gap: Duration,
    /// How often in a row it stood still with nobody but us giving it anything.
    stalls: u32,
    /// It does not ask for what it is given.
    pub(super) dormant: bool,
    pub(super) proof: Proof,
}

/// What became of a piece that was given to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has it, and does not say so.
    Digested(u32),
    /// It is for others.
    Lapsed(u32),
}

impl Guest {
    pub(super) fn new(now: Duration, id: PeerId, ip: IpAddr, pieces: u32) -> Self {
        Self {
            id,
            ip,
            met: false,
            revealed: Bitfield::none(pieces),
            lacks: pieces,
            complete: false,
            open: BTreeMap::new(),
            moved: now,
            since: now,
            gains: 0,
            gained: now,
            gap: Duration::ZERO,
            stalls: 0,
            dormant: false,
            proof: Proof::new(now),
        }
    }

    pub(super) fn is_open(&self, piece: u32) -> bool {
        self.open.contains_key(&piece)
    }

    pub(super) fn open_pieces(&self) -> impl Iterator<Item = u32> + '_ {
        self.open.keys().copied()
    }

    /// Pieces given to it of which something is still to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.open.values().filter(|open| open.left > 0).count()
    }

    /// Whether the crowd gives it nothing, so that it needs us for all.
    pub(super) fn is_forsaken(&self) -> bool {
        self.stalls >= 2
    }

    /// It is given a piece; says whether it must be told of it.
    pub(super) fn give(&mut self, now: Duration, piece: u32, content: u32) -> bool {
        self.open.insert(piece, Open { left: content, moved: now, asked: false });
        self.revealed.set(piece)
    }

    /// It got a piece; says whether that was one given to it.
    pub(super) fn gain(&mut self, now: Duration, piece: u32) -> bool {
        self.lacks = self.lacks.saturating_sub(1);
        self.dormant = false;
        if self.met && self.moved <= self.gained {
            self.gap = (self.gap * 7 + now.saturating_sub(self.gained)) / 8;
        }
        self.gains += u32::from(self.met);
        if self.met && !self.revealed.get(piece) {
            self.stalls = 0;
        }
        (self.moved, self.gained) = (now, now);
        self.open.remove(&piece).is_some()
    }

    /// It asks for a block of a piece.
    pub(super) fn asks(&mut self, now: Duration, piece: u32) {
        self.dormant = false;
        if let Some(open) = self.open.get_mut(&piece) {
            (open.asked, open.moved) = (true, now);
        }
    }

    /// It was sent bytes of a piece; says whether those were the last of it.
    pub(super) fn receive(&mut self, now: Duration, piece: u32, bytes: u32) -> bool {
        self.moved = now;
        let Some(open) = self.open.get_mut(&piece).filter(|open| open.left > 0) else { return false };
        open.left = open.left.saturating_sub(bytes);
        open.moved = now;
        open.left == 0
    }

    /// Takes all pieces back that were given to it.
    pub(super) fn close_all(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.open).into_keys().collect()
    }

    /// Takes those pieces back that it has, or does not fetch. `waits`: it asked for blocks of the piece that have not left.
    pub(super) fn review(&mut self, now: Duration, choked: bool, waits: impl Fn(u32) -> bool) -> Vec<Fate> {
        let mut fates = Vec::new();
        let mut ignored = false;
        self.open.retain(|&piece, open| {
            let age = now.saturating_sub(open.moved);
            let (digested, lapsed) = (open.left == 0 && age >= DIGEST, age >= LAPSE && !waits(piece));
            if digested {
                fates.push(Fate::Digested(piece));
            } else if lapsed {
                fates.push(Fate::Lapsed(piece));
                ignored |= !open.asked && !choked;
            }
            !(digested || lapsed)
        });
        self.dormant |= ignored && self.open.is_empty();
        fates
    }

    /// For how long it has stood still, if that is too long for a downloader.
    pub(super) fn stalled(&self, now: Duration) -> Option<Duration> {
        let still = now.saturating_sub(self.moved);
        let patience = STALL.max(self.gap * USUAL_GAPS);
        (still >= patience).then_some(still)
    }

    /// It is being helped: its clock starts again.
    pub(super) fn help(&mut self, now: Duration) {
        self.moved = now;
        self.stalls += 1;
    }

    /// Whether it will soon have everything, at the pace of all its time here: that of the last pieces jumps.
    pub(super) fn is_nearly_done(&self) -> bool {
        let so_far = self.gained.saturating_sub(self.since);
        let soon = self.gains > 0 && so_far * self.lacks <= NEARLY * self.gains;
        self.met && !self.complete && (soon || self.lacks <= FEW)
    }
}

/// So long before a download ends we ask to be unchoked, so that we can ask for a proof at its end, which may be all the time there is.
const NEARLY: Duration = Duration::from_secs(3);

/// So many pieces before the end we do so in any case.
const FEW: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn guest() -> Guest {
        let mut guest = Guest::new(s(0), PeerId([1; 20]), IpAddr::from([192, 0, 2, 1]), 100);
        guest.met = true;
        guest
    }

    #[test]
    fn a_guest_that_gets_nothing_for_ten_seconds_stands_still() {
        let mut guest = guest();
        guest.gain(s(1), 0);
        assert_eq!((guest.stalled(s(10)), guest.stalled(s(11))), (None, Some(s(10))));
        guest.receive(s(11), 1, 100);
        assert_eq!(guest.stalled(s(20)), None);
    }

    #[test]
    fn a_guest_that_is_always_slow_is_given_more_time() {
        let mut guest = guest();
        for piece in 0..40 {
            guest.gain(s(8 * u64::from(piece + 1)), piece);
        }
        assert_eq!(guest.stalled(s(8 * 40 + 20)), None);
        assert!(guest.stalled(s(8 * 40 + 25)).is_some());
    }

    #[test]
    fn a_guest_that_only_we_help_is_forsaken_until_another_does() {
        let mut guest = guest();
        guest.give(s(0), 5, 10);
        guest.help(s(10));
        guest.gain(s(11), 5);
        guest.help(s(21));
        assert!(guest.is_forsaken());
        guest.gain(s(22), 6);
        assert!(!guest.is_forsaken());
    }

    #[test]
    fn what_a_guest_does_not_fetch_is_for_others() {
        let mut guest = guest();
        guest.give(s(0), 1, 10);
        guest.give(s(0), 2, 10);
        guest.give(s(0), 3, 10);
        guest.receive(s(1), 2, 10);
        guest.asks(s(1), 3);
        assert_eq!(guest.review(s(10), false, |_| false), [Fate::Digested(2)]);
        assert_eq!(guest.review(s(30), false, |piece| piece == 3), [Fate::Lapsed(1)]);
        assert_eq!(guest.review(s(30), false, |_| false), [Fate::Lapsed(3)]);
        assert!(!guest.dormant);
    }

    #[test]
    fn a_guest_that_never_asks_does_not_count() {
        let mut guest = guest();
        guest.give(s(0), 1, 10);
        guest.review(s(20), false, |_| false);
        assert!(guest.dormant);
        guest.asks(s(61), 1);
        assert!(!guest.dormant);
    }
}
