//! A Responses event stream becomes a Chat Completions chunk stream. Pieces of text and of
//! arguments are moved as they are written, escapes and all, between a prepared head and tail.

use crate::codex::names::ToolNames;
use crate::json::{self, Object, Raw};
use crate::responses::delta::Deltas;
use crate::responses::event::{Done, Event, ItemEvent, Kind};
use crate::responses::response;
use crate::translate::completion_from_responses::{
    completion_id, created, finish_reason, usage_json,
};
use crate::translate::responses_from_chat::CallStyle;
use crate::translate::stop::Stop;
use crate::usage::Usage;

/// How reasoning shows in chat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReasoningMode {
    /// As `reasoning_content`, the field most clients read.
    #[default]
    Content,
    /// As text between `<think>` and `</think>`.
    Think,
    /// Not at all.
    Off,
}

/// What a client asked for that shows in its chunks.
#[derive(Clone, Default)]
pub struct Look {
    /// The model as the client named it.
    pub model: String,
    /// `stream_options.include_usage`.
    pub include_usage: bool,
    /// How reasoning shows.
    pub reasoning: ReasoningMode,
    /// How calls show.
    pub style: CallStyle,
    /// Tools that were sent under other names.
    pub tool_names: ToolNames,
    /// Sequences that end the text.
    pub stop: Vec<String>,
    /// The id of the completion if the stream never names its response.
    pub fallback_id: String,
    /// Seconds of Unix time, for the same case.
    pub now: u64,
}

shape!(Look, it => "Look({:?}, {:?}, {} stops)", it.style, it.tool_names, it.stop.len());

/// What the client knows of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing.
    Before,
    /// That it has begun.
    Open,
    /// Why it ended, though perhaps the backend has not said so yet.
    Finished,
}

/// Translates one stream.
pub struct ChatStream {
    look: Look,
    /// Everything in front of a delta.
    head: Vec<u8>,
    phase: Phase,
    thinking: bool,
    /// Reasoning was shown, so that a further part wants a distance.
    reasoned: bool,
    calls: Vec<Call>,
    /// Named calls in the order in which they were named: the client's numbers.
    order: Vec<usize>,
    /// How many of them the client has whole. Only the next one is being told: the SDKs take
    /// a change of the number for the end of a call.
    told: usize,
    /// Items whose text has been sent, by index in the output.
    texts: Vec<u64>,
    stop: Option<Stop>,
    deltas: Deltas,
    /// How much the model has said, in bytes.
    heard: usize,
}

shape!(ChatStream, it => "ChatStream({:?}, {} calls)", it.phase, it.calls.len());

#[derive(Default)]
struct Call {
    output_index: u64,
    item_id: String,
    /// What the client must know of it; `None` until the stream has named it.
    named: Option<Named>,
    /// What is known of the argument, with the escapes of a JSON string, and how much of it
    /// the client has.
    argument: String,
    sent: usize,
    /// Nothing more comes.
    done: bool,
}

impl Call {
    /// Its `call_id`, once the stream has named it.
    fn id(&self) -> Option<&str> {
        self.named.as_ref().map(|named| named.id.as_str())
    }
}

struct Named {
    /// The `call_id`.
    id: String,
    name: String,
    custom: bool,
    /// The client has it.
    announced: bool,
}

impl ChatStream {
    /// A translator for one client.
    pub fn new(look: Look) -> Self {
        let stop = Stop::of(&look.stop);
        Self {
            look,
            stop,
            deltas: Deltas::default(),
            heard: 0,
            head: Vec::new(),
            phase: Phase::Before,
            thinking: false,
            reasoned: false,
            calls: Vec::new(),
            order: Vec::new(),
            told: 0,
            texts: Vec::new(),
        }
    }

    /// What the client asked for.
    pub fn look(&self) -> &Look {
        &self.look
    }

    /// Whether the client has all it will get but for the end of the stream: a stop sequence was
    /// reached, and what the backend still says is of no interest.
    pub fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// How much the model has said, in bytes. Counted only where a stop sequence may end it.
    pub fn heard(&self) -> usize {
        self.heard
    }

