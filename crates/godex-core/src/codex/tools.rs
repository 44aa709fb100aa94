//! Tools and the choice among them, in either spelling, as Codex accepts them: flat
//! functions, flat custom tools, hosted tools under their present names.
//! Source: `docs/wire.md#tools`.

use std::borrow::Cow;

use super::names::{ToolNames, wire_name};
use super::refused::{Place, Refused};
use crate::json::{self, Element, Members, Object, Raw, Value, Writer};

/// The schema of a function that takes nothing.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// Tools that the public API hosts and Codex does not.
const NOT_HOSTED: &[&str] =
    &["file_search", "code_interpreter", "computer", "computer_use", "computer_use_preview", "mcp"];

/// The tools of a request and the choice among them.
#[derive(Default, Clone)]
pub struct Tools<'a> {
    /// The tools, each as it goes upstream.
    pub list: Vec<Tool<'a>>,
    /// `tool_choice` as it goes upstream.
    pub choice: Option<Cow<'a, str>>,
    /// `parallel_tool_calls`, if the client chose.
    pub parallel: Option<bool>,
    /// The only tools that may be offered, by type and name, if the client narrowed the list.
    allowed: Option<Vec<(String, Option<String>)>>,
    /// Those that go under other names.
    pub names: ToolNames,
}

shape!(Tools<'_>, it => "Tools({:?}, {:?})", it.list, it.names);

/// One tool.
#[derive(Clone)]
pub struct Tool<'a> {
    /// Its type.
    pub kind: Cow<'a, str>,
    /// Its name, if tools of its type have one.
    pub name: Option<Cow<'a, str>>,
    /// The tool as it goes upstream.
    pub json: Cow<'a, str>,
}

