//! From network flags to an engine's configuration; and the refusal of what is not supported.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use engine::{Config, Families, Listen};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::Net;
use crate::config::StateDir;
use crate::failure::{Exit, Failure};

/// An engine's configuration as the flags want it, with limits in bytes per second.
pub(crate) fn engine_config(
    net: &Net,
    state: &StateDir,
    download_limit: Option<u64>,
    upload_limit: Option<u64>,
) -> Result<Config, Failure> {
    refuse_unsupported(net)?;
    let mut config = Config::new(state.path().to_owned());
    config.listen = net.listen.as_deref().map(parse_listen).transpose()?.unwrap_or_default();
    config.download_limit = download_limit;
    config.upload_limit = upload_limit;
    config.allow_local = net.allow_local;
    config.tcp = !net.no_tcp;
    config.utp = !net.no_utp;
    config.lsd = !net.no_lsd;
    config.pex = !net.no_pex;
    config.ca_file.clone_from(&net.ca_file);
    config.families = match (net.ipv4, net.ipv6) {
        (true, _) => Families::V4,
        (_, true) => Families::V6,
        _ => Families::Both,
    };
    config.encryption = net.encryption.map_or(engine::Encryption::Prefer, Into::into);
    if let Some(max) = net.max_peers {
        config.max_peers = usize::try_from(max).unwrap_or(usize::MAX);
    }
    Ok(config)
}

/// The addresses of `HOST:PORT` texts.
pub(crate) async fn resolve(peers: &[String]) -> Result<Vec<SocketAddr>, Failure> {
    let mut found = Vec::new();
    for peer in peers {
        let port = peer.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            return Err(
                Failure::usage(format!("`{peer}` is not an address of a peer")).hint("--peer HOST:PORT")
            );
        }
        let addresses = tokio::net::lookup_host(peer).await.map_err(|error| {
            Failure::new(Exit::Network, format!("no address for the peer {peer}")).because(&error)
        })?;
        found.extend(addresses);
    }
    Ok(found)
}

/// Lets this process have as many descriptors as the system allows it: a server has one for each of its clients, and
/// the usual limit of 1024 is there for programs that cannot count further.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it may not be raised, the server has room for fewer.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// What the user of a server whose certificate proves nothing may do; `why` says what is wrong with it.
pub(crate) fn distrust_hint(why: &str) -> &'static str {
    if why.contains("issuer") {
        "if you know whose server it is, trust the certificates of a file: --ca-file FILE"
    } else {
        "tell the owner of the server: until its certificate is renewed nobody can tell whose it is"
    }
}

/// The address of this machine that a packet to the outside would come from. None is sent.
pub(crate) fn outward(v6: bool) -> Option<IpAddr> {
    // Addresses that are set aside for documentation: any outside will do.
    let (from, to): (IpAddr, IpAddr) = if v6 {
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into())
    } else {
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into())
    };
    let socket = UdpSocket::bind((from, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    socket.local_addr().ok().map(|at| at.ip())
}

/// What a failing flag's user may do instead.
pub(crate) fn refuse(flag: &str, hint: &str) -> Failure {
    Failure::usage(format!("{flag} is not supported")).hint(hint)
}

/// Refuses the first flag of a list that is set: (is set, flag, hint).
pub(crate) fn refuse_any(flags: &[(bool, &str, &str)]) -> Result<(), Failure> {
    flags.iter().find(|(set, ..)| *set).map_or(Ok(()), |(_, flag, hint)| Err(refuse(flag, hint)))
}

fn refuse_unsupported(net: &Net) -> Result<(), Failure> {
    refuse_any(&[
        (net.interface.is_some(), "--interface", "bind to the address of the interface: --listen IP:PORT"),
        (net.proxy.is_some(), "--proxy", "connections are direct: leave it out only if that is acceptable"),
        (net.blocklist.is_some(), "--blocklist", "block the addresses in the firewall"),
    ])
}

/// Reads `PORT`, `:PORT`, `IP:PORT` or `[IP]:PORT`.
pub(crate) fn parse_listen(text: &str) -> Result<Listen, Failure> {
    let complaint = || {
        Failure::usage(format!("`{text}` is no address to listen on"))
            .hint("--listen :6881 or --listen 127.0.0.1:6881")
    };
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        return Ok(Listen { ip: None, port: Some(port) });
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Listen { ip: Some(address.ip()), port: Some(address.port()) });
    }
    let ip: IpAddr = text.parse().map_err(|_| complaint())?;
    Ok(Listen { ip: Some(ip), port: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_address_may_lack_either_half() {
        for (text, ip, port) in [
            ("6881", None, Some(6881)),
            (":0", None, Some(0)),
            ("127.0.0.1:7000", Some("127.0.0.1"), Some(7000)),
            ("[::1]:7000", Some("::1"), Some(7000)),
            ("::1", Some("::1"), None),
        ] {
            let ip = ip.map(|ip| ip.parse().unwrap());
            assert_eq!(parse_listen(text).unwrap(), Listen { ip, port }, "{text}");
        }
        assert_eq!(parse_listen("nowhere:1").unwrap_err().exit, Exit::Usage);
    }
}
