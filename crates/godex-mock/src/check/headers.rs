//! Request headers: the caller's identity and the form of the exchange.

use http::{HeaderMap, StatusCode};

use crate::refusal::Refusal;

/// Beginnings of the User-Agents that HTTP libraries and SDKs send by default, in lower case.
/// The bot protection stops them (`docs/wire.md`, request headers).
const LIBRARIES: &[&str] = &[
    "aiohttp",
    "apache-httpclient",
    "axios",
    "curl/",
    "go-http-client",
    "got",
    "httpie",
    "hyper",
    "java",
    "libcurl",
    "node",
    "okhttp",
    "openai/",
    "python",
    "reqwest",
    "ruby",
    "undici",
    "ureq",
    "wget",
];

/// Beginning of every turn state that this simulator issues.
pub(crate) const TURN_STATE: &str = "mock-turn-";

/// A header as text; one that is not text counts as absent.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The bearer token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, "authorization")?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then_some(token.trim())
}

/// The stable name of a conversation; both spellings are read.
pub(crate) fn session(headers: &HeaderMap) -> Option<&str> {
    text(headers, "session-id").or_else(|| text(headers, "session_id"))
}

/// Whether the request speaks the CLI's lite dialect.
pub(crate) fn is_lite(headers: &HeaderMap) -> bool {
    text(headers, "x-openai-internal-codex-responses-lite")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Stops what the bot protection in front of both hosts stops.
///
/// # Errors
///
/// The challenge page.
pub(crate) fn agent(headers: &HeaderMap) -> Result<(), Refusal> {
    let agent = text(headers, "user-agent").unwrap_or_default().trim().to_ascii_lowercase();
    if agent.is_empty() || LIBRARIES.iter().any(|it| agent.starts_with(it)) {
        return Err(Refusal::cloudflare());
    }
    Ok(())
}

/// Who calls: needed on every path of the backend.
///
/// # Errors
///
/// The challenge page, 401 without a token, 400 without the other headers.
pub(crate) fn caller(headers: &HeaderMap) -> Result<(), Refusal> {
    agent(headers)?;
    if bearer(headers).is_none() {
        return Err(Refusal::unauthorized());
    }
    for name in ["chatgpt-account-id", "originator"] {
        if text(headers, name).is_none_or(str::is_empty) {
            return Err(Refusal::detail(format!("Missing required header: {name}")));
        }
    }
    Ok(())
}

/// The form of the exchange: what is sent, what is wanted back.
///
/// # Errors
///
/// 400 for a wrong `Accept` or a foreign turn state, 415 for a wrong body form.
pub(crate) fn exchange(headers: &HeaderMap) -> Result<(), Refusal> {
    if !text(headers, "accept").is_some_and(|it| it.contains("text/event-stream")) {
        return Err(Refusal::detail("Accept must be text/event-stream"));
    }
    let content_type = text(headers, "content-type").unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let detail = "Content-Type must be application/json";
        return Err(Refusal::gateway(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let encoding = text(headers, "content-encoding").unwrap_or("identity");
    if !["identity", "zstd"].contains(&encoding) {
        let detail = format!("Unsupported content encoding: {encoding}");
        return Err(Refusal::gateway(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    match text(headers, "x-codex-turn-state") {
        Some(state) if !state.starts_with(TURN_STATE) => {
            Err(Refusal::detail("Invalid x-codex-turn-state"))
        }
        Some(_) | None => Ok(()),
    }
}

/// What the contract recommends and the backend does not enforce.
pub(crate) fn advice(headers: &HeaderMap) -> Vec<&'static str> {
    let mut advice = Vec::new();
    if session(headers).is_none() {
        advice.push("no session-id header: the prompt cache cannot be found again");
    }
    if text(headers, "cookie").is_some() {
        advice.push("a cookie was sent");
    }
    advice
}
