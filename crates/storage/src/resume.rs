//! What is remembered of a download between runs (the format is described in `docs/formats.md`).
//!
//! Owned by the torrent it belongs to, which saves at most every few seconds and at its end. The order is always: bytes, then
//! `fdatasync`, then the claim. So whatever a state file claims was durable before it was claimed; what was written after the last
//! save is found again by hashing.

mod format;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use metainfo::{Bitfield, FileIndex, InfoHash};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::error::{StorageError, failed};
use crate::files::TorrentFiles;
use crate::folder::canonical;
use crate::stamp::Stamp;
use format::{State, Unreadable};

/// The largest state file read: 32 MiB of info dictionary, 512 KiB of bitfield, 20 bytes a file, and the same again as log.
const MAX_STATE: u64 = 128 << 20;

/// How long the log of appended records may grow before the file is written anew, in bytes; a checkpoint of most torrents
/// is shorter.
const MAX_LOG: u64 = 256 << 10;

/// A file changed so shortly before a save may have been written by a piece that the save did not claim yet. Two seconds are
/// also the coarsest clock of any file system in use (FAT).
const SLACK_NS: i64 = 2_000_000_000;

/// Bytes moved for a torrent, over all its runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Payload bytes sent.
    pub uploaded: u64,
    /// Payload bytes received.
    pub downloaded: u64,
}

/// What the state of an earlier run is worth, given the files as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Pieces that are there: no need to look.
    pub have: Bitfield,
    /// Pieces that may be there: to be hashed before anybody is asked for them.
    pub recheck: Bitfield,
}

/// The state file of one torrent in one place, locked for as long as this value lives.
#[derive(Debug)]
pub struct Resume {
    path: PathBuf,
    /// Holds the lock; the kernel takes it back however the process ends.
    _lock: File,
    state: State,
    /// The file on disk cannot be appended to: it is missing, damaged, or says something that is no longer true.
    stale: bool,
    /// Bytes appended since the file was last written whole.
    log: u64,
}

impl Resume {
    /// Locks and reads the state of a torrent in a place. There may be none yet; one that is damaged beyond use counts as none.
    pub fn open(
        state_dir: &Path,
        hash: InfoHash,
        folder: &Path,
        rename: Option<&str>,
    ) -> Result<Self, StorageError> {
        let path = state_path(state_dir, hash, folder, rename)?;
        let parent = path.parent().unwrap_or(state_dir);
        fs::create_dir_all(parent).map_err(failed("create", parent))?;
        let lock = lock(&path.with_extension("lock"))?;
        let decoded = read_limited(&path)?.map(|bytes| State::decode(&bytes));
        let (state, rewrite) = match decoded {
            Some(Ok(state)) if state.hash == hash => {
                let rewrite = state.damaged || state.torn;
                (state, rewrite)
            }
            Some(Err(Unreadable::Newer(version))) => return Err(StorageError::Newer { path, version }),
            _ => (State::empty(hash, 0), true),
        };
        Ok(Self { path, _lock: lock, state, stale: rewrite, log: 0 })
    }

    /// The raw info dictionary, if the torrent began as a magnet link and got so far.
    pub fn info(&self) -> Option<&Bytes> {
        self.state.info.as_ref()
    }

    /// The totals at the last save.
    pub fn totals(&self) -> Totals {
        self.state.totals
    }

    /// Has the info dictionary saved along, so that a magnet link need not be resolved again.
    pub fn keep_info(&mut self, info: Bytes) {
        if self.state.info.as_ref() != Some(&info) {
            self.state.info = Some(info);
            self.stale = true;
        }
    }

