//! One torrent's life: learn its info dictionary, look at its files, run its swarm, say goodbye.
//!
//! Owned by its own task, which owns everything about the torrent. The loop in [`Torrent::drive`] decides nothing: events
//! go into the swarm and the announcer, and what they want done is done.

mod turn;

use std::sync::Arc;
use std::time::Duration;

use ::announce::{self as tracker, Announcer};
use bytes::Bytes;
use metainfo::{Bitfield, Info, Magnet, PeerAddr};
use storage::TorrentFiles;
use swarm::{Endpoint, Event, MetadataFetch, Priority, Setup, Source, Swarm};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use crate::brain::Brain;
use crate::config::What;
use crate::context::Context;
use crate::handle::Command;
use crate::outside::{Home, Input, Outside};
use crate::publish::Publisher;
use crate::record::Record;
use crate::save::Saver;
use crate::start::{self, Place};
use crate::status::{Halt, Phase, Status};
use crate::webseed::WebSeeds;
use crate::{FAREWELL, TORRENT_INBOX, bind};

/// What a torrent task begins with, and leaves behind when nothing is left to do.
pub(crate) struct Start {
    pub(crate) home: Arc<Home>,
    pub(crate) record: Box<Record>,
    pub(crate) inbox: mpsc::Receiver<Input>,
    pub(crate) commands: mpsc::Receiver<Box<Command>>,
    pub(crate) status: Arc<watch::Sender<Arc<Status>>>,
}

impl Start {
    /// Whether there is something to do at once.
    pub(crate) fn has_work(&self) -> bool {
        !self.inbox.is_empty() || !self.commands.is_empty() || self.commands.is_closed()
    }
}

struct Torrent {
    outside: Outside,
    inbox: mpsc::Receiver<Input>,
    commands: mpsc::Receiver<Box<Command>>,
    publisher: Publisher,
    record: Box<Record>,
    /// The announcer has said its last word.
    announced: bool,
    /// Commands that came before there was a swarm to obey them.
    early: Vec<Command>,
    halt: Option<Arc<Halt>>,
}

/// Why the loop ended.
enum Step {
    /// The user wants it to.
    Stopped,
    /// The info dictionary is here, and what its peers have said so far.
    Known(Bytes, Vec<Event>),
    /// Nothing happens, and nothing is due but the next announce.
    Idle,
}

/// Lives a torrent's life until it ends, or until it is idle: then what is needed to go on is left behind.
///
/// A value of this size lives as long as the torrent does anything, so what happens only once is boxed.
pub(crate) async fn run(start: Start) -> Option<Start> {
    let mut torrent = Box::new(Torrent::new(start));
    let phase = match torrent.live().await {
        Ok(Step::Idle) => return Some(torrent.rest()),
        Ok(_) => Phase::Stopped,
        Err(halt) => {
            tracing::debug!(%halt, "a torrent ended");
            Phase::Failed(Arc::new(halt))
        }
    };
    torrent.publisher.phase(phase);
    None
}

impl Torrent {
    fn new(Start { home, record, inbox, commands, status }: Start) -> Self {
        Self {
            outside: Outside::new(home),
            inbox,
            commands,
            publisher: Publisher::new(status),
            record,
            announced: false,
            early: Vec::new(),
            halt: None,
        }
    }

    fn rest(self) -> Start {
        let Self { outside, record, inbox, commands, publisher, .. } = self;
        Start { home: outside.home, record, inbox, commands, status: publisher.into_sender() }
    }

    async fn live(&mut self) -> Result<Step, Halt> {
        let again = self.record.files.clone();
        let brain = match again {
            Some(files) => Some(self.go_on(files)),
            None => Box::pin(self.set_out()).await?,
        };
        let Some(mut brain) = brain else { return Ok(Step::Stopped) };
        let step = self.drive(&mut brain).await;
        match step {
            Step::Idle => self.record.moved = self.moved(&brain),
            _ => Box::pin(self.leave(&mut brain)).await,
        }
        Ok(step)
    }

    /// Goes on where it was idle.
    fn go_on(&mut self, files: Arc<TorrentFiles>) -> Brain {
        let (info, have) = (files.info().clone(), files.have());
        self.outside.home.files.get_or_init(|| files);
        let mut brain = self.begin(&info, have);
        self.tick(self.now(), &mut brain);
        brain
    }

