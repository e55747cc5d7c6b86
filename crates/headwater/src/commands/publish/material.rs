//! From a path to what is published of it: the torrent, where its data lie, and the SHA-256 of each file.
//!
//! What was hashed once is kept in the state folder and used again as long as no file has changed, so that publishing the same
//! files again hashes nothing. Whoever publishes calls [`prepare`]; it blocks while it hashes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use metainfo::Metainfo;
use publish::checksum::sha256_file;
use publish::names::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::seed::torrent_at;
use super::super::{Context, Place, create, locate, threads, with_meter};
use crate::args::FormatArg;
use crate::config::replace_file;
use crate::failure::{Exit, Failure};
use crate::source;

/// The version of the files in `published/`.
const SCHEMA: u32 = 1;

/// What is published of one path.
#[derive(Clone, Debug)]
pub(crate) struct Material {
    /// As it was made or read: without our tracker and web seed.
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) place: Place,
    /// One for each file of [`metainfo::Info::files`]; padding and links have none.
    pub(crate) sha256: Vec<Option<[u8; 32]>>,
    /// When it was published first.
    pub(crate) published: Timestamp,
    /// The names, sizes and times of all files, hashed.
    stamp: String,
}

/// What is remembered of an earlier run.
#[derive(Serialize, Deserialize)]
struct Kept {
    schema: u32,
    /// The names, sizes and times of all files, hashed.
    stamp: String,
    hash: String,
    sha256: Vec<Option<String>>,
    /// In seconds since 1970.
    published: i64,
}

impl Material {
    /// Whether both look the same to people: torrent, files and their times.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.stamp == other.stamp && self.metainfo.raw() == other.metainfo.raw()
    }
}

/// Looks at a path and hashes what has changed since the last run.
pub(crate) fn prepare(context: &Context, path: &Path, format: FormatArg) -> Result<Material, Failure> {
    if !path.exists() {
        return Err(Failure::new(Exit::NotFound, format!("{} does not exist", path.display())));
    }
    match torrent_at(path)? {
        Some(metainfo) => of_torrent(context, path, metainfo),
        None => of_files(context, path, format),
    }
}

fn of_torrent(context: &Context, path: &Path, metainfo: Arc<Metainfo>) -> Result<Material, Failure> {
    let place = locate(&metainfo.info, None, Some(path))?;
    let hash = metainfo.info.wire_hash().to_string();
    let files = on_disk(&metainfo, &place);
    let stamp = stamp(&hash, files.iter().flatten().map(PathBuf::as_path))?;
    let file = kept_file(context, path, &hash);
    if let Some(kept) = recall(&file).filter(|kept| kept.stamp == stamp) {
        return Ok(Material {
            sha256: digests(&kept, files.len()),
            published: kept.published(),
            metainfo,
            place,
            stamp,
        });
    }
    let (sha256, published) = (sums(context, &metainfo, &files)?, Timestamp::now());
    remember(&file, &Kept::new(stamp.clone(), hash, &sha256, published))?;
    Ok(Material { metainfo, place, sha256, published, stamp })
}

fn of_files(context: &Context, path: &Path, format: FormatArg) -> Result<Material, Failure> {
    let full = path.canonicalize().map_err(|error| Failure::io("open", path, &error))?;
    let folder = full.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    let place = Place { folder, rename: None };
    let plan = create::plan_for(&create::usual(&full, format))?;
    let paths: Vec<PathBuf> = plan.sources().map(|(path, _)| path.to_owned()).collect();
    let stamp = stamp(&format!("{format:?}"), paths.iter().map(PathBuf::as_path))?;
    let file = kept_file(context, &full, &format!("{format:?}"));
    if let Some(kept) = recall(&file).filter(|kept| kept.stamp == stamp)
        && let Ok(metainfo) = source::read(&context.state.torrent_path(&kept.hash))
    {
        let sha256 = digests(&kept, metainfo.info.files().len());
        return Ok(Material { metainfo, place, sha256, published: kept.published(), stamp });
    }
    let builder = create::make_of(context, plan)?;
    let metainfo = source::parse(create::encode(&builder, &full)?.into(), &full.display().to_string())?;
    let hash = metainfo.info.wire_hash().to_string();
    context.state.keep_torrent(&hash, metainfo.raw())?;
    let sha256 = sums(context, &metainfo, &on_disk(&metainfo, &place))?;
    // The files as they were before anything was read of them: whoever wrote meanwhile makes the next run hash again.
    let published = Timestamp::now();
    remember(&file, &Kept::new(stamp.clone(), hash, &sha256, published))?;
    Ok(Material { metainfo, place, sha256, published, stamp })
}

