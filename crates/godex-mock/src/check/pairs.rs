//! Calls and outputs: each call has exactly one output after it, and the reverse.

use serde_json::Value;

use crate::refusal::Refusal;

/// The two kinds of calls a client answers: call type, output type, words of the backend.
const KINDS: &[(&str, &str, &str)] = &[
    ("function_call", "function_call_output", "function call"),
    ("custom_tool_call", "custom_tool_call_output", "custom tool call"),
];

/// Judges the pairing over the whole input.
pub(super) fn check(input: &[Value]) -> Result<(), Refusal> {
    for (call, output, words) in KINDS {
        let mut open: Vec<&str> = Vec::new();
        for item in input {
            let kind = item.get("type").and_then(Value::as_str).unwrap_or_default();
            let id = item.get("call_id").and_then(Value::as_str).unwrap_or_default();
            if kind == *call {
                open.push(id);
            } else if kind == *output {
                let Some(position) = open.iter().position(|it| *it == id) else {
                    let message =
                        format!("No tool call found for {words} output with call_id {id}.");
                    return Err(Refusal::parameter("input", None, message));
                };
                open.remove(position);
            }
        }
        if let Some(id) = open.first() {
            let message = format!("No tool output found for {words} {id}.");
            return Err(Refusal::parameter("input", None, message));
        }
    }
    Ok(())
}
