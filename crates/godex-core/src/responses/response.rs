//! The Response object as clients of ours see it: the backend's, with the few patches that
//! `docs/wire.md#patches` lists, and nothing else changed.

use std::borrow::Cow;

use serde::Deserialize;

use super::event::Event;
use super::restore;
use crate::codex::names::ToolNames;
use crate::json::{self, Object, Raw, Writer};
use crate::usage::Usage;

/// What the backend leaves out of the object or a client expects back, by name.
const ALWAYS_PRESENT: &[(&str, &str)] = &[
    ("error", "null"),
    ("incomplete_details", "null"),
    ("instructions", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("temperature", "1.0"),
    ("top_p", "1.0"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("completed_at", "null"),
    ("previous_response_id", "null"),
    ("truncation", "\"disabled\""),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("presence_penalty", "0.0"),
    ("frequency_penalty", "0.0"),
    ("top_logprobs", "0"),
    ("reasoning", "null"),
    ("usage", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("store", "false"),
    ("background", "false"),
    ("service_tier", "\"default\""),
    ("safety_identifier", "null"),
    ("prompt_cache_key", "null"),
];

/// What this client must see in place of what the backend says.
#[derive(Clone, Default)]
pub struct Patches {
    /// The model as the client named it.
    pub model: String,
    /// Values that Codex refused and the client wants to read back: name and JSON.
    pub echo: Vec<(String, Box<str>)>,
    /// The key the client chose for its prompt cache, instead of the one sent.
    pub cache_key: Option<String>,
    /// Tools that were sent under other names.
    pub tool_names: ToolNames,
}

shape!(Patches, it => "Patches({} values, {:?})", it.echo.len(), it.tool_names);

impl Patches {
    /// The response with the patches; `output` replaces an empty one.
    pub fn apply(&self, response: &Object<'_>, output: Option<&str>) -> String {
        self.restored(self.patched(response, output, usize::MAX))
    }

    /// The same without values longer than `most` bytes; what must be there has its default.
    pub fn apply_to_short(&self, response: &Object<'_>, most: usize) -> String {
        self.restored(self.patched(response, None, most))
    }

    fn patched(&self, response: &Object<'_>, output: Option<&str>, most: usize) -> String {
        let mut writer = Writer::new(4096);
        for (name, value) in response.iter().filter(|(name, _)| *name != "user") {
            if value.get().len() > most {
                continue;
            }
            match self.of(name, value, output) {
                Some(patch) => writer.raw(name, &patch),
                None => writer.raw(name, value.get()),
            }
        }
        for (name, default) in ALWAYS_PRESENT {
            if response.get(name).is_none_or(|value| value.get().len() > most) {
                let own = self.echoed(name).filter(|value| value.len() <= most);
                writer.raw(name, own.unwrap_or(default));
            }
        }
        for (name, value) in [("object", "\"response\""), ("output", output.unwrap_or("[]"))] {
            if response.get(name).is_none() {
                writer.raw(name, value);
            }
        }
        if let Some(user) = self.echoed("user") {
            writer.raw("user", user);
        }
        writer.finish_text()
    }

    fn restored(&self, text: String) -> String {
        if self.tool_names.is_empty() {
            return text;
        }
        restore::response(&text, &self.tool_names).unwrap_or(text)
    }

    fn of(&self, name: &str, value: Raw<'_>, output: Option<&str>) -> Option<Cow<'_, str>> {
        match name {
            "model" => Some(json::quote(&self.model).into()),
            // The backend's own is the ChatGPT user id: never a client's business.
            "safety_identifier" => Some(self.echoed(name).unwrap_or("null").into()),
            "prompt_cache_key" => {
                Some(self.cache_key.as_deref().map_or("null".into(), |key| json::quote(key).into()))
            }
            "output" => {
                let empty = value.list().is_none_or(|list| list.is_empty());
                output.filter(|_| empty).map(|output| output.to_owned().into())
            }
            _ => self.echoed(name).map(Cow::Borrowed),
        }
    }

    fn echoed(&self, name: &str) -> Option<&str> {
        self.echo.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_ref())
    }

    /// The text of an event that carries a response, with the patches.
    pub fn event(&self, event: &Event<'_>, output: Option<&str>) -> Option<String> {
        let envelope = event.envelope()?;
        let size = event.text.len() + output.map_or(0, str::len) + 512;
        let mut writer = Writer::new(size);
        for (name, value) in envelope.event.iter() {
            if name == "response" {
                writer.raw(name, &self.apply(&envelope.response, output));
            } else {
                writer.raw(name, value.get());
            }
        }
        Some(writer.finish_text())
    }
}

/// `usage` as the backend writes it.
#[derive(Deserialize)]
struct Counts {
    input_tokens: Option<u64>,
    input_tokens_details: Option<Details>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<Details>,
    total_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

/// The `usage` of a response; `None` when it has none.
pub fn usage(response: &Object<'_>) -> Option<Usage> {
    let counts: Counts = serde_json::from_str(response.some("usage")?.get()).ok()?;
    let input = counts.input_tokens.unwrap_or_default();
    let output = counts.output_tokens.unwrap_or_default();
    let cached = counts.input_tokens_details.and_then(|it| it.cached_tokens);
    let reasoning = counts.output_tokens_details.and_then(|it| it.reasoning_tokens);
    Some(Usage {
        input,
        cached: cached.unwrap_or_default(),
        output,
        reasoning: reasoning.unwrap_or_default(),
        total: counts.total_tokens.unwrap_or_default().max(input + output),
    })
}

/// The response of a stream that broke off, from the last one it showed.
pub fn failed(snapshot: Option<&str>, code: &str, message: &str) -> String {
    let error = format!(r#"{{"code":{},"message":{}}}"#, json::quote(code), json::quote(message));
    let mut writer = Writer::new(1024);
    let object = snapshot.and_then(Object::of_text).unwrap_or_default();
    for (name, value) in object.iter() {
        match name {
            "status" => writer.string(name, "failed"),
            "error" => writer.raw(name, &error),
            _ => writer.raw(name, value.get()),
        }
    }
    for (name, value) in [
        ("status", "\"failed\""),
        ("error", error.as_str()),
        ("output", "[]"),
        ("object", "\"response\""),
    ] {
        if object.get(name).is_none() {
            writer.raw(name, value);
        }
    }
    writer.finish_text()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn patched(response: &str, output: Option<&str>) -> Value {
        let patches = Patches {
            model: "mine".into(),
            echo: vec![("temperature".into(), "0.5".into()), ("user".into(), "\"ann\"".into())],
            cache_key: None,
            tool_names: ToolNames::default(),
        };
        serde_json::from_str(&patches.apply(&Object::of_text(response).unwrap(), output)).unwrap()
    }

    #[test]
    fn the_account_is_hidden_and_the_clients_words_come_back() {
        let response = patched(
            r#"{"id":"r","model":"gpt-6","temperature":1.0,"safety_identifier":"user-abc","prompt_cache_key":"sent","output":[]}"#,
            None,
        );
        assert_eq!(response["model"], "mine");
        assert_eq!(response["temperature"], 0.5);
        assert_eq!(response["user"], "ann");
        assert_eq!(response["safety_identifier"], Value::Null);
        assert_eq!(response["prompt_cache_key"], Value::Null);
    }

    #[test]
    fn an_empty_output_is_filled_and_a_full_one_kept() {
        assert_eq!(patched(r#"{"output":[]}"#, Some("[1]"))["output"].to_string(), "[1]");
        assert_eq!(patched(r#"{"output":[2]}"#, Some("[1]"))["output"].to_string(), "[2]");
        assert_eq!(patched("{}", Some("[1]"))["output"].to_string(), "[1]");
    }

    #[test]
    fn every_field_that_strict_readers_ask_for_is_there() {
        let response = patched("{}", None);
        for (name, _) in ALWAYS_PRESENT {
            assert!(response.get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn usage_is_read_with_its_details_or_without() {
        let full = Object::of_text(
            r#"{"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":15}}"#,
        );
        let expected = Usage { input: 10, cached: 4, output: 5, reasoning: 2, total: 15 };
        assert_eq!(usage(&full.unwrap()), Some(expected));
        assert_eq!(usage(&Object::of_text(r#"{"usage":null}"#).unwrap()), None);
        let bare =
            usage(&Object::of_text(r#"{"usage":{"input_tokens":1,"output_tokens":2}}"#).unwrap())
                .unwrap();
        assert_eq!(bare.total, 3);
    }

    #[test]
    fn a_broken_response_says_failed() {
        let response: Value = serde_json::from_str(&failed(
            Some(r#"{"id":"r","status":"in_progress","error":null}"#),
            "c",
            "m",
        ))
        .unwrap();
        assert_eq!(response["status"], "failed");
        assert_eq!(response["error"]["code"], "c");
        assert_eq!(response["id"], "r");
    }
}
