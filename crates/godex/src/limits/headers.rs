//! How limits look in an answer: the `x-ratelimit-*` and `retry-after*` headers.

use std::fmt;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::State;

// Constants, so that no request pays for their check.
const LIMIT_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const REMAINING_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RESET_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");
const LIMIT_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-limit-tokens");
const REMAINING_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-remaining-tokens");
const RESET_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-reset-tokens");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Adds the `x-ratelimit-*` headers. A quota that never comes back has no reset.
pub(crate) fn describe(state: &State, now: Timestamp, headers: &mut HeaderMap) {
    let requests = &state.requests;
    number(headers, LIMIT_REQUESTS, requests.limit);
    number(headers, REMAINING_REQUESTS, requests.remaining);
    reset(headers, RESET_REQUESTS, requests.reset);
    if let Some(tokens) = &state.tokens {
        number(headers, LIMIT_TOKENS, tokens.limit);
        number(headers, REMAINING_TOKENS, tokens.remaining());
        if let Some(at) = tokens.resets_at {
            reset(headers, RESET_TOKENS, until(at, now));
        }
    }
}

/// Adds `retry-after` in whole seconds and `retry-after-ms`, both rounded up and at least one.
pub(crate) fn retry_after(wait: Duration, headers: &mut HeaderMap) {
    number(headers, RETRY_AFTER, round_up(wait, Duration::from_secs(1)));
    number(headers, RETRY_AFTER_MS, round_up(wait, Duration::from_millis(1)));
}

/// The time from `now` to `at`.
pub(crate) fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

fn round_up(wait: Duration, unit: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(unit.as_nanos())).unwrap_or(u64::MAX).max(1)
}

fn number(headers: &mut HeaderMap, name: HeaderName, value: impl Into<u64>) {
    text(headers, name, value.into().to_string());
}

fn reset(headers: &mut HeaderMap, name: HeaderName, wait: Duration) {
    text(headers, name, Reset(wait).to_string());
}

fn text(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// A duration as `x-ratelimit-reset-*` has it: `12ms`, `1s`, `6m0s`, `1h0m0s`.
struct Reset(Duration);

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = round_up(self.0, Duration::from_millis(1));
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        if millis < 1000 {
            return write!(f, "{millis}ms");
        }
        let seconds = millis / 1000;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}", seconds % 60)?;
        if !millis.is_multiple_of(1000) {
            let fraction = format!("{:03}", millis % 1000);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str("s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_written_as_clients_expect_it() {
        #[track_caller]
        fn check(micros: u64, expected: &str) {
            assert_eq!(Reset(Duration::from_micros(micros)).to_string(), expected);
        }
        check(0, "0s");
        check(1, "1ms");
        check(12_000, "12ms");
        check(1_000_000, "1s");
        check(1_500_000, "1.5s");
        check(59_999_001, "1m0s");
        check(360_000_000, "6m0s");
        check(3_600_000_000, "1h0m0s");
        check(90_061_250_000, "25h1m1.25s");
    }

    #[test]
    fn a_wait_is_rounded_up_in_both_units() {
        #[track_caller]
        fn check(wait: Duration, seconds: &str, millis: &str) {
            let mut headers = HeaderMap::new();
            retry_after(wait, &mut headers);
            assert_eq!(headers["retry-after"], seconds);
            assert_eq!(headers["retry-after-ms"], millis);
        }
        check(Duration::from_nanos(1), "1", "1");
        check(Duration::from_secs(1), "1", "1000");
        check(Duration::from_micros(1_000_001), "2", "1001");
    }
}
