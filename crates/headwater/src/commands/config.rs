//! `headwater config`: where the configuration file is, what it says, and whether it is valid.

use std::path::Path;

use serde_json::json;

use super::Context;
use crate::args::{Config, ConfigAction};
use crate::failure::{Exit, Failure};
use crate::settings::{Setting, Settings, files};

/// Runs the command; `named` is the file of `--config`.
pub(crate) fn run(context: &Context, args: &Config, named: Option<&Path>) -> Result<Exit, Failure> {
    match &args.action {
        ConfigAction::Path => path(context, named),
        ConfigAction::Show { origin } => show(context, &Settings::load(named)?, *origin),
        ConfigAction::Check { file } => {
            let settings = Settings::load(file.as_deref().or(named))?;
            if context.output.json() {
                context.output.document(json!({ "ok": true, "keys": settings.0.len() }));
            } else {
                context.output.result(format_args!(
                    "Valid: {} set",
                    crate::units::plural(settings.0.len() as u64, "key")
                ));
            }
        }
    }
    Ok(Exit::Done)
}

fn path(context: &Context, named: Option<&Path>) {
    let files = files(named);
    if context.output.json() {
        let files = files.iter().map(|file| json!({ "path": file, "exists": file.exists() }));
        context.output.document(json!({ "files": files.collect::<Vec<_>>() }));
        return;
    }
    for file in files {
        context.output.result(file.display());
    }
}

fn show(context: &Context, settings: &Settings, origin: bool) {
    // Of two files that set the same key the later one counts.
    let counts = |place: usize, setting: &Setting| {
        !settings.0.iter().skip(place + 1).any(|later| later.key.name == setting.key.name)
    };
    let effective = settings.0.iter().enumerate().filter(|(place, setting)| counts(*place, setting));
    if context.output.json() {
        let values = effective.map(|(_, setting)| {
            json!({ "key": setting.key.name, "value": setting.value, "file": setting.file, "line": setting.line })
        });
        context.output.document(json!({ "settings": values.collect::<Vec<_>>() }));
        return;
    }
    for (_, setting) in effective {
        let line = format!("{} = {}", setting.key.name, setting.value);
        if origin {
            context.output.result(format_args!("{line}    {} line {}", setting.file.display(), setting.line));
        } else {
            context.output.result(line);
        }
    }
}