    /// Compares the state with the files, and begins a session. The files are told what is had.
    pub fn attach(&mut self, files: &TorrentFiles) -> Result<Trust, StorageError> {
        let pieces = files.layout().piece_count();
        if self.state.claimed.len() != pieces {
            let info = self.state.info.take();
            self.state = State { info, ..State::empty(self.state.hash, pieces) };
            self.stale = true;
        }
        let trust = self.compare(files);
        files.trust(&trust.have);
        let ended = std::mem::take(&mut self.state.ended);
        if trust.have != self.state.claimed {
            // Whatever becomes of this session, the next one must not believe what this one does not.
            self.state.claimed = trust.have.clone();
            self.checkpoint()?;
        } else if ended && !self.stale {
            let mut began = Vec::new();
            format::push_session(&mut began, false);
            self.append(&began, false)?;
        }
        Ok(trust)
    }

    /// Makes what was written durable, and then claims it. Does nothing if nothing changed.
    pub fn save(&mut self, files: &TorrentFiles, totals: Totals) -> Result<(), StorageError> {
        self.save_as(files, totals, false)
    }

    /// Saves for the last time, when nothing is being written any more: the next run trusts files that are unchanged then.
    pub fn finish(&mut self, files: &TorrentFiles, totals: Totals) -> Result<(), StorageError> {
        self.save_as(files, totals, true)
    }

    /// Removes the state, for a torrent that is removed.
    pub fn remove(self) -> Result<(), StorageError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &self.path)(error)),
            _ => Ok(()),
        }
    }

    fn save_as(&mut self, files: &TorrentFiles, totals: Totals, ended: bool) -> Result<(), StorageError> {
        let now = now_ns();
        let (have, touched) = files.take_progress();
        let stamps = files.sync_files(&touched)?;
        let lost = have.lacks_any_of(&self.state.claimed);
        let gained: Vec<u32> = have.iter().filter(|&piece| !self.state.claimed.get(piece)).collect();
        let unchanged = gained.is_empty()
            && stamps.is_empty()
            && totals == self.state.totals
            && ended == self.state.ended;
        if unchanged && !lost && !self.stale {
            return Ok(());
        }
        self.state.stamps.extend(&stamps);
        self.state = State { claimed: have, totals, saved_ns: now, ended, ..self.take_state() };
        if self.stale || lost || self.log > MAX_LOG {
            return self.checkpoint();
        }
        let mut records = Vec::new();
        format::push_pieces(&mut records, gained);
        format::push_stamps(&mut records, &stamps);
        format::push_totals(&mut records, totals, now);
        format::push_session(&mut records, ended);
        self.append(&records, true)
    }

    fn take_state(&mut self) -> State {
        let empty = State::empty(self.state.hash, 0);
        std::mem::replace(&mut self.state, empty)
    }

    /// Appends records. Should that fail half-way, the next save writes the file anew.
    fn append(&mut self, records: &[u8], durably: bool) -> Result<(), StorageError> {
        self.stale = true;
        let mut file =
            OpenOptions::new().append(true).open(&self.path).map_err(failed("open", &self.path))?;
        file.write_all(records).map_err(failed("write", &self.path))?;
        if durably {
            file.sync_data().map_err(failed("sync", &self.path))?;
        }
        self.stale = false;
        self.log += records.len() as u64;
        Ok(())
    }

    /// Writes the file anew beside the old one, and puts it in its place when it is durable.
    fn checkpoint(&mut self) -> Result<(), StorageError> {
        self.stale = true;
        let new = self.path.with_extension("new");
        let mut file = File::create(&new).map_err(failed("create", &new))?;
        file.write_all(&self.state.encode()).map_err(failed("write", &new))?;
        file.sync_all().map_err(failed("sync", &new))?;
        fs::rename(&new, &self.path).map_err(failed("replace", &self.path))?;
        if let Some(parent) = self.path.parent() {
            File::open(parent).and_then(|folder| folder.sync_all()).map_err(failed("sync", parent))?;
        }
        (self.stale, self.log) = (false, 0);
        Ok(())
    }

    fn compare(&self, files: &TorrentFiles) -> Trust {
        let layout = files.layout();
        let mut trust =
            Trust { have: self.state.claimed.clone(), recheck: Bitfield::none(layout.piece_count()) };
        let mut gone = Vec::new();
        let slots = files.indices().zip(layout.files()).zip(files.stamps());
        for ((file, slot), stamp) in slots.filter(|((_, slot), _)| slot.length > 0 && !slot.pad) {
            let pieces = layout.pieces_of(file);
            let complete = pieces.clone().all(|piece| self.state.claimed.get(piece));
            match self.judge(file, stamp, slot.length, complete) {
                Change::Gone => gone.push(pieces),
                Change::None => {}
                Change::Ours => pieces
                    .filter(|&piece| !self.state.claimed.get(piece))
                    .for_each(|piece| _ = trust.recheck.set(piece)),
                Change::Foreign => pieces.for_each(|piece| {
                    trust.have.clear(piece);
                    trust.recheck.set(piece);
                }),
            }
        }
        for piece in gone.into_iter().flatten() {
            trust.have.clear(piece);
            trust.recheck.clear(piece);
        }
        trust
    }

    /// `complete`: every piece of the file is claimed, so that we never wrote to it after the save.
    fn judge(&self, file: FileIndex, stamp: Option<Stamp>, length: u64, complete: bool) -> Change {
        let Some(is) = stamp else { return Change::Gone };
        let Some(was) = self.state.stamps.get(&file).copied() else { return Change::Foreign };
        if is.size > length {
            return Change::Foreign;
        }
        if self.state.damaged {
            return if is == was { Change::Ours } else { Change::Foreign };
        }
        let grew = is.size >= was.size && is.mtime_ns >= was.mtime_ns;
        let fresh = is.mtime_ns >= self.state.saved_ns.saturating_sub(SLACK_NS);
        match self.state.ended {
            false if grew && fresh && !complete => Change::Ours,
            _ if is == was => Change::None,
            _ => Change::Foreign,
        }
    }
}

