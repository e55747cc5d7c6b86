//! Runs local service discovery (BEP 14): one multicast socket for each family, and the way from what they bring to torrents.
//!
//! One task for each engine. What is said, how often, and who is heard, is decided by `announce::lsd`; which torrents take part is
//! told by their tasks: none that is private (BEP 27). A loopback address to listen on, or the user's wish, is without it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::announce::lsd::{Action, Discovery, Event, GROUP_V4, GROUP_V6, MAX_DATAGRAM, PORT};
use metainfo::InfoHash;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::config::{Config, Listen};
use crate::context::Context;
use crate::{address, bind};

/// The torrents that take part, and when they do. The lock is a leaf.
#[derive(Debug)]
pub(crate) struct Local {
    discovery: Mutex<Discovery>,
    /// There may be another deadline.
    changed: Notify,
    start: Instant,
}

impl Local {
    /// `None`: the settings are against it.
    pub(crate) fn new(config: &Config, port: u16, start: Instant) -> Option<Self> {
        if !config.lsd || config.listen.ip.is_some_and(|ip| ip.is_loopback()) {
            return None;
        }
        let cookie = getrandom::u32().ok()?;
        Some(Self { discovery: Mutex::new(Discovery::new(port, cookie)), changed: Notify::new(), start })
    }

    pub(crate) fn join(&self, hash: InfoHash) {
        self.tell(Event::Join(hash));
        self.changed.notify_one();
    }

    pub(crate) fn leave(&self, hash: InfoHash) {
        self.tell(Event::Leave(hash));
    }

    /// Whether nothing will be said.
    #[cfg(test)]
    pub(crate) fn is_quiet(&self) -> bool {
        self.discovery().next_deadline().is_none()
    }

    fn tell(&self, event: Event<'_>) {
        let mut discovery = self.discovery();
        discovery.handle(self.start.elapsed(), event);
    }

    fn discovery(&self) -> MutexGuard<'_, Discovery> {
        self.discovery.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs as long as the engine; what neighbours have in common with us goes to the session.
pub(crate) async fn run(context: Arc<Context>, found: mpsc::Sender<(InfoHash, SocketAddr)>) {
    let Some(local) = &context.local else { return };
    let mut v4 = Group::open(GROUP_V4.into(), &context.config).await;
    let mut v6 = Group::open(GROUP_V6.into(), &context.config).await;
    while v4.is_some() || v6.is_some() {
        let deadline = local.discovery().next_deadline();
        tokio::select! {
            () = hear(&mut v4, local) => {}
            () = hear(&mut v6, local) => {}
            () = local.changed.notified() => {}
            () = sleep_until(context.start + deadline.unwrap_or_default()), if deadline.is_some() => local.tell(Event::Tick),
        }
        loop {
            let action = local.discovery().next_action();
            match action {
                Some(Action::Announce { v4: to_v4, v6: to_v6 }) => {
                    for (group, bytes) in [(&mut v4, to_v4), (&mut v6, to_v6)] {
                        if let Some(group) = group {
                            group.say(&bytes).await;
                        }
                    }
                }
                Some(Action::Found { hash, at }) => {
                    tracing::debug!(%hash, %at, "a neighbour");
                    if found.send((hash, at)).await.is_err() {
                        return;
                    }
                }
                None => break,
            }
        }
    }
}

/// One family's socket.
struct Group {
    socket: UdpSocket,
    at: SocketAddr,
    listen: Listen,
    /// An address of ours in this family, by which we know a network of public addresses.
    ours: Option<IpAddr>,
    buffer: [u8; MAX_DATAGRAM + 1],
}

impl Group {
    /// `None`: we do not listen in this family, or the system does not want to.
    async fn open(ip: IpAddr, config: &Config) -> Option<Self> {
        let heard = config.listen.ip.is_none_or(|own| own.is_unspecified() || own.is_ipv4() == ip.is_ipv4());
        if !heard || !config.families.allow(ip) {
            return None;
        }
        let at = SocketAddr::new(ip, PORT);
        let socket = match bind::group(at) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%at, %error, "no local discovery");
                return None;
            }
        };
        let mut group = Self { socket, at, listen: config.listen, ours: None, buffer: [0; MAX_DATAGRAM + 1] };
        group.look_around().await;
        Some(group)
    }

    /// Joins on interfaces that have come since the last time, too; those to speak on.
    async fn look_around(&mut self) -> Vec<u32> {
        let out = bind::datagrams_to(self.at, self.listen).await.and_then(|socket| socket.local_addr());
        self.ours = out.ok().map(|at| at.ip());
        bind::join(&self.socket, self.at.ip(), self.listen)
    }

    async fn say(&mut self, bytes: &[u8]) {
        for interface in self.look_around().await {
            let sent = match bind::speak_on(&self.socket, self.at.ip(), interface) {
                Ok(()) => self.socket.send_to(bytes, self.at).await,
                Err(error) => Err(error),
            };
            // An interface without a way to the group is none of ours.
            tracing::debug!(at = %self.at, interface, ?sent, "told the neighbours");
        }
    }
}

