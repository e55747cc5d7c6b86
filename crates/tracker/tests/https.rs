//! The front end over TLS: the contract, then TLS itself.

mod contract;
mod web;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::contract_tests;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned, SupportedProtocolVersion,
};
use tracker::http::{NoSite, Page, Site, serve_tls};
use tracker::{Config, Tracker};
use web::{Web, ask};

const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

/// A server's side and who trusts it.
fn keys(versions: &[&'static SupportedProtocolVersion]) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from(cert);
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(VERSIONS);
    let server = server.unwrap().with_no_client_auth();
    let server = server.with_single_cert(vec![certificate.clone()], key.into()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    (Arc::new(server), Arc::new(client.with_root_certificates(roots).with_no_client_auth()))
}

fn name() -> ServerName<'static> {
    "localhost".try_into().unwrap()
}

/// A server on a runtime of its own, and one connection to it that is kept alive.
struct Https {
    tracker: Arc<Tracker>,
    connection: StreamOwned<ClientConnection, std::net::TcpStream>,
    _runtime: Runtime,
}

impl Web for Https {
    fn start(config: Config) -> Self {
        let tracker = Arc::new(Tracker::new(config, [7; 16]));
        let (server, client) = keys(VERSIONS);
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let never = std::future::pending();
        runtime.spawn(serve_tls(listener, server, Arc::clone(&tracker), Arc::new(NoSite), never));
        let connection = StreamOwned::new(ClientConnection::new(client, name()).unwrap(), socket);
        Self { tracker, connection, _runtime: runtime }
    }

    fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    fn get(&mut self, target: &str, from: Option<IpAddr>) -> Vec<u8> {
        ask(&mut self.connection, target, from).1
    }
}

contract_tests!(Https);

/// A server on the test's own runtime.
struct Server {
    at: SocketAddr,
    client: Arc<ClientConfig>,
    _tasks: JoinSet<()>,
}

struct OneFile;

impl Site for OneFile {
    fn page(&self, path: &str) -> Option<Page> {
        let body = Bytes::from(vec![7; 3_000_000]);
        (path == "/file").then_some(Page { content_type: "text/plain", disposition: None, body })
    }
}

impl Server {
    async fn start(versions: &[&'static SupportedProtocolVersion]) -> Self {
        let (server, client) = keys(versions);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let tracker = Arc::new(Tracker::new(Config::default(), [7; 16]));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_tls(listener, server, tracker, Arc::new(OneFile), std::future::pending()));
        Self { at, client, _tasks: tasks }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let connector = TlsConnector::from(Arc::clone(&self.client));
        connector.connect(name(), self.tcp().await).await.unwrap()
    }

    /// All that comes back until the server says that it is the end.
    async fn get(&self, path: &str) -> Vec<u8> {
        let mut connection = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn both_versions_are_spoken_and_the_end_is_said() {
    for version in [&TLS12, &TLS13] {
        let server = Server::start(&[version]).await;
        assert!(server.get("/healthz").await.ends_with(b"ok\n"), "{version:?}");
    }
}

#[tokio::test]
async fn a_large_page_comes_whole() {
    let server = Server::start(VERSIONS).await;
    let answer = server.get("/file").await;
    assert!(answer.len() > 3_000_000 && answer.ends_with(&vec![7; 3_000_000]));
}

// T-10
#[tokio::test]
async fn hundreds_of_handshakes_that_never_end_stop_nobody() {
    let server = Server::start(VERSIONS).await;
    let mut half_open = Vec::new();
    for _ in 0..400 {
        let mut socket = server.tcp().await;
        // The beginning of a hello.
        socket.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        half_open.push(socket);
    }
    assert!(server.get("/healthz").await.ends_with(b"ok\n"));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_never_ends_is_cut_off() {
    let server = Server::start(VERSIONS).await;
    let (start, mut silent) = (Instant::now(), server.tcp().await);
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(start.elapsed() <= Duration::from_secs(12), "{:?}", start.elapsed());
}

#[tokio::test]
async fn who_speaks_no_tls_is_sent_away() {
    let server = Server::start(VERSIONS).await;
    let mut plain = server.tcp().await;
    plain.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}
