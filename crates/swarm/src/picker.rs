//! Which piece to begin next: the user's wish first, then the rarest, ties at random (BEP 3).
//!
//! Owned by `Swarm`. It keeps every piece that may be begun in one queue, sorted into buckets by wish and rarity. A piece
//! changes its bucket by one swap, so that neither a `have` nor a pick ever looks at all pieces. Which pieces may be
//! begun is for the `Swarm` to say.

use metainfo::Bitfield;

use crate::event::Priority;
use crate::peers::Has;

/// Rarities told apart; a piece with more copies counts as one with the most.
const RARITIES: usize = 64;

/// One row of rarities for each of `High`, `Normal` and `Low`.
const BUCKETS: usize = 3 * RARITIES;

/// Pieces looked at in the queue before the peer's own, presumably few, pieces are looked at instead.
const LOOKS: usize = 4096;

/// Pieces of a peer's compared then.
const FEW: usize = 64;

/// A piece that is not in the queue.
const NOWHERE: u32 = u32::MAX;

/// What is known of each piece's worth, and the queue of those that may be begun.
#[derive(Debug)]
pub(crate) struct Picker {
    wishes: Vec<Priority>,
    /// Connected peers that have the piece, those that have every piece not counted.
    copies: Vec<u16>,
    /// Connected peers that have every piece.
    seeds: usize,
    queue: Vec<u32>,
    /// Where each piece stands in the queue.
    places: Vec<u32>,
    /// Where each bucket begins in the queue, and after the last its end.
    starts: [u32; BUCKETS + 1],
    sequential: bool,
    /// Grows whenever a piece enters the queue: until then a peer that found nothing will find nothing.
    version: u64,
}

impl Picker {
    pub(crate) fn new(pieces: u32, sequential: bool) -> Self {
        let count = pieces as usize;
        Self {
            wishes: vec![Priority::Normal; count],
            copies: vec![0; count],
            seeds: 0,
            queue: Vec::new(),
            places: vec![NOWHERE; count],
            starts: [0; BUCKETS + 1],
            sequential,
            version: 1,
        }
    }

    pub(crate) fn set_sequential(&mut self, sequential: bool) {
        self.sequential = sequential;
    }

    pub(crate) fn wish(&self, piece: u32) -> Priority {
        self.wishes.get(piece as usize).copied().unwrap_or(Priority::Skip)
    }

    pub(crate) fn is_wanted(&self, piece: u32) -> bool {
        self.wish(piece) != Priority::Skip
    }

    /// Notes the user's wish. A skipped piece leaves the queue.
    pub(crate) fn set_wish(&mut self, piece: u32, wish: Priority) {
        let queued = self.withdraw(piece);
        if let Some(slot) = self.wishes.get_mut(piece as usize) {
            *slot = wish;
        }
        if queued {
            self.offer(piece);
        }
    }

    /// Puts a piece into the queue, unless the user skips it.
    pub(crate) fn offer(&mut self, piece: u32) {
        let Some(bucket) = self.bucket(piece).filter(|_| !self.is_queued(piece)) else { return };
        self.version += 1;
        self.queue.push(piece);
        // The hole travels from the end of the queue to the end of the piece's bucket.
        let mut hole = self.starts[BUCKETS];
        self.starts[BUCKETS] += 1;
        for at in (bucket + 1..BUCKETS).rev() {
            let first = self.starts[at];
            if first != hole {
                self.put(hole, self.queue[first as usize]);
                hole = first;
            }
            self.starts[at] += 1;
        }
        self.put(hole, piece);
    }

    /// Takes a piece out of the queue; says whether it was there.
    pub(crate) fn withdraw(&mut self, piece: u32) -> bool {
        let Some(bucket) = self.bucket(piece).filter(|_| self.is_queued(piece)) else { return false };
        let mut hole = self.places[piece as usize];
        for at in bucket + 1..=BUCKETS {
            self.starts[at] -= 1;
            let last = self.starts[at];
            if last != hole {
                self.put(hole, self.queue[last as usize]);
                hole = last;
            }
        }
        self.queue.pop();
        self.places[piece as usize] = NOWHERE;
        true
    }

    pub(crate) fn is_queued(&self, piece: u32) -> bool {
        self.places.get(piece as usize).is_some_and(|&place| place != NOWHERE)
    }

    /// Whether no piece is left to begin.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// A peer turned out to have these pieces.
    pub(crate) fn add_copies(&mut self, has: &Has) {
        match has {
            Has::All => self.seeds += 1,
            Has::Some(pieces) => pieces.iter().for_each(|piece| self.add_copy(piece)),
        }
    }

