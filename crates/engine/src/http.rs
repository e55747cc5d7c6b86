//! One HTTP or HTTPS request at a time: announces and `.torrent` downloads (RFC 9112; limits S-20 to S-24); and the one way to
//! connect to a web server, for `webseed` too.
//!
//! Every connection goes through `bind`. Whether an address may be asked is judged on the address connected to, at every hop.

mod hop;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use crate::config::{Config, Families, Listen};
use crate::error::FetchError;
use crate::{address, bind};

pub(crate) use hop::Hop;

/// Redirects followed; the same as other clients grant.
pub(crate) const MAX_REDIRECTS: usize = 5;

/// How long one address of a host may take before the next is tried.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a `.torrent` file of up to 32 MiB may take: half a megabyte a second.
pub(crate) const DOWNLOAD_PATIENCE: Duration = Duration::from_secs(60);

/// Who named a URL, and so where it may point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamedBy {
    /// The user typed it: anywhere. Redirects may lead to local addresses only from one.
    User,
    /// It stands in a torrent or link. `local`: it may be on a local address all the same (S-24).
    Torrent {
        /// A tracker's path is exactly `/announce`, without a query; a web seed is where the torrent came from, or beside
        /// such a tracker.
        local: bool,
    },
}

impl NamedBy {
    /// Whether the URL itself may be on a local address.
    pub(crate) fn may_be_local(self) -> bool {
        self != Self::Torrent { local: false }
    }

    /// Whether a server at this address may send us on to a local one (S-21).
    pub(crate) fn may_redirect_to_local(self, from: IpAddr) -> bool {
        self == Self::User && !address::is_global(from)
    }
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Get<'a> {
    pub(crate) url: &'a str,
    pub(crate) named_by: NamedBy,
    pub(crate) max_bytes: usize,
    /// For everything together, redirects too.
    pub(crate) patience: Duration,
}

/// What came of it, whatever the status; redirects apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    /// The address that answered.
    pub(crate) from: IpAddr,
    /// Host and port that answered.
    pub(crate) server: (String, u16),
}

/// A connection, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Settings of all requests.
pub(crate) struct Http {
    families: Families,
    listen: Listen,
    allow_local: bool,
    user_agent: String,
    ca_file: Option<PathBuf>,
    /// Reading the system's certificates takes a while, and many swarms never need them.
    tls: OnceCell<TlsConnector>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("families", &self.families).finish_non_exhaustive()
    }
}

impl Http {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            families: config.families,
            listen: config.listen,
            allow_local: config.allow_local,
            user_agent: config.client.replace(' ', "/"),
            ca_file: config.ca_file.clone(),
            tls: OnceCell::new(),
        }
    }

    /// Gets a URL and demands success.
    pub(crate) async fn get(&self, get: Get<'_>) -> Result<Answer, FetchError> {
        let answer = self.get_any(get).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(FetchError::Status(answer.status.as_u16())) }
    }

    /// Gets a URL, whatever the status.
    pub(crate) async fn get_any(&self, get: Get<'_>) -> Result<Answer, FetchError> {
        tokio::time::timeout(get.patience, self.follow(get)).await.map_err(|_| FetchError::TimedOut)?
    }

    async fn follow(&self, Get { url, named_by, max_bytes, .. }: Get<'_>) -> Result<Answer, FetchError> {
        let mut hop = Hop::parse(url)?;
        let mut local = named_by.may_be_local();
        for _ in 0..=MAX_REDIRECTS {
            let (stream, from) = self.open(&hop, local).await?;
            let request = self.request(&hop).header(CONNECTION, "close").body(Empty::new());
            let request = request.map_err(|_| FetchError::Url(hop.uri.to_string()))?;
            let (status, said) = exchange(stream, request, max_bytes).await?;
            let body = match said {
                Said::Body(body) => body,
                Said::Location(location) => {
                    hop = hop.redirected(&location)?;
                    local = named_by.may_redirect_to_local(from);
                    continue;
                }
            };
            let (host, port) = hop.server();
            return Ok(Answer { status, body, from, server: (host.to_owned(), port) });
        }
        Err(FetchError::Redirects(MAX_REDIRECTS))
    }

    /// A request as every server gets it.
    pub(crate) fn request(&self, hop: &Hop) -> http::request::Builder {
        Request::get(hop.target())
            .header(HOST, hop.authority())
            .header(USER_AGENT, &self.user_agent)
            .header(ACCEPT, "*/*")
    }

    /// Whether a server at this address may be asked.
    pub(crate) fn may_ask(&self, from: IpAddr, local: bool) -> bool {
        local || self.allow_local || address::is_global(from)
    }

    /// A connection to a server and its address, with TLS if the URL wants it. `local`: it may be at a local one.
    pub(crate) async fn open(&self, hop: &Hop, local: bool) -> Result<(Box<dyn Stream>, IpAddr), FetchError> {
        let stream = self.connect(hop, local).await?;
        let from = stream.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |at| at.ip());
        if !hop.https {
            return Ok((Box::new(stream), from));
        }
        let connector = self.tls.get_or_try_init(|| tls::connector(self.ca_file.clone())).await;
        let name =
            ServerName::try_from(hop.host.clone()).map_err(|_| FetchError::Url(hop.uri.to_string()))?;
        let stream = connector.map_err(FetchError::Trust)?.connect(name, stream).await;
        let stream = stream.map_err(|source| tls::trouble(hop.host.clone(), source))?;
        Ok((Box::new(stream), from))
    }

    /// Connects to the first address that answers and may be asked.
    async fn connect(&self, hop: &Hop, local: bool) -> Result<TcpStream, FetchError> {
        let found = bind::resolve(&hop.host, hop.port, self.families).await;
        let found = found.map_err(|source| FetchError::Lookup { host: hop.host.clone(), source })?;
        let mut failure = FetchError::NoAddress(hop.host.clone());
        for at in found {
            if !self.may_ask(at.ip(), local) {
                failure = FetchError::NotGlobal(at.ip());
                continue;
            }
            match bind::connect(at, self.listen, CONNECT).await {
                Ok(stream) => return Ok(stream),
                Err(source) => failure = FetchError::Connect { at, source },
            }
        }
        Err(failure)
    }
}

