//! What we ask of the desktop: notifications, the browser, the name of its Downloads folder.
//!
//! All of it is a courtesy: without a desktop nothing happens, and nothing depends on it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use etcetera::BaseStrategy;

use super::DETACHED;
use crate::args::{Notify, Open};
use crate::failure::{Exit, Failure};
use crate::output::clean;
use crate::programs;

/// Who opens a thing and fails sooner than this has shown nothing; later it is a browser that was closed again.
const LAUNCH: Duration = Duration::from_secs(5);

/// The desktop, if there is one.
pub(super) struct Desktop {
    notifier: Option<PathBuf>,
}

impl Desktop {
    /// The desktop as the user wants to hear from it.
    pub(super) fn new(args: &Open) -> Self {
        let notifier = if args.notify == Notify::Always { programs::find("notify-send") } else { None };
        Self {
            notifier: notifier
                .filter(|_| is_graphical() || std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some()),
        }
    }

    /// Tells the user.
    pub(super) fn notify(&self, title: &str, body: &str) {
        let Some(program) = self.notifier.clone() else { return };
        let (title, body) = (clean(title).into_owned(), escape(&clean(body)));
        let mut command = Command::new(program);
        command.args(["--app-name=Headwater", "--icon=headwater", "--", &title, &body]);
        match quiet(&mut command).spawn() {
            // The service may take its time; somebody has to see the program's end.
            Ok(mut child) => _ = std::thread::spawn(move || child.wait()),
            Err(error) => tracing::debug!(%error, "the desktop cannot be notified"),
        }
    }

    /// Tells the user what went wrong, why, and what to do about it.
    pub(super) fn failed(&self, title: &str, failure: &Failure) {
        let words = [&failure.what].into_iter().chain(&failure.causes).chain(&failure.hint);
        self.notify(title, &words.map(String::as_str).collect::<Vec<_>>().join("\n"));
    }
}

/// Shows a page or a folder in the program that the desktop has for it.
pub(super) fn show(what: impl Into<OsString>) {
    let what = what.into();
    if is_graphical() {
        std::thread::spawn(move || {
            let shown = open::commands(what).iter_mut().any(|command| {
                let begun = Instant::now();
                // A browser that this starts calls us again one day, and is not to pass on what we are.
                let ended = quiet(command.env_remove(DETACHED)).status();
                ended.is_ok_and(|status| status.success() || begun.elapsed() >= LAUNCH)
            });
            tracing::debug!(shown, "asked the desktop to show something");
        });
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// Whether somebody sits before a screen.
fn is_graphical() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// The folder the desktop saves downloads to (xdg-user-dirs), `~/Downloads` if it has no wish.
pub(super) fn downloads_folder() -> Result<PathBuf, Failure> {
    let base = etcetera::base_strategy::Xdg::new().map_err(|error| {
        Failure::new(Exit::Other, "no home folder to download into").because(&error).hint("--dir DIR")
    })?;
    let wishes = std::fs::read_to_string(base.config_dir().join("user-dirs.dirs")).unwrap_or_default();
    Ok(named(&wishes, base.home_dir()).unwrap_or_else(|| base.home_dir().join("Downloads")))
}

/// `XDG_DOWNLOAD_DIR="$HOME/Downloads"`: a line that a shell could read, of which only this form is allowed.
fn named(wishes: &str, home: &Path) -> Option<PathBuf> {
    let quoted = wishes.lines().find_map(|line| line.trim().strip_prefix("XDG_DOWNLOAD_DIR="))?;
    let text = quoted.strip_prefix('"')?.strip_suffix('"')?.replace('\\', "");
    let path = match text.strip_prefix("$HOME") {
        Some(rest) => home.join(rest.trim_start_matches('/')),
        None => PathBuf::from(text),
    };
    path.is_absolute().then_some(path)
}

/// Notifications may be marked up: a name must not be taken for that.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_downloads_folder_is_the_desktops() {
        let home = Path::new("/home/me");
        for (wishes, path) in [
            (
                "# x\nXDG_DESKTOP_DIR=\"$HOME/D\"\nXDG_DOWNLOAD_DIR=\"$HOME/In box\"\n",
                Some("/home/me/In box"),
            ),
            ("XDG_DOWNLOAD_DIR=\"/srv/in\"", Some("/srv/in")),
            ("XDG_DOWNLOAD_DIR=\"relative\"", None),
            ("XDG_DOWNLOAD_DIR=/srv/in", None),
            ("", None),
        ] {
            assert_eq!(named(wishes, home).as_deref(), path.map(Path::new), "{wishes}");
        }
    }
}
