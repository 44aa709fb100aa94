//! Clients that name what was said before instead of sending it again: by
//! `previous_response_id` and by `item_reference`.

use serde_json::{Value, json};

use crate::client::{Call, Reply};
use crate::stage::{Stage, Strict, play, question, streamed, with};

const DEFAULT: &str = "You are a helpful assistant.";

/// The response of an answer, in one piece or as a stream.
#[track_caller]
fn response(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.header("x-godex-dropped"), "");
    if reply.header("content-type") == "application/json" {
        return reply.json();
    }
    let last = reply.last();
    assert_eq!(last["type"], "response.completed", "{last}");
    last["response"].clone()
}

/// A request that goes on from a response.
fn after(previous: &Value, input: &Value) -> Value {
    json!({"model": "gpt-5.5", "previous_response_id": previous["id"], "input": input, "tools": tools()})
}

fn tools() -> Value {
    json!([
        {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}},
        {"type": "custom", "name": "shell"},
    ])
}

fn user(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

fn output(call: &Value, text: &str) -> Value {
    json!({"type": format!("{}_output", call["type"].as_str().unwrap()), "call_id": call["call_id"], "output": text})
}

/// What the backend got as input.
fn sent(stage: &Stage<Strict>) -> Value {
    stage.last_body()["input"].clone()
}

#[track_caller]
fn refused(reply: &Reply, code: &str, param: &str, id: &str) {
    let expected = (400, "invalid_request_error".to_owned(), code.to_owned());
    assert_eq!(reply.error(), expected, "{}", reply.body);
    assert_eq!(reply.json()["error"]["param"], param);
    let message = reply.message();
    let words = if param == "input" { "Item" } else { "Previous response" };
    assert!(message.starts_with(&format!("{words} with id '{id}' not found.")), "{message}");
    assert!(message.contains("`store: false`") && message.contains("`input`"), "{message}");
}

#[test]
fn req18_a_chain_of_responses_is_one_conversation() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for stream in [false, true] {
            let ask = async |body: Value| {
                let reply = stage.proxy.responses(&with(body, json!({"stream": stream}))).await;
                response(&reply)
            };
            let first = ask(question("one")).await;
            assert_eq!(first["previous_response_id"], Value::Null);
            let key = stage.last_cache_key();
            let second = ask(after(&first, &json!("two"))).await;
            assert_eq!(second["previous_response_id"], first["id"]);
            let (one, two) = (&first["output"][0], &second["output"][0]);
            assert_eq!(sent(&stage), json!([user("one"), one, user("two")]));
            assert_eq!(stage.last_cache_key(), key, "it is one conversation");
            assert_eq!(stage.last_body().get("previous_response_id"), None);

            let third = ask(after(&second, &json!([user("three")]))).await;
            assert_eq!(third["previous_response_id"], second["id"]);
            assert_eq!(sent(&stage), json!([user("one"), one, user("two"), two, user("three")]));
            assert_eq!(third["output"][0]["content"][0]["text"], "Mock answer to: three");

            // Any response of the chain may be gone on from, more than once.
            ask(after(&first, &json!("other"))).await;
            assert_eq!(sent(&stage), json!([user("one"), one, user("other")]));
        }
    });
}

#[test]
fn req18_every_event_with_a_response_names_the_previous_one() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let first = response(&stage.proxy.responses(&question("one")).await);
        let reply = stage.proxy.responses(&streamed(after(&first, &json!("two")))).await;
        let events = reply.events();
        let named = events.iter().filter_map(|it| it.json().get("response").cloned());
        let named: Vec<_> = named.map(|it| it["previous_response_id"].clone()).collect();
        assert_eq!(named, vec![first["id"].clone(); 3]);
    });
}

#[test]
fn req18_tool_outputs_alone_go_on_from_the_response_with_the_calls() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let prompt = r#"[[mock: reasoning]] [[mock: tools add {"a":1} add {"a":2}]] [[mock: custom shell ls]]"#;
        // Each turn is another session: nothing but the id connects them.
        let ask = async |body: Value, session: &str| {
            let body = with(body, json!({"user": session, "store": true}));
            let reply = stage.proxy.send(Call::responses(&body)).await;
            assert_eq!((reply.status, reply.header("x-godex-dropped")), (200, "user"));
            reply.json()
        };
        let first = ask(with(question(prompt), json!({"tools": tools()})), "a").await;
        let [thought, one, two] = first["output"].as_array().unwrap().as_slice() else {
            panic!("{first}")
        };
        assert!(thought["encrypted_content"].is_string(), "{thought}");
        let outputs = json!([output(two, "second"), output(one, "first")]);
        let second = ask(after(&first, &outputs), "b").await;
        let history = json!([user(prompt), thought, one, two, outputs[0], outputs[1]]);
        assert_eq!(sent(&stage), history);

        let custom = second["output"].as_array().unwrap().last().unwrap();
        assert_eq!(custom["type"], "custom_tool_call");
        let third = ask(after(&second, &json!([output(custom, "a.txt")])), "c").await;
        let answer = third["output"].as_array().unwrap().last().unwrap();
        assert_eq!(answer["content"][0]["text"], "The tool said: second\nfirst\na.txt");
    });
}

