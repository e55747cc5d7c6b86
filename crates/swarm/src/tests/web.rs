use super::*;

const SEED: WebSeedKey = WebSeedKey(0);

/// A world with so many web seeds.
fn world(pieces: u64, blocks: u64, web_seeds: u32) -> World {
    World::new(Setup { web_seeds: (0..web_seeds).collect(), ..setup(layout(pieces, blocks)) })
}

type Asked = (WebSeedKey, FetchKey, Vec<BlockRef>);

fn fetches(world: &mut World) -> Vec<Asked> {
    world.took(|action| match action {
        Action::Fetch { seed, fetch, blocks } => Some((*seed, *fetch, blocks.clone())),
        _ => None,
    })
}

fn unfetched(world: &mut World) -> Vec<FetchKey> {
    world.took(|action| if let Action::Unfetch(fetch) = action { Some(*fetch) } else { None })
}

fn bans(world: &mut World) -> Vec<WebSeedKey> {
    world.took(|action| if let Action::BanWebSeed(seed) = action { Some(*seed) } else { None })
}

fn pieces(blocks: &[BlockRef]) -> Vec<u32> {
    let mut pieces: Vec<u32> = blocks.iter().map(|block| block.piece().0).collect();
    pieces.dedup();
    pieces
}

fn give(world: &mut World, (_, fetch, blocks): &Asked, byte: u8) {
    for &block in blocks {
        let length = world.layout.without_padding(block).length() as usize;
        world.tell(Event::Fetched { fetch: *fetch, data: vec![byte; length].into() });
    }
    world.commit();
}

/// The servers answer until they are asked nothing more; says how many bytes that were.
fn give_all(world: &mut World) -> u64 {
    loop {
        let asked = fetches(world);
        if asked.is_empty() {
            return world.swarm.status().from_web;
        }
        for asked in &asked {
            give(world, asked, b'g');
        }
    }
}

fn fail(world: &mut World, fetch: FetchKey, why: FetchTrouble) {
    world.tell(Event::FetchFailed { fetch, why });
}

/// Seconds until the next fetch, which fails for good if there is none.
fn seconds_until_asked(world: &mut World) -> (u64, Asked) {
    for second in 1..4000 {
        world.pass(1);
        if let Some(asked) = fetches(world).pop() {
            return (second, asked);
        }
    }
    panic!("nothing was asked");
}

#[test]
fn a_web_seed_alone_gives_the_whole_torrent_once_peers_had_their_chance() {
    let mut world = world(10, 4, 1);
    world.pass(1);
    assert_eq!(fetches(&mut world), []);
    world.pass(2);
    give_all(&mut world);
    assert!(world.swarm.status().complete);
    assert_eq!(world.swarm.status().from_web, 40 * u64::from(BLOCK));
    assert_eq!((world.swarm.status().wasted, world.completions()), (0, 1));
}

#[test]
fn a_server_is_asked_for_runs_of_pieces_over_two_connections() {
    let mut world = world(100, 16, 1);
    world.pass(3);
    let asked = fetches(&mut world);
    assert_eq!(asked.len(), 2);
    for (_, _, blocks) in &asked {
        let pieces = pieces(blocks);
        assert!(pieces.is_sorted() && pieces.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{pieces:?}");
        assert_eq!(blocks.len(), 32);
    }
    give(&mut world, &asked[0], b'g');
    assert_eq!(fetches(&mut world).len(), 1);
}

#[test]
fn a_fast_server_is_asked_for_longer_runs() {
    let mut world = world(100, 16, 1);
    world.pass(3);
    let mut longest = 0;
    for _ in 0..4 {
        for asked in fetches(&mut world) {
            longest = longest.max(asked.2.len());
            give(&mut world, &asked, b'g');
        }
    }
    assert_eq!(longest, 256);
}

#[test]
fn web_seeds_of_one_host_share_its_two_connections() {
    let mut world = World::new(Setup { web_seeds: vec![0, 0, 0, 1], ..setup(layout(400, 16)) });
    world.pass(3);
    let mut seeds: Vec<u32> = fetches(&mut world).iter().map(|(seed, ..)| seed.0).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, [0, 1, 3, 3]);
}

