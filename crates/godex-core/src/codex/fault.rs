//! What the backend can do wrong, read once from its answers and its streams. How a fault
//! looks to a client is decided elsewhere. Source: `docs/wire.md#errors`.

use std::fmt;

use serde_json::Value;

/// How much of the backend's words is passed on, in characters.
const LONGEST_MESSAGE: usize = 2_000;

/// A request that got no good answer.
#[derive(Clone, PartialEq)]
pub enum Fault {
    /// The backend does not accept our token.
    Unauthorized,
    /// Something in front of the backend, Cloudflare as a rule, does not let us through.
    Blocked,
    /// A window of the plan is spent.
    PlanSpent(PlanSpent),
    /// The plan does not include what was asked for.
    PlanExcludes {
        /// The backend's words.
        message: String,
        /// The backend's code.
        code: &'static str,
    },
    /// Too many requests for the moment.
    RateLimited {
        /// The backend's words.
        message: String,
        /// How long to wait, in seconds, if the backend said so.
        retry_after: Option<u64>,
    },
    /// Too much load for the moment.
    Overloaded {
        /// The backend's words.
        message: String,
        /// How long to wait, in seconds, if the backend said so.
        retry_after: Option<u64>,
    },
    /// The request itself is at fault: the backend's own words and status.
    Refused(Refusal),
    /// The backend failed.
    Server {
        /// Its status, or 200 when it failed inside a stream.
        status: u16,
        /// Its words, when they were meant for a client.
        message: Option<String>,
    },
    /// No connection.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// The stream ended before its last event, or was no stream.
    Broken(Break),
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized => f.write_str("Unauthorized"),
            Self::Blocked => f.write_str("Blocked"),
            Self::PlanSpent(spent) => write!(f, "{spent:?}"),
            Self::PlanExcludes { .. } => f.write_str("PlanExcludes"),
            Self::RateLimited { retry_after, .. } => write!(f, "RateLimited({retry_after:?})"),
            Self::Overloaded { retry_after, .. } => write!(f, "Overloaded({retry_after:?})"),
            Self::Refused(refusal) => write!(f, "Refused({refusal:?})"),
            Self::Server { status, .. } => write!(f, "Server({status})"),
            Self::Unreachable => f.write_str("Unreachable"),
            Self::TimedOut => f.write_str("TimedOut"),
            Self::Broken(how) => write!(f, "Broken({how:?})"),
        }
    }
}

/// A window of the plan is spent.
#[derive(Clone, PartialEq, Default)]
pub struct PlanSpent {
    /// The backend's words.
    pub message: String,
    /// When the window opens again, in seconds of Unix time.
    pub resets_at: Option<u64>,
    /// The same as a distance from the answer, in seconds.
    pub resets_in: Option<u64>,
    /// The plan, such as `plus`.
    pub plan: Option<String>,
}

shape!(PlanSpent, it => "PlanSpent({:?}, {:?})", it.resets_at, it.resets_in);

/// The request itself is at fault.
#[derive(Clone, PartialEq, Default)]
pub struct Refusal {
    /// 400, 403, 404, 413 or the like.
    pub status: u16,
    /// The backend's words.
    pub message: String,
    /// OpenAI's error code.
    pub code: Option<String>,
    /// The parameter at fault.
    pub param: Option<String>,
}

shape!(Refusal, it => "Refusal({}, {} bytes)", it.status, it.message.len());

/// How a stream broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The connection ended or failed before the last event.
    Cut,
    /// Nothing came for too long.
    Idle,
    /// One event was over the limit.
    TooLong,
    /// The answer was a page or something else that is no stream.
    NotAStream,
}

impl Fault {
    /// Reads an answer that is not 2xx. `retry_after` is the header, in seconds.
    pub fn of_answer(status: u16, retry_after: Option<u64>, body: &[u8]) -> Self {
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let Some(json) = json.filter(Value::is_object) else {
            return Self::of_wordless(status, retry_after, body);
        };
        let detail = json.get("detail");
        let places = [json.get("error"), detail.and_then(|it| it.get("error")), detail];
        let told =
            |it: &Value| ["message", "code", "type"].iter().any(|name| it.get(name).is_some());
        if let Some(error) = places.into_iter().flatten().find(|it| told(it)) {
            return Self::of_error(status, retry_after, error);
        }
        let message = words(json.get("detail").or_else(|| json.get("error")).unwrap_or(&json));
        let refusal = Refusal { status, message, code: None, param: None };
        Self::of_status(status, retry_after, refusal)
    }

