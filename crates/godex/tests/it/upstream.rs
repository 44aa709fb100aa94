//! What reaches the backend: the form of every request, its headers, its connections.

use serde_json::{Value, json};

use crate::client::Call;
use crate::stage::{KEY, Stage, asked, play, question, streamed, with};

/// A plain question on either endpoint.
fn both(prompt: &str) -> [Call; 2] {
    [Call::responses(&question(prompt)), Call::chat(&asked(prompt))]
}

#[test]
fn every_request_has_what_the_backend_demands() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for call in both("hi") {
            stage.proxy.send(call).await.fine();
            let body = stage.last_body();
            assert_eq!(body["store"], false);
            assert_eq!(body["stream"], true);
            assert_eq!(body["instructions"], "You are a helpful assistant.");
            assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
            assert_eq!(body["model"], "gpt-5.5");
            let input = json!([{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}]);
            assert_eq!(body["input"], input);
            stage.last_cache_key();
        }
    });
}

#[test]
fn what_the_backend_takes_goes_as_it_is_and_in_the_clients_order() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let text = r#"{"model":"gpt-5.5","zeta":{"b":1,"a":[1.50,1e3]},"store":true,"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"h\u00e9"}],"phase":"x"},{"type":"compaction","encrypted_content":"c"}],"include":["file_search_call.results"],"client_metadata":{"k":"v"},"stream":true}"#;
        let call = Call::new(http::Method::POST, "/v1/responses", text);
        let sending = stage.proxy.send(call);
        let playing = async {
            let turn = stage.backend.turn().await;
            let sent = turn.text.clone();
            turn.answer(crate::backend::hello()).await;
            sent
        };
        let (reply, sent) = tokio::join!(sending, playing);
        assert_eq!(reply.status, 200);
        for verbatim in [
            r#""zeta":{"b":1,"a":[1.50,1e3]}"#,
            r#""client_metadata":{"k":"v"}"#,
            r#"{"type":"compaction","encrypted_content":"c"}"#,
            r#""text":"h\u00e9""#,
            r#""phase":"x""#,
            r#""include":["file_search_call.results","reasoning.encrypted_content"]"#,
        ] {
            assert!(sent.contains(verbatim), "{verbatim}: {sent}");
        }
        let position = |name: &str| sent.find(&format!("\"{name}\":")).unwrap();
        let order = ["model", "zeta", "store", "input", "include", "client_metadata", "stream"];
        assert!(order.map(position).is_sorted(), "{sent}");
    });
}

#[test]
fn no_field_reaches_the_backend_twice() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for (path, text) in [
            (
                "responses",
                r#"{"model":"gpt-5.5","model":"gpt-5.5","input":"a","input":"b","foo":1,"foo":2}"#,
            ),
            ("responses", r#"{"input":"a","store":true,"store":true,"\u0073tore":true}"#),
            (
                "chat/completions",
                r#"{"messages":[{"role":"user","content":"a"}],"foo":1,"foo":2,"store":true,"store":false}"#,
            ),
            (
                "chat/completions",
                r#"{"messages":[{"role":"user","content":"a"}],"input":"b","instructions":"x","include":["reasoning.encrypted_content"]}"#,
            ),
            (
                "chat/completions",
                r#"{"messages":[{"role":"user","content":"a"}],"text":{"verbosity":"low"},"verbosity":"high","response_format":{"type":"text"}}"#,
            ),
        ] {
            let call = Call::new(http::Method::POST, &format!("/v1/{path}"), text);
            let sending = stage.proxy.send(call);
            let playing = async {
                let turn = stage.backend.turn().await;
                let sent = turn.text.clone();
                turn.answer(crate::backend::hello()).await;
                sent
            };
            tokio::select! {
                sent = playing => assert_eq!(repeated(&sent), Vec::<String>::new(), "{sent}"),
                reply = sending => assert_eq!(reply.error().0, 400),
            }
        }
    });
}

/// Keys that an object has twice, at the top or one level below.
fn repeated(text: &str) -> Vec<String> {
    struct Keys(Vec<(String, Box<serde_json::value::RawValue>)>);
    impl<'de> serde::Deserialize<'de> for Keys {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Keys;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Keys, A::Error> {
                    let mut keys = Vec::new();
                    while let Some(entry) = map.next_entry()? {
                        keys.push(entry);
                    }
                    Ok(Keys(keys))
                }
            }
            from.deserialize_map(Visitor)
        }
    }
    let mut repeated = Vec::new();
    let Ok(Keys(keys)) = serde_json::from_str::<Keys>(text) else { return repeated };
    for (index, (name, value)) in keys.iter().enumerate() {
        if keys.iter().take(index).any(|(it, _)| it == name) {
            repeated.push(name.clone());
        }
        repeated.extend(self::repeated(value.get()));
    }
    repeated
}