#[test]
fn memory_bounds_what_is_fetched_at_a_time() {
    let mut setup = Setup { web_seeds: (0..16).collect(), ..setup(layout(100, 16)) };
    setup.config.memory_budget = 1 << 20;
    let mut world = World::new(setup);
    world.pass(3);
    let blocks: usize = fetches(&mut world).iter().map(|(_, _, blocks)| blocks.len()).sum();
    assert_eq!(blocks, 64);
}

/// A peer answers what it is asked for so many seconds, at this many blocks a second.
fn peer_gives(world: &mut World, peer: PeerKey, owed: &mut Vec<String>, seconds: u64, blocks: usize) {
    for _ in 0..seconds {
        owed.extend(world.asked(peer));
        for name in owed.drain(..blocks.min(owed.len())).collect::<Vec<_>>() {
            world.sends(peer, &name);
        }
        world.commit();
        world.pass(1);
    }
}

#[test]
fn while_peers_give_enough_no_server_is_asked() {
    let mut world = world(400, 16, 2);
    let peer = world.open_seed();
    peer_gives(&mut world, peer, &mut Vec::new(), 60, 64);
    assert_eq!(fetches(&mut world), []);
}

#[test]
fn when_peers_stop_a_server_takes_over_within_ten_seconds() {
    for leaves in [true, false] {
        let mut world = world(400, 16, 1);
        let peer = world.open_seed();
        peer_gives(&mut world, peer, &mut Vec::new(), 10, 64);
        if leaves {
            world.tell(Event::Gone { peer });
        }
        world.pass(10);
        assert!(!fetches(&mut world).is_empty(), "the peer leaves: {leaves}");
    }
}

#[test]
fn a_server_helps_when_peers_are_too_slow() {
    let mut world = world(100, 16, 1);
    let peer = world.open_seed();
    peer_gives(&mut world, peer, &mut Vec::new(), 10, 2);
    assert!(!fetches(&mut world).is_empty());
}

#[test]
fn what_only_slow_peers_were_asked_for_is_fetched_too_and_cancelled_there() {
    let mut world = world(1, 64, 1);
    let peer = world.open_seed();
    assert_eq!(world.asked(peer).len(), 64);
    world.pass(4);
    give_all(&mut world);
    assert!(world.swarm.status().complete);
    assert!(!world.cancelled(peer).is_empty());
}

#[test]
fn a_piece_that_peers_left_unfinished_is_finished_by_a_server() {
    let mut world = world(1, 8, 1);
    let peer = world.open_seed();
    world.sends(peer, "0:0");
    world.sends(peer, "0:5");
    world.tell(Event::Gone { peer });
    world.pass(3);
    assert_eq!(give_all(&mut world), 6 * u64::from(BLOCK));
    assert!(world.swarm.status().complete);
}

#[test]
fn a_wrong_byte_bans_the_server_and_no_peer() {
    let mut world = world(4, 4, 2);
    world.pass(3);
    let asked = fetches(&mut world);
    let liar = asked[0].0;
    give(&mut world, &asked[0], b'x');
    assert_eq!(bans(&mut world), [liar]);
    let peer = world.open_seed();
    world.sends_all(peer);
    for asked in asked.iter().filter(|(seed, ..)| *seed != liar) {
        give(&mut world, asked, b'g');
    }
    world.pass(20);
    world.sends_all(peer);
    give_all(&mut world);
    assert!(world.swarm.status().complete);
    assert_eq!(world.hung_up(peer), Some(HangUp::Useless));
    let banned = world.took(|action| matches!(action, Action::Ban(_)).then_some(()));
    assert!(banned.is_empty());
    let out: Vec<bool> = world.swarm.web_seeds().map(|seed| seed.out).collect();
    assert_eq!(out.iter().filter(|out| **out).count(), 1);
}

#[test]
fn a_good_copy_tells_that_the_bad_block_was_the_servers() {
    let mut world = world(1, 4, 1);
    let peer = world.open_seed();
    let asked = world.asked(peer);
    world.sends(peer, &asked[0]);
    world.say(peer, Message::Choke);
    world.pass(3);
    let fetched = fetches(&mut world);
    give(&mut world, &fetched[0], b'x');
    assert_eq!(bans(&mut world), []);
    world.say(peer, Message::Unchoke);
    world.pass(6);
    let again = world.open_seed();
    world.pass(1);
    for peer in [peer, again] {
        world.sends_all(peer);
    }
    give_all(&mut world);
    assert_eq!(bans(&mut world), [SEED]);
    assert!(world.swarm.status().complete);
}

