//! Files over HTTP: parts, ranges, what is counted, and files that change while they are sent.

use std::fs::File;
use std::sync::atomic::Ordering::Relaxed;

use publish::content::Part;
use tokio::io::AsyncReadExt;

use crate::harness::{file, on_disk, soon, start};

#[tokio::test]
async fn a_file_is_put_together_from_its_parts_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (part, bytes) = on_disk(folder.path(), 1_000_000);
    let Part::File { path, .. } = part else { unreachable!("it is a file") };
    let tail = Part::File { path: path.clone(), offset: 999_000, length: 1000 };
    let (found, sent) = file([Part::File { path, offset: 0, length: 700_000 }, Part::Zeros(300_000), tail]);
    let server = start([("/file", found)]).await;
    let expected = [&bytes[..700_000], &vec![0; 300_000], &bytes[999_000..]].concat();
    let reply = server.get("/file").await;
    assert_eq!(reply.status, 200);
    assert!(reply.body == expected);
    assert_eq!(sent.load(Relaxed), 1_001_000);
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("content-length", "1001000"),
        ("content-disposition", "attachment; filename=\"ü.iso\""),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("cache-control", "no-cache, no-transform"),
        ("access-control-allow-origin", "*"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("content-security-policy", "default-src 'none'; sandbox; frame-ancestors 'none'"),
    ] {
        assert_eq!(reply.header(name), value, "{name}");
    }
    let reply = server.ask("GET", "/file", "Range: bytes=699999-1000000\r\n").await;
    assert_eq!((reply.status, reply.header("content-range")), (206, "bytes 699999-1000000/1001000"));
    assert!(reply.body == expected[699_999..=1_000_000]);
    assert_eq!(sent.load(Relaxed), 1_001_000 + 300_002);
}

#[tokio::test]
async fn a_file_is_asked_for_on_terms() {
    let folder = tempfile::tempdir().unwrap();
    let (part, bytes) = on_disk(folder.path(), 1000);
    let (found, _) = file([part]);
    let server = start([("/file", found)]).await;
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let table = [
        ("Range: bytes=-10\r\n".to_owned(), 206, "bytes 990-999/1000", 990..1000),
        ("Range: bytes=5-\r\nIf-Range: \"file\"\r\n".to_owned(), 206, "bytes 5-999/1000", 5..1000),
        (format!("Range: bytes=5-\r\nIf-Range: {date}\r\n"), 206, "bytes 5-999/1000", 5..1000),
        ("Range: bytes=5-\r\nIf-Range: \"other\"\r\n".to_owned(), 200, "", 0..1000),
        ("Range: bytes=0-1,5-6\r\n".to_owned(), 200, "", 0..1000),
        ("Range: bytes=1000-\r\n".to_owned(), 416, "bytes */1000", 0..0),
        (format!("If-Modified-Since: {date}\r\n"), 304, "", 0..0),
        ("If-Match: \"other\"\r\n".to_owned(), 412, "", 0..0),
    ];
    for (lines, status, range, expected) in table {
        let reply = server.ask("GET", "/file", &lines).await;
        assert_eq!((reply.status, reply.header("content-range")), (status, range), "{lines}");
        assert_eq!(reply.header("etag"), "\"file\"", "{lines}");
        let cache = if status < 400 { "no-cache, no-transform" } else { "no-store" };
        assert_eq!(reply.header("cache-control"), cache, "{lines}");
        if status < 300 {
            assert!(reply.body == bytes[expected], "{lines}");
        }
    }
}

#[tokio::test]
async fn an_empty_file_is_an_answer_without_a_body() {
    let (found, _) = file([]);
    let server = start([("/file", found)]).await;
    let reply = server.get("/file").await;
    assert_eq!((reply.status, reply.header("content-length"), reply.body.len()), (200, "0", 0));
}

#[tokio::test]
async fn a_file_that_becomes_shorter_breaks_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let length = 64 << 20;
    let path = folder.path().join("file");
    File::create(&path).unwrap().set_len(length).unwrap();
    let (found, sent) = file([Part::File { path: path.clone(), offset: 0, length }]);
    let server = start([("/file", found)]).await;
    let mut stream = server.say("GET /file HTTP/1.1\r\nHost: x\r\n\r\n").await;
    soon(stream.read_exact(&mut [0; 1000])).await.unwrap();
    File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
    assert!((rest.len() as u64) < length);
    assert!(sent.load(Relaxed) < length);
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_found_and_one_that_cannot_be_read_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (gone, _) = file([Part::File { path: folder.path().join("gone"), offset: 0, length: 5 }]);
    let (odd, _) = file([Part::File { path: folder.path().to_owned(), offset: 0, length: 5 }]);
    let server = start([("/gone", gone), ("/odd", odd)]).await;
    assert_eq!(server.get("/gone").await.status, 404);
    assert_eq!(server.get("/odd").await.status, 500);
}