#[test]
fn req18_references_stand_for_items_of_earlier_turns() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let prompt = r#"[[mock: reasoning]] [[mock: tools add {"a":1} add {"a":2}]] [[mock: custom shell ls]]"#;
        let reference = |item: &Value| json!({"type": "item_reference", "id": item["id"]});
        for stream in [false, true] {
            let mut input =
                vec![json!({"role": "developer", "content": "Be brief."}), user(prompt)];
            let mut expected = vec![user(prompt)];
            // The loop of the Vercel AI SDK: references for what the model said, the calls once
            // more where they have no other name, and the outputs.
            for (said, by_reference) in [(3, true), (2, false), (2, true)] {
                let body =
                    json!({"model": "gpt-5.5", "input": input, "tools": tools(), "stream": stream});
                let answer = response(&stage.proxy.responses(&body).await);
                assert_eq!(sent(&stage), json!(expected));
                assert_eq!(stage.last_body()["instructions"], "Be brief.");
                let items = answer["output"].as_array().unwrap();
                assert_eq!(items.len(), said, "{answer}");
                for item in items {
                    let whole = !by_reference && item["type"] != "reasoning";
                    input.push(if whole { item.clone() } else { reference(item) });
                    expected.push(item.clone());
                }
                for item in items.iter().filter(|it| it.get("call_id").is_some()) {
                    input.push(output(item, "done"));
                    expected.push(output(item, "done"));
                }
            }
            input.push(user("and now?"));
            expected.push(user("and now?"));
            let body =
                json!({"model": "gpt-5.5", "input": input, "tools": tools(), "stream": stream});
            response(&stage.proxy.responses(&body).await);
            assert_eq!(sent(&stage), json!(expected));
        }
    });
}

#[test]
fn req18_an_item_that_is_there_already_is_not_repeated() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let asking = with(question("[[mock: tool add {}]]"), json!({"tools": tools()}));
        let first = response(&stage.proxy.responses(&asking).await);
        let call = &first["output"][0];
        let reference = json!({"type": "item_reference", "id": call["id"]});
        let bare = json!({"id": call["id"]});
        let done = output(call, "42");
        let prompt = user("[[mock: tool add {}]]");
        let expected = json!([prompt, call, done]);
        for input in [
            json!([prompt, reference, call, done]),
            json!([prompt, call, reference, done]),
            json!([prompt, reference, bare, done]),
            json!([prompt, bare, done]),
        ] {
            let body = json!({"input": input, "tools": tools()});
            response(&stage.proxy.responses(&body).await);
            assert_eq!(sent(&stage), expected, "{input}");
        }
        for input in [json!([reference, done]), json!([call, done]), json!([done])] {
            response(&stage.proxy.responses(&after(&first, &input)).await);
            assert_eq!(sent(&stage), expected, "{input}");
        }
    });
}

#[test]
fn req18_an_item_that_says_something_else_under_a_known_id_is_sent() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let named = |text: &str| with(user(text), json!({"id": "msg_mine"}));
        let first = response(&stage.proxy.responses(&json!({"input": [named("A")]})).await);
        let answer = first["output"][0].clone();
        response(&stage.proxy.responses(&after(&first, &json!([named("B")]))).await);
        assert_eq!(sent(&stage), json!([named("A"), answer, user("B")]));
        response(&stage.proxy.responses(&after(&first, &json!([named("A"), user("C")]))).await);
        assert_eq!(sent(&stage), json!([named("A"), answer, user("C")]));
        let reference = json!({"type": "item_reference", "id": answer["id"]});
        let input = json!([named("B"), reference, named("C"), named("B")]);
        response(&stage.proxy.responses(&json!({"input": input})).await);
        assert_eq!(sent(&stage), json!([named("B"), answer, user("C")]));
        // The same words in another form are no news.
        let again = json!({"id": answer["id"], "role": "assistant", "content": answer["content"][0]["text"]});
        response(&stage.proxy.responses(&after(&first, &json!([again, user("C")]))).await);
        assert_eq!(sent(&stage), json!([named("A"), answer, user("C")]));
    });
}

