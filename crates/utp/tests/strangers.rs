//! What those get who do not show that they are where they say (S-40 to S-42).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use utp::{Action, Config, Event, Header, Kind, Packet, Socket};

const SYN: Header =
    Header { kind: Kind::Syn, id: 500, timestamp: 1, delay: 0, window: 1 << 20, seq: 65_535, ack: 0 };

struct Port {
    socket: Socket,
    now: Duration,
    bytes_in: usize,
    bytes_out: usize,
}

impl Port {
    fn new() -> Self {
        let socket = Socket::new(Config::default(), fastrand::Rng::with_seed(7));
        Self { socket, now: Duration::from_secs(1), bytes_in: 0, bytes_out: 0 }
    }

    fn receive(&mut self, from: &str, header: Header, payload: &[u8]) -> Vec<Action> {
        let mut bytes = BytesMut::new();
        header.encode(&[], None, &mut bytes);
        bytes.extend_from_slice(payload);
        self.bytes_in += bytes.len();
        let event = Event::Datagram { from: from.parse().unwrap(), bytes: &bytes, segment: bytes.len() };
        self.socket.handle(self.now, event);
        self.actions()
    }

    fn actions(&mut self) -> Vec<Action> {
        let actions: Vec<_> = std::iter::from_fn(|| self.socket.next_action()).collect();
        for action in &actions {
            if let Action::Send { bytes, .. } = action {
                self.bytes_out += bytes.len();
            }
        }
        actions
    }

    fn wait(&mut self, seconds: u64) -> Vec<Action> {
        self.now += Duration::from_secs(seconds);
        self.socket.handle(self.now, Event::Tick);
        self.actions()
    }
}

/// The header of the only packet sent.
fn only(actions: &[Action]) -> Header {
    let mut sent = actions.iter().filter(|action| matches!(action, Action::Send { .. }));
    let (Some(Action::Send { bytes, .. }), None) = (sent.next(), sent.next()) else { panic!("{actions:?}") };
    Packet::decode(bytes).unwrap().header
}

/// What the peer says first, in answer to our answer.
fn first_data(answer: Header) -> Header {
    Header { kind: Kind::Data, id: 501, seq: 0, ack: answer.seq.wrapping_sub(1), ..SYN }
}

// S-40
#[test]
fn a_syn_is_answered_with_its_own_size_once_and_nothing_is_kept() {
    let mut port = Port::new();
    let answer = only(&port.receive("192.0.2.1:1", SYN, b"with a payload"));
    assert_eq!((answer.kind, answer.id, answer.ack), (Kind::State, 500, 65_535));
    assert_eq!((port.bytes_out, port.socket.connections()), (Header::LENGTH, 0));
    assert_eq!(port.socket.next_deadline(), None);
    for _ in 0..100 {
        assert_eq!(port.wait(1), []);
    }
}

// S-40
#[test]
fn whoever_received_our_answer_is_let_in() {
    let mut port = Port::new();
    let answer = only(&port.receive("192.0.2.1:1", SYN, b""));
    // The second packet overtook the first.
    assert_eq!(port.receive("192.0.2.1:1", Header { seq: 1, ..first_data(answer) }, b"second"), []);
    assert!(port.bytes_out <= port.bytes_in);
    let actions = port.receive("192.0.2.1:1", first_data(answer), b"hello");
    assert!(
        matches!(&actions[..], [Action::Accepted { .. }, Action::Data { bytes, .. }] if bytes == "hello")
    );
    assert_eq!(only(&port.wait(1)).ack, 0);
    // Ours count from the answer.
    let key = utp::ConnectionKey { at: "192.0.2.1:1".parse().unwrap(), id: 501 };
    port.socket.handle(port.now, Event::Write { key, bytes: "answer".into() });
    assert_eq!(only(&port.actions()).seq, answer.seq);
}

// S-41
#[test]
fn data_with_a_guessed_acknowledgement_opens_nothing() {
    let mut port = Port::new();
    let answer = only(&port.receive("192.0.2.1:1", SYN, b""));
    let right = first_data(answer).ack;
    let mut let_in = 0;
    for ack in (0..=u16::MAX).filter(|&ack| ack != right) {
        let actions =
            port.receive("192.0.2.1:1", Header { ack, ..first_data(answer) }, b"\x13BitTorrent protocol");
        let_in += usize::from(actions.iter().any(|action| !matches!(action, Action::Send { .. })));
    }
    assert_eq!((let_in, port.socket.connections()), (0, 0));
    assert!(port.bytes_out <= port.bytes_in);
    // Nor does another address with the right one.
    assert!(
        !port
            .receive("192.0.2.2:1", first_data(answer), b"x")
            .iter()
            .any(|action| *action == accepted("192.0.2.2:1"))
    );
}

fn accepted(at: &str) -> Action {
    Action::Accepted { key: utp::ConnectionKey { at: at.parse().unwrap(), id: 501 } }
}

// S-42
#[test]
fn a_flood_of_syns_takes_no_memory_and_is_answered_byte_for_byte() {
    let mut port = Port::new();
    let mut syn = BytesMut::new();
    SYN.encode(&[], None, &mut syn);
    for address in 0..200_000 {
        let from = SocketAddr::new(Ipv4Addr::from_bits(address).into(), 6881);
        port.socket.handle(port.now, Event::Datagram { from, bytes: &syn, segment: syn.len() });
        assert_eq!(port.actions().len(), 1);
    }
    assert_eq!((port.socket.connections(), port.socket.next_deadline()), (0, None));
    assert_eq!(port.bytes_out, 200_000 * Header::LENGTH);
}

#[test]
fn strangers_are_told_so_but_resets_are_never_answered() {
    let mut port = Port::new();
    let stray = Header { kind: Kind::Data, seq: 9, ack: 77, ..SYN };
    let reset = only(&port.receive("192.0.2.1:1", stray, b"x"));
    assert_eq!((reset.kind, reset.id, reset.ack), (Kind::Reset, 500, 9));
    assert_eq!(port.receive("192.0.2.1:1", Header { kind: Kind::Reset, ..stray }, b""), []);
}

#[test]
fn a_reset_counts_only_from_one_who_has_our_numbers() {
    let mut port = Port::new();
    let key = port.socket.unused_key("192.0.2.1:1".parse().unwrap()).unwrap();
    port.socket.handle(port.now, Event::Connect { key });
    let syn = only(&port.actions());
    let reset = Header { kind: Kind::Reset, id: key.id, ack: syn.seq.wrapping_add(1), ..SYN };
    assert_eq!(port.receive("192.0.2.1:1", reset, b""), []);
    let actions = port.receive("192.0.2.1:1", Header { ack: syn.seq, ..reset }, b"");
    assert_eq!(actions, [Action::Ended { key, end: utp::End::Reset }]);
    assert_eq!(port.socket.connections(), 0);
}
