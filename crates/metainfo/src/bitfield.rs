//! Which pieces somebody has, in the order of the wire: piece 0 is the highest bit of byte 0 (BEP 3).
//!
//! Owned by whoever speaks of the pieces; it knows their number and nothing else of the torrent.

use std::fmt;

/// A set of pieces of a torrent of known size. Its spare bits are always zero.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitfield {
    bytes: Box<[u8]>,
    len: u32,
    ones: u32,
}

impl Bitfield {
    /// No piece of `len`.
    pub fn none(len: u32) -> Self {
        Self { bytes: vec![0; byte_len(len)].into(), len, ones: 0 }
    }

    /// Every piece of `len`.
    pub fn all(len: u32) -> Self {
        let mut bytes = vec![0xff; byte_len(len)];
        if let Some(last) = bytes.last_mut() {
            *last &= !spare_mask(len);
        }
        Self { bytes: bytes.into(), len, ones: len }
    }

    /// Reads the payload of a `bitfield` message; `None` if its length is wrong or a spare bit is set.
    pub fn from_wire(bytes: &[u8], len: u32) -> Option<Self> {
        if bytes.len() != byte_len(len) || bytes.last().is_some_and(|last| last & spare_mask(len) != 0) {
            return None;
        }
        let ones = bytes.iter().map(|byte| byte.count_ones()).sum();
        Some(Self { bytes: bytes.into(), len, ones })
    }

    /// The payload of a `bitfield` message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of pieces of the torrent, present or not.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the torrent has no pieces.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many pieces are present.
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// Whether every piece is present.
    pub fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// Whether piece `index` is present; `false` outside the torrent.
    pub fn get(&self, index: u32) -> bool {
        self.bytes.get(index as usize / 8).is_some_and(|byte| byte & bit(index) != 0)
    }

    /// Adds piece `index`; says whether that changed anything. Outside the torrent it does nothing.
    pub fn set(&mut self, index: u32) -> bool {
        let changed = index < self.len && !self.get(index);
        if changed && let Some(byte) = self.bytes.get_mut(index as usize / 8) {
            *byte |= bit(index);
            self.ones += 1;
        }
        changed
    }

    /// Takes piece `index` away; says whether that changed anything.
    pub fn clear(&mut self, index: u32) -> bool {
        let changed = self.get(index);
        if changed && let Some(byte) = self.bytes.get_mut(index as usize / 8) {
            *byte &= !bit(index);
            self.ones -= 1;
        }
        changed
    }

    /// The pieces present, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.iter_from(0)
    }

    /// The pieces present from `index` on, in order. Runs of absent pieces are passed over eight at a time.
    pub fn iter_from(&self, index: u32) -> impl Iterator<Item = u32> + '_ {
        let bytes = self.bytes.iter().zip(0u32..).skip(index as usize / 8).filter(|&(&byte, _)| byte != 0);
        let pieces = bytes.flat_map(|(&byte, at)| {
            (0..8).filter(move |shift| byte & (0x80 >> shift) != 0).map(move |shift| at * 8 + shift)
        });
        pieces.skip_while(move |&piece| piece < index)
    }

    /// Whether `other` has a piece that this set lacks. Both must be of one torrent.
    pub fn lacks_any_of(&self, other: &Bitfield) -> bool {
        self.bytes.iter().zip(&other.bytes).any(|(mine, theirs)| !mine & theirs != 0)
    }
}

impl fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bitfield({}/{})", self.ones, self.len)
    }
}

fn byte_len(len: u32) -> usize {
    len.div_ceil(8) as usize
}

fn bit(index: u32) -> u8 {
    0x80 >> (index % 8)
}

/// The bits of the last byte that stand for no piece.
fn spare_mask(len: u32) -> u8 {
    match len % 8 {
        0 => 0,
        used => 0xff >> used,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_order_is_highest_bit_first() {
        let mut have = Bitfield::none(10);
        assert!(have.set(0) && have.set(9) && !have.set(9) && !have.set(10));
        assert_eq!(have.as_bytes(), [0b1000_0000, 0b0100_0000]);
        assert_eq!(have.iter().collect::<Vec<_>>(), [0, 9]);
        assert_eq!(have.iter_from(1).collect::<Vec<_>>(), [9]);
        assert_eq!(have.iter_from(10).count(), 0);
        assert!(have.clear(0) && !have.clear(0));
        assert_eq!(have.count(), 1);
    }

    #[test]
    fn wrong_lengths_and_spare_bits_are_refused() {
        assert!(Bitfield::from_wire(&[0xff, 0xc0], 10).unwrap().is_full());
        assert_eq!(Bitfield::from_wire(&[0xff, 0xe0], 10), None);
        assert_eq!(Bitfield::from_wire(&[0xff], 10), None);
        assert_eq!(Bitfield::from_wire(&[0xff, 0, 0], 10), None);
        assert_eq!(Bitfield::all(10).as_bytes(), [0xff, 0xc0]);
    }

    #[test]
    fn lacking_is_one_sided() {
        let (mut a, mut b) = (Bitfield::none(20), Bitfield::none(20));
        a.set(3);
        assert!(b.lacks_any_of(&a) && !a.lacks_any_of(&b));
        b.set(3);
        assert!(!b.lacks_any_of(&a));
    }
}
