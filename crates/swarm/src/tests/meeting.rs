use wire::PeerExchange;

use super::*;

fn full(pieces: u32) -> Bitfield {
    Bitfield::all(pieces)
}

#[test]
fn a_newcomer_hears_what_we_have_and_who_we_are() {
    let mut world = swarm! { pieces: 9, blocks_per_piece: 1, have: full };
    let peer = world.connect(Reserved::ours(), true);
    assert!(world.is_told(peer, &Message::HaveAll));
    let introduced = world.told(peer, |message| match message {
        Message::ExtensionHandshake(handshake) => Some(handshake.clone()),
        _ => None,
    });
    assert!(introduced[0].upload_only && introduced[0].request_queue == Some(2000));
    let plain = world.connect(Reserved::default(), true);
    assert!(world.is_told(plain, &Message::Bitfield(Bytes::from_static(&[0xff, 0x80]))));
    assert!(world.told(plain, |_| Some(())).is_empty());
}

#[test]
fn who_has_nothing_says_so_only_in_the_fast_extension() {
    let mut world = swarm! { pieces: 9, blocks_per_piece: 1 };
    let (fast, plain) = (world.connect(Reserved::ours(), true), world.connect(Reserved::default(), true));
    assert!(world.is_told(fast, &Message::HaveNone));
    assert!(world.told(plain, |_| Some(())).is_empty());
}

// P-02
#[test]
fn a_bitfield_that_does_not_fit_ends_the_connection() {
    for bytes in [&[0xff][..], &[0xff, 0x80, 0], &[0xff, 0xc0]] {
        let mut world = swarm! { pieces: 9, blocks_per_piece: 1 };
        let peer = world.connect(Reserved::ours(), true);
        world.say(peer, Message::Bitfield(Bytes::copy_from_slice(bytes)));
        assert!(world.breached(peer), "{bytes:?}");
    }
}

// P-02
#[test]
fn a_late_or_repeated_bitfield_is_merged_at_most_once_a_second() {
    let mut world = swarm! { pieces: 9, blocks_per_piece: 1 };
    let peer = world.connect(Reserved::ours(), true);
    world.introduce(peer, ExtensionHandshake::default());
    world.say(peer, Message::Have(8));
    let pieces = |world: &World| world.swarm.peers().next().unwrap().pieces;
    for (seconds, bits, known) in [(0, 0x80, 2), (0, 0x40, 2), (2, 0x40, 3), (2, 0x20, 4)] {
        world.pass(seconds);
        world.say(peer, Message::Bitfield(Bytes::from(vec![bits, 0])));
        assert_eq!(pieces(&world), known);
    }
    world.pass(2);
    world.say(peer, Message::HaveAll);
    assert_eq!((pieces(&world), world.swarm.status().seeds), (9, 1));
}

// P-03
#[test]
fn a_have_beyond_the_torrent_ends_the_connection() {
    for index in [9, u32::MAX] {
        let mut world = swarm! { pieces: 9, blocks_per_piece: 1 };
        let peer = world.connect(Reserved::ours(), true);
        world.say(peer, Message::Have(index));
        assert!(world.breached(peer));
    }
}

#[test]
fn the_fast_extension_is_for_those_who_agreed_on_it() {
    let mut world = swarm! { pieces: 9, blocks_per_piece: 1 };
    let peer = world.connect(Reserved::default(), true);
    world.say(peer, Message::HaveAll);
    assert!(world.breached(peer));
}

// P-09
#[test]
fn we_do_not_talk_to_ourselves_and_do_not_dial_ourselves_again() {
    let mut world = swarm! { pieces: 9, blocks_per_piece: 1 };
    world.tell(Event::Found { at: vec![addr(77)], by: Source::Tracker });
    assert_eq!(world.dials(), [addr(77)]);
    let peer = world.connect_as(OURS, addr(77), Reserved::ours(), false);
    assert_eq!(world.hung_up(peer), Some(HangUp::Ourselves));
    world.tell(Event::Gone { peer });
    world.tell(Event::Found { at: vec![addr(77)], by: Source::Tracker });
    world.pass(4000);
    assert!(world.dials().is_empty());
}

// P-09
#[test]
fn one_connection_for_each_peer_id() {
    let mut world = swarm! { pieces: 9, blocks_per_piece: 1 };
    let id = PeerId([b'q'; 20]);
    let first = world.connect_as(id, addr(1), Reserved::ours(), true);
    let second = world.connect_as(id, addr(2), Reserved::ours(), true);
    assert_eq!((world.hung_up(first), world.hung_up(second)), (None, Some(HangUp::Duplicate)));
    assert_eq!(world.swarm.status().peers, 1);
}

// P-09
#[test]
fn of_two_crossing_dials_both_sides_keep_the_same() {
    // Ours is b"mmm…": the peer "aaa…" is smaller and "zzz…" greater.
    for (name, keeps_incoming) in [(b'a', true), (b'z', false)] {
        for incoming_first in [true, false] {
            let mut world = swarm! { pieces: 9, blocks_per_piece: 1 };
            let id = PeerId([name; 20]);
            let first = world.connect_as(id, addr(1), Reserved::ours(), incoming_first);
            let second = world.connect_as(id, addr(1), Reserved::ours(), !incoming_first);
            let dropped = if incoming_first == keeps_incoming { second } else { first };
            assert_eq!(world.hung_up(dropped), Some(HangUp::Duplicate), "{name} {incoming_first}");
            assert_eq!(world.swarm.status().peers, 1);
        }
    }
}

