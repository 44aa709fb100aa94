//! The answers that say no, in the words of the backend (`docs/wire.md`, errors).

use http::StatusCode;
use serde_json::{Value, json};

/// An answer that is not a stream: what was refused and how it looks on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// Value of `content-type`.
    pub content_type: &'static str,
    /// Further response headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body as it goes over the wire.
    pub body: String,
}

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=UTF-8";

impl Refusal {
    /// A gateway error: `{"detail": ...}` with status 400.
    pub(crate) fn detail(text: impl Into<String>) -> Self {
        Self::gateway(StatusCode::BAD_REQUEST, Value::String(text.into()))
    }

    /// A gateway error with any status and any form of detail.
    pub(crate) fn gateway(status: StatusCode, detail: impl Into<Value>) -> Self {
        Self::json(status, &json!({ "detail": detail.into() }))
    }

    /// An API error of status 400 about one parameter.
    pub(crate) fn parameter(param: &str, code: Option<&str>, message: impl Into<String>) -> Self {
        let error = json!({
            "message": message.into(),
            "type": "invalid_request_error",
            "param": param,
            "code": code,
        });
        Self::json(StatusCode::BAD_REQUEST, &json!({ "error": error }))
    }

    /// An API error that is known by its code.
    pub(crate) fn code(status: StatusCode, kind: &str, code: &str, message: &str) -> Self {
        let error = json!({ "message": message, "type": kind, "param": null, "code": code });
        Self::json(status, &json!({ "error": error }))
    }

    /// Any JSON answer.
    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        Self { status, content_type: JSON, headers: Vec::new(), body: body.to_string() }
    }

    /// A plain text answer, as load balancers give it.
    pub(crate) fn text(status: StatusCode, body: &str) -> Self {
        Self { status, content_type: "text/plain", headers: Vec::new(), body: body.to_owned() }
    }

    /// The page of the bot protection in front of the backend.
    pub(crate) fn cloudflare() -> Self {
        let page = "<!DOCTYPE html><html><head><title>Just a moment...</title></head>\
                    <body><noscript>Enable JavaScript and cookies to continue</noscript></body></html>";
        let mut refusal = Self::html(StatusCode::FORBIDDEN, page);
        refusal.headers.push(("cf-mitigated", "challenge".to_owned()));
        refusal.headers.push(("server", "cloudflare".to_owned()));
        refusal
    }

    /// A web page where an API answer was due.
    pub(crate) fn html(status: StatusCode, page: &str) -> Self {
        Self { status, content_type: HTML, headers: Vec::new(), body: page.to_owned() }
    }

    /// No token, or one that cannot be read.
    pub(crate) fn unauthorized() -> Self {
        Self::gateway(StatusCode::UNAUTHORIZED, "Unauthorized")
    }

    /// A required parameter is not there.
    pub(crate) fn missing(param: &str) -> Self {
        let message = format!("Missing required parameter: '{param}'.");
        Self::parameter(param, Some("missing_required_parameter"), message)
    }

    /// A parameter nobody knows at this place.
    pub(crate) fn unknown(param: &str) -> Self {
        let message = format!("Unknown parameter: '{param}'.");
        Self::parameter(param, Some("unknown_parameter"), message)
    }

    /// A parameter of the wrong JSON type.
    pub(crate) fn wrong_type(param: &str, expected: &str, found: &Value) -> Self {
        let found = kind(found);
        let message =
            format!("Invalid type for '{param}': expected {expected}, but got {found} instead.");
        Self::parameter(param, Some("invalid_type"), message)
    }

    /// A value that is not one of a closed list.
    pub(crate) fn not_one_of(param: &str, found: &str, supported: &[&str]) -> Self {
        let supported = list(supported);
        let message = format!("Invalid value: '{found}'. Supported values are: {supported}.");
        Self::parameter(param, Some("invalid_value"), message)
    }

    /// A string over its limit.
    pub(crate) fn too_long(param: &str, limit: usize, length: usize) -> Self {
        let message = format!(
            "Invalid '{param}': string too long. Expected a string with maximum length {limit}, \
             but got a string with length {length} instead."
        );
        Self::parameter(param, Some("string_above_max_length"), message)
    }

    /// The text a reader of the record sees.
    pub(crate) fn summary(&self) -> String {
        format!("{} {}", self.status.as_u16(), self.body)
    }
}

/// How the backend names the JSON type of a value.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// `'a'`, `'a' and 'b'`, `'a', 'b', and 'c'`.
pub(crate) fn list(values: &[&str]) -> String {
    match values {
        [] => String::new(),
        [only] => format!("'{only}'"),
        [first, second] => format!("'{first}' and '{second}'"),
        [head @ .., last] => {
            let head: Vec<String> = head.iter().map(|it| format!("'{it}'")).collect();
            format!("{}, and '{last}'", head.join(", "))
        }
    }
}
