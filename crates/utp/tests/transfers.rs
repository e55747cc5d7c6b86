//! Whole transfers over lines good and bad (L-03).

#![allow(clippy::cast_precision_loss, reason = "counts of a test are small")]

mod world;

use std::fmt::Write;
use std::time::Duration;

use proptest::prelude::*;
use utp::{Config, End};
use world::{Line, World, reno::Reno};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn what_is_written_is_read_and_then_the_end() {
    let mut world = World::new(1, &Line::default());
    world.dial(300_000);
    assert!(world.run(ms(5000), |world| world.ends[1].received == 300_000));
    let now = world.now;
    world.ends[0].close(now);
    assert!(world.run(ms(1000), |world| world.ends[1].ended == Some(End::Finished)));
    // Nothing is left on either side.
    assert!(world.run(ms(5000), |world| world.ends.iter().all(|end| end.socket.connections() == 0)));
    assert!(world.ends[0].datagrams.contains(&1472), "the path's full size was found");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_comes_out_is_what_went_in_whatever_the_line_does(
        seed: u64,
        (delay, jitter) in (0u64..300, 0u64..50),
        (loss, reorder, duplicate) in (0u32..150, 0u32..200, 0u32..100),
        mtu in 548usize..1472,
        (there, back) in (1u64..300_000, 0u64..100_000),
        window in 3000usize..100_000,
    ) {
        let line = Line { delay: ms(delay), jitter: ms(jitter), loss, reorder, duplicate, mtu, ..Line::default() };
        let mut world = World::with(seed, &line, Config { receive_window: window, ..Config::default() });
        world.dial(there);
        world.ends[1].to_write = back;
        let done = world.run(Duration::from_secs(3600), |world| {
            let ended = world.ends.iter().any(|end| end.ended.is_some());
            ended || (world.ends[1].received, world.ends[0].received) == (there, back)
        });
        prop_assert!(done, "{} of {there} and {} of {back}", world.ends[1].received, world.ends[0].received);
        // Bad luck may end a connection; it must not bend the bytes, which the world compares.
        if world.ends.iter().all(|end| end.ended.is_none()) {
            let now = world.now;
            world.ends[0].close(now);
            world.run(Duration::from_secs(600), |_| false);
            prop_assert!(world.ends.iter().all(|end| end.socket.connections() == 0));
        }
    }
}

/// Bytes a second, once the first seconds are over.
fn goodput(line: &Line, seconds: u64) -> (f64, World) {
    let config = Config { receive_window: 4 << 20, ..Config::default() };
    let mut world = World::with(7, line, config);
    world.dial(u64::MAX);
    let warm_up = Duration::from_secs(5);
    world.run(warm_up, |_| false);
    let before = world.ends[1].received;
    world.run(Duration::from_secs(seconds), |_| false);
    ((world.ends[1].received - before) as f64 / seconds as f64, world)
}

/// L-03. What a window that grows by 3,000 bytes a round trip and is halved by losses gives (BEP 29), and so libtorrent's:
/// sqrt(3/2 · gain · packet / p) bytes a round trip, or the line's rate. That forgets timeouts, so it is a high mark.
#[test]
fn lossy_and_long_lines_are_used_as_well_as_the_rules_allow() {
    let mut table = String::new();
    let mut all_well = true;
    for loss in [0, 10, 50, 100] {
        for round_trip in [10, 100, 300] {
            let line = Line {
                delay: ms(round_trip / 2),
                loss,
                reorder: 100,
                duplicate: 20,
                jitter: ms(2),
                rate: 2_500_000,
                ..Line::default()
            };
            let (goodput, world) = goodput(&line, 30);
            let line_rate = 2_500_000.0 * 1452.0 / 1500.0;
            let p = f64::from(loss) / 1000.0;
            let window = if loss == 0 { f64::MAX } else { (1.5 * 3000.0 * 1452.0 / p).sqrt() };
            let seconds = world.lines[0].queueing().as_secs_f64() + round_trip as f64 / 1000.0;
            let mark = (window / seconds * (1.0 - p)).min(line_rate);
            let well = goodput >= 0.8 * mark;
            all_well &= well;
            let _never_fails = writeln!(
                table,
                "loss {loss:3} ‰, {round_trip:3} ms: {:7.0} of {:7.0} kB/s ({:.2}), queue {:?}{}",
                goodput / 1e3,
                mark / 1e3,
                goodput / mark,
                world.lines[0].queueing(),
                if well { "" } else { "  <--" },
            );
        }
    }
    assert!(all_well, "\n{table}");
}