    /// All that comes before the swarm. `None`: it was stopped before, or nothing more was wanted.
    async fn set_out(&mut self) -> Result<Option<Brain>, Halt> {
        let context = self.context();
        let mut resume = start::open_resume(&context, &self.record.add, self.outside.home.wire_hash).await?;
        let (info, replay) = match self.record.add.what.clone() {
            What::Metainfo(metainfo) => (metainfo.info.clone(), Vec::new()),
            What::Magnet(magnet) => match self.learn(&magnet, resume.info().cloned()).await? {
                Some(known) => known,
                None => return Ok(None),
            },
        };
        if info.hashes().v1.is_none() {
            return Err(Halt::V2Only);
        }
        self.record.info.get_or_init(|| info.clone());
        self.show_neighbours(info.private());
        if matches!(self.record.add.what, What::Magnet(_)) {
            resume.keep_info(info.raw().clone());
        }
        if self.record.add.metadata_only {
            return Ok(None);
        }
        self.record.wishes = self.choose(&info)?;
        let place = start::open_place(&context, &self.record.add, info.clone(), resume).await?;
        let Some(have) = self.look(place).await? else { return Ok(None) };
        let complete = have.is_full();
        let mut brain = self.begin(&info, have);
        for event in replay {
            brain.handle(self.now(), event);
        }
        if self.record.announcer.is_none() {
            self.start_announcing(complete);
        }
        self.name_peers(&mut brain, Vec::new());
        for command in std::mem::take(&mut self.early) {
            self.obey(command, &mut brain);
        }
        self.note_partial_seed(&brain);
        self.show(&brain);
        Ok(Some(brain))
    }

    /// The info dictionary of a magnet link: from an earlier run, or from peers. `None`: stopped before.
    async fn learn(
        &mut self,
        magnet: &Magnet,
        kept: Option<Bytes>,
    ) -> Result<Option<(Arc<Info>, Vec<Event>)>, Halt> {
        if let Some(Ok(info)) = kept.map(|raw| Info::parse(&raw)) {
            return Ok(Some((Arc::new(info), Vec::new())));
        }
        let (our_id, seed) = (self.outside.home.peer_id, self.record.rng.u64(..));
        let fetch = MetadataFetch::new(self.now(), self.record.hashes, self.swarm_config(), our_id, seed);
        let mut brain = Brain::Fetch(Box::new(fetch));
        self.start_announcing(false);
        self.show_neighbours(false);
        self.name_peers(&mut brain, magnet.peers.clone());
        match self.drive(&mut brain).await {
            Step::Known(raw, replay) => {
                let info = Info::parse(&raw).map_err(Halt::Metadata)?;
                if self.record.add.metadata_only {
                    self.leave(&mut brain).await;
                }
                Ok(Some((Arc::new(info), replay)))
            }
            Step::Stopped | Step::Idle => {
                self.leave(&mut brain).await;
                Ok(None)
            }
        }
    }

    /// What the user wants of each file.
    fn choose(&mut self, info: &Info) -> Result<Vec<Priority>, Halt> {
        if self.record.add.seed_only {
            return Ok(vec![Priority::Skip; info.files().len()]);
        }
        self.record
            .add
            .select
            .take()
            .map_or_else(|| Ok(Vec::new()), |select| select(info))
            .map_err(Halt::Selection)
    }

    /// Hashes what has to be hashed; the pieces that are there. `None`: stopped before.
    async fn look(&mut self, Place { files, resume, suspects }: Place) -> Result<Option<Bitfield>, Halt> {
        let context = self.context();
        if suspects.count() > 0 {
            let layout = files.info().layout().clone();
            let total = suspects
                .iter()
                .filter_map(|piece| layout.piece(piece))
                .map(|piece| u64::from(layout.piece_size(piece)));
            let total = total.sum();
            let publisher = &mut self.publisher;
            publisher.phase(Phase::Checking { done: 0, total });
            let show = |done| publisher.phase(Phase::Checking { done, total });
            let stopped = stopped(&mut self.commands, &mut self.early);
            if !start::check(&context, &files, &suspects, show, stopped).await? {
                return Ok(None);
            }
        }
        let resume = start::prepare(&context, &files, &self.record.wishes, resume).await?;
        let have = files.have();
        self.record.saver = Saver::new(resume);
        if !have.is_full() {
            self.record.saver.touch(self.now(), 0);
        }
        self.record.files = Some(files.clone());
        self.outside.home.files.get_or_init(|| files);
        Ok(Some(have))
    }

    fn begin(&mut self, info: &Arc<Info>, have: Bitfield) -> Brain {
        let home = self.outside.home.clone();
        self.outside.web = WebSeeds::of(&self.record.add);
        let swarm = Swarm::new(
            self.now(),
            Setup {
                layout: info.layout().clone(),
                metadata: Some(info.raw().clone()),
                have,
                priorities: self.record.wishes.clone(),
                config: self.swarm_config(),
                our_id: home.peer_id,
                private: info.private(),
                web_seeds: self.outside.web.hosts(),
                seed: self.record.rng.u64(..),
            },
        );
        Brain::Swarm(Box::new(swarm))
    }

