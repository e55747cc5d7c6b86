//! Downloads from web servers over real sockets (BEP 17, 19).

mod world;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::{Add, Config, Status, Torrent};
use metainfo::Metainfo;
use tempfile::{TempDir, tempdir};
use world::web::{self, Web};
use world::{at, complete, config, content, engine, same, seed, until};

const FILES: [(&str, usize); 5] =
    [("a file.bin", 300_000), ("empty", 0), ("fünf/z#1%", 150_000), ("fünf/ÄÖ ü?.txt", 7), ("last", 33_000)];

/// A download that knows nobody but these web seeds.
fn from_web(metainfo: &Arc<Metainfo>, target: &TempDir, urls: &[String]) -> Add {
    let web_seeds = urls.to_vec();
    Add { web_seeds, ..Add::new(metainfo.clone(), target.path().to_owned()) }
}

fn assert_same(origin: &Path, target: &Path, name: &str) {
    for (path, _) in FILES {
        assert!(same(&origin.join(name).join(path), &target.join(name).join(path)), "{path}");
    }
}

/// The same torrent with another key outside its info dictionary.
fn with_key(metainfo: &Metainfo, key: &str, url: &str) -> Arc<Metainfo> {
    let info = [b"4:info".as_slice(), metainfo.info.raw()].concat();
    let entry = format!("{}:{key}{}:{url}", key.len(), url.len()).into_bytes();
    let keys = if key < "info" { [entry, info] } else { [info, entry] };
    Arc::new(Metainfo::parse(&[b"d".to_vec(), keys.concat(), b"e".to_vec()].concat()).unwrap())
}

