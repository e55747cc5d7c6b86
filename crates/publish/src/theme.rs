//! How the site looks: templates and assets, ours or those that a publisher put in their place.
//!
//! Texts only, read once. A file of a theme's folder replaces ours of the same name, `theme.css` is added after our style sheet, and
//! what lies below `assets/` is served beside them. Templates are minijinja's; what they are given is `page`'s business.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, Value, escape_formatter};

use crate::markdown::escape;

/// The template of a release's page.
pub(crate) const RELEASE: &str = "release.html";
/// The template of the list of several releases.
pub(crate) const INDEX: &str = "index.html";
/// The template of the Atom feed.
pub(crate) const FEED: &str = "feed.xml";

/// Our templates.
const TEMPLATES: &[(&str, &str)] = &[
    ("base.html", include_str!("../templates/base.html")),
    (RELEASE, include_str!("../templates/release.html")),
    (INDEX, include_str!("../templates/index.html")),
    (FEED, include_str!("../templates/feed.xml")),
];

/// Our assets, at the site's root.
const ASSETS: &[(&str, &str)] = &[
    ("style.css", include_str!("../assets/style.css")),
    ("page.js", include_str!("../assets/page.js")),
    ("icon.svg", include_str!("../assets/icon.svg")),
    ("robots.txt", include_str!("../assets/robots.txt")),
];

/// The style sheet that a theme may add: custom properties that override ours.
pub(crate) const EXTRA_STYLE: &str = "theme.css";

/// How many files a theme's `assets` may have, and how many bytes all of them: they are held in memory.
const MAX_ASSETS: usize = 1_000;
/// The sum of a theme's files in bytes: some pictures and fonts, not a release.
const MAX_BYTES: u64 = 64 << 20;

/// Templates and assets.
#[derive(Clone, Debug)]
pub struct Theme {
    folder: Option<PathBuf>,
    templates: BTreeMap<&'static str, Cow<'static, str>>,
    /// By path without the first slash.
    assets: BTreeMap<String, Bytes>,
}

/// Why a theme cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThemeError {
    /// The operating system refused.
    #[error("cannot read {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// The reason the system gave.
        #[source]
        source: io::Error,
    },
    /// A template is wrong, or names something that it is not given.
    #[error("{}:{line}: {message}", path.display())]
    Template {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// More than a theme should have.
    #[error("{} has too many files, or too large ones", .0.display())]
    TooLarge(PathBuf),
}

impl Default for Theme {
    fn default() -> Self {
        let assets =
            ASSETS.iter().map(|(name, text)| ((*name).to_owned(), Bytes::from_static(text.as_bytes())));
        Self {
            folder: None,
            templates: TEMPLATES.iter().map(|(name, text)| (*name, Cow::Borrowed(*text))).collect(),
            assets: assets.collect(),
        }
    }
}

impl Theme {
    /// Our look, with what a folder puts in its place. Templates are checked as far as they can be without a release.
    pub fn load(folder: Option<&Path>) -> Result<Self, ThemeError> {
        let mut theme = Self::default();
        let Some(folder) = folder else { return Ok(theme) };
        let read = |source| ThemeError::Read { path: folder.to_owned(), source };
        fs::read_dir(folder).map_err(read)?;
        theme.folder = Some(folder.to_owned());
        for (name, text) in &mut theme.templates {
            let path = folder.join(name);
            if let Some(bytes) = file(&path)? {
                let invalid = |error| ThemeError::Read {
                    path,
                    source: io::Error::new(io::ErrorKind::InvalidData, error),
                };
                *text = Cow::Owned(String::from_utf8(bytes).map_err(invalid)?);
            }
        }
        let replaceable = ASSETS.iter().map(|(name, _)| *name).chain([EXTRA_STYLE]);
        for name in replaceable {
            if let Some(bytes) = file(&folder.join(name))? {
                theme.assets.insert(name.to_owned(), bytes.into());
            }
        }
        let assets = folder.join("assets");
        if assets.is_dir() {
            theme.collect(&assets, "assets")?;
        }
        theme.environment()?;
        Ok(theme)
    }

    /// Assets by path without the first slash.
    pub(crate) fn assets(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.assets.iter().map(|(path, bytes)| (path.as_str(), bytes))
    }

    /// An asset.
    pub(crate) fn asset(&self, path: &str) -> Option<&Bytes> {
        self.assets.get(path)
    }

