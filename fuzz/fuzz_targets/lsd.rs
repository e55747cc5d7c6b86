//! Any datagrams as a neighbour's: no panic, nothing found that is not ours, and no port 0.

#![no_main]

use std::time::Duration;

use announce::lsd::{Action, Discovery, Event};
use libfuzzer_sys::fuzz_target;
use metainfo::InfoHash;

fuzz_target!(|data: &[u8]| {
    let ours = InfoHash([0xab; 20]);
    let mut discovery = Discovery::new(6881, 7);
    discovery.handle(Duration::ZERO, Event::Join(ours));
    for bytes in [data, &[b"BT-SEARCH * HTTP/1.1\r\n", data].concat()] {
        discovery.handle(Duration::ZERO, Event::Heard { from: ([192, 168, 0, 1], 1).into(), bytes });
    }
    while let Some(action) = discovery.next_action() {
        let Action::Found { hash, at } = action else { panic!("nothing is due") };
        assert!(hash == ours && at.port() != 0);
    }
});
