//! Stories of a magnet link.

use metainfo::{InfoHash, InfoHashV2};
use wire::METADATA_PIECE;

use super::*;

const OURS: PeerId = PeerId([0; 20]);

struct World {
    fetch: MetadataFetch,
    now: Duration,
    right: Bytes,
    heard: Vec<Action>,
}

fn dictionary(pieces: u32, fill: u8) -> Bytes {
    Bytes::from(vec![fill; (pieces * METADATA_PIECE - 100) as usize])
}

fn world(pieces: u32) -> World {
    let right = dictionary(pieces, 7);
    let v1 = InfoHash(Sha1::digest(&right).into());
    let hashes = InfoHashes { v1: Some(v1), v2: None };
    let fetch = MetadataFetch::new(Duration::ZERO, hashes, Config::default(), OURS, 1);
    World { fetch, now: Duration::ZERO, right, heard: Vec::new() }
}

fn addr(name: u8) -> Endpoint {
    Endpoint::Tcp(([10, 0, 0, name], 6881).into())
}

impl World {
    fn tell(&mut self, event: Event) {
        self.fetch.handle(self.now, event);
        self.heard.extend(std::iter::from_fn(|| self.fetch.next_action()));
    }

    fn connect(&mut self, name: u8) -> PeerKey {
        let peer = PeerKey(u64::from(name));
        let (id, reserved) = (PeerId([name; 20]), Reserved::ours());
        self.tell(Event::Connected { peer, at: addr(name), incoming: false, id, reserved });
        peer
    }

    fn peer(&mut self, name: u8, size: usize) -> PeerKey {
        let peer = self.connect(name);
        let metadata_size = Some(u32::try_from(size).unwrap());
        let handshake = ExtensionHandshake { ut_metadata: Some(1), metadata_size, ..Default::default() };
        self.say(peer, Message::ExtensionHandshake(Box::new(handshake)));
        peer
    }

    fn say(&mut self, peer: PeerKey, message: Message) {
        self.tell(Event::Said { peer, message });
    }

    /// The pieces a peer was asked for since the last time.
    fn asked(&mut self, peer: PeerKey) -> Vec<u32> {
        let mut asked = Vec::new();
        self.heard.retain(|action| match action {
            Action::Say { peer: to, message: Message::Metadata(MetadataMessage::Request(piece)) }
                if *to == peer =>
            {
                asked.push(*piece);
                false
            }
            _ => true,
        });
        asked
    }

    fn send(&mut self, peer: PeerKey, whole: &Bytes, piece: u32) {
        let begin = (piece * METADATA_PIECE) as usize;
        let data = whole.slice(begin..whole.len().min(begin + METADATA_PIECE as usize));
        let total_size = u32::try_from(whole.len()).unwrap();
        self.say(peer, Message::Metadata(MetadataMessage::Data { piece, total_size, data }));
    }

    /// The peer answers whatever it is asked.
    fn sends_all(&mut self, peer: PeerKey, whole: &Bytes) {
        loop {
            let asked = self.asked(peer);
            if asked.is_empty() {
                return;
            }
            for piece in asked {
                self.send(peer, whole, piece);
            }
        }
    }

    fn hung_up(&self, peer: PeerKey) -> Option<&HangUp> {
        self.heard.iter().find_map(|action| match action {
            Action::HangUp { peer: whom, why } if *whom == peer => Some(why),
            _ => None,
        })
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.tell(Event::Tick);
    }
}

#[test]
fn a_dictionary_of_many_pieces_comes_from_one_peer() {
    let mut world = world(30);
    let right = world.right.clone();
    let peer = world.peer(1, right.len());
    assert!(world.fetch.take().is_none());
    world.sends_all(peer, &right);
    assert_eq!(world.fetch.take().unwrap().0, right);
    assert!(world.fetch.take().is_none() && world.fetch.next_deadline().is_none());
}

