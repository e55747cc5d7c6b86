//! Packets of one size for one address, side by side: one system call and one pass through the network stack (`UDP_SEGMENT`).
//!
//! Made by `Socket` for each turn of a connection. Knows nothing of what the packets say.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::BytesMut;

use crate::packet::Header;
use crate::path;
use crate::socket::Action;

/// The most packets that the system cuts one buffer into: Linux's limit, until 6.9.
pub const MAX_SEGMENTS: usize = 64;

/// A run under construction.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    to: SocketAddr,
    /// Holds nothing between runs.
    bytes: &'a mut BytesMut,
    actions: &'a mut VecDeque<Action>,
    /// The size of every packet but the last, which may be shorter.
    segment: usize,
    packets: usize,
    /// The last packet is shorter.
    closed: bool,
}

impl<'a> Run<'a> {
    pub(crate) fn new(to: SocketAddr, bytes: &'a mut BytesMut, actions: &'a mut VecDeque<Action>) -> Self {
        Self { to, bytes, actions, segment: 0, packets: 0, closed: false }
    }

    /// Adds a packet; a probe, which must not be fragmented, leaves alone.
    pub(crate) fn push(&mut self, header: &Header, selective: &[u8], payload: &[u8], probe: bool) {
        let extension = if selective.is_empty() { 0 } else { 2 + selective.len() };
        let size = Header::LENGTH + extension + payload.len();
        if probe || !self.takes(size) {
            self.finish(false);
        }
        header.encode(selective, self.bytes);
        self.bytes.extend_from_slice(payload);
        if self.packets == 0 {
            self.segment = size;
        }
        self.packets += 1;
        self.closed = size < self.segment;
        if probe {
            self.finish(true);
        }
    }

    fn takes(&self, size: usize) -> bool {
        !self.closed
            && size <= self.segment
            && self.packets < MAX_SEGMENTS
            && self.bytes.len() + size <= path::MOST
    }

    /// Sends what there is.
    pub(crate) fn finish(&mut self, probe: bool) {
        if self.packets > 0 {
            let bytes = self.bytes.split().freeze();
            self.actions.push_back(Action::Send { to: self.to, bytes, segment: self.segment, probe });
            (self.packets, self.closed) = (0, false);
        }
    }
}
