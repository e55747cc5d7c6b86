//! A peer that lies: it announces gigabytes uploaded and nothing left, claims every piece, and gives none.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use metainfo::{Metainfo, PeerId};
use wire::{Encoder, Handshake, Message, Reserved};

use super::curl;

/// Lies until it is dropped.
pub(super) struct Liar(Arc<AtomicBool>);

impl Liar {
    pub(super) fn start(origin: (Ipv4Addr, u16), site: &str, metainfo: &Metainfo, number: u8) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (ended, info_hash) = (Arc::clone(&over), metainfo.info.wire_hash());
        let (pieces, site) = (metainfo.info.layout().piece_count(), site.to_owned());
        thread::spawn(move || {
            let mut id = *b"-HW0000-lying.......";
            id[19] = b'a' + number;
            let hash =
                info_hash.as_bytes().iter().fold(String::new(), |hash, byte| hash + &format!("%{byte:02x}"));
            let announce = format!(
                "{site}/announce?info_hash={hash}&peer_id={}&port={}&compact=1&downloaded=0",
                String::from_utf8_lossy(&id),
                7000 + u16::from(number),
            );
            // Whatever becomes of a lie, the next one follows.
            let _ = curl(&format!("{announce}&uploaded=0&left=99999999&event=started"));
            let _ = curl(&format!("{announce}&uploaded=999999999999&left=0&event=completed"));
            while !ended.load(Ordering::Relaxed) {
                let hello =
                    Handshake { reserved: Reserved::default().with_fast(), info_hash, peer_id: PeerId(id) };
                let _ = lie(origin, &hello, pieces, &ended);
                thread::sleep(Duration::from_millis(200));
            }
        });
        Self(over)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn lie(origin: (Ipv4Addr, u16), hello: &Handshake, pieces: u32, ended: &AtomicBool) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(origin)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    stream.write_all(&hello.encode())?;
    let mut words = BytesMut::new();
    let encoder = Encoder::default();
    encoder.encode(&Message::HaveNone, &mut words);
    stream.write_all(&words)?;
    thread::sleep(Duration::from_secs(1));
    words.clear();
    (0..pieces).for_each(|piece| encoder.encode(&Message::Have(piece), &mut words));
    // It seems to be ready to give, too.
    encoder.encode(&Message::Unchoke, &mut words);
    stream.write_all(&words)?;
    let mut buffer = [0; 1 << 14];
    while !ended.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