// L-03
#[test]
fn a_buffer_of_a_second_is_not_filled() {
    let line = Line { delay: ms(20), queue: ms(1000), ..Line::default() };
    let (goodput, world) = goodput(&line, 60);
    assert!(goodput > 1_150_000.0, "{goodput}");
    assert!(world.lines[0].queueing() <= ms(120), "{:?}", world.lines[0].queueing());
}

// L-03, 3.16
#[test]
fn a_tcp_flow_keeps_four_fifths_of_the_line() {
    for queue in [200, 500, 1000] {
        let line = Line { delay: ms(20), queue: ms(queue), ..Line::default() };
        let (_, mut world) = goodput(&line, 5);
        world.reno = Some(Reno::default());
        world.run(Duration::from_secs(10), |_| false);
        let before = world.reno.as_ref().unwrap().arrived;
        world.run(Duration::from_secs(60), |_| false);
        let share = (world.reno.as_ref().unwrap().arrived - before) as f64 * 1500.0 / 60.0 / 1_250_000.0;
        assert!(share >= 0.8, "{share:.2} with a queue of {queue} ms");
    }
}

#[test]
fn a_reader_that_stops_stops_the_writer_and_no_byte_is_lost() {
    let mut world = World::new(3, &Line::default());
    world.ends[1].reads = false;
    world.dial(5_000_000);
    assert!(!world.run(Duration::from_secs(60), |world| world.ends.iter().any(|end| end.ended.is_some())));
    let received = world.ends[1].received;
    assert!((1_000_000..=1 << 20).contains(&received), "{received}");
    // It is asked for room, but not often.
    let before = world.ends[0].datagrams.len();
    world.run(Duration::from_secs(60), |_| false);
    assert!((1..200).contains(&(world.ends[0].datagrams.len() - before)));
    world.ends[1].reads = true;
    let (now, key, bytes) =
        (world.now, world.ends[1].key.unwrap(), std::mem::take(&mut world.ends[1].unread));
    world.ends[1].socket.handle(now, utp::Event::Read { key, bytes });
    assert!(world.run(Duration::from_secs(60), |world| world.ends[1].received == 5_000_000));
}

#[test]
fn a_peer_that_falls_silent_is_given_up_within_minutes() {
    let mut world = World::new(4, &Line::default());
    world.dial(u64::MAX);
    world.run(ms(2000), |_| false);
    world.lines[1].loss = 1000;
    assert!(world.run(Duration::from_secs(180), |world| world.ends[0].ended == Some(End::TimedOut)));
    assert_eq!(world.ends[0].socket.connections(), 0);
}

#[test]
fn a_dial_that_nobody_answers_ends_after_seven_seconds() {
    let mut world = World::new(5, &Line { loss: 1000, ..Line::default() });
    world.dial(1);
    assert!(!world.run(ms(6900), |world| world.ends[0].ended.is_some()));
    assert!(world.run(ms(200), |world| world.ends[0].ended == Some(End::TimedOut)));
    assert_eq!(world.ends[0].datagrams, [20, 20, 20]);
}

#[test]
fn small_packets_do_not_follow_each_other() {
    let mut world = World::new(6, &Line { delay: ms(50), ..Line::default() });
    world.dial(1);
    world.run(ms(1000), |_| false);
    for _ in 0..50 {
        world.ends[0].to_write += 10;
        let now = world.now;
        world.run(ms(1), |_| false);
        assert!(now < world.now);
    }
    assert!(world.run(ms(1000), |world| world.ends[1].received == 501));
    let data = world.ends[0].datagrams.iter().filter(|&&size| size > 20).count();
    assert!(data <= 4, "{data}: fifty writes in a round trip are no fifty packets");
}
