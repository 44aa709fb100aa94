//! Sessions: what is remembered of one, for whom, for how long, and under which name the
//! backend's prompt cache knows it.

use serde_json::{Value, json};

use crate::client::{Call, Reply};
use crate::stage::{KEY, Stage, Strict, asked, play, question, streamed, with};

/// Ways to name a session: a field or a header.
const NAMES: &[(&str, bool)] = &[
    ("user", false),
    ("x-openclaw-session-key", true),
    ("session-id", true),
    ("session_id", true),
    ("x-session-id", true),
    ("x-session-affinity", true),
    ("prompt_cache_key", false),
];

/// A call in a session.
fn named(path: &str, body: Value, (name, is_header): (&str, bool), session: &str) -> Call {
    if is_header {
        Call::post(path, &body).header(name, session)
    } else {
        Call::post(path, &with(body, json!({name: session})))
    }
}

/// The instructions that the backend got with an answered call.
async fn instructions(stage: &Stage<Strict>, call: Call) -> String {
    stage.proxy.send(call).await.fine();
    stage.last_body()["instructions"].as_str().unwrap().to_owned()
}

const DEFAULT: &str = "You are a helpful assistant.";

#[test]
fn a_session_remembers_its_last_instructions() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for name in NAMES {
            let on = |body: Value, session: &str| named("/v1/responses", body, *name, session);
            let saying = |text: &str| with(question("hi"), json!({"instructions": text}));
            assert_eq!(instructions(&stage, on(saying("One."), "a")).await, "One.", "{name:?}");
            assert_eq!(instructions(&stage, on(question("hi"), "a")).await, "One.", "{name:?}");
            assert_eq!(instructions(&stage, on(saying("Two."), "a")).await, "Two.", "{name:?}");
            assert_eq!(instructions(&stage, on(question("hi"), "a")).await, "Two.", "{name:?}");
            assert_eq!(instructions(&stage, on(question("hi"), "b")).await, DEFAULT, "{name:?}");
        }
    });
}

#[test]
fn a_session_is_the_same_on_both_endpoints() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let messages =
            json!([{"role": "system", "content": "One."}, {"role": "user", "content": "hi"}]);
        let chat = |body: Value| Call::chat(&with(body, json!({"user": "ann"})));
        let responses = |body: Value| Call::responses(&with(body, json!({"user": "ann"})));
        assert_eq!(instructions(&stage, chat(json!({"messages": messages}))).await, "One.");
        assert_eq!(instructions(&stage, chat(asked("hi"))).await, "One.");
        assert_eq!(instructions(&stage, responses(question("hi"))).await, "One.");
    });
}

#[test]
fn without_any_name_the_session_is_the_clients_address() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let saying = with(question("hi"), json!({"instructions": "One."}));
        assert_eq!(instructions(&stage, Call::responses(&saying)).await, "One.");
        assert_eq!(instructions(&stage, Call::responses(&question("ho"))).await, "One.");
    });
}

#[test]
fn the_user_field_names_the_session_before_the_header() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let by = |body: Value, user: &str, header: &str| {
            let body = with(body, json!({"user": user}));
            named("/v1/responses", body, ("x-openclaw-session-key", true), header)
        };
        let saying = with(question("hi"), json!({"instructions": "One."}));
        instructions(&stage, by(saying, "ann", "a")).await;
        assert_eq!(instructions(&stage, by(question("hi"), "ann", "b")).await, "One.");
        assert_eq!(instructions(&stage, by(question("hi"), "bob", "a")).await, DEFAULT);
    });
}

#[test]
fn what_is_remembered_expires() {
    play(async {
        // Another request is always later than that.
        let stage = Stage::on_mock(&["--cache-ttl=1ms"]).await;
        let body = with(
            question("[[mock: tool add {}]]"),
            json!({"user": "ann", "tools": tool(), "instructions": "One."}),
        );
        let call = first_call(&stage.proxy.responses(&body).await.fine());
        let next = with(question("hi"), json!({"user": "ann"}));
        assert_eq!(instructions(&stage, Call::responses(&next)).await, DEFAULT);
        let reply = stage.proxy.responses(&follow_up(&[(&call, "42")])).await;
        assert_eq!(reply.fine()["status"], "completed");
        assert_eq!(kinds(&stage), ["message"]);
    });
}

fn tool() -> Value {
    json!([
        {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}},
        {"type": "custom", "name": "shell"},
    ])
}

/// The id of the first call of a response.
fn first_call(response: &Value) -> String {
    response["output"][0]["call_id"].as_str().unwrap().to_owned()
}

/// A follow-up that carries outputs and nothing else.
fn follow_up(outputs: &[(&str, &str)]) -> Value {
    let outputs: Vec<Value> = outputs
        .iter()
        .map(
            |(id, output)| json!({"type": "function_call_output", "call_id": id, "output": output}),
        )
        .collect();
    json!({"model": "gpt-5.5", "input": outputs, "user": "ann", "tools": tool()})
}

