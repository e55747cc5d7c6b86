//! How many copies there are of each piece, and which pieces nobody has.
//!
//! Owned by `Origin`. Counting only.

use crate::peers::Has;

/// Copies of each piece.
#[derive(Debug)]
pub(super) struct Copies {
    /// Those of peers that do not have everything.
    single: Vec<u16>,
    /// Peers that have everything.
    seeds: usize,
    /// How many pieces have how many single copies, so that the rarest is known at once.
    with: Vec<u32>,
}

impl Copies {
    pub(super) fn new(pieces: usize) -> Self {
        let all = u32::try_from(pieces).unwrap_or(u32::MAX);
        Self { single: vec![0; pieces], seeds: 0, with: vec![all] }
    }

    pub(super) fn seeds(&self) -> usize {
        self.seeds
    }

    pub(super) fn of(&self, piece: u32) -> usize {
        self.seeds + self.single.get(piece as usize).map_or(0, |&copies| usize::from(copies))
    }

    /// Copies of the rarest piece.
    pub(super) fn rarest(&self) -> usize {
        self.seeds + self.with.iter().position(|&pieces| pieces > 0).unwrap_or(0)
    }

    pub(super) fn add(&mut self, has: &Has) {
        match has {
            Has::All => self.seeds += 1,
            Has::Some(pieces) => pieces.iter().for_each(|piece| self.add_one(piece)),
        }
    }

    pub(super) fn remove(&mut self, has: &Has) {
        match has {
            Has::All => self.seeds -= 1,
            Has::Some(pieces) => pieces.iter().for_each(|piece| self.change(piece, |copies| copies - 1)),
        }
    }

    pub(super) fn add_one(&mut self, piece: u32) {
        self.change(piece, |copies| copies + 1);
    }

    fn change(&mut self, piece: u32, how: impl Fn(u16) -> u16) {
        let Some(copies) = self.single.get_mut(piece as usize) else { return };
        let (old, new) = (*copies, how(*copies));
        *copies = new;
        if self.with.len() <= usize::from(new) {
            self.with.resize(usize::from(new) + 1, 0);
        }
        self.with[usize::from(old)] -= 1;
        self.with[usize::from(new)] += 1;
    }
}

/// A piece that is not in the pool.
const NOWHERE: u32 = u32::MAX;

/// A set of pieces that can be looked through from any place.
#[derive(Debug)]
pub(super) struct Pool {
    pieces: Vec<u32>,
    /// Where each piece stands in it.
    places: Vec<u32>,
}

impl Pool {
    pub(super) fn new(pieces: u32) -> Self {
        Self { pieces: Vec::new(), places: vec![NOWHERE; pieces as usize] }
    }

    pub(super) fn set(&mut self, piece: u32, member: bool) {
        let Some(&place) = self.places.get(piece as usize) else { return };
        if member == (place != NOWHERE) {
            return;
        }
        if member {
            self.places[piece as usize] = u32::try_from(self.pieces.len()).unwrap_or(NOWHERE);
            self.pieces.push(piece);
        } else {
            self.pieces.swap_remove(place as usize);
            if let Some(&moved) = self.pieces.get(place as usize) {
                self.places[moved as usize] = place;
            }
            self.places[piece as usize] = NOWHERE;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// All of them, from a place on and round.
    pub(super) fn around(&self, from: usize) -> impl Iterator<Item = u32> + '_ {
        let (before, after) = self.pieces.split_at(from.min(self.pieces.len()));
        after.iter().chain(before).copied()
    }

    /// Panics if the places are wrong.
    pub(super) fn check_invariants(&self) {
        for (place, &piece) in (0u32..).zip(&self.pieces) {
            assert_eq!(self.places[piece as usize], place);
        }
        let placed = self.places.iter().filter(|&&place| place != NOWHERE).count();
        assert_eq!(placed, self.pieces.len());
    }
}

#[cfg(test)]
mod tests {
    use metainfo::Bitfield;

    use super::*;

    fn has(pieces: &[u32]) -> Has {
        let mut bits = Bitfield::none(4);
        for &piece in pieces {
            assert!(bits.set(piece));
        }
        Has::Some(bits)
    }

    #[test]
    fn the_rarest_piece_is_known_at_once() {
        let mut copies = Copies::new(4);
        assert_eq!(copies.rarest(), 0);
        copies.add(&Has::All);
        copies.add(&has(&[0, 1, 2]));
        assert_eq!((copies.rarest(), copies.of(0)), (1, 2));
        copies.add_one(3);
        assert_eq!(copies.rarest(), 2);
        copies.remove(&has(&[0, 1, 2, 3]));
        copies.remove(&Has::All);
        assert_eq!(copies.rarest(), 0);
    }

    #[test]
    fn the_pool_forgets_what_it_gives() {
        let mut pool = Pool::new(5);
        (0..5).for_each(|piece| pool.set(piece, true));
        pool.set(1, false);
        pool.set(1, false);
        pool.check_invariants();
        assert_eq!(pool.len(), 4);
        let mut left: Vec<u32> = pool.around(2).collect();
        left.sort_unstable();
        assert_eq!(left, [0, 2, 3, 4]);
    }
}
