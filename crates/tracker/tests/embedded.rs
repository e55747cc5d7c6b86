//! The tracker inside another web server: the contract through `http::answer`.

mod contract;
mod web;

use std::net::{IpAddr, Ipv4Addr};

use announce::http::announce_url;
use contract::{contract_tests, downloader};
use tracker::http::{Client, answer};
use tracker::{Config, Tracker};
use web::Web;

struct Embedded(Tracker);

impl Embedded {
    fn ask(&self, target: &str, from: Option<IpAddr>) -> Option<Vec<u8>> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let here = Ipv4Addr::LOCALHOST.into();
        let list = from.map(|from| from.to_string());
        let client =
            Client { from: here, reached: Some(here), x_forwarded_for: list.as_deref(), forwarded: None };
        answer(&self.0, path, query, client).map(|answer| answer.body.to_vec())
    }
}

impl Web for Embedded {
    fn start(config: Config) -> Self {
        Self(Tracker::new(config, [7; 16]))
    }

    fn tracker(&self) -> &Tracker {
        &self.0
    }

    fn get(&mut self, target: &str, from: Option<IpAddr>) -> Vec<u8> {
        self.ask(target, from).unwrap()
    }
}

contract_tests!(Embedded);

#[test]
fn only_the_trackers_paths_are_answered() {
    let front = Embedded::start(Config::default());
    let target = announce_url("/announce", &downloader(1)).unwrap();
    let query = target.split_once('?').unwrap().1;
    for (path, ours) in [("/announce", true), ("/KEY/announce", true), ("/", false), ("/announce/x", false)] {
        assert_eq!(front.ask(&format!("{path}?{query}"), None).is_some(), ours, "{path}");
    }
}
