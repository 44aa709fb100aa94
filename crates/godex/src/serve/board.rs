//! What is going on and what went on lately, for whoever asks over the admin socket.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use godex_core::usage::Line;
use http::{HeaderMap, HeaderName};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::clock;
use crate::upstream::open::{Answer, Problem};

/// How many requests are remembered, and how many of those that failed.
const LATELY: usize = 32;
const FAILED: usize = 10;
/// What a client that left has for a status: it is no failure of ours.
const CLIENT_GONE: u16 = 499;

/// Counters and a short memory. Nothing of a request's content is in it.
pub(super) struct Board {
    started: Timestamp,
    running: AtomicUsize,
    served: AtomicU64,
    failed: AtomicU64,
    memory: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    lately: VecDeque<Seen>,
    failed: VecDeque<Seen>,
    windows: Vec<Window>,
}

/// One request that has ended.
#[derive(Clone, Default)]
struct Seen {
    at: Timestamp,
    request_id: String,
    key_id: String,
    label: String,
    path: String,
    model: String,
    status: u16,
    code: Option<String>,
    tokens: u64,
    duration_ms: u64,
    ttft_ms: Option<u64>,
}

/// One window of the plan. Source: `docs/wire.md#limits`.
#[derive(Clone, PartialEq)]
struct Window {
    used_percent: f64,
    minutes: u64,
    resets_at: Option<Timestamp>,
}

impl Board {
    /// Nothing has happened yet.
    pub(super) fn new() -> Self {
        Self {
            started: clock::timestamp(),
            running: AtomicUsize::new(0),
            served: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            memory: Mutex::default(),
        }
    }

