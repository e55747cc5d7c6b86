//! What a transfer costs on this machine at this time if nothing is done but moving, hashing and writing: `floor.c` of the harness.
//!
//! It hashes one piece after the other, with OpenSSL.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::creators::fill;
use super::machine::warm;
use super::report::{Column, Table};
use super::{Bench, MIB};
use crate::step::output;

const COLUMNS: &[Column] = &[
    Column("MB/s", 0, None),
    Column("sender CPU-s/GiB", 2, None),
    Column("receiver CPU-s/GiB", 2, None),
    Column("both", 2, None),
];

/// What the receiver does with what it gets, in the program's word and in ours.
const RECEIVERS: [(&str, &str); 3] =
    [("sink", "received"), ("hash", "received, hashed"), ("stream", "received, hashed, written")];

/// MiB moved in each run.
const SIZE: u32 = 1024;

/// The program, ready to run between the rounds of a case.
pub(super) struct Floor {
    program: PathBuf,
    source: PathBuf,
    target: PathBuf,
    size: u32,
    pub(super) table: Table,
}

impl Floor {
    /// Compiles it, which wants OpenSSL's headers.
    pub(super) fn new(bench: &Bench, harness: &Path) -> Result<Self, String> {
        let (program, source) = (bench.work.join("floor"), bench.work.join("floor-source.bin"));
        let mut compile = Command::new("cc");
        compile.arg("-O2").arg(harness.join("floor.c")).args(["-lcrypto", "-o"]).arg(&program);
        output(&mut compile)?;
        let size = bench.size(SIZE);
        fill(&source, u64::from(size) * MIB).map_err(|error| format!("{}: {error}", source.display()))?;
        let table = Table::new("The floor: one thread on each side, nothing but the bytes", COLUMNS);
        Ok(Self { program, source, target: bench.work.join("floor-target.bin"), size, table })
    }

    /// One run with each receiver.
    pub(super) fn round(&mut self) {
        for (receiver, done) in RECEIVERS {
            warm(self.size);
            let mut command = Command::new(&self.program);
            command.arg(&self.source).arg(&self.target).args(["batch", receiver]);
            self.table.add(done, output(&mut command).map(|printed| figures(&printed)));
        }
    }
}

/// From a line for each side that ends in `total 0.38 CPU-s/GiB, 2.77 GB/s`.
fn figures(printed: &str) -> Vec<Option<f64>> {
    let number = |side: &str, before: &str| {
        let mut words = printed.lines().find(|line| line.starts_with(side))?.split_whitespace();
        words.by_ref().find(|word| *word == before)?;
        words.next()?.parse::<f64>().ok()
    };
    let (sender, receiver) = (number("send", "total"), number("recv", "total"));
    let rate = number("recv", "CPU-s/GiB,").map(|rate| 1000.0 * rate);
    let both = sender.zip(receiver).map(|(sender, receiver)| sender + receiver);
    vec![rate, sender, receiver, both]
}
