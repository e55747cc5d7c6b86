//! Torrents made by us and by others, from one big file and from a tree of small ones.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use super::machine::{Bystanders, cost, warm};
use super::report::{Column, Section, Table};
use super::{Bench, MB, MIB};
use crate::step::root;

/// MiB of memory touched before each run: what creators use, several times over.
const WARM: u32 = 256;

/// Files of the tree in one folder.
const IN_FOLDER: u32 = 200;

const COLUMNS: &[Column] = &[
    Column("wall s", 2, Some(false)),
    Column("MB/s", 0, Some(true)),
    Column("CPU s", 2, Some(false)),
    Column("RSS MiB", 0, Some(false)),
    Column("others' CPU %", 0, None),
];

pub(super) fn run(bench: &Bench) -> Result<Section, String> {
    let (file, tree) = (bench.work.join("big.bin"), bench.work.join("tree"));
    let (file_size, tree_size, files) = (bench.size(4096), bench.size(1024), bench.size(20_000));
    fill(&file, u64::from(file_size) * MIB).map_err(|error| format!("{}: {error}", file.display()))?;
    plant(&tree, tree_size, files).map_err(|error| format!("{}: {error}", tree.display()))?;
    let mut section = Section::default();
    section.notes.push(
        "All in pieces of 1 MiB, from memory. libtorrent's figures include the start of Python.".into(),
    );
    let file_title = format!("{file_size} MiB in one file");
    let tree_title = format!("{tree_size} MiB in {files} files");
    for (input, size, title) in [(&file, file_size, file_title), (&tree, tree_size, tree_title)] {
        for form in ["v1", "hybrid"] {
            let mut table = Table::new(format!("{title}, {form}"), COLUMNS);
            for _ in 0..bench.rounds {
                for (name, mut command) in creators(bench, form, input) {
                    warm(WARM);
                    table.add(name, one(bench, &mut command, size));
                }
            }
            section.tables.push(table);
        }
    }
    let shown = |command: &Command| {
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let words: Vec<_> =
            words.map(|word| Path::new(word).file_name().unwrap_or(word).to_string_lossy()).collect();
        words.join(" ")
    };
    for form in ["v1", "hybrid"] {
        section.commands.extend(creators(bench, form, &file).iter().map(|(_, command)| shown(command)));
    }
    Ok(section)
}

/// One run: the columns.
fn one(bench: &Bench, command: &mut Command, mebibytes: u32) -> Result<Vec<Option<f64>>, String> {
    let _ = fs::remove_file(bench.work.join("out.torrent"));
    let bystanders = Bystanders::watch();
    let cost = cost(command, &bench.work.join("creator.log"))?;
    let (others, rate) = (bystanders.share(0.0), f64::from(mebibytes) * MB / cost.wall);
    Ok(vec![Some(cost.wall), Some(rate), Some(cost.cpu), cost.peak, Some(others)])
}

/// The creators that know this form; ours is the last.
fn creators(bench: &Bench, form: &str, input: &Path) -> Vec<(&'static str, Command)> {
    let out = bench.work.join("out.torrent");
    let mut creators = Vec::new();
    let mut add = |name, mut command: Command, words: &[&str]| {
        command.args(words);
        creators.push((name, command));
    };
    let (input, out) = (input.to_string_lossy(), out.to_string_lossy());
    let v1 = form == "v1";
    if v1 && bench.peers.mktorrent {
        let words = ["-t2", "-l", "20", "-a", "http://127.0.0.1/announce", "-o", &out, &input];
        add("mktorrent -t2", Command::new("mktorrent"), &words);
    }
    if v1 && bench.peers.transmission {
        add("transmission-create", Command::new("transmission-create"), &["-s", "1024", "-o", &out, &input]);
    }
    if let Some(python) = &bench.peers.libtorrent {
        let script = root().join("interop/libtorrent_hashes.py");
        let words = [&*script.to_string_lossy(), &input, "1048576", form];
        add("libtorrent", Command::new(python), &words);
    }
    let words = ["create", "-l", "1MiB", "--format", form, "--date", "none", "-o", &out, &input];
    add("headwater", Command::new(&bench.headwater), &words);
    creators
}

/// A file of this size; no two blocks of it are alike.
pub(super) fn fill(path: &Path, size: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let (mut state, mut buffer, mut left) = (size | 1, vec![0; 1 << 20], size);
    while left > 0 {
        let part = &mut buffer[..usize::try_from(left.min(MIB)).unwrap_or(0)];
        for word in part.chunks_mut(8) {
            // Xorshift: fast, and the same each time.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
        }
        file.write_all(part)?;
        left -= part.len() as u64;
    }
    Ok(())
}

/// A tree of so many files: sizes from a fifth of the mean to nine fifths.
fn plant(root: &Path, mebibytes: u32, files: u32) -> io::Result<()> {
    let mean = u64::from(mebibytes) * MIB / u64::from(files);
    for file in 0..files {
        let folder = root.join(format!("d{:03}", file / IN_FOLDER));
        fs::create_dir_all(&folder)?;
        fill(&folder.join(format!("f{file:05}.bin")), mean * u64::from(1 + file % 9) / 5)?;
    }
    Ok(())
}
