//! Two engines in one process, over loopback: what a user gets on disk.

mod world;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine::{Add, Config, Engine, Halt, Mode, Phase, Priority, Sizing, Status};
use metainfo::{BLOCK, Builder, Format, Magnet, Metainfo, NewFile, PeerId, merkle};
use sha1::{Digest, Sha1};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wire::{Decoder, Encoder, Handshake, Message, Reserved};
use world::{at, bytes, complete, config, content, engine, get, same, seed, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_arrives_as_it_was() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 3_000_001)], &[]);
    let (a, b) = (engine(&origin.path().join("state")).await, engine(&target.path().join("state")).await);
    let seeding = a.add(seed(&metainfo, origin.path())).await.unwrap();
    let mut getting = b.add(get(&metainfo, target.path(), &a)).await.unwrap();
    let status = complete(&mut getting).await;
    assert_eq!((status.done, status.left, status.downloaded), (3_000_001, 0, 3_000_001));
    assert!(same(&origin.path().join("film"), &target.path().join("film")));
    a.stop().await;
    assert_eq!(seeding.status().uploaded, 3_000_001);
    b.stop().await;
    assert!(matches!(getting.status().phase, Phase::Stopped));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_tcp_does_not_reach_is_reached_by_utp() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 20_000_001)], &[]);
    let by_utp = Config { tcp: false, ..config(&origin.path().join("state")) };
    let (a, b) = (Engine::start(by_utp).await.unwrap(), engine(&target.path().join("state")).await);
    let seeding = a.add(seed(&metainfo, origin.path())).await.unwrap();
    let mut getting = b.add(get(&metainfo, target.path(), &a)).await.unwrap();
    complete(&mut getting).await;
    assert!(same(&origin.path().join("film"), &target.path().join("film")));
    b.stop().await;
    a.stop().await;
    assert_eq!(seeding.status().uploaded, 20_000_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_with_empty_and_tiny_files_arrives_in_order() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let files = [("a/b/one", 5), ("a/empty", 0), ("big", 700_000), ("c", 40_000), ("z/last", 1)];
    let metainfo = content(origin.path(), "tree", &files, &[]);
    let (a, b) = (engine(&origin.path().join("state")).await, engine(&target.path().join("state")).await);
    a.add(seed(&metainfo, origin.path())).await.unwrap();
    let mut getting = b.add(Add { sequential: true, ..get(&metainfo, target.path(), &a) }).await.unwrap();
    complete(&mut getting).await;
    for (path, _) in files {
        let path = format!("tree/{path}");
        assert!(same(&origin.path().join(&path), &target.path().join(&path)), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_chosen_files_arrive() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "tree", &[("a", 200_000), ("b", 200_000), ("c", 200_000)], &[]);
    let (a, b) = (engine(&origin.path().join("state")).await, engine(&target.path().join("state")).await);
    a.add(seed(&metainfo, origin.path())).await.unwrap();
    let select: engine::Select = Box::new(|info| {
        Ok(info
            .files()
            .iter()
            .map(|file| if file.path.ends_with('b') { Priority::Normal } else { Priority::Skip })
            .collect())
    });
    let mut getting = b.add(Add { select: Some(select), ..get(&metainfo, target.path(), &a) }).await.unwrap();
    let status = complete(&mut getting).await;
    assert!(status.left > 0 && status.downloaded < 400_000, "{status:?}");
    assert!(same(&origin.path().join("tree/b"), &target.path().join("tree/b")));
    let unwanted: engine::Select = Box::new(|_| Err("no file matches".into()));
    let other = tempdir().unwrap();
    let c = engine(&other.path().join("state")).await;
    let mut refused =
        c.add(Add { select: Some(unwanted), ..get(&metainfo, other.path(), &a) }).await.unwrap();
    until(
        &mut refused,
        "failed",
        |status| matches!(&status.phase, Phase::Failed(halt) if matches!(**halt, Halt::Selection(_))),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_magnet_link_becomes_a_torrent_from_a_peer() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 900_000)], &[]);
    let (a, b) = (engine(&origin.path().join("state")).await, engine(&target.path().join("state")).await);
    a.add(seed(&metainfo, origin.path())).await.unwrap();
    let link = format!("magnet:?xt=urn:btih:{}&x.pe={}", metainfo.info.wire_hash(), at(&a));
    let magnet = Magnet::parse(&link).unwrap();
    let mut getting = b.add(Add::new(magnet, target.path().to_owned())).await.unwrap();
    let status = complete(&mut getting).await;
    assert_eq!(status.name, "film");
    assert_eq!(getting.info().unwrap().raw(), metainfo.info.raw());
    assert!(same(&origin.path().join("film"), &target.path().join("film")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_finished_is_neither_hashed_nor_fetched_again() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 500_000)], &[]);
    let state = target.path().join("state");
    let (a, b) = (engine(&origin.path().join("state")).await, engine(&state).await);
    a.add(seed(&metainfo, origin.path())).await.unwrap();
    let mut getting = b.add(get(&metainfo, target.path(), &a)).await.unwrap();
    complete(&mut getting).await;
    b.stop().await;

    // Damage that leaves size and time as they were is not seen without a look at the bytes.
    let film = target.path().join("film");
    let modified = fs::metadata(&film).unwrap().modified().unwrap();
    let mut damaged = fs::read(&film).unwrap();
    damaged[0] ^= 1;
    fs::write(&film, damaged).unwrap();
    fs::File::options().write(true).open(&film).unwrap().set_modified(modified).unwrap();

    let b = engine(&state).await;
    let mut resumed = b.add(Add::new(metainfo.clone(), target.path().to_owned())).await.unwrap();
    let status = complete(&mut resumed).await;
    assert_eq!((status.downloaded, status.left), (500_000, 0));
    b.stop().await;

    let b = engine(&state).await;
    let mut checked = b.add(Add { check: true, ..get(&metainfo, target.path(), &a) }).await.unwrap();
    let status = complete(&mut checked).await;
    assert_eq!(status.downloaded, 500_000 + 32 * 1024);
    assert!(same(&origin.path().join("film"), &film));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_data_on_disk_is_repaired_and_the_rest_kept() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 500_000)], &[]);
    let mut wrong = fs::read(origin.path().join("film")).unwrap();
    wrong[40_000] ^= 0xff;
    fs::write(target.path().join("film"), wrong).unwrap();
    let (a, b) = (engine(&origin.path().join("state")).await, engine(&target.path().join("state")).await);
    a.add(seed(&metainfo, origin.path())).await.unwrap();
    let mut getting = b.add(get(&metainfo, target.path(), &a)).await.unwrap();
    let status = complete(&mut getting).await;
    assert_eq!(status.downloaded, 32 * 1024);
    assert!(same(&origin.path().join("film"), &target.path().join("film")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_seed_gives_what_is_good_and_says_what_is_missing() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 320 * 1024)], &[]);
    let mut wrong = fs::read(origin.path().join("film")).unwrap();
    wrong[0] ^= 0xff;
    fs::write(origin.path().join("film"), &wrong).unwrap();
    let (a, b) = (engine(&origin.path().join("state")).await, engine(&target.path().join("state")).await);
    let mut seeding = a.add(seed(&metainfo, origin.path())).await.unwrap();
    let status = complete(&mut seeding).await;
    assert_eq!((status.left, status.have, status.pieces), (32 * 1024, 9, 10));
    let mut getting = b.add(get(&metainfo, target.path(), &a)).await.unwrap();
    let status = until(&mut getting, "nearly complete", |status| status.have == 9).await;
    assert_eq!(status.left, 32 * 1024);
    assert!(fs::read(origin.path().join("film")).unwrap() == wrong, "a seed's files are never written");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_written_stop_the_torrent_with_the_path() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 100_000)], &[]);
    fs::create_dir(target.path().join("film")).unwrap();
    let (a, b) = (engine(&origin.path().join("state")).await, engine(&target.path().join("state")).await);
    a.add(seed(&metainfo, origin.path())).await.unwrap();
    let mut getting = b.add(get(&metainfo, target.path(), &a)).await.unwrap();
    let status = until(&mut getting, "failed", |status| matches!(status.phase, Phase::Failed(_))).await;
    let Phase::Failed(halt) = &status.phase else { unreachable!() };
    let cause = std::error::Error::source(&**halt).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("film"), "{halt:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn downloaders_trade_until_all_are_complete() {
    let (origin, targets) =
        (tempdir().unwrap(), [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()]);
    let metainfo = content(origin.path(), "film", &[("", 4_000_000)], &[]);
    let a = engine(&origin.path().join("state")).await;
    a.add(seed(&metainfo, origin.path())).await.unwrap();
    let mut engines = vec![a];
    let mut torrents = Vec::new();
    for target in &targets {
        let other = engine(&target.path().join("state")).await;
        let peers = engines.iter().map(at).collect();
        let add = Add { peers, ..Add::new(metainfo.clone(), target.path().to_owned()) };
        torrents.push(other.add(add).await.unwrap());
        engines.push(other);
    }
    for (torrent, target) in torrents.iter_mut().zip(&targets) {
        complete(torrent).await;
        assert!(same(&origin.path().join("film"), &target.path().join("film")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_sees_that_a_download_is_right_and_falls_silent() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 4_000_000)], &[]);
    let (a, b) = (engine(&origin.path().join("state")).await, engine(&target.path().join("state")).await);
    let sizing = Some(Sizing { copies: 1, hold: Duration::from_secs(1) });
    let mut giving = a.add(Add { sizing, ..seed(&metainfo, origin.path()) }).await.unwrap();
    let mut getting = b.add(get(&metainfo, target.path(), &a)).await.unwrap();
    complete(&mut getting).await;
    let is_silent = |status: &Status| {
        status.origin.as_ref().is_some_and(|origin| {
            origin.mode == Mode::Silent && origin.completions.verified_bytes == 4_000_000
        })
    };
    let status = until(&mut giving, "silent", is_silent).await;
    let origin = status.origin.clone().unwrap();
    assert_eq!((origin.holders, origin.copies, origin.completions.claimed), (1, 1, 0));
    assert_eq!(origin.reason, "1 copy held for 1 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_torrent_cannot_be_added_twice_nor_used_by_two_engines_in_one_folder() {
    let origin = tempdir().unwrap();
    let metainfo = content(origin.path(), "film", &[("", 100_000)], &[]);
    let state = origin.path().join("state");
    let (a, b) = (engine(&state).await, engine(&state).await);
    let mut first = a.add(seed(&metainfo, origin.path())).await.unwrap();
    assert!(matches!(a.add(seed(&metainfo, origin.path())).await, Err(engine::AddError::Duplicate(_))));
    complete(&mut first).await;
    let mut second = b.add(seed(&metainfo, origin.path())).await.unwrap();
    until(
        &mut second,
        "locked",
        |status| matches!(&status.phase, Phase::Failed(halt) if matches!(**halt, Halt::Locked(_))),
    )
    .await;
    first.stop().await;
    assert!(matches!(first.status().phase, Phase::Stopped));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_one_torrent_is_shown_and_leaves_the_others_running() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let one = content(origin.path(), "one", &[("", 300_000)], &[]);
    let other = content(origin.path(), "other", &[("", 300_001)], &[]);
    let (a, b) = (engine(&origin.path().join("state")).await, engine(&target.path().join("state")).await);
    a.add(seed(&one, origin.path())).await.unwrap();
    let select: engine::Select = Box::new(|_| panic!("a defect"));
    let mut crashing = b.add(Add { select: Some(select), ..get(&other, target.path(), &a) }).await.unwrap();
    let crashed = |halt: &Halt| matches!(halt, Halt::Crashed);
    until(&mut crashing, "crashed", |status| matches!(&status.phase, Phase::Failed(halt) if crashed(halt)))
        .await;
    let mut getting = b.add(get(&one, target.path(), &a)).await.unwrap();
    complete(&mut getting).await;
}

