//! The publisher's site: what the web server serves of a catalogue.
//!
//! One value shared by all connections. The catalogue is replaced whole; whoever was given a page or a file keeps it. How releases
//! stand is asked of whoever runs the swarms, and so is whether the web seed may give.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use metainfo::InfoHash;
use serde_json::json;

use crate::catalogue::{Catalogue, Release};
use crate::content::{Content, Found, Page};
use crate::live::{Live, Standing};
use crate::page::Settings;
use crate::shelf::{Item, Shelf, stock};
use crate::theme::{Theme, ThemeError};

/// Whether the web seed of a torrent gives to who asks at this moment; `Some`: not now, ask again after this time.
pub type Gate = dyn Fn(InfoHash, IpAddr) -> Option<Duration> + Send + Sync;

/// The site.
pub struct Site {
    live: Arc<dyn Live>,
    gate: Box<Gate>,
    /// Held only to take or swap the pointer.
    shown: RwLock<Arc<Shown>>,
}

/// One state of the site.
struct Shown {
    settings: Settings,
    theme: Theme,
    catalogue: Arc<Catalogue>,
    shelf: Shelf,
}

impl Site {
    /// A site of these releases.
    pub fn new(
        settings: Settings,
        theme: Theme,
        catalogue: Catalogue,
        live: Arc<dyn Live>,
        gate: Box<Gate>,
    ) -> Result<Self, ThemeError> {
        let shown = Shown::new(settings, theme, Arc::new(catalogue))?;
        Ok(Self { live, gate, shown: RwLock::new(Arc::new(shown)) })
    }

    /// Shows these releases instead from the next request on.
    pub fn replace(&self, catalogue: Catalogue) -> Result<(), ThemeError> {
        let now = self.shown();
        self.show(Shown::new(now.settings.clone(), now.theme.clone(), Arc::new(catalogue))?);
        Ok(())
    }

    /// Shows the same releases in another manner from the next request on.
    pub fn restyle(&self, settings: Settings, theme: Theme) -> Result<(), ThemeError> {
        self.show(Shown::new(settings, theme, self.catalogue())?);
        Ok(())
    }

    fn show(&self, next: Shown) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    /// What is shown.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.shown().catalogue)
    }

    fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How all releases stand, by their hashes.
    fn standings(&self, catalogue: &Catalogue) -> Page {
        let each = catalogue.releases().iter().map(Release::hash);
        let known: BTreeMap<String, Standing> =
            each.filter_map(|hash| Some((hash.to_string(), self.live.standing(hash)?))).collect();
        Page::new("application/json", json!({ "releases": known }).to_string().into())
    }
}

impl Shown {
    fn new(settings: Settings, theme: Theme, catalogue: Arc<Catalogue>) -> Result<Self, ThemeError> {
        let shelf = stock(&settings, &theme, &catalogue, true)?;
        Ok(Self { settings, theme, catalogue, shelf })
    }
}

impl Content for Site {
    fn find(&self, path: &str, from: IpAddr) -> Option<Found> {
        let shown = self.shown();
        if path == "/live.json" {
            return Some(Found::Page(self.standings(&shown.catalogue)));
        }
        Some(match shown.shelf.get(path)?.clone() {
            Item::Page(page) => Found::Page(page),
            Item::File(file) => Found::File(file),
            Item::Seed(hash, file) => (self.gate)(hash, from).map_or(Found::File(file), Found::Later),
            Item::Moved(to) => Found::Moved(to),
        })
    }
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
