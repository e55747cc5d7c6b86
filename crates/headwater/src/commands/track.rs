//! `headwater track`: a tracker over HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracker::http::NoSite;
use tracker::{Access, Config, Net, Tracker, parse_list};

use super::Context;
use crate::args::Track;
use crate::failure::{Exit, Failure};
use crate::net::{refuse_any, refuse_tls};
use crate::output::Output;
use crate::signals::Stop;

/// The port trackers commonly have.
const PORT: u16 = 6969;

/// Runs the command until a signal ends it.
pub(crate) async fn run(context: &Context, args: &Track) -> Result<Exit, Failure> {
    let output = &context.output;
    refuse_unsupported(args)?;
    let mut stop = Stop::listen(output)?;
    let mut config =
        Config { access: read_access(args)?, trust_proxy: proxies(&args.trust_proxy)?, ..Config::default() };
    if let Some(interval) = args.interval {
        config.interval = interval;
        config.min_interval = config.min_interval.min(interval);
    }
    let listener = listen(args.http.as_deref(), PORT).await?;
    let at = local_address(&listener)?;
    let tracker = Arc::new(Tracker::new(config, random()?));
    announce_url(output, at);
    let reloads = reload_on_hangup(output.clone(), args.clone(), Arc::clone(&tracker));
    let asked = async {
        _ = stop.asked().await;
    };
    let serving = tracker::http::serve(listener, tracker, Arc::new(NoSite), asked);
    tokio::select! {
        () = serving => Ok(Exit::Done),
        failure = reloads => Err(failure),
    }
}

fn announce_url(output: &Output, at: SocketAddr) {
    let url = format!("http://{at}/announce");
    tell(output, json!({ "event": "tracking", "url": url }), &format!("Tracking at {url}"));
    if at.ip().is_loopback() {
        output.hint(format_args!(
            "only this machine can reach it; for others: headwater track --http {}",
            everywhere(at)
        ));
    }
}

/// Reports as an event or as a line.
fn tell(output: &Output, event: Value, line: &str) {
    if output.events() { output.event(event) } else { output.result(line) }
}

/// Reads the lists again at each SIGHUP; returns only if that cannot be listened for.
async fn reload_on_hangup(output: Output, args: Track, tracker: Arc<Tracker>) -> Failure {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => return Failure::new(Exit::Other, "cannot listen for signals").because(&error),
    };
    loop {
        if hangups.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        match read_access(&args) {
            Ok(access) => {
                tracker.set_access(access);
                tell(&output, json!({ "event": "reloaded" }), "Read the list again");
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

fn proxies(texts: &[String]) -> Result<Vec<Net>, Failure> {
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
    refuse_tls(&args.tls)?;
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
    TcpListener::bind(at).await.map_err(|error| {
        let failure = Failure::new(Exit::of_io(&error), format!("cannot serve on {at}")).because(&error);
        if error.kind() == std::io::ErrorKind::AddrNotAvailable {
            return failure.hint(format!(
                "it is no address of this machine: --http {} serves on all it has",
                everywhere(at)
            ));
        }
        failure.hint(format!("--http {} takes any free port", SocketAddr::new(at.ip(), 0)))
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

fn parse_address(text: &str) -> Result<SocketAddr, Failure> {
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        return Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    }
    text.parse().map_err(|_| {
        Failure::usage(format!("`{text}` is no address to serve on"))
            .hint("--http 127.0.0.1:8080 or --http [::]:8080")
    })
}
