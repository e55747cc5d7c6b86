//! `cargo xtask interop|publish|crowd|origin|crash`: Headwater as a whole beside other programs, in a network namespace.

use std::path::PathBuf;

use crate::step::{Outcome, cargo, root};

/// The file of `origin`, if nothing is said.
const MEBIBYTES: u64 = 512;

/// Enters a namespace and runs the named chore.
pub(crate) fn run(chore: &str, arguments: &[&str]) -> Outcome {
    let root = root();
    let headwater = headwater()?;
    let mebibytes = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(MEBIBYTES);
    let others = root.join("target/interop");
    let setup = interop::Setup {
        headwater,
        python: named("HEADWATER_PYTHON").unwrap_or_else(|| others.join("venv/bin/python")),
        fixtures: named("HEADWATER_FIXTURES")
            .unwrap_or_else(|| others.join("node_modules/webtorrent-fixtures/fixtures")),
        scripts: root.join("interop"),
    };
    let outcome = interop::inside_namespace().and_then(|()| match chore {
        "crowd" => interop::crowd(&setup, arguments.first().map(PathBuf::from)),
        "crash" => interop::crash(&setup),
        "publish" => interop::publish(&setup, arguments),
        "origin" => interop::origin(&setup, mebibytes),
        _ => interop::interop(&setup, arguments),
    });
    outcome.map_err(|error| format!("{chore}: {error}"))
}

/// The binary under test: the one `HEADWATER_BINARY` names, else the release, which is built.
pub(crate) fn headwater() -> Result<PathBuf, String> {
    if let Some(binary) = named("HEADWATER_BINARY") {
        return Ok(binary);
    }
    cargo(&["build", "--release", "--package", "headwater"])?;
    Ok(root().join("target/release/headwater"))
}

/// A path from the environment, for programs that lie elsewhere.
pub(crate) fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}
