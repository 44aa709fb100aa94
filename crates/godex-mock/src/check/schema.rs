//! JSON schemas: of function parameters and of structured answers.
//!
//! A strict schema closes every object and requires every property. Only that much is
//! judged: keywords that merely narrow a value pass.

use serde_json::{Map, Value};

use super::tools;
use crate::refusal::Refusal;

/// Combinators that strict mode does not know.
const FORBIDDEN: &[&str] =
    &["allOf", "oneOf", "not", "if", "patternProperties", "dependentSchemas"];

/// Judges the parameters of a function.
pub(super) fn parameters(
    schema: &Value,
    strict: bool,
    name: &str,
    at: &str,
) -> Result<(), Refusal> {
    judge(schema, strict).map_err(|why| {
        let message = format!("Invalid schema for function '{name}': {why}");
        let at = format!("{at}.parameters");
        Refusal::parameter(&at, Some("invalid_function_parameters"), message)
    })
}

/// Judges a `text.format` of type `json_schema`.
pub(super) fn format(format: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(name) = format.get("name").and_then(Value::as_str) else {
        return Err(Refusal::missing("text.format.name"));
    };
    tools::legal_name(name, "text.format.name")?;
    let Some(schema) = format.get("schema").filter(|it| it.is_object()) else {
        return Err(Refusal::missing("text.format.schema"));
    };
    let strict = format.get("strict") == Some(&Value::Bool(true));
    judge(schema, strict).map_err(|why| {
        let message = format!("Invalid schema for response_format '{name}': {why}");
        Refusal::parameter("text.format.schema", Some("invalid_json_schema"), message)
    })
}

fn judge(schema: &Value, strict: bool) -> Result<(), String> {
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or("None");
    if kind != "object" {
        return Err(format!(
            "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
        ));
    }
    if !strict {
        return Ok(());
    }
    if schema.get("anyOf").is_some() {
        return Err("In context=(), 'anyOf' is not permitted at the top level.".to_owned());
    }
    closed(schema, &mut Vec::new())
}

/// Judges one subschema of a strict schema.
fn closed(schema: &Value, path: &mut Vec<String>) -> Result<(), String> {
    let Some(schema) = schema.as_object() else {
        return Err(complaint(path, "schema must be an object."));
    };
    if let Some(keyword) = FORBIDDEN.iter().find(|it| schema.contains_key(**it)) {
        return Err(complaint(path, &format!("'{keyword}' is not permitted.")));
    }
    let typed = ["type", "$ref", "anyOf", "enum", "const"];
    if !typed.iter().any(|it| schema.contains_key(*it)) {
        return Err(complaint(path, "schema must have a 'type' key."));
    }
    if is(schema, "object") {
        object(schema, path)?;
    }
    if is(schema, "array") {
        let Some(items) = schema.get("items") else {
            return Err(complaint(path, "array schema missing items."));
        };
        inside(items, path, &["items"])?;
    }
    for (index, choice) in
        schema.get("anyOf").and_then(Value::as_array).into_iter().flatten().enumerate()
    {
        inside(choice, path, &["anyOf", &index.to_string()])?;
    }
    for keyword in ["$defs", "definitions"] {
        for (name, definition) in
            schema.get(keyword).and_then(Value::as_object).into_iter().flatten()
        {
            inside(definition, path, &[keyword, name])?;
        }
    }
    Ok(())
}

fn object(schema: &Map<String, Value>, path: &mut Vec<String>) -> Result<(), String> {
    if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        let what = "'additionalProperties' is required to be supplied and to be false.";
        return Err(complaint(path, what));
    }
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|it| it.iter().any(|it| it == name));
    for (name, property) in
        schema.get("properties").and_then(Value::as_object).into_iter().flatten()
    {
        if !is_required(name) {
            let what = format!(
                "'required' is required to be supplied and to be an array including every key \
                 in properties. Missing '{name}'."
            );
            return Err(complaint(path, &what));
        }
        inside(property, path, &["properties", name])?;
    }
    Ok(())
}

fn inside(schema: &Value, path: &mut Vec<String>, steps: &[&str]) -> Result<(), String> {
    let depth = path.len();
    path.extend(steps.iter().map(|&it| it.to_owned()));
    closed(schema, path)?;
    path.truncate(depth);
    Ok(())
}

/// Whether a schema allows a type, by name or in a list.
fn is(schema: &Map<String, Value>, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(name)) => name == kind,
        Some(Value::Array(names)) => names.iter().any(|it| it == kind),
        Some(_) | None => false,
    }
}

fn complaint(path: &[String], what: &str) -> String {
    let path: Vec<String> = path.iter().map(|it| format!("'{it}'")).collect();
    format!("In context=({}), {what}", path.join(", "))
}
