use super::*;

fn bans(world: &mut World) -> Vec<std::net::IpAddr> {
    world.took(|action| if let Action::Ban(ip) = action { Some(*ip) } else { None })
}

fn ip(peer: PeerKey) -> std::net::IpAddr {
    crate::peers::ip(addr(peer.0))
}

// P-10
#[test]
fn a_peer_that_alone_sends_two_bad_pieces_is_banned() {
    let mut world = swarm! { pieces: 8, blocks_per_piece: 2 };
    let liar = world.open_seed();
    let asked = world.asked(liar);
    for name in &asked[..2] {
        world.sends_bad(liar, name);
    }
    assert!(!world.commit()[0].1);
    assert!(bans(&mut world).is_empty());
    for name in &asked[2..4] {
        world.sends_bad(liar, name);
    }
    world.commit();
    assert_eq!(bans(&mut world), [ip(liar)]);
    assert_eq!(world.hung_up(liar), Some(HangUp::Poison));
}

// P-10
#[test]
fn a_good_copy_tells_who_sent_the_bad_block() {
    let mut world = swarm! { pieces: 1, blocks_per_piece: 4 };
    let liar = world.open_seed();
    let asked = world.asked(liar);
    world.sends_bad(liar, &asked[0]);
    world.say(liar, Message::Choke);
    let honest = world.open_seed();
    for name in &world.asked(honest) {
        world.sends(honest, name);
    }
    assert_eq!(world.commit(), [(0, false)]);
    assert!(bans(&mut world).is_empty());
    world.asked(honest);
    let third = world.open_seed();
    world.pass(6);
    let asked = [world.asked(honest), world.asked(third)];
    // One peer alone is asked for the whole piece.
    let helper = if asked[1].is_empty() { honest } else { third };
    (0..4).for_each(|number| world.sends(helper, &format!("0:{number}")));
    assert_eq!(world.commit(), [(0, true)]);
    assert_eq!(bans(&mut world), [ip(liar)]);
    assert!(world.hung_up(liar) == Some(HangUp::Poison) && world.hung_up(honest) != Some(HangUp::Poison));
}

#[test]
fn a_bad_piece_is_asked_again_of_one_peer_that_had_no_part_in_it() {
    let mut world = swarm! { pieces: 1, blocks_per_piece: 4 };
    let liar = world.open_seed();
    let asked = world.asked(liar);
    let (second, third) = (world.open_seed(), world.open_seed());
    for name in &asked {
        world.sends_bad(liar, name);
    }
    world.commit();
    assert!(world.asked(liar).is_empty());
    let again = [world.asked(second).len(), world.asked(third).len()];
    assert!(again == [4, 0] || again == [0, 4], "{again:?}");
}

#[test]
fn a_banned_address_is_not_welcome_again() {
    let mut world = swarm! { pieces: 8, blocks_per_piece: 1 };
    let liar = world.open_seed();
    let asked = world.asked(liar);
    asked.iter().take(2).for_each(|name| world.sends_bad(liar, name));
    world.commit();
    let again = world.connect_as(PeerId([9; 20]), addr(liar.0), Reserved::ours(), true);
    assert_eq!(world.hung_up(again), Some(HangUp::Poison));
    world.tell(Event::Found { at: vec![addr(liar.0)], by: Source::Tracker });
    world.pass(5000);
    assert!(world.dials().is_empty());
}

#[test]
fn on_one_machine_only_the_liar_is_banned() {
    let mut world = swarm! { pieces: 8, blocks_per_piece: 1 };
    let here = |port: u16| Endpoint::Tcp(([127, 0, 0, 1], port).into());
    let liar = world.connect_as(PeerId([1; 20]), here(1), Reserved::ours(), true);
    let honest = world.connect_as(PeerId([2; 20]), here(2), Reserved::ours(), true);
    world.say(liar, Message::HaveAll);
    world.say(liar, Message::Unchoke);
    let asked = world.asked(liar);
    asked.iter().take(2).for_each(|name| world.sends_bad(liar, name));
    world.commit();
    assert_eq!(world.hung_up(liar), Some(HangUp::Poison));
    assert_eq!(world.hung_up(honest), None);
    assert!(bans(&mut world).is_empty());
}

// P-10
#[test]
fn one_liar_among_twenty_is_banned_and_nobody_else() {
    for seed in 0..20 {
        let mut setup = setup(layout(60, 8));
        setup.seed = seed;
        setup.config.memory_budget = 1 << 20;
        let mut world = World::new(setup);
        let peers: Vec<PeerKey> = (0..20).map(|_| world.open_seed()).collect();
        let liar = peers[usize::try_from(seed).unwrap()];
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bad = 0;
        for _ in 0..3000 {
            if world.swarm.status().complete {
                break;
            }
            for &peer in &peers {
                for name in world.asked(peer) {
                    if peer == liar && rng.u32(..10) == 0 {
                        world.sends_bad(peer, &name);
                    } else {
                        world.sends(peer, &name);
                    }
                }
            }
            bad += world.commit().iter().filter(|(_, good)| !good).count();
            world.pass(1);
        }
        assert!(world.swarm.status().complete, "seed {seed}");
        let banned = bans(&mut world);
        assert!(banned.is_empty() && bad == 0 || banned == [ip(liar)], "seed {seed}: {banned:?} after {bad}");
    }
}
