//! From a decoded dictionary to [`Info`]: lenient where the meaning is plain, strict where it is not.
//!
//! v1 dictionaries may have unsorted keys, because such torrents exist and their hash is over the bytes as they are. v2 ones
//! may not, nor may the two descriptions of a hybrid differ in anything but padding.

use std::sync::Arc;

use bencode::{Dict, Value};
use bytes::Bytes;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::tree::{Entry, V1Files, V2Files};
use super::{File, Format, Info};
use crate::lint::{LintKind, Lints};
use crate::safe_path::{self, MAX_PATH_PARTS, Names};
use crate::torrent::text;
use crate::{BLOCK, InfoHash, InfoHashV2, InfoHashes, Layout, ParseError};

/// Keys of the info dictionary that some BEP or wide use defines.
const KNOWN_KEYS: &[&str] = &[
    "attr",
    "collections",
    "comment",
    "created by",
    "file tree",
    "files",
    "length",
    "md5sum",
    "meta version",
    "name",
    "name.utf-8",
    "originator",
    "piece length",
    "pieces",
    "private",
    "publisher",
    "publisher-url",
    "publisher-url.utf-8",
    "publisher.utf-8",
    "sha1",
    "sha256",
    "similar",
    "source",
    "ssl-cert",
    "symlink path",
    "update-url",
];

/// Reads the dictionary `value`, whose bytes are `raw`.
pub(crate) fn info(
    raw: Bytes,
    value: Value<'_>,
    names: Names,
    lints: &mut Lints,
) -> Result<Info, ParseError> {
    let dict = value.dict().ok_or_else(|| ParseError::key("info", "must be a dictionary"))?;
    let format = format(dict)?;
    if !value.is_sorted() {
        if format != Format::V1 {
            return Err(ParseError::key("info", "has unsorted keys, which v2 torrents must not have"));
        }
        lints.add(LintKind::UnsortedKeys, "info");
    }
    for (key, _) in dict.iter().filter(|(key, _)| !KNOWN_KEYS.iter().any(|known| known.as_bytes() == *key)) {
        lints.add(LintKind::UnknownInfoKey, key);
    }
    let piece_length = piece_length(dict, format, lints)?;
    let (raw_name, name) = name(dict, names, lints)?;
    let single_file = match format {
        Format::V2 => V2Files::is_single(dict, raw_name)?,
        Format::V1 | Format::Hybrid => V1Files::of(dict)?.is_single(),
    };
    let mut reader = Reader { names, lints, name, single_file, files: Vec::new() };
    match format {
        Format::V1 => {
            V1Files::of(dict)?.iter().try_for_each(|entry| entry.map(|entry| reader.add(&entry)))?;
        }
        Format::V2 => V2Files::of(dict)?.try_for_each(|entry| entry.map(|entry| reader.add(&entry)))?,
        Format::Hybrid => reader.add_both(dict, raw_name)?,
    }
    let (name, files) = reader.finish()?;
    let layout = match format {
        Format::V2 => Layout::aligned(piece_length, files.iter().map(|file| file.length))?,
        _ => Layout::contiguous(piece_length, files.iter().map(|file| (file.length, file.pad)))?,
    };
    if format == Format::Hybrid {
        check_alignment(&layout)?;
    }
    let v1_pieces = if format == Format::V2 { Bytes::new() } else { v1_pieces(dict, &raw, value, &layout)? };
    lint_sizes(&layout, lints);
    let hashes = hashes(&raw, format);
    let wire_hash = hashes.wire().ok_or_else(|| ParseError::key("info", "has no hash"))?;
    let private = dict.get("private").and_then(Value::int).is_some_and(|number| number != 0);
    let source = dict.get("source").and_then(|value| text("info.source", value, lints)).map(Into::into);
    let (layout, layers) = (Arc::new(layout), Vec::new());
    let lints = Vec::new();
    Ok(Info {
        raw,
        hashes,
        wire_hash,
        format,
        name,
        single_file,
        private,
        source,
        layout,
        files,
        v1_pieces,
        layers,
        lints,
    })
}

