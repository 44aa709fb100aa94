//! What a stream is made of, and in which order.

use super::*;

const TEXT: &[&str] = &[
    "response.created",
    "codex.rate_limits",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.delta",
    "response.output_text.delta",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
];

/// Follows a turn: the items of the answer, then an output for each call.
fn follow_up(mut body: Value, answer: &Reply, outputs: &[&str]) -> Value {
    let input = body["input"].as_array_mut().unwrap();
    let items = answer.items();
    input.extend(items.iter().cloned());
    let calls = items.iter().filter(|it| it["call_id"].is_string());
    for (call, output) in calls.zip(outputs) {
        let kind = format!("{}_output", call["type"].as_str().unwrap());
        input.push(json!({ "type": kind, "call_id": call["call_id"], "output": output }));
    }
    body
}

#[tokio::test]
async fn a_text_answer_has_the_order_of_the_backend() {
    let stage = Stage::new().await;
    let reply = stage.ask("hello").await;
    assert_eq!(reply.kinds(), TEXT);
    assert_eq!(reply.text(), "Mock answer to: hello");
    assert!(reply.whole);
    assert_eq!(reply.headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(reply.headers["x-codex-primary-window-minutes"], "300");
    assert_eq!(reply.headers["openai-model"], "gpt-5.5");
    assert!(reply.headers.contains_key("x-codex-turn-state"));
    assert_eq!(stage.mock.requests()[0].ending, Ending::Completed);
}

#[tokio::test]
async fn sequence_numbers_are_contiguous_and_rate_limits_have_none() {
    let stage = Stage::new().await;
    let reply = stage.ask("[[mock: reasoning]] [[mock: commentary]]").await;
    let numbers = reply.events().into_iter().filter(|it| it["type"] != "codex.rate_limits");
    for (expected, event) in numbers.enumerate() {
        assert_eq!(event["sequence_number"], expected, "{event}");
    }
    let limits = &reply.events()[1];
    assert!(limits.get("sequence_number").is_none());
    assert_eq!(limits["rate_limits"]["secondary"]["window_minutes"], 10080);
}

#[tokio::test]
async fn deltas_say_where_they_belong_and_add_up() {
    let stage = Stage::new().await;
    let prompt = "[[mock: echo Grüße 👋🏽 und ein_sehr_langes_wort_ohne_jede_luecke]]";
    let reply = stage.ask(prompt).await;
    let deltas = reply.events().into_iter().filter(|it| it["type"] == "response.output_text.delta");
    let mut text = String::new();
    for delta in deltas {
        for field in ["item_id", "output_index", "content_index", "obfuscation", "logprobs"] {
            assert!(delta.get(field).is_some(), "{field}");
        }
        text += delta["delta"].as_str().unwrap();
    }
    assert_eq!(text, "Grüße 👋🏽 und ein_sehr_langes_wort_ohne_jede_luecke");
    assert_eq!(reply.text(), text);
}

#[tokio::test]
async fn the_terminal_response_has_usage_but_no_output() {
    let stage = Stage::new().await;
    let reply = stage.ask("hello").await;
    let response = &reply.last()["response"];
    assert_eq!(response["output"], json!([]));
    assert_eq!(response["status"], "completed");
    assert_eq!(response["instructions"], "Be brief.");
    assert!(response["safety_identifier"].as_str().unwrap().starts_with("user-"));
    let usage = &response["usage"];
    assert!(usage["input_tokens"].as_u64().unwrap() > 0);
    assert!(usage["output_tokens"].as_u64().unwrap() > 0);
    assert_eq!(usage["output_tokens_details"]["reasoning_tokens"], 0);
    assert_eq!(stage.ask("[[mock: no-usage]]").await.last()["response"].get("usage"), None);
}

#[tokio::test]
async fn a_session_that_grows_is_cached_and_others_are_not() {
    let stage = Stage::new().await;
    let cached = |reply: &Reply| {
        let usage = &reply.last()["response"]["usage"];
        usage["input_tokens_details"]["cached_tokens"].as_u64().unwrap()
    };
    let first = question("one");
    let reply = stage.responses(&first).await;
    assert_eq!(cached(&reply), 0);
    let mut second = follow_up(first, &reply, &[]);
    second["input"].as_array_mut().unwrap().push(json!({ "role": "user", "content": "two" }));
    assert!(cached(&stage.responses(&second).await) > 0);
    let url = format!("{}/responses", stage.mock.base_url());
    let mut other = stage.request(&Method::POST, &url, second.to_string());
    other.headers_mut().insert("session-id", "other".parse().unwrap());
    assert_eq!(cached(&stage.send(other).await), 0);
}

#[tokio::test]
async fn reasoning_comes_first_and_can_be_replayed() {
    let stage = Stage::new().await;
    let mut body = question("[[mock: tool add {\"a\":1}]]");
    body["reasoning"] = json!({ "effort": "low", "summary": "auto" });
    body["include"] = json!(["reasoning.encrypted_content"]);
    let reply = stage.responses(&body).await;
    assert_eq!(
        reply.kinds(),
        [
            "response.created",
            "codex.rate_limits",
            "response.in_progress",
            "response.output_item.added",
            "response.reasoning_summary_part.added",
        ]
        .into_iter()
        .chain(["response.reasoning_summary_text.delta"; 9])
        .chain([
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ])
        .collect::<Vec<_>>()
    );
    let items = reply.items();
    assert_eq!(items[0]["type"], "reasoning");
    assert_eq!(items[1]["name"], "add");
    assert_eq!(items[1]["arguments"], "{\"a\":1}");
    let reply = stage.responses(&follow_up(body.clone(), &reply, &["2"])).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.text(), "The tool said: 2");
    body["reasoning"] = json!({ "effort": "none" });
    assert_eq!(stage.responses(&body).await.items()[0]["type"], "function_call");
}

