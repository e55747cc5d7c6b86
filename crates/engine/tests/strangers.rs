//! Connections nobody asked for (P-07, P-08, P-09).

mod world;

use engine::{Config, Engine};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::{Handshake, Reserved};
use world::{PATIENCE, at, complete, config, content, engine, get, seed, until};

/// Says `bytes` to a seed; what comes back until it closes.
async fn closed_after(engine: &Engine, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(at(engine)).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut back = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut back)).await;
    // A reset is as good an end as any.
    let _reset = read.expect("the connection stays open");
    back
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_unknown_torrents_and_our_own_name_are_closed_and_harm_nobody() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 300_000)], &[]);
    let (a, b) = (engine(&origin.path().join("state")).await, engine(&target.path().join("state")).await);
    let mut seeding = a.add(seed(&metainfo, origin.path())).await.unwrap();
    complete(&mut seeding).await;

    // What is no handshake may be the key of an encrypted one, until that has no end.
    closed_after(&a, &b"GET / HTTP/1.1\r\n\r\n".repeat(40)).await;
    let mut shake = Handshake {
        reserved: Reserved([0xff; 8]),
        info_hash: metainfo::InfoHash([7; 20]),
        peer_id: seeding.peer_id(),
    };
    assert_eq!(closed_after(&a, &shake.encode()).await, b"");
    shake.info_hash = metainfo.info.wire_hash();
    closed_after(&a, &shake.encode()).await;
    shake.peer_id = metainfo::PeerId(*b"-XX0001-abcdefghijkl");
    // A length prefix of 4 GiB (P-01).
    closed_after(&a, &[&shake.encode()[..], &[0xff; 4]].concat()).await;

    let mut getting = b.add(get(&metainfo, target.path(), &a)).await.unwrap();
    complete(&mut getting).await;
}

// P-08
#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_closed_without_an_answer() {
    let origin = tempdir().unwrap();
    let metainfo = content(origin.path(), "film", &[("", 300_000)], &[]);
    let settings = Config { max_peers: 2, ..config(&origin.path().join("state")) };
    let a = Engine::start(settings).await.unwrap();
    complete(&mut a.add(seed(&metainfo, origin.path())).await.unwrap()).await;
    let shake = |name| {
        let (reserved, info_hash) = (Reserved::ours(), metainfo.info.wire_hash());
        Handshake { reserved, info_hash, peer_id: metainfo::PeerId([name; 20]) }.encode()
    };
    let mut welcome = Vec::new();
    for name in [1, 2] {
        let mut stream = TcpStream::connect(at(&a)).await.unwrap();
        stream.write_all(&shake(name)).await.unwrap();
        let mut answer = [0; Handshake::LENGTH];
        stream.read_exact(&mut answer).await.unwrap();
        welcome.push(stream);
    }
    for name in 3..20 {
        assert_eq!(closed_after(&a, &shake(name)).await, b"");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_does_not_talk_to_itself() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 300_000)], &[]);
    let (a, b) = (engine(&origin.path().join("state")).await, engine(&target.path().join("state")).await);
    a.add(seed(&metainfo, origin.path())).await.unwrap();
    let mut add = get(&metainfo, target.path(), &a);
    add.peers.insert(0, at(&b));
    let mut getting = b.add(add).await.unwrap();
    complete(&mut getting).await;
    let status = until(&mut getting, "connected to at most the seed", |status| status.peers <= 1).await;
    assert_eq!((status.downloaded, status.uploaded), (300_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_handshakes_keep_nobody_out() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 300_000)], &[]);
    let (a, b) = (engine(&origin.path().join("state")).await, engine(&target.path().join("state")).await);
    a.add(seed(&metainfo, origin.path())).await.unwrap();
    let mut silent = Vec::new();
    // More than may be under way.
    for _ in 0..300 {
        silent.push(TcpStream::connect(at(&a)).await.unwrap());
    }
    let mut getting = b.add(get(&metainfo, target.path(), &a)).await.unwrap();
    complete(&mut getting).await;
}