    /// Takes one event and appends what the client must see next, each chunk a whole event of
    /// its own stream. The end of the stream includes `[DONE]`; failures are not translated
    /// here: see [`ChatStream::fail`].
    pub fn push(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if self.is_finished() && !event.kind.is_terminal() {
            return;
        }
        match event.kind {
            Kind::Created | Kind::InProgress => {
                let response = event.response();
                self.open(response, out);
            }
            Kind::TextDelta => {
                if let Some(delta) = self.deltas.read(event) {
                    self.text(delta.output_index, delta.delta.get(), out);
                }
            }
            Kind::RefusalDelta => {
                if let Some(delta) = self.deltas.read(event) {
                    self.refusal(delta.output_index, delta.delta.get(), out);
                }
            }
            Kind::ReasoningDelta => {
                if let Some(delta) = self.deltas.read(event) {
                    self.reasoning(delta.delta.get(), out);
                }
            }
            Kind::SummaryPartAdded if self.reasoned => self.reasoning("\"\\n\\n\"", out),
            Kind::ItemAdded | Kind::ItemDone => {
                if let Some(told) = event.item() {
                    self.item(told, event.kind == Kind::ItemDone, out);
                }
            }
            Kind::ArgumentsDelta => {
                if let Some(delta) = self.deltas.read(event) {
                    let at = self.call(&delta.item_id, None, delta.output_index);
                    if let Some(call) = self.calls.get_mut(at).filter(|call| !call.done) {
                        call.argument.push_str(delta.delta.escaped().unwrap_or_default());
                    }
                    self.tell(out);
                }
            }
            Kind::ArgumentsDone => {
                if let Some(done) = Done::of(event) {
                    let at = self.call(&done.item_id, None, done.output_index);
                    let whole = done.arguments.or(done.input).and_then(Raw::escaped);
                    self.settle(at, whole.unwrap_or_default());
                    self.tell(out);
                }
            }
            Kind::Completed | Kind::Incomplete => self.close(event, out),
            Kind::SummaryPartAdded
            | Kind::TextDone
            | Kind::RefusalDone
            | Kind::Failed
            | Kind::Error
            | Kind::Codex
            | Kind::Idle
            | Kind::Other
            | Kind::Unknown => {}
        }
    }

    /// Ends a stream with an error object, as the SDKs expect it.
    pub fn fail(error: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: {\"error\":");
        out.extend_from_slice(error.as_bytes());
        out.extend_from_slice(b"}\n\ndata: [DONE]\n\n");
    }

    /// The first chunk names the role; its head is that of all others.
    fn open(&mut self, response: Option<&Object<'_>>, out: &mut Vec<u8>) {
        if self.phase != Phase::Before {
            return;
        }
        self.phase = Phase::Open;
        let id = response
            .and_then(|it| it.string("id"))
            .map_or_else(|| self.look.fallback_id.clone(), |id| completion_id(&id));
        let created = response.and_then(created).unwrap_or(self.look.now);
        let (id, model) = (json::quote(&id), json::quote(&self.look.model));
        self.head = format!(
            "data: {{\"id\":{id},\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":{model},\"choices\":["
        )
        .into_bytes();
        self.chunk("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "", "", out);
    }

    /// One chunk with a delta in three pieces.
    fn chunk(&mut self, before: &str, piece: &str, after: &str, out: &mut Vec<u8>) {
        if self.phase == Phase::Before {
            self.open(None, out);
        }
        self.write(before, piece, after, "null", out);
    }

    fn write(&self, before: &str, piece: &str, after: &str, finish: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"{\"index\":0,\"delta\":");
        for text in [before, piece, after, ",\"logprobs\":null,\"finish_reason\":", finish, "}]"] {
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(if self.look.include_usage {
            b",\"usage\":null}\n\n"
        } else {
            b"}\n\n"
        });
    }

    fn text(&mut self, index: u64, raw: &str, out: &mut Vec<u8>) {
        let Some(stop) = &mut self.stop else {
            return self.say(index, "{\"content\":", raw, out);
        };
        let escaped = raw.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or_default();
        self.heard += escaped.len();
        let (shown, reached) = (stop.push(escaped), stop.is_reached());
        if shown.is_empty() {
            self.note_text(index);
        } else {
            self.say(index, "{\"content\":", &format!("\"{shown}\""), out);
        }
        // Calls that were told already are told to their end.
        if reached && self.order.is_empty() && !self.is_finished() {
            self.stop_thinking(out);
            self.finish("stop", out);
        }
    }

    /// What was held back because it might have become a stop sequence.
    fn release(&mut self, out: &mut Vec<u8>) {
        let rest = self.stop.as_mut().map(Stop::rest).unwrap_or_default();
        if !rest.is_empty() {
            self.stop_thinking(out);
            self.chunk("{\"content\":\"", &rest, "\"}", out);
        }
    }

    fn refusal(&mut self, index: u64, raw: &str, out: &mut Vec<u8>) {
        self.say(index, "{\"refusal\":", raw, out);
    }

    fn say(&mut self, index: u64, before: &str, raw: &str, out: &mut Vec<u8>) {
        self.stop_thinking(out);
        self.note_text(index);
        self.chunk(before, raw, "}", out);
    }

    fn note_text(&mut self, index: u64) {
        if self.texts.last() != Some(&index) {
            self.texts.push(index);
        }
    }

    fn reasoning(&mut self, raw: &str, out: &mut Vec<u8>) {
        self.reasoned = true;
        self.heard += raw.len();
        match self.look.reasoning {
            ReasoningMode::Off => {}
            ReasoningMode::Content => self.chunk("{\"reasoning_content\":", raw, "}", out),
            ReasoningMode::Think => {
                if !self.thinking {
                    self.chunk("{\"content\":", "\"<think>\"", "}", out);
                    self.thinking = true;
                }
                self.chunk("{\"content\":", raw, "}", out);
            }
        }
    }

    fn stop_thinking(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.thinking) {
            self.write("{\"content\":", "\"</think>\\n\\n\"", "}", "null", out);
        }
    }

