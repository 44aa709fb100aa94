//! What unmodified clients were seen to send is served, and reaches the backend whole: what was
//! not refused is there, unchanged or mapped as written down here, in the client's order. This is
//! a second reading of the mapping that shares nothing with the first.

use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Map, Value, json};

use crate::client::Call;
use crate::stage::{Stage, play, question, streamed, with};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/requests");

/// Headers that belong to the connection or to the account of the recording.
const NOT_OURS: &[&str] =
    &["host", "content-length", "connection", "authorization", "content-type"];

/// What recorded clients send and the backend refuses: named in the answer, not there.
const REFUSED: &[&str] = &[
    "background",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "max_tool_calls",
    "metadata",
    "modalities",
    "n",
    "prediction",
    "presence_penalty",
    "prompt_cache_retention",
    "safety_identifier",
    "seed",
    "temperature",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// What the proxy adds where the client has not said it.
const ADDED: &[&str] = &[
    "include",
    "instructions",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "store",
    "stream",
];

/// A recorded request.
struct Recorded {
    name: String,
    body: Map<String, Value>,
    headers: Vec<(String, String)>,
    chat: bool,
    /// What references refer to.
    reasoning: Value,
}

impl Recorded {
    /// Every one of them, with reasoning that this backend has issued and this proxy knows.
    fn all(reasoning: &Value) -> Vec<Self> {
        let mut all = Vec::new();
        for folder in ["responses", "chat"] {
            let files = std::fs::read_dir(format!("{ROOT}/{folder}")).unwrap();
            let mut files: Vec<PathBuf> = files.map(|it| it.unwrap().path()).collect();
            files.sort();
            for file in files {
                let name = file.file_name().unwrap().to_str().unwrap().to_owned();
                if !name.ends_with(".headers.json") {
                    all.push(Self::read(&file, name, folder == "chat", reasoning));
                }
            }
        }
        all
    }

    fn read(file: &Path, name: String, chat: bool, reasoning: &Value) -> Self {
        let mut body: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        for item in body.get_mut("input").and_then(Value::as_array_mut).into_iter().flatten() {
            if item.get("encrypted_content").is_some_and(Value::is_string) {
                item["encrypted_content"] = reasoning["encrypted_content"].clone();
            }
            if item["type"] == "item_reference" {
                item["id"] = reasoning["id"].clone();
            }
        }
        let head = std::fs::read(file.with_extension("headers.json")).unwrap();
        let head: Value = serde_json::from_slice(&head).unwrap();
        let headers = head["headers"].as_array().unwrap().iter().map(|header| {
            (header[0].as_str().unwrap().to_owned(), header[1].as_str().unwrap().to_owned())
        });
        let ours =
            |(name, _): &(String, String)| !NOT_OURS.contains(&name.to_ascii_lowercase().as_str());
        let headers = headers.filter(ours).collect();
        let body = body.as_object().unwrap().clone();
        Self { name, body, headers, chat, reasoning: reasoning.clone() }
    }

    fn call(&self) -> Call {
        let path = if self.chat { "/v1/chat/completions" } else { "/v1/responses" };
        let call = Call::new(Method::POST, path, Value::from(self.body.clone()).to_string());
        self.headers.iter().fold(call, |call, (name, value)| call.header(name, value))
    }

    fn is_codex(&self) -> bool {
        self.name.starts_with("codex-cli")
    }

    /// What must be dropped and named.
    fn refused(&self) -> Vec<&str> {
        let names = self.body.keys().map(String::as_str);
        names.filter(|name| REFUSED.contains(name)).collect()
    }

    /// What must reach the backend, in this order, the guidance hoisted into the instructions.
    fn expected(&self) -> Map<String, Value> {
        let (guidance, mut input) = if self.chat { self.messages() } else { self.items() };
        let wanted = self.body.get("response_format").cloned().unwrap_or_default();
        if wanted["type"] == "json_object" && !json!(input).to_string().contains("json") {
            // The backend wants to read the word.
            input.push(message("developer", &json!("Answer with one JSON object.")));
        }
        let own = self.body.get("instructions").and_then(Value::as_str).map(str::to_owned);
        let instructions: Vec<String> = own.into_iter().chain(guidance).collect();
        let mut expected = Map::new();
        let mut text = Map::new();
        for (name, value) in &self.body {
            let (name, value) = match name.as_str() {
                _ if self.refused().contains(&name.as_str()) => continue,
                "stop" | "stream_options" if self.chat => continue,
                // What the backend does anyway is asked for by silence.
                "service_tier" if value == "auto" => continue,
                // The account does not have it: its first model stands in.
                "model" if value == "gpt-5.2-codex" => ("model", json!("gpt-6.1-sol")),
                "messages" | "input" => ("input", json!(input)),
                "instructions" => ("instructions", json!(instructions.join("\n\n"))),
                "functions" | "tools" => ("tools", tools(value)),
                "tool_choice" | "function_call" => ("tool_choice", choice(value)),
                "store" => ("store", json!(false)),
                "stream" => ("stream", json!(true)),
                "include" => ("include", json!(["reasoning.encrypted_content"])),
                "prompt_cache_key" if !self.is_codex() => ("prompt_cache_key", Value::Null),
                "reasoning_effort" => ("reasoning", json!({"effort": value, "summary": "auto"})),
                "response_format" => {
                    text.insert("format".to_owned(), format(value));
                    continue;
                }
                "verbosity" => {
                    text.insert("verbosity".to_owned(), value.clone());
                    continue;
                }
                other => (other, value.clone()),
            };
            expected.insert(name.to_owned(), value);
        }
        if !text.is_empty() {
            expected.insert("text".to_owned(), text.into());
        }
        if !self.body.contains_key("instructions") && !instructions.is_empty() {
            expected.insert("instructions".to_owned(), json!(instructions.join("\n\n")));
        }
        expected
    }

    fn items(&self) -> (Vec<String>, Vec<Value>) {
        let Some(input) = self.body.get("input").and_then(Value::as_array) else {
            return (Vec::new(), vec![message("user", &self.body["input"])]);
        };
        let guides = |item: &&Value| matches!(item["role"].as_str(), Some("system" | "developer"));
        let leading = if self.is_codex() { 0 } else { input.iter().take_while(guides).count() };
        let (guidance, rest) = input.split_at(leading);
        let guidance = guidance.iter().flat_map(|item| texts(&item["content"]));
        (guidance.collect(), rest.iter().map(|item| self.item(item, input)).collect())
    }

    fn item(&self, item: &Value, all: &[Value]) -> Value {
        if item["type"] == "item_reference" {
            self.reasoning.clone()
        } else {
            self::item(item, all)
        }
    }

    fn messages(&self) -> (Vec<String>, Vec<Value>) {
        let (mut guidance, mut items) = (Vec::new(), Vec::new());
        for message in self.body["messages"].as_array().unwrap() {
            let content = &message["content"];
            match message["role"].as_str().unwrap() {
                "system" | "developer" if items.is_empty() => guidance.extend(texts(content)),
                "tool" => items.push(json!({
                    "type": "function_call_output", "call_id": message["tool_call_id"],
                    "output": if content.is_string() { content.clone() } else { parts(content, "input_text") },
                })),
                // Who says nothing is not there.
                role if ![Value::Null, json!(""), json!([])].contains(content) => items.push(self::message(role, content)),
                _ => {}
            }
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                items.push(json!({
                    "type": "function_call", "call_id": call["id"],
                    "name": call["function"]["name"], "arguments": call["function"]["arguments"],
                }));
            }
        }
        (guidance, items)
    }
}

