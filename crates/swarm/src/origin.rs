//! The origin that sizes itself: it gives each piece to one downloader, and nothing once the crowd has copies enough (BEP 16).
//!
//! Owned by `Swarm` while it is complete and was asked to size itself. Peers take it for a downloader that gets pieces one by one,
//! so that those that have everything stay, and each of them can be asked to prove it. Here is what is known and decided;
//! `host` does it. Who may be connected, and whom to unchoke, is not decided here.

mod completions;
mod copies;
mod guest;
mod host;
mod prove;

use std::collections::BTreeMap;
use std::time::Duration;

use metainfo::{Bitfield, Layout, PieceIndex};

pub use completions::Completions;

use crate::PeerKey;
use crate::peers::Has;
use completions::Ledger;
use copies::{Copies, Pool};
use guest::Guest;

/// When a complete swarm leaves the crowd to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// Nothing is sent while this many copies of the rarest piece are held by connected peers that proved it.
    pub copies: usize,
    /// For how long they must have been there.
    pub hold: Duration,
}

impl Sizing {
    /// Each piece is given once, however many copies there are.
    pub const SPREAD: Self = Self { copies: usize::MAX, hold: Duration::from_secs(10) };
}

impl Default for Sizing {
    /// Three copies, because two of them may leave within one tick of the clock; held for as long as a peer may stand still.
    fn default() -> Self {
        Self { copies: 3, ..Self::SPREAD }
    }
}

/// How much a sizing origin gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything: there is nobody with whom the one downloader could trade.
    Full,
    /// Each piece to one downloader.
    Spread,
    /// Nothing.
    Silent,
}

impl Mode {
    /// Its name, as people and programs read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Spread => "spread",
            Self::Silent => "silent",
        }
    }
}

/// A sizing origin at a glance.
#[derive(Clone, Copy, Debug)]
pub struct OriginStatus<'a> {
    /// How much it gives.
    pub mode: Mode,
    /// Since when, on the swarm's clock.
    pub since: Duration,
    /// Why, in words.
    pub reason: &'a str,
    /// Copies of the rarest piece at connected peers that proved what they have.
    pub copies: usize,
    /// Connected peers that lack something and ask for it.
    pub downloaders: usize,
    /// Connected peers that have everything and proved it.
    pub holders: usize,
    /// Downloads that came to their end in this run.
    pub completions: Completions,
}

/// Pieces that a guest lacks looked at for the one with the fewest copies. In the pool most have none, and the first of them ends
/// the search.
const LOOKS: usize = 512;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Origin {
    sizing: Sizing,
    mode: Mode,
    since: Duration,
    reason: String,
    downloaders: usize,
    guests: BTreeMap<PeerKey, Guest>,
    /// What connected peers have that proved it.
    proved: Copies,
    /// How many guests were given the piece and are expected to fetch it.
    assigned: Vec<u16>,
    /// Content bytes of each piece that were sent to nobody yet, as far as can be told by their number.
    unsent: Vec<u32>,
    /// Pieces that nobody else is known to have and nobody was given.
    pool: Pool,
    /// Since when there have been copies enough and nobody stood still.
    enough_since: Option<Duration>,
    ledger: Ledger,
}

impl Origin {
    pub(crate) fn new(now: Duration, sizing: Sizing, layout: &Layout) -> Self {
        let pieces = 0..layout.piece_count();
        let count = pieces.len();
        let mut pool = Pool::new(layout.piece_count());
        pieces.clone().for_each(|piece| pool.set(piece, true));
        Self {
            sizing,
            mode: Mode::Full,
            since: now,
            reason: String::from("nobody downloads"),
            downloaders: 0,
            guests: BTreeMap::new(),
            proved: Copies::new(count),
            assigned: vec![0; count],
            unsent: pieces.map(|piece| layout.piece_content(PieceIndex(piece))).collect(),
            pool,
            enough_since: None,
            ledger: Ledger::default(),
        }
    }

