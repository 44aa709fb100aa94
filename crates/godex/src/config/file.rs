//! The settings file: read, judged key by key, and put behind flags and variables.
//!
//! A file says what a flag would say, in tables: `[proxy]` and `[login]`. What it says takes the
//! place of the defaults, so that a flag wins over its variable, which wins over the file, which
//! wins over the default. A file that is not understood as a whole is not used at all.

mod excerpt;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use toml_edit::{Document, Item, Key, TableLike, Value};

pub(crate) use self::excerpt::Problem;
use self::excerpt::Text;
use super::masked::masked;
use super::table::{Kind, Setting, settings, tables};
use super::{Colour, Surroundings};

/// The largest file that is read.
const LARGEST: u64 = 1 << 20;
/// How alike two names are that are taken for each other, from 0 to 1.
const ALIKE: f64 = 0.8;
/// What is said about a name that is like no other.
const NO_IDEA: &str = "see all of them with their defaults: godex config init --print";

/// A settings file that was understood.
#[derive(Clone, Debug)]
pub(crate) struct File {
    path: PathBuf,
    given: BTreeMap<String, Given>,
    /// Permissions, when others can read the file and it holds a secret.
    exposed: Option<u32>,
}

/// What a file says about one setting. It may be a secret.
#[derive(Clone)]
pub(crate) struct Given {
    texts: Vec<String>,
    line: usize,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Given(line {})", self.line)
    }
}

/// Why a settings file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be read.
    #[error("cannot read the settings file {path}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// It is not understood.
    #[error("{} is not understood", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, at least one thing, in the order of the file.
        problems: Vec<Problem>,
    },
}

/// Where the settings file is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The file.
    pub(crate) path: PathBuf,
    /// Whether somebody named it, and it must be there.
    pub(crate) named: bool,
}

impl Place {
    /// The file that is named, else the usual one; `None` without a home to look in.
    pub(crate) fn find(named: Option<&Path>, surroundings: &Surroundings) -> Option<Self> {
        if let Some(path) = named.filter(|it| !it.as_os_str().is_empty()) {
            return Some(Self { path: surroundings.expand(path)?, named: true });
        }
        let folder = surroundings.config_home().ok()?;
        Some(Self { path: folder.join("godex/config.toml"), named: false })
    }

    /// Reads it. Without one, and nobody has named one, there is nothing to say.
    ///
    /// # Errors
    ///
    /// When it is not there although it was named, or is not understood.
    pub(crate) fn read(&self) -> Result<Option<File>, FileError> {
        match open(&self.path) {
            Ok((text, mode)) => File::parse(&self.path, &text, mode).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.named => Ok(None),
            Err(source) => Err(FileError::Unreadable { path: self.path.clone(), source }),
        }
    }
}

fn open(path: &Path) -> io::Result<(String, u32)> {
    let file = fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok((text, mode))
}

impl File {
    /// Understands the text of a file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub(super) fn parse(path: &Path, text: &str, mode: u32) -> Result<Self, FileError> {
        let mut reader = Reader::new(text);
        match Document::parse(text) {
            Ok(document) => reader.root(document.as_table()),
            Err(error) => {
                let what = error.message().lines().collect::<Vec<_>>().join(", ");
                let help = match what.as_str() {
                    "duplicate key" => "keep one of them",
                    _ => "write texts in quotes: name = \"text\"",
                };
                reader.problem(error.span().unwrap_or(0..0), what, help);
            }
        }
        let Reader { mut problems, given, secret, .. } = reader;
        if !problems.is_empty() {
            problems.sort_by_key(Problem::place);
            return Err(FileError::Wrong { path: path.to_owned(), problems });
        }
        let exposed = Some(mode).filter(|mode| secret && mode & 0o077 != 0);
        Ok(Self { path: path.to_owned(), given, exposed })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many settings it has.
    pub(crate) fn len(&self) -> usize {
        self.given.len()
    }

    /// The line on which it speaks of a setting.
    pub(crate) fn line(&self, setting: &Setting) -> Option<usize> {
        self.given.get(&setting.key()).map(|it| it.line)
    }

    /// What it says about colours.
    pub(crate) fn colour(&self) -> Option<Colour> {
        let text = self.given.get("color")?.texts.first()?;
        Colour::from_str(text, false).ok()
    }

    /// Its permissions, when it holds a secret and others than its owner can read it.
    pub(crate) fn exposed(&self) -> Option<u32> {
        self.exposed
    }

    /// Lets a command take what the file says where neither a flag nor a variable says anything.
    pub(crate) fn fill(&self, command: clap::Command) -> clap::Command {
        command
            .mut_args(|arg| {
                // Colours are wanted before there are arguments.
                let setting = Setting::of(&arg).filter(|_| arg.get_env().is_some());
                match setting.and_then(|it| self.given.get(&it.key())) {
                    Some(given) => arg.default_values(given.texts.clone()),
                    None => arg,
                }
            })
            .mut_subcommands(|command| self.fill(command))
    }
}