/// The types of the items that the backend got last.
fn kinds(stage: &Stage<Strict>) -> Vec<String> {
    let items = stage.last_body()["input"].as_array().unwrap().clone();
    items.iter().map(|it| it["type"].as_str().unwrap().to_owned()).collect()
}

/// The text of an answer on either endpoint, in one piece or as a stream.
fn text(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.body);
    if reply.header("content-type") == "application/json" {
        let json = reply.json();
        let found = json.pointer("/choices/0/message/content");
        let found = found.or_else(|| json.pointer("/output/0/content/0/text"));
        return found.unwrap().as_str().unwrap().to_owned();
    }
    let pieces = reply.events().into_iter().filter(|it| it.data != "[DONE]").filter_map(|it| {
        let json = it.json();
        let delta = if it.name == "response.output_text.delta" {
            json.get("delta")
        } else {
            json.pointer("/choices/0/delta/content")
        };
        delta?.as_str().map(str::to_owned)
    });
    pieces.collect()
}

#[test]
fn a_follow_up_with_only_the_output_gets_its_call_back() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for (prompt, kind) in [
            ("[[mock: tool add {\"a\":1}]]", "function_call"),
            ("[[mock: custom shell ls]]", "custom_tool_call"),
        ] {
            for stream in [false, true] {
                let asking = with(
                    question(prompt),
                    json!({"user": "ann", "tools": tool(), "stream": stream}),
                );
                let reply = stage.proxy.responses(&asking).await;
                let response = if stream { reply.last()["response"].clone() } else { reply.fine() };
                let id = first_call(&response);
                let mut body = with(follow_up(&[(&id, "42")]), json!({"stream": stream}));
                body["input"][0]["type"] = json!(format!("{kind}_output"));
                assert_eq!(text(&stage.proxy.responses(&body).await), "The tool said: 42");
                assert_eq!(kinds(&stage), [kind, &format!("{kind}_output")]);
                let sent = &stage.last_body()["input"][0];
                for name in ["call_id", "name", "arguments", "input"] {
                    assert_eq!(sent.get(name), response["output"][0].get(name));
                }

                // The same on chat, which does not tell the two kinds of output apart.
                let message = json!({"role": "tool", "tool_call_id": id, "content": "43"});
                let body = json!({"messages": [message], "user": "ann", "stream": stream});
                assert_eq!(text(&stage.proxy.chat(&body).await), "The tool said: 43");
                assert_eq!(kinds(&stage), [kind, &format!("{kind}_output")]);
            }
        }
    });
}

#[test]
fn calls_answered_on_chat_are_remembered_too() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let tool = json!([{"type": "function", "function": {"name": "add"}}, {"type": "custom", "custom": {"name": "shell"}}]);
        for (prompt, stream) in
            [("tool add {}", false), ("tool add {}", true), ("custom shell x", false)]
        {
            let prompt = format!("[[mock: {prompt}]]");
            let asking =
                with(asked(&prompt), json!({"user": "ann", "tools": tool, "stream": stream}));
            let reply = stage.proxy.chat(&asking).await;
            let (_, id) = reply.body.split_once("call_0").unwrap();
            let id = format!("call_0{}", id.split('"').next().unwrap());
            let message = json!({"role": "tool", "tool_call_id": id, "content": "43"});
            let body = json!({"messages": [message], "user": "ann"});
            assert_eq!(text(&stage.proxy.chat(&body).await), "The tool said: 43", "{prompt}");
        }
    });
}

#[test]
fn several_outputs_each_get_their_call_in_the_clients_order() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let prompt = r#"[[mock: tools add {"a":1} add {"a":2}]]"#;
        let asking = with(question(prompt), json!({"user": "ann", "tools": tool()}));
        let response = stage.proxy.responses(&asking).await.fine();
        let ids: Vec<&str> = response["output"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["call_id"].as_str().unwrap())
            .collect();
        let body = follow_up(&[(ids[1], "second"), (ids[0], "first")]);
        assert_eq!(text(&stage.proxy.responses(&body).await), "The tool said: second\nfirst");
        let sent = stage.last_body()["input"].as_array().unwrap().clone();
        let order: Vec<(&str, &str)> = sent
            .iter()
            .map(|it| (it["type"].as_str().unwrap(), it["call_id"].as_str().unwrap()))
            .collect();
        let expected = [
            ("function_call", ids[1]),
            ("function_call_output", ids[1]),
            ("function_call", ids[0]),
            ("function_call_output", ids[0]),
        ];
        assert_eq!(order, expected);
    });
}

