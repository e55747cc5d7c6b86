//! What to request for a run of blocks: URLs and ranges (BEP 17, 19, 47).
//!
//! Pure. Files of padding are never asked for; their zeros are put in on the way.

use std::fmt::Write;

use metainfo::{BlockRef, Info, InfoHash};

/// A part of what a fetch brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// So many bytes of padding.
    Zeros(usize),
    /// Bytes of a file.
    File {
        url: String,
        offset: u64,
        length: u64,
        /// The length of the whole file.
        total: u64,
    },
    /// Bytes that a script is asked for: the answer's whole body.
    Piece { url: String, length: u64 },
}

/// All that a fetch brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// In the order of the bytes.
    pub(crate) parts: Vec<Part>,
    /// The lengths of the blocks they make up.
    pub(crate) blocks: Vec<usize>,
}

/// Ranges of files, each as long as the run allows.
pub(crate) fn of_files(base: &str, info: &Info, blocks: &[BlockRef]) -> Plan {
    let layout = info.layout();
    let mut plan = Plan::default();
    let mut last: Option<(u32, u64)> = None;
    for &block in blocks {
        let block = layout.without_padding(block);
        plan.blocks.push(block.length() as usize);
        for span in layout.spans(block) {
            let (file, length) = (span.file.0, u64::from(span.length));
            let follows = last == Some((file, span.offset));
            last = Some((file, span.offset + length));
            match plan.parts.last_mut() {
                _ if span.pad => plan.parts.push(Part::Zeros(span.length as usize)),
                Some(Part::File { length: so_far, .. }) if follows => *so_far += length,
                _ => {
                    let total = info.files().get(file as usize).map_or(0, |file| file.length);
                    let url = file_url(base, info, file as usize);
                    plan.parts.push(Part::File { url, offset: span.offset, length, total });
                }
            }
        }
    }
    plan
}

/// One request for each piece.
pub(crate) fn of_pieces(base: &str, hash: InfoHash, info: &Info, blocks: &[BlockRef]) -> Plan {
    let layout = info.layout();
    let mut plan = Plan::default();
    for run in blocks.chunk_by(|one, next| one.piece() == next.piece()) {
        let lengths: Vec<u32> = run.iter().map(|&block| layout.without_padding(block).length()).collect();
        plan.blocks.extend(lengths.iter().map(|&length| length as usize));
        let ranges = run.iter().zip(&lengths);
        let ranges: Vec<(u32, u32)> =
            ranges.map(|(block, length)| (block.begin(), block.begin() + length)).collect();
        let length = lengths.iter().map(|&length| u64::from(length)).sum();
        let mark = if base.contains('?') { '&' } else { '?' };
        let mut url = format!("{base}{mark}info_hash=");
        hash.0.iter().for_each(|&byte| escape(&mut url, byte, b""));
        put(&mut url, format_args!("&piece={}", run.first().map_or(0, |block| block.piece().0)));
        let merged = ranges.chunk_by(|one, next| one.1 == next.0);
        let merged = merged.filter_map(|run| Some((run.first()?.0, run.last()?.1 - 1)));
        for (at, (first, last)) in merged.enumerate() {
            put(&mut url, format_args!("{}{first}-{last}", if at == 0 { "&ranges=" } else { "," }));
        }
        plan.parts.push(Part::Piece { url, length });
    }
    plan
}

/// The URL of one file (BEP 19): a folder's URL and the file's path in it; of a torrent of one file also the file's own URL.
fn file_url(base: &str, info: &Info, file: usize) -> String {
    let (path, query) = base.split_at(base.find('?').unwrap_or(base.len()));
    let mut url = path.to_owned();
    if info.single_file() && !url.ends_with('/') {
        return base.to_owned();
    }
    if !url.ends_with('/') {
        url.push('/');
    }
    if let Some(file) = info.files().get(file) {
        file.path.bytes().for_each(|byte| escape(&mut url, byte, b"/"));
    }
    url + query
}

