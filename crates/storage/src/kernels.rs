//! SHA-1 and SHA-256 of several messages side by side: a core hashes more bytes when it works on more than one message, since the
//! steps within a message wait for each other (decision 0008).
//!
//! [`SHA1`] and [`SHA256`] choose among the kernels this processor can run; public for benches only, everything else asks `hash`.
//! It knows messages, not pieces.
//!
//! This is the one module with `unsafe` code, for three things. Calls of functions compiled for instructions that not every processor
//! has: a [`Kernel`] is run only by an [`Algorithm`], and gets into one only if the processor was found to have them. Vector loads
//! without alignment: each from a reference to an array of just the bytes that are loaded. And turning vectors into arrays of as
//! many bytes, and back. What each kernel gains is measured by `cargo bench -p storage --bench hash`.

#![allow(unsafe_code)]
#![allow(clippy::many_single_char_names, reason = "the words of a state have the letters of FIPS 180-4")]

#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "x86_64")]
mod ni;

use std::sync::LazyLock;

/// What SHA-1 and SHA-256 take in at a time.
pub type Block = [u8; 64];

/// SHA-1: BEP 3's pieces.
pub static SHA1: LazyLock<Algorithm<5>> = LazyLock::new(|| Algorithm::detect(&SHA1_START, SHA1_KERNELS));

/// SHA-256: BEP 52's blocks.
pub static SHA256: LazyLock<Algorithm<8>> =
    LazyLock::new(|| Algorithm::detect(&SHA256_START, SHA256_KERNELS));

/// One way to hash messages side by side. `WORDS` is the length of the state: 5 for SHA-1, 8 for SHA-256.
#[derive(Debug)]
pub struct Kernel<const WORDS: usize> {
    name: &'static str,
    lanes: usize,
    /// How many messages make it worth its while: for SHA-NI as many as it has lanes, while vectors fill theirs up.
    least: usize,
    detected: fn() -> bool,
    /// Takes one state for each message, and as many blocks of each.
    compress: unsafe fn(&mut [[u32; WORDS]], &[&[Block]]),
}

impl<const WORDS: usize> Kernel<WORDS> {
    /// Its instructions and lanes.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How many messages it hashes at once.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// What it makes of a few messages, as many as every number of lanes divides; `None` if the processor lacks its instructions.
    fn sample(&self, start: &[u32; WORDS]) -> Option<Vec<[u32; WORDS]>> {
        if !(self.detected)() {
            return None;
        }
        let messages: Vec<[Block; 2]> = (0..48).map(|lane| [[lane; 64], [!lane; 64]]).collect();
        let inputs: Vec<&[Block]> = messages.iter().map(|message| &message[..]).collect();
        let mut states = vec![*start; inputs.len()];
        for (states, inputs) in states.chunks_exact_mut(self.lanes).zip(inputs.chunks_exact(self.lanes)) {
            // SAFETY: the processor was found to have the instructions.
            unsafe { (self.compress)(states, inputs) };
        }
        Some(states)
    }
}

/// All kernels of SHA-1, best first: the first that the processor has and that gets messages enough is taken.
const SHA1_KERNELS: &[Kernel<5>] = &[
    #[cfg(target_arch = "x86_64")]
    Kernel {
        name: "AVX-512 x16",
        lanes: 16,
        least: 9,
        detected: lanes::avx512_detected,
        compress: lanes::avx512::sha1,
    },
    #[cfg(target_arch = "x86_64")]
    Kernel {
        name: "AVX-512VL x8",
        lanes: 8,
        least: 6,
        detected: lanes::avx512_detected,
        compress: lanes::avx512vl::sha1,
    },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "SHA-NI x4", lanes: 4, least: 4, detected: ni::detected, compress: ni::sha1::<4> },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "SHA-NI x3", lanes: 3, least: 3, detected: ni::detected, compress: ni::sha1::<3> },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "SHA-NI x2", lanes: 2, least: 2, detected: ni::detected, compress: ni::sha1::<2> },
    #[cfg(target_arch = "x86_64")]
    Kernel {
        name: "AVX2 x8",
        lanes: 8,
        least: 3,
        detected: lanes::avx2_detected,
        compress: lanes::avx2::sha1,
    },
    Kernel { name: "sha1 crate", lanes: 1, least: 1, detected: || true, compress: sha1_crate },
];

