//! What becomes of a Responses request.

use super::*;
use crate::codex::outgoing::Settled;

const SETTLED: Settled<'static> = Settled {
    model: "gpt-5.5",
    effort: None,
    cache_key: "k",
    remembered: None,
    fallback: "Be helpful.",
};

fn sent(dialect: Dialect, body: &str, settled: Settled<'_>) -> (String, Vec<String>) {
    let object = Body::parse(body.as_bytes()).unwrap();
    let (_, draft) = read(&object, dialect, &Refusals::default()).unwrap();
    let body = draft.prepare(settled).body().to_vec();
    (String::from_utf8(body).unwrap(), draft.dropped)
}

#[track_caller]
fn check(body: &str, expected: &str) {
    assert_eq!(sent(Dialect::Standard, body, SETTLED).0, expected);
}

#[track_caller]
fn refused(body: &str, param: &str) {
    let object = Body::parse(body.as_bytes()).unwrap();
    let error = read(&object, Dialect::Standard, &Refusals::default()).unwrap_err();
    assert_eq!(error.param, param, "{error}");
}

const HI: &str =
    r#"[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]}]"#;
const TAIL: &str = r#""parallel_tool_calls":true,"include":["reasoning.encrypted_content"],"prompt_cache_key":"k","store":false,"stream":true"#;

