//! `POST /v1/chat/completions` becomes a draft. Source: OpenAI's API reference (create a chat
//! completion) for what clients write, `docs/wire.md#request` for what Codex takes.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::codex::content::{self, Voice};
use crate::codex::draft::{Ask, Call, Dialect, Draft, Field, Item, Kind, Slot};
use crate::codex::fields::{self, Refusals};
use crate::codex::names::wire_name;
use crate::codex::refused::{Place, Refused};
use crate::json::{Body, Element, Elements, Malformed, Members, Object, Raw, Value, Writer};
use crate::responses::request::{self, carry_tier, includes_usage, optional_string, shared_field};
use crate::translate::stop;

/// Parameters of chat that Codex has no word for.
const CHAT_ONLY: &[&str] = &["audio", "logprobs", "modalities", "prediction", "web_search_options"];

/// The members of a message and of a tool call that have a meaning here.
const MESSAGE: &[&str] =
    &["role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "audio"];
const CALL: &[&str] = &["id", "type", "function", "custom", "index"];

/// How a chat client wants calls back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CallStyle {
    /// `tool_calls`.
    #[default]
    Tools,
    /// `function_call`, the form of 2023: the request had `functions`.
    Function,
}

/// Reads the body of a chat request, whichever it is: Cursor sends Responses requests to this
/// endpoint and wants chat back. `summaries` says whether reasoning is shown.
///
/// # Errors
///
/// When a parameter has the wrong type or cannot be carried.
pub fn read_either<'a>(
    body: &Body<'a>,
    refusals: &Refusals,
    summaries: bool,
) -> Result<(Ask, Draft<'a>, CallStyle), Refused> {
    if !request::looks_like_one(body) {
        return read(body, refusals, summaries);
    }
    let stop = body.some("stop").map_or(Ok(Vec::new()), |value| stop::read(value.raw))?;
    let (mut ask, mut draft) = request::read(body, Dialect::Standard, refusals)?;
    ask.stop = stop;
    // Chat has no way to name an earlier answer.
    ask.keeps = false;
    if ask.previous.take().is_some() {
        draft.drop_named("previous_response_id");
    }
    // Here these have an effect.
    draft.dropped.retain(|name| !matches!(name.as_str(), "messages" | "stop" | "stream_options"));
    ask_for_summary(&mut draft, summaries);
    Ok((ask, draft, CallStyle::Tools))
}

/// Reasoning is shown only if the backend is asked to summarise it.
fn ask_for_summary(draft: &mut Draft<'_>, summaries: bool) {
    let reasoning = &mut draft.reasoning;
    if summaries && reasoning.summary.is_none() && reasoning.effort.as_deref() != Some("none") {
        reasoning.summary = Some("auto".into());
    }
}

/// Takes the body of a chat request apart, with the functions of its tools.
///
/// # Errors
///
/// When it is not one JSON object, not UTF-8 or nested too deeply.
pub fn parse(body: &[u8]) -> Result<Body<'_>, Malformed> {
    Body::with_inner(body, "function")
}

/// Reads a request. `summaries` says whether reasoning is shown, for which the backend must be
/// asked to summarise it.
///
/// # Errors
///
/// When a parameter has the wrong type or cannot be carried.
pub fn read<'a>(
    body: &Body<'a>,
    refusals: &Refusals,
    summaries: bool,
) -> Result<(Ask, Draft<'a>, CallStyle), Refused> {
    let mut reader = Reader {
        ask: Ask::default(),
        draft: Draft::new(Dialect::Standard),
        messages: None,
        functions: false,
        text: Vec::new(),
        custom_calls: HashSet::new(),
    };
    let has_tools = body.some("tools").is_some();
    for (name, value) in body.fields() {
        reader.field(name.clone(), value, refusals)?;
    }
    let style = if reader.functions && !has_tools {
        // One `function_call` is all that a message of that time can hold.
        reader.draft.tools.parallel.get_or_insert(false);
        CallStyle::Function
    } else {
        CallStyle::Tools
    };
    let Some(messages) = reader.messages.take() else {
        return Err(Refused::missing("messages"));
    };
    reader.messages(messages)?;
    ask_for_summary(&mut reader.draft, summaries);
    if !reader.text.is_empty() {
        let mut text = Writer::new(256);
        for (name, json) in &reader.text {
            text.raw(name, json);
        }
        reader.draft.fields.push(Field::Raw("text".into(), text.finish_text().into()));
    }
    reader.ask.tool_names = std::mem::take(&mut reader.draft.tools.names);
    Ok((reader.ask, reader.draft, style))
}

