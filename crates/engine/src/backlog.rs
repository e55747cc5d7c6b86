//! Bytes received that the disk threads have not hashed and written yet, and those who wait for them to become fewer.
//!
//! Shared by all torrents and peers. It stops nobody: peers look before they read, so that a slow disk shows to the sender as
//! TCP's own back-pressure and costs no memory.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Bytes beyond which nothing more is read: one piece of the usual maximum length, or enough short ones to hash many at once
/// while as many arrive.
const FULL: u64 = 16 << 20;

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: AtomicU64,
    fewer: Notify,
}

/// Bytes of a complete piece, until it is written or given up.
#[derive(Debug)]
pub(crate) struct Held {
    backlog: Arc<Backlog>,
    bytes: u64,
}

impl Backlog {
    pub(crate) fn hold(self: &Arc<Self>, bytes: u64) -> Held {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Held { backlog: Arc::clone(self), bytes }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > FULL
    }

    /// Waits while it is full.
    pub(crate) async fn room(&self) {
        let mut fewer = pin!(self.fewer.notified());
        // From here on no change is missed.
        fewer.as_mut().enable();
        if self.is_full() {
            fewer.await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let before = self.backlog.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        if before > FULL && !self.backlog.is_full() {
            self.backlog.fewer.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_goes_on_when_enough_is_written() {
        let backlog = Arc::new(Backlog::default());
        backlog.room().await;
        let (first, second) = (backlog.hold(FULL), backlog.hold(1));
        let waiting = tokio::spawn({
            let backlog = backlog.clone();
            async move { backlog.room().await }
        });
        tokio::task::yield_now().await;
        assert!(backlog.is_full() && !waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
        drop(first);
        assert_eq!(backlog.bytes.load(Ordering::Relaxed), 0);
    }
}
