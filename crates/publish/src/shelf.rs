//! What is at which path of the site: everything that does not change until the catalogue does, made once.
//!
//! The web server answers from it and the export writes it. Files are found by the whole path in a table, so that no stranger's text
//! ever becomes part of a path on disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use metainfo::InfoHash;
use sha2::{Digest as _, Sha256};

use crate::catalogue::{Catalogue, Release, ReleaseFile};
use crate::content::{FileBody, Page, Part};
use crate::names::{attachment, escape, hex};
use crate::page::{Pages, Settings};
use crate::theme::{Theme, ThemeError};
use crate::{checksum, media};

/// How long assets are kept without being asked for again: pages name them with their version.
const ASSETS_FRESH: Duration = Duration::from_secs(3_600);

/// What is at a path.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// Bytes in memory.
    Page(Page),
    /// A file of a release, by its plain link.
    File(FileBody),
    /// The same as a web seed (BEP 19), or padding.
    Seed(InfoHash, FileBody),
    /// It is elsewhere.
    Moved(String),
}

/// Items by path: percent-decoded, with its first slash.
pub(crate) type Shelf = BTreeMap<String, Item>;

/// Makes everything. `live`: for a server that can tell how releases stand.
pub(crate) fn stock(
    settings: &Settings,
    theme: &Theme,
    catalogue: &Catalogue,
    live: bool,
) -> Result<Shelf, ThemeError> {
    let pages = Pages { settings, theme, catalogue, live };
    let mut shelf = Shelf::new();
    for (path, bytes) in theme.assets() {
        let fresh = if path == "robots.txt" { Duration::ZERO } else { ASSETS_FRESH };
        let page = Page { fresh, ..Page::new(media::type_of(path), bytes.clone()) };
        shelf.insert(format!("/{path}"), Item::Page(page));
    }
    let front = match catalogue.only() {
        Some(release) => pages.release(release)?,
        None => pages.index()?,
    };
    shelf.insert("/".to_owned(), html(front));
    shelf.insert(
        "/feed.atom".to_owned(),
        Item::Page(Page::new(media::type_of("feed.atom"), pages.feed()?.into())),
    );
    for release in catalogue.releases() {
        put_release(&mut shelf, &pages, release)?;
    }
    Ok(shelf)
}

/// 32 hexadecimal digits that change with the bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..16])
}

fn html(text: String) -> Item {
    Item::Page(Page::new(media::type_of(".html"), text.into()))
}

fn put_release(shelf: &mut Shelf, pages: &Pages<'_>, release: &Release) -> Result<(), ThemeError> {
    let slug = &release.slug;
    let prefix = path_of(&pages.settings.base);
    let own = if pages.catalogue.only().is_some() {
        Item::Moved(format!("{prefix}/"))
    } else {
        html(pages.release(release)?)
    };
    shelf.insert(format!("/{slug}/"), own);
    shelf.insert(format!("/{slug}"), Item::Moved(format!("{prefix}/{}/", escape(slug))));
    let name = &release.torrent_name;
    let torrent = Page {
        disposition: Some(attachment(name)),
        ..Page::new(media::type_of(name), release.metainfo.raw().clone())
    };
    shelf.insert(format!("/{name}"), Item::Page(torrent));
    if let Some(sums) = checksum::sums(release) {
        shelf.insert(
            format!("/{slug}/SHA256SUMS"),
            Item::Page(Page::new(media::type_of(".txt"), sums.into())),
        );
    }
    let hash = release.hash();
    for file in &release.files {
        let body = body(release, file);
        let seed = FileBody { sent: Arc::clone(&release.sent.web_seed), disposition: None, ..body.clone() };
        shelf.insert(format!("/files/{slug}/{}", file.path), Item::File(body));
        shelf.insert(format!("/seed/{hash}/{}", file.path), Item::Seed(hash, seed));
    }
    for padding in &release.padding {
        let zeros = FileBody {
            parts: Arc::new([Part::Zeros(padding.size)]),
            content_type: media::type_of(""),
            disposition: None,
            etag: format!("\"zeros-{}\"", padding.size),
            modified: None,
            sent: Arc::clone(&release.sent.web_seed),
        };
        shelf.insert(format!("/seed/{hash}/{}", padding.path), Item::Seed(hash, zeros));
    }
    Ok(())
}

/// A file as its plain link gives it.
fn body(release: &Release, file: &ReleaseFile) -> FileBody {
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    let part = Part::File { path: file.on_disk.clone(), offset: 0, length: file.size };
    FileBody {
        parts: if file.size == 0 { Arc::new([]) } else { Arc::new([part]) },
        content_type: media::type_of(name),
        disposition: Some(attachment(name)),
        etag: etag(release, file),
        modified: file.stamp.and_then(|stamp| moment(stamp.mtime_ns)),
        sent: Arc::clone(&release.sent.http),
    }
}

/// A validator that changes with the bytes: their hash, or what else tells one state of the file from another.
fn etag(release: &Release, file: &ReleaseFile) -> String {
    match (file.sha256, file.stamp) {
        (Some(hash), _) => format!("\"{}\"", hex(&hash)),
        (None, Some(stamp)) => {
            format!("\"{}-{}-{}-{}\"", release.hash(), file.index.0, stamp.size, stamp.mtime_ns)
        }
        (None, None) => format!("\"{}-{}-missing\"", release.hash(), file.index.0),
    }
}

/// A time in nanoseconds since 1970.
fn moment(mtime_ns: i64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(u64::try_from(mtime_ns).ok()?))
}

/// The path of the public address, for when a proxy serves us below one.
fn path_of(base: &str) -> &str {
    let host = base.split_once("://").map_or(base, |(_, rest)| rest);
    host.find('/').map_or("", |slash| &host[slash..])
}
