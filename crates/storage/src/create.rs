//! A new torrent from files: choosing them, hashing them once with all threads, and handing the hashes to `metainfo`'s builder.
//!
//! Whoever makes a torrent calls [`plan`], may show it, and has it hashed. The same files give the same result, whatever the number
//! of threads. Trackers, comments and dates are for the caller to add to the builder.

mod hashing;
mod walk;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;

use metainfo::{BuildError, Builder, Format, NewFile, Outer, PieceIndex, merkle, piece_length};

use crate::stamp::Stamp;
use hashing::PieceHash;
pub use walk::Skipped;
use walk::{Found, Selection, Tree, single};

/// What is made into a torrent, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// A file, or a folder with all that lies below it.
    pub path: PathBuf,
    /// The name in the torrent; otherwise that of the path.
    pub name: Option<String>,
    /// Bytes of a piece; otherwise chosen by size.
    pub piece_length: Option<u32>,
    /// Which hashes are computed.
    pub format: Format,
    /// If not empty, only files that match one of these globs are taken. They match '/'-joined paths below the root.
    pub include: Vec<String>,
    /// Files and folders that match one of these globs are left out.
    pub exclude: Vec<String>,
    /// Take entries whose name begins with a dot.
    pub hidden: bool,
    /// What becomes of symbolic links.
    pub symlinks: Symlinks,
}

/// What becomes of symbolic links in a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Symlinks {
    /// What they lead to is taken in their place.
    #[default]
    Follow,
    /// They are links in the torrent too (BEP 47), if they stay inside.
    Keep,
    /// They are left out.
    Skip,
}

/// Why files give no torrent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The operating system refused.
    #[error("cannot read {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// The reason the system gave.
        #[source]
        source: io::Error,
    },
    /// Torrents have text for names, and this is none (UTF-8).
    #[error("the name of {} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// Neither a file nor a folder.
    #[error("{} is neither a file nor a folder", .0.display())]
    Neither(PathBuf),
    /// The tree has more levels than any reader accepts.
    #[error("{} lies too deep", .0.display())]
    TooDeep(PathBuf),
    /// Nothing to put into a torrent.
    #[error("no files to take in {}", .0.display())]
    Nothing(PathBuf),
    /// A pattern is no glob.
    #[error("not a glob")]
    Glob(#[source] globset::Error),
    /// A file was written to meanwhile, so that its hashes would be wrong.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    /// The files or the options make no torrent.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The caller asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

impl CreateError {
    fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Read { path: path.to_owned(), source }
    }
}

/// What is going to be hashed.
#[derive(Debug)]
pub struct Plan {
    builder: Builder,
    sources: Vec<Source>,
    skipped: Vec<Skipped>,
}

/// Where a file of the torrent is read from.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    stamp: Stamp,
    link: bool,
}

/// Finds the files and decides the piece length. Reads no contents.
pub fn plan(options: &Options) -> Result<Plan, CreateError> {
    let root = options.path.canonicalize().map_err(CreateError::read(&options.path))?;
    let metadata = fs::metadata(&root).map_err(CreateError::read(&root))?;
    let own_name = || root.file_name().unwrap_or(root.as_os_str()).to_str().map(ToOwned::to_owned);
    let name = options.name.clone().or_else(own_name).ok_or_else(|| CreateError::NotText(root.clone()))?;
    let Tree { files, skipped } = if metadata.is_file() {
        Tree { files: vec![single(&root, &metadata, name.clone())], skipped: Vec::new() }
    } else if metadata.is_dir() {
        let selection = Selection::new(&options.include, &options.exclude, options.hidden, options.symlinks)?;
        walk::walk(&root, &selection)?
    } else {
        return Err(CreateError::Neither(root));
    };
    if files.is_empty() {
        return Err(CreateError::Nothing(root));
    }
    let sizes: Vec<u64> = files.iter().map(|file| file.stamp.size).collect();
    let total = sizes.iter().sum();
    let (files, sources) = files.into_iter().map(divide).unzip();
    let builder = Builder {
        name,
        piece_length: options
            .piece_length
            .unwrap_or_else(|| piece_length::choose(total, &sizes, options.format)),
        format: options.format,
        single_file: metadata.is_file(),
        files,
        v1_pieces: Vec::new(),
        private: false,
        source: None,
        similar: Vec::new(),
        update_url: None,
        outer: Outer::default(),
    };
    builder.layout()?;
    Ok(Plan { builder, sources, skipped })
}

impl Plan {
    /// What the torrent will say, as far as it is known without hashing.
    pub fn builder(&self) -> &Builder {
        &self.builder
    }

