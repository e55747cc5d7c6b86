//! Servers over TLS that cannot prove who they are: none of them is asked anything (S-26).

mod world;

use std::net::Ipv4Addr;
use std::sync::Arc;

use engine::{Add, Config, Engine, FetchError};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::tempdir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use world::{Log, answer, config, content, until};

/// An authority; its certificate as PEM.
fn authority() -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

/// A server with a certificate of an authority's for a name; where, and the requests it had.
async fn server(issuer: &Issuer<'static, KeyPair>, name: &str, expired: bool) -> (String, Log) {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    if expired {
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate: CertificateDer<'static> = params.signed_by(&key, issuer).unwrap().der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let log = Log::default();
    let shared = log.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream, &[], &shared).await;
            }
        }
    });
    (url, log)
}

// S-26
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_a_foreign_and_another_servers_certificate_are_refused_everywhere() {
    let dir = tempdir().unwrap();
    let (ours, pem) = authority();
    let (foreign, _) = authority();
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, pem).unwrap();
    let settings = Config { ca_file: Some(ca_file), ..config(&dir.path().join("state")) };
    let engine = Engine::start(settings).await.unwrap();
    let (good, log) = server(&ours, "127.0.0.1", false).await;
    assert!(engine.fetch(&format!("{good}/x"), 1000).await.is_ok());
    assert_eq!(log.lock().unwrap().len(), 1);

    for (number, (issuer, name, expired, words)) in [
        (&ours, "127.0.0.1", true, "has expired"),
        (&foreign, "127.0.0.1", false, "is of an issuer that is not trusted"),
        (&ours, "other.example", false, "is for another name: "),
    ]
    .into_iter()
    .enumerate()
    {
        let (url, log) = server(issuer, name, expired).await;
        let error = engine.fetch(&format!("{url}/x.torrent"), 1000).await.unwrap_err();
        assert!(matches!(error, FetchError::Certificate { .. }), "{error:?}");
        let words = format!("the certificate of 127.0.0.1 {words}");
        assert!(error.to_string().starts_with(&words), "{error}");

        let name = format!("film {number}");
        let metainfo = content(dir.path(), &name, &[("", 1000)], &[&format!("{url}/announce")]);
        let add = Add::new(metainfo, dir.path().join("target"));
        let mut torrent = engine.add(Add { web_seeds: vec![format!("{url}/film")], ..add }).await.unwrap();
        let refused = |message: Option<&String>| message.is_some_and(|message| message.starts_with(&words));
        until(&mut torrent, &words, |status| {
            status.trackers.iter().any(|tracker| refused(tracker.message.as_ref()))
                && status.web.iter().any(|web| web.out && refused(web.message.as_ref()))
        })
        .await;
        assert!(log.lock().unwrap().is_empty(), "a server was asked all the same");
    }
}
