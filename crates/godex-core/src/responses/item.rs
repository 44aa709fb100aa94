//! Items of a Responses input on their way upstream: what Codex would refuse is mended, what
//! nobody here understands goes as it is. Source: `docs/wire.md#items`.

use std::borrow::Cow;
use std::fmt;

use crate::codex::content::{self, Voice};
use crate::codex::draft::{Call, Item, Kind};
use crate::codex::names::wire_name;
use crate::codex::refused::{Place, Refused};
use crate::json::{self, Element, Members, Object, Raw, Writer};

/// The longest id Codex takes, in characters; no item can be named by a longer one.
pub const LONGEST_ID: usize = 64;

/// What becomes of one element of the input.
pub enum Read<'a> {
    /// It goes upstream.
    Item(Item<'a>),
    /// It is a system or developer message made of text: the texts, escaped as written, and
    /// the item for the case that it cannot become instructions.
    Guidance(Vec<Cow<'a, str>>, Item<'a>),
    /// It says nothing.
    Empty,
    /// It cannot be replayed and is left out; the reason.
    Left(&'static str),
}

impl fmt::Debug for Read<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(item) => write!(f, "{item:?}"),
            Self::Guidance(texts, item) => write!(f, "Guidance({} texts, {item:?})", texts.len()),
            Self::Empty => f.write_str("Empty"),
            Self::Left(why) => write!(f, "Left({why})"),
        }
    }
}

/// Reads one element of `input`; `path` names it in refusals. What is left out of its content is
/// added to `dropped` by name.
///
/// # Errors
///
/// When it is no item or cannot be carried.
pub fn read<'a>(
    element: Element<'_, 'a>,
    path: Place<'_>,
    dropped: &mut Vec<String>,
) -> Result<Read<'a>, Refused> {
    let raw = element.raw;
    if let Some(text) = raw.escaped() {
        let json = content::message("user", Voice::Input, text);
        return Ok(Read::Item(Item { kind: Kind::User, json: json.into() }));
    }
    let Some(object) = element.object else {
        return Err(Refused::kind(path, "an item object"));
    };
    let kind = object.some("type").map(|kind| {
        kind.string().ok_or_else(|| Refused::kind(Place::Member(&path, "type"), "a string"))
    });
    let kind = kind.transpose()?;
    match kind.as_deref() {
        Some("message") => message(raw, object, path, dropped),
        None if object.some("role").is_some() => message(raw, object, path, dropped),
        Some("item_reference") => reference(raw, object, path),
        // OpenAI's API lets a reference go without its type.
        None if object.iter().all(|(name, _)| matches!(name, "id" | "type")) => {
            reference(raw, object, path)
        }
        None => Err(Refused::missing(Place::Member(&path, "type"))),
        Some(kind @ ("function_call" | "custom_tool_call")) => {
            call(raw, object, kind == "custom_tool_call", path)
        }
        Some(kind @ ("function_call_output" | "custom_tool_call_output")) => {
            output(raw, object, kind == "custom_tool_call_output", path, dropped)
        }
        Some("reasoning") => Ok(reasoning(raw, object)),
        Some(_) => Ok(Read::Item(Item { kind: Kind::Other, json: raw.get().into() })),
    }
}

/// What there is of an item of an answer: its id, what kind it is, and what would go upstream if
/// the client sent it back; that is empty when nothing would. `None` when it is no item.
pub fn of_answer(json: &str) -> Option<(Option<Cow<'_, str>>, Item<'_>)> {
    let raw = Raw::parse(json).ok()?;
    let object = Object::of(raw)?;
    let id = object.string("id");
    let element = Element { raw, object: Some(object.members()), inner: None };
    let item = match read(element, Place::Root("output"), &mut Vec::new()).ok()? {
        Read::Item(item) | Read::Guidance(_, item) => item,
        Read::Empty | Read::Left(_) => Item { kind: Kind::Other, json: Cow::Borrowed("") },
    };
    Some((id, item))
}