    /// A peer with these pieces left.
    pub(crate) fn remove_copies(&mut self, has: &Has) {
        match has {
            Has::All => self.seeds -= 1,
            Has::Some(pieces) => pieces.iter().for_each(|piece| self.remove_copy(piece)),
        }
    }

    /// A peer, no seed, has one more piece.
    pub(crate) fn add_copy(&mut self, piece: u32) {
        let before = self.bucket(piece);
        self.copies[piece as usize] += 1;
        if let (Some(from), true) = (before, self.is_queued(piece))
            && self.bucket(piece) != before
        {
            // To the end of its bucket; then the next bucket begins one earlier, with it.
            let last = self.starts[from + 1] - 1;
            self.swap(self.places[piece as usize], last);
            self.starts[from + 1] -= 1;
        }
    }

    fn remove_copy(&mut self, piece: u32) {
        let before = self.bucket(piece);
        self.copies[piece as usize] -= 1;
        if let (Some(from), true) = (before, self.is_queued(piece))
            && self.bucket(piece) != before
        {
            let first = self.starts[from];
            self.swap(self.places[piece as usize], first);
            self.starts[from] += 1;
        }
    }

    /// The best piece to begin with a peer that has these.
    pub(crate) fn pick(&self, has: &Has, rng: &mut fastrand::Rng) -> Option<u32> {
        if self.sequential {
            return self.pick_first(has);
        }
        let mut looks = 0;
        for bucket in 0..BUCKETS {
            let members = self.members(bucket);
            // What nobody but seeds has, no other peer has.
            let hopeless = bucket % RARITIES == 0 && matches!(has, Has::Some(_));
            if members.is_empty() || hopeless {
                continue;
            }
            let (before, after) = members.split_at(rng.usize(..members.len()));
            let fits = after.iter().chain(before).take(LOOKS - looks).find(|&&piece| has.get(piece));
            if fits.is_some() {
                return fits.copied();
            }
            looks += members.len();
            if looks >= LOOKS {
                return self.pick_from(has, rng);
            }
        }
        None
    }

    /// The first piece of the best wish.
    fn pick_first(&self, has: &Has) -> Option<u32> {
        let row = |row: usize| &self.queue[self.start(row * RARITIES)..self.start((row + 1) * RARITIES)];
        (0..3).find_map(|class| row(class).iter().copied().filter(|&piece| has.get(piece)).min())
    }

    /// The best of a few pieces of the peer's, taken from anywhere, that are in the queue.
    fn pick_from(&self, has: &Has, rng: &mut fastrand::Rng) -> Option<u32> {
        let Has::Some(pieces) = has else { return self.queue.first().copied() };
        let from = rng.u32(..pieces.len().max(1));
        let around = pieces.iter_from(from).chain(pieces.iter().take_while(|&piece| piece < from));
        let queued = around.filter(|&piece| self.is_queued(piece));
        queued.take(FEW).min_by_key(|&piece| self.bucket(piece))
    }

    /// Copies of the rarest piece.
    pub(crate) fn rarest(&self) -> usize {
        self.seeds + self.copies.iter().min().map_or(0, |&copies| usize::from(copies))
    }

    /// Connected peers that have the piece.
    pub(crate) fn claims(&self, piece: u32) -> usize {
        self.seeds + self.copies.get(piece as usize).map_or(0, |&copies| usize::from(copies))
    }

    pub(crate) fn seeds(&self) -> usize {
        self.seeds
    }

    /// Whether only we have one of these pieces.
    pub(crate) fn any_without_copies(&self, have: &Bitfield) -> bool {
        self.seeds == 0 && (0u32..).zip(&self.copies).any(|(piece, &copies)| copies == 0 && have.get(piece))
    }

    fn bucket(&self, piece: u32) -> Option<usize> {
        let row = match self.wish(piece) {
            Priority::High => 0,
            Priority::Normal => 1,
            Priority::Low => 2,
            Priority::Skip => return None,
        };
        let copies = usize::from(*self.copies.get(piece as usize)?);
        Some(row * RARITIES + copies.min(RARITIES - 1))
    }

    fn start(&self, bucket: usize) -> usize {
        self.starts[bucket] as usize
    }

    fn members(&self, bucket: usize) -> &[u32] {
        &self.queue[self.start(bucket)..self.start(bucket + 1)]
    }

    fn put(&mut self, place: u32, piece: u32) {
        self.queue[place as usize] = piece;
        self.places[piece as usize] = place;
    }

    fn swap(&mut self, one: u32, other: u32) {
        let (first, second) = (self.queue[one as usize], self.queue[other as usize]);
        self.put(one, second);
        self.put(other, first);
    }

