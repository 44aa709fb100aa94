//! Which act of a script is due, and the error answers a script can ask for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use serde_json::json;

use crate::blob;
use crate::refusal::Refusal;
use crate::script::{Act, Script, Step};

/// How many counted acts are remembered before the memory starts anew.
const ATTEMPTS: usize = 100_000;

/// Counts how often an act was played for a prompt.
#[derive(Default)]
pub(crate) struct Attempts {
    counts: Mutex<HashMap<(u64, usize), u32>>,
}

impl Attempts {
    /// The act that is due after so many tool outputs, or none when all are played.
    pub(crate) fn due(
        &self,
        script: &Script,
        prompt: &str,
        mut outputs: usize,
        parallel: bool,
    ) -> Option<Act> {
        for (index, step) in one_by_one(&script.steps, parallel).into_iter().enumerate() {
            let owed = step.act.calls();
            if owed > 0 && outputs >= owed {
                outputs -= owed;
                continue;
            }
            let Some(times) = step.times else { return Some(step.act) };
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            if counts.len() > ATTEMPTS {
                counts.clear();
            }
            let count = counts.entry((blob::checksum(prompt.as_bytes()), index)).or_default();
            *count += 1;
            if *count <= times {
                return Some(step.act);
            }
        }
        None
    }
}

/// Calls that the client wants one at a time become one act each.
fn one_by_one(steps: &[Step], parallel: bool) -> Vec<Step> {
    let mut single = Vec::new();
    for step in steps {
        if let (Act::Tools(calls), false) = (&step.act, parallel) {
            single.extend(
                calls
                    .iter()
                    .map(|it| Step { act: Act::Tools(vec![it.clone()]), times: step.times }),
            );
        } else {
            single.push(step.clone());
        }
    }
    single
}

const KIND: &str = "invalid_request_error";

/// The answer of `[[mock: status N CODE]]` (`docs/wire.md`, errors).
pub(crate) fn status(status: u16, code: &str, now: u64) -> Refusal {
    let http = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match (status, code) {
        (400, "" | "bad-request") => Refusal::detail("Bad Request"),
        (400, "context-length") => {
            let message = "Your input exceeds the context window of this model. \
                           Please adjust your input and try again.";
            Refusal::code(http, KIND, "context_length_exceeded", message)
        }
        (400, "cyber-policy") => {
            let message = "This request was stopped by a safety policy.";
            Refusal::code(http, KIND, "cyber_policy", message)
        }
        (400, "invalid-encrypted-content") => {
            let message = "The encrypted content could not be verified.";
            Refusal::code(http, KIND, "invalid_encrypted_content", message)
        }
        (401, "" | "token-expired") => {
            let message = "Provided authentication token is expired. Please try signing in again.";
            Refusal::code(http, KIND, "token_expired", message)
        }
        (401, "token-invalidated") => {
            let message = "Your authentication token has been invalidated.";
            Refusal::code(http, KIND, "token_invalidated", message)
        }
        (401, "unauthorized") => Refusal::unauthorized(),
        (403, "" | "cloudflare") => Refusal::cloudflare(),
        (429, "" | "usage-limit") => usage_limit(now),
        (429, "usage-not-included") => {
            let error = json!({
                "type": "usage_not_included",
                "message": "Usage is not included in your plan",
                "plan_type": "free",
            });
            Refusal::json(http, &json!({ "error": error }))
        }
        (429, "rate-limit") => {
            let message = "Rate limit reached. Please try again in 1.5s.";
            let mut refusal = Refusal::code(http, "requests", "rate_limit_exceeded", message);
            refusal.headers.push(("retry-after", "2".to_owned()));
            refusal
        }
        (503, "" | "overloaded") => {
            let message = "Our servers are currently overloaded. Please try again later.";
            Refusal::code(http, "service_unavailable_error", "server_is_overloaded", message)
        }
        (503, "slow-down") => {
            let message = "Our servers are busy. Please slow down.";
            Refusal::code(http, "service_unavailable_error", "slow_down", message)
        }
        (502 | 520, "") | (_, "upstream-connect") => Refusal::text(
            http,
            "upstream connect error or disconnect/reset before headers. \
             reset reason: connection termination",
        ),
        (_, "" | "server-error") => {
            let message = "An error occurred while processing your request.";
            Refusal::code(http, "server_error", "server_error", message)
        }
        (_, code) => Refusal::code(http, KIND, code, "This error was ordered by a script."),
    }
}

fn usage_limit(now: u64) -> Refusal {
    let wait = 3_600;
    let error = json!({
        "type": "usage_limit_reached",
        "message": "The usage limit has been reached",
        "plan_type": "plus",
        "resets_at": now + wait,
        "resets_in_seconds": wait,
    });
    Refusal::json(StatusCode::TOO_MANY_REQUESTS, &json!({ "error": error }))
}
