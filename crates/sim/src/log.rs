//! What happened, as one number and, on request, as text.
//!
//! Every event told to a swarm and every action of one goes into the number, so two runs of one seed can be compared.

use std::io::Write;
use std::time::Duration;

use swarm::{Action, Event};
use wire::{Message, MetadataMessage};

pub(crate) struct Log<'a> {
    hash: u64,
    out: Option<&'a mut dyn Write>,
}

impl<'a> Log<'a> {
    pub(crate) fn new(out: Option<&'a mut dyn Write>) -> Self {
        Self { hash: 0, out }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn event(&mut self, now: Duration, node: &str, event: &Event) {
        self.stamp(now, node);
        match event {
            Event::Connected { peer, incoming, .. } => self.mix(&[1, peer.0, u64::from(*incoming)]),
            Event::DialFailed { .. } => self.mix(&[2]),
            Event::Said { peer, message } => {
                self.mix(&[3, peer.0]);
                self.message(message);
            }
            Event::Served { peer, block, bytes } => {
                self.mix(&[4, peer.0, block.piece().0.into(), block.begin().into(), (*bytes).into()]);
            }
            Event::Gone { peer } => self.mix(&[5, peer.0]),
            Event::Committed { piece, .. } => self.mix(&[6, piece.0.into()]),
            Event::Rejected { piece, .. } => self.mix(&[7, piece.0.into()]),
            Event::WriteFailed { piece } => self.mix(&[8, piece.0.into()]),
            Event::Found { at, .. } => self.mix(&[9, at.len() as u64]),
            Event::Tick => self.mix(&[10]),
            Event::Fetched { fetch, data } => {
                self.mix(&[12, fetch.0]);
                self.mix_bytes(data.get(..8).unwrap_or_default());
            }
            Event::FetchFailed { fetch, .. } => self.mix(&[13, fetch.0]),
            _ => self.mix(&[11]),
        }
        self.line(now, node, "<-", event);
    }

    pub(crate) fn action(&mut self, now: Duration, node: &str, action: &Action) {
        self.stamp(now, node);
        match action {
            Action::Dial(_) => self.mix(&[20]),
            Action::Say { peer, message } => {
                self.mix(&[21, peer.0]);
                self.message(message);
            }
            Action::Serve { peer, block } => {
                self.mix(&[22, peer.0, block.piece().0.into(), block.begin().into()]);
            }
            Action::Unserve { peer, block } => self.mix(&[23, peer.0, u64::from(block.is_some())]),
            Action::Commit { piece, .. } => self.mix(&[24, piece.0.into()]),
            Action::HangUp { peer, .. } => self.mix(&[25, peer.0]),
            Action::Ban(_) => self.mix(&[26]),
            Action::Compare { peer, block, .. } => self.mix(&[32, peer.0, block.piece().0.into()]),
            Action::Resized { mode, .. } => self.mix_bytes(mode.name().as_bytes()),
            Action::Complete => self.mix(&[27]),
            Action::WantPeers => self.mix(&[28]),
            Action::Fetch { seed, fetch, blocks } => {
                self.mix(&[29, seed.0.into(), fetch.0, blocks.len() as u64]);
            }
            Action::Unfetch(fetch) => self.mix(&[30, fetch.0]),
            Action::BanWebSeed(seed) => self.mix(&[31, seed.0.into()]),
        }
        self.line(now, node, "->", action);
    }

    /// What the world did, for the reader of the text.
    pub(crate) fn world(&mut self, now: Duration, node: &str, what: &str) {
        if let Some(out) = &mut self.out {
            let _ = writeln!(out, "{:>12.6} {node:<2} ** {what}", now.as_secs_f64());
        }
    }

    fn line(&mut self, now: Duration, node: &str, arrow: &str, what: &dyn std::fmt::Debug) {
        if let Some(out) = &mut self.out {
            let text = format!("{what:?}");
            let _ = writeln!(out, "{:>12.6} {node:<2} {arrow} {text:.MAX_TEXT$}", now.as_secs_f64());
        }
    }

    fn stamp(&mut self, now: Duration, node: &str) {
        self.mix(&[now.as_secs(), now.subsec_nanos().into()]);
        self.mix_bytes(node.as_bytes());
    }

    fn message(&mut self, message: &Message) {
        match message {
            Message::KeepAlive => self.mix(&[40]),
            Message::Choke => self.mix(&[41]),
            Message::Unchoke => self.mix(&[42]),
            Message::Interested => self.mix(&[43]),
            Message::NotInterested => self.mix(&[44]),
            Message::Have(piece) => self.mix(&[45, (*piece).into()]),
            Message::Bitfield(bits) => self.mix_bytes(bits),
            Message::Request(r) => self.mix(&[46, r.index.into(), r.begin.into()]),
            Message::Piece { index, begin, data } => {
                self.mix(&[47, (*index).into(), (*begin).into()]);
                self.mix_bytes(data.get(..8).unwrap_or_default());
            }
            Message::Cancel(r) => self.mix(&[48, r.index.into(), r.begin.into()]),
            Message::HaveAll => self.mix(&[49]),
            Message::HaveNone => self.mix(&[50]),
            Message::RejectRequest(r) => self.mix(&[51, r.index.into(), r.begin.into()]),
            Message::AllowedFast(piece) => self.mix(&[52, (*piece).into()]),
            Message::ExtensionHandshake(_) => self.mix(&[53]),
            Message::Metadata(MetadataMessage::Request(piece)) => self.mix(&[54, (*piece).into()]),
            Message::Metadata(MetadataMessage::Data { piece, .. }) => self.mix(&[55, (*piece).into()]),
            Message::Metadata(MetadataMessage::Reject(piece)) => self.mix(&[56, (*piece).into()]),
            Message::PeerExchange(message) => {
                self.mix(&[58, message.added.len() as u64, message.dropped.len() as u64]);
            }
            Message::Port(_) | Message::SuggestPiece(_) | Message::Unknown { .. } => self.mix(&[57]),
        }
    }

    fn mix_bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(&[u64::from_le_bytes(word)]);
        }
    }

    fn mix(&mut self, words: &[u64]) {
        for word in words {
            self.hash = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
    }
}

/// Longest text of one line: enough for all but payloads.
const MAX_TEXT: usize = 200;
