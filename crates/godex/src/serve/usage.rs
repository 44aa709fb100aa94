//! `GET /v1/usage`: how the key that asks stands.

use godex_core::json::Writer;
use http::{Response, StatusCode};

use super::answer::{self, AnswerBody};
use super::state::App;
use crate::limits::Now;
use crate::store::keys::Key;

/// The state of one key: its rate, and its quota if it has one.
pub(super) fn show(app: &App, key: &Key) -> Response<AnswerBody> {
    let state = app.admission.state(key, Now::read());
    let mut writer = Writer::new(512);
    writer.string("object", "usage");
    writer.string("key_id", key.id.as_str());
    writer.string("label", &key.label);
    let mut requests = Writer::new(128);
    requests.raw("limit", &state.requests.limit.to_string());
    requests.raw("remaining", &state.requests.remaining.to_string());
    requests.raw("reset_ms", &state.requests.reset.as_millis().to_string());
    writer.raw("requests", &requests.finish_text());
    match &state.tokens {
        None => writer.raw("tokens", "null"),
        Some(balance) => {
            let mut tokens = Writer::new(128);
            tokens.raw("limit", &balance.limit.to_string());
            tokens.raw("used", &balance.used.to_string());
            tokens.raw("reserved", &balance.reserved.to_string());
            tokens.raw("remaining", &balance.remaining().to_string());
            match balance.resets_at {
                Some(at) => tokens.string("resets_at", &at.to_string()),
                None => tokens.raw("resets_at", "null"),
            }
            writer.raw("tokens", &tokens.finish_text());
        }
    }
    answer::json(StatusCode::OK, writer.finish())
}
