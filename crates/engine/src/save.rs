//! When resume data is saved: every few seconds while pieces come in, and at the end.
//!
//! Owned by the torrent task. One save at a time, on a disk thread; the state travels there and back.

use std::sync::Arc;
use std::time::Duration;

use storage::TorrentFiles;
use storage::resume::{Resume, Totals};

use crate::outside::{Home, Input};
use crate::start::on_disk;

/// The longest that finished pieces wait to be remembered.
const PERIOD: Duration = Duration::from_secs(5);

/// A fast download saves sooner, so that a crash costs no more than this.
const BYTES: u64 = 64 << 20;

/// But never more often than this: each save waits for the disk.
const REST: Duration = Duration::from_secs(1);

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Saver {
    /// `None`: at a disk thread, or the torrent has no place on disk yet.
    resume: Option<Resume>,
    /// What earlier runs moved.
    before: Totals,
    /// When the first unsaved piece was finished.
    dirty: Option<Duration>,
    bytes: u64,
    last: Duration,
}

impl Saver {
    pub(crate) fn new(resume: Resume) -> Self {
        Self { before: resume.totals(), resume: Some(resume), ..Self::default() }
    }

    /// Bytes moved in all runs, given those of this one.
    pub(crate) fn totals(&self, uploaded: u64, downloaded: u64) -> Totals {
        Totals { uploaded: self.before.uploaded + uploaded, downloaded: self.before.downloaded + downloaded }
    }

    /// Pieces of so many bytes were finished, or lost.
    pub(crate) fn touch(&mut self, now: Duration, bytes: u32) {
        self.dirty.get_or_insert(now);
        self.bytes += u64::from(bytes);
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.resume.as_ref()?;
        let wait = if self.bytes >= BYTES { REST } else { PERIOD };
        self.dirty.map(|since| (since + wait).max(self.last + REST))
    }

    /// Saves if it is time.
    pub(crate) fn tick(&mut self, now: Duration, home: &Home, totals: Totals) {
        let due = self.deadline().is_some_and(|due| due <= now);
        let Some(files) = home.files.get().filter(|_| due).cloned() else { return };
        let Some(mut resume) = self.resume.take() else { return };
        (self.dirty, self.bytes, self.last) = (None, 0, now);
        let inbox = home.inbox.clone();
        home.context.disk.run(move || {
            log(resume.save(&files, totals));
            // The torrent may have ended; then nobody asks.
            let _ended = inbox.blocking_send(Input::Saved(Box::new(resume)));
        });
    }

    /// A save is over.
    pub(crate) fn saved(&mut self, resume: Resume) {
        self.resume = Some(resume);
    }

    /// Whether all is saved that is worth it.
    pub(crate) fn is_settled(&self) -> bool {
        self.resume.is_some() && self.dirty.is_none()
    }

    /// Whether a save is under way.
    pub(crate) fn is_saving(&self, home: &Home) -> bool {
        home.files.get().is_some() && self.resume.is_none()
    }

    /// The last save, when nothing is being written any more.
    pub(crate) async fn finish(&mut self, home: &Home, files: Arc<TorrentFiles>, totals: Totals) {
        let Some(mut resume) = self.resume.take() else { return };
        let saved = on_disk(&home.context.disk, move || log(resume.finish(&files, totals))).await;
        if saved.is_none() {
            tracing::warn!("the disk threads ended before the last save");
        }
    }
}

pub(crate) fn log(result: Result<(), storage::StorageError>) {
    if let Err(error) = result {
        tracing::warn!(error = &error as &dyn std::error::Error, "saving resume data");
    }
}
