//! `headwater track`: a tracker over HTTP and HTTPS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracker::http::{NoSite, serve, serve_tls};
use tracker::{Access, Config, Net, Tracker, parse_list};

use super::Context;
use crate::args::Track;
use crate::failure::{Exit, Failure};
use crate::net::{raise_descriptor_limit, refuse_any};
use crate::output::Output;
use crate::signals::Stop;
use crate::tls::{self, HTTP_1, ServerTls, server_config};

/// The port trackers commonly have.
const PORT: u16 = 6969;

/// Runs the command until a signal ends it.
pub(crate) async fn run(context: &Context, args: &Track) -> Result<Exit, Failure> {
    let output = &context.output;
    refuse_unsupported(args)?;
    let stop = Stop::listen(output)?;
    let mut config =
        Config { access: read_access(args)?, trust_proxy: proxies(&args.trust_proxy)?, ..Config::default() };
    if let Some(interval) = args.interval {
        config.interval = interval;
        config.min_interval = config.min_interval.min(interval);
    }
    raise_descriptor_limit();
    let tracker = Arc::new(Tracker::new(config, random()?));
    let (secure, tls) = open_https(context, args).await?.unzip();
    let plain = open_http(output, args).await?;
    let secure = secure.zip(tls.as_ref().map(|tls| Arc::clone(&tls.config)));
    let fronts = async {
        tokio::join!(
            serve_plain(plain, Arc::clone(&tracker), stop.clone()),
            serve_secure(secure, Arc::clone(&tracker), stop.clone())
        )
    };
    tokio::select! {
        _ = fronts => Ok(Exit::Done),
        () = tracker.keep_swept() => Ok(Exit::Done),
        () = keep_current(tls, output) => Ok(Exit::Done),
        failure = reload_on_hangup(output, args, &tracker) => Err(failure),
    }
}

/// The listener for HTTP: if it is asked for, or nothing else is.
async fn open_http(output: &Output, args: &Track) -> Result<Option<TcpListener>, Failure> {
    if args.http.is_none() && args.tls.https.is_some() {
        return Ok(None);
    }
    let listener = listen(args.http.as_deref(), PORT).await?;
    let at = local_address(&listener)?;
    announce_url(output, &format!("http://{at}/announce"), "--http", at);
    Ok(Some(listener))
}

/// The listener for HTTPS and its certificate, if asked for.
async fn open_https(context: &Context, args: &Track) -> Result<Option<(TcpListener, ServerTls)>, Failure> {
    let Some(asked) = &args.tls.https else { return Ok(None) };
    let listener = listen_for("--https", parse_address(asked)?).await?;
    let at = local_address(&listener)?;
    let names = tls::names_of(at.ip());
    let tls = server_config(&args.tls, &context.state, &names, HTTP_1, &context.output)?;
    if let Some(tls) = &tls {
        let host = match &tls.domain {
            Some(domain) => format!("{domain}:{}", at.port()),
            None => at.to_string(),
        };
        let url = format!("https://{}/announce", host.strip_suffix(":443").unwrap_or(&host));
        announce_url(&context.output, &url, "--https", at);
    }
    Ok(tls.map(|tls| (listener, tls)))
}

async fn serve_plain(listener: Option<TcpListener>, tracker: Arc<Tracker>, mut stop: Stop) {
    if let Some(listener) = listener {
        let asked = async { _ = stop.asked().await };
        serve(listener, tracker, Arc::new(NoSite), asked).await;
    }
}

async fn serve_secure(
    front: Option<(TcpListener, Arc<ServerConfig>)>,
    tracker: Arc<Tracker>,
    mut stop: Stop,
) {
    if let Some((listener, config)) = front {
        let asked = async { _ = stop.asked().await };
        serve_tls(listener, config, tracker, Arc::new(NoSite), asked).await;
    }
}

/// Keeps the certificate current; never ends.
async fn keep_current(tls: Option<ServerTls>, output: &Output) {
    if let Some(tls) = tls {
        tls.keep(output).await;
    }
    std::future::pending::<()>().await;
}

