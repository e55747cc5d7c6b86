use super::*;

/// As many names as a peer is asked for at the start, of the given piece.
fn names(piece: u32, blocks: std::ops::Range<u32>) -> Vec<String> {
    blocks.map(|number| format!("{piece}:{number}")).collect()
}

#[test]
fn a_download_from_one_seed_ends_with_every_piece() {
    let mut world = swarm! { pieces: 30, blocks_per_piece: 4 };
    let seed = world.seed();
    assert!(world.is_told(seed, &Message::Interested));
    assert!(world.asked(seed).is_empty());
    world.say(seed, Message::Unchoke);
    world.sends_all(seed);
    let status = world.swarm.status();
    assert!(status.complete && status.have.is_full());
    assert_eq!((status.left, status.wasted), (0, 0));
    assert_eq!(status.downloaded, world.layout.content_length());
    assert_eq!(world.completions(), 1);
}

#[test]
fn a_new_peer_is_asked_for_sixty_four_blocks_and_ever_more_as_they_come() {
    let mut world = swarm! { pieces: 1000, blocks_per_piece: 16 };
    let seed = world.seed();
    world.introduce(seed, ExtensionHandshake { request_queue: Some(5000), ..Default::default() });
    world.say(seed, Message::Unchoke);
    let mut batches = Vec::new();
    for _ in 0..7 {
        let asked = world.asked(seed);
        batches.push(asked.len());
        for name in &asked {
            world.sends(seed, name);
        }
        world.commit();
    }
    assert_eq!(batches[..4], [64, 128, 256, 512]);
    let owed = world.swarm.peers().next().unwrap().requests;
    assert_eq!(owed, 2000);
}

#[test]
fn the_peers_own_limit_is_kept() {
    let mut world = swarm! { pieces: 100, blocks_per_piece: 16 };
    let seed = world.seed();
    world.introduce(seed, ExtensionHandshake { request_queue: Some(10), ..Default::default() });
    world.say(seed, Message::Unchoke);
    assert_eq!(world.asked(seed).len(), 10);
}

#[test]
fn requests_are_made_in_batches() {
    let mut world = swarm! { pieces: 100, blocks_per_piece: 16 };
    let seed = world.open_seed();
    let asked = world.asked(seed);
    world.sends(seed, &asked[0]);
    assert!(world.asked(seed).is_empty());
}

#[test]
fn a_peer_that_chokes_us_gives_its_blocks_back() {
    let mut world = swarm! { pieces: 2, blocks_per_piece: 4 };
    let slow = world.open_seed();
    assert_eq!(world.asked(slow).len(), 8);
    let fast = world.open_seed();
    assert!(world.asked(fast).is_empty());
    world.say(slow, Message::Choke);
    assert_eq!(world.asked(fast).len(), 8);
    assert!(world.cancelled(slow).is_empty());
}

#[test]
fn a_peer_that_leaves_gives_its_blocks_back() {
    let mut world = swarm! { pieces: 2, blocks_per_piece: 4 };
    let (first, second) = (world.open_seed(), world.open_seed());
    world.tell(Event::Gone { peer: first });
    assert_eq!(world.asked(second).len(), 8);
}

#[test]
fn a_block_that_crossed_a_choke_is_kept() {
    let mut world = swarm! { pieces: 1, blocks_per_piece: 2 };
    let seed = world.open_seed();
    world.say(seed, Message::Choke);
    world.sends(seed, "0:0");
    world.say(seed, Message::Unchoke);
    world.asked(seed);
    assert_eq!(world.swarm.status().wasted, 0);
    world.sends(seed, "0:1");
    assert_eq!(world.commit(), [(0, true)]);
}

#[test]
fn an_open_piece_is_finished_before_another_is_begun() {
    let mut world = swarm! { pieces: 40, blocks_per_piece: 32 };
    let first = world.open_seed();
    let begun: Vec<String> = world.asked(first);
    let last = begun.last().unwrap().split(':').next().unwrap().to_owned();
    world.say(first, Message::Choke);
    let second = world.open_seed();
    let joined = world.asked(second);
    assert_eq!(joined.iter().filter(|name| name.starts_with(&format!("{last}:"))).count(), 32);
}

#[test]
fn the_rarest_piece_is_asked_for_first() {
    let mut world = swarm! { pieces: 4, blocks_per_piece: 1, config: { upload_slots: Some(4) } };
    world.leech(&[0, 1, 3]);
    world.leech(&[1, 3]);
    world.leech(&[3]);
    let seed = world.open_seed();
    assert_eq!(world.asked(seed), ["2:0", "0:0", "1:0", "3:0"]);
}

#[test]
fn pieces_come_in_order_if_the_user_says_so() {
    let mut world = swarm! { pieces: 8, blocks_per_piece: 2, config: { sequential: true } };
    let seed = world.open_seed();
    assert_eq!(world.asked(seed)[..4], ["0:0", "0:1", "1:0", "1:1"]);
}

