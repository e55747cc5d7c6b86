//! The life of one download: find out what it is, fetch it, stay while it is of use to others.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::{Add, AddError, Engine, Halt, Phase, Priority, Select, Status, Torrent, What};
use metainfo::{Info, Metainfo, Outer, edit};
use serde_json::json;

use super::words::{gave_up, nobody, nothing_left, rates, waiting};
use super::{Ended, Job, guard};
use crate::commands::show::draw_list;
use crate::commands::{halt_failure, keys};
use crate::failure::{Exit, Failure};
use crate::output::{GOOD, Meter, clean, quote};
use crate::source::{self, Kind, Source};
use crate::units::{duration, size};

/// How long to wait for anybody at all, if the user set no time: trackers and peers answer within seconds, and a second
/// round of attempts fits in.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to stay after completion while a connected peer lacks a piece that only we have.
const LINGER: Duration = Duration::from_secs(30);

/// How often a JSON progress event is printed.
const EVENT_EVERY: Duration = Duration::from_secs(1);

/// Downloads one source; `began` is told when its torrent is at work.
pub(in crate::commands) async fn run(
    job: Arc<Job>,
    engine: &Engine,
    text: String,
    began: impl FnOnce(&Torrent),
) -> Result<Ended, Failure> {
    let mut stop = job.stop.clone();
    let source = tokio::select! {
        source = source::load(&text, engine) => source?,
        exit = stop.asked() => return Ok(Ended::Stopped(exit)),
    };
    let metadata_only = job.args.list || job.args.torrent_only;
    let (mut linked, mut server) = (None, None);
    let (what, metainfo, outer) = match source {
        Source::Torrent(metainfo, _) if metadata_only => {
            return hand_over(&job, &metainfo.info, metainfo.raw()).map(|()| Ended::Done);
        }
        Source::Torrent(metainfo, from) => {
            server = from;
            (What::Metainfo(Arc::clone(&metainfo)), Some(metainfo), Outer::default())
        }
        Source::Magnet(magnet) => {
            linked.clone_from(&magnet.select);
            let tiers = magnet.trackers.iter().map(|url| vec![url.clone()]).collect();
            let outer = Outer { tiers, web_seeds: magnet.web_seeds.clone(), ..Outer::default() };
            (What::Magnet(magnet), None, outer)
        }
    };
    let refusal = Arc::new(Mutex::new(None));
    let torrent = engine
        .add(add(
            &job,
            what,
            server,
            (!metadata_only).then(|| select(Arc::clone(&job), linked, Arc::clone(&refusal))),
        ))
        .await
        .map_err(|error| add_failure(&text, &error))?;
    began(&torrent);
    let mut download = Download::new(&job, text, torrent, metainfo, outer);
    let ended = download.follow(&mut stop, metadata_only).await;
    download.meter = None;
    download.torrent.stop().await;
    // The selection's refusal knows more than the engine's word for it.
    let refusal = refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (ended, refusal) {
        (Err(_), Some(failure)) => Err(failure),
        (ended, _) => ended,
    }
}

/// `server`: the local one that the torrent came from. `select` is absent if the metadata alone are wanted.
fn add(job: &Job, what: What, server: Option<(String, u16)>, select: Option<Select>) -> Add {
    let args = &job.args;
    Add {
        rename: args.output.clone(),
        check: args.check,
        sequential: args.sequential,
        allocate: args.allocate.into(),
        peers: job.peers.clone(),
        web_seeds: job.web_seeds.clone(),
        local_server: server,
        metadata_only: select.is_none(),
        select,
        ..Add::new(what, args.dir.clone())
    }
}

/// Chooses the files once they are known, by the command line or else the link, and makes sure that no file is in the way.
fn select(
    job: Arc<Job>,
    linked: Option<Vec<RangeInclusive<u32>>>,
    refusal: Arc<Mutex<Option<Failure>>>,
) -> Select {
    let choose = move |info: &Info| -> Result<Vec<Priority>, Failure> {
        let chosen = match (&job.selection, &linked) {
            (Some(selection), _) => selection.choose(info).map_err(|words| {
                Failure::usage(words).hint("`headwater get --list` shows the files and their numbers")
            })?,
            (None, Some(ranges)) => named(info, ranges)?,
            (None, None) => vec![true; info.files().len()],
        };
        guard::check(&job, info, &chosen)?;
        Ok(chosen.into_iter().map(|chosen| if chosen { Priority::Normal } else { Priority::Skip }).collect())
    };
    Box::new(move |info| {
        // Looking at files takes a while; other downloads go on meanwhile.
        tokio::task::block_in_place(|| choose(info)).map_err(|failure| {
            let words = failure.what.clone();
            *refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            words
        })
    })
}

