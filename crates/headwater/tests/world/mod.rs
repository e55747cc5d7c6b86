//! What the stories share: a folder of their own, the built program, and programs that run beside the test.
//!
//! Nothing here sleeps: a test waits for a line that a program prints, or for its end.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod web;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use assert_cmd::assert::{Assert, OutputAssertExt};
use tempfile::TempDir;

/// A folder that goes away with the test.
pub(crate) struct World {
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and its folders.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// A folder with a file in a folder, a small file and an empty one.
    pub(crate) fn write_dist(&self) {
        self.write("dist/img/disk0.raw", noise(200_000));
        self.write("dist/README", "read me\n");
        self.write("dist/empty", "");
    }

    /// The program in this folder, with home and state folders of its own, no desktop and nothing of the caller's
    /// environment: `bin` alone is searched for other programs.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HEADWATER_"))
        {
            command.env_remove(name);
        }
        command.args(args).current_dir(self.folder.path()).env("HEADWATER_STATE_DIR", self.path("state"));
        for name in ["DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
            command.env_remove(name);
        }
        // Tests that run side by side must not find each other.
        command.env("HEADWATER_NO_LSD", "true");
        command.env("HOME", self.path("home")).env("PATH", self.path("bin")).stdin(Stdio::null());
        command
    }

    /// Runs a line of words to its end.
    pub(crate) fn run(&self, line: &str) -> Assert {
        self.command(line.split_whitespace()).assert()
    }

    /// Runs a line with `--json` and reads the one document it prints.
    pub(crate) fn json(&self, line: &str) -> serde_json::Value {
        let output = self.command(line.split_whitespace()).arg("--json").output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error}: {output:?}"))
    }

    /// Starts a line that runs beside the test.
    pub(crate) fn start(&self, line: &str) -> Running {
        let mut child = self.command(line.split_whitespace()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines, line: line.to_owned() }
    }
}

/// A program that runs beside the test; it is killed if the test forgets it.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    line: String,
}

impl Running {
    /// Waits for a line on stdout that contains `words`.
    pub(crate) fn wait_for(&mut self, words: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).unwrap();
            assert!(read > 0, "`{}` ended without `{words}`, after: {seen}", self.line);
            if line.contains(words) {
                return line.trim().to_owned();
            }
            seen += &line;
        }
    }

    /// The next word after `words` in the line that has them.
    pub(crate) fn word_after(&mut self, words: &str) -> String {
        let line = self.wait_for(words);
        let rest = line.split_once(words).unwrap().1;
        rest.split_whitespace().next().unwrap_or_default().to_owned()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes that do not repeat, the same in every run.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Flips one bit of a file.
pub(crate) fn damage(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

pub(crate) fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

pub(crate) fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}
