//! `POST /v1/responses` becomes a draft. Source: OpenAI's API reference (create a model
//! response) for what clients write, `docs/wire.md#request` for what Codex takes.

use std::borrow::Cow;

use super::item::{self, Read};
use crate::codex::content;
use crate::codex::draft::{Ask, Dialect, Draft, Field, Kind, Slot};
use crate::codex::fields::{self, Refusals, Tier};
use crate::codex::refused::{Place, Refused};
use crate::json::{self, Body, Element, List, Object, Raw, Value};

/// Reads a request.
///
/// # Errors
///
/// When a parameter has the wrong type or cannot be carried.
pub fn read<'a>(
    body: &Body<'a>,
    dialect: Dialect,
    refusals: &Refusals,
) -> Result<(Ask, Draft<'a>), Refused> {
    let mut reader = Reader {
        // The Codex CLI keeps its own history.
        ask: Ask { keeps: dialect == Dialect::Standard, ..Ask::default() },
        draft: Draft::new(dialect),
        input: None,
        effort: None,
    };
    for (name, value) in body.fields() {
        reader.field(name.clone(), value, refusals)?;
    }
    reader.finish()
}

/// Whether a body on the chat endpoint is really a Responses request (Cursor sends those).
pub fn looks_like_one(body: &Body<'_>) -> bool {
    let empty = |messages: Value<'_, '_>| messages.list.is_some_and(List::is_empty);
    body.some("messages").is_none_or(empty) && body.some("input").is_some()
}

struct Reader<'s, 'a> {
    ask: Ask,
    draft: Draft<'a>,
    input: Option<Value<'s, 'a>>,
    effort: Option<Cow<'a, str>>,
}

impl<'s, 'a> Reader<'s, 'a> {
    fn field(
        &mut self,
        name: Cow<'a, str>,
        value: Value<'s, 'a>,
        refusals: &Refusals,
    ) -> Result<(), Refused> {
        if name == "input" {
            self.input = Some(value);
            self.draft.fields.push(Field::Slot(Slot::Input));
        } else if let Some(slot) = shared_field(&mut self.ask, &mut self.draft, &name, value)? {
            self.draft.fields.push(Field::Slot(slot));
        } else {
            self.other(name, value.raw, refusals)?;
        }
        Ok(())
    }

    fn other(
        &mut self,
        name: Cow<'a, str>,
        value: Raw<'a>,
        refusals: &Refusals,
    ) -> Result<(), Refused> {
        match name.as_ref() {
            "user" => self.ask.user = optional_string(value, "user")?.map(Cow::into_owned),
            "previous_response_id" if self.draft.dialect == Dialect::Standard => {
                let id = optional_string(value, "previous_response_id")?;
                if let Some(id) = id.filter(|id| !id.is_empty()) {
                    self.ask.previous = Some(id.into_owned());
                    self.ask.echo.push((name.into_owned(), value.get().into()));
                }
                return Ok(());
            }
            "n" => fields::one_choice(value.get())?,
            "stream_options" => self.ask.include_usage = includes_usage(value)?,
            "reasoning_effort" => {
                self.effort = optional_string(value, "reasoning_effort")?;
                return Ok(());
            }
            "service_tier" => return carry_tier(&mut self.ask, &mut self.draft, value),
            "text" => {
                self.draft.json_object = wants_json_object(value);
                if value.is_null() {
                    return Ok(());
                }
            }
            _ => {}
        }
        self.draft.carry(&mut self.ask, refusals, name, value);
        Ok(())
    }

    fn finish(mut self) -> Result<(Ask, Draft<'a>), Refused> {
        if self.draft.reasoning.effort.is_none() {
            self.draft.reasoning.effort = self.effort.take();
        }
        let Some(input) = self.input.take().filter(|input| !input.raw.is_null()) else {
            return Err(Refused::missing("input"));
        };
        if let Some(text) = input.raw.escaped() {
            if !text.is_empty() {
                let path = Place::Root("input");
                let element = Element { raw: input.raw, object: None, inner: None };
                let read = item::read(element, path, &mut self.draft.dropped)?;
                self.take(read, 0);
            }
        } else if let Some(list) = input.list {
            self.draft.items.reserve(list.len());
            for (index, element) in list.iter().enumerate() {
                let path = Place::Index(&Place::Root("input"), index);
                let read = item::read(element, path, &mut self.draft.dropped)?;
                let before = self.draft.items.len();
                self.take(read, index);
                if self.draft.items.len() > before
                    && let Some(id) = element.object.and_then(|it| it.string("id"))
                    && id.chars().count() <= item::LONGEST_ID
                {
                    self.draft.ids.push((before, id));
                }
            }
        } else {
            return Err(Refused::kind("input", "a string or a list of items"));
        }
        if self.draft.items.is_empty() {
            let last = self.draft.hoisted.pop();
            self.draft.close_input(last);
        }
        if self.draft.items.is_empty() {
            return Err(Refused::new(
                "input",
                "'input' must not be empty: give it a text or at least one item with content.",
            ));
        }
        self.ask.tool_names = std::mem::take(&mut self.draft.tools.names);
        Ok((self.ask, self.draft))
    }

    /// Leading guidance of an ordinary client becomes part of the instructions, which Codex
    /// asks for; the Codex CLI's own stays where it is.
    fn take(&mut self, read: Read<'a>, index: usize) {
        match read {
            Read::Guidance(texts, item)
                if self.draft.dialect == Dialect::Standard && self.draft.items.is_empty() =>
            {
                self.draft.hoist(texts, item);
            }
            Read::Item(mut item) | Read::Guidance(_, mut item) => {
                // The Codex CLI keeps its own history: what it refers to is not ours to know.
                if self.draft.dialect == Dialect::Codex && matches!(item.kind, Kind::Reference(_)) {
                    item.kind = Kind::Other;
                }
                self.draft.items.push(item);
            }
            Read::Empty => {}
            Read::Left(_) => self.draft.drop_named(format!("input[{index}]")),
        }
    }
}

