//! The head of a request, from bytes (RFC 9112, sections 2, 3 and 9.3).
//!
//! Pure: no state between calls. What a path means is `connection`'s.

/// The longest head, in bytes: a scrape of 74 torrents has 5,300, browsers send 1,000 to 2,000.
pub const MAX_HEAD: usize = 8 << 10;

/// The most header fields of a head; browsers and proxies send about 20.
const MAX_FIELDS: usize = 64;

/// What the bytes received hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// The beginning of a head.
    Partial,
    /// A head.
    Whole {
        /// What is asked.
        request: Request<'a>,
        /// How many bytes the head takes up.
        length: usize,
    },
}

/// A request, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Whether only the head of the answer is wanted (`HEAD`).
    pub head_only: bool,
    /// The path, percent-encoded as it came; it begins with `/`.
    pub path: &'a str,
    /// What follows the `?`.
    pub query: &'a str,
    /// Whether the client wants to ask more on this connection.
    pub keep_alive: bool,
    /// Whether it speaks HTTP/1.0, and so must be told that the connection is kept.
    pub old: bool,
    /// The last `X-Forwarded-For` field.
    pub x_forwarded_for: Option<&'a str>,
    /// The last `Forwarded` field (RFC 7239).
    pub forwarded: Option<&'a str>,
}

/// Why a head is refused; the connection is closed after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// 400: no HTTP, or a request with a body.
    #[error("malformed request")]
    Malformed,
    /// 405: neither GET nor HEAD.
    #[error("only GET and HEAD are answered")]
    Method,
    /// 414: the request line does not fit into [`MAX_HEAD`].
    #[error("the address is too long")]
    UriTooLong,
    /// 431: the head does not fit into [`MAX_HEAD`], or has too many fields.
    #[error("the request's header is too long")]
    HeadTooLong,
    /// 505: not HTTP/1.0 or HTTP/1.1.
    #[error("only HTTP/1.0 and HTTP/1.1 are spoken")]
    Version,
}

impl BadHead {
    /// The status line's code and reason.
    pub fn status(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::Method => "405 Method Not Allowed",
            Self::UriTooLong => "414 URI Too Long",
            Self::HeadTooLong => "431 Request Header Fields Too Large",
            Self::Version => "505 HTTP Version Not Supported",
        }
    }
}

/// Reads the head at the start of `bytes`, of which there are never more than [`MAX_HEAD`] wanted.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, BadHead> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => {
            Ok(Parsed::Whole { request: Request::read(&head)?, length })
        }
        Ok(_) if bytes.len() < MAX_HEAD => Ok(Parsed::Partial),
        Ok(_) if bytes.iter().take(MAX_HEAD).any(|&byte| byte == b'\n') => Err(BadHead::HeadTooLong),
        Ok(_) => Err(BadHead::UriTooLong),
        Err(httparse::Error::TooManyHeaders) => Err(BadHead::HeadTooLong),
        Err(httparse::Error::Version) => Err(BadHead::Version),
        Err(_) => Err(BadHead::Malformed),
    }
}

impl<'a> Request<'a> {
    fn read(head: &httparse::Request<'_, 'a>) -> Result<Self, BadHead> {
        let head_only = match head.method {
            Some("GET") => false,
            Some("HEAD") => true,
            _ => return Err(BadHead::Method),
        };
        let (path, query) = target(head.path.ok_or(BadHead::Malformed)?)?;
        let old = head.version == Some(0);
        let mut request =
            Self { head_only, path, query, keep_alive: !old, old, x_forwarded_for: None, forwarded: None };
        for field in head.headers.iter() {
            request.read_field(field)?;
        }
        Ok(request)
    }

    fn read_field(&mut self, field: &httparse::Header<'a>) -> Result<(), BadHead> {
        let text = || std::str::from_utf8(field.value).ok();
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("connection") {
            for option in text().unwrap_or_default().split(',').map(str::trim) {
                if option.eq_ignore_ascii_case("close") {
                    self.keep_alive = false;
                } else if option.eq_ignore_ascii_case("keep-alive") && self.old {
                    self.keep_alive = true;
                }
            }
        } else if is("transfer-encoding") || (is("content-length") && field.value != b"0") {
            // A body would have to be skipped, and two readers could disagree where it ends.
            return Err(BadHead::Malformed);
        } else if is("x-forwarded-for") {
            self.x_forwarded_for = text();
        } else if is("forwarded") {
            self.forwarded = text();
        }
        Ok(())
    }
}

/// The path and the query of a target: in the usual form, or absolute as a proxy would get it.
fn target(target: &str) -> Result<(&str, &str), BadHead> {
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let origin = match scheme.and_then(|scheme| target.get(scheme.len()..)) {
        None => target,
        Some(rest) => rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or("/"),
    };
    let origin = origin.split_once('#').map_or(origin, |(origin, _)| origin);
    let (path, query) = origin.split_once('?').unwrap_or((origin, ""));
    match path {
        "" if scheme.is_some() => Ok(("/", query)),
        path if path.starts_with('/') => Ok((path, query)),
        _ => Err(BadHead::Malformed),
    }
}

#[cfg(test)]
mod tests;
