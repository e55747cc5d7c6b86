//! Tasks and sockets that run swarms: many torrents over one port (BEP 3, 9, 10, 12, 20).
//!
//! [`Engine`] owns everything; a [`Torrent`] is a handle to one torrent's task. What is asked of whom is decided by the
//! pure crates (`swarm`, `announce`); here their actions are performed. It runs inside any tokio runtime with time and I/O.
//!
//! | task | owns |
//! |---|---|
//! | `session` | the torrents by info hash, the records of those that are idle |
//! | `listen` | the listening sockets and the connections that have not shaken hands |
//! | `torrent`, one each while it is not idle | the swarm or metadata fetch, the announcer, the list of peer tasks |
//! | `peer`, one each | a socket, its buffers, its outgoing queue |
//! | `utp`, one for each UDP port | the socket, all connections over it |
//! | `lsd` | the multicast sockets of local discovery |
//! | `webseed`, one for each fetch | a connection to a web server, which the next fetch goes on with |
//!
//! # Channels
//!
//! Every channel is bounded. Toward the owner a full one makes the sender wait, which is TCP back-pressure in the end; away
//! from the owner nothing waits, and a receiver that overflows its channel is hung up on. Orders to a uTP port are bounded by
//! the credit that each stream has instead.

mod address;
mod announce;
mod backlog;
mod bind;
mod brain;
mod buffers;
mod config;
mod context;
mod dial;
mod encryption;
mod error;
mod handle;
mod http;
mod limits;
mod listen;
mod lsd;
mod outbox;
mod outside;
mod peer;
mod publish;
mod record;
mod save;
mod session;
mod start;
mod status;
mod stream;
mod torrent;
mod utp;
mod webseed;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub use config::{Add, Config, Encryption, Families, Listen, Select, What};
pub use error::{AddError, FetchError, StartError};
pub use handle::Torrent;
pub use metainfo::{Info, InfoHash, InfoHashes, PeerId};
pub use status::{Halt, OriginStatus, Phase, Status, TrackerStatus, WebSeedStatus};
pub use storage::{Allocate, StorageError};
pub use swarm::{Completions, Mode, Priority, Sizing};

use context::Context;
use listen::Door;

/// Commands to the session: they come from people, one at a time.
const SESSION_COMMANDS: usize = 16;

/// Connections that shook hands and wait for the session to route them: one look-up each, so few ever wait.
const INCOMING: usize = 32;

/// Neighbours that wait for the session to tell their torrents of them; as with connections, few ever wait.
const NEIGHBOURS: usize = 32;

/// Commands to one torrent, which the session must not wait for: they come from people, one at a time, and from a tracker of
/// this process, one for each new downloader. Room is taken as they come.
const TORRENT_COMMANDS: usize = 1024;

/// Batches of events waiting for a torrent task, each what one read of a peer gave (at most 256 KiB of payload).
/// More would only hide that the task is behind; fewer would make busy peers wait for each other.
const TORRENT_INBOX: usize = 64;

/// Batches of orders waiting for a peer task. The torrent sends at most one in each of its turns, and a peer takes all
/// that wait at once whatever its socket does, except while the torrent's inbox is full: a few dozen turns at most.
const PEER_ORDERS: usize = 256;

/// How long a stopping torrent waits for its trackers to hear of it.
const FAREWELL: Duration = Duration::from_secs(3);

/// What a URL gave.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The answer's body.
    pub body: Bytes,
    /// Host and port of the server, if its address is private or loopback; see [`Add::local_server`].
    pub local_server: Option<(String, u16)>,
}

/// A running engine. Dropping it stops it without waiting; [`Engine::stop`] waits.
#[derive(Debug)]
pub struct Engine {
    context: Arc<Context>,
    commands: mpsc::Sender<session::Command>,
    session: JoinHandle<()>,
}

impl Engine {
    /// Opens the listening sockets and starts the session's tasks.
    ///
    /// Must be called inside a tokio runtime.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let (listeners, port) = bind::listen(config.listen, config.families)?;
        let mut context = Context::new(config, port).await?;
        let (mut doors, mut ports) = (Vec::new(), Vec::new());
        for listener in listeners {
            if context.config.utp {
                match bind::datagrams(&listener).and_then(|socket| context.utp.open(socket, context.start)) {
                    Ok((port, accepted)) => {
                        ports.push(port);
                        doors.push(Door::Utp(accepted));
                    }
                    Err(error) => tracing::warn!(%error, "no uTP"),
                }
            }
            if context.config.tcp {
                doors.push(Door::Tcp(listener));
            }
        }
        let context = Arc::new(context);
        let (commands, inbox) = mpsc::channel(SESSION_COMMANDS);
        let session = tokio::spawn(session::run(context.clone(), doors, ports, commands.downgrade(), inbox));
        Ok(Self { context, commands, session })
    }

    /// The port peers reach us on.
    pub fn port(&self) -> u16 {
        self.context.port
    }

    /// Takes up a torrent. What goes wrong after that is shown as its [`Phase::Failed`].
    pub async fn add(&self, add: Add) -> Result<Torrent, AddError> {
        let (answer, answered) = oneshot::channel();
        let command = session::Command::Add(Box::new(add), answer);
        self.commands.send(command).await.map_err(|_| AddError::Stopped)?;
        answered.await.map_err(|_| AddError::Stopped)?
    }

    /// What an `http` or `https` URL that the user typed gives, if it is no longer than `max_bytes`.
    pub async fn fetch(&self, url: &str, max_bytes: usize) -> Result<Fetched, FetchError> {
        let get =
            http::Get { url, named_by: http::NamedBy::User, max_bytes, patience: http::DOWNLOAD_PATIENCE };
        let answer = self.context.http.get(get).await?;
        let local_server = (!address::is_global(answer.from)).then_some(answer.server);
        Ok(Fetched { body: answer.body, local_server })
    }

    /// The addresses of a host by the system's name service, of the families in use.
    pub async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<std::net::SocketAddr>> {
        bind::resolve(host, port, self.context.config.families).await
    }

    /// Changes the limits of all torrents together, in bytes a second; `None`: no limit.
    pub fn set_limits(&self, download: Option<u64>, upload: Option<u64>) {
        let now = tokio::time::Instant::now();
        self.context.download.set(now, download);
        self.context.upload.set(now, upload);
    }

    /// Stops all torrents: trackers hear of it (for at most three seconds), what is being written is finished, resume
    /// data is saved.
    pub async fn stop(self) {
        drop(self.commands);
        if let Err(error) = self.session.await {
            tracing::error!(%error, "the session task crashed");
        }
    }
}
