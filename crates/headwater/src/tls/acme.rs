//! A certificate from an authority that checks by itself that the domain leads here (ACME, RFC 8555 and 8737).
//!
//! The check comes in on the HTTPS port itself, as a handshake with a protocol of its own. Certificates and the account
//! are kept in a folder, so that a restart orders nothing; two thirds into its life a certificate is ordered anew.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, DnsName};
use rustls::server::ResolvesServerCert;
use rustls::{ClientConfig, RootCertStore};
use rustls_acme::acme::{ACME_TLS_ALPN_NAME, LETS_ENCRYPT_PRODUCTION_DIRECTORY};
use rustls_acme::caches::DirCache;
use rustls_acme::{AcmeConfig, AcmeState, EventOk};
use rustls_platform_verifier::BuilderVerifierExt;
use serde_json::json;

use super::{invalid, provider};
use crate::args::Tls;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// The protocol of the authority's handshakes.
pub(super) const CHALLENGE: &[u8] = ACME_TLS_ALPN_NAME;

/// The certificate of some domains, as it is ordered and renewed.
pub(super) struct Orders {
    state: AcmeState<io::Error>,
    domains: String,
}

impl Orders {
    /// Nothing is asked of anybody until [`Orders::keep`] is polled.
    pub(super) fn open(tls: &Tls, folder: &Path) -> Result<Self, Failure> {
        for domain in &tls.acme {
            check_domain(domain)?;
        }
        // Keys lie in it.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| Failure::io("create", folder, &error))?;
        let directory = tls.acme_directory.as_deref().unwrap_or(LETS_ENCRYPT_PRODUCTION_DIRECTORY);
        let contact = tls.acme_contact.iter().map(|contact| match contact.strip_prefix("mailto:") {
            Some(_) => contact.clone(),
            None => format!("mailto:{contact}"),
        });
        let client = Arc::new(client_config(tls.acme_ca_file.as_deref())?);
        let config = AcmeConfig::new_with_client_config(&tls.acme, client)
            .directory(directory)
            .contact(contact)
            .cache(DirCache::new(folder.to_owned()) as DirCache<PathBuf>);
        Ok(Self { state: config.state(), domains: tls.acme.join(", ") })
    }

    pub(super) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        self.state.resolver()
    }

    /// Orders and renews; what goes wrong is tried again, later each time.
    pub(super) async fn keep(mut self, output: &Output) {
        let domains = self.domains;
        while let Some(event) = self.state.next().await {
            match event {
                Ok(EventOk::DeployedNewCert) => {
                    tell(output, "new", &format!("Got a certificate for {domains}"));
                }
                Ok(EventOk::DeployedCachedCert) => {
                    tell(output, "kept", &format!("The certificate for {domains} is the one kept"));
                }
                Ok(EventOk::CertCacheStore | EventOk::AccountCacheStore) => {}
                Err(error) => output.warn(format_args!("no new certificate for {domains}: {error}")),
            }
        }
    }
}

fn tell(output: &Output, which: &str, line: &str) {
    output.event(json!({ "event": "certificate", "which": which }));
    if !output.events() {
        output.note(line);
    }
}

fn check_domain(domain: &str) -> Result<(), Failure> {
    let is_name = DnsName::try_from(domain).is_ok() && domain.parse::<std::net::IpAddr>().is_err();
    if is_name {
        return Ok(());
    }
    Err(Failure::usage(format!("`{domain}` is no domain")).hint("--acme tracker.example.org"))
}

/// Whom we believe to be the authority.
fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, Failure> {
    let trouble = |error: rustls::Error| Failure::new(Exit::Other, "cannot set up TLS").because(&error);
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(trouble)?;
    let Some(path) = ca_file else {
        return Ok(builder.with_platform_verifier().map_err(trouble)?.with_no_client_auth());
    };
    let bytes = std::fs::read(path).map_err(|error| Failure::io("read", path, &error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate =
            certificate.map_err(|error| invalid(path, "is not well-formed PEM").because(&error))?;
        roots.add(certificate).map_err(|error| invalid(path, "has no usable certificate").because(&error))?;
    }
    if roots.is_empty() {
        return Err(invalid(path, "has no certificate in PEM form"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
