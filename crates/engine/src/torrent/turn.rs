//! One turn of a torrent's loop: what came in is told to the swarm and the announcer, what they want is done.
//!
//! Part of the torrent task. Nothing here waits.

use std::sync::Arc;
use std::time::Duration;

use ::announce::{self as tracker, Announce, AnnounceEvent, Announcer, PeerFormat};
use metainfo::FileIndex;
use swarm::{Action, Event, Priority, Source};

use super::{Torrent, found};
use crate::brain::Brain;
use crate::handle::Command;
use crate::outside::Input;
use crate::record::Moved;
use crate::status::{Phase, Status};
use crate::{announce, publish, start};

/// What `left` says while the torrent's length is unknown: anything but 0, which would make us a seed.
const LEFT_UNKNOWN: u64 = 16 * 1024;

impl Torrent {
    pub(super) fn take_in(&mut self, now: Duration, input: Input, brain: &mut Brain) {
        if !matches!(input, Input::Saved(_)) {
            self.publisher.touch();
        }
        match input {
            Input::Events(events) => events.into_iter().for_each(|event| self.event(now, event, brain)),
            Input::Joined(joined) => {
                let connected = self.outside.joined(*joined);
                brain.handle(now, connected);
            }
            Input::Incoming(incoming) => self.outside.accept(*incoming),
            Input::Committed(ended) => {
                let (event, halt) = *ended;
                self.outside.commits -= 1;
                if let Event::Committed { piece, .. } = event {
                    let size = self.record.info.get().map_or(0, |info| info.layout().piece_size(piece));
                    self.record.saver.touch(now, size);
                }
                self.halt = halt.map(Arc::new).or(self.halt.take());
                brain.handle(now, event);
            }
            Input::Announced { tracker, result } => {
                if let Some(announcer) = &mut self.record.announcer {
                    announcer.handle(now, tracker::Event::Replied { tracker, result: *result });
                }
            }
            Input::Unfetched(unfetched) => {
                let event = self.outside.web.unfetched(*unfetched);
                brain.handle(now, event);
            }
            Input::Named(at) => found(now, brain, at, Source::User),
            Input::Saved(resume) => self.record.saver.saved(*resume),
        }
    }

    fn event(&mut self, now: Duration, event: Event, brain: &mut Brain) {
        match event {
            // A peer whose end is known already is not mourned twice.
            Event::Gone { peer } if !self.outside.gone(peer) => return,
            Event::Lost { piece } => {
                if let Some(files) = self.outside.home.files.get() {
                    files.lost(piece);
                    self.record.saver.touch(now, 0);
                }
            }
            _ => {}
        }
        brain.handle(now, event);
    }

    pub(super) fn obey(&mut self, command: Command, brain: &mut Brain) {
        let now = self.now();
        self.publisher.touch();
        match command {
            Command::Priorities(wishes) => self.wish(now, wishes, brain),
            Command::Sequential(sequential) => {
                self.record.add.sequential = sequential;
                brain.handle(now, Event::SetSequential(sequential));
            }
            Command::Limits { download, upload } => {
                (self.record.download_limit, self.record.upload_limit) = (download, upload);
                let home = &self.outside.home;
                home.download.set(tokio::time::Instant::now(), download);
                home.upload.set(tokio::time::Instant::now(), upload);
            }
            Command::Peers(at) => found(now, brain, at, Source::User),
            Command::Found(at) => found(now, brain, at, Source::Tracker),
            Command::Heard(at) => found(now, brain, vec![at], Source::Lsd),
            Command::Announced(id, ip, left) => brain.handle(now, Event::Announced { id, ip, left }),
            Command::Trackers(edit) => self.edit_trackers(now, edit),
            Command::Pause => brain.handle(now, Event::Pause),
            Command::Resume => {
                self.halt = None;
                brain.handle(now, Event::Resume);
            }
        }
    }

    /// What the torrent itself names stays under suspicion (S-24), though the user leaves it in the list.
    fn edit_trackers(&mut self, now: Duration, edit: tracker::Edit) {
        let Some(announcer) = &mut self.record.announcer else { return };
        let known: Vec<String> = announcer.status().map(|tracker| tracker.url).collect();
        let typed = edit.named().filter(|url| !known.contains(url)).cloned().collect();
        self.record.add.trackers.push(typed);
        announcer.handle(now, tracker::Event::Edit(edit));
    }

    fn wish(&mut self, now: Duration, wishes: Vec<Priority>, brain: &mut Brain) {
        for (file, &priority) in (0..).zip(&wishes) {
            brain.handle(now, Event::SetPriority { file: FileIndex(file), priority });
        }
        self.record.wishes = wishes;
        self.note_partial_seed(brain);
    }

