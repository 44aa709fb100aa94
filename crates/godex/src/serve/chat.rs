//! `POST /v1/chat/completions`.

use godex_core::translate::chat_from_responses::{Look, ReasoningMode};
use godex_core::translate::responses_from_chat;

use super::body::Upload;
use super::error::ApiError;
use super::exchange::{Exchange, Prepared};
use super::face::Face;
use crate::clock;

/// Makes a request of the body.
///
/// # Errors
///
/// When it cannot be read, carried or let in.
pub(super) async fn prepare(
    exchange: &mut Exchange,
    parts: &http::request::Parts,
    body: &mut Upload,
) -> Result<Prepared, ApiError> {
    let body = exchange.receive(parts, body).await?;
    let (refusals, reasoning) = (exchange.app.opener.refusals(), exchange.app.reasoning);
    let shown = reasoning != ReasoningMode::Off;
    let (ask, draft, style) =
        responses_from_chat::read_either(&responses_from_chat::parse(&body)?, &refusals, shown)?;
    let chosen = exchange.choose(&ask).await?;
    let fallback_id = format!("chatcmpl-{}", exchange.entry.request_id);
    exchange.prepare(ask, draft, chosen, &parts.headers, |ask, chosen, _| {
        Face::chat(Look {
            model: chosen.shown.clone(),
            include_usage: ask.include_usage,
            reasoning,
            style,
            tool_names: ask.tool_names,
            stop: ask.stop,
            fallback_id,
            now: clock::unix_seconds(),
        })
    })
}
