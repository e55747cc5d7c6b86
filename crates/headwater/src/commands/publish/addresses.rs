//! By which addresses people reach what is published, and how a torrent names them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use metainfo::Metainfo;
use metainfo::edit::{Change, Edit};

use crate::failure::{Exit, Failure};
use crate::source;

/// See the module's head.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// Of the site, without a slash at its end.
    pub(super) base: String,
    /// Announce addresses of ours, a tier each; empty: we have no tracker.
    pub(super) trackers: Vec<String>,
    /// What stands between the base and a torrent's name in the address of its web seed (BEP 19); `HASH` is replaced.
    pub(super) web_seed: String,
}

impl Addresses {
    /// Those of a site that we serve ourselves.
    pub(super) fn served(base: String, tracked: bool) -> Self {
        let trackers = tracked.then(|| format!("{base}/announce")).into_iter().collect();
        Self { base, trackers, web_seed: "/seed/HASH/".into() }
    }

    /// The same torrent with our trackers and our web seed before its own.
    pub(super) fn name_ours(&self, metainfo: &Metainfo) -> Result<Arc<Metainfo>, Failure> {
        let own_tiers =
            metainfo.announce.iter().filter(|tier| !self.trackers.iter().any(|ours| tier.contains(ours)));
        let tiers: Vec<_> =
            self.trackers.iter().map(|url| vec![url.clone()]).chain(own_tiers.cloned()).collect();
        let ours = self.base.clone() + &self.web_seed.replace("HASH", &metainfo.info.wire_hash().to_string());
        let own_seeds = metainfo.web_seeds.iter().filter(|url| **url != ours).cloned();
        let web_seeds = std::iter::once(ours.clone()).chain(own_seeds).collect();
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
        let ip = if at.ip().is_unspecified() { outward_address(at.ip()) } else { at.ip() };
        let scheme = if https { "https" } else { "http" };
        return Ok(format!("{scheme}://{}", SocketAddr::new(ip, at.port())));
    };
    if url.starts_with("http://") || url.starts_with("https://") {
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

/// The address of this machine that others are likely to reach: that of the way out. No packet is sent to find it.
fn outward_address(unspecified: IpAddr) -> IpAddr {
    let address = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        // Any address outside will do; this one is set aside for documentation.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    let found = address.map(|address| address.ip()).ok().filter(|ip| !ip.is_unspecified());
    let loopback =
        || if unspecified.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
    found.unwrap_or_else(loopback)
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