fn message(role: &str, content: &Value) -> Value {
    let kind = if role == "assistant" { "output_text" } else { "input_text" };
    json!({"type": "message", "role": role, "content": parts(content, kind)})
}

fn parts(content: &Value, kind: &str) -> Value {
    if content.is_string() {
        return json!([{"type": kind, "text": content}]);
    }
    let part = |part: &Value| match part["type"].as_str().unwrap() {
        "text" => with(json!({"type": kind}), json!({"text": part["text"]})),
        "image_url" => {
            let image = &part["image_url"];
            let part = json!({"type": "input_image", "image_url": image["url"]});
            match image.get("detail") {
                Some(detail) => with(part, json!({"detail": detail})),
                None => part,
            }
        }
        "file" => with(json!({"type": "input_file"}), part["file"].clone()),
        _ => part.clone(),
    };
    content.as_array().unwrap().iter().map(part).collect()
}

fn texts(content: &Value) -> Vec<String> {
    if let Some(text) = content.as_str() {
        return vec![text.to_owned()];
    }
    let parts = content.as_array().unwrap().iter();
    parts.map(|part| part["text"].as_str().unwrap().to_owned()).collect()
}

/// An item of the Responses wire, which is the backend's but for its freedoms.
fn item(item: &Value, all: &[Value]) -> Value {
    let kind = item["type"].as_str().unwrap_or("message");
    if kind == "function_call_output"
        && !all.iter().any(|it| it["type"] == "function_call" && it["call_id"] == item["call_id"])
    {
        let (id, output) = (item["call_id"].as_str().unwrap(), item["output"].as_str().unwrap());
        let text = format!(
            "Output of the tool call {id}, whose call is not in the conversation:\n{output}"
        );
        return message("user", &json!(text));
    }
    let mut mapped = Map::new();
    if item.get("type").is_none() {
        mapped.insert("type".to_owned(), json!("message"));
    }
    for (name, value) in item.as_object().unwrap() {
        let value = match (kind, name.as_str()) {
            ("message", "content") => {
                let said = if item["role"] == "assistant" { "output_text" } else { "input_text" };
                parts(value, said)
            }
            ("message", "role") if value == "system" => json!("developer"),
            _ => value.clone(),
        };
        mapped.insert(name.clone(), value);
    }
    mapped.into()
}