#[test]
fn req18_a_client_that_sends_everything_and_names_it_too_says_it_once() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let system = json!({"role": "system", "content": "Be brief."});
        let said = |reply: &Value| reply["output"][0]["content"][0]["text"].clone();
        let mut input = vec![system, user("one")];
        let mut previous = Value::Null;
        for n in 0..3 {
            let body = json!({"input": input, "previous_response_id": previous});
            let answer = response(&stage.proxy.responses(&body).await);
            assert_eq!(sent(&stage).as_array().unwrap().len(), 2 * n + 1);
            assert_eq!(stage.last_body()["instructions"], "Be brief.");
            input.push(json!({"role": "assistant", "content": said(&answer)}));
            input.push(user("more"));
            previous = answer["id"].clone();
        }
        // The same words again are no repetition of the conversation.
        let again =
            |previous: &Value| with(question("hi"), json!({"previous_response_id": previous}));
        let first = response(&stage.proxy.responses(&again(&Value::Null)).await);
        response(&stage.proxy.responses(&again(&first["id"])).await);
        assert_eq!(sent(&stage), json!([user("hi"), first["output"][0], user("hi")]));
    });
}

#[test]
fn req18_messages_of_the_system_are_carried_over_and_instructions_are_not() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let system = |text: &str| json!({"role": "system", "content": text});
        let ask = async |body: Value, session: &str| {
            let call = Call::responses(&body).header("x-session-id", session);
            (response(&stage.proxy.send(call).await), stage.last_body()["instructions"].clone())
        };
        let body = with(question("one"), json!({"instructions": "One."}));
        let (first, _) = ask(body, "a").await;
        let (_, instructions) = ask(after(&first, &json!("two")), "b").await;
        assert_eq!(instructions, DEFAULT);
        // A session still remembers its own.
        let (_, instructions) = ask(after(&first, &json!("two")), "a").await;
        assert_eq!(instructions, "One.");

        let (first, _) = ask(json!({"input": [system("Be brief."), user("one")]}), "c").await;
        let body = after(&first, &json!([system("Be kind."), user("two")]));
        let (second, instructions) = ask(body, "d").await;
        assert_eq!(instructions, "Be brief.");
        let kind = json!({"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]});
        let history = json!([user("one"), first["output"][0], kind, user("two")]);
        assert_eq!(sent(&stage), history);
        let more = json!({"instructions": "New."});
        let (_, instructions) = ask(with(after(&second, &json!("three")), more), "d").await;
        assert_eq!(instructions, "New.\n\nBe brief.");
    });
}

#[test]
fn req18_what_is_recalled_takes_no_instructions_from_the_session() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let ask = async |body: Value| {
            let call = Call::responses(&body).header("x-session-id", "a");
            (response(&stage.proxy.send(call).await), stage.last_body()["instructions"].clone())
        };
        let system = json!({"role": "system", "content": "Be brief."});
        let body = json!({"input": [system, user("one")], "instructions": "One."});
        let (first, _) = ask(body).await;
        let (second, instructions) = ask(after(&first, &json!("two"))).await;
        assert_eq!(instructions, "One.\n\nBe brief.");
        let (_, instructions) = ask(question("other")).await;
        assert_eq!(instructions, "One.\n\nBe brief.");

        let more = json!({"instructions": "New."});
        let (third, instructions) = ask(with(after(&second, &json!("three")), more)).await;
        assert_eq!(instructions, "New.\n\nBe brief.");
        let (_, instructions) = ask(after(&third, &json!("four"))).await;
        assert_eq!(instructions, "New.\n\nBe brief.");
        let (_, instructions) = ask(question("other")).await;
        assert_eq!(instructions, "New.");
    });
}

#[test]
fn req18_unknown_ids_are_refused_with_the_remedy() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for stream in [false, true] {
            let more = json!({"previous_response_id": "resp_x", "stream": stream});
            let reply = stage.proxy.responses(&with(question("hi"), more)).await;
            refused(&reply, "previous_response_not_found", "previous_response_id", "resp_x");
            for kind in [json!("item_reference"), Value::Null] {
                let reference = json!({"type": kind, "id": "rs_x"});
                let body = json!({"input": [user("hi"), reference], "stream": stream});
                let reply = stage.proxy.responses(&body).await;
                refused(&reply, "invalid_value", "input", "rs_x");
            }
        }
        let wrong = with(question("hi"), json!({"previous_response_id": 7}));
        assert_eq!(stage.proxy.responses(&wrong).await.json()["error"]["code"], "invalid_type");
        let wrong = json!({"input": [{"type": "item_reference"}]});
        let reply = stage.proxy.responses(&wrong).await;
        assert_eq!(reply.json()["error"]["param"], "input[0].id");
        assert_eq!(stage.sent().len(), 0);
    });
}

