//! One connection of the HTTP front end: requests in, answers out, in order.
//!
//! Owned by its task. Its buffers are as large as one head and one batch of answers, whatever the client sends.

use std::future::{Future, poll_fn};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use announce::http::encode_failure;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

use super::answer::{BENCODED, Question};
use super::{BadHead, Client, MAX_HEAD, Page, Parsed, Request, Server, parse};
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

/// The media type of the pages that are for people.
const TEXT: &str = "text/plain; charset=utf-8";

/// What a connection runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Lets nothing that is written wait for what was written before to be acknowledged.
    fn hurry(&self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn hurry(&self) -> io::Result<()> {
        self.set_nodelay(true)
    }
}

impl Stream for TlsStream<TcpStream> {
    fn hurry(&self) -> io::Result<()> {
        self.get_ref().0.set_nodelay(true)
    }
}

/// A connection and the part of its input that was not answered yet.
pub(super) struct Connection<'a, S> {
    stream: &'a mut S,
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

impl<'a, S: Stream> Connection<'a, S> {
    pub(super) fn new(stream: &'a mut S, from: IpAddr, reached: Option<IpAddr>, server: &'a Server) -> Self {
        let answers = Answers {
            from: from.to_canonical(),
            reached,
            server,
            output: Vec::new(),
            body: Vec::new(),
            found: Found::default(),
        };
        Self { stream, input: Box::new([0; MAX_HEAD]), filled: 0, answers }
    }

    /// Answers until the client has enough, breaks a rule or is silent, or the server stops.
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) -> io::Result<()> {
        let mut stop = pin!(stopped.wait_for(|&stopped| stopped));
        let mut deadline = Instant::now() + HEAD_TIME;
        let mut alarm = pin!(sleep_until(deadline));
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
                self.stream.hurry()?;
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
            let sent = in_time(self.stream.write(bytes)).await?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        in_time(self.stream.flush()).await
    }

    /// Closes our side and reads on for a moment: a reset would take back the refusal that is under way.
    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let drain = async { while self.stream.read(&mut *self.input).await.is_ok_and(|count| count > 0) {} };
        let _ = timeout(LINGER_TIME, drain).await;
        Ok(())
    }
}

/// Waits [`SEND_TIME`] at most. Nearly always there is nothing to wait for, and then no clock is asked.
async fn in_time<T>(operation: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let mut operation = pin!(operation);
    let at_once = poll_fn(|task| match operation.as_mut().poll(task) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    });
    match at_once.await {
        Some(done) => done,
        None => timeout(SEND_TIME, operation).await?,
    }
}

/// Makes answers; its buffers are used again for each.
struct Answers<'a> {
    from: IpAddr,
    reached: Option<IpAddr>,
    server: &'a Server,
    output: Vec<u8>,
    body: Vec<u8>,
    found: Found,
}

impl Answers<'_> {
    /// Appends the answer to `output`; gives back the body if that is a page, which is sent without being copied.
    fn answer(&mut self, request: &Request<'_>, keep: bool) -> Option<Bytes> {
        self.body.clear();
        let (status, content_type) = match (Question::of(request.path), request.path) {
            (Some(question), _) => {
                self.ask(question, request);
                ("200 OK", BENCODED)
            }
            (None, "/healthz") => {
                self.body.extend_from_slice(b"ok\n");
                ("200 OK", TEXT)
            }
            (None, "/stats") => {
                self.stats();
                ("200 OK", TEXT)
            }
            (None, path) => match self.server.site.page(path) {
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

    fn ask(&mut self, question: Question, request: &Request<'_>) {
        let &Request { query, x_forwarded_for, forwarded, .. } = request;
        let client = Client { from: self.from, reached: self.reached, x_forwarded_for, forwarded };
        question.answer(&self.server.tracker, query, client, &mut self.found, &mut self.body);
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
