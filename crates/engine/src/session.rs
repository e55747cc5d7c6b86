//! The list of torrents, and the way from an accepted connection to the torrent it is for.
//!
//! One task for each engine; it owns the torrents' tasks, and the records of torrents that need none (decision 0009). What
//! happens inside a torrent is not its business.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metainfo::{InfoHash, InfoHashes};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{self, JoinSet};
use tokio::time::sleep_until;

use crate::config::{Add, What};
use crate::context::{Context, new_peer_id};
use crate::error::AddError;
use crate::handle::{self, Torrent};
use crate::limits::Bucket;
use crate::listen::{self, Door, Incoming};
use crate::lsd;
use crate::outside::{Home, Input};
use crate::publish::first_status;
use crate::record::Record;
use crate::status::{Halt, Phase, Status};
use crate::torrent::{self, Start};
use crate::utp;
use crate::{INCOMING, NEIGHBOURS, TORRENT_COMMANDS, TORRENT_INBOX};

#[cfg(test)]
mod tests;

/// What is asked of the session. When the engine is gone, the session stops.
pub(crate) enum Command {
    Add(Box<Add>, oneshot::Sender<Result<Torrent, AddError>>),
    Tell(InfoHash, Box<handle::Command>),
    Stop(InfoHash),
}

struct Session {
    context: Arc<Context>,
    /// Our own address, for handles.
    this: mpsc::WeakSender<Command>,
    torrents: HashMap<InfoHash, Member>,
    /// When idle torrents have something to do.
    due: BTreeSet<(Duration, InfoHash)>,
    tasks: JoinSet<Option<Start>>,
    names: HashMap<task::Id, InfoHash>,
}

/// A torrent, and the way its status is told.
struct Member {
    seat: Seat,
    status: Arc<watch::Sender<Arc<Status>>>,
}

enum Seat {
    /// It has a task.
    Busy(Ways),
    /// Nothing happens.
    Idle(Box<Record>),
}

/// The ways to a torrent's task.
struct Ways {
    inbox: mpsc::Sender<Input>,
    /// `None`: it was told to stop.
    commands: Option<mpsc::Sender<Box<handle::Command>>>,
}

/// Runs until the engine is stopped or dropped, then stops all torrents and waits for them.
pub(crate) async fn run(
    context: Arc<Context>,
    doors: Vec<Door>,
    ports: Vec<utp::Port>,
    this: mpsc::WeakSender<Command>,
    mut commands: mpsc::Receiver<Command>,
) {
    let (sender, mut incoming) = mpsc::channel(INCOMING);
    let mut listening = JoinSet::new();
    for door in doors {
        listening.spawn(listen::run(context.clone(), door, sender.clone()));
    }
    let (neighbours, mut heard) = mpsc::channel(NEIGHBOURS);
    listening.spawn(lsd::run(context.clone(), neighbours));
    let ports: JoinSet<()> = ports.into_iter().map(utp::Port::run).collect();
    drop(sender);
    let start = context.start;
    let mut session = Session::new(context, this);
    loop {
        let due = session.due.first().map(|&(due, _)| due);
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => session.obey(command),
                None => break,
            },
            Some(incoming) = incoming.recv() => session.route(incoming),
            Some((hash, at)) = heard.recv() => session.obey(Command::Tell(hash, Box::new(handle::Command::Heard(at)))),
            Some(ended) = session.tasks.join_next_with_id(), if !session.tasks.is_empty() => session.ended(ended),
            () = sleep_until(start + due.unwrap_or_default()), if due.is_some() => session.tick(),
        }
    }
    drop(listening);
    session.stop().await;
    session.context.utp.leave();
    ports.join_all().await;
}

impl Session {
    fn new(context: Arc<Context>, this: mpsc::WeakSender<Command>) -> Self {
        Self {
            context,
            this,
            torrents: HashMap::new(),
            due: BTreeSet::new(),
            tasks: JoinSet::new(),
            names: HashMap::new(),
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Add(add, answer) => {
                // Who asked may have gone; the torrent is there all the same.
                let _gone = answer.send(self.add(*add));
            }
            Command::Tell(hash, command) => {
                if let Some(Ways { commands: Some(commands), .. }) = self.wake(hash)
                    && let Err(error) = commands.try_send(command)
                {
                    tracing::warn!(%hash, %error, "a command that the torrent does not take");
                }
            }
            Command::Stop(hash) => self.dismiss(hash),
        }
    }

