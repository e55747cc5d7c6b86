use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::*;

/// Lengths with every tail of a block, with and without whole blocks before.
fn lengths() -> impl Iterator<Item = usize> {
    let all = if cfg!(miri) { 119 } else { 130 };
    (0..=all).filter(|length| !cfg!(miri) || [0, 55, 56, 63, 64, 119].contains(length))
}

fn counts() -> impl Iterator<Item = usize> {
    (1..=17).filter(|count| !cfg!(miri) || [1, 7, 16].contains(count))
}

fn bytes(length: usize) -> Vec<u8> {
    let mut random = 1u32;
    let mut next = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

fn flat<const WORDS: usize>(hash: [u32; WORDS]) -> Vec<u8> {
    hash.map(u32::to_be_bytes).concat()
}

/// Every kernel, and the choice among them, gives what the crate does.
fn agrees<D: Digest, const WORDS: usize>(algorithm: &Algorithm<WORDS>) {
    let alone = algorithm.each().map(|(kernel, alone)| (kernel.name(), alone));
    let all = Algorithm { start: algorithm.start, kernels: algorithm.kernels.clone() };
    let source = bytes(400);
    for (name, algorithm) in alone.chain([("all", all)]) {
        for (length, count) in lengths().flat_map(|length| counts().map(move |count| (length, count))) {
            // Each begins at another alignment.
            let messages: Vec<&[u8]> = (0..count).map(|at| &source[at * 7..at * 7 + length]).collect();
            let slices: Vec<&[&[u8]]> = messages.iter().map(std::slice::from_ref).collect();
            let hashes: Vec<Vec<u8>> = algorithm.hash(&slices).into_iter().map(flat).collect();
            let expected: Vec<Vec<u8>> = messages.iter().map(|message| D::digest(message).to_vec()).collect();
            assert_eq!(hashes, expected, "{name}: {count} messages of {length} bytes");
        }
    }
}

#[test]
fn every_kernel_of_sha1_agrees_with_the_crate_at_every_length_and_count() {
    agrees::<Sha1, 5>(&SHA1);
}

#[test]
fn every_kernel_of_sha256_agrees_with_the_crate_at_every_length_and_count() {
    agrees::<Sha256, 8>(&SHA256);
}

#[test]
fn a_message_may_be_cut_anywhere_and_each_in_its_own_way() {
    let source = bytes(3000);
    let cuts: [&[usize]; 6] =
        [&[3000], &[1, 2999], &[64, 64, 2872], &[0, 63, 0, 2, 900, 2035, 0], &[1000; 3], &[30; 100]];
    let messages: Vec<Vec<&[u8]>> = cuts
        .iter()
        .map(|cuts| {
            let mut rest = &source[..];
            cuts.iter().map(|&length| rest.split_off(..length).unwrap()).collect()
        })
        .collect();
    let messages: Vec<&[&[u8]]> = messages.iter().map(Vec::as_slice).collect();
    let expected = vec![Sha1::digest(&source).to_vec(); cuts.len()];
    assert_eq!(SHA1.hash(&messages).into_iter().map(flat).collect::<Vec<_>>(), expected);
}

#[test]
fn messages_of_other_lengths_among_them_are_hashed_too() {
    let source = bytes(1000);
    let messages: Vec<&[u8]> = [500, 1000, 0, 500, 64, 500].iter().map(|&length| &source[..length]).collect();
    let slices: Vec<&[&[u8]]> = messages.iter().map(std::slice::from_ref).collect();
    let expected: Vec<Vec<u8>> = messages.iter().map(|message| Sha256::digest(message).to_vec()).collect();
    assert_eq!(SHA256.hash(&slices).into_iter().map(flat).collect::<Vec<_>>(), expected);
}
