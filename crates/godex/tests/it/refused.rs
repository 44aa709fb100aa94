//! Parameters that the backend refuses: left out, named, never in the way.

use serde_json::{Value, json};

use crate::backend::hello;
use crate::client::{Call, Reply};
use crate::stage::{Stage, asked, play, question, streamed, with};

/// The refused parameters of the contract, each with a value that a client may send.
fn refused() -> Vec<(&'static str, Value)> {
    vec![
        ("temperature", json!(0)),
        ("top_p", json!(0.9)),
        ("max_output_tokens", json!(100)),
        ("metadata", json!({"a": "b"})),
        ("user", json!("ann")),
        ("safety_identifier", json!("someone")),
        ("truncation", json!("auto")),
        ("prompt_cache_retention", json!("24h")),
        ("prompt_cache_options", json!({"mode": "explicit"})),
        ("max_tokens", json!(100)),
        ("max_completion_tokens", json!(100)),
        ("presence_penalty", json!(0.5)),
        ("frequency_penalty", json!(0.5)),
        ("stop", json!(["x"])),
        ("seed", json!(7)),
        ("n", json!(1)),
        ("logit_bias", json!({"50256": -100})),
        ("top_logprobs", json!(2)),
        ("background", json!(false)),
        ("conversation", json!("conv_1")),
        ("prompt", json!({"id": "pmpt_1"})),
        ("max_tool_calls", json!(3)),
        ("response_format", json!({"type": "text"})),
        ("stream_options", json!({"include_usage": true})),
        ("context_management", json!([{"type": "compaction"}])),
        ("prompt_cache_breakpoint", json!(true)),
    ]
}

/// What only chat cannot serve.
fn refused_in_chat() -> Vec<(&'static str, Value)> {
    [refused(), vec![("previous_response_id", json!("resp_0"))]].concat()
}

/// What chat gives a meaning of its own: served, not dropped.
const SERVED_IN_CHAT: &[&str] = &["response_format", "stop", "stream_options"];

#[track_caller]
fn check(reply: &Reply, name: &str) {
    assert_eq!(reply.status, 200, "{name}: {}", reply.body);
    assert_eq!(reply.header("x-godex-dropped"), name);
}

#[test]
fn on_responses_every_refused_parameter_is_dropped_and_named() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for (name, value) in refused() {
            for stream in [false, true] {
                let body = with(question("hi"), json!({name: value, "stream": stream}));
                check(&stage.proxy.responses(&body).await, name);
                assert_eq!(stage.last_body().get(name), None);
            }
        }
        let body = with(question("hi"), json!({"messages": []}));
        check(&stage.proxy.responses(&body).await, "messages");
    });
}

#[test]
fn on_chat_every_refused_parameter_is_dropped_and_named_or_served() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for (name, value) in refused_in_chat() {
            let body = with(asked("hi"), json!({name: value}));
            let reply = stage.proxy.chat(&body).await;
            check(&reply, if SERVED_IN_CHAT.contains(&name) { "" } else { name });
            assert_eq!(stage.last_body().get(name), None);
        }
    });
}

#[test]
fn several_are_named_together_in_the_clients_order() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let more = json!({"top_p": 1, "temperature": 0.5, "seed": 1, "user": null});
        let body = streamed(with(question("hi"), more));
        check(&stage.proxy.responses(&body).await, "top_p, temperature, seed");
    });
}

#[test]
fn all_parameters_of_the_real_sdk_at_once_are_served() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for folder in ["responses", "chat"] {
            let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/requests");
            let path = format!("{root}/{folder}/openai-python_all_parameters.json");
            let body: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let path = if folder == "chat" { "chat/completions" } else { folder };
            let reply = stage.proxy.send(Call::post(&format!("/v1/{path}"), &body)).await;
            assert_eq!(reply.status, 200, "{folder}: {}", reply.body);
            assert!(reply.header("x-godex-dropped").contains("temperature"), "{folder}");
        }
    });
}

#[test]
fn dropped_values_come_back_as_sent() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let sent = json!({"temperature": 0.25, "top_p": 0.5, "max_output_tokens": 77, "metadata": {"a": "b"}, "truncation": "auto", "safety_identifier": "mine"});
        let reply = stage.proxy.responses(&with(question("hi"), sent.clone())).await.fine();
        let streamed = stage.proxy.responses(&streamed(with(question("hi"), sent.clone()))).await;
        for (name, value) in sent.as_object().unwrap() {
            assert_eq!(reply[name], *value, "{name}");
            assert_eq!(streamed.last()["response"][name], *value, "{name}");
        }
    });
}

#[test]
fn more_than_one_choice_is_a_bad_request() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for call in [
            Call::chat(&with(asked("hi"), json!({"n": 2}))),
            Call::responses(&with(question("hi"), json!({"n": 2}))),
            Call::chat(&with(asked("hi"), json!({"n": "1"}))),
        ] {
            let reply = stage.proxy.send(call).await;
            assert_eq!(reply.error().0, 400);
            assert_eq!(reply.json()["error"]["param"], "n");
        }
        assert!(stage.sent().is_empty());
    });
}

#[test]
fn a_tier_the_backend_has_not_is_dropped_and_named() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for call in [
            Call::responses(&with(question("hi"), json!({"service_tier": "flex"}))),
            Call::chat(&with(asked("hi"), json!({"service_tier": "flex"}))),
        ] {
            check(&stage.proxy.send(call).await, "service_tier");
        }
    });
}

#[test]
fn a_new_refusal_is_learned_from_the_backends_words() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let question = with(question("hi"), json!({"foo": {"a": 1}, "bar": 2}));
        let sending = stage.proxy.responses(&question);
        let playing = async {
            let turn = stage.backend.turn().await;
            assert_eq!(turn.body()["foo"], json!({"a": 1}));
            turn.json("400 Bad Request", &json!({"detail": "Unsupported parameter: foo"})).await;
            let turn = stage.backend.turn().await;
            assert_eq!(turn.body().get("foo"), None);
            assert_eq!(turn.body()["bar"], 2);
            turn.answer(hello()).await;
        };
        let (reply, ()) = tokio::join!(sending, playing);
        check(&reply, "foo");

        // On the other endpoint too it is left out at once.
        let again = with(asked("hi"), json!({"foo": 1, "bar": 2}));
        let sending = stage.proxy.chat(&again);
        let playing = async {
            let turn = stage.backend.turn().await;
            assert_eq!(turn.body().get("foo"), None);
            assert_eq!(turn.body()["bar"], 2);
            turn.answer(hello()).await;
        };
        let (reply, ()) = tokio::join!(sending, playing);
        check(&reply, "foo");
        assert!(stage.proxy.said().contains("`foo`"), "{}", stage.proxy.said());
    });
}

#[test]
fn a_refusal_of_what_cannot_be_left_out_is_told_and_not_repeated() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for words in ["Unsupported parameter: nothing_sent", "Unsupported parameter: input", "No"] {
            let question = question("hi");
            let sending = stage.proxy.responses(&question);
            let playing = async {
                let turn = stage.backend.turn().await;
                turn.json("400 Bad Request", &json!({"detail": words})).await;
                stage
                    .backend
                    .turn()
                    .await
                    .json("400 Bad Request", &json!({"detail": "twice"}))
                    .await;
            };
            tokio::select! {
                () = playing => panic!("`{words}`: it asked again"),
                reply = sending => {
                    assert_eq!(reply.error().0, 400);
                    assert_eq!(reply.message(), words);
                }
            }
        }
    });
}
