//! The top level of a request body.

use serde_json::{Map, Value};

use super::{schema, tools};
use crate::catalogue;
use crate::refusal::Refusal;

/// Every field the backend takes; any other is refused by name.
const ACCEPTED: &[&str] = &[
    "model",
    "instructions",
    "input",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "store",
    "stream",
    "include",
    "service_tier",
    "prompt_cache_key",
    "text",
    "client_metadata",
];

const INCLUDES: &[&str] = &[
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "file_search_call.results",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
];

const LITE: &str = "X-OpenAI-Internal-Codex-Responses-Lite";

/// Judges every field but the items of `input`.
pub(super) fn check(fields: &Map<String, Value>, lite: bool) -> Result<(), Refusal> {
    if let Some(name) = fields.keys().find(|it| !ACCEPTED.contains(&it.as_str())) {
        return Err(Refusal::detail(format!("Unsupported parameter: {name}")));
    }
    if present(fields, "store") != Some(&Value::Bool(false)) {
        return Err(Refusal::detail("Store must be set to false"));
    }
    if present(fields, "stream") != Some(&Value::Bool(true)) {
        return Err(Refusal::detail("Stream must be set to true"));
    }
    if !fields.get("input").is_some_and(Value::is_array) {
        return Err(Refusal::detail("Input must be a list"));
    }
    let model = model(fields)?;
    tier(fields)?;
    parallel(fields)?;
    let offered = present(fields, "tools");
    if let Some(offered) = offered {
        tools::definitions(offered, "tools")?;
    }
    if let Some(choice) = present(fields, "tool_choice") {
        tools::choice(choice, fields)?;
    }
    if let Some(text) = present(fields, "text") {
        self::text(text, fields)?;
    }
    reasoning(fields, model)?;
    include(fields)?;
    prompt_cache_key(fields)?;
    client_metadata(fields)?;
    if lite { self::lite(fields) } else { Ok(()) }
}

/// A request needs instructions, or a developer message as the Codex CLI sends it.
///
/// The live backend has been seen to go without both; the older one was not.
pub(super) fn instructions(fields: &Map<String, Value>, input: &[Value]) -> Result<(), Refusal> {
    match present(fields, "instructions") {
        Some(Value::String(text)) if !text.trim().is_empty() => return Ok(()),
        Some(Value::String(_)) | None => {}
        Some(other) => return Err(Refusal::wrong_type("instructions", "a string", other)),
    }
    let developer = |item: &Value| {
        let kind = item.get("type").and_then(Value::as_str).unwrap_or("message");
        kind == "message" && item.get("role").and_then(Value::as_str) == Some("developer")
    };
    if input.iter().any(developer) {
        return Ok(());
    }
    Err(Refusal::detail("Instructions are required"))
}

/// A field that is there and not null.
fn present<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|it| !it.is_null())
}

fn model(fields: &Map<String, Value>) -> Result<&'static catalogue::Model, Refusal> {
    let model = match present(fields, "model") {
        Some(Value::String(model)) => model,
        Some(other) => return Err(Refusal::wrong_type("model", "a string", other)),
        None => return Err(Refusal::missing("model")),
    };
    catalogue::find(model).ok_or_else(|| {
        Refusal::detail(format!(
            "The '{model}' model is not supported when using Codex with a ChatGPT account."
        ))
    })
}

fn tier(fields: &Map<String, Value>) -> Result<(), Refusal> {
    match present(fields, "service_tier") {
        None => Ok(()),
        Some(Value::String(tier)) if tier == "default" || tier == "priority" => Ok(()),
        Some(Value::String(tier)) => {
            Err(Refusal::detail(format!("Unsupported service_tier: {tier}")))
        }
        Some(other) => Err(Refusal::wrong_type("service_tier", "a string", other)),
    }
}

fn parallel(fields: &Map<String, Value>) -> Result<(), Refusal> {
    match present(fields, "parallel_tool_calls") {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(other) => Err(Refusal::wrong_type("parallel_tool_calls", "a boolean", other)),
    }
}

fn text(text: &Value, fields: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(text) = text.as_object() else {
        return Err(Refusal::wrong_type("text", "an object", text));
    };
    if let Some(name) = text.keys().find(|it| !["format", "verbosity"].contains(&it.as_str())) {
        return Err(Refusal::unknown(&format!("text.{name}")));
    }
    one_of(text, "verbosity", "text.verbosity", &["low", "medium", "high"])?;
    let Some(format) = present(text, "format") else { return Ok(()) };
    let Some(format) = format.as_object() else {
        return Err(Refusal::wrong_type("text.format", "an object", format));
    };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(()),
        Some("json_schema") => schema::format(format),
        Some("json_object") if says_json(fields) => Ok(()),
        Some("json_object") => Err(Refusal::parameter(
            "input",
            None,
            "Response input messages must contain the word 'json' in some form to use \
             'text.format' of type 'json_object'.",
        )),
        Some(other) => Err(Refusal::not_one_of(
            "text.format.type",
            other,
            &["json_object", "json_schema", "text"],
        )),
        None => Err(Refusal::missing("text.format.type")),
    }
}

