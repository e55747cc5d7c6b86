//! How large a datagram the path takes: found by sending larger ones that must not be fragmented.
//!
//! Part of `Sender`. Sizes are those of UDP payloads.

use std::net::IpAddr;

/// What every IPv4 path takes: 576 bytes less IP and UDP headers. IPv6 paths take more.
const EVERY_PATH: usize = 576 - 28;

/// The largest UDP payload there is, in IPv4.
pub(crate) const MOST: usize = 65_507;

/// The search ends when this little is left to gain.
const CLOSE: usize = 16;

/// How often a size must be lost before it is held to be too large: the first time may have been bad luck.
const TRIES: u8 = 2;

/// The search for the largest datagram.
#[derive(Debug)]
pub(crate) struct Path {
    /// Known to pass.
    passes: usize,
    /// May pass.
    may_pass: usize,
    /// The size to try, or under way: the largest at first, for most paths take it.
    next: usize,
    under_way: bool,
    lost: u8,
    /// It does not end at the interface's MTU.
    is_wide: bool,
}

impl Path {
    /// A path that begins at an interface of this MTU, if it leaves the machine.
    pub(crate) fn new(to: IpAddr, interface: usize) -> Self {
        let to = to.to_canonical();
        let headers = if to.is_ipv4() { 28 } else { 48 };
        let passes = EVERY_PATH;
        let may_pass = interface.saturating_sub(headers).clamp(passes, MOST);
        Self { passes, may_pass, next: may_pass, under_way: false, lost: 0, is_wide: false }
    }

    /// The size for datagrams that should arrive.
    pub(crate) fn size(&self) -> usize {
        self.passes
    }

    /// The size to try next, if it is time to try one.
    pub(crate) fn next_probe(&self) -> Option<usize> {
        (!self.under_way && self.may_pass - self.passes > CLOSE).then_some(self.next)
    }

    /// The peer takes datagrams of this size, and the path is no path but loopback.
    pub(crate) fn widen(&mut self, takes: usize) {
        if !self.under_way && !self.is_wide {
            (self.is_wide, self.lost) = (true, 0);
            self.may_pass = takes.clamp(self.passes, MOST);
            self.next = self.may_pass;
        }
    }

    pub(crate) fn probe_sent(&mut self) {
        self.under_way = true;
    }

    pub(crate) fn probe_arrived(&mut self) {
        self.passes = self.next;
        self.go_on();
    }

    pub(crate) fn probe_lost(&mut self) {
        self.under_way = false;
        self.lost += 1;
        if self.lost == TRIES {
            self.may_pass = self.next - 1;
            self.go_on();
        }
    }

    fn go_on(&mut self) {
        (self.under_way, self.lost) = (false, 0);
        self.next = usize::midpoint(self.passes, self.may_pass);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(to: &str, takes: usize) -> (usize, usize) {
        let mut path = Path::new(to.parse().unwrap(), 1500);
        let mut probes = 0;
        while let Some(size) = path.next_probe() {
            path.probe_sent();
            assert_eq!(path.next_probe(), None);
            if size <= takes {
                path.probe_arrived();
            } else {
                path.probe_lost();
            }
            probes += 1;
        }
        (path.size(), probes)
    }

    #[test]
    fn the_size_that_a_path_takes_is_found() {
        assert_eq!(search("192.0.2.1", 1472), (1472, 1));
        assert_eq!(search("2001:db8::1", 1452), (1452, 1));
        for takes in (EVERY_PATH..1472).step_by(13) {
            let (size, probes) = search("192.0.2.1", takes);
            assert!(
                size <= takes && takes - size <= 2 * CLOSE && probes <= 20,
                "{takes}: {size} after {probes}"
            );
        }
    }

    #[test]
    fn loopback_is_as_wide_as_the_peer_says() {
        let mut path = Path::new("127.0.0.1".parse().unwrap(), 1500);
        path.probe_sent();
        path.widen(65_507);
        assert_eq!(path.size(), EVERY_PATH);
        path.probe_arrived();
        assert_eq!((path.size(), path.next_probe()), (1472, None));
        path.widen(65_507);
        assert_eq!(path.next_probe(), Some(65_507));
        path.probe_sent();
        path.probe_arrived();
        assert_eq!((path.size(), path.next_probe()), (65_507, None));
    }

    #[test]
    fn one_loss_is_bad_luck() {
        let mut path = Path::new("192.0.2.1".parse().unwrap(), 1500);
        path.probe_sent();
        path.probe_lost();
        assert_eq!(path.next_probe(), Some(1472));
    }
}
