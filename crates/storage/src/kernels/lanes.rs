//! Kernels that give each message a lane of a vector: every instruction does the same to one word of each of them.
//!
//! One body for all vectors; a module for each brings the few operations that it is made of. `benches/hash.rs` measures each.

#![allow(clippy::wildcard_imports, reason = "each vector's module has the same body")]

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi32, _mm256_and_si256, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_rol_epi32, _mm256_set1_epi32, _mm256_setr_epi8, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_ternarylogic_epi32,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
    _mm256_xor_si256, _mm512_add_epi32, _mm512_castsi256_si512, _mm512_inserti64x4, _mm512_rol_epi32,
    _mm512_set1_epi32, _mm512_setzero_si512, _mm512_srli_epi32, _mm512_ternarylogic_epi32, _mm512_xor_si512,
};
use std::mem::transmute;

use super::{Block, SHA256_CONSTANTS};

pub(super) fn avx2_detected() -> bool {
    is_x86_feature_detected!("avx2")
}

pub(super) fn avx512_detected() -> bool {
    avx2_detected() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")
}

/// Words of half a block of eight messages, from rows (a message each) to columns (a lane each).
#[target_feature(enable = "avx2")]
#[inline]
fn transposed(blocks: [&Block; 8], half: usize) -> [__m256i; 8] {
    let swap = _mm256_setr_epi8(
        3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, //
        3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12,
    );
    let mut rows = [_mm256_setzero_si256(); 8];
    for lane in 0..8 {
        let bytes = &blocks[lane].as_chunks::<32>().0[half];
        // SAFETY: the array has the 32 bytes that are read, and the load asks for no alignment.
        rows[lane] = _mm256_shuffle_epi8(unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }, swap);
    }
    let mut pairs = rows;
    for two in 0..4 {
        pairs[2 * two] = _mm256_unpacklo_epi32(rows[2 * two], rows[2 * two + 1]);
        pairs[2 * two + 1] = _mm256_unpackhi_epi32(rows[2 * two], rows[2 * two + 1]);
    }
    let mut fours = pairs;
    for four in [0, 4] {
        for odd in [0, 1] {
            let (first, second) = (pairs[four + odd], pairs[four + odd + 2]);
            fours[four + 2 * odd] = _mm256_unpacklo_epi64(first, second);
            fours[four + 2 * odd + 1] = _mm256_unpackhi_epi64(first, second);
        }
    }
    let mut columns = fours;
    for word in 0..4 {
        columns[word] = _mm256_permute2x128_si256::<0x20>(fours[word], fours[word + 4]);
        columns[word + 4] = _mm256_permute2x128_si256::<0x31>(fours[word], fours[word + 4]);
    }
    columns
}

