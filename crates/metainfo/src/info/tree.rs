//! The files as the metainfo lists them: `length` or `files` (BEP 3, 47), and `file tree` (BEP 52).
//!
//! Yields one file after the other and keeps none, so that a list of 400,000 costs nothing beside its result.

use bencode::{Dict, Entries, List, Value};

use crate::ParseError;
use crate::merkle::Hash;
use crate::safe_path::MAX_PATH_PARTS;

/// One file, in the stranger's own words.
#[derive(Debug, Default)]
pub(super) struct Entry<'a> {
    /// The parts of its path below the root folder, as v1 and v2 must agree on them.
    pub(super) path: Vec<&'a [u8]>,
    /// The same in UTF-8, where the torrent gives it besides.
    pub(super) path_utf8: Option<Vec<&'a [u8]>>,
    pub(super) length: u64,
    attr: &'a [u8],
    /// The parts of a symbolic link's target, if it is one.
    pub(super) symlink: Option<Vec<&'a [u8]>>,
    pub(super) root: Option<Hash>,
}

impl<'a> Entry<'a> {
    /// Whether one of the letters of `attr` is this: `p`adding, e`x`ecutable, `h`idden, `l`ink (BEP 47).
    pub(super) fn is(&self, letter: u8) -> bool {
        self.attr.contains(&letter)
    }

    /// What v1 and v2 say about a file in the same way.
    fn read(dict: Dict<'a>, place: &str) -> Result<Self, ParseError> {
        let attr = dict.get("attr").and_then(Value::bytes).unwrap_or_default();
        let is_link = attr.contains(&b'l');
        let length = match dict.get("length") {
            Some(length) => length.int().and_then(|number| u64::try_from(number).ok()),
            None if is_link => Some(0),
            None => None,
        };
        let length =
            length.ok_or_else(|| ParseError::key(format!("{place}.length"), "must be a number of bytes"))?;
        if is_link && length > 0 {
            return Err(ParseError::key(format!("{place}.length"), "of a symbolic link must be 0"));
        }
        let target = || dict.get("symlink path").and_then(Value::list).and_then(parts).unwrap_or_default();
        Ok(Self { length, attr, symlink: is_link.then(target), ..Self::default() })
    }
}

/// The files of the v1 description.
pub(super) enum V1Files<'a> {
    /// `length`: the one file is named by the torrent.
    Single(Dict<'a>),
    /// `files`.
    Many(List<'a>),
}

impl<'a> V1Files<'a> {
    pub(super) fn of(info: Dict<'a>) -> Result<Self, ParseError> {
        match (info.get("length"), info.get("files")) {
            (Some(_), None) => Ok(Self::Single(info)),
            (None, Some(files)) => {
                files.list().map(Self::Many).ok_or_else(|| ParseError::key("info.files", "must be a list"))
            }
            (None, None) => Err(ParseError::key("info.length", "is missing, and so is `info.files`")),
            (Some(_), Some(_)) => Err(ParseError::key("info.length", "must not stand beside `info.files`")),
        }
    }

    pub(super) fn is_single(&self) -> bool {
        matches!(self, Self::Single(_))
    }

    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = Result<Entry<'a>, ParseError>> + 'a> {
        match *self {
            Self::Single(info) => Box::new(std::iter::once(Entry::read(info, "info"))),
            Self::Many(files) => Box::new(files.iter().map(v1_file)),
        }
    }
}

fn v1_file(file: Value<'_>) -> Result<Entry<'_>, ParseError> {
    let dict = file.dict().ok_or_else(|| ParseError::key("info.files", "must hold dictionaries"))?;
    let mut entry = Entry::read(dict, "info.files")?;
    let path = dict.get("path").and_then(Value::list).and_then(parts);
    let path = path.filter(|path| !path.is_empty());
    entry.path = path.ok_or_else(|| ParseError::key("info.files.path", "must be a list of names"))?;
    if entry.path.len() > MAX_PATH_PARTS {
        return Err(ParseError::key("info.files.path", "has too many parts"));
    }
    let utf8 = dict.get("path.utf-8").and_then(Value::list).and_then(parts);
    entry.path_utf8 =
        utf8.filter(|utf8| utf8.len() == entry.path.len() && utf8.iter().all(|part| str(part).is_some()));
    Ok(entry)
}

fn str(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// The strings of a list, if it holds nothing else.
fn parts(list: List<'_>) -> Option<Vec<&[u8]>> {
    // One more than is allowed is enough to see that there are too many.
    list.iter().take(MAX_PATH_PARTS + 1).map(Value::bytes).collect()
}

/// Walks the v2 description depth first, which is the order of the files.
pub(super) struct V2Files<'a> {
    open: Vec<Entries<'a>>,
    path: Vec<&'a [u8]>,
}

impl<'a> V2Files<'a> {
    pub(super) fn of(info: Dict<'a>) -> Result<Self, ParseError> {
        let tree = info.get("file tree").and_then(Value::dict);
        let tree = tree.ok_or_else(|| ParseError::key("info.file tree", "must be a dictionary"))?;
        if tree.get("").is_some() {
            return Err(ParseError::key("info.file tree", "has a file without a name"));
        }
        Ok(Self { open: vec![tree.iter()], path: Vec::new() })
    }

    /// Whether the tree is nothing but a file of this name: the single-file form.
    pub(super) fn is_single(info: Dict<'a>, name: &[u8]) -> Result<bool, ParseError> {
        let mut files = Self::of(info)?;
        let first = files.next().transpose()?;
        Ok(first.is_some_and(|file| file.path == [name]) && files.next().is_none())
    }

    fn file(&self, node: Dict<'a>, leaf: Value<'a>) -> Result<Entry<'a>, ParseError> {
        const PLACE: &str = "info.file tree";
        let leaf = leaf.dict().filter(|_| node.iter().count() == 1);
        let leaf =
            leaf.ok_or_else(|| ParseError::key(PLACE, "has something that is both file and directory"))?;
        let mut entry = Entry::read(leaf, PLACE)?;
        if entry.is(b'p') {
            return Err(ParseError::key(PLACE, "must not have padding files"));
        }
        entry.path.clone_from(&self.path);
        if entry.length > 0 {
            let root = leaf.get("pieces root").and_then(Value::bytes).and_then(|root| root.try_into().ok());
            let root = root.filter(|root| *root != [0; 32]);
            let problem = "must be a hash of 32 bytes";
            entry.root = Some(root.ok_or_else(|| ParseError::key("info.file tree.pieces root", problem))?);
        }
        Ok(entry)
    }
}

impl<'a> Iterator for V2Files<'a> {
    type Item = Result<Entry<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((name, value)) = self.open.last_mut()?.next() else {
                self.open.pop();
                self.path.pop();
                continue;
            };
            let Some(node) = value.dict() else {
                return Some(Err(ParseError::key("info.file tree", "must hold dictionaries only")));
            };
            if self.path.len() >= MAX_PATH_PARTS {
                return Some(Err(ParseError::key("info.file tree", "is too deep")));
            }
            self.path.push(name);
            let Some(leaf) = node.get("") else {
                self.open.push(node.iter());
                continue;
            };
            let file = self.file(node, leaf);
            self.path.pop();
            return Some(file);
        }
    }
}
