//! `POST /v1/responses`.

use godex_core::json::Body;
use godex_core::responses::request::read;
use godex_core::responses::response::Patches;
use http::request;

use super::body::Upload;
use super::error::ApiError;
use super::exchange::{Exchange, Prepared};
use super::face::Face;
use super::passed;

/// Makes a request of the body.
///
/// # Errors
///
/// When it cannot be read, carried or let in.
pub(super) async fn prepare(
    exchange: &mut Exchange,
    parts: &request::Parts,
    body: &mut Upload,
) -> Result<Prepared, ApiError> {
    let body = exchange.receive(parts, body).await?;
    let dialect = passed::dialect(&parts.headers);
    let (ask, draft) = read(&Body::parse(&body)?, dialect, &exchange.app.opener.refusals())?;
    let chosen = exchange.choose(&ask).await?;
    let fallback_id = format!("resp_{}", exchange.entry.request_id);
    exchange.prepare(ask, draft, chosen, &parts.headers, |ask, chosen, dialect| {
        let patches = Patches {
            model: chosen.shown.clone(),
            echo: ask.echo,
            cache_key: ask.cache_key,
            tool_names: ask.tool_names,
        };
        Face::responses(patches, dialect, fallback_id)
    })
}
