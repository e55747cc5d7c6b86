//! The hashing kernels, as `storage`'s own benchmark prints them, and OpenSSL beside them.

use std::fmt::Write;
use std::process::{Command, Stdio};

use super::Bench;
use super::report::Section;
use crate::step::{cargo_command, output};

/// Bytes hashed at a time by OpenSSL: one piece.
const BYTES: &str = "1048576";

pub(super) fn run(_: &Bench) -> Result<Section, String> {
    let mut section = Section::default();
    let mut ours = cargo_command(&["bench", "--package", "storage", "--bench", "hash"]);
    section.printed = output(ours.stderr(Stdio::inherit()))?;
    section.commands.push("cargo bench --package storage --bench hash".into());
    for algorithm in ["sha1", "sha256"] {
        let words = ["speed", "-seconds", "3", "-bytes", BYTES, "-evp", algorithm];
        match output(Command::new("openssl").args(words)) {
            Ok(text) => {
                let line = text.lines().rev().find(|line| line.starts_with(algorithm)).unwrap_or_default();
                _ = writeln!(section.printed, "openssl {line} (thousands of bytes a second)");
            }
            Err(why) => eprintln!("left out: {why}"),
        }
        section.commands.push(format!("openssl {}", words.join(" ")));
    }
    Ok(section)
}
