//! Changing an existing metainfo file outside of `info`, so that its hash stays.
//!
//! Works on bytes: what is not changed is kept as it is, keys that nobody knows included.

use std::collections::BTreeSet;

use bencode::encode_dict;

use crate::builder::Outer;
use crate::{Info, ParseError, torrent};

/// What becomes of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It goes.
    Remove,
    /// It gets this value.
    Set(T),
}

/// The changes to make. By default there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// The trackers: `announce` and `announce-list`.
    pub tiers: Change<Vec<Vec<String>>>,
    /// `url-list`.
    pub web_seeds: Change<Vec<String>>,
    /// `nodes`.
    pub nodes: Change<Vec<(String, u16)>>,
    /// `comment`.
    pub comment: Change<String>,
    /// `created by`.
    pub created_by: Change<String>,
    /// `creation date`.
    pub creation_date: Change<i64>,
}

impl Edit {
    /// The bytes of `metainfo` with the changes made. Keys outside `info` come out sorted; `info` is not touched.
    pub fn apply(&self, metainfo: &[u8]) -> Result<Vec<u8>, ParseError> {
        let decoded = torrent::decode(metainfo)?;
        let dict =
            decoded.root().dict().ok_or_else(|| ParseError::key("the torrent", "must be a dictionary"))?;
        let changed = self.changed_keys();
        Ok(encode_dict(|out| {
            for (key, value) in dict.iter().filter(|(key, _)| !changed.contains(*key)) {
                out.raw(key, value.raw());
            }
            self.values().encode(out);
        }))
    }

    fn changed_keys(&self) -> BTreeSet<&'static [u8]> {
        let groups: [(bool, &[&str]); 6] = [
            (self.tiers != Change::Keep, &["announce", "announce-list"]),
            (self.web_seeds != Change::Keep, &["url-list"]),
            (self.nodes != Change::Keep, &["nodes"]),
            (self.comment != Change::Keep, &["comment", "comment.utf-8"]),
            (self.created_by != Change::Keep, &["created by"]),
            (self.creation_date != Change::Keep, &["creation date"]),
        ];
        let changed = groups.iter().filter(|(changed, _)| *changed);
        changed.flat_map(|(_, keys)| keys.iter().map(|key| key.as_bytes())).collect()
    }

    /// The values to write in place of the changed keys.
    fn values(&self) -> Outer {
        Outer {
            tiers: self.tiers.value().unwrap_or_default(),
            web_seeds: self.web_seeds.value().unwrap_or_default(),
            nodes: self.nodes.value().unwrap_or_default(),
            comment: self.comment.value(),
            created_by: self.created_by.value(),
            creation_date: self.creation_date.value(),
        }
    }
}

impl<T: Clone> Change<T> {
    fn value(&self) -> Option<T> {
        if let Self::Set(value) = self { Some(value.clone()) } else { None }
    }
}

/// The bytes of a metainfo file around an info dictionary that came from peers, with these keys beside it.
pub fn enclose(info: &Info, outer: &Outer) -> Vec<u8> {
    encode_dict(|dict| {
        outer.encode(dict);
        dict.raw("info", info.raw());
        if info.piece_layers().next().is_some() {
            dict.dict("piece layers", |layers| {
                for (root, layer) in info.piece_layers() {
                    layers.bytes(root, layer);
                }
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metainfo;

    const TORRENT: &[u8] =
        b"d8:announce9:http://a/7:comment1:c4:infod6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae1:zi7ee";

    #[test]
    fn an_edit_changes_what_is_asked_and_never_the_hash() {
        let edit = Edit {
            tiers: Change::Set(vec![vec!["http://b/".into()], vec!["udp://c".into(), "http://d/".into()]]),
            comment: Change::Remove,
            creation_date: Change::Set(5),
            ..Edit::default()
        };
        let before = Metainfo::parse(TORRENT).unwrap();
        let bytes = edit.apply(TORRENT).unwrap();
        let after = Metainfo::parse(&bytes).unwrap();
        assert_eq!(after.info.hashes(), before.info.hashes());
        assert_eq!(after.announce, [vec!["http://b/"], vec!["udp://c", "http://d/"]]);
        assert_eq!((after.comment, after.creation_date), (None, Some(5)));
        assert!(bytes.ends_with(b"1:zi7ee"));
        assert_eq!(Edit::default().apply(TORRENT).unwrap(), TORRENT);
    }

    #[test]
    fn unsorted_info_keeps_its_bytes() {
        let bytes = TORRENT.to_vec();
        let text = String::from_utf8(bytes).unwrap().replace("6:lengthi1e4:name1:x", "4:name1:x6:lengthi1e");
        let edit = Edit { comment: Change::Set("new".into()), ..Edit::default() };
        let after = edit.apply(text.as_bytes()).unwrap();
        let hashes = |bytes: &[u8]| Metainfo::parse(bytes).unwrap().info.hashes();
        assert_eq!(hashes(text.as_bytes()), hashes(&after));
    }

    #[test]
    fn an_info_dictionary_is_enclosed_as_it_is() {
        let info = Metainfo::parse(TORRENT).unwrap().info;
        let outer = Outer { tiers: vec![vec!["http://t/".into()]], ..Outer::default() };
        let metainfo = Metainfo::parse(&enclose(&info, &outer)).unwrap();
        assert_eq!((metainfo.info.raw(), &metainfo.announce), (info.raw(), &outer.tiers));
    }
}
