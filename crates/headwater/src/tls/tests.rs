//! Certificates that come, change and go, shown to a client over loopback.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

/// A certificate for `localhost` and its key, in PEM.
fn certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Puts a certificate and a key into a folder, under names that nobody reads half written.
fn put(folder: &TempDir, (cert, key): (&str, &str)) {
    for (name, text) in [("cert.pem", cert), ("key.pem", key)] {
        let part = folder.path().join("part");
        fs::write(&part, text).unwrap();
        fs::rename(part, folder.path().join(name)).unwrap();
    }
}

fn open(folder: &TempDir) -> Result<files::Pair, Failure> {
    files::Pair::open(&folder.path().join("cert.pem"), &folder.path().join("key.pem"))
}

/// A server that sends back what it gets, to as many as come.
async fn echo(config: ServerConfig) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, acceptor) = (listener.local_addr().unwrap(), TlsAcceptor::from(Arc::new(config)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() {
                    stream.write_all(&byte).await.unwrap();
                }
            });
        }
    });
    at
}

/// A connection to `localhost` from who trusts this certificate alone.
async fn connect(at: std::net::SocketAddr, trusted: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(at).await.unwrap()).await
}

async fn echoes(stream: &mut TlsStream<TcpStream>) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").await.is_ok() && stream.read_exact(&mut byte).await.is_ok() && byte == *b"x"
}

