//! Engines that encrypt more or less, over loopback (Message Stream Encryption).

mod world;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use engine::{Add, Config, Encryption, Engine};
use tempfile::tempdir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use world::{at, bytes, complete, config, content, get, same, seed};

const LENGTH: usize = 1_000_001;

async fn engine(state_dir: &std::path::Path, encryption: Encryption) -> Engine {
    Engine::start(Config { encryption, ..config(state_dir) }).await.unwrap()
}

/// Everything that passes a wire, both directions mixed.
type Tap = Arc<Mutex<Vec<u8>>>;

/// A way to an engine that is listened to.
async fn tapped(to: SocketAddr) -> (SocketAddr, Tap) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let tap = Tap::default();
    let shared = tap.clone();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(to).await else { continue };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(pass(near_in, far_out, shared.clone()));
            tokio::spawn(pass(far_in, near_out, shared.clone()));
        }
    });
    (address, tap)
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, tap: Tap) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        tap.lock().unwrap().extend(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    let _closed = to.shutdown().await;
}

fn count(tap: &Tap, what: &[u8]) -> usize {
    tap.lock().unwrap().windows(what.len()).filter(|window| *window == what).count()
}

/// Fetches a file from a seed; how many handshakes could be read on the wire, and whether the payload could.
async fn fetched(seeds: Encryption, gets: Encryption) -> (usize, bool) {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", LENGTH)], &[]);
    let a = engine(&origin.path().join("state"), seeds).await;
    let b = engine(&target.path().join("state"), gets).await;
    a.add(seed(&metainfo, origin.path())).await.unwrap();
    let (way, tap) = tapped(at(&a)).await;
    let add = Add { peers: vec![way], ..Add::new(metainfo.clone(), target.path().to_owned()) };
    complete(&mut b.add(add).await.unwrap()).await;
    assert!(same(&origin.path().join("film"), &target.path().join("film")));
    let payload = bytes(LENGTH, 0);
    (count(&tap, b"BitTorrent protocol"), count(&tap, &payload[500..600]) > 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn where_encryption_is_required_nothing_can_be_read_on_the_wire() {
    assert_eq!(fetched(Encryption::Require, Encryption::Require).await, (0, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_side_that_requires_encryption_gets_it_from_one_that_allows_it() {
    assert_eq!(fetched(Encryption::Allow, Encryption::Require).await, (0, false));
    // It dials in the clear first, and is hung up on.
    assert_eq!(fetched(Encryption::Require, Encryption::Allow).await, (1, false));
    assert_eq!(fetched(Encryption::Require, Encryption::Prefer).await, (0, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_prefers_encryption_falls_back_for_one_that_has_none() {
    assert_eq!(fetched(Encryption::Off, Encryption::Prefer).await, (2, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_prefer_encryption_hide_the_diallers_handshake_and_save_the_rest() {
    assert_eq!(fetched(Encryption::Prefer, Encryption::Prefer).await, (1, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_requires_encryption_and_who_has_none_never_meet() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", LENGTH)], &[]);
    let plain = engine(&origin.path().join("plain"), Encryption::Off).await;
    let secret = engine(&origin.path().join("secret"), Encryption::Require).await;
    let getter = engine(&target.path().join("state"), Encryption::Require).await;
    let useless = plain.add(seed(&metainfo, origin.path())).await.unwrap();
    let mut add = get(&metainfo, target.path(), &secret);
    add.peers.insert(0, at(&plain));
    let mut getting = getter.add(add).await.unwrap();
    secret.add(seed(&metainfo, origin.path())).await.unwrap();
    let status = complete(&mut getting).await;
    assert_eq!((status.downloaded, useless.status().uploaded), (LENGTH as u64, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn trackers_are_told_what_kind_of_peers_are_wanted() {
    for (encryption, supports, requires) in [
        (Encryption::Off, None, None),
        (Encryption::Allow, Some("1"), None),
        (Encryption::Require, Some("1"), Some("1")),
    ] {
        let origin = tempdir().unwrap();
        let (url, log) = world::tracker(Vec::new()).await;
        let metainfo = content(origin.path(), "film", &[("", 100)], &[&url]);
        let a = engine(&origin.path().join("state"), encryption).await;
        let mut seeding = a.add(seed(&metainfo, origin.path())).await.unwrap();
        world::until(&mut seeding, "announced", |status| status.trackers.iter().any(|it| it.working)).await;
        let query = log.lock().unwrap()[0].clone();
        assert_eq!(
            (world::value(&query, "supportcrypto"), world::value(&query, "requirecrypto")),
            (supports, requires)
        );
    }
}
