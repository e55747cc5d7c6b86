//! The opening of an encrypted connection, for both sides, until the ciphers are settled.
//!
//! Owned by the engine while it opens a connection. A machine: bytes in, bytes out. It never asks for more than it will use,
//! so that what follows the exchange stays in the socket, and what it holds is bounded by the padding.

use metainfo::InfoHash;
use sha1::{Digest, Sha1};

use super::key::{self, PUBLIC, SECRET};
use super::rc4::Cipher;

/// The longest padding, of either kind, in bytes.
pub const MAX_PADDING: usize = 512;

/// What a side encrypts first, so that the other finds the place and sees that it has the key.
const VERIFY: [u8; 8] = [0; 8];

/// The bit of a method: the payload in the clear.
const CLEAR: u32 = 1;

/// The bit of a method: the payload encrypted.
const RC4: u32 = 2;

/// What each side says behind the verification: its method or methods, the length of the padding.
const CHOICE: usize = 4 + 2;

/// What the dialler says last: the length of its first bytes.
const FIRST: usize = 2;

/// Why an exchange came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeFault {
    /// A public key with which everybody would know the secret.
    #[error("a weak public key")]
    WeakKey,
    /// More padding than there may be, or bytes that are no exchange.
    #[error("no end of the padding")]
    Lost,
    /// None of our torrents.
    #[error("an encrypted connection for an unknown torrent")]
    UnknownTorrent,
    /// The other side has another key.
    #[error("the verification is wrong")]
    Unverified,
    /// No method that both sides take.
    #[error("no common method of encryption")]
    NoMethod,
}

/// A settled exchange: what the bytes to come are, in each direction.
#[derive(Debug)]
pub struct Settled {
    /// The torrent the connection is for.
    pub info_hash: InfoHash,
    /// Of the bytes to come; `None`: they are in the clear.
    pub incoming: Option<Box<Cipher>>,
    /// Of the bytes to go.
    pub outgoing: Option<Box<Cipher>>,
}

/// The name under which an encrypted connection speaks of a torrent: who knows its hash can compare, nobody can read it.
pub fn torrent_name(hash: &InfoHash) -> [u8; 20] {
    sha1([b"req2", &hash.0])
}

/// See the module's head.
pub struct Exchange {
    secret: [u8; SECRET],
    /// Goes behind our key.
    padding: Vec<u8>,
    /// The methods we take.
    methods: u32,
    /// What the dialler dials for; `None`: we answer.
    call: Option<Call>,
    state: State,
    /// What came and is not used yet.
    input: Vec<u8>,
    output: Vec<u8>,
}

struct Call {
    torrent: InfoHash,
    /// What goes with the exchange: the handshake.
    first: Vec<u8>,
}

/// What the next bytes are.
enum State {
    /// Their public key.
    Key,
    /// Padding, up to these bytes.
    Padding { end: Vec<u8>, then: Box<State> },
    /// The torrent's name, hidden behind the shared secret.
    Torrent([u8; PUBLIC]),
    /// The dialler's methods and the length of its second padding.
    Offer(Pair),
    /// That padding, then the length of the dialler's first bytes.
    First { pair: Pair, padding: usize, method: u32 },
    /// The answerer's method and the length of its second padding.
    Choice(Pair),
    /// That padding.
    Last { pair: Pair, padding: usize, method: u32 },
    /// Nothing more.
    Over,
}

/// The ciphers of both directions.
struct Pair {
    torrent: InfoHash,
    incoming: Box<Cipher>,
    outgoing: Box<Cipher>,
}

impl Exchange {
    /// Dials for a torrent. `clear`: the payload may go unencrypted after the exchange. `first` goes with the exchange.
    pub fn dial(
        secret: [u8; SECRET],
        padding: Vec<u8>,
        clear: bool,
        torrent: InfoHash,
        first: Vec<u8>,
    ) -> Self {
        let mut exchange = Self::new(secret, padding, clear, Some(Call { torrent, first }));
        exchange.say_key();
        exchange
    }

    /// Answers a dialler, once it has said its key.
    pub fn answer(secret: [u8; SECRET], padding: Vec<u8>, clear: bool) -> Self {
        Self::new(secret, padding, clear, None)
    }