async fn complains(torrent: &mut Torrent, words: &str) -> Arc<Status> {
    let says = |status: &Status| {
        status.web.iter().any(|web| web.message.as_ref().is_some_and(|message| message.contains(words)))
    };
    until(torrent, words, says).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_of_many_files_comes_whole_from_a_web_server_alone() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "my dist", &FILES, &[]);
    let server = Web::files(origin.path().to_owned()).await;
    let a = engine(&target.path().join("state")).await;
    let mut got = a.add(from_web(&metainfo, &target, &[server.url("/")])).await.unwrap();
    let status = complete(&mut got).await;
    assert_same(origin.path(), target.path(), "my dist");
    let total: usize = FILES.iter().map(|(_, length)| length).sum();
    assert_eq!((status.from_web, status.wasted), (total as u64, 0));
    assert!(server.connections() <= 2, "{} connections", server.connections());
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.head.contains("accept-encoding: identity\r\n")));
    assert!(!requests.iter().any(|request| request.target.contains("empty")));
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_for_every_file() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "dist", &FILES, &[]);
    let mirror = Web::files(origin.path().to_owned()).await;
    let to = mirror.url("");
    let server = Web::start(move |request| {
        web::status("302 Found", &format!("Location: {to}{}\r\n", request.target.replace("/pub", "")))
    })
    .await;
    let a = engine(&target.path().join("state")).await;
    let mut got = a.add(from_web(&metainfo, &target, &[server.url("/pub/")])).await.unwrap();
    complete(&mut got).await;
    assert_same(origin.path(), target.path(), "dist");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_server_is_banned_and_an_honest_one_gives_the_rest() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 400_000)], &[]);
    let liar = Web::start(|request| web::part(&vec![7; 400_000], request)).await;
    let honest = Web::files(origin.path().to_owned()).await;
    let a = engine(&target.path().join("state")).await;
    let mut got =
        a.add(from_web(&metainfo, &target, &[liar.url("/film"), honest.url("/film")])).await.unwrap();
    complete(&mut got).await;
    let status = complains(&mut got, "not the torrent's").await;
    assert!(same(&origin.path().join("film"), &target.path().join("film")));
    assert_eq!(status.web.iter().map(|web| web.out).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_alone_are_asked_while_they_give_enough() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 3_000_000)], &[]);
    let server = Web::files(origin.path().to_owned()).await;
    let a = engine(&origin.path().join("state")).await;
    a.add(seed(&metainfo, origin.path())).await.unwrap();
    let b = engine(&target.path().join("state")).await;
    let add = Add { peers: vec![at(&a)], ..from_web(&metainfo, &target, &[server.url("/film")]) };
    let mut got = b.add(add).await.unwrap();
    assert_eq!(complete(&mut got).await.from_web, 0);
    assert!(server.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_to_be_asked_later_is_asked_later() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 100_000)], &[]);
    let (root, count) = (origin.path().to_owned(), AtomicUsize::new(0));
    let server = Web::start(move |request| match count.fetch_add(1, Ordering::Relaxed) {
        0 => web::status("503 Service Unavailable", "Retry-After: 1\r\n"),
        _ => web::file(&root, request),
    })
    .await;
    let a = engine(&target.path().join("state")).await;
    let mut got = a.add(from_web(&metainfo, &target, &[server.url("/film")])).await.unwrap();
    complains(&mut got, "asked again in 1 s").await;
    complete(&mut got).await;
    assert!(same(&origin.path().join("film"), &target.path().join("film")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_file_or_with_another_is_left_and_says_why() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 100_000)], &[]);
    let missing = Web::files(origin.path().join("nowhere")).await;
    let longer = Web::start(|request| web::part(&vec![7; 100_001], request)).await;
    let stubborn = Web::start(|_| web::whole(&vec![7; 200_000])).await;
    let a = engine(&target.path().join("state")).await;
    let urls = [missing.url("/film"), longer.url("/film"), stubborn.url("/film")];
    let mut got = a.add(from_web(&metainfo, &target, &urls)).await.unwrap();
    let status =
        until(&mut got, "all out", |status| !status.web.is_empty() && status.web.iter().all(|web| web.out))
            .await;
    let said: Vec<&str> = status.web.iter().filter_map(|web| web.message.as_deref()).collect();
    assert_eq!(said[0], "HTTP status 404");
    assert_eq!(said[1], "the file there has 100001 bytes, the torrent's has 100000");
    assert_eq!(said[2], "the file there has 200000 bytes, the torrent's has 100000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_knows_no_ranges_gives_a_short_file() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "note", &[("", 20_000)], &[]);
    let body = std::fs::read(origin.path().join("note")).unwrap();
    let server = Web::start(move |_| web::whole(&body)).await;
    let a = engine(&target.path().join("state")).await;
    let mut got = a.add(from_web(&metainfo, &target, &[server.url("/note")])).await.unwrap();
    complete(&mut got).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_torrents_script_is_asked_by_piece() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 100_000)], &[]);
    let body = std::fs::read(origin.path().join("film")).unwrap();
    let count = AtomicUsize::new(0);
    let server = Web::start(move |request| {
        if count.fetch_add(1, Ordering::Relaxed) == 0 {
            return b"HTTP/1.1 503 Busy\r\nContent-Length: 1\r\n\r\n1".to_vec();
        }
        let value = |key| world::value(&request.target, key).unwrap();
        let piece: usize = value("piece").parse().unwrap();
        let (first, last) = value("ranges").split_once('-').unwrap();
        let at = |text: &str| piece * 32_768 + text.parse::<usize>().unwrap();
        web::whole(&body[at(first)..=at(last)])
    })
    .await;
    let metainfo = with_key(&metainfo, "httpseeds", &server.url("/seed.php"));
    let a = engine(&target.path().join("state")).await;
    let add = Add {
        local_server: Some(("127.0.0.1".into(), server.at.port())),
        ..Add::new(metainfo, target.path().to_owned())
    };
    let mut got = a.add(add).await.unwrap();
    complains(&mut got, "asked again in 1 s").await;
    complete(&mut got).await;
    assert!(same(&origin.path().join("film"), &target.path().join("film")));
}

// S-20, S-24
#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_may_not_send_us_to_a_local_server_that_nobody_typed() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 100_000)], &[]);
    let server = Web::files(origin.path().to_owned()).await;
    let named = with_key(&metainfo, "url-list", &server.url("/film"));
    let a = engine(&target.path().join("state")).await;
    let mut refused = a.add(Add::new(named.clone(), target.path().to_owned())).await.unwrap();
    let status = complains(&mut refused, "not a public address").await;
    assert!(status.web[0].out && server.requests().is_empty());
    refused.stop().await;

    let permissive = Config { allow_local: true, ..config(&target.path().join("other")) };
    let b = engine::Engine::start(permissive).await.unwrap();
    let mut got = b.add(Add::new(named, target.path().to_owned())).await.unwrap();
    complete(&mut got).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_limit_holds_for_web_servers_too() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 600_000)], &[]);
    let server = Web::files(origin.path().to_owned()).await;
    let limited = Config { download_limit: Some(300_000), ..config(&target.path().join("state")) };
    let a = engine::Engine::start(limited).await.unwrap();
    let mut got = a.add(from_web(&metainfo, &target, &[server.url("/film")])).await.unwrap();
    let first = until(&mut got, "begun", |status| status.from_web > 0).await;
    let begun = tokio::time::Instant::now();
    complete(&mut got).await;
    let least = (600_000 - first.from_web) * 1000 / 300_000;
    let took = begun.elapsed() + std::time::Duration::from_millis(600);
    assert!(took >= std::time::Duration::from_millis(least), "{took:?} for what takes {least} ms");
}
