//! Where things live on this machine: the state folder, and what we keep in it.
//!
//! Resume data in it belong to the engine; the torrents we made or fetched without being told where to put them are in
//! `torrents/`, named by their info hash.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::args::Global;
use crate::failure::{Exit, Failure};

/// The folder for what must survive a restart.
#[derive(Clone, Debug)]
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    /// `--state-dir`, else the XDG state folder's `headwater`.
    pub(crate) fn find(global: &Global) -> Result<Self, Failure> {
        if let Some(dir) = &global.state_dir {
            return std::path::absolute(dir).map(Self).map_err(|error| Failure::io("find", dir, &error));
        }
        let base = etcetera::base_strategy::Xdg::new().map_err(|error| {
            Failure::new(Exit::Other, "no home folder to keep state in")
                .because(&error)
                .hint("--state-dir DIR")
        })?;
        // XDG always names a state folder; the data folder is only the type's way out.
        Ok(Self(base.state_dir().unwrap_or_else(|| base.data_dir()).join("headwater")))
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where a torrent is kept.
    pub(crate) fn torrent_path(&self, hash: &str) -> PathBuf {
        self.0.join("torrents").join(format!("{hash}.torrent"))
    }

    /// Keeps a torrent under its hash and says where.
    pub(crate) fn keep_torrent(&self, hash: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
        let folder = self.0.join("torrents");
        let path = self.torrent_path(hash);
        std::fs::create_dir_all(&folder).map_err(|error| Failure::io("create", &folder, &error))?;
        replace_file(&path, bytes)?;
        Ok(path)
    }
}

/// Writes a file whole or not at all: a reader sees the old bytes or the new ones.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&part);
        Failure::io("write", path, &error)
    })
}
