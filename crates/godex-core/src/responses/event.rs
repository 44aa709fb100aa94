//! Events of the backend's stream: which one a frame is, and the few fields that anybody
//! reads of it. Everything else of an event stays text. Source: `docs/wire.md#stream`.

use std::borrow::Cow;
use std::cell::OnceCell;

use serde::Deserialize;

use crate::json::{Object, Raw};
use crate::sse::Frame;

/// Which event a frame is, as far as anybody here asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `response.created`.
    Created,
    /// `response.in_progress` and `response.queued`.
    InProgress,
    /// `response.completed`.
    Completed,
    /// `response.incomplete`.
    Incomplete,
    /// `response.failed`.
    Failed,
    /// `error`.
    Error,
    /// `response.output_item.added`.
    ItemAdded,
    /// `response.output_item.done`.
    ItemDone,
    /// `response.output_text.delta`.
    TextDelta,
    /// `response.output_text.done`.
    TextDone,
    /// `response.refusal.delta`.
    RefusalDelta,
    /// `response.refusal.done`.
    RefusalDone,
    /// `response.function_call_arguments.delta` and `response.custom_tool_call_input.delta`.
    ArgumentsDelta,
    /// `response.function_call_arguments.done` and `response.custom_tool_call_input.done`.
    ArgumentsDone,
    /// `response.reasoning_summary_part.added`.
    SummaryPartAdded,
    /// `response.reasoning_summary_text.delta` and `response.reasoning_text.delta`.
    ReasoningDelta,
    /// The backend's own news: `codex.*`.
    Codex,
    /// Signs of life that carry nothing.
    Idle,
    /// Any other event of the public API.
    Other,
    /// An event that the public API does not have, as far as is known today.
    Unknown,
}

impl Kind {
    /// The kind of an event by its type.
    pub fn of(name: &str) -> Self {
        match name {
            "response.output_text.delta" => Self::TextDelta,
            "response.created" => Self::Created,
            "response.in_progress" | "response.queued" => Self::InProgress,
            "response.completed" | "response.done" => Self::Completed,
            "response.incomplete" => Self::Incomplete,
            "response.failed" => Self::Failed,
            "error" => Self::Error,
            "response.output_item.added" => Self::ItemAdded,
            "response.output_item.done" => Self::ItemDone,
            "response.output_text.done" => Self::TextDone,
            "response.refusal.delta" => Self::RefusalDelta,
            "response.refusal.done" => Self::RefusalDone,
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                Self::ArgumentsDelta
            }
            "response.function_call_arguments.done" | "response.custom_tool_call_input.done" => {
                Self::ArgumentsDone
            }
            "response.reasoning_summary_part.added" => Self::SummaryPartAdded,
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                Self::ReasoningDelta
            }
            "keepalive" | "response.metadata" | "responsesapi.websocket_timing" => Self::Idle,
            name if name.starts_with("codex.") => Self::Codex,
            name if is_of_the_public_api(name) => Self::Other,
            _ => Self::Unknown,
        }
    }

    /// Whether nothing comes after it.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Incomplete | Self::Failed | Self::Error)
    }

    /// Whether the model has not begun to answer yet: an error may still follow that is best
    /// told by the status of the answer.
    pub fn is_handshake(self) -> bool {
        matches!(self, Self::Created | Self::InProgress | Self::Codex | Self::Idle | Self::Unknown)
    }

    /// Whether clients of the public API know the event: openai-node's `stream()` throws at
    /// any other.
    pub fn is_public(self) -> bool {
        !matches!(self, Self::Codex | Self::Idle | Self::Unknown)
    }
}

/// The name of most events of most streams.
const MOST: &str = "response.output_text.delta";

/// How far into an event the id of its response is looked for, in bytes.
const BEGINNING: usize = 128;

