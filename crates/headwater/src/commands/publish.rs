//! `headwater publish`: torrent, tracker, web server and origin in one process.
//!
//! `site` holds the pages; the tracker's HTTP server serves them beside the announces.

mod site;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, Torrent};
use metainfo::edit::{Change, Edit};
use metainfo::{InfoHash, Magnet, Metainfo};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracker::{Access, Origin, Tracker};

use super::get::uploads;
use super::seed::{self, Item};
use super::track::{everywhere, listen, local_address, random};
use super::{Context, start_engine};
use crate::args::Publish;
use crate::failure::{Exit, Failure};
use crate::net::{engine_config, refuse_any, refuse_tls};
use crate::output::{BOLD, Output, clean};
use crate::signals::Stop;
use crate::source;
use crate::units::size;
use site::Site;

/// The port of the page, and how many above it are tried.
const PORT: u16 = 8080;
const PORTS: u16 = 10;

/// How often the display is renewed.
const LOOK: Duration = Duration::from_secs(1);

/// Something published.
struct Publication {
    item: Item,
    /// Where its torrent file is served.
    url: String,
}

/// Runs the command until a signal ends it.
pub(crate) async fn run(context: &Context, args: &Publish) -> Result<Exit, Failure> {
    refuse_unsupported(args)?;
    let output = &context.output;
    let mut config = engine_config(&args.net, &context.state, None, args.limit_upload)?;
    let mut stop = Stop::listen(output)?;
    let listener = open_listener(args).await?;
    let at = local_address(&listener)?;
    if at.ip().is_loopback() && args.net.listen.is_none() {
        // Who shows the page to this machine alone does not open a port to others.
        config.listen.ip = Some(at.ip());
    }
    let base = base_url(args, at)?;
    let publications = publications(context, args, &base)?;
    let tracker = Arc::new(Tracker::new(tracker_config(&publications), random()?));
    let site = Site::new(
        publications.iter().map(|publication| (&*publication.item.metainfo, publication.url.as_str())),
    );
    let (end, ended) = oneshot::channel::<()>();
    let serving = tracker::http::serve(listener, Arc::clone(&tracker), Arc::new(site), async {
        _ = ended.await;
    });
    let sweeper = Arc::clone(&tracker);
    let server = tokio::spawn(async move {
        tokio::select! {
            () = serving => {}
            () = sweeper.keep_swept() => {}
        }
    });
    let engine = start_engine(config).await?;
    let result = serve(output, &engine, &tracker, &base, &publications, at, &mut stop).await;
    engine.stop().await;
    // The origin has said farewell to the tracker: it may go.
    _ = end.send(());
    server.await.map_err(|crash| Failure::new(Exit::Other, "the web server crashed").because(&crash))?;
    result.map(|()| Exit::Done)
}

async fn serve(
    output: &Output,
    engine: &Engine,
    tracker: &Tracker,
    base: &str,
    publications: &[Publication],
    at: SocketAddr,
    stop: &mut Stop,
) -> Result<(), Failure> {
    let mut torrents = Vec::new();
    for publication in publications {
        torrents.push(seed::add(engine, &publication.item, Vec::new()).await?);
    }
    for torrent in &mut torrents {
        if seed::until_seeding(output, torrent, stop).await?.is_some() {
            return Ok(());
        }
    }
    let origin = |hash| Origin { hash, port: engine.port(), host: Vec::new() };
    tracker.set_origins(publications.iter().flat_map(hashes).map(origin).collect());
    announce(output, base, publications, at);
    watch(output, &torrents, tracker, stop).await;
    Ok(())
}

