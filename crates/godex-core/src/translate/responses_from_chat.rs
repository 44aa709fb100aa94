//! `POST /v1/chat/completions` becomes a draft. Source: OpenAI's API reference (create a chat
//! completion) for what clients write, `docs/wire.md#request` for what Codex takes.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::codex::content::{self, Voice};
use crate::codex::draft::{Ask, Call, Dialect, Draft, Field, Item, Kind, Refused, Slot};
use crate::codex::fields::{self, Refusals};
use crate::json::{self, Object, Writer};
use crate::responses::request::{carry_tier, optional_bool, optional_string, read_reasoning};

/// Parameters of chat that Codex has no word for.
const CHAT_ONLY: &[&str] = &["audio", "logprobs", "modalities", "prediction", "web_search_options"];

/// How a chat client wants calls back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CallStyle {
    /// `tool_calls`.
    #[default]
    Tools,
    /// `function_call`, the form of 2023: the request had `functions`.
    Function,
}

/// Reads a request. `summaries` says whether reasoning is shown, for which the backend must be
/// asked to summarise it.
///
/// # Errors
///
/// When a parameter has the wrong type or cannot be carried.
pub fn read<'a>(
    object: Object<'a>,
    refusals: &Refusals,
    summaries: bool,
) -> Result<(Ask, Draft<'a>, CallStyle), Refused> {
    let mut reader = Reader {
        ask: Ask::default(),
        draft: Draft::new(Dialect::Standard),
        messages: None,
        style: CallStyle::Tools,
        text: Writer::new(256),
        has_text: false,
    };
    for (name, value) in object.into_fields() {
        reader.field(name, value, refusals)?;
    }
    let Some(messages) = reader.messages else {
        return Err(Refused::missing("messages"));
    };
    reader.messages(messages)?;
    if summaries
        && reader.draft.reasoning.summary.is_none()
        && reader.draft.reasoning.effort.as_deref() != Some("none")
    {
        reader.draft.reasoning.summary = Some("auto".into());
    }
    if reader.has_text {
        let text = reader.text.finish_text();
        reader.draft.fields.push(Field::Raw("text".into(), text.into()));
    }
    Ok((reader.ask, reader.draft, reader.style))
}