    /// A request is taken up.
    pub(super) fn begin(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended, perhaps with an error of this code.
    pub(super) fn end(&self, line: &Line<'_>, code: Option<&str>) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.served.fetch_add(1, Ordering::Relaxed);
        let failed = line.status >= 400 && line.status != CLIENT_GONE;
        if failed {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = room(&mut memory.lately, LATELY).unwrap_or_default();
        seen.tell(line, code);
        if failed {
            room(&mut memory.failed, FAILED);
            memory.failed.push_back(seen.clone());
        }
        memory.lately.push_back(seen);
    }

    /// Notes what the backend says about the plan's windows, with an answer or an error.
    pub(super) fn plan(&self, outcome: &Result<Answer, Problem>) {
        match outcome {
            Ok(answer) => self.windows(&answer.opened.headers),
            Err(Problem::Fault(_, told, _)) => self.windows(told),
            Err(Problem::Login(_)) => {}
        }
    }

    fn windows(&self, headers: &HeaderMap) {
        let mut found = WINDOWS.iter().filter_map(|it| window(headers, it)).peekable();
        if found.peek().is_some() {
            let windows = &mut self.memory.lock().unwrap_or_else(PoisonError::into_inner).windows;
            windows.clear();
            windows.extend(found);
        }
    }

    /// All of it.
    pub(super) fn document(&self) -> Value {
        let now = clock::timestamp();
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = |list: &VecDeque<Seen>| list.iter().rev().map(seen).collect::<Vec<_>>();
        json!({
            "started_at": format!("{:.0}", self.started),
            "uptime_s": now.as_second() - self.started.as_second(),
            "requests": {
                "running": self.running.load(Ordering::Relaxed),
                "served": self.served.load(Ordering::Relaxed),
                "failed": self.failed.load(Ordering::Relaxed),
            },
            "plan_windows": memory.windows.iter().map(|it| json!({
                "window_minutes": it.minutes,
                "used_percent": it.used_percent,
                "resets_at": it.resets_at.map(|it| format!("{it:.0}")),
            })).collect::<Vec<_>>(),
            "lately": newest(&memory.lately),
            "errors": newest(&memory.failed),
        })
    }
}

impl Seen {
    /// Tells of this request, in the room that another one had.
    fn tell(&mut self, line: &Line<'_>, code: Option<&str>) {
        let texts = [
            (&mut self.request_id, &line.request_id),
            (&mut self.key_id, &line.key_id),
            (&mut self.label, &line.label),
            (&mut self.path, &line.path),
        ];
        for (place, text) in texts {
            text.as_ref().clone_into(place);
        }
        self.model.clear();
        self.model.extend(line.model.chars().filter(|it| !it.is_control()).take(64));
        self.at = line.ts;
        self.status = line.status;
        self.code = code.map(str::to_owned);
        self.tokens = line.total_tokens;
        self.duration_ms = line.duration_ms;
        self.ttft_ms = line.ttft_ms;
    }
}

/// Makes room for one more; gives what had to go.
fn room(list: &mut VecDeque<Seen>, most: usize) -> Option<Seen> {
    if list.len() < most { None } else { list.pop_front() }
}

fn seen(it: &Seen) -> Value {
    json!({
        "at": format!("{:.3}", it.at),
        "request_id": it.request_id,
        "key_id": it.key_id,
        "label": it.label,
        "path": it.path,
        "model": it.model,
        "status": it.status,
        "code": it.code,
        "total_tokens": it.tokens,
        "duration_ms": it.duration_ms,
        "ttft_ms": it.ttft_ms,
    })
}

/// The headers of one window.
struct WindowHeaders {
    minutes: HeaderName,
    used_percent: HeaderName,
    reset_at: HeaderName,
    reset_after_seconds: HeaderName,
}

static WINDOWS: [WindowHeaders; 2] = [
    WindowHeaders {
        minutes: HeaderName::from_static("x-codex-primary-window-minutes"),
        used_percent: HeaderName::from_static("x-codex-primary-used-percent"),
        reset_at: HeaderName::from_static("x-codex-primary-reset-at"),
        reset_after_seconds: HeaderName::from_static("x-codex-primary-reset-after-seconds"),
    },
    WindowHeaders {
        minutes: HeaderName::from_static("x-codex-secondary-window-minutes"),
        used_percent: HeaderName::from_static("x-codex-secondary-used-percent"),
        reset_at: HeaderName::from_static("x-codex-secondary-reset-at"),
        reset_after_seconds: HeaderName::from_static("x-codex-secondary-reset-after-seconds"),
    },
];

/// A window by its headers; one of no length is none. Its place says nothing about its length.
fn window(headers: &HeaderMap, names: &WindowHeaders) -> Option<Window> {
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let minutes = text(&names.minutes)?.parse().ok().filter(|it| *it > 0)?;
    let used_percent =
        text(&names.used_percent)?.parse::<f64>().ok().filter(|it| it.is_finite())?;
    let at = text(&names.reset_at).and_then(|it| Timestamp::from_second(it.parse().ok()?).ok());
    let resets_at = at.or_else(|| {
        let seconds: i64 = text(&names.reset_after_seconds)?.parse().ok()?;
        clock::timestamp().checked_add(SignedDuration::from_secs(seconds)).ok()
    });
    Some(Window { used_percent, minutes, resets_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_known_by_their_length_and_those_without_are_left_out() {
        let board = Board::new();
        let headers = |list: &[(&'static str, &'static str)]| -> HeaderMap {
            list.iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
                .collect()
        };
        board.windows(&headers(&[
            ("x-codex-primary-used-percent", "37.5"),
            ("x-codex-primary-window-minutes", "10080"),
            ("x-codex-primary-reset-at", "1795000000"),
            ("x-codex-secondary-used-percent", "1"),
            ("x-codex-secondary-window-minutes", "0"),
        ]));
        let windows = board.document()["plan_windows"].clone();
        let expected = json!([{
            "window_minutes": 10080, "used_percent": 37.5, "resets_at": "2026-11-18T11:06:40Z",
        }]);
        assert_eq!(windows, expected);
        board.windows(&headers(&[("x-codex-primary-used-percent", "9")]));
        assert_eq!(board.document()["plan_windows"], windows, "what says nothing changes nothing");
    }
}