#[tokio::test]
async fn only_the_blob_of_the_finished_item_is_good() {
    let stage = Stage::new().await;
    let mut body = question("hi");
    body["reasoning"] = json!({ "effort": "low" });
    body["include"] = json!(["reasoning.encrypted_content"]);
    let reply = stage.responses(&body).await;
    let mut added = reply.events()[3]["item"].clone();
    assert_eq!(added["type"], "reasoning");
    body["input"].as_array_mut().unwrap().push(added.take());
    let reply = stage.responses(&body).await;
    assert_eq!(reply.json()["error"]["code"], "invalid_encrypted_content");
}

#[tokio::test]
async fn parallel_calls_interleave_and_finish_in_reverse() {
    let stage = Stage::new().await;
    let long = "x".repeat(40);
    let prompt = format!(r#"[[mock: tools f {{"a":"{long}"}} g {{"b":"{long}"}}]]"#);
    let body = question(&prompt);
    let reply = stage.responses(&body).await;
    let events = reply.events();
    let order: Vec<_> = events
        .iter()
        .filter(|it| it["type"] == "response.function_call_arguments.delta")
        .map(|it| it["output_index"].as_u64().unwrap())
        .collect();
    assert_eq!(order, [0, 1, 0, 1]);
    let done: Vec<_> = events
        .iter()
        .filter(|it| it["type"] == "response.output_item.done")
        .map(|it| it["output_index"].as_u64().unwrap())
        .collect();
    assert_eq!(done, [1, 0]);
    let added = events.iter().find(|it| it["type"] == "response.output_item.added").unwrap();
    assert_eq!(added["item"]["arguments"], "");
    let reply = stage.responses(&follow_up(body, &reply, &["one", "two"])).await;
    assert_eq!(reply.text(), "The tool said: one\ntwo");
}

#[tokio::test]
async fn without_parallel_calls_they_come_one_by_one() {
    let stage = Stage::new().await;
    let mut body = question("[[mock: tools f {} g {}]]");
    body["parallel_tool_calls"] = json!(false);
    let reply = stage.responses(&body).await;
    assert_eq!(reply.items().len(), 1);
    body = follow_up(body, &reply, &["one"]);
    let reply = stage.responses(&body).await;
    assert_eq!(reply.items()[0]["name"], "g");
    let reply = stage.responses(&follow_up(body, &reply, &["two"])).await;
    assert_eq!(reply.text(), "The tool said: one\ntwo");
}

#[tokio::test]
async fn custom_tools_are_called_with_text() {
    let stage = Stage::new().await;
    let body = question("[[mock: custom patch *** Begin]]");
    let reply = stage.responses(&body).await;
    let item = &reply.items()[0];
    assert_eq!((&item["type"], &item["input"]), (&json!("custom_tool_call"), &json!("*** Begin")));
    assert!(reply.kinds().contains(&"response.custom_tool_call_input.done".to_owned()));
    let reply = stage.responses(&follow_up(body, &reply, &["patched"])).await;
    assert_eq!(reply.text(), "The tool said: patched");
}

#[tokio::test]
async fn the_shell_of_any_client_is_found() {
    let stage = Stage::new().await;
    let string = json!({ "type": "string" });
    let list = json!({ "type": "array", "items": string });
    let schema = |name: &str, property: &Value| json!({ "type": "object", "properties": { name: property }, "required": [name] });
    for (name, parameters, expected) in [
        ("shell", schema("command", &list), json!({ "command": ["bash", "-lc", "ls -l"] })),
        ("exec_command", schema("cmd", &string), json!({ "cmd": "ls -l" })),
        ("run_shell_command", schema("command", &string), json!({ "command": "ls -l" })),
        ("execute_command", schema("commands", &list), json!({ "commands": ["ls -l"] })),
    ] {
        let mut body = question("[[mock: shell ls -l]]");
        body["tools"] = json!([{ "type": "function", "name": name, "parameters": parameters }]);
        let item = stage.responses(&body).await.items()[0].clone();
        assert_eq!(item["name"], name);
        assert_eq!(item["arguments"], expected.to_string());
    }
    let mut body = question("[[mock: shell ls \"x\"]]");
    body["tools"] =
        json!([{ "type": "custom", "name": "exec", "description": "Runs JavaScript." }]);
    let item = stage.responses(&body).await.items()[0].clone();
    assert_eq!(item["input"], r#"text(await tools.exec_command({cmd: "ls \"x\""}));"#);
    let text = stage.ask("[[mock: shell ls]]").await.text();
    assert_eq!(text, "Mock: this client offers no shell tool.");
}

#[tokio::test]
async fn a_demanded_tool_is_called_with_the_least_arguments() {
    let stage = Stage::new().await;
    let mut body = question("hi");
    body["tools"] = json!([
        { "type": "function", "name": "f" },
        { "type": "function", "name": "g", "parameters": {
            "type": "object",
            "properties": { "n": { "type": "integer" } },
            "required": ["n"],
        } },
    ]);
    body["tool_choice"] = json!("required");
    let reply = stage.responses(&body).await;
    assert_eq!(reply.items()[0]["name"], "f");
    body["tool_choice"] = json!({ "type": "function", "name": "g" });
    let reply = stage.responses(&body).await;
    assert_eq!(reply.items()[0]["arguments"], "{\"n\":1}");
    let reply = stage.responses(&follow_up(body, &reply, &["done"])).await;
    assert_eq!(reply.text(), "The tool said: done");
}

#[tokio::test]
async fn structured_answers_are_valid_for_their_schema() {
    let stage = Stage::new().await;
    let mut body = question("some json");
    body["text"] = json!({ "format": { "type": "json_schema", "name": "n", "schema": {
        "type": "object",
        "properties": { "a": { "type": "string" }, "b": { "enum": [7] } },
        "required": ["a", "b"],
    } } });
    assert_eq!(stage.responses(&body).await.text(), r#"{"a":"mock","b":7}"#);
    body["text"] = json!({ "format": { "type": "json_object" } });
    let text = stage.responses(&body).await.text();
    assert_eq!(text, r#"{"answer":"Mock answer to: some json"}"#);
}

#[tokio::test]
async fn refusals_phases_images_and_silence_have_their_forms() {
    let stage = Stage::new().await;
    let refusal = stage.ask("[[mock: refusal No.]]").await;
    assert_eq!(refusal.items()[0]["content"], json!([{ "type": "refusal", "refusal": "No." }]));
    assert!(refusal.kinds().contains(&"response.refusal.delta".to_owned()));
    let phases = stage.ask("[[mock: commentary]]").await.items();
    assert_eq!(
        (&phases[0]["phase"], &phases[1]["phase"]),
        (&json!("commentary"), &json!("final_answer"))
    );
    let image = stage.ask("[[mock: image]]").await.items();
    assert_eq!(image[0]["type"], "image_generation_call");
    assert!(image[0]["result"].is_string());
    let mut empty = question("[[mock: empty]]");
    empty["reasoning"] = json!({ "effort": "high" });
    let empty = stage.responses(&empty).await;
    assert!(empty.items().is_empty());
    assert_eq!(empty.last()["type"], "response.completed");
    let long = stage.ask("[[mock: long 50]]").await;
    assert_eq!(long.kinds().iter().filter(|it| *it == "response.output_text.delta").count(), 50);
    assert_eq!(stage.ask("[[mock: huge 100000]]").await.text().len(), 100_000);
}

#[tokio::test]
async fn the_framing_can_be_odd() {
    let stage = Stage::new().await;
    let crlf = stage.ask("[[mock: crlf]]").await.body;
    assert!(crlf.ends_with("\r\n\r\n") && !crlf.replace("\r\n", "").contains('\n'));
    let bare = stage.ask("[[mock: no-content-type]]").await;
    assert!(!bare.headers.contains_key("content-type"));
    let odd = stage.ask("[[mock: unknown-events]]").await;
    assert!(odd.body.contains(": ping\n\n"));
    assert!(odd.kinds().contains(&"keepalive".to_owned()));
    assert_eq!(odd.last()["type"], "response.completed");
}

#[tokio::test]
async fn scripts_can_rule_every_prompt() {
    let stage = Stage::new().await;
    assert!(stage.mock.direct("[[mock: nonsense]]").is_err());
    stage.mock.direct("[[mock: echo always this]]").unwrap();
    assert_eq!(stage.ask("hello").await.text(), "always this");
    stage.mock.direct("").unwrap();
    assert_eq!(stage.ask("hello").await.text(), "Mock answer to: hello");
}

#[tokio::test]
async fn names_are_the_same_in_every_run() {
    let (one, two) = (Stage::new().await, Stage::new().await);
    let first = one.ask("[[mock: tool f {}]]").await;
    let second = two.ask("[[mock: tool f {}]]").await;
    assert_eq!(first.items(), second.items());
    assert_ne!(first.items(), one.ask("[[mock: tool f {}]]").await.items());
}
