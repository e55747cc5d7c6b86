//! The process that downloads what is clicked: one engine, the list of downloads, and the life of each.
//!
//! Every download is a task that drives one `get` job and writes into the list how it stands. The tasks belong to [`run`]; whoever
//! begins a download sends it there. The process ends by itself when nothing is left to do.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::{Engine, Phase, Torrent};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::click::{Click, hash_of};
use super::desktop::{self, Desktop};
use super::list::{End, Entry, List, Stage};
use super::rendezvous::{Card, Claim};
use super::server;
use crate::args::{Get, Open, Page};
use crate::commands::get::{Ended, Job, download};
use crate::commands::track::random;
use crate::commands::{Context, start_engine};
use crate::config::StateDir;
use crate::failure::{Exit, Failure};
use crate::net::{engine_config, resolve};
use crate::output::Output;
use crate::signals::Stop;

/// How long the process stays without work: the next click finds it warm, and the page can still show what went wrong.
const IDLE: Duration = Duration::from_secs(60);

/// How often the state is looked at when nothing happens.
const LOOK: Duration = Duration::from_secs(1);

/// How long downloads may take to stop: their trackers hear of it for three seconds, and files are synced.
const FAREWELL: Duration = Duration::from_secs(10);

/// How long to stay when all downloads have ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// A while: more clicks may come.
    ForClicks,
    /// Not at all.
    None,
}

/// All that the tasks of this process share.
pub(super) struct Host {
    state: StateDir,
    args: Open,
    engine: Engine,
    peers: Vec<SocketAddr>,
    desktop: Desktop,
    list: Mutex<List>,
    /// Downloads that begin.
    births: mpsc::UnboundedSender<Birth>,
    /// What opens the page's doors.
    pub(super) card: Card,
}

/// Downloads what is clicked until there is nothing left to do. A `click` of our own is told on our own output.
pub(super) async fn run(
    context: &Context,
    args: &Open,
    claim: Claim,
    click: Option<Click>,
    patience: Patience,
) -> Result<Exit, Failure> {
    let mut stop = Stop::listen(&context.output)?;
    let trouble =
        |error: std::io::Error| Failure::new(Exit::of_io(&error), "cannot serve the page").because(&error);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(trouble)?;
    let port = listener.local_addr().map_err(trouble)?.port();
    let card = Card { port, token: secret()?, pid: std::process::id() };
    let config = engine_config(&args.net, &context.state, args.limit_rate, args.limit_upload)?;
    let usual_folder = args.usual_dir.clone().map_or_else(desktop::downloads_folder, Ok);
    // Without a home folder the click's own wish has to do.
    let wish = click.as_ref().and_then(|click| click.folder.clone());
    let usual_folder = usual_folder.or_else(|failure| wish.ok_or(failure))?;
    // As many as the list has at most.
    let (births, mut born) = mpsc::unbounded_channel();
    let host = Arc::new(Host {
        state: context.state.clone(),
        args: args.clone(),
        engine: start_engine(config).await?,
        peers: resolve(&args.peer).await?,
        desktop: Desktop::new(args),
        list: Mutex::new(List::new(usual_folder)),
        births,
        card,
    });
    claim.show(&host.card)?;
    let (end, ended) = oneshot::channel();
    let server = tokio::spawn(server::serve(Arc::clone(&host), listener, ended));
    let mut own = Vec::new();
    if let Some(click) = click {
        let (ids, page) = host.take_up(&mut host.list(), click, &context.output)?;
        context.output.event(json!({ "event": "opened", "ids": ids, "page": page }));
        context.output.note(format_args!("Progress: {page}"));
        own = ids;
    }
    let patience = if patience == Patience::None { Duration::ZERO } else { IDLE };
    let mut lives = JoinSet::new();
    let exit = host.until_idle(&mut stop, patience, &mut born, &mut lives).await;
    let exit = exit.unwrap_or_else(|| host.outcome(&own));
    drop(claim);
    // With downloads and connections the last other holders of the engine end.
    lives.shutdown().await;
    drop(end);
    _ = server.await;
    if let Some(host) = Arc::into_inner(host) {
        host.engine.stop().await;
    }
    Ok(exit)
}

/// A download that begins: which, how, and what.
struct Birth {
    id: u32,
    job: Job,
    text: String,
}

