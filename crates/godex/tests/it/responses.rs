//! `POST /v1/responses` as a client sees it.

use serde_json::{Value, json};

use crate::backend::{Backend, STREAM, closing, fixture, hello, opening, recorded};
use crate::client::{Call, Event, Reply, events};
use crate::stage::{Stage, play, question, streamed, with};

/// Recorded streams that end well and are framed as the backend frames them.
const WELL: &[&str] = &[
    "text",
    "tool_call",
    "parallel_tool_calls",
    "text_before_tool",
    "text_after_tool",
    "custom_tool_call",
    "arguments_split_in_escape",
    "arguments_only_in_done",
    "reasoning",
    "refusal",
    "json_schema",
    "commentary_phase",
    "final_answer_phase",
    "incomplete",
    "incomplete_content_filter",
    "empty",
    "output_in_completed",
    "no_usage",
];

/// Plays one recorded stream to one call.
async fn replay(stage: &mut Stage<Backend>, name: &str, call: Call) -> Reply {
    let sending = stage.proxy.send(call);
    let playing = async { stage.backend.turn().await.answer(recorded(name)).await };
    tokio::join!(sending, playing).0
}

fn has_response(event: &Event) -> bool {
    event.json().get("response").is_some()
}

#[test]
fn events_pass_byte_for_byte_but_for_those_that_carry_the_response() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for name in WELL {
            let call = Call::responses(&streamed(question("hi"))).by_codex();
            let reply = replay(&mut stage, name, call).await;
            assert_eq!((reply.status, reply.whole), (200, true), "{name}: {}", reply.body);
            let sent = String::from_utf8(fixture(name)).unwrap();
            let (sent, got): (Vec<&str>, Vec<&str>) =
                (sent.split("\n\n").collect(), reply.body.split("\n\n").collect());
            assert_eq!(sent.len(), got.len(), "{name}");
            for (sent, got) in sent.iter().zip(got) {
                match events(sent).first() {
                    Some(event) if has_response(event) => {
                        assert_eq!(events(got)[0].name, event.name, "{name}");
                    }
                    _ => assert_eq!(*sent, got, "{name}"),
                }
            }
        }
    });
}

#[test]
fn what_carries_the_response_differs_in_the_documented_fields_alone() {
    let may_differ = ["output", "model", "safety_identifier", "prompt_cache_key", "user"];
    play(async move {
        let mut stage = Stage::on_backend(&["--model-alias=mine=gpt-5.5"]).await;
        for name in WELL {
            let body =
                with(streamed(question("hi")), json!({"model": "mine", "prompt_cache_key": "k"}));
            let reply = replay(&mut stage, name, Call::responses(&body).by_codex()).await;
            let sent = events(&String::from_utf8(fixture(name)).unwrap());
            for (sent, got) in sent.iter().zip(reply.events()).filter(|(it, _)| has_response(it)) {
                let (sent, got) = (sent.json(), got.json());
                assert_eq!(sent["sequence_number"], got["sequence_number"], "{name}");
                let (sent, got) = (&sent["response"], &got["response"]);
                for (field, value) in sent.as_object().unwrap() {
                    if !may_differ.contains(&field.as_str()) {
                        assert_eq!(got[field], *value, "{name}: {field}");
                    }
                }
                assert_eq!(got["model"], "mine", "{name}");
                assert_eq!(got["prompt_cache_key"], "k", "{name}");
                assert_eq!(got["safety_identifier"], Value::Null, "{name}");
            }
        }
    });
}

