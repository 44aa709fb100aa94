//! What becomes of a chat request.

use super::*;
use crate::codex::outgoing::Settled;

const SETTLED: Settled<'static> = Settled {
    model: "gpt-5.5",
    effort: None,
    cache_key: "k",
    remembered: None,
    fallback: "Be helpful.",
};

fn sent(body: &str) -> (String, Vec<String>) {
    let object = parse(body.as_bytes()).unwrap();
    let (_, draft, _) = read(&object, &Refusals::default(), false).unwrap();
    let body = draft.prepare(SETTLED).body().to_vec();
    (String::from_utf8(body).unwrap(), draft.dropped)
}

/// The input that a list of messages becomes.
#[track_caller]
fn check(messages: &str, expected: &str) {
    let (body, _) = sent(&format!(r#"{{"messages":[{messages}]}}"#));
    let start = body.find(r#""input":"#).unwrap() + 8;
    let end = body.find(r#","model":"#).unwrap();
    assert_eq!(&body[start..end], expected, "{body}");
}

#[track_caller]
fn refused(body: &str, param: &str) {
    let object = parse(body.as_bytes()).unwrap();
    let error = read(&object, &Refusals::default(), false).unwrap_err();
    assert_eq!(error.param, param, "{error}");
}

#[test]
fn every_role_finds_its_place() {
    check(
        r#"{"role":"system","content":"S"},{"role":"user","content":"hi"},{"role":"assistant","content":"ho"},{"role":"system","content":"later"}"#,
        r#"[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"ho"}]},{"type":"message","role":"developer","content":[{"type":"input_text","text":"later"}]}]"#,
    );
    assert!(sent(r#"{"messages":[{"role":"system","content":"S"},{"role":"developer","content":[{"type":"text","text":"D"}]},{"role":"user","content":"hi"}]}"#)
        .0
        .contains(r#""instructions":"S\n\nD""#));
}

#[test]
fn a_tool_round_trip_keeps_ids_names_and_arguments() {
    check(
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"call_1","content":"42"}"#,
        r#"[{"type":"function_call","call_id":"call_1","name":"f","arguments":"{\"a\":1}"},{"type":"function_call_output","call_id":"call_1","output":"42"}]"#,
    );
    check(
        r#"{"role":"assistant","content":"on it","tool_calls":[{"id":"c","type":"custom","custom":{"name":"x","input":"ls"}}]},{"role":"tool","tool_call_id":"c","content":[{"type":"text","text":"ok"}]}"#,
        r#"[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"on it"}]},{"type":"custom_tool_call","call_id":"c","name":"x","input":"ls"},{"type":"custom_tool_call_output","call_id":"c","output":[{"type":"input_text","text":"ok"}]}]"#,
    );
}

#[test]
fn functions_of_old_are_tools() {
    let (body, _) = sent(
        r#"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"42"}],"functions":[{"name":"f","parameters":{"type":"object"}}],"function_call":{"name":"f"}}"#,
    );
    assert!(
        body.contains(r#""tools":[{"type":"function","name":"f","parameters":{"type":"object"}}]"#),
        "{body}"
    );
    assert!(body.contains(r#""tool_choice":{"type":"function","name":"f"}"#), "{body}");
    assert!(body.contains(r#"{"type":"function_call","call_id":"call_1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"call_1","output":"42"}"#), "{body}");
}

#[test]
fn empty_turns_say_nothing_and_refusals_are_kept() {
    check(
        r#"{"role":"user","content":"hi"},{"role":"assistant","content":""},{"role":"assistant","content":[]},{"role":"assistant","content":null,"refusal":"no"}"#,
        r#"[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]},{"type":"message","role":"assistant","content":[{"type":"refusal","refusal":"no"}]}]"#,
    );
}

#[test]
fn formats_and_verbosity_become_text() {
    let (body, _) = sent(
        r#"{"messages":[{"role":"user","content":"json"}],"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object"}}},"verbosity":"low"}"#,
    );
    assert!(body.contains(r#""text":{"format":{"type":"json_schema","name":"n","strict":true,"schema":{"type":"object"}},"verbosity":"low"}"#), "{body}");
    let (body, _) = sent(
        r#"{"messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_object"}}"#,
    );
    assert!(body.contains("Answer with one JSON object."), "{body}");
}

#[test]
fn what_codex_has_no_word_for_is_left_out_and_named() {
    let (body, dropped) = sent(
        r#"{"messages":[{"role":"user","content":"hi","name":"ann"}],"temperature":0.2,"max_completion_tokens":9,"stop":["x"],"seed":1,"logprobs":true,"n":1,"stream_options":{"include_usage":true},"prediction":{"type":"content"},"reasoning_effort":"minimal"}"#,
    );
    assert_eq!(
        dropped,
        [
            "temperature",
            "max_completion_tokens",
            "seed",
            "logprobs",
            "n",
            "prediction",
            "messages[].name"
        ]
    );
    assert!(body.contains(r#""reasoning":{"effort":"low"}"#), "{body}");
}

#[test]
fn summaries_are_asked_for_when_reasoning_is_shown() {
    let summary = |body: &str| {
        let object = parse(body.as_bytes()).unwrap();
        read(&object, &Refusals::default(), true).unwrap().1.reasoning.summary.map(Cow::into_owned)
    };
    assert_eq!(
        summary(r#"{"messages":[{"role":"user","content":"hi"}]}"#).as_deref(),
        Some("auto")
    );
    assert_eq!(
        summary(r#"{"messages":[{"role":"user","content":"hi"}],"reasoning_effort":"none"}"#),
        None
    );
    assert_eq!(
        summary(
            r#"{"messages":[{"role":"user","content":"hi"}],"reasoning":{"summary":"concise"}}"#
        )
        .as_deref(),
        Some("concise")
    );
}

#[test]
fn wrong_values_are_refused_by_name() {
    refused(r#"{"model":"x"}"#, "messages");
    refused(r#"{"messages":[]}"#, "messages");
    refused(r#"{"messages":"hi"}"#, "messages");
    refused(r#"{"messages":[{"role":"user","content":"hi"},7]}"#, "messages[1]");
    refused(r#"{"messages":[{"content":"hi"}]}"#, "messages[0].role");
    refused(r#"{"messages":[{"role":"robot","content":"hi"}]}"#, "messages[0].role");
    refused(r#"{"messages":[{"role":"tool","content":"hi"}]}"#, "messages[0].tool_call_id");
    refused(
        r#"{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}]}"#,
        "messages[0].content[0]",
    );
    refused(
        r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function"}]}]}"#,
        "messages[0].tool_calls[0].function",
    );
    refused(r#"{"messages":[{"role":"user","content":"hi"}],"n":2}"#, "n");
    refused(r#"{"messages":[{"role":"user","content":"hi"}],"stream":1}"#, "stream");
    refused(
        r#"{"messages":[{"role":"user","content":"hi"}],"modalities":["text","audio"]}"#,
        "modalities",
    );
    refused(
        r#"{"messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_schema"}}"#,
        "response_format.json_schema",
    );
}
