//! `cargo xtask counts`: how many instructions a block, a message or a file costs, beside what they cost before.
//!
//! The works are those of `crates/sim/benches/work`. Each is run for one round and for two under callgrind: the difference is what
//! a round costs, without start and preparation. That needs no quiet machine. What counts before are in [`BASELINE`].

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step::{Outcome, cargo_command, output, root, works};

/// What each work cost when somebody last accepted it.
const BASELINE: &str = "docs/instruction-counts.txt";

/// By how much a count may grow. Counts of the same code by the same compiler differ by far less than one in a thousand.
const TOLERANCE: f64 = 0.05;

/// The same if another compiler made the baseline: it inlines and unrolls otherwise, and that is nobody's fault.
const OTHER_COMPILER: f64 = 0.20;

/// Counts, and compares with the baseline or replaces it.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    let accept = match arguments {
        [] => false,
        ["--accept"] => true,
        _ => return Err("counts knows only --accept".into()),
    };
    if !has_valgrind() {
        return Err("valgrind is not installed: it counts the instructions".into());
    }
    let (compiler, counts) = (compiler()?, count_all()?);
    if accept {
        let path = root().join(BASELINE);
        return fs::write(&path, baseline(&compiler, &counts))
            .map_err(|error| format!("{BASELINE}: {error}"));
    }
    let text = fs::read_to_string(root().join(BASELINE)).map_err(|error| format!("{BASELINE}: {error}"))?;
    compare(&text, &compiler, &counts)
}

/// The step of `ci`: if the machine can count.
pub(crate) fn step() -> Outcome {
    if has_valgrind() {
        return run(&[]);
    }
    eprintln!("valgrind is not installed: instructions are not counted");
    Ok(())
}

fn has_valgrind() -> bool {
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--version");
    works(valgrind)
}

/// Instructions a unit of every work, by "WORK per UNIT".
fn count_all() -> Result<BTreeMap<String, f64>, String> {
    let program = build()?;
    let folder = root().join("target/counts");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut counts = BTreeMap::new();
    for line in output(Command::new(&program).arg("list"))?.lines() {
        let [name, units, unit] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("not a work: {line}"));
        };
        let units: f64 = units.parse().map_err(|_| format!("not a number of units: {line}"))?;
        let round = count(&program, &folder, name, 2)? - count(&program, &folder, name, 1)?;
        counts.insert(format!("{name} per {unit}"), round / units);
    }
    Ok(counts)
}

/// Builds the program with the works, as a release is built.
fn build() -> Result<PathBuf, String> {
    let mut command = cargo_command(&["bench", "--package", "sim", "--bench", "work", "--no-run"]);
    let messages = output(command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit()))?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs = messages.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    programs.next_back().ok_or_else(|| "cargo built no program".into())
}

/// All instructions of a run of so many rounds.
fn count(program: &Path, folder: &Path, name: &str, rounds: u32) -> Result<f64, String> {
    let profile = folder.join(format!("{name}.{rounds}"));
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", profile.display()));
    valgrind.arg(program).args(["count", name, &rounds.to_string()]);
    output(&mut valgrind)?;
    let text = fs::read_to_string(&profile).map_err(|error| format!("{}: {error}", profile.display()))?;
    let summary = text.lines().find_map(|line| line.strip_prefix("summary: ")?.trim().parse().ok());
    summary.ok_or_else(|| format!("{} has no summary", profile.display()))
}

/// The compiler and what it compiles for.
fn compiler() -> Result<String, String> {
    let text = output(Command::new("rustc").arg("-vV").current_dir(root()))?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown");
    Ok(format!("rustc {} for {}", field("release: "), field("host: ")))
}

/// The file with these counts.
fn baseline(compiler: &str, counts: &BTreeMap<String, f64>) -> String {
    let mut text = format!("# Instructions: written by `cargo xtask counts --accept`\n{compiler}\n");
    for (work, count) in counts {
        _ = writeln!(text, "{count:.1} {work}");
    }
    text
}

/// Shows all counts, and fails naming those that grew.
fn compare(baseline: &str, compiler: &str, counts: &BTreeMap<String, f64>) -> Outcome {
    let lines = baseline.lines().filter_map(|line| line.split_once(' '));
    let before: BTreeMap<&str, f64> =
        lines.filter_map(|(count, work)| Some((work, count.parse().ok()?))).collect();
    let same = baseline.lines().any(|line| line == compiler);
    let tolerance = if same { TOLERANCE } else { OTHER_COMPILER };
    if !same {
        let percent = 100.0 * tolerance;
        println!("{BASELINE} was not made by {compiler}: only growth beyond {percent} % counts");
    }
    let (mut grown, mut shrunk) = (Vec::new(), Vec::new());
    for (work, &count) in counts {
        let change = before.get(work.as_str()).map(|before| count / before - 1.0);
        let shown = change.map_or("new".into(), |change| format!("{:+.1} %", 100.0 * change));
        println!("{count:>12.1} {work:<30} {shown}");
        match change {
            Some(change) if change <= tolerance => shrunk.extend((change < -TOLERANCE).then_some(work)),
            _ => grown.push(format!("{work} ({shown})")),
        }
    }
    if !shrunk.is_empty() {
        println!("cheaper than before: `cargo xtask counts --accept` keeps it so");
    }
    if grown.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more instructions than before: {}\nif that is meant: cargo xtask counts --accept, and say why in the commit",
        grown.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(compiler: &str, now: f64) -> Outcome {
        let counts = |count| BTreeMap::from([("fetch per block".to_owned(), count)]);
        compare(&baseline("rustc 1 for here", &counts(1000.0)), compiler, &counts(now))
    }

    #[test]
    fn more_than_a_twentieth_more_is_a_regression() {
        assert!(outcome("rustc 1 for here", 1049.0).is_ok());
        assert!(outcome("rustc 1 for here", 500.0).is_ok());
        assert!(outcome("rustc 1 for here", 1051.0).unwrap_err().contains("fetch per block (+5.1 %)"));
    }

    #[test]
    fn another_compiler_may_differ_more() {
        assert!(outcome("rustc 2 for here", 1150.0).is_ok());
        assert!(outcome("rustc 2 for here", 1250.0).is_err());
    }

    #[test]
    fn a_work_without_a_baseline_is_named() {
        let counts = BTreeMap::from([("serve per block".to_owned(), 1.0)]);
        assert!(compare("", "rustc 1 for here", &counts).unwrap_err().contains("serve per block (new)"));
    }
}
