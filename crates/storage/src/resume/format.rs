//! The bytes of a resume file, as `docs/formats.md` describes them.
//!
//! Pure: bytes in, values out, and back. What they mean for files on disk is the parent module's business.

use std::collections::BTreeMap;

use bytes::Bytes;
use metainfo::{Bitfield, FileIndex, InfoHash, Layout};
use sha2::{Digest, Sha256};

use super::Totals;
use crate::stamp::Stamp;

/// The version written, and the highest that is read.
pub(super) const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"HWRESUME";
/// Before every record, so that the next one is found behind a damaged one.
const MARK: &[u8; 4] = b"\xf5rec";
/// Bytes of a checksum: the first eight of a SHA-256, so an accident passes once in 2^64.
const CHECK: usize = 8;
/// Mark, kind and length in front of a payload.
const RECORD_HEAD: usize = MARK.len() + 1 + 4;

const HAVE: u8 = 1;
const PIECES: u8 = 2;
const STAMPS: u8 = 3;
const TOTALS: u8 = 4;
const INFO: u8 = 5;
const SESSION: u8 = 6;

/// Everything a resume file says.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) hash: InfoHash,
    /// The pieces claimed to be on disk, durable and right.
    pub(super) claimed: Bitfield,
    pub(super) stamps: BTreeMap<FileIndex, Stamp>,
    pub(super) totals: Totals,
    /// When it was last saved, in nanoseconds since 1970.
    pub(super) saved_ns: i64,
    /// The raw info dictionary, for torrents that began as a magnet link.
    pub(super) info: Option<Bytes>,
    /// The last session saved everything at its end.
    pub(super) ended: bool,
    /// A record in the middle could not be read.
    pub(super) damaged: bool,
    /// The last record is incomplete, so that nothing may be appended to the file.
    pub(super) torn: bool,
}

/// Why a file gives no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is of a newer version.
    Newer(u32),
    /// Its head is no head of ours.
    Damaged,
}

impl State {
    pub(super) fn empty(hash: InfoHash, pieces: u32) -> Self {
        Self {
            hash,
            claimed: Bitfield::none(pieces),
            stamps: BTreeMap::new(),
            totals: Totals::default(),
            saved_ns: 0,
            info: None,
            ended: false,
            damaged: false,
            torn: false,
        }
    }

    /// The whole file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from(*MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(self.hash.0);
        out.extend(self.claimed.len().to_le_bytes());
        out.extend(check(&[&out]));
        push(&mut out, HAVE, self.claimed.as_bytes());
        push_stamps(&mut out, &self.stamps);
        push_totals(&mut out, self.totals, self.saved_ns);
        if let Some(info) = &self.info {
            push(&mut out, INFO, info);
        }
        push_session(&mut out, self.ended);
        out
    }

    /// Reads a file. Records that are damaged or unknown are passed over; a torn last one is no damage.
    pub(super) fn decode(file: &[u8]) -> Result<Self, Unreadable> {
        let mut input = file;
        let magic = take::<8>(&mut input).ok_or(Unreadable::Damaged)?;
        let version = take(&mut input).map(u32::from_le_bytes).ok_or(Unreadable::Damaged)?;
        if &magic != MAGIC {
            return Err(Unreadable::Damaged);
        }
        if version > VERSION {
            return Err(Unreadable::Newer(version));
        }
        let hash = take(&mut input).map(InfoHash).ok_or(Unreadable::Damaged)?;
        let pieces = take(&mut input).map(u32::from_le_bytes).ok_or(Unreadable::Damaged)?;
        let head = file.get(..file.len() - input.len()).unwrap_or_default();
        let sum = take::<CHECK>(&mut input);
        if sum != Some(check(&[head])) || u64::from(pieces) > Layout::MAX_PIECES {
            return Err(Unreadable::Damaged);
        }
        let mut state = Self::empty(hash, pieces);
        while !input.is_empty() {
            match record(&mut input) {
                Some((kind, payload)) => state.damaged |= state.apply(kind, payload).is_none(),
                None if skip_to_record(&mut input) => state.damaged = true,
                None => state.torn = true,
            }
        }
        Ok(state)
    }

    /// `None` if the payload makes no sense.
    fn apply(&mut self, kind: u8, mut payload: &[u8]) -> Option<()> {
        match kind {
            HAVE => self.claimed = Bitfield::from_wire(payload, self.claimed.len())?,
            PIECES => {
                while !payload.is_empty() {
                    let (first, count) = (u32_from(&mut payload)?, u32_from(&mut payload)?);
                    let end = first.checked_add(count).filter(|&end| end <= self.claimed.len())?;
                    (first..end).for_each(|piece| _ = self.claimed.set(piece));
                }
            }
            STAMPS => {
                while !payload.is_empty() {
                    let file = FileIndex(u32_from(&mut payload)?);
                    let size = u64_from(&mut payload)?;
                    let mtime_ns = take(&mut payload).map(i64::from_le_bytes)?;
                    self.stamps.insert(file, Stamp { size, mtime_ns });
                }
            }
            TOTALS => {
                let (uploaded, downloaded) = (u64_from(&mut payload)?, u64_from(&mut payload)?);
                self.totals = Totals { uploaded, downloaded };
                self.saved_ns = take(&mut payload).map(i64::from_le_bytes)?;
            }
            INFO => self.info = Some(Bytes::copy_from_slice(payload)),
            SESSION => self.ended = payload.first() == Some(&1),
            // Written by a later version that this one can still read.
            _ => {}
        }
        Some(())
    }
}

