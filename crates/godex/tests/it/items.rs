//! Items of the input on their way to the backend: mended where it would refuse them,
//! otherwise untouched.

use serde_json::{Value, json};

use crate::stage::{Stage, play};

/// A call and its output on `/v1/responses`.
fn called(output: &Value) -> Value {
    json!([
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": output},
    ])
}

#[test]
fn items_the_backend_would_refuse_are_mended() {
    let user = json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]});
    let said = |parts: Value| json!({"type": "message", "role": "assistant", "content": parts});
    let output_text = |text: &str| json!([{"type": "output_text", "text": text}]);
    let cases = [
        (json!({"role": "user", "content": "hi"}), user.clone()),
        (said(json!("yes")), said(output_text("yes"))),
        (said(json!([{"type": "input_text", "text": "yes"}])), said(output_text("yes"))),
        (said(json!([{"type": "text", "text": "yes"}])), said(output_text("yes"))),
        (
            said(json!([{"type": "refusal", "refusal": "no"}])),
            said(json!([{"type": "refusal", "refusal": "no"}])),
        ),
        (
            json!({"type": "message", "id": "abc", "role": "assistant", "content": "yes"}),
            said(output_text("yes")),
        ),
        (
            json!({"type": "message", "id": "msg_1", "role": "assistant", "content": "yes", "phase": "commentary"}),
            json!({"type": "message", "id": "msg_1", "role": "assistant", "content": output_text("yes"), "phase": "commentary"}),
        ),
    ];
    play(async move {
        let stage = Stage::on_mock(&[]).await;
        for (sent, expected) in cases {
            stage.proxy.responses(&json!({"input": [user, sent]})).await.fine();
            assert_eq!(stage.last_body()["input"], json!([user, expected]), "{sent}");
        }
    });
}

#[test]
fn reasoning_that_the_backend_cannot_find_is_left_out_and_named() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let user = json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]});
        let bare = json!({"type": "reasoning", "id": "rs_1", "summary": []});
        let reply = stage.proxy.responses(&json!({"input": [user, bare, user]})).await;
        reply.fine();
        assert_eq!(reply.header("x-godex-dropped"), "input[1]");
        assert_eq!(stage.last_body()["input"], json!([user, user]));
    });
}

#[test]
fn reasoning_comes_back_byte_for_byte() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let user = json!({"role": "user", "content": "[[mock: reasoning]]"});
        let answer = stage.proxy.responses(&json!({"input": [user]})).await.fine();
        let reasoning = answer["output"][0].clone();
        assert!(reasoning["encrypted_content"].is_string(), "{reasoning}");
        let input =
            json!([user, reasoning, answer["output"][1], {"role": "user", "content": "and?"}]);
        stage.proxy.responses(&json!({"input": input})).await.fine();
        assert_eq!(stage.last_body()["input"][1], reasoning);
    });
}

#[test]
fn outputs_of_tools_come_in_any_form_on_both_endpoints() {
    let image = "data:image/png;base64,iVBORw0KGgo=";
    let parts =
        json!([{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": image}]);
    let in_chat =
        json!([{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": image}}]);
    let cases = [
        (json!("text"), json!("text")),
        (json!(""), json!("")),
        (Value::Null, json!("")),
        (json!(7), json!("7")),
        (json!({"a":1}), json!(r#"{"a":1}"#)),
        (json!(["a", "b"]), json!(r#"["a","b"]"#)),
        (parts.clone(), parts.clone()),
        (in_chat, parts),
    ];
    play(async move {
        let stage = Stage::on_mock(&[]).await;
        for (output, expected) in cases {
            stage.proxy.responses(&json!({"input": called(&output)})).await.fine();
            assert_eq!(stage.last_body()["input"], called(&expected), "{output}");
            let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
            let messages = json!([
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": null, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": output},
            ]);
            stage.proxy.chat(&json!({"messages": messages})).await.fine();
            assert_eq!(stage.last_body()["input"], called(&expected), "{output}");
        }
    });
}

#[test]
fn call_ids_are_never_altered() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        // OpenClaw takes the underscore out of the ids it was given.
        for id in ["callabc", "toolu_01", "1", "call_ä", "a b"] {
            let messages = json!([
                {"role": "user", "content": "hi"},
                {"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": id, "content": "1"},
                {"role": "user", "content": "more"},
            ]);
            stage.proxy.chat(&json!({"messages": messages})).await.fine();
            let sent = &stage.last_body()["input"];
            assert_eq!((&sent[1]["call_id"], &sent[2]["call_id"]), (&json!(id), &json!(id)));
        }
    });
}
