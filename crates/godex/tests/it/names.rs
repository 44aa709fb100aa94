//! Tools whose names the backend does not take: sent under others, called by their own.

use serde_json::{Value, json};

use crate::client::Call;
use crate::stage::{Stage, asked, play, question, streamed, with};

/// Names that clients have and the backend refuses.
const ODD: &[&str] = &[
    "mcp.files/read",
    "get weather",
    "größe",
    "a_tool_of_a_server_whose_own_name_is_already_long_and_which_has_a_long_name_too",
];

fn function(name: &str) -> Value {
    json!({"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}})
}

fn nested(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}})
}

/// Both endpoints, in one piece and as a stream: a request with the only tool of that name.
fn four_ways(prompt: &str, name: &str) -> [(Value, bool); 4] {
    let responses = with(question(prompt), json!({"tools": [function("legal"), function(name)]}));
    let chat = with(asked(prompt), json!({"tools": [nested("legal"), nested(name)]}));
    [
        (responses.clone(), false),
        (streamed(responses), false),
        (chat.clone(), true),
        (streamed(chat), true),
    ]
}

fn call(body: &Value, chat: bool) -> Call {
    if chat { Call::chat(body) } else { Call::responses(body) }
}

/// Where the tool that was called is named in the answer: once at least in every form of it.
fn names_of_calls(body: &str) -> Vec<String> {
    let mut found = Vec::new();
    let events: Vec<Value> = match serde_json::from_str(body) {
        Ok(whole) => vec![whole],
        Err(_) => crate::client::events(body)
            .iter()
            .filter_map(|it| serde_json::from_str(&it.data).ok())
            .collect(),
    };
    for event in events {
        let calls = [
            "/item/name",
            "/name",
            "/response/output/0/name",
            "/output/0/name",
            "/choices/0/message/tool_calls/0/function/name",
            "/choices/0/delta/tool_calls/0/function/name",
        ];
        let names = calls.iter().filter_map(|at| event.pointer(at)?.as_str());
        found.extend(names.map(str::to_owned));
    }
    found
}

#[test]
fn t10_tools_with_names_the_backend_refuses_are_called_by_their_own() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for name in ODD {
            let mut sent_names = Vec::new();
            for (body, chat) in four_ways("hi", name) {
                stage.proxy.send(call(&body, chat)).await;
                let sent = stage.last_body();
                assert_eq!(sent["tools"][0]["name"], "legal");
                sent_names.push(sent["tools"][1]["name"].as_str().unwrap().to_owned());
            }
            let sent = sent_names[0].clone();
            assert!(sent_names.iter().all(|it| *it == sent), "{sent_names:?}");
            assert_ne!(sent, *name);
            for (body, chat) in four_ways(&format!("[[mock: tool {sent} {{}}]]"), name) {
                let reply = stage.proxy.send(call(&body, chat)).await;
                assert_eq!(reply.status, 200, "{}", reply.body);
                let found = names_of_calls(&reply.body);
                assert!(!found.is_empty(), "{}", reply.body);
                assert!(found.iter().all(|it| it == name), "{found:?} for {name}");
                assert!(!reply.body.contains(&sent), "{sent} in {}", reply.body);
            }
        }
    });
}

#[test]
fn t10_a_choice_and_a_history_name_the_tool_as_it_was_sent() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let name = "mcp.files/read";
        for choice in [
            json!({"type": "function", "name": name}),
            json!({"type": "function", "function": {"name": name}}),
            json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": name}]}),
        ] {
            for (body, chat) in four_ways("hi", name) {
                let body = with(body, json!({"tool_choice": choice}));
                let reply = stage.proxy.send(call(&body, chat)).await;
                let found = names_of_calls(&reply.body);
                assert!(!found.is_empty() && found.iter().all(|it| it == name), "{}", reply.body);
            }
        }
        let sent = stage.last_body()["tools"][0]["name"].clone();
        let items = json!([
            {"role": "user", "content": "hi"},
            {"type": "function_call", "call_id": "c1", "name": name, "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
            {"type": "custom_tool_call", "call_id": "c2", "name": "my shell", "input": "ls"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "2"},
            {"type": "function_call", "call_id": "c3", "name": "legal", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c3", "output": "3"},
        ]);
        stage.proxy.responses(&json!({"input": items})).await.fine();
        let input = stage.last_body()["input"].clone();
        assert_eq!((&input[1]["name"], &input[5]["name"]), (&sent, &json!("legal")));
        let custom = input[3]["name"].clone();
        assert!(custom.as_str().unwrap().starts_with("my_shell_"), "{custom}");
        let messages = json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": name, "arguments": "{}"}},
                {"id": "c2", "type": "custom", "custom": {"name": "my shell", "input": "ls"}},
                {"id": "c3", "type": "function", "function": {"name": "legal", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            {"role": "tool", "tool_call_id": "c2", "content": "2"},
            {"role": "tool", "tool_call_id": "c3", "content": "3"},
        ]);
        stage.proxy.chat(&json!({"messages": messages})).await.fine();
        let input = stage.last_body()["input"].clone();
        let names = [&input[1]["name"], &input[2]["name"], &input[3]["name"]];
        assert_eq!(names, [&sent, &custom, &json!("legal")]);
    });
}

#[test]
fn t10_a_follow_up_without_its_call_gets_it_back_under_the_name_that_was_sent() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let tools = json!({"tools": [function("mcp.files/read")], "user": "ann", "tool_choice": "required"});
        let answer = stage.proxy.responses(&with(question("hi"), tools)).await.fine();
        let called = &answer["output"].as_array().unwrap().last().unwrap();
        assert_eq!(called["name"], "mcp.files/read");
        let sent = stage.last_body()["tools"][0]["name"].clone();
        let output =
            json!({"type": "function_call_output", "call_id": called["call_id"], "output": "42"});
        let answer = json!({"model": "gpt-5.5", "user": "ann", "input": [output], "tools": [function("mcp.files/read")]});
        stage.proxy.responses(&answer).await.fine();
        assert_eq!(stage.last_body()["input"][0]["name"], sent);
    });
}