#[test]
fn peers_beyond_the_limit_are_refused_unless_an_idle_one_makes_place() {
    let mut world = swarm! { pieces: 9, blocks_per_piece: 1, config: { max_peers: 1 } };
    let first = world.leech(&[]);
    let second = world.leech(&[]);
    assert_eq!(world.hung_up(second), Some(HangUp::Crowded));
    world.pass(61);
    world.leech(&[]);
    assert_eq!(world.hung_up(first), Some(HangUp::Crowded));
    assert_eq!(world.swarm.status().peers, 1);
}

#[test]
fn a_seed_leaves_seeds_and_does_not_dial_them_again() {
    let mut world = swarm! { pieces: 9, blocks_per_piece: 1, have: full };
    world.tell(Event::Found { at: vec![addr(1)], by: Source::Tracker });
    world.dials();
    let seed = world.seed();
    assert_eq!(world.hung_up(seed), Some(HangUp::Useless));
    let partial = world.leech(&[1]);
    world.introduce(partial, ExtensionHandshake { upload_only: true, ..Default::default() });
    assert_eq!(world.hung_up(partial), Some(HangUp::Useless));
    world.pass(4000);
    assert!(world.dials().is_empty());
}

#[test]
fn a_leecher_that_completes_leaves_the_seeds_and_keeps_the_others() {
    let mut world = swarm! { pieces: 3, blocks_per_piece: 1 };
    let (seed, leech) = (world.open_seed(), world.leech(&[]));
    world.sends_all(seed);
    assert_eq!(world.hung_up(seed), Some(HangUp::Useless));
    assert_eq!(world.hung_up(leech), None);
    // The other completes too.
    (0..3).for_each(|piece| world.say(leech, Message::Have(piece)));
    assert_eq!(world.hung_up(leech), Some(HangUp::Useless));
}

#[test]
fn a_silent_peer_is_left_and_dialled_again() {
    let mut world = swarm! { pieces: 9, blocks_per_piece: 1 };
    let peer = world.seed();
    world.pass(149);
    assert_eq!(world.hung_up(peer), None);
    world.pass(1);
    assert_eq!(world.hung_up(peer), Some(HangUp::Silent));
    world.pass(30);
    assert_eq!(world.dials(), [addr(1)]);
}

#[test]
fn a_quiet_line_is_kept_alive() {
    let mut world = swarm! { pieces: 9, blocks_per_piece: 1 };
    let peer = world.leech(&[]);
    world.pass(99);
    assert!(!world.is_told(peer, &Message::KeepAlive));
    world.pass(2);
    assert!(world.is_told(peer, &Message::KeepAlive));
}

#[test]
fn more_addresses_are_asked_for_while_there_are_few() {
    let mut world = swarm! { pieces: 9, blocks_per_piece: 1 };
    world.pass(100);
    let wants = world.took(|action| matches!(action, Action::WantPeers).then_some(()));
    assert_eq!(wants.len(), 3);
}

#[test]
fn the_addresses_of_a_private_torrent_come_from_its_tracker() {
    let mut setup = setup(layout(1, 1));
    setup.private = true;
    let mut world = World::new(setup);
    world.tell(Event::Found { at: vec![addr(1)], by: Source::Resume });
    assert!(world.dials().is_empty());
    world.tell(Event::Found { at: vec![addr(1)], by: Source::Tracker });
    assert_eq!(world.dials(), [addr(1)]);
}

/// What a peer was told of others.
fn told(world: &mut World, peer: PeerKey) -> Vec<PeerExchange> {
    world.took(|action| match action {
        Action::Say { peer: to, message: Message::PeerExchange(said) } if *to == peer => {
            Some((**said).clone())
        }
        _ => None,
    })
}

fn speaks_pex(port: Option<u16>) -> ExtensionHandshake {
    ExtensionHandshake { ut_pex: Some(3), port, ..Default::default() }
}

// BEP 11
#[test]
fn peers_are_told_where_the_others_can_be_dialled() {
    let mut world = swarm! { pieces: 9, blocks_per_piece: 1 };
    let host = world.leech(&[0]);
    world.introduce(host, speaks_pex(None));
    let Endpoint::Tcp(mut from) = addr(77);
    from.set_port(50_000);
    let guest = world.connect_as(PeerId([77; 20]), Endpoint::Tcp(from), Reserved::ours(), true);
    world.introduce(guest, speaks_pex(Some(6881)));
    world.pass(70);
    let Endpoint::Tcp(home) = addr(77);
    let expected = PeerExchange { added: vec![(home, 0)], dropped: Vec::new() };
    assert_eq!(told(&mut world, host), [expected]);
    assert_eq!(told(&mut world, guest)[0].added.len(), 1);
    world.tell(Event::Gone { peer: guest });
    world.pass(70);
    assert_eq!(told(&mut world, host), [PeerExchange { added: Vec::new(), dropped: vec![home] }]);
}

