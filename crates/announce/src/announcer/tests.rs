//! The announcer against trackers that answer, fail, hang and disappear.

use super::*;
use crate::{ReplyError, Retry};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An announcer, and what it wants done.
struct World {
    announcer: Announcer,
    now: Duration,
}

/// One announce that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    tracker: TrackerKey,
    url: String,
    event: Option<AnnounceEvent>,
    id: Option<Vec<u8>>,
    numwant: u32,
}

impl World {
    fn new(tiers: &[&[&str]], complete: bool) -> Self {
        Self { announcer: Announcer::new(s(0), owned(tiers), complete, 7), now: s(0) }
    }

    fn tell(&mut self, event: Event) {
        self.announcer.handle(self.now, event);
    }

    /// All announces asked for since the last call; other actions are dropped.
    fn asked(&mut self) -> Vec<Asked> {
        let mut asked = Vec::new();
        while let Some(action) = self.announcer.next_action() {
            if let Action::Announce { tracker, url, event, tracker_id: id, numwant } = action {
                asked.push(Asked { tracker, url, event, id, numwant });
            }
        }
        asked
    }

    /// The one announce asked for.
    #[track_caller]
    fn one(&mut self) -> Asked {
        let asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked[0].clone()
    }

    fn accept(&mut self, asked: &Asked, reply: AnnounceReply) {
        self.tell(Event::Replied { tracker: asked.tracker, result: Ok(reply) });
    }

    fn refuse(&mut self, asked: &Asked, error: AnnounceError) {
        self.tell(Event::Replied { tracker: asked.tracker, result: Err(error) });
    }

    fn fail(&mut self, asked: &Asked) {
        self.refuse(asked, AnnounceError::Unreachable("connection refused".into()));
    }

    /// The list as it stands.
    fn urls(&self) -> Vec<String> {
        self.announcer.status().map(|status| status.url).collect()
    }

    /// Moves to the next deadline and says how long that took.
    #[track_caller]
    fn wait_for(&mut self) -> Duration {
        let before = self.now;
        self.wait().saturating_sub(before)
    }

    /// Moves to the next deadline.
    #[track_caller]
    fn wait(&mut self) -> Duration {
        self.now = self.announcer.next_deadline().expect("a deadline").max(self.now);
        self.tell(Event::Tick);
        self.now
    }

    fn wait_until(&mut self, now: Duration) {
        while self.announcer.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.wait();
        }
        self.now = now;
        self.tell(Event::Tick);
    }

    fn done(&mut self) -> bool {
        std::iter::from_fn(|| self.announcer.next_action()).any(|action| action == Action::Done)
    }
}

fn owned(tiers: &[&[&str]]) -> Vec<Vec<String>> {
    tiers.iter().map(|tier| tier.iter().map(|&url| url.to_owned()).collect()).collect()
}

fn good() -> AnnounceReply {
    AnnounceReply { interval: s(1800), peers: vec!["1.2.3.4:5".parse().unwrap()], ..AnnounceReply::default() }
}

#[test]
fn started_is_repeated_until_it_is_accepted_and_then_never_again() {
    let mut world = World::new(&[&["a"]], false);
    let first = world.one();
    assert_eq!(first.event, Some(AnnounceEvent::Started));
    world.fail(&first);
    assert!(world.asked().is_empty());
    assert!((s(5)..s(8)).contains(&world.wait()));
    let second = world.one();
    assert_eq!(second.event, Some(AnnounceEvent::Started));
    world.accept(&second, good());
    world.asked();
    let before = world.now;
    assert_eq!(world.wait(), before + s(1800));
    assert_eq!(world.one().event, None);
}

#[test]
fn one_tracker_is_enough_and_moves_to_the_front_of_its_tier() {
    let mut world = World::new(&[&["a", "b", "c"], &["d"]], false);
    let first = world.one();
    world.fail(&first);
    let second = world.one();
    assert!(second.url != first.url && second.url != "d");
    world.accept(&second, good());
    assert!(world.asked().is_empty());
    assert_eq!(world.announcer.status().next().unwrap().url, second.url);
    world.wait_until(s(1801));
    assert_eq!(world.one().url, second.url);
}

