//! What the model says to a request that carries no script: it calls the tool that is demanded
//! or that the question is about, fills a form that is asked for, and else quotes what it heard.

use serde_json::{Map, Value, json};

use super::plan::{Piece, call, message};
use crate::conversation::{self, Tool, Turn};
use crate::instance;

/// First words of tool names that say nothing about what the tool is for.
const VERBS: &[&str] = &["find", "get", "fetch", "list", "look", "query", "read", "show", "tell"];

/// Pairs of quotation marks.
const QUOTES: &[(char, char)] = &[('\'', '\''), ('"', '"'), ('`', '`'), ('‘', '’'), ('“', '”')];

/// The one piece of an answer without a script.
pub(super) fn answer(turn: &Turn, fields: &Map<String, Value>, number: u64) -> Piece {
    if let Some(tool) = chosen(turn, fields) {
        return Piece::Calls(vec![call(&tool, body(&tool, turn), number, 0)]);
    }
    let format = fields.get("text").and_then(|it| it.get("format"));
    match format.and_then(|it| it.get("type")).and_then(Value::as_str) {
        Some("json_schema") => {
            let schema = format.and_then(|it| it.get("schema")).unwrap_or(&Value::Null);
            message(instance::with(schema, &mut words(turn)).to_string())
        }
        Some("json_object") => message(object(turn).to_string()),
        Some(_) | None => message(quote(turn)),
    }
}

/// A text by which a client can tell that its words, or those of its tools, arrived.
pub(super) fn quote(turn: &Turn) -> String {
    if turn.outputs.is_empty() {
        let question: String = turn.question.chars().take(200).collect();
        format!("Mock answer to: {question}")
    } else {
        format!("The tool said: {}", turn.outputs.join("\n"))
    }
}

/// The tool that the request demands, or, left to itself, the one that the question is about.
/// A tool that was called in this turn is not called again, so that loops end.
fn chosen<'a>(turn: &Turn, fields: &'a Map<String, Value>) -> Option<Tool<'a>> {
    let mut offered = conversation::tools(fields);
    offered.retain(|it| ["function", "custom"].contains(&it.kind));
    offered.retain(|it| !turn.called.iter().any(|name| name == it.name));
    let about = |it: &&Tool<'_>| {
        spoken(it.name, &turn.question).is_some() || concerns(it.name, &turn.question)
    };
    match fields.get("tool_choice") {
        Some(Value::String(mode)) if mode == "required" => {
            offered.iter().find(about).or(offered.first()).copied()
        }
        Some(Value::Object(choice)) => {
            let name = choice.get("name").and_then(Value::as_str)?;
            offered.into_iter().find(|it| it.name == name)
        }
        Some(Value::String(mode)) if mode == "none" => None,
        Some(_) | None if turn.outputs.is_empty() => offered.iter().find(about).copied(),
        Some(_) | None => None,
    }
}

/// Whether a question speaks of everything that the tool's name does.
fn concerns(tool: &str, question: &str) -> bool {
    let split = |text: &str| -> Vec<String> {
        let words = text.split(|it: char| !it.is_alphanumeric());
        words.filter(|it| !it.is_empty()).map(str::to_lowercase).collect()
    };
    let mut topic = split(tool);
    if topic.first().is_some_and(|it| VERBS.contains(&it.as_str())) {
        topic.remove(0);
    }
    let heard = split(question);
    question.contains('?') && !topic.is_empty() && topic.iter().all(|it| heard.contains(it))
}

/// The arguments of `tool(1, "a")` in the user's words.
fn spoken(tool: &str, question: &str) -> Option<Vec<Value>> {
    let (before, after) = question.split_once(&format!("{tool}("))?;
    if before.ends_with(|it: char| it.is_alphanumeric() || it == '_') {
        return None;
    }
    let (inside, _) = after.split_once(')')?;
    serde_json::from_str(&format!("[{inside}]")).ok()
}

fn body(tool: &Tool<'_>, turn: &Turn) -> String {
    if tool.kind == "custom" {
        return words(turn).next().unwrap_or_else(|| "mock".to_owned());
    }
    let Some(schema) = tool.parameters.filter(|it| it.is_object()) else {
        return "{}".to_owned();
    };
    let mut arguments = instance::with(schema, &mut words(turn));
    let properties = schema.get("properties").and_then(Value::as_object);
    let values = spoken(tool.name, &turn.question).unwrap_or_default();
    if let (Some(arguments), Some(properties)) = (arguments.as_object_mut(), properties) {
        arguments.extend(properties.keys().cloned().zip(values));
    }
    arguments.to_string()
}