    /// Reads the error of a `response.failed` or `error` event.
    pub fn of_event(error: &Value) -> Self {
        let status =
            error.get("status").and_then(Value::as_u64).and_then(|it| u16::try_from(it).ok());
        Self::of_error(status.unwrap_or(200), None, error)
    }

    fn of_error(status: u16, retry_after: Option<u64>, error: &Value) -> Self {
        let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str| {
            error.get(name).and_then(|it| it.as_u64().or_else(|| it.as_f64().map(whole)))
        };
        let message = cut(&text("message").unwrap_or_default());
        let (code, kind) = (text("code"), text("type"));
        let refusal =
            Refusal { status, message: message.clone(), code: code.clone(), param: text("param") };
        match code.as_deref().or(kind.as_deref()) {
            _ if kind.as_deref() == Some("usage_limit_reached")
                || code.as_deref() == Some("usage_limit_reached") =>
            {
                Self::PlanSpent(PlanSpent {
                    message,
                    resets_at: number("resets_at"),
                    resets_in: number("resets_in_seconds").or(retry_after),
                    plan: text("plan_type"),
                })
            }
            Some("usage_not_included") => {
                Self::PlanExcludes { message, code: "usage_not_included" }
            }
            Some("insufficient_quota") => {
                Self::PlanExcludes { message, code: "insufficient_quota" }
            }
            Some("rate_limit_exceeded") => Self::RateLimited { message, retry_after },
            Some("server_is_overloaded" | "slow_down") => Self::Overloaded { message, retry_after },
            Some("server_error") if status < 500 => Self::Server { status, message: Some(message) },
            Some(code) if status == 200 && is_the_requests_fault(code) => {
                Self::Refused(Refusal { status: 400, ..refusal })
            }
            Some(_) | None if status == 200 => {
                Self::Server { status, message: Some(message).filter(|it| !it.is_empty()) }
            }
            Some(_) | None => Self::of_status(status, retry_after, refusal),
        }
    }

    fn of_status(status: u16, retry_after: Option<u64>, refusal: Refusal) -> Self {
        match status {
            401 => Self::Unauthorized,
            429 => Self::RateLimited { message: refusal.message, retry_after },
            503 => Self::Overloaded { message: refusal.message, retry_after },
            400..500 => Self::Refused(refusal),
            _ => Self::Server { status, message: None },
        }
    }

    /// An answer that is no JSON: a page of something in between, or bare text.
    fn of_wordless(status: u16, retry_after: Option<u64>, body: &[u8]) -> Self {
        let page = looks_like_html(body);
        match status {
            403 if page => Self::Blocked,
            401 => Self::Unauthorized,
            429 => Self::RateLimited { message: String::new(), retry_after },
            503 => Self::Overloaded { message: String::new(), retry_after },
            400..500 => {
                let text = if page { "" } else { std::str::from_utf8(body).unwrap_or_default() };
                Self::Refused(Refusal {
                    status,
                    message: cut(text.trim()),
                    code: None,
                    param: None,
                })
            }
            _ => Self::Server { status, message: None },
        }
    }

    /// Whether the same request may well succeed right away, as long as nothing of an answer
    /// has reached the client.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Overloaded { .. } | Self::Unreachable => true,
            Self::Server { status, .. } => matches!(status, 200 | 500 | 502 | 504 | 520..=524),
            Self::Unauthorized
            | Self::Blocked
            | Self::PlanSpent(_)
            | Self::PlanExcludes { .. }
            | Self::RateLimited { .. }
            | Self::Refused(_)
            | Self::TimedOut
            | Self::Broken(_) => false,
        }
    }

    /// Whether the backend says that it does not serve the model.
    pub fn is_unknown_model(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.message.contains("model is not supported"))
    }
}

/// Whether a code that came inside a stream blames the request. All others are the backend's:
/// the same request may succeed later.
fn is_the_requests_fault(code: &str) -> bool {
    const CODES: &[&str] =
        &["context_length_exceeded", "cyber_policy", "string_above_max_length", "model_not_found"];
    CODES.contains(&code)
        || ["invalid_", "unsupported_", "unknown_", "missing_", "image_"]
            .iter()
            .any(|family| code.starts_with(family))
}

