//! Any bytes as the query of a tracker request: no panic, and whatever it says is answered in bencoding.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use announce::http::{encode_failure, encode_scrape, parse_query, parse_scrape_query};
use bencode::Options;
use libfuzzer_sys::fuzz_target;
use tracker::{Caller, Config, Found, Tracker};

const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fuzz_target!(|data: &[u8]| {
    let tracker = Tracker::new(Config::default(), [7; 16]);
    let now = Duration::from_secs(1);
    match parse_query(data) {
        Ok(announce) => {
            assert_ne!(announce.port, 0);
            let standing =
                tracker.announce(now, Caller { from: FROM, reached: None }, &announce, &mut Found::default());
            assert!(standing.is_ok(), "an open tracker refuses a good announce");
        }
        Err(bad) => {
            let mut out = Vec::new();
            encode_failure(&bad.to_string(), None, &mut out);
            assert!(bencode::decode(&out, Options::STRICT).is_ok());
        }
    }
    if let Ok(hashes) = parse_scrape_query(data)
        && let Ok(mut entries) = tracker.scrape(&hashes)
    {
        let mut out = Vec::new();
        encode_scrape(&mut entries, &mut out);
        assert!(bencode::decode(&out, Options::STRICT).is_ok());
    }
});