/// Whether an input message has the word "json"; the instructions do not count.
fn says_json(fields: &Map<String, Value>) -> bool {
    let says =
        |text: &Value| text.as_str().is_some_and(|it| it.to_ascii_lowercase().contains("json"));
    let items = fields.get("input").and_then(Value::as_array).into_iter().flatten();
    items.filter(|item| item.get("role").is_some()).any(|item| match item.get("content") {
        Some(Value::Array(parts)) => parts.iter().any(|part| part.get("text").is_some_and(says)),
        Some(content) => says(content),
        None => false,
    })
}

fn reasoning(fields: &Map<String, Value>, model: &catalogue::Model) -> Result<(), Refusal> {
    let Some(reasoning) = present(fields, "reasoning") else { return Ok(()) };
    let Some(reasoning) = reasoning.as_object() else {
        return Err(Refusal::wrong_type("reasoning", "an object", reasoning));
    };
    let known = ["effort", "summary", "context"];
    if let Some(name) = reasoning.keys().find(|it| !known.contains(&it.as_str())) {
        return Err(Refusal::unknown(&format!("reasoning.{name}")));
    }
    one_of(reasoning, "summary", "reasoning.summary", &["auto", "concise", "detailed"])?;
    match present(reasoning, "effort") {
        None => Ok(()),
        Some(Value::String(effort)) if model.takes_effort(effort) => Ok(()),
        Some(Value::String(effort)) => Err(Refusal::parameter(
            "reasoning.effort",
            Some("unsupported_value"),
            format!(
                "Unsupported value: '{effort}' is not supported with the '{}' model. \
                 Supported values are: {}.",
                model.slug,
                crate::refusal::list(&model.request_efforts()),
            ),
        )),
        Some(other) => Err(Refusal::wrong_type("reasoning.effort", "a string", other)),
    }
}

fn include(fields: &Map<String, Value>) -> Result<(), Refusal> {
    let include = match present(fields, "include") {
        None => return Ok(()),
        Some(Value::Array(include)) => include,
        Some(other) => return Err(Refusal::wrong_type("include", "an array", other)),
    };
    for (index, name) in include.iter().enumerate() {
        let at = format!("include[{index}]");
        match name.as_str() {
            Some(name) if INCLUDES.contains(&name) => {}
            Some(name) => return Err(Refusal::not_one_of(&at, name, INCLUDES)),
            None => return Err(Refusal::wrong_type(&at, "a string", name)),
        }
    }
    Ok(())
}

fn prompt_cache_key(fields: &Map<String, Value>) -> Result<(), Refusal> {
    match present(fields, "prompt_cache_key") {
        None => Ok(()),
        Some(Value::String(key)) => match key.chars().count() {
            0..=64 => Ok(()),
            length => Err(Refusal::too_long("prompt_cache_key", 64, length)),
        },
        Some(other) => Err(Refusal::wrong_type("prompt_cache_key", "a string", other)),
    }
}

fn client_metadata(fields: &Map<String, Value>) -> Result<(), Refusal> {
    let metadata = match present(fields, "client_metadata") {
        None => return Ok(()),
        Some(Value::Object(metadata)) => metadata,
        Some(other) => return Err(Refusal::wrong_type("client_metadata", "an object", other)),
    };
    match metadata.iter().find(|(_, value)| !value.is_string()) {
        Some((name, value)) => {
            Err(Refusal::wrong_type(&format!("client_metadata.{name}"), "a string", value))
        }
        None => Ok(()),
    }
}

/// What the lite header demands of the body.
fn lite(fields: &Map<String, Value>) -> Result<(), Refusal> {
    let context = fields.get("reasoning").and_then(|it| it.get("context")).and_then(Value::as_str);
    if context != Some("all_turns") {
        let message = format!("{LITE} requires `reasoning.context` to be `all_turns`.");
        return Err(Refusal::parameter("reasoning.context", None, message));
    }
    if present(fields, "parallel_tool_calls") != Some(&Value::Bool(false)) {
        let message = format!("{LITE} requires `parallel_tool_calls` to be `false`.");
        return Err(Refusal::parameter("parallel_tool_calls", None, message));
    }
    Ok(())
}

fn one_of(
    fields: &Map<String, Value>,
    name: &str,
    at: &str,
    supported: &[&str],
) -> Result<(), Refusal> {
    match present(fields, name) {
        None => Ok(()),
        Some(Value::String(value)) if supported.contains(&value.as_str()) => Ok(()),
        Some(Value::String(value)) => Err(Refusal::not_one_of(at, value, supported)),
        Some(other) => Err(Refusal::wrong_type(at, "a string", other)),
    }
}
