//! Where something in a settings file is wrong: file, line and column, the line itself, and a mark
//! under what is meant. A secret is never part of it.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use crate::config::masked::masked;

/// Settings with a name like a key's whose value is a path.
const PLACES: &[&str] = &["api_key_file", "keys_path", "tls_key"];

/// The text of a file.
pub(super) struct Text<'a>(&'a str);

/// Something that is wrong in a settings file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The line, from 1 on.
    pub(crate) line: usize,
    /// The character in the line, from 1 on.
    pub(crate) column: usize,
    /// The key that it is about, if it is about one.
    pub(crate) key: Option<String>,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) help: String,
    /// The line, without its secrets.
    shown: String,
    /// How many characters are meant.
    length: usize,
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Line and column of a byte, from 1 on.
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        let before = self.before(at);
        let line = before.matches('\n').count() + 1;
        let begin = before.rfind('\n').map_or(0, |it| it + 1);
        let column = before.get(begin..).unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    /// What is wrong at these bytes.
    pub(super) fn problem(&self, span: Range<usize>, what: String, help: String) -> Problem {
        let (line, column) = self.place(span.start);
        let meant = self.0.get(span).unwrap_or_default();
        let meant = meant.lines().next().unwrap_or_default().chars().count();
        let whole = self.0.lines().nth(line - 1).unwrap_or_default();
        let shown = self.masked(whole);
        let room = shown.chars().count().saturating_sub(column - 1);
        Problem { line, column, key: None, what, help, length: meant.min(room).max(1), shown }
    }

    fn before(&self, at: usize) -> &str {
        let mut end = at.min(self.0.len());
        while !self.0.is_char_boundary(end) {
            end -= 1;
        }
        self.0.get(..end).unwrap_or_default()
    }

    /// A line without what may be a secret in it.
    fn masked(&self, line: &str) -> String {
        // A line inside of a text of several lines does not say whose value it is.
        let several_lines = self.0.contains("\"\"\"") || self.0.contains("'''");
        let line = line.replace('\t', " ");
        let name = line.split('=').next().unwrap_or_default().trim();
        let named = line.to_ascii_lowercase().contains("key") && !PLACES.contains(&name);
        let secret = named || line.contains('@');
        match line.split_once('=') {
            Some((name, _)) if secret && !several_lines => format!("{name}= …"),
            Some(_) | None if secret || several_lines => "…".to_owned(),
            Some(_) | None => masked(&line),
        }
    }
}

impl Problem {
    /// Line and column.
    pub(super) fn place(&self) -> (usize, usize) {
        (self.line, self.column)
    }

    /// `FILE:LINE:COLUMN: what`.
    pub(crate) fn headline(&self, path: &Path) -> String {
        format!("{}:{}:{}: {}", path.display(), self.line, self.column, self.what)
    }

    /// The line with its number, and a mark under what is meant.
    pub(crate) fn excerpt(&self) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let mut text = format!("  {margin} |\n  {number} | {}\n", self.shown);
        let room = self.shown.chars().count();
        let before = (self.column - 1).min(room);
        let _ = writeln!(text, "  {margin} | {}{}", " ".repeat(before), "^".repeat(self.length));
        text
    }
}
