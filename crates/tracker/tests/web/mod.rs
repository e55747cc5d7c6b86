//! Front ends that are asked by URL: what they have in common.

use std::io::{Read, Write};
use std::net::IpAddr;

use announce::http::{announce_url, parse_reply, parse_scrape, scrape_url};
use announce::{Announce, AnnounceReply, ReplyError, ScrapeEntry};
use metainfo::InfoHash;
use tracker::{Config, Tracker};

use crate::contract::FrontEnd;

/// A front end that gives an answer's body for a path and query.
pub(crate) trait Web {
    /// Starts one; it trusts 127.0.0.1 to be a proxy.
    fn start(config: Config) -> Self;
    fn tracker(&self) -> &Tracker;
    /// Asks from 127.0.0.1, on behalf of `from` if given.
    fn get(&mut self, target: &str, from: Option<IpAddr>) -> Vec<u8>;
}

impl<W: Web> FrontEnd for W {
    fn new(config: Config) -> Self {
        W::start(Config { trust_proxy: vec!["127.0.0.1".parse().unwrap()], ..config })
    }

    fn tracker(&self) -> &Tracker {
        Web::tracker(self)
    }

    fn announce(&mut self, from: IpAddr, announce: &Announce) -> Result<AnnounceReply, String> {
        parse_reply(&self.get(&announce_url("/KEY/announce", announce).unwrap(), Some(from))).map_err(reason)
    }

    fn announce_here(&mut self, announce: &Announce) -> Result<AnnounceReply, String> {
        parse_reply(&self.get(&announce_url("/announce", announce).unwrap(), None)).map_err(reason)
    }

    fn scrape(&mut self, hashes: &[InfoHash]) -> Result<Vec<(InfoHash, ScrapeEntry)>, String> {
        parse_scrape(&self.get(&scrape_url("/announce", hashes).unwrap(), None)).map_err(reason)
    }
}

/// Asks on a connection that stays open, and gives the answer's head and body.
#[allow(dead_code, reason = "not every front end has connections")]
pub(crate) fn ask(
    connection: &mut (impl Read + Write),
    target: &str,
    from: Option<IpAddr>,
) -> (String, Vec<u8>) {
    let proxy = from.map(|from| format!("X-Forwarded-For: {from}\r\n")).unwrap_or_default();
    let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\n{proxy}\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    connection.read_exact(&mut body).unwrap();
    (head, body)
}

fn reason(error: ReplyError) -> String {
    match error {
        ReplyError::Failure { reason, .. } => reason,
        ReplyError::Malformed(what) => panic!("{what}"),
    }
}
