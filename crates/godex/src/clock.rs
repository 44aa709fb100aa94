//! The only reader of the clock and of randomness.

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
