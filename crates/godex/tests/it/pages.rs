//! The documentation as text: its pages, their fenced blocks, and when an output is the shown one.

use std::fs;
use std::path::{Path, PathBuf};

/// A page of the documentation.
pub(crate) struct Page {
    /// Its path from the root of the repository.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A fenced block.
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
    /// The line its fence stands on.
    pub(crate) line: usize,
    /// Why no test runs it: the comment `<!-- not run: WHY -->` right in front of it.
    pub(crate) not_run: Option<String>,
}

/// A command as the page shows it, and what it prints there.
pub(crate) struct Step {
    pub(crate) command: String,
    pub(crate) shown: String,
    /// The page ends it with `^C`.
    pub(crate) interrupted: bool,
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every page: README.md, and what stands in docs and in examples.
pub(crate) fn all() -> Vec<Page> {
    let mut names = vec!["README.md".to_owned()];
    let mut folders = vec!["docs".to_owned(), "examples".to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(root().join(&folder)) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                folders.push(name);
            } else if path.extension().is_some_and(|it| it == "md") {
                names.push(name);
            }
        }
    }
    names.sort();
    names.iter().map(|name| page(name)).collect()
}

/// One page.
pub(crate) fn page(name: &str) -> Page {
    let text = fs::read_to_string(root().join(name)).unwrap();
    Page { name: name.to_owned(), text }
}

impl Page {
    /// Its fenced blocks, in order.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut open: Option<Block> = None;
        let mut before = "";
        for (number, line) in self.text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (open.take(), fence) {
                (Some(block), Some(_)) => blocks.push(block),
                (Some(mut block), None) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                    open = Some(block);
                }
                (None, Some(language)) => {
                    let reason = before.trim().strip_prefix("<!-- not run: ");
                    let reason = reason.and_then(|it| it.strip_suffix(" -->")).map(str::to_owned);
                    open = Some(Block {
                        language: language.to_owned(),
                        text: String::new(),
                        line: number + 1,
                        not_run: reason,
                    });
                }
                (None, None) => {}
            }
            if !line.trim().is_empty() {
                before = line;
            }
        }
        assert!(open.is_none(), "{} ends inside a block", self.name);
        blocks
    }

    /// The value of a comment `<!-- NAME: VALUE -->` of the page.
    pub(crate) fn comment(&self, name: &str) -> Option<&str> {
        let start = format!("<!-- {name}: ");
        self.text.lines().find_map(|it| it.strip_prefix(&start)?.strip_suffix(" -->"))
    }
}

impl Block {
    /// Whether it is something to type.
    pub(crate) fn is_typed(&self) -> bool {
        ["console", "sh", "bash"].contains(&self.language.as_str())
    }

    /// Its commands: lines after `$ ` with their output in a `console`, else every line. A `^C` that
    /// a block begins with has no command of its own: it ends what serves since the last.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let mut goes_on = false;
        for line in self.text.lines() {
            let typed =
                if self.language == "console" { line.strip_prefix("$ ") } else { Some(line) };
            if goes_on {
                let last = steps.last_mut().unwrap();
                last.command.push('\n');
                last.command.push_str(line);
                goes_on = is_open(&last.command);
            } else if let Some(command) = typed {
                goes_on = is_open(command);
                let (command, shown) = (command.to_owned(), String::new());
                let empty = command.trim().is_empty() || command.trim_start().starts_with('#');
                if !empty {
                    steps.push(Step { command, shown, interrupted: false });
                }
            } else {
                match steps.last_mut() {
                    Some(last) if line == "^C" => last.interrupted = true,
                    None if line == "^C" => {
                        let (command, shown) = (String::new(), String::new());
                        steps.push(Step { command, shown, interrupted: true });
                    }
                    last => {
                        let last = last.unwrap();
                        last.shown.push_str(line);
                        last.shown.push('\n');
                    }
                }
            }
        }
        steps
    }
}

/// Whether a command goes on in the next line: after a backslash, or inside a quotation.
fn is_open(command: &str) -> bool {
    command.ends_with('\\') || command.matches('\'').count() % 2 == 1
}

/// The text without what differs from run to run: keys, ids, days and times.
pub(crate) fn shape(text: &str) -> String {
    let secret = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '…');
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word = |length| rest.char_indices().nth(length).map_or(rest.len(), |(at, _)| at);
        let (name, length) = if rest.starts_with("gxk_") {
            ("KEY", rest.find(|c| !secret(c)).unwrap_or(rest.len()))
        } else if is_key_id(rest) {
            ("ID", word("key_7f3a1c".len()))
        } else if looks_like(rest, "0000-00-00") {
            ("DAY", word("0000-00-00".len()))
        } else if looks_like(rest, "00:00 ") {
            ("TIME", word("00:00".len()))
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        out.push_str(name);
        rest = &rest[length..];
    }
    out.trim_end().to_owned()
}

fn is_key_id(text: &str) -> bool {
    let id = text.strip_prefix("key_").and_then(|it| it.get(.."7f3a1c".len()));
    id.is_some_and(|it| it.chars().all(|c| c.is_ascii_hexdigit()))
}

/// Whether a text begins with digits where the pattern has zeros, and like it elsewhere.
fn looks_like(text: &str, pattern: &str) -> bool {
    let mut text = text.chars();
    pattern.chars().all(|expected| match (text.next(), expected) {
        (Some(found), '0') => found.is_ascii_digit(),
        (found, expected) => found == Some(expected),
    })
}

/// Whether a text is the shown one, but for what differs from run to run. `…` stands for
/// anything on its line; alone on a line, for any lines.
pub(crate) fn is_shown(text: &str, shown: &str) -> bool {
    let (text, shown) = (shape(text), shape(shown));
    let shown: Vec<&str> = shown.lines().collect();
    lines_match(&text.lines().collect::<Vec<_>>(), &shown)
}

fn lines_match(text: &[&str], shown: &[&str]) -> bool {
    match (text, shown) {
        ([], []) => true,
        (_, [pattern, rest @ ..]) if *pattern == "…" => {
            (0..=text.len()).any(|skipped| lines_match(&text[skipped..], rest))
        }
        ([line, others @ ..], [pattern, rest @ ..]) => {
            line_matches(line, pattern) && lines_match(others, rest)
        }
        ([], _) | (_, []) => false,
    }
}

fn line_matches(line: &str, pattern: &str) -> bool {
    let Some((first, others)) = pattern.split_once('…') else { return line == pattern };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut pieces: Vec<_> = others.split('…').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn an_output_is_the_shown_one_but_for_what_is_left_out() {
    #[track_caller]
    fn check(text: &str, shown: &str, expected: bool) {
        assert_eq!(is_shown(text, shown), expected, "{text:?} as {shown:?}");
    }
    check("one\ntwo\n", "one\ntwo", true);
    check("one\ntwo\n", "one", false);
    check("one\ntwo\nthree\n", "one\n…\nthree", true);
    check("one\nthree\n", "one\n…\nthree", true);
    check("one\ntwo\n", "…\nthree", false);
    check("id resp_1, ok", "id resp_…, ok", true);
    check("id resp_1, bad", "id resp_…, ok", false);
    check("key_111111 gxk_abc-D 2026-01-02", "key_7f3a1c gxk_… 2025-11-22", true);
}
