//! `headwater publish`: page, torrents, tracker and origin in one process.
//!
//! | module | what |
//! |---|---|
//! | `material` | from a path to a torrent, hashing what has changed |
//! | `addresses` | by which addresses people reach it |
//! | `folders` | what is dropped into watched folders |
//! | `queue` | which paths are looked at, and when |
//! | `publisher` | owns what is published: swarms, catalogue, receipts |
//! | `front` | what the web server shows |
//! | `doors` | the listeners, and TLS |
//! | `export` | the same site as plain files |

mod addresses;
mod doors;
mod export;
mod folders;
mod front;
mod material;
mod publisher;
mod queue;

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use metainfo::{Magnet, PeerId};
use publish::catalogue::{Catalogue, Release};
use publish::serve::{Counts, Limits};
use publish::site::Site;
use publish::{Settings, Theme, ThemeError};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracker::{Access, Tracker};

use super::seed;
use super::track::{everywhere, proxies, random};
use super::{Context, start_engine};
use crate::args::Publish;
use crate::failure::{Exit, Failure};
use crate::net::{engine_config, raise_descriptor_limit};
use crate::output::{BOLD, Output, clean};
use crate::signals::Stop;
use crate::units::size;
pub(crate) use addresses::public_url;
use addresses::{Addresses, base_url, host_of};
use doors::Doors;
use folders::{Folders, STILL};
use front::{BEGUN, Door, Front, Gate, Standings, metrics};
use material::{Material, prepare};
use publisher::{Joints, Publisher, Terms};
use queue::Queue;

/// How often what people see is renewed.
const TURN: Duration = Duration::from_secs(1);

/// How long copies must be there before the origin relies on them: longer than a peer takes to leave after its download.
const HOLD: Duration = Duration::from_secs(10);

/// What a background task brought.
enum News {
    /// A path was looked at.
    Prepared(PathBuf, Result<Material, Failure>),
    /// The data of a path are known to be right, or not, in a torrent's run that goes by this name.
    Checked(PathBuf, PeerId, Result<(), Failure>),
}

/// Runs the command until a signal ends it.
pub(crate) async fn run(context: &Context, args: &Publish) -> Result<Exit, Failure> {
    if let Some(folder) = &args.export {
        return export::run(context, args, folder);
    }
    raise_descriptor_limit();
    let mut config = engine_config(&args.net, &context.state, None, args.limit_upload)?;
    let mut stop = Stop::listen(&context.output)?;
    let doors = Doors::open(context, args).await?;
    let base = base_url(args.url.as_deref().or(doors.domain.as_deref()), doors.at, doors.https)?;
    if is_local(&base) && args.net.listen.is_none() {
        // Who shows the page to this machine alone does not open a port to others.
        config.listen.ip = Some(doors.at.ip());
    }
    let addresses = Addresses::served(base, !args.no_tracker);
    let mut run = Run::start(context, args, config, doors, addresses).await?;
    let result = run.publish_all(args, &mut stop).await;
    run.finish().await?;
    result.map(|()| Exit::Done)
}

/// All that runs, joined.
struct Run {
    context: Context,
    publisher: Publisher,
    folders: Option<Folders>,
    queue: Queue,
    /// The paths of the command line that are not on the page yet: before they all are, nothing is announced.
    first: BTreeSet<PathBuf>,
    work: JoinSet<News>,
    hangups: Signal,
    base: String,
    /// Only this machine can reach it at this address, over HTTPS or not.
    local: Option<(SocketAddr, bool)>,
    server: tokio::task::JoinHandle<()>,
    end: oneshot::Sender<()>,
}

