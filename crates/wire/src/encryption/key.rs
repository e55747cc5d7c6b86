//! The key exchange of Message Stream Encryption: Diffie and Hellman over one prime of 768 bits, with generator 2.
//!
//! Owned by nobody: two functions. Their time depends on the secret, which is used once; who could measure it sees the bytes too.

#![expect(clippy::indexing_slicing, reason = "all numbers have the same length")]

/// A public key's length in bytes, and that of the secret both sides come to share.
pub const PUBLIC: usize = 96;

/// The length of the number that each side keeps to itself, in bytes; longer ones are no safer with this prime.
pub const SECRET: usize = 20;

/// Words of a number.
const WORDS: usize = PUBLIC / 8;

/// A number, least significant word first.
type Number = [u64; WORDS];

/// The prime.
const P: Number = [
    0x0000_0000_0009_0563,
    0xf44c_42e9_a63a_3621,
    0xe485_b576_625e_7ec6,
    0x4fe1_356d_6d51_c245,
    0x302b_0a6d_f25f_1437,
    0xef95_19b3_cd3a_431b,
    0x514a_0879_8e34_04dd,
    0x020b_bea6_3b13_9b22,
    0x2902_4e08_8a67_cc74,
    0xc4c6_628b_80dc_1cd1,
    0xc90f_daa2_2168_c234,
    0xffff_ffff_ffff_ffff,
];

/// What makes the lowest word of a multiple of [`P`] vanish: −1/P modulo 2⁶⁴.
const VANISH: u64 = {
    let (mut inverse, mut round) = (1u64, 0);
    // Newton: each round doubles the bits that are right.
    while round < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(P[0].wrapping_mul(inverse)));
        round += 1;
    }
    inverse.wrapping_neg()
};

const ZERO: Number = [0; WORDS];
const ONE: Number = word(1);
const TWO: Number = word(2);

/// The public key of a secret.
pub(super) fn public(secret: &[u8; SECRET]) -> [u8; PUBLIC] {
    to_bytes(&power(&TWO, secret))
}

/// What both sides know once they have each other's public keys. `None`: with this key everybody would know it.
pub(super) fn shared(secret: &[u8; SECRET], theirs: &[u8; PUBLIC]) -> Option<[u8; PUBLIC]> {
    let theirs = from_bytes(theirs);
    let last = minus(&P, &ONE).0;
    let weak = theirs == ZERO || theirs == ONE || !is_below(&theirs, &last);
    (!weak).then(|| to_bytes(&power(&theirs, secret)))
}

const fn word(value: u64) -> Number {
    let mut number = [0; WORDS];
    number[0] = value;
    number
}

/// `base` to the power of `exponent`, most significant byte first; modulo [`P`].
fn power(base: &Number, exponent: &[u8; SECRET]) -> Number {
    let base = shifted(base);
    let mut result = shifted(&ONE);
    for bit in exponent.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)) {
        result = product(&result, &result);
        if bit == 1 {
            result = product(&result, &base);
        }
    }
    product(&result, &ONE)
}

/// `number` · 2⁷⁶⁸ modulo [`P`]: the form in which [`product`] takes its factors.
fn shifted(number: &Number) -> Number {
    (0..WORDS * 64).fold(*number, |number, _| {
        let mut carry = 0;
        let double = number.map(|word| {
            let doubled = word << 1 | carry;
            carry = word >> 63;
            doubled
        });
        reduced(&double, carry)
    })
}

