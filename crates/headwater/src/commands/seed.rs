//! `headwater seed`: uploads what is here to whoever asks.
//!
//! A torrent counts as seeding once all its data are known to be right; only then that is printed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Add, AddError, Engine, Mode, Phase, Sizing, Status, Torrent};
use metainfo::{Magnet, Metainfo};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::get::{reached, sources, uploads};
use super::{Context, Place, create, halt_failure, locate, start_engine};
use crate::args::{FormatArg, Net, Seed};
use crate::failure::{Exit, Failure};
use crate::net::engine_config;
use crate::output::{BOLD, Meter, Output, clean};
use crate::signals::Stop;
use crate::source;
use crate::units::plural;

/// How often the state is told while something happens.
const LOOK: Duration = Duration::from_secs(1);

/// How long after the last change it is still told: no display holds a line back for longer.
const SETTLED: Duration = Duration::from_secs(6);

/// Torrents that are opened and checked at a time: enough for any disk, and few beside those that are seeding, so that memory is
/// not made for all of them at once.
const STARTING: usize = 64;

/// Something to seed.
pub(super) struct Item {
    /// What.
    pub(super) metainfo: Arc<Metainfo>,
    /// Where its data are.
    pub(super) place: Place,
    /// It was made for this run, so that nobody knows its link.
    pub(super) made: bool,
    /// How it sizes its upload to what the others cannot do themselves; `None`: it serves whoever asks.
    pub(super) sizing: Option<Sizing>,
}

/// When to stop by itself, and what to print.
#[derive(Clone, Copy)]
struct Terms {
    ratio: Option<f64>,
    time: Option<Duration>,
    magnet: bool,
}

/// Runs the command until a signal, or its terms, end it.
pub(crate) async fn run(context: &Context, args: &Seed) -> Result<Exit, Failure> {
    let config = engine_config(&args.net, &context.state, None, args.limit_upload)?;
    let sources = sources(&args.source, args.input.as_deref())?;
    let open = |text: String| open_source(context, Path::new(&text), args.dir.as_deref(), FormatArg::V1);
    let sizing = sizing(args);
    let sized = |item| Item { sizing, ..item };
    let items: Vec<Item> = sources.into_iter().map(|text| open(text).map(sized)).collect::<Result<_, _>>()?;
    let terms = Terms { ratio: args.ratio, time: args.time, magnet: args.magnet };
    serve(context, config, items, terms).await
}

/// How the flags want the upload sized.
fn sizing(args: &Seed) -> Option<Sizing> {
    match args.copies {
        _ if args.super_ => Some(Sizing::SPREAD),
        None | Some(0) => None,
        Some(copies) => Some(Sizing { copies, ..Sizing::default() }),
    }
}

/// Seeds one torrent whose data are at `path`, with the usual choices.
pub(super) async fn run_one(
    context: &Context,
    metainfo: Arc<Metainfo>,
    path: &Path,
) -> Result<Exit, Failure> {
    let config = engine_config(&Net::default(), &context.state, None, None)?;
    let place = locate(&metainfo.info, Some(path), None)?;
    let item = Item { metainfo, place, made: false, sizing: None };
    serve(context, config, vec![item], Terms { ratio: None, time: None, magnet: false }).await
}

/// Opens what shall be seeded: a torrent and its data, or data that get a torrent in memory and in the state folder.
pub(super) fn open_source(
    context: &Context,
    path: &Path,
    dir: Option<&Path>,
    format: FormatArg,
) -> Result<Item, Failure> {
    if !path.exists() {
        return Err(Failure::new(Exit::NotFound, format!("{} does not exist", path.display())));
    }
    if let Some(metainfo) = torrent_at(path)? {
        let place = locate(&metainfo.info, dir, Some(path))?;
        return Ok(Item { metainfo, place, made: false, sizing: None });
    }
    let builder = create::make(context, path, format)?;
    let metainfo = source::parse(create::encode(&builder, path)?.into(), &path.display().to_string())?;
    context.state.keep_torrent(&metainfo.info.wire_hash().to_string(), metainfo.raw())?;
    let full = path.canonicalize().map_err(|error| Failure::io("open", path, &error))?;
    let folder = full.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    Ok(Item { metainfo, place: Place { folder, rename: None }, made: true, sizing: None })
}

