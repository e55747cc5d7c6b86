//! One HTTP or HTTPS request at a time: announces and `.torrent` downloads (RFC 9112; limits S-20 to S-24).
//!
//! Every connection goes through `bind`. Whether an address may be asked is judged on the address connected to, at every hop.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use crate::config::{Config, Families, Listen};
use crate::error::FetchError;
use crate::{address, bind};

/// Redirects followed; the same as other clients grant.
const MAX_REDIRECTS: usize = 5;

/// How long one address of a host may take before the next is tried.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a `.torrent` file of up to 32 MiB may take: half a megabyte a second.
pub(crate) const DOWNLOAD_PATIENCE: Duration = Duration::from_secs(60);

/// Who named a URL, and so where it may point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamedBy {
    /// The user typed it: anywhere. Redirects may lead to local addresses only from one.
    User,
    /// It stands in a torrent or link. `local`: its form is one that cannot do harm on a local address (S-24).
    Torrent {
        /// The path is exactly `/announce`, without a query.
        local: bool,
    },
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
}

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

/// Where one hop goes.
struct Hop {
    uri: Uri,
    https: bool,
    host: String,
    port: u16,
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
        let mut local = !matches!(named_by, NamedBy::Torrent { local: false });
        for _ in 0..=MAX_REDIRECTS {
            let stream = self.connect(&hop, local).await?;
            let from = stream.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |at| at.ip());
            let (answer, location) = self.ask(&hop, stream, from, max_bytes).await?;
            let Some(location) = location else { return Ok(answer) };
            hop = hop.redirected(&location)?;
            local = named_by == NamedBy::User && !address::is_global(from);
        }
        Err(FetchError::Redirects(MAX_REDIRECTS))
    }

    /// Connects to the first address that answers and may be asked.
    async fn connect(&self, hop: &Hop, local: bool) -> Result<TcpStream, FetchError> {
        let found = bind::resolve(&hop.host, hop.port, self.families).await;
        let found = found.map_err(|source| FetchError::Lookup { host: hop.host.clone(), source })?;
        let mut failure = FetchError::NoAddress(hop.host.clone());
        for at in found {
            if !(local || self.allow_local || address::is_global(at.ip())) {
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

    /// One request over one connection; also where it redirects to, if it does.
    async fn ask(
        &self,
        hop: &Hop,
        stream: TcpStream,
        from: IpAddr,
        max_bytes: usize,
    ) -> Result<(Answer, Option<String>), FetchError> {
        let request = Request::get(hop.uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(HOST, hop.authority())
            .header(USER_AGENT, &self.user_agent)
            .header(ACCEPT, "*/*")
            .header(CONNECTION, "close")
            .body(Empty::new())
            .map_err(|_| FetchError::Url(hop.uri.to_string()))?;
        if !hop.https {
            return exchange(stream, request, from, max_bytes).await;
        }
        let tls =
            self.tls.get_or_try_init(|| connector(self.ca_file.clone())).await.map_err(FetchError::Trust)?;
        let name =
            ServerName::try_from(hop.host.clone()).map_err(|_| FetchError::Url(hop.uri.to_string()))?;
        let stream = tls.connect(name, stream).await;
        let stream = stream.map_err(|source| FetchError::Tls { host: hop.host.clone(), source })?;
        exchange(stream, request, from, max_bytes).await
    }
}

impl Hop {
    fn parse(url: &str) -> Result<Self, FetchError> {
        let wrong = || FetchError::Url(url.chars().take(200).collect());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        Ok(Self { uri, https, host, port })
    }

    /// Host and port as the server wants to read them; never the user's name and password (S-22).
    fn authority(&self) -> String {
        let host = self.uri.host().unwrap_or_default();
        self.uri.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Where a `Location` header leads from here (RFC 3986 section 5, without `..`).
    fn redirected(&self, location: &str) -> Result<Self, FetchError> {
        let scheme = if self.https { "https" } else { "http" };
        let authority = self.authority();
        let names_scheme = location.split(['/', '?', '#']).next().is_some_and(|start| start.contains(':'));
        let url = if names_scheme {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else {
            let folder = self.uri.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{authority}{folder}/{location}")
        };
        Self::parse(&url)
    }
}

/// Sends the request and reads the answer. The connection is driven in the same task and ends with it.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    request: Request<Empty<Bytes>>,
    from: IpAddr,
    max_bytes: usize,
) -> Result<(Answer, Option<String>), FetchError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(FetchError::Http)?;
    let mut answer = pin!(async {
        let response = sender.send_request(request).await.map_err(FetchError::Http)?;
        let status = response.status();
        let location = response.headers().get(LOCATION).filter(|_| status.is_redirection());
        if let Some(location) = location.and_then(|value| value.to_str().ok()) {
            return Ok((Answer { status, body: Bytes::new(), from }, Some(location.to_owned())));
        }
        let body = Limited::new(response.into_body(), max_bytes).collect().await;
        let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => FetchError::Http(*error),
            Err(error) if error.is::<LengthLimitError>() => FetchError::TooLong(max_bytes),
            Err(_) => FetchError::TimedOut,
        })?;
        Ok((Answer { status, body: body.to_bytes(), from }, None))
    });
    tokio::select! {
        answer = &mut answer => return answer,
        // Also when the server closes after its last byte, which may not have been taken yet.
        closed = connection => tracing::trace!(?closed, "connection"),
    }
    answer.await
}

/// TLS that trusts the given certificates, or those the system trusts.
async fn connector(ca_file: Option<PathBuf>) -> io::Result<TlsConnector> {
    let made = tokio::task::spawn_blocking(move || client_config(ca_file.as_deref())).await;
    let config = made.map_err(io::Error::other)??;
    Ok(TlsConnector::from(Arc::new(config)))
}

fn client_config(ca_file: Option<&Path>) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let Some(path) = ca_file else {
        return Ok(builder.with_platform_verifier().map_err(io::Error::other)?.with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Where a tracker may send us: a peer on a private or loopback address only if the tracker is on one itself (S-24).
pub(crate) fn keep_reachable(peers: &mut Vec<SocketAddr>, tracker: IpAddr, allow_local: bool) {
    if !allow_local && address::is_global(tracker) {
        peers.retain(|peer| address::is_global(peer.ip()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

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

    fn redirect(from: &str, location: &str) -> String {
        let hop = Hop::parse(from).unwrap().redirected(location);
        hop.map_or_else(|_| "refused".into(), |hop| hop.uri.to_string())
    }

    #[test]
    fn redirects_lead_where_a_browser_would_go() {
        assert_eq!(redirect("http://a.example/x/y?z", "http://b.example/"), "http://b.example/");
        assert_eq!(redirect("https://a.example:8/x/y?z", "/t"), "https://a.example:8/t");
        assert_eq!(redirect("https://a.example/x/y", "t?u"), "https://a.example/x/t?u");
        assert_eq!(redirect("https://a.example/x", "//b.example/t"), "https://b.example/t");
        assert_eq!(redirect("http://me:secret@a.example/x", "/t"), "http://a.example/t");
    }

    // S-21
    #[test]
    fn redirects_out_of_the_web_are_refused() {
        for location in
            ["file:///etc/passwd", "ftp://a.example/", "gopher://x", "javascript:alert(1)", "http://"]
        {
            assert_eq!(redirect("http://a.example/x", location), "refused", "{location}");
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
