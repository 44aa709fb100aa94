//! Stands in for the program's clock.

/// Always the same second.
pub(crate) fn unix_seconds() -> u64 {
    1_700_000_000
}