/// The torrent in a file, if that is what it is: by its name it must be one, otherwise it may.
pub(super) fn torrent_at(path: &Path) -> Result<Option<Arc<Metainfo>>, Failure> {
    let named = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("torrent"));
    let metadata = path.metadata().map_err(|error| Failure::io("open", path, &error))?;
    if named && metadata.is_file() {
        return source::read(path).map(Some);
    }
    let small = metadata.is_file() && metadata.len() <= metainfo::MAX_METAINFO as u64;
    Ok(if small { source::read(path).ok() } else { None })
}

/// Gives an item to the engine, to be served only.
pub(super) async fn add(
    engine: &Engine,
    item: &Item,
    trackers: Vec<Vec<String>>,
) -> Result<Torrent, Failure> {
    let add = Add {
        rename: item.place.rename.clone(),
        seed_only: true,
        sizing: item.sizing,
        trackers,
        ..Add::new(Arc::clone(&item.metainfo), item.place.folder.clone())
    };
    engine.add(add).await.map_err(|error| add_failure(item.metainfo.info.name(), &error))
}

/// Why the engine does not take a torrent, in the user's terms.
pub(super) fn add_failure(name: &str, error: &AddError) -> Failure {
    let exit = if matches!(error, AddError::V2Only) { Exit::Invalid } else { Exit::Other };
    let failure = Failure::new(exit, format!("cannot seed {name}")).because(error);
    match error {
        AddError::V2Only => {
            failure.hint("make a hybrid torrent of the same files: headwater create --format hybrid")
        }
        _ => failure,
    }
}

/// Waits until a torrent's data are known to be right. `Some`: a signal came first.
pub(super) async fn until_seeding(
    output: &Output,
    torrent: &mut Torrent,
    stop: &mut Stop,
) -> Result<Option<Exit>, Failure> {
    let mut meter = output.meter(&torrent.status().name);
    loop {
        let status = torrent.status();
        match &status.phase {
            Phase::Seeding if status.have < status.pieces => return Err(incomplete(&status)),
            Phase::Seeding => return Ok(None),
            Phase::Failed(halt) => return Err(halt_failure(&format!("cannot seed {}", status.name), halt)),
            Phase::Checking { done, total } => meter.show(*done, *total, "checking"),
            _ => {}
        }
        tokio::select! {
            exit = stop.asked() => return Ok(Some(exit)),
            changed = torrent.changed() => if !changed {
                return Err(Failure::new(Exit::Other, format!("{} stopped", torrent.status().name)));
            },
        }
    }
}

fn incomplete(status: &Status) -> Failure {
    let exit = if status.have == 0 { Exit::NotFound } else { Exit::Differs };
    let pieces = plural(status.pieces.into(), "piece");
    Failure::new(exit, format!("cannot seed {}", status.name))
        .cause(format!("{} of {pieces} missing or damaged", status.pieces - status.have))
        .hint("name the folder that holds the data with -d DIR; `headwater verify` tells what differs")
}

async fn serve(
    context: &Context,
    config: engine::Config,
    items: Vec<Item>,
    terms: Terms,
) -> Result<Exit, Failure> {
    let output = &context.output;
    let stop = Stop::listen(output)?;
    let engine = start_engine(config).await?;
    let (starting, mut stopped) = (Arc::new(Semaphore::new(STARTING)), stop.clone());
    let mut seeds = JoinSet::new();
    let mut exit = Exit::Done;
    for item in items {
        let turn = tokio::select! {
            turn = starting.clone().acquire_owned() => turn.ok(),
            _ = stopped.asked() => break,
        };
        match add(&engine, &item, Vec::new()).await {
            Ok(torrent) => {
                let port = engine.port();
                seeds.spawn(seed(output.clone(), Box::new(item), torrent, stop.clone(), terms, port, turn));
            }
            Err(failure) => {
                output.failure(&failure);
                exit = failure.exit;
            }
        }
    }
    loop {
        let ended = tokio::select! {
            ended = seeds.join_next() => ended,
            asked = stopped.asked() => {
                exit = if exit == Exit::Done { asked } else { exit };
                break;
            }
        };
        let Some(ended) = ended else { break };
        let ended =
            ended.unwrap_or_else(|crash| Err(Failure::new(Exit::Other, "seeding crashed").because(&crash)));
        let this = ended.unwrap_or_else(|failure| {
            output.failure(&failure);
            failure.exit
        });
        exit = if exit == Exit::Done { this } else { exit };
    }
    drop(seeds);
    engine.stop().await;
    Ok(exit)
}