    /// Panics if the queue is not what its parts say.
    pub(crate) fn check_invariants(&self) {
        assert_eq!(self.start(BUCKETS), self.queue.len());
        for bucket in 0..BUCKETS {
            for &piece in self.members(bucket) {
                assert_eq!(self.bucket(piece), Some(bucket), "piece {piece} stands in the wrong bucket");
            }
        }
        for (place, &piece) in (0u32..).zip(&self.queue) {
            assert_eq!(self.places[piece as usize], place);
        }
        let placed = self.places.iter().filter(|&&place| place != NOWHERE).count();
        assert_eq!(placed, self.queue.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(pieces: &[u32], len: u32) -> Has {
        let mut bits = Bitfield::none(len);
        for &piece in pieces {
            assert!(bits.set(piece));
        }
        Has::Some(bits)
    }

    fn picker(pieces: u32) -> Picker {
        let mut picker = Picker::new(pieces, false);
        (0..pieces).for_each(|piece| picker.offer(piece));
        picker
    }

    fn order(picker: &mut Picker, has: &Has) -> Vec<u32> {
        let mut rng = fastrand::Rng::with_seed(7);
        std::iter::from_fn(|| {
            let piece = picker.pick(has, &mut rng)?;
            assert!(picker.withdraw(piece));
            picker.check_invariants();
            Some(piece)
        })
        .collect()
    }

    #[test]
    fn of_many_pieces_a_peer_is_asked_for_any_of_its_own_and_not_in_order() {
        let count = 4 * u32::try_from(LOOKS).unwrap();
        let mut picker = picker(count);
        (0..count).for_each(|piece| picker.add_copy(piece));
        let few = has(&[7, 70, 700, 7000], count);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut asked: Vec<u32> = (0..100).filter_map(|_| picker.pick(&few, &mut rng)).collect();
        asked.sort_unstable();
        asked.dedup();
        assert!(asked.len() > 1, "{asked:?}");
    }

    #[test]
    fn the_rarest_piece_comes_first() {
        let mut picker = picker(4);
        picker.add_copies(&has(&[0, 1, 2], 4));
        picker.add_copies(&has(&[0, 1], 4));
        picker.add_copies(&has(&[0], 4));
        picker.check_invariants();
        assert_eq!(order(&mut picker, &Has::All), [3, 2, 1, 0]);
    }

    #[test]
    fn a_wish_outweighs_rarity_and_a_skipped_piece_is_never_picked() {
        let mut picker = picker(4);
        picker.add_copies(&has(&[0, 1], 4));
        picker.set_wish(1, Priority::High);
        picker.set_wish(3, Priority::Low);
        picker.set_wish(2, Priority::Skip);
        assert_eq!(order(&mut picker, &Has::All), [1, 0, 3]);
    }

    #[test]
    fn sequential_means_in_order() {
        let mut picker = picker(5);
        picker.set_sequential(true);
        picker.add_copies(&has(&[0, 1], 5));
        picker.set_wish(4, Priority::High);
        assert_eq!(order(&mut picker, &has(&[1, 2, 3, 4], 5)), [4, 1, 2, 3]);
    }

    #[test]
    fn ties_are_broken_differently_with_another_seed() {
        let picker = picker(1000);
        let first = |seed| picker.pick(&Has::All, &mut fastrand::Rng::with_seed(seed));
        assert!((1..20).any(|seed| first(seed) != first(0)));
        assert_eq!(first(3), first(3));
    }

    #[test]
    fn a_peer_with_one_piece_of_many_is_served_however_far_back_it_stands() {
        let mut picker = picker(20_000);
        let lone = has(&[19_999], 20_000);
        (0..5).for_each(|_| picker.add_copies(&lone));
        assert_eq!(picker.pick(&lone, &mut fastrand::Rng::with_seed(1)), Some(19_999));
    }

    #[test]
    fn the_queue_stays_sorted_through_any_changes() {
        let mut rng = fastrand::Rng::with_seed(11);
        let mut picker = picker(50);
        let mut peers: Vec<Has> = Vec::new();
        for _ in 0..2000 {
            let piece = rng.u32(..50);
            match rng.u32(..6) {
                0 => picker.offer(piece),
                1 => {
                    picker.withdraw(piece);
                }
                2 => picker.set_wish(piece, [Priority::Skip, Priority::Low, Priority::High][rng.usize(..3)]),
                3 | 4 => {
                    let pieces: Vec<u32> = (0..50).filter(|_| rng.bool()).collect();
                    peers.push(has(&pieces, 50));
                    picker.add_copies(peers.last().unwrap());
                }
                _ => {
                    if let Some(gone) = peers.pop() {
                        picker.remove_copies(&gone);
                    }
                }
            }
            picker.check_invariants();
        }
    }
}
