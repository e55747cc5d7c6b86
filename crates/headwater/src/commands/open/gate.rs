//! Who may see the page of downloads: the browser that was sent there, and our own clicks. Nobody else on this machine, and
//! no other page in that browser.
//!
//! | danger | what keeps it out |
//! |---|---|
//! | another user, another program | a secret in a cookie or in `Authorization`, from a file that only we can read |
//! | a page whose name is made to lead here (DNS rebinding) | `Host` must name the loopback interface and our port |
//! | a page that posts here | a cookie that is never sent from elsewhere, and `Origin` must be our own |

use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, ORIGIN};
use hyper::{Method, StatusCode};

use super::rendezvous::Card;

/// Whether a request is answered, and if not, why.
pub(super) fn admit(card: &Card, method: &Method, headers: &HeaderMap) -> Result<(), StatusCode> {
    check_host(card, headers)?;
    let own = |origin: &str| origin.strip_prefix("http://").is_some_and(|host| is_ours(card, host));
    match text(headers, ORIGIN.as_str()) {
        Some(origin) if !own(origin) => return Err(StatusCode::FORBIDDEN),
        None if method != Method::GET && bearer(headers).is_none() => return Err(StatusCode::FORBIDDEN),
        _ => {}
    }
    let given = bearer(headers).or_else(|| cookie(card, headers));
    if given.is_some_and(|given| same(given, &card.token)) { Ok(()) } else { Err(StatusCode::FORBIDDEN) }
}

/// Refuses requests that were sent to another name than ours.
pub(super) fn check_host(card: &Card, headers: &HeaderMap) -> Result<(), StatusCode> {
    let host = text(headers, HOST.as_str()).filter(|host| is_ours(card, host));
    host.map(|_| ()).ok_or(StatusCode::MISDIRECTED_REQUEST)
}

/// The header that lets a browser in from then on.
pub(super) fn set_cookie(card: &Card) -> String {
    format!("{}={}; Path=/; HttpOnly; SameSite=Strict", cookie_name(card), card.token)
}

fn is_ours(card: &Card, host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(name, port)| {
        (name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost")) && port == card.port.to_string()
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    text(headers, AUTHORIZATION.as_str())?.strip_prefix("Bearer ")
}

fn cookie<'a>(card: &Card, headers: &'a HeaderMap) -> Option<&'a str> {
    let mut pairs = text(headers, COOKIE.as_str())?.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == cookie_name(card)).map(|(_, value)| value)
}

/// Browsers keep cookies by host, whatever the port: the name keeps two of us apart.
fn cookie_name(card: &Card) -> String {
    format!("headwater-{}", card.port)
}

/// A header that stands there once.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?;
    if all.next().is_some() { None } else { first.to_str().ok() }
}

/// Compares in a time that does not depend on where two texts differ.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn ask(method: &Method, headers: &[(&str, &str)]) -> Result<(), StatusCode> {
        let card = Card { port: 7000, token: "secret".to_owned(), pid: 1 };
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        admit(&card, method, &headers.iter().map(pair).collect())
    }

    const HERE: (&str, &str) = ("host", "127.0.0.1:7000");
    const COOKIE: (&str, &str) = ("cookie", "a=b; headwater-7000=secret");

    #[test]
    fn the_secret_admits_by_either_way() {
        assert_eq!(ask(&Method::GET, &[HERE, COOKIE]), Ok(()));
        assert_eq!(ask(&Method::GET, &[("host", "localhost:7000"), COOKIE]), Ok(()));
        assert_eq!(ask(&Method::POST, &[HERE, ("authorization", "Bearer secret")]), Ok(()));
        assert_eq!(ask(&Method::POST, &[HERE, COOKIE, ("origin", "http://127.0.0.1:7000")]), Ok(()));
    }

    #[test]
    fn without_the_secret_nothing_is_seen() {
        for headers in
            [&[HERE][..], &[HERE, ("cookie", "headwater-7000=secre")], &[HERE, ("authorization", "Bearer x")]]
        {
            assert_eq!(ask(&Method::GET, headers), Err(StatusCode::FORBIDDEN), "{headers:?}");
        }
    }

    #[test]
    fn a_name_that_was_made_to_lead_here_is_refused() {
        for host in ["evil.example:7000", "127.0.0.1:7001", "127.0.0.1", "127.0.0.1.evil.example:7000"] {
            assert_eq!(
                ask(&Method::GET, &[("host", host), COOKIE]),
                Err(StatusCode::MISDIRECTED_REQUEST),
                "{host}"
            );
        }
        assert_eq!(
            ask(&Method::GET, &[HERE, ("host", "evil.example:7000"), COOKIE]),
            Err(StatusCode::MISDIRECTED_REQUEST)
        );
    }

    #[test]
    fn other_pages_cannot_post() {
        for origin in ["http://evil.example", "null", "http://127.0.0.1:7001", "https://127.0.0.1:7000"] {
            assert_eq!(
                ask(&Method::POST, &[HERE, COOKIE, ("origin", origin)]),
                Err(StatusCode::FORBIDDEN),
                "{origin}"
            );
        }
        assert_eq!(ask(&Method::POST, &[HERE, COOKIE]), Err(StatusCode::FORBIDDEN));
    }
}