struct Reader<'s, 'a> {
    ask: Ask,
    draft: Draft<'a>,
    messages: Option<Value<'s, 'a>>,
    /// The tools came as the `functions` of 2023.
    functions: bool,
    /// `text`, which gathers `response_format` and `verbosity`: name and JSON.
    text: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The ids of custom calls so far.
    custom_calls: HashSet<Cow<'a, str>>,
}

impl<'s, 'a> Reader<'s, 'a> {
    fn field(
        &mut self,
        name: Cow<'a, str>,
        list: Value<'s, 'a>,
        refusals: &Refusals,
    ) -> Result<(), Refused> {
        let value = list.raw;
        let slot = match name.as_ref() {
            "messages" => {
                self.messages = Some(list);
                Slot::Input
            }
            "functions" => {
                self.draft.has_tools |= !value.is_null();
                self.draft.tools.read(list, &name)?;
                self.functions |= !value.is_null();
                Slot::Tools
            }
            "function_call" => {
                self.draft.tools.choose(value, &name)?;
                Slot::ToolChoice
            }
            "reasoning_effort" => {
                let effort = optional_string(value, &name)?;
                if self.draft.reasoning.effort.is_none() {
                    self.draft.reasoning.effort = effort;
                }
                Slot::Reasoning
            }
            // Of the two, the messages are what this endpoint is about.
            "input" => {
                if !value.is_null() {
                    self.draft.drop_named(name);
                }
                return Ok(());
            }
            _ => match shared_field(&mut self.ask, &mut self.draft, &name, list)? {
                Some(slot) => slot,
                None => return self.other(name, value, refusals),
            },
        };
        self.draft.fields.push(Field::Slot(slot));
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
            "n" => fields::one_choice(value.get())?,
            "stop" => {
                self.ask.stop = stop::read(value)?;
                return Ok(());
            }
            "stream_options" => {
                self.ask.include_usage = includes_usage(value)?;
                return Ok(());
            }
            "response_format" => return self.response_format(value),
            "verbosity" => {
                if optional_string(value, "verbosity")?.is_some() {
                    self.set_text("verbosity".into(), value.get().into());
                }
                return Ok(());
            }
            "service_tier" => return carry_tier(&mut self.ask, &mut self.draft, value),
            "text" => return self.text_object(value),
            "modalities"
                if value
                    .list()
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

    fn text_object(&mut self, value: Raw<'a>) -> Result<(), Refused> {
        if value.is_null() {
            return Ok(());
        }
        let Some(object) = Object::of(value) else {
            return Err(Refused::kind("text", "an object"));
        };
        for (name, value) in object.into_fields() {
            self.set_text(name, value.get().into());
        }
        Ok(())
    }

    /// Sets a member of `text`. Chat's own names for them win.
    fn set_text(&mut self, name: Cow<'a, str>, json: Cow<'a, str>) {
        match self.text.iter_mut().find(|(it, _)| *it == name) {
            Some(member) => member.1 = json,
            None => self.text.push((name, json)),
        }
    }

    /// `response_format` becomes `text.format`, whose schema is not nested.
    fn response_format(&mut self, value: Raw<'a>) -> Result<(), Refused> {
        if value.is_null() {
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
                return Err(Refused::missing(Place::Member(&Place::Root(param), "name")));
            }
            for (name, value) in schema.iter() {
                format.raw(name, value.get());
            }
        }
        self.draft.json_object = kind == "json_object";
        self.set_text("format".into(), format.finish_text().into());
        Ok(())
    }

