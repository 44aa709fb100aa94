//! Recorded streams as chat clients see them.

use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::responses::output::Output;
use crate::sse::Decoder;
use crate::translate::completion_from_responses::completion;

fn look() -> Look {
    Look {
        model: "asked-for".into(),
        include_usage: true,
        fallback_id: "chatcmpl-none".into(),
        ..Look::default()
    }
}

/// The chunks of a recorded stream, its frames pushed one by one.
fn translate(recorded: &[u8], look: Look) -> String {
    let mut stream = ChatStream::new(look);
    let mut out = Vec::new();
    each_event(recorded, |event| stream.push(event, &mut out));
    String::from_utf8(out).unwrap()
}

fn each_event(recorded: &[u8], mut visit: impl FnMut(&Event<'_>)) {
    let mut decoder = Decoder::new(1 << 20);
    decoder.push(Bytes::copy_from_slice(recorded));
    while let Some(frame) = decoder.next_frame().unwrap() {
        if let Some(event) = Event::of(&frame) {
            visit(&event);
        }
    }
}

/// What a client that adds the chunks up ends with.
fn added_up(chunks: &str) -> (String, String, Vec<Value>, Option<String>) {
    let (mut text, mut reasoning, mut calls, mut finish) =
        (String::new(), String::new(), Vec::<Value>::new(), None);
    for data in
        chunks.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|it| *it != "[DONE]")
    {
        let chunk: Value = serde_json::from_str(data).unwrap();
        let Some(choice) = chunk["choices"].get(0) else { continue };
        text += choice["delta"]["content"].as_str().unwrap_or_default();
        reasoning += choice["delta"]["reasoning_content"].as_str().unwrap_or_default();
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            if call.get("id").is_some() {
                assert_eq!(index, calls.len(), "calls are numbered from 0 without gaps: {chunks}");
                calls.push(call.clone());
                continue;
            }
            for (member, argument) in [("function", "arguments"), ("custom", "input")] {
                if let Some(piece) = call[member][argument].as_str() {
                    let sum = calls[index][member][argument].as_str().unwrap().to_owned() + piece;
                    calls[index][member][argument] = sum.into();
                }
            }
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            assert!(finish.is_none(), "one finish_reason only: {chunks}");
            finish = Some(reason.to_owned());
        }
    }
    (text, reasoning, calls, finish)
}

/// The same answer, not streamed.
fn collected(recorded: &[u8]) -> Option<Value> {
    let (mut output, mut end) = (Output::default(), None);
    each_event(recorded, |event| {
        output.push(event);
        if matches!(event.kind, Kind::Completed | Kind::Incomplete) {
            end = Some((event.kind, event.text.to_owned()));
        }
    });
    let (kind, text) = end?;
    let event = Object::of_text(&text)?;
    let response = Object::of(event.get("response")?)?;
    let mut items = output.items("completed");
    if items.is_empty() {
        items = response
            .some("output")
            .and_then(Raw::list)?
            .into_iter()
            .map(|it| it.get().into())
            .collect();
    }
    serde_json::from_str(&completion(kind, &response, &items, &look())).ok()
}

#[test]
fn recorded_streams_become_chunks() {
    insta::glob!("../../../../../fixtures/upstream", "*.sse", |path| {
        insta::assert_snapshot!(translate(&std::fs::read(path).unwrap(), look()));
    });
}

#[test]
fn streamed_and_collected_answers_agree() {
    insta::glob!("../../../../../fixtures/upstream", "*.sse", |path| {
        let recorded = std::fs::read(path).unwrap();
        let Some(whole) = collected(&recorded) else { return };
        let (text, reasoning, calls, finish) = added_up(&translate(&recorded, look()));
        let message = &whole["choices"][0]["message"];
        assert_eq!(message["content"].as_str().unwrap_or_default(), text, "{}", path.display());
        assert_eq!(
            message["reasoning_content"].as_str().unwrap_or_default(),
            reasoning,
            "{}",
            path.display()
        );
        assert_eq!(
            whole["choices"][0]["finish_reason"].as_str(),
            finish.as_deref(),
            "{}",
            path.display()
        );
        let whole_calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
        assert_eq!(whole_calls.len(), calls.len(), "{}", path.display());
        for (whole, mut streamed) in whole_calls.into_iter().zip(calls) {
            streamed.as_object_mut().unwrap().remove("index");
            assert_eq!(whole, streamed, "{}", path.display());
        }
    });
}

#[test]
fn usage_is_a_last_chunk_only_where_it_was_asked_for() {
    let recorded = include_bytes!("../../../../../fixtures/upstream/text.sse");
    let with = translate(recorded, look());
    assert_eq!(with.matches("\"usage\":{").count(), 1);
    assert!(with.contains("\"choices\":[],\"usage\":{\"prompt_tokens\""), "{with}");
    let without = translate(recorded, Look { include_usage: false, ..look() });
    assert!(!without.contains("usage"), "{without}");
    assert!(without.ends_with("data: [DONE]\n\n"));
}

