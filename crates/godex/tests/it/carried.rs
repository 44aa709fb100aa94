//! What a request may carry: what is mapped, what is named as left out, what is refused. Nothing
//! is lost in silence.

use serde_json::{Value, json};

use crate::client::Call;
use crate::stage::{Stage, asked, play, question, streamed, with};

fn function(name: &str) -> Value {
    json!({"name": name, "parameters": {"type": "object", "properties": {}}})
}

#[test]
fn req12_the_effort_has_an_order_of_sources_on_both_endpoints() {
    play(async {
        let stage = Stage::on_mock(&["--model-alias=deep=gpt-5.5-xhigh,fast=gpt-5.5"]).await;
        let object = |effort: &str| json!({"effort": effort});
        for (more, expected) in [
            (json!({"model": "gpt-5.5"}), Value::Null),
            (json!({"model": "gpt-5.5-high"}), json!("high")),
            (json!({"model": "gpt-5.5(high)"}), json!("high")),
            (json!({"model": "deep"}), json!("xhigh")),
            (json!({"model": "deep-low"}), json!("low")),
            (json!({"model": "fast(medium)"}), json!("medium")),
            (json!({"model": "gpt-5.2-codex-high"}), json!("high")),
            (json!({"model": "gpt-5.5-high", "reasoning_effort": "low"}), json!("low")),
            (json!({"model": "gpt-5.5-high", "reasoning_effort": null}), json!("high")),
            (json!({"reasoning_effort": "low", "reasoning": object("medium")}), json!("medium")),
            (json!({"reasoning": object("medium"), "reasoning_effort": "low"}), json!("medium")),
            (json!({"reasoning": {"effort": null}, "reasoning_effort": "low"}), json!("low")),
            (json!({"reasoning_effort": "minimal"}), json!("low")),
            (json!({"model": "gpt-6.1-sol", "reasoning": object("ultra")}), json!("max")),
            (json!({"model": "gpt-6.1-sol-ultra"}), json!("max")),
            (json!({"model": "gpt-5.5-minimal"}), json!("low")),
        ] {
            for call in [
                Call::responses(&with(question("hi"), more.clone())),
                Call::chat(&with(asked("hi"), more.clone())),
            ] {
                stage.proxy.send(call).await.fine();
                assert_eq!(stage.last_body()["reasoning"]["effort"], expected, "{more}");
            }
        }
        for unknown in ["gpt-9-high", "gpt-9(high)", "gpt-5.5-higher", "gpt-5.5(much)"] {
            let reply = stage.proxy.chat(&with(asked("hi"), json!({"model": unknown}))).await;
            assert_eq!(reply.error().2, "model_not_found", "{unknown}");
        }
    });
}

#[test]
fn req2_what_cannot_be_carried_is_refused_by_its_name() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let audio = json!({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}});
        let user = |part: &Value| json!([{"role": "user", "content": [part]}]);
        let spoken =
            json!([{"role": "user", "content": "hi"}, {"role": "assistant", "audio": {"id": "a"}}]);
        for (call, param) in [
            (Call::chat(&json!({"messages": user(&audio)})), "messages[0].content[0]"),
            (Call::responses(&json!({"input": user(&audio)})), "input[0].content[0]"),
            (Call::chat(&json!({"messages": spoken})), "messages[1].audio"),
            (
                Call::chat(&with(asked("hi"), json!({"modalities": ["text", "audio"]}))),
                "modalities",
            ),
            (Call::chat(&with(asked("hi"), json!({"n": 2}))), "n"),
        ] {
            let reply = stage.proxy.send(call).await;
            assert_eq!(reply.error().0, 400, "{param}");
            assert_eq!(reply.json()["error"]["param"], param);
        }
        for kind in ["file_search", "code_interpreter", "computer_use_preview", "mcp"] {
            let tools = json!({"tools": [{"type": "web_search"}, {"type": kind}]});
            for call in [
                Call::responses(&with(question("hi"), tools.clone())),
                Call::chat(&with(asked("hi"), tools.clone())),
            ] {
                let reply = stage.proxy.send(call).await;
                assert_eq!(reply.error().0, 400);
                assert_eq!(reply.json()["error"]["param"], "tools[1].type");
                assert!(reply.message().contains(kind), "{}", reply.message());
            }
        }
        assert!(stage.sent().is_empty());
    });
}