// BEP 11, P-13
#[test]
fn whom_a_peer_names_is_dialled_and_not_again_for_ten_minutes_if_nobody_is_there() {
    let mut world = swarm! { pieces: 9, blocks_per_piece: 1 };
    let peer = world.leech(&[0]);
    let named = "198.51.100.77:6881".parse().unwrap();
    let said = PeerExchange { added: vec![(named, 0)], dropped: Vec::new() };
    world.say(peer, Message::PeerExchange(Box::new(said)));
    assert_eq!(world.dials(), [Endpoint::Tcp(named)]);
    world.tell(Event::DialFailed { at: Endpoint::Tcp(named) });
    for _ in 0..9 {
        world.pass(60);
        world.say(peer, Message::KeepAlive);
    }
    assert!(world.dials().is_empty());
    world.pass(600);
    assert!(world.dials().contains(&Endpoint::Tcp(named)));
}

// BEP 27
#[test]
fn peers_of_a_private_torrent_neither_tell_nor_are_believed() {
    let mut setup = setup(layout(9, 1));
    setup.private = true;
    let mut world = World::new(setup);
    let (one, two) = (world.leech(&[0]), world.leech(&[0]));
    let offers = world.took(|action| match action {
        Action::Say { message: Message::ExtensionHandshake(handshake), .. } => handshake.ut_pex,
        _ => None,
    });
    assert!(offers.is_empty());
    world.introduce(one, speaks_pex(None));
    world.introduce(two, speaks_pex(None));
    let Endpoint::Tcp(named) = addr(77);
    let said = PeerExchange { added: vec![(named, 0)], dropped: Vec::new() };
    world.say(one, Message::PeerExchange(Box::new(said)));
    world.pass(70);
    assert!(world.dials().is_empty());
    assert!(told(&mut world, one).is_empty() && told(&mut world, two).is_empty());
}

#[test]
fn a_peer_that_dialled_us_and_told_its_port_is_not_dialled() {
    let mut world = swarm! { pieces: 9, blocks_per_piece: 1 };
    let Endpoint::Tcp(mut from) = addr(1);
    from.set_port(50_000);
    let peer = world.connect_as(PeerId([1; 20]), Endpoint::Tcp(from), Reserved::ours(), true);
    world.introduce(peer, ExtensionHandshake { port: Some(6881), ..Default::default() });
    world.tell(Event::Found { at: vec![addr(1)], by: Source::Tracker });
    assert!(world.dials().is_empty());
}

#[test]
fn pieces_that_a_peer_sends_in_quick_succession_are_heard_all_the_same() {
    let mut world = swarm! { pieces: 3, blocks_per_piece: 1 };
    let peer = world.leech(&[0]);
    world.say(peer, Message::Bitfield(Bytes::from_static(&[0b1100_0000])));
    world.say(peer, Message::HaveAll);
    assert_eq!(world.swarm.status().seeds, 0);
    world.pass(2);
    assert_eq!(world.swarm.status().seeds, 1);
}

#[test]
fn a_complete_swarm_has_nothing_to_do_before_somebody_comes_and_again_when_all_are_gone() {
    let mut world = swarm! { pieces: 4, blocks_per_piece: 2, have: Bitfield::all };
    let rests = |world: &World| world.swarm.is_idle() && world.swarm.next_deadline().is_none();
    assert!(rests(&world));
    let peer = world.connect(Reserved::ours(), true);
    assert!(!world.swarm.is_idle() && world.swarm.next_deadline().is_some());
    world.tell(Event::Gone { peer });
    world.pass(60);
    assert!(rests(&world));
}

#[test]
fn a_swarm_that_lacks_a_piece_knows_an_address_or_is_paused_is_not_idle() {
    assert!(!swarm! { pieces: 4, blocks_per_piece: 2 }.swarm.is_idle());
    let idle_after = |event| {
        let mut world = swarm! { pieces: 4, blocks_per_piece: 2, have: Bitfield::all };
        world.tell(event);
        world.swarm.is_idle()
    };
    assert!(!idle_after(Event::Found { at: vec![addr(1)], by: Source::Tracker }));
    assert!(!idle_after(Event::Pause));
}

#[test]
fn the_rarest_piece_and_what_only_we_have_are_known() {
    let have = |pieces| {
        let mut have = Bitfield::none(pieces);
        have.set(0);
        have
    };
    let mut world = swarm! { pieces: 2, blocks_per_piece: 1, have: have };
    assert!(!world.swarm.needed_by_others());
    let first = world.leech(&[1]);
    // Who shows less than it has, as a sizing origin does, wants nothing and is not waited for.
    assert!(!world.swarm.needed_by_others());
    world.say(first, Message::Interested);
    assert!(world.swarm.needed_by_others());
    assert_eq!(world.swarm.rarest_copies(), 0);
    world.say(first, Message::Have(0));
    assert!(!world.swarm.needed_by_others());
    assert_eq!(world.swarm.rarest_copies(), 1);
}