    fn new(secret: [u8; SECRET], mut padding: Vec<u8>, clear: bool, call: Option<Call>) -> Self {
        padding.truncate(MAX_PADDING);
        let methods = if clear { RC4 | CLEAR } else { RC4 };
        Self { secret, padding, methods, call, state: State::Key, input: Vec::new(), output: Vec::new() }
    }

    /// What is to be sent now.
    pub fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// How many bytes can be used for certain, whatever they are.
    pub fn needs(&self) -> usize {
        let whole = match &self.state {
            State::Key => PUBLIC,
            State::Padding { end, .. } => {
                let last = MAX_PADDING + end.len();
                (self.input.len() + end.len() - overlap(&self.input, end)).min(last)
            }
            State::Torrent(_) => 20,
            State::Offer(_) => VERIFY.len() + CHOICE,
            State::First { padding, .. } => padding + FIRST,
            State::Choice(_) => CHOICE,
            State::Last { padding, .. } => *padding,
            State::Over => 0,
        };
        whole.saturating_sub(self.input.len())
    }

    /// Takes bytes off `input` until it is empty or all is settled; `find` tells the torrent of a [`torrent_name`].
    pub fn receive(
        &mut self,
        input: &mut &[u8],
        find: impl Fn(&[u8; 20]) -> Option<InfoHash>,
    ) -> Result<Option<Settled>, ExchangeFault> {
        while !matches!(self.state, State::Over) {
            let Some((now, later)) = input.split_at_checked(self.needs()) else {
                self.input.extend_from_slice(std::mem::take(input));
                break;
            };
            self.input.extend_from_slice(now);
            *input = later;
            if let Some(settled) = self.step(&find)? {
                return Ok(Some(settled));
            }
        }
        Ok(None)
    }

    /// Goes on: as many bytes as were needed are there.
    fn step(
        &mut self,
        find: impl Fn(&[u8; 20]) -> Option<InfoHash>,
    ) -> Result<Option<Settled>, ExchangeFault> {
        let state = std::mem::replace(&mut self.state, State::Over);
        if let State::Padding { end, .. } = &state
            && overlap(&self.input, end) < end.len()
        {
            if self.input.len() >= MAX_PADDING + end.len() {
                return Err(ExchangeFault::Lost);
            }
            self.state = state;
            return Ok(None);
        }
        let mut input = std::mem::take(&mut self.input);
        self.state = match state {
            State::Key => self.key(&input)?,
            State::Padding { then, .. } => *then,
            State::Torrent(shared) => State::Offer(torrent(&shared, &input, find)?),
            State::Offer(mut pair) => {
                pair.incoming.apply(&mut input);
                let offer = input.strip_prefix(&VERIFY).ok_or(ExchangeFault::Unverified)?;
                let (method, padding) = self.method(offer)?;
                State::First { pair, padding, method }
            }
            State::First { mut pair, method, .. } => {
                pair.incoming.apply(&mut input);
                let first = input.last_chunk().map_or(0, |length| u16::from_be_bytes(*length));
                self.say_choice(&mut pair, method);
                return Ok(Some(settle(pair, method, first)));
            }
            State::Choice(mut pair) => {
                pair.incoming.apply(&mut input);
                let (method, padding) = self.method(&input)?;
                State::Last { pair, padding, method }
            }
            State::Last { mut pair, method, .. } => {
                pair.incoming.apply(&mut input);
                return Ok(Some(settle(pair, method, 0)));
            }
            State::Over => State::Over,
        };
        Ok(None)
    }

    fn say_key(&mut self) {
        self.output.extend(key::public(&self.secret));
        self.output.append(&mut self.padding);
    }

