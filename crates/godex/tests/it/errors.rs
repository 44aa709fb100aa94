//! What a client gets that asks for what cannot be: one shape for every error, and nothing
//! reaches the backend.

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::backend::hello;
use crate::client::{Call, Reply, shape};
use crate::stage::{KEY, Stage, asked, play, question, with};

const PATHS: [&str; 2] = ["/v1/responses", "/v1/chat/completions"];

#[track_caller]
fn invalid(reply: &Reply, status: u16, code: &str, what: &dyn std::fmt::Debug) {
    let expected = (status, "invalid_request_error".to_owned(), code.to_owned());
    assert_eq!(reply.error(), expected, "{what:?}: {}", reply.body);
    assert!(reply.header("x-request-id").starts_with("req_"));
}

#[test]
fn without_a_good_key_nothing_is_served() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let wrong = ["", "Bearer", "Bearer ", "Bearer wrong", "Basic Zm9v", KEY, "Bearer gxk_x"];
        for path in PATHS {
            for value in wrong {
                // A body that cannot be read makes no difference: nobody reads it.
                for body in ["{}", "{", ""] {
                    let call = Call::new(Method::POST, path, body);
                    let reply = stage.proxy.send(call.header("authorization", value)).await;
                    invalid(&reply, 401, "invalid_api_key", &value);
                    assert_eq!(reply.header("www-authenticate"), "Bearer");
                    assert!(!reply.body.contains("wrong"));
                }
            }
        }
        assert!(stage.sent().is_empty());
    });
}

#[test]
fn a_stored_hash_is_no_key() {
    play(async {
        let mut stage = Stage::on_mock(&[]).await;
        let key = stage.managed_key("one", &[]);
        stage.restart(&[]).await;
        let body = question("hi");
        assert_eq!(stage.proxy.send(Call::responses(&body).key(&key)).await.status, 200);
        let path = stage.home.path().join(".codex/proxy-keys.json");
        let stored: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut strings = Vec::new();
        collect(&stored, &mut strings);
        assert!(strings.len() > 2, "{stored}");
        for text in strings {
            let reply = stage.proxy.send(Call::responses(&body).key(&text)).await;
            assert_eq!(reply.error().0, 401, "{text}");
        }
    });
}