/// The files that a link names by their places in the torrent, padding included, from 0 (BEP 53).
fn named(info: &Info, ranges: &[RangeInclusive<u32>]) -> Result<Vec<bool>, Failure> {
    let chosen = info.files().iter().zip(0u32..);
    let chosen: Vec<bool> =
        chosen.map(|(file, place)| !file.pad && ranges.iter().any(|range| range.contains(&place))).collect();
    if chosen.contains(&true) {
        Ok(chosen)
    } else {
        Err(Failure::new(Exit::Invalid, format!("the link selects no file of {}", info.name()))
            .hint("choose with -f: `headwater get --list` shows the files and their numbers"))
    }
}

/// One download under way.
struct Download<'a> {
    job: &'a Job,
    /// The source as the user typed it.
    text: String,
    torrent: Torrent,
    /// Known from the start, unless the source is a link.
    metainfo: Option<Arc<Metainfo>>,
    /// The trackers and web seeds of a link.
    outer: Outer,
    meter: Option<Meter>,
    begun: Instant,
    /// When the last byte came, or something else was done than waiting.
    moved: Instant,
    received: u64,
    met_anybody: bool,
    announced: bool,
    reported: Option<Instant>,
}

impl<'a> Download<'a> {
    fn new(
        job: &'a Job,
        text: String,
        torrent: Torrent,
        metainfo: Option<Arc<Metainfo>>,
        outer: Outer,
    ) -> Self {
        let status = torrent.status();
        let now = Instant::now();
        Self {
            job,
            text,
            meter: Some(job.output.meter(&status.name)),
            received: status.downloaded,
            torrent,
            metainfo,
            outer,
            begun: now,
            moved: now,
            met_anybody: false,
            announced: false,
            reported: None,
        }
    }

    async fn follow(
        &mut self,
        stop: &mut crate::signals::Stop,
        metadata_only: bool,
    ) -> Result<Ended, Failure> {
        loop {
            let status = self.torrent.status();
            if let Some(info) = self.torrent.info().filter(|_| metadata_only) {
                return hand_over(self.job, &info, &self.enclose(&info)).map(|()| Ended::Done);
            }
            self.announce(&status);
            self.show(&status);
            match &status.phase {
                Phase::Failed(halt) => return Err(self.halted(halt)),
                Phase::Seeding => {
                    self.complete(&status);
                    return self.linger(stop).await;
                }
                Phase::Stopped => return Err(Failure::new(Exit::Other, format!("{} stopped", status.name))),
                _ => self.check_patience(&status)?,
            }
            tokio::select! {
                exit = stop.asked() => {
                    if status.done > 0 {
                        self.job.output.hint("what arrived is kept: run the same line again to go on");
                    }
                    return Ok(Ended::Stopped(exit));
                }
                _ = self.torrent.changed() => {}
                () = tokio::time::sleep(EVENT_EVERY) => {}
            }
        }
    }

    /// Says once what is being fetched, as soon as that is known.
    fn announce(&mut self, status: &Status) {
        if self.announced || self.torrent.info().is_none() || status.total == 0 {
            return;
        }
        self.announced = true;
        if let Some(meter) = &mut self.meter {
            meter.rename(&status.name);
        }
        self.job.output.event(json!({
            "event": "metadata", "hash": status.hash.to_string(), "name": status.name, "size": status.total,
        }));
    }