#[test]
fn req18_nothing_is_kept_of_a_request_that_says_so() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let first = with(question("[[mock: reasoning]] hi"), json!({"store": false}));
        let first = response(&stage.proxy.responses(&first).await);
        let id = first["id"].as_str().unwrap();
        let reply = stage.proxy.responses(&after(&first, &json!("more"))).await;
        refused(&reply, "previous_response_not_found", "previous_response_id", id);
        let id = first["output"][0]["id"].as_str().unwrap();
        let input = json!([{"type": "item_reference", "id": id}, user("more")]);
        let reply = stage.proxy.responses(&json!({"input": input})).await;
        refused(&reply, "invalid_value", "input", id);
    });
}

#[test]
fn req18_no_key_can_name_what_another_brought() {
    play(async {
        let mut stage = Stage::on_mock(&[]).await;
        let [one, two] = ["one", "two"].map(|label| stage.managed_key(label, &[]));
        stage.restart(&[]).await;
        let call = |body: &Value, key: &str| Call::responses(body).key(key);
        let body = question("[[mock: reasoning]] secret");
        let first = response(&stage.proxy.send(call(&body, &one)).await);
        let id = first["id"].as_str().unwrap();
        let item = first["output"][0]["id"].as_str().unwrap();
        let follow_up = after(&first, &json!("more"));
        let reference = json!({"input": [{"type": "item_reference", "id": item}, user("more")]});
        let reply = stage.proxy.send(call(&follow_up, &two)).await;
        refused(&reply, "previous_response_not_found", "previous_response_id", id);
        refused(&stage.proxy.send(call(&reference, &two)).await, "invalid_value", "input", item);
        response(&stage.proxy.send(call(&follow_up, &one)).await);
        response(&stage.proxy.send(call(&reference, &one)).await);
    });
}

#[test]
fn req18_what_is_held_expires() {
    play(async {
        // Another request is always later than that.
        let stage = Stage::on_mock(&["--cache-ttl=1ms"]).await;
        let first = response(&stage.proxy.responses(&question("one")).await);
        let reply = stage.proxy.responses(&after(&first, &json!("two"))).await;
        let id = first["id"].as_str().unwrap();
        refused(&reply, "previous_response_not_found", "previous_response_id", id);
    });
}

#[test]
fn req18_an_answer_that_did_not_end_well_can_be_gone_on_from() {
    play(async {
        let stage = Stage::on_mock(&["--log-requests"]).await;
        let ask = async |prompt: &str| {
            let reply = stage.proxy.responses(&streamed(question(prompt))).await;
            let created = reply.events()[0].json()["response"].clone();
            let deltas = reply.events().into_iter().map(|it| it.json());
            let text: String =
                deltas.filter_map(|it| it["delta"].as_str().map(str::to_owned)).collect();
            (created, text)
        };
        for prompt in ["incomplete max_output_tokens", "fail server_error", "cut"] {
            let prompt = format!("[[mock: {prompt}]]");
            let (created, text) = ask(&prompt).await;
            assert!(!text.is_empty());
            response(&stage.proxy.responses(&after(&created, &json!("go on"))).await);
            let sent = sent(&stage);
            assert_eq!((&sent[0], &sent[2]), (&user(&prompt), &user("go on")), "{sent}");
            assert_eq!(sent[1]["content"][0]["text"], text, "{prompt}");
        }
        // The client left in the middle.
        let body = streamed(question("[[mock: pace 5 1000]]"));
        let mut stream = stage.proxy.open(Call::responses(&body)).await;
        let seen = stream.until("output_text.delta").await;
        let (_, id) = seen.split_once(r#""id":"resp_"#).unwrap();
        let created = json!({"id": format!("resp_{}", id.split('"').next().unwrap())});
        drop(stream);
        stage.proxy.says("\"status\":499").await;
        response(&stage.proxy.responses(&after(&created, &json!("go on"))).await);
        assert_eq!(sent(&stage).as_array().unwrap().len(), 3);
    });
}

#[test]
fn req18_the_codex_cli_keeps_its_own_history() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let first = stage.proxy.send(Call::responses(&question("one")).by_codex()).await;
        let body = after(&first.fine(), &json!("two"));
        let reply = stage.proxy.send(Call::responses(&body).by_codex()).await;
        assert_eq!((reply.status, reply.header("x-godex-dropped")), (200, "previous_response_id"));
        assert_eq!(sent(&stage), json!([user("two")]));
    });
}
