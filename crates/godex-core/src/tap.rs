//! Watches a stream pass: what it cost, what must be remembered of it, how it ended.

use serde_json::Value;

use crate::codex::fault::{Break, Fault};
use crate::responses::event::{Event, ItemEvent, Kind};
use crate::responses::output::Output;
use crate::responses::response;
use crate::usage::Usage;

/// The most output that is gathered of one answer, in bytes: what the client would have to hold,
/// too, and more than any model says.
const MOST_OUTPUT: usize = 64 << 20;

/// How a stream ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// `response.completed`.
    Completed,
    /// `response.incomplete`.
    Incomplete,
    /// `response.failed` or `error`.
    Failed(Fault),
}

/// Watches one stream.
#[derive(Debug, Default)]
pub struct Tap {
    /// The output so far.
    pub output: Output,
    /// What the request cost, once the stream has said so.
    pub usage: Option<Usage>,
    /// The backend's id of the response.
    pub response_id: Option<String>,
    /// How the stream ended, once it has.
    pub end: Option<End>,
    /// Nobody will ask for the output.
    pub ignores_output: bool,
}

/// A call of the model, to be kept until its output comes.
#[derive(PartialEq, Eq)]
pub struct SeenCall {
    /// The `call_id`.
    pub id: String,
    /// The item.
    pub json: String,
}

shape!(SeenCall, it => "SeenCall({} bytes)", it.json.len());

impl Tap {
    /// Looks at one event; returns a call if the event finished one.
    pub fn push(&mut self, event: &Event<'_>) -> Option<SeenCall> {
        match event.kind {
            Kind::ItemAdded | Kind::ItemDone => {
                if !self.ignores_output {
                    self.output.push(event);
                    self.bound();
                }
                return (event.kind == Kind::ItemDone).then(|| seen_call(event.item()?)).flatten();
            }
            Kind::TextDelta
            | Kind::TextDone
            | Kind::RefusalDelta
            | Kind::RefusalDone
            | Kind::ArgumentsDelta
            | Kind::ArgumentsDone => {
                if !self.ignores_output {
                    self.output.push(event);
                    self.bound();
                }
            }
            Kind::Created => {
                self.response_id = event.response_id().map(Into::into);
            }
            Kind::Completed => self.close(event, End::Completed),
            Kind::Incomplete => self.close(event, End::Incomplete),
            Kind::Failed => self.close(event, End::Failed(fault_of(event))),
            Kind::Error if event.is_whole() => self.end = Some(End::Failed(fault_of(event))),
            Kind::Error
            | Kind::InProgress
            | Kind::SummaryPartAdded
            | Kind::ReasoningDelta
            | Kind::Codex
            | Kind::Idle
            | Kind::Other
            | Kind::Unknown => {}
        }
        None
    }

    /// Ends the stream when it says more than anybody can hold.
    fn bound(&mut self) {
        if self.output.taken() > MOST_OUTPUT {
            self.end = Some(End::Failed(Fault::Broken(Break::TooLong)));
        }
    }

    fn close(&mut self, event: &Event<'_>, end: End) {
        // The last event of a stream that was cut is none.
        let Some(response) = event.response() else { return };
        self.usage = response::usage(response);
        if self.response_id.is_none() {
            self.response_id = response.string("id").map(Into::into);
        }
        if let Some(listed) = response.some("output").filter(|_| !self.ignores_output) {
            self.output.adopt(listed);
        }
        self.end = Some(end);
    }
}

fn seen_call(told: &ItemEvent<'_>) -> Option<SeenCall> {
    let head = told.head.as_ref().filter(|head| head.custom_call().is_some())?;
    let id = head.call_id.as_deref()?.to_owned();
    Some(SeenCall { id, json: told.item.get().to_owned() })
}

/// The fault that a `response.failed` or `error` event tells of.
pub fn fault_of(event: &Event<'_>) -> Fault {
    let value: Value = serde_json::from_str(event.text).unwrap_or_default();
    let nested =
        value.pointer("/response/error").or_else(|| value.get("error")).filter(|it| it.is_object());
    let mut error = nested.unwrap_or(&value).clone();
    if let (Some(status), Some(object)) = (value.get("status"), error.as_object_mut()) {
        object.entry("status").or_insert_with(|| status.clone());
    }
    if nested.is_none()
        && let Some(object) = error.as_object_mut()
    {
        object.remove("type");
    }
    Fault::of_event(&error)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::sse::Decoder;

    fn watch(recorded: &[u8]) -> (Tap, Vec<SeenCall>) {
        let (mut tap, mut calls, mut decoder) = (Tap::default(), Vec::new(), Decoder::new(1 << 20));
        decoder.push(Bytes::copy_from_slice(recorded));
        while let Some(frame) = decoder.next_frame().unwrap() {
            calls.extend(Event::of(&frame).and_then(|event| tap.push(&event)));
        }
        (tap, calls)
    }

    #[test]
    fn usage_output_and_calls_are_seen_in_passing() {
        let (tap, calls) =
            watch(include_bytes!("../../../fixtures/upstream/parallel_tool_calls.sse"));
        assert_eq!(tap.end, Some(End::Completed));
        assert!(tap.usage.unwrap().total > 0);
        assert_eq!(calls.len(), 2);
        assert!(tap.output.items("completed").len() >= 3);
        assert!(tap.response_id.unwrap().starts_with("resp_"));
    }

    #[test]
    fn the_end_says_what_went_wrong() {
        #[track_caller]
        fn check(recorded: &[u8], transient: bool) {
            let (tap, _) = watch(recorded);
            let Some(End::Failed(fault)) = tap.end else { panic!("{:?}", tap.end) };
            assert_eq!(fault.is_transient(), transient, "{fault:?}");
        }
        check(include_bytes!("../../../fixtures/upstream/failed_overloaded_first.sse"), true);
        check(include_bytes!("../../../fixtures/upstream/failed_context_length.sse"), false);
        assert_eq!(watch(include_bytes!("../../../fixtures/upstream/cut_off.sse")).0.end, None);
        assert_eq!(
            watch(include_bytes!("../../../fixtures/upstream/incomplete.sse")).0.end,
            Some(End::Incomplete)
        );
    }
}
