//! Runs uTP (BEP 29): a task for each UDP port, which owns its `utp::Socket`, and the ends of the streams that peers hold.
//!
//! Streams and port exchange data and credit, so neither waits for the other: a peer that reads slowly shows as a small window.

mod half;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ::utp::{Action, Config, ConnectionKey, Event, MAX_QUEUED, Socket};
use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::stream::Stream;

pub(crate) use half::{Reader, Writer};

/// Connections that wait for the listen task, which only spawns a handshake for each: few ever wait.
const ACCEPTED: usize = 64;

/// Parts of a stream that wait for their reader. A full window of the smallest full packets is that many; who sends smaller
/// ones on purpose, only to fill our memory with their edges, is hung up on.
const PARTS: usize = 2048;

/// Credits that wait for a writer; what does not fit is added to the next one.
const CREDITS: usize = 16;

/// The largest datagram there is.
const DATAGRAM: usize = 65_535;

/// Datagrams read before others get their turn.
const BATCH: usize = 32;

/// Bytes that the system may keep for us in each direction: what a fast line brings while we are busy elsewhere for a few
/// milliseconds. Systems grant less.
const SYSTEM_BUFFER: usize = 4 << 20;

/// How long the last packets may take when the engine stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is asked of a port. The channel is unbounded, but what is in it is not: every write uses up credit, there are few reads
/// for each window, and a connection is opened and closed once.
#[derive(Debug)]
pub(crate) enum Order {
    Dial(SocketAddr, oneshot::Sender<Stream>),
    Write(ConnectionKey, u64, Bytes),
    Read(ConnectionKey, u64, usize),
    Close(ConnectionKey, u64),
    /// See to the end of all connections, and end.
    Leave,
}

/// The ways to the ports of an engine, one for each address family at most.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ports(Vec<(SocketAddr, mpsc::UnboundedSender<Order>)>);

impl Ports {
    /// Connects; the answer takes a few seconds at most.
    pub(crate) async fn connect(&self, at: SocketAddr) -> io::Result<Stream> {
        let port = self.0.iter().find(|(local, _)| local.is_ipv4() == at.is_ipv4());
        let (_, orders) = port.ok_or(io::ErrorKind::Unsupported)?;
        let (answer, answered) = oneshot::channel();
        let gone = |_| io::ErrorKind::NotConnected;
        orders.send(Order::Dial(at, answer)).map_err(gone)?;
        answered.await.map_err(|_| io::ErrorKind::TimedOut.into())
    }

    /// Tells all ports that nothing more will be asked.
    pub(crate) fn leave(&self) {
        for (_, orders) in &self.0 {
            // One that is gone has left.
            let _gone = orders.send(Order::Leave);
        }
    }

    /// Adds a port, and gives its task and where it puts the connections that peers open.
    pub(crate) fn open(
        &mut self,
        socket: UdpSocket,
        start: Instant,
    ) -> io::Result<(Port, mpsc::Receiver<Accepted>)> {
        let (sender, orders) = mpsc::unbounded_channel();
        let (accepted, accepts) = mpsc::channel(ACCEPTED);
        let seed = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let system = socket2::SockRef::from(&socket);
        let sized =
            system.set_recv_buffer_size(SYSTEM_BUFFER).and(system.set_send_buffer_size(SYSTEM_BUFFER));
        if let Err(error) = sized {
            tracing::debug!(%error, "buffers of a UDP socket");
        }
        self.0.push((socket.local_addr()?, sender.clone()));
        let machine = Socket::new(Config::default(), fastrand::Rng::with_seed(seed));
        let port = Port {
            start,
            socket,
            machine,
            orders,
            to_us: sender,
            accepted,
            links: BTreeMap::new(),
            dials: BTreeMap::new(),
            links_made: 0,
            unsent: None,
            leaving: None,
            buffer: vec![0; DATAGRAM],
        };
        Ok((port, accepts))
    }
}

/// A connection that a peer opened.
pub(crate) type Accepted = (Stream, SocketAddr);

/// The task of one port.
pub(crate) struct Port {
    start: Instant,
    socket: UdpSocket,
    machine: Socket,
    orders: mpsc::UnboundedReceiver<Order>,
    /// For the streams.
    to_us: mpsc::UnboundedSender<Order>,
    accepted: mpsc::Sender<Accepted>,
    links: BTreeMap<ConnectionKey, Link>,
    dials: BTreeMap<ConnectionKey, oneshot::Sender<Stream>>,
    /// Numbers the links, for a peer may use a key again.
    links_made: u64,
    /// Datagrams that the system had no room for.
    unsent: Option<(SocketAddr, Bytes, usize)>,
    leaving: Option<Instant>,
    buffer: Vec<u8>,
}

/// The port's end of a stream.
struct Link {
    number: u64,
    parts: mpsc::Sender<io::Result<Bytes>>,
    credits: mpsc::Sender<usize>,
    /// Credit that did not fit.
    owed: usize,
}

