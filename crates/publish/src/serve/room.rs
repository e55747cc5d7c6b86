//! Who is connected, who has been slow for too long, and who makes way when the last place is taken.
//!
//! Owned by `serve`. It looks round once in a while instead of setting a timer for each connection, and speaks no HTTP.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::future::{Future, pending};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::timeout;

use super::link::{Link, Waits};
use super::{Counts, Limits, Site};

/// How many bytes are more than nothing: a client that takes fewer in the time of a stall has stalled. More than the
/// pings that HTTP/2 sends by itself.
const TRICKLE: u64 = 1 << 10;

/// The longest time between two looks round, by which limits are late.
const ROUND: Duration = Duration::from_secs(1);

/// When more than three quarters of the places are taken, waiting is allowed this many times shorter.
const HURRY: u32 = 4;

/// One connection of this many makes way when the last place is taken, so that choosing is not done for each.
const WAY: usize = 64;

/// Part of the time for a head that a connection must have been quiet to make way: a flood of new ones does not drive
/// out those that have only just come.
const QUIET: u32 = 10;

/// All connections.
pub(super) struct Room {
    limits: Limits,
    site: Arc<Site>,
    tasks: JoinSet<()>,
    seats: HashMap<Id, Seat>,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection.
struct Seat {
    link: Arc<Link>,
    task: AbortHandle,
    /// Where it comes from, if that is counted.
    address: Option<IpAddr>,
    /// When its client last took more than a trickle, and what it had taken then.
    moved: Duration,
    mark: u64,
}

impl Room {
    pub(super) fn new(limits: Limits, site: Arc<Site>) -> Self {
        let (seats, by_address) = (HashMap::new(), HashMap::new());
        Self { limits, site, tasks: JoinSet::new(), seats, by_address }
    }

    /// How often to look round.
    pub(super) fn round(&self) -> Duration {
        let shortest = self.limits.head.min(self.limits.idle).min(self.limits.stall);
        (shortest / 4).clamp(Duration::from_millis(10), ROUND)
    }

    /// Whether one more can be admitted.
    pub(super) fn has_place(&self) -> bool {
        self.seats.len() < self.limits.connections.max(1)
    }

    /// Gives a connection a seat, unless its address has too many.
    pub(super) fn admit<F>(&mut self, from: IpAddr, converse: impl FnOnce(Arc<Link>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = (!from.is_loopback() && !(self.site.is_proxy)(from)).then(|| network(from));
        if let Some(address) = address {
            let seated = self.by_address.entry(address).or_default();
            if *seated >= self.limits.per_address {
                self.counts().turned_away.fetch_add(1, Relaxed);
                return;
            }
            *seated += 1;
        }
        let link = Arc::new(Link::new(Arc::clone(&self.site.counts)));
        let task = self.tasks.spawn(converse(Arc::clone(&link)));
        self.seats.insert(task.id(), Seat { link, task, address, moved: Duration::ZERO, mark: 0 });
        if !self.has_place() {
            self.make_way();
        }
    }

    /// Completes when a connection has ended; never if there is none.
    pub(super) async fn one_left(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(ended)) => ended.id(),
            None => return pending().await,
        };
        if let Some(address) = self.seats.remove(&id).and_then(|seat| seat.address)
            && let Some(seated) = self.by_address.get_mut(&address)
        {
            *seated -= 1;
            if *seated == 0 {
                self.by_address.remove(&address);
            }
        }
    }

    /// Closes the connections that have been slow or idle for too long.
    pub(super) fn look_round(&mut self) {
        let mut limits = self.limits;
        if self.seats.len() > limits.connections / 4 * 3 {
            (limits.head, limits.idle) = (limits.head / HURRY, limits.idle / HURRY);
        }
        for seat in self.seats.values_mut() {
            if seat.is_overdue(&limits) {
                seat.close(&self.site.counts);
            }
        }
        if !self.has_place() {
            self.make_way();
        }
    }

    /// Closes those that have been quiet for longest: first of those that nothing is owed to.
    pub(super) fn make_way(&mut self) {
        let at_least = self.limits.head / QUIET;
        let quiet = self.seats.values().map(|seat| (seat.quiet(), seat));
        let mut quiet: Vec<_> = quiet.filter(|((_, time), _)| *time >= at_least).collect();
        let count = (self.seats.len() / WAY).max(1);
        if quiet.len() > count {
            quiet.select_nth_unstable_by_key(count, |(quiet, _)| Reverse(*quiet));
        }
        quiet.iter().take(count).for_each(|(_, seat)| seat.close(self.counts()));
    }

    /// Waits until all have left, but no longer than `time`.
    pub(super) async fn empty(mut self, time: Duration) {
        let _ = timeout(time, async { while self.tasks.join_next().await.is_some() {} }).await;
    }

    fn counts(&self) -> &Counts {
        &self.site.counts
    }
}

impl Seat {
    /// Whether its time is up.
    fn is_overdue(&mut self, limits: &Limits) -> bool {
        let (age, written) = (self.link.age(), self.link.written());
        let waits = self.link.waits();
        if waits != Waits::Client || written - self.mark >= TRICKLE || self.link.rested() > self.moved {
            (self.moved, self.mark) = (age, written);
        }
        match waits {
            Waits::Head(since) => age.saturating_sub(since) > limits.head,
            Waits::Request(since) => age.saturating_sub(since) > limits.idle,
            Waits::Client => age.saturating_sub(self.moved) > limits.stall,
        }
    }

    /// Whether nothing is owed to it, and since when it has been quiet.
    fn quiet(&self) -> (bool, Duration) {
        let (owed_nothing, since) = match self.link.waits() {
            Waits::Head(since) | Waits::Request(since) => (true, since),
            Waits::Client => (false, self.moved),
        };
        (owed_nothing, self.link.age().saturating_sub(since))
    }

    fn close(&self, counts: &Counts) {
        tracing::debug!(waits = ?self.link.waits(), "connection closed");
        counts.closed.fetch_add(1, Relaxed);
        self.task.abort();
    }
}

/// What counts as one address: an IPv6 host has a whole /64 to itself.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests;
