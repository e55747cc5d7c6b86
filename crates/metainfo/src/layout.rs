//! Where pieces, blocks and files lie: the only place that adds offsets.
//!
//! Two piece spaces exist. In v1 and hybrid torrents the files stand one behind the other and pieces span them (BEP 3; padding
//! files of BEP 47 are files like others here). In v2-only torrents every file begins a new piece and its last piece is short (BEP 52).

use std::ops::Range;

/// The length of a block: what one request asks for (BEP 3 practice, BEP 52 text). 16 KiB.
pub const BLOCK: u32 = 16 * 1024;

/// The most bytes a single request may name; what libtorrent and Transmission accept too.
const MAX_REQUEST: u32 = 128 * 1024;

/// The number of a piece. Whether the torrent has such a piece is for [`Layout`] to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(pub u32);

/// The number of a file in the order of the metainfo, padding files counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileIndex(pub u32);

/// Bytes of one piece that certainly lie inside the torrent: only [`Layout`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    piece: PieceIndex,
    begin: u32,
    length: u32,
}

impl BlockRef {
    /// The piece it belongs to.
    pub fn piece(&self) -> PieceIndex {
        self.piece
    }

    /// Its first byte, counted from the start of the piece.
    pub fn begin(&self) -> u32 {
        self.begin
    }

    /// Its length in bytes, never zero.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Its place in the grid of 16 KiB blocks of its piece.
    pub fn number(&self) -> u32 {
        self.begin / BLOCK
    }
}

/// One file as the layout sees it: where it starts in the piece space, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSlot {
    /// Its first byte, counted from the start of the torrent's piece space.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// A padding file: zeros that are never written nor asked for (BEP 47).
    pub pad: bool,
}

/// A run of bytes of one file that a piece covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The file.
    pub file: FileIndex,
    /// First byte, counted from the start of the file.
    pub offset: u64,
    /// Bytes, never zero.
    pub length: u32,
    /// The file is padding: its bytes are zeros.
    pub pad: bool,
}

/// Why a list of files and a piece length make no torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The piece length is zero or beyond [`Layout::MAX_PIECE_LENGTH`].
    #[error("piece length {0} is not between 1 and {max}", max = Layout::MAX_PIECE_LENGTH)]
    PieceLength(u64),
    /// The files' sizes add up to more than can be addressed.
    #[error("the sizes of the files overflow")]
    Overflow,
    /// All files are empty.
    #[error("the torrent has no bytes")]
    Empty,
    /// More pieces than [`Layout::MAX_PIECES`].
    #[error("{0} pieces are more than {max}", max = Layout::MAX_PIECES)]
    TooManyPieces(u64),
}

/// The geometry of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    piece_length: u32,
    piece_count: u32,
    /// Length of the piece space: the end of the last file.
    end: u64,
    /// Bytes of all files but padding.
    content: u64,
    files: Vec<FileSlot>,
    /// v2-only: every file begins a piece.
    aligned: bool,
}

impl Layout {
    /// The longest piece accepted. The largest seen in the wild is 512 MiB (libtorrent's `large_piece_size` test).
    pub const MAX_PIECE_LENGTH: u64 = 1 << 30;
    /// The most pieces accepted: 80 MiB of v1 hashes would not fit a metainfo file of 32 MiB anyway.
    pub const MAX_PIECES: u64 = 4 << 20;

    /// The v1 and hybrid space: `files` are (length, is padding) in order, without gaps.
    pub fn contiguous(
        piece_length: u64,
        files: impl IntoIterator<Item = (u64, bool)>,
    ) -> Result<Self, LayoutError> {
        Self::build(piece_length, files, false)
    }

    /// The v2-only space: every file begins a new piece.
    pub fn aligned(piece_length: u64, files: impl IntoIterator<Item = u64>) -> Result<Self, LayoutError> {
        Self::build(piece_length, files.into_iter().map(|length| (length, false)), true)
    }

    fn build(
        piece_length: u64,
        sizes: impl IntoIterator<Item = (u64, bool)>,
        aligned: bool,
    ) -> Result<Self, LayoutError> {
        let short =
            u32::try_from(piece_length).ok().filter(|&n| n > 0 && piece_length <= Self::MAX_PIECE_LENGTH);
        let short = short.ok_or(LayoutError::PieceLength(piece_length))?;
        let (mut end, mut content, mut files) = (0u64, 0u64, Vec::new());
        for (length, pad) in sizes {
            let offset = if aligned && length > 0 {
                end.checked_next_multiple_of(piece_length).ok_or(LayoutError::Overflow)?
            } else {
                end
            };
            end = offset
                .checked_add(length)
                .filter(|&e| i64::try_from(e).is_ok())
                .ok_or(LayoutError::Overflow)?;
            content += if pad { 0 } else { length };
            files.push(FileSlot { offset, length, pad });
        }
        if content == 0 {
            return Err(LayoutError::Empty);
        }
        let pieces = end.div_ceil(piece_length);
        let piece_count = u32::try_from(pieces).ok().filter(|_| pieces <= Self::MAX_PIECES);
        let piece_count = piece_count.ok_or(LayoutError::TooManyPieces(pieces))?;
        Ok(Self { piece_length: short, piece_count, end, content, files, aligned })
    }