fn tools(tools: &Value) -> Value {
    let tool = |tool: &Value| match tool["type"].as_str() {
        None => with(json!({"type": "function"}), tool.clone()),
        Some(kind) if tool.get(kind).is_some() => {
            let mut flat = with(json!({"type": kind}), tool[kind].clone());
            if let Some(grammar) = tool[kind]["format"].get("grammar") {
                flat["format"] = with(json!({"type": "grammar"}), grammar.clone());
            }
            flat
        }
        Some(_) => tool.clone(),
    };
    let whole = |mut tool: Value| {
        if tool["type"] == "function" && [Value::Null, json!({})].contains(&tool["parameters"]) {
            tool["parameters"] = json!({"type": "object", "properties": {}});
        }
        tool
    };
    tools.as_array().unwrap().iter().map(tool).map(whole).collect()
}

fn choice(choice: &Value) -> Value {
    match choice.get("function") {
        Some(function) => with(json!({"type": "function"}), function.clone()),
        None if choice.is_object() && choice.get("type").is_none() => {
            with(json!({"type": "function"}), choice.clone())
        }
        None => choice.clone(),
    }
}

fn format(format: &Value) -> Value {
    match format.get("json_schema") {
        Some(schema) => with(json!({"type": "json_schema"}), schema.clone()),
        None => format.clone(),
    }
}

/// What arrived without what the proxy adds by itself, to be compared with what was expected.
fn compared(arrived: &Value, expected: &Map<String, Value>, name: &str) -> Map<String, Value> {
    let mut kept = Map::new();
    for (field, value) in arrived.as_object().unwrap() {
        if expected.contains_key(field) {
            // A name of the client's choosing goes as a hash.
            let hashed = field == "prompt_cache_key" && expected[field].is_null();
            kept.insert(field.clone(), if hashed { Value::Null } else { value.clone() });
        } else {
            assert!(ADDED.contains(&field.as_str()), "{name}: nobody asked for {field}");
        }
    }
    kept
}

/// Compares as text, for the order of members counts; lists element by element.
#[track_caller]
fn same(arrived: &Value, expected: &Value, what: &str) {
    if let (Value::Array(arrived), Value::Array(expected)) = (arrived, expected) {
        for (index, (arrived, expected)) in arrived.iter().zip(expected).enumerate() {
            same(arrived, expected, &format!("{what}[{index}]"));
        }
        assert_eq!(arrived.len(), expected.len(), "{what}");
    } else {
        assert_eq!(arrived.to_string(), expected.to_string(), "{what}");
    }
}

#[test]
fn req3_every_field_of_recorded_clients_reaches_the_backend_in_their_order() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let thinking = streamed(with(question("hi"), json!({"reasoning": {"effort": "low"}})));
        let answer = stage.proxy.responses(&thinking).await.last();
        let all = Recorded::all(&answer["response"]["output"][0]);
        assert!(all.len() > 30, "{}", all.len());
        for recorded in all {
            let name = &recorded.name;
            let reply = stage.proxy.send(recorded.call()).await;
            assert_eq!((reply.status, reply.whole), (200, true), "{name}: {}", reply.body);
            let mut refused = recorded.refused();
            // Reasoning that was shown as text cannot be replayed.
            let shown = |it: &Value| it["reasoning_content"].is_string();
            if recorded
                .body
                .get("messages")
                .and_then(Value::as_array)
                .is_some_and(|it| it.iter().any(shown))
            {
                refused.push("messages[].reasoning_content");
            }
            assert_eq!(reply.header("x-godex-dropped"), refused.join(", "), "{name}");
            let arrived = stage.last_body();
            let expected = recorded.expected();
            let arrived = compared(&arrived, &expected, name);
            let names = |fields: &Map<String, Value>| fields.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&arrived), names(&expected), "{name}");
            for (field, value) in &expected {
                same(&arrived[field], value, &format!("{name}: {field}"));
            }
        }
    });
}