// T-10
#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let folder = TempDir::new().unwrap();
    let (old, new) = (certificate(), certificate());
    put(&folder, (&old.0, &old.1));
    let mut pair = open(&folder).unwrap();
    let at = echo(build(pair.current()).unwrap()).await;
    let mut standing = connect(at, &old.0).await.unwrap();
    assert!(echoes(&mut standing).await);
    assert!(pair.look().is_none(), "nothing has changed");
    put(&folder, (&new.0, &new.1));
    assert!(pair.look().is_none(), "the files may still be written");
    assert!(pair.look().unwrap().is_ok());
    assert!(pair.look().is_none(), "once is enough");
    assert!(echoes(&mut standing).await, "no connection is dropped");
    assert!(echoes(&mut connect(at, &new.0).await.unwrap()).await);
    assert_eq!(connect(at, &old.0).await.unwrap_err().kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_bad_new_certificate_changes_nothing_until_it_is_repaired() {
    let folder = TempDir::new().unwrap();
    let (old, new) = (certificate(), certificate());
    put(&folder, (&old.0, &old.1));
    let mut pair = open(&folder).unwrap();
    let at = echo(build(pair.current()).unwrap()).await;
    put(&folder, (&new.0, &old.1));
    pair.look();
    assert!(pair.look().unwrap().is_err());
    assert!(pair.look().is_none(), "it is said once");
    assert!(connect(at, &old.0).await.is_ok());
    fs::remove_file(folder.path().join("cert.pem")).unwrap();
    pair.look();
    assert!(pair.look().unwrap().is_err());
    put(&folder, (&new.0, &new.1));
    pair.look();
    assert!(pair.look().unwrap().is_ok());
    assert!(connect(at, &new.0).await.is_ok());
}

#[track_caller]
fn check_refused(cert: &str, key: &str, exit: Exit, words: &str) {
    let folder = TempDir::new().unwrap();
    put(&folder, (cert, key));
    let failure = open(&folder).err().expect("refused");
    assert_eq!(failure.exit, exit, "{failure:?}");
    assert!(failure.what.contains(words), "{failure:?}");
}

#[test]
fn what_is_wrong_with_the_files_is_said_by_name() {
    let (cert, key) = certificate();
    let other = certificate().1;
    check_refused(&cert, &other, Exit::Invalid, "key.pem is not the key of the certificate in ");
    check_refused("nonsense", &key, Exit::Invalid, "cert.pem has no certificate in PEM form");
    check_refused(&key, &key, Exit::Invalid, "cert.pem has no certificate in PEM form");
    check_refused(&cert, &cert, Exit::Invalid, "key.pem has no private key in PEM form");
    check_refused(
        &cert,
        &key.replace("PRIVATE", "ENCRYPTED PRIVATE"),
        Exit::Invalid,
        "locked with a password",
    );
    let broken = cert.replacen("\nMI", "\n!!", 1);
    check_refused(&broken, &key, Exit::Invalid, "cert.pem is not well-formed PEM");
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check_refused(empty, &key, Exit::Invalid, "cert.pem has a certificate that cannot be read");
    let nowhere = TempDir::new().unwrap();
    assert_eq!(open(&nowhere).err().expect("refused").exit, Exit::NotFound);
}

#[test]
fn one_file_may_hold_both() {
    let folder = TempDir::new().unwrap();
    let (cert, key) = certificate();
    let both = folder.path().join("both.pem");
    fs::write(&both, format!("{key}{cert}")).unwrap();
    assert!(files::Pair::open(&both, &both).is_ok());
}

#[tokio::test]
async fn a_self_signed_certificate_stays_from_start_to_start() {
    let folder = TempDir::new().unwrap();
    let names = names_of([127, 0, 0, 1].into());
    let first = self_signed::SelfSigned::open(folder.path(), &names).unwrap();
    let again = self_signed::SelfSigned::open(folder.path(), &names).unwrap();
    assert_eq!(first.fingerprint(), again.fingerprint());
    let key = folder.path().join("self-signed.key").metadata().unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    // The file is what clients are told to trust.
    let trusted = fs::read_to_string(first.path()).unwrap();
    let at = echo(build(again.current()).unwrap()).await;
    assert!(echoes(&mut connect(at, &trusted).await.unwrap()).await);
}

#[test]
fn a_self_signed_certificate_is_made_anew_for_other_names_and_before_its_end() {
    let folder = TempDir::new().unwrap();
    let open = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        self_signed::SelfSigned::open(folder.path(), &names).unwrap()
    };
    let first = open(&["localhost"]).fingerprint();
    let second = open(&["localhost", "192.0.2.1"]);
    assert_ne!(first, second.fingerprint());
    let known = second.fingerprint();
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    assert!(!second.look(today).unwrap());
    let late = today.saturating_add(jiff::ToSpan::days(800));
    assert!(second.look(late).unwrap());
    assert_ne!(known, second.fingerprint());
    fs::write(folder.path().join("self-signed.key"), "lost").unwrap();
    let third = open(&["localhost", "192.0.2.1"]);
    assert_ne!(second.fingerprint(), third.fingerprint());
}

fn tls(line: &str) -> Tls {
    let line = format!("headwater track {line}");
    let matches = crate::args::command().try_get_matches_from(line.split_whitespace()).unwrap();
    let cli = <crate::args::Cli as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
    let crate::args::Command::Track(track) = cli.command else { panic!("{line}") };
    track.tls
}

#[test]
fn domains_that_no_authority_can_check_are_refused() {
    let folder = TempDir::new().unwrap();
    for domain in ["192.0.2.1", "https://a.example", "a.example:443", "a b"] {
        let tls = Tls { acme: vec![domain.to_owned()], ..Tls::default() };
        let failure = acme::Orders::open(&tls, folder.path()).err().expect("refused");
        assert_eq!(failure.exit, Exit::Usage, "{domain}");
    }
    let flags = tls("--https :0 --acme a.example,b.example --acme c.example");
    assert_eq!(flags.acme, ["a.example", "b.example", "c.example"]);
}

#[test]
fn an_expired_certificate_is_served_all_the_same() {
    // Its clients refuse it, and the operator's renewal replaces it without a restart.
    let folder = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2001, 1, 1);
    put(&folder, (&params.self_signed(&key).unwrap().pem(), &key.serialize_pem()));
    assert!(open(&folder).is_ok());
}
