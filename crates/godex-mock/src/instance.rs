//! The smallest JSON value that a schema accepts, for structured answers and tool arguments.

use serde_json::{Map, Value, json};

/// How deep a schema that refers to itself is followed.
const DEPTH: usize = 16;

/// Texts for strings without a form, taken in order.
type Words<'a> = &'a mut dyn Iterator<Item = String>;

/// Makes a value for `schema`; references are looked up in the same document.
pub(crate) fn of(schema: &Value) -> Value {
    with(schema, &mut std::iter::empty())
}

/// Makes a value for `schema` with `words` where any text will do.
pub(crate) fn with(schema: &Value, words: Words<'_>) -> Value {
    make(schema, schema, 0, words)
}

fn make(schema: &Value, root: &Value, depth: usize, words: Words<'_>) -> Value {
    let Some(fields) = schema.as_object() else { return json!("mock") };
    if depth > DEPTH {
        return Value::Null;
    }
    if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
        let found = target.strip_prefix('#').and_then(|it| root.pointer(it));
        return found.map_or(Value::Null, |it| make(it, root, depth + 1, words));
    }
    if let Some(constant) = fields.get("const") {
        return constant.clone();
    }
    if let Some(first) = fields.get("enum").and_then(Value::as_array).and_then(|it| it.first()) {
        return first.clone();
    }
    for combinator in ["anyOf", "oneOf", "allOf"] {
        let choices = fields.get(combinator).and_then(Value::as_array);
        if let Some(first) = choices.and_then(|it| it.first()) {
            return make(first, root, depth + 1, words);
        }
    }
    match kind(fields) {
        "object" => object(fields, root, depth, words),
        "array" => array(fields, root, depth, words),
        "integer" | "number" => number(fields),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => Value::String(string(fields, words)),
    }
}

fn kind(fields: &Map<String, Value>) -> &str {
    match fields.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            kinds.find(|it| *it != "null").unwrap_or("null")
        }
        Some(_) | None if fields.contains_key("properties") => "object",
        Some(_) | None if fields.contains_key("items") => "array",
        Some(_) | None => "string",
    }
}

fn object(fields: &Map<String, Value>, root: &Value, depth: usize, words: Words<'_>) -> Value {
    let properties = fields.get("properties").and_then(Value::as_object);
    let required = fields.get("required").and_then(Value::as_array).into_iter().flatten();
    let made = required.filter_map(Value::as_str).map(|name| {
        let schema = properties.and_then(|it| it.get(name)).unwrap_or(&Value::Null);
        (name.to_owned(), make(schema, root, depth + 1, words))
    });
    Value::Object(made.collect())
}

fn array(fields: &Map<String, Value>, root: &Value, depth: usize, words: Words<'_>) -> Value {
    let limit = |name: &str| fields.get(name).and_then(Value::as_u64).map(|it| it.min(1000));
    let most = limit("maxItems").unwrap_or(u64::MAX);
    // A schema that contains itself in a list ends with the empty list.
    let wanted = u64::from(depth <= DEPTH / 2);
    let count = limit("minItems").unwrap_or(0).max(wanted).min(most);
    let items = fields.get("items").unwrap_or(&Value::Null);
    Value::Array((0..count).map(|_| make(items, root, depth + 1, words)).collect())
}

fn number(fields: &Map<String, Value>) -> Value {
    let bound = |name: &str| fields.get(name).and_then(Value::as_f64);
    let mut number = 1.0_f64;
    if let Some(maximum) = bound("maximum") {
        number = number.min(maximum.floor());
    }
    if let Some(maximum) = bound("exclusiveMaximum") {
        number = number.min((maximum - 1.0).ceil());
    }
    if let Some(minimum) = bound("minimum") {
        number = number.max(minimum.ceil());
    }
    if let Some(minimum) = bound("exclusiveMinimum") {
        number = number.max((minimum + 1.0).floor());
    }
    if let Some(step) = bound("multipleOf").filter(|it| *it > 0.0) {
        number = (number / step).ceil() * step;
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole numbers of test schemas are small")]
    let whole = number as i64;
    if number.fract() == 0.0 { json!(whole) } else { json!(number) }
}

fn string(fields: &Map<String, Value>, words: Words<'_>) -> String {
    let free = !fields.contains_key("format") && !fields.contains_key("pattern");
    let word = if free { words.next() } else { None };
    let text = match fields.get("format").and_then(Value::as_str) {
        Some("date-time") => "2026-01-01T00:00:00Z",
        Some("date") => "2026-01-01",
        Some("time") => "00:00:00Z",
        Some("email") => "mock@example.com",
        Some("uri") => "https://example.com/",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        Some("ipv4") => "127.0.0.1",
        Some(_) | None => word.as_deref().unwrap_or("mock"),
    };
    let limit = |name: &str| {
        fields.get(name).and_then(Value::as_u64).and_then(|it| usize::try_from(it).ok())
    };
    let least = limit("minLength").unwrap_or(0).min(10_000);
    let most = limit("maxLength").unwrap_or(usize::MAX);
    let padding = "k".repeat(least.saturating_sub(text.len()));
    format!("{text}{padding}").chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: &Value, expected: &Value) {
        assert_eq!(&of(schema), expected, "{schema}");
    }

    #[test]
    fn the_instance_is_small_and_valid() {
        check(&json!({}), &json!("mock"));
        check(&json!({"type": "string"}), &json!("mock"));
        check(&json!({"type": "string", "minLength": 6}), &json!("mockkk"));
        check(&json!({"type": "string", "maxLength": 2}), &json!("mo"));
        check(&json!({"type": "number"}), &json!(1));
        check(&json!({"type": "integer", "minimum": 5}), &json!(5));
        check(&json!({"type": "integer", "exclusiveMinimum": 5}), &json!(6));
        check(&json!({"type": "integer", "maximum": 0}), &json!(0));
        check(&json!({"enum": ["b", "a"]}), &json!("b"));
        check(&json!({"const": 7}), &json!(7));
        check(&json!({"type": ["null", "boolean"]}), &json!(true));
        check(&json!({"type": "array", "items": {"type": "integer"}}), &json!([1]));
        check(
            &json!({"type": "array", "minItems": 2, "items": {"type": "null"}}),
            &json!([null, null]),
        );
        check(&json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}), &json!(1));
        let properties = json!({"a": {"type": "string"}, "b": {"type": "integer"}});
        check(
            &json!({"type": "object", "properties": properties, "required": ["b"]}),
            &json!({"b": 1}),
        );
        check(&json!({"$defs": {"x": {"type": "boolean"}}, "$ref": "#/$defs/x"}), &json!(true));
    }

    #[test]
    fn a_schema_that_contains_itself_ends() {
        let node = json!({"type": "object", "required": ["next"], "properties": {
            "next": {"type": "array", "items": {"$ref": "#"}},
        }});
        assert!(of(&node).is_object());
        let forever = json!({"$ref": "#"});
        assert_eq!(of(&forever), Value::Null);
    }
}