/// All strings of a document that can stand in a header.
fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) if text.is_ascii() => into.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|it| collect(it, into)),
        Value::Object(object) => object.values().for_each(|it| collect(it, into)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn a_body_that_is_no_json_object_is_a_bad_request() {
    let deep = |depth: usize| {
        format!("{{\"input\":\"a\",\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth))
    };
    let bodies: Vec<Vec<u8>> = [
        "",
        " ",
        "{",
        "}",
        "[]",
        "null",
        "true",
        "7",
        "\"text\"",
        "{}x",
        "{} {}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":NaN}",
        "{\"a\":01}",
        "{\"a\" 1}",
        "{\"a\":\"\n\"}",
        "{\"input\":\"a\",\"x\":[1,}",
        "{\"input\":\"\\x\"}",
        "<html></html>",
        "input=hi",
        &deep(130),
        &deep(5000),
    ]
    .iter()
    .map(|it| it.as_bytes().to_vec())
    .chain([b"{\"input\":\"\xff\"}".to_vec(), b"\xff\xfe{\0}\0".to_vec()])
    .collect();
    play(async move {
        let stage = Stage::on_mock(&[]).await;
        for path in PATHS {
            for body in &bodies {
                let reply = stage.proxy.send(Call::new(Method::POST, path, body.clone())).await;
                let what = String::from_utf8_lossy(body).chars().take(60).collect::<String>();
                assert_eq!(reply.error().0, 400, "{what}: {}", reply.body);
                assert!(stage.sent().is_empty(), "{what}");
            }
        }
    });
}

#[test]
fn a_body_may_be_nested_128_levels_deep_and_no_deeper() {
    // The body, its list of tools, the tool and its parameters are levels, too.
    let tool = |levels: usize, own: usize| {
        let (open, close) = ("[".repeat(levels - own), "]".repeat(levels - own));
        format!("{{\"properties\":{{\"x\":{{\"enum\":{open}{close}}}}}}}")
    };
    let responses = |levels: usize| {
        let parameters = tool(levels, 6);
        format!(
            r#"{{"input":"hi","tools":[{{"type":"function","name":"f","parameters":{parameters}}}]}}"#
        )
    };
    let chat = |levels: usize| {
        let parameters = tool(levels, 7);
        format!(
            r#"{{"messages":[{{"role":"user","content":"hi"}}],"tools":[{{"type":"function","function":{{"name":"f","parameters":{parameters}}}}}]}}"#
        )
    };
    play(async move {
        let mut stage = Stage::on_backend(&[]).await;
        for (path, body) in [
            (PATHS[0], &responses as &dyn Fn(usize) -> String),
            (PATHS[1], &chat as &dyn Fn(usize) -> String),
        ] {
            let deeper = stage.proxy.send(Call::new(Method::POST, path, body(129))).await;
            assert_eq!(deeper.error().0, 400, "{path}: {}", deeper.body);
            assert!(deeper.message().contains("128 levels"), "{path}: {}", deeper.body);
            let sending = stage.proxy.send(Call::new(Method::POST, path, body(128)));
            let playing = async {
                let turn = stage.backend.turn().await;
                let sent = turn.text.clone();
                turn.answer(hello()).await;
                sent
            };
            let (reply, sent) = tokio::join!(sending, playing);
            assert_eq!(reply.status, 200, "{path}: {}", reply.body);
            assert!(sent.contains(&"[".repeat(122 - usize::from(path == PATHS[1]))), "{path}");
        }
    });
}

#[test]
fn on_responses_a_wrong_type_is_named_by_its_parameter() {
    let cases = [
        (json!({"model": 7}), "model"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"stream": 1}), "stream"),
        (json!({"store": "no"}), "store"),
        (json!({"instructions": 7}), "instructions"),
        (json!({"input": null}), "input"),
        (json!({"input": ""}), "input"),
        (json!({"input": []}), "input"),
        (json!({"input": 7}), "input"),
        (json!({"input": {}}), "input"),
        (json!({"input": [7]}), "input[0]"),
        (json!({"input": [{"role": "user", "content": 7}]}), "input[0].content"),
        (json!({"input": [{"role": "user", "content": [7]}]}), "input[0].content[0]"),
        (json!({"input": [{"role": "user"}]}), "input"),
        (json!({"tools": "add"}), "tools"),
        (json!({"tools": [7]}), "tools[0]"),
        (json!({"tools": [{"type": "function"}]}), "tools[0].name"),
        (json!({"tool_choice": 7}), "tool_choice"),
        (json!({"parallel_tool_calls": "yes"}), "parallel_tool_calls"),
        (json!({"reasoning": "high"}), "reasoning"),
        (json!({"reasoning": {"effort": 7}}), "reasoning.effort"),
        (json!({"reasoning_effort": 7}), "reasoning_effort"),
        (json!({"include": "all"}), "include"),
        (json!({"include": [7]}), "include"),
        (json!({"prompt_cache_key": 7}), "prompt_cache_key"),
        (json!({"user": 7}), "user"),
        (json!({"service_tier": 7}), "service_tier"),
        (json!({"n": 0}), "n"),
    ];
    play(async move {
        let stage = Stage::on_mock(&[]).await;
        for (more, param) in cases {
            let reply = stage.proxy.responses(&with(question("hi"), more.clone())).await;
            assert_eq!(reply.error().0, 400, "{more}: {}", reply.body);
            assert_eq!(reply.json()["error"]["param"], param, "{more}: {}", reply.body);
        }
        let reply = stage.proxy.responses(&json!({"model": "gpt-5.5"})).await;
        assert_eq!(
            reply.error(),
            (400, "invalid_request_error".to_owned(), "missing_required_parameter".to_owned())
        );
        assert_eq!(reply.json()["error"]["param"], "input");
        assert!(stage.sent().is_empty());
    });
}