    /// Whatever is due by the clock.
    pub(super) fn tick(&mut self, now: Duration, brain: &mut Brain) {
        if brain.next_deadline().is_some_and(|deadline| deadline <= now) {
            brain.handle(now, Event::Tick);
        }
        if let Some(announcer) = &mut self.record.announcer
            && announcer.next_deadline().is_some_and(|deadline| deadline <= now)
        {
            announcer.handle(now, tracker::Event::Tick);
        }
        let totals = self.totals(brain);
        self.record.saver.tick(now, &self.outside.home, totals);
        if self.publisher.is_due(now) || !self.phase(brain).same_step(&self.publisher.current().phase) {
            self.show(brain);
        }
    }

    /// When something is due by the clock.
    pub(super) fn deadline(&self, brain: &Brain) -> Option<Duration> {
        [
            brain.next_deadline(),
            self.record.deadline(),
            self.record.saver.deadline(),
            self.publisher.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether nothing happens, and nothing is due but the next announce.
    pub(super) fn is_idle(&self, brain: &Brain) -> bool {
        brain.is_idle()
            && self.halt.is_none()
            && self.record.deadline().is_none_or(|due| due > self.now())
            && self.outside.is_idle()
            && self.record.saver.is_settled()
            && self.publisher.deadline().is_none()
            && self.inbox.is_empty()
            && self.commands.is_empty()
            && !self.commands.is_closed()
    }

    /// Does all that the swarm and the announcer want done.
    pub(super) fn perform(&mut self, brain: &mut Brain) {
        loop {
            while let Some(action) = brain.next_action() {
                match action {
                    Action::Complete => self.completed(brain),
                    Action::WantPeers => {
                        let now = self.now();
                        if let Some(announcer) = &mut self.record.announcer {
                            announcer.handle(now, tracker::Event::WantPeers);
                        }
                    }
                    action @ Action::Resized { .. } => {
                        self.publisher.touch();
                        self.outside.perform(action);
                    }
                    action => self.outside.perform(action),
                }
            }
            if !self.perform_announces(brain) {
                break;
            }
        }
        self.outside.flush();
        if self.outside.commits > 0 && !matches!(brain, Brain::Swarm(swarm) if swarm.is_fetching()) {
            self.outside.home.context.disk.hurry();
        }
    }

    /// Does what the announcer wants; `true` if the swarm was told something by it.
    pub(super) fn perform_announces(&mut self, brain: &mut Brain) -> bool {
        let mut told = false;
        while let Some(action) = self.record.announcer.as_mut().and_then(Announcer::next_action) {
            match action {
                tracker::Action::Announce { tracker, url, event, tracker_id, numwant } => {
                    let typed = self.record.add.trackers.iter().flatten().any(|typed| *typed == url);
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
        let left = match brain {
            Brain::Swarm(swarm) => swarm.status().left,
            Brain::Fetch(_) => LEFT_UNKNOWN,
        };
        let Moved { uploaded, downloaded, .. } = self.moved(brain);
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
        if let Some(announcer) = &mut self.record.announcer {
            announcer.handle(
                now,
                if whole { tracker::Event::Completed } else { tracker::Event::PartialSeed(true) },
            );
        }
        if let Some(files) = self.outside.home.files.get() {
            start::finish(&self.outside.home.context, files, &self.record.wishes);
        }
    }

    pub(super) fn totals(&self, brain: &Brain) -> storage::resume::Totals {
        let moved = self.moved(brain);
        self.record.saver.totals(moved.uploaded, moved.downloaded)
    }

    /// What was moved in this run.
    pub(super) fn moved(&self, brain: &Brain) -> Moved {
        let Moved { uploaded, downloaded, wasted } = self.record.moved;
        match brain {
            Brain::Swarm(swarm) => {
                let status = swarm.status();
                Moved {
                    uploaded: uploaded + status.uploaded,
                    downloaded: downloaded + status.downloaded,
                    wasted: wasted + status.wasted,
                }
            }
            Brain::Fetch(_) => self.record.moved,
        }
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
    pub(super) fn show(&mut self, brain: &Brain) {
        let now = self.now();
        let mut status = Status::clone(&self.publisher.current());
        status.phase = self.phase(brain);
        if let Some(announcer) = &self.record.announcer {
            status.trackers = publish::trackers(now, announcer);
        }
        brain.describe(now, &mut status);
        if let Brain::Swarm(swarm) = brain {
            status.web = self.outside.web.describe(swarm);
            status.wasted = self.moved(brain).wasted;
        }
        let totals = self.totals(brain);
        (status.uploaded, status.downloaded) = (totals.uploaded, totals.downloaded);
        if let Some(info) = self.record.info.get() {
            info.name().clone_into(&mut status.name);
        }
        self.publisher.publish(now, status);
    }

    /// Tells the announcer whether we only upload although something is missing (BEP 21).
    pub(super) fn note_partial_seed(&mut self, brain: &Brain) {
        let now = self.now();
        if let (Some(announcer), Brain::Swarm(swarm)) = (&mut self.record.announcer, brain) {
            let status = swarm.status();
            announcer.handle(now, tracker::Event::PartialSeed(status.complete && status.left > 0));
        }
    }
}
