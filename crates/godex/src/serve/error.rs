//! All errors a client can get, and the one table that says how they look: as the status and
//! body of an answer, or inside a stream that is already open.

mod elsewhere;

use std::fmt;
use std::time::Duration;

use godex_core::codex::catalogue::UnknownModel;
use godex_core::codex::fault::{Break, Fault, PlanSpent};
use godex_core::codex::refused::Refused;
use godex_core::json::{Malformed, Writer};
use http::header::{ACCEPT_ENCODING, ALLOW, CONNECTION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::answer::{self, AnswerBody};
use super::{encoding, passed};
use crate::auth;
use crate::clock;
use crate::limits::{Denied, headers};
use crate::upstream::backend::retry_after;
use crate::upstream::open::Problem;

/// Past this, SDKs must not wait by themselves: openai-node would sleep for days.
const LONGEST_PATIENCE: Duration = Duration::from_secs(20);

/// Why a client does not get what it asked for.
pub(super) enum ApiError {
    /// No key in the request.
    NoKey,
    /// A key that opens nothing.
    WrongKey,
    /// A body that is no JSON object.
    Malformed(Malformed),
    /// A parameter that cannot be carried.
    Refused(Refused),
    /// A body over the limit, in bytes.
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// A body that came too slowly.
    TooSlow,
    /// A body in an encoding that is not read.
    Encoding(String),
    /// A body that is not what its encoding says.
    Garbled(&'static str),
    /// The client left; nobody reads the answer.
    ClientGone,
    /// A body that is not announced as JSON, from a token that was made up.
    NotJson,
    /// Something that is no request.
    NoRequest,
    /// A first line that is too long.
    LineTooLong,
    /// A head that is too large.
    HeadTooLarge,
    /// A head with no host, with several, or with one that cannot be one.
    NoHost,
    /// A host that is not served.
    WrongHost(String),
    /// A page that may not call.
    Origin(String),
    /// No such path.
    NoRoute(String),
    /// No such method on this path; what there is.
    NoMethod(&'static str),
    /// The account has no such model.
    NoModel(UnknownModel),
    /// The key may not ask for this model.
    ModelNotAllowed(String),
    /// The key's rate or quota.
    Denied(Box<Denied>),
    /// The backend or our login.
    Problem(Box<Problem>),
    /// The proxy is ending.
    Draining,
    /// A bug of ours.
    Panic,
}

impl fmt::Debug for ApiError {
    /// Its place in the table: what a client has said is nobody else's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiError({:?})", self.look())
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Malformed> for ApiError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        Self::Problem(Box::new(Problem::from(fault)))
    }
}

/// How an error looks.
#[derive(Clone, PartialEq)]
pub(super) struct Look {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) code: Option<String>,
    pub(super) param: Option<String>,
    pub(super) message: String,
    /// How long to wait before trying again.
    pub(super) wait: Option<Duration>,
    /// What SDKs shall do, where the status alone would mislead them.
    pub(super) retry: Option<bool>,
    /// When the plan's window opens again, in seconds of Unix time.
    pub(super) resets_at: Option<u64>,
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.kind)
    }
}

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";

fn look(status: u16, kind: &'static str, code: &str, message: impl Into<String>) -> Look {
    let code = Some(code.to_owned()).filter(|code| !code.is_empty());
    Look {
        status,
        kind,
        code,
        param: None,
        message: message.into(),
        wait: None,
        retry: None,
        resets_at: None,
    }
}