shape!(Tool<'_>, it => "Tool({} bytes)", it.json.len());

impl<'a> Tools<'a> {
    /// The tools to offer.
    pub fn offered(&self) -> impl Iterator<Item = &Tool<'a>> {
        self.list.iter().filter(|tool| {
            let same = |(kind, name): &(String, Option<String>)| {
                *kind == tool.kind && name.as_deref() == tool.name.as_deref()
            };
            self.allowed.as_ref().is_none_or(|allowed| allowed.iter().any(same))
        })
    }

    /// Reads a list of tools; `null` counts as none. `param` names it in refusals.
    ///
    /// # Errors
    ///
    /// When it is not a list of tools.
    pub fn read(&mut self, value: Value<'_, 'a>, param: &str) -> Result<(), Refused> {
        if value.raw.is_null() {
            return Ok(());
        }
        let Some(list) = value.list else {
            return Err(Refused::kind(param, "a list of tools"));
        };
        self.list.reserve(list.len());
        for (index, element) in list.iter().enumerate() {
            let mut tool = tool(element, Place::Index(&Place::Root(param), index))?;
            if matches!(tool.kind.as_ref(), "function" | "custom")
                && let Some(sent) = tool.name.as_deref().and_then(|name| self.names.offer(name))
            {
                tool.json = renamed(&tool.json, &sent).into();
            }
            self.list.push(tool);
        }
        Ok(())
    }

    /// Reads `tool_choice` (or the `function_call` of old).
    ///
    /// # Errors
    ///
    /// When it is no choice the API knows.
    pub fn choose(&mut self, value: Raw<'a>, param: &str) -> Result<(), Refused> {
        if value.is_null() {
            return Ok(());
        }
        if let Some(word) = value.string() {
            self.choice = Some(match word.as_ref() {
                "auto" | "none" | "required" => Cow::Borrowed(value.get()),
                "any" => Cow::Borrowed("\"required\""),
                _ => {
                    return Err(Refused::kind(
                        param,
                        "'auto', 'none', 'required' or an object that names a tool",
                    ));
                }
            });
            return Ok(());
        }
        let Some(object) = Object::of(value) else {
            return Err(Refused::kind(param, "a string or an object"));
        };
        let kind = object.string("type");
        match kind.as_deref() {
            Some("allowed_tools") => self.allow(&object, param)?,
            Some(kind @ ("function" | "custom" | "tool")) => {
                let inner = object.some(kind).and_then(Object::of);
                let name = inner.as_ref().unwrap_or(&object).string("name");
                let Some(name) = name else {
                    return Err(Refused::missing(Place::Member(&Place::Root(param), "name")));
                };
                let kind = if kind == "custom" { "custom" } else { "function" };
                self.choice = Some(Cow::Owned(choice(kind, &name)));
            }
            Some(kind) if kind.starts_with("web_search_preview") => {
                self.choice = Some(Cow::Borrowed(r#"{"type":"web_search"}"#));
            }
            Some(_) => self.choice = Some(Cow::Borrowed(value.get())),
            None => match object.string("name") {
                Some(name) => self.choice = Some(Cow::Owned(choice("function", &name))),
                None => return Err(Refused::missing(Place::Member(&Place::Root(param), "type"))),
            },
        }
        Ok(())
    }

    /// `allowed_tools` has no counterpart upstream: the other tools are not offered.
    fn allow(&mut self, object: &Object<'a>, param: &str) -> Result<(), Refused> {
        let inner = object.some("allowed_tools").and_then(Object::of);
        let object = inner.as_ref().unwrap_or(object);
        let Some(tools) = object.some("tools").and_then(Raw::list) else {
            return Err(Refused::missing(Place::Member(&Place::Root(param), "tools")));
        };
        let allowed = tools.into_iter().filter_map(Object::of).filter_map(|tool| {
            let kind = tool.string("type")?;
            let inner = tool.some(&kind).and_then(Object::of);
            let name = inner.as_ref().unwrap_or(&tool).string("name");
            Some((kind.into_owned(), name.map(Cow::into_owned)))
        });
        self.allowed = Some(allowed.collect());
        self.choice = Some(match object.string("mode").as_deref() {
            Some("required") => Cow::Borrowed("\"required\""),
            _ => Cow::Borrowed("\"auto\""),
        });
        Ok(())
    }
}

fn choice(kind: &str, name: &str) -> String {
    format!(r#"{{"type":"{kind}","name":{}}}"#, json::quote(&wire_name(name)))
}

/// A flat tool under another name.
fn renamed(tool: &str, name: &str) -> String {
    let mut writer = Writer::new(tool.len() + name.len());
    for (key, value) in Object::of_text(tool).unwrap_or_default().iter() {
        if key == "name" { writer.string(key, name) } else { writer.raw(key, value.get()) }
    }
    writer.finish_text()
}

fn tool<'a>(element: Element<'_, 'a>, path: Place<'_>) -> Result<Tool<'a>, Refused> {
    let raw = element.raw;
    let Some(object) = element.object else {
        return Err(Refused::kind(path, "a tool"));
    };
    let kind = object.string("type");
    match kind.as_deref() {
        Some("function") | None => function(raw, object, element.inner, path),
        Some("custom") => custom(raw, object, path),
        Some(kind) if kind.starts_with("web_search_preview") => {
            let mut writer = Writer::new(raw.get().len());
            writer.string("type", "web_search");
            for (name, value) in object.iter().filter(|(name, _)| *name != "type") {
                writer.raw(name, value.get());
            }
            Ok(Tool { kind: "web_search".into(), name: None, json: writer.finish_text().into() })
        }
        Some(kind) if NOT_HOSTED.contains(&kind) => {
            let mut refused = Refused::new(
                format!("{path}.type"),
                format!(
                    "The Codex backend hosts no tool '{kind}': take it out, or offer a function \
                     of your own in its place."
                ),
            );
            refused.code = Some("unsupported_value");
            Err(refused)
        }
        Some(kind) => Ok(Tool {
            kind: kind.to_owned().into(),
            name: object.string("name"),
            json: raw.get().into(),
        }),
    }
}

/// A function; chat nests it, and may have it taken apart already.
fn function<'a>(
    raw: Raw<'a>,
    object: Members<'_, 'a>,
    nested: Option<Members<'_, 'a>>,
    path: Place<'_>,
) -> Result<Tool<'a>, Refused> {
    let apart = if nested.is_none() { object.some("function").and_then(Object::of) } else { None };
    let nested = nested.or(apart.as_ref().map(Object::members));
    let inner = nested.unwrap_or(object);
    let Some(name) = inner.string("name").filter(|name| !name.is_empty()) else {
        let param =
            if nested.is_some() { format!("{path}.function.name") } else { format!("{path}.name") };
        return Err(Refused::missing(param));
    };
    let flat = nested.is_none() && object.get("type").is_some();
    let parameters = inner.some("parameters").filter(|it| !is_empty_object(*it));
    if flat && parameters.is_some() {
        return Ok(Tool { kind: "function".into(), name: Some(name), json: raw.get().into() });
    }
    let mut writer = Writer::new(raw.get().len() + 32);
    writer.string("type", "function");
    for (key, value) in inner.iter().filter(|(key, _)| *key != "type") {
        let parameters = (key == "parameters").then(|| parameters.map_or(NO_PARAMETERS, Raw::get));
        writer.raw(key, parameters.unwrap_or(value.get()));
    }
    if let Some(inner) = nested {
        let stray = |(name, _): &(&str, Raw<'_>)| {
            !matches!(*name, "type" | "function" | "parameters") && inner.get(name).is_none()
        };
        for (name, value) in object.iter().filter(stray) {
            writer.raw(name, value.get());
        }
    }
    if inner.get("parameters").is_none() {
        writer.raw("parameters", NO_PARAMETERS);
    }
    Ok(Tool { kind: "function".into(), name: Some(name), json: writer.finish_text().into() })
}

