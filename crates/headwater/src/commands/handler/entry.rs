//! The desktop file that tells the desktop how we are called (freedesktop.org, "Desktop Entry Specification").

use std::fmt::Write as _;
use std::path::Path;

use crate::failure::{Exit, Failure};

/// The file's text, for a program at this path that opens these types.
pub(super) fn text<'a>(program: &Path, types: impl Iterator<Item = &'a String>) -> Result<String, Failure> {
    let path = program.to_str().filter(|path| !path.contains(char::is_control)).ok_or_else(|| {
        Failure::new(Exit::Other, format!("a desktop file cannot name {}", program.display()))
            .hint("move the program to a path of plain letters")
    })?;
    let exec = quoted(path);
    let types = types.fold(String::new(), |all, name| all + name + ";");
    let mut text = String::from("[Desktop Entry]\nType=Application\nVersion=1.0\nName=Headwater\n");
    // Writing to a string cannot fail.
    _ = write!(
        text,
        "GenericName=BitTorrent downloader\nComment=Download the files that you click\nExec={exec} open %U\n\
         Icon=headwater\nTerminal=false\nNoDisplay=true\nCategories=Network;FileTransfer;P2P;\nMimeType={types}\n"
    );
    Ok(text)
}

/// An argument as `Exec` wants it: in quotes if it has reserved characters, and escaped once more as every string there.
fn quoted(argument: &str) -> String {
    let argument = argument.replace('%', "%%");
    if !argument
        .contains([' ', '"', '\'', '\\', '>', '<', '~', '|', '&', ';', '$', '*', '?', '#', '(', ')', '`'])
    {
        return argument;
    }
    let mut out = String::from('"');
    for letter in argument.chars() {
        match letter {
            '\\' => out += r"\\\\",
            '"' | '`' | '$' => out.extend(['\\', '\\', letter]),
            _ => out.push(letter),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_survives_the_quoting() {
        for (path, exec) in [
            ("/usr/bin/headwater", "/usr/bin/headwater"),
            ("/opt/my apps/headwater", "\"/opt/my apps/headwater\""),
            ("/100%/h", "/100%%/h"),
            ("/a$b/h", r#""/a\\$b/h""#),
            (r"/a\b/h", r#""/a\\\\b/h""#),
        ] {
            assert_eq!(quoted(path), exec);
        }
    }

    #[test]
    fn a_path_cannot_add_lines() {
        assert!(text(Path::new("/a\nExec=evil"), std::iter::empty()).is_err());
    }
}