/// Waits for one datagram and hands it over, if it is a neighbour's. A socket that fails is given up.
async fn hear(group: &mut Option<Group>, local: &Local) {
    let Some(open) = group else { return std::future::pending().await };
    match open.socket.recv_from(&mut open.buffer).await {
        Ok((length, from)) if is_neighbour(from.ip(), open.ours) => {
            local.tell(Event::Heard { from, bytes: open.buffer.get(..length).unwrap_or_default() });
        }
        Ok((_, from)) => tracing::debug!(%from, "a stranger who says that he is a neighbour"),
        Err(error) => {
            tracing::warn!(at = %open.at, %error, "no local discovery any more");
            *group = None;
        }
    }
}

/// Whether an address is one of the local network: not of the internet, or beside our own (a /24 of IPv4, a /64 of IPv6).
fn is_neighbour(from: IpAddr, ours: Option<IpAddr>) -> bool {
    if from.is_loopback() || from.is_unspecified() || from.is_multicast() {
        return false;
    }
    let beside = match (from, ours) {
        (IpAddr::V4(from), Some(IpAddr::V4(ours))) => from.octets()[..3] == ours.octets()[..3],
        (IpAddr::V6(from), Some(IpAddr::V6(ours))) => from.octets()[..8] == ours.octets()[..8],
        _ => false,
    };
    beside || !address::is_global(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_local_network_are_neighbours() {
        let check = |neighbour: bool, from: &str, ours: &str| {
            let is = is_neighbour(from.parse().unwrap(), ours.parse().ok());
            assert_eq!(is, neighbour, "{from} for {ours}");
        };
        for from in ["10.1.2.3", "192.168.0.9", "169.254.3.4", "fe80::1", "fd00::1"] {
            check(true, from, "");
        }
        for from in ["9.9.9.9", "2606:4700::1111", "127.0.0.1", "::1", "0.0.0.0", "::ffff:9.9.9.9"] {
            check(false, from, "");
        }
        check(true, "9.9.9.10", "9.9.9.9");
        check(false, "9.9.8.10", "9.9.9.9");
        check(true, "2606:4700::2", "2606:4700::1111");
        check(false, "2606:4700:0:1::2", "2606:4700::1111");
    }

    #[test]
    fn a_loopback_address_or_the_users_wish_is_without_local_discovery() {
        let local = |lsd: bool, ip: Option<&str>| {
            let listen = Listen { ip: ip.map(|ip| ip.parse().unwrap()), port: None };
            let config = Config { listen, lsd, ..Config::new(std::path::PathBuf::new()) };
            Local::new(&config, 1, Instant::now()).is_some()
        };
        assert!(local(true, None) && local(true, Some("192.0.2.1")));
        assert!(!local(true, Some("127.0.0.1")) && !local(true, Some("::1")) && !local(false, None));
    }
}
