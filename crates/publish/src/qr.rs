//! A magnet link as a QR code: an SVG picture of one path, in the colour of its surroundings.

use std::fmt::Write as _;

use metainfo::Magnet;
use qrcode::{Color, EcLevel, QrCode};

/// White around the code, in modules: the four that the standard asks for.
const QUIET: usize = 4;

/// The longest link in a code, in bytes: a larger code has modules too small for a phone at arm's length.
const MAX_LINK: usize = 800;

/// The picture; a link too long for it is cut to the torrent's hashes and first tracker. `None` if even that does not fit.
pub(crate) fn picture(magnet: &Magnet) -> Option<String> {
    let full = magnet.to_string();
    if full.len() <= MAX_LINK {
        return draw(&full);
    }
    let trackers = magnet.trackers.iter().take(1).cloned().collect();
    draw(&Magnet { trackers, ..Magnet::new(magnet.hashes) }.to_string())
}

fn draw(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let mut path = String::new();
    for (y, row) in code.to_colors().chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run[0] == Color::Dark {
                // Writing to a string cannot fail.
                _ = write!(path, "M{} {}h{}v1h-{}z", x + QUIET, y + QUIET, run.len(), run.len());
            }
            x += run.len();
        }
    }
    let side = width + 2 * QUIET;
    Some(format!(
        "<svg class=\"qr\" viewBox=\"0 0 {side} {side}\" role=\"img\" aria-label=\"QR code of the magnet link\" \
         shape-rendering=\"crispEdges\"><path fill=\"currentColor\" d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use metainfo::{InfoHash, InfoHashes};

    use super::*;

    fn magnet(trackers: usize) -> Magnet {
        let tracker = |number| format!("https://tracker{number}.example.org/announce");
        let hashes = InfoHashes { v1: Some(InfoHash([7; 20])), v2: None };
        Magnet { trackers: (0..trackers).map(tracker).collect(), ..Magnet::new(hashes) }
    }

    #[test]
    fn a_code_has_quiet_space_around_it_and_its_corner_mark() {
        let picture = picture(&magnet(1)).unwrap();
        // The upper edge of a finder pattern: seven dark modules after the quiet ones.
        assert!(picture.contains("d=\"M4 4h7v1h-7z"), "{picture}");
    }

    #[test]
    fn a_link_too_long_for_a_phone_is_shortened() {
        assert_eq!(picture(&magnet(100)), picture(&magnet(1)));
    }
}
