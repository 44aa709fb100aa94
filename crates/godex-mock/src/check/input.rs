//! The items of `input`, one by one.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{content, tools};
use crate::blob;
use crate::refusal::Refusal;

/// What an id must begin with, by item type.
const PREFIXES: &[(&str, &str)] = &[
    ("message", "msg_"),
    ("reasoning", "rs_"),
    ("function_call", "fc_"),
    ("custom_tool_call", "ctc_"),
    ("function_call_output", "fco_"),
    ("custom_tool_call_output", "ctco_"),
];

/// Fields of Chat Completions messages that have no place in an item.
const CHAT_LEFTOVERS: &[&str] =
    &["tool_calls", "tool_call_id", "function_call", "name", "reasoning_content", "cache_control"];

/// Judges all items; `account` is the one the caller acts for.
pub(super) fn check(input: &[Value], account: &str) -> Result<(), Refusal> {
    for (index, item) in input.iter().enumerate() {
        let at = format!("input[{index}]");
        let Some(item) = item.as_object() else {
            return Err(Refusal::wrong_type(&at, "an object", item));
        };
        self::item(item, &at, account)?;
    }
    Ok(())
}

fn item(item: &Map<String, Value>, at: &str, account: &str) -> Result<(), Refusal> {
    let kind = match item.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        None if item.contains_key("role") => "message",
        Some(Value::Null) | None => return Err(Refusal::missing(&format!("{at}.type"))),
        Some(other) => return Err(Refusal::wrong_type(&format!("{at}.type"), "a string", other)),
    };
    if kind == "item_reference" {
        return Err(not_persisted(item));
    }
    id(item, kind, at)?;
    match kind {
        "message" => message(item, at),
        "function_call" => call(item, at, "arguments"),
        "custom_tool_call" => call(item, at, "input"),
        "function_call_output" | "custom_tool_call_output" => {
            call_id(item, at)?;
            content::output(item.get("output"), &format!("{at}.output"))
        }
        "reasoning" => reasoning(item, at, account),
        "additional_tools" => match item.get("tools") {
            Some(offered) => tools::definitions(offered, &format!("{at}.tools")),
            None => Err(Refusal::missing(&format!("{at}.tools"))),
        },
        // Item types come and go with the CLI: what is not known here passes.
        _ => Ok(()),
    }
}

fn message(item: &Map<String, Value>, at: &str) -> Result<(), Refusal> {
    let role = match item.get("role") {
        Some(Value::String(role)) => role.as_str(),
        Some(Value::Null) | None => return Err(Refusal::missing(&format!("{at}.role"))),
        Some(other) => return Err(Refusal::wrong_type(&format!("{at}.role"), "a string", other)),
    };
    if role == "system" {
        return Err(Refusal::detail("System messages are not allowed"));
    }
    if !["assistant", "developer", "user"].contains(&role) {
        let supported = ["assistant", "system", "developer", "user"];
        return Err(Refusal::not_one_of(&format!("{at}.role"), role, &supported));
    }
    if let Some(name) = CHAT_LEFTOVERS.iter().find(|it| item.contains_key(**it)) {
        return Err(Refusal::unknown(&format!("{at}.{name}")));
    }
    match item.get("phase") {
        None | Some(Value::Null) => {}
        Some(Value::String(phase)) if ["commentary", "final_answer"].contains(&phase.as_str()) => {}
        Some(phase) => {
            let phase = phase.as_str().unwrap_or_default();
            let supported = ["commentary", "final_answer"];
            return Err(Refusal::not_one_of(&format!("{at}.phase"), phase, &supported));
        }
    }
    content::message(item.get("content"), role, &format!("{at}.content"))
}

/// A call: `body` names the field with what the model wrote.
fn call(item: &Map<String, Value>, at: &str, body: &str) -> Result<(), Refusal> {
    call_id(item, at)?;
    let name = string(item, "name", at)?;
    tools::legal_name(name, &format!("{at}.name"))?;
    string(item, body, at).map(|_| ())
}

fn call_id(item: &Map<String, Value>, at: &str) -> Result<(), Refusal> {
    let id = string(item, "call_id", at)?;
    let at = format!("{at}.call_id");
    match id.chars().count() {
        0 => Err(Refusal::parameter(
            &at,
            Some("empty_string"),
            format!("Invalid '{at}': empty string. Expected a string with minimum length 1."),
        )),
        1..=64 => Ok(()),
        length => Err(Refusal::too_long(&at, 64, length)),
    }
}

fn id(item: &Map<String, Value>, kind: &str, at: &str) -> Result<(), Refusal> {
    let at = format!("{at}.id");
    let id = match item.get("id") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::String(id)) => id,
        Some(other) => return Err(Refusal::wrong_type(&at, "a string", other)),
    };
    let length = id.chars().count();
    if length > 64 {
        return Err(Refusal::too_long(&at, 64, length));
    }
    match PREFIXES.iter().find(|(it, _)| *it == kind) {
        Some((_, prefix)) if !id.starts_with(prefix) => {
            let begin = prefix.trim_end_matches('_');
            let message =
                format!("Invalid '{at}': '{id}'. Expected an ID that begins with '{begin}'.");
            Err(Refusal::parameter(&at, Some("invalid_value"), message))
        }
        Some(_) | None => Ok(()),
    }
}

fn reasoning(item: &Map<String, Value>, at: &str, account: &str) -> Result<(), Refusal> {
    let secret = match item.get("encrypted_content") {
        Some(Value::String(secret)) => secret,
        Some(Value::Null) | None => return Err(not_persisted(item)),
        Some(other) => {
            let at = format!("{at}.encrypted_content");
            return Err(Refusal::wrong_type(&at, "a string", other));
        }
    };
    if !item.get("summary").is_some_and(Value::is_array) {
        return Err(Refusal::missing(&format!("{at}.summary")));
    }
    if blob::is_genuine(secret, account) {
        return Ok(());
    }
    let shown: String = secret.chars().take(12).collect();
    Err(Refusal::code(
        StatusCode::BAD_REQUEST,
        "invalid_request_error",
        "invalid_encrypted_content",
        &format!(
            "The encrypted content {shown}... could not be verified. \
             Reason: Encrypted content could not be decrypted or parsed."
        ),
    ))
}

/// The answer to an item that only its id stands for.
fn not_persisted(item: &Map<String, Value>) -> Refusal {
    let id = item.get("id").and_then(Value::as_str).unwrap_or_default();
    let message = format!(
        "Item with id '{id}' not found. Items are not persisted when `store` is set to false. \
         Try again with `store` set to true, or remove this item from your input."
    );
    let error = json!({
        "message": message,
        "type": "invalid_request_error",
        "param": "input",
        "code": null,
    });
    Refusal::json(StatusCode::NOT_FOUND, &json!({ "error": error }))
}

fn string<'a>(item: &'a Map<String, Value>, name: &str, at: &str) -> Result<&'a str, Refusal> {
    let at = format!("{at}.{name}");
    match item.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Null) | None => Err(Refusal::missing(&at)),
        Some(other) => Err(Refusal::wrong_type(&at, "a string", other)),
    }
}
