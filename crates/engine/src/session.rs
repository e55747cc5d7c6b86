//! The list of torrents, and the way from an accepted connection to the torrent it is for.
//!
//! One task for each engine; it owns the torrents' tasks. What happens inside a torrent is not its business.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use metainfo::{InfoHash, InfoHashes};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{self, JoinSet};

use crate::config::{Add, What};
use crate::context::{Context, new_peer_id};
use crate::error::AddError;
use crate::handle::{self, Torrent};
use crate::limits::Bucket;
use crate::listen::{self, Incoming};
use crate::outside::{Home, Input};
use crate::publish::first_status;
use crate::status::{Halt, Phase, Status};
use crate::torrent::{self, Start};
use crate::{INCOMING, TORRENT_COMMANDS, TORRENT_INBOX};

/// What the engine asks of its session. When nobody can ask any more, the session stops.
pub(crate) enum Command {
    Add(Box<Add>, oneshot::Sender<Result<Torrent, AddError>>),
}

struct Session {
    context: Arc<Context>,
    torrents: HashMap<InfoHash, Record>,
    tasks: JoinSet<()>,
    names: HashMap<task::Id, InfoHash>,
}

/// What the session keeps of a torrent.
struct Record {
    home: Arc<Home>,
    commands: mpsc::Sender<handle::Command>,
    status: Arc<watch::Sender<Arc<Status>>>,
}

/// Runs until the engine is stopped or dropped, then stops all torrents and waits for them.
pub(crate) async fn run(
    context: Arc<Context>,
    listeners: Vec<TcpListener>,
    mut commands: mpsc::Receiver<Command>,
) {
    let (sender, mut incoming) = mpsc::channel(INCOMING);
    let mut listening = JoinSet::new();
    for listener in listeners {
        listening.spawn(listen::run(context.clone(), listener, sender.clone()));
    }
    drop(sender);
    let mut session =
        Session { context, torrents: HashMap::new(), tasks: JoinSet::new(), names: HashMap::new() };
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Add(add, answer)) => {
                    // Who asked may have gone; the torrent is there all the same.
                    let _gone = answer.send(session.add(*add));
                }
                None => break,
            },
            Some(incoming) = incoming.recv() => session.route(incoming),
            Some(ended) = session.tasks.join_next_with_id(), if !session.tasks.is_empty() => session.ended(ended),
        }
    }
    drop(listening);
    session.stop().await;
}

impl Session {
    fn add(&mut self, add: Add) -> Result<Torrent, AddError> {
        let (hashes, name) = names(&add.what);
        let wire_hash = hashes.v1.ok_or(AddError::V2Only)?;
        if self.torrents.contains_key(&wire_hash) {
            return Err(AddError::Duplicate(wire_hash));
        }
        let random = |error: getrandom::Error| AddError::Random(std::io::Error::other(error.to_string()));
        let (peer_id, seed) = (new_peer_id().map_err(random)?, getrandom::u64().map_err(random)?);
        let (inbox_sender, inbox) = mpsc::channel(TORRENT_INBOX);
        let (commands_sender, commands) = mpsc::channel(TORRENT_COMMANDS);
        let now = tokio::time::Instant::now();
        let home = Arc::new(Home {
            context: self.context.clone(),
            wire_hash,
            peer_id,
            inbox: inbox_sender,
            files: OnceLock::new(),
            download: Bucket::new(now, None),
            upload: Bucket::new(now, None),
        });
        let status = Arc::new(watch::Sender::new(Arc::new(first_status(wire_hash, name, &add))));
        let info = Arc::new(OnceLock::new());
        let torrent = Torrent {
            hashes,
            wire_hash,
            peer_id,
            commands: commands_sender.clone(),
            status: status.subscribe(),
            info: info.clone(),
        };
        // Later torrents get what their number leaves each of them, so the sum stays near the whole.
        let memory = self.context.config.memory / (self.torrents.len() as u64 + 1);
        let start = Start {
            home: home.clone(),
            add,
            hashes,
            memory,
            seed,
            inbox,
            commands,
            status: status.clone(),
            info,
        };
        let task = self.tasks.spawn(torrent::run(start));
        self.names.insert(task.id(), wire_hash);
        self.torrents.insert(wire_hash, Record { home, commands: commands_sender, status });
        Ok(torrent)
    }

    /// Hands a connection to the torrent it named; an unknown one or a busy torrent closes it (P-09).
    fn route(&self, incoming: Incoming) {
        let Some(record) = self.torrents.get(&incoming.handshake.info_hash) else {
            tracing::debug!(from = %incoming.from, hash = %incoming.handshake.info_hash, "unknown torrent");
            return;
        };
        if let Err(error) = record.home.inbox.try_send(Input::Incoming(incoming)) {
            tracing::debug!(%error, "a connection nobody could take");
        }
    }

    fn ended(&mut self, ended: Result<(task::Id, ()), task::JoinError>) {
        let (id, crashed) = match ended {
            Ok((id, ())) => (id, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let record = self.names.remove(&id).and_then(|hash| self.torrents.remove(&hash));
        if let Some(record) = record.filter(|_| crashed) {
            record
                .status
                .send_modify(|status| Arc::make_mut(status).phase = Phase::Failed(Arc::new(Halt::Crashed)));
        }
    }

    async fn stop(&mut self) {
        for record in self.torrents.values() {
            // A torrent that takes no command at all is waited for too: it ends when its own work does.
            if record.commands.try_send(handle::Command::Stop).is_err() {
                tracing::debug!("a torrent had too many commands to be told to stop");
            }
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
