//! One row per rule of the contract (`docs/wire.md`, request).

mod headers;
mod items;

use http::HeaderMap;
use serde_json::{Value, json};

use super::check;
use crate::blob;

const ACCOUNT: &str = "account";

/// The headers of a good call.
fn good_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("authorization", "Bearer token"),
        ("chatgpt-account-id", ACCOUNT),
        ("originator", "codex_cli_rs"),
        ("user-agent", "godex/0.1.0 (linux; x86_64)"),
        ("accept", "text/event-stream"),
        ("content-type", "application/json"),
        ("session-id", "session"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    headers
}

/// A good body, overlaid with `fields`.
fn with(fields: Value) -> Value {
    let mut body = json!({
        "model": "gpt-5.5",
        "instructions": "Be brief.",
        "input": [{ "type": "message", "role": "user", "content": "hi" }],
        "store": false,
        "stream": true,
    });
    let Value::Object(fields) = fields else { unreachable!("fields are an object") };
    body.as_object_mut().unwrap().extend(fields);
    body
}

fn without(name: &str) -> Value {
    let mut body = with(json!({}));
    body.as_object_mut().unwrap().shift_remove(name);
    body
}

/// A good body with these items after the prompt.
fn items(items: Value) -> Value {
    let Value::Array(more) = items else { unreachable!("items are a list") };
    let mut input = vec![json!({ "role": "user", "content": "hi" })];
    input.extend(more);
    with(json!({ "input": input }))
}

#[track_caller]
fn accepted(body: &Value) {
    if let Err(refusal) = check(&good_headers(), body) {
        panic!("refused with {}: {body}", refusal.summary());
    }
}

/// The answer to a body that is refused: status and text of detail or message.
#[track_caller]
fn answer(body: &Value) -> (u16, Value) {
    match check(&good_headers(), body) {
        Ok(()) => panic!("accepted: {body}"),
        Err(refusal) => (refusal.status.as_u16(), serde_json::from_str(&refusal.body).unwrap()),
    }
}

#[track_caller]
fn detail(body: &Value, expected: &str) {
    assert_eq!(answer(body), (400, json!({ "detail": expected })));
}

/// An API error: the parameter, the code and the message.
#[track_caller]
fn error(body: &Value, param: &str, code: &str, message: &str) {
    let code = if code.is_empty() { Value::Null } else { json!(code) };
    let expected = json!({
        "message": message,
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    });
    assert_eq!(answer(body), (400, json!({ "error": expected })));
}

#[test]
fn store_must_be_there_and_false() {
    for body in [without("store"), with(json!({"store": true})), with(json!({"store": null}))] {
        detail(&body, "Store must be set to false");
    }
}

#[test]
fn stream_must_be_there_and_true() {
    for body in [without("stream"), with(json!({"stream": false}))] {
        detail(&body, "Stream must be set to true");
    }
}

#[test]
fn input_must_be_a_list() {
    for body in [without("input"), with(json!({"input": "hi"})), with(json!({"input": null}))] {
        detail(&body, "Input must be a list");
    }
}

#[test]
fn unsupported_parameters_are_refused_by_name() {
    for name in [
        "temperature",
        "top_p",
        "max_output_tokens",
        "metadata",
        "user",
        "safety_identifier",
        "truncation",
        "prompt_cache_retention",
        "prompt_cache_options",
        "previous_response_id",
        "max_tokens",
        "max_completion_tokens",
        "presence_penalty",
        "frequency_penalty",
        "stop",
        "seed",
        "n",
        "logit_bias",
        "top_logprobs",
        "background",
        "conversation",
        "prompt",
        "max_tool_calls",
        "messages",
        "response_format",
        "stream_options",
        "context_management",
        "anything_unknown",
    ] {
        detail(&with(json!({ name: 0 })), &format!("Unsupported parameter: {name}"));
    }
}

#[test]
fn instructions_may_only_be_missing_beside_a_developer_message() {
    for body in [
        without("instructions"),
        with(json!({"instructions": ""})),
        with(json!({"instructions": null})),
    ] {
        detail(&body, "Instructions are required");
    }
    let developer = json!({ "type": "message", "role": "developer", "content": "Be brief." });
    let mut body = items(json!([developer]));
    body.as_object_mut().unwrap().shift_remove("instructions");
    accepted(&body);
    let message = "Invalid type for 'instructions': expected a string, but got an array instead.";
    error(&with(json!({"instructions": []})), "instructions", "invalid_type", message);
}

#[test]
fn only_models_of_the_catalogue_are_served() {
    for model in ["gpt-6.1-sol", "gpt-5.6-luna", "gpt-daybreak-red-latest", "codex-auto-review"] {
        accepted(&with(json!({ "model": model })));
    }
    let wording = "The 'gpt-4o' model is not supported when using Codex with a ChatGPT account.";
    detail(&with(json!({"model": "gpt-4o"})), wording);
    error(
        &without("model"),
        "model",
        "missing_required_parameter",
        "Missing required parameter: 'model'.",
    );
}

