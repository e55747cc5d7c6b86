//! What trackers hear of us (BEP 3), and which trackers do (S-20, S-24).

mod world;

use std::net::Ipv4Addr;
use std::sync::Arc;

use engine::{Add, Config, Engine, FetchError};
use tempfile::tempdir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use world::{
    Log, answer, at, complete, config, content, engine, get, seed, tracker, udp_tracker, until, value,
};

/// The announces of one event, in order.
fn of_event(log: &Log, event: &str) -> Vec<String> {
    log.lock().unwrap().iter().filter(|line| value(line, "event") == Some(event)).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_hears_of_start_completion_and_end_once_with_the_bytes_moved() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let a = engine(&origin.path().join("state")).await;
    let (url, log) = tracker(vec![at(&a)]).await;
    let (seeds_url, seeds_log) = tracker(Vec::new()).await;
    let metainfo = content(origin.path(), "film", &[("", 700_001)], &[]);
    a.add(Add { trackers: vec![vec![seeds_url]], ..seed(&metainfo, origin.path()) }).await.unwrap();
    let b = engine(&target.path().join("state")).await;
    let add = Add { trackers: vec![vec![url]], ..Add::new(metainfo.clone(), target.path().to_owned()) };
    let mut getting = b.add(add).await.unwrap();
    complete(&mut getting).await;
    b.stop().await;
    a.stop().await;

    let counts: Vec<usize> =
        ["started", "completed", "stopped"].map(|event| of_event(&log, event).len()).to_vec();
    assert_eq!(counts, [1, 1, 1], "{log:?}");
    let started = &of_event(&log, "started")[0];
    assert_eq!((value(started, "left"), value(started, "downloaded")), (Some("700001"), Some("0")));
    let stopped = &of_event(&log, "stopped")[0];
    assert_eq!((value(stopped, "left"), value(stopped, "downloaded")), (Some("0"), Some("700001")));
    // The seed began complete: no `completed`.
    let counts: Vec<usize> =
        ["started", "completed", "stopped"].map(|event| of_event(&seeds_log, event).len()).to_vec();
    assert_eq!(counts, [1, 0, 1], "{seeds_log:?}");
    assert_eq!(value(&of_event(&seeds_log, "stopped")[0], "uploaded"), Some("700001"));
}

// S-20, S-24
#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_may_name_a_local_tracker_only_as_a_plain_announce() {
    let origin = tempdir().unwrap();
    let (url, log) = tracker(Vec::new()).await;
    let a = engine(&origin.path().join("state")).await;
    let bad = format!("{url}?containers=x");
    let harmful = content(origin.path(), "one", &[("", 1000)], &[&bad]);
    let mut refused = a.add(seed(&harmful, origin.path())).await.unwrap();
    let says = |status: &engine::Status| status.trackers.first().and_then(|tracker| tracker.message.clone());
    let status = until(&mut refused, "refused", |status| says(status).is_some()).await;
    assert!(says(&status).unwrap().contains("127.0.0.1"), "{status:?}");
    assert!(log.lock().unwrap().is_empty());

    let plain = content(origin.path(), "two", &[("", 1000)], &[&url]);
    let mut allowed = a.add(seed(&plain, origin.path())).await.unwrap();
    until(&mut allowed, "announced", |status| status.trackers.first().is_some_and(|tracker| tracker.working))
        .await;
    assert_eq!(of_event(&log, "started").len(), 1);
}

/// A tracker over TLS with a certificate of its own for 127.0.0.1; its URL, and the certificate as PEM.
async fn tls_tracker(peers: Vec<std::net::SocketAddr>) -> (String, String) {
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let server =
        server.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://{}/announce", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream, &peers, &Log::default()).await;
            }
        }
    });
    (url, certified.cert.pem())
}