/// Newly claimed pieces, as runs.
pub(super) fn push_pieces(out: &mut Vec<u8>, pieces: impl IntoIterator<Item = u32>) {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for piece in pieces {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == piece => *count += 1,
            _ => runs.push((piece, 1)),
        }
    }
    let payload: Vec<u8> =
        runs.iter().flat_map(|(first, count)| [first.to_le_bytes(), count.to_le_bytes()].concat()).collect();
    push(out, PIECES, &payload);
}

pub(super) fn push_stamps(out: &mut Vec<u8>, stamps: &BTreeMap<FileIndex, Stamp>) {
    let mut payload = Vec::with_capacity(stamps.len() * 20);
    for (file, stamp) in stamps {
        payload.extend(file.0.to_le_bytes());
        payload.extend(stamp.size.to_le_bytes());
        payload.extend(stamp.mtime_ns.to_le_bytes());
    }
    push(out, STAMPS, &payload);
}

pub(super) fn push_totals(out: &mut Vec<u8>, totals: Totals, saved_ns: i64) {
    let payload =
        [totals.uploaded.to_le_bytes(), totals.downloaded.to_le_bytes(), saved_ns.to_le_bytes()].concat();
    push(out, TOTALS, &payload);
}

pub(super) fn push_session(out: &mut Vec<u8>, ended: bool) {
    push(out, SESSION, &[u8::from(ended)]);
}

fn push(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a record is far shorter than 4 GiB").to_le_bytes();
    out.extend(MARK);
    out.push(kind);
    out.extend(length);
    out.extend(payload);
    out.extend(check(&[&[kind], &length, payload]));
}

/// Takes a record off the front, if a whole and undamaged one stands there.
fn record<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let mut rest = *input;
    (take::<4>(&mut rest)? == *MARK).then_some(())?;
    let [kind] = take::<1>(&mut rest)?;
    let length = take::<4>(&mut rest)?;
    let (payload, mut rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(length)).ok()?)?;
    (take::<CHECK>(&mut rest)? == check(&[&[kind], &length, payload])).then_some(())?;
    *input = rest;
    Some((kind, payload))
}

/// Goes on to the next good record. Whether there is one tells damage from a torn tail.
fn skip_to_record(input: &mut &[u8]) -> bool {
    let at = (1..input.len().saturating_sub(RECORD_HEAD)).find(|&at| {
        let mut candidate = input.get(at..).unwrap_or_default();
        candidate.starts_with(MARK) && record(&mut candidate).is_some()
    });
    *input = at.and_then(|at| input.get(at..)).unwrap_or_default();
    at.is_some()
}

fn check(parts: &[&[u8]]) -> [u8; CHECK] {
    let mut sha256 = Sha256::new();
    for part in parts {
        sha256.update(part);
    }
    let mut check = [0; CHECK];
    check.copy_from_slice(&sha256.finalize()[..CHECK]);
    check
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*taken)
}

fn u32_from(input: &mut &[u8]) -> Option<u32> {
    take(input).map(u32::from_le_bytes)
}

fn u64_from(input: &mut &[u8]) -> Option<u64> {
    take(input).map(u64::from_le_bytes)
}