impl Run {
    async fn start(
        context: &Context,
        args: &Publish,
        config: engine::Config,
        doors: Doors,
        addresses: Addresses,
    ) -> Result<Self, Failure> {
        let tracker = tracker(args)?;
        let (stage, stages) = watch::channel(Arc::default());
        let gate = Gate::new(stages.clone());
        let site = Site::new(
            settings(args, &addresses.base)?,
            theme(args)?,
            Catalogue::default(),
            Arc::new(Standings(stages.clone())),
            Box::new(move |hash, from| gate.refuses(hash, from, std::time::Instant::now())),
        );
        let site = Arc::new(site.map_err(|error| theme_failure(&error))?);
        let (begun, news) = mpsc::channel(BEGUN);
        let counts = Arc::new(Counts::default());
        let front = Front { site: Arc::clone(&site), stages: stages.clone(), price: args.price_per_gb };
        let (metered, counted) = (tracker.clone(), Arc::clone(&counts));
        let proxies = proxies(&args.trust_proxy)?;
        let shown = publish::serve::Site {
            content: Arc::new(front),
            tracker: Arc::new(Door { tracker: tracker.clone(), begun }),
            metrics: Arc::new(move || {
                let stage = Arc::clone(&stages.borrow()); // The next one is not held up by words.
                metrics(&stage, &counted, metered.as_deref())
            }),
            is_proxy: Arc::new(move |ip| proxies.iter().any(|net| net.contains(ip))),
            counts,
        };
        let (end, ended) = oneshot::channel::<()>();
        let (base, local) =
            (addresses.base.clone(), is_local(&addresses.base).then_some((doors.at, doors.https)));
        let output = context.output.clone();
        let serving = doors.serve(Arc::new(shown), Limits::default(), tracker.clone(), output, ended);
        let server = tokio::spawn(serving);
        let terms = Terms {
            hosts: hosts(args, &base).await,
            addresses,
            sizing: (args.copies > 0).then_some(engine::Sizing { copies: args.copies as usize, hold: HOLD }),
            title: title(args),
            price: args.price_per_gb,
        };
        let engine = start_engine(config).await?;
        let hangups = signal(SignalKind::hangup())
            .map_err(|error| Failure::new(Exit::Other, "cannot listen for signals").because(&error))?;
        Ok(Self {
            context: context.clone(),
            publisher: Publisher::new(context, terms, Joints { engine, tracker, site, stage, news }),
            folders: args.watch.then(|| Folders::watch(&args.source)).transpose()?,
            queue: Queue::default(),
            first: if args.watch { BTreeSet::new() } else { args.source.iter().cloned().collect() },
            work: JoinSet::new(),
            hangups,
            base,
            local,
            server,
            end,
        })
    }

    /// Publishes until a signal comes, or until one of the first paths cannot be published.
    async fn publish_all(&mut self, args: &Publish, stop: &mut Stop) -> Result<(), Failure> {
        if self.folders.is_some() {
            self.announce();
        } else {
            self.look_again(args);
        }
        let mut turns = interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look_at = self.folders.is_some().then(Instant::now);
        loop {
            while let Some(path) = self.queue.begin() {
                self.prepare(path, args);
            }
            tokio::select! {
                _ = stop.asked() => return Ok(()),
                begun = self.publisher.begun() => self.publisher.tell_begun(begun).await,
                _ = turns.tick() => self.publisher.turn().await,
                _ = self.hangups.recv() => {
                    self.restyle(args);
                    look_at = self.folders.is_some().then(Instant::now);
                    if self.folders.is_none() {
                        self.look_again(args);
                    }
                }
                () = stirred(self.folders.as_mut()) => {
                    // A steady stream of changes does not push the look away.
                    look_at.get_or_insert_with(|| Instant::now() + STILL);
                }
                () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {
                    look_at = self.look().await.then(|| Instant::now() + STILL);
                }
                Some(news) = self.work.join_next(), if !self.work.is_empty() => match news {
                    Ok(news) => self.take(news, stop).await?,
                    Err(crash) => self.context.output.failure(&crashed(&crash)),
                },
            }
        }
    }

    /// Looks at the watched folders; says whether something there still moves.
    async fn look(&mut self) -> bool {
        let Some(folders) = &mut self.folders else { return false };
        let changes = folders.look();
        for path in changes.gone {
            self.queue.forget(&path);
            if self.publisher.withdraw(&path).await {
                self.tell_withdrawn(&path);
            }
        }
        changes.fresh.into_iter().for_each(|path| self.queue.ask(path));
        !changes.moving.is_empty()
    }

