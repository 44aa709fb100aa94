//! The inspection endpoints under `/__mock/`, for tests that are not written in Rust.
//!
//! | call | what |
//! |---|---|
//! | `GET requests` | what was received, oldest first; credentials are redacted |
//! | `DELETE requests` | forgets it |
//! | `GET state` | counters |
//! | `POST expire-tokens` | the next call gets 401 `token_expired`, until a refresh |
//! | `PUT script` | the body, markers as in a prompt, rules every answer; an empty body ends that |

use http::{Method, StatusCode};
use serde_json::json;

use crate::backend::Backend;
use crate::refusal::Refusal;

/// Answers one inspection call; `what` is the path behind the prefix.
pub(crate) fn answer(backend: &Backend, method: &Method, what: &str, body: &[u8]) -> Refusal {
    let fine = json!({ "ok": true });
    match (method, what) {
        (&Method::GET, "requests") => Refusal::json(StatusCode::OK, &backend.log.documents()),
        (&Method::DELETE, "requests") => {
            backend.log.clear();
            Refusal::json(StatusCode::OK, &fine)
        }
        (&Method::GET, "state") => {
            let counts = backend.log.counts();
            let state = json!({
                "requests": counts.requests,
                "open": counts.open,
                "cancelled": counts.cancelled,
                "refused": counts.refused,
                "token_posts": backend.issuer.posts(),
            });
            Refusal::json(StatusCode::OK, &state)
        }
        (&Method::POST, "expire-tokens") => {
            backend.issuer.expire();
            Refusal::json(StatusCode::OK, &fine)
        }
        (&Method::PUT, "script") => match backend.direct(&String::from_utf8_lossy(body)) {
            Ok(()) => Refusal::json(StatusCode::OK, &fine),
            Err(error) => Refusal::detail(error),
        },
        _ => Refusal::gateway(StatusCode::NOT_FOUND, "Not Found"),
    }
}
