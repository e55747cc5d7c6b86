//! The only module that prints.
//!
//! Results go to stdout; progress, notes, hints, logs and errors to stderr. Text from strangers must pass [`clean`] on its way
//! to a terminal; JSON escapes by itself.

mod meter;

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anstyle::{AnsiColor, Style};
use indicatif::MultiProgress;
use serde::Serialize;
use serde_json::Value;

pub(crate) use meter::Meter;

use crate::args::{Color, Global, Progress};
use crate::failure::{Exit, Failure};

/// The version of the JSON we print; it rises when a key changes its meaning or goes.
const SCHEMA: u64 = 1;

/// What stands out in a result.
pub(crate) const BOLD: Style = Style::new().bold();
/// What may be overlooked.
pub(crate) const DIM: Style = Style::new().dimmed();
/// What is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What is not.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Where a command says things. Clones print to the same place.
#[derive(Clone)]
pub(crate) struct Output {
    shared: Arc<Shared>,
}

struct Shared {
    /// Nothing is printed at all.
    muted: bool,
    json: bool,
    quiet: bool,
    how: Progress,
    bars: MultiProgress,
    /// An event has been printed: only the first names the schema.
    begun: AtomicBool,
    /// Why stdout takes no more.
    broken: Mutex<Option<io::Error>>,
}

impl Output {
    /// An output that follows the global flags.
    pub(crate) fn new(global: &Global) -> Self {
        match global.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::AlwaysAnsi,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        let terminal = io::stderr().is_terminal();
        let how = match global.progress {
            Progress::Json => Progress::Json,
            _ if global.json => Progress::Json,
            _ if global.quiet => Progress::None,
            Progress::Auto | Progress::Bar if terminal => Progress::Bar,
            Progress::Auto | Progress::Bar => Progress::Plain,
            chosen => chosen,
        };
        Self {
            shared: Arc::new(Shared {
                muted: false,
                json: global.json,
                quiet: global.quiet,
                how,
                bars: MultiProgress::new(),
                begun: AtomicBool::new(false),
                broken: Mutex::new(None),
            }),
        }
    }

    /// An output that nobody hears, for work whose state is shown elsewhere.
    pub(crate) fn muted() -> Self {
        let shared = Shared {
            muted: true,
            json: false,
            quiet: true,
            how: Progress::None,
            bars: MultiProgress::new(),
            begun: AtomicBool::new(false),
            broken: Mutex::new(None),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whether results are wanted as one JSON document.
    pub(crate) fn json(&self) -> bool {
        self.shared.json
    }

    /// Whether a running command reports by JSON events instead of lines.
    pub(crate) fn events(&self) -> bool {
        self.shared.how == Progress::Json
    }

    /// A line of the result, at once.
    pub(crate) fn result(&self, line: impl Display) {
        if self.shared.muted {
            return;
        }
        let mut stdout = anstream::stdout().lock();
        self.shared.bars.suspend(|| self.remember(writeln!(stdout, "{line}").and_then(|()| stdout.flush())));
    }

    /// Bytes of the result as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        let mut stdout = io::stdout().lock();
        self.remember(stdout.write_all(bytes).and_then(|()| stdout.flush()));
    }

    /// The result as one JSON document, written as it is made: a torrent of many files is long.
    pub(crate) fn document(&self, value: impl Serialize) {
        let mut stdout = BufWriter::new(io::stdout().lock());
        let versioned = Versioned { schema: SCHEMA, value };
        let written = serde_json::to_writer(&mut stdout, &versioned).map_err(io::Error::from);
        self.remember(written.and_then(|()| writeln!(stdout)).and_then(|()| stdout.flush()));
    }

    /// One event of a running command, if it reports by events.
    pub(crate) fn event(&self, value: Value) {
        if self.events() {
            if self.shared.begun.swap(true, Ordering::Relaxed) {
                self.bytes(format!("{value}\n").as_bytes());
            } else {
                self.document(value);
            }
        }
    }

    /// A line beside the result.
    pub(crate) fn note(&self, line: impl Display) {
        if !self.shared.quiet {
            self.aside(line);
        }
    }

    /// What the user may do next.
    pub(crate) fn hint(&self, line: impl Display) {
        self.note(format_args!("{HINT}hint:{HINT:#}  {line}"));
    }

    /// What the user should know though it goes on.
    pub(crate) fn warn(&self, line: impl Display) {
        self.note(format_args!("{WARNING}warning:{WARNING:#} {line}"));
    }

    /// Why the command ends.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.shared.json || self.events() {
            let event = serde_json::json!({
                "event": "error", "error": failure.what, "causes": failure.causes, "hint": failure.hint, "exit": failure.exit.code(),
            });
            if self.shared.begun.load(Ordering::Relaxed) { self.event(event) } else { self.document(event) }
        }
        self.aside(format_args!("{BAD}error:{BAD:#} {}", clean(&failure.what)));
        for cause in &failure.causes {
            self.aside(format_args!("{BOLD}cause:{BOLD:#} {}", clean(cause)));
        }
        if let Some(hint) = &failure.hint {
            self.aside(format_args!("{HINT}hint:{HINT:#}  {}", clean(hint)));
        }
    }

    /// A writer of log lines.
    pub(crate) fn log(&self) -> Log {
        Log { output: self.clone(), line: Vec::new() }
    }

    /// A progress display for a thing of this name.
    pub(crate) fn meter(&self, name: &str) -> Meter {
        Meter::new(&self.shared.bars, self.shared.how, self.clone(), name)
    }

    /// Whether all of the result reached its reader. One who closed the pipe had enough.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let broken = self.shared.broken.lock().unwrap_or_else(PoisonError::into_inner).take();
        match broken {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::new(Exit::of_io(&error), "cannot write the result to stdout").because(&error))
            }
            _ => Ok(()),
        }
    }

    fn aside(&self, line: impl Display) {
        if self.shared.muted {
            return;
        }
        // There is nobody left to tell if stderr is gone.
        let _ = self.shared.bars.suspend(|| writeln!(anstream::stderr().lock(), "{line}"));
    }

    fn remember(&self, result: io::Result<()>) {
        if let Err(error) = result {
            self.shared.broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}

/// A document with the version of its keys.
#[derive(Serialize)]
struct Versioned<T> {
    schema: u64,
    #[serde(flatten)]
    value: T,
}

/// A log line on its way to stderr: printed whole, above the progress bars.
pub(crate) struct Log {
    output: Output,
    line: Vec<u8>,
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.output.aside(String::from_utf8_lossy(&self.line).trim_end());
    }
}

/// Text from strangers, made safe for a terminal: control and direction characters become `\u{fffd}`.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let evil = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.contains(evil) { text.replace(evil, "\u{fffd}").into() } else { text.into() }
}

/// A path as it can be typed into a shell.
pub(crate) fn quote(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./,:+@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_drive_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!(clean("gpj.\u{202e}exe"), "gpj.\u{fffd}exe");
        assert_eq!(clean("žluťoučký 🐎"), "žluťoučký 🐎");
    }
}