#[test]
fn on_chat_a_wrong_type_is_named_by_its_parameter() {
    let said = |message: Value| json!({"messages": [message]});
    let cases = [
        (json!({"model": 7}), "model"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"messages": null}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (said(json!(7)), "messages[0]"),
        (said(json!({"content": "hi"})), "messages[0].role"),
        (said(json!({"role": "robot", "content": "hi"})), "messages[0].role"),
        (said(json!({"role": "user", "content": 7})), "messages[0].content"),
        (said(json!({"role": "user", "content": ""})), "messages"),
        (said(json!({"role": "tool", "content": "x"})), "messages[0].tool_call_id"),
        (said(json!({"role": "assistant", "tool_calls": 7})), "messages[0].tool_calls"),
        (said(json!({"role": "assistant", "tool_calls": [{}]})), "messages[0].tool_calls[0].id"),
        (json!({"tools": {}}), "tools"),
        (json!({"tools": [{"type": "function", "function": {}}]}), "tools[0].function.name"),
        (json!({"functions": [{}]}), "functions[0].name"),
        (json!({"tool_choice": 7}), "tool_choice"),
        (json!({"function_call": 7}), "function_call"),
        (json!({"parallel_tool_calls": 1}), "parallel_tool_calls"),
        (json!({"response_format": "json"}), "response_format"),
        (json!({"response_format": {}}), "response_format.type"),
        (json!({"response_format": {"type": "json_schema"}}), "response_format.json_schema"),
        (json!({"stream_options": true}), "stream_options"),
        (json!({"stream_options": {"include_usage": 1}}), "stream_options.include_usage"),
        (json!({"reasoning_effort": 7}), "reasoning_effort"),
        (json!({"verbosity": 7}), "verbosity"),
        (json!({"user": 7}), "user"),
        (json!({"prompt_cache_key": []}), "prompt_cache_key"),
        (json!({"n": 3}), "n"),
        (json!({"modalities": ["audio"]}), "modalities"),
    ];
    play(async move {
        let stage = Stage::on_mock(&[]).await;
        for (more, param) in cases {
            let reply = stage.proxy.chat(&with(asked("hi"), more.clone())).await;
            assert_eq!(reply.error().0, 400, "{more}: {}", reply.body);
            assert_eq!(reply.json()["error"]["param"], param, "{more}: {}", reply.body);
        }
        assert_eq!(stage.proxy.chat(&json!({})).await.json()["error"]["param"], "messages");
        assert!(stage.sent().is_empty());
    });
}

#[test]
fn null_is_as_good_as_absent() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let names = [
            "model",
            "stream",
            "store",
            "instructions",
            "tools",
            "tool_choice",
            "include",
            "parallel_tool_calls",
            "reasoning",
            "prompt_cache_key",
            "user",
            "service_tier",
            "n",
            "text",
            "temperature",
            "metadata",
            "previous_response_id",
            "reasoning_effort",
        ];
        let nulls: serde_json::Map<_, _> =
            names.iter().map(|it| ((*it).to_owned(), Value::Null)).collect();
        let nulls = Value::Object(nulls);
        let reply = stage.proxy.responses(&with(question("hi"), nulls.clone())).await;
        assert_eq!((reply.status, reply.header("x-godex-dropped")), (200, ""), "{}", reply.body);
        let more = json!({"response_format": null, "stream_options": null, "functions": null, "instructions": null});
        let mut body = with(with(asked("hi"), nulls), more);
        body.as_object_mut().unwrap().remove("instructions");
        let reply = stage.proxy.chat(&body).await;
        assert_eq!((reply.status, reply.header("x-godex-dropped")), (200, ""), "{}", reply.body);
    });
}

#[test]
fn paths_and_methods_that_there_are_not() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for path in
            ["/v1", "/v1/embeddings", "/v1/v1/responses", "/v2/responses", "/v1/completions", "/x"]
        {
            for method in [Method::GET, Method::POST] {
                let reply = stage.proxy.send(Call::new(method, path, "{}")).await;
                invalid(&reply, 404, "unknown_url", &path);
            }
        }
        for (method, path, allowed) in [
            (Method::GET, PATHS[0], "POST, OPTIONS"),
            (Method::DELETE, PATHS[0], "POST, OPTIONS"),
            (Method::PUT, PATHS[1], "POST, OPTIONS"),
            (Method::POST, "/v1/models", "GET, HEAD, OPTIONS"),
            (Method::POST, "/v1/models/gpt-5.5", "GET, HEAD, OPTIONS"),
            (Method::POST, "/health", "GET, HEAD, OPTIONS"),
        ] {
            let reply = stage.proxy.send(Call::new(method, path, "")).await;
            invalid(&reply, 405, "method_not_allowed", &path);
            assert_eq!(reply.header("allow"), allowed);
        }
    });
}

