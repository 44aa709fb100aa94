//! One attempt: a request with our credentials goes out, an answer or a fault comes back.
//! Source of the headers: `docs/wire.md#headers`.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use godex_core::codex::fault::{Fault, Refusal};
use godex_core::usage::Usage;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use jiff::fmt::rfc2822::DateTimeParser;

use super::connect::{self, AnswerBody, HttpClient, Seen};
use crate::auth::{Credentials, Login};
use crate::clock;
use crate::config::Config;

/// The header that tells the backend's prompt cache which conversation a request belongs to.
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("session-id");
const ACCOUNT_ID: HeaderName = HeaderName::from_static("chatgpt-account-id");
const ORIGINATOR: HeaderName = HeaderName::from_static("originator");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// How much of an error's body is read, and for how long.
const ERROR_BODY: usize = 64 << 10;
const ERROR_BODY_TIME: Duration = Duration::from_secs(5);

/// The backend, as this proxy talks to it.
pub(crate) struct Backend {
    http: HttpClient,
    pub(super) login: Login,
    responses: Uri,
    models: String,
    user_agent: HeaderValue,
    originator: HeaderValue,
    header_timeout: Duration,
}

impl Backend {
    /// The backend of a configuration; `None` if its address cannot be extended by a path,
    /// which a checked configuration rules out.
    pub(crate) fn new(config: &Config, http: HttpClient, login: Login) -> Option<Self> {
        let base = config.base_url.as_str();
        Some(Self {
            http,
            login,
            responses: format!("{base}/responses").parse().ok()?,
            models: format!("{base}/models"),
            user_agent: config.user_agent.clone(),
            originator: config.originator.clone(),
            header_timeout: config.upstream_header_timeout,
        })
    }

    /// Sends a request for a response. The answer is a 2xx.
    ///
    /// # Errors
    ///
    /// What the backend answered instead, or that it did not.
    pub(super) async fn respond(
        &self,
        credentials: &Credentials,
        body: Bytes,
        passed: &HeaderMap,
    ) -> Result<Response<AnswerBody>, Failed> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.responses.clone();
        let headers = request.headers_mut();
        headers.reserve(passed.len() + 8);
        for (name, value) in passed {
            headers.append(name, value.clone());
        }
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.identify(headers, credentials);
        self.attempt(request).await
    }

    /// Asks for the account's models.
    ///
    /// # Errors
    ///
    /// What the backend answered instead, or that it did not.
    pub(super) async fn list_models(
        &self,
        credentials: &Credentials,
        client_version: &str,
        etag: Option<&HeaderValue>,
    ) -> Result<Response<AnswerBody>, Failed> {
        let mut request = Request::new(Bytes::new());
        let uri = format!("{}?client_version={client_version}", self.models);
        *request.uri_mut() = uri.parse().map_err(|_| Fault::Unreachable)?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(etag) = etag {
            headers.insert(http::header::IF_NONE_MATCH, etag.clone());
        }
        self.identify(headers, credentials);
        self.attempt(request).await
    }

    /// Says who we are. What a client sent under these names never gets this far.
    fn identify(&self, headers: &mut HeaderMap, credentials: &Credentials) {
        headers.insert(AUTHORIZATION, credentials.authorization().clone());
        if let Some(account) = credentials.account_id() {
            headers.insert(ACCOUNT_ID, account.clone());
        }
        headers.insert(USER_AGENT, self.user_agent.clone());
        headers.insert(ORIGINATOR, self.originator.clone());
    }

    async fn attempt(&self, request: Request<Bytes>) -> Result<Response<AnswerBody>, Failed> {
        let begun = clock::monotonic();
        let sent = tokio::time::timeout(self.header_timeout, self.http.request(request)).await;
        let answer = match sent {
            Err(_) => return Err(Fault::TimedOut.into()),
            Ok(Err(error)) => return Err(broken(&error, begun)),
            Ok(Ok(answer)) => answer,
        };
        let status = answer.status();
        if status.is_success() || status == http::StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        if status.is_redirection() {
            tracing::warn!(%status, "the backend redirects; redirects are not followed");
            return Err(Fault::Server { status: status.as_u16(), message: None }.into());
        }
        let retry_after = retry_after(answer.headers());
        let (head, body) = answer.into_parts();
        let body = error_body(body).await;
        let fault = Fault::of_answer(status.as_u16(), retry_after, &body);
        tracing::debug!(%status, kind = kind(&fault), "the backend answered with an error");
        Err(Failed { headers: head.headers, ..fault.into() })
    }
}

/// An attempt without a good answer.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    /// What went wrong.
    pub(crate) fault: Fault,
    /// The head of the backend's answer, if it gave one.
    pub(crate) headers: HeaderMap,
    /// What the backend has seen of the request.
    pub(crate) seen: Seen,
    /// What the attempt has cost.
    pub(crate) usage: Usage,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { fault, headers: HeaderMap::new(), seen: Seen::Perhaps, usage: Usage::default() }
    }
}

/// How long an answer tells to wait, in seconds: a number, the moment at which to come back, or
/// milliseconds.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<u64> {
    const DATES: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    let text = |name| Some(headers.get(name)?.to_str().ok()?.trim());
    let Some(value) = text(RETRY_AFTER) else {
        return Some(text(RETRY_AFTER_MS)?.parse::<u64>().ok()?.div_ceil(1000));
    };
    value.parse().ok().or_else(|| {
        let at = DATES.parse_timestamp(value).ok()?.as_second();
        u64::try_from(at).ok().map(|at| at.saturating_sub(clock::unix_seconds()))
    })
}

/// A connection that failed, before or while the request was under way.
fn broken(error: &connect::Error, begun: Instant) -> Failed {
    if let Some(cause) = error.connect() {
        tracing::warn!("no connection to the backend: {cause}");
        return Fault::Unreachable.into();
    }
    tracing::warn!("the connection to the backend broke before an answer");
    let seen = error.seen(begun);
    Failed { seen, ..Fault::Broken(godex_core::codex::fault::Break::Cut).into() }
}

async fn error_body(body: AnswerBody) -> Bytes {
    let mut collected = BytesMut::new();
    let mut body = Limited::new(body, ERROR_BODY);
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                collected.extend_from_slice(&data);
            }
        }
    };
    // What has come by then is enough to tell the kind of error.
    let _ = tokio::time::timeout(ERROR_BODY_TIME, read).await;
    collected.freeze()
}

/// The kind of a fault, without any words of the backend, for logs.
pub(crate) fn kind(fault: &Fault) -> &'static str {
    match fault {
        Fault::Unauthorized => "unauthorized",
        Fault::Blocked => "blocked",
        Fault::PlanSpent(_) => "usage_limit_reached",
        Fault::PlanExcludes { .. } => "usage_not_included",
        Fault::RateLimited { .. } => "rate_limit_exceeded",
        Fault::Overloaded { .. } => "overloaded",
        Fault::Refused(Refusal { status: 404, .. }) => "not_found",
        Fault::Refused(_) => "refused",
        Fault::Server { .. } => "server_error",
        Fault::Unreachable => "unreachable",
        Fault::TimedOut => "timeout",
        Fault::Broken(_) => "broken",
    }
}