    /// Runs the swarm, or the fetch, until it is over.
    async fn drive(&mut self, brain: &mut Brain) -> Step {
        let mut batch = Vec::new();
        loop {
            self.perform(brain);
            if let Some((raw, replay)) = brain.take() {
                return Step::Known(raw, replay);
            }
            if self.is_idle(brain) {
                return Step::Idle;
            }
            let (start, deadline) = (self.outside.home.context.start, self.deadline(brain));
            tokio::select! {
                _ = self.inbox.recv_many(&mut batch, TORRENT_INBOX) => {}
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(*command, brain),
                    None => return Step::Stopped,
                },
                Some(ended) = self.outside.tasks.join_next(), if !self.outside.tasks.is_empty() => {
                    if let Err(error) = ended && error.is_panic() {
                        tracing::error!(%error, "a peer's task crashed");
                        batch.push(Input::Events(self.outside.lost().into_iter().map(|peer| Event::Gone { peer }).collect()));
                    }
                }
                () = sleep_until(start + deadline.unwrap_or_default()), if deadline.is_some() => {}
            }
            let now = self.now();
            for input in batch.drain(..) {
                self.take_in(now, input, brain);
            }
            self.tick(now, brain);
        }
    }

    /// Goodbye: connections end, trackers hear of it, what is being written is finished, and all is remembered.
    async fn leave(&mut self, brain: &mut Brain) {
        self.outside.hang_up_all();
        if let Some(announcer) = &mut self.record.announcer {
            announcer.handle(self.outside.home.context.start.elapsed(), tracker::Event::Stop);
        }
        let end = tokio::time::Instant::now() + FAREWELL;
        loop {
            self.perform_announces(brain);
            let writing = self.outside.commits > 0 || self.record.saver.is_saving(&self.outside.home);
            let announcing =
                self.record.announcer.is_some() && !self.announced && tokio::time::Instant::now() < end;
            if !writing && !announcing {
                break;
            }
            tokio::select! {
                Some(input) = self.inbox.recv() => self.take_in(self.now(), input, brain),
                Some(_) = self.outside.tasks.join_next(), if !self.outside.tasks.is_empty() => {}
                () = sleep_until(end), if announcing => {}
            }
        }
        self.show(brain);
        let home = self.outside.home.clone();
        if let Some(files) = home.files.get() {
            self.record.saver.finish(&home, files.clone(), self.totals(brain)).await;
        }
    }

    fn start_announcing(&mut self, complete: bool) {
        let mut tiers = self.record.add.trackers.clone();
        match &self.record.add.what {
            What::Metainfo(metainfo) => tiers.extend(metainfo.announce.iter().cloned()),
            What::Magnet(magnet) => tiers.extend(magnet.trackers.iter().map(|url| vec![url.clone()])),
        }
        let seed = self.record.rng.u64(..);
        self.record.announcer = Some(Announcer::new(self.now(), tiers, complete, seed));
    }

    /// Takes part in local discovery, or no longer: what is private is for the peers of its trackers (BEP 27).
    fn show_neighbours(&self, private: bool) {
        let Home { context, wire_hash, .. } = &*self.outside.home;
        match &context.local {
            Some(local) if private => local.leave(*wire_hash),
            Some(local) => local.join(*wire_hash),
            None => {}
        }
    }

    /// Peers the user named, as addresses and (in a magnet link) as names that must be looked up.
    fn name_peers(&mut self, brain: &mut Brain, names: Vec<PeerAddr>) {
        found(self.now(), brain, self.record.add.peers.clone(), Source::User);
        if names.is_empty() {
            return;
        }
        let home = self.outside.home.clone();
        self.outside.tasks.spawn(async move {
            for PeerAddr { host, port } in names {
                match bind::resolve(&host, port, home.context.config.families).await {
                    // The torrent may have ended; then nobody asks.
                    Ok(at) => _ = home.inbox.send(Input::Named(at)).await,
                    Err(error) => tracing::debug!(host, %error, "looking up a peer"),
                }
            }
        });
    }

    fn swarm_config(&self) -> swarm::Config {
        let context = &self.outside.home.context;
        swarm::Config {
            max_peers: context.config.max_peers,
            memory_budget: self.record.memory,
            sequential: self.record.add.sequential,
            sizing: self.record.add.sizing,
            listen_port: context.port,
            pex: context.config.pex,
            client: context.config.client.clone(),
            ..swarm::Config::default()
        }
    }

    fn now(&self) -> Duration {
        self.outside.home.context.start.elapsed()
    }

    fn context(&self) -> Arc<Context> {
        self.outside.home.context.clone()
    }
}

fn found(now: Duration, brain: &mut Brain, at: Vec<std::net::SocketAddr>, by: Source) {
    if !at.is_empty() {
        brain.handle(now, Event::Found { at: at.into_iter().map(Endpoint::Tcp).collect(), by });
    }
}

/// Waits until nobody can command any more; commands are kept for later.
async fn stopped(commands: &mut mpsc::Receiver<Box<Command>>, early: &mut Vec<Command>) {
    while let Some(command) = commands.recv().await {
        early.push(*command);
    }
}
