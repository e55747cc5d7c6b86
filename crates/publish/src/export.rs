//! The site as plain files, for a web server of its own: pages, torrents, and the releases' files.
//!
//! A folder belongs to whoever made it: a list of what was written (`.headwater-export.json`) tells ours from theirs, and theirs are
//! not touched unless that is asked for. What is there already and unchanged is left alone; what was withdrawn is removed. Files of
//! releases are hard links where the file system can, else copies. Blocks: call it on a thread of its own.

mod servers;

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use storage::Stamp;

use crate::catalogue::Catalogue;
use crate::page::Settings;
use crate::shelf::{Item, stock};
use crate::theme::{Theme, ThemeError};

pub use servers::{ServerSnippets, server_snippets};

/// The list of what an export wrote, in its folder.
pub const MANIFEST: &str = ".headwater-export.json";

/// What a file is called until it is whole.
const UNFINISHED: &str = ".headwater-export.tmp";

/// What an export did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that were as they should be.
    pub unchanged: usize,
    /// Pages, torrents and lists that were written.
    pub written: usize,
    /// Files of releases that are hard links.
    pub linked: usize,
    /// Files of releases that had to be copied.
    pub copied: usize,
    /// Files of earlier exports that were removed.
    pub removed: usize,
    /// Files that only their owner's group may read, so that a web server will not give them.
    pub private: Vec<PathBuf>,
}

/// Why an export was not made, or not wholly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Something is there that no export of ours wrote.
    #[error("{} is there already and was not exported by Headwater", .0.display())]
    Occupied(PathBuf),
    /// A file of a release is not where it should be.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// The list of what was exported is not one.
    #[error("{} is damaged", .0.display())]
    Manifest(PathBuf),
    /// The pages could not be made.
    #[error(transparent)]
    Theme(#[from] ThemeError),
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// The reason the system gave.
        #[source]
        source: io::Error,
    },
}

/// What an export wrote: paths below its folder, and for files of releases how their source was.
#[derive(Default, Serialize, Deserialize)]
struct Manifest {
    files: BTreeMap<String, Option<Source>>,
}

/// A source's size and time of change.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    size: u64,
    mtime_ns: i64,
}

/// What a file is made from.
enum Make {
    Bytes(Bytes),
    File(PathBuf, Source),
    Zeros(u64),
}

/// Writes the site to a folder, which is created. `force`: also over files that are not ours.
pub fn export(
    settings: &Settings,
    theme: &Theme,
    catalogue: &Catalogue,
    folder: &Path,
    force: bool,
) -> Result<Report, ExportError> {
    let plan = plan(settings, theme, catalogue)?;
    fs::create_dir_all(folder).map_err(failed("create", folder))?;
    let old = Manifest::read(folder)?;
    if !force {
        let theirs = plan.keys().filter(|path| !old.files.contains_key(*path));
        if let Some(path) = theirs.map(|path| folder.join(path)).find(|path| path.symlink_metadata().is_ok())
        {
            return Err(ExportError::Occupied(path));
        }
    }
    let new = Manifest { files: plan.iter().map(|(path, make)| (path.clone(), make.source())).collect() };
    // Written first with all that may be there afterwards: should we be interrupted, the next export knows it for ours. What
    // is not yet made from its new source must not look as if it were.
    let mut both: BTreeMap<_, _> = new.files.keys().map(|path| (path.clone(), None)).collect();
    both.extend(old.files.clone());
    Manifest { files: both }.write(folder)?;
    let mut report = Report::default();
    for (path, make) in &plan {
        let known = old.files.get(path).copied().flatten();
        put(&folder.join(path), make, known, &mut report)?;
    }
    for path in old.files.keys().filter(|path| !plan.contains_key(*path)) {
        remove(folder, path)?;
        report.removed += 1;
    }
    new.write(folder)?;
    Ok(report)
}

/// What is to be where.
fn plan(
    settings: &Settings,
    theme: &Theme,
    catalogue: &Catalogue,
) -> Result<BTreeMap<String, Make>, ExportError> {
    let mut plan = BTreeMap::new();
    for (path, item) in stock(settings, theme, catalogue, false)? {
        if let Item::Page(page) = item {
            let index = if path.ends_with('/') { "index.html" } else { "" };
            plan.insert(format!("{}{index}", path.trim_start_matches('/')), Make::Bytes(page.body));
        }
    }
    for release in catalogue.releases() {
        let place = |path: &str| format!("files/{}/{path}", release.slug);
        for file in &release.files {
            let stamp = file.stamp.ok_or_else(|| ExportError::Missing(file.on_disk.clone()))?;
            plan.insert(place(&file.path), Make::File(file.on_disk.clone(), stamp.into()));
        }
        for padding in &release.padding {
            plan.insert(place(&padding.path), Make::Zeros(padding.size));
        }
    }
    Ok(plan)
}

