//! Small releases on disk, for tests.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use jiff::Timestamp;
use metainfo::{Format, Metainfo};
use sha2::{Digest as _, Sha256};
use storage::create::{Options, Symlinks, plan};
use storage::{Mode, TorrentFiles};

use crate::catalogue::{Catalogue, Publication, Sent};

/// The site's address in tests.
pub(crate) const BASE: &str = "https://files.example.org";

/// A release to make: one file whose path is the name is a single-file torrent.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) format: Format,
    pub(crate) files: Vec<(String, usize)>,
    pub(crate) title: Option<&'static str>,
    pub(crate) notes: Option<&'static str>,
}

impl Sample {
    pub(crate) fn v1(name: &'static str, files: &[(&str, usize)]) -> Self {
        let files = files.iter().map(|&(path, size)| (path.to_owned(), size)).collect();
        Self { name, format: Format::V1, files, title: None, notes: None }
    }

    pub(crate) fn hybrid(name: &'static str, files: &[(&str, usize)]) -> Self {
        Self { format: Format::Hybrid, ..Self::v1(name, files) }
    }

    /// Writes its files below a folder of its own and describes it.
    pub(crate) fn publish(&self, folder: &Path) -> Publication {
        fs::create_dir_all(folder).unwrap();
        let single = matches!(&*self.files, [(path, _)] if path == self.name);
        for (path, size) in &self.files {
            let full = if single { folder.join(path) } else { folder.join(self.name).join(path) };
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, vec![b'x'; *size]).unwrap();
        }
        let options = Options {
            path: folder.join(self.name),
            name: None,
            piece_length: Some(32 << 10),
            format: self.format,
            include: Vec::new(),
            exclude: Vec::new(),
            hidden: true,
            symlinks: Symlinks::Follow,
        };
        let plan = plan(&options).unwrap();
        let mut builder = plan.hash(1, &AtomicU64::new(0), &AtomicBool::new(false)).unwrap();
        builder.outer.tiers = vec![vec![format!("{BASE}/announce")]];
        let metainfo = Arc::new(Metainfo::parse(&builder.encode().unwrap()).unwrap());
        let place = TorrentFiles::open(Arc::clone(&metainfo.info), folder, None, Mode::Seed).unwrap();
        let hash = |file: &metainfo::File| {
            (!file.pad).then(|| Sha256::digest(vec![b'x'; usize::try_from(file.length).unwrap()]).into())
        };
        Publication {
            sha256: metainfo.info.files().iter().map(hash).collect(),
            metainfo,
            place,
            published: Timestamp::from_second(1_700_000_000).unwrap(),
            title: self.title.map(Into::into),
            notes: self.notes.map(Into::into),
            sent: Sent::default(),
        }
    }
}

/// A catalogue of these, each in a folder of its own below `home`.
pub(crate) fn catalogue(home: &Path, samples: &[Sample]) -> Catalogue {
    let each = samples.iter().enumerate();
    Catalogue::new(each.map(|(number, sample)| sample.publish(&home.join(number.to_string()))))
}