    fn show(&mut self, status: &Status) {
        let Some(meter) = &mut self.meter else { return };
        match &status.phase {
            Phase::Checking { done, total } => meter.show(*done, *total, "checking what is there"),
            Phase::Metadata => meter.wait(&waiting(status)),
            _ => meter.show(status.done, status.total, &rates(status)),
        }
        if self.announced && self.reported.is_none_or(|at| at.elapsed() >= EVENT_EVERY) {
            self.reported = Some(Instant::now());
            self.job.output.event(json!({
                "event": "progress", "hash": status.hash.to_string(), "done": status.done, "total": status.total,
                "down": status.rate_down, "up": status.rate_up, "downloaded": status.downloaded, "uploaded": status.uploaded,
                "peers": status.peers,
                "seeds": status.seeds, "web_seeds": status.web_seeds, "from_web": status.from_web, "eta": status.eta.map(|eta| eta.as_secs()),
            }));
        }
    }

    /// Gives up when the user's times are over, or when nobody is there to ask.
    fn check_patience(&mut self, status: &Status) -> Result<(), Failure> {
        let args = &self.job.args;
        self.met_anybody |= status.peers > 0 || status.trackers.iter().any(|tracker| tracker.working);
        if status.downloaded != self.received || matches!(status.phase, Phase::Checking { .. }) {
            self.received = status.downloaded;
            self.moved = Instant::now();
        }
        let name = &status.name;
        if let Some(limit) = args.timeout.filter(|limit| self.begun.elapsed() >= *limit) {
            return Err(gave_up(
                &format!("{name} is not complete after {}", duration(limit)),
                status,
                "--timeout",
            ));
        }
        if let Some(limit) = args.stall_timeout.filter(|limit| self.moved.elapsed() >= *limit) {
            return Err(gave_up(
                &format!("{name} received nothing for {}", duration(limit)),
                status,
                "--stall-timeout",
            ));
        }
        let hopeless = !status.web.is_empty() && status.web.iter().all(|web| web.out);
        if hopeless && status.peers == 0 && status.trackers.is_empty() && self.job.peers.is_empty() {
            return Err(nothing_left(status));
        }
        let unlimited = args.timeout.is_none() && args.stall_timeout.is_none();
        let web_works = status.web.iter().any(|web| web.working);
        let alone = !(self.met_anybody || web_works) || matches!(status.phase, Phase::Metadata);
        if unlimited && alone && self.moved.elapsed() >= PATIENCE {
            return Err(nobody(status, &self.job.peers, PATIENCE));
        }
        Ok(())
    }

    fn complete(&mut self, status: &Status) {
        self.meter = None;
        let (job, elapsed) = (self.job, self.begun.elapsed());
        let path = self.path(status);
        job.output.event(json!({
            "event": "complete", "hash": status.hash.to_string(), "path": path.display().to_string(),
            "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), "downloaded": status.downloaded,
        }));
        if job.output.events() {
            return;
        }
        // A part of a torrent cannot be seeded alone.
        let kept = (status.left == 0).then(|| self.kept()).transpose();
        let alive = kept.as_ref().ok().and_then(Option::as_ref).map(|torrent| {
            let folder = if job.args.output.is_some() { &path } else { &job.args.dir };
            format!(" Keep it alive: headwater seed {} -d {}", quote(torrent), quote(folder))
        });
        job.output.result(format_args!(
            "{GOOD}Done:{GOOD:#} {} ({} in {}, verified).{alive}",
            clean(&status.name),
            size(status.total),
            duration(elapsed),
            alive = alive.unwrap_or_default(),
        ));
        if let Err(failure) = kept {
            job.output.warn(format_args!("its torrent is not kept: {}", failure.what));
        }
    }

    /// Stays as long as the user wants; else while somebody nearby depends on us alone.
    async fn linger(&mut self, stop: &mut crate::signals::Stop) -> Result<Ended, Failure> {
        let args = &self.job.args;
        let (completed, asked) = (Instant::now(), args.seed_time.is_some() || args.seed_ratio.is_some());
        if args.seed_time.is_some_and(|time| time.is_zero()) {
            return Ok(Ended::Done);
        }
        let mut meter = None;
        loop {
            let status = self.torrent.status();
            if let Phase::Failed(halt) = &status.phase {
                return Err(self.halted(halt));
            }
            let over = if asked {
                args.seed_time.is_some_and(|time| completed.elapsed() >= time)
                    || args.seed_ratio.is_some_and(|ratio| reached(status.uploaded, status.total, ratio))
            } else {
                !status.needed_by_others || completed.elapsed() >= LINGER
            };
            if over || self.torrent.has_ended() {
                return Ok(Ended::Done);
            }
            let meter = meter.get_or_insert_with(|| self.job.output.meter(&status.name));
            let why = if asked { "seeding" } else { "finishing what only we have" };
            meter.wait(&format!("{why}  {}", rates(&status)));
            let left = args.seed_time.unwrap_or(LINGER).saturating_sub(completed.elapsed());
            tokio::select! {
                exit = stop.asked() => return Ok(Ended::Stopped(exit)),
                _ = self.torrent.changed() => {}
                () = tokio::time::sleep(left.min(EVENT_EVERY)) => {}
            }
        }
    }