#[test]
fn a_call_that_stands_in_the_history_is_not_repeated() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let asking =
            with(question("[[mock: tool add {}]]"), json!({"user": "ann", "tools": tool()}));
        let response = stage.proxy.responses(&asking).await.fine();
        let id = first_call(&response);
        let body = json!({"user": "ann", "tools": tool(), "input": [
            {"role": "user", "content": "go"},
            response["output"][0],
            {"type": "function_call_output", "call_id": id, "output": "42"},
        ]});
        stage.proxy.responses(&body).await.fine();
        assert_eq!(kinds(&stage), ["message", "function_call", "function_call_output"]);
    });
}

#[test]
fn broken_pairs_are_mended_instead_of_refused() {
    let user = json!({"role": "user", "content": "hi"});
    let call = json!({"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"});
    let output = json!({"type": "function_call_output", "call_id": "c1", "output": "42"});
    play(async move {
        let stage = Stage::on_mock(&[]).await;
        let check = async |input: Value, expected: &[&str]| {
            let body = json!({"input": input, "user": format!("{expected:?}")});
            stage.proxy.responses(&body).await.fine();
            assert_eq!(kinds(&stage), expected, "{input}");
        };
        let (call_kind, output_kind) = ("function_call", "function_call_output");
        check(json!([user, call]), &["message", call_kind, output_kind]).await;
        check(json!([user, call, user]), &["message", call_kind, output_kind, "message"]).await;
        check(json!([user, output]), &["message", "message"]).await;
        check(json!([output]), &["message"]).await;
        check(json!([user, output, call]), &["message", call_kind, output_kind]).await;
        check(json!([user, call, call, output]), &["message", call_kind, output_kind]).await;
    });
}

#[test]
fn calls_that_are_counted_anew_in_every_turn_keep_their_outputs() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let check = || {
            let items = &stage.last_body()["input"];
            let ids: Vec<_> = (0..6).map(|at| items[at]["call_id"].clone()).collect();
            assert_eq!(json!(ids), json!([null, "call_0", "call_0", null, "call_0_2", "call_0_2"]));
            assert_eq!(items[4]["name"], "sub");
            assert_eq!((&items[2]["output"], &items[5]["output"]), (&json!("3"), &json!("1")));
        };
        let turn = |name: &str, output: &str| {
            [
                json!({"role": "user", "content": "hi"}),
                json!({"type": "function_call", "call_id": "call_0", "name": name, "arguments": "{}"}),
                json!({"type": "function_call_output", "call_id": "call_0", "output": output}),
            ]
        };
        let input = [turn("add", "3"), turn("sub", "1")].concat();
        stage.proxy.responses(&json!({"input": input})).await.fine();
        check();

        let turn = |name: &str, output: &str| {
            let call = json!({"id": "call_0", "type": "function", "function": {"name": name, "arguments": "{}"}});
            [
                json!({"role": "user", "content": "hi"}),
                json!({"role": "assistant", "content": null, "tool_calls": [call]}),
                json!({"role": "tool", "tool_call_id": "call_0", "content": output}),
            ]
        };
        let messages = [turn("add", "3"), turn("sub", "1")].concat();
        stage.proxy.chat(&json!({"messages": messages})).await.fine();
        check();
    });
}

#[test]
fn an_output_whose_call_nobody_knows_becomes_words_and_is_logged() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        stage.proxy.responses(&follow_up(&[("call_unheard", "the secret of life")])).await.fine();
        assert_eq!(kinds(&stage), ["message"]);
        let sent = stage.last_body()["input"][0].to_string();
        assert!(sent.contains("the secret of life") && sent.contains("call_unheard"), "{sent}");
        stage.proxy.says("a tool output came without its call").await;
        assert!(!stage.proxy.said().contains("the secret of life"));

        let message = json!({"role": "tool", "tool_call_id": "call_unheard", "content": "42"});
        stage.proxy.chat(&json!({"messages": [message]})).await.fine();
        assert_eq!(kinds(&stage), ["message"]);
    });
}

/// Two keys that must not know of each other, and a proxy that knows both.
async fn two_keys(any: bool) -> (Stage<Strict>, [String; 2]) {
    if any {
        let stage = Stage::on_mock(&["--allow-any-key"]).await;
        return (stage, ["token-one".to_owned(), "token-two".to_owned()]);
    }
    let mut stage = Stage::on_mock(&[]).await;
    let keys = [stage.managed_key("one", &[]), stage.managed_key("two", &[])];
    stage.restart(&[]).await;
    (stage, keys)
}

