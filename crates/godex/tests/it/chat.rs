//! `POST /v1/chat/completions` as a client sees it.

use serde_json::{Value, json};

use crate::backend::{Backend, recorded};
use crate::client::Reply;
use crate::stage::{Stage, asked, play, question, streamed, with};

/// Two function tools and a custom one.
fn tools() -> Value {
    let function = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}});
    json!([function("add"), function("sub"), {"type": "custom", "custom": {"name": "shell"}}])
}

/// A message put together from the chunks of a stream, as an SDK does it.
#[derive(Debug, Default, PartialEq)]
struct Gathered {
    content: String,
    refusal: String,
    reasoning: String,
    calls: Vec<Value>,
    finish: Vec<String>,
}

impl Gathered {
    fn of(chunks: &[Value]) -> Self {
        let mut gathered = Self::default();
        for choice in chunks.iter().filter_map(|it| it["choices"].get(0)) {
            let delta = &choice["delta"];
            let text = |name: &str| delta[name].as_str().unwrap_or_default();
            gathered.content.push_str(text("content"));
            gathered.refusal.push_str(text("refusal"));
            gathered.reasoning.push_str(text("reasoning_content"));
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                gathered.call(call);
            }
            gathered.finish.extend(choice["finish_reason"].as_str().map(str::to_owned));
        }
        gathered
    }

    fn call(&mut self, call: &Value) {
        let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
        if call.get("id").is_some() {
            assert_eq!(index, self.calls.len(), "indexes are contiguous: {call}");
            let mut call = call.clone();
            call.as_object_mut().unwrap().remove("index");
            self.calls.push(call);
            return;
        }
        assert_eq!(call.get("type"), None, "{call}");
        for (kind, name) in [("function", "arguments"), ("custom", "input")] {
            if let Some(more) = call.pointer(&format!("/{kind}/{name}")) {
                let known = self.calls.get_mut(index).unwrap();
                let whole = known.pointer_mut(&format!("/{kind}/{name}")).unwrap();
                *whole = json!([whole.as_str().unwrap(), more.as_str().unwrap()].concat());
            }
        }
    }

    /// The same message as it comes in one piece.
    fn of_whole(completion: &Value) -> Self {
        let choice = &completion["choices"][0];
        let message = &choice["message"];
        let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        Self {
            content: text("content"),
            refusal: text("refusal"),
            reasoning: text("reasoning_content"),
            calls: message["tool_calls"].as_array().cloned().unwrap_or_default(),
            finish: vec![choice["finish_reason"].as_str().unwrap().to_owned()],
        }
    }
}

/// Plays one recorded stream to one request.
async fn replay(stage: &mut Stage<Backend>, name: &str, body: &Value) -> Reply {
    let sending = stage.proxy.chat(body);
    let playing = async { stage.backend.turn().await.answer(recorded(name)).await };
    tokio::join!(sending, playing).0
}

#[test]
fn a_text_comes_in_one_piece_or_in_chunks() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let completion = stage.proxy.chat(&asked("hi")).await.fine();
        assert_eq!(completion["object"], "chat.completion");
        assert!(completion["id"].as_str().unwrap().starts_with("chatcmpl-"));
        assert!(completion["created"].as_u64().is_some_and(|it| it > 1_700_000_000));
        assert_eq!(completion["model"], "gpt-5.5");
        let choice = &completion["choices"][0];
        assert_eq!(choice["message"]["role"], "assistant");
        assert_eq!(choice["message"]["content"], "Mock answer to: hi");
        assert_eq!(choice["message"]["refusal"], Value::Null);
        assert_eq!(choice["logprobs"], Value::Null);
        assert_eq!(choice["finish_reason"], "stop");
        assert_eq!(completion.get("system_fingerprint"), None);

        let reply = stage.proxy.chat(&streamed(asked("hi"))).await;
        assert_eq!(reply.header("content-type"), "text/event-stream; charset=utf-8");
        let chunks = reply.chunks();
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        for chunk in &chunks {
            assert_eq!(chunk["object"], "chat.completion.chunk");
            for name in ["id", "created", "model"] {
                assert_eq!(chunk[name], chunks[0][name]);
            }
            assert_eq!(chunk["choices"][0]["index"], 0);
            assert!(chunk["choices"][0].get("finish_reason").is_some());
            assert_eq!(chunk.get("usage"), None);
        }
        assert_eq!(Gathered::of(&chunks).content, "Mock answer to: hi");
    });
}