#[test]
fn the_output_of_the_last_event_is_made_of_the_finished_items() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for name in WELL.iter().chain(&["arguments_without_item_done", "crlf", "odd_framing"]) {
            let call = Call::responses(&streamed(question("hi")));
            let reply = replay(&mut stage, name, call).await;
            let mut done: Vec<Value> = reply
                .events()
                .iter()
                .map(Event::json)
                .filter(|it| it["type"] == "response.output_item.done")
                .collect();
            done.sort_by_key(|it| it["output_index"].as_u64());
            let items: Vec<Value> = done.iter().map(|it| it["item"].clone()).collect();
            let output = reply.last()["response"]["output"].clone();
            match *name {
                "output_in_completed" => {
                    let sent = events(&String::from_utf8(fixture(name)).unwrap());
                    assert_eq!(output, sent.last().unwrap().json()["response"]["output"]);
                }
                "arguments_without_item_done" => {
                    assert_eq!(output[0]["type"], "function_call", "{output}");
                    assert_ne!(output[0]["arguments"], "{}", "{output}");
                }
                _ => assert_eq!(output, json!(items), "{name}"),
            }
            let whole = replay(&mut stage, name, Call::responses(&question("hi"))).await.fine();
            assert_eq!(whole["output"], output, "{name}");
        }
    });
}

#[test]
fn a_standard_client_gets_the_standard_events_with_contiguous_numbers() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for name in WELL.iter().chain(&["unknown_events", "crlf", "odd_framing"]) {
            let reply = replay(&mut stage, name, Call::responses(&streamed(question("hi")))).await;
            assert_eq!((reply.status, reply.whole), (200, true), "{name}");
            let numbers: Vec<u64> = reply
                .events()
                .iter()
                .map(|it| it.json()["sequence_number"].as_u64().unwrap())
                .collect();
            assert_eq!(numbers, (0..).take(numbers.len()).collect::<Vec<u64>>(), "{name}");
            for event in reply.events() {
                let kind = event.json()["type"].as_str().unwrap().to_owned();
                assert_eq!(event.name, kind, "{name}");
                assert!(kind.starts_with("response."), "{name}: {kind}");
                assert!(!["response.metadata", "response.mystery.delta"].contains(&kind.as_str()));
            }
        }
    });
}

#[test]
fn the_codex_cli_gets_the_backends_own_events_too() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let call = Call::responses(&streamed(question("hi")));
        let reply = replay(&mut stage, "unknown_events", call.clone().by_codex()).await;
        assert!(reply.kinds().iter().any(|it| it == "codex.rate_limits"), "{:?}", reply.kinds());
        let reply = replay(&mut stage, "unknown_events", call).await;
        assert!(!reply.body.contains("codex."), "{:?}", reply.kinds());
    });
}

#[test]
fn any_framing_of_the_backend_is_understood() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let hello = [opening(), closing()].concat();
        let nameless: String =
            hello.split_inclusive('\n').filter(|line| !line.starts_with("event:")).collect();
        for stream in [
            hello.replace('\n', "\r\n"),
            hello.replace('\n', "\r"),
            format!("\u{feff}{hello}"),
            hello.replace("\n\n", "\n\n: comment\n\nid: 7\nretry: 10\n\n"),
            hello.replace("data: ", "data:"),
            nameless,
            hello.trim_end().to_owned(),
        ] {
            for call in [question("hi"), streamed(question("hi"))] {
                let sending = stage.proxy.responses(&call);
                let playing = async {
                    stage.backend.turn().await.answer([STREAM, &stream].concat()).await;
                };
                let (reply, ()) = tokio::join!(sending, playing);
                assert_eq!((reply.status, reply.whole), (200, true), "{stream}");
                let response = if call.get("stream").is_some() {
                    reply.last()["response"].clone()
                } else {
                    reply.json()
                };
                assert_eq!(response["output"][0]["content"][0]["text"], "Hello", "{stream}");
                assert_eq!(response["status"], "completed");
            }
        }
    });
}

#[test]
fn the_content_type_of_the_backend_does_not_matter() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let hello = String::from_utf8(hello()).unwrap();
        for kind in ["", "content-type: application/json\r\n", "content-type: text/plain\r\n"] {
            let answer = hello.replace("content-type: text/event-stream\r\n", kind);
            for body in [question("hi"), streamed(question("hi"))] {
                let sending = stage.proxy.responses(&body);
                let playing = async { stage.backend.turn().await.answer(&answer).await };
                let (reply, ()) = tokio::join!(sending, playing);
                assert_eq!(reply.status, 200);
                assert!(reply.body.contains("Hello"));
            }
        }
    });
}