    /// The length of every piece but the last (of the torrent, or of each file in v2-only torrents).
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// The number of pieces.
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// Bytes of the user's files: padding is not counted.
    pub fn content_length(&self) -> u64 {
        self.content
    }

    /// The files in order, padding included.
    pub fn files(&self) -> &[FileSlot] {
        &self.files
    }

    /// The piece of this number, if the torrent has one.
    pub fn piece(&self, index: u32) -> Option<PieceIndex> {
        (index < self.piece_count).then_some(PieceIndex(index))
    }

    /// The length of a piece in bytes; 0 for a piece the torrent does not have.
    pub fn piece_size(&self, piece: PieceIndex) -> u32 {
        if piece.0 >= self.piece_count {
            return 0;
        }
        let start = self.piece_start(piece);
        let end = if self.aligned {
            self.file_at(start).map_or(start, |file| file.offset + file.length)
        } else {
            self.end
        };
        u32::try_from(end.saturating_sub(start)).unwrap_or(u32::MAX).min(self.piece_length)
    }

    /// Bytes of a piece that are the user's: its size less padding.
    pub fn piece_content(&self, piece: PieceIndex) -> u32 {
        self.piece_spans(piece).filter(|span| !span.pad).map(|span| span.length).sum()
    }

    /// Types what a stranger asked for: `None` unless all of it lies in one piece and it is of a legal length.
    pub fn block(&self, index: u32, begin: u32, length: u32) -> Option<BlockRef> {
        let piece = self.piece(index)?;
        let end = begin.checked_add(length)?;
        (length > 0 && length <= MAX_REQUEST && end <= self.piece_size(piece)).then_some(BlockRef {
            piece,
            begin,
            length,
        })
    }

    /// How many 16 KiB blocks a piece has.
    pub fn block_count(&self, piece: PieceIndex) -> u32 {
        self.piece_size(piece).div_ceil(BLOCK)
    }

    /// Block `number` of a piece's 16 KiB grid.
    pub fn grid_block(&self, piece: PieceIndex, number: u32) -> Option<BlockRef> {
        let begin = number.checked_mul(BLOCK)?;
        let left = self.piece_size(piece).checked_sub(begin)?;
        (left > 0).then_some(BlockRef { piece, begin, length: left.min(BLOCK) })
    }