fn format(info: Dict<'_>) -> Result<Format, ParseError> {
    let Some(version) = info.get("meta version") else { return Ok(Format::V1) };
    match version.int() {
        Some(1) => Ok(Format::V1),
        Some(2) if info.get("pieces").is_some() => Ok(Format::Hybrid),
        Some(2) => Ok(Format::V2),
        Some(other) => Err(ParseError::MetaVersion(other)),
        None => Err(ParseError::key("info.meta version", "must be a number")),
    }
}

fn piece_length(info: Dict<'_>, format: Format, lints: &mut Lints) -> Result<u64, ParseError> {
    let length = info.get("piece length").and_then(Value::int).and_then(|number| u64::try_from(number).ok());
    let length = length.ok_or_else(|| ParseError::key("info.piece length", "must be a number of bytes"))?;
    let even = length.is_power_of_two();
    if format != Format::V1 && !(even && length >= BLOCK.into()) {
        return Err(ParseError::key(
            "info.piece length",
            "of a v2 torrent must be a power of two, 16 KiB or more",
        ));
    }
    let kinds = [
        (!even, LintKind::UnevenPieces),
        (length < BLOCK.into(), LintKind::SmallPieces),
        (length > 16 << 20, LintKind::LargePieces),
    ];
    for (_, kind) in kinds.into_iter().filter(|(odd, _)| *odd) {
        lints.add(kind, length.to_string());
    }
    Ok(length)
}

/// The torrent's name as it stands there, and as it is safe to use.
fn name<'a>(info: Dict<'a>, names: Names, lints: &mut Lints) -> Result<(&'a [u8], Box<str>), ParseError> {
    let raw = info.get("name").and_then(Value::bytes);
    let raw = raw.ok_or_else(|| ParseError::key("info.name", "must be a string"))?;
    let shown = info.get("name.utf-8").and_then(Value::text).map_or(raw, str::as_bytes);
    Ok((raw, part(shown, names, lints).into()))
}

/// Makes one part of a path safe, and notes if that changed it.
fn part(raw: &[u8], names: Names, lints: &mut Lints) -> String {
    let safe = safe_path::component(raw, names);
    if safe.as_bytes() != raw {
        let utf8 = std::str::from_utf8(raw).is_ok();
        lints.add(if utf8 { LintKind::UnsafeName } else { LintKind::NonUtf8 }, raw);
    }
    safe.into_owned()
}

/// Collects the files.
struct Reader<'a> {
    names: Names,
    lints: &'a mut Lints,
    name: Box<str>,
    single_file: bool,
    files: Vec<File>,
}

