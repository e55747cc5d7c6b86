//! Nobody's files are overwritten: what stands where a download will write must be an earlier part of that download.
//!
//! Files are ours if an earlier run left its state, or if at least one piece of the torrent is found in them. Empty files and
//! holes hold nothing that could be lost.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, mpsc};

use metainfo::{Bitfield, FileIndex, Info};
use storage::{Disk, Mode, StorageError, TorrentFiles, resume};

use super::Job;
use crate::commands::{storage_failure, threads};
use crate::failure::{Exit, Failure};
use crate::output::quote;

/// How much is hashed between two looks at the result. The first bytes of a real copy are right, so this is mostly all.
const STEP: u64 = 32 << 20;

/// Refuses to go on if a chosen file stands in the way. With `--force` makes room.
pub(super) fn check(job: &Job, info: &Info, chosen: &[bool]) -> Result<(), Failure> {
    let (folder, rename) = (&job.args.dir, job.args.output.as_deref());
    let top = rename.or_else(|| info.files().first()?.path.split('/').next()).unwrap_or_default();
    let resumes = resume::exists(job.state.path(), info.wire_hash(), folder, rename);
    if !folder.join(top).exists() || (resumes && !job.args.force) {
        return Ok(());
    }
    let info = Info::parse(info.raw()).map(Arc::new).map_err(|error| {
        Failure::new(Exit::Invalid, "the torrent's info dictionary is malformed").because(&error)
    })?;
    let files =
        TorrentFiles::open(Arc::clone(&info), folder.clone(), rename.map(ToOwned::to_owned), Mode::Seed)
            .map_err(|error| storage_failure("cannot look at what is there", &error))?;
    let there = in_the_way(&info, &files, chosen);
    let Some((_, first, _)) = there.first() else { return Ok(()) };
    if job.args.force {
        return there
            .iter()
            .try_for_each(|(file, path, length)| cut(path, *length, info.files()[file.0 as usize].length));
    }
    let longer = there.iter().find(|(file, _, length)| *length > info.files()[file.0 as usize].length);
    if longer.is_none() && holds_a_piece(&info, &files, &there)? {
        return Ok(());
    }
    let path = longer.map_or(first, |(_, path, _)| path);
    Err(Failure::new(Exit::Exists, format!("{} exists and is not part of this download", shown(path)))
        .hint(format!("use --force to replace it, or -d DIR, or {}", other_name(&info))))
}

/// Chosen files that exist and hold data: which, where, how long.
fn in_the_way(info: &Info, files: &TorrentFiles, chosen: &[bool]) -> Vec<(FileIndex, PathBuf, u64)> {
    let wanted = info.files().iter().zip(0u32..).filter(|(file, index)| {
        !file.pad && file.symlink.is_none() && chosen.get(*index as usize).copied().unwrap_or(true)
    });
    let there = wanted.filter_map(|(_, index)| {
        let path = files.path_of(FileIndex(index))?;
        let metadata = path.metadata().ok().filter(Metadata::is_file)?;
        (metadata.len() > 0 && metadata.blocks() > 0).then_some((FileIndex(index), path, metadata.len()))
    });
    there.collect()
}

fn holds_a_piece(
    info: &Info,
    files: &Arc<TorrentFiles>,
    there: &[(FileIndex, PathBuf, u64)],
) -> Result<bool, Failure> {
    let layout = info.layout();
    let mut pieces = Bitfield::none(layout.piece_count());
    for (file, ..) in there {
        for piece in layout.pieces_of(*file) {
            pieces.set(piece);
        }
    }
    let disk = Disk::start(threads(None));
    let step = usize::try_from(STEP / u64::from(layout.piece_length())).unwrap_or(1).max(1);
    let pieces: Vec<u32> = pieces.iter().collect();
    for run in pieces.chunks(step) {
        let mut some = Bitfield::none(layout.piece_count());
        for &piece in run {
            some.set(piece);
        }
        let (tell, told) = mpsc::channel();
        let (progress, cancel) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        disk.check(files, &some, progress, cancel, move |result| _ = tell.send(result));
        let good = told.recv().unwrap_or(Err(StorageError::Cancelled));
        if good.map_err(|error| storage_failure("cannot look at what is there", &error))?.count() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Files longer than the torrent says are cut; the rest is overwritten piece by piece. What a link leads to is somebody
/// else's: it stays, and the download refuses to write there.
fn cut(path: &Path, length: u64, expected: u64) -> Result<(), Failure> {
    let trouble = |error: std::io::Error| Failure::io("cut", path, &error);
    let linked =
        path.canonicalize().map_err(trouble)? != path || path.metadata().map_err(trouble)?.nlink() > 1;
    if linked || length <= expected {
        return Ok(());
    }
    let file = std::fs::OpenOptions::new().write(true).open(path);
    file.and_then(|file| file.set_len(expected)).map_err(trouble)
}

fn other_name(info: &Info) -> String {
    format!("-o {}", quote(Path::new(&format!("OTHER-{}", info.name()))))
}

/// Below the current folder, the path from there.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).ok();
    let short = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    short.unwrap_or(path).display().to_string()
}