#[test]
fn only_what_a_peer_has_is_asked_of_it() {
    let mut world = swarm! { pieces: 8, blocks_per_piece: 2 };
    let peer = world.leech(&[3]);
    world.say(peer, Message::Unchoke);
    assert_eq!(world.asked(peer), names(3, 0..2));
    world.say(peer, Message::Have(5));
    assert_eq!(world.asked(peer), names(5, 0..2));
}

#[test]
fn padding_is_never_asked_for_and_filled_with_zeros() {
    let block = u64::from(BLOCK);
    let sizes = [(block + 5, false), (3 * block - 5, true), (4 * block, true), (7, false)];
    let mut world = World::new(setup(Layout::contiguous(4 * block, sizes).unwrap()));
    let seed = world.open_seed();
    let request = |message: &Message| match message {
        Message::Request(request) => Some((request.index, request.begin, request.length)),
        _ => None,
    };
    let mut asked = world.told(seed, request);
    asked.sort_unstable();
    assert_eq!(asked, [(0, 0, BLOCK), (0, BLOCK, 5), (2, 0, 7)]);
    // The second piece is padding only: it needs nobody.
    for name in ["0:0", "0:1", "2:0"] {
        world.sends(seed, name);
    }
    let mut pieces = world.commit();
    pieces.sort_unstable();
    assert_eq!(pieces, [(0, true), (2, true)]);
    assert!(world.swarm.status().complete);
}

#[test]
fn memory_is_bounded_and_peers_share_what_is_open() {
    let budget = 4 * 16 * u64::from(BLOCK);
    let mut world = swarm! { pieces: 100, blocks_per_piece: 16, config: { memory_budget: budget } };
    let (first, second) = (world.open_seed(), world.open_seed());
    let asked = (world.asked(first).len(), world.asked(second).len());
    assert_eq!(asked, (64, 0));
    world.say(first, Message::Choke);
    assert_eq!(world.asked(second).len(), 64);
}

#[test]
fn one_piece_is_held_however_long_it_is() {
    let mut world = swarm! { pieces: 2, blocks_per_piece: 16, config: { memory_budget: 1 } };
    let seed = world.open_seed();
    assert_eq!(world.asked(seed).len(), 16);
}

#[test]
fn a_stuck_piece_makes_place_for_one_that_can_move() {
    let mut world = swarm! { pieces: 2, blocks_per_piece: 4, config: { memory_budget: 1 } };
    let gone = world.leech(&[0]);
    world.say(gone, Message::Unchoke);
    let first = world.asked(gone);
    world.sends(gone, &first[0]);
    world.tell(Event::Gone { peer: gone });
    let other = world.leech(&[1]);
    world.say(other, Message::Unchoke);
    assert!(world.asked(other).is_empty());
    for _ in 0..4 {
        world.pass(10);
        world.say(other, Message::KeepAlive);
    }
    assert_eq!(world.asked(other), names(1, 0..4));
}

// P-20
#[test]
fn a_peer_that_sends_nothing_keeps_one_block_and_gives_the_rest_back() {
    let mut world = swarm! { pieces: 100, blocks_per_piece: 8 };
    let silent = world.open_seed();
    let asked = world.asked(silent);
    world.pass(7);
    assert!(world.cancelled(silent).is_empty());
    world.pass(1);
    let mut cancelled = world.cancelled(silent);
    cancelled.reverse();
    assert_eq!(cancelled, asked[1..]);
    let status = world.swarm.peers().next().unwrap();
    assert!(status.snubbing && status.requests == 1);
}

// P-20
#[test]
fn what_a_silent_peer_owes_comes_from_another_that_is_quick() {
    let mut world = swarm! { pieces: 1, blocks_per_piece: 8 };
    let silent = world.open_seed();
    assert_eq!(world.asked(silent).len(), 8);
    let other = world.open_seed();
    for _ in 0..9 {
        world.sends_all(other);
        world.pass(1);
    }
    assert!(world.swarm.status().complete);
}

// P-20
#[test]
fn at_the_end_a_faster_peer_is_asked_for_what_a_slow_one_owes() {
    let mut world = swarm! { pieces: 20, blocks_per_piece: 8 };
    let (slow, fast) = (world.open_seed(), world.open_seed());
    let (owed, mut next) = (world.asked(slow), world.asked(fast));
    assert_eq!(owed.len(), 64);
    for name in &owed[..6] {
        world.sends(slow, name);
        while !next.is_empty() {
            for name in &next {
                world.sends(fast, name);
            }
            next = world.asked(fast);
        }
        world.commit();
        world.pass(1);
        next = world.asked(fast);
    }
    assert!(world.swarm.status().complete, "{:?}", world.swarm.status());
    assert!(!world.cancelled(slow).is_empty());
    // Only what crossed a cancel is wasted.
    assert!(world.swarm.status().wasted <= 2 * u64::from(BLOCK));
}

#[test]
fn two_peers_of_unknown_speed_are_not_both_asked_at_once() {
    let mut world = swarm! { pieces: 1, blocks_per_piece: 8 };
    let (first, second) = (world.open_seed(), world.open_seed());
    assert_eq!(world.asked(first).len(), 8);
    assert!(world.asked(second).is_empty());
}