/// Makes a file unless it is as it should be already.
fn put(target: &Path, make: &Make, known: Option<Source>, report: &mut Report) -> Result<(), ExportError> {
    let there = target.symlink_metadata().ok().filter(Metadata::is_file);
    if there.is_some_and(|there| make.is_done(target, &there, known)) {
        report.unchanged += 1;
    } else {
        let folder = target.parent().unwrap_or(target);
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
        let unfinished = folder.join(UNFINISHED);
        remove_file(&unfinished)?;
        match make {
            Make::Bytes(bytes) => {
                fs::write(&unfinished, bytes).map_err(failed("write", target))?;
                report.written += 1;
            }
            Make::Zeros(size) => {
                let zeros = fs::File::create(&unfinished).and_then(|file| file.set_len(*size));
                zeros.map_err(failed("write", target))?;
                report.written += 1;
            }
            Make::File(source, _) => {
                // A link to a link would be a link.
                let source = source.canonicalize().map_err(failed("open", source))?;
                if fs::hard_link(&source, &unfinished).is_ok() {
                    report.linked += 1;
                } else {
                    fs::copy(&source, &unfinished).map_err(failed("copy", &source))?;
                    report.copied += 1;
                }
            }
        }
        fs::rename(&unfinished, target).map_err(failed("write", target))?;
    }
    let metadata = target.metadata().map_err(failed("open", target))?;
    if metadata.permissions().mode() & 0o004 == 0 {
        report.private.push(target.to_owned());
    }
    Ok(())
}

impl Make {
    fn source(&self) -> Option<Source> {
        match self {
            Self::File(_, source) => Some(*source),
            Self::Bytes(_) | Self::Zeros(_) => None,
        }
    }

    /// Whether the file that is there is the one to be made.
    fn is_done(&self, target: &Path, there: &Metadata, known: Option<Source>) -> bool {
        match self {
            Self::Bytes(bytes) => {
                there.len() == bytes.len() as u64 && fs::read(target).is_ok_and(|found| found == *bytes)
            }
            Self::Zeros(size) => there.len() == *size,
            Self::File(path, source) => {
                let same = |from: Metadata| (from.dev(), from.ino()) == (there.dev(), there.ino());
                there.len() == source.size && (known == Some(*source) || fs::metadata(path).is_ok_and(same))
            }
        }
    }
}

impl Manifest {
    /// What earlier exports wrote; nothing if there was none.
    fn read(folder: &Path) -> Result<Self, ExportError> {
        let path = folder.join(MANIFEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let manifest: Self =
            serde_json::from_slice(&text).map_err(|_| ExportError::Manifest(path.clone()))?;
        // What it names is removed one day, so it must not name what lies outside.
        let inside = |path: &String| {
            !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
        };
        if manifest.files.keys().all(inside) { Ok(manifest) } else { Err(ExportError::Manifest(path)) }
    }

    fn write(&self, folder: &Path) -> Result<(), ExportError> {
        let (path, unfinished) = (folder.join(MANIFEST), folder.join(UNFINISHED));
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed("write", &path)(error.into()))?;
        fs::write(&unfinished, text).map_err(failed("write", &path))?;
        fs::rename(&unfinished, &path).map_err(failed("write", &path))
    }
}

impl From<Stamp> for Source {
    fn from(stamp: Stamp) -> Self {
        Self { size: stamp.size, mtime_ns: stamp.mtime_ns }
    }
}

/// Removes a file that was exported, and the folders that are empty without it.
fn remove(folder: &Path, path: &str) -> Result<(), ExportError> {
    remove_file(&folder.join(path))?;
    let above = Path::new(path).ancestors().skip(1).filter(|path| !path.as_os_str().is_empty());
    for parent in above {
        if fs::remove_dir(folder.join(parent)).is_err() {
            break;
        }
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<(), ExportError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ExportError {
    let path = path.to_owned();
    move |source| ExportError::Io { action, path, source }
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
