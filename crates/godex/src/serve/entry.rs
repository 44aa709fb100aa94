//! The record of one request: written exactly once, when its answer ends, or when it is
//! dropped because the client left.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use godex_core::policy::quota;
use godex_core::usage::{Line, Usage};

use super::error::{ApiError, Look};
use super::state::App;
use crate::clock;
use crate::limits::Reservation;
use crate::logging;
use crate::store::keys::Key;

/// What a client that left gets in the log: nginx's number for it.
const CLIENT_GONE: u16 = 499;

/// What a request costs beyond what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cost {
    /// Nothing: the backend has not taken it.
    None,
    /// The backend has taken it: it costs something even if nobody waits for the sum.
    Owed,
    /// The sum is a guess.
    Guessed,
}

/// Writes its record when finished or dropped.
pub(super) struct Entry {
    app: Arc<App>,
    key: Arc<Key>,
    reservation: Option<Reservation>,
    started: Instant,
    first_byte: Option<Instant>,
    written: bool,
    /// The code of the error that its client got.
    code: Option<String>,
    cost: Cost,
    /// What reading the request costs, as far as its size tells.
    estimate: u64,
    /// Where it comes from.
    remote: IpAddr,
    /// What the client calls this request.
    pub(super) request_id: String,
    /// The path.
    pub(super) path: &'static str,
    /// The model the client asked for.
    pub(super) model: String,
    /// Whether the answer is a stream.
    pub(super) stream: bool,
    /// The session, hashed.
    pub(super) session: String,
    /// The backend's id of the response.
    pub(super) upstream_id: String,
    /// What is known of the cost.
    pub(super) usage: Usage,
    /// What attempts have cost that brought no answer.
    pub(super) in_vain: Usage,
}

impl Entry {
    /// Opens the record of a request.
    pub(super) fn open(
        app: Arc<App>,
        key: Arc<Key>,
        request_id: String,
        path: &'static str,
        remote: IpAddr,
    ) -> Self {
        app.board.begin();
        Self {
            app,
            key,
            reservation: None,
            started: clock::monotonic(),
            first_byte: None,
            written: false,
            code: None,
            cost: Cost::None,
            estimate: 0,
            request_id,
            path,
            remote,
            model: String::new(),
            stream: false,
            session: String::new(),
            upstream_id: String::new(),
            usage: Usage::default(),
            in_vain: Usage::default(),
        }
    }

    /// Ties the tokens held for the request to its record.
    pub(super) fn hold(&mut self, reservation: Reservation, estimate: u64) {
        self.reservation = Some(reservation);
        self.estimate = estimate;
    }

    /// What a request costs whose answer is left before the backend has said so.
    pub(super) fn guess(&mut self, heard: usize) -> Usage {
        self.cost = Cost::Guessed;
        let (input, output) = (self.estimate, quota::estimate(heard as u64, Some(0)));
        Usage { input, output, total: input + output, ..Usage::default() }
    }

    /// The backend has begun to answer.
    pub(super) fn accept(&mut self) {
        self.cost = Cost::Owed;
    }

    /// The first byte of the answer goes out.
    pub(super) fn begin(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(clock::monotonic());
        }
    }

    /// Writes the record of a request that gets this error. Only the first ending counts.
    pub(super) fn fail(&mut self, error: &Look) {
        if !self.written {
            self.code.clone_from(&error.code);
        }
        self.finish(error.status);
    }

    /// Writes the record. Only the first ending counts.
    pub(super) fn finish(&mut self, status: u16) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        let now = clock::timestamp();
        // A client that leaves before the end does not leave the bill behind.
        let unpaid =
            status == CLIENT_GONE && self.cost == Cost::Owed && self.usage == Usage::default();
        let estimated = unpaid || self.cost == Cost::Guessed;
        if unpaid {
            self.usage = Usage { input: self.estimate, total: self.estimate, ..Usage::default() };
        }
        self.usage += self.in_vain;
        if let Some(reservation) = &mut self.reservation {
            reservation.settle(&self.usage, now);
        }
        let ended = clock::monotonic();
        let millis = |until: Instant| {
            u64::try_from(until.saturating_duration_since(self.started).as_millis())
                .unwrap_or(u64::MAX)
        };
        let line = Line {
            ts: now,
            request_id: self.request_id.as_str().into(),
            key_id: self.key.id.as_str().into(),
            label: self.key.label.as_ref().into(),
            path: self.path.into(),
            model: self.model.as_str().into(),
            status,
            stream: self.stream,
            prompt_tokens: self.usage.input,
            completion_tokens: self.usage.output,
            total_tokens: self.usage.total,
            cached_tokens: self.usage.cached,
            reasoning_tokens: self.usage.reasoning,
            duration_ms: millis(ended),
            ttft_ms: self.first_byte.map(millis),
            upstream_id: self.upstream_id.as_str().into(),
            session: self.session.as_str().into(),
            estimated,
        };
        self.app.ledger.record(&line);
        let code = self.code.as_deref();
        self.app.board.end(&line, code);
        if self.app.logs(status) {
            log(&line, self.remote, code);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // What is dropped at the end of the drain timeout was cut off here, not left there.
        if self.app.is_cutting() {
            self.fail(&ApiError::Draining.look());
        } else {
            self.finish(CLIENT_GONE);
        }
    }
}

fn log(line: &Line<'_>, remote: IpAddr, code: Option<&str>) {
    let model: String = line.model.chars().filter(|c| !c.is_control()).take(64).collect();
    tracing::info!(
        target: logging::REQUESTS,
        request_id = %line.request_id,
        remote = %remote,
        key.id = %line.key_id,
        path = %line.path,
        model = %model,
        status = line.status,
        code,
        stream = line.stream,
        input_tokens = line.prompt_tokens,
        cached_tokens = line.cached_tokens,
        output_tokens = line.completion_tokens,
        ttft_ms = line.ttft_ms,
        duration_ms = line.duration_ms,
        upstream_id = %line.upstream_id,
        "{} {model} for {}: {}", line.path, line.key_id, line.status
    );
}