// P-05
#[test]
fn blocks_nobody_asked_for_are_ignored_and_then_end_the_connection() {
    let mut world = swarm! { pieces: 4, blocks_per_piece: 16 };
    let peer = world.seed();
    for sent in 1..=17 {
        assert!(!world.breached(peer), "after {sent}");
        world.sends(peer, "0:0");
    }
    assert!(world.breached(peer));
    assert_eq!(world.swarm.status().wasted, 17 * u64::from(BLOCK));
}

// P-05
#[test]
fn a_block_of_a_wrong_place_or_length_is_no_answer() {
    let mut world = swarm! { pieces: 1, blocks_per_piece: 4 };
    let seed = world.open_seed();
    for (begin, length) in
        [(1, BLOCK), (0, BLOCK + 1), (0, BLOCK - 1), (0, 0), (4 * BLOCK, BLOCK), (u32::MAX, 9)]
    {
        world.say(seed, Message::Piece { index: 0, begin, data: Bytes::from(vec![b'g'; length as usize]) });
    }
    world.say(seed, Message::Piece { index: 9, begin: 0, data: Bytes::from_static(b"g") });
    assert_eq!(world.swarm.peers().next().unwrap().requests, 4);
    world.sends_all(seed);
    assert!(world.swarm.status().complete);
}

// P-05
#[test]
fn blocks_that_crossed_our_cancel_are_no_wrong() {
    let mut world = swarm! { pieces: 100, blocks_per_piece: 8 };
    let late = world.open_seed();
    world.asked(late);
    world.pass(8);
    let cancelled = world.cancelled(late);
    assert_eq!(cancelled.len(), 63);
    for name in &cancelled {
        world.sends(late, name);
    }
    assert_eq!(world.hung_up(late), None);
}

#[test]
fn a_refused_block_is_asked_of_another_and_not_at_once_of_the_same() {
    let mut world = swarm! { pieces: 1, blocks_per_piece: 1 };
    let (first, second) = (world.open_seed(), world.open_seed());
    assert_eq!(world.asked(first), ["0:0"]);
    let request = world.request("0:0");
    world.say(first, Message::RejectRequest(request));
    assert_eq!(world.asked(second), ["0:0"]);
    world.say(second, Message::RejectRequest(request));
    assert!(world.asked(first).is_empty() && world.asked(second).is_empty());
    world.pass(1);
    assert_eq!(world.asked(first).len() + world.asked(second).len(), 1);
}

#[test]
fn a_piece_allowed_while_choked_is_asked_for() {
    let mut world = swarm! { pieces: 4, blocks_per_piece: 2 };
    let seed = world.seed();
    world.say(seed, Message::AllowedFast(2));
    let asked = world.asked(seed);
    assert_eq!(asked, names(2, 0..2));
    world.say(seed, Message::Choke);
    for name in &asked {
        world.sends(seed, name);
    }
    world.commit();
    assert_eq!(world.swarm.status().have.iter().collect::<Vec<_>>(), [2]);
}

// P-18
#[test]
fn hints_are_taken_but_few_are_kept() {
    let mut world = swarm! { pieces: 100, blocks_per_piece: 64 };
    let seed = world.seed();
    for index in (0..1_000).chain([u32::MAX]) {
        world.say(seed, Message::SuggestPiece(index));
        world.say(seed, Message::AllowedFast(index));
    }
    let peer = world.swarm.peers.values().next().unwrap();
    assert_eq!((peer.suggested.len(), peer.allowed.len()), (16, 16));

    let mut world = swarm! { pieces: 100, blocks_per_piece: 64 };
    let seed = world.seed();
    world.say(seed, Message::SuggestPiece(42));
    world.say(seed, Message::Unchoke);
    assert_eq!(world.asked(seed)[0], "42:0");
}

#[test]
fn every_peer_is_told_of_new_pieces_even_one_that_has_them() {
    let mut world = swarm! { pieces: 2, blocks_per_piece: 1 };
    let (seed, leech) = (world.open_seed(), world.leech(&[]));
    world.sends_all(seed);
    let haves = |message: &Message| if let Message::Have(index) = message { Some(*index) } else { None };
    assert_eq!(world.told(leech, haves).len(), 2);
    assert_eq!(world.told(seed, haves).len(), 2);
}

#[test]
fn interest_ends_with_the_last_piece_a_peer_can_give() {
    let mut world = swarm! { pieces: 2, blocks_per_piece: 1 };
    let peer = world.leech(&[0]);
    assert!(world.is_told(peer, &Message::Interested));
    world.say(peer, Message::Unchoke);
    world.sends_all(peer);
    assert!(world.is_told(peer, &Message::NotInterested));
}

// P-20
#[test]
fn many_unknown_peers_get_no_more_than_half_of_what_is_missing() {
    let mut world = swarm! { pieces: 100, blocks_per_piece: 8 };
    let peers: Vec<PeerKey> = (0..20).map(|_| world.seed()).collect();
    for &peer in &peers {
        world.say(peer, Message::Unchoke);
    }
    let asked: usize = peers.iter().map(|&peer| world.asked(peer).len()).sum();
    assert!((200..=440).contains(&asked), "{asked} of 800");
}
