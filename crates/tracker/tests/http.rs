//! The HTTP front end over loopback sockets: the contract, then HTTP itself.

mod contract;
mod web;

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use announce::http::{announce_url, parse_reply, scrape_url};
use announce::{Announce, PeerFormat};
use bytes::Bytes;
use contract::{HASH, contract_tests, downloader};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracker::http::{NoSite, Page, Site, serve};
use tracker::{Config, Tracker};
use web::{Web, ask};

/// A server on a runtime of its own, and one connection to it that is kept alive.
struct Http {
    tracker: Arc<Tracker>,
    connection: TcpStream,
    _runtime: Runtime,
}

impl Web for Http {
    fn start(config: Config) -> Self {
        let tracker = Arc::new(Tracker::new(config, [7; 16]));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        runtime.spawn(serve(listener, Arc::clone(&tracker), Arc::new(NoSite), std::future::pending()));
        Self { tracker, connection, _runtime: runtime }
    }

    fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    fn get(&mut self, target: &str, from: Option<IpAddr>) -> Vec<u8> {
        ask(&mut self.connection, target, from).1
    }
}

contract_tests!(Http);

/// A server on the test's own runtime.
struct Server {
    at: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

struct OneFile;

impl Site for OneFile {
    fn page(&self, path: &str) -> Option<Page> {
        (path == "/file.torrent").then(|| Page {
            content_type: "application/x-bittorrent",
            disposition: Some("attachment; filename=\"file.torrent\"".into()),
            body: Bytes::from(vec![7; 300_000]),
        })
    }
}

impl Server {
    async fn start(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let tracker = Arc::new(Tracker::new(config, [7; 16]));
        let task = tokio::spawn(serve(listener, tracker, Arc::new(OneFile), stopped));
        Self { at, stop: Some(stop), task }
    }

    async fn connect(&self) -> tokio::net::TcpStream {
        tokio::net::TcpStream::connect(self.at).await.unwrap()
    }

    /// Sends bytes and gives all that comes back until the server closes.
    async fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut connection = self.connect().await;
        // A refusal may come, and the connection end, before all is sent.
        let _ = connection.write_all(request.as_ref()).await;
        read_to_end(&mut connection).await
    }

    async fn get(&self, target: &str) -> String {
        self.ask(format!("GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n")).await
    }
}

