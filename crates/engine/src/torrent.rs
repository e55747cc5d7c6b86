//! One torrent's life: learn its info dictionary, look at its files, run its swarm, say goodbye.
//!
//! Owned by its own task, which owns everything about the torrent. The loop in [`Torrent::drive`] decides nothing: events
//! go into the swarm and the announcer, and what they want done is done.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::announce::{self as tracker, Announce, AnnounceEvent, Announcer, PeerFormat};
use bytes::Bytes;
use metainfo::{Bitfield, FileIndex, Info, InfoHashes, Magnet, PeerAddr};
use swarm::{Action, Endpoint, Event, MetadataFetch, Priority, Setup, Source, Swarm};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use crate::brain::Brain;
use crate::config::{Add, What};
use crate::context::Context;
use crate::handle::Command;
use crate::outside::{Home, Input, Outside};
use crate::publish::{self, Publisher};
use crate::save::Saver;
use crate::start::{self, Place};
use crate::status::{Halt, Phase, Status};
use crate::{FAREWELL, TORRENT_INBOX, announce, bind};

/// What `left` says while the torrent's length is unknown: anything but 0, which would make us a seed.
const LEFT_UNKNOWN: u64 = 16 * 1024;

/// What a torrent task begins with.
pub(crate) struct Start {
    pub(crate) home: Arc<Home>,
    pub(crate) add: Add,
    pub(crate) hashes: InfoHashes,
    /// Bytes of memory for unverified pieces.
    pub(crate) memory: u64,
    /// Where this torrent's random choices begin.
    pub(crate) seed: u64,
    pub(crate) inbox: mpsc::Receiver<Input>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) status: Arc<watch::Sender<Arc<Status>>>,
    pub(crate) info: Arc<OnceLock<Arc<Info>>>,
}

struct Torrent {
    outside: Outside,
    inbox: mpsc::Receiver<Input>,
    commands: mpsc::Receiver<Command>,
    publisher: Publisher,
    add: Add,
    hashes: InfoHashes,
    memory: u64,
    /// Seeds the machines.
    rng: fastrand::Rng,
    info: Arc<OnceLock<Arc<Info>>>,
    announcer: Option<Announcer>,
    /// The announcer has said its last word.
    announced: bool,
    saver: Saver,
    /// What the user wants of each file.
    wishes: Vec<Priority>,
    halt: Option<Arc<Halt>>,
}

/// Why the loop ended.
enum Step {
    /// The user wants it to.
    Stopped,
    /// The info dictionary is here, and what its peers have said so far.
    Known(Bytes, Vec<Event>),
}

/// Lives a torrent's life.
pub(crate) async fn run(start: Start) {
    let Start { home, add, hashes, memory, seed, inbox, commands, status, info } = start;
    let mut torrent = Torrent {
        outside: Outside::new(home),
        inbox,
        commands,
        publisher: Publisher::new(status),
        add,
        hashes,
        memory,
        rng: fastrand::Rng::with_seed(seed),
        info,
        announcer: None,
        announced: false,
        saver: Saver::default(),
        wishes: Vec::new(),
        halt: None,
    };
    let phase = match torrent.live().await {
        Ok(()) => Phase::Stopped,
        Err(halt) => {
            tracing::debug!(%halt, "a torrent ended");
            Phase::Failed(Arc::new(halt))
        }
    };
    torrent.publisher.phase(phase);
}

