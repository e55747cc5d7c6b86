//! The page of downloads: a small web server on the loopback interface (HTTP/1.1).
//!
//! `gate` decides who is answered. Three files and one JSON document go out, a handful of orders come in.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::click::Click;
use super::host::{Host, make_folder};
use super::list::List;
use super::{desktop, gate};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Connections at once: a few tabs with a few connections each, and clicks.
const MAX_CONNECTIONS: usize = 64;

/// The longest order: a click with its most sources, each a long magnet link.
const MAX_BODY: usize = 1 << 20;

/// How long a head may take: everybody is on this machine.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long to wait when no connection can be accepted, usually because files have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const PAGE: &str = include_str!("assets/page.html");
const STYLE: &str = include_str!("assets/page.css");
const SCRIPT: &str = include_str!("assets/page.js");
const ICON: &str = include_str!("../handler/headwater.svg");

/// What every answer says: nothing is kept, nothing is fetched from elsewhere, nobody frames it.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

type Answer = Response<Full<Bytes>>;

/// Serves until the sender of `ended` goes, and lets go of the host then.
pub(super) async fn serve(host: Arc<Host>, listener: TcpListener, mut ended: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => accepted,
            Some(_) = connections.join_next() => continue,
            _ = &mut ended => return connections.shutdown().await,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let host = Arc::clone(&host);
        connections.spawn(async move {
            let service = service_fn(|request| {
                let host = Arc::clone(&host);
                async move { Ok::<_, Infallible>(answer(&host, request).await) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a connection to the page ended");
            }
        });
    }
}

async fn answer(host: &Arc<Host>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if let Some(ticket) = head.uri.query().and_then(|query| query.strip_prefix("t=")).filter(|_| path == "/")
    {
        return let_in(host, &head.headers, ticket);
    }
    if let Err(status) = gate::admit(&host.card, &head.method, &head.headers) {
        return words(
            status,
            "This page is for the browser that Headwater opened.\nTo get in: headwater open\n",
        );
    }
    if head.method == Method::POST {
        let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
            return words(StatusCode::PAYLOAD_TOO_LARGE, "Too long.\n");
        };
        return match order(host, path, &body.to_bytes()) {
            Ok(value) => document(StatusCode::OK, &value),
            Err(Refusal(status, failure)) => document(status, &failure.describe()),
        };
    }
    match (head.method, path) {
        (Method::GET, "/") => file("text/html; charset=utf-8", PAGE),
        (Method::GET, "/page.css") => file("text/css; charset=utf-8", STYLE),
        (Method::GET, "/page.js") => file("text/javascript; charset=utf-8", SCRIPT),
        (Method::GET, "/icon.svg") => file("image/svg+xml", ICON),
        (Method::GET, "/api/downloads") => document(StatusCode::OK, &host.list().describe()),
        _ => words(StatusCode::NOT_FOUND, "There is nothing here.\n"),
    }
}

/// Turns a ticket into the cookie.
fn let_in(host: &Host, headers: &header::HeaderMap, ticket: &str) -> Answer {
    let welcome = gate::check_host(&host.card, headers).and_then(|()| {
        if host.list().redeem(ticket) { Ok(gate::set_cookie(&host.card)) } else { Err(StatusCode::FORBIDDEN) }
    });
    match welcome.map(HeaderValue::try_from) {
        Ok(Ok(cookie)) => {
            let mut answer = words(StatusCode::SEE_OTHER, "");
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
            answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/"));
            answer
        }
        Ok(Err(_)) => words(StatusCode::INTERNAL_SERVER_ERROR, ""),
        Err(status) => words(status, "This address was good once. For a new one: headwater open\n"),
    }
}

/// Why an order is not carried out.
struct Refusal(StatusCode, Failure);

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self(StatusCode::BAD_REQUEST, failure)
    }
}

/// A folder as the page sends it.
#[derive(Deserialize)]
struct Folder {
    folder: String,
}

fn order(host: &Arc<Host>, path: &str, body: &[u8]) -> Result<Value, Refusal> {
    let gone = || Refusal(StatusCode::NOT_FOUND, Failure::new(Exit::NotFound, "there is no such download"));
    // Held to the end: a process that took something up is not about to end.
    let mut list = host.list();
    if list.closing {
        return Err(Refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            Failure::new(Exit::Other, "this process is ending"),
        ));
    }
    let words: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match words.as_slice() {
        ["api", "open"] => {
            let (ids, page) = host.take_up(&mut list, read::<Click>(body)?, &Output::muted())?;
            Ok(json!({ "ids": ids, "page": page }))
        }
        ["api", "folder"] => {
            let folder = read_folder(body)?;
            make_folder(&folder)?;
            list.folder = folder;
            Ok(list.describe())
        }
        ["api", "downloads", id, verb] => {
            let id: u32 = id.parse().map_err(|_| gone())?;
            change(host, &mut list, id, verb, body)?.ok_or_else(gone)?;
            Ok(list.describe())
        }
        _ => Err(gone()),
    }
}

/// Does something to one download; nothing if there is no such download or no such thing to do.
fn change(
    host: &Arc<Host>,
    list: &mut List,
    id: u32,
    verb: &str,
    body: &[u8],
) -> Result<Option<()>, Failure> {
    let Some(entry) = list.get(id) else { return Ok(None) };
    match (verb, entry.ask()) {
        ("stop", Some(ask)) => _ = ask.send_replace(Some(Exit::Interrupted)),
        ("again", None) => host.begin(entry),
        ("remove", None) => list.entries.retain(|entry| entry.id != id),
        ("folder", _) => host.move_to(entry, read_folder(body)?)?,
        ("show", _) => desktop::show(entry.folder.clone()),
        // It is so already, or will be in a moment.
        ("stop" | "again" | "remove", _) => {}
        _ => return Ok(None),
    }
    Ok(Some(()))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::usage("this order makes no sense").because(&error))
}

/// A folder's whole path, or one below the home folder.
fn read_folder(body: &[u8]) -> Result<PathBuf, Failure> {
    let text = read::<Folder>(body)?.folder;
    let below = text.strip_prefix("~/").and_then(|rest| Some(etcetera::home_dir().ok()?.join(rest)));
    Ok(below.unwrap_or_else(|| Path::new(&text).to_owned()))
}

fn document(status: StatusCode, value: &Value) -> Answer {
    respond(status, "application/json", value.to_string())
}

fn words(status: StatusCode, words: &'static str) -> Answer {
    respond(status, "text/plain; charset=utf-8", words)
}

fn file(content_type: &'static str, content: &'static str) -> Answer {
    respond(StatusCode::OK, content_type, content)
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().extend(HEADERS);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
