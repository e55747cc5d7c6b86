//! The origin that sizes itself.

use super::*;

const PIECES: u32 = 40;

fn origin(sizing: Sizing) -> World {
    origin_of(layout(PIECES.into(), 1), sizing)
}

fn origin_of(layout: Layout, sizing: Sizing) -> World {
    let mut setup = setup(layout);
    setup.have = Bitfield::all(PIECES);
    setup.config.sizing = Some(sizing);
    World::new(setup)
}

fn told_of(world: &mut World, peer: PeerKey) -> Vec<u32> {
    world.told(peer, |message| if let Message::Have(piece) = message { Some(*piece) } else { None })
}

/// A downloader that wants something, and what it is told of at once.
fn downloader(world: &mut World) -> (PeerKey, Vec<u32>) {
    let peer = world.connect(Reserved::ours(), true);
    world.say(peer, Message::HaveNone);
    world.say(peer, Message::Interested);
    let told = told_of(world, peer);
    (peer, told)
}

/// It fetches a piece and says so.
fn fetches(world: &mut World, peer: PeerKey, piece: u32) {
    world.say(peer, Message::Request(world.request(&format!("{piece}:0"))));
    for block in world.served(peer) {
        world.tell(Event::Served { peer, block, bytes: block.length() });
    }
    world.say(peer, Message::Have(piece));
}

/// The peer answers the question that it was asked, if any; says whether there was one.
fn proves(world: &mut World, peer: PeerKey, equal: bool) -> bool {
    let questions = world.requests(peer);
    for question in &questions {
        let data = Bytes::from(vec![b'g'; question.length as usize]);
        world.say(peer, Message::Piece { index: question.index, begin: question.begin, data });
    }
    let compares = world.took(|action| match action {
        Action::Compare { peer, block, .. } => Some((*peer, *block)),
        _ => None,
    });
    for (peer, block) in compares {
        world.tell(Event::Compared { peer, block, equal });
    }
    !questions.is_empty()
}

/// A connected peer that has everything and has proved it.
fn holder(world: &mut World) -> PeerKey {
    let peer = world.open_seed();
    assert!(proves(world, peer, true));
    peer
}

/// Lets time pass while the holders answer.
fn pass_with(world: &mut World, seconds: u64, holders: &[PeerKey]) {
    for _ in 0..seconds {
        world.pass(1);
        for &holder in holders {
            proves(world, holder, true);
        }
    }
}

fn mode(world: &World) -> Mode {
    world.swarm.status().origin.unwrap().mode
}

fn completions(world: &World) -> Completions {
    world.swarm.status().origin.unwrap().completions
}

#[test]
fn a_sizing_origin_looks_like_a_peer_that_has_nothing() {
    let mut world = origin(Sizing::default());
    let peer = world.connect(Reserved::ours(), false);
    assert!(world.is_told(peer, &Message::HaveNone));
    let hello = world.told(peer, |message| match message {
        Message::ExtensionHandshake(hello) => Some(hello.upload_only),
        _ => None,
    });
    assert_eq!(hello, [false]);
    assert!(world.told(peer, |told| matches!(told, Message::AllowedFast(_)).then_some(())).is_empty());
}

#[test]
fn a_swarm_that_lacks_something_does_not_size_itself() {
    let mut setup = setup(layout(4, 1));
    setup.config.sizing = Some(Sizing::default());
    let world = World::new(setup);
    assert!(world.swarm.status().origin.is_none());
}

#[test]
fn two_downloaders_are_told_of_different_pieces() {
    let mut world = origin(Sizing::default());
    let first = world.connect(Reserved::ours(), true);
    let second = world.connect(Reserved::ours(), true);
    world.say(first, Message::HaveNone);
    let alone = told_of(&mut world, first);
    assert_eq!((mode(&world), alone.len()), (Mode::Full, 8));
    world.say(second, Message::HaveNone);
    assert_eq!(mode(&world), Mode::Spread);
    let other = told_of(&mut world, second);
    assert_eq!(other.len(), 2);
    assert!(other.iter().all(|piece| !alone.contains(piece)));
}

#[test]
fn who_only_gives_is_given_nothing() {
    let mut world = origin(Sizing::default());
    let peer = world.connect(Reserved::ours(), true);
    world.introduce(peer, ExtensionHandshake { upload_only: true, ..ExtensionHandshake::default() });
    world.say(peer, Message::HaveNone);
    world.pass(30);
    assert_eq!(told_of(&mut world, peer), []);
    world.introduce(peer, ExtensionHandshake::default());
    world.pass(1);
    assert_eq!(told_of(&mut world, peer).len(), 8);
}

