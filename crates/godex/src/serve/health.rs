//! `GET /health`: the process answers. `GET /readyz`: it can serve.

use http::{Response, StatusCode};

use super::answer::{self, AnswerBody};
use super::state::App;
use crate::clock;

/// The process answers.
pub(super) fn health() -> Response<AnswerBody> {
    answer::json(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// The process can serve, or why it cannot.
pub(super) async fn ready(app: &App) -> Response<AnswerBody> {
    // Who waits for this sends no request that would notice a new login.
    app.login.look().await;
    let login = app.login.status();
    let over = login.expires_at.is_some_and(|at| at <= clock::unix_seconds());
    let reason = if app.is_draining() {
        "shutting down".to_owned()
    } else if let Some(rejection) = login.ended {
        rejection.to_string()
    } else if over && !app.may_refresh {
        "the access token has expired and --allow-refresh is off".to_owned()
    } else {
        return answer::json(StatusCode::OK, r#"{"status":"ready"}"#);
    };
    let body =
        format!(r#"{{"status":"unavailable","reason":{}}}"#, godex_core::json::quote(&reason));
    answer::json(StatusCode::SERVICE_UNAVAILABLE, body)
}
