//! `POST /v1/chat/completions`.

use godex_core::codex::draft::Dialect;
use godex_core::json::Object;
use godex_core::responses::request;
use godex_core::translate::chat_from_responses::{Look, ReasoningMode};
use godex_core::translate::responses_from_chat::{self, CallStyle};
use hyper::body::Incoming;

use super::error::ApiError;
use super::exchange::{Exchange, Prepared};
use super::face::Face;
use crate::clock;

/// Makes a request of the body. A body that is a Responses request (Cursor sends those here)
/// is read as one, and answered as chat.
///
/// # Errors
///
/// When it cannot be read, carried or let in.
pub(super) async fn prepare(
    exchange: &mut Exchange,
    parts: &http::request::Parts,
    body: &mut Incoming,
) -> Result<Prepared, ApiError> {
    let body = exchange.receive(parts, body).await?;
    let object = Object::parse(&body)?;
    let (refusals, reasoning) = (exchange.app.opener.refusals(), exchange.app.reasoning);
    let (ask, draft, style) = if request::looks_like_one(&object) {
        let (ask, mut draft) = request::read(object, Dialect::Standard, &refusals)?;
        // Here it has an effect: chat's last chunk.
        draft.dropped.retain(|name| name != "stream_options");
        if reasoning != ReasoningMode::Off && draft.reasoning.summary.is_none() {
            draft.reasoning.summary = Some("auto".into());
        }
        (ask, draft, CallStyle::Tools)
    } else {
        responses_from_chat::read(object, &refusals, reasoning != ReasoningMode::Off)?
    };
    let fallback_id = format!("chatcmpl-{}", exchange.entry.request_id);
    let prepared = exchange.prepare(ask, draft, &parts.headers, |ask, chosen, _| {
        Face::chat(Look {
            model: chosen.shown.clone(),
            include_usage: ask.include_usage,
            reasoning,
            style,
            tool_names: ask.tool_names,
            fallback_id,
            now: clock::unix_seconds(),
        })
    });
    prepared.await
}