// P-11
#[test]
fn a_liar_is_banned_and_the_others_go_on() {
    let mut world = world(3);
    let (right, wrong) = (world.right.clone(), dictionary(3, 8));
    let liar = world.peer(1, right.len());
    let honest = world.peer(2, right.len());
    world.sends_all(liar, &wrong);
    assert_eq!(world.hung_up(liar), Some(&HangUp::Poison));
    assert!(world.heard.iter().any(|action| matches!(action, Action::Ban(_))));
    assert!(world.fetch.take().is_none());
    world.sends_all(honest, &right);
    assert_eq!(world.fetch.take().unwrap().0, right);
}

// P-11
#[test]
fn senseless_sizes_are_not_asked_for() {
    let mut world = world(1);
    for (name, size) in [(1, 0), (2, (32 << 20) + 1), (3, (1 << 31) - 1)] {
        let peer = world.peer(name, size);
        assert!(world.asked(peer).is_empty(), "{size}");
    }
}

// P-11
#[test]
fn pieces_that_do_not_fit_end_the_connection() {
    let mut world = world(2);
    let right = world.right.clone();
    let total_size = u32::try_from(right.len()).unwrap();
    let whole = right.slice(..METADATA_PIECE as usize);
    let cases = [
        (0, total_size + 1, whole.clone()),
        (7, total_size, whole.clone()),
        (1, total_size, whole),
        (0, total_size, right.slice(..5)),
    ];
    for (name, (piece, total_size, data)) in (1..).zip(cases) {
        let peer = world.peer(name, right.len());
        world.say(peer, Message::Metadata(MetadataMessage::Data { piece, total_size, data }));
        assert!(matches!(world.hung_up(peer), Some(HangUp::Breach(_))), "case {name}");
    }
}

// P-11
#[test]
fn a_size_that_changes_midway_costs_only_what_its_sender_gave() {
    let mut world = world(12);
    let right = world.right.clone();
    let (fickle, honest) = (world.peer(1, right.len()), world.peer(2, right.len()));
    assert_eq!(world.asked(fickle).len(), 8);
    world.send(fickle, &right, 0);
    let handshake = ExtensionHandshake { ut_metadata: Some(1), metadata_size: Some(5), ..Default::default() };
    world.say(fickle, Message::ExtensionHandshake(Box::new(handshake)));
    assert_eq!(world.asked(fickle).last(), Some(&0), "it is asked anew");
    world.send(fickle, &right, 1);
    assert!(matches!(world.hung_up(fickle), Some(HangUp::Breach(_))));
    world.sends_all(honest, &right);
    assert_eq!(world.fetch.take().unwrap().0, right);
}

// BEP 27: should the torrent turn out to be private, the swarm takes those of its tracker and its user alone.
#[test]
fn the_swarm_is_told_of_an_address_by_whoever_found_it() {
    let mut world = world(1);
    let right = world.right.clone();
    let peer = world.peer(1, right.len());
    // As many as are dialled in one second; the others wait.
    world.tell(Event::Found { at: (10..40).map(addr).collect(), by: Source::Tracker });
    world.tell(Event::Found { at: (100..110).map(addr).collect(), by: Source::Lsd });
    world.tell(Event::Found { at: (107..110).map(addr).collect(), by: Source::Tracker });
    world.sends_all(peer, &right);
    let (_, replay) = world.fetch.take().unwrap();
    let told = |source: Source| {
        let by_it = |event: &Event| match event {
            Event::Found { at, by } if *by == source => at.len(),
            _ => 0,
        };
        replay.iter().map(by_it).sum::<usize>()
    };
    assert_eq!((told(Source::Tracker), told(Source::Lsd)), (3, 7));
}

// BEP 11
#[test]
fn whom_a_peer_names_is_dialled_before_the_torrent_is_known() {
    let mut world = world(1);
    let peer = world.connect(1);
    let Endpoint::Tcp(named) = addr(9);
    let said = wire::PeerExchange { added: vec![(named, 0)], dropped: Vec::new() };
    world.say(peer, Message::PeerExchange(Box::new(said)));
    assert!(world.heard.iter().any(|action| matches!(action, Action::Dial(at) if *at == addr(9))));
}

