//! How often a key may call: a rate, a burst, and the bucket that enforces both exactly.
//!
//! The bucket is GCRA, the generic cell rate algorithm: all it remembers is when it will be full
//! again. A request moves that moment by one interval and is refused if it would then lie further
//! ahead than a whole burst.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Requests per unit of time, never zero: `60/m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

impl Unit {
    const fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        })
    }

    const fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
        }
    }
}

impl Rate {
    /// The time between two requests at this rate, rounded up to a whole nanosecond.
    pub fn interval(self) -> Duration {
        let nanos = self.unit.length().as_nanos().div_ceil(u128::from(self.count.get()));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A text that is no rate.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rate: write a number, a slash and one of s, m, h, like `60/m`")]
pub struct NotARate(String);

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let parse = || {
            let (count, unit) = text.trim().split_once('/')?;
            let unit = match unit {
                "s" => Unit::Second,
                "m" => Unit::Minute,
                "h" => Unit::Hour,
                _ => return None,
            };
            Some(Self { count: whole(count)?, unit })
        };
        parse().ok_or_else(|| NotARate(text.to_owned()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit.letter())
    }
}

impl Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How many requests may come at once, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Burst(NonZeroU32);

impl Burst {
    /// A burst of `count` requests; none for zero.
    pub const fn new(count: u32) -> Option<Self> {
        match NonZeroU32::new(count) {
            Some(count) => Some(Self(count)),
            None => None,
        }
    }

    /// The number of requests.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// A text that is no burst.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a burst: write a whole number of at least 1, like `10`")]
pub struct NotABurst(String);

impl FromStr for Burst {
    type Err = NotABurst;

    fn from_str(text: &str) -> Result<Self, NotABurst> {
        whole(text.trim()).map(Self).ok_or_else(|| NotABurst(text.to_owned()))
    }
}

impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Digits only: no sign, no space.
fn whole(text: &str) -> Option<NonZeroU32> {
    text.bytes().all(|it| it.is_ascii_digit()).then(|| text.parse().ok())?
}

/// How full a bucket is: the three `x-ratelimit-*-requests` values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Requests that a full bucket allows at once.
    pub limit: u32,
    /// Requests that it allows now.
    pub remaining: u32,
    /// Time until it is full.
    pub reset: Duration,
}

/// A refused request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Time after which one request passes. Never zero.
    pub wait: Duration,
    /// The bucket as it is.
    pub level: Level,
}

/// What one key has left of its rate.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    full_at: Instant,
    interval: Duration,
    burst: Burst,
}

impl Bucket {
    /// A full bucket.
    pub fn full(now: Instant, rate: Rate, burst: Burst) -> Self {
        Self { full_at: now, interval: rate.interval(), burst }
    }

    /// Takes one request out of the bucket.
    ///
    /// # Errors
    ///
    /// How long to wait until there is one. The bucket is then as before.
    pub fn take(&mut self, now: Instant, rate: Rate, burst: Burst) -> Result<Level, Refused> {
        self.adopt(now, rate, burst);
        let missing = self.missing(now) + self.interval;
        let wait = missing.saturating_sub(self.interval * self.burst.get());
        if !wait.is_zero() {
            return Err(Refused { wait, level: self.level(now) });
        }
        self.full_at = now + missing;
        Ok(self.level(now))
    }

    /// Looks without taking.
    pub fn peek(mut self, now: Instant, rate: Rate, burst: Burst) -> Level {
        self.adopt(now, rate, burst);
        self.level(now)
    }

    /// Whether nothing is missing: a full bucket may be forgotten.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// When the limits change, keeps the number of missing requests, within the new burst.
    fn adopt(&mut self, now: Instant, rate: Rate, burst: Burst) {
        let interval = rate.interval();
        if (interval, burst) != (self.interval, self.burst) {
            let missing = self.missing_requests(now).min(burst.get());
            *self = Self { full_at: now + interval * missing, interval, burst };
        }
    }

    fn missing(&self, now: Instant) -> Duration {
        self.full_at.saturating_duration_since(now)
    }

    /// Requests that were taken and have not come back yet, counting a part as a whole.
    fn missing_requests(&self, now: Instant) -> u32 {
        let requests = self.missing(now).as_nanos().div_ceil(self.interval.as_nanos().max(1));
        u32::try_from(requests).unwrap_or(u32::MAX)
    }

    fn level(&self, now: Instant) -> Level {
        let limit = self.burst.get();
        let remaining = limit.saturating_sub(self.missing_requests(now));
        Level { limit, remaining, reset: self.missing(now) }
    }
}

#[cfg(test)]
mod tests;