    fn halted(&self, halt: &Halt) -> Failure {
        let what = format!("cannot download {}", self.torrent.status().name);
        let failure = halt_failure(&what, halt);
        match halt {
            Halt::Permission(_) => failure.hint("-d DIR with a folder that you may write to"),
            _ => failure,
        }
    }

    /// Where the result is, from the folder the command was run in.
    fn path(&self, status: &Status) -> PathBuf {
        let info = self.torrent.info();
        let name = self.job.args.output.as_deref().or(info.as_ref().map(|info| info.name()));
        tidy(&self.job.args.dir.join(name.unwrap_or(&status.name)))
    }

    /// A torrent file that can be seeded from: the user's own, or one kept in the state folder.
    fn kept(&self) -> Result<PathBuf, Failure> {
        if let Kind::File(path) = source::kind(&self.text) {
            return Ok(path.to_owned());
        }
        let bytes = match (&self.metainfo, self.torrent.info()) {
            (Some(metainfo), _) => metainfo.raw().to_vec(),
            (None, Some(info)) => self.enclose(&info),
            (None, None) => return Ok(PathBuf::from(&self.text)),
        };
        self.job.state.keep_torrent(&self.torrent.hash().to_string(), &bytes)
    }

    fn enclose(&self, info: &Info) -> Vec<u8> {
        edit::enclose(info, &self.outer)
    }
}

/// `--list` and `--torrent-only`: what can be done with the torrent alone.
fn hand_over(job: &Job, info: &Info, bytes: &[u8]) -> Result<(), Failure> {
    let args = &job.args;
    if args.list {
        let files = crate::select::listed(info);
        if job.output.events() {
            let files = files
                .map(|file| json!({ "number": file.number, "path": file.path, "size": file.file.length }));
            job.output.document(json!({ "name": info.name(), "files": files.collect::<Vec<_>>() }));
        } else {
            job.output.result(draw_list(info));
        }
        return Ok(());
    }
    let name = args.output.clone().unwrap_or_else(|| format!("{}.torrent", info.name()));
    let path = tidy(&args.dir.join(name));
    keys::check_free(&path, args.force)?;
    std::fs::create_dir_all(&args.dir).map_err(|error| Failure::io("create", &args.dir, &error))?;
    crate::config::replace_file(&path, bytes)?;
    if job.output.events() {
        job.output
            .document(json!({ "torrent": path.display().to_string(), "hash": info.wire_hash().to_string() }));
    } else {
        job.output.result(format_args!("Wrote {}", path.display()));
    }
    Ok(())
}

fn add_failure(text: &str, error: &AddError) -> Failure {
    let exit = if matches!(error, AddError::V2Only) { Exit::Invalid } else { Exit::Other };
    let failure = Failure::new(exit, format!("cannot download {text}")).because(error);
    match error {
        AddError::V2Only => {
            failure.hint("ask its maker for a hybrid torrent: headwater create --format hybrid")
        }
        AddError::Duplicate(_) => failure.hint("name it once"),
        _ => failure,
    }
}

/// Whether as many times the size has been uploaded.
#[expect(clippy::cast_precision_loss, reason = "a ratio needs no exact bytes")]
pub(in crate::commands) fn reached(uploaded: u64, size: u64, ratio: f64) -> bool {
    uploaded as f64 >= ratio * size as f64
}

/// `./NAME` as `NAME`.
fn tidy(path: &Path) -> PathBuf {
    path.strip_prefix(".").unwrap_or(path).to_owned()
}