/// Where each file lies; padding and links are nowhere.
fn on_disk(metainfo: &Metainfo, place: &Place) -> Vec<Option<PathBuf>> {
    let info = &metainfo.info;
    let path = |file: &metainfo::File| {
        let below = file.path.split_once('/').map(|(_, below)| below).filter(|_| !info.single_file());
        let top = place.folder.join(place.rename.as_deref().unwrap_or(info.name()));
        below.map_or_else(|| top.clone(), |below| top.join(below))
    };
    info.files().iter().map(|file| (!file.pad && file.symlink.is_none()).then(|| path(file))).collect()
}

/// Changes when a file is added, removed, replaced or written to.
fn stamp<'a>(begin: &str, files: impl Iterator<Item = &'a Path>) -> Result<String, Failure> {
    use std::os::unix::fs::MetadataExt;
    let mut hasher = Sha256::new();
    hasher.update(begin);
    for path in files {
        let metadata = std::fs::metadata(path).map_err(|error| Failure::io("open", path, &error))?;
        let numbers = [metadata.len(), metadata.ino(), metadata.mtime().cast_unsigned()];
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update([0]);
        for number in numbers {
            hasher.update(number.to_le_bytes());
        }
        hasher.update(metadata.mtime_nsec().to_le_bytes());
    }
    Ok(hex(&hasher.finalize()))
}

/// Where what is remembered of a path lies; `how` tells apart different torrents of the same files.
fn kept_file(context: &Context, path: &Path, how: &str) -> PathBuf {
    let mut hasher = Sha256::new();
    hasher.update(path.as_os_str().as_encoded_bytes());
    hasher.update([0]);
    hasher.update(how);
    context.state.path().join("published").join(format!("{}.json", &hex(&hasher.finalize())[..32]))
}

/// What was remembered; whatever cannot be read is forgotten.
fn recall(file: &Path) -> Option<Kept> {
    let kept: Kept = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    (kept.schema == SCHEMA).then_some(kept)
}

fn remember(file: &Path, kept: &Kept) -> Result<(), Failure> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Failure::io("create", folder, &error))?;
    }
    let bytes = serde_json::to_vec(kept)
        .map_err(|error| Failure::new(Exit::Other, "cannot remember what was hashed").because(&error))?;
    replace_file(file, &bytes)
}

impl Kept {
    fn new(stamp: String, hash: String, sha256: &[Option<[u8; 32]>], published: Timestamp) -> Self {
        let sha256 = sha256.iter().map(|digest| digest.map(|digest| hex(&digest))).collect();
        Self { schema: SCHEMA, stamp, hash, sha256, published: published.as_second() }
    }

    fn published(&self) -> Timestamp {
        Timestamp::from_second(self.published).unwrap_or_else(|_| Timestamp::now())
    }
}

fn digests(kept: &Kept, count: usize) -> Vec<Option<[u8; 32]>> {
    let read = |text: &Option<String>| metainfo::InfoHashV2::from_hex(text.as_deref()?).map(|hash| hash.0);
    let mut digests: Vec<_> = kept.sha256.iter().map(read).collect();
    digests.resize(count, None);
    digests
}

/// The SHA-256 of every file, several files at a time.
fn sums(
    context: &Context,
    metainfo: &Metainfo,
    files: &[Option<PathBuf>],
) -> Result<Vec<Option<[u8; 32]>>, Failure> {
    let total = metainfo.info.layout().content_length();
    let (progress, next) = (AtomicU64::new(0), AtomicUsize::new(0));
    let results = Mutex::new(files.iter().map(|_| Ok(None)).collect::<Vec<_>>());
    let work = || {
        while let Some(at) = Some(next.fetch_add(1, Relaxed)).filter(|&at| at < files.len()) {
            let Some(path) = &files[at] else { continue };
            let sum =
                sha256_file(path, &progress).map(Some).map_err(|error| Failure::io("read", path, &error));
            results.lock().unwrap_or_else(PoisonError::into_inner)[at] = sum;
        }
    };
    let all = || {
        std::thread::scope(|scope| {
            for _ in 0..threads(None).min(files.len()) {
                scope.spawn(work);
            }
        });
    };
    with_meter(&context.output, &format!("SHA-256 of {}", metainfo.info.name()), total, &progress, all);
    results.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect()
}