// S-26
#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_over_tls_is_believed_only_with_a_trusted_certificate() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let a = engine(&origin.path().join("state")).await;
    let (url, certificate) = tls_tracker(vec![at(&a)]).await;
    let metainfo = content(origin.path(), "film", &[("", 100_000)], &[&url]);
    a.add(seed(&metainfo, origin.path())).await.unwrap();

    let ca_file = target.path().join("ca.pem");
    std::fs::write(&ca_file, certificate).unwrap();
    let trusting = Config { ca_file: Some(ca_file), ..config(&target.path().join("state")) };
    let b = Engine::start(trusting).await.unwrap();
    let mut getting = b.add(Add::new(metainfo.clone(), target.path().to_owned())).await.unwrap();
    complete(&mut getting).await;

    let wary = engine(&target.path().join("other")).await;
    let error = wary.fetch(&url, 1000).await.unwrap_err();
    assert!(matches!(error, FetchError::Certificate { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_too_long_or_no_url_is_refused() {
    let dir = tempdir().unwrap();
    let a = engine(dir.path()).await;
    let (url, _) = tracker(Vec::new()).await;
    assert!(a.fetch(&url, 1000).await.unwrap().body.starts_with(b"d8:interval"));
    assert!(matches!(a.fetch(&url, 5).await, Err(FetchError::TooLong(5))));
    for url in ["ftp://x/", "file:///etc/passwd", "http://", "nonsense"] {
        assert!(matches!(a.fetch(url, 5).await, Err(FetchError::Url(_))), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tracker_does_not_hold_up_the_end() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/announce", silent.local_addr().unwrap());
    let metainfo = content(origin.path(), "film", &[("", 100_000)], &[]);
    let (a, b) = (engine(&origin.path().join("state")).await, engine(&target.path().join("state")).await);
    a.add(seed(&metainfo, origin.path())).await.unwrap();
    let add = Add { trackers: vec![vec![url]], ..get(&metainfo, target.path(), &a) };
    let mut getting = b.add(add).await.unwrap();
    complete(&mut getting).await;
    tokio::time::timeout(world::PATIENCE, b.stop()).await.unwrap();
    assert!(getting.has_ended());
}

/// The `event` numbers that a UDP tracker was told (BEP 15): 2 started, 1 completed, 3 stopped.
fn events(log: &world::UdpLog) -> Vec<u8> {
    log.lock().unwrap().iter().map(|request| request[83]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_udp_tracker_brings_peers_together_and_hears_of_start_completion_and_end() {
    let (origin, target) = (tempdir().unwrap(), tempdir().unwrap());
    let a = engine(&origin.path().join("state")).await;
    let (at, log) = udp_tracker(vec![world::at(&a)]).await;
    let metainfo = content(origin.path(), "film", &[("", 700_001)], &[&format!("udp://{at}/announce")]);
    let b = engine(&target.path().join("state")).await;
    a.add(seed(&metainfo, origin.path())).await.unwrap();
    let mut getting = b.add(Add::new(metainfo.clone(), target.path().to_owned())).await.unwrap();
    complete(&mut getting).await;
    a.stop().await;
    b.stop().await;
    let mut told = events(&log);
    told.sort_unstable();
    assert_eq!(told, [1, 2, 2, 3, 3]);
    let requests = log.lock().unwrap().clone();
    assert!(requests.iter().all(|request| request[16..36] == metainfo.info.wire_hash().0));
    // BEP 41
    assert!(requests.iter().all(|request| request[98..] == *b"\x02\x09/announce"));
}

// S-24
#[tokio::test(flavor = "multi_thread")]
async fn http_and_udp_trackers_stand_in_one_list_and_each_says_what_is_wrong() {
    let origin = tempdir().unwrap();
    let a = engine(&origin.path().join("state")).await;
    let (at, log) = udp_tracker(Vec::new()).await;
    let (web, web_log) = tracker(Vec::new()).await;
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tiers = [
        format!("udp://{at}/not-plain"),
        format!("udp://{nobody}/announce"),
        "udp://127.0.0.1/announce".into(),
        format!("udp://{at}/announce"),
        web,
    ];
    let tiers: Vec<&str> = tiers.iter().map(String::as_str).collect();
    let metainfo = content(origin.path(), "film", &[("", 1000)], &tiers);
    let mut seeding = a.add(seed(&metainfo, origin.path())).await.unwrap();
    let status = until(&mut seeding, "announced", |status| {
        status.trackers.get(3).is_some_and(|tracker| tracker.working)
    })
    .await;
    let message = |tier: usize| status.trackers[tier].message.clone().unwrap_or_default();
    assert!(message(0).contains("127.0.0.1 is not a public address"), "{status:?}");
    assert!(message(1).to_lowercase().contains("connection refused"), "{status:?}");
    assert!(message(2).contains("needs a host and a port"), "{status:?}");
    assert_eq!(events(&log), [2]);
    assert!(web_log.lock().unwrap().is_empty(), "one that answers is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn trackers_come_and_go_while_a_torrent_runs() {
    let origin = tempdir().unwrap();
    let a = engine(&origin.path().join("state")).await;
    let ((own, own_log), (added, added_log)) = (tracker(Vec::new()).await, tracker(Vec::new()).await);
    let added = format!("{added}?typed=1");
    let metainfo = content(origin.path(), "film", &[("", 1000)], &[&own]);
    let mut seeding = a.add(seed(&metainfo, origin.path())).await.unwrap();
    // From here on it is a record without a task.
    until(&mut seeding, "announced", |status| status.trackers.iter().any(|tracker| tracker.working)).await;
    seeding.add_trackers(vec![vec![added.clone()]]).await;
    until(&mut seeding, "announced to both", |status| {
        status.trackers.len() == 2 && status.trackers.iter().all(|tracker| tracker.working)
    })
    .await;
    seeding.remove_trackers(vec![own.clone()]).await;
    let status = until(&mut seeding, "without its own", |status| status.trackers.len() == 1).await;
    assert_eq!(status.trackers[0].url, added);
    seeding.replace_trackers(vec![vec![own.clone()]]).await;
    until(&mut seeding, "with its own alone", |status| {
        status.trackers.len() == 1 && status.trackers[0].url == own && status.trackers[0].working
    })
    .await;
    a.stop().await;
    let told = |log: &Log| ["started", "stopped"].map(|event| of_event(log, event).len());
    assert_eq!((told(&own_log), told(&added_log)), ([2, 2], [1, 1]));
}
