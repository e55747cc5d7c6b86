//! When torrents have a task, and when a record is all there is of them.

use std::path::Path;

use metainfo::{Builder, Format, Metainfo, NewFile};
use sha1::{Digest, Sha1};

use super::*;
use crate::config::Config;

/// A session with one complete torrent.
async fn seeding(dir: &Path, trackers: Vec<Vec<String>>) -> (Session, Torrent) {
    seeding_with(dir, trackers, false).await
}

async fn seeding_with(dir: &Path, trackers: Vec<Vec<String>>, private: bool) -> (Session, Torrent) {
    let data = [7; 1000];
    std::fs::write(dir.join("film"), data).unwrap();
    let builder = Builder {
        name: "film".into(),
        piece_length: 16 * 1024,
        format: Format::V1,
        single_file: true,
        files: vec![NewFile { path: vec!["film".into()], length: 1000, ..NewFile::default() }],
        v1_pieces: Sha1::digest(data).to_vec(),
        private,
        source: None,
        similar: Vec::new(),
        update_url: None,
        outer: metainfo::Outer::default(),
    };
    let metainfo = Arc::new(Metainfo::parse(&builder.encode().unwrap()).unwrap());
    let context = Arc::new(Context::new(Config::new(dir.join("state")), 1).await.unwrap());
    let mut session = Session::new(context, mpsc::channel(1).0.downgrade());
    let add = Add { seed_only: true, trackers, ..Add::new(metainfo, dir.to_owned()) };
    let torrent = session.add(add).unwrap();
    (session, torrent)
}

/// Waits until a task ends.
async fn settle(session: &mut Session) {
    let ended = session.tasks.join_next_with_id().await.unwrap();
    session.ended(ended);
}

fn is_idle(session: &Session, torrent: &Torrent) -> bool {
    matches!(session.torrents[&torrent.hash()].seat, Seat::Idle(_))
}

#[tokio::test]
async fn a_complete_torrent_without_peers_has_no_task_until_somebody_wants_something() {
    let dir = tempfile::tempdir().unwrap();
    let (mut session, mut torrent) = seeding(dir.path(), Vec::new()).await;
    settle(&mut session).await;
    assert!(is_idle(&session, &torrent) && session.due.is_empty());
    assert!(matches!(torrent.status().phase, Phase::Seeding));
    session.obey(Command::Tell(torrent.hash(), Box::new(handle::Command::Pause)));
    while !matches!(torrent.status().phase, Phase::Paused) {
        assert!(torrent.changed().await);
    }
    session.obey(Command::Stop(torrent.hash()));
    settle(&mut session).await;
    assert!(session.torrents.is_empty() && torrent.has_ended());
}

#[tokio::test]
async fn an_idle_torrent_that_is_stopped_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (mut session, torrent) = seeding(dir.path(), Vec::new()).await;
    settle(&mut session).await;
    session.stop().await;
    assert!(session.torrents.is_empty());
    assert!(matches!(torrent.status().phase, Phase::Stopped));
}

#[tokio::test(start_paused = true)]
async fn an_idle_torrent_announces_when_that_is_due() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = "http://127.0.0.1:1/announce".to_owned();
    let (mut session, torrent) = seeding(dir.path(), vec![vec![nobody]]).await;
    settle(&mut session).await;
    let &(first, _) = session.due.first().unwrap();
    tokio::time::advance(first).await;
    session.tick();
    assert!(!is_idle(&session, &torrent) && session.due.is_empty());
    settle(&mut session).await;
    assert!(is_idle(&session, &torrent));
    assert!(session.due.first().unwrap().0 > first);
}

// BEP 27
#[tokio::test]
async fn neighbours_hear_of_every_torrent_but_private_ones_until_it_ends() {
    for private in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (mut session, torrent) = seeding_with(dir.path(), Vec::new(), private).await;
        settle(&mut session).await;
        assert!(is_idle(&session, &torrent));
        let quiet = |session: &Session| session.context.local.as_ref().unwrap().is_quiet();
        assert_eq!(quiet(&session), private);
        session.stop().await;
        assert!(quiet(&session));
    }
}

#[tokio::test]
async fn a_neighbour_wakes_an_idle_torrent() {
    let dir = tempfile::tempdir().unwrap();
    let (mut session, torrent) = seeding(dir.path(), Vec::new()).await;
    settle(&mut session).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let heard = handle::Command::Heard(listener.local_addr().unwrap());
    session.obey(Command::Tell(torrent.hash(), Box::new(heard)));
    let (_stream, _) = listener.accept().await.unwrap();
    assert!(!is_idle(&session, &torrent));
}
