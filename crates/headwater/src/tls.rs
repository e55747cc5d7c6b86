//! The TLS side of the servers: from flags to a certificate that stays current.
//!
//! Used by `track` and `publish`, which own their listeners. Keys come from `files`, are made by `self_signed`, or are
//! given by an authority through `acme`; only ring does cryptography here.

mod acme;
mod files;
mod self_signed;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::json;

use crate::args::Tls;
use crate::config::StateDir;
use crate::failure::{Exit, Failure};
use crate::net::outward;
use crate::output::Output;

/// What the tracker speaks over TLS.
pub(crate) const HTTP_1: &[&str] = &["http/1.1"];

/// A server's side of TLS, and what keeps its certificate current.
pub(crate) struct ServerTls {
    /// For new connections; the certificate in it changes by itself while [`ServerTls::keep`] runs.
    pub(crate) config: Arc<ServerConfig>,
    /// The name that the certificate is for, where it is known.
    pub(crate) domain: Option<String>,
    keeper: Keeper,
}

/// Where certificates come from.
enum Keeper {
    Files(files::Pair),
    SelfSigned(self_signed::SelfSigned),
    Acme(acme::Orders),
}

/// The TLS side that the flags ask for; `None` without `--https`.
///
/// A certificate that is made here is for `names`, hosts and addresses. `protocols` are offered by ALPN, best first.
pub(crate) fn server_config(
    tls: &Tls,
    state: &StateDir,
    names: &[String],
    protocols: &[&str],
    output: &Output,
) -> Result<Option<ServerTls>, Failure> {
    if tls.https.is_none() {
        return Ok(None);
    }
    let (keeper, resolver): (Keeper, Arc<dyn ResolvesServerCert>) = if let Some(cert) = &tls.tls_cert {
        let key = tls.tls_key.as_ref().unwrap_or(cert);
        if files::is_exposed(key) {
            output
                .warn(format_args!("every user of this machine can read the private key {}", key.display()));
            output.hint(format_args!("chmod o= {}", key.display()));
        }
        let pair = files::Pair::open(cert, key)?;
        let resolver = pair.current();
        (Keeper::Files(pair), resolver)
    } else if !tls.acme.is_empty() {
        let orders = acme::Orders::open(tls, &state.path().join("acme"))?;
        let resolver = orders.resolver();
        (Keeper::Acme(orders), resolver)
    } else if tls.tls_self_signed {
        let made = self_signed::SelfSigned::open(state.path(), names)?;
        tell_of(&made, output);
        let resolver = made.current();
        (Keeper::SelfSigned(made), resolver)
    } else {
        return Err(Failure::usage("--https needs a certificate")
            .hint("--tls-cert FILE --tls-key FILE, or --acme DOMAIN, or --tls-self-signed"));
    };
    let mut config = build(resolver)?;
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    if matches!(keeper, Keeper::Acme(_)) {
        config.alpn_protocols.push(acme::CHALLENGE.to_vec());
    }
    let domain = tls.acme.first().cloned();
    Ok(Some(ServerTls { config: Arc::new(config), domain, keeper }))
}

impl ServerTls {
    /// Keeps the certificate current as long as the server runs: to be polled beside it. It never ends, even where nothing
    /// can be done any more: a certificate that ages is better than no server.
    pub(crate) async fn keep(self, output: &Output) {
        match self.keeper {
            Keeper::Files(pair) => pair.keep(output).await,
            Keeper::SelfSigned(made) => made.keep(output).await,
            Keeper::Acme(orders) => orders.keep(output).await,
        }
        std::future::pending::<()>().await;
    }
}

/// What a certificate made here is for: this machine's own name for itself, and the address served on or, if that is all
/// of them, those that lead outward.
pub(crate) fn names_of(served: IpAddr) -> Vec<String> {
    let own: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let addresses: Vec<IpAddr> = if served.is_unspecified() {
        own.iter().copied().chain(own.iter().filter_map(|ip| outward(ip.is_ipv6()))).collect()
    } else {
        vec![served]
    };
    let mut names = vec!["localhost".to_owned()];
    names.extend(addresses.iter().map(IpAddr::to_string));
    names
}

fn build(resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, Failure> {
    let trouble = |error: rustls::Error| Failure::new(Exit::Other, "cannot set up TLS").because(&error);
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(trouble)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    // Peers come back every half hour: a ticket saves them half the handshake, and us from remembering them.
    config.ticketer = Ticketer::new().map_err(trouble)?;
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn tell_of(made: &self_signed::SelfSigned, output: &Output) {
    let (path, fingerprint) = (made.path().display(), made.fingerprint());
    output.event(json!({ "event": "certificate", "path": path.to_string(), "sha256": fingerprint }));
    if !output.events() {
        output.note(format_args!("Self-signed certificate, SHA-256 {fingerprint}"));
        output.hint(format_args!("clients trust it with --ca-file {path}"));
    }
}

/// The certificate in use.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn new(key: CertifiedKey) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Arc::new(key))))
    }

    fn get(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Connections that stand keep theirs; new ones get this.
    fn set(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

fn invalid(path: &Path, what: &str) -> Failure {
    Failure::new(Exit::Invalid, format!("{} {what}", path.display()))
}

#[cfg(test)]
mod tests;