impl ApiError {
    /// The table.
    #[rustfmt::skip]
    pub(super) fn look(&self) -> Look {
        match self {
            Self::NoKey => look(401, INVALID, "invalid_api_key",
                "No API key was given. Send the header 'Authorization: Bearer <key>'; `godex proxy keys add` makes a key."),
            Self::WrongKey => look(401, INVALID, "invalid_api_key",
                "Incorrect API key provided: it is unknown here, revoked or expired. `godex proxy keys list` shows the keys there are."),
            Self::Malformed(malformed) => look(400, INVALID, "invalid_json",
                format!("The body is not a JSON object that can be read: {malformed}.")),
            Self::Refused(refused) => Look {
                param: Some(refused.param.clone()),
                ..look(400, INVALID, refused.code.unwrap_or("invalid_value"), refused.message.clone())
            },
            Self::TooLarge { limit } => look(413, INVALID, "request_too_large",
                format!("The body is larger than {limit} bytes. The proxy's flag --max-body sets the limit.")),
            Self::TooSlow => look(408, INVALID, "request_timeout", "The body did not arrive in time."),
            Self::Encoding(encoding) => look(415, INVALID, "unsupported_content_encoding",
                format!("Bodies with the content encoding '{}' are not read. These are, one at a time: {}.", printable(encoding), encoding::ACCEPTED)),
            Self::Garbled(encoding) => look(400, INVALID, "invalid_content_encoding",
                format!("The body is not what its content encoding '{encoding}' says, or was cut off.")),
            Self::NotJson => look(415, INVALID, "unsupported_media_type",
                "With --allow-any-key a request needs the header 'Content-Type: application/json', which no web page can send unasked."),
            Self::NoRequest => look(400, INVALID, "malformed_request",
                "This is no HTTP request that can be read. The proxy speaks HTTP/1.1."),
            Self::LineTooLong => look(414, INVALID, "uri_too_long", "The address of the request is too long."),
            Self::HeadTooLarge => look(431, INVALID, "request_header_fields_too_large",
                "The headers are larger than 64 KiB in all, or more than 100."),
            Self::NoHost => look(400, INVALID, "invalid_host",
                "A request names its host once: one header 'Host' with a name or an address."),
            Self::WrongHost(host) => {
                let host = printable(host);
                look(421, INVALID, "misdirected_request",
                    format!("The host '{host}' is not served here. If clients shall reach the proxy by it: godex proxy --allowed-host {host}"))
            }
            Self::Origin(origin) if origin == "null" => look(403, INVALID, "origin_not_allowed",
                "Pages without an origin (files, sandboxed frames) may not use this proxy. Serve the page from an origin of its own and allow that with --cors-origin."),
            Self::Origin(origin) => {
                let origin = printable(origin);
                look(403, INVALID, "origin_not_allowed",
                    format!("Pages of '{origin}' may not use this proxy. To let them: godex proxy --cors-origin {origin}"))
            }
            Self::ClientGone => look(400, INVALID, "incomplete_body", "The body ended before it was complete."),
            Self::NoRoute(path) => look(404, INVALID, "unknown_url",
                format!("Unknown request URL: {}. {}", printable(path), elsewhere::advice(path))),
            Self::NoMethod(allowed) => look(405, INVALID, "method_not_allowed",
                format!("This URL answers to {allowed} only.")),
            Self::NoModel(unknown) => Look {
                param: Some("model".to_owned()),
                ..look(404, INVALID, "model_not_found", printable(&unknown.to_string()))
            },
            Self::ModelNotAllowed(model) => Look {
                param: Some("model".to_owned()),
                ..look(404, INVALID, "model_not_found",
                    format!("This API key may not use the model `{}`.", printable(model)))
            },
            Self::Denied(denied) => denied_look(denied),
            Self::Problem(problem) => problem_look(problem),
            Self::Draining => Look {
                wait: Some(Duration::from_secs(1)),
                ..look(503, "service_unavailable_error", "shutting_down", "The proxy is shutting down.")
            },
            Self::Panic => look(500, SERVER, "internal_error",
                "The proxy failed on this request; its log says more. Please report it."),
        }
    }

    /// The body of the answer.
    pub(super) fn body(&self) -> String {
        self.look().body()
    }