/// The part of an answer that matters.
enum Said {
    Body(Bytes),
    /// Look there.
    Location(String),
}

/// Sends the request and reads the answer. The connection is driven in the same task and ends with it.
async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Empty<Bytes>>,
    max_bytes: usize,
) -> Result<(StatusCode, Said), FetchError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(FetchError::Http)?;
    let mut answer = pin!(async {
        let response = sender.send_request(request).await.map_err(FetchError::Http)?;
        let status = response.status();
        let location = response.headers().get(LOCATION).filter(|_| status.is_redirection());
        if let Some(location) = location.and_then(|value| value.to_str().ok()) {
            return Ok((status, Said::Location(location.to_owned())));
        }
        let body = Limited::new(response.into_body(), max_bytes).collect().await;
        let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => FetchError::Http(*error),
            Err(error) if error.is::<LengthLimitError>() => FetchError::TooLong(max_bytes),
            Err(_) => FetchError::TimedOut,
        })?;
        Ok((status, Said::Body(body.to_bytes())))
    });
    tokio::select! {
        answer = &mut answer => return answer,
        // Also when the server closes after its last byte, which may not have been taken yet.
        closed = connection => tracing::trace!(?closed, "connection"),
    }
    answer.await
}

/// Where a tracker may send us: a peer on a private or loopback address only if the tracker is on one itself (S-24).
pub(crate) fn keep_reachable(peers: &mut Vec<SocketAddr>, tracker: IpAddr, allow_local: bool) {
    if !allow_local && address::is_global(tracker) {
        peers.retain(|peer| address::is_global(peer.ip()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that redirects every request to where `location` says; its address, and the requests it had.
    async fn redirecting(
        location: impl Fn(SocketAddr) -> String + Send + 'static,
    ) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = requests.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                log.lock().unwrap().push(String::from_utf8(request).unwrap());
                let head =
                    format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", location(at));
                stream.write_all(head.as_bytes()).await.unwrap();
            }
        });
        (at, requests)
    }

    async fn refusal(url: &str, named_by: NamedBy) -> FetchError {
        let http = Http::new(&Config::new(PathBuf::new()));
        let get = Get { url, named_by, max_bytes: 1000, patience: DOWNLOAD_PATIENCE };
        http.get(get).await.unwrap_err()
    }

    // S-20
    #[tokio::test]
    async fn a_torrent_names_no_local_address_however_it_is_written() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "localhost",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "169.254.169.254",
        ] {
            let url = format!("http://{host}:{port}/containers/x?");
            let error = refusal(&url, NamedBy::Torrent { local: false }).await;
            assert!(matches!(error, FetchError::NotGlobal(_)), "{host}: {error:?}");
        }
        let connected = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
        assert!(connected.is_err(), "somebody connected");
    }

    // S-21
    #[tokio::test]
    async fn a_local_tracker_leads_to_no_other_local_place() {
        let (at, requests) = redirecting(|at| format!("http://{at}/containers/x")).await;
        let error = refusal(&format!("http://{at}/announce"), NamedBy::Torrent { local: true }).await;
        assert!(matches!(error, FetchError::NotGlobal(_)), "{error:?}");
        assert_eq!(requests.lock().unwrap().len(), 1);
    }

    // S-21
    #[tokio::test]
    async fn five_redirects_are_followed_and_none_out_of_the_web() {
        let (at, requests) = redirecting(|at| format!("http://{at}/again")).await;
        let error = refusal(&format!("http://{at}/"), NamedBy::User).await;
        assert!(matches!(error, FetchError::Redirects(MAX_REDIRECTS)), "{error:?}");
        assert_eq!(requests.lock().unwrap().len(), 6);
        let (at, _) = redirecting(|_| "file:///etc/passwd".into()).await;
        let error = refusal(&format!("http://{at}/"), NamedBy::User).await;
        assert!(matches!(error, FetchError::Url(_)), "{error:?}");
    }

    // S-22
    #[tokio::test]
    async fn a_name_and_password_in_a_url_are_told_to_nobody() {
        let (other, told) = redirecting(|_| "file:///".into()).await;
        let (at, first) = redirecting(move |_| format!("http://{other}/x")).await;
        refusal(&format!("http://me:secret@{at}/"), NamedBy::User).await;
        let requests = [first.lock().unwrap().concat(), told.lock().unwrap().concat()];
        for request in requests {
            assert!(request.starts_with("GET /") && !request.contains("secret"), "{request}");
            assert!(!request.to_lowercase().contains("authorization"), "{request}");
        }
    }

    #[test]
    fn a_public_tracker_cannot_name_private_peers() {
        let all: Vec<SocketAddr> =
            ["10.0.0.1:1", "127.0.0.1:2", "1.2.3.4:3"].iter().map(|at| at.parse().unwrap()).collect();
        let kept = |tracker: &str, allow| {
            let mut peers = all.clone();
            keep_reachable(&mut peers, tracker.parse().unwrap(), allow);
            peers.len()
        };
        assert_eq!((kept("9.9.9.9", false), kept("9.9.9.9", true), kept("192.168.1.1", false)), (1, 3, 3));
    }
}