struct Reader<'a> {
    ask: Ask,
    draft: Draft<'a>,
    messages: Option<&'a RawValue>,
    style: CallStyle,
    /// `text`, which gathers `response_format` and `verbosity`.
    text: Writer,
    has_text: bool,
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
            "messages" => {
                self.messages = Some(value);
                Slot::Input
            }
            "tools" => {
                self.draft.has_tools |= !json::is_null(value);
                self.draft.tools.read(value, "tools")?;
                Slot::Tools
            }
            "functions" => {
                self.draft.has_tools |= !json::is_null(value);
                self.draft.tools.read(value, "functions")?;
                self.style = CallStyle::Function;
                Slot::Tools
            }
            "tool_choice" | "function_call" => {
                self.draft.tools.choose(value, &name)?;
                Slot::ToolChoice
            }
            "parallel_tool_calls" => {
                self.draft.tools.parallel = optional_bool(value, "parallel_tool_calls")?;
                Slot::ParallelToolCalls
            }
            "reasoning_effort" => {
                let effort = optional_string(value, "reasoning_effort")?;
                if self.draft.reasoning.effort.is_none() {
                    self.draft.reasoning.effort = effort;
                }
                Slot::Reasoning
            }
            "reasoning" => {
                read_reasoning(&mut self.draft, value)?;
                Slot::Reasoning
            }
            "prompt_cache_key" => {
                self.ask.cache_key =
                    optional_string(value, "prompt_cache_key")?.map(Cow::into_owned);
                Slot::PromptCacheKey
            }
            "store" => {
                optional_bool(value, "store")?;
                Slot::Store
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
            "n" => {
                fields::one_choice(value.get())?;
            }
            "stream_options" => {
                self.ask.include_usage = stream_options(value)?;
                return Ok(());
            }
            "response_format" => return self.response_format(value),
            "verbosity" => {
                if optional_string(value, "verbosity")?.is_some() {
                    self.text.raw("verbosity", value.get());
                    self.has_text = true;
                }
                return Ok(());
            }
            "service_tier" => return carry_tier(&mut self.draft, value),
            "text" => return self.text_object(value),
            "modalities"
                if json::list(value)
                    .is_some_and(|list| list.iter().any(|it| it.get() == "\"audio\"")) =>
            {
                return Err(Refused::new(
                    "modalities",
                    "Audio cannot be carried: the Codex backend answers with text only.",
                ));
            }
            chat_only if CHAT_ONLY.contains(&chat_only) => {
                if !matches!(value.get(), "null" | "false") {
                    self.draft.drop_named(name);
                }
                return Ok(());
            }
            _ => {}
        }
        self.draft.carry(&mut self.ask, refusals, name, value);
        Ok(())
    }

    fn text_object(&mut self, value: &'a RawValue) -> Result<(), Refused> {
        if json::is_null(value) {
            return Ok(());
        }
        let Some(object) = Object::of(value) else {
            return Err(Refused::kind("text", "an object"));
        };
        for (name, value) in object.iter() {
            self.text.raw(name, value.get());
        }
        self.has_text = true;
        Ok(())
    }

    /// `response_format` becomes `text.format`, whose schema is not nested.
    fn response_format(&mut self, value: &'a RawValue) -> Result<(), Refused> {
        if json::is_null(value) {
            return Ok(());
        }
        let object =
            Object::of(value).ok_or_else(|| Refused::kind("response_format", "an object"))?;
        let kind = object.string("type").ok_or_else(|| Refused::missing("response_format.type"))?;
        let mut format = Writer::new(value.get().len() + 32);
        format.string("type", &kind);
        if kind == "json_schema" {
            let param = "response_format.json_schema";
            let schema = object
                .some("json_schema")
                .and_then(Object::of)
                .ok_or_else(|| Refused::missing(param))?;
            if schema.string("name").is_none() {
                return Err(Refused::missing(&format!("{param}.name")));
            }
            for (name, value) in schema.iter() {
                format.raw(name, value.get());
            }
        }
        self.draft.json_object = kind == "json_object";
        self.text.raw("format", &format.finish_text());
        self.has_text = true;
        Ok(())
    }

    fn messages(&mut self, messages: &'a RawValue) -> Result<(), Refused> {
        let Some(list) = json::list(messages) else {
            return Err(Refused::kind("messages", "a list of messages"));
        };
        self.draft.items.reserve(list.len() + 4);
        let mut guidance = None;
        let mut legacy = Vec::new();
        for (index, raw) in list.into_iter().enumerate() {
            let path = format!("messages[{index}]");
            let Some(message) = Object::of(raw) else {
                return Err(Refused::kind(&path, "a message object"));
            };
            if message.some("name").is_some()
                && message.string("role").as_deref() != Some("function")
            {
                self.draft.drop_named(format!("{path}.name"));
            }
            match message.string("role").as_deref() {
                Some("system" | "developer") => {
                    if let Some(item) = self.guidance(&message, &path)? {
                        guidance = Some(item);
                    }
                }
                Some("user") => self.said(&message, Kind::User, Voice::Input, &path)?,
                Some("assistant") => self.assistant(&message, &mut legacy, &path, index)?,
                Some("tool") => {
                    let id = message.string("tool_call_id").filter(|id| !id.is_empty());
                    let id = id.ok_or_else(|| Refused::missing(&format!("{path}.tool_call_id")))?;
                    self.output(id, message.get("content"), &path)?;
                }
                Some("function") => {
                    let name = message.string("name").unwrap_or_default();
                    let at = legacy
                        .iter()
                        .position(|(called, _): &(Cow<'_, str>, String)| *called == name);
                    let id = at.map_or_else(|| format!("call_{name}"), |at| legacy.remove(at).1);
                    self.output(id.into(), message.get("content"), &path)?;
                }
                Some(other) => {
                    let words = format!(
                        "Invalid value: '{other}'. Supported values are: 'system', 'developer', 'user', 'assistant' and 'tool'."
                    );
                    return Err(Refused::new(format!("{path}.role"), words));
                }
                None => return Err(Refused::missing(&format!("{path}.role"))),
            }
        }
        if self.draft.items.is_empty()
            && let Some((texts, item)) = guidance
        {
            let kept = self.draft.instructions.len().saturating_sub(texts);
            self.draft.instructions.truncate(kept);
            self.draft.items.push(item);
        }
        if self.draft.items.is_empty() {
            return Err(Refused::new(
                "messages",
                "'messages' must not be empty: give it at least one message with content.",
            ));
        }
        Ok(())
    }

    /// Leading guidance becomes part of the instructions, later guidance a developer message.
    /// Returns how many texts became instructions, with the message they came from.
    fn guidance(
        &mut self,
        message: &Object<'a>,
        path: &str,
    ) -> Result<Option<(usize, Item<'a>)>, Refused> {
        let Some(value) = message.some("content") else { return Ok(None) };
        let parts = content::parts(value, Voice::Input, &format!("{path}.content"))?;
        if parts == "[]" {
            return Ok(None);
        }
        let item = said("developer", Kind::Developer, &parts);
        let Some(texts) = content::texts(value).filter(|_| self.draft.items.is_empty()) else {
            self.draft.items.push(item);
            return Ok(None);
        };
        let count = texts.len();
        self.draft.instructions.extend(texts.into_iter().map(Cow::Borrowed));
        Ok(Some((count, item)))
    }

    fn said(
        &mut self,
        message: &Object<'a>,
        kind: Kind<'a>,
        voice: Voice,
        path: &str,
    ) -> Result<(), Refused> {
        let Some(value) = message.some("content") else { return Ok(()) };
        let parts = content::parts(value, voice, &format!("{path}.content"))?;
        if parts != "[]" {
            let role = if voice == Voice::Assistant { "assistant" } else { "user" };
            self.draft.items.push(said(role, kind, &parts));
        }
        Ok(())
    }

    fn assistant(
        &mut self,
        message: &Object<'a>,
        legacy: &mut Vec<(Cow<'a, str>, String)>,
        path: &str,
        index: usize,
    ) -> Result<(), Refused> {
        if message.some("audio").is_some() {
            return Err(Refused::new(
                format!("{path}.audio"),
                "Audio cannot be carried: the Codex backend takes text, images and files only.",
            ));
        }
        for name in ["reasoning_content", "reasoning"] {
            if message.some(name).is_some() {
                self.draft.drop_named(name);
            }
        }
        self.said(message, Kind::Assistant, Voice::Assistant, path)?;
        if let Some(refusal) =
            message.some("refusal").and_then(json::escaped).filter(|text| !text.is_empty())
        {
            let part = format!(r#"[{{"type":"refusal","refusal":"{refusal}"}}]"#);
            self.draft.items.push(said("assistant", Kind::Assistant, &part));
        }
        if let Some(calls) = message.some("tool_calls") {
            let param = format!("{path}.tool_calls");
            let calls =
                json::list(calls).ok_or_else(|| Refused::kind(&param, "a list of tool calls"))?;
            for (at, call) in calls.into_iter().enumerate() {
                self.call(call, &format!("{param}[{at}]"))?;
            }
        }
        if let Some(call) = message.some("function_call").and_then(Object::of) {
            let id = format!("call_{index}");
            let name = call
                .string("name")
                .ok_or_else(|| Refused::missing(&format!("{path}.function_call.name")))?;
            self.draft.items.push(called(id.clone().into(), false, &name, call.some("arguments")));
            legacy.push((name, id));
        }
        Ok(())
    }

    fn call(&mut self, raw: &'a RawValue, path: &str) -> Result<(), Refused> {
        let call = Object::of(raw).ok_or_else(|| Refused::kind(path, "a tool call"))?;
        let id = call
            .string("id")
            .filter(|id| !id.is_empty())
            .ok_or_else(|| Refused::missing(&format!("{path}.id")))?;
        let custom = call.string("type").as_deref() == Some("custom");
        let (member, argument) =
            if custom { ("custom", "input") } else { ("function", "arguments") };
        let inner = call.some(member).and_then(Object::of);
        let inner = inner.ok_or_else(|| Refused::missing(&format!("{path}.{member}")))?;
        let name = inner
            .string("name")
            .ok_or_else(|| Refused::missing(&format!("{path}.{member}.name")))?;
        self.draft.items.push(called(id, custom, &name, inner.some(argument)));
        Ok(())
    }

    /// The output of a call. Chat does not say whether the call was a custom one: the pairs
    /// are matched later.
    fn output(
        &mut self,
        id: Cow<'a, str>,
        value: Option<&'a RawValue>,
        path: &str,
    ) -> Result<(), Refused> {
        let custom = self.draft.items.iter().rev().find_map(|item| match &item.kind {
            Kind::Call(call) if call.id == id => Some(call.custom),
            Kind::Call(_)
            | Kind::Output(_)
            | Kind::User
            | Kind::Developer
            | Kind::Assistant
            | Kind::Other => None,
        });
        let custom = custom.unwrap_or_default();
        let text = content::output(value, &format!("{path}.content"))?;
        let mut writer = Writer::new(text.len() + 96);
        writer.string(
            "type",
            if custom { "custom_tool_call_output" } else { "function_call_output" },
        );
        writer.string("call_id", &id);
        writer.raw("output", &text);
        let kind = Kind::Output(Call { id, custom });
        self.draft.items.push(Item { kind, json: writer.finish_text().into() });
        Ok(())
    }
}

fn said<'a>(role: &str, kind: Kind<'a>, parts: &str) -> Item<'a> {
    Item { kind, json: format!(r#"{{"type":"message","role":"{role}","content":{parts}}}"#).into() }
}

fn called<'a>(id: Cow<'a, str>, custom: bool, name: &str, argument: Option<&RawValue>) -> Item<'a> {
    let mut writer = Writer::new(argument.map_or(0, |it| it.get().len()) + 128);
    writer.string("type", if custom { "custom_tool_call" } else { "function_call" });
    writer.string("call_id", &id);
    writer.string("name", name);
    let member = if custom { "input" } else { "arguments" };
    match argument {
        Some(value) if json::is_string(value) => writer.raw(member, value.get()),
        Some(value) => writer.string(member, value.get()),
        None => writer.string(member, if custom { "" } else { "{}" }),
    }
    let kind = Kind::Call(Call { id, custom });
    Item { kind, json: writer.finish_text().into() }
}

fn stream_options(value: &RawValue) -> Result<bool, Refused> {
    if json::is_null(value) {
        return Ok(false);
    }
    let object = Object::of(value).ok_or_else(|| Refused::kind("stream_options", "an object"))?;
    match object.some("include_usage") {
        Some(value) => {
            Ok(optional_bool(value, "stream_options.include_usage")?.unwrap_or_default())
        }
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests;
