//! The only reader of the clock in the simulator.

use std::time::{Duration, Instant, SystemTime};

/// Monotonic now, for durations.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// Wall clock now in whole seconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
