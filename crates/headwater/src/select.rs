//! Which files of a torrent the user means: numbers as `--list` shows them, ranges of numbers, and globs.
//!
//! People count the files they see, from 1: padding has no number.

use std::ops::RangeInclusive;

use globset::GlobMatcher;
use metainfo::{File, Info};

use crate::failure::Failure;

/// A file that people see.
pub(crate) struct Listed<'a> {
    /// Its number, from 1.
    pub(crate) number: usize,
    /// Its place among all files of the torrent, padding included, from 0.
    pub(crate) index: usize,
    /// Its path below the torrent's folder; its name in a torrent of a single file.
    pub(crate) path: &'a str,
    /// What the torrent says of it.
    pub(crate) file: &'a File,
}

/// The files that people see, in order.
pub(crate) fn listed(info: &Info) -> impl Iterator<Item = Listed<'_>> {
    let visible = info.files().iter().enumerate().filter(|(_, file)| !file.pad);
    visible.zip(1..).map(|((index, file), number)| Listed {
        number,
        index,
        path: path_below(info, file),
        file,
    })
}

/// A file's path below the torrent's folder; its name in a torrent of a single file.
pub(crate) fn path_below<'a>(info: &Info, file: &'a File) -> &'a str {
    let below = if info.single_file() { None } else { file.path.split_once('/') };
    below.map_or(&*file.path, |(_, path)| path)
}

/// A choice of files.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    wishes: Vec<(String, Wish)>,
}

#[derive(Clone, Debug)]
enum Wish {
    Numbers(Vec<RangeInclusive<usize>>),
    Glob(GlobMatcher),
}

impl Selection {
    /// Reads what `-f` or `--select` was given; each text adds files.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, Failure> {
        let wishes = texts.iter().map(|text| Ok((text.clone(), Wish::parse(text)?)));
        Ok(Self { wishes: wishes.collect::<Result<_, Failure>>()? })
    }

    /// For each file of the torrent, padding included, whether it is chosen. In words if a wish meets no file.
    pub(crate) fn choose(&self, info: &Info) -> Result<Vec<bool>, String> {
        let mut chosen = vec![false; info.files().len()];
        for (text, wish) in &self.wishes {
            let met = listed(info).filter(|file| wish.meets(file)).map(|file| file.index).collect::<Vec<_>>();
            if met.is_empty() {
                return Err(format!("no file of {} matches `{text}`", info.name()));
            }
            for index in met {
                chosen[index] = true;
            }
        }
        Ok(chosen)
    }
}

impl Wish {
    fn parse(text: &str) -> Result<Self, Failure> {
        let numeric = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '-' || c == ',');
        if numeric {
            let ranges = text.split(',').map(parse_range).collect::<Option<_>>();
            return ranges.map(Self::Numbers).ok_or_else(|| {
                Failure::usage(format!("`{text}` is no range of file numbers"))
                    .hint("numbers count from 1: for example 1-3,7, as `headwater show --files` prints them")
            });
        }
        let glob = globset::GlobBuilder::new(text).literal_separator(text.contains('/')).build();
        glob.map(|glob| Self::Glob(glob.compile_matcher())).map_err(|error| {
            Failure::usage(format!("`{text}` is no glob")).because(&error).hint("-f '*.txt'")
        })
    }

    /// A glob without a slash looks at names, one with a slash at paths; a folder's path takes all below it.
    fn meets(&self, listed: &Listed<'_>) -> bool {
        match self {
            Self::Numbers(ranges) => ranges.iter().any(|range| range.contains(&listed.number)),
            Self::Glob(glob) => {
                let name = listed.path.rsplit('/').next().unwrap_or(listed.path);
                let folders = listed.path.match_indices('/').map(|(at, _)| &listed.path[..at]);
                glob.is_match(name)
                    || glob.is_match(listed.path)
                    || folders.into_iter().any(|folder| glob.is_match(folder))
            }
        }
    }
}

fn parse_range(text: &str) -> Option<RangeInclusive<usize>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    (first >= 1 && first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_from_one() {
        assert_eq!(parse_range("3"), Some(3..=3));
        assert_eq!(parse_range("1-4"), Some(1..=4));
        for text in ["0", "4-1", "", "-", "1-2-3"] {
            assert_eq!(parse_range(text), None, "{text}");
        }
    }

    #[test]
    fn a_senseless_wish_is_a_mistake_of_usage() {
        for text in ["0-3", "1,,2", "[a"] {
            assert!(Selection::parse(&[text.to_owned()]).is_err(), "{text}");
        }
    }
}
