//! The files of one torrent below their target folder: opening, preparing, reading and writing byte runs.
//!
//! Shared by disk threads: pieces are disjoint and every access names its position, so nothing here is locked but the notes on
//! what was written. It verifies nothing; whoever writes has verified.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use metainfo::{Bitfield, FileIndex, Info, Layout, PieceIndex, Span};
use rustix::io::Errno;

use crate::descriptors::{Descriptors, Key};
use crate::error::{StorageError, failed};
use crate::folder::{Access, Folder, canonical};
use crate::stamp::{Stamp, Survey};

/// How many slices one vectored write may have: `IOV_MAX` of Linux.
const MAX_SLICES: usize = 1024;

/// Files made durable one by one: each waits for the file system's journal, some milliseconds. For more of them the whole volume
/// is synced once, which may have to wait for what others write there.
const SYNCED_SINGLY: usize = 16;

/// What the files are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reading what the user already has. Links are followed, nothing is created or changed.
    Seed,
    /// Downloading: folders and files are created as pieces arrive, and links are refused.
    Fetch {
        /// How room is made for a file.
        allocate: Allocate,
        /// Whether a file that is longer than the torrent says is cut; otherwise it is an error.
        cut_longer: bool,
    },
}

impl Mode {
    /// Downloading as usual: sparse files, and no file of another length is touched.
    pub const FETCH: Self = Self::Fetch { allocate: Allocate::Sparse, cut_longer: false };
}

/// How room is made for a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allocate {
    /// The file has its full length from its first write on, and takes room as it fills.
    #[default]
    Sparse,
    /// The room is taken before the first byte is written.
    Full,
    /// The file grows as it is written.
    None,
}

/// The files of one torrent in one place.
pub struct TorrentFiles {
    /// Never used again for another torrent of this process.
    id: u64,
    info: Arc<Info>,
    layout: Arc<Layout>,
    folder: Folder,
    rename: Option<String>,
    mode: Mode,
    notes: Mutex<Notes>,
}

/// What is known to be right on disk, and where it may not be durable yet.
struct Notes {
    have: Bitfield,
    touched: BTreeSet<FileIndex>,
}

