//! Sums of usage records by key, model, day or hour.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use jiff::Timestamp;

use super::histogram::Histogram;
use super::{Line, Usage};

/// Parts of a trend: one character each in a sparkline.
pub const TREND: usize = 12;
/// Rows of a summary. More names than this are summed up in one row.
const ROWS_MAX: usize = 10_000;
/// The name of that row.
const OTHERS: &str = "(others)";

/// What a row of a summary stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The key that pays.
    Key,
    /// The model.
    Model,
    /// The day in UTC.
    Day,
    /// The hour in UTC.
    Hour,
}

impl By {
    /// As it is written on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Model => "model",
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// From a moment up to, not including, another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first moment.
    pub since: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
}

impl Period {
    /// Whether `at` lies in the period.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.since <= at && at < self.until
    }

    /// Which part of the trend `at` falls into.
    fn part(&self, at: Timestamp) -> usize {
        let length = i128::from(self.until.as_millisecond() - self.since.as_millisecond()).max(1);
        let past = i128::from(at.as_millisecond() - self.since.as_millisecond());
        usize::try_from(past * TREND as i128 / length).unwrap_or(0).min(TREND - 1)
    }
}

/// The sums of one row.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// What the key was called last; empty for other rows.
    pub label: String,
    /// Requests.
    pub requests: u64,
    /// Requests that ended with a status of 400 or above.
    pub errors: u64,
    /// Tokens.
    pub usage: Usage,
    /// Times to the first token.
    pub ttft: Histogram,
    /// Requests' tokens over the period, in equal parts.
    pub trend: [u64; TREND],
}

impl Totals {
    fn add(&mut self, line: &Line<'_>, part: usize) {
        let usage = line.usage();
        self.requests += 1;
        self.errors += u64::from(line.status >= 400);
        self.usage += usage;
        if let Some(millis) = line.ttft_ms {
            self.ttft.add(millis);
        }
        if let Some(sum) = self.trend.get_mut(part) {
            *sum = sum.saturating_add(usage.total);
        }
    }
}

/// Rows by name. A known name is found without an allocation.
#[derive(Debug, Default)]
struct Named {
    places: HashMap<String, usize>,
    rows: Vec<Totals>,
    overflow: Totals,
}

impl Named {
    fn row(&mut self, name: &str) -> &mut Totals {
        let place = if let Some(&place) = self.places.get(name) {
            place
        } else if self.rows.len() < ROWS_MAX {
            self.places.insert(name.to_owned(), self.rows.len());
            self.rows.push(Totals::default());
            self.rows.len() - 1
        } else {
            ROWS_MAX
        };
        self.rows.get_mut(place).unwrap_or(&mut self.overflow)
    }

    fn iter(&self) -> impl Iterator<Item = (String, &Totals)> {
        let rows =
            self.places.iter().filter_map(|(name, &at)| Some((name.clone(), self.rows.get(at)?)));
        rows.chain((self.overflow.requests > 0).then(|| (OTHERS.to_owned(), &self.overflow)))
    }
}

/// Sums of the records of a period.
#[derive(Debug)]
pub struct Summary {
    by: By,
    period: Period,
    trend: Period,
    named: Named,
    timed: BTreeMap<i64, Totals>,
    total: Totals,
}

impl Summary {
    /// An empty summary of the records in `period`, with trends over `trend`.
    pub fn new(by: By, period: Period, trend: Period) -> Self {
        let (named, timed) = (Named::default(), BTreeMap::new());
        Self { by, period, trend, named, timed, total: Totals::default() }
    }

    /// Adds a record, if it lies in the period.
    pub fn add(&mut self, line: &Line<'_>) {
        if !self.period.contains(line.ts) {
            return;
        }
        let part = self.trend.part(line.ts);
        self.total.add(line, part);
        let row = match self.by {
            By::Key => self.named.row(&line.key_id),
            By::Model => self.named.row(&line.model),
            By::Day => timed(&mut self.timed, line.ts, 86_400),
            By::Hour => timed(&mut self.timed, line.ts, 3600),
        };
        row.add(line, part);
        if self.by == By::Key && row.label != line.label {
            row.label = line.label.clone().into_owned();
        }
    }

    /// What the rows stand for.
    pub fn by(&self) -> By {
        self.by
    }

    /// The sum of everything.
    pub fn total(&self) -> &Totals {
        &self.total
    }

    /// The rows with their names: times in order, everything else by tokens, most first.
    pub fn rows(&self) -> Vec<(String, &Totals)> {
        let mut rows: Vec<_> = self.named.iter().collect();
        rows.sort_by(|(a, x), (b, y)| {
            let most = (y.usage.total, y.requests).cmp(&(x.usage.total, x.requests));
            most.then_with(|| a.cmp(b))
        });
        let times = self.timed.iter().map(|(&second, it)| (self.time_name(second), it));
        rows.extend(times);
        rows
    }

    fn time_name(&self, second: i64) -> String {
        let time = Timestamp::from_second(second).unwrap_or_default();
        let format = if self.by == By::Day { "%Y-%m-%d" } else { "%Y-%m-%dT%H:00Z" };
        time.strftime(format).to_string()
    }
}

fn timed(rows: &mut BTreeMap<i64, Totals>, at: Timestamp, length: i64) -> &mut Totals {
    rows.entry(at.as_second().div_euclid(length) * length).or_default()
}