/// The events of the public API that need no kind of their own, by family. Source: OpenAI's API
/// reference (streaming events of responses), 2026-11.
fn is_of_the_public_api(name: &str) -> bool {
    const FAMILIES: &[(&str, &[&str])] = &[
        ("response.content_part.", &["added", "done"]),
        ("response.output_text.", &["annotation.added"]),
        ("response.reasoning_summary_part.", &["done"]),
        ("response.reasoning_summary_text.", &["done"]),
        ("response.reasoning_text.", &["done"]),
        ("response.web_search_call.", &["in_progress", "searching", "completed"]),
        ("response.file_search_call.", &["in_progress", "searching", "completed"]),
        ("response.code_interpreter_call.", &["in_progress", "interpreting", "completed"]),
        ("response.code_interpreter_call_code.", &["delta", "done"]),
        (
            "response.image_generation_call.",
            &["in_progress", "generating", "partial_image", "completed"],
        ),
        ("response.mcp_call.", &["in_progress", "completed", "failed"]),
        ("response.mcp_call_arguments.", &["delta", "done"]),
        ("response.mcp_list_tools.", &["in_progress", "completed", "failed"]),
        ("response.audio.", &["delta", "done", "transcript.delta", "transcript.done"]),
    ];
    let member = |(family, members): &(&str, &[&str])| {
        name.strip_prefix(family).is_some_and(|member| members.contains(&member))
    };
    FAMILIES.iter().any(member)
}

/// One event: its kind and its JSON text.
#[derive(Clone)]
pub struct Event<'a> {
    /// Which event.
    pub kind: Kind,
    /// Its JSON text.
    pub text: &'a str,
    /// The text taken apart, and the response in it: several look at these large ones.
    envelope: OnceCell<Option<Envelope<'a>>>,
    /// The item that it is about: two look at it.
    item: OnceCell<Option<Box<ItemEvent<'a>>>>,
}

shape!(Event<'_>, it => "Event({:?}, {} bytes)", it.kind, it.text.len());

/// An event that carries a response.
#[derive(Debug, Clone)]
pub struct Envelope<'a> {
    /// The event.
    pub event: Object<'a>,
    /// Its `response`.
    pub response: Object<'a>,
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

impl<'a> Event<'a> {
    /// The event of a frame; `None` when the frame holds no event, which is then skipped.
    pub fn of(frame: &'a Frame) -> Option<Self> {
        let text = simdutf8::basic::from_utf8(frame.data()).ok()?;
        if !text.starts_with('{') {
            return None;
        }
        if frame.is_named(MOST) {
            return Some(Self::new(Kind::TextDelta, text));
        }
        let kind = match frame.event() {
            "" => Kind::of(&serde_json::from_str::<Typed<'_>>(text).ok()?.kind),
            name => Kind::of(name),
        };
        Some(Self::new(kind, text))
    }

    /// An event of this kind and text.
    pub fn new(kind: Kind, text: &'a str) -> Self {
        Self { kind, text, envelope: OnceCell::new(), item: OnceCell::new() }
    }

    /// The event and the response that it carries; `None` when it carries none or is broken.
    pub fn envelope(&self) -> Option<&Envelope<'a>> {
        let read = || {
            let (event, response) = Object::with_member(self.text, "response")?;
            Some(Envelope { event, response })
        };
        self.envelope.get_or_init(read).as_ref()
    }

    /// The response that the event carries; `None` when it carries none or is broken.
    pub fn response(&self) -> Option<&Object<'a>> {
        self.envelope().map(|envelope| &envelope.response)
    }

    /// The item that the event is about; `None` when it is about none or is broken.
    pub fn item(&self) -> Option<&ItemEvent<'a>> {
        self.item.get_or_init(|| ItemEvent::of(self.text).map(Box::new)).as_deref()
    }

    /// The id of the response that the event carries. The backend writes it first, where it is
    /// found without reading the rest.
    pub fn response_id(&self) -> Option<Cow<'a, str>> {
        const FIRST: &str = r#""response":{"id":"#;
        let start = self.text.get(..BEGINNING).unwrap_or(self.text).find(FIRST);
        let first = start.and_then(|at| Raw::string_at(self.text, at + FIRST.len()));
        first.and_then(Raw::string).or_else(|| self.response()?.string("id"))
    }

    /// Whether the text is all there: the last event of a stream that was cut may not be.
    pub fn is_whole(&self) -> bool {
        Raw::parse(self.text).is_ok()
    }

    /// The fields of the event's text that a reader asks for; `None` when it is broken.
    pub fn read<T: Deserialize<'a>>(&self) -> Option<T> {
        serde_json::from_str(self.text).ok()
    }

    /// The place of the event in its stream, if it says so.
    pub fn sequence_number(&self) -> Option<u64> {
        if let Some(Some(envelope)) = self.envelope.get() {
            return envelope.event.get("sequence_number")?.get().parse().ok();
        }
        let (start, end) = sequence_number_at(self.text)?;
        self.text.get(start..end)?.parse().ok()
    }
}

