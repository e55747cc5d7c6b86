//! How far one thing has come: a bar on a terminal, a line every few seconds elsewhere, or silence.
//!
//! JSON events are not made here: each command knows what its events say.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Output, clean};
use crate::args::Progress;
use crate::units;

/// How often a line is printed where no bar can be drawn: often enough to see life, rare enough for a log.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Columns of the bar itself; name, numbers and rates then fit 110 columns.
const BAR: &str = "{prefix:.bold}  {percent:>3}% {bar:28.cyan/black.bright}  {wide_msg}";
/// Without a known whole there is nothing to draw but life.
const WAITING: &str = "{prefix:.bold}  {spinner:.cyan} {wide_msg}";

/// The longest name shown in a bar.
const NAME_CHARS: usize = 28;

/// A progress display. It vanishes when dropped.
pub(crate) struct Meter {
    output: Output,
    name: String,
    bar: Option<ProgressBar>,
    lines: bool,
    printed: Instant,
    /// The last line printed: one that says the same is left out.
    said: String,
}

impl Meter {
    pub(super) fn new(bars: &MultiProgress, how: Progress, output: Output, name: &str) -> Self {
        let bar =
            (how == Progress::Bar).then(|| bars.add(ProgressBar::no_length().with_style(style(WAITING))));
        let mut meter = Self {
            output,
            name: String::new(),
            bar,
            lines: how == Progress::Plain,
            printed: Instant::now(),
            said: String::new(),
        };
        meter.rename(name);
        meter
    }

    /// Changes the name.
    pub(crate) fn rename(&mut self, name: &str) {
        let name = clean(name);
        self.name = if name.chars().count() > NAME_CHARS {
            name.chars().take(NAME_CHARS - 1).chain(['…']).collect()
        } else {
            name.into_owned()
        };
        if let Some(bar) = &self.bar {
            bar.set_prefix(self.name.clone());
        }
    }

    /// Shows `done` of `total` bytes, and more in words.
    pub(crate) fn show(&mut self, done: u64, total: u64, words: &str) {
        if let Some(bar) = &self.bar {
            if bar.length() != Some(total) {
                bar.set_style(style(BAR));
                bar.set_length(total);
            }
            bar.set_position(done);
            bar.set_message(words.to_owned());
        } else {
            self.say(&format!("{}%  {words}", units::percent(done, total)));
        }
    }

    /// Shows what is waited for while nothing can be counted.
    pub(crate) fn wait(&mut self, words: &str) {
        if let Some(bar) = &self.bar {
            if bar.length().is_some() {
                bar.set_style(style(WAITING));
                bar.unset_length();
            }
            bar.set_message(words.to_owned());
            bar.tick();
        } else {
            self.say(words);
        }
    }

    fn say(&mut self, words: &str) {
        if self.lines && self.printed.elapsed() >= LINE_EVERY && self.said != words {
            self.printed = Instant::now();
            words.clone_into(&mut self.said);
            self.output.note(format_args!("{}  {words}", self.name));
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file; a wrong one shows as a plain default bar.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸━")
}
