//! A small web server for tests: keep-alive, ranges, and whatever a test wants it to say.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Path and query as they were sent.
    pub(crate) target: String,
    /// First and last byte.
    pub(crate) range: Option<(usize, usize)>,
    pub(crate) head: String,
}

/// A running server: its address, its requests, and how many connections it accepted.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) at: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
}

impl Web {
    /// Serves what `answer` makes of each request: a whole answer, head and body.
    pub(crate) async fn start(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let web = Self {
            at: listener.local_addr().unwrap(),
            requests: Arc::default(),
            connections: Arc::default(),
        };
        let (shared, answer) = (web.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let (web, answer) = (shared.clone(), answer.clone());
                tokio::spawn(async move { web.converse(stream, &*answer).await });
            }
        });
        web
    }

    /// Serves the files below a folder.
    pub(crate) async fn files(root: PathBuf) -> Self {
        Self::start(move |request| file(&root, request)).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    async fn converse(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        answer: &(impl Fn(&Request) -> Vec<u8> + Sync),
    ) {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { return };
                head.push(byte);
            }
            let request = parse(&String::from_utf8(head).unwrap());
            self.requests.lock().unwrap().push(request.clone());
            if stream.write_all(&answer(&request)).await.is_err() {
                return;
            }
        }
    }
}

fn parse(head: &str) -> Request {
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
    let range = range.and_then(|range| range.split_once('-'));
    let range = range.map(|(first, last)| (first.parse().unwrap(), last.parse().unwrap()));
    Request { target: head.split(' ').nth(1).unwrap().to_owned(), range, head: head.to_lowercase() }
}

/// An answer without a body.
pub(crate) fn status(line: &str, fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 {line}\r\n{fields}Content-Length: 0\r\n\r\n").into_bytes()
}

/// A good answer of a whole body.
pub(crate) fn whole(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The part of a body that was asked for.
pub(crate) fn part(body: &[u8], request: &Request) -> Vec<u8> {
    let Some((first, last)) = request.range else { return whole(body) };
    let part = &body[first..=last];
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{last}/{}\r\nContent-Length: {}\r\n\r\n",
        body.len(),
        part.len()
    );
    [head.as_bytes(), part].concat()
}

/// What a server of files says.
pub(crate) fn file(root: &std::path::Path, request: &Request) -> Vec<u8> {
    let path = request.target.split('?').next().unwrap().trim_start_matches('/');
    match std::fs::read(root.join(decoded(path))) {
        Ok(body) => part(&body, request),
        Err(_) => status("404 Not Found", ""),
    }
}

fn decoded(path: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), path.bytes());
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}
