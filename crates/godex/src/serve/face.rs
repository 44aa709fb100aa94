//! The same answer for two kinds of clients: what each of them sees of an event, of a failure
//! and of silence.

use bytes::Bytes;
use godex_core::codex::draft::Dialect;
use godex_core::json::{self, Object, Writer};
use godex_core::responses::event::{self, Event, Kind};
use godex_core::responses::response::{self, Patches, Shown};
use godex_core::responses::restore;
use godex_core::sse::{self, Frame};
use godex_core::tap::Tap;
use godex_core::translate::chat_from_responses::{ChatStream, Look};
use godex_core::usage::Usage;

use super::error;
use crate::clock;

/// How long a value may be to be kept for the time of a stream, in bytes: thousands of them
/// may be open at once.
const LARGE: usize = 256;
/// A sign of life that every SSE reader skips.
const COMMENT: &[u8] = b": keep-alive\n\n";

/// What a client sees.
pub(super) enum Face {
    /// `/v1/responses`: the backend's own events.
    Responses(ResponsesFace),
    /// `/v1/chat/completions`.
    Chat(Box<ChatStream>),
}

/// What a client of `/v1/responses` sees.
pub(super) struct ResponsesFace {
    patches: Patches,
    dialect: Dialect,
    /// Events passed on so far: the sequence number of the next one.
    passed: u64,
    /// An event was left out or added, so that numbers have to be written anew.
    renumber: bool,
    /// The response's id if the stream never names it.
    fallback_id: String,
    /// The last response that an event showed, as the client saw it.
    snapshot: Option<String>,
    /// What the beginning has shown, until more than that has come.
    shown: Option<Shown>,
}

/// Bytes for the client: one frame as it came, or several written anew.
#[derive(Default)]
pub(super) struct Out {
    verbatim: Option<Bytes>,
    written: Vec<u8>,
    /// How much is about to be shown, in bytes.
    expected: usize,
}

impl Out {
    fn pass(&mut self, frame: &Bytes) {
        if self.verbatim.is_none() && self.written.is_empty() {
            self.verbatim = Some(frame.clone());
        } else {
            self.bytes().extend_from_slice(frame);
        }
    }

    /// That much is about to come of what is shown: room for it is made at once, when there must
    /// be any.
    pub(super) fn expect(&mut self, bytes: usize) {
        // What is written anew is somewhat longer, as a rule.
        self.expected = bytes + bytes / 4;
    }

    /// The buffer to write to.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        if self.written.is_empty() {
            self.written.reserve(self.expected);
        }
        if let Some(first) = self.verbatim.take() {
            self.written.extend_from_slice(&first);
        }
        &mut self.written
    }

    /// Everything so far.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        self.expected = 0;
        if let Some(frame) = self.verbatim.take() {
            return Some(frame);
        }
        (!self.written.is_empty()).then(|| std::mem::take(&mut self.written).into())
    }

    /// How much there is, in bytes.
    pub(super) fn len(&self) -> usize {
        self.verbatim.as_ref().map_or(self.written.len(), Bytes::len)
    }
}

impl Face {
    /// The face of `/v1/responses`.
    pub(super) fn responses(patches: Patches, dialect: Dialect, fallback_id: String) -> Self {
        Self::Responses(ResponsesFace {
            patches,
            dialect,
            passed: 0,
            renumber: false,
            fallback_id,
            snapshot: None,
            shown: None,
        })
    }

    /// The face of `/v1/chat/completions`.
    pub(super) fn chat(look: Look) -> Self {
        Self::Chat(Box::new(ChatStream::new(look)))
    }

    /// Whether the output of the answer is of interest to its stream.
    pub(super) fn needs_output(&self) -> bool {
        matches!(self, Self::Responses(_))
    }

    /// Shows one event that the tap has seen already. Failures are shown by [`Face::fail`].
    pub(super) fn show(&mut self, frame: &Frame, event: &Event<'_>, tap: &Tap, out: &mut Out) {
        match self {
            Self::Responses(face) => face.show(frame, event, tap, out),
            Self::Chat(stream) => stream.push(event, out.bytes()),
        }
    }

