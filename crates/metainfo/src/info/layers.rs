//! The `piece layers` of a metainfo file: hashes of pieces, proved by the roots in the info dictionary (BEP 52).
//!
//! They stand outside `info`, so a torrent that came from a peer lacks them.

use std::collections::BTreeMap;

use bencode::Value;
use bytes::Bytes;

use super::Info;
use crate::{ParseError, merkle};

/// A layer that was found, and whether some file has proved it.
struct Layer {
    hashes: Bytes,
    proved: bool,
}

impl Info {
    /// Takes the layers of `value`, whose bytes stand in `source`. Says whether none is missing.
    pub(crate) fn take_layers(&mut self, value: Value<'_>, source: &Bytes) -> Result<bool, ParseError> {
        let dict = value.dict().ok_or(ParseError::PieceLayers("is not a dictionary"))?;
        let mut found = BTreeMap::new();
        for (root, value) in dict.iter() {
            let span = value.bytes_span().ok_or(ParseError::PieceLayers("has an entry that is no string"))?;
            found.insert(root, Layer { hashes: source.slice(span), proved: false });
        }
        let piece_length = self.layout.piece_length();
        let mut layers = Vec::new();
        for (index, file, root) in self.layered_files() {
            let Some(layer) = found.get_mut(root.as_slice()) else { continue };
            let pieces = file.length.div_ceil(piece_length.into());
            if layer.hashes.len() as u64 != pieces * 32 {
                return Err(ParseError::PieceLayers("has a layer of the wrong length"));
            }
            // Files of equal content share a layer: it is hashed once.
            if !layer.proved {
                let hashes = layer.hashes.as_chunks::<32>().0.iter().copied();
                if merkle::root_of_layer(hashes, piece_length) != *root {
                    return Err(ParseError::PieceLayers("has a layer that does not match its root"));
                }
                layer.proved = true;
            }
            layers.push((index, layer.hashes.clone()));
        }
        if found.values().any(|layer| !layer.proved) {
            return Err(ParseError::PieceLayers("has an entry that belongs to no file"));
        }
        self.layers = layers;
        Ok(self.has_all_hashes())
    }
}
