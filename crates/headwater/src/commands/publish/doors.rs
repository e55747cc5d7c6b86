//! The listeners of the site, and what runs behind them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use publish::serve::{Limits, Listener, Site, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracker::Tracker;

use super::addresses::host_of;
use crate::args::Publish;
use crate::commands::Context;
use crate::commands::track::{listen, listen_for, local_address, parse_address};
use crate::failure::Failure;
use crate::output::Output;
use crate::tls::{ServerTls, names_of, server_config};

/// The port of the page, and how many above it are tried.
const PORT: u16 = 8080;
const PORTS: u16 = 10;

/// The port of the page over HTTPS.
const TLS_PORT: u16 = 443;

/// What the site speaks over TLS, best first.
const HTTP_2_AND_1: &[&str] = &["h2", "http/1.1"];

/// See the module's head.
pub(super) struct Doors {
    plain: Option<TcpListener>,
    secure: Option<(TcpListener, ServerTls)>,
    /// Where the page is: over HTTPS if that is spoken.
    pub(super) at: SocketAddr,
    pub(super) https: bool,
    /// The site's address by the name that its certificate was ordered for.
    pub(super) domain: Option<String>,
}

impl Doors {
    /// Opens them. Without a word about it that is HTTP, for this machine alone.
    pub(super) async fn open(context: &Context, args: &Publish) -> Result<Self, Failure> {
        let secure = match &args.tls.https {
            Some(at) => {
                let listener = listen_for("--https", parse_address(at)?).await?;
                let mut names = names_of(local_address(&listener)?.ip());
                names.extend(args.url.iter().map(|url| host_of(url).to_owned()));
                let tls = server_config(&args.tls, &context.state, &names, HTTP_2_AND_1, &context.output)?;
                tls.map(|tls| (listener, tls))
            }
            None => None,
        };
        let plain = match (&args.http, &secure) {
            (Some(at), _) => Some(listen(Some(at), PORT).await?),
            (None, Some(_)) => None,
            (None, None) => Some(first_free().await?),
        };
        let https = secure.is_some();
        let listener = secure.as_ref().map(|(listener, _)| listener).or(plain.as_ref());
        let at = listener.map_or(Ok(SocketAddr::from(([127, 0, 0, 1], PORT))), local_address)?;
        let domain = secure.as_ref().and_then(|(_, tls)| tls.domain.as_ref());
        let domain = domain.map(|domain| match at.port() {
            TLS_PORT => format!("https://{domain}"),
            port => format!("https://{domain}:{port}"),
        });
        Ok(Self { plain, secure, at, https, domain })
    }

    /// Serves until the sender of `ended` goes.
    pub(super) fn serve(
        self,
        site: Arc<Site>,
        limits: Limits,
        tracker: Option<Arc<Tracker>>,
        output: Output,
        ended: oneshot::Receiver<()>,
    ) -> impl Future<Output = ()> {
        let mut listeners: Vec<Listener> =
            self.plain.into_iter().map(|tcp| Listener { tcp, tls: None }).collect();
        let mut renewal = None;
        if let Some((tcp, tls)) = self.secure {
            listeners.push(Listener { tcp, tls: Some(Arc::clone(&tls.config)) });
            renewal = Some(tls);
        }
        let sweeping = async move {
            match tracker {
                Some(tracker) => tracker.keep_swept().await,
                None => std::future::pending().await,
            }
        };
        let renewing = async move {
            match renewal {
                Some(tls) => tls.keep(&output).await,
                None => std::future::pending().await,
            }
        };
        async move {
            tokio::select! {
                () = serve(listeners, site, limits, async { _ = ended.await; }) => {}
                () = sweeping => {}
                () = renewing => {}
            }
        }
    }
}

/// The first free of a few usual ports on this machine's loopback, else any.
async fn first_free() -> Result<TcpListener, Failure> {
    for port in PORT..PORT + PORTS {
        if let Ok(listener) = listen(None, port).await {
            return Ok(listener);
        }
    }
    listen(None, 0).await
}
