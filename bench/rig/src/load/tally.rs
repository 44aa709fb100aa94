//! What came of the requests, and how long it took.

use hdrhistogram::Histogram;

use crate::clock;

/// An hour: longer than any run.
const LONGEST_US: u64 = 3_600_000_000;

/// Durations in microseconds.
pub struct Durations(Option<Histogram<u64>>);

impl Durations {
    fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).ok())
    }

    fn add(&mut self, us: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(us.max(1));
        }
    }

    /// A quantile in microseconds; nothing when nothing was measured.
    pub fn quantile(&self, at: f64) -> Option<u64> {
        let histogram = self.0.as_ref().filter(|it| !it.is_empty())?;
        Some(histogram.value_at_quantile(at))
    }
}

/// Counts while it is on.
pub struct Tally {
    on: bool,
    /// Answers that came whole.
    pub ok: u64,
    /// Requests that failed, whether it is on or not.
    pub errors: u64,
    /// What the first of them said.
    pub first_error: Option<String>,
    /// Requests that were due while all connections were busy, and never sent.
    pub skipped: u64,
    /// Streams that have begun, whether it is on or not.
    pub begun: usize,
    /// Events.
    pub events: u64,
    /// From the planned time of a request to the end of its answer.
    pub latency: Durations,
    /// From there to the first byte of the answer's body.
    pub first_byte: Durations,
    /// From an event's stamp to its arrival.
    pub relay: Durations,
}

impl Default for Tally {
    fn default() -> Self {
        let (latency, first_byte, relay) = (Durations::new(), Durations::new(), Durations::new());
        Self {
            on: false,
            ok: 0,
            errors: 0,
            first_error: None,
            skipped: 0,
            begun: 0,
            events: 0,
            latency,
            first_byte,
            relay,
        }
    }
}

impl Tally {
    /// From now on it counts, or no longer.
    pub fn switch(&mut self, on: bool) {
        self.on = on;
    }

    /// An answer came whole.
    pub fn finished(&mut self, planned_ns: u64) {
        if self.on {
            self.ok += 1;
            self.latency.add(clock::now_ns().saturating_sub(planned_ns) / 1_000);
        }
    }

    /// A request failed.
    pub fn failed(&mut self, what: String) {
        self.errors += 1;
        self.first_error.get_or_insert(what);
    }

    /// The first byte of an answer's body came.
    pub fn began(&mut self, planned_ns: u64, now_ns: u64) {
        self.begun += 1;
        if self.on {
            self.first_byte.add(now_ns.saturating_sub(planned_ns) / 1_000);
        }
    }

    /// Events came.
    pub fn brought(&mut self, brought: &super::events::Brought, now_ns: u64) {
        if self.on {
            self.events += brought.events;
            for stamp in &brought.stamps {
                self.relay.add((now_ns / 1_000).saturating_sub(*stamp));
            }
        }
    }
}
