//! `stop` on chat: the backend has no such parameter, the proxy ends the text itself.

use godex_mock::record::{Ending, Received};
use serde_json::{Value, json};

use crate::backend::{STREAM, closing, event, opening};
use crate::client::Reply;
use crate::stage::{Stage, asked, play, question, streamed, with};

/// Text and finish reasons of an answer, whichever form it has.
fn said(reply: &Reply) -> (String, Vec<String>) {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let (choices, name) = match serde_json::from_str::<Value>(&reply.body) {
        Ok(whole) => (vec![whole["choices"][0].clone()], "message"),
        Err(_) => (reply.chunks().iter().map(|it| it["choices"][0].clone()).collect(), "delta"),
    };
    let text = choices.iter().filter_map(|it| it[name]["content"].as_str()).collect();
    let reasons = choices.iter().filter_map(|it| it["finish_reason"].as_str());
    (text, reasons.map(str::to_owned).collect())
}

/// The record is a good end whose cost is the guess that the client was told.
fn pays_what_it_was_told(reply: &Reply, record: &Value) {
    assert_eq!((&record["status"], &record["estimated"]), (&json!(200), &json!(true)));
    let told = match serde_json::from_str::<Value>(&reply.body) {
        Ok(whole) => whole["usage"].clone(),
        Err(_) => reply.chunks().pop().unwrap()["usage"].clone(),
    };
    assert!(told["total_tokens"].as_u64().is_some_and(|it| it > 0), "{told}");
    assert_eq!(record["total_tokens"], told["total_tokens"]);
}

#[test]
fn req2_stop_ends_the_text_before_the_sequence_and_the_rest_is_not_delivered() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for (stop, expected) in [
            (json!("END"), "one two "),
            (json!(["nothing", "two E"]), "one "),
            (json!(["END three", "two"]), "one "),
            (json!("o"), ""),
            (json!("absent"), "one two END three"),
            (json!("threes"), "one two END three"),
            (json!([]), "one two END three"),
            (Value::Null, "one two END three"),
        ] {
            let body = with(asked("[[mock: echo one two END three]]"), json!({"stop": stop}));
            for body in [body.clone(), streamed(body)] {
                let reply = stage.proxy.chat(&body).await;
                assert_eq!(reply.header("x-godex-dropped"), "");
                assert_eq!(said(&reply), (expected.to_owned(), vec!["stop".to_owned()]), "{body}");
                assert_eq!(stage.last_body().get("stop"), None);
            }
        }
    });
}

#[test]
fn req2_a_sequence_is_found_although_its_pieces_come_one_by_one() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let sending_body = streamed(with(asked("hi"), json!({"stop": "ello"})));
        let sending = stage.proxy.open(crate::client::Call::chat(&sending_body));
        let playing = async {
            let mut turn = stage.backend.turn().await;
            turn.write([STREAM, &opening()].concat()).await;
            turn
        };
        let (mut stream, turn) = tokio::join!(sending, playing);
        // `Hel` may become `Hello`; only what cannot is shown.
        let seen = stream.until("\"H\"").await;
        assert!(!seen.contains("el\"}"), "{seen}");
        turn.answer(closing()).await;
        let reply = stream.rest().await;
        assert_eq!(said(&reply), ("H".to_owned(), vec!["stop".to_owned()]));
    });
}

#[test]
fn req2_what_an_ended_text_has_cost_is_recorded_and_told() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let usage = json!({"stop": "two", "stream_options": {"include_usage": true}});
        let body = with(asked("[[mock: echo one two three]]"), usage);
        let whole = stage.proxy.chat(&body).await.fine();
        let last = stage.proxy.chat(&streamed(body)).await.chunks().pop().unwrap();
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["completion_tokens"], whole["usage"]["completion_tokens"]);
        for record in stage.records() {
            assert_eq!(record["status"], 200);
            assert_eq!(record["total_tokens"], whole["usage"]["total_tokens"], "{record}");
            assert_eq!(record.get("estimated"), None, "{record}");
        }
    });
}

#[test]
fn req2_a_backend_that_goes_on_after_the_end_is_left_and_its_cost_guessed() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let more = json!({"stop": " ", "stream_options": {"include_usage": true}});
        let body = with(asked("[[mock: hang-mid]]"), more);
        for (count, body) in [(1, body.clone()), (2, streamed(body))] {
            let reply = stage.proxy.chat(&body).await;
            assert_eq!(said(&reply), ("This".to_owned(), vec!["stop".to_owned()]));
            let cancelled = |all: &[Received]| {
                all.iter().filter(|it| matches!(it.ending, Ending::Cancelled(_))).count() == count
            };
            stage.backend.mock.until(cancelled).await;
            pays_what_it_was_told(&reply, &stage.records().pop().unwrap());
        }
    });
}