#[test]
fn reasoning_shows_as_the_mode_says() {
    let recorded = include_bytes!("../../../../../fixtures/upstream/reasoning.sse");
    let mode = |reasoning| added_up(&translate(recorded, Look { reasoning, ..look() }));
    let (text, reasoning, _, _) = mode(ReasoningMode::Content);
    assert!(!reasoning.is_empty() && !text.contains("<think>"));
    let (thought, nothing, _, _) = mode(ReasoningMode::Think);
    assert_eq!(thought, format!("<think>{reasoning}</think>\n\n{text}"));
    assert_eq!(nothing, "");
    assert_eq!(mode(ReasoningMode::Off).0, text);
}

#[test]
fn req2_a_text_that_ends_at_once_still_begins_with_its_role() {
    let delta =
        r#"{"type":"response.output_text.delta","item_id":"m","output_index":0,"delta":"x"}"#;
    let recorded = format!("event: response.output_text.delta\ndata: {delta}\n\n");
    let chunks = translate(recorded.as_bytes(), Look { stop: vec!["x".into()], ..look() });
    assert!(chunks.starts_with("data: {\"id\":\"chatcmpl-none\""), "{chunks}");
    assert!(chunks.contains("\"role\":\"assistant\""), "{chunks}");
    assert_eq!(added_up(&chunks).3.as_deref(), Some("stop"));
}

#[test]
fn text_that_waits_for_a_stop_sequence_is_no_thought() {
    let delta = |kind: &str, index: u64, text: &str| {
        format!(
            "event: {kind}\ndata: {{\"type\":\"{kind}\",\"item_id\":\"i\",\"output_index\":{index},\
             \"delta\":\"{text}\"}}\n\n"
        )
    };
    let thought = delta("response.reasoning_summary_text.delta", 0, "Hm.");
    // It might become "ab".
    let said = delta("response.output_text.delta", 1, "a");
    let end = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\"}}\n\n";
    let look = Look { reasoning: ReasoningMode::Think, stop: vec!["ab".to_owned()], ..look() };
    let (text, ..) = added_up(&translate([&thought, &said, end].concat().as_bytes(), look));
    assert_eq!(text, "<think>Hm.</think>\n\na");
}

#[test]
fn t3_a_call_that_comes_twice_is_told_once() {
    let call = |index: u64, id: &str| {
        let item = format!(
            r#"{{"type":"function_call","id":"{id}","call_id":"c","name":"f","arguments":"{{}}"}}"#
        );
        let done = format!(
            r#"{{"type":"response.output_item.done","output_index":{index},"item":{item}}}"#
        );
        format!("event: response.output_item.done\ndata: {done}\n\n")
    };
    let end = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\"}}\n\n";
    let again = [call(0, "fc_1"), call(0, "fc_1"), call(1, "fc_2"), end.to_owned()].concat();
    let (_, _, calls, finish) = added_up(&translate(again.as_bytes(), look()));
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0]["function"]["arguments"], "{}");
    assert_eq!(finish.as_deref(), Some("tool_calls"));
}

#[test]
fn calls_whose_place_is_not_told_are_told_apart_by_their_ids() {
    let call = |place: &str, item: &str, id: &str| {
        format!(
            "data: {{\"type\":\"response.output_item.done\",{place}\"item\":{{\"type\":\"function_call\",{item}\"call_id\":\"{id}\",\"name\":\"f\",\"arguments\":\"{{}}\"}}}}\n\n"
        )
    };
    let end = "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\"}}\n\n";
    for (place, item) in [("", ""), ("\"output_index\":0,", ""), ("", "\"id\":\"fc\",")] {
        let told = [call(place, item, "a"), call(place, "", "b"), call(place, "", "b")].concat();
        let (_, _, calls, _) = added_up(&translate((told + end).as_bytes(), look()));
        let ids: Vec<_> = calls.iter().map(|it| it["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["a", "b"], "{place} {item}");
        assert!(calls.iter().all(|it| it["function"]["arguments"] == "{}"), "{calls:?}");
    }
}

#[test]
fn a_client_of_old_functions_gets_a_function_call() {
    let recorded = include_bytes!("../../../../../fixtures/upstream/tool_call.sse");
    let chunks = translate(recorded, Look { style: CallStyle::Function, ..look() });
    assert!(chunks.contains("\"delta\":{\"function_call\":{\"name\":"), "{chunks}");
    assert!(chunks.contains("\"finish_reason\":\"function_call\""), "{chunks}");
    assert!(!chunks.contains("tool_calls"), "{chunks}");
}

#[test]
fn a_failure_is_an_error_chunk_and_the_end() {
    let mut out = Vec::new();
    ChatStream::fail(r#"{"message":"m"}"#, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "data: {\"error\":{\"message\":\"m\"}}\n\ndata: [DONE]\n\n"
    );
}
