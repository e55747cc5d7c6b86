//! What is published: releases, their files, and at which paths of the site they are.
//!
//! A value that is made anew when something is published or withdrawn; the site swaps it in whole. It reads the size and time of
//! files once, when it is made, and opens none.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use metainfo::{FileIndex, InfoHash, Metainfo};
use storage::{Stamp, TorrentFiles};

use crate::names::{escape, escape_path, slugs, torrent_names};

/// One thing to publish, as whoever publishes it describes it.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The torrent, with trackers and web seeds as people shall get them.
    pub metainfo: Arc<Metainfo>,
    /// Where its data are.
    pub place: Arc<TorrentFiles>,
    /// The SHA-256 of its files in the torrent's order, padding included; files beyond the end have none.
    pub sha256: Vec<Option<[u8; 32]>>,
    /// When it was published first.
    pub published: Timestamp,
    /// What people call it; the torrent's name if there is nothing better.
    pub title: Option<String>,
    /// What it is, in the subset of Markdown that [`markdown`](crate::markdown) knows.
    pub notes: Option<String>,
    /// Where bytes sent of it are counted.
    pub sent: Sent,
}

/// Counters of body bytes sent over HTTP for one release: whoever publishes keeps a copy and reads them.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// By plain links.
    pub http: Arc<AtomicU64>,
    /// By the web seed (BEP 19).
    pub web_seed: Arc<AtomicU64>,
}

/// Something published, with its place on the site.
#[derive(Clone, Debug)]
pub struct Release {
    /// What it is called in URLs: `/<slug>/`, `/files/<slug>/…`.
    pub slug: String,
    /// The file name of its torrent at the site's root.
    pub torrent_name: String,
    /// What people call it.
    pub title: String,
    /// What it is, in Markdown.
    pub notes: Option<String>,
    /// The torrent.
    pub metainfo: Arc<Metainfo>,
    /// Its files in order; without padding and links.
    pub files: Vec<ReleaseFile>,
    /// Its padding files, which are zeros.
    pub padding: Vec<Padding>,
    /// When it was published first.
    pub published: Timestamp,
    /// Where bytes sent of it are counted.
    pub sent: Sent,
}

/// A file of a release.
#[derive(Clone, Debug)]
pub struct ReleaseFile {
    /// Its number in the torrent.
    pub index: FileIndex,
    /// Its path in the torrent, joined by `/`, with the torrent's name.
    pub path: Box<str>,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256, if it is known.
    pub sha256: Option<[u8; 32]>,
    /// Its plain link: a path on the site without its first slash, percent-encoded.
    pub url: String,
    /// Where it is on disk.
    pub on_disk: PathBuf,
    /// Its size and time of change when the catalogue was made; `None`: it was not there.
    pub stamp: Option<Stamp>,
}

/// A padding file (BEP 47).
#[derive(Clone, Debug)]
pub struct Padding {
    /// Its path in the torrent, joined by `/`, with the torrent's name.
    pub path: Box<str>,
    /// How many zeros it has.
    pub size: u64,
}

/// All that is published, the order being that of the page.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    releases: Vec<Release>,
}

impl Catalogue {
    /// Gives each publication its place on the site. A torrent that is there twice counts once.
    pub fn new(publications: impl IntoIterator<Item = Publication>) -> Self {
        let mut kept: Vec<Publication> = Vec::new();
        for publication in publications {
            if !kept.iter().any(|other| hash_of(other) == hash_of(&publication)) {
                kept.push(publication);
            }
        }
        let names =
            || kept.iter().map(|publication| (publication.metainfo.info.name(), hash_of(publication)));
        let (slugs, torrents) = (slugs(names()), torrent_names(names()));
        let places = slugs.into_iter().zip(torrents);
        let releases = kept.into_iter().zip(places);
        Self { releases: releases.map(|(one, (slug, torrent))| Release::new(one, slug, torrent)).collect() }
    }

    /// The releases in order.
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// The only release, if there is just one: its page is the site's front page.
    pub fn only(&self) -> Option<&Release> {
        match &*self.releases {
            [release] => Some(release),
            _ => None,
        }
    }
}

impl Release {
    fn new(publication: Publication, slug: String, torrent_name: String) -> Self {
        let Publication { metainfo, place, sha256, published, title, notes, sent } = publication;
        let all = || (0u32..).map(FileIndex).zip(metainfo.info.files());
        let file = |(index, file): (FileIndex, &metainfo::File)| {
            Some(ReleaseFile {
                index,
                path: file.path.clone(),
                size: file.length,
                sha256: sha256.get(index.0 as usize).copied().flatten(),
                url: format!("files/{}/{}", escape(&slug), escape_path(&file.path)),
                on_disk: place.path_of(index)?,
                stamp: place.stamp(index),
            })
        };
        let files = all().filter(|(_, file)| file.symlink.is_none()).filter_map(file).collect();
        let padding = all().filter(|(_, file)| file.pad);
        let padding = padding.map(|(_, file)| Padding { path: file.path.clone(), size: file.length });
        Self {
            title: title.unwrap_or_else(|| metainfo.info.name().to_owned()),
            files,
            padding: padding.collect(),
            slug,
            torrent_name,
            notes,
            published,
            sent,
            metainfo,
        }
    }

    /// The hash it goes by on the wire.
    pub fn hash(&self) -> InfoHash {
        self.metainfo.info.wire_hash()
    }

    /// The bytes people get, padding not counted.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// The path of its torrent file without the first slash, percent-encoded.
    pub fn torrent_url(&self) -> String {
        escape(&self.torrent_name)
    }
}

fn hash_of(publication: &Publication) -> InfoHash {
    publication.metainfo.info.wire_hash()
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sample, catalogue};

    #[test]
    fn a_release_has_its_files_with_links_and_its_padding_apart() {
        let home = tempfile::tempdir().unwrap();
        let sample = Sample::hybrid("My Set", &[("b c/one", 40_000), ("two", 10)]);
        let catalogue = catalogue(home.path(), &[sample]);
        let release = catalogue.only().unwrap();
        let links: Vec<_> = release.files.iter().map(|file| file.url.as_str()).collect();
        assert_eq!(links, ["files/my-set/My%20Set/b%20c/one", "files/my-set/My%20Set/two"]);
        assert_eq!(release.padding.len(), 2);
        assert_eq!(release.size(), 40_010);
        assert!(release.files.iter().all(|file| file.stamp.is_some() && file.on_disk.is_file()));
    }

    #[test]
    fn one_torrent_given_twice_is_one_release() {
        let home = tempfile::tempdir().unwrap();
        let sample = Sample::v1("x", &[("x", 5)]);
        assert!(catalogue(home.path(), &[sample.clone(), sample]).only().is_some());
    }

    #[test]
    fn releases_of_one_name_are_told_apart_by_their_hashes() {
        let home = tempfile::tempdir().unwrap();
        let samples = [Sample::v1("x", &[("x", 5)]), Sample::hybrid("x", &[("x", 5)])];
        let catalogue = catalogue(home.path(), &samples);
        let [first, second] = catalogue.releases() else { panic!("two releases") };
        assert_eq!((first.slug.as_str(), first.torrent_name.as_str()), ("x", "x.torrent"));
        assert_eq!(second.slug, format!("x-{}", &second.hash().to_string()[..8]));
        assert_eq!(second.torrent_name, format!("{}.torrent", second.slug));
    }
}
