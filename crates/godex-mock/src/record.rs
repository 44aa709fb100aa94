//! What was received and how each answer ended. Counts and keeps; judges nothing.
//!
//! `open --last byte--> completed`, `open --peer left--> cancelled`,
//! `open --by script--> broken`.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::clock;
use crate::refusal::Refusal;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Counts from 1 over the life of the mock.
    pub number: u64,
    /// The connection it came over, counted from 1.
    pub connection: u64,
    /// HTTP method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// All headers in the order of arrival.
    pub headers: Headers,
    /// The decoded body.
    pub body: Body,
    /// What was decided, once it is.
    pub verdict: Verdict,
    /// How the answer ended.
    pub ending: Ending,
    /// What is allowed, but not as the contract recommends.
    pub advice: Vec<&'static str>,
}

/// Request headers; the printed form hides credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

/// The body of a request after decoding.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Nothing was sent, or not yet received.
    Empty,
    /// A JSON document.
    Json(Arc<Value>),
    /// Anything else.
    Raw(Bytes),
}

/// What was decided about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not decided yet.
    Pending,
    /// Within the contract.
    Accepted,
    /// Against the contract: status and body of the answer.
    Refused(String),
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It goes on.
    Open,
    /// The last byte was handed to the network.
    Completed,
    /// The peer left that long after its request.
    Cancelled(Duration),
    /// The script broke it.
    Broken,
}

impl Headers {
    /// The first header of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn of(headers: &HeaderMap) -> Self {
        let text =
            |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Self(headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
    }

    fn redacted(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| match name.as_str() {
            "authorization" | "cookie" => (name.as_str(), "(redacted)"),
            _ => (name.as_str(), value.as_str()),
        })
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.redacted()).finish()
    }
}

impl Body {
    /// The JSON document, or null.
    pub fn json(&self) -> &Value {
        match self {
            Self::Json(value) => value,
            Self::Empty | Self::Raw(_) => &Value::Null,
        }
    }
}

impl Received {
    /// The form of the inspection endpoint.
    fn document(&self) -> Value {
        let headers: serde_json::Map<String, Value> =
            self.headers.redacted().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        let body = match &self.body {
            Body::Empty => Value::Null,
            Body::Json(value) if self.path.starts_with("/oauth/") => redact(value),
            Body::Json(value) => Value::clone(value),
            Body::Raw(bytes) => json!(String::from_utf8_lossy(bytes)),
        };
        let (verdict, refusal) = match &self.verdict {
            Verdict::Pending => ("pending", None),
            Verdict::Accepted => ("accepted", None),
            Verdict::Refused(text) => ("refused", Some(text)),
        };
        let (ending, after) = match &self.ending {
            Ending::Open => ("open", None),
            Ending::Completed => ("completed", None),
            Ending::Cancelled(after) => ("cancelled", Some(after.as_secs_f64() * 1000.0)),
            Ending::Broken => ("broken", None),
        };
        json!({
            "number": self.number,
            "connection": self.connection,
            "method": self.method,
            "path": self.path,
            "headers": headers,
            "body": body,
            "verdict": verdict,
            "refusal": refusal,
            "ending": ending,
            "cancelled_after_ms": after,
            "advice": self.advice,
        })
    }
}

/// Token requests without their tokens.
fn redact(body: &Value) -> Value {
    let mut body = body.clone();
    for name in ["refresh_token", "code", "code_verifier"] {
        if let Some(secret) = body.get_mut(name) {
            *secret = json!("(redacted)");
        }
    }
    body
}

/// Counters over the life of the mock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests received.
    pub requests: u64,
    /// Answers not ended yet.
    pub open: u64,
    /// Answers the peer did not wait for.
    pub cancelled: u64,
    /// Requests against the contract.
    pub refused: u64,
}

/// The memory of a mock.
pub(crate) struct Log {
    capacity: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    counts: Counts,
    kept: VecDeque<Received>,
}

