//! A request in, an answer out: who answers it, and what stands in its head.
//!
//! Owned by the connection's task. What is at a path is decided by [`Content`](crate::content::Content), on which terms it
//! is sent by `conditional`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;

use super::body::{FileStream, Outgoing, Payload};
use super::conditional::{About, Terms, date_text, terms};
use super::connection::{Ends, Server};
use super::link::Link;
use super::{forwarded, path};
use crate::content::{FileBody, Found, Page, TrackerRequest};

/// The media type of answers in words.
const TEXT: &str = "text/plain; charset=utf-8";

/// The media type of Prometheus's text format.
const METRICS: &str = "text/plain; version=0.0.4";

/// What a page of ours may do: load from here, and nothing else.
const PAGE_POLICY: &str = "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; font-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a file may do when a browser shows it: nothing. It is published, but was not written, by us.
const FILE_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// Kept, but asked for each time whether it is still the same.
const ASK: &str = "no-cache";

/// The same, and no proxy on the way may make it smaller: that would be a wrong byte.
const ASK_AND_KEEP: &str = "no-cache, no-transform";

type Answer = Response<Payload>;

/// Something to be sent, as its head tells of it.
struct Thing<'a> {
    about: About<'a>,
    content_type: &'static str,
    disposition: Option<&'a str>,
    cache: String,
    policy: Option<&'static str>,
}

impl Server {
    pub(super) async fn answer<B: Body>(
        &self,
        request: &Request<B>,
        ends: Ends,
        link: &Arc<Link>,
    ) -> Response<Outgoing> {
        let ticket = link.begin();
        let mut answer = match refusal(request) {
            Some(refusal) => refusal,
            None => self.route(request, ends, link).await,
        };
        if request.method() == Method::HEAD {
            *answer.body_mut() = Payload::Empty;
        }
        harden(answer.headers_mut());
        self.site.counts.count_answer(answer.status());
        tracing::debug!(from = %ends.from, target = %request.uri(), status = %answer.status(), "request");
        answer.map(|payload| Outgoing { payload, _ticket: ticket })
    }

    async fn route<B>(&self, request: &Request<B>, ends: Ends, link: &Link) -> Answer {
        let raw = request.uri().path();
        if matches!(raw.rsplit('/').next(), Some("announce" | "scrape"))
            && let Some(answer) = self.track(request, ends)
        {
            return answer;
        }
        match raw {
            "/healthz" => return text(StatusCode::OK, TEXT, "ok\n"),
            "/metrics" => return text(StatusCode::OK, METRICS, (self.site.metrics)()),
            _ => {}
        }
        let from = forwarded::client(ends.from, request.headers(), &*self.site.is_proxy);
        match path::decode(raw).and_then(|path| self.site.content.find(&path, from)) {
            None => not_found(),
            Some(Found::Moved(to)) => moved(&to),
            Some(Found::Later(when)) => later(when),
            Some(Found::Page(page)) => page_answer(request, &page),
            Some(Found::File(file)) => self.file_answer(request, file, link).await,
        }
    }

    fn track<B>(&self, request: &Request<B>, ends: Ends) -> Option<Answer> {
        let from = forwarded::client(ends.from, request.headers(), &*self.site.is_proxy);
        let answer = self.site.tracker.answer(TrackerRequest {
            path: request.uri().path(),
            query: request.uri().query().unwrap_or_default(),
            from,
            reached: (from == ends.from).then_some(ends.reached),
        })?;
        Some(text(StatusCode::OK, answer.content_type, answer.body))
    }

    async fn file_answer<B>(&self, request: &Request<B>, file: FileBody, link: &Link) -> Answer {
        let length = file.parts.iter().map(crate::content::Part::length).sum();
        let FileBody { etag, modified, disposition, content_type, .. } = file.clone();
        let thing = Thing {
            about: About { etag: &etag, modified, length },
            content_type,
            disposition: disposition.as_deref(),
            cache: ASK_AND_KEEP.to_owned(),
            policy: Some(FILE_POLICY),
        };
        let (mut answer, range) = thing.head(request);
        if let Some(range) = range.filter(|range| !range.is_empty() && request.method() != Method::HEAD) {
            match FileStream::open(Arc::clone(&self.shelf), file, range, link).await {
                Ok(stream) => *answer.body_mut() = Payload::File(stream),
                Err(error) => return unreadable(&error),
            }
        }
        answer
    }
}

fn page_answer<B>(request: &Request<B>, page: &Page) -> Answer {
    let cache = match page.fresh.as_secs() {
        0 => ASK.to_owned(),
        seconds => format!("public, max-age={seconds}"),
    };
    let thing = Thing {
        about: About { etag: &page.etag, modified: None, length: page.body.len() as u64 },
        content_type: page.content_type,
        disposition: page.disposition.as_deref(),
        cache,
        policy: page.content_type.starts_with("text/html").then_some(PAGE_POLICY),
    };
    let (mut answer, range) = thing.head(request);
    if let Some(range) = range {
        let bounds = |at: u64| usize::try_from(at).map_or(page.body.len(), |at| at.min(page.body.len()));
        *answer.body_mut() = Payload::Page(page.body.slice(bounds(range.start)..bounds(range.end)));
    }
    answer
}

