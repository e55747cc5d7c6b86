//! The cipher of Message Stream Encryption: RC4 without its first 1024 bytes.
//!
//! Owned by a connection, one for each direction. What it is applied to, and when, is the connection's business.

#![expect(clippy::indexing_slicing, reason = "the lowest byte is an index into 256 entries")]

/// Bytes of the key stream that are thrown away: the first ones tell of the key.
const DROPPED: usize = 1024;

/// One direction of a connection. The state has words instead of bytes, a kibibyte of them: they are faster to come by.
#[derive(Clone)]
pub struct Cipher {
    state: [u32; 256],
    /// The entry to use next.
    i: u32,
    j: u32,
    left: u64,
}

impl Cipher {
    /// A cipher with this key, for all bytes to come.
    pub(super) fn new(key: &[u8; 20]) -> Self {
        let mut state = [0; 256];
        (0..).zip(&mut state).for_each(|(value, entry)| *entry = value);
        let mut j = 0u32;
        for (i, &key) in (0..state.len()).zip(key.iter().cycle()) {
            j = j.wrapping_add(state[i]).wrapping_add(u32::from(key));
            state.swap(i, low(j) as usize);
        }
        let mut cipher = Self { state, i: 1, j: 0, left: u64::MAX };
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
        let (mut i, mut j, state) = (self.i, self.j, &mut self.state);
        let mut x = state[i as usize];
        let mut next = || {
            j = low(j.wrapping_add(x));
            let y = state[j as usize];
            // The next entry is read before these two change places: the processor would wait to see which ones they are.
            let after = low(i.wrapping_add(1));
            let ahead = state[after as usize];
            state[i as usize] = y;
            state[j as usize] = x;
            let stream = state[low(x.wrapping_add(y)) as usize];
            x = if after == j { x } else { ahead };
            i = after;
            stream
        };
        let (words, rest) = data[..covered].as_chunks_mut();
        for word in words {
            let mut stream = 0;
            for at in 0..8 {
                stream |= u64::from(next()) << (8 * at);
            }
            *word = (u64::from_le_bytes(*word) ^ stream).to_le_bytes();
        }
        for byte in rest {
            let [stream, ..] = next().to_le_bytes();
            *byte ^= stream;
        }
        (self.i, self.j) = (i, j);
    }
}

impl std::fmt::Debug for Cipher {
    /// Says nothing that would tell the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cipher").field("left", &self.left).finish_non_exhaustive()
    }
}

/// The lowest byte.
fn low(word: u32) -> u32 {
    word & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key stream from offset 1024 on, as another implementation makes it.
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
