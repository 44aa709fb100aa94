//! Tool definitions, wherever they stand, and the choice among them.

use serde_json::{Map, Value};

use super::schema;
use crate::refusal::Refusal;

/// Judges a list of tools; `at` is its path in the request.
pub(super) fn definitions(tools: &Value, at: &str) -> Result<(), Refusal> {
    let Some(tools) = tools.as_array() else {
        return Err(Refusal::wrong_type(at, "an array of tools", tools));
    };
    for (index, tool) in tools.iter().enumerate() {
        definition(tool, &format!("{at}[{index}]"))?;
    }
    Ok(())
}

fn definition(tool: &Value, at: &str) -> Result<(), Refusal> {
    let Some(tool) = tool.as_object() else {
        return Err(Refusal::wrong_type(at, "an object", tool));
    };
    match tool.get("type").and_then(Value::as_str) {
        Some("function") => function(tool, at),
        Some("custom") => custom(tool, at),
        Some("namespace") => {
            name(tool, at)?;
            match tool.get("tools") {
                Some(tools) => definitions(tools, &format!("{at}.tools")),
                None => Err(Refusal::missing(&format!("{at}.tools"))),
            }
        }
        Some("web_search" | "tool_search" | "image_generation") => Ok(()),
        Some(other) => Err(Refusal::detail(format!("Unsupported tool type: {other}"))),
        None => Err(Refusal::missing(&format!("{at}.type"))),
    }
}

fn function(tool: &Map<String, Value>, at: &str) -> Result<(), Refusal> {
    let name = name(tool, at)?;
    if tool.contains_key("function") {
        return Err(Refusal::unknown(&format!("{at}.function")));
    }
    let strict = match tool.get("strict") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(other) => {
            return Err(Refusal::wrong_type(&format!("{at}.strict"), "a boolean", other));
        }
    };
    match tool.get("parameters") {
        None | Some(Value::Null) => Ok(()),
        Some(parameters) => schema::parameters(parameters, strict, name, at),
    }
}

fn custom(tool: &Map<String, Value>, at: &str) -> Result<(), Refusal> {
    name(tool, at)?;
    let Some(format) = tool.get("format").filter(|it| !it.is_null()) else { return Ok(()) };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(()),
        Some("grammar") => {
            let at = format!("{at}.format");
            if !format.get("definition").is_some_and(Value::is_string) {
                return Err(Refusal::missing(&format!("{at}.definition")));
            }
            match format.get("syntax").and_then(Value::as_str) {
                Some("lark" | "regex") => Ok(()),
                Some(other) => {
                    Err(Refusal::not_one_of(&format!("{at}.syntax"), other, &["lark", "regex"]))
                }
                None => Err(Refusal::missing(&format!("{at}.syntax"))),
            }
        }
        Some(other) => {
            Err(Refusal::not_one_of(&format!("{at}.format.type"), other, &["grammar", "text"]))
        }
        None => Err(Refusal::missing(&format!("{at}.format.type"))),
    }
}

fn name<'a>(tool: &'a Map<String, Value>, at: &str) -> Result<&'a str, Refusal> {
    let at = format!("{at}.name");
    match tool.get("name") {
        Some(Value::String(name)) => legal_name(name, &at).map(|()| name.as_str()),
        Some(Value::Null) | None => Err(Refusal::missing(&at)),
        Some(other) => Err(Refusal::wrong_type(&at, "a string", other)),
    }
}

/// Judges the name of a tool, in a definition or in a call.
pub(super) fn legal_name(name: &str, at: &str) -> Result<(), Refusal> {
    let length = name.chars().count();
    if length > 64 {
        return Err(Refusal::too_long(at, 64, length));
    }
    if name.is_empty() || !name.chars().all(|it| it.is_ascii_alphanumeric() || "_-".contains(it)) {
        let message = format!(
            "Invalid '{at}': string does not match pattern. Expected a string that matches \
             the pattern '^[a-zA-Z0-9_-]+$'."
        );
        return Err(Refusal::parameter(at, Some("invalid_value"), message));
    }
    Ok(())
}

/// Judges `tool_choice` against the tools of the whole request.
pub(super) fn choice(choice: &Value, fields: &Map<String, Value>) -> Result<(), Refusal> {
    let offered = crate::conversation::tools(fields);
    match choice {
        Value::String(mode) => match mode.as_str() {
            "required" if offered.is_empty() => Err(Refusal::parameter(
                "tool_choice",
                None,
                "Tool choice 'required' must be specified with 'tools' parameter.",
            )),
            "none" | "auto" | "required" => Ok(()),
            other => Err(Refusal::not_one_of("tool_choice", other, &["none", "auto", "required"])),
        },
        Value::Object(choice) => named(choice, &offered),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            Err(Refusal::wrong_type("tool_choice", "a string or an object", choice))
        }
    }
}

fn named(
    choice: &Map<String, Value>,
    offered: &[crate::conversation::Tool<'_>],
) -> Result<(), Refusal> {
    let kind = choice.get("type").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "function" | "custom" => {
            if choice.contains_key(kind) {
                return Err(Refusal::unknown(&format!("tool_choice.{kind}")));
            }
            let Some(name) = choice.get("name").and_then(Value::as_str) else {
                return Err(Refusal::missing("tool_choice.name"));
            };
            if offered.iter().any(|it| it.kind == kind && it.name == name) {
                return Ok(());
            }
        }
        "web_search" | "image_generation" => {
            if offered.iter().any(|it| it.kind == kind) {
                return Ok(());
            }
        }
        other => {
            let message = format!("Unsupported tool_choice type: {other}");
            return Err(Refusal::detail(message));
        }
    }
    let message = format!("Tool choice '{kind}' not found in 'tools' parameter.");
    Err(Refusal::parameter("tool_choice", None, message))
}