fn announce_url(output: &Output, url: &str, flag: &str, at: SocketAddr) {
    tell(output, json!({ "event": "tracking", "url": url }), &format!("Tracking at {url}"));
    if at.ip().is_loopback() {
        output.hint(format_args!(
            "only this machine can reach it; for others: headwater track {flag} {}",
            everywhere(at)
        ));
    }
}

/// Reports as an event or as a line.
fn tell(output: &Output, event: Value, line: &str) {
    if output.events() { output.event(event) } else { output.result(line) }
}

/// Reads the lists again at each SIGHUP; returns only if that cannot be listened for.
async fn reload_on_hangup(output: &Output, args: &Track, tracker: &Tracker) -> Failure {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => return Failure::new(Exit::Other, "cannot listen for signals").because(&error),
    };
    loop {
        if hangups.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        match read_access(args) {
            Ok(access) => {
                tracker.set_access(access);
                tell(output, json!({ "event": "reloaded" }), "Read the list again");
            }
            Err(failure) => {
                output.failure(&failure);
                output.warn("the old list stays in force");
            }
        }
    }
}

fn read_access(args: &Track) -> Result<Access, Failure> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
        parse_list(&text).map_err(|error| {
            Failure::new(Exit::Invalid, format!("{} is not a list of info hashes", path.display()))
                .because(&error)
        })
    };
    match (&args.allow, &args.deny) {
        (Some(path), _) => read(path).map(Access::Allow),
        (None, Some(path)) => read(path).map(Access::Deny),
        (None, None) => Ok(Access::Open),
    }
}

pub(crate) fn proxies(texts: &[String]) -> Result<Vec<Net>, Failure> {
    let parse = |text: &String| {
        text.parse().map_err(|error| {
            Failure::usage(format!("`{text}` is no network"))
                .because(&error as &tracker::NetError)
                .hint("--trust-proxy 10.0.0.0/8")
        })
    };
    texts.iter().map(parse).collect()
}

fn refuse_unsupported(args: &Track) -> Result<(), Failure> {
    let store = args.store.as_deref().is_some_and(|store| store != "memory");
    refuse_any(&[
        (args.udp.is_some(), "--udp", "serve with --http"),
        (args.workers.is_some(), "--workers", "leave it out: all cores are used"),
        (store, "--store", "--store memory, or leave it out"),
        (args.admin.is_some(), "--admin", "leave it out"),
    ])
}

/// Opens the address to serve on: `IP:PORT`, `[IP]:PORT`, `:PORT` (every address of this machine) or `PORT`; loopback if absent.
pub(super) async fn listen(asked: Option<&str>, port: u16) -> Result<TcpListener, Failure> {
    let at = asked.map_or(Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))), parse_address)?;
    listen_for("--http", at).await
}

/// Opens an address that this flag names.
pub(super) async fn listen_for(flag: &str, at: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(at).await.map_err(|error| {
        let failure = Failure::new(Exit::of_io(&error), format!("cannot serve on {at}")).because(&error);
        if error.kind() == std::io::ErrorKind::AddrNotAvailable {
            return failure.hint(format!(
                "it is no address of this machine: {flag} {} serves on all it has",
                everywhere(at)
            ));
        }
        failure.hint(format!("{flag} {} takes any free port", SocketAddr::new(at.ip(), 0)))
    })
}

/// Every address of this machine, of the same family and with the same port.
pub(super) fn everywhere(at: SocketAddr) -> SocketAddr {
    let ip: IpAddr = if at.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, at.port())
}

/// Where a listener really is.
pub(super) fn local_address(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener
        .local_addr()
        .map_err(|error| Failure::new(Exit::Other, "cannot find the address served on").because(&error))
}

/// Random bytes that strangers cannot guess.
pub(super) fn random() -> Result<[u8; 16], Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(Exit::Other, "no random numbers").because(&error))?;
    Ok(bytes)
}

pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, Failure> {
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        return Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    }
    text.parse().map_err(|_| {
        Failure::usage(format!("`{text}` is no address to serve on"))
            .hint("--http 127.0.0.1:8080 or --http [::]:8080")
    })
}
