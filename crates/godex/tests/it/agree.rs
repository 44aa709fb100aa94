//! An answer says the same in a stream and in one piece, whatever the backend's stream was.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::backend::{Backend, recorded};
use crate::client::{Call, Reply};
use crate::stage::{Stage, asked, play, question, streamed, with};

/// The names of all recorded streams.
fn names() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/upstream");
    let paths = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let names = paths.filter(|it| it.extension().is_some_and(|it| it == "sse"));
    let mut names: Vec<_> =
        names.map(|it| it.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert!(names.len() >= 30, "{names:?}");
    names
}

/// Sends a request, which the backend answers with these bytes as often as it is asked.
async fn send(stage: &mut Stage<Backend>, call: Call, answer: &[u8]) -> Reply {
    let sending = stage.proxy.send(call);
    tokio::pin!(sending);
    loop {
        tokio::select! {
            reply = &mut sending => return reply,
            turn = stage.backend.turn() => turn.answer(answer).await,
        }
    }
}

#[test]
fn a_response_is_the_same_in_a_stream_and_in_one_piece() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for name in names() {
            let answer = recorded(&name);
            let whole = send(&mut stage, Call::responses(&question("hi")), &answer).await;
            let asked = streamed(question("hi"));
            let stream = send(&mut stage, Call::responses(&asked), &answer).await;
            if whole.status == 200 {
                assert_eq!(stream.last()["response"], whole.json(), "{name}");
            } else if stream.status == 200 {
                assert_eq!(stream.failure()["code"], whole.json()["error"]["code"], "{name}");
            } else {
                assert_eq!(stream.error(), whole.error(), "{name}");
            }
        }
    });
}

#[test]
fn a_completion_is_the_same_in_a_stream_and_in_one_piece() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for name in names() {
            let answer = recorded(&name);
            let whole = send(&mut stage, Call::chat(&asked("hi")), &answer).await;
            let more = json!({"stream": true, "stream_options": {"include_usage": true}});
            let stream = send(&mut stage, Call::chat(&with(asked("hi"), more)), &answer).await;
            if whole.status == 200 {
                assert_eq!(put_together(&stream), said(&whole.json()), "{name}");
            } else if stream.status == 200 {
                assert_eq!(stream.chat_failure()["code"], whole.json()["error"]["code"], "{name}");
            } else {
                assert_eq!(stream.error(), whole.error(), "{name}");
            }
        }
    });
}

#[test]
fn every_line_of_a_stream_belongs_to_an_event_and_no_data_is_empty() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for name in names() {
            let answer = recorded(&name);
            for call in
                [Call::responses(&streamed(question("hi"))), Call::chat(&streamed(asked("hi")))]
            {
                let reply = send(&mut stage, call, &answer).await;
                // What failed before it began is one JSON object and no stream.
                for line in reply.body.lines().filter(|_| reply.status == 200) {
                    let data = line.strip_prefix("data: ");
                    let proper = data.map_or_else(
                        || line.is_empty() || line.starts_with("event: ") || line.starts_with(':'),
                        |data| data == "[DONE]" || serde_json::from_str::<Value>(data).is_ok(),
                    );
                    assert!(proper, "{name}: {line}");
                }
            }
        }
    });
}

/// What a client knows of an answer in the end, by path.
type Said = BTreeMap<String, String>;

/// What a completion in one piece says.
fn said(whole: &Value) -> Said {
    let choice = &whole["choices"][0];
    let mut said = Said::new();
    for name in ["content", "refusal", "reasoning_content"] {
        note(&mut said, name, &choice["message"][name]);
    }
    for (index, call) in
        choice["message"]["tool_calls"].as_array().into_iter().flatten().enumerate()
    {
        note_call(&mut said, index, call);
    }
    note(&mut said, "finish_reason", &choice["finish_reason"]);
    for name in ["id", "created", "model", "usage"] {
        said.insert(name.to_owned(), whole[name].to_string());
    }
    said
}

/// The same of chunks.
fn put_together(stream: &Reply) -> Said {
    let mut said = Said::new();
    let chunks = stream.chunks();
    for chunk in &chunks {
        for choice in chunk["choices"].as_array().unwrap() {
            for name in ["content", "refusal", "reasoning_content"] {
                note(&mut said, name, &choice["delta"][name]);
            }
            for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
                let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
                note_call(&mut said, index, call);
            }
            note(&mut said, "finish_reason", &choice["finish_reason"]);
        }
    }
    for name in ["id", "created", "model"] {
        said.insert(name.to_owned(), chunks[0][name].to_string());
    }
    let usage = chunks.last().map_or(&Value::Null, |it| &it["usage"]);
    said.insert("usage".to_owned(), usage.to_string());
    said
}

fn note_call(said: &mut Said, index: usize, call: &Value) {
    for path in
        ["/id", "/type", "/function/name", "/function/arguments", "/custom/name", "/custom/input"]
    {
        note(said, &format!("{index}{path}"), call.pointer(path).unwrap_or(&Value::Null));
    }
}

/// Adds a piece of text; nothing and an empty text are the same.
fn note(said: &mut Said, name: &str, piece: &Value) {
    if let Some(text) = piece.as_str().filter(|it| !it.is_empty()) {
        said.entry(name.to_owned()).or_default().push_str(text);
    }
}
