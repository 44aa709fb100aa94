//! What unmodified clients were seen to send is served, and within the contract.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use crate::client::Call;
use crate::stage::{Stage, play, question, streamed, with};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/requests");

/// Headers that belong to the connection or to the account of the recording.
const NOT_OURS: &[&str] =
    &["host", "content-length", "connection", "authorization", "content-type"];

/// The recorded request, with reasoning that this backend has issued and this proxy knows.
fn call(path: &str, file: &Path, reasoning: &Value) -> Call {
    let mut body: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    for item in body.get_mut("input").and_then(Value::as_array_mut).into_iter().flatten() {
        if item.get("encrypted_content").is_some_and(Value::is_string) {
            item["encrypted_content"] = reasoning["encrypted_content"].clone();
        }
        if item["type"] == "item_reference" {
            item["id"] = reasoning["id"].clone();
        }
    }
    let mut call = Call::new(Method::POST, path, body.to_string());
    let headers = std::fs::read(file.with_extension("headers.json")).unwrap();
    let headers: Value = serde_json::from_slice(&headers).unwrap();
    for header in headers["headers"].as_array().unwrap() {
        let (name, value) = (header[0].as_str().unwrap(), header[1].as_str().unwrap());
        if !NOT_OURS.contains(&name.to_ascii_lowercase().as_str()) {
            call = call.header(name, value);
        }
    }
    call
}

#[test]
fn requests_of_real_clients_are_served() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let thinking = streamed(with(question("hi"), json!({"reasoning": {"effort": "low"}})));
        let answer = stage.proxy.responses(&thinking).await.last();
        let reasoning = &answer["response"]["output"][0];
        let mut count = 0;
        for (folder, path) in [("responses", "/v1/responses"), ("chat", "/v1/chat/completions")] {
            for entry in std::fs::read_dir(format!("{ROOT}/{folder}")).unwrap() {
                let file = entry.unwrap().path();
                let name = file.file_name().unwrap().to_str().unwrap().to_owned();
                if name.ends_with(".headers.json") {
                    continue;
                }
                let reply = stage.proxy.send(call(path, &file, reasoning)).await;
                assert_eq!((reply.status, reply.whole), (200, true), "{name}: {}", reply.body);
                count += 1;
            }
        }
        assert!(count > 30, "{count}");
    });
}
