//! One connection of the HTTP front end: requests in, answers out, in order.
//!
//! Owned by its task. Its buffers are as large as one head and one batch of answers, whatever the client sends.

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use announce::http::{Reply, encode_failure, encode_reply, encode_scrape, parse_query, parse_scrape_query};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::{BadHead, MAX_HEAD, Page, Parsed, Request, Server, forwarded, parse};
use crate::{Found, Stats};

/// How long a connection may be silent between requests; clients that come back in half an hour open a new one.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// How long a head may take from its first byte on, so that a trickle of bytes holds no place for long.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a client may take no byte of an answer.
const SEND_TIME: Duration = Duration::from_secs(30);

/// How long a refused client is listened to, so that it reads the refusal before the connection is reset.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// How much of answers is gathered before it is sent, in bytes; pipelined requests share a write.
const BATCH: usize = 32 << 10;

/// The media type of replies; what trackers have always sent.
const BENCODED: &str = "text/plain";

/// The media type of the pages that are for people.
const TEXT: &str = "text/plain; charset=utf-8";

/// A connection and the part of its input that was not answered yet.
pub(super) struct Connection<'a> {
    stream: TcpStream,
    input: Box<[u8; MAX_HEAD]>,
    filled: usize,
    answers: Answers<'a>,
}

/// What comes after a batch of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// More input is needed.
    Read,
    /// More was asked already.
    Answer,
    /// The last answer is made.
    Close,
    /// The last answer is a refusal, and there may be more input that nobody wants.
    Refuse,
}

impl<'a> Connection<'a> {
    pub(super) fn new(stream: TcpStream, from: SocketAddr, server: &'a Server) -> Self {
        let answers = Answers {
            from: from.ip().to_canonical(),
            server,
            output: Vec::new(),
            body: Vec::new(),
            found: Found::default(),
        };
        Self { stream, input: Box::new([0; MAX_HEAD]), filled: 0, answers }
    }

    /// Answers until the client has enough, breaks a rule or is silent, or the server stops.
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) -> io::Result<()> {
        let mut stop = std::pin::pin!(stopped.wait_for(|&stopped| stopped));
        let mut deadline = Instant::now() + HEAD_TIME;
        let mut alarm = std::pin::pin!(sleep_until(deadline));
        loop {
            let fresh = self.filled == 0;
            tokio::select! {
                biased;
                read = self.stream.read(self.input.get_mut(self.filled..).unwrap_or_default()) => match read? {
                    0 => return Ok(()),
                    count => self.filled += count,
                },
                // The alarm is moved when it rings: a busy connection sets it once in a while, not at each request.
                () = &mut alarm => {
                    if Instant::now() >= deadline {
                        return Ok(());
                    }
                    alarm.as_mut().reset(deadline);
                    continue;
                }
                _ = &mut stop => return Ok(()),
            }
            if self.answer_all().await?.is_break() {
                return Ok(());
            }
            if self.filled == 0 {
                deadline = Instant::now() + IDLE_TIME;
            } else if fresh {
                deadline = Instant::now() + HEAD_TIME;
                alarm.as_mut().reset(deadline);
            }
        }
    }

    /// Answers every whole request that was received.
    async fn answer_all(&mut self) -> io::Result<ControlFlow<()>> {
        loop {
            let (next, page) = self.answer_batch();
            let output = std::mem::take(&mut self.answers.output);
            self.send(&output).await?;
            self.answers.output = output;
            self.answers.output.clear();
            if let Some(page) = page {
                // The last part of a page shall not wait for the head to be acknowledged.
                self.stream.set_nodelay(true)?;
                self.send(&page).await?;
            }
            match next {
                Next::Answer => {}
                Next::Read => return Ok(ControlFlow::Continue(())),
                Next::Close => return Ok(ControlFlow::Break(())),
                Next::Refuse => {
                    self.linger().await?;
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }

    /// Answers whole requests until there is enough to send. A page that follows the answers is given apart.
    fn answer_batch(&mut self) -> (Next, Option<Bytes>) {
        let Self { input, filled, answers, .. } = self;
        let mut at = 0;
        let outcome = loop {
            match parse(input.get(at..*filled).unwrap_or_default()) {
                Ok(Parsed::Partial) => break (Next::Read, None),
                Ok(Parsed::Whole { request, length }) => {
                    at += length;
                    let keep = request.keep_alive && !answers.server.crowded.load(Relaxed);
                    let page = answers.answer(&request, keep);
                    if !keep {
                        break (Next::Close, page);
                    }
                    if page.is_some() || answers.output.len() >= BATCH {
                        break (Next::Answer, page);
                    }
                }
                Err(bad) => {
                    answers.refuse(bad);
                    break (Next::Refuse, None);
                }
            }
        };
        input.copy_within(at..*filled, 0);
        *filled -= at;
        outcome
    }

    /// Sends all of it, as long as the client goes on taking some.
    async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = match self.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    timeout(SEND_TIME, self.stream.write(bytes)).await??
                }
                sent => sent?,
            };
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Closes our side and reads on for a moment: a reset would take back the refusal that is under way.
    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let drain = async { while self.stream.read(&mut *self.input).await.is_ok_and(|count| count > 0) {} };
        let _ = timeout(LINGER_TIME, drain).await;
        Ok(())
    }
}

