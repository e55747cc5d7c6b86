//! Tables of medians, and the file whose sections they are.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::step::Outcome;

/// Stands at the top of the file.
const HEAD: &str = "\
# Benchmarks

Written by `cargo xtask bench`, a section for each case; see CONTRIBUTING.md. Figures are medians of all rounds, with least and most in
parentheses. Programs take turns in each round, and memory is touched before each run. **×** is our median divided by that of the best
other program in the same table. CPU is user and system time of all threads of the process. Resident memory is the peak of the whole
process; mapped files count in it.
";

/// A column: what it says, digits behind the point, and whether more is better (`None`: neither).
pub(super) struct Column(pub(super) &'static str, pub(super) usize, pub(super) Option<bool>);

/// A table of programs side by side.
pub(super) struct Table {
    title: String,
    columns: &'static [Column],
    rows: Vec<Row>,
}

struct Row {
    who: String,
    runs: u32,
    /// Of each column, a figure for each run that had one.
    figures: Vec<Vec<f64>>,
    trouble: Option<String>,
}

/// What a case has to say.
#[derive(Default)]
pub(super) struct Section {
    pub(super) tables: Vec<Table>,
    /// Commands behind it, one a line.
    pub(super) commands: Vec<String>,
    /// Printed by programs, as it was.
    pub(super) printed: String,
    pub(super) notes: Vec<String>,
}

impl Table {
    pub(super) fn new(title: impl Into<String>, columns: &'static [Column]) -> Self {
        Self { title: title.into(), columns, rows: Vec::new() }
    }

    /// Takes in the figures of one run, in the order of the columns, or why there are none.
    pub(super) fn add(&mut self, who: &str, outcome: Result<Vec<Option<f64>>, String>) {
        match &outcome {
            Ok(figures) => eprintln!("{who}: {}", shown(self.columns, figures)),
            Err(why) => eprintln!("{who}: {why}"),
        }
        let at = self.rows.iter().position(|row| row.who == who).unwrap_or_else(|| {
            let figures = self.columns.iter().map(|_| Vec::new()).collect();
            self.rows.push(Row { who: who.into(), runs: 0, figures, trouble: None });
            self.rows.len() - 1
        });
        let row = &mut self.rows[at];
        row.runs += 1;
        match outcome {
            Ok(figures) => {
                row.figures.iter_mut().zip(figures).for_each(|(column, figure)| column.extend(figure));
            }
            Err(why) => row.trouble = why.lines().next().map(str::to_owned),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if !self.title.is_empty() {
            _ = writeln!(text, "\n### {}", self.title);
        }
        let heads: Vec<_> = self.columns.iter().map(|column| column.0).collect();
        _ = writeln!(text, "\n| | runs | {} |\n|---|---|{}", heads.join(" | "), "---|".repeat(heads.len()));
        for row in &self.rows {
            let cells: Vec<_> = (0..self.columns.len()).map(|column| self.cell(row, column)).collect();
            let good = row.figures.iter().map(Vec::len).max().unwrap_or(0);
            let trouble = row.trouble.as_ref().map(|why| format!(": {}", why.replace('|', "/")));
            let trouble = trouble.unwrap_or_default();
            _ = writeln!(text, "| {} | {good} of {}{trouble} | {} |", row.who, row.runs, cells.join(" | "));
        }
        text
    }

    fn cell(&self, row: &Row, column: usize) -> String {
        let &Column(_, digits, more) = &self.columns[column];
        let Some((least, middle, most)) = spread(&row.figures[column]) else { return "–".into() };
        let mut cell = format!("{middle:.digits$}");
        if row.figures[column].len() > 1 {
            _ = write!(cell, " ({least:.digits$}–{most:.digits$})");
        }
        let others = self.rows.iter().filter(|row| !is_ours(&row.who));
        let others = others.filter_map(|row| Some(spread(&row.figures[column])?.1));
        let best = more.and_then(|more| others.reduce(if more { f64::max } else { f64::min }));
        if let Some(best) = best.filter(|&best| is_ours(&row.who) && best > 0.0) {
            _ = write!(cell, " **×{:.2}**", middle / best);
        }
        cell
    }
}

/// Whether we take part.
fn is_ours(who: &str) -> bool {
    who.contains("headwater")
}

fn shown(columns: &[Column], figures: &[Option<f64>]) -> String {
    let shown = columns.iter().zip(figures).filter_map(|(column, figure)| {
        let digits = column.1;
        Some(format!("{} {:.digits$}", column.0, (*figure)?))
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Least, median and most.
fn spread(figures: &[f64]) -> Option<(f64, f64, f64)> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = (sorted.get(sorted.len() / 2)? + sorted.get((sorted.len() - 1) / 2)?) / 2.0;
    Some((*sorted.first()?, middle, *sorted.last()?))
}

impl Section {
    pub(super) fn text(&self, name: &str, title: &str, command: &str, conditions: &str) -> String {
        let mut text = format!("## {name}: {title}\n\n{conditions}\n");
        self.notes.iter().for_each(|note| _ = writeln!(text, "\n{note}"));
        self.tables.iter().for_each(|table| text.push_str(&table.text()));
        if !self.printed.is_empty() {
            _ = writeln!(text, "\n```text\n{}\n```", self.printed.trim_end());
        }
        let commands = [command.to_owned()].into_iter().chain(self.commands.iter().cloned());
        _ = writeln!(text, "\n```sh\n{}\n```", commands.collect::<Vec<_>>().join("\n"));
        text
    }
}

/// Puts a section into the file, in place of an earlier one of that name; all stand in the order of `names`.
pub(super) fn keep<'a>(
    path: &Path,
    name: &str,
    section: &str,
    names: impl Iterator<Item = &'a str>,
) -> Outcome {
    let before = fs::read_to_string(path).unwrap_or_default();
    fs::write(path, replaced(&before, name, section, names))
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn replaced<'a>(before: &str, name: &str, section: &str, names: impl Iterator<Item = &'a str>) -> String {
    let mut text = HEAD.to_owned();
    for other in names {
        let kept = before.split("\n## ").skip(1).find(|kept| kept.starts_with(&format!("{other}: ")));
        if other == name {
            _ = write!(text, "\n{}\n", section.trim_end());
        } else if let Some(kept) = kept {
            _ = write!(text, "\n## {}\n", kept.trim_end());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[Column("wall s", 1, Some(false)), Column("MB/s", 0, Some(true))];

    #[test]
    fn our_medians_are_divided_by_those_of_the_best_other_program() {
        let mut table = Table::new("", COLUMNS);
        for (who, wall, rate) in [("slow", 9.0, 5.0), ("quick", 4.0, 8.0), ("headwater", 3.0, 10.0)] {
            for more in [0.0, 1.0, 0.5] {
                table.add(who, Ok(vec![Some(wall + more), Some(rate)]));
            }
        }
        let text = table.text();
        assert!(
            text.contains("| headwater | 3 of 3 | 3.5 (3.0–4.0) **×0.78** | 10 (10–10) **×1.25** |"),
            "{text}"
        );
        assert!(text.contains("| slow | 3 of 3 | 9.5 (9.0–10.0) | 5 (5–5) |"), "{text}");
    }

    #[test]
    fn a_program_that_failed_says_why() {
        let mut table = Table::new("", COLUMNS);
        table.add("slow", Err("gave up\nafter all".into()));
        assert!(table.text().contains("| slow | 0 of 1: gave up | – | – |"), "{}", table.text());
    }

    #[test]
    fn a_case_run_again_replaces_its_own_section() {
        let names = || ["pair", "swarm", "idle"].into_iter();
        let text = replaced("", "idle", "## idle: i\n\nold", names());
        let text = replaced(&text, "pair", "## pair: p\n\nfirst", names());
        let text = replaced(&text, "idle", "## idle: i\n\nnew", names());
        assert_eq!(text, format!("{HEAD}\n## pair: p\n\nfirst\n\n## idle: i\n\nnew\n"));
    }
}