impl Reader<'_> {
    fn add(&mut self, entry: &Entry<'_>) {
        let symlink = entry.symlink.as_ref().and_then(|target| self.target(target));
        let file = File {
            path: self.path(entry),
            length: entry.length,
            pad: entry.is(b'p'),
            executable: entry.is(b'x') && entry.symlink.is_none(),
            hidden: entry.is(b'h'),
            symlink,
            root: entry.root.map(Box::new),
        };
        self.files.push(file);
    }

    /// Adds the files of a hybrid: those of v1, with the roots of v2.
    fn add_both(&mut self, info: Dict<'_>, name: &[u8]) -> Result<(), ParseError> {
        let mut tree = V2Files::of(info)?;
        for entry in V1Files::of(info)?.iter() {
            let mut entry = entry?;
            if !entry.is(b'p') {
                let path = if self.single_file { vec![name] } else { entry.path.clone() };
                let shown = || String::from_utf8_lossy(&path.join(&b'/')).into_owned();
                let twin = tree.next().transpose()?.ok_or_else(|| ParseError::Disagree(shown()))?;
                if twin.path != path || twin.length != entry.length || twin.symlink != entry.symlink {
                    return Err(ParseError::Disagree(shown()));
                }
                entry.root = twin.root;
            }
            self.add(&entry);
        }
        match tree.next().transpose()? {
            None => Ok(()),
            Some(extra) => {
                Err(ParseError::Disagree(String::from_utf8_lossy(&extra.path.join(&b'/')).into_owned()))
            }
        }
    }

    fn path(&mut self, entry: &Entry<'_>) -> Box<str> {
        if self.single_file {
            return self.name.clone();
        }
        let mut path = String::from(&*self.name);
        for raw in entry.path_utf8.as_ref().unwrap_or(&entry.path) {
            path.push('/');
            path.push_str(&part(raw, self.names, self.lints));
        }
        path.into()
    }

    /// The safe target of a symbolic link. One that could lead outside, or is no path at all, is dropped.
    fn target(&mut self, target: &[&[u8]]) -> Option<Box<str>> {
        let plain = |part: &&[u8]| {
            !matches!(*part, b"" | b"." | b"..") && !part.contains(&b'/') && !part.contains(&b'\\')
        };
        if self.single_file || target.is_empty() || target.len() > MAX_PATH_PARTS || !target.iter().all(plain)
        {
            self.lints.add(LintKind::DroppedSymlink, target.join(&b'/'));
            return None;
        }
        let parts: Vec<String> = target.iter().map(|raw| part(raw, self.names, self.lints)).collect();
        Some(parts.join("/").into())
    }

    fn finish(mut self) -> Result<(Box<str>, Vec<File>), ParseError> {
        let paths = self.files.iter_mut().filter(|file| !file.pad).map(|file| &mut file.path);
        safe_path::separate(paths, self.names, |path| self.lints.add(LintKind::DuplicateName, path))?;
        for file in &mut self.files {
            let below_root = file.path.get(self.name.len() + 1..).unwrap_or_default();
            if file.symlink.as_deref() == Some(below_root) {
                self.lints.add(LintKind::DroppedSymlink, &*file.path);
                file.symlink = None;
            }
        }
        Ok((self.name, self.files))
    }
}

/// Every file of a hybrid that has bytes must begin a piece, or v1 and v2 would mean different pieces.
fn check_alignment(layout: &Layout) -> Result<(), ParseError> {
    let piece_length = u64::from(layout.piece_length());
    let crooked =
        layout.files().iter().any(|file| !file.pad && file.length > 0 && file.offset % piece_length != 0);
    if crooked { Err(ParseError::Disagree("a file does not begin a piece".into())) } else { Ok(()) }
}

fn v1_pieces(info: Dict<'_>, raw: &Bytes, whole: Value<'_>, layout: &Layout) -> Result<Bytes, ParseError> {
    let span = info.get("pieces").and_then(Value::bytes_span).filter(|span| span.len() % 20 == 0);
    let span = span.ok_or_else(|| ParseError::key("info.pieces", "must be a string of 20 byte hashes"))?;
    let found = span.len() / 20;
    if found != layout.piece_count() as usize {
        return Err(ParseError::PieceCount { found, expected: layout.piece_count() });
    }
    let start = whole.span().start;
    Ok(raw.slice(span.start - start..span.end - start))
}

fn lint_sizes(layout: &Layout, lints: &mut Lints) {
    let padding =
        layout.files().iter().filter(|file| file.pad).map(|file| file.length).fold(0, u64::saturating_add);
    if padding > layout.content_length() {
        lints.add(LintKind::MuchPadding, format!("{padding} bytes"));
    }
    if layout.piece_count() > 20_000 {
        lints.add(LintKind::ManyPieces, layout.piece_count().to_string());
    }
}

fn hashes(raw: &[u8], format: Format) -> InfoHashes {
    InfoHashes {
        v1: (format != Format::V2).then(|| InfoHash(Sha1::digest(raw).into())),
        v2: (format != Format::V1).then(|| InfoHashV2(Sha256::digest(raw).into())),
    }
}
