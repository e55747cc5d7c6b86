//! From what the user names to a torrent: a file, a URL, a magnet link, a bare info hash, or stdin.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use engine::{Engine, FetchError};
use metainfo::safe_path::Names;
use metainfo::{InfoHash, InfoHashV2, InfoHashes, MAX_METAINFO, Magnet, Metainfo};

use crate::failure::{Exit, Failure};
use crate::net::distrust_hint;

/// What a source turned out to be.
pub(crate) enum Source {
    /// A torrent file, from wherever; if from a server on a private or loopback address, with that server's host and port.
    Torrent(Arc<Metainfo>, Option<(String, u16)>),
    /// A magnet link or a bare hash: the rest must come from peers.
    Magnet(Box<Magnet>),
}

/// What kind of thing the user named, judged by its looks alone.
pub(crate) enum Kind<'a> {
    /// A magnet link.
    Magnet,
    /// An `http` or `https` URL.
    Url,
    /// 40 or 64 hexadecimal digits, and no file of that name.
    Hash(InfoHashes),
    /// `-`.
    Stdin,
    /// A file's path.
    File(&'a Path),
}

/// Judges a source by its looks.
pub(crate) fn kind(text: &str) -> Kind<'_> {
    let starts =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if starts("magnet:") {
        return Kind::Magnet;
    }
    if starts("http://") || starts("https://") {
        return Kind::Url;
    }
    if text == "-" {
        return Kind::Stdin;
    }
    let hashes = InfoHashes { v1: InfoHash::from_hex(text), v2: InfoHashV2::from_hex(text) };
    let path = Path::new(text);
    if hashes.wire().is_some() && !path.exists() { Kind::Hash(hashes) } else { Kind::File(path) }
}

/// Loads a source; a URL is fetched by the engine.
pub(crate) async fn load(text: &str, engine: &Engine) -> Result<Source, Failure> {
    match kind(text) {
        Kind::Url => fetch(text, engine).await,
        _ => load_local(text),
    }
}

/// Loads a source that needs no network; a URL is taken for a file's path.
pub(crate) fn load_local(text: &str) -> Result<Source, Failure> {
    match kind(text) {
        Kind::Magnet => parse_magnet(text).map(|magnet| Source::Magnet(Box::new(magnet))),
        Kind::Hash(hashes) => Ok(Source::Magnet(Box::new(Magnet::new(hashes)))),
        Kind::Stdin => read_stdin().map(from_here),
        Kind::Url => read(Path::new(text)).map(from_here),
        Kind::File(path) => read(path).map(from_here),
    }
}

/// Reads and parses a torrent file.
pub(crate) fn read(path: &Path) -> Result<Arc<Metainfo>, Failure> {
    let trouble = |error: &std::io::Error| Failure::io("read", path, error);
    let file = std::fs::File::open(path).map_err(|error| trouble(&error))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Failure::new(Exit::Invalid, format!("{} is a folder, not a torrent", path.display()))
            .hint(format!("headwater create {}", path.display())));
    }
    let bytes = read_bounded(file).map_err(|error| trouble(&error))?;
    parse(bytes, &path.display().to_string())
}

/// Parses a torrent file that came from `origin`.
pub(crate) fn parse(bytes: Bytes, origin: &str) -> Result<Arc<Metainfo>, Failure> {
    let metainfo = Metainfo::from_bytes(bytes, Names::default());
    metainfo.map(Arc::new).map_err(|error| {
        Failure::new(Exit::Invalid, format!("{origin} is not a valid torrent")).because(&error)
    })
}

fn parse_magnet(text: &str) -> Result<Magnet, Failure> {
    Magnet::parse(text).map_err(|error| {
        Failure::new(Exit::Invalid, "not a valid magnet link")
            .because(&error)
            .hint("put the link in quotes, so that the shell does not cut it at `&`")
    })
}

fn read_stdin() -> Result<Arc<Metainfo>, Failure> {
    let bytes = read_bounded(std::io::stdin().lock())
        .map_err(|error| Failure::new(Exit::of_io(&error), "cannot read stdin").because(&error))?;
    parse(bytes, "stdin")
}

/// Reads one byte more than a torrent may have, at most: the parser then says that it is too long.
fn read_bounded(reader: impl Read) -> std::io::Result<Bytes> {
    let mut bytes = Vec::new();
    reader.take(MAX_METAINFO as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

fn from_here(metainfo: Arc<Metainfo>) -> Source {
    Source::Torrent(metainfo, None)
}

async fn fetch(url: &str, engine: &Engine) -> Result<Source, Failure> {
    let fetched = engine.fetch(url, MAX_METAINFO).await.map_err(|error| {
        let exit = match &error {
            FetchError::Status(404 | 410) => Exit::NotFound,
            FetchError::Status(401 | 403) => Exit::Permission,
            FetchError::Url(_) => Exit::Usage,
            FetchError::TooLong(_) => Exit::Invalid,
            _ => Exit::Network,
        };
        let failure = Failure::new(exit, format!("cannot fetch {url}")).because(&error);
        match &error {
            FetchError::Certificate { why, .. } => failure.hint(distrust_hint(why)),
            _ => failure,
        }
    })?;
    Ok(Source::Torrent(parse(fetched.body, url)?, fetched.local_server))
}