#[test]
fn a_model_that_the_account_has_not_is_not_found_and_the_others_are_named() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let more = json!({"model": "gpt-4o\u{7}"});
        for call in [
            Call::responses(&with(question("hi"), more.clone())),
            Call::chat(&with(asked("hi"), more)),
        ] {
            let reply = stage.proxy.send(call).await;
            invalid(&reply, 404, "model_not_found", &"gpt-4o");
            assert_eq!(reply.json()["error"]["param"], "model");
            assert!(reply.message().contains("gpt-6.1-sol"), "{}", reply.message());
            assert!(!reply.message().contains('\u{7}'));
        }
        assert!(stage.sent().is_empty());
    });
}

#[test]
fn ten_megabytes_pass() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let prompt = "a".repeat(10 << 20);
        for call in [Call::responses(&question(&prompt)), Call::chat(&asked(&prompt))] {
            assert_eq!(stage.proxy.send(call).await.status, 200);
        }
        let sent = &stage.last_body()["input"][0]["content"][0]["text"];
        assert_eq!(sent.as_str().unwrap().len(), prompt.len());
    });
}

#[test]
fn a_body_over_the_limit_is_refused_and_one_at_it_is_not() {
    play(async {
        let stage = Stage::on_mock(&["--max-body=4KiB"]).await;
        let shell = question("").to_string().len();
        let fits = question(&"a".repeat(4096 - shell));
        assert_eq!(stage.proxy.responses(&fits).await.status, 200);
        for size in [4097, 100_000, 5_000_000] {
            let reply = stage.proxy.responses(&question(&"a".repeat(size - shell))).await;
            invalid(&reply, 413, "request_too_large", &size);
        }
        assert_eq!(stage.sent().len(), 1);
    });
}

/// Sends raw bytes and reads the answer until the connection is closed.
async fn raw(stage: &Stage<crate::stage::Strict>, request: &[u8]) -> (u16, String) {
    let mut socket = TcpStream::connect(&stage.proxy.address).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer does not matter; one before it does.
    let _ = socket.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[test]
fn a_body_without_a_declared_length_is_stopped_at_the_limit() {
    play(async {
        let stage = Stage::on_mock(&["--max-body=4KiB"]).await;
        let address = &stage.proxy.address;
        let head = format!(
            "POST /v1/responses HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n"
        );
        let chunk = format!("1000\r\n{}\r\n", "a".repeat(4096));
        let chunked =
            format!("{head}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(20));
        let declared = format!("{head}content-length: 999999999\r\n\r\n");
        for request in [chunked, declared] {
            let (status, body) = raw(&stage, request.as_bytes()).await;
            assert_eq!(status, 413, "{body}");
            let start = body.find('{').unwrap();
            let end = body.rfind('}').unwrap();
            let error: Value = serde_json::from_str(&body[start..=end]).unwrap();
            shape(&error["error"]);
        }
        let fine = question("hi").to_string();
        let chunked = format!(
            "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{fine}\r\n0\r\n\r\n",
            fine.len()
        );
        assert_eq!(raw(&stage, chunked.as_bytes()).await.0, 200);
    });
}

#[test]
fn with_any_key_any_token_will_do_and_none_will_not() {
    play(async {
        let stage = Stage::on_mock(&["--allow-any-key"]).await;
        let body = question("hi");
        assert_eq!(stage.proxy.send(Call::responses(&body).key("whatever")).await.status, 200);
        let reply = stage.proxy.send(Call::responses(&body).header("authorization", "")).await;
        invalid(&reply, 401, "invalid_api_key", &"");
    });
}
