//! The cipher of Message Stream Encryption: RC4 without its first 1024 bytes.
//!
//! Owned by a connection, one for each direction. What it is applied to, and when, is the connection's business.

#![expect(clippy::indexing_slicing, reason = "a byte is an index into 256 entries")]

/// Bytes of the key stream that are thrown away: the first ones tell of the key.
const DROPPED: usize = 1024;

/// Key stream that is made and used at a time: what the processor's widest registers take in a few steps.
const STRIDE: usize = 64;

/// One direction of a connection. The state takes a kibibyte: words are faster to come by than bytes.
#[derive(Clone)]
pub struct Cipher {
    state: [u32; 256],
    i: u8,
    j: u8,
    left: u64,
}

impl Cipher {
    /// A cipher with this key, for all bytes to come.
    pub(super) fn new(key: &[u8; 20]) -> Self {
        let mut state = [0; 256];
        (0..).zip(&mut state).for_each(|(value, entry)| *entry = value);
        let mut j = 0u8;
        for (i, &key) in (0..=u8::MAX).zip(key.iter().cycle()) {
            j = j.wrapping_add(low(state[usize::from(i)])).wrapping_add(key);
            state.swap(usize::from(i), usize::from(j));
        }
        let mut cipher = Self { state, i: 0, j: 0, left: u64::MAX };
        cipher.apply(&mut [0; DROPPED]);
        cipher
    }

    /// The same for the next `left` bytes only; what comes after them is in the clear.
    pub(super) fn only(mut self, left: u64) -> Self {
        self.left = left;
        self
    }

    /// Whether all bytes to come are in the clear.
    pub fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Turns the next bytes of the stream from clear to secret or back, in place.
    pub fn apply(&mut self, data: &mut [u8]) {
        let covered = usize::try_from(self.left).unwrap_or(usize::MAX).min(data.len());
        if self.left != u64::MAX {
            self.left -= covered as u64;
        }
        let mut strides = data[..covered].chunks_exact_mut(STRIDE);
        for stride in &mut strides {
            let stream: [u8; STRIDE] = self.stream();
            stride.iter_mut().zip(stream).for_each(|(byte, key)| *byte ^= key);
        }
        for byte in strides.into_remainder() {
            let [key] = self.stream();
            *byte ^= key;
        }
    }

    /// The next bytes of the key stream.
    #[inline]
    fn stream<const N: usize>(&mut self) -> [u8; N] {
        let (mut i, mut j, state) = (self.i, self.j, &mut self.state);
        let bytes = std::array::from_fn(|_| {
            i = i.wrapping_add(1);
            let x = state[usize::from(i)];
            j = j.wrapping_add(low(x));
            let y = state[usize::from(j)];
            state[usize::from(i)] = y;
            state[usize::from(j)] = x;
            low(state[usize::from(low(x.wrapping_add(y)))])
        });
        (self.i, self.j) = (i, j);
        bytes
    }
}

impl std::fmt::Debug for Cipher {
    /// Says nothing that would tell the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cipher").field("left", &self.left).finish_non_exhaustive()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the entries are bytes")]
fn low(entry: u32) -> u8 {
    entry as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key stream from offset 1024 on, as OpenSSL makes it.
    #[test]
    fn the_key_stream_is_that_of_others() {
        let key: [u8; 20] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let mut bytes = [0; 16];
        Cipher::new(&key).apply(&mut bytes);
        assert_eq!(bytes, [203, 132, 227, 201, 94, 222, 123, 183, 101, 19, 144, 7, 138, 233, 119, 119]);
    }

    #[test]
    fn bytes_come_out_the_same_however_they_are_cut() {
        let mut whole = [7; 1000];
        Cipher::new(&[1; 20]).apply(&mut whole);
        for step in [1, 3, 63, 64, 65, 500] {
            let (mut cut, mut cipher) = ([7; 1000], Cipher::new(&[1; 20]));
            cut.chunks_mut(step).for_each(|chunk| cipher.apply(chunk));
            assert_eq!(cut, whole, "{step}");
        }
    }

    #[test]
    fn what_lies_beyond_the_end_of_a_short_cipher_stays_in_the_clear() {
        let (mut bytes, mut cipher) = ([0; 100], Cipher::new(&[1; 20]).only(70));
        let (first, second) = bytes.split_at_mut(50);
        cipher.apply(first);
        assert!(!cipher.is_spent());
        cipher.apply(second);
        assert!(cipher.is_spent());
        let mut whole = [0; 70];
        Cipher::new(&[1; 20]).apply(&mut whole);
        assert_eq!((&bytes[..70], &bytes[70..]), (&whole[..], &[0; 30][..]));
    }

    #[test]
    fn the_state_is_not_told_to_a_log() {
        assert_eq!(format!("{:?}", Cipher::new(&[1; 20]).only(3)), "Cipher { left: 3, .. }");
    }
}
