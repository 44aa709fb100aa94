//! Reads a request body: what was asked last, what tools answered since, which tools exist.

use serde_json::{Map, Value};

use crate::script;

/// A tool the client offers, wherever it stands in the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool<'a> {
    pub(crate) kind: &'a str,
    pub(crate) name: &'a str,
    /// The namespace the tool lives in.
    pub(crate) namespace: Option<&'a str>,
    pub(crate) parameters: Option<&'a Value>,
    pub(crate) description: &'a str,
}

/// The end of the conversation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// All user texts since the last word of the assistant, newest last, without context.
    pub(crate) prompt: String,
    /// Those of them that carry a script, all of them if none does: what clients add to the
    /// user's words when they ask again does not make it another prompt.
    pub(crate) scripted: String,
    /// The last of those texts alone.
    pub(crate) question: String,
    /// Outputs of tools that came after the prompt, as text.
    pub(crate) outputs: Vec<String>,
    /// Names of the tools that were called since the prompt.
    pub(crate) called: Vec<String>,
}

/// Beginnings of user messages that clients add on their own, around the user's words.
const CONTEXT: &[&str] = &[
    "<<<BEGIN_",
    "<environment_context>",
    "<user_instructions>",
    "<system-reminder>",
    "<permissions instructions>",
    "# AGENTS.md",
];

/// Every function and custom tool of the request, namespaces and `additional_tools` included;
/// hosted tools appear under their type.
pub(crate) fn tools(fields: &Map<String, Value>) -> Vec<Tool<'_>> {
    let mut found = Vec::new();
    collect(fields.get("tools"), None, &mut found);
    for item in fields.get("input").and_then(Value::as_array).into_iter().flatten() {
        if item.get("type").and_then(Value::as_str) == Some("additional_tools") {
            collect(item.get("tools"), None, &mut found);
        }
    }
    found
}

fn collect<'a>(tools: Option<&'a Value>, namespace: Option<&'a str>, found: &mut Vec<Tool<'a>>) {
    for tool in tools.and_then(Value::as_array).into_iter().flatten() {
        let kind = tool.get("type").and_then(Value::as_str).unwrap_or_default();
        let name = tool.get("name").and_then(Value::as_str).unwrap_or(kind);
        if kind == "namespace" {
            collect(tool.get("tools"), Some(name), found);
        } else {
            let parameters = tool.get("parameters");
            let description = tool.get("description").and_then(Value::as_str).unwrap_or_default();
            found.push(Tool { kind, name, namespace, parameters, description });
        }
    }
}

/// Finds the last turn of the input.
pub(crate) fn last_turn(input: &[Value]) -> Turn {
    let mut turn = Turn::default();
    let mut texts: Vec<String> = Vec::new();
    let mut answered = false;
    for item in input {
        match (kind(item), item.get("role").and_then(Value::as_str)) {
            ("message", Some("user")) => {
                let Some(text) = question(item.get("content")) else { continue };
                if answered || !turn.outputs.is_empty() {
                    texts.clear();
                    turn.outputs.clear();
                    turn.called.clear();
                    answered = false;
                }
                texts.push(text);
            }
            ("message", Some("assistant")) => answered = true,
            ("function_call" | "custom_tool_call", _) => {
                turn.called.extend(item.get("name").and_then(Value::as_str).map(str::to_owned));
            }
            ("function_call_output" | "custom_tool_call_output", _) => {
                turn.outputs.push(text(item.get("output")));
            }
            _ => {}
        }
    }
    turn.question = texts.last().cloned().unwrap_or_default();
    turn.prompt = texts.join("\n");
    let scripts: Vec<&str> =
        texts.iter().map(String::as_str).filter(|it| it.contains(script::OPEN)).collect();
    turn.scripted = if scripts.is_empty() { turn.prompt.clone() } else { scripts.join("\n") };
    turn
}

fn kind(item: &Value) -> &str {
    item.get("type").and_then(Value::as_str).unwrap_or("message")
}

fn is_context(text: &str) -> bool {
    let text = text.trim_start();
    CONTEXT.iter().any(|it| text.starts_with(it))
}

/// What the user said in a message: its parts without context, none if it is nothing else.
fn question(content: Option<&Value>) -> Option<String> {
    let texts = texts(content);
    let said: Vec<_> = texts.iter().copied().filter(|it| !is_context(it)).collect();
    (texts.is_empty() || !said.is_empty()).then(|| said.join("\n"))
}

/// The text of a string or of a list of parts.
fn text(content: Option<&Value>) -> String {
    texts(content).join("\n")
}

fn texts(content: Option<&Value>) -> Vec<&str> {
    match content {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(parts)) => {
            let texts = parts.iter().map(|part| match part.get("type").and_then(Value::as_str) {
                Some("input_image") => "[image]",
                Some("input_file") => "[file]",
                Some(_) | None => part.get("text").and_then(Value::as_str).unwrap_or_default(),
            });
            texts.collect()
        }
        Some(_) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(input: &Value, prompt: &str, outputs: &[&str]) {
        let turn = last_turn(input.as_array().unwrap());
        assert_eq!(turn.prompt, prompt);
        assert_eq!(turn.outputs, outputs);
    }

    #[test]
    fn the_last_turn_is_what_the_user_said_last_and_what_tools_said_since() {
        let user = |text: &str| json!({"role": "user", "content": text});
        let assistant = json!({"role": "assistant", "content": "yes"});
        let output = json!({"type": "function_call_output", "call_id": "c", "output": "42"});
        check(&json!([]), "", &[]);
        check(&json!([user("a")]), "a", &[]);
        check(&json!([user("a"), assistant, user("b")]), "b", &[]);
        check(&json!([user("a"), output]), "a", &["42"]);
        check(&json!([user("a"), user("<<<BEGIN_CONTEXT>>>")]), "a", &[]);
        check(&json!([user("a"), output, user("<<<BEGIN_CONTEXT>>>")]), "a", &["42"]);
        check(&json!([user("a"), output, user("b")]), "b", &[]);
        check(&json!([user("a"), assistant, output]), "a", &["42"]);
        let parts = json!([{"type": "input_text", "text": "a"}, {"type": "input_image"}]);
        check(&json!([{"role": "user", "content": parts}]), "a\n[image]", &[]);
        let around = |text: &str| {
            let part = |text: &str| json!({"type": "input_text", "text": text});
            let parts = [part("<system-reminder>Be kind.</system-reminder>"), part(text)];
            json!({"role": "user", "content": parts})
        };
        check(&json!([around("a")]), "a", &[]);
        check(&json!([user("a"), output, around("<system-reminder>")]), "a", &["42"]);
    }

    #[test]
    fn tools_are_found_in_every_place() {
        let body = json!({
            "tools": [
                {"type": "function", "name": "a"},
                {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "b"}]},
                {"type": "web_search"},
            ],
            "input": [{"type": "additional_tools", "tools": [{"type": "custom", "name": "c"}]}],
        });
        let found = tools(body.as_object().unwrap());
        let names: Vec<_> = found.iter().map(|it| (it.kind, it.name, it.namespace)).collect();
        assert_eq!(
            names,
            [
                ("function", "a", None),
                ("function", "b", Some("n")),
                ("web_search", "web_search", None),
                ("custom", "c", None),
            ]
        );
    }
}
