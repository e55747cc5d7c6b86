//! 2,000 clients that connect and say nothing, say it slowly, or take nothing; the page and the tracker answer others meanwhile.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{SITE_PORT, payload, publish};
use crate::matrix::say;
use crate::world::World;
use crate::{Outcome, Setup};

const CLIENTS: usize = 2000;

/// Requests measured of each kind.
const REQUESTS: usize = 300;

/// What the slowest of a hundred may take. The promise is 200 ms; a busy machine gets five times that before the run fails.
const MOST: Duration = Duration::from_secs(1);

/// How a client hangs.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Says nothing.
    Idle,
    /// Sends a byte of its request now and then.
    Slow,
    /// Asks for a large file and takes nothing of it.
    Greedy,
}

pub(super) fn run(setup: &Setup) -> Outcome {
    let world = World::new()?;
    // Loopback is exempt from the limit on connections of one address: nothing but the server's patience helps.
    let at = Ipv4Addr::LOCALHOST;
    let payload = payload(&world, "demo.bin", 64 << 20)?;
    let site = publish(setup, &world, at, &payload, &[])?;
    let quiet = measure(at)?;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let manner = [Manner::Idle, Manner::Slow, Manner::Greedy][number % 3];
        clients.push((manner, hang(at, manner)?));
    }
    let drip = thread::spawn(move || {
        // Bytes of the slow ones come while the others are measured, then all hang up.
        for _ in 0..8 {
            for (manner, stream) in &mut clients {
                if matches!(manner, Manner::Slow) {
                    let _ = stream.write_all(b"x");
                }
            }
            thread::sleep(Duration::from_millis(500));
        }
        clients
    });
    let busy = measure(at)?;
    let clients = drip.join().map_err(|_| "the slow clients crashed")?;
    drop(clients);
    drop(site);
    say(&format!("      p99 of page and announce: {quiet:.1?} alone, {busy:.1?} beside {CLIENTS} that hang"));
    if busy > MOST { Err(format!("p99 of {busy:.1?}").into()) } else { Ok(()) }
}

fn hang(at: Ipv4Addr, manner: Manner) -> Result<TcpStream, Box<dyn Error>> {
    let mut stream = TcpStream::connect((at, SITE_PORT))?;
    match manner {
        Manner::Idle => {}
        Manner::Slow => stream.write_all(b"GET / HTTP/1.1\r\nX-Slow: ")?,
        Manner::Greedy => stream.write_all(b"GET /files/demo.bin/demo.bin HTTP/1.1\r\nHost: x\r\n\r\n")?,
    }
    Ok(stream)
}

/// The 99th percentile of pages and announces, each over a connection of its own.
fn measure(at: Ipv4Addr) -> Result<Duration, Box<dyn Error>> {
    let mut times = Vec::new();
    for number in 0..REQUESTS {
        let path = if number % 2 == 0 {
            "/"
        } else {
            "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=1&left=0"
        };
        let start = Instant::now();
        let mut stream = TcpStream::connect((at, SITE_PORT))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        if !answer.starts_with(b"HTTP/1.1 200") {
            return Err(
                format!("{path}: {}", String::from_utf8_lossy(&answer[..answer.len().min(200)])).into()
            );
        }
        times.push(start.elapsed());
        thread::sleep(Duration::from_millis(10));
    }
    times.sort_unstable();
    Ok(times[times.len() * 99 / 100])
}
