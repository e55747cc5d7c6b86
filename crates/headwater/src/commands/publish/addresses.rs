//! By which addresses people reach what is published, and how a torrent names them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use metainfo::Metainfo;
use metainfo::edit::{Change, Edit};

use crate::failure::{Exit, Failure};
use crate::net::outward;
use crate::source;

/// See the module's head.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// Of the site, without a slash at its end.
    pub(super) base: String,
    /// Announce addresses of ours, a tier each; empty: we have no tracker.
    pub(super) trackers: Vec<String>,
}

impl Addresses {
    /// Those of a site that we serve ourselves.
    pub(super) fn served(base: String, tracked: bool) -> Self {
        let trackers = tracked.then(|| format!("{base}/announce")).into_iter().collect();
        Self { base, trackers }
    }

    /// The same torrent with our trackers and our web seed (BEP 19) before its own.
    pub(super) fn name_ours(&self, metainfo: &Metainfo, web_seed: String) -> Result<Arc<Metainfo>, Failure> {
        let own_tiers =
            metainfo.announce.iter().filter(|tier| !self.trackers.iter().any(|ours| tier.contains(ours)));
        let tiers: Vec<_> =
            self.trackers.iter().map(|url| vec![url.clone()]).chain(own_tiers.cloned()).collect();
        let own_seeds =
            metainfo.web_seeds.iter().filter(|url| **url != web_seed).cloned().collect::<Vec<_>>();
        let web_seeds = std::iter::once(web_seed).chain(own_seeds).collect();
        let edit = Edit { tiers: Change::Set(tiers), web_seeds: Change::Set(web_seeds), ..Edit::default() };
        let name = metainfo.info.name();
        let bytes = edit.apply(metainfo.raw()).map_err(|error| {
            Failure::new(Exit::Invalid, format!("cannot name our addresses in the torrent of {name}"))
                .because(&error)
        })?;
        source::parse(bytes.into(), name)
    }
}

/// The address people use, without a slash at its end: what the user says, else that of the listener.
pub(super) fn base_url(asked: Option<&str>, at: SocketAddr, https: bool) -> Result<String, Failure> {
    let Some(url) = asked else {
        let loopback: IpAddr =
            if at.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        let ip = if at.ip().is_unspecified() { outward(at.is_ipv6()).unwrap_or(loopback) } else { at.ip() };
        let scheme = if https { "https" } else { "http" };
        return Ok(format!("{scheme}://{}", SocketAddr::new(ip, at.port())));
    };
    public_url(url)
}

/// The address people use, without a slash at its end, as the user names it.
pub(crate) fn public_url(url: &str) -> Result<String, Failure> {
    if (url.starts_with("http://") || url.starts_with("https://")) && !host_of(url).is_empty() {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    Err(Failure::usage(format!("`{url}` is not the address of a web server"))
        .hint("--url http://files.example.org:8080"))
}

/// The host in an address of ours.
pub(super) fn host_of(base: &str) -> &str {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => authority.split(':').next().unwrap_or(authority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_in_every_form_of_an_address() {
        for (base, host) in [
            ("http://files.example.org", "files.example.org"),
            ("https://files.example.org:8443/dist", "files.example.org"),
            ("http://[2001:db8::1]:8080", "2001:db8::1"),
            ("http://192.0.2.1:8080", "192.0.2.1"),
        ] {
            assert_eq!(host_of(base), host, "{base}");
        }
    }

    #[test]
    fn the_address_is_what_the_user_says_or_that_of_the_listener() {
        let at = "127.0.0.1:8080".parse().unwrap();
        assert_eq!(base_url(None, at, false).unwrap(), "http://127.0.0.1:8080");
        assert_eq!(base_url(Some("https://x.example/"), at, false).unwrap(), "https://x.example");
        assert_eq!(base_url(Some("ftp://x.example/"), at, false).unwrap_err().exit, Exit::Usage);
    }
}
