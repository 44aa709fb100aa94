//! The account's limits: response headers, the event in the stream, the usage document
//! (`docs/wire.md`, limits). Primary and secondary are positions, not durations.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// One window of the plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// How much of it is spent.
    pub used_percent: f64,
    /// Its length; 300 is five hours, 10080 a week.
    pub minutes: u64,
    /// How long until it starts anew.
    pub resets_in: Duration,
}

/// The limits that every answer reports.
pub(crate) struct Limits {
    windows: Mutex<Windows>,
}

/// Primary and secondary.
pub(crate) type Windows = (Option<Window>, Option<Window>);

const PLAN: &str = "plus";

impl Limits {
    /// A five-hour window and a week, barely used.
    pub(crate) fn new() -> Self {
        let resets_in = Duration::from_mins(150);
        let primary = Window { used_percent: 12.0, minutes: 300, resets_in };
        let resets_in = Duration::from_mins(5_000);
        let secondary = Window { used_percent: 34.0, minutes: 10_080, resets_in };
        Self { windows: Mutex::new((Some(primary), Some(secondary))) }
    }

    /// Replaces both windows.
    pub(crate) fn replace(&self, windows: Windows) {
        *self.windows.lock().unwrap_or_else(PoisonError::into_inner) = windows;
    }

    fn windows(&self) -> Windows {
        *self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The headers of an answer.
    pub(crate) fn headers(&self, now: u64) -> Vec<(String, String)> {
        let (primary, secondary) = self.windows();
        let mut headers = vec![
            ("x-codex-plan-type".to_owned(), PLAN.to_owned()),
            ("x-codex-active-limit".to_owned(), "codex".to_owned()),
            ("x-codex-credits-has-credits".to_owned(), "false".to_owned()),
            ("x-codex-credits-unlimited".to_owned(), "false".to_owned()),
            ("x-codex-credits-balance".to_owned(), "0".to_owned()),
        ];
        for (position, window) in [("primary", primary), ("secondary", secondary)] {
            let Some(window) = window else { continue };
            let seconds = window.resets_in.as_secs();
            let mut add = |name: &str, value: String| {
                headers.push((format!("x-codex-{position}-{name}"), value));
            };
            add("used-percent", window.used_percent.to_string());
            add("window-minutes", window.minutes.to_string());
            add("reset-at", (now + seconds).to_string());
            add("reset-after-seconds", seconds.to_string());
        }
        headers
    }

    /// The `codex.rate_limits` event.
    pub(crate) fn event(&self, now: u64) -> Value {
        let (primary, secondary) = self.windows();
        let reached = is_reached(primary) || is_reached(secondary);
        let window = |window: Option<Window>| {
            window.map(|it| {
                let seconds = it.resets_in.as_secs();
                json!({
                    "used_percent": it.used_percent,
                    "window_minutes": it.minutes,
                    "reset_at": now + seconds,
                    "reset_after_seconds": seconds,
                })
            })
        };
        json!({
            "type": "codex.rate_limits",
            "plan_type": PLAN,
            "rate_limits": {
                "allowed": !reached,
                "limit_reached": reached,
                "primary": window(primary),
                "secondary": window(secondary),
            },
            "credits": credits(),
        })
    }

    /// The answer of the usage endpoint.
    pub(crate) fn document(&self, now: u64) -> Value {
        let (primary, secondary) = self.windows();
        let reached = is_reached(primary) || is_reached(secondary);
        let window = |window: Option<Window>| {
            window.map(|it| {
                let seconds = it.resets_in.as_secs();
                json!({
                    "used_percent": it.used_percent,
                    "limit_window_seconds": it.minutes * 60,
                    "reset_after_seconds": seconds,
                    "reset_at": now + seconds,
                })
            })
        };
        json!({
            "plan_type": PLAN,
            "rate_limit": {
                "allowed": !reached,
                "limit_reached": reached,
                "primary_window": window(primary),
                "secondary_window": window(secondary),
            },
            "credits": credits(),
        })
    }
}

fn is_reached(window: Option<Window>) -> bool {
    window.is_some_and(|it| it.used_percent >= 100.0)
}

fn credits() -> Value {
    json!({ "has_credits": false, "unlimited": false, "balance": "0" })
}