    /// The error as an answer.
    pub(super) fn into_response(self) -> Response<AnswerBody> {
        let look = self.look();
        let status = StatusCode::from_u16(look.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = answer::json(status, look.body());
        let answer_headers = response.headers_mut();
        look.describe(answer_headers);
        match &self {
            Self::NoKey | Self::WrongKey => {
                answer_headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::NoMethod(allowed) => {
                answer_headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Encoding(_) => {
                let accepted = HeaderValue::from_static(encoding::ACCEPTED);
                answer_headers.insert(ACCEPT_ENCODING, accepted);
            }
            Self::Denied(denied) => {
                headers::describe(denied.state(), clock::timestamp(), answer_headers);
            }
            Self::Problem(problem) => {
                if let Problem::Fault(_, told, _) = problem.as_ref() {
                    passed::downstream(told, answer_headers, None);
                }
            }
            // What is left of the body may never come, or be read by others in another way.
            Self::TooSlow
            | Self::ClientGone
            | Self::Draining
            | Self::HeadTooLarge
            | Self::NoRequest => {
                answer_headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Malformed(_)
            | Self::Refused(_)
            | Self::TooLarge { .. }
            | Self::Garbled(_)
            | Self::NotJson
            | Self::LineTooLong
            | Self::NoHost
            | Self::WrongHost(_)
            | Self::Origin(_)
            | Self::NoRoute(_)
            | Self::NoModel(_)
            | Self::ModelNotAllowed(_)
            | Self::Panic => {}
        }
        response
    }
}

impl Look {
    fn body(&self) -> String {
        format!("{{\"error\":{}}}", self.json())
    }

    /// The error object.
    pub(super) fn json(&self) -> String {
        let mut writer = Writer::new(256);
        writer.string("message", &self.message);
        writer.string("type", self.kind);
        optional(&mut writer, "param", self.param.as_deref());
        optional(&mut writer, "code", self.code.as_deref());
        if let Some(at) = self.resets_at {
            writer.raw("resets_at", &at.to_string());
        }
        writer.finish_text()
    }

    fn describe(&self, to: &mut HeaderMap) {
        if let Some(wait) = self.wait {
            headers::retry_after(wait, to);
        }
        let long = self.wait.is_some_and(|wait| wait > LONGEST_PATIENCE);
        if let Some(retry) = self.retry.or(long.then_some(false)) {
            let value = HeaderValue::from_static(if retry { "true" } else { "false" });
            to.insert(HeaderName::from_static("x-should-retry"), value);
        }
    }
}

fn optional(writer: &mut Writer, name: &str, value: Option<&str>) {
    match value {
        Some(value) => writer.string(name, value),
        None => writer.raw(name, "null"),
    }
}

fn problem_look(problem: &Problem) -> Look {
    match problem {
        Problem::Fault(fault, told, _) => {
            let look = fault_look(fault);
            let wait = look.wait.or_else(|| retry_after(told).map(Duration::from_secs));
            Look { wait, ..look }
        }
        Problem::Login(error) => {
            let look = look(502, SERVER, "upstream_auth", login_words(error));
            match error {
                auth::Error::Unavailable { retry_after } => {
                    Look { wait: Some(*retry_after), ..look }
                }
                auth::Error::Missing { .. }
                | auth::Error::Unreadable { .. }
                | auth::Error::Malformed { .. }
                | auth::Error::ApiKey { .. }
                | auth::Error::Rejected(_) => Look { retry: Some(false), ..look },
            }
        }
    }
}

fn denied_look(denied: &Denied) -> Look {
    match denied {
        Denied::Rate { wait, state } => Look {
            wait: Some(*wait),
            ..look(
                429,
                "rate_limit_error",
                "rate_limit_exceeded",
                format!(
                    "Rate limit reached for this API key: the next request passes in {:.1} s. It may make {} at once.",
                    wait.as_secs_f64(),
                    state.requests.limit
                ),
            )
        },
        Denied::Quota { balance, .. } => {
            let reset = balance.resets_at;
            let until = reset.map_or_else(
                || "It does not come back by itself.".to_owned(),
                |at| format!("It comes back at {at}."),
            );
            let words = if balance.is_spent() {
                "is spent"
            } else {
                "has no room for this request beside those under way"
            };
            let spent = balance.is_spent();
            let until_reset = reset.map(|at| headers::until(at, clock::timestamp()));
            Look {
                // Tokens that are only held come back when a running request ends.
                wait: if spent { until_reset } else { Some(Duration::from_secs(1)) },
                retry: Some(!spent),
                ..look(
                    429,
                    "insufficient_quota",
                    "insufficient_quota",
                    format!(
                        "The token quota of this API key {words}: {} of {} tokens used. {until}",
                        balance.used, balance.limit
                    ),
                )
            }
        }
    }
}

#[rustfmt::skip]
fn fault_look(fault: &Fault) -> Look {
    match fault {
        Fault::Unauthorized => Look { retry: Some(false), ..look(502, SERVER, "upstream_auth", LOGIN_REFUSED) },
        Fault::Blocked => look(502, SERVER, "upstream_error",
            "Something in front of the Codex backend blocked the request (HTTP 403). This passes as a rule: try again later."),
        Fault::PlanSpent(spent) => spent_look(spent),
        Fault::PlanExcludes { message, code } => Look {
            retry: Some(false),
            ..look(429, "insufficient_quota", code, said(message, "The ChatGPT plan does not include this usage."))
        },
        Fault::RateLimited { message, retry_after } => Look {
            wait: retry_after.map(Duration::from_secs),
            ..look(429, "rate_limit_error", "rate_limit_exceeded", said(message, "The Codex backend asks for fewer requests."))
        },
        Fault::Overloaded { message, retry_after } => Look {
            wait: retry_after.map(Duration::from_secs),
            ..look(503, "service_unavailable_error", "server_is_overloaded", said(message, "The Codex backend is overloaded. Try again later."))
        },
        Fault::Refused(_) if fault.is_unknown_model() => refused_look(fault, 404, Some("model_not_found"), Some("model")),
        Fault::Refused(_) => refused_look(fault, 400, None, None),
        Fault::Server { status: 200, message } => look(502, SERVER, "upstream_error",
            said(message.as_deref().unwrap_or_default(), "The Codex backend failed. Try again.")),
        Fault::Server { status, .. } => look(502, SERVER, "upstream_error",
            format!("The Codex backend failed (HTTP {status}). Try again.")),
        Fault::Unreachable => look(502, SERVER, "upstream_error",
            "The Codex backend cannot be reached. Check the network of the machine that runs the proxy."),
        Fault::TimedOut => look(502, SERVER, "upstream_error", "The Codex backend did not answer in time."),
        Fault::Broken(Break::Cut) => look(502, SERVER, "upstream_error",
            "The answer of the Codex backend broke off before its end."),
        Fault::Broken(Break::Idle) => look(502, SERVER, "upstream_error",
            "The Codex backend fell silent in the middle of its answer."),
        Fault::Broken(Break::TooLong) => look(502, SERVER, "upstream_error",
            "The Codex backend sent an answer that is too long to pass on."),
        Fault::Broken(Break::NotAStream) => look(502, SERVER, "upstream_error",
            "The Codex backend answered with something that is no event stream."),
    }
}

fn refused_look(fault: &Fault, lowest: u16, code: Option<&str>, param: Option<&str>) -> Look {
    let Fault::Refused(refusal) = fault else { return look(502, SERVER, "upstream_error", "") };
    let code = code.map(str::to_owned).or_else(|| refusal.code.clone());
    Look {
        code,
        param: param.map(str::to_owned).or_else(|| refusal.param.clone()),
        ..look(
            refusal.status.clamp(lowest, 499),
            INVALID,
            "",
            said(&refusal.message, "The Codex backend refused the request."),
        )
    }
}

fn spent_look(spent: &PlanSpent) -> Look {
    let now = clock::unix_seconds();
    let resets_at = spent.resets_at.or(spent.resets_in.map(|it| now.saturating_add(it)));
    Look {
        wait: resets_at.map(|at| Duration::from_secs(at.saturating_sub(now).max(1))),
        retry: Some(false),
        resets_at,
        ..look(
            429,
            "insufficient_quota",
            "usage_limit_reached",
            said(&spent.message, "The usage limit of the ChatGPT plan has been reached."),
        )
    }
}

const LOGIN_REFUSED: &str = "The Codex backend refused the proxy's own ChatGPT login. On the machine that runs the proxy, log in again with `godex login` or `codex login`.";

/// What a client may know of our login: never a path, never a piece of a token.
fn login_words(error: &auth::Error) -> String {
    match error {
        auth::Error::Rejected(rejection) => format!("The proxy cannot use its own login: {rejection}."),
        auth::Error::Unavailable { .. } => format!("The proxy cannot use its own login: {error}."),
        auth::Error::Missing { .. }
        | auth::Error::Unreadable { .. }
        | auth::Error::Malformed { .. }
        | auth::Error::ApiKey { .. } => {
            "The proxy has no ChatGPT login that it can read. On the machine that runs it, log in with `godex login` or `codex login`.".to_owned()
        }
    }
}

/// The backend's own words, where it had any.
fn said(message: &str, otherwise: &str) -> String {
    if message.is_empty() { otherwise.to_owned() } else { message.to_owned() }
}

/// Text of a client without control characters, at a length that can be read.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}

#[cfg(test)]
mod tests;
