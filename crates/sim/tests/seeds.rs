//! Random swarms (L-08): nobody is stuck, nobody honest is blamed, and a seed always plays the same.

#[test]
fn everybody_completes_in_random_swarms() {
    let failures: Vec<String> = (0..SEEDS).filter_map(|seed| sim::run(seed).failure).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn one_seed_always_plays_the_same() {
    let (first, second) = (sim::run(4711), sim::run(4711));
    assert_eq!((first.log_hash, first.events), (second.log_hash, second.events));
    assert_ne!(first.log_hash, sim::run(4712).log_hash);
}

#[test]
fn logging_changes_nothing() {
    let mut log = Vec::new();
    let logged = sim::run_logged(3, &mut log);
    assert_eq!(logged.log_hash, sim::run(3).log_hash);
    assert!(String::from_utf8(log).unwrap().lines().count() > 1_000);
}

/// A continuous-integration run plays a thousand with `cargo xtask sim`.
const SEEDS: u64 = 30;
