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
    let reason = if app.is_draining() {
        "shutting down".to_owned()
    } else if let Some(rejection) = login.ended {
        rejection.to_string()
    } else if login.is_over(clock::unix_seconds()) {
        let why =
            if app.may_refresh { "it has no refresh token" } else { "--allow-refresh is off" };
        format!("the access token has expired and {why}")
    } else {
        return answer::json(StatusCode::OK, r#"{"status":"ready"}"#);
    };
    let body =
        format!(r#"{{"status":"unavailable","reason":{}}}"#, godex_core::json::quote(&reason));
    answer::json(StatusCode::SERVICE_UNAVAILABLE, body)
}
