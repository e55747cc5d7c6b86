//! `headwater config`: where the configuration file is, what it says, and whether it is valid.

use std::path::Path;

use serde_json::json;

use super::Context;
use crate::args::{Config, ConfigAction};
use crate::failure::{Exit, Failure};
use crate::settings::{Settings, files};

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
    if context.output.json() {
        let values = settings.effective().map(|setting| {
            json!({ "key": setting.key.name, "value": setting.value, "file": setting.file, "line": setting.line })
        });
        context.output.document(json!({ "settings": values.collect::<Vec<_>>() }));
        return;
    }
    for setting in settings.effective() {
        let line = format!("{} = {}", setting.key.name, setting.value.as_deref().unwrap_or("nothing"));
        if origin {
            context.output.result(format_args!("{line}    {} line {}", setting.file.display(), setting.line));
        } else {
            context.output.result(line);
        }
    }
}