impl Port {
    /// Runs until it is told to leave.
    pub(crate) async fn run(mut self) {
        loop {
            self.perform();
            if self.leaving.is_some_and(|until| self.machine.connections() == 0 || until <= Instant::now()) {
                return;
            }
            let deadline = self.machine.next_deadline().map(|at| self.start + at);
            let deadline = deadline.into_iter().chain(self.leaving).min();
            tokio::select! {
                order = self.orders.recv() => if let Some(order) = order { self.obey_all(order) },
                ready = self.socket.readable() => match ready {
                    Ok(()) => self.receive(),
                    Err(error) => return tracing::warn!(%error, "a UDP port"),
                },
                ready = self.socket.writable(), if self.unsent.is_some() => match ready {
                    Ok(()) => self.tick(),
                    Err(error) => return tracing::warn!(%error, "a UDP port"),
                },
                () = sleep_until(deadline.unwrap_or(self.start)), if deadline.is_some() => self.tick(),
            }
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn tick(&mut self) {
        self.machine.handle(self.start.elapsed(), Event::Tick);
    }

    fn obey_all(&mut self, first: Order) {
        self.obey(first);
        while let Ok(order) = self.orders.try_recv() {
            self.obey(order);
        }
    }

    fn obey(&mut self, order: Order) {
        let now = self.now();
        match order {
            // Without a free key the answer is dropped, and the dial fails.
            Order::Dial(at, answer) => {
                if let Some(key) = self.machine.unused_key(at) {
                    self.dials.insert(key, answer);
                    self.machine.handle(now, Event::Connect { key });
                }
            }
            Order::Write(key, number, bytes) if self.is_link(key, number) => {
                self.machine.handle(now, Event::Write { key, bytes });
            }
            Order::Read(key, number, bytes) if self.is_link(key, number) => {
                self.machine.handle(now, Event::Read { key, bytes });
            }
            Order::Close(key, number) if self.is_link(key, number) => self.close(key),
            Order::Write(..) | Order::Read(..) | Order::Close(..) => {}
            Order::Leave => self.leaving = Some(Instant::now() + FAREWELL),
        }
    }

    fn is_link(&self, key: ConnectionKey, number: u64) -> bool {
        self.links.get(&key).is_some_and(|link| link.number == number)
    }

    fn close(&mut self, key: ConnectionKey) {
        self.links.remove(&key);
        self.machine.handle(self.start.elapsed(), Event::Close { key });
    }

    fn receive(&mut self) {
        let now = self.now();
        for _ in 0..BATCH {
            match self.socket.try_recv_from(&mut self.buffer) {
                Ok((length, from)) => {
                    let bytes = &self.buffer[..length];
                    self.machine.handle(now, Event::Datagram { from, bytes, segment: length });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What comes back for a packet that found nobody is no trouble of the port.
                Err(error) => tracing::trace!(%error, "receiving a datagram"),
            }
        }
    }

    /// Does what the machine wants done, as far as the system takes datagrams.
    fn perform(&mut self) {
        if let Some((to, bytes, segment)) = self.unsent.take() {
            self.send(to, bytes, segment);
        }
        while self.unsent.is_none()
            && let Some(action) = self.machine.next_action()
        {
            match action {
                Action::Send { to, bytes, segment, .. } => self.send(to, bytes, segment),
                Action::Accepted { key } => {
                    let stream = self.link(key);
                    if self.accepted.try_send((stream, key.at)).is_err() {
                        self.close(key);
                    }
                }
                Action::Connected { key } => {
                    let stream = self.link(key);
                    let answered = self.dials.remove(&key).map(|answer| answer.send(stream));
                    if !matches!(answered, Some(Ok(()))) {
                        self.close(key);
                    }
                }
                Action::Data { key, bytes } => {
                    let taken = self.links.get(&key).map(|link| link.parts.try_send(Ok(bytes)));
                    if let Some(Err(error)) = taken {
                        tracing::debug!(at = %key.at, %error, "uTP data that nobody takes");
                        self.close(key);
                    }
                }
                Action::Writable { key, bytes } => {
                    if let Some(link) = self.links.get_mut(&key) {
                        link.owed += bytes;
                        if link.credits.try_send(link.owed).is_ok() {
                            link.owed = 0;
                        }
                    }
                }
                Action::Ended { key, end } => {
                    self.dials.remove(&key);
                    if let Some(link) = self.links.remove(&key).filter(|_| end != ::utp::End::Finished) {
                        // A reader that has that much to read will find out afterwards.
                        let _full = link.parts.try_send(Err(io::Error::other(end)));
                    }
                }
            }
        }
    }

    /// Sends datagrams; the rest is kept when the system has no room.
    fn send(&mut self, to: SocketAddr, mut bytes: Bytes, segment: usize) {
        while !bytes.is_empty() {
            let datagram = &bytes[..segment.min(bytes.len())];
            match self.socket.try_send_to(datagram, to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unsent = Some((to, bytes, segment));
                    return;
                }
                // As good as lost on the way: too large for the interface, or no way there.
                Err(error) => tracing::trace!(%to, %error, "sending a datagram"),
                Ok(_) => {}
            }
            bytes = bytes.split_off(segment.min(bytes.len()));
        }
    }

    fn link(&mut self, key: ConnectionKey) -> Stream {
        self.links_made += 1;
        let number = self.links_made;
        let (parts, parts_out) = mpsc::channel(PARTS);
        let (credits, credits_out) = mpsc::channel(CREDITS);
        self.links.insert(key, Link { number, parts, credits, owed: 0 });
        let (reader, writer) =
            half::pair(key, number, self.to_us.clone(), parts_out, credits_out, MAX_QUEUED);
        Stream::Utp(reader, writer)
    }
}
