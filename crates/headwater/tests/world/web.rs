//! A web server for the stories: the files of a folder, with ranges and connections that stay.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

/// Serves the files below a folder until the test ends; where.
pub(crate) fn serve(root: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let root = root.clone();
            std::thread::spawn(move || converse(&stream, &root));
        }
    });
    at
}

fn converse(stream: &TcpStream, root: &Path) -> Option<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let (mut target, mut range) = (None, None);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            target = target.or_else(|| line.split(' ').nth(1).map(ToOwned::to_owned));
            range = range.or_else(|| Some(line.strip_prefix("range: bytes=")?.trim().to_owned()));
        }
        let answer = std::fs::read(root.join(decoded(target?.trim_start_matches('/')))).map_or_else(
            |_| b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
            |body| part(&body, range.as_deref()),
        );
        writer.write_all(&answer).ok()?;
    }
}

fn part(body: &[u8], range: Option<&str>) -> Vec<u8> {
    let range = range.and_then(|range| range.split_once('-'));
    let (status, first, last) = match range {
        Some((first, last)) => ("206 Partial Content", first.parse().unwrap(), last.parse().unwrap()),
        None => ("200 OK", 0, body.len() - 1),
    };
    let (part, total): (&[u8], usize) = (&body[first..=last], body.len());
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Range: bytes {first}-{last}/{total}\r\nContent-Length: {}\r\n\r\n",
        part.len()
    );
    [head.as_bytes(), part].concat()
}

fn decoded(path: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), path.bytes());
    while let Some(byte) = rest.next() {
        let escaped = |rest: &mut std::str::Bytes<'_>| {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
        };
        bytes.push(if byte == b'%' { escaped(&mut rest) } else { byte });
    }
    String::from_utf8(bytes).unwrap()
}
