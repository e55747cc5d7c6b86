//! The web server, as those see it who connect to it.

mod answers;
mod files;
mod harness;
mod limits;
mod tls;
