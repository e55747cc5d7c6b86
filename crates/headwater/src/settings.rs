//! The configuration file: which keys it may have, and which flags they give values to.
//!
//! A key is another way to write a flag: its value becomes the flag's default, so that the order is defaults, system file,
//! user's file, environment, command line. [`KEYS`] is the whole of it; `args` puts the values into the grammar.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use toml::de::{DeTable, DeValue};

use crate::args::{parse_price, parse_ratio};
use crate::commands::publish::public_url;
use crate::commands::track::{parse_address, proxies};
use crate::failure::{Exit, Failure};
use crate::net::parse_listen;
use crate::units::{parse_duration, parse_rate};

/// The file of the whole machine.
const SYSTEM: &str = "/etc/headwater/config.toml";

/// The longest file that is read: more than every key with a long value takes.
const MAX_FILE: u64 = 1 << 20;

/// A key of the file.
pub(crate) struct Key {
    /// Its name, with its section before a dot.
    pub(crate) name: &'static str,
    /// The flag it stands for, as clap knows it.
    flag: &'static str,
    /// The commands that have this flag and follow the file.
    commands: &'static [&'static str],
    /// Reads a value: what the flag would be given, or nothing if the flag would be left out.
    read: fn(&str) -> Result<Option<String>, String>,
}

/// Every key.
pub(crate) const KEYS: &[Key] = &[
    Key { name: "download_dir", flag: "usual_dir", commands: &["open"], read: folder },
    Key { name: "network.listen", flag: "listen", commands: NET, read: listen },
    Key { name: "network.max_peers", flag: "max_peers", commands: NET, read: number },
    Key { name: "network.allow_local", flag: "allow_local", commands: NET, read: switch },
    Key { name: "network.encryption", flag: "encryption", commands: NET, read: encryption },
    Key { name: "network.utp", flag: "no_utp", commands: NET, read: opposite },
    Key { name: "discovery.lsd", flag: "no_lsd", commands: NET, read: opposite },
    Key { name: "discovery.pex", flag: "no_pex", commands: NET, read: opposite },
    Key { name: "limits.down", flag: "limit_rate", commands: &["get", "open"], read: rate },
    Key { name: "limits.up", flag: "limit_upload", commands: NET, read: rate },
    Key { name: "seeding.ratio", flag: "ratio", commands: &["open"], read: ratio },
    Key { name: "seeding.time", flag: "time", commands: &["open"], read: time },
    Key { name: "publish.url", flag: "url", commands: &["publish"], read: url },
    Key { name: "publish.http", flag: "http", commands: &["publish"], read: address },
    Key { name: "publish.https", flag: "https", commands: &["publish"], read: address },
    Key { name: "publish.title", flag: "title", commands: &["publish"], read: text },
    Key { name: "publish.intro", flag: "intro", commands: &["publish"], read: text },
    Key { name: "publish.theme", flag: "theme", commands: &["publish"], read: text },
    Key { name: "publish.copies", flag: "copies", commands: &["publish"], read: count },
    Key { name: "publish.price_per_gb", flag: "price_per_gb", commands: &["publish"], read: price },
    Key { name: "publish.trust_proxy", flag: "trust_proxy", commands: &["publish"], read: network },
    Key { name: "open.page", flag: "page", commands: &["open"], read: page },
    Key { name: "open.notify", flag: "notify", commands: &["open"], read: notify },
];

/// The commands that meet the network.
const NET: &[&str] = &["get", "seed", "publish", "open"];

/// A value that a file gives.
pub(crate) struct Setting {
    /// To which key.
    pub(crate) key: &'static Key,
    /// As a flag would be given it; nothing if the flag would be left out.
    pub(crate) value: Option<String>,
    /// Where it stands.
    pub(crate) file: PathBuf,
    /// In which line, from 1.
    pub(crate) line: usize,
}

/// All that the files say, the weaker first.
#[derive(Default)]
pub(crate) struct Settings(pub(crate) Vec<Setting>);