/// The same event under another sequence number.
pub fn renumbered(text: &str, number: u64) -> Option<String> {
    let (start, end) = sequence_number_at(text)?;
    Some(format!("{}{number}{}", text.get(..start)?, text.get(end..)?))
}

/// Where the digits of the event's own sequence number stand, and not of anything inside it.
fn sequence_number_at(text: &str) -> Option<(usize, usize)> {
    let number = Object::of_text(text)?.get("sequence_number")?.get();
    let start = number.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some((start, start + number.len()))
}

/// `response.output_item.added` and `.done`.
#[derive(Debug, Clone)]
pub struct ItemEvent<'a> {
    /// The place of the item in the output.
    pub output_index: u64,
    /// The item.
    pub item: Raw<'a>,
    /// What is read of it; `None` when it is no item.
    pub head: Option<ItemHead<'a>>,
}

impl<'a> ItemEvent<'a> {
    /// An item at a place of the output.
    pub fn new(output_index: u64, item: Raw<'a>) -> Self {
        Self { output_index, item, head: ItemHead::of(item) }
    }

    fn of(text: &'a str) -> Option<Self> {
        let Some((event, item)) = Object::with_member(text, "item") else {
            let event = Object::of_text(text)?;
            return Some(Self {
                output_index: index_of(&event)?,
                item: event.get("item")?,
                head: None,
            });
        };
        let head = ItemHead::of_object(&item);
        Some(Self { output_index: index_of(&event)?, item: event.get("item")?, head })
    }
}

/// The place in the output that an event names.
fn index_of(event: &Object<'_>) -> Option<u64> {
    event.get("output_index").map_or(Some(0), |index| index.get().parse().ok())
}

/// The end of a text, of arguments or of an input.
pub struct Done<'a> {
    /// The place of the item in the output.
    pub output_index: u64,
    /// The item.
    pub item_id: Cow<'a, str>,
    /// The whole arguments of a function call, as JSON.
    pub arguments: Option<Raw<'a>>,
    /// The whole input of a custom tool call, as JSON.
    pub input: Option<Raw<'a>>,
    /// The whole text, as JSON.
    pub text: Option<Raw<'a>>,
    /// The whole refusal, as JSON.
    pub refusal: Option<Raw<'a>>,
}

shape!(Done<'_>, it => "Done({:?}, {:?}, {:?}, {:?})", it.arguments, it.input, it.text, it.refusal);

impl<'a> Done<'a> {
    /// Reads the event.
    pub fn of(event: &Event<'a>) -> Option<Self> {
        let object = Object::of_text(event.text)?;
        Some(Self {
            output_index: index_of(&object)?,
            item_id: object.get("item_id").map_or(Some("".into()), Raw::string)?,
            arguments: object.some("arguments"),
            input: object.some("input"),
            text: object.some("text"),
            refusal: object.some("refusal"),
        })
    }
}

/// The item of an item event, as far as anybody reads it.
#[derive(Clone)]
pub struct ItemHead<'a> {
    /// `message`, `function_call`, ...
    pub kind: Cow<'a, str>,
    /// The item's id.
    pub id: Option<Cow<'a, str>>,
    /// The call's id.
    pub call_id: Option<Cow<'a, str>>,
    /// The name of the function or tool.
    pub name: Option<Cow<'a, str>>,
    /// The arguments of a function call, as JSON.
    pub arguments: Option<Raw<'a>>,
    /// The input of a custom tool call, as JSON.
    pub input: Option<Raw<'a>>,
}

