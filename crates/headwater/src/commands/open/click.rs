//! What was clicked, in a form that another process can take up later.
//!
//! A torrent file is read at once and kept in the state folder: a browser may delete what it saved as soon as we end.

use std::path::PathBuf;

use metainfo::InfoHash;
use serde::{Deserialize, Serialize};

use crate::args::Open;
use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::source::{self, Kind, Source};

/// How many things one click may name: a desktop passes all files that were selected.
const MAX_SOURCES: usize = 100;

/// One call of the command.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Click {
    /// Magnet links, URLs, info hashes, and paths of torrent files that stay.
    pub(super) sources: Vec<String>,
    /// Where to save, if somebody says so.
    pub(super) folder: Option<PathBuf>,
}

impl Click {
    /// Reads the command line, and every file that it names.
    pub(super) fn take(context: &Context, args: &Open) -> Result<Self, Failure> {
        if args.source.len() > MAX_SOURCES {
            return Err(Failure::usage(format!("{MAX_SOURCES} downloads are the most to open at once")));
        }
        let sources = args.source.iter().map(|text| take(context, text)).collect::<Result<_, _>>()?;
        let whole = |folder: &PathBuf| {
            std::path::absolute(folder).map_err(|error| Failure::io("find", folder, &error))
        };
        let folder = args.dir.as_ref().map(whole).transpose()?;
        Ok(Self { sources, folder })
    }
}

fn take(context: &Context, text: &str) -> Result<String, Failure> {
    let path = file_url(text)?;
    let text = path.as_deref().unwrap_or(text);
    if matches!(source::kind(text), Kind::Url) {
        return Ok(text.to_owned());
    }
    match source::load_local(text)? {
        Source::Magnet(_) => Ok(text.to_owned()),
        Source::Torrent(metainfo, _) => {
            let kept = context.state.keep_torrent(&metainfo.info.wire_hash().to_string(), metainfo.raw())?;
            Ok(kept.to_string_lossy().into_owned())
        }
    }
}

/// The hash of a source that was taken, unless only its server knows it.
pub(super) fn hash_of(text: &str) -> Option<InfoHash> {
    match source::kind(text) {
        Kind::Url | Kind::Stdin => None,
        _ => match source::load_local(text).ok()? {
            Source::Magnet(magnet) => magnet.hashes.wire(),
            Source::Torrent(metainfo, _) => Some(metainfo.info.wire_hash()),
        },
    }
}

/// The path in a `file:` URL of this machine (RFC 8089); nothing if it is no such URL.
fn file_url(text: &str) -> Result<Option<String>, Failure> {
    let Some(rest) = text.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("file:")).and(text.get(5..))
    else {
        return Ok(None);
    };
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
        None => rest,
    };
    let complaint = || Failure::new(Exit::Invalid, format!("{text} names no file of this machine"));
    if !path.starts_with('/') {
        return Err(complaint());
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let digits =
            (byte == b'%').then(|| [rest.next(), rest.next()].map(|digit| digit.map_or('?', char::from)));
        bytes.push(match digits {
            None => byte,
            Some(digits) => u8::from_str_radix(&String::from_iter(digits), 16).map_err(|_| complaint())?,
        });
    }
    String::from_utf8(bytes).map(Some).map_err(|_| complaint())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_urls_of_this_machine_are_paths() {
        for (url, path) in [
            ("file:///a%20b/c.torrent", Some("/a b/c.torrent")),
            ("file://localhost/a", Some("/a")),
            ("FILE:/a;$(x)&b", Some("/a;$(x)&b")),
            ("magnet:?xt=1", None),
            ("file.torrent", None),
        ] {
            assert_eq!(file_url(url).unwrap().as_deref(), path, "{url}");
        }
        for url in ["file://elsewhere/a", "file:a", "file:///a%2", "file:///%ff"] {
            assert!(file_url(url).is_err(), "{url}");
        }
    }
}
