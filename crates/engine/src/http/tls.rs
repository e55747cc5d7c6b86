//! Encrypted connections: which certificates are trusted, and what is wrong with those that are not (S-26).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig};
use rustls_platform_verifier::{BuilderVerifierExt, Verifier};
use tokio_rustls::TlsConnector;

use crate::error::FetchError;

/// TLS that trusts the certificates the system trusts, and those of a file.
pub(super) async fn connector(ca_file: Option<PathBuf>) -> io::Result<TlsConnector> {
    let made = tokio::task::spawn_blocking(move || client_config(ca_file.as_deref())).await;
    let config = made.map_err(io::Error::other)??;
    Ok(TlsConnector::from(Arc::new(config)))
}

fn client_config(ca_file: Option<&Path>) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let Some(path) = ca_file else {
        return Ok(builder.with_platform_verifier().map_err(io::Error::other)?.with_no_client_auth());
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(io::Error::other)?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(io::Error::other)?;
    if certificates.is_empty() {
        return Err(io::Error::other(format!("no certificate in {}", path.display())));
    }
    let verifier = Verifier::new_with_extra_roots(certificates, provider).map_err(io::Error::other)?;
    // What rustls calls dangerous is the platform's verifier again, with these roots besides.
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(builder.with_no_client_auth())
}

/// A failed handshake, with a bad certificate told apart from all else.
pub(super) fn trouble(host: String, source: io::Error) -> FetchError {
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => FetchError::Certificate { host, why: in_words(why) },
        _ => FetchError::Tls { host, source },
    }
}

fn in_words(why: &CertificateError) -> String {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet: is the clock right?".into()
        }
        // A bad signature, or one that the key cannot have made, is that of an issuer who took the name of a trusted one.
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "is of an issuer that is not trusted".into()
        }
        CertificateError::Revoked => "was revoked".into(),
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            format!("is for another name: {}", presented.join(", "))
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another name".into()
        }
        other => format!("is not valid: {other}"),
    }
}