/// Lives a torrent's life, until its terms end it or nobody waits for it any more. There may be ten thousand of them that only
/// wait, so what is rare is boxed.
#[expect(clippy::manual_async_fn, reason = "the arguments of an async fn are kept twice")]
fn seed(
    output: Output,
    item: Box<Item>,
    mut torrent: Torrent,
    mut stop: Stop,
    terms: Terms,
    port: u16,
    turn: Option<OwnedSemaphorePermit>,
) -> impl Future<Output = Result<Exit, Failure>> + Send {
    async move {
        if let Some(exit) = Box::pin(until_seeding(&output, &mut torrent, &mut stop)).await? {
            return Ok(exit);
        }
        drop(turn);
        announce(&output, &item, terms, port);
        let mut meter = output.meter(item.metainfo.info.name());
        let size = item.metainfo.info.layout().content_length();
        drop(item);
        let (begun, mut reported) = (Instant::now(), Instant::now());
        let (mut mode, mut changed) = (None, None::<Instant>);
        loop {
            let status = torrent.status();
            if let Phase::Failed(halt) = &status.phase {
                return Err(halt_failure(&format!("cannot seed {} any longer", status.name), halt));
            }
            show(&output, &mut meter, &status, &mut reported);
            show_mode(&output, &status, &mut mode);
            let over = terms.ratio.is_some_and(|ratio| reached(status.uploaded, size, ratio))
                || terms.time.is_some_and(|time| begun.elapsed() >= time);
            drop(status);
            if over {
                Box::pin(torrent.stop()).await;
                return Ok(Exit::Done);
            }
            let end = terms.time.map(|time| time.saturating_sub(begun.elapsed()));
            let look = changed.filter(|at| at.elapsed() < SETTLED).map(|_| LOOK);
            tokio::select! {
                goes_on = torrent.changed() => {
                    if !goes_on {
                        return Ok(Exit::Done);
                    }
                    changed = Some(Instant::now());
                }
                () = sleep([end, look].into_iter().flatten().min()) => {}
            }
        }
    }
}

/// Sleeps for so long; `None`: for ever.
async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => Box::pin(tokio::time::sleep(time)).await,
        None => std::future::pending().await,
    }
}

fn announce(output: &Output, item: &Item, terms: Terms, port: u16) {
    let info = &item.metainfo.info;
    let magnet = Magnet::of(&item.metainfo);
    if output.events() {
        output.event(json!({
            "event": "seeding", "hash": info.wire_hash().to_string(), "name": info.name(),
            "size": info.layout().content_length(), "magnet": magnet.to_string(), "port": port,
        }));
        return;
    }
    output.result(format_args!("{BOLD}Seeding{BOLD:#} {}", clean(info.name())));
    if item.made || terms.magnet {
        output.result(&magnet);
    }
    if item.made && magnet.trackers.is_empty() {
        output.hint(format_args!(
            "nobody tracks it: others fetch it with `headwater get 'magnet:…' --peer THIS-HOST:{port}`"
        ));
    }
}

fn show(output: &Output, meter: &mut Meter, status: &Status, reported: &mut Instant) {
    meter.wait(&uploads(status));
    if reported.elapsed() >= LOOK {
        *reported = Instant::now();
        output.event(json!({
            "event": "progress", "hash": status.hash.to_string(), "up": status.rate_up, "uploaded": status.uploaded,
            "peers": status.peers, "seeds": status.seeds,
            "mode": status.origin.as_ref().map(|origin| origin.mode.name()),
            "copies": status.origin.as_ref().map(|origin| origin.copies),
            "reason": status.origin.as_ref().map(|origin| &origin.reason),
        }));
    }
}

/// Says when a sizing origin gives more or less than before, and why.
pub(super) fn show_mode(output: &Output, status: &Status, shown: &mut Option<Mode>) {
    let Some(origin) = status.origin.as_ref().filter(|origin| *shown != Some(origin.mode)) else { return };
    *shown = Some(origin.mode);
    output.event(json!({
        "event": "mode", "hash": status.hash.to_string(), "mode": origin.mode.name(), "copies": origin.copies,
        "reason": origin.reason,
    }));
    let gives = match origin.mode {
        Mode::Full => "gives everything",
        Mode::Spread => "gives each piece once",
        Mode::Silent => "gives nothing",
    };
    output.note(format_args!("{} {gives}: {}", clean(&status.name), origin.reason));
}