#[test]
fn a_stream_and_one_piece_tell_the_same_for_every_recorded_answer() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for name in [
            "text",
            "tool_call",
            "parallel_tool_calls",
            "text_before_tool",
            "text_after_tool",
            "custom_tool_call",
            "arguments_split_in_escape",
            "arguments_only_in_done",
            "arguments_without_item_done",
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
            "unknown_events",
            "crlf",
            "odd_framing",
        ] {
            let chunks = replay(&mut stage, name, &streamed(asked("hi"))).await.chunks();
            let whole = replay(&mut stage, name, &asked("hi")).await.fine();
            let gathered = Gathered::of(&chunks);
            assert_eq!(gathered, Gathered::of_whole(&whole), "{name}");
            assert_eq!(gathered.finish.len(), 1, "{name}");
            let expected = match name {
                "incomplete" => "length",
                "incomplete_content_filter" => "content_filter",
                _ if gathered.calls.is_empty() => "stop",
                _ => "tool_calls",
            };
            assert_eq!(gathered.finish, [expected], "{name}");
            for call in &gathered.calls {
                if let Some(arguments) = call.pointer("/function/arguments") {
                    let parsed = serde_json::from_str::<Value>(arguments.as_str().unwrap());
                    assert!(parsed.is_ok_and(|it| it.is_object()), "{name}: {arguments}");
                }
            }
        }
    });
}

#[test]
fn tools_of_every_kind_are_called() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let check = async |prompt: &str, expected: Value| {
            let body = with(asked(prompt), json!({"tools": tools()}));
            let whole = Gathered::of_whole(&stage.proxy.chat(&body).await.fine());
            let chunks = Gathered::of(&stage.proxy.chat(&streamed(body)).await.chunks());
            for mut gathered in [whole, chunks] {
                assert_eq!(gathered.finish, ["tool_calls"]);
                for call in &mut gathered.calls {
                    let id = call.as_object_mut().unwrap().remove("id").unwrap();
                    assert!(id.as_str().unwrap().starts_with("call_"));
                }
                assert_eq!(json!(gathered.calls), expected);
            }
        };
        let called = |name: &str, arguments: &str| json!({"type": "function", "function": {"name": name, "arguments": arguments}});
        check(r#"[[mock: tool add {"a":1}]]"#, json!([called("add", r#"{"a":1}"#)])).await;
        let both = json!([called("add", r#"{"a":1}"#), called("sub", r#"{"a":2}"#)]);
        check(r#"[[mock: tools add {"a":1} sub {"a":2}]]"#, both).await;
        let custom = json!([{"type": "custom", "custom": {"name": "shell", "input": "ls -l"}}]);
        check("[[mock: custom shell ls -l]]", custom).await;
    });
}

#[test]
fn a_demanded_tool_is_called_whatever_the_form_of_the_demand() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for choice in [
            json!("required"),
            json!({"type": "function", "function": {"name": "add"}}),
            json!({"type": "function", "name": "add"}),
        ] {
            let body = with(asked("hi"), json!({"tools": tools(), "tool_choice": choice}));
            let gathered = Gathered::of_whole(&stage.proxy.chat(&body).await.fine());
            assert_eq!(gathered.calls[0]["function"]["name"], "add", "{choice}");
        }
        for choice in [json!("none"), json!("auto"), Value::Null] {
            let body = with(asked("hi"), json!({"tools": tools(), "tool_choice": choice}));
            let gathered = Gathered::of_whole(&stage.proxy.chat(&body).await.fine());
            assert_eq!(gathered.finish, ["stop"], "{choice}");
        }
    });
}

