//! `headwater handler`: which program the desktop opens magnet links and torrent files with (XDG MIME applications).
//!
//! `entry` writes the desktop file, `associations` edits `mimeapps.list`, `plan` performs what was decided or only tells it.
//! The association that stood before ours is remembered in the state folder and put back at the end.

mod associations;
mod entry;
mod plan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use etcetera::BaseStrategy;
use serde_json::json;

use super::Context;
use crate::args::{Handler, HandlerAction, HandlerWhat};
use crate::failure::{Exit, Failure};
use crate::programs;
use plan::Step;

/// The name the desktop knows us by.
const DESKTOP_FILE: &str = "headwater.desktop";
const ICON: &str = include_str!("handler/headwater.svg");

const TORRENT: &str = "application/x-bittorrent";
const MAGNET: &str = "x-scheme-handler/magnet";

/// What each type was opened with before us, for the types that we took: `None`, nobody.
type Memory = BTreeMap<String, Option<String>>;

/// Runs the command.
pub(crate) fn run(context: &Context, args: &Handler) -> Result<Exit, Failure> {
    if cfg!(not(target_os = "linux")) {
        return Err(Failure::new(Exit::Other, "this system's associations cannot be set from here")
            .hint("set them by hand: docs/handler.md says how on macOS and Windows"));
    }
    let (HandlerAction::Install(what) | HandlerAction::Remove(what) | HandlerAction::Status(what)) =
        &args.action;
    let places = Places::find(context, what.system)?;
    let types = types(what);
    let steps = match &args.action {
        HandlerAction::Install(_) => install(&places, &types)?,
        HandlerAction::Remove(_) => remove(&places, &types)?,
        HandlerAction::Status(_) => {
            status(context, &places, &types)?;
            return Ok(Exit::Done);
        }
    };
    plan::carry_out(&context.output, &steps, what.dry_run)?;
    if !what.dry_run {
        status(context, &places, &types)?;
    }
    Ok(Exit::Done)
}

fn types(what: &HandlerWhat) -> Vec<&'static str> {
    let both = what.magnet == what.torrent;
    [(MAGNET, what.magnet), (TORRENT, what.torrent)]
        .iter()
        .filter(|(_, asked)| both || *asked)
        .map(|(name, _)| *name)
        .collect()
}

/// The files that are concerned.
struct Places {
    system: bool,
    desktop_file: PathBuf,
    icon: PathBuf,
    /// The file of associations of this user, or of the machine.
    associations: PathBuf,
    memory: PathBuf,
}

impl Places {
    fn find(context: &Context, system: bool) -> Result<Self, Failure> {
        let (data, config, memory) = if system {
            (PathBuf::from("/usr/share"), PathBuf::from("/etc/xdg"), "handler-system.json")
        } else {
            let base = etcetera::base_strategy::Xdg::new()
                .map_err(|error| Failure::new(Exit::Other, "no home folder").because(&error))?;
            (base.data_dir(), base.config_dir(), "handler.json")
        };
        Ok(Self {
            system,
            desktop_file: data.join("applications").join(DESKTOP_FILE),
            icon: data.join("icons/hicolor/scalable/apps/headwater.svg"),
            associations: config.join("mimeapps.list"),
            memory: context.state.path().join(memory),
        })
    }

    fn remembered(&self) -> Result<Memory, Failure> {
        let text = read(&self.memory)?;
        if text.is_empty() {
            return Ok(Memory::new());
        }
        serde_json::from_str(&text).map_err(|error| {
            Failure::new(Exit::Invalid, format!("cannot understand {}", self.memory.display()))
                .because(&error)
                .hint("delete it: the associations before ours are then forgotten")
        })
    }
}