#[test]
fn req2_what_chat_has_and_the_backend_has_no_word_for_is_named() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for (name, value) in [
            ("logprobs", json!(true)),
            ("prediction", json!({"type": "content", "content": "x"})),
            ("audio", json!({"voice": "x", "format": "wav"})),
            ("modalities", json!(["text"])),
            ("web_search_options", json!({})),
            ("input", json!("other")),
        ] {
            let reply = stage.proxy.chat(&with(asked("hi"), json!({name: value}))).await;
            assert_eq!(reply.status, 200, "{}", reply.body);
            assert_eq!(reply.header("x-godex-dropped"), name);
        }
        let call = json!({"id": "c", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{}"}, "extra_content": {"a": 1}});
        let messages = json!([
            {"role": "system", "content": "Be brief.", "cache_control": {"type": "ephemeral"}},
            {"role": "user", "content": "hi", "name": "ann"},
            {"role": "assistant", "content": "x", "annotations": [], "function_call": null, "audio": null, "refusal": null},
            {"role": "assistant", "tool_calls": [call], "reasoning_content": "hm", "prefix": "ü"},
            {"role": "tool", "tool_call_id": "c", "content": "1", "name": "f"},
            {"role": "user", "content": "hi", "ü": 1},
        ]);
        let reply = stage.proxy.chat(&json!({"messages": messages})).await;
        reply.fine();
        let named = "messages[].cache_control, messages[].name, messages[].reasoning_content, messages[].prefix, messages[].tool_calls[].extra_content, messages[].?";
        assert_eq!(reply.header("x-godex-dropped"), named);
    });
}

#[test]
fn req2_hints_inside_content_are_left_out_and_named() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let part = |kind: &str| json!({"type": kind, "text": "hi", "prompt_cache_breakpoint": {"mode": "explicit"}, "cache_control": {"type": "ephemeral"}});
        for call in [
            Call::chat(
                &json!({"messages": [{"role": "system", "content": [part("text")]}, {"role": "user", "content": [part("text")]}]}),
            ),
            Call::responses(&json!({"input": [{"role": "user", "content": [part("input_text")]}]})),
            Call::responses(&json!({"input": [
                {"role": "user", "content": "hi"},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": [part("input_text")]},
            ]})),
        ] {
            let reply = stage.proxy.send(call).await;
            assert_eq!(reply.status, 200, "{}", reply.body);
            let named = "prompt_cache_breakpoint, cache_control";
            assert_eq!(reply.header("x-godex-dropped"), named);
        }
    });
}

#[test]
fn req17_functions_of_2023_are_called_one_at_a_time_and_answered_in_their_form() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let more =
            json!({"functions": [function("a"), function("b")], "function_call": {"name": "b"}});
        let body = with(asked("hi"), more);
        let whole = stage.proxy.chat(&body).await.fine();
        let choice = &whole["choices"][0];
        assert_eq!(choice["message"]["function_call"]["name"], "b");
        assert_eq!(choice["message"].get("tool_calls"), None);
        assert_eq!(choice["finish_reason"], "function_call");
        assert_eq!(stage.last_body()["parallel_tool_calls"], false);
        assert_eq!(stage.last_body()["tool_choice"], json!({"type": "function", "name": "b"}));
        let chunks = stage.proxy.chat(&streamed(body)).await.chunks();
        let first = chunks.iter().find(|it| it.pointer("/choices/0/delta/function_call").is_some());
        let first = &first.unwrap()["choices"][0]["delta"]["function_call"];
        assert_eq!(first, &json!({"name": "b", "arguments": ""}));
        assert!(chunks.iter().all(|it| it.pointer("/choices/0/delta/tool_calls").is_none()));
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "function_call");

        // Who sends both forms reads the newer one.
        let tool = json!({"type": "function", "function": function("c")});
        let more = json!({"functions": null, "tools": [tool], "tool_choice": "required"});
        let whole = stage.proxy.chat(&with(asked("hi"), more)).await.fine();
        assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(stage.last_body()["parallel_tool_calls"], true);
    });
}

#[test]
fn req17_a_responses_body_on_chat_is_served_with_all_that_it_asks_for() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let tool = json!({"type": "function", "name": "read_file", "parameters": {"type": "object", "properties": {}}});
        let body = json!({
            "model": "gpt-5.5-high", "user": "ann", "stream": true, "messages": [],
            "input": [
                {"role": "system", "content": "You are an editor's assistant."},
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "function_call", "call_id": "c", "name": "read_file", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "text"},
            ],
            "tools": [tool], "stream_options": {"include_usage": true}, "store": false,
            "include": ["reasoning.encrypted_content"], "reasoning": {"summary": "auto"},
        });
        let reply = stage.proxy.chat(&body).await;
        assert_eq!(reply.header("x-godex-dropped"), "user");
        let chunks = reply.chunks();
        let text: String =
            chunks.iter().filter_map(|it| it["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, "The tool said: text");
        assert!(chunks.iter().all(|it| it["object"] == "chat.completion.chunk"));
        assert!(chunks.iter().all(|it| it["model"] == "gpt-5.5-high"));
        assert!(chunks.last().unwrap()["usage"]["total_tokens"].is_u64());
        let sent = stage.last_body();
        assert_eq!(sent["instructions"], "You are an editor's assistant.");
        assert_eq!(sent["reasoning"], json!({"summary": "auto", "effort": "high"}));
        assert_eq!(sent["tools"], json!([tool]));
    });
}