impl Settings {
    /// Reads the file that the user names, else those of the machine and of the user that exist.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, Failure> {
        let mut all = Self::default();
        for file in files(named) {
            if named.is_some() || file.exists() {
                all.0.extend(Self::read(&file)?.0);
            }
        }
        Ok(all)
    }

    /// Reads one file.
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let trouble = |error: std::io::Error| Failure::io("read", file, &error);
        if file.metadata().map_err(trouble)?.len() > MAX_FILE {
            return Err(Failure::new(Exit::Invalid, format!("{} is too long", file.display())));
        }
        Self::parse(&std::fs::read_to_string(file).map_err(trouble)?, file)
    }

    fn parse(content: &str, file: &Path) -> Result<Self, Failure> {
        let table = DeTable::parse(content).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(content, &span));
            let what = format!("{} is not a valid configuration, line {line}", file.display());
            Failure::new(Exit::Invalid, what).cause(error.message())
        })?;
        let mut settings = Self::default();
        settings.collect(content, file, "", table.get_ref())?;
        Ok(settings)
    }

    fn collect(
        &mut self,
        content: &str,
        file: &Path,
        section: &str,
        table: &DeTable<'_>,
    ) -> Result<(), Failure> {
        for (name, value) in table {
            let (name, line) = (format!("{section}{}", name.get_ref()), line_of(content, &name.span()));
            let known_section = KEYS.iter().any(|key| key.name.starts_with(&format!("{name}.")));
            let text = match value.get_ref() {
                DeValue::Table(inner) if known_section => {
                    self.collect(content, file, &format!("{name}."), inner)?;
                    continue;
                }
                value => scalar(value),
            };
            let key = KEYS.iter().find(|key| key.name == name).ok_or_else(|| unknown(&name, file, line))?;
            let read =
                text.ok_or_else(|| "one value is expected".to_owned()).and_then(|text| (key.read)(&text));
            let value = read.map_err(|why| {
                Failure::new(
                    Exit::Invalid,
                    format!("bad value of `{name}` in {} line {line}", file.display()),
                )
                .cause(why)
            })?;
            self.0.push(Setting { key, value, file: file.to_owned(), line });
        }
        Ok(())
    }

    /// What counts: of two files that set the same key the later one.
    pub(crate) fn effective(&self) -> impl Iterator<Item = &Setting> {
        let is_last = |(place, setting): &(usize, &Setting)| {
            !self.0.iter().skip(place + 1).any(|later| later.key.name == setting.key.name)
        };
        self.0.iter().enumerate().filter(is_last).map(|(_, setting)| setting)
    }

    /// Which command's flag gets which default.
    pub(crate) fn defaults(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        let given = self.effective().filter_map(|setting| Some((setting.key, setting.value.as_deref()?)));
        given.flat_map(|(key, value)| key.commands.iter().map(move |command| (*command, key.flag, value)))
    }
}

/// The files that are read, whether they exist or not: the weaker first.
pub(crate) fn files(named: Option<&Path>) -> Vec<PathBuf> {
    if let Some(file) = named {
        return vec![file.to_owned()];
    }
    let user =
        etcetera::base_strategy::Xdg::new().ok().map(|base| base.config_dir().join("headwater/config.toml"));
    std::iter::once(PathBuf::from(SYSTEM)).chain(user).collect()
}