#[test]
fn a_server_rests_as_long_as_it_wishes() {
    let mut world = world(4, 4, 1);
    let (_, asked) = seconds_until_asked(&mut world);
    fail(&mut world, asked.1, FetchTrouble::Later(Duration::from_secs(40)));
    let (second, _) = seconds_until_asked(&mut world);
    assert!((40..=41).contains(&second), "{second}");
}

#[test]
fn a_server_that_fails_again_and_again_rests_longer_each_time_up_to_minutes() {
    let mut world = world(4, 4, 1);
    let (_, mut asked) = seconds_until_asked(&mut world);
    let mut rests = Vec::new();
    for _ in 0..9 {
        fail(&mut world, asked.1, FetchTrouble::Broken);
        let (rest, next) = seconds_until_asked(&mut world);
        rests.push(rest);
        asked = next;
    }
    assert!((4..=8).contains(&rests[0]) && (7..=14).contains(&rests[1]), "{rests:?}");
    assert!((220..=380).contains(&rests[8]), "{rests:?}");
    give(&mut world, &asked, b'g');
    assert_eq!(world.swarm.web_seeds().map(|seed| seed.failures).collect::<Vec<_>>(), [0]);
}

#[test]
fn a_server_without_the_torrent_is_asked_nothing_more() {
    let mut world = world(400, 16, 1);
    world.pass(3);
    let asked = fetches(&mut world);
    fail(&mut world, asked[0].1, FetchTrouble::Gone);
    assert_eq!(unfetched(&mut world), [asked[1].1]);
    world.pass(4000);
    assert_eq!(fetches(&mut world), []);
}

#[test]
fn a_silent_server_loses_its_fetch_to_another() {
    let mut world = world(1, 4, 2);
    world.pass(3);
    let asked = fetches(&mut world);
    assert_eq!(asked.len(), 1);
    world.pass(16);
    let again = fetches(&mut world);
    assert!(!again.is_empty() && again[0].0 != asked[0].0, "{again:?}");
    give(&mut world, &again[0], b'g');
    assert!(world.swarm.status().complete);
    // What comes too late does no harm.
    give(&mut world, &asked[0], b'x');
    assert!(bans(&mut world).is_empty());
}

#[test]
fn at_the_end_idle_peers_take_what_a_slow_server_still_owes() {
    let mut world = world(2, 64, 1);
    world.pass(3);
    let asked = fetches(&mut world);
    assert_eq!(asked.len(), 2);
    let peer = world.open_seed();
    world.tell(Event::Fetched { fetch: asked[0].1, data: vec![b'g'; BLOCK as usize].into() });
    for _ in 0..60 {
        world.pass(1);
        world.sends_all(peer);
    }
    assert!(world.swarm.status().complete);
    assert_eq!(unfetched(&mut world).len(), 2);
}

#[test]
fn padding_is_not_fetched() {
    let block = u64::from(BLOCK);
    let files = [(block + 9, false), (3 * block - 9, true), (4 * block, false)];
    let layout = Layout::contiguous(4 * block, files).unwrap();
    let mut world = World::new(Setup { web_seeds: vec![0], ..setup(layout) });
    world.pass(3);
    assert_eq!(give_all(&mut world), 5 * block + 9);
    assert!(world.swarm.status().complete);
}

#[test]
fn a_pause_ends_all_fetches_and_files_nobody_wants_are_not_fetched() {
    let block = u64::from(BLOCK);
    let layout = Layout::contiguous(block, [(4 * block, false), (4 * block, false)]).unwrap();
    let mut world = World::new(Setup { web_seeds: vec![0], ..setup(layout) });
    world.skip(0, Priority::Skip);
    world.pass(3);
    let asked = fetches(&mut world);
    assert_eq!(pieces(&asked[0].2), [4, 5, 6, 7]);
    world.tell(Event::Pause);
    assert_eq!(unfetched(&mut world), [asked[0].1]);
    world.tell(Event::Resume);
    world.pass(3);
    assert!(!fetches(&mut world).is_empty());
    world.skip(1, Priority::Skip);
    assert!(!unfetched(&mut world).is_empty());
}
