use super::*;

/// Three files of two pieces each.
fn three_files() -> World {
    let block = u64::from(BLOCK);
    World::new(setup(Layout::contiguous(block, [(2 * block, false); 3]).unwrap()))
}

fn pieces_asked(world: &mut World, peer: PeerKey) -> Vec<String> {
    let mut asked = world.asked(peer);
    asked.sort();
    asked
}

#[test]
fn a_skipped_file_is_not_fetched_and_the_rest_is_all() {
    let mut world = three_files();
    world.skip(1, Priority::Skip);
    let seed = world.open_seed();
    world.sends_all(seed);
    let status = world.swarm.status();
    assert!(status.complete && !status.have.is_full());
    assert_eq!((status.wanted_left, status.left), (0, 2 * u64::from(BLOCK)));
    assert_eq!(world.completions(), 1);
}

#[test]
fn a_file_wanted_first_comes_first() {
    let mut world = three_files();
    world.skip(2, Priority::High);
    world.skip(1, Priority::Low);
    let seed = world.open_seed();
    let asked = world.asked(seed);
    let piece = |at: usize| asked[at].as_bytes()[0] - b'0';
    assert!(piece(0) >= 4 && piece(1) >= 4 && piece(2) < 2 && piece(3) < 2, "{asked:?}");
}

#[test]
fn a_file_skipped_on_the_way_is_taken_back() {
    let mut world = three_files();
    let seed = world.open_seed();
    world.asked(seed);
    world.skip(0, Priority::Skip);
    let mut cancelled = world.cancelled(seed);
    cancelled.sort();
    assert_eq!(cancelled, ["0:0", "1:0"]);
    // A block that crosses the cancel does no harm.
    world.sends(seed, "0:0");
    assert!(world.commit().is_empty());
}

#[test]
fn a_file_wanted_after_all_makes_the_swarm_incomplete_and_complete_again() {
    let mut world = three_files();
    world.skip(1, Priority::Skip);
    let seed = world.open_seed();
    world.sends_all(seed);
    assert_eq!(world.completions(), 1);
    assert_eq!(world.hung_up(seed), Some(HangUp::Useless));
    world.skip(1, Priority::Normal);
    assert!(!world.swarm.status().complete);
    // The seed that was useless is called back.
    assert_eq!(world.dials(), [addr(1)]);
    let seed = world.open_seed();
    world.sends_all(seed);
    assert_eq!(world.completions(), 1);
}

#[test]
fn a_partial_seed_says_that_it_only_uploads() {
    let mut world = three_files();
    world.skip(1, Priority::Skip);
    let (seed, leech) = (world.open_seed(), world.leech(&[]));
    world.took(|action| matches!(action, Action::Say { .. }).then_some(()));
    world.say(seed, Message::Choke);
    world.say(seed, Message::Unchoke);
    world.sends_all(seed);
    let said = world.told(leech, |message| match message {
        Message::ExtensionHandshake(handshake) => Some(handshake.upload_only),
        _ => None,
    });
    assert_eq!(said, [true]);
}

#[test]
fn a_pause_takes_everything_back_and_keeps_the_connections() {
    let mut world = three_files();
    let seed = world.open_seed();
    world.say(seed, Message::Interested);
    assert!(world.is_told(seed, &Message::Unchoke));
    assert_eq!(world.asked(seed).len(), 6);
    world.tell(Event::Pause);
    assert_eq!(world.cancelled(seed).len(), 6);
    assert!(world.is_told(seed, &Message::Choke));
    world.say(seed, Message::Have(0));
    world.pass(20);
    assert!(world.asked(seed).is_empty() && world.swarm.status().paused);
    world.tell(Event::Resume);
    assert_eq!(pieces_asked(&mut world, seed), ["0:0", "1:0", "2:0", "3:0", "4:0", "5:0"]);
    assert!(world.is_told(seed, &Message::Unchoke));
}

#[test]
fn a_failed_write_stops_the_asking_until_the_user_resumes() {
    let mut world = three_files();
    let seed = world.open_seed();
    let asked = world.asked(seed);
    world.sends(seed, &asked[0]);
    let piece = world.block(&asked[0]).piece();
    world.took(|action| matches!(action, Action::Commit { .. }).then_some(()));
    world.tell(Event::WriteFailed { piece });
    assert!(world.swarm.status().halted);
    assert_eq!(world.cancelled(seed).len(), 5);
    world.pass(20);
    assert!(world.asked(seed).is_empty());
    world.tell(Event::Resume);
    assert_eq!(world.asked(seed).len(), 6);
}

#[test]
fn a_lost_piece_is_fetched_again() {
    let all = |pieces| Bitfield::all(pieces);
    let mut world = swarm! { pieces: 2, blocks_per_piece: 1, have: all };
    assert!(world.swarm.status().complete);
    assert_eq!(world.completions(), 0);
    world.tell(Event::Lost { piece: PieceIndex(1) });
    let seed = world.open_seed();
    assert_eq!(world.asked(seed), ["1:0"]);
    world.sends(seed, "1:0");
    world.commit();
    assert_eq!(world.completions(), 1);
}

#[test]
fn the_order_may_be_changed_on_the_way() {
    let mut world = swarm! { pieces: 500, blocks_per_piece: 1 };
    world.tell(Event::SetSequential(true));
    let seed = world.open_seed();
    assert_eq!(world.asked(seed)[..2], ["0:0", "1:0"]);
}