    fn messages(&mut self, messages: Value<'s, 'a>) -> Result<(), Refused> {
        let Some(list) = messages.list else {
            return Err(Refused::kind("messages", "a list of messages"));
        };
        self.draft.items.reserve(list.len() + 4);
        let mut guidance = None;
        let mut legacy = Vec::new();
        for (index, element) in list.iter().enumerate() {
            let root = Place::Root("messages");
            let path = Place::Index(&root, index);
            let Some(message) = element.object else {
                return Err(Refused::kind(path, "a message object"));
            };
            self.name_strays(message, MESSAGE, "messages[]");
            if message.some("name").is_some()
                && message.string("role").as_deref() != Some("function")
            {
                self.draft.drop_named("messages[].name");
            }
            match message.string("role").as_deref() {
                Some("system" | "developer") => {
                    if let Some(item) = self.guidance(message, path)? {
                        guidance = Some(item);
                    }
                }
                Some("user") => self.said(message, Kind::User, Voice::Input, path)?,
                Some("assistant") => self.assistant(message, &mut legacy, path, index)?,
                Some("tool") => {
                    let id = message.string("tool_call_id").filter(|id| !id.is_empty());
                    let id =
                        id.ok_or_else(|| Refused::missing(Place::Member(&path, "tool_call_id")))?;
                    self.output(id, message.get("content"));
                }
                Some("function") => {
                    let name = message.string("name").unwrap_or_default();
                    let at = legacy
                        .iter()
                        .position(|(called, _): &(Cow<'_, str>, String)| *called == name);
                    let id = at.map_or_else(|| format!("call_{name}"), |at| legacy.remove(at).1);
                    self.output(id.into(), message.get("content"));
                }
                Some(other) => {
                    let words = format!(
                        "Invalid value: '{other}'. Supported values are: 'system', 'developer', 'user', 'assistant' and 'tool'."
                    );
                    return Err(Refused::new(format!("{path}.role"), words));
                }
                None => return Err(Refused::missing(Place::Member(&path, "role"))),
            }
        }
        self.draft.close_input(guidance);
        if self.draft.items.is_empty() {
            return Err(Refused::new(
                "messages",
                "'messages' must not be empty: give it at least one message with content.",
            ));
        }
        Ok(())
    }

    /// Names what a message or a call has beyond what Codex has a word for.
    fn name_strays(&mut self, object: Members<'_, 'a>, known: &[&str], path: &str) {
        let empty = |value: &Raw<'_>| matches!(value.get(), "null" | "[]" | "{}" | "\"\"");
        for (name, _) in
            object.iter().filter(|(name, value)| !known.contains(name) && !empty(value))
        {
            self.draft.drop_named(format!("{path}.{name}"));
        }
    }

    /// Leading guidance becomes part of the instructions, later guidance a developer message.
    /// Returns how many texts became instructions, with the message they came from.
    fn guidance(
        &mut self,
        message: Members<'s, 'a>,
        path: Place<'_>,
    ) -> Result<Option<(usize, Item<'a>)>, Refused> {
        let Some(value) = message.some("content") else { return Ok(None) };
        let parts = content::parts(
            value,
            Voice::Input,
            Place::Member(&path, "content"),
            &mut self.draft.dropped,
        )?;
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
        message: Members<'s, 'a>,
        kind: Kind<'a>,
        voice: Voice,
        path: Place<'_>,
    ) -> Result<(), Refused> {
        let Some(value) = message.some("content") else { return Ok(()) };
        let role = if voice == Voice::Assistant { "assistant" } else { "user" };
        if let Some(text) = value.escaped().filter(|text| !text.is_empty()) {
            let json = content::message(role, voice, text);
            self.draft.items.push(Item { kind, json: json.into() });
            return Ok(());
        }
        let parts =
            content::parts(value, voice, Place::Member(&path, "content"), &mut self.draft.dropped)?;
        if parts != "[]" {
            self.draft.items.push(said(role, kind, &parts));
        }
        Ok(())
    }

    fn assistant(
        &mut self,
        message: Members<'s, 'a>,
        legacy: &mut Vec<(Cow<'a, str>, String)>,
        path: Place<'_>,
        index: usize,
    ) -> Result<(), Refused> {
        if message.some("audio").is_some() {
            return Err(Refused::new(
                format!("{path}.audio"),
                "Audio cannot be carried: the Codex backend takes text, images and files only.",
            ));
        }
        self.said(message, Kind::Assistant, Voice::Assistant, path)?;
        if let Some(refusal) =
            message.some("refusal").and_then(Raw::escaped).filter(|text| !text.is_empty())
        {
            let part = format!(r#"[{{"type":"refusal","refusal":"{refusal}"}}]"#);
            self.draft.items.push(said("assistant", Kind::Assistant, &part));
        }
        if let Some(calls) = message.some("tool_calls") {
            let param = Place::Member(&path, "tool_calls");
            let calls = Elements::with_inner(calls, "function");
            let calls = calls.ok_or_else(|| Refused::kind(param, "a list of tool calls"))?;
            for (at, call) in calls.list().iter().enumerate() {
                self.call(call, Place::Index(&param, at))?;
            }
        }
        if let Some(call) = message.some("function_call").and_then(Object::of) {
            let id = format!("call_{index}");
            let name = call
                .string("name")
                .ok_or_else(|| Refused::missing(Place::Member(&path, "function_call.name")))?;
            self.draft.items.push(called(id.clone().into(), false, &name, call.some("arguments")));
            legacy.push((name, id));
        }
        Ok(())
    }

    fn call(&mut self, element: Element<'_, 'a>, path: Place<'_>) -> Result<(), Refused> {
        let call = element.object.ok_or_else(|| Refused::kind(path, "a tool call"))?;
        let id = call
            .string("id")
            .filter(|id| !id.is_empty())
            .ok_or_else(|| Refused::missing(Place::Member(&path, "id")))?;
        self.name_strays(call, CALL, "messages[].tool_calls[]");
        let custom = call.string("type").as_deref() == Some("custom");
        let (member, argument) =
            if custom { ("custom", "input") } else { ("function", "arguments") };
        let apart = if custom { call.some(member).and_then(Object::of) } else { None };
        let inner = if custom { apart.as_ref().map(Object::members) } else { element.inner };
        let inner = inner.ok_or_else(|| Refused::missing(format!("{path}.{member}")))?;
        let name = inner
            .string("name")
            .ok_or_else(|| Refused::missing(format!("{path}.{member}.name")))?;
        if custom {
            self.custom_calls.insert(id.clone());
        }
        self.draft.items.push(called(id, custom, &name, inner.some(argument)));
        Ok(())
    }

    /// The output of a call. Chat does not say whether the call was a custom one: the pairs
    /// are matched later.
    fn output(&mut self, id: Cow<'a, str>, value: Option<Raw<'a>>) {
        let custom = self.custom_calls.contains(&id);
        let text = content::output(value, &mut self.draft.dropped);
        let mut writer = Writer::new(text.len() + 96);
        writer.string(
            "type",
            if custom { "custom_tool_call_output" } else { "function_call_output" },
        );
        writer.string("call_id", &id);
        writer.raw("output", &text);
        let kind = Kind::Output(Call { id, custom });
        self.draft.items.push(Item { kind, json: writer.finish_text().into() });
    }
}

fn said<'a>(role: &str, kind: Kind<'a>, parts: &str) -> Item<'a> {
    let json = [r#"{"type":"message","role":""#, role, r#"","content":"#, parts, "}"];
    Item { kind, json: json.concat().into() }
}

fn called<'a>(id: Cow<'a, str>, custom: bool, name: &str, argument: Option<Raw<'_>>) -> Item<'a> {
    let mut writer = Writer::new(argument.map_or(0, |it| it.get().len()) + 128);
    writer.string("type", if custom { "custom_tool_call" } else { "function_call" });
    writer.string("call_id", &id);
    writer.string("name", &wire_name(name));
    let member = if custom { "input" } else { "arguments" };
    match argument {
        Some(value) if value.is_string() => writer.raw(member, value.get()),
        Some(value) => writer.string(member, value.get()),
        None => writer.string(member, if custom { "" } else { "{}" }),
    }
    let kind = Kind::Call(Call { id, custom });
    Item { kind, json: writer.finish_text().into() }
}

#[cfg(test)]
mod tests;
