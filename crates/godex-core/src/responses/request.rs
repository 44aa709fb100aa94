//! `POST /v1/responses` becomes a draft. Source: OpenAI's API reference (create a model
//! response) for what clients write, `docs/wire.md#request` for what Codex takes.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::item::{self, Read};
use crate::codex::content;
use crate::codex::draft::{Ask, Dialect, Draft, Field, Item, Kind, Refused, Slot};
use crate::codex::fields::{self, Refusals, Tier};
use crate::json::{self, Object};

/// Reads a request.
///
/// # Errors
///
/// When a parameter has the wrong type or cannot be carried.
pub fn read<'a>(
    object: Object<'a>,
    dialect: Dialect,
    refusals: &Refusals,
) -> Result<(Ask, Draft<'a>), Refused> {
    let mut reader = Reader {
        ask: Ask::default(),
        draft: Draft::new(dialect),
        input: None,
        effort: None,
        guidance: None,
    };
    for (name, value) in object.into_fields() {
        reader.field(name, value, refusals)?;
    }
    reader.finish()
}

/// Whether a body on the chat endpoint is really a Responses request (Cursor sends those).
pub fn looks_like_one(object: &Object<'_>) -> bool {
    object.get("messages").is_none() && object.get("input").is_some()
}

struct Reader<'a> {
    ask: Ask,
    draft: Draft<'a>,
    input: Option<&'a RawValue>,
    effort: Option<Cow<'a, str>>,
    /// The last message that became instructions: how many texts it gave, and itself.
    guidance: Option<(usize, Item<'a>)>,
}

impl<'a> Reader<'a> {
    fn field(
        &mut self,
        name: Cow<'a, str>,
        value: &'a RawValue,
        refusals: &Refusals,
    ) -> Result<(), Refused> {
        let slot = match name.as_ref() {
            "model" => {
                self.ask.model = optional_string(value, "model")?.map(Cow::into_owned);
                Slot::Model
            }
            "stream" => {
                self.ask.stream = optional_bool(value, "stream")?.unwrap_or_default();
                Slot::Stream
            }
            "store" => {
                optional_bool(value, "store")?;
                Slot::Store
            }
            "instructions" => {
                self.instructions(value)?;
                Slot::Instructions
            }
            "input" => {
                self.input = Some(value);
                Slot::Input
            }
            "tools" => {
                self.draft.has_tools = !json::is_null(value);
                self.draft.tools.read(value, "tools")?;
                Slot::Tools
            }
            "tool_choice" => {
                self.draft.tools.choose(value, "tool_choice")?;
                Slot::ToolChoice
            }
            "parallel_tool_calls" => {
                self.draft.tools.parallel = optional_bool(value, "parallel_tool_calls")?;
                Slot::ParallelToolCalls
            }
            "reasoning" => {
                read_reasoning(&mut self.draft, value)?;
                Slot::Reasoning
            }
            "include" => {
                read_include(&mut self.draft, value)?;
                Slot::Include
            }
            "prompt_cache_key" => {
                self.ask.cache_key =
                    optional_string(value, "prompt_cache_key")?.map(Cow::into_owned);
                Slot::PromptCacheKey
            }
            _ => return self.other(name, value, refusals),
        };
        self.draft.fields.push(Field::Slot(slot));
        Ok(())
    }

    fn other(
        &mut self,
        name: Cow<'a, str>,
        value: &'a RawValue,
        refusals: &Refusals,
    ) -> Result<(), Refused> {
        match name.as_ref() {
            "user" => self.ask.user = optional_string(value, "user")?.map(Cow::into_owned),
            "n" => fields::one_choice(value.get())?,
            "reasoning_effort" => {
                self.effort = optional_string(value, "reasoning_effort")?;
                return Ok(());
            }
            "service_tier" => return carry_tier(&mut self.draft, value),
            "text" => {
                self.draft.json_object = wants_json_object(value);
                if json::is_null(value) {
                    return Ok(());
                }
            }
            _ => {}
        }
        self.draft.carry(&mut self.ask, refusals, name, value);
        Ok(())
    }

    fn instructions(&mut self, value: &'a RawValue) -> Result<(), Refused> {
        if json::is_null(value) {
            return Ok(());
        }
        let Some(texts) = content::texts(value) else {
            return Err(Refused::kind("instructions", "a string or a list of text parts"));
        };
        self.draft.instructions.extend(texts.into_iter().map(Cow::Borrowed));
        Ok(())
    }

