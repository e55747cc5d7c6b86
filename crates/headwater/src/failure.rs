//! How a command ends: its exit code, and what it tells the user when it could not do its work.
//!
//! Commands return `Result<Exit, Failure>`. Printing is `output`'s; leaving the process is `main`'s.

use std::error::Error;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

/// What the process tells its caller. The numbers are part of the contract with scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; for servers: stopped cleanly.
    Done,
    /// Anything without a code of its own.
    Other,
    /// The command line makes no sense.
    Usage,
    /// A file, URL or id that does not exist.
    NotFound,
    /// Not a valid torrent or magnet.
    Invalid,
    /// Verification found data that differ.
    Differs,
    /// No tracker, no peer, no metadata in time.
    Network,
    /// Gave up with work unfinished; what was done is kept.
    Unfinished,
    /// The disk is full.
    DiskFull,
    /// Permission denied.
    Permission,
    /// Would overwrite something.
    Exists,
    /// Stopped by SIGINT.
    Interrupted,
    /// Stopped by SIGTERM.
    Terminated,
}

/// Every way to end.
const ALL: [Exit; 13] = [
    Exit::Done,
    Exit::Other,
    Exit::Usage,
    Exit::NotFound,
    Exit::Invalid,
    Exit::Differs,
    Exit::Network,
    Exit::Unfinished,
    Exit::DiskFull,
    Exit::Permission,
    Exit::Exists,
    Exit::Interrupted,
    Exit::Terminated,
];

impl Exit {
    /// The process's exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Other => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Invalid => 4,
            Self::Differs => 5,
            Self::Network => 6,
            Self::Unfinished => 7,
            Self::DiskFull => 9,
            Self::Permission => 10,
            Self::Exists => 13,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// The way to end that has a code.
    pub(crate) fn from_code(code: u64) -> Option<Self> {
        ALL.into_iter().find(|exit| u64::from(exit.code()) == code)
    }

    /// The code that fits an error of the operating system.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Permission,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Other,
        }
    }
}

/// Why a command stopped: printed as `error:`, `cause:` and `hint:`.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What went wrong, in one line.
    pub(crate) what: String,
    /// Why, from the nearest reason to the deepest.
    pub(crate) causes: Vec<String>,
    /// What the user can do about it, best an exact command.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure that explains itself.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), causes: Vec::new(), hint: None }
    }

    /// A senseless command line.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// An operation of the file system that did not work, with the code that fits.
    pub(crate) fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::new(Exit::of_io(error), format!("cannot {doing} {}", path.display())).because(error)
    }

    /// As a JSON value.
    pub(crate) fn describe(&self) -> Value {
        json!({ "error": self.what, "causes": self.causes, "hint": self.hint, "exit": self.exit.code() })
    }

    /// From such a value, as another process of ours sent it.
    pub(crate) fn from_description(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        Self {
            exit: value["exit"].as_u64().and_then(Exit::from_code).unwrap_or(Exit::Other),
            what: text(&value["error"]).unwrap_or_else(|| "something went wrong".to_owned()),
            causes: value["causes"].as_array().into_iter().flatten().filter_map(text).collect(),
            hint: text(&value["hint"]),
        }
    }

    /// Adds an error and all its sources as causes, leaving out those that repeat what is said already.
    #[must_use]
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            let said = self.causes.last().unwrap_or(&self.what).ends_with(&text);
            if !said {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds a cause in words.
    #[must_use]
    pub(crate) fn cause(mut self, text: impl Into<String>) -> Self {
        self.causes.push(text.into());
        self
    }

    /// Adds the way out.
    #[must_use]
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = Some(text.into());
        self
    }
}
