//! Programs of the desktop that may or may not be there: found on `PATH`, given arguments one by one and never a shell's line.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Where a program is, if it is installed.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(runs)
}
