//! The last room before the wire: a draft becomes the body Codex accepts, spliced together
//! from the client's own text. Source: `docs/wire.md#request`.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;

use super::draft::{Dialect, Draft, Field, Item, Kind, Slot};
use super::fields;
use crate::json;

/// What makes stateless replay of reasoning possible.
const ENCRYPTED_REASONING: &str = "\"reasoning.encrypted_content\"";

/// The hint Codex wants in the input when any JSON object will do.
const JSON_HINT: &str = r#"{"type":"message","role":"developer","content":[{"type":"input_text","text":"Answer with one JSON object."}]}"#;

/// What the rest of the proxy settled about a request.
#[derive(Clone, Copy)]
pub struct Settled<'s> {
    /// The model as the backend calls it.
    pub model: &'s str,
    /// The effort that the model's name asked for.
    pub effort: Option<&'s str>,
    /// `prompt_cache_key`; the session header carries the same conversation.
    pub cache_key: &'s str,
    /// The session's last instructions, with the escapes of a JSON string.
    pub remembered: Option<&'s str>,
    /// The instructions of last resort, with the escapes of a JSON string; never empty.
    pub fallback: &'s str,
}

shape!(Settled<'_>, it => "Settled({})", it.model);

/// A request that Codex accepts. Only [`Draft::prepare`] makes one, and only this is sent.
#[derive(Clone)]
pub struct Outgoing {
    body: Bytes,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outgoing({} bytes)", self.body.len())
    }
}

impl Outgoing {
    /// The JSON text.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The same request without a parameter that the backend has just refused; `None` when
    /// it has no such parameter.
    pub fn without(&self, parameter: &str) -> Option<Self> {
        fields::without(&self.body, parameter).map(|body| Self { body: body.into() })
    }

    /// The same request for another model.
    pub fn with_model(&self, model: &str) -> Option<Self> {
        let object = json::Object::parse(&self.body).ok()?;
        let mut writer = json::Writer::new(self.body.len());
        for (name, value) in object.iter() {
            if name == "model" { writer.string(name, model) } else { writer.raw(name, value.get()) }
        }
        Some(Self { body: writer.finish().into() })
    }
}

impl Draft<'_> {
    /// Fills in what Codex demands and nothing else.
    pub fn prepare(&self, settled: Settled<'_>) -> Outgoing {
        let size: usize = self.items.iter().map(|item| item.json.len() + 1).sum::<usize>()
            + self.tools.list.iter().map(|tool| tool.json.len() + 1).sum::<usize>()
            + self.instructions.iter().map(|text| text.len() + 4).sum::<usize>()
            + settled.remembered.map_or(0, str::len)
            + settled.fallback.len();
        let mut writer = json::Writer::new(size + 2048);
        let mut written = Vec::with_capacity(Slot::ALL.len());
        for field in &self.fields {
            match field {
                Field::Raw(name, value) => writer.raw(name, value),
                Field::Slot(slot) if written.contains(slot) => {}
                Field::Slot(slot) => {
                    written.push(*slot);
                    self.write(*slot, &mut writer, settled);
                }
            }
        }
        for slot in Slot::ALL {
            if !written.contains(&slot) {
                self.write(slot, &mut writer, settled);
            }
        }
        Outgoing { body: writer.finish().into() }
    }

    fn write(&self, slot: Slot, writer: &mut json::Writer, settled: Settled<'_>) {
        match slot {
            Slot::Model => writer.string("model", settled.model),
            Slot::Instructions => self.write_instructions(writer, settled),
            Slot::Input => self.write_input(writer.field("input")),
            Slot::Tools if self.has_tools => {
                write_list(
                    writer.field("tools"),
                    self.tools.offered().map(|tool| tool.json.as_ref()),
                );
            }
            Slot::Tools => {}
            Slot::ToolChoice => {
                if let Some(choice) = self.choice() {
                    writer.raw("tool_choice", choice);
                }
            }
            Slot::ParallelToolCalls => match self.tools.parallel {
                Some(parallel) => {
                    writer.raw("parallel_tool_calls", if parallel { "true" } else { "false" });
                }
                None if self.dialect == Dialect::Standard => {
                    writer.raw("parallel_tool_calls", "true");
                }
                None => {}
            },
            Slot::Reasoning => self.write_reasoning(writer, settled),
            Slot::Include => {
                let missing = !self.include.iter().any(|it| it == ENCRYPTED_REASONING);
                let all = self
                    .include
                    .iter()
                    .map(Cow::as_ref)
                    .chain(missing.then_some(ENCRYPTED_REASONING));
                write_list(writer.field("include"), all);
            }
            Slot::PromptCacheKey => writer.string("prompt_cache_key", settled.cache_key),
            Slot::Store => writer.raw("store", "false"),
            Slot::Stream => writer.raw("stream", "true"),
        }
    }

    /// A choice among no tools says nothing; the Codex CLI's tools may stand in its input.
    fn choice(&self) -> Option<&str> {
        let choice = self.tools.choice.as_deref()?;
        (self.dialect == Dialect::Codex || !self.tools.list.is_empty()).then_some(choice)
    }

    fn write_instructions(&self, writer: &mut json::Writer, settled: Settled<'_>) {
        let prompted = self.dialect == Dialect::Codex && self.has_developer_message();
        let all = self.all_instructions(settled.remembered.filter(|_| !prompted));
        let text = match all.as_deref() {
            Some(all) => all,
            None if prompted => return,
            None => settled.fallback,
        };
        let out = writer.field("instructions");
        out.push('"');
        out.push_str(text);
        out.push('"');
    }

    fn write_input(&self, out: &mut String) {
        let hint =
            (self.json_object && !self.items.iter().any(speaks_of_json)).then_some(JSON_HINT);
        write_list(out, self.items.iter().map(|item| item.json.as_ref()).chain(hint));
    }

    fn write_reasoning(&self, writer: &mut json::Writer, settled: Settled<'_>) {
        let effort = self.reasoning.effort.as_deref().or(settled.effort).map(fields::effort);
        let mut chosen = [("effort", effort), ("summary", self.reasoning.summary.as_deref())];
        let mut inner = json::Writer::new(128);
        let mut any = false;
        for (name, value) in
            self.reasoning.object.iter().filter(|(name, _)| *name != "generate_summary")
        {
            match chosen.iter_mut().find(|(slot, _)| *slot == name) {
                None => inner.raw(name, value.get()),
                Some((_, choice)) => match choice.take() {
                    Some(choice) => inner.string(name, choice),
                    None => continue,
                },
            }
            any = true;
        }
        for (name, choice) in chosen.iter().filter_map(|(name, choice)| Some((name, (*choice)?))) {
            inner.string(name, choice);
            any = true;
        }
        if any {
            writer.raw("reasoning", &inner.finish_text());
        }
    }
}

fn write_list<'t>(out: &mut String, elements: impl Iterator<Item = &'t str>) {
    out.push('[');
    for (index, element) in elements.enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(element);
    }
    out.push(']');
}

fn speaks_of_json(item: &Item<'_>) -> bool {
    let message = matches!(item.kind, Kind::User | Kind::Developer | Kind::Assistant);
    message
        && ["json", "JSON", "Json"]
            .iter()
            .any(|word| memmem::find(item.json.as_bytes(), word.as_bytes()).is_some())
}
