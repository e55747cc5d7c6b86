//! A tracker: it lists who announced, for a while also those who left, and hands out random ones.

use std::time::Duration;

use fastrand::Rng;

#[derive(Default)]
pub(crate) struct Tracker {
    /// Who announced, and when last.
    listed: Vec<(usize, Duration)>,
}

impl Tracker {
    /// Takes an announce of `node` and answers with at most `count` other nodes.
    pub(crate) fn announce(&mut self, now: Duration, node: usize, count: usize, rng: &mut Rng) -> Vec<usize> {
        self.listed.retain(|&(listed, at)| listed != node && now < at + EXPIRY);
        let mut others: Vec<usize> = self.listed.iter().map(|&(listed, _)| listed).collect();
        rng.shuffle(&mut others);
        others.truncate(count);
        self.listed.push((node, now));
        others
    }

    /// Forgets a node that said goodbye.
    pub(crate) fn goodbye(&mut self, node: usize) {
        self.listed.retain(|&(listed, _)| listed != node);
    }
}

/// Two announce intervals of a random script: who stays is always listed.
const EXPIRY: Duration = Duration::from_secs(600);
