//! One fetch from a web seed: its requests one after the other over one connection, their bytes to the torrent as blocks.
//!
//! A task of the torrent, ended by aborting it. A [`Server`] outlives it and keeps connections for the next one.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, LOCATION, RANGE};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use swarm::{Event, FetchKey, FetchTrouble, WebSeedKey};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::parts::{Part, Plan};
use super::{Dialect, Trouble, Unfetched, answer};
use crate::error::{FetchError, in_words};
use crate::http::{Hop, MAX_REDIRECTS, NamedBy};
use crate::limits::Allowance;
use crate::outside::{Home, Input};

/// Connections kept for the next fetch: two, and two to where they redirect.
const MAX_IDLE: usize = 4;

/// The most bytes read from a socket at once.
const READ: usize = 256 << 10;

/// Bytes of an answer without data that are read so that the connection can be used again, or because they say something.
const MAX_CHATTER: usize = 16 << 10;

/// How long the end of such an answer may take.
const CHATTER: Duration = Duration::from_secs(2);

/// A web seed, and the connections to it that wait for more.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) dialect: Dialect,
    named_by: NamedBy,
    /// The lock is a leaf, held to push or take one.
    idle: Mutex<Vec<Connection>>,
}

#[derive(Debug)]
struct Connection {
    hop: Hop,
    from: IpAddr,
    sender: SendRequest<Empty<Bytes>>,
    /// Moves the bytes; ends with the connection.
    _driver: JoinSet<()>,
}

/// Fetches all of a plan and tells the torrent.
pub(crate) async fn run(home: Arc<Home>, server: Arc<Server>, seed: WebSeedKey, key: FetchKey, plan: Plan) {
    let blocks = plan.blocks.into();
    let mut delivery =
        Delivery { home: &home, key, blocks, partial: BytesMut::new(), allowance: Allowance::default() };
    let mut result = Ok(());
    for part in &plan.parts {
        result = match part {
            Part::Zeros(length) => delivery.hand_over(Bytes::from(vec![0; *length])).await,
            part => server.get(part, &mut delivery).await,
        };
        if result.is_err() {
            break;
        }
    }
    if let Err(trouble) = result {
        let unfetched = Unfetched { seed, fetch: key, trouble };
        if home.inbox.send(Input::Unfetched(Box::new(unfetched))).await.is_err() {
            tracing::trace!("the torrent ended first");
        }
    }
}

impl Server {
    pub(crate) fn new(url: String, named_by: NamedBy, dialect: Dialect) -> Self {
        Self { url, dialect, named_by, idle: Mutex::default() }
    }

    /// One request, and what it brings.
    async fn get(&self, part: &Part, delivery: &mut Delivery<'_>) -> Result<(), Trouble> {
        let (url, range, length) = match part {
            Part::File { url, offset, length, .. } => (url, Some((*offset, offset + length - 1)), *length),
            Part::Piece { url, length } => (url, None, *length),
            Part::Zeros(_) => return Ok(()),
        };
        let (response, connection) = self.ask(delivery.home, url, range).await?;
        let (head, mut body) = response.into_parts();
        let judged = match part {
            Part::File { offset, total, .. } => {
                answer::judge_file(head.status, &head.headers, *offset, length, *total)
            }
            _ => answer::judge_piece(head.status, &head.headers, length),
        };
        if let Err(trouble) = judged {
            let asks_to_wait =
                self.dialect == Dialect::Pieces && head.status == StatusCode::SERVICE_UNAVAILABLE;
            let said = self.chatter(body, connection).await;
            return Err(said
                .filter(|_| asks_to_wait)
                .and_then(|said| answer::wait_of_script(&said))
                .unwrap_or(trouble));
        }
        let mut left = length;
        while left > 0 {
            let frame = body.frame().await.ok_or_else(|| Trouble::broken("the answer ended too soon"))?;
            let frame = frame.map_err(|error| Trouble::broken(in_words(&error)))?;
            let Ok(mut data) = frame.into_data() else { continue };
            data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= data.len() as u64;
            delivery.take(data).await?;
        }
        if body.is_end_stream() {
            self.keep(connection);
        } else if head.status == StatusCode::PARTIAL_CONTENT {
            self.chatter(body, connection).await;
        }
        Ok(())
    }