#[test]
fn service_tiers_are_default_and_priority() {
    for tier in [json!("default"), json!("priority"), json!(null)] {
        accepted(&with(json!({ "service_tier": tier })));
    }
    for tier in ["auto", "flex", "fast"] {
        let body = with(json!({ "service_tier": tier }));
        detail(&body, &format!("Unsupported service_tier: {tier}"));
    }
}

#[test]
fn parallel_tool_calls_is_a_boolean() {
    for value in [true, false] {
        accepted(&with(json!({ "parallel_tool_calls": value })));
    }
    error(
        &with(json!({"parallel_tool_calls": "yes"})),
        "parallel_tool_calls",
        "invalid_type",
        "Invalid type for 'parallel_tool_calls': expected a boolean, but got a string instead.",
    );
}

#[test]
fn tools_are_flat_and_of_a_known_type() {
    let parameters = json!({ "type": "object", "properties": {} });
    let function = json!({ "type": "function", "name": "f", "parameters": parameters });
    let grammar = json!({ "type": "grammar", "syntax": "lark", "definition": "start: \"a\"" });
    accepted(&with(json!({ "tools": [
        function,
        { "type": "function", "name": "bare" },
        { "type": "function", "name": "null", "parameters": null, "strict": null },
        { "type": "custom", "name": "patch", "format": grammar },
        { "type": "web_search" },
        { "type": "namespace", "name": "n", "tools": [function] },
        { "type": "tool_search" },
        { "type": "image_generation" },
    ] })));
    for kind in ["web_search_preview", "local_shell", "computer_use_preview"] {
        let body = with(json!({ "tools": [{ "type": kind }] }));
        detail(&body, &format!("Unsupported tool type: {kind}"));
    }
    let chat = json!({ "type": "function", "function": { "name": "f" } });
    error(
        &with(json!({ "tools": [chat] })),
        "tools[0].name",
        "missing_required_parameter",
        "Missing required parameter: 'tools[0].name'.",
    );
    error(
        &with(json!({ "tools": [function, { "type": "function", "name": "a b" }] })),
        "tools[1].name",
        "invalid_value",
        "Invalid 'tools[1].name': string does not match pattern. Expected a string that matches \
         the pattern '^[a-zA-Z0-9_-]+$'.",
    );
    error(
        &with(json!({ "tools": [{ "type": "function", "name": "f".repeat(65) }] })),
        "tools[0].name",
        "string_above_max_length",
        "Invalid 'tools[0].name': string too long. Expected a string with maximum length 64, \
         but got a string with length 65 instead.",
    );
    error(
        &with(json!({ "tools": [{ "type": "function", "name": "f", "parameters": {} }] })),
        "tools[0].parameters",
        "invalid_function_parameters",
        "Invalid schema for function 'f': schema must be a JSON Schema of 'type: \"object\"', \
         got 'type: \"None\"'.",
    );
}

#[test]
fn a_strict_function_needs_a_strict_schema() {
    let tool = |strict: Value, parameters: Value| {
        let tool = json!({
            "type": "function", "name": "f", "strict": strict, "parameters": parameters,
        });
        with(json!({ "tools": [tool] }))
    };
    let open = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    let closed = json!({
        "type": "object",
        "properties": { "a": { "type": ["string", "null"] } },
        "required": ["a"],
        "additionalProperties": false,
    });
    let nested = json!({
        "type": "object",
        "properties": { "a": { "type": "array", "items": open } },
        "required": ["a"],
        "additionalProperties": false,
    });
    accepted(&tool(json!(false), open.clone()));
    accepted(&tool(json!(null), open.clone()));
    accepted(&tool(json!(true), closed.clone()));
    let param = "tools[0].parameters";
    let code = "invalid_function_parameters";
    let unclosed = "'additionalProperties' is required to be supplied and to be false.";
    error(
        &tool(json!(true), open),
        param,
        code,
        &format!("Invalid schema for function 'f': In context=(), {unclosed}"),
    );
    error(
        &tool(json!(true), nested),
        param,
        code,
        &format!(
            "Invalid schema for function 'f': In context=('properties', 'a', 'items'), {unclosed}"
        ),
    );
    let mut optional = closed;
    optional["required"] = json!([]);
    error(
        &tool(json!(true), optional),
        param,
        code,
        "Invalid schema for function 'f': In context=(), 'required' is required to be supplied \
         and to be an array including every key in properties. Missing 'a'.",
    );
}

