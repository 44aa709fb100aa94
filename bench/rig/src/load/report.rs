//! What a run came to, as one JSON object.

use serde_json::{Value, json};

use super::tally::{Durations, Tally};
use super::ways::Measured;

fn quantiles(durations: &Durations) -> Value {
    json!({
        "p50": durations.quantile(0.5),
        "p99": durations.quantile(0.99),
        "max": durations.quantile(1.0),
    })
}

/// Times are in microseconds, memory in KiB.
pub fn report(tally: &Tally, measured: &Measured) -> Value {
    json!({
        "seconds": measured.seconds,
        "ok": tally.ok,
        "errors": tally.errors,
        "first_error": tally.first_error,
        "skipped": tally.skipped,
        "begun": tally.begun,
        "events": tally.events,
        "cpu_us": measured.after.cpu_us_since(measured.before),
        "rss_idle_kb": measured.idle.rss_kb,
        "rss_kb": measured.after.rss_kb,
        "latency_us": quantiles(&tally.latency),
        "first_byte_us": quantiles(&tally.first_byte),
        "relay_us": quantiles(&tally.relay),
    })
}
