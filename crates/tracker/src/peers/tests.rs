//! The packed peers against a plain model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const KEY: Keyed = Keyed([3; 16]);

fn address(number: u16) -> [u8; 6] {
    let [high, low] = number.to_be_bytes();
    [10, 0, 0, 1, high, low]
}

fn any_role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Downloader), Just(Role::PartialSeed), Just(Role::Seed)]
}

fn check(peers: &Peers<6>, model: &BTreeMap<u16, Role>) {
    let count = |role| u32::try_from(model.values().filter(|&&known| known == role).count()).unwrap();
    assert_eq!(peers.len(), model.len());
    assert_eq!(peers.downloaders(), count(Role::Downloader));
    assert_eq!(peers.partial_seeds(), count(Role::PartialSeed));
    assert_eq!(peers.seeds(), count(Role::Seed));
    for (&number, &role) in model {
        let at = peers.find(&address(number)).unwrap();
        assert_eq!((peers.entries[at].address, peers.role_at(at)), (address(number), role));
    }
}

proptest! {
    #[test]
    fn peers_come_change_and_go_as_in_a_map(
        steps in prop::collection::vec((0_u16..400, prop::option::weighted(0.7, any_role())), 0..1200)
    ) {
        let (mut peers, mut model) = (Peers::default(), BTreeMap::new());
        for (number, role) in steps {
            let as_expected = if let Some(role) = role {
                peers.put(address(number), role, Stamp(9), KEY) == model.insert(number, role)
            } else {
                peers.remove(&address(number)) == model.remove(&number).is_some()
            };
            prop_assert!(as_expected, "{} {:?}", number, role);
        }
        check(&peers, &model);
    }

    #[test]
    fn samples_are_as_large_as_they_can_be_and_right(
        model in prop::collection::btree_map(0_u16..300, any_role(), 0..300),
        want in 0_usize..100,
        givers: bool,
        asker in 0_u16..300,
        seed: u64,
    ) {
        let mut peers = Peers::default();
        for (&number, &role) in &model {
            peers.put(address(number), role, Stamp(9), KEY);
        }
        let choice = Choice { want, givers, not: Some(address(asker)), now: Stamp(10), lifetime: 5 };
        let mut found = Vec::new();
        peers.sample(&choice, &mut fastrand::Rng::with_seed(seed), &mut found);
        let usable = |role: &Role| givers || *role == Role::Downloader;
        let possible = model.iter().filter(|(number, role)| **number != asker && usable(role)).count();
        prop_assert!(found.len() <= want && found.len() + 1 >= want.min(possible), "{} of {possible}", found.len());
        let mut unique = found.clone();
        unique.sort_unstable();
        unique.dedup();
        prop_assert_eq!(unique.len(), found.len());
        for [.., high, low] in found {
            let number = u16::from_be_bytes([high, low]);
            prop_assert!(number != asker && usable(&model[&number]));
        }
    }
}

#[test]
fn ages_are_right_over_the_wrap_of_the_coarse_clock() {
    let wrap = UNIT << 15;
    let before = Stamp::at(Duration::from_secs(wrap - 80));
    let after = Stamp::at(Duration::from_secs(wrap + 80));
    assert_eq!((after.since(before.0), after.since(before.0 | PARTIAL)), (20, 20));
}

#[test]
fn expiry_takes_the_old_and_no_more_than_the_budget() {
    let mut peers = Peers::default();
    for number in 0..300 {
        let role = if number % 2 == 0 { Role::Seed } else { Role::Downloader };
        peers.put(address(number), role, Stamp(number), KEY);
    }
    let (mut budget, mut gone) = (usize::MAX, 0);
    peers.expire(Stamp(300), 200, &mut budget, |_| gone += 1);
    assert_eq!((gone, peers.len()), (101, 199));
    assert!(peers.ages(Stamp(300)).all(|age| age < 200));
    let mut budget = 7;
    peers.expire(Stamp(300), 0, &mut budget, |_| ());
    assert_eq!((budget, peers.len()), (0, 192));
}

#[test]
fn an_address_survives_packing() {
    for text in ["1.2.3.4:56789", "[2001:db8::7]:1"] {
        let address: SocketAddr = text.parse().unwrap();
        assert_eq!(Packed::from(address).address(), address);
    }
}