fn message<'a>(
    raw: Raw<'a>,
    object: Members<'_, 'a>,
    path: Place<'_>,
    dropped: &mut Vec<String>,
) -> Result<Read<'a>, Refused> {
    let role = object.string("role");
    let (kind, voice) = match role.as_deref() {
        Some("user") => (Kind::User, Voice::Input),
        Some("assistant") => (Kind::Assistant, Voice::Assistant),
        Some("system" | "developer") => (Kind::Developer, Voice::Input),
        Some(other) => {
            let words = format!(
                "Invalid value: '{other}'. Supported values are: 'assistant', 'system', 'developer' and 'user'."
            );
            return Err(Refused::new(format!("{path}.role"), words));
        }
        None => return Err(Refused::missing(Place::Member(&path, "role"))),
    };
    let said = match object.some("content") {
        None => Cow::Borrowed("[]"),
        Some(value) => content::parts(value, voice, Place::Member(&path, "content"), dropped)?,
    };
    if said == "[]" {
        return Ok(Read::Empty);
    }
    let edit = Edit {
        kind: "message",
        id_prefix: "msg_",
        replace: &[("content", said.as_ref()), ("role", "\"developer\"")],
    };
    let edit = match role.as_deref() {
        Some("system") => edit,
        _ => Edit { replace: edit.replace.get(..1).unwrap_or_default(), ..edit },
    };
    let json = edit.apply(raw, object);
    let texts = (kind == Kind::Developer)
        .then(|| object.some("content").and_then(content::texts))
        .flatten();
    let item = Item { kind, json };
    Ok(match texts {
        Some(texts) => Read::Guidance(texts.into_iter().map(Cow::Borrowed).collect(), item),
        None => Read::Item(item),
    })
}

fn reference<'a>(
    raw: Raw<'a>,
    object: Members<'_, 'a>,
    path: Place<'_>,
) -> Result<Read<'a>, Refused> {
    // An empty object is nothing at all rather than a reference without its id.
    let missing = if object.iter().next().is_none() { "type" } else { "id" };
    let id = object.string("id").filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Refused::missing(Place::Member(&path, missing)))?;
    Ok(Read::Item(Item { kind: Kind::Reference(id), json: raw.get().into() }))
}

fn call_id<'a>(object: Members<'_, 'a>, path: Place<'_>) -> Result<Cow<'a, str>, Refused> {
    let id = object.string("call_id").filter(|id| !id.is_empty());
    id.ok_or_else(|| Refused::missing(Place::Member(&path, "call_id")))
}

fn call<'a>(
    raw: Raw<'a>,
    object: Members<'_, 'a>,
    custom: bool,
    path: Place<'_>,
) -> Result<Read<'a>, Refused> {
    let id = call_id(object, path)?;
    let (kind, id_prefix, argument) = if custom {
        ("custom_tool_call", "ctc_", "input")
    } else {
        ("function_call", "fc_", "arguments")
    };
    let text = match object.some(argument) {
        Some(value) if value.is_string() => Cow::Borrowed(value.get()),
        Some(value) => Cow::Owned(json::quote(value.get())),
        None => Cow::Borrowed(if custom { "\"\"" } else { "\"{}\"" }),
    };
    let name = object.string("name");
    let name = match name.as_deref().map(wire_name) {
        Some(Cow::Owned(name)) => Some(json::quote(&name)),
        Some(Cow::Borrowed(_)) | None => None,
    };
    let replace = [(argument, text.as_ref()), ("name", name.as_deref().unwrap_or_default())];
    let replace = if name.is_some() { &replace[..] } else { &replace[..1] };
    let json = Edit { kind, id_prefix, replace }.apply(raw, object);
    Ok(Read::Item(Item { kind: Kind::Call(Call { id, custom }), json }))
}

fn output<'a>(
    raw: Raw<'a>,
    object: Members<'_, 'a>,
    custom: bool,
    path: Place<'_>,
    dropped: &mut Vec<String>,
) -> Result<Read<'a>, Refused> {
    let id = call_id(object, path)?;
    let (kind, id_prefix) = if custom {
        ("custom_tool_call_output", "ctco_")
    } else {
        ("function_call_output", "fco_")
    };
    let text = content::output(object.get("output"), dropped);
    let json = Edit { kind, id_prefix, replace: &[("output", text.as_ref())] }.apply(raw, object);
    Ok(Read::Item(Item { kind: Kind::Output(Call { id, custom }), json }))
}

fn reasoning<'a>(raw: Raw<'a>, object: Members<'_, 'a>) -> Read<'a> {
    if object.string("encrypted_content").is_none_or(|it| it.is_empty()) {
        return Read::Left("reasoning without encrypted_content");
    }
    let json = Edit { kind: "reasoning", id_prefix: "rs_", replace: &[] }.apply(raw, object);
    Read::Item(Item { kind: Kind::Other, json })
}

/// The few changes an item may need.
struct Edit<'e> {
    kind: &'e str,
    id_prefix: &'e str,
    replace: &'e [(&'e str, &'e str)],
}

