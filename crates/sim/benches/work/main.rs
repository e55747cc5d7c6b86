//! Work that every block, message and torrent file costs, done over and over: measured by the clock and by instructions.
//!
//! `cargo bench --package sim` measures it with divan. `cargo xtask counts` runs it under callgrind, in the form `count NAME ROUNDS`;
//! what is done once before the rounds then falls out of the difference between two runs.

// This program talks to the developer's terminal, and to `xtask`.
#![allow(clippy::print_stdout)]

mod decoders;
mod swarms;

use divan::counter::ItemsCount;

/// One kind of work.
#[derive(Clone, Copy)]
struct Work {
    name: &'static str,
    /// What a round is divided into, and how many of it there are in one.
    unit: &'static str,
    units: u32,
    /// Makes what is worked on; the closure is one round.
    prepare: fn() -> Box<dyn FnMut()>,
}

const WORKS: &[Work] = &[
    decoders::METAINFO,
    decoders::BLOCKS,
    decoders::REQUESTS,
    swarms::FETCH,
    swarms::PICK,
    swarms::HAVE,
    swarms::SERVE,
];

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name)
    }
}

#[divan::bench(args = WORKS)]
fn work(bencher: divan::Bencher<'_, '_>, work: Work) {
    bencher.counter(ItemsCount::new(work.units)).bench_local((work.prepare)());
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => WORKS.iter().for_each(|work| println!("{}\t{}\t{}", work.name, work.units, work.unit)),
        ["count", name, rounds] => {
            let work = WORKS.iter().find(|work| work.name == name).expect("no such work");
            let mut round = (work.prepare)();
            (0..rounds.parse().expect("not a number of rounds")).for_each(|_: u32| round());
        }
        _ => divan::main(),
    }
}