// P-18
#[test]
fn hints_that_come_before_the_torrent_is_known_are_few() {
    let mut world = world(1);
    let right = world.right.clone();
    let peer = world.peer(1, right.len());
    for index in 0..100_000 {
        world.say(peer, Message::AllowedFast(index));
        world.say(peer, Message::SuggestPiece(index));
    }
    world.sends_all(peer, &right);
    let (_, replay) = world.fetch.take().unwrap();
    let hint = |event: &&Event| {
        matches!(event, Event::Said { message: Message::AllowedFast(_) | Message::SuggestPiece(_), .. })
    };
    assert_eq!(replay.iter().filter(hint).count(), 16);
}

// P-11
#[test]
fn three_peers_send_at_a_time_and_a_silent_one_makes_place() {
    let mut world = world(1);
    let right = world.right.clone();
    let peers: Vec<_> = (1..=4).map(|name| world.peer(name, right.len())).collect();
    let asked: Vec<_> = peers.iter().map(|&peer| world.asked(peer).len()).collect();
    assert_eq!(asked, [1, 1, 1, 0]);
    world.pass(11);
    assert_eq!(world.asked(peers[3]), [0]);
}

#[test]
fn a_peer_that_has_no_dictionary_yet_is_asked_again_later() {
    let mut world = world(1);
    let right = world.right.clone();
    let peer = world.peer(1, right.len());
    world.asked(peer);
    world.say(peer, Message::Metadata(MetadataMessage::Reject(0)));
    assert!(world.asked(peer).is_empty());
    world.pass(11);
    world.sends_all(peer, &right);
    assert!(world.fetch.take().is_some());
}

#[test]
fn both_hashes_of_a_hybrid_have_to_match() {
    let mut world = world(1);
    let right = world.right.clone();
    world.fetch.hashes.v2 = Some(InfoHashV2([0; 32]));
    let peer = world.peer(1, right.len());
    world.sends_all(peer, &right);
    assert_eq!(world.hung_up(peer), Some(&HangUp::Poison));
}

#[test]
fn what_peers_said_before_is_said_again_to_the_swarm() {
    let mut world = world(1);
    let right = world.right.clone();
    let peer = world.peer(1, right.len());
    for message in [Message::Bitfield(Bytes::from_static(&[0x80])), Message::Have(2), Message::Unchoke] {
        world.say(peer, message);
    }
    world.sends_all(peer, &right);
    let (_, replay) = world.fetch.take().unwrap();
    assert!(matches!(replay[0], Event::Connected { incoming: false, .. }));
    let said: Vec<&Message> = replay
        .iter()
        .filter_map(|event| if let Event::Said { message, .. } = event { Some(message) } else { None })
        .collect();
    assert_eq!(*said[0], Message::Bitfield(Bytes::from_static(&[0x80])));
    assert_eq!(*said[1], Message::Have(2));
    assert!(matches!(said[2], Message::ExtensionHandshake(_)));
    assert_eq!(*said[3], Message::Unchoke);
}

#[test]
fn a_peer_that_left_is_dialled_again() {
    let mut world = world(1);
    world.tell(Event::Found { at: vec![addr(9)], by: Source::User });
    let dials = |world: &World| world.heard.iter().filter(|action| matches!(action, Action::Dial(_))).count();
    assert_eq!(dials(&world), 1);
    let peer = world.connect(9);
    world.tell(Event::Gone { peer });
    world.pass(30);
    assert_eq!(dials(&world), 2);
}

#[test]
fn we_do_not_talk_to_ourselves() {
    let mut world = world(1);
    let peer = PeerKey(5);
    world.tell(Event::Connected { peer, at: addr(5), incoming: false, id: OURS, reserved: Reserved::ours() });
    assert_eq!(world.hung_up(peer), Some(&HangUp::Ourselves));
}
