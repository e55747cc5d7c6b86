use super::*;
use crate::content::{Announces, Content, Found, TrackerAnswer, TrackerRequest};

struct Nothing;

impl Content for Nothing {
    fn find(&self, _path: &str, _from: IpAddr) -> Option<Found> {
        None
    }
}

impl Announces for Nothing {
    fn answer(&self, _request: TrackerRequest<'_>) -> Option<TrackerAnswer> {
        None
    }
}

/// A room in which 10.0.0.1 is a proxy.
fn room(limits: Limits) -> Room {
    let site = Site {
        content: Arc::new(Nothing),
        tracker: Arc::new(Nothing),
        metrics: Arc::new(String::new),
        is_proxy: Arc::new(|ip| ip == IpAddr::from([10, 0, 0, 1])),
        counts: Arc::default(),
    };
    Room::new(limits, Arc::new(site))
}

fn admit(room: &mut Room, from: &str) -> bool {
    let before = room.seats.len();
    room.admit(from.parse().unwrap(), |_| pending());
    room.seats.len() > before
}

#[tokio::test]
async fn one_address_has_no_more_than_its_share() {
    let mut room = room(Limits { per_address: 2, ..Limits::default() });
    for from in ["192.0.2.1", "2001:db8::1"] {
        assert!(admit(&mut room, from) && admit(&mut room, from), "{from}");
        assert!(!admit(&mut room, from), "{from}");
    }
    assert!(admit(&mut room, "192.0.2.2") && admit(&mut room, "2001:db8:0:1::1"));
    assert!(!admit(&mut room, "2001:db8::2"), "a host has a whole /64");
    assert_eq!(room.counts().turned_away.load(Relaxed), 3);
}

#[tokio::test]
async fn loopback_and_proxies_are_not_counted() {
    let mut room = room(Limits { per_address: 2, ..Limits::default() });
    for from in ["127.0.0.1", "::1", "10.0.0.1"] {
        assert!((0..5).all(|_| admit(&mut room, from)), "{from}");
    }
}

#[tokio::test]
async fn a_place_that_was_left_can_be_taken_again() {
    let mut room = room(Limits { per_address: 1, ..Limits::default() });
    assert!(admit(&mut room, "192.0.2.1"));
    assert!(!admit(&mut room, "192.0.2.1"));
    room.seats.values().for_each(|seat| seat.task.abort());
    room.one_left().await;
    assert!(room.by_address.is_empty());
    assert!(admit(&mut room, "192.0.2.1"));
}

#[tokio::test(start_paused = true)]
async fn those_to_whom_nothing_is_owed_make_way_first_and_the_newest_last() {
    let mut room = room(Limits { connections: 4, ..Limits::default() });
    assert!(admit(&mut room, "192.0.2.1"));
    let ticket = room.seats.values().next().unwrap().link.begin();
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(admit(&mut room, "192.0.2.2"));
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(admit(&mut room, "192.0.2.3"));
    assert!(admit(&mut room, "192.0.2.4"));
    room.one_left().await;
    assert!(!room.by_address.contains_key(&"192.0.2.2".parse().unwrap()));
    drop(ticket);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_new_ones_drives_out_nobody_who_has_just_come() {
    let mut room = room(Limits { connections: 4, ..Limits::default() });
    assert!((0..4).all(|_| admit(&mut room, "192.0.2.1")));
    assert!(!room.has_place());
    assert_eq!(room.counts().closed.load(Relaxed), 0);
    tokio::time::advance(Duration::from_secs(2)).await;
    room.look_round();
    room.one_left().await;
    assert!(room.has_place());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_for_long_is_overdue() {
    let limits = Limits::default();
    let mut room = room(limits);
    assert!(admit(&mut room, "192.0.2.1"));
    let seat = room.seats.values_mut().next().unwrap();
    let ticket = seat.link.begin();
    while !seat.is_overdue(&limits) {
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(seat.link.age().as_secs(), limits.stall.as_secs() + 1);
    drop(ticket);
}
