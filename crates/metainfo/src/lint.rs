//! What is odd about a torrent that is understood all the same.
//!
//! Collected while parsing; whoever shows or creates torrents decides what to make of it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// One oddity: how often it occurs and where first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// Which.
    pub kind: LintKind,
    /// How often.
    pub count: u32,
    /// The first place or value; may be empty.
    pub first: String,
}

macro_rules! lints {
    ($($(#[doc = $doc:literal])+ $kind:ident $name:literal $message:literal)+) => {
        /// The oddities there are.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum LintKind { $($(#[doc = $doc])+ $kind,)+ }

        impl LintKind {
            /// All of them.
            pub const ALL: &[LintKind] = &[$(LintKind::$kind,)+];

            /// Its name, as on the command line: words joined by hyphens.
            pub fn name(self) -> &'static str {
                match self { $(LintKind::$kind => $name,)+ }
            }

            /// What it means, as a clause.
            pub fn message(self) -> &'static str {
                match self { $(LintKind::$kind => $message,)+ }
            }
        }
    };
}

lints! {
    /// Keys of a dictionary are out of order.
    UnsortedKeys "unsorted-keys" "dictionary keys are not sorted"
    /// A name or text is not UTF-8.
    NonUtf8 "non-utf8" "text is not UTF-8"
    /// There is no tracker, and no node to start from either.
    MissingAnnounce "missing-announce" "there is no tracker"
    /// A private torrent without a tracker can find no peers.
    PrivateWithoutTracker "private-without-tracker" "a private torrent without a tracker finds no peers"
    /// A private torrent names DHT nodes, which it must not use (BEP 27).
    PrivateWithNodes "private-with-nodes" "a private torrent must not use the DHT nodes it names"
    /// An announce URL of no known scheme.
    TrackerUrl "tracker-url" "a tracker's URL is not http, https, udp, ws or wss"
    /// Pieces of less than 16 KiB.
    SmallPieces "small-pieces" "pieces are smaller than 16 KiB"
    /// Pieces of more than 16 MiB.
    LargePieces "large-pieces" "pieces are larger than 16 MiB"
    /// A piece length that is no power of two.
    UnevenPieces "uneven-pieces" "the piece length is not a power of two"
    /// So many pieces that the metainfo is large and peers talk much.
    ManyPieces "many-pieces" "there are more than 20,000 pieces"
    /// Padding outweighs the content.
    MuchPadding "much-padding" "padding is more than the content"
    /// A name was not safe to create and was changed.
    UnsafeName "unsafe-name" "a name was changed to be safe"
    /// A file was renamed because another has its name.
    DuplicateName "duplicate-name" "a file was renamed because another has the same name"
    /// A symbolic link that leads nowhere inside the torrent became an empty file.
    DroppedSymlink "dropped-symlink" "a symbolic link does not lead inside the torrent and is left empty"
    /// Piece hashes of a v2 torrent are missing and must be asked from peers.
    MissingPieceLayers "missing-piece-layers" "piece layers are missing"
    /// A key of a known name has a value of the wrong kind, and is ignored.
    IgnoredKey "ignored-key" "a key has a senseless value and is ignored"
    /// A key outside `info` that no BEP defines.
    UnknownKey "unknown-key" "an unknown key"
    /// A key inside `info` that no BEP defines; it changes the hash.
    UnknownInfoKey "unknown-info-key" "an unknown key in `info`, which changes the hash"
    /// More trackers, web seeds or nodes than are kept.
    TooMany "too-many" "a list is cut to its limit"
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.message())?;
        if !self.first.is_empty() {
            write!(f, ": {}", self.first)?;
        }
        if self.count > 1 { write!(f, " and {} more", self.count - 1) } else { Ok(()) }
    }
}

impl fmt::Display for LintKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LintKind {
    type Err = UnknownLint;

    fn from_str(name: &str) -> Result<Self, UnknownLint> {
        let found = Self::ALL.iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| UnknownLint(name.into()))
    }
}

/// No lint has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no lint is named `{0}`")]
pub struct UnknownLint(String);

/// Collects lints: one of each kind, so that a hostile file cannot make the list long.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lints(BTreeMap<LintKind, (u32, String)>);

impl Lints {
    /// How much of a strange text a lint shows, in characters.
    const MAX_SHOWN: usize = 80;

    pub(crate) fn add(&mut self, kind: LintKind, place: impl AsRef<[u8]>) {
        let (count, _) = self.0.entry(kind).or_insert_with(|| {
            let text = String::from_utf8_lossy(place.as_ref());
            let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
            (0, text.chars().take(Self::MAX_SHOWN).map(printable).collect())
        });
        *count = count.saturating_add(1);
    }

    pub(crate) fn finish(self) -> Vec<Lint> {
        self.0.into_iter().map(|(kind, (count, first))| Lint { kind, count, first }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lint_is_found_by_its_name() {
        for kind in LintKind::ALL {
            assert_eq!(kind.name().parse(), Ok(*kind));
            assert!(kind.name().bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'));
        }
        assert!("nonsense".parse::<LintKind>().is_err());
    }

    #[test]
    fn lints_of_a_kind_are_counted_not_listed() {
        let mut lints = Lints::default();
        lints.add(LintKind::UnknownKey, "a\n");
        lints.add(LintKind::UnknownKey, "b");
        let lints = lints.finish();
        assert_eq!(lints[0].to_string(), "an unknown key: a\u{fffd} and 1 more");
    }
}
