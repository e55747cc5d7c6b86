//! The media type of a file, by the ending of its name.
//!
//! Only what browsers and download programs treat in a way of its own; all else is `application/octet-stream`.

/// Endings and what they mean.
const TYPES: &[(&[&str], &str)] = &[
    (&["torrent"], "application/x-bittorrent"),
    (&["html", "htm"], "text/html; charset=utf-8"),
    (&["css"], "text/css; charset=utf-8"),
    (&["js", "mjs"], "text/javascript; charset=utf-8"),
    (&["json"], "application/json"),
    (&["txt", "text", "md", "log", "asc", "nfo", "sha256", "sha512", "md5"], "text/plain; charset=utf-8"),
    (&["csv"], "text/csv; charset=utf-8"),
    (&["xml"], "application/xml"),
    (&["atom"], "application/atom+xml"),
    (&["pdf"], "application/pdf"),
    (&["epub"], "application/epub+zip"),
    (&["svg"], "image/svg+xml"),
    (&["png"], "image/png"),
    (&["jpg", "jpeg"], "image/jpeg"),
    (&["gif"], "image/gif"),
    (&["webp"], "image/webp"),
    (&["avif"], "image/avif"),
    (&["ico"], "image/vnd.microsoft.icon"),
    (&["mp4", "m4v"], "video/mp4"),
    (&["webm"], "video/webm"),
    (&["mkv"], "video/matroska"),
    (&["mov"], "video/quicktime"),
    (&["ogv"], "video/ogg"),
    (&["mp3"], "audio/mpeg"),
    (&["m4a"], "audio/mp4"),
    (&["ogg", "oga", "opus"], "audio/ogg"),
    (&["flac"], "audio/flac"),
    (&["wav"], "audio/wav"),
    (&["zip"], "application/zip"),
    (&["gz", "tgz"], "application/gzip"),
    (&["bz2"], "application/x-bzip2"),
    (&["xz", "txz"], "application/x-xz"),
    (&["zst"], "application/zstd"),
    (&["7z"], "application/x-7z-compressed"),
    (&["tar"], "application/x-tar"),
    (&["iso"], "application/vnd.efi.iso"),
    (&["deb"], "application/vnd.debian.binary-package"),
    (&["apk"], "application/vnd.android.package-archive"),
    (&["woff2"], "font/woff2"),
    (&["wasm"], "application/wasm"),
];

/// The media type of a file of this name or path.
pub(crate) fn type_of(path: &str) -> &'static str {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    let known = TYPES.iter().find(|(endings, _)| endings.contains(&&*ending));
    known.map_or("application/octet-stream", |(_, media)| media)
}

#[cfg(test)]
mod tests {
    use super::type_of;

    #[test]
    fn the_last_ending_tells_the_type_in_either_case() {
        assert_eq!(type_of("a/b.tar.GZ"), "application/gzip");
        assert_eq!(type_of("dist.torrent"), "application/x-bittorrent");
        for unknown in ["SHA256SUMS", "a.b/c", "", "x.unheard"] {
            assert_eq!(type_of(unknown), "application/octet-stream", "{unknown}");
        }
    }
}
