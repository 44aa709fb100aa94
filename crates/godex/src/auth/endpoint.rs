//! The token endpoint: one `POST` that trades a refresh token for new tokens, and what its
//! refusals mean. The form of both is in `docs/wire.md`.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde_json::{Value, json};

use super::file::Tokens;
use super::{Rejection, Settings};
use crate::upstream::connect::HttpClient;

/// The Codex CLI's public client id, to which the refresh tokens in the file belong.
pub(super) const CLIENT_ID: &str = "app_EMoamEEZ73f0CkXaXp7hrann";

/// From the first byte of the request to the last of the answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An answer is three tokens; more than this is none.
const MAX_ANSWER: usize = 256 << 10;

/// The tokens of an answer. One that is missing keeps the old.
#[derive(Deserialize)]
pub(super) struct Answer {
    #[serde(rename = "id_token")]
    id: Option<String>,
    #[serde(rename = "access_token")]
    access: Option<String>,
    #[serde(rename = "refresh_token")]
    refresh: Option<String>,
}

impl Answer {
    /// Whether there is anything new in it.
    fn has_any(&self) -> bool {
        [&self.id, &self.access, &self.refresh].into_iter().flatten().any(|it| !it.is_empty())
    }

    /// `old`, with what came in its place.
    pub(super) fn over(self, old: &Tokens, now: jiff::Timestamp) -> Tokens {
        let given = |token: Option<String>| token.filter(|it| !it.is_empty());
        Tokens {
            access: given(self.access).unwrap_or_else(|| old.access.clone()),
            id: given(self.id).or_else(|| old.id.clone()),
            refresh: given(self.refresh).or_else(|| old.refresh.clone()),
            account_id: old.account_id.clone(),
            last_refresh: Some(now),
        }
    }
}

/// Why there are no new tokens.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Asking again is of no use.
    Final(Rejection),
    /// The endpoint is down, or in a bad mood; for the log.
    Passing(String),
}

/// Asks for new tokens, telling that `reason` made us.
///
/// # Errors
///
/// When the endpoint gives none.
pub(super) async fn ask(
    http: &HttpClient,
    settings: &Settings,
    refresh_token: &str,
    reason: &'static str,
) -> Result<Answer, Refusal> {
    let body = json!({
        "client_id": CLIENT_ID,
        "grant_type": "refresh_token",
        "refresh_reason": reason,
        "refresh_token": refresh_token,
    });
    let request = Request::builder()
        .method(Method::POST)
        .uri(&settings.token_url)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        // Without a Codex-like name the call is answered by a challenge page.
        .header(USER_AGENT, &settings.user_agent)
        .header("originator", &settings.originator)
        .body(Bytes::from(body.to_string()))
        .map_err(|error| Refusal::Passing(error.to_string()))?;
    let (status, body) = exchange_in_time(http, request).await.map_err(Refusal::Passing)?;
    read(status, &body)
}

/// One call of the issuer, with an end.
///
/// # Errors
///
/// Why there is no answer, in words.
pub(super) async fn exchange_in_time(
    http: &HttpClient,
    request: Request<Bytes>,
) -> Result<(StatusCode, Bytes), String> {
    tokio::time::timeout(TIMEOUT, exchange(http, request))
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())))
}

async fn exchange(
    http: &HttpClient,
    request: Request<Bytes>,
) -> Result<(StatusCode, Bytes), String> {
    let response = http.request(request).await.map_err(|error| in_full(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
}

/// An error with all its causes.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What an answer means. Never quotes it: it may hold tokens.
fn read(status: StatusCode, body: &[u8]) -> Result<Answer, Refusal> {
    if status.is_success() {
        let answer: Option<Answer> = serde_json::from_slice(body).ok();
        return answer
            .filter(Answer::has_any)
            .ok_or_else(|| Refusal::Passing(format!("{status} without tokens")));
    }
    let named = rejection(&code(body));
    match (status, named) {
        (StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST, Some(rejection)) => {
            Err(Refusal::Final(rejection))
        }
        (StatusCode::UNAUTHORIZED, None) => Err(Refusal::Final(Rejection::Refused)),
        (status, _) => Err(Refusal::Passing(status.to_string())),
    }
}

fn rejection(code: &str) -> Option<Rejection> {
    match code {
        "refresh_token_reused" => Some(Rejection::Reused),
        "refresh_token_expired" => Some(Rejection::Expired),
        "refresh_token_invalidated" => Some(Rejection::Invalidated),
        "invalid_grant" => Some(Rejection::Refused),
        _ => None,
    }
}

/// The code of an error, in each of the places where issuers put it.
pub(super) fn code(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = body.get("error");
    let code = error.and_then(|it| it.get("code")).or(error).or_else(|| body.get("code"));
    code.and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_final_when_the_login_is_over_and_passing_otherwise() {
        #[track_caller]
        fn check(status: u16, body: &str, expected: Option<Rejection>) {
            let status = StatusCode::from_u16(status).unwrap();
            let found = match read(status, body.as_bytes()) {
                Err(Refusal::Final(rejection)) => Some(rejection),
                Err(Refusal::Passing(_)) => None,
                Ok(_) => panic!("an answer"),
            };
            assert_eq!(found, expected, "{status} {body}");
        }
        let reused = r#"{"error":{"code":"refresh_token_reused","message":"m"}}"#;
        check(401, reused, Some(Rejection::Reused));
        check(400, reused, Some(Rejection::Reused));
        check(401, r#"{"error":{"code":"refresh_token_expired"}}"#, Some(Rejection::Expired));
        check(401, r#"{"code":"refresh_token_invalidated"}"#, Some(Rejection::Invalidated));
        check(400, r#"{"error":"invalid_grant"}"#, Some(Rejection::Refused));
        check(401, "<html>", Some(Rejection::Refused));
        check(400, r#"{"error":{"code":"something_else"}}"#, None);
        check(403, "<html>challenge</html>", None);
        check(429, "{}", None);
        check(500, reused, None);
        check(503, "", None);
        check(302, "", None);
        check(200, "<html>", None);
        check(200, r#"["secret"]"#, None);
    }

    #[test]
    fn a_token_missing_from_the_answer_keeps_the_old() {
        let old = Tokens {
            access: "a1".into(),
            id: Some("i1".into()),
            refresh: Some("r1".into()),
            account_id: Some("acc".into()),
            last_refresh: None,
        };
        let now = jiff::Timestamp::UNIX_EPOCH;
        let Ok(answer) =
            read(StatusCode::OK, br#"{"access_token":"a2","id_token":null,"refresh_token":""}"#)
        else {
            panic!("an answer");
        };
        let new = answer.over(&old, now);
        assert!(new.access == "a2" && new.id == old.id && new.refresh == old.refresh);
        assert!(new.account_id == old.account_id && new.last_refresh == Some(now));
    }
}
