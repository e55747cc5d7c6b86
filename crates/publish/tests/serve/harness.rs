//! A server on loopback, with what is put into it, and a client that writes requests by hand.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use publish::content::{Announces, Content, FileBody, Found, Page, Part, TrackerAnswer, TrackerRequest};
use publish::serve::{Counts, Limits, Listener, Site, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long anything may take that is certain to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is served, and the paths that were asked for.
#[derive(Default)]
pub(crate) struct Fake {
    things: HashMap<String, Found>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Content for Fake {
    fn find(&self, path: &str, _from: IpAddr) -> Option<Found> {
        self.asked.lock().unwrap().push(path.to_owned());
        self.things.get(path).cloned()
    }
}

/// Says who asked for what, and where.
struct Echo;

impl Announces for Echo {
    fn answer(&self, request: TrackerRequest<'_>) -> Option<TrackerAnswer> {
        let TrackerRequest { path, query, from, reached } = request;
        let reached = reached.map_or("a proxy".to_owned(), |ip| ip.to_string());
        let body = format!("{path} {query} {from} {reached}").into();
        (path != "/no/announce").then_some(TrackerAnswer { content_type: "text/plain", body })
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) content: Arc<Fake>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) ended: JoinHandle<()>,
}

pub(crate) async fn start<const N: usize>(things: [(&str, Found); N]) -> Running {
    start_with(things, Limits::default(), None).await
}

pub(crate) async fn start_with<const N: usize>(
    things: [(&str, Found); N],
    limits: Limits,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Running {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let things = things.into_iter().map(|(path, found)| (path.to_owned(), found)).collect();
    let content = Arc::new(Fake { things, ..Fake::default() });
    let counts = Arc::new(Counts::default());
    let site = Site {
        content: Arc::clone(&content) as _,
        tracker: Arc::new(Echo),
        metrics: Arc::new(|| "up 1\n".to_owned()),
        // The client of these tests is a proxy itself.
        is_proxy: Arc::new(|ip| ip.is_loopback()),
        counts: Arc::clone(&counts),
    };
    let (stop, stopped) = oneshot::channel();
    let stopped = async { stopped.await.unwrap_or_default() };
    let ended = tokio::spawn(serve(vec![Listener { tcp, tls }], Arc::new(site), limits, stopped));
    Running { address, content, counts, stop: Some(stop), ended }
}

/// A page of HTML.
pub(crate) fn page(body: &'static str) -> Found {
    Found::Page(Page {
        content_type: "text/html; charset=utf-8",
        disposition: None,
        body: Bytes::from_static(body.as_bytes()),
        etag: "\"page\"".to_owned(),
        fresh: Duration::from_secs(60),
    })
}

/// A file of these parts, and the counter of what was sent of it.
pub(crate) fn file(parts: impl Into<Arc<[Part]>>) -> (Found, Arc<AtomicU64>) {
    let sent = Arc::default();
    let body = FileBody {
        parts: parts.into(),
        content_type: "application/octet-stream",
        disposition: Some("attachment; filename=\"ü.iso\"".to_owned()),
        etag: "\"file\"".to_owned(),
        modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)),
        sent: Arc::clone(&sent),
    };
    (Found::File(body), sent)
}

/// `length` bytes on disk that are the same at no two offsets nearby, as one part.
pub(crate) fn on_disk(folder: &Path, length: usize) -> (Part, Vec<u8>) {
    let path = folder.join("file");
    let bytes: Vec<u8> =
        (0u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).take(length).collect();
    std::fs::write(&path, &bytes).unwrap();
    (Part::File { path, offset: 0, length: length as u64 }, bytes)
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer with a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let pairs = lines.map(|line| line.split_once(": ").unwrap());
        let headers = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// What must not be waited for in vain.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes in time")
}

impl Running {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection on which this was said.
    pub(crate) async fn say(&self, text: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// All that comes back for this.
    pub(crate) async fn raw(&self, text: &str) -> Vec<u8> {
        let mut stream = self.say(text).await;
        let mut reply = Vec::new();
        // A reset after an answer is an end too.
        let _ = soon(stream.read_to_end(&mut reply)).await;
        reply
    }

    /// The answer to one request; `lines` are header lines, each with its line break.
    pub(crate) async fn ask(&self, method: &str, target: &str, lines: &str) -> Reply {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n");
        Reply::read(&self.raw(&request).await)
    }

    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, "").await
    }
}