#[test]
fn parallel_calls_are_the_clients_choice() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for (parallel, sent, calls) in
            [(None, true, 2), (Some(true), true, 2), (Some(false), false, 1)]
        {
            let prompt = r#"[[mock: tools add {"a":1} sub {"a":2}]]"#;
            let more = json!({"tools": tools(), "parallel_tool_calls": parallel});
            let gathered =
                Gathered::of_whole(&stage.proxy.chat(&with(asked(prompt), more)).await.fine());
            assert_eq!(gathered.calls.len(), calls, "{parallel:?}");
            assert_eq!(stage.last_body()["parallel_tool_calls"], sent);
        }
    });
}

#[test]
fn a_tool_round_trip_comes_to_its_end() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let prompts = [r#"[[mock: tools add {"a":1} sub {"a":2}]]"#, "[[mock: custom shell ls]]"];
        for (prompt, stream) in prompts.into_iter().flat_map(|it| [(it, false), (it, true)]) {
            let body = with(asked(prompt), json!({"tools": tools(), "stream": stream}));
            let gather = |reply: &Reply| {
                if stream {
                    Gathered::of(&reply.chunks())
                } else {
                    Gathered::of_whole(&reply.fine())
                }
            };
            let calls = gather(&stage.proxy.chat(&body).await).calls;
            let mut messages = body["messages"].as_array().unwrap().clone();
            messages.push(json!({"role": "assistant", "content": null, "tool_calls": calls}));
            for (index, call) in calls.iter().enumerate() {
                messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": format!("output {index}")}));
            }
            let answer = stage.proxy.chat(&with(body, json!({"messages": messages}))).await;
            let content = gather(&answer).content;
            let outputs: Vec<String> =
                (0..calls.len()).map(|index| format!("output {index}")).collect();
            assert_eq!(content, format!("The tool said: {}", outputs.join("\n")), "{prompt}");
        }
    });
}

#[test]
fn reasoning_shows_as_configured() {
    play(async {
        let check = async |mode: &str, content: &str, reasoning: bool| {
            let stage = Stage::on_mock(&["--reasoning-mode", mode]).await;
            let body = with(asked("hi"), json!({"reasoning_effort": "high"}));
            let whole = Gathered::of_whole(&stage.proxy.chat(&body).await.fine());
            let chunks = Gathered::of(&stage.proxy.chat(&streamed(body)).await.chunks());
            for gathered in [whole, chunks] {
                assert_eq!(!gathered.reasoning.is_empty(), reasoning, "{mode}");
                assert_eq!(gathered.content, content, "{mode}");
            }
            assert_eq!(stage.last_body()["reasoning"]["effort"], "high");
        };
        let answer = "Mock answer to: hi";
        check("reasoning_content", answer, true).await;
        check("off", answer, false).await;
        let thought = "<think>**Weighing the request**\n\nThe user says: hi</think>\n\n";
        check("think", &format!("{thought}{answer}"), false).await;
    });
}

#[test]
fn usage_comes_in_the_last_chunk_if_it_is_asked_for() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let whole = stage.proxy.chat(&asked("hi")).await.fine()["usage"].clone();
        for name in ["prompt_tokens", "completion_tokens", "total_tokens"] {
            assert!(whole[name].as_u64().is_some_and(|it| it > 0), "{whole}");
        }
        assert!(whole["prompt_tokens_details"]["cached_tokens"].is_u64());
        assert!(whole["completion_tokens_details"]["reasoning_tokens"].is_u64());

        let asking = json!({"stream_options": {"include_usage": true}});
        let chunks = stage.proxy.chat(&streamed(with(asked("hi"), asking))).await.chunks();
        let (last, others) = chunks.split_last().unwrap();
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["total_tokens"], whole["total_tokens"]);
        assert!(others.iter().all(|it| it.get("usage") == Some(&Value::Null)));

        for options in [Value::Null, json!({}), json!({"include_usage": false})] {
            let body = streamed(with(asked("hi"), json!({"stream_options": options})));
            let chunks = stage.proxy.chat(&body).await.chunks();
            assert!(chunks.iter().all(|it| it.get("usage").is_none()), "{options}");
            assert!(chunks.iter().all(|it| it["choices"] != json!([])), "{options}");
        }
    });
}

