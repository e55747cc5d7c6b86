//! Any text as a magnet link: no panic, and what is read is written as a link that reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use metainfo::Magnet;

fuzz_target!(|text: &str| {
    if let Ok(magnet) = Magnet::parse(text) {
        let written = magnet.to_string();
        let again = Magnet::parse(&written).expect("our own link is refused");
        assert_eq!(again.hashes, magnet.hashes);
        assert_eq!(again.to_string(), written);
    }
});
