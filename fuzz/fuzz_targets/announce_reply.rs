//! Any bytes as a tracker's reply: no panic, and no peer that cannot be dialled.

#![no_main]

use announce::http::{INTERVALS, MAX_PEERS, MAX_SCRAPED, parse_reply, parse_scrape};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(reply) = parse_reply(data) {
        assert!(reply.peers.len() <= MAX_PEERS);
        assert!(reply.peers.iter().all(|peer| peer.port() != 0));
        assert!(INTERVALS.contains(&reply.interval));
    }
    if let Ok(entries) = parse_scrape(data) {
        assert!(entries.len() <= MAX_SCRAPED);
    }
});