    /// Their key has come: we say what the shared secret lets us.
    fn key(&mut self, theirs: &[u8]) -> Result<State, ExchangeFault> {
        let theirs = theirs.first_chunk().ok_or(ExchangeFault::Lost)?;
        let shared = key::shared(&self.secret, theirs).ok_or(ExchangeFault::WeakKey)?;
        let begin = sha1([b"req1", &shared]);
        let Some(Call { torrent, first }) = self.call.take() else {
            self.say_key();
            return Ok(State::Padding { end: begin.to_vec(), then: Box::new(State::Torrent(shared)) });
        };
        let mut pair = Pair::new(torrent, &shared, true);
        self.output.extend(begin);
        self.output.extend(xor(torrent_name(&torrent), sha1([b"req3", &shared])));
        let first_length = u16::try_from(first.len()).unwrap_or(u16::MAX);
        let mut offer =
            [&VERIFY[..], &self.methods.to_be_bytes(), &[0; 2], &first_length.to_be_bytes()].concat();
        offer.extend(first.iter().take(usize::from(first_length)));
        pair.outgoing.apply(&mut offer);
        self.output.append(&mut offer);
        let mut end = VERIFY.to_vec();
        pair.incoming.apply(&mut end);
        Ok(State::Padding { end, then: Box::new(State::Choice(pair)) })
    }

    /// The answerer's last words.
    fn say_choice(&mut self, pair: &mut Pair, method: u32) {
        let mut choice = [&VERIFY[..], &method.to_be_bytes(), &[0; 2]].concat();
        pair.outgoing.apply(&mut choice);
        self.output.append(&mut choice);
    }

    /// The method to use, of those that the other side names, and the length of its padding. One in the clear costs less.
    fn method(&self, said: &[u8]) -> Result<(u32, usize), ExchangeFault> {
        let (theirs, padding) = said.split_first_chunk().ok_or(ExchangeFault::Lost)?;
        let padding = padding.first_chunk().ok_or(ExchangeFault::Lost)?;
        let padding = usize::from(u16::from_be_bytes(*padding));
        let common = u32::from_be_bytes(*theirs) & self.methods;
        let method = [CLEAR, RC4].into_iter().find(|method| common & method != 0);
        let method = method.ok_or(ExchangeFault::NoMethod)?;
        if padding > MAX_PADDING { Err(ExchangeFault::Lost) } else { Ok((method, padding)) }
    }
}

impl std::fmt::Debug for Exchange {
    /// Says nothing that would tell the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}

impl Pair {
    fn new(torrent: InfoHash, shared: &[u8; PUBLIC], dialler: bool) -> Self {
        let cipher = |name: &[u8]| Box::new(Cipher::new(&sha1([name, shared, &torrent.0])));
        let (of_dialler, of_answerer) = (cipher(b"keyA"), cipher(b"keyB"));
        let (outgoing, incoming) =
            if dialler { (of_dialler, of_answerer) } else { (of_answerer, of_dialler) };
        Self { torrent, incoming, outgoing }
    }
}

fn torrent(
    shared: &[u8; PUBLIC],
    hidden: &[u8],
    find: impl Fn(&[u8; 20]) -> Option<InfoHash>,
) -> Result<Pair, ExchangeFault> {
    let hidden = hidden.first_chunk().ok_or(ExchangeFault::Lost)?;
    let torrent = find(&xor(*hidden, sha1([b"req3", shared]))).ok_or(ExchangeFault::UnknownTorrent)?;
    Ok(Pair::new(torrent, shared, false))
}

/// The end of an exchange; `first` bytes to come are encrypted whatever the method is.
fn settle(pair: Pair, method: u32, first: u16) -> Settled {
    let Pair { torrent, incoming, outgoing } = pair;
    if method == RC4 {
        return Settled { info_hash: torrent, incoming: Some(incoming), outgoing: Some(outgoing) };
    }
    let incoming = (first > 0).then(|| Box::new(incoming.only(u64::from(first))));
    Settled { info_hash: torrent, incoming, outgoing: None }
}

/// How many bytes at the end of `input` are the beginning of `wanted`.
fn overlap(input: &[u8], wanted: &[u8]) -> usize {
    let begins = |&length: &usize| wanted.get(..length).is_some_and(|start| input.ends_with(start));
    (0..=wanted.len()).rev().find(begins).unwrap_or(0)
}

fn xor(a: [u8; 20], b: [u8; 20]) -> [u8; 20] {
    let mut both = a;
    both.iter_mut().zip(b).for_each(|(byte, other)| *byte ^= other);
    both
}

fn sha1<const N: usize>(parts: [&[u8]; N]) -> [u8; 20] {
    parts.iter().fold(Sha1::new(), Sha1::chain_update).finalize().into()
}

#[cfg(test)]
mod tests;
