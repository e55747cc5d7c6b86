//! What web servers must be told to serve an export: where it is, and the media type of torrents.

use std::path::Path;

/// Lines for the usual web servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSnippets {
    /// For nginx: a `server` block.
    pub nginx: String,
    /// For Apache: a virtual host.
    pub apache: String,
    /// For Caddy: a site block.
    pub caddy: String,
}

/// The lines for a folder that is to be at this address.
pub fn server_snippets(folder: &Path, base: &str) -> ServerSnippets {
    let host = base.split_once("://").map_or(base, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let root = quoted(&folder.display().to_string());
    let path = base.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let path = path.trim_end_matches('/');
    let (mut rewrite, mut place, mut strip) = (String::new(), format!("DocumentRoot {root}"), String::new());
    if !path.is_empty() {
        rewrite = format!("    rewrite ^/{path}/(.*)$ /$1 last;\n");
        place = format!("Alias /{path} {root}");
        strip = format!("    uri strip_prefix /{path}\n");
    }
    // `types` beside `root` would replace all of nginx's own types; in a location of its own it does not.
    let nginx = format!(
        "server {{\n    listen 80;\n    server_name {name};\n    root {root};\n{rewrite}    \
         location ~ \\.torrent$ {{ types {{ application/x-bittorrent torrent; }} }}\n}}\n"
    );
    let apache = format!(
        "<VirtualHost *:80>\n    ServerName {name}\n    {place}\n    \
         AddType application/x-bittorrent .torrent\n    <Directory {root}>\n        Require all granted\n    \
         </Directory>\n</VirtualHost>\n"
    );
    let caddy = format!(
        "{name} {{\n    root * {root}\n{strip}    file_server\n    @torrent path *.torrent\n    \
         header @torrent Content-Type application/x-bittorrent\n}}\n"
    );
    ServerSnippets { nginx, apache, caddy }
}

/// All three read a path in double quotes, with backslashes before quotes and backslashes.
fn quoted(path: &str) -> String {
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_below_a_path_is_found_there() {
        let lines = server_snippets(Path::new("/srv/x"), "https://files.example.org/dist");
        assert!(lines.nginx.contains("rewrite ^/dist/(.*)$ /$1 last;"), "{}", lines.nginx);
        assert!(lines.apache.contains("Alias /dist \"/srv/x\""), "{}", lines.apache);
        assert!(lines.caddy.contains("uri strip_prefix /dist"), "{}", lines.caddy);
    }

    #[test]
    fn each_server_is_told_the_folder_the_name_and_the_type() {
        let lines = server_snippets(Path::new("/srv/my files"), "https://files.example.org:8443/dist");
        for text in [lines.nginx, lines.apache, lines.caddy] {
            assert!(text.contains("files.example.org") && !text.contains("8443"), "{text}");
            assert!(
                text.contains("\"/srv/my files\"") && text.contains("application/x-bittorrent"),
                "{text}"
            );
        }
    }
}