/// A peer that has `data`, the only piece of a torrent, and gives it to the first who dials.
async fn giver(listener: TcpListener, info_hash: metainfo::InfoHash, data: Bytes) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let shake = Handshake { reserved: Reserved::ours(), info_hash, peer_id: PeerId([7; 20]) };
    let (encoder, mut decoder) = (Encoder::default(), Decoder::new());
    let mut out = BytesMut::from(&shake.encode()[..]);
    encoder.encode(&Message::HaveAll, &mut out);
    encoder.encode(&Message::Unchoke, &mut out);
    stream.read_exact(&mut [0; Handshake::LENGTH]).await.unwrap();
    let mut input = BytesMut::new();
    while stream.write_all(&out.split()).await.is_ok()
        && stream.read_buf(&mut input).await.is_ok_and(|n| n > 0)
    {
        let mut read = input.split().freeze();
        while let Some(message) = decoder.decode(&mut read).unwrap() {
            let Message::Request(asked) = message else { continue };
            let data = data.slice(asked.begin as usize..(asked.begin + asked.length) as usize);
            encoder.encode(&Message::Piece { index: asked.index, begin: asked.begin, data }, &mut out);
        }
        input.extend_from_slice(&read);
    }
}

// M-20
#[tokio::test(flavor = "multi_thread")]
async fn a_hybrid_whose_hashes_contradict_each_other_stops_and_says_so() {
    let target = tempdir().unwrap();
    let (data, other) = (bytes(20_000, 1), bytes(20_000, 2));
    let root = merkle::root(other.chunks(BLOCK as usize).map(merkle::leaf), 0);
    let builder = Builder {
        name: "film".into(),
        piece_length: 32 * 1024,
        format: Format::Hybrid,
        single_file: true,
        files: vec![NewFile {
            path: vec!["film".into()],
            length: 20_000,
            root: Some(root),
            ..NewFile::default()
        }],
        v1_pieces: Sha1::digest(&data).to_vec(),
        private: false,
        source: None,
        similar: Vec::new(),
        update_url: None,
        outer: metainfo::Outer::default(),
    };
    let metainfo = Arc::new(Metainfo::parse(&builder.encode().unwrap()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peers = vec![listener.local_addr().unwrap()];
    tokio::spawn(giver(listener, metainfo.info.wire_hash(), data.into()));
    let b = engine(&target.path().join("state")).await;
    let mut getting = b.add(Add { peers, ..Add::new(metainfo, target.path().to_owned()) }).await.unwrap();
    let disagree = |halt: &Halt| matches!(halt, Halt::Disagree(_)) && halt.to_string().contains("v1 and v2");
    let status = until(
        &mut getting,
        "failed",
        |status| matches!(&status.phase, Phase::Failed(halt) if disagree(halt)),
    )
    .await;
    assert_eq!(status.have, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_serves_one_after_the_other_and_counts_all_of_them() {
    let origin = tempdir().unwrap();
    let metainfo = content(origin.path(), "film", &[("", 300_001)], &[]);
    let a = engine(&origin.path().join("state")).await;
    let mut seeding = a.add(seed(&metainfo, origin.path())).await.unwrap();
    for round in 1..=3 {
        let target = tempdir().unwrap();
        let b = engine(&target.path().join("state")).await;
        let mut getting = b.add(get(&metainfo, target.path(), &a)).await.unwrap();
        complete(&mut getting).await;
        b.stop().await;
        let all = round * 300_001;
        until(&mut seeding, "left alone", |status| status.peers == 0 && status.uploaded == all).await;
    }
    a.stop().await;
    assert_eq!(seeding.status().uploaded, 3 * 300_001);
}
