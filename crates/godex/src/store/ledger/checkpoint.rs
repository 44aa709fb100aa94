//! What every key has spent, up to a place in the usage log, so that nobody reads it all again.
//!
//! The place is a file and an offset. The file is known by its first line, which survives being
//! rotated, copied and restored from a backup. The checkpoint is a function of the log: processes
//! that share a log may all move it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use godex_core::key::{KeyHash, KeyId};
use godex_core::policy::quota::Spent;
use godex_core::usage::Line;
use serde::{Deserialize, Serialize};

use super::read::Source;
use super::sibling;
use crate::store::file;

const VERSION: u32 = 1;
/// More tokens of `--allow-any-key` than this are not told apart for ever: the longest idle go.
const KEYS_MAX: usize = 100_000;

/// What every key has spent, and up to where.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    version: u32,
    place: Option<Place>,
    /// The latest record in it, in Unix milliseconds: what to go by when the place is gone.
    latest: i64,
    keys: HashMap<KeyId, Spent>,
}

/// How far the log has been counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The hash of the file's first line.
    head: String,
    offset: u64,
}

fn head(source: &Source) -> Option<String> {
    let head = source.head()?;
    Some(KeyHash::of(&String::from_utf8_lossy(&head)).to_string())
}

impl Checkpoint {
    /// The checkpoint of the log at `path`. One that is missing or damaged is empty: the log has
    /// everything that it had.
    pub(crate) fn load(path: &Path) -> Self {
        let bytes = fs::read(sibling(path, ".checkpoint")).unwrap_or_default();
        let checkpoint: Self = serde_json::from_slice(&bytes).unwrap_or_default();
        if checkpoint.version == VERSION { checkpoint } else { Self::default() }
    }

    /// How far the log has been counted.
    pub(super) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Writes the checkpoint of the log at `path`.
    ///
    /// # Errors
    ///
    /// When the folder of the log refuses.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self)?;
        file::replace(&sibling(path, ".checkpoint"), &bytes, file::PRIVATE)
    }

    /// Adds the records after the place, and returns how many bytes that were.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub(crate) fn advance(&mut self, sources: &[Source]) -> io::Result<u64> {
        let (mut bytes, latest) = (0, self.latest);
        let (start, lost) = self.start(sources);
        for (number, source) in sources.iter().enumerate().skip(start.0) {
            let from = if number == start.0 { start.1 } else { 0 };
            let end = source.lines(from, false, |_, text| {
                let Some(line) = Line::parse(text) else { return };
                let millis = line.ts.as_millisecond();
                if !lost || millis > latest {
                    self.add(&line);
                }
            })?;
            if let Some(head) = head(source).filter(|_| end > 0) {
                self.place = Some(Place { head, offset: end });
            }
            bytes += end - from;
        }
        self.version = VERSION;
        self.forget();
        Ok(bytes)
    }

    /// Reads all of `sources` for a report: gives every line to `on_line`, none where there is no
    /// record on it, and adds those after the place. `on_bytes` hears how far it is.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub(crate) fn walk(
        &mut self,
        sources: &[Source],
        mut on_line: impl FnMut(Option<&Line<'_>>),
        mut on_bytes: impl FnMut(u64),
    ) -> io::Result<()> {
        let (mut before, latest) = (0, self.latest);
        let (start, lost) = self.start(sources);
        for (number, source) in sources.iter().enumerate() {
            source.lines(0, true, |at, text| {
                let line = Line::parse(text);
                if let Some(line) = &line
                    && (number, at) >= start
                    && (!lost || line.ts.as_millisecond() > latest)
                {
                    self.add(line);
                }
                if line.is_some() || !text.trim_ascii().is_empty() {
                    on_line(line.as_ref());
                }
                on_bytes(before + at);
            })?;
            before += source.bytes();
        }
        Ok(())
    }

    /// What one key has spent.
    pub(crate) fn spent(&self, id: &str) -> Spent {
        self.keys.get(id).copied().unwrap_or_default()
    }

    /// What every key has spent.
    pub(crate) fn into_spent(self) -> HashMap<KeyId, Spent> {
        self.keys
    }

    fn add(&mut self, line: &Line<'_>) {
        self.latest = self.latest.max(line.ts.as_millisecond());
        let tokens = line.usage().total;
        if tokens == 0 || line.key_id.is_empty() {
            return;
        }
        if let Some(spent) = self.keys.get_mut(line.key_id.as_ref()) {
            spent.add(line.ts, tokens);
        } else {
            let mut spent = Spent::default();
            spent.add(line.ts, tokens);
            self.keys.insert(KeyId::from(line.key_id.as_ref()), spent);
        }
    }

    /// The source and the byte to go on from, and whether the place is gone: then all is read
    /// again, and only what is younger than everything known counts.
    fn start(&self, sources: &[Source]) -> ((usize, u64), bool) {
        let Some(place) = &self.place else { return ((0, 0), false) };
        let found = sources.iter().enumerate().rev().find(|(_, source)| {
            source.bytes() >= place.offset && head(source).as_ref() == Some(&place.head)
        });
        match found {
            Some((number, _)) => ((number, place.offset), false),
            None => ((0, 0), true),
        }
    }

    fn forget(&mut self) {
        if self.keys.len() <= KEYS_MAX {
            return;
        }
        let tokens = self.keys.iter().filter(|(id, _)| id.is_token());
        let mut tokens: Vec<_> = tokens.map(|(id, it)| (it.last_day(), id.clone())).collect();
        tokens.sort_unstable();
        for (_, id) in tokens.iter().take(self.keys.len() - KEYS_MAX / 2) {
            self.keys.remove(id);
        }
    }
}

/// How many bytes of `sources` come after the place of `checkpoint`.
pub(super) fn unread(checkpoint: &Checkpoint, sources: &[Source]) -> u64 {
    let ((number, offset), _) = checkpoint.start(sources);
    let all: u64 = sources.iter().skip(number).map(Source::bytes).sum();
    all.saturating_sub(offset)
}