#[test]
fn tiers_are_shuffled_but_keep_their_order() {
    let first_of = |seed| {
        let mut announcer = Announcer::new(s(0), owned(&[&["a", "b", "c"], &["d"]]), false, seed);
        let Some(Action::Announce { url, .. }) = announcer.next_action() else { panic!() };
        assert_eq!(announcer.status().map(|status| status.tier).collect::<Vec<_>>(), [0, 0, 0, 1]);
        url
    };
    let firsts: std::collections::BTreeSet<_> = (0..50).map(first_of).collect();
    assert_eq!(firsts.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn a_silent_tracker_does_not_keep_the_next_tier_waiting() {
    // L-05
    let mut world = World::new(&[&["a"], &["b"], &["c"], &["d"], &["e"]], false);
    world.wait_until(s(15));
    let urls: Vec<_> = world.asked().into_iter().map(|asked| asked.url).collect();
    assert_eq!(urls, ["a", "b", "c", "d", "e"]);
    assert_eq!(world.announcer.next_deadline(), None, "all are being asked");
}

#[test]
fn the_first_tier_is_preferred_again_when_it_is_back() {
    let mut world = World::new(&[&["a"], &["b"]], false);
    let first = world.one();
    world.fail(&first);
    let second = world.one();
    assert_eq!(second.url, "b");
    world.accept(&second, good());
    world.wait_until(s(1801));
    assert_eq!(world.one().url, "a");
}

#[test]
fn failures_are_waited_out_for_ever_longer_up_to_half_an_hour() {
    // L-05
    let mut world = World::new(&[&["a"]], false);
    let mut waits = Vec::new();
    for _ in 0..15 {
        let asked = world.one();
        world.fail(&asked);
        waits.push(world.wait_for());
    }
    assert!(waits.iter().all(|wait| (s(5)..=s(1800)).contains(wait)), "{waits:?}");
    assert!(waits[4] > waits[1] && waits[14] >= s(1200), "{waits:?}");
    let other: Vec<_> = (0..20)
        .map(|seed| {
            let mut announcer = Announcer::new(s(0), owned(&[&["a"]]), false, seed);
            let Some(Action::Announce { tracker, .. }) = announcer.next_action() else { panic!() };
            let result = Err(AnnounceError::Unreachable(String::new()));
            announcer.handle(s(0), Event::Replied { tracker, result });
            announcer.next_deadline()
        })
        .collect();
    assert!(other.iter().any(|deadline| *deadline != other[0]), "jitter: {other:?}");
}

#[test]
fn retry_in_and_never_are_obeyed() {
    // BEP 31
    let failure =
        |retry| AnnounceError::Reply(ReplyError::Failure { reason: "no".into(), retry: Some(retry) });
    let mut world = World::new(&[&["a"]], false);
    let asked = world.one();
    world.refuse(&asked, failure(Retry::After(s(120))));
    assert_eq!(world.wait(), s(120));
    let asked = world.one();
    world.refuse(&asked, failure(Retry::Never));
    assert_eq!(world.announcer.next_deadline(), None);
    world.tell(Event::WantPeers);
    world.wait_until(s(1_000_000));
    assert!(world.asked().is_empty());
    world.tell(Event::Stop);
    assert!(world.done());
}

#[test]
fn wanting_peers_waits_for_the_min_interval() {
    let mut world = World::new(&[&["a"], &["b"]], false);
    let asked = world.one();
    world.accept(&asked, AnnounceReply { min_interval: Some(s(300)), ..good() });
    world.asked();
    world.now = s(10);
    world.tell(Event::WantPeers);
    assert!(world.asked().is_empty());
    assert_eq!(world.wait(), s(300));
    assert_eq!(world.one().url, "a");
}

#[test]
fn wanting_peers_gets_slower_if_the_tracker_does_not_say_how_fast_it_may_be() {
    let mut world = World::new(&[&["a"]], false);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let asked = world.one();
        world.accept(&asked, good());
        world.tell(Event::WantPeers);
        world.asked();
        waits.push(world.wait_for().as_secs());
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1800, 1800, 1800]);
}