impl Torrent {
    async fn live(&mut self) -> Result<(), Halt> {
        let context = self.context();
        let mut resume = start::open_resume(&context, &self.add, self.outside.home.wire_hash).await?;
        let (info, replay) = match self.add.what.clone() {
            What::Metainfo(metainfo) => (metainfo.info.clone(), Vec::new()),
            What::Magnet(magnet) => match self.learn(&magnet, resume.info().cloned()).await? {
                Some(known) => known,
                None => return Ok(()),
            },
        };
        if info.hashes().v1.is_none() {
            return Err(Halt::V2Only);
        }
        self.info.get_or_init(|| info.clone());
        if matches!(self.add.what, What::Magnet(_)) {
            resume.keep_info(info.raw().clone());
        }
        if self.add.metadata_only {
            return Ok(());
        }
        self.wishes = self.choose(&info)?;
        let place = start::open_place(&context, &self.add, info.clone(), resume).await?;
        let Some(have) = self.look(place).await? else { return Ok(()) };
        let mut brain = self.begin(&info, have, replay);
        self.drive(&mut brain).await;
        self.leave(&mut brain).await;
        Ok(())
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
        let (our_id, seed) = (self.outside.home.peer_id, self.rng.u64(..));
        let fetch = MetadataFetch::new(self.now(), self.hashes, self.swarm_config(), our_id, seed);
        let mut brain = Brain::Fetch(fetch);
        self.start_announcing(false);
        self.name_peers(&mut brain, magnet.peers.clone());
        match self.drive(&mut brain).await {
            Step::Known(raw, replay) => {
                let info = Info::parse(&raw).map_err(Halt::Metadata)?;
                if self.add.metadata_only {
                    self.leave(&mut brain).await;
                }
                Ok(Some((Arc::new(info), replay)))
            }
            Step::Stopped => {
                self.leave(&mut brain).await;
                Ok(None)
            }
        }
    }