    /// What a template makes of its values.
    pub(crate) fn render(&self, template: &str, values: Value) -> Result<String, ThemeError> {
        let environment = self.environment()?;
        let made = environment.get_template(template).and_then(|template| template.render(values));
        made.map_err(|error| self.wrong(template, &error))
    }

    fn environment(&self) -> Result<Environment<'_>, ThemeError> {
        let mut environment = Environment::new();
        environment.set_formatter(put);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| self.wrong("", &error))?);
        for (name, text) in &self.templates {
            environment.add_template(name, text).map_err(|error| self.wrong(name, &error))?;
        }
        Ok(environment)
    }

    /// The error with its place. Errors in what a template includes carry the deeper place as their source.
    fn wrong(&self, template: &str, error: &minijinja::Error) -> ThemeError {
        let name = error.name().unwrap_or(template);
        ThemeError::Template {
            path: self.folder.as_deref().unwrap_or(Path::new("templates")).join(name),
            line: error.line().unwrap_or(1),
            message: error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned),
        }
    }

    /// Takes what lies below a folder, links not followed.
    fn collect(&mut self, folder: &Path, prefix: &str) -> Result<(), ThemeError> {
        let wrong = |source| ThemeError::Read { path: folder.to_owned(), source };
        for entry in fs::read_dir(folder).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let kind = entry.file_type().map_err(wrong)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{prefix}/{name}");
            if kind.is_dir() {
                self.collect(&entry.path(), &path)?;
            } else if kind.is_file()
                && let Some(bytes) = file(&entry.path())?
            {
                self.assets.insert(path, bytes.into());
                let total: usize = self.assets.values().map(Bytes::len).sum();
                if self.assets.len() > MAX_ASSETS || total as u64 > MAX_BYTES {
                    return Err(ThemeError::TooLarge(folder.to_owned()));
                }
            }
        }
        Ok(())
    }
}

/// Writes a value into a page. Text is escaped as everywhere of ours: the default would escape the `/` of each address too.
fn put(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    let escaped = *state.auto_escape() == AutoEscape::Html && !value.is_safe();
    match value.as_str().filter(|_| escaped) {
        Some(text) => out.write_str(&escape(text)).map_err(minijinja::Error::from),
        None => escape_formatter(out, state, value),
    }
}

/// The bytes of a file, if there is one.
fn file(path: &Path) -> Result<Option<Vec<u8>>, ThemeError> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > MAX_BYTES) {
        return Err(ThemeError::TooLarge(path.to_owned()));
    }
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ThemeError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(files: &[(&str, &str)]) -> String {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(home.path().join(name), text).unwrap();
        }
        let theme = Theme::load(Some(home.path()));
        let made = theme.and_then(|theme| theme.render(INDEX, minijinja::context! { title => "T" }));
        let path = format!("{}/", home.path().display());
        made.unwrap_err().to_string().replace(&path, "")
    }

    #[test]
    fn a_file_of_the_theme_replaces_ours() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(INDEX), "Hello {{ title }}").unwrap();
        fs::write(home.path().join("icon.svg"), "<svg/>").unwrap();
        fs::create_dir_all(home.path().join("assets/fonts")).unwrap();
        fs::write(home.path().join("assets/fonts/a.woff2"), "font").unwrap();
        let theme = Theme::load(Some(home.path())).unwrap();
        let title = "<T>";
        assert_eq!(theme.render(INDEX, minijinja::context! { title }).unwrap(), "Hello &lt;T&gt;");
        assert_eq!(theme.asset("icon.svg").unwrap(), "<svg/>");
        assert_eq!(theme.asset("assets/fonts/a.woff2").unwrap(), "font");
        assert_eq!(theme.asset("page.js"), Theme::default().asset("page.js"));
        assert!(theme.asset(EXTRA_STYLE).is_none());
    }

    #[test]
    fn a_wrong_template_is_named_with_its_line() {
        let syntax = error_of(&[(INDEX, "a\n{% if %}")]);
        assert!(syntax.starts_with("index.html:2: "), "{syntax}");
        let unknown = error_of(&[(INDEX, "a\n\n{{ titel.x }}")]);
        assert!(unknown.starts_with("index.html:3: "), "{unknown}");
        let ours = error_of(&[("feed.xml", "{{")]);
        assert!(ours.starts_with("feed.xml:1: "), "{ours}");
    }

    #[test]
    fn a_theme_that_is_not_there_is_an_error() {
        let error = Theme::load(Some(Path::new("/nowhere/theme"))).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nowhere/theme");
    }
}
