//! Where a request goes: a URL taken apart, and what a redirect makes of it (RFC 3986; S-21, S-22).
//!
//! Pure. Whether the place may be asked is not its business.

use http::Uri;

use crate::error::FetchError;

/// Where one hop goes.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    pub(super) uri: Uri,
    pub(super) https: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Hop {
    pub(crate) fn parse(url: &str) -> Result<Self, FetchError> {
        let wrong = || FetchError::Url(url.chars().take(200).collect());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        Ok(Self { uri, https, host, port })
    }

    /// Host and port as the server wants to read them; never the user's name and password (S-22).
    pub(crate) fn authority(&self) -> String {
        let host = self.uri.host().unwrap_or_default();
        self.uri.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Where a `Location` header leads from here (RFC 3986 section 5, without `..`).
    pub(crate) fn redirected(&self, location: &str) -> Result<Self, FetchError> {
        let scheme = if self.https { "https" } else { "http" };
        let authority = self.authority();
        let names_scheme = location.split(['/', '?', '#']).next().is_some_and(|start| start.contains(':'));
        let url = if names_scheme {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else {
            let folder = self.uri.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{authority}{folder}/{location}")
        };
        Self::parse(&url)
    }

    /// What the request line asks for.
    pub(crate) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    pub(crate) fn has_query(&self) -> bool {
        self.uri.query().is_some()
    }

    /// Host and port, however the URL writes them.
    pub(crate) fn server(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Whether one connection can serve both.
    pub(crate) fn same_server(&self, other: &Self) -> bool {
        (self.https, self.server()) == (other.https, other.server())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(from: &str, location: &str) -> String {
        let hop = Hop::parse(from).unwrap().redirected(location);
        hop.map_or_else(|_| "refused".into(), |hop| hop.uri.to_string())
    }

    #[test]
    fn redirects_lead_where_a_browser_would_go() {
        assert_eq!(redirect("http://a.example/x/y?z", "http://b.example/"), "http://b.example/");
        assert_eq!(redirect("https://a.example:8/x/y?z", "/t"), "https://a.example:8/t");
        assert_eq!(redirect("https://a.example/x/y", "t?u"), "https://a.example/x/t?u");
        assert_eq!(redirect("https://a.example/x", "//b.example/t"), "https://b.example/t");
        assert_eq!(redirect("http://me:secret@a.example/x", "/t"), "http://a.example/t");
    }

    // S-21
    #[test]
    fn redirects_out_of_the_web_are_refused() {
        for location in
            ["file:///etc/passwd", "ftp://a.example/", "gopher://x", "javascript:alert(1)", "http://"]
        {
            assert_eq!(redirect("http://a.example/x", location), "refused", "{location}");
        }
    }
}
