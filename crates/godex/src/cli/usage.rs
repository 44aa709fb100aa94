//! `godex proxy usage`: what keys, models, days and hours cost, read from the usage log.
//!
//! The log is streamed once, with bounded memory, and may be written meanwhile. [`args`] is the
//! command line, [`render`] is how a report looks in each format.

mod args;
mod render;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use godex_core::policy::quota::{Quota, Spent, balance};
use godex_core::usage::Line;
use godex_core::usage::summary::{By, Period, Summary};
use jiff::Timestamp;

pub(super) use self::args::Args;
use self::args::{Command, Format, Range};
use self::render::{Account, Report, Subject};
use super::keys::{self, failure, unclear};
use super::report::{Exit, Failure};
use super::talk::Talk;
use crate::clock;
use crate::store::keys::Allowance;
use crate::store::keys::record::{Record, Records, Unclear};
use crate::store::ledger::checkpoint::Checkpoint;
use crate::store::ledger::read;

/// A report that takes longer than this shows how far it is.
const PATIENCE: Duration = Duration::from_millis(700);

/// What the commands read.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    /// The key file.
    pub(super) keys: keys::World<'a>,
    /// The usage log.
    pub(super) log: &'a Path,
    /// The quota of keys that have none of their own.
    pub(super) quota: Option<Quota>,
}

/// Runs `godex proxy usage …`.
///
/// # Errors
///
/// When the log or the key file cannot be read, a name stands for no key, or the output cannot be
/// written.
pub(super) fn run(args: Args, world: World<'_>, talk: &mut Talk<'_>) -> Result<Exit, Failure> {
    report(args, world, clock::timestamp(), talk)
}

fn report(
    args: Args,
    world: World<'_>,
    now: Timestamp,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let (name, by, range) = match args.command {
        Command::List { by, range } => (None, by.unwrap_or(By::Key), range),
        Command::Show { name, by, range } => (Some(name), by.unwrap_or(By::Model), range),
    };
    let mut records = match Records::read(world.keys.path) {
        Ok(records) => records,
        // The log can be read without it, unless a key must be found in it.
        Err(error) if name.is_none() => {
            talk.note(&format!("warning: {error}: labels and quotas are not shown"));
            Records::empty()
        }
        Err(error) => return Err(failure(&error)),
    };
    let only = name.map(|name| only(&mut records, name, &world.keys)).transpose()?;
    let format = range.format();
    let reading = read_log(world.log, by, &range, only.as_ref(), now, talk)?;
    let subject = match only {
        Some(Only::Unknown(name)) if reading.ids.is_empty() => {
            return Err(unclear(&Unclear::Unknown(name), &world.keys));
        }
        Some(Only::Unknown(name)) => Some(reading.ids.first().cloned().unwrap_or(name)),
        Some(Only::Id(id)) => Some(id),
        None => None,
    };
    let account = |id: &str| account(id, &records, world.quota, &reading.checkpoint, now);
    let subject = subject.map(|id| Subject { account: account(&id), id });
    let report = Report {
        summary: &reading.summary,
        since: reading.shown.since,
        until: reading.shown.until,
        unreadable: reading.unreadable,
        subject,
        account: &account,
    };
    let text = match format {
        Format::Table => render::table(&report, &talk.screen),
        Format::Json => render::json(&report),
        Format::Jsonl => render::jsonl(&report),
        Format::Csv => render::csv(&report),
    };
    if reading.unreadable > 0 && format == Format::Table {
        let (lines, are) = if reading.unreadable == 1 { ("line", "is") } else { ("lines", "are") };
        talk.note(&format!("{} {lines} of the log {are} no record", reading.unreadable));
    }
    talk.say(&text)
}

/// The one key that a report is about.
enum Only {
    /// A managed key.
    Id(String),
    /// A name that only the log may know: a shared key, a deleted one, an old label.
    Unknown(String),
}

impl Only {
    fn is(&self, line: &Line<'_>) -> bool {
        match self {
            Self::Id(id) => line.key_id == id.as_str(),
            Self::Unknown(name) => line.key_id == name.as_str() || line.label == name.as_str(),
        }
    }
}

fn only(records: &mut Records, name: String, keys: &keys::World<'_>) -> Result<Only, Failure> {
    match records.find(&name) {
        Ok(record) => Ok(Only::Id(record.id.to_string())),
        Err(Unclear::Unknown(_)) => Ok(Only::Unknown(name)),
        Err(error @ Unclear::Several { .. }) => Err(unclear(&error, keys)),
    }
}