/// Whether bytes look like a page for people.
pub fn looks_like_html(body: &[u8]) -> bool {
    let begins = |with: &[u8]| {
        body.trim_ascii_start().get(..with.len()).is_some_and(|it| it.eq_ignore_ascii_case(with))
    };
    begins(b"<!doctype") || begins(b"<html") || begins(b"<head")
}

/// The words of a `detail`, which is a string, a list of `{msg}` or an object.
fn words(detail: &Value) -> String {
    match detail {
        Value::String(text) => cut(text),
        Value::Array(list) => {
            let messages = list.iter().map(|it| it.get("msg").map_or_else(|| words(it), words));
            cut(&messages.collect::<Vec<_>>().join("; "))
        }
        Value::Object(object) => match object.get("message").or_else(|| object.get("msg")) {
            Some(message) => words(message),
            None => cut(&detail.to_string()),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => cut(&detail.to_string()),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_MESSAGE).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds; out of range saturates"
)]
fn whole(seconds: f64) -> u64 {
    seconds.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_faults() {
        #[track_caller]
        fn check(status: u16, body: &str, expected: &str) {
            let fault = Fault::of_answer(status, Some(7), body.as_bytes());
            assert_eq!(
                format!("{fault:?}").split([' ', '(']).next().unwrap(),
                expected,
                "{fault:?}"
            );
        }
        check(401, r#"{"detail":"Unauthorized"}"#, "Unauthorized");
        check(401, r#"{"error":{"code":"token_expired","message":"x"}}"#, "Unauthorized");
        check(403, "<!DOCTYPE html><html>Just a moment...</html>", "Blocked");
        check(403, r#"{"detail":"no"}"#, "Refused");
        check(
            429,
            r#"{"error":{"type":"usage_limit_reached","message":"m","resets_at":9}}"#,
            "PlanSpent",
        );
        check(429, r#"{"error":{"type":"usage_not_included"}}"#, "PlanExcludes");
        check(429, r#"{"error":{"code":"insufficient_quota"}}"#, "PlanExcludes");
        check(
            429,
            r#"{"detail":{"type":"usage_limit_reached","resets_in_seconds":9}}"#,
            "PlanSpent",
        );
        check(400, r#"{"detail":{"message":"long","code":"c"}}"#, "Refused");
        check(400, r#"{"detail":{"error":{"message":"long"}}}"#, "Refused");
        check(400, r#"{"detail":{"msg":"long"}}"#, "Refused");
        check(429, r#"{"error":{"code":"rate_limit_exceeded"}}"#, "RateLimited");
        check(429, "slow", "RateLimited");
        check(503, r#"{"error":{"code":"server_is_overloaded"}}"#, "Overloaded");
        check(503, "upstream connect error", "Overloaded");
        check(500, "{}", "Server");
        check(502, "<html></html>", "Server");
        check(400, r#"{"detail":[{"msg":"a"},{"msg":"b"}]}"#, "Refused");
        check(404, r#"{"error":{"message":"Item with id 'rs_x' not found."}}"#, "Refused");
    }

    #[test]
    fn the_backends_words_are_kept_and_pages_are_not() {
        let message = |status, body: &str| {
            let fault = Fault::of_answer(status, None, body.as_bytes());
            let Fault::Refused(refusal) = fault else { panic!("{fault:?}") };
            refusal.message
        };
        assert_eq!(message(400, r#"{"detail":[{"msg":"a"},{"msg":"b"}]}"#), "a; b");
        assert_eq!(
            message(400, r#"{"detail":"Store must be set to false"}"#),
            "Store must be set to false"
        );
        assert_eq!(message(404, "<html>secret</html>"), "");
        assert_eq!(message(400, "plain words"), "plain words");
    }

    #[test]
    fn errors_inside_a_stream_are_read_the_same_way() {
        let fault = |json: &str| Fault::of_event(&serde_json::from_str(json).unwrap());
        assert!(fault(r#"{"code":"server_is_overloaded","message":"m"}"#).is_transient());
        assert!(fault(r#"{"code":"server_error","message":"m"}"#).is_transient());
        assert!(fault(r#"{"code":"something_new","message":"m"}"#).is_transient());
        let Fault::Refused(refusal) = fault(r#"{"code":"context_length_exceeded","message":"m"}"#)
        else {
            panic!()
        };
        assert_eq!(
            (refusal.status, refusal.code.as_deref()),
            (400, Some("context_length_exceeded"))
        );
        assert!(matches!(
            fault(r#"{"code":"usage_limit_reached","message":"m"}"#),
            Fault::PlanSpent(_)
        ));
    }
}
