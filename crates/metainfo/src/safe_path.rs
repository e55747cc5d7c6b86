//! Names that strangers chose, made safe to create (BEP 3 `name` and `path`, BEP 52 `file tree`).
//!
//! Text only: that no symbolic link on the disk leads elsewhere is for `storage` to see to. Nothing here ever refuses a
//! name; it gives a safe, readable one in its place.

use std::borrow::Cow;
use std::collections::BTreeSet;

use sha1::{Digest, Sha1};

use crate::ParseError;

/// The longest name of a file or directory, in bytes: what Linux, macOS and Windows can hold.
pub const MAX_NAME: usize = 255;
/// The most directories a path may have, its file counted; libtorrent allows 100, real trees need about 20.
pub const MAX_PATH_PARTS: usize = 64;
/// The most files that are renamed because another has their name. More is an attack, not an accident.
pub const MAX_RENAMED: u32 = 1000;
/// The highest number tried for a renamed file, so that names chosen against the numbering end in an error, not a long search.
const MAX_NUMBER: u32 = 2 * MAX_RENAMED;
/// A longer ending than this is not taken for a file name extension.
const MAX_EXTENSION: usize = 20;

/// Where names must work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Where this program runs on Linux and its kin: only what could leave the folder or deceive the eye is changed.
    Native,
    /// On every system: also what Windows reserves; names that differ only in case are one name.
    Portable,
}

impl Default for Names {
    /// What the system that this program was built for needs.
    fn default() -> Self {
        if cfg!(windows) { Self::Portable } else { Self::Native }
    }
}

/// A safe name for one file or directory: never empty, `.` or `..`, without separators, at most [`MAX_NAME`] bytes.
///
/// Bytes that are not UTF-8, control characters and separators become `_`; invisible characters that change how a name is
/// read, such as text direction marks, are dropped.
pub fn component(raw: &[u8], names: Names) -> Cow<'_, str> {
    let text = match std::str::from_utf8(raw) {
        Ok(text) if text.chars().all(|c| keep(c, names) == Some(c)) => Cow::Borrowed(text),
        _ => {
            let lossy = String::from_utf8_lossy(raw);
            Cow::Owned(lossy.chars().filter_map(|c| keep(c, names)).collect())
        }
    };
    let text = if matches!(&*text, "" | "." | "..") { Cow::Borrowed("_") } else { text };
    let text = if names == Names::Portable { portable(text) } else { text };
    if text.len() > MAX_NAME { Cow::Owned(shortened(&text, "")) } else { text }
}

/// What becomes of a character: itself, `_`, or nothing.
fn keep(c: char, names: Names) -> Option<char> {
    match c {
        '/' | '\\' | '\u{fffd}' => Some('_'),
        c if c.is_control() => Some('_'),
        // Zero width space, direction marks, invisible operators, byte order mark. The joiners U+200C and U+200D stay: words of
        // some languages and many emoji need them.
        '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => None,
        '<' | '>' | ':' | '"' | '|' | '?' | '*' if names == Names::Portable => Some('_'),
        c => Some(c),
    }
}

/// Changes what Windows would not take: reserved names, dots and spaces at the end.
fn portable(name: Cow<'_, str>) -> Cow<'_, str> {
    let trimmed = name.trim_end_matches(['.', ' ']);
    let name = if trimmed.len() < name.len() { Cow::Owned(format!("{trimmed}_")) } else { name };
    if is_reserved(&name) { Cow::Owned(format!("_{name}")) } else { name }
}

/// Whether Windows takes the name for a device, with any extension.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    match numbered {
        Some(rest) => {
            matches!(rest.chars().next(), Some('1'..='9' | '¹' | '²' | '³')) && rest.chars().count() == 1
        }
        None => matches!(&*stem, "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"),
    }
}

/// `name` with `mark` before its extension, cut at a character so that it fits [`MAX_NAME`].
fn shortened(name: &str, mark: &str) -> String {
    let dot = name.rfind('.').filter(|&dot| dot > 0 && name.len() - dot <= MAX_EXTENSION);
    let (stem, extension) = name.split_at(dot.unwrap_or(name.len()));
    let mut end = stem.len().min(MAX_NAME.saturating_sub(mark.len() + extension.len()));
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{mark}{extension}", stem.get(..end).unwrap_or_default())
}

/// Renames files until no two have the same path and none has the path of another's directory.
///
/// The first in the list keeps its name, the others are numbered: `bar.1.txt`. `renamed` is told the old path of each.
pub(crate) fn separate<'a>(
    paths: impl Iterator<Item = &'a mut Box<str>>,
    names: Names,
    mut renamed: impl FnMut(&str),
) -> Result<(), ParseError> {
    let mut paths: Vec<&mut Box<str>> = paths.collect();
    let directories = directories(paths.iter().map(|path| &***path), names);
    let mut taken = BTreeSet::new();
    let mut count = 0;
    for path in &mut paths {
        let print = fingerprint(path, names);
        if !directories.contains(&print) && taken.insert(print) {
            continue;
        }
        count += 1;
        if count > MAX_RENAMED {
            return Err(ParseError::DuplicateNames);
        }
        renamed(path);
        let free = (1..=MAX_NUMBER).map(|number| numbered(path, number)).find(|new| {
            let print = fingerprint(new, names);
            !directories.contains(&print) && taken.insert(print)
        });
        **path = free.ok_or(ParseError::DuplicateNames)?.into();
    }
    Ok(())
}

fn numbered(path: &str, number: u32) -> String {
    let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
    let slash = if folder.is_empty() { "" } else { "/" };
    format!("{folder}{slash}{}", shortened(name, &format!(".{number}")))
}

/// The fingerprints of all directories that the paths lie in.
fn directories<'a>(paths: impl Iterator<Item = &'a str>, names: Names) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    let mut last = "";
    for path in paths {
        let Some((mut folder, _)) = path.rsplit_once('/') else { continue };
        if folder == last {
            continue;
        }
        last = folder;
        while found.insert(fingerprint(folder, names)) {
            let Some((parent, _)) = folder.rsplit_once('/') else { break };
            folder = parent;
        }
    }
    found
}

/// Stands for a path in a set: eight bytes where the path has a hundred.
///
/// Two different paths with one fingerprint would only cost one of them a needless number.
fn fingerprint(path: &str, names: Names) -> u64 {
    let digest = match names {
        Names::Native => Sha1::digest(path),
        Names::Portable => Sha1::digest(path.to_lowercase()),
    };
    digest.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
#[path = "safe_path_tests.rs"]
mod tests;
