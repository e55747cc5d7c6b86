//! A peer that only watches: which pieces the downloaders have among themselves.
//!
//! It shakes hands, reads `bitfield` and `have`, asks for nothing and serves nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use metainfo::{Bitfield, InfoHash, PeerId};
use wire::{Decoder, Encoder, Handshake, Message, Reserved};

/// Peers hang up on those who are silent for two minutes.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// What the watched peers have, one set each.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    have: Vec<Arc<Mutex<Bitfield>>>,
}

impl Watch {
    /// Watches the peers at these addresses from threads that end with their connections.
    pub(crate) fn start(peers: &[(Ipv4Addr, u16)], info_hash: InfoHash, pieces: u32) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let have = peers.iter().zip(0u8..).map(|(&at, number)| {
            let have = Arc::new(Mutex::new(Bitfield::none(pieces)));
            let (shared, over) = (Arc::clone(&have), Arc::clone(&over));
            thread::spawn(move || {
                // A downloader may not listen yet, or may have hung up on us: it is dialled again until the watch is over.
                while !over.load(Ordering::Relaxed) {
                    let _ = follow(at, info_hash, number, &shared);
                    thread::sleep(Duration::from_millis(200));
                }
            });
            have
        });
        Self { have: have.collect(), over }
    }

    /// How many pieces each of them has.
    pub(crate) fn counts(&self) -> Vec<u32> {
        self.have.iter().map(|have| have.lock().unwrap_or_else(PoisonError::into_inner).count()).collect()
    }

    /// How many pieces at least one of the watched peers has, and of how many.
    pub(crate) fn covered(&self) -> (u32, u32) {
        let mut union: Option<Bitfield> = None;
        for have in &self.have {
            let have = have.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut union {
                None => union = Some(have.clone()),
                Some(union) => have.iter().for_each(|piece| _ = union.set(piece)),
            }
        }
        union.map_or((0, 0), |union| (union.count(), union.len()))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn follow(
    at: (Ipv4Addr, u16),
    info_hash: InfoHash,
    number: u8,
    have: &Mutex<Bitfield>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut stream = TcpStream::connect(at)?;
    let mut peer_id = *b"-HW0000-watching....";
    peer_id[19] = b'a' + number;
    let hello = Handshake { reserved: Reserved::default().with_fast(), info_hash, peer_id: PeerId(peer_id) };
    stream.write_all(&hello.encode())?;
    let mut reply = [0; 68];
    stream.read_exact(&mut reply)?;
    stream.set_read_timeout(Some(KEEP_ALIVE))?;
    say(&mut stream, &Message::HaveNone)?;
    let (mut decoder, mut pending, mut spoken) = (Decoder::new(), BytesMut::new(), Instant::now());
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => pending.extend_from_slice(&buffer[..n]),
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
        let mut input: Bytes = pending.split().freeze();
        while let Some(message) = decoder.decode(&mut input)? {
            note(&message, &mut have.lock().unwrap_or_else(PoisonError::into_inner));
        }
        pending.extend_from_slice(&input);
        if spoken.elapsed() >= KEEP_ALIVE {
            say(&mut stream, &Message::KeepAlive)?;
            spoken = Instant::now();
        }
    }
}

fn note(message: &Message, have: &mut Bitfield) {
    match message {
        Message::Have(piece) => _ = have.set(*piece),
        Message::HaveAll => *have = Bitfield::all(have.len()),
        Message::Bitfield(bytes) => {
            if let Some(all) = Bitfield::from_wire(bytes, have.len()) {
                *have = all;
            }
        }
        _ => {}
    }
}

fn say(stream: &mut TcpStream, message: &Message) -> std::io::Result<()> {
    let mut bytes = BytesMut::new();
    Encoder::default().encode(message, &mut bytes);
    stream.write_all(&bytes)
}