#[test]
fn only_the_proxys_own_headers_reach_the_backend() {
    play(async {
        let mut stage =
            Stage::on_backend(&["--user-agent=codex-test/1 (x)", "--originator=me"]).await;
        let call = Call::responses(&question("hi"))
            .key(KEY)
            .header("x-evil", "1")
            .header("cookie", "a=b")
            .header("x-forwarded-for", "1.2.3.4")
            .header("chatgpt-account-id", "another")
            .header("openai-organization", "org")
            .header("user-agent", "OpenAI/Python 3.54.0")
            .header("x-openclaw-session-key", "agent")
            .header("session-id", "mine")
            .header("x-codex-turn-state", "state")
            .header("accept-encoding", "gzip");
        let sending = stage.proxy.send(call);
        let playing = async {
            let turn = stage.backend.turn().await;
            let head = turn.head.clone();
            turn.answer(crate::backend::hello()).await;
            head
        };
        let (reply, head) = tokio::join!(sending, playing);
        reply.fine();
        let mut names: Vec<&str> =
            head.lines().skip(1).map(|line| line.split(':').next().unwrap()).collect();
        names.sort_unstable();
        let expected = [
            "accept",
            "authorization",
            "chatgpt-account-id",
            "content-length",
            "content-type",
            "host",
            "originator",
            "session-id",
            "user-agent",
        ];
        assert_eq!(names, expected, "{head}");
        assert!(head.starts_with("POST /backend-api/codex/responses HTTP/1.1\r\n"));
        for line in [
            "accept: text/event-stream",
            "chatgpt-account-id: acc_invented",
            "content-type: application/json",
            "originator: me",
            "user-agent: codex-test/1 (x)",
        ] {
            assert!(head.contains(&format!("\r\n{line}")), "{line}: {head}");
        }
        assert!(head.contains("\r\nauthorization: Bearer eyJ"), "{head}");
        assert!(!head.contains(KEY) && !head.contains("mine"), "{head}");
    });
}

#[test]
fn the_headers_of_the_codex_cli_pass_both_ways() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let lite = ["x-openai-internal-codex-responses-lite", "x-codex-window-id", "thread-id"];
        let session = "00000000-0000-4000-8000-000000000007";
        let body = json!({
            "model": "gpt-6.1-sol", "stream": true, "store": false, "parallel_tool_calls": false,
            "reasoning": {"effort": "low", "context": "all_turns"}, "prompt_cache_key": session,
            "include": ["reasoning.encrypted_content"], "tool_choice": "auto",
            "input": [
                {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}]},
                {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are Codex."}]},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            ],
        });
        let mut call = Call::responses(&body).by_codex().header("session-id", session);
        for name in lite {
            call = call.header(name, "true");
        }
        let reply = stage.proxy.send(call).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let sent = stage.sent().pop().unwrap();
        for name in lite {
            assert_eq!(sent.headers.get(name), Some("true"), "{name}");
        }
        assert_eq!(stage.last_cache_key(), session);
        let sent = sent.body.json();
        assert_eq!(sent["input"], body["input"]);
        assert_eq!(sent.get("instructions"), None);
        assert_eq!(sent["tool_choice"], "auto");
        for name in
            ["x-codex-turn-state", "x-codex-primary-used-percent", "x-models-etag", "openai-model"]
        {
            assert!(!reply.header(name).is_empty(), "{name}: {:?}", reply.headers);
        }
    });
}

#[test]
fn guidance_becomes_instructions_or_stays_a_developer_message() {
    let user = json!({"role": "user", "content": "hi"});
    let says = |role: &str, text: &str| json!({"role": role, "content": text});
    play(async move {
        let stage = Stage::on_mock(&["--instructions=Last resort."]).await;
        let check = async |instructions: Value, input: Value, expected: &str, roles: &[&str]| {
            let body = json!({"model": "gpt-5.5", "instructions": instructions, "input": input, "user": format!("{expected}{roles:?}{instructions}")});
            stage.proxy.responses(&body).await.fine();
            let sent = stage.last_body();
            assert_eq!(sent["instructions"], expected, "{body}");
            let sent = sent["input"].as_array().unwrap().clone();
            let sent: Vec<&str> = sent.iter().map(|it| it["role"].as_str().unwrap()).collect();
            assert_eq!(sent, roles, "{body}");
        };
        check(Value::Null, json!([user]), "Last resort.", &["user"]).await;
        check(json!(""), json!([user]), "Last resort.", &["user"]).await;
        check(json!("Be brief."), json!([user]), "Be brief.", &["user"]).await;
        let parts = json!([{"type": "input_text", "text": "Be brief."}]);
        check(parts, json!([user]), "Be brief.", &["user"]).await;
        let input = json!([says("system", "A"), says("developer", "B"), user]);
        check(json!("I"), input, "I\n\nA\n\nB", &["user"]).await;
        let input = json!([user, says("system", "A")]);
        check(Value::Null, input, "Last resort.", &["user", "developer"]).await;
    });
}