/// Puts a byte into a URL: as it is if it may stand there or is one of `kept`.
fn escape(url: &mut String, byte: u8, kept: &[u8]) {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
        url.push(char::from(byte));
    } else {
        put(url, format_args!("%{byte:02X}"));
    }
}

fn put(url: &mut String, words: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _always = url.write_fmt(words);
}

#[cfg(test)]
mod tests {
    use metainfo::{BLOCK, Builder, Format, Metainfo, NewFile, PieceIndex};

    use super::*;

    const B: u64 = BLOCK as u64;

    fn info(name: &str, single_file: bool, files: &[(&str, u64)]) -> Info {
        let files = files.iter().map(|(path, length)| NewFile {
            path: path.split('/').map(Into::into).collect(),
            length: *length,
            ..NewFile::default()
        });
        let builder = Builder {
            name: name.into(),
            piece_length: 2 * BLOCK,
            format: Format::V1,
            single_file,
            v1_pieces: Vec::new(),
            files: files.collect(),
            private: false,
            source: None,
            similar: Vec::new(),
            update_url: None,
            outer: metainfo::Outer::default(),
        };
        let total: u64 = builder.files.iter().map(|file| file.length).sum();
        let pieces = usize::try_from(total.div_ceil(2 * B)).unwrap();
        let builder = Builder { v1_pieces: vec![0; 20 * pieces], ..builder };
        Info::clone(&Metainfo::parse(&builder.encode().unwrap()).unwrap().info)
    }

    fn blocks(info: &Info, pieces: std::ops::Range<u32>) -> Vec<BlockRef> {
        let layout = info.layout();
        pieces.flat_map(|piece| layout.blocks(PieceIndex(piece)).collect::<Vec<_>>()).collect()
    }

    fn file(url: &str, offset: u64, length: u64, total: u64) -> Part {
        Part::File { url: url.into(), offset, length, total }
    }

    #[test]
    fn a_run_over_files_becomes_one_range_of_each_and_none_of_empty_ones() {
        let info = info("a b", false, &[("b", 3 * B), ("empty", 0), ("y?/ü", B + 5), ("z", 2 * B)]);
        let plan = of_files("http://h/dir", &info, &blocks(&info, 1..3));
        assert_eq!(plan.blocks, [BLOCK as usize; 4]);
        assert_eq!(
            plan.parts,
            [
                file("http://h/dir/a%20b/b", 2 * B, B, 3 * B),
                file("http://h/dir/a%20b/y%3F/%C3%BC", 0, B + 5, B + 5),
                file("http://h/dir/a%20b/z", 0, 2 * B - 5, 2 * B),
            ]
        );
    }

    #[test]
    fn one_file_is_at_the_url_itself_or_in_the_folder_it_names() {
        let info = info("film 1", true, &[("film 1", 2 * B)]);
        let url = |base: &str| file_url(base, &info, 0);
        assert_eq!(url("http://h/film.bin?key=1"), "http://h/film.bin?key=1");
        assert_eq!(url("http://h/dir/"), "http://h/dir/film%201");
        assert_eq!(url("http://h/dir/?key=1"), "http://h/dir/film%201?key=1");
    }

    #[test]
    fn a_script_is_asked_piece_by_piece_for_the_ranges_of_a_run() {
        let info = info("film", true, &[("film", 4 * B - 7)]);
        let all = blocks(&info, 0..2);
        let hash = InfoHash([0xab; 20]);
        let plan = of_pieces("http://h/seed", hash, &info, &all[1..]);
        let hash = "%AB".repeat(20);
        let piece = |query: &str, length| Part::Piece {
            url: format!("http://h/seed?info_hash={hash}&piece={query}"),
            length,
        };
        assert_eq!(plan.parts, [piece("0&ranges=16384-32767", B), piece("1&ranges=0-32760", 2 * B - 7)]);
        assert_eq!(plan.blocks, [16384, 16384, 16377]);
    }
}