    fn item(&mut self, told: &ItemEvent<'_>, done: bool, out: &mut Vec<u8>) {
        let (Some(head), index) = (&told.head, told.output_index) else { return };
        if let Some(custom) = head.custom_call() {
            let id = head.call_id.clone().unwrap_or_default();
            let at = self.call(head.id.as_deref().unwrap_or_default(), Some(&id), index);
            self.name(at, &id, head.name.as_deref().unwrap_or_default(), custom);
            if done {
                self.settle(at, head.argument().unwrap_or_default());
            }
            self.tell(out);
        } else if done && head.kind == "message" && !self.texts.contains(&index) {
            self.whole_message(index, told.item, out);
        }
    }

    /// A message whose pieces never came.
    fn whole_message(&mut self, index: u64, item: Raw<'_>, out: &mut Vec<u8>) {
        let Some(parts) = Object::of(item).and_then(|it| it.some("content")).and_then(Raw::list)
        else {
            return;
        };
        for part in parts.into_iter().filter_map(Object::of) {
            if let Some(text) =
                part.get("text").filter(|it| it.escaped().is_some_and(|it| !it.is_empty()))
            {
                self.text(index, text.get(), out);
            } else if let Some(refusal) = part.get("refusal") {
                self.refusal(index, refusal.get(), out);
            }
        }
    }

    /// The call an event speaks of: by its item's id, by its own `id`, else by its place in the
    /// output, unless that is another's because places are not told.
    fn call(&mut self, item_id: &str, id: Option<&str>, output_index: u64) -> usize {
        let by_item = |call: &Call| !item_id.is_empty() && call.item_id == item_id;
        let by_id = |call: &Call| id.is_some() && call.id() == id;
        let here = |call: &Call| {
            call.output_index == output_index && (id.is_none() || call.id().is_none())
        };
        let calls = || self.calls.iter();
        let found = calls().position(by_item).or_else(|| calls().position(by_id));
        if let Some(at) = found.or_else(|| calls().position(here)) {
            return at;
        }
        self.calls.push(Call { output_index, item_id: item_id.to_owned(), ..Call::default() });
        self.calls.len() - 1
    }

    /// Names a call, unless its id is known already: a call is told once.
    fn name(&mut self, at: usize, id: &str, name: &str, custom: bool) {
        let known = |call: &Call| call.named.as_ref().is_some_and(|named| named.id == id);
        if self.calls.iter().any(known) {
            return;
        }
        let Some(call) = self.calls.get_mut(at).filter(|call| call.named.is_none()) else { return };
        let name = self.look.tool_names.own(name).unwrap_or(name).to_owned();
        call.named = Some(Named { id: id.to_owned(), name, custom, announced: false });
        self.order.push(at);
    }