/// `{}` says nothing, and Codex wants to hear that it is an object.
fn is_empty_object(value: Raw<'_>) -> bool {
    let inside = value.get().strip_prefix('{').and_then(|it| it.strip_suffix('}'));
    inside.is_some_and(|inside| inside.trim().is_empty())
}

/// A custom tool; chat nests it, and nests the grammar of its format once more.
fn custom<'a>(raw: Raw<'a>, object: Members<'_, 'a>, path: Place<'_>) -> Result<Tool<'a>, Refused> {
    let Some(inner) = object.some("custom").and_then(Object::of) else {
        let Some(name) = object.string("name") else {
            return Err(Refused::missing(Place::Member(&path, "name")));
        };
        return Ok(Tool { kind: "custom".into(), name: Some(name), json: raw.get().into() });
    };
    let Some(name) = inner.string("name") else {
        return Err(Refused::missing(Place::Member(&path, "custom.name")));
    };
    let mut writer = Writer::new(raw.get().len() + 32);
    writer.string("type", "custom");
    for (key, value) in inner.iter() {
        let grammar = (key == "format").then(|| Object::of(value)).flatten();
        match grammar.and_then(|format| format.some("grammar")).and_then(Object::of) {
            Some(grammar) => {
                let mut format = Writer::new(value.get().len());
                format.string("type", "grammar");
                for (key, value) in grammar.iter() {
                    format.raw(key, value.get());
                }
                writer.raw(key, &format.finish_text());
            }
            None => writer.raw(key, value.get()),
        }
    }
    Ok(Tool { kind: "custom".into(), name: Some(name), json: writer.finish_text().into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Body;

    fn raw(text: &str) -> Raw<'_> {
        Raw::parse(text).unwrap()
    }

    fn read(tools: &mut Tools<'static>, list: &str) -> Result<(), Refused> {
        let text = format!(r#"{{"tools":{list}}}"#).leak();
        let body = Body::parse(text.as_bytes()).unwrap();
        tools.read(body.some("tools").unwrap(), "tools")
    }

    #[test]
    fn tools_of_either_spelling_become_flat() {
        #[track_caller]
        fn check(tool: &str, expected: &str) {
            let text = format!("[{tool}]");
            let mut tools = Tools::default();
            read(&mut tools, &text).unwrap();
            assert_eq!(tools.list[0].json, expected);
        }
        let flat = r#"{"type":"function","name":"f","parameters":{"type":"object"},"strict":true}"#;
        check(flat, flat);
        check(
            r#"{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":null}}"#,
            r#"{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":null}"#,
        );
        check(
            r#"{"type":"function","name":"f","parameters":null}"#,
            r#"{"type":"function","name":"f","parameters":{"type":"object","properties":{}}}"#,
        );
        check(
            r#"{"name":"f"}"#,
            r#"{"type":"function","name":"f","parameters":{"type":"object","properties":{}}}"#,
        );
        check(
            r#"{"type":"custom","custom":{"name":"c","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"x"}}}}"#,
            r#"{"type":"custom","name":"c","format":{"type":"grammar","syntax":"lark","definition":"x"}}"#,
        );
        check(r#"{"type":"custom","name":"c"}"#, r#"{"type":"custom","name":"c"}"#);
        check(
            r#"{"type":"web_search_preview_2025_03_11","search_context_size":"low"}"#,
            r#"{"type":"web_search","search_context_size":"low"}"#,
        );
        check(
            r#"{"type":"function","name":"f","parameters":{ }}"#,
            r#"{"type":"function","name":"f","parameters":{"type":"object","properties":{}}}"#,
        );
        check(
            r#"{"type":"function","function":{"name":"f"},"strict":true}"#,
            r#"{"type":"function","name":"f","strict":true,"parameters":{"type":"object","properties":{}}}"#,
        );
        check(r#"{"type":"namespace","x":1}"#, r#"{"type":"namespace","x":1}"#);
    }

    #[test]
    fn a_choice_of_either_spelling_becomes_flat() {
        #[track_caller]
        fn check(choice: &str, expected: Option<&str>) {
            let choice = raw(choice);
            let mut tools = Tools::default();
            tools.choose(choice, "tool_choice").unwrap();
            assert_eq!(tools.choice.as_deref(), expected);
        }
        check("null", None);
        check(r#""required""#, Some(r#""required""#));
        check(r#""any""#, Some(r#""required""#));
        check(
            r#"{"type":"function","function":{"name":"f"}}"#,
            Some(r#"{"type":"function","name":"f"}"#),
        );
        check(r#"{"type":"function","name":"f"}"#, Some(r#"{"type":"function","name":"f"}"#));
        check(r#"{"name":"f"}"#, Some(r#"{"type":"function","name":"f"}"#));
        check(
            r#"{"type":"custom","custom":{"name":"c"}}"#,
            Some(r#"{"type":"custom","name":"c"}"#),
        );
        check(r#"{"type":"web_search_preview"}"#, Some(r#"{"type":"web_search"}"#));
        check(r#"{"type":"image_generation"}"#, Some(r#"{"type":"image_generation"}"#));
    }

    #[test]
    fn allowed_tools_narrow_the_list_whichever_comes_first() {
        let list = r#"[{"type":"function","name":"a"},{"type":"function","name":"b"}]"#;
        let choice = raw(
            r#"{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"b"}]}"#,
        );
        for choice_first in [true, false] {
            let mut tools = Tools::default();
            if choice_first {
                tools.choose(choice, "tool_choice").unwrap();
            }
            read(&mut tools, list).unwrap();
            if !choice_first {
                tools.choose(choice, "tool_choice").unwrap();
            }
            let names: Vec<_> = tools.offered().map(|it| it.name.as_deref().unwrap()).collect();
            assert_eq!(names, ["b"]);
            assert_eq!(tools.choice.as_deref(), Some("\"required\""));
        }
    }

    #[test]
    fn what_is_no_tool_is_refused_by_its_path() {
        #[track_caller]
        fn check(tools: &str, param: &str) {
            assert_eq!(read(&mut Tools::default(), tools).unwrap_err().param, param);
        }
        check("{}", "tools");
        check("[1]", "tools[0]");
        check(r#"[{"type":"function","function":{}}]"#, "tools[0].function.name");
        check(r#"[{"type":"function"}]"#, "tools[0].name");
        check(r#"[{"type":"web_search"},{"type":"file_search"}]"#, "tools[1].type");
        let word = raw(r#""maybe""#);
        assert_eq!(Tools::default().choose(word, "tool_choice").unwrap_err().param, "tool_choice");
    }
}