    /// Bytes to be read.
    pub fn total(&self) -> u64 {
        self.builder.files.iter().map(|file| file.length).sum()
    }

    /// What was left out though nobody asked for that.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Where each file of the torrent lies, in the torrent's order, and how it was when the plan was made.
    pub fn sources(&self) -> impl Iterator<Item = (&Path, Stamp)> {
        self.sources.iter().map(|source| (source.path.as_path(), source.stamp))
    }

    /// Reads and hashes everything once. `progress` grows by the bytes hashed; setting `cancel` ends it soon.
    pub fn hash(
        mut self,
        threads: usize,
        progress: &AtomicU64,
        cancel: &AtomicBool,
    ) -> Result<Builder, CreateError> {
        let layout = self.builder.layout()?;
        let hashes = hashing::hash_pieces(&self, &layout, threads, progress, cancel)?;
        self.refuse_changed()?;
        self.builder.v1_pieces = hashes.iter().filter_map(|hash| hash.sha1).flatten().collect();
        if self.builder.format != Format::V1 {
            let slots = layout.files().iter().zip(0..).filter(|(slot, _)| !slot.pad);
            for (file, (_, index)) in self.builder.files.iter_mut().zip(slots) {
                let pieces = layout.pieces_of(metainfo::FileIndex(index));
                let roots = hashes.get(pieces.start as usize..pieces.end as usize).unwrap_or_default();
                set_tree(file, roots, self.builder.piece_length);
            }
        }
        Ok(self.builder)
    }

    fn refuse_changed(&self) -> Result<(), CreateError> {
        let unchanged = |source: &Source| {
            let now =
                if source.link { fs::symlink_metadata(&source.path) } else { fs::metadata(&source.path) };
            let same = now.is_ok_and(|now| {
                let now = Stamp::of(&now);
                now.mtime_ns == source.stamp.mtime_ns && (source.link || now.size == source.stamp.size)
            });
            if same { Ok(()) } else { Err(CreateError::Changed(source.path.clone())) }
        };
        side_by_side(self.sources.iter().collect(), unchanged)?;
        Ok(())
    }
}

/// Files that are worth another thread: to look at so many takes a millisecond.
const PER_THREAD: usize = 512;

/// What `look` makes of each of them, in their order, with as many threads as there are cores; or the first of its errors.
fn side_by_side<T: Send, R: Send>(
    mut items: Vec<T>,
    look: impl Fn(T) -> Result<R, CreateError> + Sync,
) -> Result<Vec<R>, CreateError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(threads).max(PER_THREAD);
    let all = |items: Vec<T>| items.into_iter().map(&look).collect::<Result<Vec<_>, _>>();
    thread::scope(|scope| {
        let mut others = Vec::new();
        while items.len() > share {
            let last = items.split_off((items.len() - 1) / share * share);
            others.push(scope.spawn(|| all(last)));
        }
        let mut looked = all(items)?;
        for other in others.into_iter().rev() {
            looked.extend(other.join().expect("looking does not panic")?);
        }
        Ok(looked)
    })
}

/// A file as the torrent sees it, and as the disk does.
fn divide(found: Found) -> (NewFile, Source) {
    let Found { path, on_disk, stamp, executable, link } = found;
    let source = Source { path: on_disk, stamp, link: link.is_some() };
    let new = NewFile { path, length: stamp.size, executable, symlink: link, ..NewFile::default() };
    (new, source)
}

/// Gives a file its root, and its piece layer if it is longer than a piece (BEP 52).
fn set_tree(file: &mut NewFile, pieces: &[PieceHash], piece_length: u32) {
    let roots = || pieces.iter().filter_map(|piece| piece.root);
    if file.length > u64::from(piece_length) {
        file.layer = roots().collect();
        file.root = Some(merkle::root_of_layer(roots(), piece_length));
    } else {
        file.root = roots().next();
    }
}

/// Which layout file is which file of the plan.
fn sources_by_slot(layout: &metainfo::Layout) -> BTreeMap<u32, usize> {
    layout.files().iter().zip(0u32..).filter(|(slot, _)| !slot.pad).map(|(_, index)| index).zip(0..).collect()
}

/// How many leaves the tree over a piece has: a file of one piece has only as many as it needs.
fn tree_width(layout: &metainfo::Layout, piece: PieceIndex) -> u64 {
    let file = layout.piece_spans(piece).find(|span| !span.pad).map(|span| span.file);
    let length = file.and_then(|file| layout.files().get(file.0 as usize)).map_or(0, |slot| slot.length);
    if length > u64::from(layout.piece_length()) {
        u64::from(layout.piece_length() / metainfo::BLOCK)
    } else {
        0
    }
}

#[cfg(test)]
mod tests;