#[test]
fn the_last_event_ends_the_answer_although_the_backend_stays() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for body in [question("hi"), streamed(question("hi"))] {
            let sending = stage.proxy.responses(&body);
            let playing = async {
                let mut turn = stage.backend.turn().await;
                turn.write(hello()).await;
                turn
            };
            let (reply, turn) = tokio::join!(sending, playing);
            assert_eq!((reply.status, reply.whole), (200, true));
            // It is the proxy that hangs up.
            turn.left().await;
        }
    });
}

#[test]
fn a_stream_is_marked_as_one_that_nobody_may_hold_back() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let reply = stage.proxy.responses(&streamed(question("hi"))).await;
        assert_eq!(reply.header("content-type"), "text/event-stream; charset=utf-8");
        assert_eq!(reply.header("cache-control"), "no-cache, no-transform");
        assert_eq!(reply.header("x-accel-buffering"), "no");
    });
}

#[test]
fn every_answer_names_its_request_and_how_the_key_stands() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for body in [question("hi"), streamed(question("hi")), json!({})] {
            let reply = stage.proxy.responses(&body).await;
            assert!(reply.header("x-request-id").starts_with("req_"));
            assert!(reply.header("openai-processing-ms").parse::<u64>().is_ok());
            for name in ["limit", "remaining", "reset"] {
                let name = format!("x-ratelimit-{name}-requests");
                assert!(!reply.header(&name).is_empty(), "{name}: {:?}", reply.headers);
            }
        }
    });
}

#[test]
fn an_answer_in_one_piece_is_the_complete_response() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let reply = stage.proxy.responses(&question("hi")).await;
        assert_eq!(reply.header("content-type"), "application/json");
        let response = reply.fine();
        assert_eq!(response["object"], "response");
        assert_eq!(response["status"], "completed");
        assert_eq!(response["model"], "gpt-5.5");
        assert_eq!(response["output"][0]["content"][0]["text"], "Mock answer to: hi");
        for name in ["input_tokens", "output_tokens", "total_tokens"] {
            assert!(response["usage"][name].as_u64().is_some_and(|it| it > 0), "{name}");
        }
        assert!(response["usage"]["input_tokens_details"]["cached_tokens"].is_u64());
        assert!(response["usage"]["output_tokens_details"]["reasoning_tokens"].is_u64());
        assert!(!reply.body.contains("user-mock"), "{}", reply.body);
    });
}

#[test]
fn a_response_has_every_field_that_strict_readers_check() {
    let expected = [
        "id",
        "object",
        "created_at",
        "completed_at",
        "status",
        "error",
        "incomplete_details",
        "instructions",
        "model",
        "output",
        "parallel_tool_calls",
        "metadata",
        "tool_choice",
        "tools",
        "temperature",
        "top_p",
        "previous_response_id",
        "truncation",
        "text",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
        "reasoning",
        "usage",
        "max_output_tokens",
        "max_tool_calls",
        "store",
        "background",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
    ];
    play(async move {
        let stage = Stage::on_mock(&[]).await;
        let check = |response: &Value| {
            for name in expected {
                assert!(response.get(name).is_some(), "{name}: {response}");
            }
            assert_eq!(response.get("user"), None);
        };
        check(&stage.proxy.responses(&question("hi")).await.fine());
        for event in stage.proxy.responses(&streamed(question("hi"))).await.events() {
            if let Some(response) = event.json().get("response") {
                check(response);
            }
        }
    });
}