shape!(ItemHead<'_>, it => "ItemHead({:?}, {:?})", it.arguments, it.input);

impl<'a> ItemHead<'a> {
    /// Reads an item.
    pub fn of(item: Raw<'a>) -> Option<Self> {
        Self::of_object(&Object::of(item)?)
    }

    /// Reads an item that is a whole text.
    pub fn of_text(item: &'a str) -> Option<Self> {
        Self::of_object(&Object::of_text(item)?)
    }

    fn of_object(item: &Object<'a>) -> Option<Self> {
        let text = |name| item.some(name).map(Raw::string);
        let whole = |text: Option<Option<Cow<'a, str>>>| text.map_or(Some(None), |it| it.map(Some));
        Some(Self {
            kind: item.string("type")?,
            id: whole(text("id"))?,
            call_id: whole(text("call_id"))?,
            name: whole(text("name"))?,
            arguments: item.some("arguments"),
            input: item.some("input"),
        })
    }

    /// Whether it is a call that wants an output: `Some(true)` for a custom one.
    pub fn custom_call(&self) -> Option<bool> {
        match self.kind.as_ref() {
            "function_call" => Some(false),
            "custom_tool_call" => Some(true),
            _ => None,
        }
    }

    /// What the call is made with, escaped as written; placeholders count as nothing.
    pub fn argument(&self) -> Option<&'a str> {
        let value = self.arguments.or(self.input)?;
        value.escaped().filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_an_event_with_or_without_its_name() {
        let named = Frame::new("response.completed", b"{\"type\":\"response.completed\"}");
        assert_eq!(Event::of(&named).unwrap().kind, Kind::Completed);
        let bare = Frame::new("", b"{\"x\":1,\"type\":\"error\"}");
        assert_eq!(Event::of(&bare).unwrap().kind, Kind::Error);
        for junk in [&b"[DONE]"[..], b"", b"\xff", b"{\"x\":1}"] {
            assert!(Event::of(&Frame::new("", junk)).is_none());
        }
    }

    #[test]
    fn the_id_of_a_response_is_found_wherever_it_stands() {
        let id = |text: &str| Event::new(Kind::Created, text).response_id().map(Cow::into_owned);
        let long = format!(
            r#"{{"pad":"{}","response":{{"x":[{{"id":"no"}}],"id":"r"}}}}"#,
            "p".repeat(200)
        );
        for text in [
            r#"{"type":"t","sequence_number":0,"response":{"id":"r","x":1}}"#,
            r#"{"type":"t","response":{"object":"response", "id" : "r"}}"#,
            r#"{"x":"\"response\":{\"id\":\"no\"","response":{"id":"r"}}"#,
            long.as_str(),
        ] {
            assert_eq!(id(text).as_deref(), Some("r"), "{text}");
        }
        assert_eq!(id(r#"{"response":null}"#), None);
    }

    #[test]
    fn the_sequence_number_is_found_and_replaced_outside_of_strings_only() {
        let text = r#"{"type":"x","delta":"\"sequence_number\":7","sequence_number": 12,"z":1}"#;
        let event = Event::new(Kind::Other, text);
        assert_eq!(event.sequence_number(), Some(12));
        let expected = r#"{"type":"x","delta":"\"sequence_number\":7","sequence_number": 3,"z":1}"#;
        assert_eq!(renumbered(text, 3).as_deref(), Some(expected));
        assert_eq!(renumbered("{}", 3), None);
    }
}