impl Host {
    /// The list, for a moment.
    pub(super) fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins downloads, or goes on with them if they are known; says which they are, and where their page is.
    pub(super) fn take_up(
        self: &Arc<Self>,
        list: &mut List,
        click: Click,
        output: &Output,
    ) -> Result<(Vec<u32>, String), Failure> {
        let mut ids = Vec::new();
        let asks_for_page = click.sources.is_empty();
        for text in click.sources {
            ids.push(self.add(list, text, click.folder.as_deref(), output)?);
        }
        let page = self.page(list)?;
        let seen = std::mem::replace(&mut list.shown, true);
        let wanted = match self.args.page {
            Page::Never => false,
            Page::Always => true,
            Page::Once => !seen || asks_for_page,
        };
        if wanted {
            desktop::show(self.page(list)?);
        }
        Ok((ids, page))
    }

    fn add(
        self: &Arc<Self>,
        list: &mut List,
        text: String,
        wish: Option<&Path>,
        output: &Output,
    ) -> Result<u32, Failure> {
        let hash = hash_of(&text);
        if let Some(entry) = list.find(&text, hash) {
            let (id, ended) = (entry.id, entry.ask().is_none());
            if ended {
                self.begin(entry);
            }
            return Ok(id);
        }
        let folder = wish.unwrap_or(&list.folder).to_owned();
        let stage = Stage::Ended { how: End::Stopped, torrent: None };
        let output = output.clone();
        let id = list.add(Entry { id: 0, text, hash, folder, output, stage, moving: None })?;
        list.get(id).into_iter().for_each(|entry| self.begin(entry));
        Ok(id)
    }

    /// Starts a download, the first time or again.
    pub(super) fn begin(self: &Arc<Self>, entry: &mut Entry) {
        let (ask, stop) = Stop::by_hand();
        entry.stage = Stage::Finding { ask };
        let job = Job {
            output: entry.output.clone(),
            state: self.state.clone(),
            args: Get {
                dir: entry.folder.clone(),
                seed_ratio: Some(self.args.ratio),
                seed_time: Some(self.args.time),
                net: self.args.net.clone(),
                ..Get::default()
            },
            selection: None,
            peers: self.peers.clone(),
            web_seeds: Vec::new(),
            stop,
        };
        // Nobody takes it up while the process ends.
        _ = self.births.send(Birth { id: entry.id, job, text: entry.text.clone() });
    }

    /// The life of one download.
    async fn live(self: Arc<Self>, Birth { id, job, text }: Birth) {
        let (tell, told) = oneshot::channel();
        let began = |torrent: &Torrent| _ = tell.send(torrent.clone());
        let (ended, ()) =
            tokio::join!(download(Arc::new(job), &self.engine, text, began), self.observe(id, told));
        let how = match ended {
            Ok(Ended::Done) => End::Complete,
            Ok(Ended::Stopped(_)) => End::Stopped,
            Err(failure) => End::Failed(for_people(failure)),
        };
        let mut list = self.list();
        let Some(entry) = list.get(id) else { return };
        let torrent = match &entry.stage {
            Stage::Working { torrent, .. } => Some(torrent.clone()),
            _ => None,
        };
        if let End::Failed(failure) = &how {
            entry.output.failure(failure);
            self.desktop.failed(&format!("Cannot download {}", entry.name()), failure);
        }
        entry.stage = Stage::Ended { how, torrent };
        if let Some(folder) = entry.moving.take() {
            self.go_on_in(entry, folder);
        }
    }

    /// Puts the torrent into the list, and tells the desktop when it begins and when it is complete.
    async fn observe(&self, id: u32, told: oneshot::Receiver<Torrent>) {
        let Ok(mut torrent) = told.await else { return };
        if let Some(entry) = self.list().get(id) {
            entry.hash = Some(torrent.hash());
            if let Stage::Finding { ask } = &entry.stage {
                entry.stage = Stage::Working { ask: ask.clone(), torrent: torrent.clone() };
            }
        }
        let (mut began, mut complete) = (false, false);
        loop {
            let status = torrent.status();
            let folder =
                self.list().get(id).map(|entry| entry.folder.display().to_string()).unwrap_or_default();
            if !began && matches!(status.phase, Phase::Downloading) {
                began = true;
                self.desktop.notify(&format!("Downloading {}", status.name), &format!("Saving to {folder}"));
            }
            if !complete && matches!(status.phase, Phase::Seeding) {
                complete = true;
                self.desktop.notify(&format!("{} is complete", status.name), &format!("It is in {folder}"));
            }
            if !torrent.changed().await {
                return;
            }
        }
    }

