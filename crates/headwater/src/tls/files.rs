//! A certificate and its key from two files (or one), read again when they change.
//!
//! Whoever renews them may write them one after the other: they are read once both have rested, and what cannot be used
//! changes nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::{Current, invalid, provider};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// How often the files are looked at. Two looks in a row must see the same, so that a new certificate is in use after
/// two seconds.
const LOOK: Duration = Duration::from_secs(1);

/// A certificate and its key that lie in files.
pub(super) struct Pair {
    cert: PathBuf,
    key: PathBuf,
    current: Arc<Current>,
    /// The files as they were read last.
    read: Stamp,
    /// The files as they were seen last.
    seen: Stamp,
}

/// What tells one version of the two files from another: time in seconds and nanoseconds, length and number.
type Stamp = [Option<(i64, i64, u64, u64)>; 2];

impl Pair {
    /// Reads both.
    pub(super) fn open(cert: &Path, key: &Path) -> Result<Self, Failure> {
        let stamp = stamp(cert, key);
        let current = Current::new(read(cert, key)?);
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), current, read: stamp, seen: stamp })
    }

    pub(super) fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current)
    }

    /// Reads them again when they change, and at SIGHUP.
    pub(super) async fn keep(mut self, output: &Output) {
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => hangups,
            Err(error) => return output.warn(format_args!("cannot listen for SIGHUP: {error}")),
        };
        loop {
            let outcome = tokio::select! {
                _ = hangups.recv() => Some(self.reload()),
                () = tokio::time::sleep(LOOK) => self.look(),
            };
            match outcome {
                None => {}
                Some(Ok(())) if output.events() => output.event(json!({ "event": "certificate_reloaded" })),
                Some(Ok(())) => output.note("Read the certificate again"),
                Some(Err(failure)) => {
                    output.failure(&failure);
                    output.warn("the old certificate stays in use");
                }
            }
        }
    }

    /// Reads the files if they have changed and rested since.
    pub(super) fn look(&mut self) -> Option<Result<(), Failure>> {
        let stamp = stamp(&self.cert, &self.key);
        let rested = std::mem::replace(&mut self.seen, stamp) == stamp;
        (rested && stamp != self.read).then(|| self.reload())
    }

    fn reload(&mut self) -> Result<(), Failure> {
        self.read = stamp(&self.cert, &self.key);
        self.current.set(read(&self.cert, &self.key)?);
        Ok(())
    }
}

/// Whether any user of this machine can read a file.
pub(super) fn is_exposed(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
}

/// Reads a certificate with its chain, and its key.
pub(super) fn read(cert: &Path, key: &Path) -> Result<CertifiedKey, Failure> {
    let chain = read_chain(cert)?;
    let secret = read_key(key)?;
    CertifiedKey::from_der(chain, secret, &provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let what = format!("is not the key of the certificate in {}", cert.display());
            invalid(key, &what).hint("--tls-cert and --tls-key must be of the same order")
        }
        Error::InvalidCertificate(_) => {
            invalid(cert, "has a certificate that cannot be read").because(&error)
        }
        _ => invalid(key, "has a private key that cannot be used").because(&error),
    })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let bytes = read_pem(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(invalid(path, "has no certificate in PEM form")
            .hint("the file begins with -----BEGIN CERTIFICATE-----")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(invalid(path, "is not well-formed PEM").because(&error)),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    let bytes = read_pem(path)?;
    let locked = bytes.windows(LOCKED.len()).any(|window| window == LOCKED);
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound if locked => {
            invalid(path, "has a private key that is locked with a password")
                .hint(format!("openssl pkey -in {} -out UNLOCKED.pem", path.display()))
        }
        pem::Error::NoItemsFound => {
            invalid(path, "has no private key in PEM form").hint("--tls-key FILE names the file that has it")
        }
        error => invalid(path, "is not well-formed PEM").because(&error),
    })
}

/// How a key with a password begins, in the form that has it in the first line.
const LOCKED: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";

fn read_pem(path: &Path) -> Result<Vec<u8>, Failure> {
    /// Chains have a few kilobytes; whoever names a disk image does not mean it.
    const MAX_PEM: u64 = 1 << 20;
    let metadata = path.metadata().map_err(|error| Failure::io("read", path, &error))?;
    if metadata.len() > MAX_PEM {
        return Err(Failure::new(Exit::Invalid, format!("{} is too long to be PEM", path.display())));
    }
    fs::read(path).map_err(|error| Failure::io("read", path, &error))
}

fn stamp(cert: &Path, key: &Path) -> Stamp {
    [cert, key].map(|path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.mtime(), metadata.mtime_nsec(), metadata.len(), metadata.ino()))
    })
}
