//! Bytes on their way to one peer: control messages joined into one chunk, blocks as they lie in memory.
//!
//! Owned by the peer task. It knows the order in which bytes must leave (a message is never cut by another, control messages
//! overtake whole blocks), not when they may.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use metainfo::BlockRef;
use wire::encryption::Cipher;
use wire::{Encoder, Message};

use crate::buffers::{Buffers, FEW, ROOM};

/// What stands before each block: length, id, piece, offset.
const HEADER: usize = 13;

/// Slices of one write: header and payload of 64 blocks, a mebibyte, and what goes before them. Few large writes cost less
/// than many small ones; more than a socket takes at once is built for nothing.
pub(crate) const SLICES: usize = 132;

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) encoder: Encoder,
    /// Control messages not yet committed to an order.
    control: BytesMut,
    /// Leaves first: the rest of a message that is partly sent, and control messages.
    front: VecDeque<Bytes>,
    /// Leaves after that.
    blocks: VecDeque<Block>,
    front_bytes: usize,
    block_bytes: usize,
    /// Encrypts what leaves; `None`: it leaves as it is.
    cipher: Option<Box<Cipher>>,
    /// Encrypted already: leaves before everything.
    sealed: Bytes,
}

#[derive(Debug)]
struct Block {
    header: Bytes,
    data: Bytes,
    of: BlockRef,
}

impl Outbox {
    pub(crate) fn new(cipher: Option<Box<Cipher>>) -> Self {
        Self { cipher, ..Self::default() }
    }