    /// Reads what the page says and looks like again; what cannot be read stays as it was.
    fn restyle(&self, args: &Publish) {
        let read = || self.publisher.restyle(settings(args, &self.base)?, theme(args)?);
        if let Err(failure) = read() {
            self.context.output.failure(&failure);
        }
    }

    /// Looks at all paths again: what changed is published anew.
    fn look_again(&mut self, args: &Publish) {
        args.source.iter().cloned().for_each(|path| self.queue.ask(path));
    }

    fn prepare(&mut self, path: PathBuf, args: &Publish) {
        let (context, format, at) = (self.context.clone(), args.format, path.clone());
        let prepared = spawn_blocking(move || prepare(&context, &at, format));
        self.work.spawn(async move {
            News::Prepared(path, prepared.await.unwrap_or_else(|crash| Err(crashed(&crash))))
        });
    }

    /// Goes on with what a task brought. What is wrong with one of the first paths ends the command.
    async fn take(&mut self, news: News, stop: &Stop) -> Result<(), Failure> {
        let (News::Prepared(path, _) | News::Checked(path, ..)) = &news;
        let is_first = self.first.contains(path);
        let outcome = match news {
            News::Prepared(path, prepared) => self.prepared(path, prepared, stop).await,
            News::Checked(path, run, checked) => self.checked(&path, run, checked).await,
        };
        if !is_first && let Err(failure) = &outcome {
            self.context.output.failure(failure);
            return Ok(());
        }
        outcome
    }

    /// Starts what was made of a path.
    async fn prepared(
        &mut self,
        path: PathBuf,
        prepared: Result<Material, Failure>,
        stop: &Stop,
    ) -> Result<(), Failure> {
        if !self.queue.end(&path) {
            return Ok(());
        }
        let material = match prepared {
            Err(failure) if failure.exit == Exit::NotFound && !self.first.contains(&path) => {
                let withdrawn = self.publisher.withdraw(&path).await;
                return withdrawn.then(|| self.tell_withdrawn(&path)).ok_or(failure);
            }
            prepared => prepared?,
        };
        let Some(mut torrent) = self.publisher.start(&path, material).await? else { return Ok(()) };
        let (output, mut stop) = (self.context.output.clone(), stop.clone());
        self.work.spawn(async move {
            let checked = seed::until_seeding(&output, &mut torrent, &mut stop).await;
            News::Checked(path, torrent.peer_id(), checked.map(|_| ()))
        });
        Ok(())
    }

    /// Shows what turned out right. What is no longer what runs there says nothing.
    async fn checked(
        &mut self,
        path: &Path,
        run: PeerId,
        checked: Result<(), Failure>,
    ) -> Result<(), Failure> {
        if !self.publisher.is_running(path, run) {
            return Ok(());
        }
        if let Err(failure) = checked {
            self.publisher.withdraw(path).await;
            return Err(failure);
        }
        let shown = self.publisher.show(path)?;
        if self.first.remove(path) {
            if self.first.is_empty() {
                self.publisher.turn().await;
                self.announce();
            }
            return Ok(());
        }
        let catalogue = self.publisher.catalogue();
        if let Some(release) = catalogue.releases().iter().find(|release| Some(release.hash()) == shown) {
            tell_published(&self.context.output, &self.base, release);
        }
        Ok(())
    }

    fn tell_withdrawn(&self, path: &Path) {
        let output = &self.context.output;
        output.event(json!({ "event": "withdrawn", "path": path.display().to_string() }));
        output.note(format_args!("Withdrawn: {}", path.display()));
    }