#[test]
fn two_keys_with_the_same_user_never_see_each_other() {
    for any in [false, true] {
        play(async move {
            let (stage, [one, two]) = two_keys(any).await;
            let more = json!({"user": "ann", "tools": tool(), "instructions": "Secret of one."});
            let asking = with(question("[[mock: tool add {\"a\":1}]]"), more);
            let response = stage.proxy.send(Call::responses(&asking).key(&one)).await.fine();
            let of_one = stage.last_cache_key();
            let id = first_call(&response);

            // The other key, with the same user and the same call.
            for key in [two.as_str(), if any { "token-three" } else { KEY }] {
                let body = follow_up(&[(&id, "42")]);
                let reply = stage.proxy.send(Call::responses(&body).key(key)).await;
                assert_eq!(reply.status, 200, "{}", reply.body);
                assert_eq!(kinds(&stage), ["message"]);
                assert_eq!(stage.last_body()["instructions"], DEFAULT);
                let same = with(
                    question("[[mock: tool add {\"a\":1}]]"),
                    json!({"user": "ann", "tools": tool()}),
                );
                stage.proxy.send(Call::responses(&same).key(key)).await.fine();
                assert_ne!(stage.last_cache_key(), of_one);
                assert_eq!(stage.last_body()["instructions"], DEFAULT);
            }

            // Its own.
            let body = follow_up(&[(&id, "42")]);
            stage.proxy.send(Call::responses(&body).key(&one)).await.fine();
            assert_eq!(kinds(&stage), ["function_call", "function_call_output"]);
            assert_eq!(stage.last_body()["instructions"], "Secret of one.");
        });
    }
}

#[test]
fn two_keys_with_the_same_prompt_cache_key_share_no_cache() {
    play(async {
        let (stage, keys) = two_keys(false).await;
        let mut seen = Vec::new();
        for key in &keys {
            for session in ["mine", "00000000-0000-4000-8000-000000000007"] {
                let body = with(question("hi"), json!({"prompt_cache_key": session}));
                let reply = stage.proxy.send(Call::responses(&body).key(key)).await.fine();
                assert_eq!(reply["prompt_cache_key"], session);
                seen.push(stage.last_cache_key());
            }
        }
        let mut different = seen.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), seen.len(), "{seen:?}");
        assert!(seen.iter().all(|it| it.len() <= 64 && !it.contains("mine")));
    });
}

#[test]
fn turns_of_one_conversation_share_a_cache_key_across_restarts_and_others_do_not() {
    play(async {
        let mut stage = Stage::on_mock(&[]).await;
        let user = |text: &str| json!({"role": "user", "content": text});
        let turn = |input: Value| json!({"model": "gpt-5.5", "input": input, "user": "ann"});
        let answer = json!({"role": "assistant", "content": "yes"});
        stage.proxy.responses(&turn(json!([user("one")]))).await.fine();
        let first = stage.last_cache_key();
        assert!(!first.contains("ann") && first.len() <= 64, "{first}");

        let second = turn(json!([user("one"), answer, user("more")]));
        stage.proxy.responses(&second).await.fine();
        assert_eq!(stage.last_cache_key(), first);
        stage.restart(&[]).await;
        stage.proxy.responses(&second).await.fine();
        assert_eq!(stage.last_cache_key(), first, "after a restart");

        stage.proxy.responses(&turn(json!([user("two")]))).await.fine();
        assert_ne!(stage.last_cache_key(), first, "another conversation");
        let other = with(turn(json!([user("one")])), json!({"user": "bob"}));
        stage.proxy.responses(&other).await.fine();
        assert_ne!(stage.last_cache_key(), first, "another session");
    });
}

#[test]
fn a_conversation_keeps_its_cache_key_from_chat_to_responses_and_in_follow_ups() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let prompt = "[[mock: tool add {}]]";
        let asking = with(question(prompt), json!({"user": "ann", "tools": tool()}));
        let response = stage.proxy.responses(&asking).await.fine();
        let first = stage.last_cache_key();
        let id = first_call(&response);
        stage.proxy.responses(&follow_up(&[(&id, "42")])).await.fine();
        assert_eq!(stage.last_cache_key(), first, "the follow-up");
        let chat = with(asked(prompt), json!({"user": "ann"}));
        stage.proxy.chat(&streamed(chat)).await;
        assert_eq!(stage.last_cache_key(), first, "the same words on chat");
    });
}

#[test]
fn two_users_of_one_key_share_no_instructions_although_a_header_is_the_same() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for (name, is_header) in
            [("x-session-id", true), ("session-id", true), ("prompt_cache_key", false)]
        {
            let by = |body: Value, user: &str| {
                named("/v1/responses", with(body, json!({"user": user})), (name, is_header), name)
            };
            let saying = with(question("hi"), json!({"instructions": "One."}));
            instructions(&stage, by(saying, "ann")).await;
            assert_eq!(instructions(&stage, by(question("hi"), "ann")).await, "One.");
            assert_eq!(instructions(&stage, by(question("hi"), "bob")).await, DEFAULT, "{name}");
        }
    });
}