    /// Ends the stream with an error, in the one form that every SDK raises.
    pub(super) fn fail(&mut self, look: &error::Look, event: Option<&Event<'_>>, out: &mut Out) {
        match self {
            Self::Responses(face) => face.fail(look, event, out),
            Self::Chat(_) => ChatStream::fail(&look.json(), out.bytes()),
        }
    }

    /// Whether the client has all it will get but for the end of the answer, although the backend
    /// goes on.
    pub(super) fn is_finished(&self) -> bool {
        match self {
            Self::Responses(_) => false,
            Self::Chat(stream) => stream.is_finished(),
        }
    }

    /// What the model has said to a client that has all it will get, in bytes.
    pub(super) fn heard(&self) -> usize {
        match self {
            Self::Responses(_) => 0,
            Self::Chat(stream) => stream.heard(),
        }
    }

    /// Ends the stream of a client that has all it will get.
    pub(super) fn end(&mut self, usage: &Usage, out: &mut Out) {
        match self {
            Self::Responses(_) => {}
            Self::Chat(stream) => stream.end(Some(usage), out.bytes()),
        }
    }

    /// Listens to an answer that is gathered: it may be complete before the backend says so.
    pub(super) fn listen(&mut self, event: &Event<'_>) {
        if let Self::Chat(stream) = self
            && !stream.look().stop.is_empty()
        {
            stream.push(event, &mut Vec::new());
        }
    }

    /// A sign of life. Comments do not count for the Codex CLI: it gets the state again.
    pub(super) fn breathe(&mut self, tap: &Tap, out: &mut Out) {
        match self {
            Self::Responses(face) if face.dialect == Dialect::Codex && face.snapshot.is_some() => {
                face.repeat(tap, out);
            }
            Self::Responses(_) | Self::Chat(_) => out.bytes().extend_from_slice(COMMENT),
        }
    }
}

impl ResponsesFace {
    fn show(&mut self, frame: &Frame, event: &Event<'_>, tap: &Tap, out: &mut Out) {
        if self.dialect == Dialect::Standard && !event.kind.is_public() {
            self.renumber |= event.sequence_number().is_some();
            return;
        }
        let text = match event.kind {
            Kind::Completed | Kind::Incomplete => {
                let output = tap.output.json(unfinished(event.kind));
                self.patches.event(event, output.as_deref())
            }
            Kind::Created | Kind::InProgress => self.patches.beginning(event, &mut self.shown),
            Kind::ArgumentsDone if self.dialect == Dialect::Standard => {
                return self.arguments_done(frame, event, tap, out);
            }
            Kind::Failed
            | Kind::Error
            | Kind::ItemAdded
            | Kind::ItemDone
            | Kind::TextDelta
            | Kind::TextDone
            | Kind::RefusalDelta
            | Kind::RefusalDone
            | Kind::ArgumentsDelta
            | Kind::ArgumentsDone
            | Kind::SummaryPartAdded
            | Kind::ReasoningDelta
            | Kind::Codex
            | Kind::Idle
            | Kind::Other
            | Kind::Unknown => return self.relay(frame, event, out),
        };
        let Some(text) = text else { return self.relay(frame, event, out) };
        if event.kind == Kind::Created {
            self.passed = event.sequence_number().unwrap_or_default();
            let response = event.response();
            self.snapshot = response.map(|it| self.patches.apply_to_short(event.text, it, LARGE));
        }
        self.write(&name_of(frame, event), &text, out);
    }

    /// The end of a function call's arguments says whose they are, as the public API has it.
    fn arguments_done(&mut self, frame: &Frame, event: &Event<'_>, tap: &Tap, out: &mut Out) {
        match tap.output.named(event) {
            None => self.relay(frame, event, out),
            Some(named) => {
                let restored = restore::event(&named, &self.patches.tool_names);
                self.write(&name_of(frame, event), &restored.unwrap_or(named), out);
            }
        }
    }

    /// Passes an event on as it came, unless numbers have shifted or its framing is odd.
    fn relay(&mut self, frame: &Frame, event: &Event<'_>, out: &mut Out) {
        self.shown = None;
        if matches!(event.kind, Kind::ItemAdded | Kind::ItemDone | Kind::ArgumentsDone)
            && !self.patches.tool_names.is_empty()
            && let Some(text) = restore::event(event.text, &self.patches.tool_names)
        {
            return self.write(&name_of(frame, event), &text, out);
        }
        match frame.verbatim().filter(|_| !self.renumber) {
            Some(raw) => {
                out.pass(raw);
                if event.kind.is_public() || event.sequence_number().is_some() {
                    self.passed += 1;
                }
            }
            None => self.write(&name_of(frame, event), event.text, out),
        }
    }

