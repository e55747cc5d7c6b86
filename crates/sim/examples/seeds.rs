//! Plays a range of seeds on all cores: `cargo run --release --package sim --example seeds -- FROM COUNT`, or one with its log: `… -- SEED`.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

fn main() {
    let arguments: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let mut out = std::io::stdout();
    match arguments[..] {
        [seed] => {
            let report = sim::run_logged(seed, &mut out);
            let _ = writeln!(out, "{report}");
        }
        [from, count] => play(from, count),
        _ => {
            let _ = writeln!(out, "usage: seeds SEED | seeds FROM COUNT");
        }
    }
}

fn play(from: u64, count: u64) {
    let next = AtomicU64::new(from);
    let failed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        break;
                    }
                    let report = sim::run(seed);
                    if !report.ok {
                        failed.fetch_add(1, Ordering::Relaxed);
                        let _ = writeln!(std::io::stdout(), "{report}");
                    }
                }
            });
        }
    });
    let _ = writeln!(std::io::stdout(), "{} of {count} failed", failed.load(Ordering::Relaxed));
}
