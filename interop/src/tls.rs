//! Certificates for the runs, good and bad ones, and a client that trusts only what it is told to.

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Somebody who vouches for certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Certificate {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Writes its own certificate, for those who shall trust it.
    pub(crate) fn write(&self, path: PathBuf) -> std::io::Result<PathBuf> {
        fs::write(&path, self.0.pem())?;
        Ok(path)
    }

    /// Writes a certificate for a host and its key into a folder.
    pub(crate) fn vouch(&self, folder: &Path, host: &str, year: i32) -> Result<Certificate, Box<dyn Error>> {
        let mut params = CertificateParams::new([host.to_owned()])?;
        params.not_after = date_time_ymd(year, 1, 1);
        let pair = KeyPair::generate()?;
        let certificate = Certificate { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        fs::write(&certificate.cert, params.signed_by(&pair, &self.0)?.pem())?;
        fs::write(&certificate.key, pair.serialize_pem())?;
        Ok(certificate)
    }
}

/// Asks for a path over HTTPS and gives all that comes back; trusts only the certificates of this text.
pub(crate) fn get(at: SocketAddr, name: &str, trusted: &str, path: &str) -> Result<String, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trusted.as_bytes()) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions()?.with_root_certificates(roots);
    let name = ServerName::try_from(name.to_owned())?;
    let session = ClientConnection::new(Arc::new(config.with_no_client_auth()), name)?;
    let socket = TcpStream::connect(at)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut stream = StreamOwned::new(session, socket);
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        // Not every server says farewell.
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error.into()),
        _ => Ok(answer),
    }
}
