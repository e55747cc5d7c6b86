//! Anything may happen in any order, and the parts still agree.

use super::*;

fn random_message(rng: &mut fastrand::Rng, world: &World) -> Message {
    let pieces = world.layout.piece_count();
    let index = rng.u32(..pieces);
    let piece = PieceIndex(index);
    let block = world.layout.grid_block(piece, rng.u32(..world.layout.block_count(piece))).unwrap();
    let request = crate::fetch::request(block);
    match rng.u32(..16) {
        0 => Message::Choke,
        1..=3 => Message::Unchoke,
        4 => Message::Interested,
        5 => Message::NotInterested,
        6 => Message::Have(index),
        7 => Message::HaveAll,
        8 => {
            let mut bits = Bitfield::none(pieces);
            (0..pieces).filter(|_| rng.bool()).for_each(|piece| assert!(bits.set(piece)));
            Message::Bitfield(Bytes::copy_from_slice(bits.as_bytes()))
        }
        9 => Message::Request(request),
        10 => Message::Cancel(request),
        11 => Message::RejectRequest(request),
        12 => Message::AllowedFast(index),
        13 => Message::SuggestPiece(index),
        14 => Message::ExtensionHandshake(Box::new(ExtensionHandshake {
            upload_only: rng.u32(..9) == 0,
            request_queue: Some(rng.u32(..300)),
            port: Some(rng.u16(..)),
            ..Default::default()
        })),
        _ => Message::Piece { index, begin: block.begin(), data: good(block) },
    }
}

fn random_event(
    rng: &mut fastrand::Rng,
    world: &World,
    commits: &mut Vec<PieceIndex>,
    compares: &mut Vec<(PeerKey, BlockRef)>,
) -> Event {
    let peer = PeerKey(rng.u64(..12));
    match rng.u32(..44) {
        0 | 1 => {
            let (at, id) = (addr(rng.u64(1..30)), PeerId([rng.u8(..20); 20]));
            Event::Connected { peer, at, incoming: rng.bool(), id, reserved: Reserved::ours() }
        }
        2 => Event::Gone { peer },
        3 => Event::Found { at: vec![addr(rng.u64(..40))], by: Source::Tracker },
        4 => Event::DialFailed { at: addr(rng.u64(..40)) },
        5 => Event::Lost { piece: PieceIndex(rng.u32(..12)) },
        6 => Event::SetPriority {
            file: FileIndex(rng.u32(..4)),
            priority: [Priority::Skip, Priority::Low, Priority::Normal, Priority::High][rng.usize(..4)],
        },
        7 => [Event::Pause, Event::Resume, Event::Resume, Event::SetSequential(true)][rng.usize(..4)].clone(),
        8 => Event::Tick,
        40..=42 => Event::Fetched { fetch: FetchKey(rng.u64(..30)), data: vec![b'g'; BLOCK as usize].into() },
        43 => {
            let why = [FetchTrouble::Broken, FetchTrouble::Broken, FetchTrouble::Gone][rng.usize(..3)];
            Event::FetchFailed { fetch: FetchKey(rng.u64(..30)), why }
        }
        13 if !compares.is_empty() => {
            let (peer, block) = compares.swap_remove(rng.usize(..compares.len()));
            Event::Compared { peer, block, equal: rng.u32(..4) > 0 }
        }
        9..=12 if !commits.is_empty() => {
            let piece = commits.swap_remove(rng.usize(..commits.len()));
            let digests = vec![[rng.u8(..2); 20]; world.layout.block_count(piece) as usize];
            match rng.u32(..8) {
                0 => Event::WriteFailed { piece },
                1 | 2 => Event::Rejected { piece, digests },
                _ => Event::Committed { piece, digests: Some(digests) },
            }
        }
        _ => Event::Said { peer, message: random_message(rng, world) },
    }
}

#[test]
fn nothing_that_peers_disks_and_users_do_makes_the_parts_disagree() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let block = u64::from(BLOCK);
        let files =
            [(5 * block + 9, false), (3 * block - 9, true), (9 * block, false), (7 * block + 1, false)];
        let mut setup = setup(Layout::contiguous(2 * block, files).unwrap());
        setup.seed = seed;
        setup.config.memory_budget = rng.u64(..8) * block;
        setup.config.max_peers = 8;
        setup.web_seeds = vec![0, 1, 1];
        if seed % 3 == 0 {
            setup.have = Bitfield::all(setup.layout.piece_count());
            setup.config.sizing = Some(Sizing { copies: 2, ..Sizing::default() });
        }
        let mut world = World::new(setup);
        let (mut commits, mut compares) = (Vec::new(), Vec::new());
        for _ in 0..1500 {
            world.now += Duration::from_millis(rng.u64(..800));
            let event = random_event(&mut rng, &world, &mut commits, &mut compares);
            world.tell(event);
            if world.swarm.peers.len() > 4 && rng.bool() {
                // Answer some of what was asked, so that pieces complete.
                let peer = *world.swarm.peers.keys().nth(rng.usize(..4)).unwrap();
                for name in world.asked(peer).into_iter().take(5) {
                    world.sends(peer, &name);
                }
            }
            commits.extend(
                world.took(
                    |action| if let Action::Commit { piece, .. } = action { Some(*piece) } else { None },
                ),
            );
            compares.extend(world.took(|action| match action {
                Action::Compare { peer, block, .. } => Some((*peer, *block)),
                _ => None,
            }));
            for (peer, block) in world.took(|action| match action {
                Action::Serve { peer, block } => Some((*peer, *block)),
                _ => None,
            }) {
                world.tell(Event::Served { peer, block, bytes: block.length() });
            }
        }
    }
}

#[test]
fn the_same_seed_and_events_give_the_same_actions() {
    let run = || {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut world = swarm! { pieces: 12, blocks_per_piece: 3 };
        (0..800).for_each(|_| {
            world.now += Duration::from_millis(200);
            let event = random_event(&mut rng, &world, &mut Vec::new(), &mut Vec::new());
            world.tell(event);
        });
        format!("{:?}", world.took(|action| Some(action.clone())))
    };
    assert_eq!(run(), run());
}
