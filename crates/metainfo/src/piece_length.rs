//! How long the pieces of a new torrent should be.
//!
//! A recommendation only: a torrent may have any piece length that [`Layout`] accepts.

use crate::{Format, Layout};

/// Pieces the recommendation aims at, at most: their hashes are then 40 KB (v1), and a peer's bitfield 250 bytes.
const TARGET_PIECES: u64 = 2000;
/// The shortest piece: one block. BEP 52 allows no shorter.
const SHORTEST: u64 = 16 << 10;
/// The longest piece chosen while the number of pieces allows it: a piece is the least that can be verified and passed on.
const LONGEST: u64 = 16 << 20;

/// The recommended piece length in bytes for files of these sizes: a power of two, at least 16 KiB.
///
/// In a hybrid torrent every file but the last is padded to a whole piece, so that the pieces of a tree with many small files
/// are made shorter as long as the padding outweighs the content.
pub fn choose(total: u64, files: &[u64], format: Format) -> u32 {
    let mut length =
        (total / TARGET_PIECES).checked_next_power_of_two().unwrap_or(LONGEST).clamp(SHORTEST, LONGEST);
    if length * TARGET_PIECES < total && length < LONGEST {
        length *= 2;
    }
    while total.div_ceil(length) > Layout::MAX_PIECES / 2 && length < Layout::MAX_PIECE_LENGTH {
        length *= 2;
    }
    if format == Format::Hybrid {
        while length > SHORTEST && padding(files, length) > total {
            length /= 2;
        }
    }
    u32::try_from(length).unwrap_or(1 << 30)
}

/// Bytes of padding that a hybrid torrent of these files has.
fn padding(files: &[u64], piece_length: u64) -> u64 {
    let padded = files.split_last().map_or(&[][..], |(_, rest)| rest);
    padded.iter().map(|&length| length.next_multiple_of(piece_length) - length).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_with_the_content() {
        for (total, expected) in [
            (0, 16 << 10),
            (1, 16 << 10),
            (2000 * (16 << 10), 16 << 10),
            (2000 * (16 << 10) + 1, 32 << 10),
            (1 << 30, 1 << 20),
            (4_402_341_478, 4 << 20),
            (1 << 40, 16 << 20),
            (1 << 50, 1 << 29),
        ] {
            assert_eq!(choose(total, &[total], Format::Hybrid), expected, "{total}");
        }
    }

    #[test]
    fn padding_never_outweighs_the_content_where_shorter_pieces_help() {
        let files = vec![100_000; 20_000];
        let total = files.iter().sum();
        assert_eq!(choose(total, &files, Format::V1), 1 << 20);
        assert_eq!(choose(total, &files, Format::V2), 1 << 20);
        let length = choose(total, &files, Format::Hybrid);
        assert!(padding(&files, length.into()) <= total && padding(&files, 2 * u64::from(length)) > total);
        assert_eq!(choose(10_000 * 10, &vec![10; 10_000], Format::Hybrid), 16 << 10);
    }
}
