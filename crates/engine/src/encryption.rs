//! Opens a connection: handshakes (BEP 3), and before them, if one side wants it, an exchange of keys (Message Stream Encryption).
//!
//! Runs in the task that listens or dials, over any stream. Which torrent it is for, and whom to dial, is known elsewhere.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metainfo::InfoHash;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wire::Handshake;
use wire::encryption::{Cipher, Exchange, MAX_PADDING, SECRET, torrent_name};

use crate::config::Encryption;

/// How long a stranger may take to say who they are (P-07, P-15).
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);

/// The ciphers of a connection; `None` where its bytes are in the clear.
#[derive(Debug, Default)]
pub(crate) struct Ciphers {
    pub(crate) incoming: Option<Box<Cipher>>,
    pub(crate) outgoing: Option<Box<Cipher>>,
}

/// The names under which encrypted connections speak of our torrents, idle ones too. The lock is a leaf.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<HashMap<[u8; 20], InfoHash>>);

impl Names {
    pub(crate) fn add(&self, hash: InfoHash) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(torrent_name(&hash), hash);
    }

    pub(crate) fn remove(&self, hash: InfoHash) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&torrent_name(&hash));
    }

    fn find(&self, name: &[u8; 20]) -> Option<InfoHash> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }
}

/// Reads what a stranger opens with: a handshake, or an exchange of keys and then one.
pub(crate) async fn answer(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    encryption: Encryption,
    names: &Names,
) -> io::Result<(Handshake, Ciphers)> {
    let answering = async {
        let mut ciphers = Ciphers::default();
        let handshake = match read_handshake(stream, None).await? {
            Ok(handshake) if encryption.takes_clear() => return Ok((handshake, ciphers)),
            Err(start) if encryption != Encryption::Off => {
                let (secret, padding) = random()?;
                let exchange = Exchange::answer(secret, padding, encryption.takes_clear());
                let hash;
                (hash, ciphers) = settle(stream, exchange, &start, |name| names.find(name)).await?;
                let handshake = read_handshake(stream, ciphers.incoming.as_deref_mut()).await?;
                handshake.ok().filter(|handshake| handshake.info_hash == hash)
            }
            _ => None,
        };
        Ok((handshake.ok_or_else(|| io::Error::other(wire::Fault::NotBitTorrent))?, ciphers))
    };
    tokio::time::timeout(HANDSHAKE, answering).await?
}

/// Says our handshake, in secret or not, and reads theirs.
pub(crate) async fn call(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ours: &Handshake,
    encryption: Encryption,
    encrypted: bool,
) -> io::Result<(Handshake, Ciphers)> {
    let calling = async {
        let mut ciphers = Ciphers::default();
        if encrypted {
            let (secret, padding) = random()?;
            let (clear, first) = (encryption.takes_clear(), ours.encode().to_vec());
            let exchange = Exchange::dial(secret, padding, clear, ours.info_hash, first);
            (_, ciphers) = settle(stream, exchange, &[], |_| None).await?;
        } else {
            stream.write_all(&ours.encode()).await?;
        }
        let theirs = read_handshake(stream, ciphers.incoming.as_deref_mut()).await?;
        let theirs = theirs.map_err(|_| io::Error::other(wire::Fault::NotBitTorrent))?;
        if theirs.info_hash == ours.info_hash {
            Ok((theirs, ciphers))
        } else {
            Err(io::Error::other("the peer answered for another torrent"))
        }
    };
    tokio::time::timeout(HANDSHAKE, calling).await?
}

/// Reads a handshake and nothing behind it; what cannot become one is given back at its first wrong byte.
async fn read_handshake(
    stream: &mut (impl AsyncRead + Unpin),
    mut cipher: Option<&mut Cipher>,
) -> io::Result<Result<Handshake, Vec<u8>>> {
    let mut bytes = [0; Handshake::LENGTH];
    let mut filled = 0;
    while filled < bytes.len() {
        let read = some(stream.read(&mut bytes[filled..]).await?)?;
        if let Some(cipher) = &mut cipher {
            cipher.apply(&mut bytes[filled..filled + read]);
        }
        filled += read;
        if !Handshake::prefix_ok(&bytes[..filled]) {
            return Ok(Err(bytes[..filled].to_vec()));
        }
    }
    Handshake::decode(&bytes).map(Ok).map_err(io::Error::other)
}

/// Exchanges keys until the ciphers are settled; `start` has been read already.
async fn settle(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    mut exchange: Exchange,
    mut start: &[u8],
    find: impl Fn(&[u8; 20]) -> Option<InfoHash>,
) -> io::Result<(InfoHash, Ciphers)> {
    let mut bytes = [0; MAX_PADDING];
    let mut settled = exchange.receive(&mut start, &find).map_err(io::Error::other)?;
    loop {
        stream.write_all(&exchange.output()).await?;
        if let Some(settled) = settled {
            let ciphers = Ciphers { incoming: settled.incoming, outgoing: settled.outgoing };
            return Ok((settled.info_hash, ciphers));
        }
        let room = exchange.needs().min(bytes.len());
        let read = some(stream.read(&mut bytes[..room]).await?)?;
        settled = exchange.receive(&mut &bytes[..read], &find).map_err(io::Error::other)?;
    }
}

