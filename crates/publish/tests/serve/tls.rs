//! HTTPS: HTTP/1.1 and HTTP/2 by what the client proposes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use publish::content::Part;
use publish::serve::Limits;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::{Reply, Running, file, on_disk, page, soon, start_with};

/// A server's configuration, and a client's that trusts it.
fn configs(protocol: &[u8]) -> (Arc<ServerConfig>, ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let certificate = made.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let mut server =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"acme-tls/1".to_vec()];
    let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![protocol.to_vec()];
    (Arc::new(server), client)
}

async fn connect(server: &Running, client: ClientConfig) -> TlsStream<tokio::net::TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(client)).connect(name, server.connect().await).await.unwrap()
}

async fn speak_two(server: &Running, client: ClientConfig) -> SendRequest<Empty<Bytes>> {
    let io = TokioIo::new(connect(server, client).await);
    // Its windows are small, so that what it does not read is soon not sent.
    let mut builder = Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(65_535).initial_connection_window_size(1 << 20);
    let (sender, connection) = builder.handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("https://localhost{path}")).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn http_2_is_spoken_with_those_who_propose_it() {
    let folder = tempfile::tempdir().unwrap();
    let (part, bytes) = on_disk(folder.path(), 3_000_000);
    let (found, sent) = file([part]);
    let (config, client) = configs(b"h2");
    let server = start_with([("/", page("hello")), ("/file", found)], Limits::default(), Some(config)).await;
    let mut sender = speak_two(&server, client).await;

    let reply = sender.send_request(request("/")).await.unwrap();
    assert_eq!((reply.status(), reply.version()), (StatusCode::OK, http::Version::HTTP_2));
    assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), "hello");

    // More at once than one connection is read for.
    let replies: Vec<_> = (0..10).map(|_| sender.send_request(request("/file"))).collect();
    let mut bodies = tokio::task::JoinSet::new();
    for reply in replies {
        bodies.spawn(async { reply.await.unwrap().into_body().collect().await.unwrap().to_bytes() });
    }
    while let Some(body) = soon(bodies.join_next()).await {
        assert!(body.unwrap() == bytes);
    }
    assert_eq!(sent.load(Relaxed), 30_000_000);

    let mut head = request("/file");
    *head.method_mut() = http::Method::HEAD;
    let reply = sender.send_request(head).await.unwrap();
    assert_eq!(reply.headers()["content-length"], "3000000");
    assert!(reply.into_body().collect().await.unwrap().to_bytes().is_empty());

    let mut part = request("/file");
    part.headers_mut().insert("range", "bytes=1000000-1999999".parse().unwrap());
    let reply = sender.send_request(part).await.unwrap();
    assert_eq!(reply.status(), StatusCode::PARTIAL_CONTENT);
    assert!(reply.into_body().collect().await.unwrap().to_bytes() == bytes[1_000_000..2_000_000]);
}

#[tokio::test]
async fn http_2_clients_that_take_nothing_or_want_nothing_are_hung_up_on() {
    let short = Duration::from_millis(200);
    let (found, sent) = file([Part::Zeros(64 << 20)]);
    let (config, client) = configs(b"h2");
    let limits = Limits { head: short, idle: short, stall: short, ..Limits::default() };
    let server = start_with([("/file", found)], limits, Some(config)).await;
    let mut sender = speak_two(&server, client.clone()).await;
    let mut body = sender.send_request(request("/file")).await.unwrap().into_body();
    let ended = async {
        while server.counts.open.load(Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(ended).await;
    let broken = async { while body.frame().await.is_some_and(|frame| frame.is_ok()) {} };
    soon(broken).await;
    assert!(sent.load(Relaxed) < 2 << 20);

    let sender = speak_two(&server, client).await;
    let closed = async {
        while !sender.is_closed() {
            tokio::task::yield_now().await;
        }
    };
    soon(closed).await;
    assert_eq!(server.counts.closed.load(Relaxed), 2);
}

#[tokio::test]
async fn http_1_is_spoken_with_those_who_propose_it_or_nothing() {
    let (config, client) = configs(b"http/1.1");
    let server = start_with([("/", page("hello"))], Limits::default(), Some(config)).await;
    let mut silent = client.clone();
    silent.alpn_protocols.clear();
    for client in [client, silent] {
        let mut stream = connect(&server, client).await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut reply = Vec::new();
        soon(stream.read_to_end(&mut reply)).await.unwrap();
        assert_eq!(Reply::read(&reply).text(), "hello");
    }
}

#[tokio::test]
async fn a_certificate_authority_that_looks_at_the_certificate_is_hung_up_on() {
    let (config, client) = configs(b"acme-tls/1");
    let server = start_with([], Limits::default(), Some(config)).await;
    let mut stream = connect(&server, client).await;
    let mut reply = Vec::new();
    let _ = soon(stream.read_to_end(&mut reply)).await;
    assert!(reply.is_empty());
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_given_up() {
    let (config, client) = configs(b"http/1.1");
    let limits = Limits { head: Duration::from_millis(200), ..Limits::default() };
    let server = start_with([("/", page("hello"))], limits, Some(config)).await;
    let mut stream = server.connect().await;
    assert_eq!(soon(stream.read(&mut [0; 10])).await.unwrap(), 0);
    // Nor is a head waited for after it for longer.
    let mut stream = connect(&server, client).await;
    let _ = soon(stream.read_to_end(&mut Vec::new())).await;
    assert_eq!(server.counts.closed.load(Relaxed), 2);
}