/// What happened to a file since its stamp was taken.
enum Change {
    /// It is not there.
    Gone,
    /// Nothing.
    None,
    /// We wrote on after the last save, and were killed: what is claimed stands, and more may be there.
    Ours,
    /// Somebody changed it, or we never saw it.
    Foreign,
}

/// Where the state of a torrent in a place is kept.
fn state_path(
    state_dir: &Path,
    hash: InfoHash,
    folder: &Path,
    rename: Option<&str>,
) -> Result<PathBuf, StorageError> {
    let mut place = Sha256::new();
    place.update(canonical(folder)?.as_os_str().as_bytes());
    place.update([0]);
    place.update(rename.unwrap_or_default());
    let mut first = [0; 8];
    first.copy_from_slice(&place.finalize()[..8]);
    Ok(state_dir.join("resume").join(format!("{hash}-{:016x}.hwr", u64::from_be_bytes(first))))
}

/// Whether an earlier run left a state file for a torrent in a place, so that files there are its own.
pub fn exists(state_dir: &Path, hash: InfoHash, folder: &Path, rename: Option<&str>) -> bool {
    state_path(state_dir, hash, folder, rename).is_ok_and(|path| path.exists())
}

/// Takes the lock, or says who has it. The file stays behind: removing it would race with whoever takes it next.
fn lock(path: &Path) -> Result<File, StorageError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed("open", path))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let read = file.read_to_string(&mut pid);
            return Err(StorageError::Locked {
                path: path.to_owned(),
                pid: read.ok().and(pid.trim().parse().ok()),
            });
        }
        Err(error) => return Err(failed("lock", path)(error)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed("write", path))?;
    Ok(file)
}

/// The whole file; `None` if there is none, or one no version of this program wrote.
fn read_limited(path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_STATE + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    Ok((bytes.len() as u64 <= MAX_STATE).then_some(bytes))
}

/// The time in nanoseconds since 1970, by the clock that stamps files.
fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
