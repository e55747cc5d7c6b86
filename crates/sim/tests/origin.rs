//! The origin that sizes itself gives about once what the crowd can carry, falls silent, and comes back.

#[test]
fn an_origin_gives_each_byte_about_once_and_falls_silent_and_comes_back() {
    let outcomes: Vec<sim::origin::Outcome> = (0..SEEDS).map(sim::origin::run).collect();
    let failures: Vec<String> =
        outcomes.iter().filter_map(|outcome| outcome.report.failure.clone()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let sum = |share: fn(&sim::origin::Outcome) -> u64| outcomes.iter().map(share).sum::<u64>();
    assert!(sum(|outcome| outcome.spread) <= sum(|outcome| outcome.plain), "plain service would send less");
}

/// `cargo xtask sim --origin` plays two hundred.
const SEEDS: u64 = 6;
