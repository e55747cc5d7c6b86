//! One connection: bytes in, events to the torrent; orders of the torrent, bytes out (BEP 3; architecture section 3).
//!
//! Owns the socket, both directions' buffers and the queue of blocks to serve. Decides nothing but the order of bytes:
//! what to ask and whom to serve is the swarm's.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use metainfo::{BlockRef, PieceIndex};
use storage::StorageError;
use swarm::{Event, PeerKey};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};
use wire::encryption::Cipher;
use wire::{Decoder, Message};

use crate::PEER_ORDERS;
use crate::buffers::{FEW, READ};
use crate::encryption::Ciphers;
use crate::limits::Allowance;
use crate::outbox::{Outbox, SLICES};
use crate::outside::{Home, Input};
use crate::stream::{Reader, Stream, Writer};

/// Blocks a peer may wait for (P-06). What other clients grant too; the swarm stops granting earlier.
const QUEUE: usize = 2000;

/// Control bytes waiting for a peer beyond which nothing more is read from it: whoever does not listen need not speak.
/// Twice the longest bitfield, which must never count as not listening.
const BACKLOG: usize = 1 << 20;

/// How long a peer may take none of the bytes that wait for it (P-06).
const STALL: Duration = Duration::from_secs(60);

/// What the torrent wants of a peer task. Dropping the channel hangs up.
#[derive(Debug)]
pub(crate) enum Order {
    Say(Message),
    Serve(BlockRef),
    Unserve(Option<BlockRef>),
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("we hung up")]
    HungUp,
    #[error("the peer hung up")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Fault(#[from] wire::Fault),
    #[error("took nothing for a minute")]
    Stalled,
    #[error("queued more blocks than it was granted")]
    Overflow,
}

/// A connection that is through its handshake.
pub(crate) struct Peer {
    key: PeerKey,
    home: Arc<Home>,
    reader: Reader,
    writer: Writer,
    orders: mpsc::Receiver<Vec<Order>>,
    /// What the torrent has not been told yet.
    events: Vec<Event>,
    /// Of what arrives; `None`: it is in the clear.
    incoming: Option<Box<Cipher>>,
    decoder: Decoder,
    /// The start of a message that is not all there.
    partial: Vec<u8>,
    outbox: Outbox,
    /// Blocks to serve that have not been read.
    queue: VecDeque<BlockRef>,
    /// Blocks on their way from the disk.
    reading: Option<oneshot::Receiver<Reading>>,
    /// Held while there are blocks to send.
    serving: Option<Arc<()>>,
    may_receive: Allowance,
    may_send: Allowance,
    /// When the peer last took bytes, or had none to take.
    taken: Instant,
    _place: OwnedSemaphorePermit,
}

type Reading = (Vec<BlockRef>, Result<Bytes, (PieceIndex, StorageError)>);

impl Peer {
    pub(crate) fn new(
        key: PeerKey,
        home: Arc<Home>,
        stream: Stream,
        ciphers: Ciphers,
        place: OwnedSemaphorePermit,
        orders: mpsc::Receiver<Vec<Order>>,
    ) -> Self {
        let (reader, writer) = stream.into_split();
        Self {
            key,
            home,
            reader,
            writer,
            orders,
            events: Vec::new(),
            incoming: ciphers.incoming,
            decoder: Decoder::new(),
            partial: Vec::new(),
            outbox: Outbox::new(ciphers.outgoing),
            queue: VecDeque::new(),
            reading: None,
            serving: None,
            may_receive: Allowance::default(),
            may_send: Allowance::default(),
            taken: Instant::now(),
            _place: place,
        }
    }

    /// Puts our half of the handshake before everything else.
    pub(crate) fn shake(&mut self, handshake: &wire::Handshake) {
        self.outbox.raw(&handshake.encode());
    }

    /// Runs until either side hangs up. The last event the torrent gets is `Gone`.
    pub(crate) async fn run(mut self) {
        let end = self.converse().await;
        tracing::debug!(peer = self.key.0, reason = %end, "connection ended");
        self.events.push(Event::Gone { peer: self.key });
        let events = std::mem::take(&mut self.events);
        if self.home.inbox.send(Input::Events(events)).await.is_err() {
            tracing::trace!("the torrent ended first");
        }
    }

    async fn converse(&mut self) -> End {
        // The torrent's first orders leave together with the handshake.
        match self.orders.recv().await {
            Some(orders) => self.obey(orders),
            None => return End::HungUp,
        }
        let mut stall = pin!(sleep_until(self.taken + STALL));
        let mut batches = Vec::new();
        let home = self.home.clone();
        loop {
            let turn = self.turn(&home, &mut batches, stall.as_mut()).await;
            if let Err(end) = turn {
                return end;
            }
        }
    }

