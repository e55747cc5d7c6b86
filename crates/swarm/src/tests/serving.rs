use super::*;

fn full(pieces: u32) -> Bitfield {
    Bitfield::all(pieces)
}

/// A peer with nothing that wants everything.
fn taker(world: &mut World) -> PeerKey {
    let peer = world.leech(&[]);
    world.say(peer, Message::Interested);
    peer
}

fn rejected(world: &mut World, peer: PeerKey) -> usize {
    world.told(peer, |message| matches!(message, Message::RejectRequest(_)).then_some(())).len()
}

#[test]
fn an_interested_peer_is_unchoked_at_once_and_served() {
    let mut world = swarm! { pieces: 4, blocks_per_piece: 2, have: full };
    let peer = taker(&mut world);
    assert!(world.is_told(peer, &Message::Unchoke));
    let block = world.block("3:1");
    world.say(peer, Message::Request(world.request("3:1")));
    assert_eq!(world.served(peer), [block]);
    world.tell(Event::Served { peer, block, bytes: block.length() });
    let status = world.swarm.peers().next().unwrap();
    assert_eq!((status.uploaded, status.queued), (u64::from(BLOCK), 0));
}

#[test]
fn no_more_peers_are_served_than_there_are_slots() {
    let mut world = swarm! { pieces: 4, blocks_per_piece: 2, have: full, config: { upload_slots: Some(2) } };
    let peers: Vec<PeerKey> = (0..5).map(|_| taker(&mut world)).collect();
    let unchoked = |world: &mut World| {
        let told = peers.iter().filter(|&&peer| world.is_told(peer, &Message::Unchoke));
        told.map(|peer| peer.0).collect::<Vec<_>>()
    };
    assert_eq!(unchoked(&mut world), [1, 2]);
    // A seed serves everyone in turn.
    let mut turns = std::collections::BTreeSet::new();
    for _ in 0..12 {
        world.pass(10);
        for &peer in &peers {
            world.say(peer, Message::KeepAlive);
        }
        turns.extend(unchoked(&mut world));
        assert_eq!(world.swarm.peers().filter(|peer| !peer.choked).count(), 2);
    }
    assert_eq!(turns.len(), 5);
}

#[test]
fn those_who_give_are_served() {
    let mut world = swarm! { pieces: 2000, blocks_per_piece: 1, have: |pieces| { let mut have = Bitfield::none(pieces); have.set(0); have }, config: { upload_slots: Some(2) } };
    let _ = [taker(&mut world), taker(&mut world), taker(&mut world)];
    let giver = world.open_seed();
    world.say(giver, Message::Interested);
    let mut asked = std::collections::VecDeque::new();
    for _ in 0..11 {
        asked.extend(world.asked(giver));
        for name in asked.drain(..5).collect::<Vec<_>>() {
            world.sends(giver, &name);
        }
        world.commit();
        world.pass(1);
    }
    let giver_status = world.swarm.peers().find(|peer| peer.peer == giver).unwrap();
    assert!(!giver_status.choked);
    assert_eq!(world.swarm.peers().filter(|peer| !peer.choked).count(), 2);
}

// P-04
#[test]
fn senseless_requests_are_refused_and_the_tenth_is_the_last() {
    let cases = [
        (0, 0, 0),
        (0, 0, 1 << 31),
        (0, 0, (128 << 10) + 1),
        (0, 2 * BLOCK - 1, 2),
        (4, 0, BLOCK),
        (0, u32::MAX, 2),
    ];
    for (index, begin, length) in cases {
        let mut world = swarm! { pieces: 4, blocks_per_piece: 2, have: full };
        let peer = taker(&mut world);
        for count in 1..=10 {
            assert!(!world.breached(peer), "after {count}");
            world.say(peer, Message::Request(Request { index, begin, length }));
        }
        assert!(world.breached(peer), "{index} {begin} {length}");
        assert_eq!(rejected(&mut world, peer), 9);
        assert!(world.served(peer).is_empty());
    }
}

// P-04
#[test]
fn a_piece_we_do_not_have_is_not_served() {
    let mut world = swarm! { pieces: 4, blocks_per_piece: 2 };
    let peer = taker(&mut world);
    (0..10).for_each(|_| world.say(peer, Message::Request(world.request("0:0"))));
    assert!(world.breached(peer) && world.served(peer).is_empty());
}

// P-04
#[test]
fn an_unaligned_request_inside_a_piece_is_served() {
    let mut world = swarm! { pieces: 4, blocks_per_piece: 2, have: full };
    let peer = taker(&mut world);
    world.say(peer, Message::Request(Request { index: 1, begin: 5, length: 20_000 }));
    assert_eq!(world.served(peer).len(), 1);
}