impl TorrentFiles {
    /// Names the place of a torrent's files: `folder`, and below it the torrent's name or what it is renamed to.
    ///
    /// A folder to download into is created; a folder to seed from must exist.
    pub fn open(
        info: Arc<Info>,
        folder: impl AsRef<Path>,
        rename: Option<String>,
        mode: Mode,
    ) -> Result<Arc<Self>, StorageError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if let Some(name) = rename.as_ref().filter(|name| name.contains('/') || name.is_empty()) {
            return Err(StorageError::UnsafePath(name.clone()));
        }
        let folder = folder.as_ref();
        if let Mode::Fetch { .. } = mode {
            fs::create_dir_all(folder).map_err(failed("create", folder))?;
        }
        let path = canonical(folder)?;
        if !path.metadata().map_err(failed("open", &path))?.is_dir() {
            return Err(StorageError::NotAFolder(path));
        }
        let layout = Arc::clone(info.layout());
        let notes = Notes { have: Bitfield::none(layout.piece_count()), touched: BTreeSet::new() };
        Ok(Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            info,
            layout,
            folder: Folder::new(path),
            rename,
            mode,
            notes: Mutex::new(notes),
        }))
    }

    /// The torrent.
    pub fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// The folder that everything lies below, absolute and without links.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the torrent's name is replaced by.
    pub fn rename(&self) -> Option<&str> {
        self.rename.as_deref()
    }

    /// Where a file is, or will be; `None` for a file the torrent does not have and for padding.
    pub fn path_of(&self, file: FileIndex) -> Option<PathBuf> {
        Some(self.folder.path().join(self.relative(file)?))
    }

    /// The pieces known to be on disk and right: written here, found by a check, or trusted by resume data.
    pub fn have(&self) -> Bitfield {
        self.notes().have.clone()
    }

    /// Makes the place ready for the files the user wants: empty files, symbolic links, and room where all of it is to be
    /// taken at once. Links standing where folders or files belong are refused here, before the first byte arrives.
    pub fn prepare(&self, wanted: impl Fn(FileIndex) -> bool) -> Result<(), StorageError> {
        let Mode::Fetch { allocate, .. } = self.mode else { return Ok(()) };
        let (mut inspected, mut folder_there) = (None, false);
        for (index, file) in self.wanted_files(&wanted) {
            let Some(path) = self.relative(index) else { continue };
            let parent = path.rsplit_once('/').map(|(parent, _)| parent.to_owned());
            if inspected.as_ref() != Some(&parent) {
                folder_there = self.folder.inspect_folders(&path)?;
                inspected = Some(parent);
            }
            if let Some(target) = &file.symlink {
                self.folder.link(&path, &upwards(&path, target))?;
                continue;
            }
            let full = self.folder.path().join(&path);
            let existing = if folder_there { fs::symlink_metadata(&full).ok() } else { None };
            if existing.as_ref().is_some_and(Metadata::is_symlink) {
                return Err(StorageError::Symlink(full));
            }
            if (file.length == 0 && existing.is_none()) || (file.length > 0 && allocate == Allocate::Full) {
                self.open_file(index, true)?;
            }
        }
        Ok(())
    }

    /// Last touches on files the user wants and has: the executable bit (BEP 47).
    pub fn finish(&self, wanted: impl Fn(FileIndex) -> bool) -> Result<(), StorageError> {
        let Mode::Fetch { .. } = self.mode else { return Ok(()) };
        for (index, _) in
            self.wanted_files(&wanted).filter(|(_, file)| file.executable && file.symlink.is_none())
        {
            let Some(path) = self.path_of(index) else { continue };
            let open = self.open_file(index, false)?;
            let mode = open.metadata().map_err(failed("open", &path))?.mode();
            // Whoever may read it may run it.
            let executable = mode | (mode & 0o444) >> 2;
            if executable != mode {
                open.set_permissions(Permissions::from_mode(executable)).map_err(failed("change", &path))?;
            }
        }
        Ok(())
    }

    /// The stamp of a file as it is at this moment; `None` if there is no such file.
    pub fn stamp(&self, file: FileIndex) -> Option<Stamp> {
        let metadata = self.look(&self.path_of(file)?).ok();
        metadata.filter(Metadata::is_file).as_ref().map(Stamp::of)
    }

    /// The stamps of all files in the order of the torrent.
    pub fn stamps(&self) -> Vec<Option<Stamp>> {
        let mut survey = Survey::below(self.folder.path());
        let mut look = |index| survey.look(&self.path_of(index)?, |path| self.look(path));
        let metadata = self.indices().map(|index| look(index).filter(Metadata::is_file));
        metadata.map(|metadata| metadata.as_ref().map(Stamp::of)).collect()
    }

    fn look(&self, path: &Path) -> io::Result<Metadata> {
        match self.mode {
            Mode::Seed => fs::metadata(path),
            Mode::Fetch { .. } => fs::symlink_metadata(path),
        }
    }

    /// Takes a piece back that turned out to be missing or damaged.
    pub fn lost(&self, piece: PieceIndex) {
        self.notes().have.clear(piece.0);
    }

    /// Makes everything written so far durable.
    pub fn sync(&self) -> Result<(), StorageError> {
        let touched = self.take_progress().1;
        self.sync_files(&touched).map(drop)
    }

    /// Makes the bytes of some files durable (what is only seeded is not ours to sync), and gives their stamps; if that fails they stay
    /// noted as not durable.
    pub(crate) fn sync_files(
        &self,
        files: &BTreeSet<FileIndex>,
    ) -> Result<BTreeMap<FileIndex, Stamp>, StorageError> {
        let look = |&index| {
            let path = self.path_of(index).unwrap_or_default();
            let metadata = self.look(&path).ok().filter(Metadata::is_file)?;
            Some((index, (Stamp::of(&metadata), metadata.dev())))
        };
        let looked: BTreeMap<FileIndex, (Stamp, u64)> = files.iter().filter_map(look).collect();
        let synced = match self.mode {
            Mode::Seed => Ok(()),
            Mode::Fetch { .. } if files.len() <= SYNCED_SINGLY => {
                files.iter().try_for_each(|&index| self.sync_with(index, File::sync_data))
            }
            Mode::Fetch { .. } => self.sync_volumes(files, &looked),
        };
        if let Err(error) = synced {
            self.notes().touched.extend(files);
            return Err(error);
        }
        Ok(looked.into_iter().map(|(index, (stamp, _))| (index, stamp)).collect())
    }

    /// Makes everything durable on the volumes that some files are on; `looked` has the volume of each that is there.
    fn sync_volumes(
        &self,
        files: &BTreeSet<FileIndex>,
        looked: &BTreeMap<FileIndex, (Stamp, u64)>,
    ) -> Result<(), StorageError> {
        let mut volumes = BTreeSet::new();
        for &index in files {
            // One that is missing is opened, which says what is wrong.
            if looked.get(&index).is_none_or(|&(_, volume)| volumes.insert(volume)) {
                self.sync_with(index, |file| Ok(rustix::fs::syncfs(file)?))?;
            }
        }
        Ok(())
    }

    fn sync_with(
        &self,
        index: FileIndex,
        sync: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<(), StorageError> {
        let file = self.open_file(index, false)?;
        sync(&file).map_err(|error| failed("sync", &self.path_of(index).unwrap_or_default())(error))
    }

    /// The pieces that are right on disk, and the files whose bytes may not be durable; these are forgotten here.
    pub(crate) fn take_progress(&self) -> (Bitfield, BTreeSet<FileIndex>) {
        let mut notes = self.notes();
        (notes.have.clone(), std::mem::take(&mut notes.touched))
    }

    /// Notes a piece as right on disk, but not necessarily durable.
    pub(crate) fn found(&self, piece: PieceIndex) {
        let files = self.layout.piece_spans(piece).filter(|span| !span.pad).map(|span| span.file);
        let mut notes = self.notes();
        notes.have.set(piece.0);
        notes.touched.extend(files);
    }

    /// Takes over what resume data say.
    pub(crate) fn trust(&self, have: &Bitfield) {
        self.notes().have = have.clone();
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = FileIndex> + use<> {
        (0..u32::try_from(self.layout.files().len()).unwrap_or(u32::MAX)).map(FileIndex)
    }

    /// Fills `buffer` with a run of a file.
    pub(crate) fn read(
        &self,
        descriptors: &Descriptors,
        owner: &Arc<Self>,
        span: Span,
        buffer: &mut [u8],
    ) -> Result<(), StorageError> {
        if span.pad {
            buffer.fill(0);
            return Ok(());
        }
        let file = self.descriptor(descriptors, owner, span.file, false)?;
        file.read_exact_at(buffer, span.offset).map_err(|error| {
            let path = self.path_of(span.file).unwrap_or_default();
            match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    StorageError::Shorter { path, wanted: span.offset + u64::from(span.length) }
                }
                _ => failed("read", &path)(error),
            }
        })
    }

    /// Writes a verified piece: one vectored write for each file it touches.
    pub(crate) fn write(
        &self,
        descriptors: &Descriptors,
        owner: &Arc<Self>,
        piece: PieceIndex,
        blocks: &[Bytes],
    ) -> Result<(), StorageError> {
        let mut rest = Cursor { blocks, at: 0 };
        for span in self.layout.piece_spans(piece) {
            let slices = rest.take(span.length as usize);
            if !span.pad {
                let file = self.descriptor(descriptors, owner, span.file, true)?;
                let path = || self.path_of(span.file).unwrap_or_default();
                write_all(&file, slices, span.offset).map_err(|error| failed("write", &path())(error))?;
            }
        }
        Ok(())
    }

    /// The open file, kept open for the next one who asks.
    pub(crate) fn descriptor(
        &self,
        descriptors: &Descriptors,
        owner: &Arc<Self>,
        file: FileIndex,
        write: bool,
    ) -> Result<Arc<File>, StorageError> {
        descriptors.get(Key { torrent: self.id, file, write }, owner, || self.open_file(file, write))
    }

    fn open_file(&self, index: FileIndex, write: bool) -> Result<File, StorageError> {
        let unknown = || StorageError::UnsafePath(format!("file {}", index.0));
        let path = self.relative(index).ok_or_else(unknown)?;
        match self.mode {
            Mode::Seed if write => Err(StorageError::ReadOnly(self.folder.path().join(path))),
            Mode::Seed => Ok(self.folder.open(&path, Access::ReadThroughLinks)?.0),
            Mode::Fetch { .. } if !write => Ok(self.folder.open(&path, Access::Read)?.0),
            Mode::Fetch { allocate, cut_longer } => {
                let (file, metadata) = self.folder.open(&path, Access::Write)?;
                let length = self.layout.files().get(index.0 as usize).map_or(0, |slot| slot.length);
                let full = self.folder.path().join(path);
                make_room(&file, &metadata, &full, length, allocate, cut_longer)?;
                Ok(file)
            }
        }
    }

    /// The '/'-joined path below the folder; `None` for padding and unknown files.
    fn relative(&self, index: FileIndex) -> Option<String> {
        let file = self.info.files().get(index.0 as usize).filter(|file| !file.pad)?;
        let Some(name) = &self.rename else { return Some(file.path.to_string()) };
        Some(match file.path.split_once('/') {
            Some((_, rest)) => format!("{name}/{rest}"),
            None => name.clone(),
        })
    }

    fn wanted_files(
        &self,
        wanted: impl Fn(FileIndex) -> bool,
    ) -> impl Iterator<Item = (FileIndex, &metainfo::File)> {
        self.indices().zip(self.info.files()).filter(move |(index, file)| !file.pad && wanted(*index))
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TorrentFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TorrentFiles")
            .field("folder", &self.folder.path())
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// Gives a file that is about to be written its length, and refuses one that is not ours to change.
fn make_room(
    file: &File,
    metadata: &Metadata,
    path: &Path,
    length: u64,
    allocate: Allocate,
    cut_longer: bool,
) -> Result<(), StorageError> {
    if metadata.nlink() > 1 {
        return Err(StorageError::HardLink { path: path.to_owned(), others: metadata.nlink() - 1 });
    }
    let found = metadata.len();
    if found > length {
        let refused = StorageError::Longer { path: path.to_owned(), found, expected: length };
        return if cut_longer { file.set_len(length).map_err(failed("cut", path)) } else { Err(refused) };
    }
    // A file of full length may still be sparse; blocks it has already are not touched by allocating.
    if allocate == Allocate::Full && length > 0 && metadata.blocks().saturating_mul(512) < length {
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            other => return other.map_err(failed("allocate", path)),
        }
    }
    if found < length && allocate != Allocate::None {
        file.set_len(length).map_err(failed("extend", path))?;
    }
    Ok(())
}

/// The text of a link at `path` that leads to `target`, which counts from the torrent's own folder.
fn upwards(path: &str, target: &str) -> String {
    let ups = path.split('/').count().saturating_sub(2);
    "../".repeat(ups) + target
}

fn write_all(file: &File, mut slices: Vec<IoSlice<'_>>, mut offset: u64) -> io::Result<()> {
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        match rustix::io::pwritev(file, &rest[..rest.len().min(MAX_SLICES)], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Walks over the bytes of a piece that arrived in blocks.
struct Cursor<'a> {
    blocks: &'a [Bytes],
    /// Bytes of the first block that are already taken.
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, mut length: usize) -> Vec<IoSlice<'a>> {
        let mut slices = Vec::with_capacity(self.blocks.len().min(length / 1024 + 2));
        while length > 0
            && let Some((first, others)) = self.blocks.split_first()
        {
            let left = &first[self.at..];
            let now = &left[..left.len().min(length)];
            if !now.is_empty() {
                slices.push(IoSlice::new(now));
            }
            length -= now.len();
            self.at += now.len();
            if self.at == first.len() {
                (self.blocks, self.at) = (others, 0);
            }
        }
        slices
    }
}

#[cfg(test)]
mod tests;