/// What one read gave; none at all: the peer hung up.
fn some(read: usize) -> io::Result<usize> {
    if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(read) }
}

/// A secret, and padding of any length up to the longest.
fn random() -> io::Result<([u8; SECRET], Vec<u8>)> {
    let (mut secret, mut length) = ([0; SECRET], [0; 2]);
    let failed = |error: getrandom::Error| io::Error::other(error.to_string());
    getrandom::fill(&mut secret).map_err(failed)?;
    getrandom::fill(&mut length).map_err(failed)?;
    let mut padding = vec![0; usize::from(u16::from_ne_bytes(length)) % (MAX_PADDING + 1)];
    getrandom::fill(&mut padding).map_err(failed)?;
    Ok((secret, padding))
}

#[cfg(test)]
mod tests {
    use metainfo::PeerId;
    use tokio::io::duplex;
    use tokio::time::Instant;
    use wire::Reserved;

    use super::*;

    fn shake(hash: u8) -> Handshake {
        Handshake { reserved: Reserved::ours(), info_hash: InfoHash([hash; 20]), peer_id: PeerId([2; 20]) }
    }

    fn names() -> Names {
        let names = Names::default();
        names.add(InfoHash([1; 20]));
        names
    }

    /// Whether a call reached an answer, and whether what follows is encrypted.
    async fn meets(caller: Encryption, encrypted: bool, answerer: Encryption) -> Option<bool> {
        let (mut ours, mut theirs) = duplex(4096);
        let calling = tokio::spawn(async move { call(&mut ours, &shake(1), caller, encrypted).await });
        let (heard, at_theirs) = answer(&mut theirs, answerer, &names()).await.ok()?;
        assert_eq!(heard, shake(1));
        let mut reply = shake(1).encode();
        let mut outgoing = at_theirs.outgoing;
        if let Some(cipher) = &mut outgoing {
            cipher.apply(&mut reply);
        }
        theirs.write_all(&reply).await.unwrap();
        let (_, at_ours) = calling.await.unwrap().unwrap();
        assert_eq!(at_ours.incoming.is_some(), outgoing.is_some());
        Some(at_ours.outgoing.is_some())
    }

    #[tokio::test]
    async fn who_meets_whom_and_whether_in_secret() {
        use Encryption::{Allow, Off, Prefer, Require};
        for (caller, encrypted, answerer, outcome) in [
            (Off, false, Off, Some(false)),
            (Off, false, Allow, Some(false)),
            (Off, false, Require, None),
            (Allow, true, Prefer, Some(false)),
            (Allow, true, Require, Some(true)),
            (Prefer, true, Off, None),
            (Require, true, Off, None),
            (Require, true, Allow, Some(true)),
            (Require, true, Require, Some(true)),
        ] {
            assert_eq!(meets(caller, encrypted, answerer).await, outcome, "{caller:?} {answerer:?}");
        }
    }

    #[tokio::test]
    async fn an_exchange_for_one_torrent_opens_no_other() {
        let (mut ours, mut theirs) = duplex(4096);
        let calling = async {
            let (secret, padding) = random().unwrap();
            let first = shake(3).encode().to_vec();
            let exchange = Exchange::dial(secret, padding, true, InfoHash([1; 20]), first);
            settle(&mut ours, exchange, &[], |_| None).await
        };
        let names = names();
        let (_, answered) = tokio::join!(calling, answer(&mut theirs, Encryption::Allow, &names));
        assert!(answered.is_err());
        names.remove(InfoHash([1; 20]));
        assert_eq!(names.find(&torrent_name(&InfoHash([1; 20]))), None);
    }

    // P-07
    #[tokio::test(start_paused = true)]
    async fn a_slow_handshake_ends_after_ten_seconds() {
        let (mut ours, mut theirs) = duplex(100);
        let drip = tokio::spawn(async move {
            for byte in *b"\x13BitTorrent protocol" {
                tokio::time::sleep(Duration::from_secs(3)).await;
                if theirs.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        });
        let begin = Instant::now();
        let error = answer(&mut ours, Encryption::Allow, &names()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed(), HANDSHAKE);
        drip.abort();
    }

    // P-15
    #[tokio::test(start_paused = true)]
    async fn a_key_and_then_silence_ends_after_ten_seconds() {
        let (mut ours, mut theirs) = duplex(4096);
        theirs.write_all(&[7; 96]).await.unwrap();
        let begin = Instant::now();
        let error = answer(&mut ours, Encryption::Allow, &names()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed(), HANDSHAKE);
    }

    #[tokio::test(start_paused = true)]
    async fn without_encryption_garbage_is_refused_at_its_first_byte() {
        let (mut ours, mut theirs) = duplex(100);
        theirs.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let begin = Instant::now();
        assert!(answer(&mut ours, Encryption::Off, &names()).await.is_err());
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