/// Takes a field that both endpoints know under the same name; `None` when it is no such field.
///
/// # Errors
///
/// When its value has the wrong type or cannot be carried.
pub fn shared_field<'a>(
    ask: &mut Ask,
    draft: &mut Draft<'a>,
    name: &str,
    list: Value<'_, 'a>,
) -> Result<Option<Slot>, Refused> {
    let value = list.raw;
    Ok(Some(match name {
        "model" => {
            ask.model = optional_string(value, name)?.map(Cow::into_owned);
            Slot::Model
        }
        "stream" => {
            ask.stream = optional_bool(value, name)?.unwrap_or_default();
            Slot::Stream
        }
        "store" => {
            ask.keeps &= optional_bool(value, name)? != Some(false);
            Slot::Store
        }
        "instructions" => {
            read_instructions(draft, value)?;
            Slot::Instructions
        }
        "tools" => {
            draft.has_tools |= !value.is_null();
            draft.tools.read(list, name)?;
            Slot::Tools
        }
        "tool_choice" => {
            draft.tools.choose(value, name)?;
            Slot::ToolChoice
        }
        "parallel_tool_calls" => {
            draft.tools.parallel = optional_bool(value, name)?;
            Slot::ParallelToolCalls
        }
        "reasoning" => {
            read_reasoning(draft, value)?;
            Slot::Reasoning
        }
        "include" => {
            read_include(draft, value)?;
            Slot::Include
        }
        "prompt_cache_key" => {
            ask.cache_key = optional_string(value, name)?.map(Cow::into_owned);
            Slot::PromptCacheKey
        }
        _ => return Ok(None),
    }))
}

fn read_instructions<'a>(draft: &mut Draft<'a>, value: Raw<'a>) -> Result<(), Refused> {
    if value.is_null() {
        return Ok(());
    }
    let Some(texts) = content::texts(value) else {
        return Err(Refused::kind("instructions", "a string or a list of text parts"));
    };
    draft.instructions.extend(texts.into_iter().map(Cow::Borrowed));
    Ok(())
}

/// `stream_options.include_usage`.
///
/// # Errors
///
/// When it is no boolean in an object.
pub fn includes_usage(value: Raw<'_>) -> Result<bool, Refused> {
    if value.is_null() {
        return Ok(false);
    }
    let object = Object::of(value).ok_or_else(|| Refused::kind("stream_options", "an object"))?;
    let Some(value) = object.some("include_usage") else { return Ok(false) };
    Ok(optional_bool(value, "stream_options.include_usage")?.unwrap_or_default())
}

fn read_reasoning<'a>(draft: &mut Draft<'a>, value: Raw<'a>) -> Result<(), Refused> {
    if value.is_null() {
        return Ok(());
    }
    let Some(object) = Object::of(value) else {
        return Err(Refused::kind("reasoning", "an object"));
    };
    let text = |name: &str| match object.some(name) {
        None => Ok(None),
        Some(value) => value
            .string()
            .map(Some)
            .ok_or_else(|| Refused::kind(format!("reasoning.{name}"), "a string")),
    };
    if let Some(effort) = text("effort")? {
        draft.reasoning.effort = Some(effort);
    }
    draft.reasoning.summary = text("summary")?.or(text("generate_summary")?);
    draft.reasoning.object = object;
    Ok(())
}

fn read_include<'a>(draft: &mut Draft<'a>, value: Raw<'a>) -> Result<(), Refused> {
    if value.is_null() {
        return Ok(());
    }
    let list = value.list().filter(|list| list.iter().all(|it| it.is_string()));
    let Some(list) = list else {
        return Err(Refused::kind("include", "a list of strings"));
    };
    draft.include = list.into_iter().map(|it| Cow::Borrowed(it.get())).collect();
    Ok(())
}

/// Reads `service_tier`; shared with chat.
///
/// # Errors
///
/// When it is no string.
pub fn carry_tier(ask: &mut Ask, draft: &mut Draft<'_>, value: Raw<'_>) -> Result<(), Refused> {
    let Some(tier) = optional_string(value, "service_tier")? else { return Ok(()) };
    match fields::service_tier(&tier) {
        Tier::Send(tier) => {
            draft.fields.push(Field::Raw("service_tier".into(), json::quote(tier).into()));
        }
        Tier::Silent => {}
        Tier::Drop => {
            draft.drop_named("service_tier");
            ask.echo.push(("service_tier".to_owned(), value.get().into()));
        }
    }
    Ok(())
}

fn wants_json_object(text: Raw<'_>) -> bool {
    let format = Object::of(text).and_then(|text| text.some("format")).and_then(Object::of);
    format.is_some_and(|format| format.string("type").as_deref() == Some("json_object"))
}

/// A string that may be `null`; shared with chat.
///
/// # Errors
///
/// When it is something else.
pub fn optional_string<'a>(value: Raw<'a>, param: &str) -> Result<Option<Cow<'a, str>>, Refused> {
    if value.is_null() {
        return Ok(None);
    }
    value.string().map(Some).ok_or_else(|| Refused::kind(param, "a string"))
}

/// A boolean that may be `null`; shared with chat.
///
/// # Errors
///
/// When it is something else.
pub fn optional_bool(value: Raw<'_>, param: &str) -> Result<Option<bool>, Refused> {
    if value.is_null() {
        return Ok(None);
    }
    value.boolean().map(Some).ok_or_else(|| Refused::kind(param, "a boolean"))
}

#[cfg(test)]
mod tests;