    /// Bytes that are no message: the handshake.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.control.extend_from_slice(bytes);
    }

    /// A control message.
    pub(crate) fn say(&mut self, message: &Message) {
        self.encoder.encode(message, &mut self.control);
    }

    /// Neighbouring blocks, and the bytes of all of them.
    pub(crate) fn serve(&mut self, run: &[BlockRef], mut data: Bytes) {
        let mut headers = BytesMut::with_capacity(run.len() * HEADER);
        for block in run {
            headers.extend_from_slice(&wire::piece_header(block.piece().0, block.begin(), block.length()));
        }
        for &block in run {
            let length = data.len().min(block.length() as usize);
            let block =
                Block { header: headers.split_to(HEADER).freeze(), data: data.split_to(length), of: block };
            self.block_bytes += block.data.len();
            self.blocks.push_back(block);
        }
    }

    /// Drops a block, if nothing of it has left; `None`: every such block.
    pub(crate) fn unserve(&mut self, block: Option<BlockRef>) {
        self.blocks.retain(|queued| block.is_some_and(|block| queued.of != block));
        self.block_bytes = self.blocks.iter().map(|queued| queued.data.len()).sum();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sealed.is_empty() && self.control.is_empty() && self.front.is_empty() && self.blocks.is_empty()
    }

    /// Bytes that wait apart from blocks.
    pub(crate) fn backlog(&self) -> usize {
        self.control.len() + self.front_bytes
    }

    /// Payload bytes that wait.
    pub(crate) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Encrypts a copy of what is next, at most `limit` bytes, if bytes are to be encrypted and none are yet; `served` is told
    /// each block that begins in it. The bytes themselves may be on their way to other peers.
    pub(crate) fn seal(&mut self, buffers: &Buffers, limit: usize, served: impl FnMut(BlockRef)) {
        let Some(mut cipher) = self.cipher.take_if(|_| self.sealed.is_empty()) else { return };
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = self.fill(&mut slices, limit.min(ROOM));
        let slices = slices.get(..filled).unwrap_or_default();
        let length = slices.iter().map(|slice| slice.len()).sum();
        let mut buffer = if length < FEW { BytesMut::with_capacity(length) } else { buffers.take() };
        for slice in slices {
            buffer.extend_from_slice(slice);
        }
        cipher.apply(&mut buffer);
        self.advance(length, served);
        self.sealed = buffer.split().freeze();
        if length >= FEW {
            buffers.give(buffer);
        }
        self.cipher = Some(cipher);
    }

    /// What to write next, at most `limit` bytes, as slices; how many of `slices` were filled.
    pub(crate) fn fill<'a>(&'a mut self, slices: &mut [IoSlice<'a>; SLICES], mut limit: usize) -> usize {
        if !self.sealed.is_empty() {
            let length = self.sealed.len().min(limit);
            slices[0] = IoSlice::new(self.sealed.get(..length).unwrap_or_default());
            return 1;
        }
        if !self.control.is_empty() {
            self.front_bytes += self.control.len();
            self.front.push_back(self.control.split().freeze());
        }
        let blocks = self.blocks.iter().flat_map(|block| [&block.header, &block.data]);
        let mut filled = 0;
        for (slot, chunk) in slices.iter_mut().zip(self.front.iter().chain(blocks)) {
            let length = chunk.len().min(limit);
            *slot = IoSlice::new(chunk.get(..length).unwrap_or_default());
            limit -= length;
            filled += 1;
            if limit == 0 {
                break;
            }
        }
        filled
    }

    /// `written` bytes have left; `served` is told each block whose first byte was among them.
    pub(crate) fn advance(&mut self, mut written: usize, mut served: impl FnMut(BlockRef)) {
        if !self.sealed.is_empty() {
            return self.sealed.advance(written);
        }
        while let Some(chunk) = self.front.front_mut().filter(|_| written > 0) {
            let length = chunk.len().min(written);
            chunk.advance(length);
            written -= length;
            self.front_bytes -= length;
            if chunk.is_empty() {
                self.front.pop_front();
            }
        }
        while written > 0
            && let Some(Block { mut header, mut data, of }) = self.blocks.pop_front()
        {
            served(of);
            self.block_bytes -= data.len();
            let from_header = written.min(header.len());
            header.advance(from_header);
            let from_data = (written - from_header).min(data.len());
            data.advance(from_data);
            written -= from_header + from_data;
            for rest in [header, data].into_iter().filter(|rest| !rest.is_empty()) {
                self.front_bytes += rest.len();
                self.front.push_back(rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use metainfo::{BLOCK, Layout};

    use super::*;

    fn drain(outbox: &mut Outbox, step: usize) -> (Vec<u8>, Vec<u32>) {
        let (mut bytes, mut served) = (Vec::new(), Vec::new());
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = outbox.fill(&mut slices, step);
            let now: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
            assert!(!now.is_empty() && now.len() <= step);
            outbox.advance(now.len(), |block| served.push(block.begin()));
            bytes.extend(now);
        }
        assert_eq!((outbox.backlog(), outbox.block_bytes()), (0, 0));
        (bytes, served)
    }

    fn two_blocks() -> Outbox {
        let layout = Layout::contiguous(u64::from(2 * BLOCK), [(u64::from(2 * BLOCK), false)]).unwrap();
        let run: Vec<BlockRef> = layout.blocks(metainfo::PieceIndex(0)).collect();
        let mut outbox = Outbox::default();
        outbox.serve(&run, vec![7; 2 * BLOCK as usize].into());
        outbox
    }

    #[test]
    fn bytes_leave_in_the_same_order_however_small_the_writes() {
        let whole = drain(&mut two_blocks(), usize::MAX);
        assert_eq!(whole.0.len(), 2 * (HEADER + BLOCK as usize));
        assert_eq!(whole.1, [0, BLOCK]);
        for step in [1, 7, 1000, 20_000] {
            assert_eq!(drain(&mut two_blocks(), step), whole, "{step}");
        }
    }

    #[test]
    fn a_block_that_is_taken_back_does_not_leave_unless_it_has_begun_to() {
        let mut outbox = two_blocks();
        let (first, second) = (outbox.blocks[0].of, outbox.blocks[1].of);
        let mut slices = [IoSlice::new(&[]); SLICES];
        outbox.fill(&mut slices, 100);
        outbox.advance(100, |_| {});
        outbox.unserve(Some(first));
        outbox.unserve(Some(second));
        let (bytes, served) = drain(&mut outbox, usize::MAX);
        assert_eq!((bytes.len(), served.len()), (HEADER + BLOCK as usize - 100, 0));
    }

    #[test]
    fn a_cipher_changes_every_byte_once_and_no_block_that_others_may_hold() {
        let whole = drain(&mut two_blocks(), usize::MAX);
        for step in [1000, 20_000, usize::MAX] {
            let (mut outbox, cipher) = (two_blocks(), cipher());
            let shared = outbox.blocks[0].data.clone();
            outbox.cipher = Some(Box::new(cipher.clone()));
            let (mut bytes, mut served, buffers) = (Vec::new(), Vec::new(), Buffers::default());
            while !outbox.is_empty() {
                outbox.seal(&buffers, step, |block| served.push(block.begin()));
                let mut slices = [IoSlice::new(&[]); SLICES];
                assert_eq!(outbox.fill(&mut slices, step / 2), 1);
                bytes.extend(slices[0].to_vec());
                let length = slices[0].len();
                outbox.advance(length, |_| panic!("served twice"));
            }
            cipher.clone().apply(&mut bytes);
            assert_eq!((bytes, served), whole.clone(), "{step}");
            assert!(shared.iter().all(|&byte| byte == 7));
        }
    }

    /// Of a connection to ourselves.
    fn cipher() -> wire::encryption::Cipher {
        use wire::encryption::{Exchange, torrent_name};
        let hash = metainfo::InfoHash([1; 20]);
        let mut a = Exchange::dial([1; 20], Vec::new(), false, hash, Vec::new());
        let mut b = Exchange::answer([2; 20], Vec::new(), false);
        let find = |name: &[u8; 20]| (*name == torrent_name(&hash)).then_some(hash);
        b.receive(&mut &a.output()[..], find).unwrap();
        a.receive(&mut &b.output()[..], find).unwrap();
        let settled = b.receive(&mut &a.output()[..], find).unwrap().unwrap();
        *settled.outgoing.unwrap()
    }

    #[test]
    fn control_messages_overtake_whole_blocks_but_never_cut_one() {
        let mut outbox = two_blocks();
        let mut slices = [IoSlice::new(&[]); SLICES];
        outbox.fill(&mut slices, 100);
        outbox.advance(100, |_| {});
        outbox.say(&Message::Choke);
        let (bytes, _) = drain(&mut outbox, usize::MAX);
        let rest = HEADER + BLOCK as usize - 100;
        assert_eq!(bytes[rest..rest + 5], [0, 0, 0, 1, 0]);
    }
}
