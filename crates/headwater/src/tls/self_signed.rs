//! A certificate that we make ourselves: nobody vouches for it, so clients must be told to trust it.
//!
//! It lies in the state folder with its key, so that it stays the same from start to start. A line before the certificate
//! (RFC 7468 allows text there) says for what names it was made and how long it lasts.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use sha2::{Digest, Sha256};

use super::{Current, files};
use crate::config::replace_file;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// How long a certificate lasts, in days: the most that all systems accept of one that is trusted by hand.
const LIFE: i32 = 825;

/// How many days before its end it is replaced, so that those who must be told have time.
const EARLY: i32 = 30;

/// How often it is looked whether its time has come.
const LOOK: Duration = Duration::from_secs(60 * 60);

/// The beginning of the line before the certificate.
const MADE: &str = "Made by headwater, valid until ";

/// A certificate of our own making.
pub(super) struct SelfSigned {
    cert: PathBuf,
    key: PathBuf,
    names: String,
    current: Arc<Current>,
}

impl SelfSigned {
    /// The one in this folder if it is for these names and lasts, else a new one.
    pub(super) fn open(folder: &Path, names: &[String]) -> Result<Self, Failure> {
        let (cert, key) = (folder.join("self-signed.pem"), folder.join("self-signed.key"));
        let names = names.join(" ");
        let today = today();
        let kept = if lasts(&cert, &names, today) { files::read(&cert, &key).ok() } else { None };
        let pair = if let Some(kept) = kept {
            kept
        } else {
            fs::create_dir_all(folder).map_err(|error| Failure::io("create", folder, &error))?;
            make(&cert, &key, &names, today)?;
            files::read(&cert, &key)?
        };
        Ok(Self { cert, key, names, current: Current::new(pair) })
    }

    pub(super) fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current)
    }

    /// The file to be trusted.
    pub(super) fn path(&self) -> &Path {
        &self.cert
    }

    /// SHA-256 of the certificate, as browsers show it.
    pub(super) fn fingerprint(&self) -> String {
        let pair = self.current.get();
        let digest = Sha256::digest(pair.cert.first().map(AsRef::as_ref).unwrap_or_default());
        digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    /// Replaces it in time.
    pub(super) async fn keep(self, output: &Output) {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.look(today()) {
                Ok(false) => {}
                Ok(true) => super::tell_of(&self, output),
                Err(failure) => output.failure(&failure),
            }
        }
    }

    /// Replaces it if its end is near; says whether it did.
    pub(super) fn look(&self, today: Date) -> Result<bool, Failure> {
        if lasts(&self.cert, &self.names, today) {
            return Ok(false);
        }
        make(&self.cert, &self.key, &self.names, today)?;
        self.current.set(files::read(&self.cert, &self.key)?);
        Ok(true)
    }
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// Whether there is a certificate for these names that does not end soon.
fn lasts(cert: &Path, names: &str, today: Date) -> bool {
    let text = fs::read_to_string(cert).unwrap_or_default();
    let line = text.lines().next().and_then(|line| line.strip_prefix(MADE));
    line.and_then(|line| line.split_once(" for ")).is_some_and(|(until, made_for)| {
        let until = until.parse::<Date>().ok();
        made_for == names && until.is_some_and(|until| today.saturating_add(EARLY.days()) < until)
    })
}

fn make(cert: &Path, key: &Path, names: &str, today: Date) -> Result<(), Failure> {
    let trouble =
        |error: rcgen::Error| Failure::new(Exit::Other, "cannot make a certificate").because(&error);
    let until = today.saturating_add(LIFE.days());
    let number = |of_date: i8| u8::try_from(of_date).unwrap_or(1);
    let midnight = |day: Date| date_time_ymd(day.year().into(), number(day.month()), number(day.day()));
    let names_list: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    let mut params = CertificateParams::new(names_list).map_err(trouble)?;
    params
        .distinguished_name
        .push(DnType::CommonName, names.split_whitespace().next().unwrap_or("headwater"));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // A clock that is a little behind shall not find it to be of the future.
    params.not_before = midnight(today.saturating_sub(2.days()));
    params.not_after = midnight(until);
    let pair = KeyPair::generate().map_err(trouble)?;
    let made = params.self_signed(&pair).map_err(trouble)?;
    write_secret(key, pair.serialize_pem().as_bytes())?;
    replace_file(cert, format!("{MADE}{until} for {names}\n{}", made.pem()).as_bytes())
}

/// Writes a file that only its owner can read.
fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    // A file that is there would keep its mode.
    let gone = fs::remove_file(path);
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = gone.or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    });
    written.and_then(|()| open()?.write_all(bytes)).map_err(|error| Failure::io("write", path, &error))
}