async fn read_to_end(connection: &mut tokio::net::TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn target(announce: &Announce) -> String {
    announce_url("/announce", announce).unwrap()
}

#[tokio::test]
async fn bad_announces_get_a_bencoded_reason() {
    // T-02
    let server = Server::start(Config::default()).await;
    let good = target(&downloader(1));
    let long = format!("/announce?x={}", "a".repeat(5000));
    let cases = [
        ("/announce", "missing parameter info_hash"),
        (&*long, "missing parameter info_hash"),
        (&*good.replace("port=1", "port=0"), "port must be from 1 to 65535"),
        (&*good.replace("port=1", "port=65536"), "port must be from 1 to 65535"),
        (&*good.replace("left=100", "left=18446744073709551616"), "left is not a valid number"),
        (&*good.replace("%AB&", "%A&"), "info_hash must be 20 percent-encoded bytes"),
        (&*format!("{good}&info_hash=x"), "parameter info_hash given more than once"),
        ("/scrape", "name the torrents to scrape with info_hash"),
        ("/scrape?info_hash=x", "info_hash must be 20 percent-encoded bytes"),
    ];
    for (target, reason) in cases {
        let answer = server.get(target).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{target}: {answer}");
        assert_eq!(body(&answer), format!("d14:failure reason{}:{reason}e", reason.len()), "{target}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_the_connection_ends() {
    let server = Server::start(Config::default()).await;
    for (request, status) in [
        ("\x16\x03\x01\x02\x00".to_owned(), "400"),
        ("NONSENSE\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".to_owned(), "400"),
        ("DELETE / HTTP/1.1\r\n\r\n".to_owned(), "405"),
        (format!("GET /announce?{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20)), "414"),
        (format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(20_000)), "431"),
        ("GET / HTTP/2.0\r\n\r\n".to_owned(), "505"),
    ] {
        let answer = server.ask(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.30}: {answer}");
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(Config::default()).await;
    let one = |number| format!("GET {} HTTP/1.1\r\n\r\n", target(&downloader(number)));
    let mut requests: String = (1..=200).map(one).collect();
    requests.push_str("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n");
    let answer = server.ask(requests).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 201);
    assert!(answer.ends_with("\r\n\r\nok\n"));
    let counts: Vec<_> = (1..=200).map(|number| answer.find(&format!("10:incompletei{number}e"))).collect();
    assert!(counts.is_sorted() && counts[0].is_some());
}

#[tokio::test]
async fn a_request_in_pieces_and_one_in_absolute_form_are_understood() {
    let server = Server::start(Config::default()).await;
    let mut connection = server.connect().await;
    connection.set_nodelay(true).unwrap();
    for part in ["GET http://t.example", "/health", "z HTTP/1.1\r\nConnec", "tion: close\r\n\r\n"] {
        connection.write_all(part.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(read_to_end(&mut connection).await.ends_with("ok\n"));
}

#[tokio::test]
async fn old_clients_and_head_requests_are_served() {
    let server = Server::start(Config::default()).await;
    assert!(server.ask("GET /healthz HTTP/1.0\r\n\r\n").await.ends_with("Connection: close\r\n\r\nok\n"));
    let head = server.ask("HEAD /file.torrent HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(head.contains("Content-Length: 300000\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let mut kept = server.connect().await;
    kept.write_all(b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    let answer = read_to_end(&mut kept).await;
    assert!(answer.contains("Connection: keep-alive\r\n") && answer.matches("ok\n").count() == 2, "{answer}");
}

#[tokio::test]
async fn pages_come_from_the_site_and_the_rest_is_not_found() {
    let server = Server::start(Config::default()).await;
    let page = server.get("/file.torrent?x=1").await;
    assert!(page.contains("Content-Type: application/x-bittorrent\r\n"));
    assert!(page.contains("Content-Disposition: attachment; filename=\"file.torrent\"\r\n"));
    assert_eq!(body(&page).len(), 300_000);
    assert!(server.get("/nothing").await.starts_with("HTTP/1.1 404 Not Found\r\n"));
    server.get(&target(&downloader(1))).await;
    for path in ["/", "/stats"] {
        let stats = server.get(path).await;
        assert!(body(&stats).contains("peers     1\n"), "{stats}");
    }
}

#[tokio::test]
async fn dictionaries_are_sent_to_those_who_want_them() {
    let server = Server::start(Config::default()).await;
    server.get(&target(&downloader(1))).await;
    let long = Announce { format: PeerFormat::Dictionary, ..downloader(2) };
    let answer = server.get(&target(&long)).await;
    assert!(body(&answer).contains("5:peersld2:ip9:127.0.0.14:porti1eee"), "{answer}");
}

#[tokio::test]
async fn the_address_is_that_of_the_connection_whatever_a_stranger_says() {
    // T-09, S-51
    let server = Server::start(Config::default()).await;
    let first = format!("{}&ip=192.0.2.9", target(&downloader(1)));
    server
        .ask(format!("GET {first} HTTP/1.1\r\nX-Forwarded-For: 192.0.2.8\r\nConnection: close\r\n\r\n"))
        .await;
    let answer = server.get(&target(&downloader(2))).await;
    let reply = parse_reply(body(&answer).as_bytes()).unwrap();
    assert_eq!(reply.peers, ["127.0.0.1:1".parse().unwrap()]);
}

#[tokio::test(start_paused = true)]
async fn a_trickle_of_bytes_is_cut_off() {
    let server = Server::start(Config::default()).await;
    let mut connection = server.connect().await;
    let start = Instant::now();
    let mut byte = [0];
    for letter in b"GET / HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".iter().cycle() {
        if connection.write_all(&[*letter]).await.is_err() {
            break;
        }
        let wait = tokio::time::timeout(Duration::from_secs(1), connection.read(&mut byte));
        if matches!(wait.await, Ok(Ok(0) | Err(_))) {
            break;
        }
    }
    assert!(start.elapsed() <= Duration::from_secs(12), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed() {
    let server = Server::start(Config::default()).await;
    let mut silent = server.connect().await;
    let mut answered = server.connect().await;
    answered.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");
    assert!(read_to_end(&mut answered).await.ends_with("ok\n"));
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_place() {
    let server = Server::start(Config { max_connections: 2, ..Config::default() }).await;
    let (first, _second) = (server.connect().await, server.connect().await);
    let mut third = server.connect().await;
    third.write_all(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
    drop(first);
    assert!(read_to_end(&mut third).await.ends_with("ok\n"));
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_then_the_server() {
    let mut server = Server::start(Config::default()).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).await.unwrap();
    drop(server.stop.take());
    server.task.await.unwrap();
    assert!(read_to_end(&mut idle).await.ends_with("ok\n"));
    assert!(tokio::net::TcpStream::connect(server.at).await.is_err());
}

#[tokio::test]
async fn a_thousand_clients_at_once_are_all_answered() {
    let server = Arc::new(Server::start(Config::default()).await);
    let clients = (1..=1000).map(|number| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            body(&server.get(&target(&downloader(number))).await).starts_with("d8:completei0e")
        })
    });
    for client in clients.collect::<Vec<_>>() {
        assert!(client.await.unwrap());
    }
    let answer = server.get(&scrape_url("/announce", &[HASH]).unwrap()).await;
    assert!(body(&answer).contains("10:incompletei1000e"), "{answer}");
}
