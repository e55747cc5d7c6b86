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
    pub(crate) fn push(&mut self, header: &Header, payload: &[u8], probe: bool) {
        let size = Header::LENGTH + payload.len();
        if probe || !self.takes(size) {
            self.finish(false);
        }
        header.encode(&[], None, self.bytes);
        self.bytes.extend_from_slice(payload);
        self.pushed(size);
        if probe {
            self.finish(true);
        }
    }

    /// Adds an acknowledgement.
    pub(crate) fn push_state(&mut self, header: &Header, selective: &[u8], takes: Option<u16>) {
        let extension = |length| if length == 0 { 0 } else { 2 + length };
        let size = Header::LENGTH + extension(selective.len()) + extension(takes.map_or(0, |_| 2));
        if !self.takes(size) {
            self.finish(false);
        }
        header.encode(selective, takes, self.bytes);
        self.pushed(size);
    }

    fn pushed(&mut self, size: usize) {
        if self.packets == 0 {
            self.segment = size;
        }
        self.packets += 1;
        self.closed = size < self.segment;
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