    /// Sends a request and follows where it leads.
    async fn ask(
        &self,
        home: &Home,
        url: &str,
        range: Option<(u64, u64)>,
    ) -> Result<(Response<Incoming>, Connection), Trouble> {
        let mut hop = Hop::parse(url).map_err(|error| trouble(&error))?;
        let mut local = self.named_by.may_be_local();
        for _ in 0..=MAX_REDIRECTS {
            let (response, connection) =
                self.send(home, &hop, local, range).await.map_err(|error| trouble(&error))?;
            let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection());
            let Some(location) = location.and_then(|value| value.to_str().ok()) else {
                return Ok((response, connection));
            };
            let next = hop.redirected(location).map_err(|error| trouble(&error))?;
            // Another file of the same local server is no more than the URL itself might have named.
            local = self.named_by.may_redirect_to_local(connection.from)
                || (local && next.same_server(&hop) && !next.has_query());
            self.chatter(response.into_body(), connection).await;
            hop = next;
        }
        Err(trouble(&FetchError::Redirects(MAX_REDIRECTS)))
    }

    /// Sends one request: over a kept connection if one is there and still good, else over a new one.
    async fn send(
        &self,
        home: &Home,
        hop: &Hop,
        local: bool,
        range: Option<(u64, u64)>,
    ) -> Result<(Response<Incoming>, Connection), FetchError> {
        let http = &home.context.http;
        let request = || {
            let request = http.request(hop).header(ACCEPT_ENCODING, "identity");
            let request = match range {
                Some((first, last)) => request.header(RANGE, format!("bytes={first}-{last}")),
                None => request,
            };
            request.body(Empty::new()).map_err(|_| FetchError::Url(self.url.clone()))
        };
        while let Some(mut kept) =
            self.kept(|kept| kept.hop.same_server(hop) && http.may_ask(kept.from, local))
        {
            if kept.sender.ready().await.is_ok()
                && let Ok(response) = kept.sender.send_request(request()?).await
            {
                return Ok((response, kept));
            }
        }
        let (stream, from) = http.open(hop, local).await?;
        let mut builder = http1::Builder::new();
        let shaken = builder.max_buf_size(READ).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(FetchError::Http)?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "connection to a web seed");
            }
        });
        let response = sender.send_request(request()?).await.map_err(FetchError::Http)?;
        Ok((response, Connection { hop: hop.clone(), from, sender, _driver: driver }))
    }

    fn kept(&self, fits: impl Fn(&Connection) -> bool) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| !kept.sender.is_closed());
        idle.iter().position(fits).map(|at| idle.swap_remove(at))
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    /// Reads a short body that is no data to its end; then the connection can be used again.
    async fn chatter(&self, body: Incoming, connection: Connection) -> Option<Bytes> {
        let said = tokio::time::timeout(CHATTER, Limited::new(body, MAX_CHATTER).collect()).await;
        let said = said.ok()?.ok()?.to_bytes();
        self.keep(connection);
        Some(said)
    }
}

/// What a failed request means for the next one.
fn trouble(error: &FetchError) -> Trouble {
    let why = match error {
        FetchError::Url(_)
        | FetchError::NotGlobal(_)
        | FetchError::Certificate { .. }
        | FetchError::Trust(_)
        | FetchError::Redirects(_) => FetchTrouble::Gone,
        _ => FetchTrouble::Broken,
    };
    Trouble { why, words: in_words(error) }
}

/// Bytes on their way to the torrent: cut into blocks, at the pace the user allows.
struct Delivery<'a> {
    home: &'a Home,
    key: FetchKey,
    /// The lengths of the blocks to come.
    blocks: VecDeque<usize>,
    /// The start of the next one.
    partial: BytesMut,
    allowance: Allowance,
}

impl Delivery<'_> {
    /// Takes bytes that came over the network.
    async fn take(&mut self, bytes: Bytes) -> Result<(), Trouble> {
        self.pay(bytes.len()).await;
        self.hand_over(bytes).await
    }

    async fn hand_over(&mut self, mut bytes: Bytes) -> Result<(), Trouble> {
        let mut events = Vec::new();
        while let Some(&length) = self.blocks.front().filter(|_| !bytes.is_empty()) {
            let part = bytes.split_to(bytes.len().min(length - self.partial.len()));
            let data = if part.len() == length {
                part
            } else {
                self.partial.reserve(length - self.partial.len());
                self.partial.extend_from_slice(&part);
                if self.partial.len() < length {
                    break;
                }
                self.partial.split().freeze()
            };
            self.blocks.pop_front();
            events.push(Event::Fetched { fetch: self.key, data });
        }
        if events.is_empty() {
            return Ok(());
        }
        let sent = self.home.inbox.send(Input::Events(events)).await;
        sent.map_err(|_| Trouble::broken("the torrent ended first"))
    }

    /// Waits until so many bytes, which are here already, may have been received.
    async fn pay(&mut self, mut bytes: usize) {
        while bytes > 0 {
            match self.allowance.claim(Instant::now(), self.home.download()) {
                Ok(allowed) => {
                    let paid = bytes.min(allowed);
                    self.allowance.spend(paid);
                    bytes -= paid;
                }
                Err(later) => sleep_until(later).await,
            }
        }
    }
}