#[test]
fn names_of_models_mean_what_the_account_has() {
    play(async {
        let stage = Stage::on_mock(&["--model-alias=fast=gpt-5.5"]).await;
        let check = async |asked: Value, sent: &str, effort: Value, stand_in: &str| {
            for (path, call) in
                [("responses", question("hi")), ("chat/completions", self::asked("hi"))]
            {
                let body = with(call, json!({"model": asked}));
                let reply = stage.proxy.send(Call::post(&format!("/v1/{path}"), &body)).await;
                let shown = asked.as_str().unwrap_or("gpt-5.2-codex");
                assert_eq!(reply.fine()["model"], shown);
                assert_eq!(reply.header("x-godex-model"), stand_in, "{asked}");
                let last = stage.last_body();
                assert_eq!(last["model"], sent);
                assert_eq!(last["reasoning"]["effort"], effort, "{asked}");
            }
        };
        check(json!("gpt-5.5"), "gpt-5.5", Value::Null, "").await;
        check(json!("gpt-5.5-high"), "gpt-5.5", json!("high"), "").await;
        check(json!("gpt-5.5(low)"), "gpt-5.5", json!("low"), "").await;
        check(json!("fast"), "gpt-5.5", Value::Null, "").await;
        check(json!("gpt-5.2-codex"), "gpt-6.1-sol", Value::Null, "gpt-6.1-sol").await;
        check(Value::Null, "gpt-6.1-sol", Value::Null, "gpt-6.1-sol").await;
    });
}

#[test]
fn values_of_other_places_are_translated() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let check = async |sent: Value, pointer: &str, expected: Value| {
            let reply = stage.proxy.responses(&with(question("hi"), sent.clone())).await;
            assert_eq!(reply.status, 200, "{sent}: {}", reply.body);
            let body = stage.last_body();
            assert_eq!(body.pointer(pointer).cloned().unwrap_or_default(), expected, "{sent}");
        };
        let schema = json!({"type": "object", "properties": {}});
        let function = json!({"name": "f", "parameters": schema});
        let flat = json!([{"type": "function", "name": "f", "parameters": schema}]);
        check(json!({"service_tier": "fast"}), "/service_tier", json!("priority")).await;
        check(json!({"service_tier": "auto"}), "/service_tier", Value::Null).await;
        check(json!({"reasoning": {"effort": "minimal"}}), "/reasoning/effort", json!("low")).await;
        check(json!({"reasoning_effort": "high"}), "/reasoning/effort", json!("high")).await;
        check(
            json!({"tools": [{"type": "function", "function": function}]}),
            "/tools",
            flat.clone(),
        )
        .await;
        check(
            json!({"tools": [{"type": "web_search_preview"}]}),
            "/tools/0/type",
            json!("web_search"),
        )
        .await;
        let choice = json!({"type": "function", "function": {"name": "f"}});
        check(
            json!({"tools": flat, "tool_choice": choice}),
            "/tool_choice",
            json!({"type": "function", "name": "f"}),
        )
        .await;
        check(json!({"tool_choice": "auto"}), "/tool_choice", Value::Null).await;
        check(
            json!({"text": {"format": {"type": "json_object"}}}),
            "/text/format/type",
            json!("json_object"),
        )
        .await;
        check(
            json!({"tools": [{"type": "function", "name": "f", "parameters": null}]}),
            "/tools/0/parameters/type",
            json!("object"),
        )
        .await;
    });
}

#[test]
fn a_request_is_serialised_the_same_way_every_time() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let mut sent = Vec::new();
        for _ in 0..2 {
            let body = streamed(with(
                question("hi"),
                json!({"user": "ann", "tools": [{"type": "custom", "name": "c"}]}),
            ));
            let sending = stage.proxy.responses(&body);
            let playing = async {
                let turn = stage.backend.turn().await;
                let text = turn.text.clone();
                turn.answer(crate::backend::hello()).await;
                text
            };
            sent.push(tokio::join!(sending, playing).1);
        }
        assert_eq!(sent[0], sent[1]);
    });
}
