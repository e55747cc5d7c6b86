//! The special promises, each with a few seeds.

use sim::{Report, cases};

fn check(case: impl Fn(u64) -> Report) {
    let failures: Vec<String> = (0..3).filter_map(|seed| case(seed).failure).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn fifty_slow_peers_do_not_hold_up_five_good_ones() {
    // P-20
    check(cases::slow_peers);
}

#[test]
fn one_poisoner_among_twenty_is_found() {
    // P-10
    check(|seed| cases::poisoners(seed, 1));
}

#[test]
fn five_poisoners_among_twenty_are_found() {
    // P-10
    check(|seed| cases::poisoners(seed, 5));
}

#[test]
fn twelve_peers_that_send_nothing_do_not_hold_up_two_that_do() {
    check(cases::liars);
}

#[test]
fn the_origin_may_leave_once_every_piece_is_elsewhere() {
    check(cases::origin_leaves);
}

#[test]
fn downloaders_trade_so_that_a_slow_origin_sends_little_more_than_once() {
    check(cases::slow_origin);
}

#[test]
fn the_first_block_arrives_within_three_round_trips() {
    check(cases::first_block);
}

#[test]
fn with_a_tracker_the_first_block_arrives_within_five_round_trips() {
    check(cases::first_block_by_tracker);
}

#[test]
fn magnet_links_find_the_right_metadata_despite_liars() {
    // P-11
    check(cases::metadata);
}

#[test]
fn peers_that_know_only_one_find_the_others_through_it() {
    check(cases::known_to_one);
}

#[test]
fn a_web_server_alone_is_enough() {
    check(cases::web_server_alone);
}

#[test]
fn beside_fast_peers_a_web_server_gives_little() {
    check(cases::web_server_and_fast_peers);
}

#[test]
fn a_web_server_takes_over_when_peers_go() {
    check(cases::web_server_takes_over);
}

#[test]
fn a_web_server_that_lies_is_found_out_and_no_peer_is_blamed() {
    check(cases::web_server_lies);
}

#[test]
fn a_web_server_that_dies_holds_nobody_up() {
    check(cases::web_server_dies);
}
