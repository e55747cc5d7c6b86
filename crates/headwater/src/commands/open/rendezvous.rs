//! Where clicks find the one process that downloads.
//!
//! Who holds the lock is that process; its card says how to reach it. A process that was killed leaves a card behind that
//! nobody answers to, and a lock that the system has opened: the next click just takes its place.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::replace_file;
use crate::failure::Failure;

/// The folder that holds lock and card, for its owner's eyes only.
pub(super) struct Rendezvous {
    folder: PathBuf,
}

/// How to reach the process that downloads.
#[derive(Deserialize, Serialize)]
pub(super) struct Card {
    /// The port of its page on the loopback interface.
    pub(super) port: u16,
    /// What admits to it.
    pub(super) token: String,
    /// The process, for who wants to end it.
    pub(super) pid: u32,
}

/// The right to be the process that downloads. It ends with the value.
pub(super) struct Claim {
    card: PathBuf,
    _lock: File,
}

impl Rendezvous {
    /// The one of a state folder.
    pub(super) fn at(state: &Path) -> Result<Self, Failure> {
        let folder = state.join("open");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        // It may be there already, with other permissions.
        let closed = made.and_then(|()| std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)));
        closed.map_err(|error| Failure::io("create", &folder, &error).hint("--state-dir DIR"))?;
        Ok(Self { folder })
    }

    /// Becomes the process that downloads, unless there is one.
    pub(super) fn claim(&self) -> Result<Option<Claim>, Failure> {
        let path = self.folder.join("lock");
        let trouble = |error: std::io::Error| Failure::io("lock", &path, &error);
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(trouble)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Claim { card: self.card_path(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(trouble(error)),
        }
    }

    /// The card that lies here.
    pub(super) fn card(&self) -> Option<Card> {
        serde_json::from_slice(&std::fs::read(self.card_path()).ok()?).ok()
    }

    /// Where the process in the background says why it could not start.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn card_path(&self) -> PathBuf {
        self.folder.join("card.json")
    }
}

impl Claim {
    /// Lays the card out.
    pub(super) fn show(&self, card: &Card) -> Result<(), Failure> {
        replace_file(&self.card, serde_json::json!(card).to_string().as_bytes())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // A card that stays does no harm.
        let _ = std::fs::remove_file(&self.card);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_downloads_and_its_end_makes_room_for_another() {
        let folder = tempfile::tempdir().unwrap();
        let rendezvous = Rendezvous::at(folder.path()).unwrap();
        let claim = rendezvous.claim().unwrap().unwrap();
        assert!(rendezvous.claim().unwrap().is_none());
        claim.show(&Card { port: 7, token: "secret".to_owned(), pid: 1 }).unwrap();
        assert_eq!(rendezvous.card().unwrap().port, 7);
        drop(claim);
        assert!(rendezvous.card().is_none());
        assert!(rendezvous.claim().unwrap().is_some());
    }
}