#[test]
fn finish_reasons_and_refusals() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let check = async |prompt: &str, finish: &str, content: Value, refusal: Value| {
            let whole = stage.proxy.chat(&asked(prompt)).await.fine();
            let choice = &whole["choices"][0];
            assert_eq!(choice["finish_reason"], finish);
            assert_eq!(choice["message"]["content"], content, "{prompt}");
            assert_eq!(choice["message"]["refusal"], refusal, "{prompt}");
            let chunks = Gathered::of(&stage.proxy.chat(&streamed(asked(prompt))).await.chunks());
            assert_eq!(chunks, Gathered::of_whole(&whole), "{prompt}");
        };
        check("hi", "stop", json!("Mock answer to: hi"), Value::Null).await;
        check("[[mock: incomplete]]", "length", json!("This answer is not"), Value::Null).await;
        let filtered = "[[mock: incomplete content_filter]]";
        check(filtered, "content_filter", json!("This answer is not"), Value::Null).await;
        check("[[mock: refusal Never.]]", "stop", Value::Null, json!("Never.")).await;
        check("[[mock: empty]]", "stop", json!(""), Value::Null).await;
    });
}

#[test]
fn a_schema_for_the_answer_reaches_the_model() {
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["city"],
        "properties": {"city": {"type": "string"}},
    });
    play(async move {
        let stage = Stage::on_mock(&[]).await;
        let named = json!({"name": "place", "strict": true, "schema": schema});
        let format = json!({"type": "json_schema", "json_schema": named});
        let body = with(asked("hi"), json!({"response_format": format, "verbosity": "low"}));
        let answer = Gathered::of_whole(&stage.proxy.chat(&body).await.fine());
        let answer: Value = serde_json::from_str(&answer.content).unwrap();
        assert!(answer["city"].is_string(), "{answer}");
        let sent = &stage.last_body()["text"];
        let expected =
            json!({"type": "json_schema", "name": "place", "strict": true, "schema": schema});
        assert_eq!(sent, &json!({"format": expected, "verbosity": "low"}));

        let body = with(asked("hi"), json!({"response_format": {"type": "json_object"}}));
        let answer = Gathered::of_whole(&stage.proxy.chat(&body).await.fine());
        assert!(serde_json::from_str::<Value>(&answer.content).unwrap().is_object());
    });
}

#[test]
fn images_and_files_reach_the_model() {
    let pixel = "data:image/png;base64,iVBORw0KGgo=";
    let file = json!({"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="});
    play(async move {
        let stage = Stage::on_mock(&[]).await;
        let content = json!([
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": pixel, "detail": "low"}},
            {"type": "image_url", "image_url": "https://example.com/a.png"},
            {"type": "file", "file": file},
        ]);
        stage.proxy.chat(&json!({"messages": [{"role": "user", "content": content}]})).await.fine();
        let sent = &stage.last_body()["input"][0]["content"];
        assert_eq!(sent[0], json!({"type": "input_text", "text": "look"}));
        assert_eq!(sent[1], json!({"type": "input_image", "image_url": pixel, "detail": "low"}));
        assert_eq!(sent[2]["type"], "input_image");
        assert_eq!(sent[2]["image_url"], "https://example.com/a.png");
        assert_eq!(sent[3]["type"], "input_file");
        assert_eq!(sent[3]["file_data"], file["file_data"]);
    });
}

