//! Bytes a second on one core: each kernel that this processor can run, beside the crates.
//!
//! `cargo bench -p storage --bench hash`. The last kernel of each list is the crate under our own cursor.

use divan::Bencher;
use divan::counter::BytesCount;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use storage::kernels::{Algorithm, SHA1, SHA256};

const BLOCK: usize = 16 << 10;
const PIECE: usize = 1 << 20;

fn main() {
    divan::main();
}

fn names<const WORDS: usize>(algorithm: &Algorithm<WORDS>) -> Vec<&'static str> {
    algorithm.each().map(|(kernel, _)| kernel.name()).collect()
}

/// As many messages as the kernel has lanes.
fn kernel<const WORDS: usize>(bencher: Bencher, algorithm: &Algorithm<WORDS>, name: &str, length: usize) {
    let (kernel, alone) = algorithm.each().find(|(kernel, _)| kernel.name() == name).expect("it was listed");
    let messages: Vec<Vec<u8>> = (0..kernel.lanes()).map(|at| vec![at.to_le_bytes()[0]; length]).collect();
    let messages: Vec<&[Vec<u8>]> = messages.iter().map(std::slice::from_ref).collect();
    bencher.counter(BytesCount::new(kernel.lanes() * length)).bench(|| alone.hash(&messages));
}

fn reference<D: Digest>(bencher: Bencher, length: usize) {
    let message = vec![7; length];
    bencher.counter(BytesCount::new(length)).bench(|| D::digest(&message));
}

#[divan::bench(args = [BLOCK, PIECE])]
fn sha1_crate(bencher: Bencher, length: usize) {
    reference::<Sha1>(bencher, length);
}

#[divan::bench(args = [BLOCK, PIECE])]
fn sha256_crate(bencher: Bencher, length: usize) {
    reference::<Sha256>(bencher, length);
}

#[divan::bench(args = names(&SHA1), consts = [BLOCK, PIECE])]
fn sha1<const LENGTH: usize>(bencher: Bencher, name: &str) {
    kernel(bencher, &SHA1, name, LENGTH);
}

#[divan::bench(args = names(&SHA256), consts = [BLOCK, PIECE])]
fn sha256<const LENGTH: usize>(bencher: Bencher, name: &str) {
    kernel(bencher, &SHA256, name, LENGTH);
}
