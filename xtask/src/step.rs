//! Running one command of a chore, in the repository's folder, with its output on our terminal.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The outcome of a chore: what to tell the developer if it came to no good end.
pub(crate) type Outcome = Result<(), String>;

/// The repository's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// Runs `cargo` with these arguments.
pub(crate) fn cargo(arguments: &[&str]) -> Outcome {
    run(cargo_command(arguments))
}

/// `cargo` with these arguments, to be run by [`run`].
pub(crate) fn cargo_command(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root());
    command
}

/// Runs a command, showing it first.
pub(crate) fn run(mut command: Command) -> Outcome {
    let shown = show(&command);
    eprintln!("+ {shown}");
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("{shown}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown}: {status}")) }
}

/// Runs a command and gives what it printed; fails with what it complained about.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let done =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{}: {error}", show(command)))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!("{}: {}: {}", show(command), done.status, said.trim()))
}

/// Whether a command can be run at all and succeeds; its output is not shown.
pub(crate) fn works(mut command: Command) -> bool {
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

fn show(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