/// What one pass over the log has found.
struct Reading {
    summary: Summary,
    shown: Period,
    checkpoint: Checkpoint,
    unreadable: u64,
    /// Keys that the name in question stands for.
    ids: Vec<String>,
}

fn read_log(
    path: &Path,
    by: By,
    range: &Range,
    only: Option<&Only>,
    now: Timestamp,
    talk: &mut Talk<'_>,
) -> Result<Reading, Failure> {
    let refused = |error: std::io::Error| {
        Failure::new(Exit::Failure, format!("cannot read the usage log `{}`", path.display()))
            .cause(error.to_string())
            .help("name another one with --stats-path")
    };
    let sources = read::sources(path).map_err(refused)?;
    let since = range.since.map(|it| it.from(now));
    let until = range.until.map(|it| it.from(now));
    let all =
        Period { since: since.unwrap_or(Timestamp::MIN), until: until.unwrap_or(Timestamp::MAX) };
    if since.is_some_and(|since| since > until.unwrap_or(now)) {
        return Err(Failure::new(Exit::Usage, "the period ends before it begins")
            .cause(if until.is_some() {
                "--since is later than --until"
            } else {
                "--since is later than now"
            })
            .help("--since is the earlier of the two: --since 7d --until 1d"));
    }
    let shown = Period {
        since: since.or_else(|| read::first_time(&sources)).unwrap_or(now),
        until: until.unwrap_or(now),
    };
    let mut reading = Reading {
        summary: Summary::new(by, all, shown),
        shown,
        checkpoint: Checkpoint::load(path),
        unreadable: 0,
        ids: Vec::new(),
    };
    let Reading { summary, checkpoint, unreadable, ids, .. } = &mut reading;
    let mut progress = Progress::new(sources.iter().map(read::Source::bytes).sum(), talk.attended);
    checkpoint
        .walk(
            &sources,
            |line| match line {
                None => *unreadable += 1,
                Some(line) => {
                    if only.is_none_or(|it| it.is(line)) {
                        if only.is_some() && !ids.iter().any(|it| line.key_id == it.as_str()) {
                            ids.push(line.key_id.to_string());
                        }
                        summary.add(line);
                    }
                }
            },
            |bytes| progress.show(bytes, talk.notes),
        )
        .map_err(refused)?;
    progress.clear(talk.notes);
    Ok(reading)
}

/// How a key's quota stands.
fn account(
    id: &str,
    records: &Records,
    default: Option<Quota>,
    checkpoint: &Checkpoint,
    now: Timestamp,
) -> Account {
    let record = records.keys.iter().find(|it| it.id.as_str() == id);
    let quota = match record.map_or(Allowance::Default, Record::allowance) {
        Allowance::Default => default,
        Allowance::Unlimited => None,
        Allowance::Tokens(quota) => Some(quota),
    };
    let spent: Spent = checkpoint.spent(id);
    Account {
        label: record.map(|it| it.label.clone()).filter(|it| !it.is_empty()),
        quota: quota.map(|quota| (quota.window, balance(quota, &spent, 0, now))),
    }
}

/// Tells somebody who waits how far it is.
struct Progress {
    all: u64,
    next: u64,
    attended: bool,
    begun: std::time::Instant,
    shown: bool,
}

impl Progress {
    fn new(all: u64, attended: bool) -> Self {
        Self { all, next: 0, attended, begun: clock::monotonic(), shown: false }
    }

    fn show(&mut self, bytes: u64, notes: &mut dyn Write) {
        if !self.attended || bytes < self.next {
            return;
        }
        self.next = bytes + self.all / 100;
        if clock::monotonic().duration_since(self.begun) < PATIENCE {
            return;
        }
        self.shown = true;
        let percent = bytes * 100 / self.all.max(1);
        let bar = "█".repeat(usize::try_from(percent / 5).unwrap_or(0));
        let _ = write!(notes, "\rreading the usage log {bar:░<20} {percent:>3} %");
    }

    fn clear(&self, notes: &mut dyn Write) {
        if self.shown {
            let _ = write!(notes, "\r{:60}\r", "");
        }
    }
}

#[cfg(test)]
mod tests;
