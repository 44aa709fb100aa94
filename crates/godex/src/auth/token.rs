//! What a token says about itself. Peeked at, never verified: the backend is the judge.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// The claim under which everything about the account hangs, see `docs/wire.md`.
const ACCOUNT_CLAIM: &str = "https://api.openai.com/auth";

/// The claims of a token that matter here; all of them may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// When the token ends, in seconds since the Unix epoch.
    pub(super) expires_at: Option<u64>,
    /// The `ChatGPT` account the token is for.
    pub(super) account_id: Option<String>,
    /// `plus`, `pro`, `team` ...
    pub(super) plan: Option<String>,
}

/// Reads the claims of `token`; of anything but a JWT there are none.
pub(super) fn peek(token: &str) -> Claims {
    let Some(claims) = payload(token) else {
        return Claims::default();
    };
    let account = claims.get(ACCOUNT_CLAIM);
    let text = |name| {
        let text = account?.get(name)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    Claims {
        expires_at: claims.get("exp").and_then(seconds),
        account_id: text("chatgpt_account_id"),
        plan: text("chatgpt_plan_type"),
    }
}

/// The address of the account, which only the id token has.
pub(super) fn email(token: &str) -> Option<String> {
    Some(payload(token)?.get("email")?.as_str()?.to_owned())
}

/// The last four characters of an id: enough to recognise one's own.
pub(super) fn tail(id: &str) -> String {
    id.chars().skip(id.chars().count().saturating_sub(4)).collect()
}

fn payload(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&json).ok()
}

/// A JSON number of seconds, which may be written with a fraction.
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let seconds = value.as_f64().filter(|it| it.is_finite() && *it >= 0.0)?;
        Some(std::time::Duration::try_from_secs_f64(seconds).ok()?.as_secs())
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A token with these claims and no signature worth the name.
    pub(in crate::auth) fn jwt(claims: &Value) -> String {
        let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = serde_json::json!({"alg": "none"});
        format!("{}.{}.c2ln", encode(&header), encode(claims))
    }

    #[test]
    fn a_token_tells_its_end_its_account_and_its_plan() {
        let token = jwt(&serde_json::json!({
            "exp": 1_795_000_000,
            ACCOUNT_CLAIM: {"chatgpt_account_id": "acc-1", "chatgpt_plan_type": "pro"},
        }));
        let expected = Claims {
            expires_at: Some(1_795_000_000),
            account_id: Some("acc-1".to_owned()),
            plan: Some("pro".to_owned()),
        };
        assert_eq!(peek(&token), expected);
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        #[track_caller]
        fn check(token: &str) {
            assert_eq!(peek(token), Claims::default());
        }
        check("");
        check("sk-not-a-jwt");
        check("a.b.c");
        check("a.!!!.c");
        check(&jwt(&serde_json::json!([])));
        check(&jwt(&serde_json::json!({"exp": "soon", ACCOUNT_CLAIM: {"chatgpt_account_id": ""}})));
        check(&jwt(&serde_json::json!({"exp": -1})));
        check(&jwt(&serde_json::json!({"exp": 1e300})));
    }

    #[test]
    fn an_end_with_a_fraction_and_a_padded_payload_are_read() {
        assert_eq!(peek(&jwt(&serde_json::json!({"exp": 17.9}))).expires_at, Some(17));
        let padded = jwt(&serde_json::json!({"exp": 7})).replacen(".c2ln", "==.c2ln", 1);
        assert_eq!(peek(&padded).expires_at, Some(7));
    }
}