    /// What the user wants of each file.
    fn choose(&mut self, info: &Info) -> Result<Vec<Priority>, Halt> {
        if self.add.seed_only {
            return Ok(vec![Priority::Skip; info.files().len()]);
        }
        self.add.select.take().map_or_else(|| Ok(Vec::new()), |select| select(info)).map_err(Halt::Selection)
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
            let stopped = stopped(&mut self.commands);
            if !start::check(&context, &files, &suspects, show, stopped).await? {
                return Ok(None);
            }
        }
        start::prepare(&context, &files, &self.wishes).await?;
        let have = files.have();
        self.saver = Saver::new(resume);
        self.saver.touch(self.now(), 0);
        self.outside.home.files.get_or_init(|| files);
        Ok(Some(have))
    }

    fn begin(&mut self, info: &Arc<Info>, have: Bitfield, replay: Vec<Event>) -> Brain {
        let home = self.outside.home.clone();
        let complete = have.is_full();
        let mut swarm = Swarm::new(
            self.now(),
            Setup {
                layout: info.layout().clone(),
                metadata: Some(info.raw().clone()),
                have,
                priorities: self.wishes.clone(),
                config: self.swarm_config(),
                our_id: home.peer_id,
                private: info.private(),
                seed: self.rng.u64(..),
            },
        );
        for event in replay {
            swarm.handle(self.now(), event);
        }
        let mut brain = Brain::Swarm(Box::new(swarm));
        if self.announcer.is_none() {
            self.start_announcing(complete);
        }
        self.name_peers(&mut brain, Vec::new());
        self.show(&brain);
        brain
    }

    /// Runs the swarm, or the fetch, until it is over.
    async fn drive(&mut self, brain: &mut Brain) -> Step {
        let mut batch = Vec::with_capacity(TORRENT_INBOX);
        loop {
            self.perform(brain);
            if let Some((raw, replay)) = brain.take() {
                return Step::Known(raw, replay);
            }
            let (start, deadline) = (self.outside.home.context.start, self.deadline(brain));
            tokio::select! {
                _ = self.inbox.recv_many(&mut batch, TORRENT_INBOX) => {}
                command = self.commands.recv() => match command {
                    Some(Command::Stop) | None => return Step::Stopped,
                    Some(command) => self.obey(command, brain),
                },
                Some(ended) = self.outside.tasks.join_next(), if !self.outside.tasks.is_empty() => {
                    if let Err(error) = ended {
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
        if let Some(announcer) = &mut self.announcer {
            announcer.handle(self.outside.home.context.start.elapsed(), tracker::Event::Stop);
        }
        let end = tokio::time::Instant::now() + FAREWELL;
        loop {
            self.perform_announces(brain);
            let writing = self.outside.commits > 0 || self.saver.is_saving(&self.outside.home);
            let announcing = self.announcer.is_some() && !self.announced && tokio::time::Instant::now() < end;
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
            self.saver.finish(&home, files.clone(), self.totals(brain)).await;
        }
    }

    fn take_in(&mut self, now: Duration, input: Input, brain: &mut Brain) {
        self.publisher.touch();
        match input {
            Input::Events(events) => events.into_iter().for_each(|event| self.event(now, event, brain)),
            Input::Joined(joined) => {
                let connected = self.outside.joined(joined);
                brain.handle(now, connected);
            }
            Input::Incoming(incoming) => self.outside.accept(incoming),
            Input::Committed { event, halt } => {
                self.outside.commits -= 1;
                if let Event::Committed { piece, .. } = event {
                    let size = self.info.get().map_or(0, |info| info.layout().piece_size(piece));
                    self.saver.touch(now, size);
                }
                self.halt = halt.map(Arc::new).or(self.halt.take());
                brain.handle(now, event);
            }
            Input::Announced { tracker, result } => {
                if let Some(announcer) = &mut self.announcer {
                    announcer.handle(now, tracker::Event::Replied { tracker, result });
                }
            }
            Input::Named(at) => found(now, brain, at, Source::User),
            Input::Saved(resume) => self.saver.saved(*resume),
        }
    }

    fn event(&mut self, now: Duration, event: Event, brain: &mut Brain) {
        match event {
            // A peer whose end is known already is not mourned twice.
            Event::Gone { peer } if !self.outside.gone(peer) => return,
            Event::Lost { piece } => {
                if let Some(files) = self.outside.home.files.get() {
                    files.lost(piece);
                    self.saver.touch(now, 0);
                }
            }
            _ => {}
        }
        brain.handle(now, event);
    }

    fn obey(&mut self, command: Command, brain: &mut Brain) {
        let now = self.now();
        self.publisher.touch();
        match command {
            Command::Priorities(wishes) => self.wish(now, wishes, brain),
            Command::Sequential(sequential) => brain.handle(now, Event::SetSequential(sequential)),
            Command::Limits { download, upload } => {
                let home = &self.outside.home;
                home.download.set(tokio::time::Instant::now(), download);
                home.upload.set(tokio::time::Instant::now(), upload);
            }
            Command::Peers(at) => found(now, brain, at, Source::User),
            Command::Pause => brain.handle(now, Event::Pause),
            Command::Resume => {
                self.halt = None;
                brain.handle(now, Event::Resume);
            }
            Command::Stop => {}
        }
    }

    fn wish(&mut self, now: Duration, wishes: Vec<Priority>, brain: &mut Brain) {
        for (file, &priority) in (0..).zip(&wishes) {
            brain.handle(now, Event::SetPriority { file: FileIndex(file), priority });
        }
        self.wishes = wishes;
    }

    /// Whatever is due by the clock.
    fn tick(&mut self, now: Duration, brain: &mut Brain) {
        if brain.next_deadline().is_some_and(|deadline| deadline <= now) {
            brain.handle(now, Event::Tick);
        }
        if let Some(announcer) = &mut self.announcer
            && announcer.next_deadline().is_some_and(|deadline| deadline <= now)
        {
            announcer.handle(now, tracker::Event::Tick);
        }
        let totals = self.totals(brain);
        self.saver.tick(now, &self.outside.home, totals);
        if self.publisher.is_due(now) || !self.phase(brain).same_step(&self.publisher.current().phase) {
            self.show(brain);
        }
    }

    /// When something is due by the clock.
    fn deadline(&self, brain: &Brain) -> Option<Duration> {
        let announcer = self.announcer.as_ref().and_then(Announcer::next_deadline);
        [brain.next_deadline(), announcer, self.saver.deadline(), self.publisher.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does all that the swarm and the announcer want done.
    fn perform(&mut self, brain: &mut Brain) {
        loop {
            while let Some(action) = brain.next_action() {
                match action {
                    Action::Complete => self.completed(brain),
                    Action::WantPeers => {
                        let now = self.now();
                        if let Some(announcer) = &mut self.announcer {
                            announcer.handle(now, tracker::Event::WantPeers);
                        }
                    }
                    action => self.outside.perform(action),
                }
            }
            if !self.perform_announces(brain) {
                break;
            }
        }
        self.outside.flush();
    }

    /// Does what the announcer wants; `true` if the swarm was told something by it.
    fn perform_announces(&mut self, brain: &mut Brain) -> bool {
        let mut told = false;
        while let Some(action) = self.announcer.as_mut().and_then(Announcer::next_action) {
            match action {
                tracker::Action::Announce { tracker, url, event, tracker_id, numwant } => {
                    let typed = self.add.trackers.iter().flatten().any(|typed| *typed == url);
                    let announce = self.words(brain, event, tracker_id, numwant);
                    let home = self.outside.home.clone();
                    self.outside.tasks.spawn(announce::run(home, tracker, url, typed, announce));
                }
                tracker::Action::Peers(at) => {
                    found(self.now(), brain, at, Source::Tracker);
                    told = true;
                }
                tracker::Action::ExternalIp(ip) => tracing::debug!(%ip, "seen by a tracker as"),
                tracker::Action::Done => self.announced = true,
            }
        }
        told
    }

    /// What an announce says of us: payload bytes of this run (BEP 3).
    fn words(
        &self,
        brain: &Brain,
        event: Option<AnnounceEvent>,
        tracker_id: Option<Vec<u8>>,
        numwant: u32,
    ) -> Announce {
        let home = &self.outside.home;
        let (uploaded, downloaded, left) = match brain {
            Brain::Swarm(swarm) => {
                let status = swarm.status();
                (status.uploaded, status.downloaded, status.left)
            }
            Brain::Fetch(_) => (0, 0, LEFT_UNKNOWN),
        };
        Announce {
            info_hash: home.wire_hash,
            peer_id: home.peer_id,
            port: home.context.port,
            uploaded,
            downloaded,
            left,
            event,
            numwant: Some(numwant),
            key: Some(u32::from_be_bytes(*home.peer_id.0.last_chunk().unwrap_or(&[0; 4]))),
            tracker_id,
            format: PeerFormat::Compact,
        }
    }

    fn completed(&mut self, brain: &Brain) {
        let now = self.now();
        let whole = matches!(brain, Brain::Swarm(swarm) if swarm.status().left == 0);
        if let Some(announcer) = &mut self.announcer {
            announcer.handle(
                now,
                if whole { tracker::Event::Completed } else { tracker::Event::PartialSeed(true) },
            );
        }
        if let Some(files) = self.outside.home.files.get() {
            start::finish(&self.outside.home.context, files, &self.wishes);
        }
    }

    fn start_announcing(&mut self, complete: bool) {
        let mut tiers = self.add.trackers.clone();
        match &self.add.what {
            What::Metainfo(metainfo) => tiers.extend(metainfo.announce.iter().cloned()),
            What::Magnet(magnet) => tiers.extend(magnet.trackers.iter().map(|url| vec![url.clone()])),
        }
        let seed = self.rng.u64(..);
        self.announcer = Some(Announcer::new(self.now(), tiers, complete, seed));
    }

    /// Peers the user named, as addresses and (in a magnet link) as names that must be looked up.
    fn name_peers(&mut self, brain: &mut Brain, names: Vec<PeerAddr>) {
        found(self.now(), brain, self.add.peers.clone(), Source::User);
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
            memory_budget: self.memory,
            sequential: self.add.sequential,
            listen_port: context.port,
            client: context.config.client.clone(),
            ..swarm::Config::default()
        }
    }

    fn totals(&self, brain: &Brain) -> storage::resume::Totals {
        let (uploaded, downloaded) = match brain {
            Brain::Swarm(swarm) => (swarm.status().uploaded, swarm.status().downloaded),
            Brain::Fetch(_) => (0, 0),
        };
        self.saver.totals(uploaded, downloaded)
    }

    fn phase(&self, brain: &Brain) -> Phase {
        match (&self.halt, brain) {
            (Some(halt), _) => Phase::Failed(halt.clone()),
            (None, Brain::Fetch(_)) => Phase::Metadata,
            (None, Brain::Swarm(swarm)) => match swarm.status() {
                status if status.paused => Phase::Paused,
                status if status.complete => Phase::Seeding,
                _ => Phase::Downloading,
            },
        }
    }

    /// Publishes the status.
    fn show(&mut self, brain: &Brain) {
        let now = self.now();
        let mut status = Status::clone(&self.publisher.current());
        status.phase = self.phase(brain);
        if let Some(announcer) = &self.announcer {
            status.trackers = publish::trackers(now, announcer);
        }
        brain.describe(&mut status);
        let totals = self.totals(brain);
        (status.uploaded, status.downloaded) = (totals.uploaded, totals.downloaded);
        if let Some(info) = self.info.get() {
            info.name().clone_into(&mut status.name);
        }
        self.publisher.publish(now, status);
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

/// Waits for the command to stop; other commands have no meaning yet.
async fn stopped(commands: &mut mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        if matches!(command, Command::Stop) {
            return;
        }
    }
}