    fn add(&mut self, add: Add) -> Result<Torrent, AddError> {
        let (hashes, name) = names(&add.what);
        let wire_hash = hashes.v1.ok_or(AddError::V2Only)?;
        if self.torrents.contains_key(&wire_hash) {
            return Err(AddError::Duplicate(wire_hash));
        }
        let random = |error: getrandom::Error| AddError::Random(std::io::Error::other(error.to_string()));
        let (peer_id, seed) = (new_peer_id().map_err(random)?, getrandom::u64().map_err(random)?);
        let status = Arc::new(watch::Sender::new(Arc::new(first_status(wire_hash, name, &add))));
        let info = Arc::new(OnceLock::new());
        let torrent = Torrent {
            hashes,
            wire_hash,
            peer_id,
            session: self.this.clone(),
            status: status.subscribe(),
            info: info.clone(),
        };
        // Later torrents get what their number leaves each of them, so the sum stays near the whole.
        let memory = self.context.config.memory / (self.torrents.len() as u64 + 1);
        let record = Record::new(add, hashes, peer_id, memory, seed, info);
        let seat = self.start(wire_hash, Box::new(record), status.clone());
        self.torrents.insert(wire_hash, Member { seat, status });
        self.context.names.add(wire_hash);
        Ok(torrent)
    }

    /// Gives a torrent a task.
    fn start(
        &mut self,
        wire_hash: InfoHash,
        record: Box<Record>,
        status: Arc<watch::Sender<Arc<Status>>>,
    ) -> Seat {
        let (inbox_sender, inbox) = mpsc::channel(TORRENT_INBOX);
        let (commands_sender, commands) = mpsc::channel(TORRENT_COMMANDS);
        let now = tokio::time::Instant::now();
        let home = Arc::new(Home {
            context: self.context.clone(),
            wire_hash,
            peer_id: record.peer_id,
            inbox: inbox_sender.clone(),
            files: OnceLock::new(),
            download: Bucket::new(now, record.download_limit),
            upload: Bucket::new(now, record.upload_limit),
        });
        self.spawn(Start { home, record, inbox, commands, status });
        Seat::Busy(Ways { inbox: inbox_sender, commands: Some(commands_sender) })
    }

    fn spawn(&mut self, start: Start) {
        let hash = start.home.wire_hash;
        let task = self.tasks.spawn(torrent::run(start));
        self.names.insert(task.id(), hash);
    }

    /// The ways to a torrent's task, which it gets if it has none.
    fn wake(&mut self, hash: InfoHash) -> Option<&mut Ways> {
        if matches!(self.torrents.get(&hash)?.seat, Seat::Idle(_))
            && let Some(Member { seat: Seat::Idle(record), status }) = self.torrents.remove(&hash)
        {
            if let Some(due) = record.deadline() {
                self.due.remove(&(due, hash));
            }
            let seat = self.start(hash, record, status.clone());
            self.torrents.insert(hash, Member { seat, status });
        }
        match &mut self.torrents.get_mut(&hash)?.seat {
            Seat::Busy(ways) => Some(ways),
            Seat::Idle(_) => None,
        }
    }

    /// Idle torrents that have to announce get their tasks.
    fn tick(&mut self) {
        let now = self.context.start.elapsed();
        while let Some(&(due, hash)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            self.wake(hash);
        }
    }

    /// Hands a connection to the torrent it named; an unknown one or a busy torrent closes it (P-09).
    fn route(&mut self, incoming: Incoming) {
        let hash = incoming.handshake.info_hash;
        let Some(ways) = self.wake(hash) else {
            tracing::debug!(from = %incoming.from, %hash, "unknown torrent");
            return;
        };
        if let Err(error) = ways.inbox.try_send(Input::Incoming(Box::new(incoming))) {
            tracing::debug!(%error, "a connection nobody could take");
        }
    }

    /// Tells a torrent to stop.
    fn dismiss(&mut self, hash: InfoHash) {
        if let Some(ways) = self.wake(hash) {
            ways.commands = None;
        }
    }

    fn ended(&mut self, ended: Result<(task::Id, Option<Start>), task::JoinError>) {
        let (id, rest, crashed) = match ended {
            Ok((id, rest)) => (id, rest, false),
            Err(error) => (error.id(), None, error.is_panic()),
        };
        let Some(hash) = self.names.remove(&id) else { return };
        match rest {
            // Something came while it fell asleep.
            Some(start) if start.has_work() => self.spawn(start),
            Some(start) => {
                self.due.extend(start.record.deadline().map(|due| (due, hash)));
                if let Some(member) = self.torrents.get_mut(&hash) {
                    member.seat = Seat::Idle(start.record);
                }
            }
            None => {
                self.context.names.remove(hash);
                self.context.local.iter().for_each(|local| local.leave(hash));
                let member = self.torrents.remove(&hash).filter(|_| crashed);
                if let Some(Member { status, .. }) = member {
                    let failed = Phase::Failed(Arc::new(Halt::Crashed));
                    status.send_modify(|status| Arc::make_mut(status).phase = failed);
                }
            }
        }
    }

    async fn stop(&mut self) {
        for hash in self.torrents.keys().copied().collect::<Vec<_>>() {
            self.dismiss(hash);
        }
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(ended);
        }
    }
}

fn names(what: &What) -> (InfoHashes, Option<String>) {
    match what {
        What::Metainfo(metainfo) => (metainfo.info.hashes(), Some(metainfo.info.name().to_owned())),
        What::Magnet(magnet) => (magnet.hashes, magnet.name.clone()),
    }
}
