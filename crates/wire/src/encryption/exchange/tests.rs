use super::*;

const HASH: InfoHash = InfoHash([9; 20]);

fn find(name: &[u8; 20]) -> Option<InfoHash> {
    (*name == torrent_name(&HASH)).then_some(HASH)
}

fn dialler(padding: usize, clear: bool, first: &[u8]) -> Exchange {
    Exchange::dial([1; SECRET], vec![0xaa; padding], clear, HASH, first.to_vec())
}

fn answerer(padding: usize, clear: bool) -> Exchange {
    Exchange::answer([2; SECRET], vec![0xbb; padding], clear)
}

/// Lets two sides talk, `step` bytes at a time; what each settled, and what of the dialler's bytes the answerer left.
fn talk(mut a: Exchange, mut b: Exchange, step: usize) -> Result<(Settled, Settled, Vec<u8>), ExchangeFault> {
    let (mut to_a, mut to_b) = (Vec::new(), Vec::new());
    let (mut of_a, mut of_b) = (None, None);
    for _ in 0..10_000 {
        to_b.extend(a.output());
        to_a.extend(b.output());
        if of_b.is_none() {
            of_b = pass(&mut b, &mut to_b, step)?;
        }
        if of_a.is_none() {
            of_a = pass(&mut a, &mut to_a, step)?;
        }
        if let (Some(_), Some(_)) = (&of_a, &of_b) {
            break;
        }
    }
    assert!(to_a.is_empty());
    Ok((of_a.unwrap(), of_b.unwrap(), to_b))
}

fn pass(to: &mut Exchange, bytes: &mut Vec<u8>, step: usize) -> Result<Option<Settled>, ExchangeFault> {
    let now: Vec<u8> = bytes.drain(..step.min(bytes.len())).collect();
    let mut rest = &now[..];
    let settled = to.receive(&mut rest, find)?;
    assert!(to.input.len() + to.padding.len() <= 2048);
    bytes.splice(..0, rest.iter().copied());
    Ok(settled)
}

/// What an answerer says to a dialler that says its key, then what `say` makes of the shared secret and the ciphers.
fn answer(say: impl FnOnce(&[u8; PUBLIC], &mut Pair) -> Vec<u8>) -> Result<Option<Settled>, ExchangeFault> {
    let mut b = answerer(0, true);
    let key = key::public(&[1; SECRET]);
    assert!(b.receive(&mut &key[..], find)?.is_none());
    let shared = key::shared(&[1; SECRET], b.output().first_chunk().unwrap()).unwrap();
    let said = say(&shared, &mut Pair::new(HASH, &shared, true));
    b.receive(&mut &said[..], find)
}

fn opening(shared: &[u8; PUBLIC], pair: &mut Pair, offer: &[&[u8]]) -> Vec<u8> {
    let mut offer = offer.concat();
    pair.outgoing.apply(&mut offer);
    let name = xor(torrent_name(&HASH), sha1([b"req3", shared]));
    [&sha1([b"req1", shared])[..], &name, &offer].concat()
}

#[test]
fn two_sides_settle_the_same_however_their_bytes_are_cut_and_padded() {
    for (step, padding) in [(1, 0), (7, 512), (96, 100), (10_000, 512), (10_000, 0)] {
        let (a, b, mut rest) =
            talk(dialler(padding, false, b"hello"), answerer(padding, true), step).unwrap();
        assert_eq!((a.info_hash, b.info_hash), (HASH, HASH));
        let (mut out, mut into) = (a.outgoing.unwrap(), b.incoming.unwrap());
        into.apply(&mut rest);
        assert_eq!(rest, b"hello");
        let mut more = *b"and so on";
        out.apply(&mut more);
        into.apply(&mut more);
        assert_eq!(&more, b"and so on");
        let mut back = *b"and back";
        b.outgoing.unwrap().apply(&mut back);
        a.incoming.unwrap().apply(&mut back);
        assert_eq!(&back, b"and back");
    }
}

#[test]
fn where_both_sides_like_it_the_payload_is_in_the_clear_behind_the_first_bytes() {
    let (a, b, mut rest) = talk(dialler(3, true, b"hello"), answerer(5, true), 50).unwrap();
    assert!(a.incoming.is_none() && a.outgoing.is_none() && b.outgoing.is_none());
    rest.extend(b"clear");
    let mut into = b.incoming.unwrap();
    into.apply(&mut rest);
    assert!(into.is_spent());
    assert_eq!(rest, b"helloclear");
}

#[test]
fn who_insists_on_encryption_gets_it() {
    for (dials_clear, answers_clear) in [(false, true), (true, false), (false, false)] {
        let (a, b, _) = talk(dialler(0, dials_clear, b""), answerer(0, answers_clear), 99).unwrap();
        assert!([a.incoming, a.outgoing, b.incoming, b.outgoing].iter().all(Option::is_some));
    }
}

