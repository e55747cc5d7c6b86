//! What the tests of the engine share: content made from a seed, its torrent, engines on loopback, and a tiny tracker.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod web;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{Add, Config, Engine, Families, Listen, Phase, Status, Torrent};
use metainfo::{Builder, Format, Metainfo, NewFile};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// Longer than any test needs, so that a hang ends as a failure with words.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes that look random and are always the same.
pub(crate) fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| rng.u8(..)).collect()
}

/// Writes files of these lengths below `dir/name` (one file without a path: `dir/name` itself), and makes their torrent.
pub(crate) fn content(dir: &Path, name: &str, files: &[(&str, usize)], tiers: &[&str]) -> Arc<Metainfo> {
    const PIECE: usize = 32 * 1024;
    let mut all = Vec::new();
    let mut list = Vec::new();
    for (number, &(path, length)) in files.iter().enumerate() {
        let data = bytes(length, number as u64);
        let full = if path.is_empty() { dir.join(name) } else { dir.join(name).join(path) };
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, &data).unwrap();
        all.extend(data);
        let path =
            if path.is_empty() { vec![name.to_owned()] } else { path.split('/').map(Into::into).collect() };
        list.push(NewFile { path, length: length as u64, ..NewFile::default() });
    }
    let builder = Builder {
        name: name.into(),
        piece_length: u32::try_from(PIECE).unwrap(),
        format: Format::V1,
        single_file: files[0].0.is_empty(),
        files: list,
        v1_pieces: all.chunks(PIECE).flat_map(|piece| Sha1::digest(piece).to_vec()).collect(),
        private: false,
        source: None,
        similar: Vec::new(),
        update_url: None,
        outer: metainfo::Outer {
            tiers: tiers.iter().map(|url| vec![(*url).to_owned()]).collect(),
            ..Default::default()
        },
    };
    Arc::new(Metainfo::parse(&builder.encode().unwrap()).unwrap())
}

/// Settings of an engine on loopback.
pub(crate) fn config(state_dir: &Path) -> Config {
    Config {
        listen: Listen { ip: Some(Ipv4Addr::LOCALHOST.into()), port: Some(0) },
        families: Families::V4,
        ..Config::new(state_dir.to_owned())
    }
}

pub(crate) async fn engine(state_dir: &Path) -> Engine {
    Engine::start(config(state_dir)).await.unwrap()
}

/// Where an engine listens.
pub(crate) fn at(engine: &Engine) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, engine.port()).into()
}

pub(crate) fn seed(metainfo: &Arc<Metainfo>, folder: &Path) -> Add {
    Add { seed_only: true, ..Add::new(metainfo.clone(), folder.to_owned()) }
}

pub(crate) fn get(metainfo: &Arc<Metainfo>, folder: &Path, from: &Engine) -> Add {
    Add { peers: vec![at(from)], ..Add::new(metainfo.clone(), folder.to_owned()) }
}

/// Waits for a status.
pub(crate) async fn until(
    torrent: &mut Torrent,
    what: &str,
    mut is: impl FnMut(&Status) -> bool,
) -> Arc<Status> {
    let waiting = async {
        loop {
            let status = torrent.status();
            if is(&status) {
                return status;
            }
            assert!(torrent.changed().await, "ended before {what}: {status:?}");
        }
    };
    let found = tokio::time::timeout(PATIENCE, waiting).await;
    found.unwrap_or_else(|_| panic!("never {what}: {:?}", torrent.status()))
}

pub(crate) async fn complete(torrent: &mut Torrent) -> Arc<Status> {
    until(torrent, "complete", |status| matches!(status.phase, Phase::Seeding)).await
}

pub(crate) fn same(a: &Path, b: &Path) -> bool {
    fs::read(a).unwrap() == fs::read(b).unwrap()
}

/// Requests a tiny tracker has had, as path and query.
pub(crate) type Log = Arc<Mutex<Vec<String>>>;

/// Answers one request: all requests get `peers`.
pub(crate) async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, peers: &[SocketAddr], log: &Log) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        request.push(byte);
    }
    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
    log.lock().unwrap().push(line.split(' ').nth(1).unwrap_or_default().to_owned());
    let mut compact = Vec::new();
    for peer in peers {
        let SocketAddr::V4(peer) = peer else { continue };
        compact.extend(peer.ip().octets());
        compact.extend(peer.port().to_be_bytes());
    }
    let mut body = format!("d8:intervali1800e5:peers{}:", compact.len()).into_bytes();
    body.extend(compact);
    body.push(b'e');
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _closed = stream.write_all(&[head.into_bytes(), body].concat()).await;
    let _closed = stream.shutdown().await;
}

/// A tracker that always names `peers`; its announce URL and its log.
pub(crate) async fn tracker(peers: Vec<SocketAddr>) -> (String, Log) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    let log = Log::default();
    let shared = log.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            answer(stream, &peers, &shared).await;
        }
    });
    (url, log)
}

/// What a tiny UDP tracker has been sent, connect requests apart (BEP 15).
pub(crate) type UdpLog = Arc<Mutex<Vec<Vec<u8>>>>;

/// A UDP tracker that always names `peers`; its address and its log.
pub(crate) async fn udp_tracker(peers: Vec<SocketAddr>) -> (SocketAddr, UdpLog) {
    const CONNECTION: [u8; 8] = *b"connects";
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = socket.local_addr().unwrap();
    let log = UdpLog::default();
    let shared = log.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 2000];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let request = &buffer[..length];
            let mut reply = request[8..16].to_vec();
            if request[8..12] == [0; 4] {
                reply.extend(CONNECTION);
            } else if request[..8] == CONNECTION {
                shared.lock().unwrap().push(request.to_vec());
                reply.extend([1800_u32, 0, 0].map(u32::to_be_bytes).concat());
                for peer in &peers {
                    let SocketAddr::V4(peer) = peer else { continue };
                    reply.extend(peer.ip().octets());
                    reply.extend(peer.port().to_be_bytes());
                }
            } else {
                reply = [&[0, 0, 0, 3], &request[12..16], b"who are you?"].concat();
            }
            socket.send_to(&reply, from).await.unwrap();
        }
    });
    (at, log)
}

/// A value of a query string.
pub(crate) fn value<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split(['?', '&']).find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}
