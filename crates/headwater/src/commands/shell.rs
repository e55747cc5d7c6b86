//! `headwater completions`, `man` and `version`: what a shell and its user want to know of the program itself.

use std::path::Path;

use clap_complete::Shell;
use serde_json::json;

use crate::args;
use crate::config::replace_file;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::units::plural;

/// Prints the completion script of a shell.
pub(crate) fn completions(output: &Output, shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "headwater", &mut script);
    output.bytes(&script);
}

/// Writes a manual page for the program and one for each command.
pub(crate) fn man(output: &Output, dir: &Path, force: bool) -> Result<Exit, Failure> {
    std::fs::create_dir_all(dir).map_err(|error| Failure::io("create", dir, &error))?;
    let mut command = args::command();
    command.build();
    let mut pages = vec![("headwater.1".to_owned(), command.clone())];
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let name = format!("headwater-{}", sub.get_name());
        pages.push((format!("{name}.1"), sub.clone().display_name(name)));
    }
    let taken = pages.iter().map(|(name, _)| dir.join(name)).find(|path| path.exists());
    if let Some(path) = taken.filter(|_| !force) {
        return Err(Failure::new(Exit::Exists, format!("{} exists", path.display()))
            .hint("use --force to replace it"));
    }
    for (name, command) in &pages {
        let mut page = Vec::new();
        let path = dir.join(name);
        clap_mangen::Man::new(command.clone())
            .render(&mut page)
            .map_err(|error| Failure::io("write", &path, &error))?;
        replace_file(&path, &page)?;
    }
    output.result(format_args!("Wrote {} to {}", plural(pages.len() as u64, "page"), dir.display()));
    Ok(Exit::Done)
}

/// Prints the version.
pub(crate) fn version(output: &Output) {
    let version = env!("CARGO_PKG_VERSION");
    if output.json() {
        output.document(json!({ "name": "headwater", "version": version }));
    } else {
        output.result(format_args!("headwater {version}"));
    }
}