/// Makes answers; its buffers are used again for each.
struct Answers<'a> {
    from: IpAddr,
    server: &'a Server,
    output: Vec<u8>,
    body: Vec<u8>,
    found: Found,
}

impl Answers<'_> {
    /// Appends the answer to `output`; gives back the body if that is a page, which is sent without being copied.
    fn answer(&mut self, request: &Request<'_>, keep: bool) -> Option<Bytes> {
        self.body.clear();
        let name = request.path.rsplit('/').next().unwrap_or_default();
        let (status, content_type) = match (name, request.path) {
            ("announce", _) => {
                self.announce(request);
                ("200 OK", BENCODED)
            }
            ("scrape", _) => {
                self.scrape(request);
                ("200 OK", BENCODED)
            }
            (_, "/healthz") => {
                self.body.extend_from_slice(b"ok\n");
                ("200 OK", TEXT)
            }
            (_, "/stats") => {
                self.stats();
                ("200 OK", TEXT)
            }
            (_, path) => match self.server.site.page(path) {
                Some(page) => return self.page(page, request, keep),
                None if path == "/" => {
                    self.stats();
                    ("200 OK", TEXT)
                }
                None => {
                    self.body.extend_from_slice(b"not found\n");
                    ("404 Not Found", TEXT)
                }
            },
        };
        let length = self.body.len();
        self.head(status, content_type, length, keep, request.old);
        self.output.extend_from_slice(b"\r\n");
        if !request.head_only {
            self.output.extend_from_slice(&self.body);
        }
        None
    }

    fn announce(&mut self, request: &Request<'_>) {
        let Self { server, body, found, .. } = self;
        let tracker = &server.tracker;
        let announce = match parse_query(request.query.as_bytes()) {
            Ok(announce) => announce,
            Err(bad) => {
                tracker.count_refused();
                return encode_failure(&bad.to_string(), None, body);
            }
        };
        let from = forwarded::client(self.from, request, &tracker.config().trust_proxy);
        match tracker.announce(tracker.now(), from, &announce, found) {
            Ok(standing) => {
                let reply = Reply {
                    interval: standing.interval,
                    min_interval: standing.min_interval,
                    complete: standing.counts.complete,
                    incomplete: standing.counts.incomplete,
                    downloaded: standing.counts.downloaded,
                    external_ip: Some(standing.external_ip),
                    peers: &found.v4,
                    peers6: &found.v6,
                };
                encode_reply(&reply, announce.format, body);
            }
            Err(refusal) => encode_failure(&refusal.to_string(), refusal.retry(), body),
        }
    }

    fn scrape(&mut self, request: &Request<'_>) {
        let tracker = &self.server.tracker;
        match parse_scrape_query(request.query.as_bytes()) {
            Ok(hashes) => match tracker.scrape(&hashes) {
                Ok(mut entries) => encode_scrape(&mut entries, &mut self.body),
                Err(refusal) => encode_failure(&refusal.to_string(), refusal.retry(), &mut self.body),
            },
            Err(bad) => {
                tracker.count_refused();
                encode_failure(&bad.to_string(), None, &mut self.body);
            }
        }
    }

    fn stats(&mut self) {
        let Stats { torrents, peers, announces, scrapes, refused } = self.server.tracker.stats();
        // Writing to a `Vec` cannot fail.
        let _ = writeln!(
            self.body,
            "Headwater tracker\n\ntorrents  {torrents}\npeers     {peers}\nannounces {announces}\nscrapes   {scrapes}\n\
             refused   {refused}"
        );
    }

    fn page(&mut self, page: Page, request: &Request<'_>, keep: bool) -> Option<Bytes> {
        self.head("200 OK", page.content_type, page.body.len(), keep, request.old);
        // A line break inside would be read as the end of the field.
        if let Some(disposition) = page.disposition.filter(|text| !text.contains(['\r', '\n'])) {
            let _ = write!(self.output, "Content-Disposition: {disposition}\r\n");
        }
        self.output.extend_from_slice(b"\r\n");
        (!request.head_only).then_some(page.body)
    }

    /// Appends the answer to a head that cannot be read, in words that clients show.
    fn refuse(&mut self, bad: BadHead) {
        self.server.tracker.count_refused();
        self.body.clear();
        encode_failure(&bad.to_string(), None, &mut self.body);
        let length = self.body.len();
        self.head(bad.status(), BENCODED, length, false, false);
        if bad == BadHead::Method {
            self.output.extend_from_slice(b"Allow: GET, HEAD\r\n");
        }
        self.output.extend_from_slice(b"\r\n");
        self.output.extend_from_slice(&self.body);
    }

    /// Appends a status line and the fields that every answer has, without the line that ends them.
    fn head(&mut self, status: &str, content_type: &str, length: usize, keep: bool, old: bool) {
        let connection = match (keep, old) {
            (true, false) => "",
            (true, true) => "Connection: keep-alive\r\n",
            (false, _) => "Connection: close\r\n",
        };
        let _ = write!(
            self.output,
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{connection}"
        );
    }
}
