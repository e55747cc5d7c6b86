//! `cargo xtask fuzz`: decoders and the swarm fed by a fuzzer, through `cargo-fuzz` and the nightly toolchain.
//!
//! The targets are in `fuzz/`, one file each. Each begins from the examples in `fuzz/seeds`, if it has some. What it finds lies
//! in `fuzz/artifacts`, what it learnt in `fuzz/corpus`.

use std::fs;
use std::process::Command;

use crate::step::{Outcome, root, run as run_command, works};

/// How long one target runs if nothing else is said.
const SECONDS: u32 = 60;

/// How long each target runs as a step of `ci`.
const SMOKE_SECONDS: u32 = 10;

/// How long one input may take: any longer is a finding.
const INPUT_SECONDS: u32 = 10;

/// How much memory a target may use, in MiB: any more is a finding. Most of it is the fuzzer's and the address sanitiser's own.
const MEMORY: u32 = 2048;

/// Runs the targets that the arguments name.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    let (mut wanted, mut seconds, mut rest) = (Vec::new(), SECONDS, arguments.iter());
    while let Some(&argument) = rest.next() {
        match argument {
            "--all" => wanted = targets()?,
            "--seconds" => {
                let number = rest.next().and_then(|text| text.parse().ok());
                seconds = number.ok_or("--seconds wants a number")?;
            }
            name => wanted.push(name.to_owned()),
        }
    }
    let known = targets()?;
    if wanted.is_empty() || wanted.iter().any(|name| !known.contains(name)) {
        return Err(format!("name a target, or --all: there are {}", known.join(", ")));
    }
    wanted.iter().try_for_each(|target| fuzz(target, seconds))
}

/// The step of `ci`: each target for a short while, if the machine has what fuzzing needs.
pub(crate) fn smoke() -> Outcome {
    if works(cargo_fuzz(&["--version"])) {
        targets()?.iter().try_for_each(|target| fuzz(target, SMOKE_SECONDS))
    } else {
        eprintln!("cargo-fuzz or the nightly toolchain is not installed: nothing is fuzzed");
        Ok(())
    }
}

fn fuzz(target: &str, seconds: u32) -> Outcome {
    let (learnt, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
    fs::create_dir_all(root().join(&learnt)).map_err(|error| format!("{learnt}: {error}"))?;
    let mut command = cargo_fuzz(&["run", target, &learnt]);
    if root().join(&seeds).is_dir() {
        command.arg(seeds);
    }
    command.arg("--");
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-timeout={INPUT_SECONDS}"));
    command.arg(format!("-rss_limit_mb={MEMORY}"));
    command.arg("-print_final_stats=1");
    run_command(command)
}

fn cargo_fuzz(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "fuzz"]).args(arguments).current_dir(root());
    command
}

/// The names of the files in `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file());
    let mut names: Vec<_> = paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}