fn install(places: &Places, types: &[&str]) -> Result<Vec<Step>, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(Exit::Other, "cannot find this program's own path").because(&error))?;
    let (text, mut memory) = (read(&places.associations)?, places.remembered()?);
    for name in types {
        let before = associations::default_of(&text, name);
        if !is_ours(before) {
            memory.insert((*name).to_owned(), before.map(ToOwned::to_owned));
        }
        memory.entry((*name).to_owned()).or_default();
    }
    let mut steps = vec![
        Step::write(&places.memory, to_json(&memory)),
        Step::write(&places.icon, ICON.to_owned()),
        Step::write(&places.desktop_file, entry::text(&program, memory.keys())?),
    ];
    steps.extend(refresh(places));
    if !places.system && programs::find("xdg-mime").is_some() {
        // Some desktops keep more than the one file, and this program knows them.
        let arguments = ["default", DESKTOP_FILE].iter().chain(types).map(ToString::to_string).collect();
        steps.push(Step::Run { program: "xdg-mime", arguments });
    }
    let ours = types.iter().map(|name| ((*name).to_owned(), Some(DESKTOP_FILE.to_owned())));
    steps.push(Step::Associate { file: places.associations.clone(), defaults: ours.collect() });
    Ok(steps)
}

fn remove(places: &Places, types: &[&str]) -> Result<Vec<Step>, Failure> {
    let (text, mut memory) = (read(&places.associations)?, places.remembered()?);
    let mut defaults = Vec::new();
    for name in types {
        let before = memory.remove(*name).flatten();
        // Whom the user chose since then stays.
        if is_ours(associations::default_of(&text, name)) {
            defaults.push(((*name).to_owned(), before));
        }
    }
    let mut steps = vec![Step::Associate { file: places.associations.clone(), defaults }];
    if memory.is_empty() {
        steps.extend(
            [&places.desktop_file, &places.icon, &places.memory].map(|path| Step::Delete(path.clone())),
        );
    } else {
        let program = std::env::current_exe().map_err(|error| {
            Failure::new(Exit::Other, "cannot find this program's own path").because(&error)
        })?;
        steps.push(Step::write(&places.desktop_file, entry::text(&program, memory.keys())?));
        steps.push(Step::write(&places.memory, to_json(&memory)));
    }
    steps.extend(refresh(places));
    Ok(steps)
}

/// Makes the desktop look at its applications again, where it needs to be told.
fn refresh(places: &Places) -> Option<Step> {
    programs::find("update-desktop-database")?;
    let folder = places.desktop_file.parent()?.to_string_lossy().into_owned();
    Some(Step::Run { program: "update-desktop-database", arguments: vec![folder] })
}

fn status(context: &Context, places: &Places, types: &[&str]) -> Result<(), Failure> {
    let (text, memory) = (read(&places.associations)?, places.remembered()?);
    let mut rows = Vec::new();
    for name in types {
        let own = associations::default_of(&text, name).and_then(|value| value.split(';').next());
        let asked = if places.system { None } else { ask_desktop(name) };
        let default = asked.or_else(|| own.map(ToOwned::to_owned));
        rows.push((*name, default, memory.get(*name).cloned().flatten()));
    }
    if context.output.json() {
        let types = rows.iter().map(|(name, default, before)| {
            json!({ "type": name, "default": default, "ours": is_ours(default.as_deref()), "before": before })
        });
        let file = places.desktop_file.exists().then_some(&places.desktop_file);
        context.output.document(json!({ "types": types.collect::<Vec<_>>(), "desktop_file": file }));
        return Ok(());
    }
    for (name, default, before) in rows {
        let what = if name == MAGNET { "magnet links" } else { "torrent files" };
        let who = default.as_deref().map_or("nothing", shown);
        let before = before.map(|before| format!(" (before: {before})")).unwrap_or_default();
        context.output.result(format_args!("{what} open with {who}{before}"));
    }
    Ok(())
}

fn shown(default: &str) -> &str {
    if is_ours(Some(default)) { "Headwater" } else { default }
}

/// What the desktop itself says, if it has the program to ask.
fn ask_desktop(name: &str) -> Option<String> {
    let mut command = Command::new(programs::find("xdg-mime")?);
    let output = command.args(["query", "default", name]).stdin(Stdio::null()).output().ok()?;
    let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !answer.is_empty()).then_some(answer)
}

fn is_ours(value: Option<&str>) -> bool {
    value.is_some_and(|value| value.split(';').next() == Some(DESKTOP_FILE))
}

/// A file's text; none if there is no file.
fn read(path: &Path) -> Result<String, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Failure::io("read", path, &error)),
    }
}

fn to_json(memory: &Memory) -> String {
    json!(memory).to_string()
}
