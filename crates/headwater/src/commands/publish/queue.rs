//! Which paths are looked at, and when: a few at a time, and each by one task only.
//!
//! Owned by the command's loop, which does the work. What was found of a path that changed or went meanwhile does not count.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

/// How many paths are hashed at a time: a small release does not wait for a large one, and a disk is not torn between many.
const AT_ONCE: usize = 2;

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<PathBuf>,
    /// What is being looked at, and whether what will be found still counts.
    at_work: BTreeMap<PathBuf, bool>,
}

impl Queue {
    /// A path shall be looked at; again, if somebody is about it.
    pub(super) fn ask(&mut self, path: PathBuf) {
        if !self.waiting.contains(&path) {
            self.outdate(&path);
            self.waiting.push_back(path);
        }
    }

    /// A path is gone.
    pub(super) fn forget(&mut self, path: &Path) {
        self.waiting.retain(|waiting| waiting != path);
        self.outdate(path);
    }

    /// What to look at now: call until `None`.
    pub(super) fn begin(&mut self) -> Option<PathBuf> {
        let free = self.waiting.iter().position(|path| !self.at_work.contains_key(path));
        let path = self.waiting.remove(free.filter(|_| self.at_work.len() < AT_ONCE)?)?;
        self.at_work.insert(path.clone(), true);
        Some(path)
    }

    /// A path was looked at: whether what was found counts.
    pub(super) fn end(&mut self, path: &Path) -> bool {
        self.at_work.remove(path) == Some(true)
    }

    fn outdate(&mut self, path: &Path) {
        if let Some(counts) = self.at_work.get_mut(path) {
            *counts = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(paths: &[&str]) -> Queue {
        let mut queue = Queue::default();
        for path in paths {
            queue.ask(path.into());
        }
        queue
    }

    #[test]
    fn a_path_that_changes_while_it_is_hashed_is_hashed_again_and_only_then_counts() {
        let mut queue = asked(&["a"]);
        assert_eq!(queue.begin(), Some("a".into()));
        queue.ask("a".into());
        queue.ask("a".into());
        assert_eq!(queue.begin(), None, "one task a path");
        assert!(!queue.end(Path::new("a")));
        assert_eq!(queue.begin(), Some("a".into()));
        assert!(queue.end(Path::new("a")));
        assert_eq!(queue.begin(), None);
    }

    #[test]
    fn a_path_that_went_while_it_was_hashed_or_waited_is_not_published() {
        let mut queue = asked(&["a", "b", "c"]);
        assert_eq!((queue.begin(), queue.begin()), (Some("a".into()), Some("b".into())));
        queue.forget(Path::new("a"));
        queue.forget(Path::new("c"));
        assert!(!queue.end(Path::new("a")));
        assert!(queue.end(Path::new("b")));
        assert_eq!(queue.begin(), None);
    }

    #[test]
    fn a_few_are_hashed_at_a_time() {
        let mut queue = asked(&["a", "b", "c"]);
        assert_eq!((queue.begin(), queue.begin(), queue.begin()), (Some("a".into()), Some("b".into()), None));
        queue.end(Path::new("b"));
        assert_eq!(queue.begin(), Some("c".into()));
    }
}
