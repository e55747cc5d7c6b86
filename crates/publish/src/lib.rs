//! The publisher's site: a catalogue of releases, the download page, feeds, files over HTTP, and the receipt of what was saved.
//!
//! It serves what the catalogue holds and nothing else; swarms and tracking are joined to it by the command line.
//!
//! | module | what |
//! |---|---|
//! | `content` | what the web server serves, as values |
//! | `live` | how a release stands at this moment, as values |
//! | `receipt` | what was delivered and what the origin sent, kept by the day |
//! | `serve` | the web server: HTTP/1.1 and HTTP/2, with and without TLS |

pub mod content;
pub mod live;
pub mod receipt;
pub mod serve;

