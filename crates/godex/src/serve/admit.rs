//! Who calls: the key in the head of a request, before anything of its body is read.

use std::sync::Arc;

use godex_core::key::KeyHash;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use super::error::ApiError;
use super::state::App;
use crate::clock;
use crate::store::keys::Key;

/// The key a request presents. One with a quota may have to wait right after a start, until what
/// it spent before is counted.
///
/// # Errors
///
/// When it presents none, or none that opens the door. Unknown, revoked and expired keys get
/// the same answer.
pub(super) async fn caller(app: &App, headers: &HeaderMap) -> Result<Arc<Key>, ApiError> {
    let presented = presented(headers).ok_or(ApiError::NoKey)?;
    let key = app.keys.resolve(&KeyHash::of(presented), clock::timestamp());
    let key = key.ok_or(ApiError::WrongKey)?;
    if app.admission.has_quota(&key) {
        app.past_known().await;
    }
    Ok(key)
}

/// Whether a key may pay for what the head announces. A token that was made up proves nothing,
/// so its request must be one that no page can send without being asked about first.
///
/// # Errors
///
/// When it is none of those.
pub(super) fn announced(key: &Key, headers: &HeaderMap) -> Result<(), ApiError> {
    if key.id.is_token() && !headers.get(CONTENT_TYPE).is_some_and(is_json) {
        return Err(ApiError::NotJson);
    }
    Ok(())
}

fn is_json(value: &HeaderValue) -> bool {
    let kind = value.as_bytes().split(|it| *it == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

/// `Authorization: Bearer`, in any case, else `x-api-key`.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer =
        headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
            let (scheme, key) = value.trim_start().split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
        });
    let plain = || headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim);
    bearer.or_else(plain).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_announced_with_or_without_parameters() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/json ;x", true),
            ("application/jsonx", false),
            ("text/plain", false),
            ("text/plain;application/json", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            assert_eq!(is_json(&value.parse().unwrap()), expected, "{value}");
        }
    }

    #[test]
    fn a_key_is_presented_as_bearer_in_any_case_or_as_x_api_key() {
        #[track_caller]
        fn check(name: &'static str, value: &str, expected: Option<&str>) {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            assert_eq!(presented(&headers), expected);
        }
        check("authorization", "Bearer k", Some("k"));
        check("authorization", "bEARER   k ", Some("k"));
        check("authorization", "Basic k", None);
        check("authorization", "k", None);
        check("authorization", "Bearer ", None);
        check("x-api-key", "k", Some("k"));
    }
}
