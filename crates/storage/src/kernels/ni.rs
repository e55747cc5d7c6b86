//! Kernels for processors with SHA instructions: `N` messages whose instructions are interleaved, since each waits for the one before
//! it in its own message. `benches/hash.rs` measures each number of them.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_loadu_si128, _mm_set_epi8, _mm_set_epi32,
    _mm_setzero_si128, _mm_sha1msg1_epu32, _mm_sha1msg2_epu32, _mm_sha1nexte_epu32, _mm_sha1rnds4_epu32,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
    _mm_xor_si128,
};

use super::{Block, SHA256_CONSTANTS};

pub(super) fn detected() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1")
}

/// Sixteen bytes of each message's block, shuffled by `order`.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn load<const N: usize>(inputs: &[&[Block]], at: usize, quarter: usize, order: __m128i) -> [__m128i; N] {
    let mut words = [_mm_setzero_si128(); N];
    for lane in 0..N {
        let bytes = &inputs[lane][at].as_chunks::<16>().0[quarter];
        // SAFETY: the array has the sixteen bytes that are read, and the load asks for no alignment.
        words[lane] = _mm_shuffle_epi8(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }, order);
    }
    words
}

/// Four words from the highest lane down.
#[target_feature(enable = "sse4.1")]
#[inline]
fn set(words: [u32; 4]) -> __m128i {
    let [a, b, c, d] = words.map(u32::cast_signed);
    _mm_set_epi32(a, b, c, d)
}

/// What [`set`] was given.
#[target_feature(enable = "sse4.1")]
#[inline]
fn get(vector: __m128i) -> [u32; 4] {
    [
        _mm_extract_epi32::<3>(vector),
        _mm_extract_epi32::<2>(vector),
        _mm_extract_epi32::<1>(vector),
        _mm_extract_epi32::<0>(vector),
    ]
    .map(i32::cast_unsigned)
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(super) fn sha1<const N: usize>(states: &mut [[u32; 5]], inputs: &[&[Block]]) {
    // The first word goes to the highest lane, each from big-endian bytes.
    let order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let (mut abcd, mut e) = ([_mm_setzero_si128(); N], [_mm_setzero_si128(); N]);
    for lane in 0..N {
        let [a, b, c, d, last] = states[lane];
        (abcd[lane], e[lane]) = (set([a, b, c, d]), set([last, 0, 0, 0]));
    }
    for at in 0..inputs[0].len() {
        let start = abcd;
        let mut next = e;
        let mut w = [[_mm_setzero_si128(); N]; 4];
        // Four rounds: the fifth word of the state is made of what the first was four rounds before.
        macro_rules! rounds {
            ($function:literal: $($quad:literal)*) => {$(
                if $quad < 4 {
                    w[$quad % 4] = load(inputs, at, $quad % 4, order);
                }
                for lane in 0..N {
                    if $quad >= 4 {
                        let mixed = _mm_sha1msg1_epu32(w[$quad % 4][lane], w[($quad + 1) % 4][lane]);
                        let mixed = _mm_xor_si128(mixed, w[($quad + 2) % 4][lane]);
                        w[$quad % 4][lane] = _mm_sha1msg2_epu32(mixed, w[($quad + 3) % 4][lane]);
                    }
                    let words = w[$quad % 4][lane];
                    let words = if $quad == 0 {
                        _mm_add_epi32(next[lane], words)
                    } else {
                        _mm_sha1nexte_epu32(next[lane], words)
                    };
                    next[lane] = abcd[lane];
                    abcd[lane] = _mm_sha1rnds4_epu32::<$function>(abcd[lane], words);
                }
            )*};
        }
        rounds!(0: 0 1 2 3 4);
        rounds!(1: 5 6 7 8 9);
        rounds!(2: 10 11 12 13 14);
        rounds!(3: 15 16 17 18 19);
        for lane in 0..N {
            e[lane] = _mm_sha1nexte_epu32(next[lane], e[lane]);
            abcd[lane] = _mm_add_epi32(abcd[lane], start[lane]);
        }
    }
    for lane in 0..N {
        let ([a, b, c, d], [last, ..]) = (get(abcd[lane]), get(e[lane]));
        states[lane] = [a, b, c, d, last];
    }
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(super) fn sha256<const N: usize>(states: &mut [[u32; 8]], inputs: &[&[Block]]) {
    // The first word goes to the lowest lane, each from big-endian bytes.
    let order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    let (mut abef, mut cdgh) = ([_mm_setzero_si128(); N], [_mm_setzero_si128(); N]);
    for lane in 0..N {
        let [a, b, c, d, e, f, g, h] = states[lane];
        (abef[lane], cdgh[lane]) = (set([a, b, e, f]), set([c, d, g, h]));
    }
    for at in 0..inputs[0].len() {
        let start = (abef, cdgh);
        let mut w = [[_mm_setzero_si128(); N]; 4];
        macro_rules! rounds {
            ($($quad:literal)*) => {$(
                if $quad < 4 {
                    w[$quad % 4] = load(inputs, at, $quad % 4, order);
                }
                let [k0, k1, k2, k3] = SHA256_CONSTANTS.as_chunks().0[$quad];
                let constants = set([k3, k2, k1, k0]);
                for lane in 0..N {
                    if $quad >= 4 {
                        let [older, newer] = [w[($quad + 2) % 4][lane], w[($quad + 3) % 4][lane]];
                        let mixed = _mm_sha256msg1_epu32(w[$quad % 4][lane], w[($quad + 1) % 4][lane]);
                        let mixed = _mm_add_epi32(mixed, _mm_alignr_epi8::<4>(newer, older));
                        w[$quad % 4][lane] = _mm_sha256msg2_epu32(mixed, newer);
                    }
                    let words = _mm_add_epi32(w[$quad % 4][lane], constants);
                    cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], words);
                    let words = _mm_shuffle_epi32::<0b1110>(words);
                    abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], words);
                }
            )*};
        }
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        for lane in 0..N {
            abef[lane] = _mm_add_epi32(abef[lane], start.0[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], start.1[lane]);
        }
    }
    for lane in 0..N {
        let ([a, b, e, f], [c, d, g, h]) = (get(abef[lane]), get(cdgh[lane]));
        states[lane] = [a, b, c, d, e, f, g, h];
    }
}
