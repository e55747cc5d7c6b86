//! The pages and the feed: what templates are given, and what they make of it.
//!
//! Everything that came from elsewhere is escaped by the templates; only our own renderings of Markdown and QR codes are not. What
//! changes from moment to moment is not in a page: its script asks for it.

use jiff::Timestamp;
use metainfo::Magnet;
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;
use serde_json::json;

use crate::catalogue::{Catalogue, Release, ReleaseFile};
use crate::names::{escape, hex};
use crate::theme::{EXTRA_STYLE, FEED, INDEX, RELEASE, Theme, ThemeError};
use crate::{checksum, markdown, media, qr};

/// What pages may load and do; the web server says the same in a header. All is our own, and nothing is written into the page.
pub const POLICY: &str = "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; \
     connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'";

/// The most files a page lists: more make it slow on a phone, and the list of sums has them all.
const MAX_ROWS: usize = 1_000;
/// From how many files on the table is folded: two screens of a phone.
const FOLDED: usize = 25;
/// The most files that are told to search engines.
const MAX_TOLD: usize = 100;
/// The length of a summary in characters, as previews show it.
const MAX_SUMMARY: usize = 200;

/// What is said about the site as a whole.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address people use, without a slash at its end. It may have a path.
    pub base: String,
    /// The name of the site.
    pub title: String,
    /// What it is, in the subset of Markdown that [`markdown`](crate::markdown) knows.
    pub intro: Option<String>,
    /// Stands before an amount of money.
    pub currency: String,
}

/// Makes pages.
pub(crate) struct Pages<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) theme: &'a Theme,
    pub(crate) catalogue: &'a Catalogue,
    /// Whether the server that the pages come from can tell how releases stand and what was saved.
    pub(crate) live: bool,
}

/// A release as templates see it. Addresses are relative to the site's root unless they are called `…_url`.
#[derive(Serialize)]
struct ReleaseValues {
    title: String,
    name: String,
    summary: String,
    notes: Option<Value>,
    hash: String,
    hash_v1: Option<String>,
    hash_v2: Option<String>,
    size: u64,
    size_text: String,
    published: String,
    published_text: String,
    page: String,
    page_url: String,
    torrent: String,
    torrent_name: String,
    torrent_url: String,
    torrent_length: usize,
    magnet: String,
    direct: Option<String>,
    sums: Option<String>,
    file_count: usize,
}

/// A file as templates see it.
#[derive(Serialize)]
struct FileValues {
    name: String,
    url: String,
    size: u64,
    size_text: String,
    sha256: Option<String>,
}