    fn announce(&self) {
        let (output, base) = (&self.context.output, &self.base);
        let catalogue = self.publisher.catalogue();
        let shown = catalogue.releases().iter();
        if output.events() {
            let torrents: Vec<_> = shown.map(|release| describe(base, release)).collect();
            output.event(json!({ "event": "publishing", "url": format!("{base}/"), "torrents": torrents }));
            return;
        }
        output.result(format_args!("{BOLD}Publishing{BOLD:#} at {base}/"));
        shown.for_each(|release| tell_published(output, base, release));
        if let Some((at, https)) = self.local {
            let (everywhere, port, s) = (everywhere(at), at.port(), if https { "s" } else { "" });
            output.hint(format_args!(
                "only this machine can reach it; for others add --http{s} {everywhere} --url http{s}://YOUR-HOST:{port}"
            ));
        }
    }

    async fn finish(self) -> Result<(), Failure> {
        let Self { publisher, server, end, .. } = self;
        let served = publisher.finish(async {
            _ = end.send(());
            server.await
        });
        served.await.map_err(|crash| Failure::new(Exit::Other, "the web server crashed").because(&crash))
    }
}

fn crashed(crash: &JoinError) -> Failure {
    Failure::new(Exit::Other, "publishing crashed").because(crash)
}

/// The tracker, if there is to be one: nothing is tracked until it is published.
fn tracker(args: &Publish) -> Result<Option<Arc<Tracker>>, Failure> {
    let config = tracker::Config {
        access: Access::Allow(HashSet::new()),
        trust_proxy: proxies(&args.trust_proxy)?,
        ..tracker::Config::default()
    };
    Ok(if args.no_tracker { None } else { Some(Arc::new(Tracker::new(config, random()?))) })
}

/// Whether an address leads nowhere but to this machine.
fn is_local(base: &str) -> bool {
    let host = host_of(base);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

async fn stirred(folders: Option<&mut Folders>) {
    match folders {
        Some(folders) => folders.stirred().await,
        None => std::future::pending().await,
    }
}

fn describe(base: &str, release: &Release) -> serde_json::Value {
    let info = &release.metainfo.info;
    json!({
        "name": info.name(), "hash": info.wire_hash().to_string(), "size": info.layout().content_length(),
        "torrent": format!("{base}/{}", release.torrent_url()), "magnet": Magnet::of(&release.metainfo).to_string(),
    })
}

fn tell_published(output: &Output, base: &str, release: &Release) {
    if output.events() {
        let mut event = describe(base, release);
        event["event"] = json!("published");
        output.event(event);
    } else {
        let info = &release.metainfo.info;
        output.result(format_args!("  {}, {}", clean(info.name()), size(info.layout().content_length())));
        output.result(format_args!("  headwater get {base}/{}", release.torrent_url()));
    }
}

/// What the user calls the only release.
fn title(args: &Publish) -> Option<String> {
    args.title.clone().filter(|_| args.source.len() == 1 && !args.watch)
}

/// What the page says of the site as a whole.
fn settings(args: &Publish, base: &str) -> Result<Settings, Failure> {
    let read =
        |path: &PathBuf| std::fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error));
    Ok(Settings {
        base: base.to_owned(),
        title: args.title.clone().unwrap_or_else(|| "Downloads".to_owned()),
        intro: args.intro.as_ref().map(read).transpose()?,
        currency: "$".to_owned(),
    })
}

fn theme(args: &Publish) -> Result<Theme, Failure> {
    Theme::load(args.theme.as_deref()).map_err(|error| theme_failure(&error))
}

/// A theme that cannot be used, in the user's terms.
fn theme_failure(error: &ThemeError) -> Failure {
    let exit = if matches!(error, ThemeError::Read { .. }) { Exit::NotFound } else { Exit::Invalid };
    Failure::new(exit, "the page cannot be made")
        .because(error)
        .hint("see --theme; without it the page has our look")
}

/// Where people outside find this machine: the addresses of the host in `--url`.
async fn hosts(args: &Publish, base: &str) -> Vec<IpAddr> {
    if args.url.is_none() {
        return Vec::new();
    }
    let found = tokio::net::lookup_host((host_of(base), 0)).await;
    found.map(|found| found.map(|at| at.ip()).collect()).unwrap_or_default()
}
