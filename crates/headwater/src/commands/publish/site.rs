//! The pages of a publication: a plain list, and the torrent files.
//!
//! Made once at the start; nothing is read from disk for a visitor.

use std::collections::HashMap;
use std::fmt::Write as _;

use metainfo::{Magnet, Metainfo};
use tracker::http::Page;

use crate::units::size;

/// Pages by their path, percent-decoded.
pub(super) struct Site {
    pages: HashMap<String, Page>,
}

impl Site {
    /// The pages of torrents, each with the URL its file is served at.
    pub(super) fn new<'a>(torrents: impl Iterator<Item = (&'a Metainfo, &'a str)>) -> Self {
        let mut pages = HashMap::new();
        let mut rows = String::new();
        for (metainfo, url) in torrents {
            let file = url.rsplit('/').next().unwrap_or(url);
            let path = format!("/{file}");
            let page = Page {
                content_type: "application/x-bittorrent",
                disposition: Some(format!("attachment; filename*=UTF-8''{file}")),
                body: metainfo.raw().to_vec().into(),
            };
            pages.insert(unescape(&path), page);
            // Writing to a string cannot fail.
            _ = writeln!(
                rows,
                "<li><a href=\"{}\">{}</a> ({}) <a href=\"{}\">magnet link</a></li>",
                html(&path),
                html(metainfo.info.name()),
                size(metainfo.info.layout().content_length()),
                html(&Magnet::of(metainfo).to_string()),
            );
        }
        let index = Page {
            content_type: "text/html; charset=utf-8",
            disposition: None,
            body: index(&rows).into_bytes().into(),
        };
        pages.insert("/".to_owned(), index);
        Self { pages }
    }
}

impl tracker::http::Site for Site {
    fn page(&self, path: &str) -> Option<Page> {
        self.pages.get(&unescape(path)).cloned()
    }
}

fn index(rows: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Downloads</title>\n\
         <h1>Downloads</h1>\n<p>These links open in a BitTorrent program.</p>\n<ul>\n{rows}</ul>\n</html>\n"
    )
}

/// A file's name as one segment of a URL's path.
pub(super) fn escape(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

/// Undoes percent-encoding; what is no UTF-8 then names no page of ours.
fn unescape(path: &str) -> String {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail.get(..2).filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(decoded.unwrap_or(byte));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_survives_the_way_through_a_url() {
        for name in ["a b&c.torrent", "ž/ü?#%.torrent", "100%25.torrent"] {
            assert_eq!(unescape(&escape(name)), name);
        }
        assert_eq!(unescape("%zz%4"), "%zz%4");
    }

    #[test]
    fn a_name_cannot_break_out_of_the_page() {
        assert_eq!(html("<a href=\"&\">"), "&lt;a href=&quot;&amp;&quot;&gt;");
    }
}