#[test]
fn all_pieces_are_given_once_and_then_no_more() {
    let mut world = origin(Sizing::SPREAD);
    let (first, mut one) = downloader(&mut world);
    let (second, mut two) = downloader(&mut world);
    let mut given = Vec::new();
    while !(one.is_empty() && two.is_empty()) {
        for (peer, told) in [(first, &mut one), (second, &mut two)] {
            for piece in std::mem::take(told) {
                given.push(piece);
                fetches(&mut world, peer, piece);
            }
            told.extend(told_of(&mut world, peer));
        }
    }
    given.sort_unstable();
    assert_eq!(given, (0..PIECES).collect::<Vec<_>>());
}

#[test]
fn a_lost_piece_is_promised_to_nobody_until_it_is_here_again() {
    let mut world = origin(Sizing::SPREAD);
    world.tell(Event::Lost { piece: PieceIndex(7) });
    let (peer, mut told) = downloader(&mut world);
    let mut given = Vec::new();
    while let Some(piece) = told.pop() {
        given.push(piece);
        fetches(&mut world, peer, piece);
        told.extend(told_of(&mut world, peer));
    }
    given.sort_unstable();
    assert_eq!(given, (0..PIECES).filter(|&piece| piece != 7).collect::<Vec<_>>());
    let other = world.leech(&[7]);
    world.say(other, Message::Unchoke);
    world.sends_all(other);
    world.pass(1);
    assert_eq!(told_of(&mut world, peer), [7]);
}

#[test]
fn a_piece_makes_room_for_another_once_all_but_its_padding_was_sent() {
    let files = [(u64::from(BLOCK), false), (u64::from(BLOCK), true)].repeat(PIECES as usize);
    let mut world = origin_of(Layout::contiguous(u64::from(2 * BLOCK), files).unwrap(), Sizing::default());
    let (peer, told) = downloader(&mut world);
    world.say(peer, Message::Request(world.request(&format!("{}:0", told[0]))));
    for block in world.served(peer) {
        world.tell(Event::Served { peer, block, bytes: block.length() });
    }
    assert_eq!(told_of(&mut world, peer).len(), 1);
}

#[test]
fn only_pieces_that_a_peer_was_told_of_are_served_to_it() {
    let mut world = origin(Sizing::default());
    let (peer, told) = downloader(&mut world);
    let other = (0..PIECES).find(|piece| !told.contains(piece)).unwrap();
    world.say(peer, Message::Request(world.request(&format!("{other}:0"))));
    assert!(world.served(peer).is_empty());
    assert!(world.is_told(peer, &Message::RejectRequest(world.request(&format!("{other}:0")))));
    world.say(peer, Message::Request(world.request(&format!("{}:0", told[0]))));
    assert_eq!(world.served(peer).len(), 1);
}

#[test]
fn a_copy_counts_once_a_random_block_of_it_is_right() {
    let mut world = origin(Sizing::default());
    let peer = world.seed();
    assert!(world.is_told(peer, &Message::Interested));
    assert_eq!(world.swarm.status().origin.unwrap().copies, 0);
    world.say(peer, Message::Unchoke);
    assert!(proves(&mut world, peer, true));
    assert_eq!(world.swarm.status().origin.unwrap().copies, 1);
    assert!(world.is_told(peer, &Message::NotInterested));
    assert_eq!(world.hung_up(peer), None);
}

#[test]
fn a_copy_that_is_wrong_is_banned() {
    let mut world = origin(Sizing::default());
    let peer = world.open_seed();
    assert!(proves(&mut world, peer, false));
    assert_eq!(world.hung_up(peer), Some(HangUp::Poison));
    assert_eq!(world.swarm.status().origin.unwrap().copies, 0);
}

#[test]
fn three_proved_copies_silence_the_origin_and_two_do_not() {
    let mut world = origin(Sizing::default());
    let (peer, told) = downloader(&mut world);
    let mut holders = vec![holder(&mut world), holder(&mut world)];
    pass_with(&mut world, 9, &holders);
    assert_eq!(mode(&world), Mode::Full);
    holders.push(holder(&mut world));
    for piece in told {
        fetches(&mut world, peer, piece);
    }
    told_of(&mut world, peer);
    pass_with(&mut world, 4, &holders);
    world.say(peer, Message::Have(39));
    pass_with(&mut world, 7, &holders);
    assert_eq!(mode(&world), Mode::Silent);
    assert_eq!(world.swarm.status().origin.unwrap().reason, "3 copies held for 10 s");
    assert!(world.is_told(peer, &Message::Choke));
    assert!(told_of(&mut world, peer).is_empty());
    world.tell(Event::Gone { peer: holders[0] });
    assert_eq!(mode(&world), Mode::Full);
    assert_eq!(world.swarm.status().origin.unwrap().reason, "2 of 3 copies are left");
}

#[test]
fn a_holder_that_vanishes_without_a_word_counts_no_longer_after_25_seconds() {
    let mut world = origin(Sizing { copies: 1, ..Sizing::default() });
    let here = holder(&mut world);
    pass_with(&mut world, 12, &[here]);
    assert_eq!(mode(&world), Mode::Silent);
    world.pass(26);
    assert_eq!(mode(&world), Mode::Full);
}

