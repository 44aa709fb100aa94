//! The parts of messages and of tool outputs.

use serde_json::{Map, Value};

use crate::refusal::Refusal;

const ASSISTANT: &[&str] = &["output_text", "refusal"];
const OTHERS: &[&str] = &["input_text", "input_image", "input_file"];
const OUTPUT: &[&str] = &["input_text", "input_image"];
const DETAILS: &[&str] = &["auto", "low", "high", "original"];

/// Judges the content of a message: a string, or parts that fit the role.
pub(super) fn message(content: Option<&Value>, role: &str, at: &str) -> Result<(), Refusal> {
    let allowed = if role == "assistant" { ASSISTANT } else { OTHERS };
    string_or_parts(content, allowed, at)
}

/// Judges the output of a tool: a string, or parts of text and image.
pub(super) fn output(output: Option<&Value>, at: &str) -> Result<(), Refusal> {
    string_or_parts(output, OUTPUT, at)
}

fn string_or_parts(content: Option<&Value>, allowed: &[&str], at: &str) -> Result<(), Refusal> {
    match content {
        Some(Value::String(_)) => Ok(()),
        Some(Value::Array(parts)) => {
            for (index, part) in parts.iter().enumerate() {
                self::part(part, allowed, &format!("{at}[{index}]"))?;
            }
            Ok(())
        }
        None => Err(Refusal::missing(at)),
        Some(other) => Err(Refusal::wrong_type(at, "one of an array of objects or string", other)),
    }
}

fn part(part: &Value, allowed: &[&str], at: &str) -> Result<(), Refusal> {
    let Some(part) = part.as_object() else {
        return Err(Refusal::wrong_type(at, "an object", part));
    };
    if part.contains_key("prompt_cache_breakpoint") {
        return Err(Refusal::detail("Unsupported parameter: prompt_cache_breakpoint"));
    }
    if part.contains_key("cache_control") {
        return Err(Refusal::unknown(&format!("{at}.cache_control")));
    }
    let Some(kind) = part.get("type").and_then(Value::as_str) else {
        return Err(Refusal::missing(&format!("{at}.type")));
    };
    if !allowed.contains(&kind) {
        return Err(Refusal::not_one_of(at, kind, allowed));
    }
    match kind {
        "refusal" => string(part, "refusal", at),
        "input_image" => image(part, at),
        "input_file" => file(part, at),
        _ => string(part, "text", at),
    }
}

fn image(part: &Map<String, Value>, at: &str) -> Result<(), Refusal> {
    if let Some(detail) = part.get("detail").filter(|it| !it.is_null()) {
        let detail = detail.as_str().unwrap_or_default();
        if !DETAILS.contains(&detail) {
            return Err(Refusal::not_one_of(&format!("{at}.detail"), detail, DETAILS));
        }
    }
    let at = format!("{at}.image_url");
    match part.get("image_url") {
        Some(Value::String(url)) if is_image(url) => Ok(()),
        Some(Value::String(_)) => {
            let message = format!(
                "Invalid '{at}'. Expected a valid URL, but got a value with an invalid format."
            );
            Err(Refusal::parameter(&at, Some("invalid_value"), message))
        }
        Some(Value::Null) | None if part.get("file_id").is_some_and(Value::is_string) => Ok(()),
        Some(Value::Null) | None => Err(Refusal::missing(&at)),
        Some(other) => Err(Refusal::wrong_type(&at, "an image URL", other)),
    }
}

fn is_image(url: &str) -> bool {
    ["http://", "https://", "data:image/"].iter().any(|it| url.starts_with(it))
}

fn file(part: &Map<String, Value>, at: &str) -> Result<(), Refusal> {
    let sources = ["file_data", "file_url", "file_id"];
    if sources.iter().any(|it| part.get(*it).is_some_and(Value::is_string)) {
        return Ok(());
    }
    Err(Refusal::missing(&format!("{at}.file_data")))
}

fn string(part: &Map<String, Value>, name: &str, at: &str) -> Result<(), Refusal> {
    let at = format!("{at}.{name}");
    match part.get(name) {
        Some(Value::String(_)) => Ok(()),
        Some(Value::Null) | None => Err(Refusal::missing(&at)),
        Some(other) => Err(Refusal::wrong_type(&at, "a string", other)),
    }
}