#[test]
fn one_of_many_torrents_is_found_by_its_name_and_an_unknown_one_is_refused() {
    let many: std::collections::BTreeMap<_, _> = (0..10_000u32)
        .map(|number| InfoHash(sha1([&number.to_be_bytes()])))
        .map(|hash| (torrent_name(&hash), hash))
        .collect();
    let wanted = InfoHash(sha1([&1234u32.to_be_bytes()]));
    let mut a = Exchange::dial([1; SECRET], Vec::new(), true, wanted, Vec::new());
    let mut b = answerer(0, true);
    b.receive(&mut &a.output()[..], |name| many.get(name).copied()).unwrap();
    a.receive(&mut &b.output()[..], find).unwrap();
    let said = a.output();
    let settled = b.receive(&mut &said[..], |name| many.get(name).copied()).unwrap();
    assert_eq!(settled.unwrap().info_hash, wanted);
    let stranger = Exchange::dial([1; SECRET], Vec::new(), true, wanted, Vec::new());
    assert_eq!(talk(stranger, answerer(0, true), 99).unwrap_err(), ExchangeFault::UnknownTorrent);
}

// P-15
#[test]
fn weak_keys_end_an_exchange_on_either_side() {
    for weak in [[0; PUBLIC], [0xff; PUBLIC]] {
        for mut side in [answerer(0, true), dialler(0, true, b"")] {
            assert_eq!(side.receive(&mut &weak[..], find).unwrap_err(), ExchangeFault::WeakKey);
        }
    }
}

// P-15
#[test]
fn padding_that_is_longer_than_512_bytes_is_not_searched() {
    let padded = |padding: usize| {
        answer(|shared, pair| {
            let offer = opening(shared, pair, &[&VERIFY, &RC4.to_be_bytes(), &[0; 4]]);
            [vec![0xcc; padding], offer].concat()
        })
    };
    assert!(padded(512).unwrap().is_some());
    assert_eq!(padded(513).unwrap_err(), ExchangeFault::Lost);
    let mut a = dialler(0, true, b"");
    a.receive(&mut &key::public(&[2; SECRET])[..], find).unwrap();
    assert!(a.receive(&mut &[0xcc; MAX_PADDING + 7][..], find).unwrap().is_none());
    assert_eq!(a.receive(&mut &[0xcc][..], find).unwrap_err(), ExchangeFault::Lost);
}

// P-15
#[test]
fn a_second_padding_of_513_bytes_is_refused() {
    let padded = |length: u16| {
        answer(|shared, pair| {
            let padding = vec![0; usize::from(length)];
            opening(shared, pair, &[&VERIFY, &RC4.to_be_bytes(), &length.to_be_bytes(), &padding, &[0; 2]])
        })
    };
    assert!(padded(512).unwrap().is_some());
    assert_eq!(padded(513).unwrap_err(), ExchangeFault::Lost);
}

// P-15
#[test]
fn an_offer_of_nothing_and_a_choice_that_was_not_offered_are_refused() {
    for methods in [0u32, 4, 0xffff_fffc] {
        let refused =
            answer(|shared, pair| opening(shared, pair, &[&VERIFY, &methods.to_be_bytes(), &[0; 4]]));
        assert_eq!(refused.unwrap_err(), ExchangeFault::NoMethod);
    }
    let mut a = dialler(0, false, b"");
    a.receive(&mut &key::public(&[2; SECRET])[..], find).unwrap();
    let shared = key::shared(&[1; SECRET], &key::public(&[2; SECRET])).unwrap();
    let mut choice = [&VERIFY[..], &CLEAR.to_be_bytes(), &[0; 2]].concat();
    Pair::new(HASH, &shared, false).outgoing.apply(&mut choice);
    assert_eq!(a.receive(&mut &choice[..], find).unwrap_err(), ExchangeFault::NoMethod);
}

#[test]
fn a_wrong_verification_is_refused() {
    let refused = answer(|shared, pair| opening(shared, pair, &[&[1; 8], &RC4.to_be_bytes(), &[0; 4]]));
    assert_eq!(refused.unwrap_err(), ExchangeFault::Unverified);
}

// P-15
#[test]
fn first_bytes_of_65535_are_not_held() {
    let settled = answer(|shared, pair| {
        opening(shared, pair, &[&VERIFY, &CLEAR.to_be_bytes(), &[0; 2], &u16::MAX.to_be_bytes()])
    });
    let mut incoming = settled.unwrap().unwrap().incoming.unwrap();
    incoming.apply(&mut vec![0; 65_534]);
    assert!(!incoming.is_spent());
    incoming.apply(&mut [0; 1]);
    assert!(incoming.is_spent());
}