/// All kernels of SHA-256, best first.
const SHA256_KERNELS: &[Kernel<8>] = &[
    #[cfg(target_arch = "x86_64")]
    Kernel {
        name: "AVX-512 x16",
        lanes: 16,
        least: 15,
        detected: lanes::avx512_detected,
        compress: lanes::avx512::sha256,
    },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "SHA-NI x2", lanes: 2, least: 2, detected: ni::detected, compress: ni::sha256::<2> },
    #[cfg(target_arch = "x86_64")]
    Kernel {
        name: "AVX-512VL x8",
        lanes: 8,
        least: 4,
        detected: lanes::avx512_detected,
        compress: lanes::avx512vl::sha256,
    },
    #[cfg(target_arch = "x86_64")]
    Kernel {
        name: "AVX2 x8",
        lanes: 8,
        least: 4,
        detected: lanes::avx2_detected,
        compress: lanes::avx2::sha256,
    },
    Kernel { name: "sha2 crate", lanes: 1, least: 1, detected: || true, compress: sha256_crate },
];

fn sha1_crate(states: &mut [[u32; 5]], inputs: &[&[Block]]) {
    states.iter_mut().zip(inputs).for_each(|(state, input)| sha1::block_api::compress(state, input));
}

fn sha256_crate(states: &mut [[u32; 8]], inputs: &[&[Block]]) {
    states.iter_mut().zip(inputs).for_each(|(state, input)| sha2::block_api::compress256(state, input));
}

/// A hash function, with the kernels that this processor can run.
#[derive(Debug)]
pub struct Algorithm<const WORDS: usize> {
    start: &'static [u32; WORDS],
    /// Best first.
    kernels: Vec<&'static Kernel<WORDS>>,
}

impl<const WORDS: usize> Algorithm<WORDS> {
    fn detect(start: &'static [u32; WORDS], kernels: &'static [Kernel<WORDS>]) -> Self {
        // A mistake on a processor that no developer has must cost speed, and not downloads.
        let right = kernels.last().and_then(|plain| plain.sample(start));
        let usable = |kernel: &&Kernel<WORDS>| right.is_some() && kernel.sample(start) == right;
        Self { start, kernels: kernels.iter().filter(usable).collect() }
    }

    /// The kernels that this processor can run, each as the only one of an algorithm beside the crate, which takes what are too few.
    pub fn each(&self) -> impl Iterator<Item = (&'static Kernel<WORDS>, Self)> {
        let alone = |&kernel| {
            let kernels = [kernel].into_iter().chain(self.kernels.last().copied()).collect();
            (kernel, Self { start: self.start, kernels })
        };
        self.kernels.iter().map(alone)
    }

    /// As many messages as are best hashed together.
    pub fn lanes(&self) -> usize {
        self.kernels.iter().map(|kernel| kernel.lanes).max().unwrap_or(1)
    }

    /// The hashes of messages, each given as slices that stand one behind the other, as the words they are made of.
    /// Those of one length are hashed side by side.
    pub fn hash<S: AsRef<[u8]>>(&self, messages: &[&[S]]) -> Vec<[u32; WORDS]> {
        let lengths: Vec<usize> =
            messages.iter().map(|slices| slices.iter().map(|slice| slice.as_ref().len()).sum()).collect();
        let mut order: Vec<usize> = (0..messages.len()).collect();
        order.sort_by_key(|&at| lengths[at]);
        let mut hashes = vec![*self.start; messages.len()];
        for group in order.chunk_by(|&one, &other| lengths[one] == lengths[other]) {
            let cursors = group.iter().map(|&at| Cursor::new(messages[at])).collect();
            for (&at, hash) in group.iter().zip(self.hash_equal(cursors, lengths[group[0]])) {
                hashes[at] = hash;
            }
        }
        hashes
    }

    fn hash_equal<S: AsRef<[u8]>>(
        &self,
        mut messages: Vec<Cursor<'_, S>>,
        length: usize,
    ) -> Vec<[u32; WORDS]> {
        let mut streams = Streams::new(self, messages.len());
        let mut left = length / size_of::<Block>();
        while left > 0 {
            let mut runs: Vec<&[Block]> = messages.iter_mut().map(Cursor::blocks).collect();
            let common = runs.iter().map(|run| run.len()).min().unwrap_or(0);
            for run in &mut runs {
                *run = &run[..common];
            }
            streams.update(&runs);
            for message in &mut messages {
                message.skip(common * size_of::<Block>());
            }
            left -= common;
        }
        let tails: Vec<&[u8]> = messages.iter_mut().map(Cursor::tail).collect();
        streams.finish(&tails)
    }