/// Shows how it goes until a signal comes.
async fn watch(output: &Output, torrents: &[Torrent], tracker: &Tracker, stop: &mut Stop) {
    let mut meters: Vec<_> = torrents.iter().map(|torrent| output.meter(&torrent.status().name)).collect();
    loop {
        for (torrent, meter) in torrents.iter().zip(&mut meters) {
            let status = torrent.status();
            meter.wait(&uploads(&status));
            output.event(json!({
                "event": "progress", "hash": status.hash.to_string(), "up": status.rate_up, "uploaded": status.uploaded,
                "peers": status.peers, "seeds": status.seeds, "announces": tracker.stats().announces,
            }));
        }
        tokio::select! {
            _ = stop.asked() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn announce(output: &Output, base: &str, publications: &[Publication], at: SocketAddr) {
    if output.events() {
        let torrents = publications.iter().map(|publication| {
            let info = &publication.item.metainfo.info;
            json!({
                "name": info.name(), "hash": info.wire_hash().to_string(), "size": info.layout().content_length(),
                "torrent": publication.url, "magnet": Magnet::of(&publication.item.metainfo).to_string(),
            })
        });
        output.event(json!({ "event": "publishing", "url": format!("{base}/"), "torrents": torrents.collect::<Vec<_>>() }));
        return;
    }
    output.result(format_args!("{BOLD}Publishing{BOLD:#} at {base}/"));
    for publication in publications {
        let info = &publication.item.metainfo.info;
        output.result(format_args!("  {}, {}", clean(info.name()), size(info.layout().content_length())));
        output.result(format_args!("  headwater get {}", publication.url));
    }
    if at.ip().is_loopback() {
        output.hint(format_args!(
            "only this machine can reach it; for others add --http {} --url http://YOUR-HOST:{}",
            everywhere(at),
            at.port()
        ));
    }
}

/// `--http`, else the first free of a few usual ports on this machine's loopback, else any.
async fn open_listener(args: &Publish) -> Result<TcpListener, Failure> {
    if args.http.is_some() {
        return listen(args.http.as_deref(), PORT).await;
    }
    for port in PORT..PORT + PORTS {
        if let Ok(listener) = listen(None, port).await {
            return Ok(listener);
        }
    }
    listen(None, 0).await
}

/// The address people use, without a slash at its end.
fn base_url(args: &Publish, at: SocketAddr) -> Result<String, Failure> {
    if let Some(url) = &args.url {
        let known = url.starts_with("http://") || url.starts_with("https://");
        let complaint = || Failure::usage(format!("`{url}` is not the address of a web server"));
        return if known {
            Ok(url.trim_end_matches('/').to_owned())
        } else {
            Err(complaint().hint("--url http://files.example.org:8080"))
        };
    }
    let ip = if at.ip().is_unspecified() { outward_address(at.ip()) } else { at.ip() };
    Ok(format!("http://{}", SocketAddr::new(ip, at.port())))
}

/// The address of this machine that others are likely to reach: that of the way out. No packet is sent to find it.
fn outward_address(unspecified: IpAddr) -> IpAddr {
    let address = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        // Any address outside will do; this one is set aside for documentation.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    let found = address.map(|address| address.ip()).ok().filter(|ip| !ip.is_unspecified());
    found.unwrap_or(if unspecified.is_ipv6() {
        std::net::Ipv6Addr::LOCALHOST.into()
    } else {
        Ipv4Addr::LOCALHOST.into()
    })
}

fn publications(context: &Context, args: &Publish, base: &str) -> Result<Vec<Publication>, Failure> {
    let tracker = format!("{base}/announce");
    let mut publications: Vec<Publication> = Vec::new();
    for path in &args.source {
        let mut item = seed::open_source(context, path, None, args.format)?;
        item.metainfo = with_tracker(&item.metainfo, &tracker)?;
        let hash = item.metainfo.info.wire_hash().to_string();
        context.state.keep_torrent(&hash, item.metainfo.raw())?;
        let mut file = format!("{}.torrent", item.metainfo.info.name());
        let url = |file: &str| format!("{base}/{}", site::escape(file));
        if publications.iter().any(|other| other.url == url(&file)) {
            file = format!("{}-{}.torrent", item.metainfo.info.name(), &hash[..8]);
        }
        publications.push(Publication { item, url: url(&file) });
    }
    Ok(publications)
}

/// The same torrent with our tracker before its own.
fn with_tracker(metainfo: &Metainfo, tracker: &str) -> Result<Arc<Metainfo>, Failure> {
    let ours = vec![tracker.to_owned()];
    let others = metainfo.announce.iter().filter(|tier| **tier != ours).cloned();
    let edit =
        Edit { tiers: Change::Set(std::iter::once(ours.clone()).chain(others).collect()), ..Edit::default() };
    let name = metainfo.info.name();
    let bytes = edit.apply(metainfo.raw()).map_err(|error| {
        Failure::new(Exit::Invalid, format!("cannot name the tracker in the torrent of {name}"))
            .because(&error)
    })?;
    source::parse(bytes.into(), name)
}

/// Only what is published is tracked, by both of its names.
fn tracker_config(publications: &[Publication]) -> tracker::Config {
    let access = Access::Allow(publications.iter().flat_map(hashes).collect());
    tracker::Config { access, ..tracker::Config::default() }
}

/// The names a publication goes by at trackers: a hybrid torrent has two.
fn hashes(publication: &Publication) -> impl Iterator<Item = InfoHash> + use<> {
    let hashes = publication.item.metainfo.info.hashes();
    [hashes.v1, hashes.v2.map(|v2| v2.truncated())].into_iter().flatten()
}

fn refuse_unsupported(args: &Publish) -> Result<(), Failure> {
    refuse_tls(&args.tls)?;
    refuse_any(&[
        (args.title.is_some(), "--title", "leave it out: the page is a plain list"),
        (args.intro.is_some(), "--intro", "leave it out: the page is a plain list"),
        (args.theme.is_some(), "--theme", "leave it out: the page is a plain list"),
        (args.no_tracker, "--no-tracker", "headwater seed TORRENT serves without a tracker of its own"),
        (args.copies.is_some(), "--copies", "leave it out: the origin serves as long as it runs"),
        (args.watch, "--watch", "leave it out, and start again when files are added"),
        (args.export.is_some(), "--export", "headwater create writes torrents for any web server"),
        (args.price_per_gb.is_some(), "--price-per-gb", "leave it out"),
    ])
}
