//! Any datagrams and orders, at any time, into a uTP socket: no panic, nothing to strangers beyond their own size, and no more data
//! than the window that was announced.

#![no_main]

use std::net::SocketAddr;
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use utp::{Action, Config, ConnectionKey, Event, Header, Kind, Packet, Socket};

#[derive(Arbitrary, Debug)]
enum Step {
    Raw(Vec<u8>),
    /// A packet that is close to what a connection expects: numbers count from the last ones that it sent.
    Near { kind: u8, id: u8, seq: i16, ack: i16, window: u32, mask: Vec<u8>, payload: u16 },
    Connect,
    Write(u16),
    Read(u16),
    Close,
    Wait(u16),
}

const WINDOW: usize = 10_000;

fuzz_target!(|steps: Vec<Step>| {
    let at: SocketAddr = ([192, 0, 2, 1], 1).into();
    let config = Config { receive_window: WINDOW, ..Config::default() };
    let mut socket = Socket::new(config, fastrand::Rng::with_seed(1));
    let mut now = Duration::from_secs(1);
    let mut keys: Vec<ConnectionKey> = Vec::new();
    let mut last: Option<Header> = None;
    let mut unread = 0;
    for step in steps {
        let key = keys.last().copied();
        match (step, key) {
            (Step::Raw(bytes), _) => datagram(&mut socket, now, at, &bytes),
            (Step::Near { kind, id, seq, ack, window, mask, payload }, _) => {
                let Some(last) = last else { continue };
                let kinds = [Kind::Data, Kind::Fin, Kind::State, Kind::Reset, Kind::Syn];
                let header = Header {
                    kind: kinds[usize::from(kind) % kinds.len()],
                    id: last.id.wrapping_add(u16::from(id % 3)).wrapping_sub(1),
                    timestamp: 0,
                    delay: window,
                    window,
                    seq: last.ack.wrapping_add_signed(seq),
                    ack: last.seq.wrapping_add_signed(ack),
                };
                let mut bytes = BytesMut::new();
                header.encode(&mask[..mask.len().min(252) / 4 * 4], None, &mut bytes);
                bytes.resize(bytes.len() + usize::from(payload % 2000), 0);
                datagram(&mut socket, now, at, &bytes);
            }
            (Step::Connect, _) => {
                if let Some(key) = socket.unused_key(at) {
                    socket.handle(now, Event::Connect { key });
                    keys.push(key);
                }
            }
            (Step::Write(size), Some(key)) => {
                socket.handle(now, Event::Write { key, bytes: Bytes::from(vec![0; size.into()]) });
            }
            (Step::Read(bytes), Some(key)) => {
                let bytes = usize::from(bytes).min(unread);
                unread -= bytes;
                socket.handle(now, Event::Read { key, bytes });
            }
            (Step::Close, Some(key)) => {
                socket.handle(now, Event::Close { key });
                keys.pop();
                unread = 0;
            }
            (Step::Wait(ms), _) => {
                now += Duration::from_millis(ms.into());
                socket.handle(now, Event::Tick);
            }
            (_, None) => {}
        }
        while let Some(action) = socket.next_action() {
            match action {
                Action::Send { bytes, segment, .. } => {
                    for packet in bytes.chunks(segment) {
                        last = Some(Packet::decode(packet).expect("we send packets").header);
                    }
                }
                Action::Accepted { key } => {
                    keys.push(key);
                    unread = 0;
                }
                Action::Data { key, bytes } if keys.last() == Some(&key) => {
                    unread += bytes.len();
                    assert!(unread <= WINDOW);
                }
                Action::Data { key, bytes } => socket.handle(now, Event::Read { key, bytes: bytes.len() }),
                Action::Ended { key, .. } => keys.retain(|&kept| kept != key),
                Action::Connected { .. } | Action::Writable { .. } => {}
            }
        }
    }
});

/// Hands a datagram over; what answers it before there is a connection is no longer than it.
fn datagram(socket: &mut Socket, now: Duration, from: SocketAddr, bytes: &[u8]) {
    let before = socket.connections();
    socket.handle(now, Event::Datagram { from, bytes, segment: bytes.len() });
    assert!(socket.connections() <= before + 1);
}