    fn write(&mut self, name: &str, text: &str, out: &mut Out) {
        let renumbered = if self.renumber { event::renumbered(text, self.passed) } else { None };
        let text = renumbered.as_deref().unwrap_or(text);
        if Kind::of(name).is_public() {
            self.passed += 1;
        }
        sse::write(name, text, out.bytes());
    }

    fn repeat(&mut self, tap: &Tap, out: &mut Out) {
        let Some(snapshot) = &self.snapshot else { return };
        let output = tap.output.json("in_progress");
        let response = Object::of_text(snapshot)
            .map(|it| self.patches.apply(snapshot, &it, output.as_deref()));
        let mut writer = Writer::new(snapshot.len() + 128);
        writer.string("type", "response.in_progress");
        writer.raw("response", response.as_deref().unwrap_or(snapshot));
        writer.raw("sequence_number", &self.passed.to_string());
        let text = writer.finish_text();
        self.write("response.in_progress", &text, out);
        self.renumber = true;
    }

    /// The beginning of a stream that never began: readers want to know the response before
    /// they hear that it failed.
    fn greet(&mut self, out: &mut Out) {
        let mut bare = Writer::new(256);
        bare.string("id", &self.fallback_id);
        bare.string("object", "response");
        bare.raw("created_at", &clock::unix_seconds().to_string());
        bare.string("status", "in_progress");
        bare.string("model", "");
        let bare = bare.finish_text();
        let response =
            Object::of_text(&bare).map(|object| self.patches.apply(&bare, &object, None));
        let response = response.unwrap_or(bare);
        let mut writer = Writer::new(response.len() + 128);
        writer.string("type", "response.created");
        writer.raw("response", &response);
        writer.raw("sequence_number", &self.passed.to_string());
        let text = writer.finish_text();
        self.write("response.created", &text, out);
        self.snapshot = Some(response);
    }

    /// `response.failed` for those who look at the response, then `error`, which the SDKs
    /// raise; the object satisfies readers of the flat and of the nested form.
    fn fail(&mut self, look: &error::Look, event: Option<&Event<'_>>, out: &mut Out) {
        let code = look.code.as_deref().unwrap_or(look.kind);
        if self.snapshot.is_none() {
            self.greet(out);
        }
        let told = event
            .filter(|event| event.kind == Kind::Failed)
            .and_then(|event| self.patches.event(event, None));
        let failed = told.unwrap_or_else(|| {
            let mut writer = Writer::new(1024);
            writer.string("type", "response.failed");
            writer
                .raw("response", &response::failed(self.snapshot.as_deref(), code, &look.message));
            writer.raw("sequence_number", &self.passed.to_string());
            writer.finish_text()
        });
        self.write("response.failed", &failed, out);
        let param = look.param.as_deref().map_or_else(|| "null".to_owned(), json::quote);
        let mut writer = Writer::new(512);
        writer.string("type", "error");
        writer.raw("sequence_number", &self.passed.to_string());
        writer.string("code", code);
        writer.string("message", &look.message);
        writer.raw("param", &param);
        writer.raw("error", &look.json());
        let text = writer.finish_text();
        self.write("error", &text, out);
    }

    /// What this client must see in place of what the backend says.
    pub(super) fn patches(&self) -> &Patches {
        &self.patches
    }
}

/// The status of items whose end never came, at the end of a stream.
pub(super) fn unfinished(end: Kind) -> &'static str {
    if end == Kind::Incomplete { "incomplete" } else { "completed" }
}

/// The event's name, from its data where the stream gave none.
fn name_of<'f>(frame: &'f Frame, event: &'f Event<'_>) -> std::borrow::Cow<'f, str> {
    match frame.event() {
        "" => Object::of_text(event.text).and_then(|it| it.string("type")).unwrap_or_default(),
        name => name.into(),
    }
}