    /// Waits for one thing to happen, and does what follows from it.
    async fn turn(
        &mut self,
        home: &Home,
        batches: &mut Vec<Vec<Order>>,
        mut stall: Pin<&mut Sleep>,
    ) -> Result<(), End> {
        self.read_ahead();
        let now = Instant::now();
        let full = home.context.backlog.is_full();
        let reads = self.events.is_empty() && self.outbox.backlog() < BACKLOG && !full;
        let writes = !self.outbox.is_empty();
        let receive = if reads { self.may_receive.claim(now, home.download()) } else { Ok(0) };
        let send = if writes { self.may_send.claim(now, home.upload()) } else { Ok(0) };
        tokio::select! {
            received = self.orders.recv_many(batches, PEER_ORDERS) => {
                if received == 0 {
                    return Err(End::HungUp);
                }
                for orders in batches.drain(..) {
                    self.obey(orders);
                }
                if self.queue.len() > QUEUE { Err(End::Overflow) } else { Ok(()) }
            }
            permit = home.inbox.reserve(), if !self.events.is_empty() => {
                let permit = permit.map_err(|_| End::HungUp)?;
                permit.send(Input::Events(std::mem::take(&mut self.events)));
                // The torrent takes them before more are read: what waits is memory, and no longer in the core's cache.
                tokio::task::yield_now().await;
                Ok(())
            }
            data = finished(&mut self.reading), if self.reading.is_some() => {
                self.serve(data);
                Ok(())
            }
            () = home.context.backlog.room(), if full => Ok(()),
            waited = readable(&mut self.reader, receive), if reads => {
                waited?;
                let Ok(most) = receive else { return Ok(()) };
                self.read(most)
            }
            waited = writable(&mut self.writer, send), if writes => {
                waited?;
                let Ok(most) = send else { return Ok(()) };
                self.write(most).await
            }
            () = stall.as_mut() => {
                if !self.outbox.is_empty() && self.taken.elapsed() >= STALL {
                    return Err(End::Stalled);
                }
                stall.reset(if self.outbox.is_empty() { now } else { self.taken } + STALL);
                Ok(())
            }
        }
    }

    fn obey(&mut self, orders: Vec<Order>) {
        if self.outbox.is_empty() {
            self.taken = Instant::now();
        }
        for order in orders {
            match order {
                Order::Say(message) => self.outbox.say(&message),
                Order::Serve(block) => self.queue.push_back(block),
                Order::Unserve(None) => {
                    self.queue.clear();
                    self.outbox.unserve(None);
                    self.reading = None;
                }
                Order::Unserve(Some(block)) => {
                    self.queue.retain(|&queued| queued != block);
                    self.outbox.unserve(Some(block));
                }
            }
        }
    }

    /// Starts reading the next blocks from disk when little is left to send: what was asked for together leaves together.
    fn read_ahead(&mut self) {
        let Self { outbox, home, .. } = self;
        if self.queue.is_empty() && self.reading.is_none() && outbox.block_bytes() == 0 {
            self.serving = None;
            return;
        }
        self.serving.get_or_insert_with(|| home.context.serving.clone());
        let mut room = home.context.served_at_once();
        if self.reading.is_some() || self.queue.is_empty() || outbox.block_bytes() >= room as usize {
            return;
        }
        let Some(files) = home.files.get() else { return };
        let fits = |block: &&BlockRef| {
            let left = room.checked_sub(block.length());
            left.inspect(|&left| room = left).is_some()
        };
        let count = self.queue.iter().take_while(fits).count().max(1);
        let (done, reading) = oneshot::channel();
        home.context.disk.read(files, self.queue.drain(..count).collect(), move |blocks, result| {
            // A peer that is gone by then needs no data.
            let _gone = done.send((blocks, result));
        });
        self.reading = Some(reading);
    }

    /// Queues what the disk read. Blocks of a piece it could not read are given up, and their piece with them.
    fn serve(&mut self, read: Option<Reading>) {
        self.reading = None;
        let Some((mut blocks, result)) = read else { return tracing::debug!("the disk dropped a read") };
        if self.outbox.is_empty() {
            self.taken = Instant::now();
        }
        match result {
            Ok(data) => self.outbox.serve(&blocks, data),
            Err((piece, error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "reading a block");
                let peer = self.key;
                let lost = blocks.extract_if(.., |block| block.piece() == piece);
                self.events.extend(lost.map(|block| Event::Served { peer, block, bytes: 0 }));
                self.events.push(Event::Lost { piece });
                blocks.into_iter().rev().for_each(|block| self.queue.push_front(block));
            }
        }
    }

    /// Reads once, and turns every whole message into an event.
    fn read(&mut self, most: usize) -> Result<(), End> {
        let input =
            if self.partial.len() >= READ / 2 { self.read_long(most)? } else { self.read_short(most)? };
        let Some(mut input) = input else { return Ok(()) };
        let peer = self.key;
        while let Some(message) = self.decoder.decode(&mut input)? {
            if let Message::ExtensionHandshake(handshake) = &message {
                self.outbox.encoder.heard(handshake);
            }
            self.events.push(Event::Said { peer, message });
        }
        self.partial.clear();
        self.partial.extend_from_slice(&input);
        Ok(())
    }