#[test]
fn what_cannot_be_carried_is_refused_with_the_path_to_it() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let check = async |content: Value, param: &str| {
            let body = json!({"messages": [{"role": "user", "content": content}]});
            let reply = stage.proxy.chat(&body).await;
            assert_eq!(reply.error().0, 400, "{content}");
            let named = reply.json()["error"]["param"].as_str().unwrap_or_default().to_owned();
            assert!(named.starts_with(param), "{named} for {content}");
        };
        let audio = json!({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}});
        check(json!([{"type": "text", "text": "a"}, audio]), "messages[0].content[1]").await;
        check(json!([{"type": "image_url"}]), "messages[0].content[0]").await;
        check(json!([{"type": "text", "text": 7}]), "messages[0].content[0]").await;
        check(json!([7]), "messages[0].content[0]").await;
        check(json!(7), "messages[0].content").await;
        assert!(stage.sent().is_empty());
    });
}

#[test]
fn every_role_finds_its_place() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let body = json!({"messages": [
            {"role": "system", "content": "One."},
            {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": ""}]},
            {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
            {"role": "assistant", "content": null, "refusal": "no"},
            {"role": "system", "content": "Three."},
            {"role": "user", "content": "c"},
        ]});
        stage.proxy.chat(&body).await.fine();
        let sent = stage.last_body();
        assert_eq!(sent["instructions"], "One.\n\nTwo.");
        let said = |role: &str, kind: &str, text: &str| {
            let name = if kind == "refusal" { "refusal" } else { "text" };
            json!({"type": "message", "role": role, "content": [{"type": kind, name: text}]})
        };
        let expected = json!([
            said("user", "input_text", "a"),
            said("assistant", "output_text", "b"),
            said("assistant", "refusal", "no"),
            said("developer", "input_text", "Three."),
            said("user", "input_text", "c"),
        ]);
        assert_eq!(sent["input"], expected);
    });
}

#[test]
fn the_functions_of_2023_still_work() {
    let function = json!({"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}});
    play(async move {
        let stage = Stage::on_mock(&[]).await;
        let prompt = r#"[[mock: tool add {"a":1}]]"#;
        let body = with(asked(prompt), json!({"functions": [function], "function_call": "auto"}));
        let whole = stage.proxy.chat(&body).await.fine();
        let choice = &whole["choices"][0];
        let call = json!({"name": "add", "arguments": r#"{"a":1}"#});
        assert_eq!(choice["finish_reason"], "function_call");
        assert_eq!(choice["message"]["function_call"], call);

        let chunks = stage.proxy.chat(&streamed(body.clone())).await.chunks();
        let of = |name: &str| {
            let pointer = format!("/choices/0/delta/function_call/{name}");
            let pieces = chunks.iter().filter_map(|it| it.pointer(&pointer)?.as_str());
            pieces.collect::<String>()
        };
        assert_eq!((of("name"), of("arguments")), ("add".to_owned(), r#"{"a":1}"#.to_owned()));

        let mut messages = body["messages"].as_array().unwrap().clone();
        messages.push(json!({"role": "assistant", "content": null, "function_call": call}));
        messages.push(json!({"role": "function", "name": "add", "content": "42"}));
        let answer = stage.proxy.chat(&with(body, json!({"messages": messages}))).await.fine();
        assert_eq!(answer["choices"][0]["message"]["content"], "The tool said: 42");
    });
}

#[test]
fn a_responses_body_on_this_path_is_answered_as_chat() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let tool = json!({"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}});
        let body =
            with(question("[[mock: tool add {}]]"), json!({"tools": [tool], "temperature": 1}));
        let reply = stage.proxy.chat(&body).await;
        assert_eq!(reply.header("x-godex-dropped"), "temperature");
        let whole = Gathered::of_whole(&reply.fine());
        assert_eq!(whole.calls[0]["function"]["name"], "add");
        let chunks = Gathered::of(&stage.proxy.chat(&streamed(body)).await.chunks());
        assert_eq!(chunks.calls[0]["function"]["name"], "add");
    });
}