#[test]
fn the_smallest_request_gets_all_that_codex_demands() {
    check(
        r#"{"model":"x","input":"hi"}"#,
        &format!(r#"{{"model":"gpt-5.5","input":{HI},"instructions":"Be helpful.",{TAIL}}}"#),
    );
}

#[test]
fn unknown_fields_go_as_they_are_and_in_order() {
    check(
        &format!(
            r#"{{"new_field":{{"a": 1.0}},"input":{HI},"client_metadata":{{"x":"y"}},"stream":true,"store":true}}"#
        ),
        &format!(
            r#"{{"new_field":{{"a": 1.0}},"input":{HI},"client_metadata":{{"x":"y"}},"stream":true,"store":false,"model":"gpt-5.5","instructions":"Be helpful.","parallel_tool_calls":true,"include":["reasoning.encrypted_content"],"prompt_cache_key":"k"}}"#
        ),
    );
}

#[test]
fn refused_fields_are_left_out_and_named() {
    let (body, dropped) = sent(
        Dialect::Standard,
        r#"{"input":"hi","temperature":0,"max_output_tokens":5,"user":"ann","metadata":null,"service_tier":"flex"}"#,
        SETTLED,
    );
    assert_eq!(dropped, ["temperature", "max_output_tokens", "user", "service_tier"]);
    for name in ["temperature", "max_output_tokens", "user\"", "metadata", "service_tier"] {
        assert!(!body.contains(&format!("\"{name}:")), "{body}");
    }
}

#[test]
fn leading_guidance_joins_the_instructions_and_later_guidance_stays_in_place() {
    let (body, _) = sent(
        Dialect::Standard,
        r#"{"instructions":"A","input":[{"role":"system","content":"B \"q\""},{"role":"developer","content":[{"type":"input_text","text":"C"}]},{"role":"user","content":"hi"},{"role":"system","content":"D"}]}"#,
        SETTLED,
    );
    assert!(body.contains(r#""instructions":"A\n\nB \"q\"\n\nC""#), "{body}");
    assert!(
        body.contains(r#""role":"developer","content":[{"type":"input_text","text":"D"}]"#),
        "{body}"
    );
    assert!(!body.contains(r#""role":"system""#), "{body}");
}

#[test]
fn guidance_alone_stays_in_the_input_as_its_last_word() {
    let (body, _) = sent(
        Dialect::Standard,
        r#"{"input":[{"role":"system","content":"A"},{"role":"system","content":"B"}]}"#,
        SETTLED,
    );
    assert!(body.contains(r#""instructions":"A""#), "{body}");
    assert!(body.contains(r#""input":[{"type":"message","role":"developer","content":[{"type":"input_text","text":"B"}]}]"#), "{body}");
}

#[test]
fn instructions_come_from_the_request_then_the_session_then_the_default() {
    #[track_caller]
    fn check(own: &str, remembered: Option<&str>, expected: &str) {
        let (body, _) = sent(
            Dialect::Standard,
            &format!(r#"{{{own}"input":"hi"}}"#),
            Settled { remembered, ..SETTLED },
        );
        assert!(body.contains(&format!(r#""instructions":"{expected}""#)), "{body}");
    }
    check(r#""instructions":"own","#, Some("session"), "own");
    check(r#""instructions":[{"type":"input_text","text":"own"}],"#, Some("session"), "own");
    for own in ["", r#""instructions":null,"#, r#""instructions":"","#] {
        check(own, Some("session"), "session");
        check(own, None, "Be helpful.");
    }
}

#[test]
fn the_codex_cli_keeps_its_developer_prompt_and_its_tools_in_the_input() {
    let body = r#"{"model":"gpt-6.1-sol","input":[{"type":"additional_tools","role":"developer","tools":[]},{"type":"message","role":"developer","content":[{"type":"input_text","text":"You are Codex"}]},{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]}],"tool_choice":"auto","parallel_tool_calls":false,"reasoning":{"effort":"low","context":"all_turns"},"store":false,"stream":true,"include":["reasoning.encrypted_content"],"prompt_cache_key":"k","text":{"verbosity":"low"}}"#;
    let settled = Settled { model: "gpt-6.1-sol", ..SETTLED };
    assert_eq!(sent(Dialect::Codex, body, settled).0, body);
}

#[test]
fn effort_comes_from_the_request_before_the_models_name() {
    #[track_caller]
    fn check(fields: &str, suffix: Option<&str>, expected: Option<&str>) {
        let (body, _) = sent(
            Dialect::Standard,
            &format!(r#"{{{fields}"input":"hi"}}"#),
            Settled { effort: suffix, ..SETTLED },
        );
        match expected {
            Some(expected) => {
                assert!(body.contains(&format!(r#""reasoning":{expected}"#)), "{body}");
            }
            None => assert!(!body.contains("\"reasoning\":"), "{body}"),
        }
    }
    check("", None, None);
    check("", Some("high"), Some(r#"{"effort":"high"}"#));
    check(
        r#""reasoning":{"effort":"minimal"},"reasoning_effort":"high","#,
        Some("high"),
        Some(r#"{"effort":"low"}"#),
    );
    check(r#""reasoning_effort":"ultra","#, Some("high"), Some(r#"{"effort":"max"}"#));
    check(
        r#""reasoning":{"summary":"auto","new":1},"#,
        None,
        Some(r#"{"summary":"auto","new":1}"#),
    );
    check(r#""reasoning":{"effort":null,"summary":null},"#, None, None);
}

#[test]
fn other_includes_keep_their_place() {
    let (body, _) = sent(Dialect::Standard, r#"{"input":"hi","include":["a","b"]}"#, SETTLED);
    assert!(body.contains(r#""include":["a","b","reasoning.encrypted_content"]"#), "{body}");
}

#[test]
fn a_choice_without_tools_is_left_out() {
    let (body, _) =
        sent(Dialect::Standard, r#"{"input":"hi","tools":[],"tool_choice":"required"}"#, SETTLED);
    assert!(!body.contains("tool_choice"), "{body}");
}

#[test]
fn any_json_object_is_announced_in_the_input() {
    let ask = |text: &str| {
        sent(
            Dialect::Standard,
            &format!(r#"{{"input":"{text}","text":{{"format":{{"type":"json_object"}}}}}}"#),
            SETTLED,
        )
        .0
    };
    assert!(ask("hi").contains("Answer with one JSON object."));
    assert!(!ask("as json please").contains("Answer with one JSON object."));
}

#[test]
fn wrong_values_are_refused_by_name() {
    refused(r#"{"model":"x"}"#, "input");
    refused(r#"{"input":null}"#, "input");
    refused(r#"{"input":""}"#, "input");
    refused(r#"{"input":[]}"#, "input");
    refused(r#"{"input":[{"role":"user","content":""}]}"#, "input");
    refused(r#"{"input":5}"#, "input");
    refused(r#"{"input":"hi","stream":"yes"}"#, "stream");
    refused(r#"{"input":"hi","model":7}"#, "model");
    refused(r#"{"input":"hi","tools":{}}"#, "tools");
    refused(r#"{"input":"hi","tool_choice":"maybe"}"#, "tool_choice");
    refused(r#"{"input":"hi","reasoning":"high"}"#, "reasoning");
    refused(r#"{"input":"hi","include":"x"}"#, "include");
    refused(r#"{"input":"hi","instructions":5}"#, "instructions");
    refused(r#"{"input":"hi","n":2}"#, "n");
}

#[test]
fn ids_that_no_reference_can_name_are_not_noted() {
    let (fits, long) = ("\u{e4}".repeat(64), "x".repeat(65));
    let body = format!(
        r#"{{"input":[{{"id":"{long}","role":"user","content":"a"}},{{"id":"{fits}","role":"user","content":"b"}}]}}"#
    );
    let body = Body::parse(body.as_bytes()).unwrap();
    let (_, draft) = read(&body, Dialect::Standard, &Refusals::default()).unwrap();
    assert_eq!(draft.ids, [(1, Cow::Borrowed(fits.as_str()))]);
}

#[test]
fn nothing_that_was_said_shows_in_debug() {
    let body = r#"{"user":"secret","instructions":"secret","input":[{"role":"user","content":"secret"}],"metadata":{"a":"secret"}}"#;
    let body = Body::parse(body.as_bytes()).unwrap();
    let read = read(&body, Dialect::Standard, &Refusals::default()).unwrap();
    let shown = format!("{read:?} {:?}", read.1.items);
    assert!(shown.contains("1 items") && !shown.contains("secret"), "{shown}");
}