    pub(crate) fn status(&self) -> OriginStatus<'_> {
        OriginStatus {
            mode: self.mode,
            since: self.since,
            reason: &self.reason,
            copies: self.proved.rarest(),
            downloaders: self.downloaders,
            holders: self.proved.seeds(),
            completions: self.ledger.completions(),
        }
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.mode == Mode::Silent
    }

    /// Whether a guest may ask for the piece.
    pub(crate) fn reveals(&self, key: PeerKey, piece: u32) -> bool {
        self.guests.get(&key).is_some_and(|guest| guest.revealed.get(piece))
    }

    /// A guest turned out to have one more piece; `claims` peers say so by now. `have`: so do we.
    pub(crate) fn gained(&mut self, now: Duration, key: PeerKey, piece: u32, claims: usize, have: bool) {
        let Some(guest) = self.guests.get_mut(&key) else { return };
        if guest.proof.proved {
            self.proved.add_one(piece);
        }
        if guest.gain(now, piece) {
            self.unassign(piece);
        }
        self.refresh(piece, claims, have);
    }

    /// A guest turned out to have every piece; so far it was known to have these.
    pub(crate) fn completes(&mut self, now: Duration, key: PeerKey, before: &Has) {
        if self.guests.get(&key).is_none_or(|guest| guest.complete) {
            return;
        }
        // What it proved before is no proof of the rest.
        self.count_proof(key, before, false);
        let Some(guest) = self.guests.get_mut(&key) else { return };
        guest.complete = true;
        guest.lacks = 0;
        guest.proof.hurry(now);
        self.ledger.claim(guest.id);
        for piece in guest.close_all() {
            self.unassign(piece);
        }
    }

    /// What one guest has counts as proved, or no longer.
    fn count_proof(&mut self, key: PeerKey, has: &Has, proved: bool) {
        let Some(guest) = self.guests.get_mut(&key).filter(|guest| guest.proof.proved != proved) else {
            return;
        };
        guest.proof.proved = proved;
        if proved {
            self.proved.add(has);
        } else {
            self.proved.remove(has);
        }
    }

    fn unassign(&mut self, piece: u32) {
        if let Some(count) = self.assigned.get_mut(piece as usize) {
            *count = count.saturating_sub(1);
        }
    }

    /// Sees to it that the pool holds the piece if that is right. A claim alone counts if we have sent the piece to somebody:
    /// then it is out there. If we have not, whoever claims it must prove it.
    fn refresh(&mut self, piece: u32, claims: usize, have: bool) {
        let at = piece as usize;
        let out = self.unsent.get(at) == Some(&0) && claims > 0;
        let free = self.assigned.get(at) == Some(&0);
        self.pool.set(piece, have && free && !out && self.proved.of(piece) == 0);
    }

    /// What the mode should be, and why. `stalled`: who stands still, and for how long.
    fn judge(&mut self, now: Duration, stalled: Option<(String, Duration)>) -> Option<(Mode, String)> {
        let copies = self.proved.rarest();
        let enough = copies >= self.sizing.copies;
        let awake = if self.downloaders < 2 { Mode::Full } else { Mode::Spread };
        if !enough || stalled.is_some() {
            self.enough_since = None;
        } else {
            let since = *self.enough_since.get_or_insert(now);
            if self.mode != Mode::Silent && now.saturating_sub(since) >= self.sizing.hold {
                let held = now.saturating_sub(since).as_secs();
                let copies = if copies == 1 { "1 copy".to_owned() } else { format!("{copies} copies") };
                return Some((Mode::Silent, format!("{copies} held for {held} s")));
            }
        }
        match (self.mode, stalled) {
            (Mode::Silent, Some((who, time))) => {
                Some((awake, format!("peer {who} has made no progress for {} s", time.as_secs())))
            }
            (Mode::Silent, None) if !enough => {
                Some((awake, format!("{copies} of {} copies are left", self.sizing.copies)))
            }
            (Mode::Silent, None) => None,
            (mode, _) if mode != awake => Some((awake, self.company())),
            _ => None,
        }
    }

    fn company(&self) -> String {
        match self.downloaders {
            0 => String::from("nobody downloads"),
            1 => String::from("one downloader is alone"),
            many => format!("{many} downloaders can trade"),
        }
    }

    /// A piece for this guest that nobody else has or was given: of those looked at the one with the fewest claims.
    fn pick_new(&self, guest: &Guest, has: &Has, claims: impl Fn(u32) -> usize, from: usize) -> Option<u32> {
        let fits = |piece: &u32| !guest.revealed.get(*piece) && !has.get(*piece);
        let mut best: Option<(usize, u32)> = None;
        for piece in self.pool.around(from).take(LOOKS).filter(fits) {
            let count = claims(piece);
            if count == 0 {
                return Some(piece);
            }
            if best.is_none_or(|(least, _)| count < least) {
                best = Some((count, piece));
            }
        }
        best.map(|(_, piece)| piece)
    }

    /// The rarest piece that this guest lacks of those looked at from `from` on, whoever else has it or was given it.
    fn pick_any(
        &self,
        guest: &Guest,
        has: &Has,
        have: &Bitfield,
        claims: impl Fn(u32) -> usize,
        from: u32,
    ) -> Option<u32> {
        let around = have.iter_from(from).chain(have.iter().take_while(|&piece| piece < from));
        let fits = around.filter(|&piece| !has.get(piece) && !guest.is_open(piece));
        fits.take(LOOKS).min_by_key(|&piece| {
            (self.proved.of(piece), self.assigned.get(piece as usize).copied().unwrap_or(0), claims(piece))
        })
    }

    /// Panics if the counts contradict each other.
    pub(crate) fn check_invariants(&self) {
        self.pool.check_invariants();
        let mut assigned = vec![0u16; self.assigned.len()];
        for guest in self.guests.values() {
            for piece in guest.open_pieces() {
                assert!(guest.revealed.get(piece), "piece {piece} is given and not revealed");
                assigned[piece as usize] += 1;
            }
        }
        assert_eq!(assigned, self.assigned);
        let holders = self.guests.values().filter(|guest| guest.proof.proved && guest.complete).count();
        assert_eq!(holders, self.proved.seeds());
    }
}