/// `a` · `b` / 2⁷⁶⁸ modulo [`P`] (Montgomery): word by word, with a multiple of [`P`] that makes the lowest word vanish.
fn product(a: &Number, b: &Number) -> Number {
    let mut sum = ZERO;
    let mut top = 0;
    for &factor in a {
        let mut carry = 0;
        for (sum, &word) in sum.iter_mut().zip(b) {
            (*sum, carry) = halves(wide(factor, word) + u128::from(*sum) + u128::from(carry));
        }
        let (high, over) = halves(u128::from(top) + u128::from(carry));
        let multiple = sum[0].wrapping_mul(VANISH);
        let (_, mut carry) = halves(wide(multiple, P[0]) + u128::from(sum[0]));
        for at in 1..WORDS {
            (sum[at - 1], carry) = halves(wide(multiple, P[at]) + u128::from(sum[at]) + u128::from(carry));
        }
        (sum[WORDS - 1], carry) = halves(u128::from(high) + u128::from(carry));
        top = over + carry;
    }
    reduced(&sum, top)
}

/// A number below twice [`P`], with `top` as its 769th bit, modulo [`P`].
fn reduced(number: &Number, top: u64) -> Number {
    if top == 0 && is_below(number, &P) { *number } else { minus(number, &P).0 }
}

fn is_below(a: &Number, b: &Number) -> bool {
    minus(a, b).1
}

/// `a` − `b` modulo 2⁷⁶⁸, and whether that went below zero.
fn minus(a: &Number, b: &Number) -> (Number, bool) {
    let (mut difference, mut borrow) = (ZERO, false);
    for (at, word) in difference.iter_mut().enumerate() {
        let (first, below) = a[at].overflowing_sub(b[at]);
        let (second, still_below) = first.overflowing_sub(u64::from(borrow));
        *word = second;
        borrow = below || still_below;
    }
    (difference, borrow)
}

fn wide(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

/// The lower and the upper word.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
fn halves(value: u128) -> (u64, u64) {
    (value as u64, (value >> 64) as u64)
}

fn from_bytes(bytes: &[u8; PUBLIC]) -> Number {
    let mut number = ZERO;
    for (word, bytes) in number.iter_mut().rev().zip(bytes.as_chunks().0) {
        *word = u64::from_be_bytes(*bytes);
    }
    number
}

fn to_bytes(number: &Number) -> [u8; PUBLIC] {
    let mut bytes = [0; PUBLIC];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(number.iter().rev()) {
        *bytes = word.to_be_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    fn secret() -> [u8; SECRET] {
        std::array::from_fn(|at| u8::try_from(at + 1).unwrap())
    }

    #[test]
    fn powers_are_those_that_long_arithmetic_elsewhere_gives() {
        let public = public(&secret());
        assert_eq!(
            hex(&public),
            "96e112dab29e8c5272accb9b17b26887ce54a144a4e3b697c7d159b7a817e556b0918db2b4c658e02a87f7e5fb14b18a\
             553e084cbf3dad2d30f16596ccb982d406258c61b30c5c1dae2ddc60bdbd48d79896312aad63238c39e1a633821eb693"
        );
        assert_eq!(
            hex(&shared(&[0xff; SECRET], &public).unwrap()),
            "3adb0afff0af5a57448d2c9942ba132cd670d27879b5bf7745c8c4fd2ce1bc68e599e1c7ae211b44220a1ce7c6da8dce\
             f2acd5516b5358089caae45e14b3626c7c824c214a4b4bb0b90f4973d99a368cd092d23c1c46fe2f70f0cc81fe510f31"
        );
    }

    #[test]
    fn both_sides_come_to_the_same_secret() {
        let (a, b) = (secret(), [0xab; SECRET]);
        assert_eq!(shared(&a, &public(&b)), shared(&b, &public(&a)));
    }

    // P-15
    #[test]
    fn keys_that_give_the_secret_away_are_refused() {
        let (p, two) = (to_bytes(&P), to_bytes(&TWO));
        let mut weak = vec![to_bytes(&ZERO), to_bytes(&ONE), to_bytes(&minus(&P, &ONE).0), p, [0xff; PUBLIC]];
        assert!(weak.iter().all(|key| shared(&secret(), key).is_none()));
        weak.clear();
        assert!(shared(&secret(), &two).is_some());
        assert!(shared(&secret(), &to_bytes(&minus(&P, &TWO).0)).is_some());
    }
}
