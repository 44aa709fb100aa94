//! How many tokens a key may spend: a quota over a window, held at admission, settled with the truth.
//!
//! Windows are calendar days, weeks (from Monday) and months in UTC, or the key's whole life.
//! Tokens count in the window in which their request ends, as the usage log has it.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

/// Output tokens that a request is expected to need when it does not say.
const EXPECTED_OUTPUT: u64 = 4096;
/// Bytes of request body per token: text and code have about four.
const BYTES_PER_TOKEN: u64 = 4;

/// What a request may cost, before the truth is known.
pub fn estimate(body_bytes: u64, max_output_tokens: Option<u64>) -> u64 {
    let output = max_output_tokens.unwrap_or(EXPECTED_OUTPUT).min(EXPECTED_OUTPUT);
    (body_bytes / BYTES_PER_TOKEN).saturating_add(output).max(1)
}

/// The time after which a quota is whole again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// Never: the quota is for the life of the key.
    #[default]
    None,
    /// Midnight UTC.
    Day,
    /// Monday, midnight UTC.
    Week,
    /// The first of the month, midnight UTC.
    Month,
}

impl Window {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The window around `at`, in Unix seconds: first second, and first second after it.
    fn around(self, at: Timestamp) -> (i64, i64) {
        let today = at.to_zoned(TimeZone::UTC).date();
        let (first, next) = match self {
            Self::None => return (i64::MIN, i64::MAX),
            Self::Day => (today, today.checked_add(1.day())),
            Self::Week => {
                let past = today.weekday().since(Weekday::Monday);
                let monday = today.checked_sub(i64::from(past).days()).unwrap_or(today);
                (monday, monday.checked_add(7.days()))
            }
            Self::Month => {
                let first = today.first_of_month();
                (first, first.checked_add(1.month()))
            }
        };
        (midnight(first), midnight(next.unwrap_or(Date::MAX)))
    }
}

fn midnight(date: Date) -> i64 {
    date.to_zoned(TimeZone::UTC).map_or(i64::MAX, |it| it.timestamp().as_second())
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that is no window.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a quota window: write day, week, month or none")]
pub struct NotAWindow(String);

impl FromStr for Window {
    type Err = NotAWindow;

    fn from_str(text: &str) -> Result<Self, NotAWindow> {
        [Self::None, Self::Day, Self::Week, Self::Month]
            .into_iter()
            .find(|it| it.name() == text)
            .ok_or_else(|| NotAWindow(text.to_owned()))
    }
}

/// So many tokens per window, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The tokens.
    pub tokens: NonZeroU64,
    /// When they come back.
    pub window: Window,
}

impl Quota {
    /// A quota, or none when `tokens` is zero, which is how flags and files say "no quota".
    pub fn new(tokens: u64, window: Window) -> Option<Self> {
        NonZeroU64::new(tokens).map(|tokens| Self { tokens, window })
    }
}

/// What a key has spent: in its life and in the current window of every length, so that a quota
/// may change its window without losing count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    total: u64,
    day: Slot,
    week: Slot,
    month: Slot,
}

/// Tokens of one window. Empty at first: a window that ended before every other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Slot {
    from: i64,
    until: i64,
    tokens: u64,
}

/// A record may be late by this much and still belong to its own window. More, and the clock was
/// wrong: the window begins again at the new time and keeps its tokens.
const LATE: i64 = 3600;

impl Slot {
    fn add(&mut self, window: Window, at: Timestamp, tokens: u64) {
        let second = at.as_second();
        let kept = match second {
            _ if second >= self.until => Some(0),
            _ if second < self.from.saturating_sub(LATE) => Some(self.tokens),
            _ => None,
        };
        if let Some(tokens) = kept {
            let (from, until) = window.around(at);
            *self = Self { from, until, tokens };
        }
        if second >= self.from {
            self.tokens = self.tokens.saturating_add(tokens);
        }
    }

    /// A clock that went back does not open the window again.
    fn used(&self, now: Timestamp) -> u64 {
        if now.as_second() < self.until { self.tokens } else { 0 }
    }

    fn merge(&mut self, other: Self) {
        if other.until > self.until {
            *self = Self { tokens: 0, ..other };
        }
        if other.until == self.until {
            self.tokens = self.tokens.saturating_add(other.tokens);
        }
    }
}