#[test]
fn a_tracker_without_peers_lets_the_others_have_a_turn() {
    let mut world = World::new(&[&["a"], &["b"]], false);
    let asked = world.one();
    world.accept(&asked, AnnounceReply { peers: Vec::new(), ..good() });
    assert!(world.asked().is_empty(), "not before somebody wants peers");
    world.tell(Event::WantPeers);
    assert_eq!(world.one().url, "b");
}

#[test]
fn completed_is_said_once_and_at_once() {
    let mut world = World::new(&[&["a"]], false);
    let asked = world.one();
    world.accept(&asked, AnnounceReply { min_interval: Some(s(900)), ..good() });
    world.asked();
    world.now = s(5);
    world.tell(Event::Completed);
    let asked = world.one();
    assert_eq!(asked.event, Some(AnnounceEvent::Completed));
    world.accept(&asked, good());
    world.tell(Event::Completed);
    world.wait_until(s(4000));
    assert!(world.asked().iter().all(|asked| asked.event.is_none()));
}

#[test]
fn completed_is_not_lost_while_another_announce_is_under_way() {
    let mut world = World::new(&[&["a"]], false);
    let started = world.one();
    world.tell(Event::Completed);
    assert!(world.asked().is_empty());
    world.accept(&started, good());
    let completed = world.one();
    assert_eq!(completed.event, Some(AnnounceEvent::Completed));
    world.fail(&completed);
    world.wait();
    assert_eq!(world.one().event, Some(AnnounceEvent::Completed), "it was not heard");
}

#[test]
fn a_torrent_complete_from_the_start_never_says_completed() {
    let mut world = World::new(&[&["a"]], true);
    let asked = world.one();
    world.accept(&asked, good());
    world.tell(Event::Completed);
    assert!(world.asked().is_empty());
}

#[test]
fn a_partial_seed_says_so_in_every_announce() {
    // BEP 21
    let mut world = World::new(&[&["a"]], false);
    let asked = world.one();
    world.accept(&asked, good());
    world.tell(Event::PartialSeed(true));
    world.asked();
    world.wait();
    assert_eq!(world.one().event, Some(AnnounceEvent::Paused));
}

#[test]
fn the_tracker_id_is_repeated_to_its_own_tracker_only() {
    let mut world = World::new(&[&["a"], &["b"]], false);
    let asked = world.one();
    world.accept(&asked, AnnounceReply { tracker_id: Some(b"xyz".to_vec()), ..good() });
    world.asked();
    world.wait();
    let asked = world.one();
    assert_eq!((asked.url.as_str(), asked.id.as_deref()), ("a", Some(&b"xyz"[..])));
    world.fail(&asked);
    let asked = world.one();
    assert_eq!((asked.url.as_str(), asked.id), ("b", None));
}

#[test]
fn stopped_goes_to_those_who_know_us_and_ends_with_done() {
    let mut world = World::new(&[&["a"], &["b"], &["c"]], false);
    let a = world.one();
    world.fail(&a);
    let b = world.one();
    world.accept(&b, good());
    world.asked();
    world.tell(Event::Stop);
    let stopped = world.one();
    assert_eq!(
        (stopped.url.as_str(), stopped.event, stopped.numwant),
        ("b", Some(AnnounceEvent::Stopped), 0)
    );
    assert_eq!(world.announcer.next_deadline(), None);
    world.fail(&stopped);
    assert!(world.done());
    world.tell(Event::Stop);
    world.tell(Event::Tick);
    assert_eq!(world.announcer.next_action(), None, "done is said once");
}

#[test]
fn stopping_waits_for_a_started_under_way_and_takes_it_back() {
    let mut world = World::new(&[&["a"]], false);
    let started = world.one();
    world.tell(Event::Stop);
    assert!(world.asked().is_empty());
    world.accept(&started, good());
    let stopped = world.one();
    assert_eq!(stopped.event, Some(AnnounceEvent::Stopped));
    world.accept(&stopped, good());
    assert!(world.done());
}

#[test]
fn stopping_without_trackers_is_done_at_once() {
    let mut world = World::new(&[], false);
    world.tell(Event::Stop);
    assert!(world.done());
}

