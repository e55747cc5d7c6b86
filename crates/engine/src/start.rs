//! How a torrent begins: its place on disk is opened, what earlier runs left is judged, the rest is hashed.
//!
//! Owned by the torrent task. Nothing is written to the user's files before they have been looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use metainfo::{Bitfield, FileIndex, Info};
use storage::resume::Resume;
use storage::{Disk, Mode, StorageError, TorrentFiles};
use swarm::Priority;
use tokio::sync::oneshot;

use crate::config::Add;
use crate::context::Context;
use crate::save;
use crate::status::Halt;

/// How often the progress of a check is shown.
const LOOK: Duration = Duration::from_millis(500);

/// Runs a piece of blocking work on the disk threads. `None`: the disk threads are gone, which ends the torrent.
pub(crate) async fn on_disk<T: Send + 'static>(
    disk: &Disk,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, answer) = oneshot::channel();
    disk.run(move || {
        // Who asked may have been stopped meanwhile.
        let _gone = done.send(work());
    });
    answer.await.ok()
}

/// Locks and reads what earlier runs left.
pub(crate) async fn open_resume(
    context: &Context,
    add: &Add,
    hash: metainfo::InfoHash,
) -> Result<Resume, Halt> {
    let (dir, folder, rename) = (context.config.state_dir.clone(), add.folder.clone(), add.rename.clone());
    let open = move || Resume::open(&dir, hash, &folder, rename.as_deref());
    Ok(on_disk(&context.disk, open).await.ok_or(Halt::Crashed)??)
}

/// A torrent's place on disk.
pub(crate) struct Place {
    pub(crate) files: Arc<TorrentFiles>,
    pub(crate) resume: Resume,
    /// Pieces to hash before anything else.
    pub(crate) suspects: Bitfield,
}

/// Opens a torrent's place; what earlier runs had is trusted as far as the files are unchanged.
pub(crate) async fn open_place(
    context: &Context,
    add: &Add,
    info: Arc<Info>,
    mut resume: Resume,
) -> Result<Place, Halt> {
    let (folder, rename, all) = (add.folder.clone(), add.rename.clone(), add.check);
    let fetch = Mode::Fetch { allocate: add.allocate, cut_longer: false };
    let mode = if add.seed_only { Mode::Seed } else { fetch };
    let open = move || -> Result<Place, StorageError> {
        let pieces = info.layout().piece_count();
        let files = TorrentFiles::open(info, folder, rename, mode)?;
        let trust = resume.attach(&files)?;
        let suspects = if all { Bitfield::all(pieces) } else { trust.recheck };
        Ok(Place { files, resume, suspects })
    };
    Ok(on_disk(&context.disk, open).await.ok_or(Halt::Crashed)??)
}

/// Hashes pieces; `show` is told the bytes done, `stopped` ends it early. `false`: it was stopped.
pub(crate) async fn check(
    context: &Context,
    files: &Arc<TorrentFiles>,
    suspects: &Bitfield,
    mut show: impl FnMut(u64),
    stopped: impl Future<Output = ()>,
) -> Result<bool, Halt> {
    let (progress, cancel) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (done, mut answer) = oneshot::channel();
    context.disk.check(files, suspects, progress.clone(), cancel.clone(), move |result| {
        // Who asked may have been stopped meanwhile.
        let _gone = done.send(result);
    });
    let mut stopped = std::pin::pin!(stopped);
    loop {
        tokio::select! {
            result = &mut answer => return match result {
                Ok(Ok(_)) => Ok(true),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(Halt::Crashed),
            },
            () = stopped.as_mut() => {
                cancel.store(true, Ordering::Relaxed);
                return Ok(false);
            }
            () = tokio::time::sleep(LOOK) => show(progress.load(Ordering::Relaxed)),
        }
    }
}

/// Makes the place ready for what the user wants. A complete one is remembered at once, as it may be idle from here on.
pub(crate) async fn prepare(
    context: &Context,
    files: &Arc<TorrentFiles>,
    wishes: &[Priority],
    mut resume: Resume,
) -> Result<Resume, Halt> {
    let (files, wanted) = (files.clone(), wanted(wishes));
    let prepare = move || -> Result<Resume, StorageError> {
        files.prepare(wanted)?;
        if files.have().is_full() {
            save::log(resume.save(&files, resume.totals()));
        }
        Ok(resume)
    };
    Ok(on_disk(&context.disk, prepare).await.ok_or(Halt::Crashed)??)
}

/// Last touches, once everything wanted is there.
pub(crate) fn finish(context: &Context, files: &Arc<TorrentFiles>, wishes: &[Priority]) {
    let (files, wanted) = (files.clone(), wanted(wishes));
    context.disk.run(move || {
        if let Err(error) = files.finish(wanted) {
            tracing::warn!(error = &error as &dyn std::error::Error, "finishing files");
        }
    });
}

/// Which files are wanted: those without a wish are.
fn wanted(wishes: &[Priority]) -> impl Fn(FileIndex) -> bool + Send + 'static {
    let wishes = wishes.to_vec();
    move |file| wishes.get(file.0 as usize).is_none_or(|&wish| wish != Priority::Skip)
}