impl Spent {
    /// Counts tokens spent at `at`.
    pub fn add(&mut self, at: Timestamp, tokens: u64) {
        self.total = self.total.saturating_add(tokens);
        self.day.add(Window::Day, at, tokens);
        self.week.add(Window::Week, at, tokens);
        self.month.add(Window::Month, at, tokens);
    }

    /// What counts against a quota with this window at `now`.
    pub fn within(&self, window: Window, now: Timestamp) -> u64 {
        match window {
            Window::None => self.total,
            Window::Day => self.day.used(now),
            Window::Week => self.week.used(now),
            Window::Month => self.month.used(now),
        }
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        self.day.merge(other.day);
        self.week.merge(other.week);
        self.month.merge(other.month);
    }

    /// When this key last spent something, to the day; zero for never.
    pub fn last_day(&self) -> i64 {
        self.day.from
    }
}

/// How a quota stands: the three `x-ratelimit-*-tokens` values and what they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// The whole quota.
    pub limit: u64,
    /// Spent in this window.
    pub used: u64,
    /// Held by requests under way.
    pub reserved: u64,
    /// When the quota is whole again; never for a quota without a window.
    pub resets_at: Option<Timestamp>,
}

impl Balance {
    /// Neither spent nor held.
    pub fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.used).saturating_sub(self.reserved)
    }

    /// Whether the quota is really spent, not only held by requests under way.
    pub fn is_spent(&self) -> bool {
        self.used >= self.limit
    }
}

/// What one key has spent and holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meter {
    spent: Spent,
    reserved: u64,
}

impl Meter {
    /// Holds `estimate` tokens for a request and returns how many it holds.
    ///
    /// An estimate above what is left passes only when nothing else is under way, and then holds
    /// all that is left: a small quota is not locked for ever by a careful estimate, and what is
    /// spent and held never exceeds the quota here.
    ///
    /// # Errors
    ///
    /// The balance that is too low.
    pub fn reserve(&mut self, quota: Quota, estimate: u64, now: Timestamp) -> Result<u64, Balance> {
        let balance = self.balance(quota, now);
        let (wanted, left) = (estimate.max(1), balance.remaining());
        let alone = self.reserved == 0 && left > 0;
        if wanted > left && !alone {
            return Err(balance);
        }
        let held = wanted.min(left);
        self.reserved = self.reserved.saturating_add(held);
        Ok(held)
    }

    /// Holds `estimate` tokens for a request that holds `held`, if that is more, by the rules of
    /// [`Meter::reserve`], and returns how many it holds.
    ///
    /// # Errors
    ///
    /// The balance without the request, which is too low. It still holds `held`.
    pub fn raise(
        &mut self,
        quota: Quota,
        held: u64,
        estimate: u64,
        now: Timestamp,
    ) -> Result<u64, Balance> {
        if estimate <= held {
            return Ok(held);
        }
        self.release(held);
        let raised = self.reserve(quota, estimate, now);
        if raised.is_err() {
            self.reserved = self.reserved.saturating_add(held);
        }
        raised
    }

    /// Replaces what a request held by what it cost.
    pub fn settle(&mut self, held: u64, cost: u64, now: Timestamp) {
        self.release(held);
        self.spent.add(now, cost);
    }

    /// Gives back what a request held.
    pub fn release(&mut self, held: u64) {
        self.reserved = self.reserved.saturating_sub(held);
    }

    /// Adds what the usage log knows from before.
    pub fn restore(&mut self, spent: &Spent) {
        self.spent.merge(spent);
    }

    /// How `quota` stands at `now`.
    pub fn balance(&self, quota: Quota, now: Timestamp) -> Balance {
        balance(quota, &self.spent, self.reserved, now)
    }

    /// Whether requests under way hold tokens of it.
    pub fn is_held(&self) -> bool {
        self.reserved > 0
    }
}

/// How `quota` stands at `now`, given what was spent and what is held.
pub fn balance(quota: Quota, spent: &Spent, reserved: u64, now: Timestamp) -> Balance {
    let resets_at = match quota.window {
        Window::None => None,
        Window::Day | Window::Week | Window::Month => {
            Timestamp::from_second(quota.window.around(now).1).ok()
        }
    };
    let used = spent.within(quota.window, now);
    Balance { limit: quota.tokens.get(), used, reserved, resets_at }
}

#[cfg(test)]
mod tests;