impl Thing<'_> {
    /// The head of the answer, and which bytes are to follow it; `None`: none of this thing's.
    fn head<B>(&self, request: &Request<B>) -> (Answer, Option<std::ops::Range<u64>>) {
        let length = self.about.length;
        let terms = terms(request.method() == Method::GET, request.headers(), self.about);
        let (mut answer, range) = match terms {
            Terms::Whole => (self.found(StatusCode::OK, length), Some(0..length)),
            Terms::Part(range) => {
                let mut answer = self.found(StatusCode::PARTIAL_CONTENT, range.end - range.start);
                let (first, last) = (range.start, range.end - 1);
                put(&mut answer, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{length}"));
                (answer, Some(range))
            }
            Terms::NotModified => {
                let mut answer = Response::new(Payload::Empty);
                *answer.status_mut() = StatusCode::NOT_MODIFIED;
                (answer, None)
            }
            Terms::Failed => (text(StatusCode::PRECONDITION_FAILED, TEXT, "it has changed\n"), None),
            Terms::OutOfRange => {
                let mut answer = text(StatusCode::RANGE_NOT_SATISFIABLE, TEXT, "there are no such bytes\n");
                put(&mut answer, header::CONTENT_RANGE, &format!("bytes */{length}"));
                (answer, None)
            }
        };
        put(&mut answer, header::ETAG, self.about.etag);
        if let Some(date) = self.about.modified.and_then(date_text) {
            put(&mut answer, header::LAST_MODIFIED, &date);
        }
        // A refusal is for this client alone: it stays `no-store`.
        if !answer.status().is_client_error() {
            put(&mut answer, header::CACHE_CONTROL, &self.cache);
        }
        (answer, range)
    }

    fn found(&self, status: StatusCode, length: u64) -> Answer {
        let mut answer = Response::new(Payload::Empty);
        *answer.status_mut() = status;
        put(&mut answer, header::CONTENT_TYPE, self.content_type);
        put(&mut answer, header::CONTENT_LENGTH, &length.to_string());
        put(&mut answer, header::ACCEPT_RANGES, "bytes");
        if let Some(disposition) = self.disposition {
            put(&mut answer, header::CONTENT_DISPOSITION, disposition);
        }
        if let Some(policy) = self.policy {
            put(&mut answer, header::CONTENT_SECURITY_POLICY, policy);
            put(&mut answer, header::REFERRER_POLICY, "no-referrer");
        }
        answer
    }
}

/// Why a request is answered by nobody.
fn refusal<B: Body>(request: &Request<B>) -> Option<Answer> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are answered\n");
        put(&mut answer, header::ALLOW, "GET, HEAD");
        return Some(answer);
    }
    let has_body =
        request.body().size_hint().lower() > 0 || request.headers().contains_key(header::TRANSFER_ENCODING);
    has_body.then(|| text(StatusCode::PAYLOAD_TOO_LARGE, TEXT, "nothing may be sent here\n"))
}

fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, TEXT, "there is nothing here\n")
}

fn moved(to: &str) -> Answer {
    let mut answer = text(StatusCode::MOVED_PERMANENTLY, TEXT, "it is elsewhere\n");
    put(&mut answer, header::LOCATION, to);
    put(&mut answer, header::CACHE_CONTROL, ASK);
    answer
}

fn later(when: Duration) -> Answer {
    let mut answer =
        text(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not now: get it from the peers, or try again later\n");
    let seconds = when.as_secs() + u64::from(when.subsec_nanos() > 0);
    put(&mut answer, header::RETRY_AFTER, &seconds.to_string());
    answer
}

fn unreadable(error: &io::Error) -> Answer {
    tracing::warn!(%error, "a published file cannot be read");
    match error.kind() {
        io::ErrorKind::NotFound => not_found(),
        _ => text(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the file cannot be read\n"),
    }
}

/// An answer in words, which nobody keeps.
fn text(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let body = body.into();
    let mut answer = Response::new(Payload::Empty);
    *answer.status_mut() = status;
    put(&mut answer, header::CONTENT_TYPE, content_type);
    put(&mut answer, header::CONTENT_LENGTH, &body.len().to_string());
    put(&mut answer, header::CACHE_CONTROL, "no-store");
    *answer.body_mut() = Payload::Page(body);
    answer
}

/// What every answer tells browsers. Pages are for this site alone; all else may be fetched from other sites.
fn harden(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let is_page = headers.get(header::CONTENT_SECURITY_POLICY).is_some_and(|policy| policy == PAGE_POLICY);
    let resource_policy = HeaderName::from_static("cross-origin-resource-policy");
    if is_page {
        headers.insert(resource_policy, HeaderValue::from_static("same-origin"));
        return;
    }
    headers.insert(resource_policy, HeaderValue::from_static("cross-origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let told = HeaderValue::from_static("Accept-Ranges, Content-Length, Content-Range, ETag, Retry-After");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, told);
}

/// Sets a header, unless its value could not stand in one.
fn put(answer: &mut Answer, name: HeaderName, value: &str) {
    match HeaderValue::from_bytes(value.as_bytes()) {
        Ok(value) => _ = answer.headers_mut().insert(name, value),
        Err(error) => tracing::warn!(%name, %error, "a header is left out"),
    }
}
