//! Kernels that give each message a lane of a vector: every instruction does the same to one word of each of them.
//!
//! One body for all vectors; a module for each brings the few operations that it is made of.

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

/// Makes the kernels of one kind of vector from its operations.
macro_rules! kernels {
    ($features:literal) => {
        /// The first words of the schedule: the block of each message at `at`.
        #[target_feature(enable = $features)]
        #[inline]
        fn block<const W: usize>(inputs: &[&[Block]; LANES], at: usize) -> [Vector; W] {
            let mut now = [&[0; 64]; LANES];
            for lane in 0..LANES {
                now[lane] = &inputs[lane][at];
            }
            let mut words = [zero(); W];
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
                let mut w: [Vector; 80] = block(&inputs, at);
                for t in 16..80 {
                    w[t] = rotate::<1, 31>(xor(xor3(w[t - 3], w[t - 8], w[t - 14]), w[t - 16]));
                }
                let [mut a, mut b, mut c, mut d, mut e] = state;
                macro_rules! rounds {
                    ($from:literal, $constant:literal, $function:ident) => {
                        let k = all($constant);
                        for t in ($from..$from + 20).step_by(5) {
                            rounds!($function, k, t, a, b, c, d, e);
                            rounds!($function, k, t + 1, e, a, b, c, d);
                            rounds!($function, k, t + 2, d, e, a, b, c);
                            rounds!($function, k, t + 3, c, d, e, a, b);
                            rounds!($function, k, t + 4, b, c, d, e, a);
                        }
                    };
                    ($function:ident, $k:ident, $t:expr, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident) => {
                        let mixed = add(add($e, add(w[$t], $k)), $function($b, $c, $d));
                        $e = add(mixed, rotate::<5, 27>($a));
                        $b = rotate::<30, 2>($b);
                    };
                }
                rounds!(0, 0x5a82_7999, choose);
                rounds!(20, 0x6ed9_eba1, xor3);
                rounds!(40, 0x8f1b_bcdc, majority);
                rounds!(60, 0xca62_c1d6, xor3);
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
                let mut w: [Vector; 64] = block(&inputs, at);
                for t in 16..64 {
                    let (early, late) = (w[t - 15], w[t - 2]);
                    let early = xor3(rotate::<25, 7>(early), rotate::<14, 18>(early), right::<3>(early));
                    let late = xor3(rotate::<15, 17>(late), rotate::<13, 19>(late), right::<10>(late));
                    w[t] = add(add(w[t - 16], early), add(w[t - 7], late));
                }
                let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
                macro_rules! round {
                    ($t:expr, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
                        let sum = xor3(rotate::<26, 6>($e), rotate::<21, 11>($e), rotate::<7, 25>($e));
                        let mixed = add(add($h, add(w[$t], all(SHA256_CONSTANTS[$t]))), add(sum, choose($e, $f, $g)));
                        $d = add($d, mixed);
                        let sum = xor3(rotate::<30, 2>($a), rotate::<19, 13>($a), rotate::<10, 22>($a));
                        $h = add(mixed, add(sum, majority($a, $b, $c)));
                    };
                }
                for t in (0..64).step_by(8) {
                    round!(t, a b c d e f g h);
                    round!(t + 1, h a b c d e f g);
                    round!(t + 2, g h a b c d e f);
                    round!(t + 3, f g h a b c d e);
                    round!(t + 4, e f g h a b c d);
                    round!(t + 5, d e f g h a b c);
                    round!(t + 6, c d e f g h a b);
                    round!(t + 7, b c d e f g h a);
                }
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

    kernels!("avx2");
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

    kernels!("avx2,avx512f,avx512vl");
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

    kernels!("avx2,avx512f,avx512vl");
}
