//! The publisher's site: a catalogue of releases, the download page, feeds, files over HTTP, and the receipt of what was saved.
//!
//! It serves what the catalogue holds and nothing else; swarms and tracking are joined to it by the command line.
//!
//! | module | what |
//! |---|---|
//! | `catalogue` | releases, their files, and where they are on the site |
//! | `checksum` | SHA-256 of whole files, and the list of it |
//! | `content` | what the web server serves, as values |
//! | `export` | the site as plain files for any web server |
//! | `live` | how a release stands at this moment, as values |
//! | `markdown` | the small part of Markdown that texts may use |
//! | `media` | media types by file name |
//! | `names` | slugs, file names and addresses |
//! | `page` | the pages and the feed |
//! | `qr` | magnet links as pictures |
//! | `receipt` | what was delivered and what the origin sent, kept by the day |
//! | `serve` | the web server: HTTP/1.1 and HTTP/2, with and without TLS |
//! | `shelf` | what is at which path |
//! | `site` | the site that the web server serves |
//! | `theme` | templates and assets, and a publisher's own in their place |

pub mod catalogue;
pub mod checksum;
pub mod content;
pub mod export;
pub mod live;
pub mod markdown;
mod media;
pub mod names;
mod page;
mod qr;
pub mod receipt;
pub mod serve;
mod shelf;
pub mod site;
#[cfg(test)]
mod testing;
mod theme;

pub use page::{POLICY, Settings};
pub use theme::{Theme, ThemeError};
