//! Clients that are slow, idle, or many, and a server that stops.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use publish::content::Part;
use publish::serve::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{file, page, soon, start, start_with};

/// How long the server waits in these tests, where it is to lose patience.
const SHORT: Duration = Duration::from_millis(200);

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// Reads until the server hangs up; gives back how much came.
async fn hung_up(mut stream: TcpStream) -> usize {
    let mut all = Vec::new();
    let _ = soon(stream.read_to_end(&mut all)).await;
    all.len()
}

#[tokio::test]
async fn a_client_that_does_not_end_its_head_is_hung_up_on() {
    let server = start_with([("/", page("hello"))], Limits { head: SHORT, ..Limits::default() }, None).await;
    assert_eq!(hung_up(server.connect().await).await, 0);
    assert_eq!(hung_up(server.say("GET / HTTP/1.1\r\nHo").await).await, 0);
    let mut trickle = server.connect().await;
    let sent = async {
        // Each byte comes in time, the head does not.
        while trickle.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    soon(sent).await;
    // The second head on a connection has no more time than the first.
    let mut more = server.say(GET).await;
    soon(more.read_exact(&mut [0; 100])).await.unwrap();
    more.write_all(b"GET").await.unwrap();
    assert!(hung_up(more).await > 0);
    assert_eq!(server.counts.closed.load(Relaxed), 4);
}

#[tokio::test]
async fn a_connection_that_is_kept_for_nothing_is_closed() {
    let server = start_with([("/", page("hello"))], Limits { idle: SHORT, ..Limits::default() }, None).await;
    assert!(hung_up(server.say(GET).await).await > 0);
    assert_eq!(server.counts.closed.load(Relaxed), 1);
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_file_is_hung_up_on_and_one_that_is_slow_is_not() {
    let (found, sent) = file([Part::Zeros(64 << 20)]);
    let server = start_with([("/file", found)], Limits { stall: SHORT, ..Limits::default() }, None).await;
    let mut slow = server.say("GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let stalled = server.say("GET /file HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let (mut taken, mut buffer) = (0, vec![0; 1 << 20]);
    while server.counts.closed.load(Relaxed) == 0 {
        soon(slow.read_exact(&mut buffer[..200_000])).await.unwrap();
        taken += 200_000;
        tokio::time::sleep(SHORT / 20).await;
    }
    taken += hung_up(slow).await;
    assert!(taken > 64 << 20, "{taken}");
    assert!(hung_up(stalled).await < 64 << 20);
    assert!(sent.load(Relaxed) < 128 << 20);
    assert_eq!(server.counts.closed.load(Relaxed), 1);
}

#[tokio::test]
async fn the_one_that_has_been_idle_for_longest_makes_way_when_the_last_place_is_taken() {
    let limits = Limits { connections: 4, head: SHORT * 10, ..Limits::default() };
    let server = start_with([("/", page("hello"))], limits, None).await;
    let mut kept = Vec::new();
    for _ in 0..20 {
        let mut stream = server.say(GET).await;
        let mut first = [0; 12];
        soon(stream.read_exact(&mut first)).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        kept.push(stream);
    }
    assert!(server.counts.closed.load(Relaxed) >= 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_idle_and_slow_clients_do_not_keep_a_page_or_the_tracker_from_being_answered() {
    let descriptors = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: descriptors.maximum, ..descriptors }).unwrap();
    let (found, _) = file([Part::Zeros(8 << 20)]);
    let server = start([("/", page("hello")), ("/file", found)]).await;
    let mut hanging = Vec::new();
    for number in 0..2000 {
        let begun = match number % 20 {
            0 => "GET /file HTTP/1.1\r\nHost: x\r\n\r\n",
            1..8 => "GET / HTTP/1.1\r\nX: ",
            8..14 => GET,
            _ => "",
        };
        hanging.push(server.say(begun).await);
    }
    while server.counts.accepted.load(Relaxed) < 2000 {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        assert_eq!(server.get("/").await.text(), "hello");
        assert_eq!(server.get("/announce?q").await.text(), "/announce q 127.0.0.1 127.0.0.1");
    }
    assert!(server.counts.open.load(Relaxed) >= 2000);
    drop(hanging);
    while server.counts.open.load(Relaxed) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_what_it_began_and_takes_nothing_new() {
    let (found, _) = file([Part::Zeros(16 << 20)]);
    let mut server = start([("/", page("hello")), ("/file", found)]).await;
    let mut under_way = server.say("GET /file HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut idle = server.say(GET).await;
    soon(under_way.read_exact(&mut [0; 100])).await.unwrap();
    soon(idle.read_exact(&mut [0; 100])).await.unwrap();
    server.stop.take().unwrap().send(()).unwrap();
    assert!(hung_up(under_way).await > 16 << 20);
    hung_up(idle).await;
    soon(server.ended).await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
    assert_eq!(server.counts.open.load(Relaxed), 0);
}

#[tokio::test]
async fn a_server_that_stops_does_not_wait_for_those_who_take_nothing() {
    let (found, _) = file([Part::Zeros(64 << 20)]);
    let mut server = start([("/file", found)]).await;
    let mut stalled = server.say("GET /file HTTP/1.1\r\nHost: x\r\n\r\n").await;
    soon(stalled.read_exact(&mut [0; 1000])).await.unwrap();
    server.stop.take().unwrap().send(()).unwrap();
    soon(server.ended).await.unwrap();
    assert!(hung_up(stalled).await < 64 << 20);
}