fn line_of(content: &str, span: &Range<usize>) -> usize {
    content.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn unknown(name: &str, file: &Path, line: usize) -> Failure {
    let failure =
        Failure::new(Exit::Invalid, format!("unknown key `{name}` in {} line {line}", file.display()));
    let nearest = KEYS.iter().map(|key| (distance(name, key.name), key.name)).min();
    match nearest {
        Some((distance, near)) if distance <= near.len() / 3 => {
            failure.hint(format!("did you mean `{near}`?"))
        }
        _ => {
            let mut names = String::from("the keys are");
            for key in KEYS {
                // Writing to a string cannot fail.
                _ = write!(names, " {}", key.name);
            }
            failure.hint(names)
        }
    }
}

/// How many letters must be changed, added or left out to make one word of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[expect(clippy::unnecessary_wraps, reason = "all readers have one type")]
fn text(text: &str) -> Result<Option<String>, String> {
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// What the command's own parser takes; an empty text is as good as no flag.
fn taken<T>(text: &str, parse: impl Fn(&str) -> Result<T, Failure>) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    parse(text).map(|_| Some(text.to_owned())).map_err(|failure| failure.what)
}

fn listen(text: &str) -> Result<Option<String>, String> {
    taken(text, parse_listen)
}

fn address(text: &str) -> Result<Option<String>, String> {
    taken(text, parse_address)
}

fn url(text: &str) -> Result<Option<String>, String> {
    taken(text, public_url)
}

fn network(text: &str) -> Result<Option<String>, String> {
    taken(text, |text| proxies(&[text.to_owned()]))
}

fn price(text: &str) -> Result<Option<String>, String> {
    parse_price(text).map(|_| Some(text.to_owned()))
}

fn number(text: &str) -> Result<Option<String>, String> {
    match text.parse::<u16>() {
        Ok(number) if number > 0 => Ok(Some(text.to_owned())),
        _ => Err(format!("`{text}` is not a number from 1 to 65535")),
    }
}

fn count(text: &str) -> Result<Option<String>, String> {
    text.parse::<u32>().map(|_| Some(text.to_owned())).map_err(|_| format!("`{text}` is not a number"))
}

fn switch(text: &str) -> Result<Option<String>, String> {
    one_of(text, &["true", "false"])
}

/// The switch of a flag that turns something off.
fn opposite(text: &str) -> Result<Option<String>, String> {
    switch(text).map(|_| Some((text == "false").to_string()))
}

/// A rate; 0 is no limit.
fn rate(text: &str) -> Result<Option<String>, String> {
    if text == "0" { Ok(None) } else { parse_rate(text).map(|_| Some(text.to_owned())) }
}

fn ratio(text: &str) -> Result<Option<String>, String> {
    parse_ratio(text).map(|_| Some(text.to_owned()))
}

fn time(text: &str) -> Result<Option<String>, String> {
    parse_duration(text).map(|_| Some(text.to_owned()))
}

fn encryption(text: &str) -> Result<Option<String>, String> {
    one_of(text, &["off", "allow", "prefer", "require"])
}

fn page(text: &str) -> Result<Option<String>, String> {
    one_of(text, &["once", "always", "never"])
}

fn notify(text: &str) -> Result<Option<String>, String> {
    one_of(text, &["always", "never"])
}

fn one_of(text: &str, words: &[&str]) -> Result<Option<String>, String> {
    if words.contains(&text) {
        Ok(Some(text.to_owned()))
    } else {
        Err(format!("`{text}` is none of {}", words.join(", ")))
    }
}

/// A folder: whole, or below the home folder.
fn folder(text: &str) -> Result<Option<String>, String> {
    let home = text.strip_prefix("~/").map(|rest| etcetera::home_dir().map(|home| home.join(rest)));
    let path = match home {
        Some(Ok(path)) => path,
        Some(Err(error)) => return Err(error.to_string()),
        None => PathBuf::from(text),
    };
    if path.is_absolute() {
        Ok(Some(path.to_string_lossy().into_owned()))
    } else {
        Err(format!("`{text}` must begin with / or ~/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(content: &str) -> Result<Settings, Failure> {
        Settings::parse(content, Path::new("config.toml"))
    }

    #[test]
    fn keys_become_the_defaults_of_flags() {
        let settings = parse(
            "download_dir = \"/srv/in\"\n[limits]\ndown = \"2MiB\"\nup = \"0\"\n[seeding]\nratio = 2.5\n",
        );
        let settings = settings.unwrap();
        let defaults: Vec<_> = settings.defaults().collect();
        assert_eq!(
            defaults,
            [
                ("open", "usual_dir", "/srv/in"),
                ("get", "limit_rate", "2MiB"),
                ("open", "limit_rate", "2MiB"),
                ("open", "ratio", "2.5"),
            ]
        );
        assert_eq!(settings.0.last().unwrap().line, 6);
    }

    #[test]
    fn nothing_in_the_users_file_takes_back_what_the_machines_says() {
        let mut settings = parse("[limits]\ndown = \"2MiB\"\n[publish]\ntitle = \"Ours\"\n").unwrap();
        settings.0.extend(parse("[limits]\ndown = 0\n[publish]\ntitle = \"\"\n").unwrap().0);
        assert_eq!(settings.defaults().next(), None);
        assert!(settings.effective().all(|setting| setting.value.is_none()));
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line_and_the_right_one() {
        let failure = parse("\n\ndownlod_dir = \"x\"\n").err().unwrap();
        assert_eq!(failure.exit, Exit::Invalid);
        assert_eq!(failure.what, "unknown key `downlod_dir` in config.toml line 3");
        assert_eq!(failure.hint.as_deref(), Some("did you mean `download_dir`?"));
    }

    #[test]
    fn senseless_values_are_refused_with_their_line() {
        for content in [
            "[limits]\ndown = \"fast\"",
            "[limits]\ndown = [1]",
            "[seeding]\ntime = \"1 moon\"",
            "[network]\nmax_peers = 0",
            "[open]\npage = \"perhaps\"",
            "[network]\nencryption = \"perhaps\"",
            "[network]\nlisten = \"nowhere:1\"",
            "[publish]\nurl = \"ftp://x.example\"",
            "[publish]\nurl = \"http://\"",
            "[publish]\nhttp = \"8080 please\"",
            "[publish]\nprice_per_gb = -1",
            "[publish]\ntrust_proxy = \"10.0.0.0/99\"",
            "#\ndownload_dir = \"here\"",
            "#\n[limits",
            "#\nlimits = 3",
        ] {
            let failure = parse(content).err().unwrap();
            assert_eq!(failure.exit, Exit::Invalid, "{content}");
            assert!(failure.what.ends_with("line 2"), "{content}: {}", failure.what);
        }
    }

    #[test]
    fn every_key_is_a_flag_of_its_commands() {
        for key in KEYS {
            for name in key.commands {
                let grammar = crate::args::command();
                let command = grammar.find_subcommand(name).unwrap();
                assert!(command.get_arguments().any(|arg| arg.get_id() == key.flag), "{} {name}", key.name);
            }
        }
    }
}