#[test]
fn a_holder_that_chokes_us_ever_after_its_proof_counts_no_longer_after_70_seconds() {
    let mut world = origin(Sizing { copies: 1, ..Sizing::default() });
    let here = holder(&mut world);
    world.say(here, Message::Choke);
    world.pass(20);
    assert_eq!(mode(&world), Mode::Silent);
    world.pass(51);
    assert_eq!(mode(&world), Mode::Full);
    world.say(here, Message::Unchoke);
    assert!(proves(&mut world, here, true));
    assert_eq!(world.swarm.status().origin.unwrap().copies, 1);
}

#[test]
fn who_proved_one_piece_has_not_proved_all_that_it_claims_later() {
    let mut world = origin(Sizing::default());
    let holders = |world: &World| world.swarm.status().origin.unwrap().holders;
    let (before, meanwhile) = (world.leech(&[0]), world.leech(&[0]));
    world.say(before, Message::Unchoke);
    assert!(proves(&mut world, before, true));
    world.say(before, Message::HaveAll);
    world.say(meanwhile, Message::Unchoke);
    world.pass(2);
    world.say(meanwhile, Message::HaveAll);
    assert_eq!(holders(&world), 0);
    assert!(proves(&mut world, meanwhile, true));
    assert_eq!(holders(&world), 0);
    assert!(proves(&mut world, meanwhile, true) && proves(&mut world, before, true));
    assert_eq!(holders(&world), 2);
}

#[test]
fn a_downloader_that_stands_still_wakes_the_origin() {
    let mut world = origin(Sizing { copies: 1, ..Sizing::default() });
    let here = holder(&mut world);
    pass_with(&mut world, 12, &[here]);
    let (peer, told) = downloader(&mut world);
    assert_eq!((mode(&world), told.len()), (Mode::Silent, 0));
    pass_with(&mut world, 11, &[here]);
    assert_eq!(mode(&world), Mode::Full);
    assert!(world.swarm.status().origin.unwrap().reason.contains("has made no progress for 10 s"));
    assert!(!told_of(&mut world, peer).is_empty() && world.is_told(peer, &Message::Unchoke));
}

#[test]
fn what_a_liar_claims_is_given_all_the_same() {
    let mut world = origin(Sizing::default());
    let liar = world.open_seed();
    let (peer, told) = downloader(&mut world);
    assert_eq!(told.len(), 8);
    fetches(&mut world, peer, told[0]);
    assert!(!told_of(&mut world, peer).is_empty());
    world.pass(20);
    assert_eq!(world.swarm.status().origin.unwrap().copies, 0);
    assert_eq!(completions(&world), Completions::default());
    assert_eq!(world.hung_up(liar), None);
}

#[test]
fn a_download_is_verified_by_a_block_given_after_its_end() {
    let mut world = origin(Sizing::default());
    let (peer, _) = downloader(&mut world);
    world.say(peer, Message::Unchoke);
    let claimed_bytes = u64::from(PIECES * BLOCK);
    for piece in 0..PIECES {
        world.say(peer, Message::Have(piece));
    }
    assert_eq!(completions(&world), Completions { claimed: 1, claimed_bytes, ..Completions::default() });
    while proves(&mut world, peer, true) {}
    let verified = Completions { verified: 1, verified_bytes: claimed_bytes, ..Completions::default() };
    assert_eq!(completions(&world), verified);
}

#[test]
fn a_download_that_was_resumed_counts_what_it_lacked() {
    let mut world = origin(Sizing::default());
    let peer = world.leech(&(10..PIECES).collect::<Vec<_>>());
    world.say(peer, Message::HaveAll);
    world.pass(2);
    world.say(peer, Message::HaveAll);
    assert_eq!(completions(&world).claimed_bytes, u64::from(10 * BLOCK));
}

#[test]
fn who_gave_us_the_last_piece_may_see_that_we_have_it() {
    let mut world = swarm! { pieces: 1, blocks_per_piece: 1 };
    let peer = world.open_seed();
    world.say(peer, Message::Interested);
    world.sends_all(peer);
    assert_eq!((world.hung_up(peer), world.swarm.needed_by_others()), (None, true));
    world.pass(3);
    assert_eq!((world.hung_up(peer), world.swarm.needed_by_others()), (Some(HangUp::Useless), false));
}

#[test]
fn a_holder_that_hung_up_is_dialled_again() {
    let mut world = origin(Sizing::default());
    world.tell(Event::Found { at: vec![addr(1)], by: Source::Tracker });
    assert_eq!(world.dials(), [addr(1)]);
    let peer = world.open_seed();
    world.tell(Event::Gone { peer });
    world.pass(3);
    assert_eq!(world.dials(), [addr(1)]);
    for _ in 0..5 {
        world.tell(Event::DialFailed { at: addr(1) });
        world.pass(20);
        assert_eq!(world.dials(), [addr(1)]);
    }
}