#[test]
fn ends_that_are_no_failure_are_told_as_they_are() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let check = async |prompt: &str, status: &str, pointer: &str, expected: Value| {
            let whole = stage.proxy.responses(&question(prompt)).await.fine();
            let streamed = stage.proxy.responses(&streamed(question(prompt))).await.last();
            assert_eq!(streamed["type"], format!("response.{status}"));
            for response in [&whole, &streamed["response"]] {
                assert_eq!(response["status"], status);
                assert_eq!(response.pointer(pointer), Some(&expected), "{response}");
            }
        };
        let reason = "/incomplete_details/reason";
        check("[[mock: incomplete]]", "incomplete", reason, json!("max_output_tokens")).await;
        check("[[mock: incomplete content_filter]]", "incomplete", reason, json!("content_filter"))
            .await;
        let refusal = "/output/0/content/0/refusal";
        check("[[mock: refusal Never.]]", "completed", refusal, json!("Never.")).await;
        check("[[mock: empty]]", "completed", "/output", json!([])).await;
        check("[[mock: no-usage]]", "completed", "/usage", Value::Null).await;
        let phase = "/output/1/phase";
        check("[[mock: commentary]]", "completed", phase, json!("final_answer")).await;
    });
}

#[test]
fn tools_of_every_kind_are_called() {
    let tools = json!([
        {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        {"type": "function", "name": "sub", "parameters": {"type": "object", "properties": {}}},
        {"type": "custom", "name": "shell", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}},
    ]);
    play(async move {
        let stage = Stage::on_mock(&[]).await;
        let check = async |prompt: &str, expected: &[(&str, &str, &str)]| {
            let body = with(question(prompt), json!({"tools": tools}));
            let whole = stage.proxy.responses(&body).await.fine();
            let streamed = stage.proxy.responses(&streamed(body)).await.last();
            for response in [&whole, &streamed["response"]] {
                let output = response["output"].as_array().unwrap();
                let calls: Vec<(&str, &str, &str)> = output
                    .iter()
                    .map(|it| {
                        let text = |name: &str| it[name].as_str().unwrap_or_default();
                        let argument = it.get("arguments").or_else(|| it.get("input"));
                        (text("type"), text("name"), argument.unwrap().as_str().unwrap())
                    })
                    .collect();
                assert_eq!(calls, expected);
            }
        };
        check(r#"[[mock: tool add {"a":1}]]"#, &[("function_call", "add", r#"{"a":1}"#)]).await;
        let both = [("function_call", "add", r#"{"a":1}"#), ("function_call", "sub", "{}")];
        check(r#"[[mock: tools add {"a":1} sub {}]]"#, &both).await;
        check("[[mock: custom shell ls -l]]", &[("custom_tool_call", "shell", "ls -l")]).await;
    });
}

#[test]
fn a_second_turn_of_a_conversation_reuses_the_prompt_cache() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let first = json!([{"role": "user", "content": "[[mock: long 400]]"}]);
        let body =
            json!({"model": "gpt-5.5", "input": first, "instructions": "Be brief. ".repeat(2000)});
        let answer = stage.proxy.responses(&body).await.fine();
        let mut history = first.as_array().unwrap().clone();
        history.extend(answer["output"].as_array().unwrap().iter().cloned());
        history.push(json!({"role": "user", "content": "and now?"}));
        let next = stage.proxy.responses(&with(body, json!({"input": history}))).await.fine();
        let cached = next["usage"]["input_tokens_details"]["cached_tokens"].as_u64();
        assert!(cached.is_some_and(|it| it > 1000), "{}", next["usage"]);
    });
}

#[test]
fn the_path_works_without_its_version_and_with_a_slash() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for path in ["/responses", "/v1/responses/", "/v1/responses?api-version=1"] {
            assert_eq!(stage.proxy.send(Call::post(path, &question("hi"))).await.status, 200);
        }
        for path in ["/chat/completions", "/v1/chat/completions/"] {
            assert_eq!(
                stage.proxy.send(Call::post(path, &crate::stage::asked("hi"))).await.status,
                200
            );
        }
    });
}

#[test]
fn a_huge_event_passes() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let body = streamed(question("[[mock: huge 16000000]]"));
        let reply = stage.proxy.responses(&body).await;
        let text = reply.last()["response"]["output"][0]["content"][0]["text"].clone();
        assert_eq!(text.as_str().unwrap().len(), 16_000_000);
    });
}