    /// The whole argument is known.
    fn settle(&mut self, at: usize, whole: &str) {
        let Some(call) = self.calls.get_mut(at) else { return };
        if whole.starts_with(call.argument.as_str()) {
            whole.clone_into(&mut call.argument);
        }
        call.done = true;
    }

    /// Tells the client what it may know by now, one call after the other.
    fn tell(&mut self, out: &mut Vec<u8>) {
        while let Some(call) = self.order.get(self.told).and_then(|at| self.calls.get_mut(*at)) {
            let (index, done) = (self.told, call.done);
            let Some(named) = &mut call.named else { return };
            let custom = named.custom;
            let opening = (!std::mem::replace(&mut named.announced, true))
                .then(|| (json::quote(&named.id), json::quote(&named.name)));
            let fresh = call.argument.get(call.sent..).unwrap_or_default().to_owned();
            call.sent = call.argument.len();
            if let Some((id, name)) = opening {
                self.release(out);
                self.stop_thinking(out);
                self.announce(index, &id, &name, custom, out);
            }
            if !fresh.is_empty() {
                self.argument(index, &fresh, custom, out);
            }
            if !done {
                return;
            }
            self.told += 1;
        }
    }

    fn announce(&mut self, index: usize, id: &str, name: &str, custom: bool, out: &mut Vec<u8>) {
        let text = match (self.look.style, custom) {
            (CallStyle::Function, _) if index > 0 => return,
            (CallStyle::Function, _) => {
                format!("{{\"function_call\":{{\"name\":{name},\"arguments\":\"\"}}}}")
            }
            (CallStyle::Tools, true) => format!(
                "{{\"tool_calls\":[{{\"index\":{index},\"id\":{id},\"type\":\"custom\",\
                 \"custom\":{{\"name\":{name},\"input\":\"\"}}}}]}}"
            ),
            (CallStyle::Tools, false) => format!(
                "{{\"tool_calls\":[{{\"index\":{index},\"id\":{id},\"type\":\"function\",\
                 \"function\":{{\"name\":{name},\"arguments\":\"\"}}}}]}}"
            ),
        };
        self.chunk(&text, "", "", out);
    }

    fn argument(&mut self, index: usize, piece: &str, custom: bool, out: &mut Vec<u8>) {
        let (before, after) = match (self.look.style, custom) {
            (CallStyle::Function, _) if index > 0 => return,
            (CallStyle::Function, _) => ("{\"function_call\":{\"arguments\":\"".to_owned(), "\"}}"),
            (CallStyle::Tools, true) => (
                format!("{{\"tool_calls\":[{{\"index\":{index},\"custom\":{{\"input\":\""),
                "\"}}]}",
            ),
            (CallStyle::Tools, false) => (
                format!("{{\"tool_calls\":[{{\"index\":{index},\"function\":{{\"arguments\":\""),
                "\"}}]}",
            ),
        };
        self.chunk(&before, piece, after, out);
    }

    fn close(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let response = event.response();
        self.open(response, out);
        let nothing_said = self.texts.is_empty() && self.order.is_empty();
        let output = response
            .as_ref()
            .and_then(|it| it.some("output"))
            .and_then(Raw::list)
            .unwrap_or_default();
        for (index, item) in (0..).zip(output).filter(|_| nothing_said) {
            self.item(&ItemEvent::new(index, item), true, out);
        }
        if !self.is_finished() {
            self.calls.iter_mut().for_each(|call| call.done = true);
            self.release(out);
            self.tell(out);
            self.stop_thinking(out);
            let called = !self.order.is_empty();
            let reason = finish_reason(event.kind, response, called, self.look.style);
            self.finish(reason, out);
        }
        self.end(response.and_then(response::usage).as_ref(), out);
    }

    fn finish(&mut self, reason: &str, out: &mut Vec<u8>) {
        self.open(None, out);
        self.phase = Phase::Finished;
        self.write("{}", "", "", &format!("\"{reason}\""), out);
    }

    /// The end of the stream, after its last choice.
    pub fn end(&mut self, usage: Option<&Usage>, out: &mut Vec<u8>) {
        if self.look.include_usage {
            let usage = usage.map_or_else(|| "null".to_owned(), usage_json);
            out.extend_from_slice(&self.head);
            out.extend_from_slice(format!("],\"usage\":{usage}}}\n\n").as_bytes());
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

#[cfg(test)]
mod tests;