/// Collects what a file says, and what is wrong with it.
struct Reader<'a> {
    text: Text<'a>,
    settings: Vec<Setting>,
    given: BTreeMap<String, Given>,
    problems: Vec<Problem>,
    secret: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text: Text::new(text),
            settings: settings(),
            given: BTreeMap::new(),
            problems: Vec::new(),
            secret: false,
        }
    }

    fn problem(
        &mut self,
        span: std::ops::Range<usize>,
        what: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.push(self.text.problem(span, what.into(), help.into()));
    }

    fn root(&mut self, root: &toml_edit::Table) {
        for (name, _) in root {
            let Some((key, item)) = root.get_key_value(name) else { continue };
            if !tables().any(|it| it == name) {
                self.entry("", key, item);
            } else if let Some(table) = item.as_table_like() {
                self.table(name, table);
            } else {
                let span = item.span().or_else(|| key.span()).unwrap_or(0..0);
                let what = format!("`{name}` is a table");
                self.problem(
                    span,
                    what,
                    format!("write [{name}] on a line, and its settings below"),
                );
                self.problems
                    .iter_mut()
                    .last()
                    .into_iter()
                    .for_each(|it| it.key = Some(name.into()));
            }
        }
    }

    fn table(&mut self, name: &str, table: &dyn TableLike) {
        for (entry, _) in table.iter() {
            if let Some((key, item)) = table.get_key_value(entry) {
                self.entry(name, key, item);
            }
        }
    }

    /// One key of a table, and what is wrong with it.
    fn entry(&mut self, table: &str, key: &Key, item: &Item) {
        let before = self.problems.len();
        self.judge(table, key, item);
        let name =
            if table.is_empty() { key.get().to_owned() } else { format!("{table}.{}", key.get()) };
        for problem in self.problems.iter_mut().skip(before) {
            problem.key = Some(name.clone());
        }
    }

    fn judge(&mut self, table: &str, key: &Key, item: &Item) {
        let found = self.settings.iter().find(|it| it.table == table && it.name == key.get());
        let Some(setting) = found.cloned() else {
            if table.is_empty() && item.is_table_like() {
                let help = match closest(key.get(), tables().map(str::to_owned)) {
                    Some(close) => format!("did you mean [{close}]?"),
                    None => NO_IDEA.to_owned(),
                };
                let what = format!("there is no table [{}]", key.get());
                return self.problem(key.span().unwrap_or(0..0), what, help);
            }
            let what = match table {
                "" => format!("there is no setting `{}` before the first table", key.get()),
                table => format!("there is no setting `{}` in [{table}]", key.get()),
            };
            let help = self.close_to(table, key.get());
            return self.problem(key.span().unwrap_or(0..0), what, help);
        };
        let span = item.span().or_else(|| key.span()).unwrap_or(0..0);
        let Some(texts) = item.as_value().and_then(|it| texts(it, setting.kind)) else {
            let what = format!("`{}` is {}", setting.name, found_kind(item));
            return self.problem(span, what, format!("write {}", setting.kind.expected()));
        };
        let before = self.problems.len();
        for (text, at) in &texts {
            if let Err(refused) = setting.judge(text) {
                let at = at.clone().unwrap_or_else(|| span.clone());
                let what = format!("`{}` is refused: {}", setting.name, masked(&refused.why));
                self.problem(at, what, refused.help);
            }
        }
        if self.problems.len() == before {
            self.secret |= setting.is_secret();
            let texts = texts.into_iter().map(|(text, _)| text).collect();
            let line = self.text.place(key.span().map_or(0, |it| it.start)).0;
            self.given.insert(setting.key(), Given { texts, line });
        }
    }

    /// What somebody may have meant who wrote `name` into `table`.
    fn close_to(&self, table: &str, name: &str) -> String {
        let plain = name.to_ascii_lowercase().replace('-', "_");
        let plain = plain.trim_start_matches('_').trim_start_matches("godex_proxy_");
        let exact = |it: &&Setting| it.name == plain;
        let here = || self.settings.iter().filter(|it| it.table == table);
        if let Some(setting) = here().find(exact) {
            return format!("did you mean {}?", setting.name);
        }
        if let Some(setting) = self.settings.iter().find(exact) {
            return match setting.table {
                "" => format!("{} stands before the first table", setting.name),
                table => format!("{} belongs into [{table}]", setting.name),
            };
        }
        let close = closest(plain, here().map(|it| it.name.clone()));
        match close.or_else(|| closest(plain, self.settings.iter().map(Setting::key))) {
            Some(close) => format!("did you mean {close}?"),
            None => NO_IDEA.to_owned(),
        }
    }
}

/// The name that is most like `name`, if one is; of `table.name`, the name counts.
pub(crate) fn closest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let likeness =
        |other: &str| strsim::jaro_winkler(name, other.rsplit('.').next().unwrap_or(other));
    let close = known.map(|it| (likeness(&it), it)).filter(|(likeness, _)| *likeness >= ALIKE);
    close.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

type Piece = (String, Option<std::ops::Range<usize>>);

/// The value as a flag would have it, if it is of the kind.
fn texts(value: &Value, kind: Kind) -> Option<Vec<Piece>> {
    let one = |text: String| Some(vec![(text, value.span())]);
    match (kind, value) {
        (Kind::Switch, Value::Boolean(it)) => one(it.value().to_string()),
        (Kind::Number | Kind::Size, Value::Integer(it)) => one(it.value().to_string()),
        (Kind::Size | Kind::Text | Kind::List, Value::String(it)) => one(it.value().clone()),
        (Kind::List, Value::Array(all)) => all
            .iter()
            .map(|it| Some((it.as_str()?.to_owned(), it.span())))
            .collect::<Option<Vec<_>>>(),
        (_, _) => None,
    }
}

/// What stands there instead.
fn found_kind(item: &Item) -> &'static str {
    match item {
        Item::None => "nothing",
        Item::Table(_) | Item::ArrayOfTables(_) => "a table here",
        Item::Value(value) => match value {
            Value::String(_) => "a text here",
            Value::Integer(_) => "a number here",
            Value::Float(_) => "a number with a fraction here",
            Value::Boolean(_) => "true or false here",
            Value::Datetime(_) => "a date here",
            Value::Array(_) => "a list here",
            Value::InlineTable(_) => "a table here",
        },
    }
}
