//! The only reader of the clock and of randomness.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

/// Monotonic now, for limits, timeouts and durations.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// Wall clock now, for expiry dates and records.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// Wall clock now, as records, limits and reports have it.
pub(crate) fn timestamp() -> Timestamp {
    Timestamp::try_from(wall()).unwrap_or_default()
}

/// Wall clock now in whole seconds since the Unix epoch.
pub(crate) fn unix_seconds() -> u64 {
    wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// By how many milliseconds the wall clock has run ahead of the monotonic one since this was asked
/// first: it jumps when the machine has slept, which the monotonic clock does not count, and when
/// somebody sets the clock.
pub(crate) fn lead() -> i64 {
    static START: LazyLock<(Instant, SystemTime)> = LazyLock::new(|| (monotonic(), wall()));
    let (awake, begun) = *START;
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let passed = match wall().duration_since(begun) {
        Ok(passed) => millis(passed),
        Err(before) => -millis(before.duration()),
    };
    passed.saturating_sub(millis(monotonic().saturating_duration_since(awake)))
}

/// Fresh random bytes.
///
/// # Errors
///
/// When the operating system has no randomness to give.
pub(crate) fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes)
}

/// Bytes that come only once, for names that need not be secret: the system is asked for
/// randomness once, not for each of them.
pub(crate) fn unique() -> [u8; 16] {
    static KEYS: LazyLock<[RandomState; 2]> =
        LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    let number = GIVEN.fetch_add(1, Ordering::Relaxed);
    let [high, low] = KEYS.each_ref().map(|key| u128::from(key.hash_one(number)));
    (high << 64 | low).to_be_bytes()
}