/// Makes the kernels of one kind of vector from its operations. (`$d` is a dollar sign, for the macros within.)
macro_rules! kernels {
    ($d:tt $features:literal) => {
        /// The sixteen words of each message's block at `at`.
        #[target_feature(enable = $features)]
        #[inline]
        fn block(inputs: &[&[Block]; LANES], at: usize) -> [Vector; 16] {
            let mut now = [&[0; 64]; LANES];
            for lane in 0..LANES {
                now[lane] = &inputs[lane][at];
            }
            let mut words = [zero(); 16];
            for half in 0..2 {
                words[8 * half..8 * half + 8].copy_from_slice(&columns(&now, half));
            }
            words
        }

        /// As many inputs as there are lanes: the last stands in for those that are missing.
        fn filled<'a>(inputs: &[&'a [Block]]) -> [&'a [Block]; LANES] {
            std::array::from_fn(|lane| inputs[lane.min(inputs.len() - 1)])
        }

        fn gather<const WORDS: usize>(states: &[[u32; WORDS]]) -> [Vector; WORDS] {
            std::array::from_fn(|word| {
                let words: [u32; LANES] =
                    std::array::from_fn(|lane| states.get(lane).map_or(0, |state| state[word]));
                // SAFETY: both are as many bytes, and any bytes make a vector.
                unsafe { transmute(words) }
            })
        }

        fn scatter<const WORDS: usize>(vectors: [Vector; WORDS], states: &mut [[u32; WORDS]]) {
            for (word, vector) in vectors.into_iter().enumerate() {
                // SAFETY: both are as many bytes, and any bytes make words.
                let words: [u32; LANES] = unsafe { transmute(vector) };
                states.iter_mut().zip(words).for_each(|(state, value)| state[word] = value);
            }
        }

        #[target_feature(enable = $features)]
        pub(in super::super) fn sha1(states: &mut [[u32; 5]], inputs: &[&[Block]]) {
            let inputs = filled(inputs);
            let mut state = gather(states);
            for at in 0..inputs[0].len() {
                let mut w = block(&inputs, at);
                let [mut a, mut b, mut c, mut d, mut e] = state;
                macro_rules! rounds {
                    ($function:ident, $k:literal: $d($t:literal)*) => {$d(
                        if $t >= 16 {
                            let mixed = xor3(w[($t + 13) % 16], w[($t + 8) % 16], w[($t + 2) % 16]);
                            w[$t % 16] = rotate::<1, 31>(xor(mixed, w[$t % 16]));
                        }
                        let mixed = add(add(e, add(w[$t % 16], all($k))), $function(b, c, d));
                        (a, b, c, d, e) = (add(mixed, rotate::<5, 27>(a)), a, rotate::<30, 2>(b), c, d);
                    )*};
                }
                rounds!(choose, 0x5a82_7999: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
                rounds!(xor3, 0x6ed9_eba1: 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
                rounds!(majority, 0x8f1b_bcdc: 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
                rounds!(xor3, 0xca62_c1d6: 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
                for (word, new) in state.iter_mut().zip([a, b, c, d, e]) {
                    *word = add(*word, new);
                }
            }
            scatter(state, states);
        }

        #[target_feature(enable = $features)]
        pub(in super::super) fn sha256(states: &mut [[u32; 8]], inputs: &[&[Block]]) {
            let inputs = filled(inputs);
            let mut state = gather(states);
            for at in 0..inputs[0].len() {
                let mut w = block(&inputs, at);
                let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
                macro_rules! rounds {
                    ($d($t:literal)*) => {$d(
                        if $t >= 16 {
                            let (early, late) = (w[($t + 1) % 16], w[($t + 14) % 16]);
                            let early = xor3(rotate::<25, 7>(early), rotate::<14, 18>(early), right::<3>(early));
                            let late = xor3(rotate::<15, 17>(late), rotate::<13, 19>(late), right::<10>(late));
                            w[$t % 16] = add(add(w[$t % 16], early), add(w[($t + 9) % 16], late));
                        }
                        let sum = xor3(rotate::<26, 6>(e), rotate::<21, 11>(e), rotate::<7, 25>(e));
                        let words = add(w[$t % 16], all(SHA256_CONSTANTS[$t]));
                        let mixed = add(add(h, words), add(sum, choose(e, f, g)));
                        let sum = xor3(rotate::<30, 2>(a), rotate::<19, 13>(a), rotate::<10, 22>(a));
                        let first = add(mixed, add(sum, majority(a, b, c)));
                        (a, b, c, d, e, f, g, h) = (first, a, b, c, add(d, mixed), e, f, g);
                    )*};
                }
                rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
                rounds!(32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
                rounds!(60 61 62 63);
                for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                    *word = add(*word, new);
                }
            }
            scatter(state, states);
        }
    };
}

/// One operation for each line: its name, its arguments, its body.
macro_rules! operations {
    ($features:literal, $(fn $name:ident $(<$(const $generic:ident),*>)? ($($argument:ident),*) = $body:expr;)*) => {$(
        #[target_feature(enable = $features)]
        #[inline]
        fn $name $(<$(const $generic: i32),*>)? ($($argument: Vector),*) -> Vector {
            $body
        }
    )*};
}

/// Eight lanes with AVX2 alone.
pub(super) mod avx2 {
    use super::*;

    type Vector = __m256i;
    const LANES: usize = 8;

    operations! { "avx2",
        fn zero() = _mm256_setzero_si256();
        fn add(a, b) = _mm256_add_epi32(a, b);
        fn xor(a, b) = _mm256_xor_si256(a, b);
        fn xor3(a, b, c) = xor(xor(a, b), c);
        fn choose(a, b, c) = xor(c, _mm256_and_si256(a, xor(b, c)));
        fn majority(a, b, c) = _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_or_si256(a, b)));
        fn rotate<const LEFT, const RIGHT>(a) =
            _mm256_or_si256(_mm256_slli_epi32::<LEFT>(a), _mm256_srli_epi32::<RIGHT>(a));
        fn right<const BITS>(a) = _mm256_srli_epi32::<BITS>(a);
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn all(word: u32) -> Vector {
        _mm256_set1_epi32(word.cast_signed())
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn columns(blocks: &[&Block; LANES], half: usize) -> [Vector; 8] {
        transposed(*blocks, half)
    }

    kernels!($ "avx2");
}

/// Eight lanes with the rotations and three-way logic of AVX-512.
pub(super) mod avx512vl {
    use super::*;

    type Vector = __m256i;
    const LANES: usize = 8;

    operations! { "avx2,avx512f,avx512vl",
        fn zero() = _mm256_setzero_si256();
        fn add(a, b) = _mm256_add_epi32(a, b);
        fn xor(a, b) = _mm256_xor_si256(a, b);
        fn xor3(a, b, c) = _mm256_ternarylogic_epi32::<0x96>(a, b, c);
        fn choose(a, b, c) = _mm256_ternarylogic_epi32::<0xca>(a, b, c);
        fn majority(a, b, c) = _mm256_ternarylogic_epi32::<0xe8>(a, b, c);
        fn rotate<const LEFT, const RIGHT>(a) = _mm256_rol_epi32::<LEFT>(a);
        fn right<const BITS>(a) = _mm256_srli_epi32::<BITS>(a);
    }

    #[target_feature(enable = "avx2,avx512f,avx512vl")]
    #[inline]
    fn all(word: u32) -> Vector {
        _mm256_set1_epi32(word.cast_signed())
    }

    #[target_feature(enable = "avx2,avx512f,avx512vl")]
    #[inline]
    fn columns(blocks: &[&Block; LANES], half: usize) -> [Vector; 8] {
        transposed(*blocks, half)
    }

    kernels!($ "avx2,avx512f,avx512vl");
}

/// Sixteen lanes.
pub(super) mod avx512 {
    use super::*;

    type Vector = __m512i;
    const LANES: usize = 16;

    operations! { "avx2,avx512f,avx512vl",
        fn zero() = _mm512_setzero_si512();
        fn add(a, b) = _mm512_add_epi32(a, b);
        fn xor(a, b) = _mm512_xor_si512(a, b);
        fn xor3(a, b, c) = _mm512_ternarylogic_epi32::<0x96>(a, b, c);
        fn choose(a, b, c) = _mm512_ternarylogic_epi32::<0xca>(a, b, c);
        fn majority(a, b, c) = _mm512_ternarylogic_epi32::<0xe8>(a, b, c);
        fn rotate<const LEFT, const RIGHT>(a) = _mm512_rol_epi32::<LEFT>(a);
    }

    #[target_feature(enable = "avx2,avx512f,avx512vl")]
    #[inline]
    fn right<const BITS: u32>(a: Vector) -> Vector {
        _mm512_srli_epi32::<BITS>(a)
    }

    #[target_feature(enable = "avx2,avx512f,avx512vl")]
    #[inline]
    fn all(word: u32) -> Vector {
        _mm512_set1_epi32(word.cast_signed())
    }

    #[target_feature(enable = "avx2,avx512f,avx512vl")]
    #[inline]
    fn columns(blocks: &[&Block; LANES], half: usize) -> [Vector; 8] {
        let mut halves = [[_mm256_setzero_si256(); 8]; 2];
        for (at, eight) in blocks.as_chunks::<8>().0.iter().enumerate() {
            halves[at] = transposed(*eight, half);
        }
        let mut columns = [zero(); 8];
        for word in 0..8 {
            let low = _mm512_castsi256_si512(halves[0][word]);
            columns[word] = _mm512_inserti64x4::<1>(low, halves[1][word]);
        }
        columns
    }

    kernels!($ "avx2,avx512f,avx512vl");
}