// P-04
#[test]
fn requests_that_crossed_our_choke_are_refused_without_blame() {
    let mut world = swarm! { pieces: 40, blocks_per_piece: 2, have: full };
    let peer = taker(&mut world);
    world.swarm.peers.get_mut(&peer).unwrap().granted.clear();
    world.swarm.now = world.now + Duration::from_secs(1);
    world.swarm.choke(peer);
    for _ in 0..100 {
        world.say(peer, Message::Request(world.request("0:0")));
    }
    assert!(!world.breached(peer));
    assert_eq!(rejected(&mut world, peer), 100);
    // Later there is no such excuse.
    world.now += Duration::from_secs(62);
    world.swarm.now = world.now;
    world.swarm.peers.get_mut(&peer).unwrap().choked_since = Duration::from_secs(1);
    for _ in 0..10 {
        world.swarm.said(peer, Message::Request(world.request("0:0"))).unwrap_or_default();
    }
    assert_eq!(world.swarm.peers[&peer].bad_requests, 10);
}

// P-06
#[test]
fn a_queue_of_two_thousand_requests_is_the_longest() {
    let mut world = swarm! { pieces: 4, blocks_per_piece: 2, have: full };
    let peer = taker(&mut world);
    for _ in 0..50_000 {
        world.swarm.handle(world.now, Event::Said { peer, message: Message::Request(world.request("0:0")) });
    }
    world.tell(Event::Tick);
    assert_eq!(world.served(peer).len(), 2000);
    assert_eq!(world.swarm.peers().next().unwrap().queued, 2000);
    assert!(!world.breached(peer));
}

#[test]
fn a_cancelled_request_is_not_served_and_is_answered() {
    let mut world = swarm! { pieces: 4, blocks_per_piece: 2, have: full };
    let peer = taker(&mut world);
    let (block, request) = (world.block("0:0"), world.request("0:0"));
    world.say(peer, Message::Request(request));
    world.say(peer, Message::Cancel(request));
    let unserved =
        world.took(|action| if let Action::Unserve { block, .. } = action { Some(*block) } else { None });
    assert_eq!(unserved, [Some(block)]);
    assert!(world.is_told(peer, &Message::RejectRequest(request)));
    // Once it has left, a cancel changes nothing.
    world.say(peer, Message::Request(request));
    world.tell(Event::Served { peer, block, bytes: BLOCK });
    world.say(peer, Message::Cancel(request));
    assert_eq!(rejected(&mut world, peer), 0);
}

#[test]
fn a_block_that_cannot_be_read_is_refused() {
    let mut world = swarm! { pieces: 4, blocks_per_piece: 2, have: full };
    let peer = taker(&mut world);
    let (block, request) = (world.block("0:0"), world.request("0:0"));
    world.say(peer, Message::Request(request));
    world.tell(Event::Lost { piece: block.piece() });
    world.tell(Event::Served { peer, block, bytes: 0 });
    assert_eq!(rejected(&mut world, peer), 1);
    assert_eq!(world.swarm.status().uploaded, 0);
    // It was told that we have the piece: asking for it is no wrong.
    (0..20).for_each(|_| world.say(peer, Message::Request(request)));
    assert!(!world.breached(peer));
}

#[test]
fn a_choked_newcomer_may_have_the_pieces_granted_to_it() {
    let mut world =
        swarm! { pieces: 100, blocks_per_piece: 1, have: full, config: { upload_slots: Some(0) } };
    let peer = taker(&mut world);
    let granted = world
        .told(peer, |message| if let Message::AllowedFast(piece) = message { Some(*piece) } else { None });
    assert_eq!(granted.len(), 5);
    world.say(peer, Message::Request(world.request(&format!("{}:0", granted[0]))));
    assert_eq!(world.served(peer).len(), 1);
}

#[test]
fn the_info_dictionary_is_served_in_pieces() {
    let mut setup = setup(layout(1, 1));
    setup.metadata = Some(Bytes::from(vec![1; 20_000]));
    let mut world = World::new(setup);
    let peer = world.connect(Reserved::ours(), true);
    for (number, length) in [(0, Some(16_384)), (1, Some(3_616)), (2, None), (u32::MAX, None)] {
        world.say(peer, Message::Metadata(wire::MetadataMessage::Request(number)));
        let answers = world.told(peer, |message| match message {
            Message::Metadata(wire::MetadataMessage::Data { data, total_size: 20_000, .. }) => {
                Some(Some(data.len()))
            }
            Message::Metadata(wire::MetadataMessage::Reject(_)) => Some(None),
            _ => None,
        });
        assert_eq!(answers, [length]);
    }
}

// P-12
#[test]
fn a_peer_gets_a_mebibyte_of_metadata_a_second() {
    let mut setup = setup(layout(1, 1));
    setup.metadata = Some(Bytes::from(vec![1; 16_384]));
    let mut world = World::new(setup);
    let peer = world.connect(Reserved::ours(), true);
    let flood = |world: &mut World| {
        (0..10_000).for_each(|_| {
            let message = Message::Metadata(wire::MetadataMessage::Request(0));
            world.swarm.handle(world.now, Event::Said { peer, message });
        });
        world.tell(Event::Tick);
        let data = |message: &Message| {
            matches!(message, Message::Metadata(wire::MetadataMessage::Data { .. })).then_some(())
        };
        world.told(peer, data).len()
    };
    assert_eq!(flood(&mut world), 64);
    world.pass(1);
    assert_eq!(flood(&mut world), 64);
}
