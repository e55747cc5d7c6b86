//! The house rules that neither the compiler nor a lint can see (ARCHITECTURE.md, 1.2 and 6).
//!
//! A rule that a file breaks is named with the file and what to do about it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Our crates and which of ours each may depend on. What is not here may not be: add a crate with its reason in
/// ARCHITECTURE.md first.
const ARROWS: &[(&str, &[&str])] = &[
    ("bencode", &[]),
    ("metainfo", &["bencode"]),
    ("utp", &[]),
    ("wire", &["bencode", "metainfo"]),
    ("announce", &["bencode", "metainfo"]),
    ("swarm", &["metainfo", "wire"]),
    ("sim", &["announce", "bencode", "metainfo", "swarm", "wire"]),
    ("storage", &["bencode", "metainfo"]),
    ("engine", &["announce", "bencode", "metainfo", "storage", "swarm", "utp", "wire"]),
    ("tracker", &["announce", "metainfo"]),
    ("publish", &["metainfo", "storage"]),
    (
        "headwater",
        &["announce", "bencode", "engine", "metainfo", "publish", "storage", "swarm", "tracker", "wire"],
    ),
];

/// The crates that decide and never touch the machine.
const PURE: &[&str] = &["bencode", "metainfo", "utp", "wire", "announce", "swarm", "sim"];

/// All that pure crates may take from outside: data structures and arithmetic.
const PURE_MAY_USE: &[&str] = &["bytes", "fastrand", "http", "httparse", "sha1", "sha2", "thiserror"];

/// No file may be longer, whatever its reason.
const MAX_LINES: usize = 800;

/// Longer files are listed in `LONG_FILES` with the reason.
const USUAL_LINES: usize = 500;

/// Files of more than `USUAL_LINES` lines: (path, why it is not divided).
const LONG_FILES: &[(&str, &str)] = &[];

#[test]
fn crates_depend_only_on_what_stands_to_their_left() {
    for (package, dependencies) in packages() {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package) else {
            assert!(
                ["xtask", "interop"].contains(&package.as_str()),
                "{package} is not in the table of crates"
            );
            continue;
        };
        for dependency in &dependencies {
            let ours = ARROWS.iter().any(|(name, _)| name == dependency);
            assert!(
                !ours || allowed.contains(&dependency.as_str()),
                "{package} may not depend on {dependency}"
            );
        }
    }
}

#[test]
fn pure_crates_take_nothing_from_outside_that_touches_the_machine() {
    for (package, dependencies) in packages() {
        if PURE.contains(&package.as_str()) {
            let ours = |name: &str| ARROWS.iter().any(|(own, _)| *own == name);
            let strange: Vec<_> = dependencies
                .iter()
                .filter(|name| !ours(name) && !PURE_MAY_USE.contains(&name.as_str()))
                .collect();
            assert!(strange.is_empty(), "{package} is pure and may not use {strange:?}");
        }
    }
}

#[test]
fn pure_crates_deny_clocks_files_and_sockets() {
    for package in PURE.iter().filter(|name| **name != "sim") {
        let folder = root().join("crates").join(package);
        assert!(folder.join("clippy.toml").exists(), "{package} has no list of disallowed methods");
        let head = fs::read_to_string(folder.join("src/lib.rs")).unwrap();
        for lint in ["clippy::disallowed_methods", "clippy::disallowed_types", "clippy::iter_over_hash_type"]
        {
            assert!(head.contains(lint), "{package} does not deny {lint}");
        }
    }
}

#[test]
fn files_are_short_enough_to_be_read() {
    check(|path, text| {
        let lines = text.lines().count();
        let listed = LONG_FILES.iter().any(|(long, _)| *long == path);
        match lines {
            _ if lines > MAX_LINES => Some(format!("has {lines} lines, {MAX_LINES} are the most: divide it")),
            _ if lines > USUAL_LINES && !listed => {
                Some(format!("has {lines} lines: divide it, or list it with a reason"))
            }
            _ if lines <= USUAL_LINES && listed => Some("is short: take it off the list".to_owned()),
            _ => None,
        }
    });
}

#[test]
fn every_module_says_first_what_it_is() {
    // Tests that stand beside their module are told by its head what they are about.
    let beside = |path: &str| path.ends_with("tests.rs") || path.contains("/src/tests/");
    let headed = |path: &str, text: &str| beside(path) || text.starts_with("//! ");
    check(|path, text| (!headed(path, text)).then(|| "does not begin with what it is".to_owned()));
}

#[test]
fn what_is_left_to_do_has_the_number_of_an_issue() {
    let mark = concat!("TO", "DO");
    let numbered =
        |rest: &str| rest.strip_prefix("(#").is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()));
    check(|_, text| {
        let bare = text.lines().position(|line| line.split(mark).skip(1).any(|rest| !numbered(rest)));
        bare.map(|line| format!("line {}: write {mark}(#number), or do it", line + 1))
    });
}

/// Holds every source file against a rule that says what is wrong with it, and names all that break it.
fn check(rule: impl Fn(&str, &str) -> Option<String>) {
    let wrong =
        sources().into_iter().filter_map(|(path, text)| Some(format!("{path} {}", rule(&path, &text)?)));
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Our packages with what they need to be built; what their tests need is their own affair.
fn packages() -> Vec<(String, BTreeSet<String>)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > ARROWS.len(), "cargo knows fewer crates than the table");
    packages.iter().map(|package| (text(&package["name"]), dependencies(package))).collect()
}

fn dependencies(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().unwrap().iter();
    all.filter(|dependency| dependency["kind"] != "dev").map(|dependency| text(&dependency["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The repository's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Every Rust file we wrote: its path below the repository's folder, and its text.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut folders: Vec<PathBuf> = ["crates", "xtask", "interop", "fuzz"].map(|name| root.join(name)).into();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(&root).unwrap().display().to_string(), text));
            }
        }
    }
    files.sort();
    assert!(files.len() > 20, "the sources were not found");
    files
}