#[test]
fn req2_an_ended_text_is_no_failure_although_its_backend_fails_behind_it() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let failed = json!({"type": "response.failed", "sequence_number": 5, "response": {
            "id": "resp_1", "status": "failed", "output": [],
            "error": {"code": "server_error", "message": "broken"},
        }});
        let more = json!({"stop": "el", "stream_options": {"include_usage": true}});
        let body = with(asked("hi"), more);
        for body in [body.clone(), streamed(body)] {
            let playing = async {
                let turn = stage.backend.turn().await;
                turn.answer([STREAM, &opening(), &event(&failed)].concat()).await;
            };
            let (reply, ()) = tokio::join!(stage.proxy.chat(&body), playing);
            assert_eq!(said(&reply), ("H".to_owned(), vec!["stop".to_owned()]));
            pays_what_it_was_told(&reply, &stage.records().pop().unwrap());
        }
    });
}

#[test]
fn req2_a_stop_sequence_touches_neither_calls_nor_reasoning() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let tool = json!({"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}});
        let more = json!({"tools": [tool], "stop": ["a", "\""]});
        let body = with(asked(r#"[[mock: tool add {"a":1}]]"#), more);
        let whole = stage.proxy.chat(&body).await.fine();
        let choice = &whole["choices"][0];
        assert_eq!(choice["message"]["tool_calls"][0]["function"]["arguments"], r#"{"a":1}"#);
        assert_eq!(choice["finish_reason"], "tool_calls");
        let chunks = stage.proxy.chat(&streamed(body)).await.chunks();
        let pieces = chunks.iter().filter_map(|it| {
            it.pointer("/choices/0/delta/tool_calls/0/function/arguments")?.as_str()
        });
        assert_eq!(pieces.collect::<String>(), r#"{"a":1}"#);

        let body = with(asked("[[mock: reasoning]] hi"), json!({"stop": "e"}));
        let whole = stage.proxy.chat(&body).await.fine();
        let message = &whole["choices"][0]["message"];
        assert!(message["reasoning_content"].as_str().is_some_and(|it| it.contains('e')));
        assert!(!message["content"].as_str().unwrap().contains('e'), "{message}");
    });
}

#[test]
fn req2_recorded_answers_are_cut_the_same_in_one_piece_and_in_chunks() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for name in [
            "text",
            "text_before_tool",
            "text_after_tool",
            "commentary_phase",
            "output_in_completed",
            "failed_midway",
        ] {
            for stop in [" ", "e", ".", "zzz"] {
                let body = with(asked("hi"), json!({"stop": stop}));
                let mut answers = Vec::new();
                for body in [body.clone(), streamed(body)] {
                    let sending = stage.proxy.chat(&body);
                    let playing = async {
                        let turn = stage.backend.turn().await;
                        turn.answer(crate::backend::recorded(name)).await;
                    };
                    let (reply, ()) = tokio::join!(sending, playing);
                    if reply.status == 200 && !reply.body.contains("\"error\":{") {
                        answers.push(said(&reply));
                    }
                }
                assert_ne!(answers.len(), 1, "{name}, {stop}: one of them fails");
                assert!(answers.iter().all(|it| *it == answers[0]), "{name}: {answers:?}");
            }
        }
    });
}

#[test]
fn req2_a_stop_that_is_none_is_refused_and_responses_names_it_as_dropped() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for wrong in [json!(7), json!([1]), json!(["a", "b", "c", "d", "e"]), json!({})] {
            let reply = stage.proxy.chat(&with(asked("hi"), json!({"stop": wrong}))).await;
            assert_eq!(reply.error().0, 400);
            assert_eq!(reply.json()["error"]["param"], "stop");
        }
        let body = with(question("[[mock: echo one two]]"), json!({"stop": "two"}));
        let reply = stage.proxy.responses(&body).await;
        assert_eq!(reply.header("x-godex-dropped"), "stop");
        assert!(reply.body.contains("one two"));
        // The same body on chat's path is answered as chat.
        let reply = stage.proxy.chat(&body).await;
        assert_eq!(reply.header("x-godex-dropped"), "");
        assert_eq!(said(&reply).0, "one ");
    });
}