impl Log {
    /// A memory for that many requests.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default(), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request has arrived.
    pub(crate) fn open(self: &Arc<Self>, parts: &Parts, connection: u64) -> Entry {
        let started = clock::monotonic();
        let mut state = self.state();
        state.counts.requests += 1;
        state.counts.open += 1;
        let number = state.counts.requests;
        if self.capacity > 0 {
            if state.kept.len() >= self.capacity {
                state.kept.pop_front();
            }
            let path = parts.uri.path_and_query().map_or("/", |it| it.as_str()).to_owned();
            state.kept.push_back(Received {
                number,
                connection,
                method: parts.method.to_string(),
                path,
                headers: Headers::of(&parts.headers),
                body: Body::Empty,
                verdict: Verdict::Pending,
                ending: Ending::Open,
                advice: Vec::new(),
            });
        }
        drop(state);
        self.changed.notify_waiters();
        Entry { log: Arc::clone(self), number, started, ended: false }
    }

    /// A copy of what is kept, oldest first.
    pub(crate) fn kept(&self) -> Vec<Received> {
        self.state().kept.iter().cloned().collect()
    }

    /// The counters.
    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// What is kept, as the inspection endpoint shows it.
    pub(crate) fn documents(&self) -> Value {
        self.kept().iter().map(Received::document).collect()
    }

    /// Forgets what is kept; the counters stay.
    pub(crate) fn clear(&self) {
        self.state().kept.clear();
    }

    /// Waits until the memory looks as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&[Received]) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if wanted(self.state().kept.make_contiguous()) {
                return;
            }
            changed.await;
        }
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Counts, Option<&mut Received>)) {
        let mut state = self.state();
        let State { counts, kept } = &mut *state;
        let first = kept.front().map_or(0, |it| it.number);
        let index = number.checked_sub(first).and_then(|it| usize::try_from(it).ok());
        let received = index.and_then(|it| kept.get_mut(it)).filter(|it| it.number == number);
        change(counts, received);
        drop(state);
        self.changed.notify_waiters();
    }
}

/// An answer under way. Dropped before its end, it was cancelled by the peer.
pub(crate) struct Entry {
    log: Arc<Log>,
    number: u64,
    started: Instant,
    ended: bool,
}

impl Entry {
    /// Which request of the life of the mock this is.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Keeps the body.
    pub(crate) fn body(&self, body: Body) {
        self.log.change(self.number, |_, received| {
            if let Some(received) = received {
                received.body = body;
            }
        });
    }

    /// Keeps what could be better.
    pub(crate) fn advise(&self, advice: Vec<&'static str>) {
        self.log.change(self.number, |_, received| {
            if let Some(received) = received {
                received.advice = advice;
            }
        });
    }

    /// Notes that the request is within the contract.
    pub(crate) fn accept(&self) {
        self.log.change(self.number, |_, received| {
            if let Some(received) = received {
                received.verdict = Verdict::Accepted;
            }
        });
    }

    /// Notes that the request is against the contract.
    pub(crate) fn refuse(&self, refusal: &Refusal) {
        self.log.change(self.number, |counts, received| {
            counts.refused += 1;
            if let Some(received) = received {
                received.verdict = Verdict::Refused(refusal.summary());
            }
        });
    }

    /// Notes that the request was well formed, but its credentials were not good any more.
    pub(crate) fn deny(&self, refusal: &Refusal) {
        self.log.change(self.number, |_, received| {
            if let Some(received) = received {
                received.verdict = Verdict::Refused(refusal.summary());
            }
        });
    }

    /// Notes the end of the answer; only the first end counts.
    pub(crate) fn end(&mut self, ending: Ending) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.log.change(self.number, |counts, received| {
            counts.open = counts.open.saturating_sub(1);
            counts.cancelled += u64::from(matches!(ending, Ending::Cancelled(_)));
            if let Some(received) = received {
                received.ending = ending;
            }
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let after = clock::monotonic().saturating_duration_since(self.started);
        self.end(Ending::Cancelled(after));
    }
}