    /// Saves a download that is not complete into another folder.
    pub(super) fn move_to(self: &Arc<Self>, entry: &mut Entry, folder: PathBuf) -> Result<(), Failure> {
        if entry.is_complete() {
            return Err(Failure::new(Exit::Exists, format!("{} is complete", entry.name()))
                .hint("move its files like any other files, once it is no longer shared"));
        }
        make_folder(&folder)?;
        if let Some(ask) = entry.ask() {
            ask.send_replace(Some(Exit::Interrupted));
            entry.moving = Some(folder);
        } else {
            self.go_on_in(entry, folder);
        }
        Ok(())
    }

    /// Takes along what has arrived, if nothing stands in its way and it need not be copied; else it stays where it is.
    fn go_on_in(self: &Arc<Self>, entry: &mut Entry, folder: PathBuf) {
        if let Some((from, name)) = entry.files().filter(|_| entry.has_data()) {
            let (old, new) = (from.join(&name), folder.join(&name));
            if new.symlink_metadata().is_err() {
                let moved = std::fs::rename(&old, &new);
                tracing::info!(?old, ?new, ?moved, "moving a download");
            }
        }
        entry.folder = folder;
        self.begin(entry);
    }

    /// Runs the downloads until all have ended and nothing came for a while; `Some`: a signal ended them.
    async fn until_idle(
        self: &Arc<Self>,
        stop: &mut Stop,
        patience: Duration,
        born: &mut mpsc::UnboundedReceiver<Birth>,
        lives: &mut JoinSet<()>,
    ) -> Option<Exit> {
        let mut idle = Instant::now();
        loop {
            {
                let mut list = self.list();
                if list.is_busy() {
                    idle = Instant::now();
                } else if idle.elapsed() >= patience {
                    list.closing = true;
                    return None;
                }
            }
            tokio::select! {
                exit = stop.asked() => {
                    self.stop_all();
                    // Who takes longer is left behind: its resume data are as old as its last save.
                    let ended = async { while lives.join_next().await.is_some() {} };
                    _ = tokio::time::timeout(FAREWELL, ended).await;
                    return Some(exit);
                }
                Some(birth) = born.recv() => {
                    lives.spawn(Arc::clone(self).live(birth));
                }
                Some(_) = lives.join_next() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn stop_all(&self) {
        let mut list = self.list();
        list.closing = true;
        for entry in &mut list.entries {
            entry.moving = None;
            entry.ask().into_iter().for_each(|ask| _ = ask.send_replace(Some(Exit::Interrupted)));
        }
    }

    /// How downloads ended, as an exit code: the first that failed counts.
    fn outcome(&self, ids: &[u32]) -> Exit {
        let list = self.list();
        let ends =
            list.entries.iter().filter(|entry| ids.contains(&entry.id)).map(|entry| match &entry.stage {
                Stage::Ended { how: End::Failed(failure), .. } => failure.exit,
                Stage::Ended { how: End::Stopped, .. } if !entry.is_complete() => Exit::Unfinished,
                _ => Exit::Done,
            });
        ends.into_iter().find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done)
    }

    /// An address of the page that is good for one browser.
    fn page(&self, list: &mut List) -> Result<String, Failure> {
        let ticket = secret()?;
        let url = format!("http://127.0.0.1:{}/?t={ticket}", self.card.port);
        list.issue(ticket);
        Ok(url)
    }
}

/// Makes sure that a folder is there.
pub(super) fn make_folder(folder: &Path) -> Result<(), Failure> {
    if !folder.is_absolute() {
        return Err(
            Failure::usage(format!("`{}` is no whole path", folder.display())).hint("begin it with / or ~/")
        );
    }
    std::fs::create_dir_all(folder).map_err(|error| Failure::io("create", folder, &error))
}

/// Failures whose usual hint speaks of flags, in words for somebody who clicked.
fn for_people(failure: Failure) -> Failure {
    match failure.exit {
        Exit::Exists => failure.hint("choose another folder, or move that file away and start again"),
        Exit::Permission => failure.hint("choose another folder"),
        Exit::DiskFull => failure.hint("make room and go on: what arrived is kept"),
        Exit::Network => {
            failure.hint("start it again later, or ask who gave you the link whether it is still alive")
        }
        _ => failure,
    }
}

/// 128 random bits as text.
fn secret() -> Result<String, Failure> {
    Ok(format!("{:032x}", u128::from_ne_bytes(random()?)))
}