    fn finish(mut self) -> Result<(Ask, Draft<'a>), Refused> {
        if self.draft.reasoning.effort.is_none() {
            self.draft.reasoning.effort = self.effort.take();
        }
        let Some(input) = self.input.filter(|input| !json::is_null(input)) else {
            return Err(Refused::missing("input"));
        };
        if let Some(text) = json::escaped(input) {
            if !text.is_empty() {
                self.take(item::read(input, "input")?, 0);
            }
        } else if let Some(list) = json::list(input) {
            self.draft.items.reserve(list.len());
            for (index, raw) in list.into_iter().enumerate() {
                let read = item::read(raw, &format!("input[{index}]"))?;
                self.take(read, index);
            }
        } else {
            return Err(Refused::kind("input", "a string or a list of items"));
        }
        if self.draft.items.is_empty()
            && let Some((texts, item)) = self.guidance.take()
        {
            let kept = self.draft.instructions.len().saturating_sub(texts);
            self.draft.instructions.truncate(kept);
            self.draft.items.push(item);
        }
        if self.draft.items.is_empty() {
            return Err(Refused::new(
                "input",
                "'input' must not be empty: give it a text or at least one item with content.",
            ));
        }
        Ok((self.ask, self.draft))
    }

    /// Leading guidance of an ordinary client becomes part of the instructions, which Codex
    /// asks for; the Codex CLI's own stays where it is.
    fn take(&mut self, read: Read<'a>, index: usize) {
        match read {
            Read::Guidance(texts, item)
                if self.draft.dialect == Dialect::Standard && self.draft.items.is_empty() =>
            {
                self.guidance = Some((texts.len(), item));
                self.draft.instructions.extend(texts);
            }
            Read::Item(item) | Read::Guidance(_, item) => self.draft.items.push(item),
            Read::Empty => {}
            Read::Left(_) => self.draft.drop_named(format!("input[{index}]")),
        }
    }
}

/// Reads `reasoning`; shared with chat clients that send the object.
///
/// # Errors
///
/// When it is no object.
pub fn read_reasoning<'a>(draft: &mut Draft<'a>, value: &'a RawValue) -> Result<(), Refused> {
    if json::is_null(value) {
        return Ok(());
    }
    let Some(object) = Object::of(value) else {
        return Err(Refused::kind("reasoning", "an object"));
    };
    let text = |name: &str| match object.some(name) {
        None => Ok(None),
        Some(value) => json::string(value)
            .map(Some)
            .ok_or_else(|| Refused::kind(&format!("reasoning.{name}"), "a string")),
    };
    if let Some(effort) = text("effort")? {
        draft.reasoning.effort = Some(effort);
    }
    draft.reasoning.summary = text("summary")?.or(text("generate_summary")?);
    draft.reasoning.object = object;
    Ok(())
}

fn read_include<'a>(draft: &mut Draft<'a>, value: &'a RawValue) -> Result<(), Refused> {
    if json::is_null(value) {
        return Ok(());
    }
    let list = json::list(value).filter(|list| list.iter().all(|it| json::is_string(it)));
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
pub fn carry_tier(draft: &mut Draft<'_>, value: &RawValue) -> Result<(), Refused> {
    let Some(tier) = optional_string(value, "service_tier")? else { return Ok(()) };
    match fields::service_tier(&tier) {
        Tier::Send(tier) => {
            draft.fields.push(Field::Raw("service_tier".into(), json::quote(tier).into()));
        }
        Tier::Silent => {}
        Tier::Drop => draft.drop_named("service_tier"),
    }
    Ok(())
}

fn wants_json_object(text: &RawValue) -> bool {
    let format = Object::of(text).and_then(|text| text.some("format")).and_then(Object::of);
    format.is_some_and(|format| format.string("type").as_deref() == Some("json_object"))
}

/// A string that may be `null`; shared with chat.
///
/// # Errors
///
/// When it is something else.
pub fn optional_string<'a>(
    value: &'a RawValue,
    param: &str,
) -> Result<Option<Cow<'a, str>>, Refused> {
    if json::is_null(value) {
        return Ok(None);
    }
    json::string(value).map(Some).ok_or_else(|| Refused::kind(param, "a string"))
}

/// A boolean that may be `null`; shared with chat.
///
/// # Errors
///
/// When it is something else.
pub fn optional_bool(value: &RawValue, param: &str) -> Result<Option<bool>, Refused> {
    if json::is_null(value) {
        return Ok(None);
    }
    json::boolean(value).map(Some).ok_or_else(|| Refused::kind(param, "a boolean"))
}

/// The calls of an input, for memory: id and JSON.
pub fn calls<'d>(draft: &'d Draft<'_>) -> impl Iterator<Item = (&'d str, &'d str)> {
    draft.items.iter().filter_map(|item| match &item.kind {
        Kind::Call(call) => Some((call.id.as_ref(), item.json.as_ref())),
        Kind::User | Kind::Developer | Kind::Assistant | Kind::Output(_) | Kind::Other => None,
    })
}

#[cfg(test)]
mod tests;
