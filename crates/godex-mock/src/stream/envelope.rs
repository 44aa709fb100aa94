//! The response object that opens and ends a stream.
//!
//! It repeats the instructions and the tools of the request, names the user, and its
//! `output` is always the empty list: that is how this backend answers.

use serde_json::{Map, Value, json};

/// The response around one answer. The parts that do not change are written once.
pub(crate) struct Envelope {
    id: String,
    created_at: u64,
    echo: String,
    input_tokens: u64,
    cached_tokens: u64,
}

/// Tokens in the input, and how many of them were cached.
pub(crate) struct Input {
    pub(crate) tokens: u64,
    pub(crate) cached: u64,
}

const USER: &str = "user-mock0000000000000001";

impl Envelope {
    /// The response to a request, `number` being its name.
    pub(crate) fn new(fields: &Map<String, Value>, number: u64, now: u64, input: &Input) -> Self {
        let field = |name: &str, default: Value| match fields.get(name) {
            Some(Value::Null) | None => default,
            Some(value) => value.clone(),
        };
        let reasoning = json!({
            "effort": fields.get("reasoning").and_then(|it| it.get("effort")),
            "summary": fields.get("reasoning").and_then(|it| it.get("summary")),
        });
        let text = json!({
            "format": fields.get("text").and_then(|it| it.get("format")).cloned()
                .unwrap_or_else(|| json!({ "type": "text" })),
            "verbosity": fields.get("text").and_then(|it| it.get("verbosity")).cloned()
                .unwrap_or_else(|| json!("medium")),
        });
        let echo = json!({
            "instructions": field("instructions", Value::Null),
            "max_output_tokens": null,
            "max_tool_calls": null,
            "model": field("model", Value::Null),
            "output": [],
            "parallel_tool_calls": field("parallel_tool_calls", json!(true)),
            "previous_response_id": null,
            "prompt_cache_key": field("prompt_cache_key", Value::Null),
            "prompt_cache_retention": null,
            "reasoning": reasoning,
            "safety_identifier": USER,
            "service_tier": field("service_tier", json!("default")),
            "store": false,
            "temperature": 1.0,
            "text": text,
            "tool_choice": field("tool_choice", json!("auto")),
            "tools": echoed_tools(fields),
            "top_logprobs": 0,
            "top_p": 1.0,
            "truncation": "disabled",
        });
        let echo = echo.to_string();
        let echo = echo.get(1..echo.len() - 1).unwrap_or_default().to_owned();
        let id = format!("resp_{number:048x}");
        let Input { tokens, cached } = *input;
        Self { id, created_at: now, echo, input_tokens: tokens, cached_tokens: cached }
    }

    /// While the answer is generated.
    pub(crate) fn in_progress(&self) -> String {
        self.render("in_progress", &Value::Null, &Value::Null, Some(Value::Null))
    }

    /// After a normal end.
    pub(crate) fn completed(&self, usage: Option<Value>) -> String {
        self.render("completed", &Value::Null, &Value::Null, usage)
    }

    /// After an end that came too early.
    pub(crate) fn incomplete(&self, reason: &str, usage: Option<Value>) -> String {
        self.render("incomplete", &Value::Null, &json!({ "reason": reason }), usage)
    }

    /// After a failure.
    pub(crate) fn failed(&self, code: &str, message: &str) -> String {
        let error = json!({ "code": code, "message": message });
        self.render("failed", &error, &Value::Null, Some(Value::Null))
    }

    /// The usage of an answer of so many characters.
    pub(crate) fn usage(&self, written: usize, reasoned: u64) -> Value {
        let output = (written as u64).div_ceil(4) + reasoned;
        json!({
            "input_tokens": self.input_tokens,
            "input_tokens_details": {
                "cached_tokens": self.cached_tokens,
                "cache_write_tokens": self.input_tokens - self.cached_tokens,
            },
            "output_tokens": output,
            "output_tokens_details": { "reasoning_tokens": reasoned },
            "total_tokens": self.input_tokens + output,
        })
    }

    fn render(&self, status: &str, error: &Value, details: &Value, usage: Option<Value>) -> String {
        let Self { id, created_at, echo, .. } = self;
        let completed_at = if status == "completed" { json!(created_at) } else { Value::Null };
        let usage = usage.map(|it| format!(r#","usage":{it}"#)).unwrap_or_default();
        format!(
            r#"{{"id":"{id}","object":"response","created_at":{created_at},"status":"{status}","background":false,"completed_at":{completed_at},"error":{error},"incomplete_details":{details},{echo}{usage},"user":null,"metadata":{{}}}}"#
        )
    }
}

/// The tools as the public API repeats them: functions have every field they can have.
fn echoed_tools(fields: &Map<String, Value>) -> Value {
    let sent = fields.get("tools").filter(|it| it.is_array());
    let mut tools = sent.cloned().unwrap_or_else(|| json!([]));
    for tool in tools.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if tool.get("type").is_some_and(|it| it == "function") {
            for (name, default) in [
                ("description", Value::Null),
                ("parameters", Value::Null),
                ("strict", json!(false)),
            ] {
                tool.entry(name).or_insert(default);
            }
        }
    }
    tools
}
