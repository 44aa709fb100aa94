//! Headers that are not ours: the few of the Codex CLI that go to the backend untouched, and
//! the few of the backend that come back. Source: `docs/wire.md#headers`.

use godex_core::codex::draft::Dialect;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName};

use super::answer;

const LITE: HeaderName = HeaderName::from_static("x-openai-internal-codex-responses-lite");

/// What the Codex CLI tells the backend.
static FROM_CODEX: [HeaderName; 8] = [
    LITE,
    HeaderName::from_static("x-codex-turn-state"),
    HeaderName::from_static("x-codex-turn-metadata"),
    HeaderName::from_static("x-codex-beta-features"),
    HeaderName::from_static("x-codex-window-id"),
    HeaderName::from_static("x-client-request-id"),
    HeaderName::from_static("thread-id"),
    HeaderName::from_static("session-id"),
];

/// What the backend tells about itself, besides everything that begins with `x-codex-`.
const TO_CLIENT: &[&str] = &["x-models-etag", MODEL];
/// Which model answers. The Codex CLI warns of a flagged account when it is not the one asked for.
const MODEL: &str = "openai-model";

/// Names of sessions that clients send as headers, in the order of preference.
static SESSIONS: [HeaderName; 4] = [
    HeaderName::from_static("session-id"),
    HeaderName::from_static("session_id"),
    HeaderName::from_static("x-session-id"),
    HeaderName::from_static("x-session-affinity"),
];
const OPENCLAW_SESSION: HeaderName = HeaderName::from_static("x-openclaw-session-key");
const ORIGINATOR: HeaderName = HeaderName::from_static("originator");

/// Who speaks. The Codex CLI says so in `originator` and `user-agent`, whatever it is asked to
/// do, and marks its own dialect by a header.
pub(super) fn dialect(headers: &HeaderMap) -> Dialect {
    let codex = |name: HeaderName| {
        headers.get(name).is_some_and(|value| value.as_bytes().starts_with(b"codex"))
    };
    if headers.contains_key(LITE) || codex(ORIGINATOR) || codex(USER_AGENT) {
        Dialect::Codex
    } else {
        Dialect::Standard
    }
}

/// The headers that go to the backend.
pub(super) fn upstream(headers: &HeaderMap, dialect: Dialect) -> HeaderMap {
    let mut passed = HeaderMap::new();
    if dialect == Dialect::Codex {
        for name in &FROM_CODEX {
            if let Some(value) = headers.get(name) {
                passed.insert(name.clone(), value.clone());
            }
        }
    }
    passed
}

/// A model that the client knows under another name.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// As it was sent.
    pub(super) upstream: String,
    /// As the client asked for it.
    pub(super) shown: String,
}

/// Adds the headers that come back. Where the model that was sent answers, it does so under the
/// name that the client asked for; any other is told as it is.
pub(super) fn downstream(from: &HeaderMap, to: &mut HeaderMap, model: Option<&Named>) {
    for (name, value) in from {
        let asked_for = model.filter(|it| name == MODEL && value == it.upstream.as_str());
        if let Some(model) = asked_for {
            answer::set(to, HeaderName::from_static(MODEL), &model.shown);
        } else if name.as_str().starts_with("x-codex-") || TO_CLIENT.contains(&name.as_str()) {
            to.append(name, value.clone());
        }
    }
}

/// The session a client names in a header of the mission's.
pub(super) fn openclaw_session(headers: &HeaderMap) -> Option<&str> {
    text(headers, &OPENCLAW_SESSION)
}

/// The session a client names in a header of its own.
pub(super) fn session(headers: &HeaderMap) -> Option<&str> {
    SESSIONS.iter().find_map(|name| text(headers, name))
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::trim)
        .filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_codex_cli_is_known_by_its_headers() {
        assert_eq!(dialect(&headers(&[("originator", "codex_exec")])), Dialect::Codex);
        assert_eq!(
            dialect(&headers(&[("user-agent", "codex_cli_rs/0.169.0 (x)")])),
            Dialect::Codex
        );
        assert_eq!(
            dialect(&headers(&[("x-openai-internal-codex-responses-lite", "true")])),
            Dialect::Codex
        );
        assert_eq!(dialect(&headers(&[("user-agent", "OpenAI/Python 3.54.0")])), Dialect::Standard);
    }

    #[test]
    fn only_the_listed_headers_pass_and_only_from_codex() {
        let sent = headers(&[
            ("originator", "codex_exec"),
            ("session-id", "s"),
            ("authorization", "Bearer x"),
            ("x-evil", "1"),
        ]);
        let passed = upstream(&sent, Dialect::Codex);
        assert_eq!(passed.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["session-id"]);
        assert!(upstream(&sent, Dialect::Standard).is_empty());
    }

    #[test]
    fn the_backends_news_come_back_and_nothing_else() {
        let named = Named { upstream: "m".into(), shown: "mine".into() };
        let mut to = HeaderMap::new();
        downstream(
            &headers(&[
                ("x-codex-primary-used-percent", "7"),
                ("openai-model", "m"),
                ("set-cookie", "c"),
                ("cf-ray", "r"),
            ]),
            &mut to,
            Some(&named),
        );
        assert_eq!(to.len(), 2);
        assert_eq!(to["openai-model"], "mine");
        downstream(&headers(&[("openai-model", "other")]), &mut to, Some(&named));
        let told: Vec<_> = to.get_all("openai-model").iter().collect();
        assert_eq!(told, ["mine", "other"]);
    }
}