impl Edit<'_> {
    /// The client's own text when nothing has to change.
    fn apply<'a>(&self, raw: Raw<'a>, object: Members<'_, 'a>) -> Cow<'a, str> {
        let id_fits = object.get("id").is_none_or(|id| {
            id.escaped().is_some_and(|id| id.starts_with(self.id_prefix) && id.len() <= LONGEST_ID)
        });
        let same = |(name, json): &(&str, &str)| {
            object.get(name).is_some_and(|value| value.get() == *json)
        };
        if id_fits && object.get("type").is_some() && self.replace.iter().all(same) {
            return Cow::Borrowed(raw.get());
        }
        let mut writer = Writer::new(raw.get().len() + 64);
        if object.some("type").is_none() {
            writer.string("type", self.kind);
        }
        for (name, value) in object.iter() {
            let replaced = self.replace.iter().find(|(it, _)| *it == name);
            match (name, replaced) {
                ("id", _) if !id_fits => {}
                ("type", _) if value.is_null() => {}
                (_, Some((_, json))) => writer.raw(name, json),
                (_, None) => writer.raw(name, value.get()),
            }
        }
        for (name, json) in self.replace {
            if object.get(name).is_none() {
                writer.raw(name, json);
            }
        }
        Cow::Owned(writer.finish_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(raw: Raw<'_>) -> Result<Read<'_>, Refused> {
        let object = Object::of(raw);
        let element = Element { raw, object: object.as_ref().map(Object::members), inner: None };
        read(element, Place::Index(&Place::Root("input"), 0), &mut Vec::new())
    }

    #[track_caller]
    fn check(item: &str, expected: &str) {
        let raw = Raw::parse(item).unwrap();
        match read_one(raw).unwrap() {
            Read::Item(item) | Read::Guidance(_, item) => assert_eq!(item.json, expected),
            Read::Empty | Read::Left(_) => panic!("left out"),
        }
    }

    #[track_caller]
    fn refused(item: &str, param: &str) {
        let raw = Raw::parse(item).unwrap();
        assert_eq!(read_one(raw).unwrap_err().param, param);
    }

    #[test]
    fn what_codex_accepts_is_the_clients_own_text() {
        for item in [
            r#"{"type":"message", "role":"user","content":[{"type":"input_text","text":"a"}]}"#,
            r#"{"type":"message","role":"assistant","phase":"commentary","content":[{"type":"output_text","text":"a"}],"id":"msg_1"}"#,
            r#"{"type":"function_call","status":"completed","id":"fc_1","name":"f","arguments":"{}","call_id":"c"}"#,
            r#"{"type":"function_call_output","id":"fco_1","call_id":"c","output":"x"}"#,
            r#"{"type":"reasoning","id":"rs_1","summary":[],"content":null,"encrypted_content":"gAAA"}"#,
            r#"{"type":"additional_tools","role":"developer","tools":[]}"#,
            r#"{"type":"compaction","encrypted_content":"x"}"#,
        ] {
            check(item, item);
        }
    }

    #[test]
    fn messages_of_every_form_become_canonical() {
        check(
            r#"{"role":"user","content":"hi"}"#,
            r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]}"#,
        );
        check(
            r#""hi""#,
            r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]}"#,
        );
        check(
            r#"{"type":"message","role":"system","content":"be brief"}"#,
            r#"{"type":"message","role":"developer","content":[{"type":"input_text","text":"be brief"}]}"#,
        );
        check(
            r#"{"id":"x1","role":"assistant","content":"hi","type":"message"}"#,
            r#"{"role":"assistant","content":[{"type":"output_text","text":"hi"}],"type":"message"}"#,
        );
    }

    #[test]
    fn ids_that_do_not_fit_are_removed_and_call_ids_never_touched() {
        check(
            r#"{"type":"function_call","id":"call_9","name":"f","arguments":"{}","call_id":"weird id"}"#,
            r#"{"type":"function_call","name":"f","arguments":"{}","call_id":"weird id"}"#,
        );
        check(
            r#"{"type":"function_call","id":null,"name":"f","arguments":{"a":1},"call_id":"c"}"#,
            r#"{"type":"function_call","name":"f","arguments":"{\"a\":1}","call_id":"c"}"#,
        );
        check(
            r#"{"type":"function_call_output","call_id":"c","output":{"ok":true}}"#,
            r#"{"type":"function_call_output","call_id":"c","output":"{\"ok\":true}"}"#,
        );
    }

    #[test]
    fn reasoning_that_cannot_be_replayed_is_left_out() {
        let raw = Raw::parse(r#"{"type":"reasoning","id":"rs_1","summary":[]}"#).unwrap();
        assert!(matches!(read_one(raw).unwrap(), Read::Left(_)));
    }

    #[test]
    fn what_is_no_item_is_refused_by_its_path() {
        refused("5", "input[0]");
        refused("{}", "input[0].type");
        refused(r#"{"role":"tool","content":"x"}"#, "input[0].role");
        refused(r#"{"type":"function_call_output","output":"x"}"#, "input[0].call_id");
        refused(r#"{"role":"user","content":[{"type":"input_audio"}]}"#, "input[0].content[0]");
    }
}