    /// As many blocks of each input go into the state beside it.
    fn compress(&self, mut states: &mut [[u32; WORDS]], mut inputs: &[&[Block]]) {
        while !inputs.is_empty() {
            let kernel = self.kernels.iter().find(|kernel| kernel.least <= inputs.len());
            let kernel = kernel.expect("the crates run everywhere and take a single message");
            let now = kernel.lanes.min(inputs.len());
            let (these, others) = std::mem::take(&mut states).split_at_mut(now);
            // SAFETY: `detect` takes a kernel only if `sample` found that the processor has its instructions.
            unsafe { (kernel.compress)(these, &inputs[..now]) };
            (states, inputs) = (others, &inputs[now..]);
        }
    }
}

/// Messages of equal length that are hashed side by side as their bytes come by.
#[derive(Debug)]
pub struct Streams<'a, const WORDS: usize> {
    algorithm: &'a Algorithm<WORDS>,
    states: Vec<[u32; WORDS]>,
    /// Bytes taken in of each.
    length: u64,
}

impl<'a, const WORDS: usize> Streams<'a, WORDS> {
    /// So many messages without a byte.
    pub fn new(algorithm: &'a Algorithm<WORDS>, count: usize) -> Self {
        Self { algorithm, states: vec![*algorithm.start; count], length: 0 }
    }

    /// How many messages there are.
    pub fn count(&self) -> usize {
        self.states.len()
    }

    /// The next bytes of each message: as many of each.
    pub fn update(&mut self, inputs: &[&[Block]]) {
        self.algorithm.compress(&mut self.states, inputs);
        self.length += inputs.first().map_or(0, |input| input.as_flattened().len() as u64);
    }

    /// The hashes, once the last bytes of each message are in: as many of each, and less than a block.
    pub fn finish(mut self, tails: &[&[u8]]) -> Vec<[u32; WORDS]> {
        let length = tails.first().map_or(0, |tail| tail.len());
        // What follows a message: a bit, zeros, and its length in bits at the end of a block.
        let blocks = if length + 1 + size_of::<u64>() <= size_of::<Block>() { 1 } else { 2 };
        let bits = 8 * (self.length + length as u64);
        let last: Vec<[Block; 2]> = tails
            .iter()
            .map(|tail| {
                let mut last = [[0; size_of::<Block>()]; 2];
                last.as_flattened_mut()[..length].copy_from_slice(tail);
                last.as_flattened_mut()[length] = 0x80;
                last[blocks - 1][size_of::<Block>() - size_of::<u64>()..]
                    .copy_from_slice(&bits.to_be_bytes());
                last
            })
            .collect();
        let last: Vec<&[Block]> = last.iter().map(|last| &last[..blocks]).collect();
        self.algorithm.compress(&mut self.states, &last);
        self.states
    }
}

/// Walks over a message that is given in slices, by whole blocks.
struct Cursor<'a, S> {
    slices: &'a [S],
    /// Bytes of the first slice that are done with.
    at: usize,
    /// A block that lies in several slices, put together.
    gathered: Block,
}

impl<'a, S: AsRef<[u8]>> Cursor<'a, S> {
    fn new(slices: &'a [S]) -> Self {
        Self { slices, at: 0, gathered: [0; size_of::<Block>()] }
    }

    /// The next blocks that stand together; there is one if a block's bytes are left.
    fn blocks(&mut self) -> &[Block] {
        self.skip(0);
        let here = self.slices.first().map_or(&[][..], |slice| &slice.as_ref()[self.at..]);
        match here.as_chunks().0 {
            [] => {
                self.gather();
                std::slice::from_ref(&self.gathered)
            }
            blocks => blocks,
        }
    }

    /// What is left when the whole blocks are gone.
    fn tail(&mut self) -> &[u8] {
        let length = self.gather();
        &self.gathered[..length]
    }

    fn skip(&mut self, bytes: usize) {
        self.at += bytes;
        while let Some((first, others)) = self.slices.split_first()
            && self.at >= first.as_ref().len()
        {
            self.at -= first.as_ref().len();
            self.slices = others;
        }
    }

    /// Copies up to a block from the slices, and says how much it was.
    fn gather(&mut self) -> usize {
        let (mut filled, mut at) = (0, self.at);
        for slice in self.slices {
            let bytes = &slice.as_ref()[at..];
            let now = bytes.len().min(size_of::<Block>() - filled);
            self.gathered[filled..filled + now].copy_from_slice(&bytes[..now]);
            filled += now;
            at = 0;
            if filled == size_of::<Block>() {
                break;
            }
        }
        filled
    }
}

const SHA1_START: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

const SHA256_START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// One for each round of SHA-256 (FIPS 180-4).
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const SHA256_CONSTANTS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

#[cfg(test)]
mod tests;