    /// The usual read, into a buffer that is used again.
    fn read_short(&mut self, most: usize) -> Result<Option<Bytes>, End> {
        let buffers = &self.home.context.buffers;
        let mut buffer = buffers.take();
        buffer.extend_from_slice(&self.partial);
        let read = received(self.reader.try_read_buf(&mut (&mut buffer).limit(most.min(READ))))?;
        self.may_receive.spend(read);
        if let Some(cipher) = &mut self.incoming {
            cipher.apply(&mut buffer[self.partial.len()..]);
        }
        // A few bytes must not keep a large buffer from being used again.
        let input = match read {
            0 => None,
            FEW.. => Some(buffer.split().freeze()),
            _ => Some(Bytes::copy_from_slice(&buffer)),
        };
        buffer.clear();
        buffers.give(buffer);
        Ok(input)
    }

    /// A message longer than the usual buffer, which only a bitfield has reason to be: the decoder bounds it (P-01).
    fn read_long(&mut self, most: usize) -> Result<Option<Bytes>, End> {
        let kept = self.partial.len();
        let read = received(self.reader.try_read_buf(&mut (&mut self.partial).limit(most.min(READ))))?;
        self.may_receive.spend(read);
        if let Some(cipher) = &mut self.incoming {
            cipher.apply(&mut self.partial[kept..]);
        }
        Ok((read > 0).then(|| std::mem::take(&mut self.partial).into()))
    }

    /// Writes once, as much as the socket takes.
    async fn write(&mut self, most: usize) -> Result<(), End> {
        let (peer, events) = (self.key, &mut self.events);
        let mut served = |block: BlockRef| events.push(Event::Served { peer, block, bytes: block.length() });
        self.outbox.seal(&self.home.context.buffers, most, &mut served);
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = self.outbox.fill(&mut slices, most);
        let Some(written) = write_once(&mut self.writer, &slices[..filled]).await? else { return Ok(()) };
        self.may_send.spend(written);
        self.taken = Instant::now();
        self.outbox.advance(written, served);
        Ok(())
    }
}

async fn finished(reading: &mut Option<oneshot::Receiver<Reading>>) -> Option<Reading> {
    match reading {
        Some(reading) => reading.await.ok(),
        None => None,
    }
}

/// Waits until the socket can be read; or, without an allowance, until it is time to ask for one.
async fn readable(reader: &mut Reader, allowance: Result<usize, Instant>) -> io::Result<()> {
    match allowance {
        Ok(_) => reader.readable().await,
        Err(later) => {
            sleep_until(later).await;
            Ok(())
        }
    }
}

/// The same for writing.
async fn writable(writer: &mut Writer, allowance: Result<usize, Instant>) -> io::Result<()> {
    match allowance {
        Ok(_) => writer.writable().await,
        Err(later) => {
            sleep_until(later).await;
            Ok(())
        }
    }
}

/// What one read without waiting gave, in bytes; 0: nothing was there after all. An end of the stream means the peer hung up.
fn received(read: io::Result<usize>) -> Result<usize, End> {
    match read {
        Ok(0) => Err(End::Closed),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        read => Ok(read?),
    }
}

/// One write without waiting; `None`: nothing was taken after all.
async fn write_once(writer: &mut Writer, slices: &[IoSlice<'_>]) -> Result<Option<usize>, End> {
    let polled = poll_fn(|cx| match writer.poll_write(cx, slices) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => Poll::Ready(None),
    });
    polled.await.transpose().map_err(End::from)
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use metainfo::{InfoHash, PeerId};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::Config;
    use crate::context::Context;
    use crate::limits::Bucket;

    /// A peer task over a real socket, the other end of it, and the torrent's inbox.
    async fn connected(
        dir: &std::path::Path,
    ) -> (Peer, TcpStream, mpsc::Sender<Vec<Order>>, mpsc::Receiver<Input>) {
        let context = Arc::new(Context::new(Config::new(dir.to_owned()), 1).await.unwrap());
        let (sender, inbox) = mpsc::channel(8);
        let now = Instant::now();
        let home = Arc::new(Home {
            wire_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
            inbox: sender,
            files: OnceLock::new(),
            download: Bucket::new(now, None),
            upload: Bucket::new(now, None),
            context,
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (ours, theirs) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let place = home.context.connections.clone().try_acquire_owned().unwrap();
        let (orders, queue) = mpsc::channel(8);
        (
            Peer::new(PeerKey(1), home, Stream::Tcp(ours.unwrap()), Ciphers::default(), place, queue),
            theirs.unwrap().0,
            orders,
            inbox,
        )
    }

    // P-06
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_for_a_minute_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let (peer, _theirs, orders, mut inbox) = connected(dir.path()).await;
        let much = Message::Bitfield(vec![0; 64 << 20].into());
        orders.try_send(vec![Order::Say(much)]).unwrap();
        let begin = Instant::now();
        peer.run().await;
        assert!(begin.elapsed() >= STALL);
        let Some(Input::Events(events)) = inbox.recv().await else { panic!("no events") };
        assert!(matches!(events[..], [Event::Gone { peer: PeerKey(1) }]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_peer_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (peer, _theirs, orders, _inbox) = connected(dir.path()).await;
        orders.try_send(vec![Order::Say(Message::Interested)]).unwrap();
        let idle = tokio::time::timeout(10 * STALL, peer.run()).await;
        assert!(idle.is_err());
    }
}