#[test]
fn a_completed_that_is_owed_is_said_before_stopped() {
    let mut world = World::new(&[&["a"]], false);
    let started = world.one();
    world.tell(Event::Completed);
    world.tell(Event::Stop);
    world.accept(&started, good());
    let completed = world.one();
    assert_eq!(completed.event, Some(AnnounceEvent::Completed));
    world.fail(&completed);
    let stopped = world.one();
    assert_eq!(stopped.event, Some(AnnounceEvent::Stopped));
    world.fail(&stopped);
    assert!(world.done());
}

#[test]
fn removed_trackers_are_told_and_kept_ones_are_not_asked_anew() {
    let mut world = World::new(&[&["a"]], false);
    let asked = world.one();
    world.accept(&asked, good());
    world.asked();
    world.tell(Event::Edit(Edit::Replace(owned(&[&["a"], &["b"]]))));
    let b = world.one();
    assert_eq!((b.url.as_str(), b.event), ("b", Some(AnnounceEvent::Started)));
    world.accept(&b, good());
    world.asked();
    world.tell(Event::Edit(Edit::Replace(owned(&[&["b"]]))));
    let stopped = world.one();
    assert_eq!((stopped.url.as_str(), stopped.event), ("a", Some(AnnounceEvent::Stopped)));
    world.fail(&stopped);
    assert_eq!(world.urls(), ["b"]);
}

#[test]
fn an_added_tracker_is_asked_at_once_though_another_serves() {
    let mut world = World::new(&[&["a"]], false);
    let asked = world.one();
    world.accept(&asked, good());
    world.asked();
    world.tell(Event::Edit(Edit::Add(owned(&[&["b"], &["a"]]))));
    let b = world.one();
    assert_eq!((b.url.as_str(), b.event), ("b", Some(AnnounceEvent::Started)));
    world.fail(&b);
    assert!(world.asked().is_empty());
    let waited = world.wait_for();
    assert_eq!((waited, world.asked()[0].url.as_str()), (s(1800), "a"), "a failure is waited out, as ever");
    assert_eq!(world.urls(), ["a", "b"]);
    let tiers: Vec<_> = world.announcer.status().map(|status| status.tier).collect();
    assert_eq!(tiers, [0, 1]);
}

#[test]
fn a_removed_tracker_is_told_and_comes_back_as_a_new_one() {
    let mut world = World::new(&[&["a"], &["b"]], false);
    let asked = world.one();
    world.accept(&asked, good());
    world.asked();
    world.tell(Event::Edit(Edit::Remove(vec!["a".into(), "unknown".into()])));
    let asked = world.asked();
    assert_eq!((asked[0].url.as_str(), asked[0].event), ("a", Some(AnnounceEvent::Stopped)));
    assert_eq!((asked[1].url.as_str(), asked[1].event), ("b", Some(AnnounceEvent::Started)));
    world.tell(Event::Edit(Edit::Add(owned(&[&["a"]]))));
    assert!(world.asked().is_empty(), "not before its goodbye is over");
    world.fail(&asked[0]);
    let again = world.one();
    assert_eq!((again.url.as_str(), again.event), ("a", Some(AnnounceEvent::Started)));
    assert_eq!(world.urls(), ["b", "a"]);
}

#[test]
fn the_status_tells_what_trackers_said() {
    let mut world = World::new(&[&["a"], &["b"]], false);
    let a = world.one();
    world.fail(&a);
    let b = world.one();
    world.accept(&b, AnnounceReply { warning: Some("soon down".into()), complete: Some(3), ..good() });
    let status: Vec<_> = world.announcer.status().collect();
    assert_eq!(
        status[0].state,
        TrackerState::Failing(AnnounceError::Unreachable("connection refused".into()))
    );
    assert_eq!(status[1].state, TrackerState::Working { peers: 1, warning: Some("soon down".into()) });
    assert_eq!((status[1].seeds, status[1].next), (Some(3), Some(s(1800))));
}

#[test]
fn stray_answers_are_ignored() {
    let mut world = World::new(&[&["a"]], false);
    let asked = world.one();
    world.accept(&asked, good());
    world.asked();
    world.fail(&asked);
    world.tell(Event::Replied { tracker: TrackerKey(99), result: Ok(good()) });
    assert_eq!(world.announcer.next_action(), None);
    assert!(matches!(world.announcer.status().next().unwrap().state, TrackerState::Working { .. }));
}
