//! Rules about request headers and the lite dialect.

use super::*;

/// The status that a good call gets after one header is changed, or taken away.
fn status(name: &'static str, value: Option<&str>) -> u16 {
    let mut headers = good_headers();
    match value {
        Some(value) => headers.insert(name, value.parse().unwrap()),
        None => headers.remove(name),
    };
    check(&headers, &with(json!({}))).map_or_else(|it| it.status.as_u16(), |()| 200)
}

#[test]
fn a_library_by_its_default_name_meets_the_bot_protection() {
    for agent in [
        Some("curl/8.5.0"),
        Some("python-requests/2.32"),
        Some("OpenAI/Python 3.54.0"),
        Some("reqwest/0.13"),
        Some("hyper/1"),
        Some("node"),
        Some(""),
        None,
    ] {
        assert_eq!(status("user-agent", agent), 403, "{agent:?}");
    }
    for agent in ["godex/0.1.0 (linux; x86_64)", "codex_cli_rs/0.169.0 (Debian 13; x86_64)"] {
        assert_eq!(status("user-agent", Some(agent)), 200, "{agent}");
    }
    let mut headers = good_headers();
    headers.remove("user-agent");
    let refusal = check(&headers, &with(json!({}))).unwrap_err();
    assert!(refusal.content_type.starts_with("text/html"));
    assert!(refusal.headers.contains(&("cf-mitigated", "challenge".to_owned())));
}

#[test]
fn a_caller_shows_a_token_an_account_and_an_originator() {
    for token in [None, Some("Basic abc"), Some("Bearer "), Some("token")] {
        assert_eq!(status("authorization", token), 401, "{token:?}");
    }
    assert_eq!(status("authorization", Some("bearer token")), 200);
    assert_eq!(status("chatgpt-account-id", None), 400);
    assert_eq!(status("originator", None), 400);
}

#[test]
fn the_exchange_is_json_in_and_events_out() {
    assert_eq!(status("accept", None), 400);
    assert_eq!(status("accept", Some("application/json")), 400);
    assert_eq!(status("content-type", None), 415);
    assert_eq!(status("content-type", Some("text/plain")), 415);
    assert_eq!(status("content-type", Some("application/json; charset=utf-8")), 200);
    for (encoding, expected) in [("identity", 200), ("zstd", 200), ("gzip", 415), ("br", 415)] {
        assert_eq!(status("content-encoding", Some(encoding)), expected, "{encoding}");
    }
}

#[test]
fn a_turn_state_must_come_from_here() {
    assert_eq!(status("x-codex-turn-state", Some("mock-turn-1")), 200);
    assert_eq!(status("x-codex-turn-state", Some("made-up")), 400);
}

#[test]
fn the_session_may_be_missing_but_that_is_noted() {
    assert_eq!(status("session-id", None), 200);
    let mut headers = good_headers();
    assert!(super::super::headers::advice(&headers).is_empty());
    headers.remove("session-id");
    assert_eq!(super::super::headers::advice(&headers).len(), 1);
    headers.insert("session_id", "s".parse().unwrap());
    assert!(super::super::headers::advice(&headers).is_empty());
}

#[test]
fn the_lite_dialect_has_its_own_demands() {
    let mut headers = good_headers();
    headers.insert("x-openai-internal-codex-responses-lite", "true".parse().unwrap());
    let message = |body: &Value| {
        let refusal = check(&headers, body).unwrap_err();
        let answer: Value = serde_json::from_str(&refusal.body).unwrap();
        answer["error"]["message"].as_str().unwrap().to_owned()
    };
    let tools = json!([{ "type": "function", "name": "f" }]);
    let body = |fields: Value| {
        let mut body = items(json!([
            { "type": "additional_tools", "role": "developer", "tools": tools },
        ]));
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    let reasoning = json!({ "context": "all_turns" });
    assert!(
        check(&headers, &body(json!({"reasoning": reasoning, "parallel_tool_calls": false})))
            .is_ok()
    );
    assert_eq!(
        message(&body(json!({ "parallel_tool_calls": false }))),
        "X-OpenAI-Internal-Codex-Responses-Lite requires `reasoning.context` to be `all_turns`."
    );
    for parallel in [
        json!({ "reasoning": reasoning }),
        json!({ "reasoning": reasoning, "parallel_tool_calls": true }),
    ] {
        assert_eq!(
            message(&body(parallel)),
            "X-OpenAI-Internal-Codex-Responses-Lite requires `parallel_tool_calls` to be `false`."
        );
    }
}
