//! `cargo xtask browser`: a person with a real browser, on a screen that nobody sees.
//!
//! The stories are in `browser/`, in JavaScript, since that is what drives browsers. Here is what they need to be told.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{Outcome, cargo, root, run as run_command};

/// The programs of the desktop that take part.
const PROGRAMS: [&str; 8] = [
    "node",
    "chromium",
    "Xvfb",
    "xdg-open",
    "xdg-mime",
    "update-desktop-database",
    "desktop-file-validate",
    "file",
];

/// What npm has for us.
const MODULES: [&str; 3] = ["playwright-core", "axe-core", "html-validate"];

/// Builds the release binary (unless `HEADWATER_BINARY` names one) and tells the stories.
pub(crate) fn run() -> Outcome {
    let root = root();
    let folder = root.join("target/browser");
    let modules = folder.join("node_modules");
    let missing = missing(&modules);
    if !missing.is_empty() {
        return Err(format!(
            "missing: {}\nDebian has chromium, xvfb, xdg-utils, desktop-file-utils, file and npm; then\n\
             npm install --prefix target/browser {}",
            missing.join(", "),
            MODULES.join(" ")
        ));
    }
    let headwater = if let Some(binary) = std::env::var_os("HEADWATER_BINARY") {
        PathBuf::from(binary)
    } else {
        cargo(&["build", "--release", "--package", "headwater"])?;
        root.join("target/release/headwater")
    };
    let mut stories = Command::new("node");
    stories.arg("browser/run.js").current_dir(&root).env("NODE_PATH", &modules);
    stories.env("HEADWATER_BINARY", headwater).env("HEADWATER_PICTURES", &folder);
    run_command(stories)
}

fn missing(modules: &Path) -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let programs =
        PROGRAMS.into_iter().filter(|name| !folders.iter().any(|folder| folder.join(name).exists()));
    programs.chain(MODULES.into_iter().filter(|name| !modules.join(name).exists())).collect()
}
