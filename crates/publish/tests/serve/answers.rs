//! What is answered to whom: pages, the tracker, refusals.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use publish::content::Found;

use crate::harness::{Reply, file, page, start};

#[tokio::test]
async fn a_page_may_load_from_its_own_site_and_do_nothing_else() {
    let server = start([("/", page("<p>hello"))]).await;
    let reply = server.get("/").await;
    assert_eq!((reply.status, reply.text()), (200, "<p>hello"));
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", "8"),
        ("etag", "\"page\""),
        ("cache-control", "public, max-age=60"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("access-control-allow-origin", ""),
    ] {
        assert_eq!(reply.header(name), value, "{name}");
    }
    let policy = reply.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; img-src 'self' data:; style-src 'self';"), "{policy}");
    assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
    assert!(reply.header("date").ends_with(" GMT"));
}

#[tokio::test]
async fn a_page_that_the_client_has_is_not_sent_again() {
    let server = start([("/", page("<p>hello"))]).await;
    let reply = server.ask("GET", "/", "If-None-Match: W/\"page\"\r\n").await;
    assert_eq!((reply.status, reply.text()), (304, ""));
    assert_eq!((reply.header("etag"), reply.header("cache-control")), ("\"page\"", "public, max-age=60"));
    assert_eq!(server.counts.answers[2].load(Relaxed), 1);
}

#[tokio::test]
async fn head_gives_the_headers_of_get_and_no_body() {
    let folder = tempfile::tempdir().unwrap();
    let (part, _) = crate::harness::on_disk(folder.path(), 100_000);
    let (file, sent) = file([part]);
    let server =
        start([("/", page("<p>hello")), ("/file", file), ("/later", Found::Later(Duration::from_secs(1)))])
            .await;
    for target in ["/", "/file", "/later", "/none", "/healthz", "/metrics", "/announce?x"] {
        let sent_before = sent.load(Relaxed);
        let head = server.ask("HEAD", target, "").await;
        assert_eq!(sent.load(Relaxed), sent_before);
        let mut get = server.get(target).await;
        assert_eq!((head.status, head.text()), (get.status, ""), "{target}");
        assert_eq!(get.header("content-length"), get.body.len().to_string(), "{target}");
        // It may be a second later.
        get.headers.insert("date".to_owned(), head.header("date").to_owned());
        assert_eq!(head.headers, get.headers, "{target}");
    }
}

#[tokio::test]
async fn nothing_is_looked_for_at_a_path_that_leads_elsewhere() {
    let server = start([]).await;
    let targets = [
        "/../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/a/..%2f..%2fetc",
        "/a%00b",
        "/%ff",
        "/%zz",
        "/./a",
        "http://x/../a",
    ];
    for target in targets {
        assert_eq!(server.get(target).await.status, 404, "{target}");
    }
    assert!(server.content.asked.lock().unwrap().is_empty());
    assert_eq!(server.get("/%252e%252e/%C3%BC?q=..").await.status, 404);
    assert_eq!(*server.content.asked.lock().unwrap(), ["/%2e%2e/ü"]);
}

#[tokio::test]
async fn only_get_and_head_are_answered_and_nothing_may_be_sent() {
    let server = start([("/", page("<p>hello"))]).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let reply = server.ask(method, "/", "Content-Length: 0\r\n").await;
        assert_eq!((reply.status, reply.header("allow")), (405, "GET, HEAD"), "{method}");
    }
    assert_eq!(server.ask("GET", "/", "Content-Length: 5\r\n\r\nhello").await.status, 413);
    assert_eq!(server.ask("GET", "/", "Transfer-Encoding: chunked\r\n").await.status, 413);
    assert_eq!(server.ask("GET", "/", "Content-Length: 0\r\n").await.status, 200);
}

#[tokio::test]
async fn heads_that_are_too_long_or_cannot_be_read_are_refused() {
    let server = start([("/", page("<p>hello"))]).await;
    let long = format!("X: {}\r\n", "x".repeat(20_000));
    assert_eq!(server.ask("GET", "/", &long).await.status, 431);
    assert_eq!(server.ask("GET", "/", &"X: y\r\n".repeat(200)).await.status, 431);
    assert_eq!(Reply::read(&server.raw("nonsense\r\n\r\n").await).status, 400);
    assert_eq!(server.get("/").await.status, 200);
}

#[tokio::test]
async fn what_is_not_given_at_the_moment_says_when_to_come_back() {
    let server = start([
        ("/seed", Found::Later(Duration::from_millis(1500))),
        ("/old", Found::Moved("/r/n%20w".to_owned())),
    ])
    .await;
    let reply = server.get("/seed").await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, "2"));
    let reply = server.get("/old").await;
    assert_eq!((reply.status, reply.header("location")), (301, "/r/n%20w"));
}

#[tokio::test]
async fn the_tracker_is_told_who_asks_and_where_we_were_reached() {
    let server = start([("/no/announce", page("a file of that name"))]).await;
    assert_eq!(server.get("/announce?a=%20b").await.text(), "/announce a=%20b 127.0.0.1 127.0.0.1");
    let lines = "X-Forwarded-For: 203.0.113.9, 198.51.100.7\r\n";
    let reply = server.ask("GET", "/%73ecret/scrape", lines).await;
    assert_eq!((reply.status, reply.text()), (200, "/%73ecret/scrape  198.51.100.7 a proxy"));
    assert_eq!(server.get("/no/announce").await.text(), "a file of that name");
}

#[tokio::test]
async fn its_health_and_metrics_can_be_asked_for() {
    let server = start([]).await;
    let reply = server.get("/healthz").await;
    assert_eq!((reply.status, reply.text()), (200, "ok\n"));
    let reply = server.get("/metrics").await;
    assert_eq!((reply.header("content-type"), reply.text()), ("text/plain; version=0.0.4", "up 1\n"));
    server.get("/none").await;
    let answers: Vec<_> = server.counts.answers.iter().map(|count| count.load(Relaxed)).collect();
    assert_eq!(answers, [0, 2, 0, 1, 0]);
    assert_eq!(server.counts.accepted.load(Relaxed), 3);
}

#[tokio::test]
async fn many_requests_may_follow_each_other_on_one_connection() {
    let server = start([("/", page("<p>hello"))]).await;
    let one = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let replies = String::from_utf8(server.raw(&(one.repeat(9) + last)).await).unwrap();
    assert_eq!(replies.matches("<p>hello").count(), 10);
    assert_eq!(server.counts.sent.load(Relaxed), replies.len() as u64);
}