impl Pages<'_> {
    /// The page of a release, whose address is that many folders below the root.
    pub(crate) fn release(&self, release: &Release) -> Result<String, ThemeError> {
        let depth = usize::from(self.catalogue.only().is_none());
        let files: Vec<FileValues> =
            release.files.iter().take(MAX_ROWS).map(|file| row(release, file)).collect();
        let values = self.values(release);
        let json_ld = self.json_ld(release, &values);
        let release = context! {
            folded => release.files.len() > FOLDED,
            more => release.files.len() - files.len(),
            files => Serde(files),
            qr => qr::picture(&Magnet::of(&release.metainfo)).map(Value::from_safe_string),
            json_ld => Serde(json_ld),
            ..Value::from(Serde(values))
        };
        self.theme.render(RELEASE, context! { release, ..self.site(depth) })
    }

    /// The list of all releases.
    pub(crate) fn index(&self) -> Result<String, ThemeError> {
        self.theme.render(INDEX, context! { releases => Serde(self.releases()), ..self.site(0) })
    }

    /// The Atom feed (RFC 4287), the latest release first.
    pub(crate) fn feed(&self) -> Result<String, ThemeError> {
        let mut sorted: Vec<&Release> = self.catalogue.releases().iter().collect();
        sorted.sort_by_key(|release| std::cmp::Reverse(release.published));
        let updated = sorted.first().map_or(Timestamp::UNIX_EPOCH, |release| release.published);
        let releases: Vec<_> = sorted.into_iter().map(|release| self.values(release)).collect();
        let values = context! { releases => Serde(releases), updated => date(updated), ..self.site(0) };
        self.theme.render(FEED, values)
    }

    fn releases(&self) -> Vec<ReleaseValues> {
        self.catalogue.releases().iter().map(|release| self.values(release)).collect()
    }

    /// What every template is given.
    fn site(&self, depth: usize) -> Value {
        let Settings { base, title, intro, currency } = self.settings;
        let versioned = |name: &str| {
            let tag = self.theme.asset(name).map(|bytes| crate::shelf::digest(bytes));
            tag.map(|tag| format!("{name}?v={}", &tag[..8]))
        };
        context! {
            title,
            intro => intro.as_deref().map(|intro| Value::from_safe_string(markdown::render(intro))),
            summary => summary(intro.as_deref(), || {
                format!("{} to download.", plural(self.catalogue.releases().len(), "release"))
            }),
            root => "../".repeat(depth),
            page_url => format!("{base}/"),
            feed_url => format!("{base}/feed.atom"),
            style => versioned("style.css"),
            script => versioned("page.js"),
            icon => versioned("icon.svg"),
            extra_style => versioned(EXTRA_STYLE),
            several => self.catalogue.only().is_none(),
            live => self.live,
            receipt => self.live,
            currency,
            policy => POLICY,
        }
    }

    fn values(&self, release: &Release) -> ReleaseValues {
        let base = &self.settings.base;
        let info = &release.metainfo.info;
        let hashes = info.hashes();
        let only = self.catalogue.only().is_some();
        let page = if only { String::new() } else { format!("{}/", escape(&release.slug)) };
        // The front page of one release says what the site is too.
        let own = self.settings.intro.as_deref().filter(|_| only);
        let size_text = size(release.size());
        let sums = checksum::sums(release).map(|_| format!("{}/SHA256SUMS", escape(&release.slug)));
        ReleaseValues {
            title: release.title.clone(),
            name: info.name().to_owned(),
            summary: summary(release.notes.as_deref().or(own), || {
                let files = plural(release.files.len(), "file");
                format!("{}: {files}, {size_text}. Download by BitTorrent or over HTTP.", release.title)
            }),
            notes: release.notes.as_deref().map(|notes| Value::from_safe_string(markdown::render(notes))),
            hash: release.hash().to_string(),
            hash_v1: hashes.v1.map(|hash| hash.to_string()),
            hash_v2: hashes.v2.map(|hash| hash.to_string()),
            size: release.size(),
            size_text,
            published: date(release.published),
            published_text: release.published.strftime("%-d %B %Y").to_string(),
            page_url: format!("{base}/{page}"),
            page,
            torrent: release.torrent_url(),
            torrent_name: release.torrent_name.clone(),
            torrent_url: format!("{base}/{}", release.torrent_url()),
            torrent_length: release.metainfo.raw().len(),
            magnet: Magnet::of(&release.metainfo).to_string(),
            direct: match &*release.files {
                [file] => Some(file.url.clone()),
                _ => None,
            },
            sums,
            file_count: release.files.len(),
        }
    }

    /// The release in schema.org's words, for search engines: data, never run.
    fn json_ld(&self, release: &Release, values: &ReleaseValues) -> serde_json::Value {
        let base = &self.settings.base;
        let torrent = json!({
            "@type": "DataDownload",
            "name": values.torrent_name,
            "encodingFormat": "application/x-bittorrent",
            "contentUrl": values.torrent_url,
        });
        let file = |file: &ReleaseFile| {
            let mut told = json!({
                "@type": "DataDownload",
                "name": shown(release, file),
                "encodingFormat": media::type_of(&file.path).split(';').next(),
                "contentUrl": format!("{base}/{}", file.url),
                "contentSize": format!("{} B", file.size),
            });
            if let Some(hash) = file.sha256 {
                told["sha256"] = hex(&hash).into();
            }
            told
        };
        let files = release.files.iter().take(MAX_TOLD).map(file);
        json!({
            "@context": "https://schema.org",
            "@type": "Dataset",
            "name": values.title,
            "description": values.summary,
            "url": values.page_url,
            "datePublished": values.published,
            "identifier": format!("urn:btih:{}", values.hash),
            "isAccessibleForFree": true,
            "distribution": std::iter::once(torrent).chain(files).collect::<Vec<_>>(),
        })
    }
}

fn row(release: &Release, file: &ReleaseFile) -> FileValues {
    FileValues {
        name: shown(release, file).to_owned(),
        url: file.url.clone(),
        size: file.size,
        size_text: size(file.size),
        sha256: file.sha256.map(|hash| hex(&hash)),
    }
}

/// A file's path without the folder that all files of the release are in.
fn shown<'a>(release: &Release, file: &'a ReleaseFile) -> &'a str {
    let inner = file.path.split_once('/').map(|(_, inner)| inner);
    inner.filter(|_| !release.metainfo.info.single_file()).unwrap_or(&file.path)
}

/// The beginning of a text without its marks, or another text if there is none.
fn summary(text: Option<&str>, other: impl FnOnce() -> String) -> String {
    let plain = text.map(markdown::plain).filter(|text| !text.is_empty()).unwrap_or_else(other);
    match plain.char_indices().nth(MAX_SUMMARY) {
        Some((end, _)) => format!("{}…", plain[..end].trim_end()),
        None => plain,
    }
}

/// A moment as feeds and `<time>` want it (RFC 3339), in whole seconds.
fn date(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A size for people: `17 bytes`, `4 MiB`, `4.1 GiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") };
    }
    let unit = (bytes.ilog2() / 10).min(4);
    // In tenths, rounded: 2^10 of the unit below is the least, so this fits.
    let tenths = (u128::from(bytes) * 10 + (1 << (10 * unit - 1))) >> (10 * unit);
    let name = UNITS[unit as usize - 1];
    if tenths >= 1_000 || tenths.is_multiple_of(10) {
        format!("{} {name}", (tenths + 5) / 10)
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

fn plural(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