/// What the model writes where any text will do: what tools told it, else what the user quoted.
fn words(turn: &Turn) -> Box<dyn Iterator<Item = String>> {
    if turn.outputs.is_empty() {
        Box::new(quoted(&turn.question).into_iter())
    } else {
        Box::new(std::iter::repeat(quote(turn)))
    }
}

/// Texts in quotation marks, in their order; an apostrophe inside a word is none.
fn quoted(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut inside_word = false;
    while let Some(mark) = rest.chars().next() {
        rest = rest.get(mark.len_utf8()..).unwrap_or_default();
        let close = QUOTES.iter().find(|it| it.0 == mark && !inside_word).map(|it| it.1);
        inside_word = mark.is_alphanumeric();
        if let Some((content, after)) = close.and_then(|close| rest.split_once(close))
            && !content.is_empty()
            && !after.starts_with(char::is_alphanumeric)
        {
            found.push(content.to_owned());
            rest = after;
        }
    }
    found
}

/// A JSON object with the keys that the user named, or with one of its own.
fn object(turn: &Turn) -> Value {
    let keys = quoted(&turn.question);
    if keys.is_empty() || !turn.question.contains("key") {
        return json!({ "answer": quote(turn) });
    }
    keys.into_iter().map(|key| (key, json!(quote(turn)))).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(question: &str, more: &Value, expected: &Value) {
        let turn = conversation::last_turn(&[json!({ "role": "user", "content": question })]);
        let Piece::Calls(calls) = answer(&turn, more.as_object().unwrap(), 0) else {
            return assert_eq!(expected, &Value::Null, "no call");
        };
        let found: Vec<_> = calls.iter().map(|it| json!([it.name, it.body])).collect();
        assert_eq!(expected, &json!(found), "{question}");
    }

    fn function(name: &str, property: &str, kind: &str) -> Value {
        json!({"type": "function", "name": name, "parameters": {
            "type": "object", "properties": {property: {"type": kind}}, "required": [property],
        }})
    }

    #[test]
    fn a_tool_is_called_when_the_question_is_about_it() {
        let tools = json!({"tools": [function("get_weather", "city", "string"), function("add_two", "n", "integer")]});
        check("Hello?", &tools, &Value::Null);
        check("The weather is fine.", &tools, &Value::Null);
        check("How is the weather?", &tools, &json!([["get_weather", r#"{"city":"mock"}"#]]));
        check(
            "How is the weather in 'Bad Ems'?",
            &tools,
            &json!([["get_weather", r#"{"city":"Bad Ems"}"#]]),
        );
        check("Say add_two(3).", &tools, &json!([["add_two", r#"{"n":3}"#]]));
        let none = json!({"tools": tools["tools"], "tool_choice": "none"});
        check("Say add_two(3).", &none, &Value::Null);
    }

    #[test]
    fn a_demanded_tool_is_called_once_in_a_turn() {
        let tools = json!([function("a", "x", "string"), function("b", "x", "string")]);
        let fields = json!({"tools": tools, "tool_choice": "required"});
        let turn = |called: &[&str]| Turn {
            question: "Go.".to_owned(),
            outputs: called.iter().map(|it| format!("said {it}")).collect(),
            called: called.iter().map(|&it| it.to_owned()).collect(),
            ..Turn::default()
        };
        let next = |called: &[&str]| {
            let piece = answer(&turn(called), fields.as_object().unwrap(), 0);
            let Piece::Calls(calls) = piece else { return format!("{piece:?}") };
            format!("{} {}", calls[0].name, calls[0].body)
        };
        assert_eq!(next(&[]), r#"a {"x":"mock"}"#);
        assert_eq!(next(&["a"]), r#"b {"x":"The tool said: said a"}"#);
        assert!(next(&["a", "b"]).contains("said b"), "{}", next(&["a", "b"]));
    }

    #[test]
    fn quotation_marks_are_told_from_apostrophes() {
        assert_eq!(quoted("don't say 'a b', \"c\" or “d”, it's"), ["a b", "c", "d"]);
        assert_eq!(quoted("'open"), Vec::<String>::new());
    }

    #[test]
    fn a_json_object_has_the_keys_that_were_asked_for() {
        let turn = |question: &str| Turn { question: question.to_owned(), ..Turn::default() };
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&object(&turn("JSON with 'setup' and 'joke' keys."))), ["setup", "joke"]);
        assert_eq!(keys(&object(&turn("Say 'hi' in JSON."))), ["answer"]);
    }
}
