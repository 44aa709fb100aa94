//! What is written after `godex proxy usage`, and how each value is written.

use std::str::FromStr;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use godex_core::usage::summary::By;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Report what keys have used
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Sum up all keys
    List {
        /// What a row stands for: key, model, day or hour (UTC) [default: key]
        #[arg(long, value_name = "WHAT", value_parser = parse_by)]
        by: Option<By>,
        #[command(flatten)]
        range: Range,
    },
    /// Sum up one key
    Show {
        /// Id, label, or the beginning of an id
        #[arg(value_name = "KEY")]
        name: String,
        /// What a row stands for: key, model, day or hour (UTC) [default: model]
        #[arg(long, value_name = "WHAT", value_parser = parse_by)]
        by: Option<By>,
        #[command(flatten)]
        range: Range,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Range {
    /// From then on: how long ago, like 24h or 7d, or a date or time [default: the first record]
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<Moment>,
    /// Up to then: how long ago, or a date or time [default: now]
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<Moment>,
    /// How the report looks
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Write JSON, as --format json does
    #[arg(long)]
    json: bool,
}

impl Range {
    pub(super) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// How a report looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For eyes.
    Table,
    /// One object.
    Json,
    /// One object a row.
    Jsonl,
    /// Comma-separated values with a line of names.
    Csv,
}

/// A moment on the command line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    Ago(Duration),
    At(Timestamp),
}

impl Moment {
    /// The moment, seen from `now`.
    pub(super) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(span) => now.checked_sub(span).unwrap_or(Timestamp::MIN),
            Self::At(at) => at,
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let utc = |it: DateTime| it.to_zoned(TimeZone::UTC).ok().map(|it| it.timestamp());
        let day = |it: Date| utc(it.to_datetime(jiff::civil::Time::midnight()));
        let time = text.parse::<Timestamp>().ok();
        // A date alone would also parse as a date with a time.
        let time =
            time.or_else(|| text.parse::<Date>().ok().filter(|_| text.len() == 10).and_then(day));
        let time = time.or_else(|| text.parse::<DateTime>().ok().and_then(utc));
        let span = || humantime::parse_duration(text).ok().map(Self::Ago);
        time.map(Self::At).or_else(span).ok_or_else(|| {
            format!("`{text}` is not a time: write how long ago, like 24h or 7d, or a date, like 2026-11-21")
        })
    }
}

fn parse_by(text: &str) -> Result<By, String> {
    [By::Key, By::Model, By::Day, By::Hour]
        .into_iter()
        .find(|it| it.name() == text)
        .ok_or_else(|| format!("`{text}` is none of the rows: write key, model, day or hour"))
}
