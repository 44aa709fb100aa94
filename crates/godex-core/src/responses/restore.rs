//! Tools that were sent under other names, see [`crate::codex::names`], get their own back
//! wherever an answer names them. Answers to requests whose names are all legal are not looked
//! at. Source: `docs/wire.md#patches`.

use std::borrow::Cow;

use crate::codex::names::ToolNames;
use crate::json::{self, Object, Raw, Writer};

/// An event in the client's names; `None` when it names none of the renamed tools.
pub fn event(text: &str, names: &ToolNames) -> Option<String> {
    members(&Object::of_text(text)?, text.len(), |name, value| match name {
        "item" => item(value, names),
        "response" => Object::of(value).and_then(|it| object(&it, value.get().len(), names)),
        "name" => own(value, names),
        _ => None,
    })
}

/// A response in the client's names; `None` when it names none of the renamed tools.
pub fn response(text: &str, names: &ToolNames) -> Option<String> {
    object(&Object::of_text(text)?, text.len(), names)
}

fn object(response: &Object<'_>, size: usize, names: &ToolNames) -> Option<String> {
    members(response, size, |name, value| match name {
        "output" | "tools" => list(value, names),
        "tool_choice" => item(value, names),
        _ => None,
    })
}

/// A call, a tool or a choice: all have their `name` at the top.
fn item(value: Raw<'_>, names: &ToolNames) -> Option<String> {
    let object = Object::of(value)?;
    members(&object, value.get().len(), |name, value| match name {
        "name" => own(value, names),
        "tools" => list(value, names),
        _ => None,
    })
}

fn own(value: Raw<'_>, names: &ToolNames) -> Option<String> {
    names.own(value.escaped()?).map(crate::json::quote)
}

fn list(value: Raw<'_>, names: &ToolNames) -> Option<String> {
    let mut changed = false;
    let items: Vec<Cow<'_, str>> = value
        .list()?
        .into_iter()
        .map(|value| match item(value, names) {
            Some(restored) => {
                changed = true;
                restored.into()
            }
            None => value.get().into(),
        })
        .collect();
    changed.then(|| json::list(&items))
}

/// An object with some of its members replaced; `None` when none was.
fn members(
    object: &Object<'_>,
    size: usize,
    replaced: impl Fn(&str, Raw<'_>) -> Option<String>,
) -> Option<String> {
    let mut changed = false;
    let mut writer = Writer::new(size + 128);
    for (name, value) in object.iter() {
        match replaced(name, value) {
            Some(json) => {
                changed = true;
                writer.raw(name, &json);
            }
            None => writer.raw(name, value.get()),
        }
    }
    changed.then(|| writer.finish_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t10_names_come_back_wherever_an_answer_has_them_and_nowhere_else() {
        let mut names = ToolNames::default();
        let sent = names.offer("a.b").unwrap();
        let check = |text: &str, expected: &str| {
            let text = text.replace("SENT", &sent);
            let expected = expected.replace("SENT", &sent);
            assert_eq!(event(&text, &names).unwrap_or_else(|| text.clone()), expected);
        };
        check(
            r#"{"type":"x","item":{"type":"function_call","name":"SENT","arguments":"SENT"}}"#,
            r#"{"type":"x","item":{"type":"function_call","name":"a.b","arguments":"SENT"}}"#,
        );
        check(r#"{"name":"SENT","arguments":"{}"}"#, r#"{"name":"a.b","arguments":"{}"}"#);
        check(
            r#"{"response":{"output":[{"name":"f"},{"name":"SENT"}],"tools":[{"type":"function","name":"SENT"}],"tool_choice":{"type":"function","name":"SENT"}}}"#,
            r#"{"response":{"output":[{"name":"f"},{"name":"a.b"}],"tools":[{"type":"function","name":"a.b"}],"tool_choice":{"type":"function","name":"a.b"}}}"#,
        );
        for same in
            [r#"{"delta":"SENT"}"#, r#"{"item":{"name":"f"}}"#, r#"{"response":{"output":[]}}"#]
        {
            let text = same.replace("SENT", &sent);
            assert_eq!(event(&text, &names), None, "{text}");
        }
    }
}