    /// All blocks of a piece, in order.
    pub fn blocks(&self, piece: PieceIndex) -> impl Iterator<Item = BlockRef> + '_ {
        (0..self.block_count(piece)).filter_map(move |number| self.grid_block(piece, number))
    }

    /// Whether a block holds nothing but padding, so that nobody needs to be asked for it.
    pub fn is_pad(&self, block: BlockRef) -> bool {
        self.spans(block).all(|span| span.pad)
    }

    /// The part of a block that somebody must be asked for: all of it but padding at its end. A block of nothing but padding
    /// stays whole.
    pub fn without_padding(&self, block: BlockRef) -> BlockRef {
        let whole = self.content == self.end;
        let tail = |length: u32, span: Span| if span.pad { length + span.length } else { 0 };
        let padding = if whole { 0 } else { self.spans(block).fold(0, tail) };
        if padding < block.length { BlockRef { length: block.length - padding, ..block } } else { block }
    }

    /// The runs of files that a block covers, in order.
    pub fn spans(&self, block: BlockRef) -> impl Iterator<Item = Span> + '_ {
        self.spans_between(self.piece_start(block.piece) + u64::from(block.begin), block.length)
    }

    /// The runs of files that a piece covers, in order.
    pub fn piece_spans(&self, piece: PieceIndex) -> impl Iterator<Item = Span> + '_ {
        self.spans_between(self.piece_start(piece), self.piece_size(piece))
    }

    /// The pieces that hold bytes of a file; empty for an empty or unknown file.
    pub fn pieces_of(&self, file: FileIndex) -> Range<u32> {
        match self.files.get(file.0 as usize) {
            Some(slot) if slot.length > 0 => {
                let at =
                    |offset: u64| u32::try_from(offset / u64::from(self.piece_length)).unwrap_or(u32::MAX);
                at(slot.offset)..at(slot.offset + slot.length - 1) + 1
            }
            _ => 0..0,
        }
    }

    fn piece_start(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_length)
    }

    /// The file that holds byte `at` of the piece space.
    fn file_at(&self, at: u64) -> Option<&FileSlot> {
        self.files.get(self.first_file_after(at)).filter(|file| file.offset <= at)
    }

    /// The first file that ends behind byte `at`. Ends never fall, so the list is sorted by them.
    fn first_file_after(&self, at: u64) -> usize {
        self.files.partition_point(|file| file.offset + file.length <= at)
    }

    fn spans_between(&self, start: u64, length: u32) -> impl Iterator<Item = Span> + '_ {
        let end = start + u64::from(length);
        let first = self.first_file_after(start);
        let files = self.files.iter().enumerate().skip(first);
        files.take_while(move |(_, file)| file.offset < end).filter_map(move |(index, file)| {
            let from = file.offset.max(start);
            let to = (file.offset + file.length).min(end);
            let length = u32::try_from(to.checked_sub(from)?).ok().filter(|&n| n > 0)?;
            let file_index = FileIndex(u32::try_from(index).ok()?);
            Some(Span { file: file_index, offset: from - file.offset, length, pad: file.pad })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(file: u32, offset: u64, length: u32) -> Span {
        Span { file: FileIndex(file), offset, length, pad: false }
    }

    #[test]
    fn v1_pieces_run_over_files() {
        let layout = Layout::contiguous(100, [(30, false), (0, false), (150, false), (1, false)]).unwrap();
        assert_eq!(layout.piece_count(), 2);
        assert_eq!(layout.piece_size(PieceIndex(1)), 81);
        assert_eq!(layout.piece_spans(PieceIndex(0)).collect::<Vec<_>>(), [span(0, 0, 30), span(2, 0, 70)]);
        assert_eq!(layout.piece_spans(PieceIndex(1)).collect::<Vec<_>>(), [span(2, 70, 80), span(3, 0, 1)]);
        assert_eq!(layout.pieces_of(FileIndex(2)), 0..2);
        assert_eq!(layout.pieces_of(FileIndex(1)), 0..0);
        assert_eq!(layout.content_length(), 181);
    }

    #[test]
    fn v2_files_begin_pieces() {
        let layout = Layout::aligned(100, [30, 0, 150, 1]).unwrap();
        assert_eq!(layout.piece_count(), 4);
        let sizes: Vec<u32> = (0..5).map(|i| layout.piece_size(PieceIndex(i))).collect();
        assert_eq!(sizes, [30, 100, 50, 1, 0]);
        assert_eq!(layout.piece_spans(PieceIndex(2)).collect::<Vec<_>>(), [span(2, 100, 50)]);
        assert_eq!(layout.block(0, 0, 31), None);
        assert_eq!(layout.pieces_of(FileIndex(2)), 1..3);
    }

    #[test]
    fn requests_outside_are_no_blocks() {
        let layout = Layout::contiguous(40_000, [(100_000, false)]).unwrap();
        assert!(layout.block(0, 0, BLOCK).is_some());
        for (index, begin, length) in
            [(3, 0, 1), (0, 0, 0), (0, 39_999, 2), (2, 20_000, 1), (0, u32::MAX, 2), (0, 0, u32::MAX)]
        {
            assert_eq!(layout.block(index, begin, length), None, "{index} {begin} {length}");
        }
        let lengths: Vec<u32> = layout.blocks(PieceIndex(0)).map(|b| b.length()).collect();
        assert_eq!(lengths, [16_384, 16_384, 7_232]);
    }

    #[test]
    fn padding_is_known_by_block() {
        let layout = Layout::contiguous(65_536, [(20_000, false), (45_536, true), (5, false)]).unwrap();
        let pads: Vec<bool> = layout.blocks(PieceIndex(0)).map(|b| layout.is_pad(b)).collect();
        assert_eq!(pads, [false, false, true, true]);
        let asked: Vec<u32> =
            layout.blocks(PieceIndex(0)).map(|b| layout.without_padding(b).length()).collect();
        assert_eq!(asked, [BLOCK, 20_000 - BLOCK, BLOCK, BLOCK]);
        assert_eq!(layout.content_length(), 20_005);
        assert_eq!(layout.piece_content(PieceIndex(0)), 20_000);
    }

    #[test]
    fn senseless_geometry_is_refused() {
        assert_eq!(Layout::contiguous(0, [(1, false)]), Err(LayoutError::PieceLength(0)));
        assert_eq!(Layout::contiguous(1 << 31, [(1, false)]), Err(LayoutError::PieceLength(1 << 31)));
        assert_eq!(Layout::contiguous(1 << 14, [(0, false)]), Err(LayoutError::Empty));
        let huge = (i64::MAX.unsigned_abs(), false);
        assert_eq!(Layout::contiguous(1 << 29, [huge, huge]), Err(LayoutError::Overflow));
        assert!(matches!(Layout::contiguous(1, [(5 << 20, false)]), Err(LayoutError::TooManyPieces(_))));
    }
}
