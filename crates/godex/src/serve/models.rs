//! `GET /v1/models` and `GET /v1/models/{id}`.

use godex_core::codex::catalogue::{CREATED, UnknownModel};
use godex_core::json;
use http::{Response, StatusCode};

use super::answer::{self, AnswerBody};
use super::error::ApiError;
use super::state::App;
use crate::store::keys::Key;

/// All models that a key may ask for.
pub(super) async fn list(app: &App, key: &Key) -> Response<AnswerBody> {
    let models: Vec<String> = served(app, key).await.iter().map(|id| object(id)).collect();
    answer::json(StatusCode::OK, format!(r#"{{"object":"list","data":{}}}"#, json::list(&models)))
}

/// One model, under any name that a request may have for it.
///
/// # Errors
///
/// When the key may not ask for it, or nobody may.
pub(super) async fn retrieve(
    app: &App,
    key: &Key,
    id: &str,
) -> Result<Response<AnswerBody>, ApiError> {
    let served = served(app, key).await;
    let catalogue = app.models.current();
    let chosen = catalogue.choose(&app.names, Some(id)).ok().filter(|it| it.shown == id);
    let answers = chosen.is_some_and(|it| {
        catalogue.has(&it.upstream) && (key.allows(&it.shown) || key.allows(&it.upstream))
    });
    if served.iter().any(|it| it == id) || answers {
        return Ok(answer::json(StatusCode::OK, object(id)));
    }
    Err(ApiError::NoModel(UnknownModel { served, ..catalogue.unknown(&app.names, id.to_owned()) }))
}

async fn served(app: &App, key: &Key) -> Vec<String> {
    let mut served = app.models.settled().await.served(&app.names);
    served.retain(|id| key.allows(id));
    served
}

fn object(id: &str) -> String {
    format!(
        r#"{{"id":{},"object":"model","created":{CREATED},"owned_by":"openai"}}"#,
        json::quote(id)
    )
}