#[test]
fn tool_choice_is_a_mode_or_a_type_and_a_name() {
    let choose = |choice: Value| {
        let tools = json!([
            { "type": "function", "name": "f" },
            { "type": "custom", "name": "c" },
            { "type": "web_search" },
        ]);
        with(json!({ "tools": tools, "tool_choice": choice }))
    };
    for choice in [
        json!("none"),
        json!("auto"),
        json!("required"),
        json!({ "type": "function", "name": "f" }),
        json!({ "type": "custom", "name": "c" }),
        json!({ "type": "web_search" }),
    ] {
        accepted(&choose(choice));
    }
    accepted(&with(json!({ "tool_choice": "auto" })));
    error(
        &choose(json!("any")),
        "tool_choice",
        "invalid_value",
        "Invalid value: 'any'. Supported values are: 'none', 'auto', and 'required'.",
    );
    error(
        &choose(json!({ "type": "function", "function": { "name": "f" } })),
        "tool_choice.function",
        "unknown_parameter",
        "Unknown parameter: 'tool_choice.function'.",
    );
    error(
        &choose(json!({ "type": "function", "name": "g" })),
        "tool_choice",
        "",
        "Tool choice 'function' not found in 'tools' parameter.",
    );
    error(
        &with(json!({ "tool_choice": "required" })),
        "tool_choice",
        "",
        "Tool choice 'required' must be specified with 'tools' parameter.",
    );
    detail(
        &choose(json!({ "type": "allowed_tools", "mode": "auto", "tools": [] })),
        "Unsupported tool_choice type: allowed_tools",
    );
}

#[test]
fn verbosity_is_low_medium_or_high() {
    for verbosity in ["low", "medium", "high"] {
        accepted(&with(json!({ "text": { "verbosity": verbosity } })));
    }
    error(
        &with(json!({ "text": { "verbosity": "max" } })),
        "text.verbosity",
        "invalid_value",
        "Invalid value: 'max'. Supported values are: 'low', 'medium', and 'high'.",
    );
}

#[test]
fn a_json_object_must_be_asked_for_in_an_input_message() {
    let ask = |text: &str| {
        with(json!({
            "instructions": "Answer in json.",
            "input": [{ "role": "user", "content": [{ "type": "input_text", "text": text }] }],
            "text": { "format": { "type": "json_object" } },
        }))
    };
    accepted(&ask("Some JSON, please."));
    error(
        &ask("Something, please."),
        "input",
        "",
        "Response input messages must contain the word 'json' in some form to use 'text.format' \
         of type 'json_object'.",
    );
}

#[test]
fn a_json_schema_needs_a_name_and_when_strict_a_strict_schema() {
    let ask = |format: Value| with(json!({ "text": { "format": format } }));
    let schema = json!({ "type": "object", "properties": {} });
    accepted(&ask(json!({ "type": "text" })));
    accepted(&ask(json!({ "type": "json_schema", "name": "n", "schema": schema })));
    error(
        &ask(json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } })),
        "text.format.name",
        "missing_required_parameter",
        "Missing required parameter: 'text.format.name'.",
    );
    error(
        &ask(json!({ "type": "json_schema", "name": "n", "schema": schema, "strict": true })),
        "text.format.schema",
        "invalid_json_schema",
        "Invalid schema for response_format 'n': In context=(), 'additionalProperties' is \
         required to be supplied and to be false.",
    );
}

#[test]
fn efforts_are_those_of_the_model_and_none() {
    let ask = |model: &str, effort: &str| {
        with(json!({ "model": model, "reasoning": { "effort": effort } }))
    };
    for effort in ["none", "low", "medium", "high", "xhigh"] {
        accepted(&ask("gpt-5.5", effort));
        accepted(&ask("gpt-6.1-sol", effort));
    }
    accepted(&ask("gpt-6.1-sol", "max"));
    for (model, effort) in [("gpt-5.5", "minimal"), ("gpt-5.5", "max"), ("gpt-5.5", "ultra")] {
        error(
            &ask(model, effort),
            "reasoning.effort",
            "unsupported_value",
            &format!(
                "Unsupported value: '{effort}' is not supported with the '{model}' model. \
                 Supported values are: 'none', 'low', 'medium', 'high', and 'xhigh'."
            ),
        );
    }
    assert_eq!(answer(&ask("gpt-6.1-sol", "ultra")).0, 400);
}

#[test]
fn summaries_are_auto_concise_or_detailed() {
    for summary in ["auto", "concise", "detailed"] {
        accepted(&with(json!({ "reasoning": { "summary": summary } })));
    }
    error(
        &with(json!({ "reasoning": { "summary": "none" } })),
        "reasoning.summary",
        "invalid_value",
        "Invalid value: 'none'. Supported values are: 'auto', 'concise', and 'detailed'.",
    );
}

#[test]
fn includes_are_known_names() {
    accepted(&with(json!({ "include": ["reasoning.encrypted_content"] })));
    assert_eq!(answer(&with(json!({ "include": ["usage"] }))).0, 400);
}

#[test]
fn the_prompt_cache_key_has_64_characters_at_most() {
    accepted(&with(json!({ "prompt_cache_key": "k".repeat(64) })));
    error(
        &with(json!({ "prompt_cache_key": "k".repeat(65) })),
        "prompt_cache_key",
        "string_above_max_length",
        "Invalid 'prompt_cache_key': string too long. Expected a string with maximum length 64, \
         but got a string with length 65 instead.",
    );
}

#[test]
fn client_metadata_is_a_map_of_strings() {
    accepted(&with(json!({ "client_metadata": { "a": "b" } })));
    error(
        &with(json!({ "client_metadata": { "a": 1 } })),
        "client_metadata.a",
        "invalid_type",
        "Invalid type for 'client_metadata.a': expected a string, but got an integer instead.",
    );
}
