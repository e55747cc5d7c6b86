//! What shall be done to the desktop, as values: performed in order, or only told.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{associations, read};
use crate::config::replace_file;
use crate::failure::Failure;
use crate::output::{Output, quote};
use crate::programs;

/// One change.
pub(super) enum Step {
    /// Write a file and its folders, unless it is so already.
    Write { path: PathBuf, text: String },
    /// Delete a file, if it is there.
    Delete(PathBuf),
    /// Change what types are opened with in a file of associations.
    Associate { file: PathBuf, defaults: Vec<(String, Option<String>)> },
    /// Run a program of the desktop. It is a courtesy: nothing depends on its success.
    Run { program: &'static str, arguments: Vec<String> },
}

impl Step {
    /// Writes a file.
    pub(super) fn write(path: &Path, text: String) -> Self {
        Self::Write { path: path.to_owned(), text }
    }

    fn perform(&self) -> Result<(), Failure> {
        match self {
            Self::Write { path, text } => write(path, text),
            Self::Delete(path) => match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Failure::io("delete", path, &error))
                }
                _ => Ok(()),
            },
            Self::Associate { file, defaults } => {
                let change = |text: String, (name, program): &(String, Option<String>)| {
                    associations::with_default(&text, name, program.as_deref())
                };
                let text = read(file)?;
                let changed = defaults.iter().fold(text.clone(), change);
                if changed == text { Ok(()) } else { write(file, &changed) }
            }
            Self::Run { program, arguments } => {
                if let Some(path) = programs::find(program) {
                    let mut command = Command::new(path);
                    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                    let ended = command.status();
                    tracing::info!(program, ?ended, "told the desktop");
                }
                Ok(())
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Write { path, text } => format!("write {} ({} bytes)", quote(path), text.len()),
            Self::Delete(path) => format!("delete {}", quote(path)),
            Self::Associate { file, defaults } => {
                let each = defaults.iter().map(|(name, program)| match program {
                    Some(program) => format!("{name}={program}"),
                    None => format!("no {name}"),
                });
                format!("set in {}: {}", quote(file), each.collect::<Vec<_>>().join(", "))
            }
            Self::Run { program, arguments } => format!("run {program} {}", arguments.join(" ")),
        }
    }

    fn is_idle(&self) -> bool {
        matches!(self, Self::Associate { defaults, .. } if defaults.is_empty())
    }
}

/// Performs the steps, or only says what they are.
pub(super) fn carry_out(output: &Output, steps: &[Step], dry_run: bool) -> Result<(), Failure> {
    if !dry_run {
        return steps.iter().try_for_each(Step::perform);
    }
    let words = steps.iter().filter(|step| !step.is_idle()).map(Step::words);
    if output.json() {
        output.document(json!({ "would": words.map(Value::from).collect::<Vec<_>>() }));
    } else {
        words.for_each(|words| output.result(format_args!("would {words}")));
    }
    Ok(())
}

/// Writes a file and its folders. Where a link stands the file it leads to is written, as who set the link wants it.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if std::fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Failure::io("create", folder, &error))?;
    }
    replace_file(&path, text.as_bytes())
}
