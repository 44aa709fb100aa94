//! Output items as events: added, filled by deltas, done.

use serde_json::{Value, json};

use super::plan::{Call, Piece};
use super::{Composer, deltas};
use crate::blob;

/// One white pixel.
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII=";

/// A call under way: where it stands, what it is, which of its deltas come next.
struct Open {
    index: u64,
    id: String,
    call: Call,
}

impl Composer<'_> {
    /// Writes all events of one planned piece.
    pub(super) fn piece(&mut self, piece: Piece) {
        match piece {
            Piece::Reasoning { summary, encrypted } => {
                self.reasoning(summary.as_deref(), encrypted);
            }
            Piece::Message { text, phase, status } => {
                let (at, id) = self.open_message(phase);
                self.text(&at, &text);
                self.close_message(&at, &id, &text, phase, status);
            }
            Piece::Huge(size) => {
                let text = "x".repeat(size);
                let (at, id) = self.open_message(None);
                self.delta("response.output_text.delta", &at, &text);
                self.close_message(&at, &id, &text, None, "completed");
            }
            Piece::Unfinished(text) => {
                let (at, _) = self.open_message(None);
                self.text(&at, &text);
            }
            Piece::Refusal(text) => self.refusal(&text),
            Piece::Calls(calls) => self.calls(calls),
            Piece::Image => self.image(),
        }
    }

    fn added(&mut self, index: u64, item: &Value) {
        self.emit("response.output_item.added", json!({ "output_index": index, "item": item }));
    }

    fn done(&mut self, index: u64, item: &Value) {
        self.emit("response.output_item.done", json!({ "output_index": index, "item": item }));
    }

    fn open_message(&mut self, phase: Option<&str>) -> (Value, String) {
        let (index, id) = self.item("msg");
        self.added(index, &message(&id, "in_progress", &json!([]), phase));
        let at = json!({ "item_id": id, "output_index": index, "content_index": 0 });
        let part = json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": "" });
        self.emit("response.content_part.added", with(&at, "part", part));
        (at, id)
    }

    fn text(&mut self, at: &Value, text: &str) {
        for delta in deltas(text) {
            self.delta("response.output_text.delta", at, delta);
        }
    }

    fn close_message(
        &mut self,
        at: &Value,
        id: &str,
        text: &str,
        phase: Option<&str>,
        status: &str,
    ) {
        let done = with(&with(at, "text", json!(text)), "logprobs", json!([]));
        self.emit("response.output_text.done", done);
        let part =
            json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": text });
        self.emit("response.content_part.done", with(at, "part", part.clone()));
        let index = at.get("output_index").and_then(Value::as_u64).unwrap_or_default();
        self.done(index, &message(id, status, &json!([part]), phase));
    }

    fn refusal(&mut self, text: &str) {
        let (index, id) = self.item("msg");
        self.added(index, &message(&id, "in_progress", &json!([]), None));
        let at = json!({ "item_id": id, "output_index": index, "content_index": 0 });
        let part = |text: &str| json!({ "type": "refusal", "refusal": text });
        self.emit("response.content_part.added", with(&at, "part", part("")));
        for delta in deltas(text) {
            self.delta("response.refusal.delta", &at, delta);
        }
        self.emit("response.refusal.done", with(&at, "refusal", json!(text)));
        self.emit("response.content_part.done", with(&at, "part", part(text)));
        self.done(index, &message(&id, "completed", &json!([part(text)]), None));
    }

    /// The blob of the added item is not the final one: only the done item's can be replayed.
    fn reasoning(&mut self, summary: Option<&str>, encrypted: bool) {
        let (index, id) = self.item("rs");
        let item = |summary: Value, blob: Option<String>| {
            let mut item = json!({ "id": id, "type": "reasoning", "summary": summary });
            if let (Some(item), Some(blob)) = (item.as_object_mut(), blob) {
                item.insert("encrypted_content".to_owned(), json!(blob));
            }
            item
        };
        let partial = encrypted.then(|| "gAAAAABmockpartial".to_owned());
        self.added(index, &item(json!([]), partial));
        if let Some(text) = summary {
            self.summary(index, &id, text);
        }
        self.reasoned += 64;
        let summary = summary.map(|it| json!({ "type": "summary_text", "text": it }));
        let blob = encrypted.then(|| blob::issue(&id, self.account));
        self.done(index, &item(summary.into_iter().collect(), blob));
    }

    fn summary(&mut self, index: u64, id: &str, text: &str) {
        let at = json!({ "item_id": id, "output_index": index, "summary_index": 0 });
        let part = |text: &str| json!({ "type": "summary_text", "text": text });
        self.emit("response.reasoning_summary_part.added", with(&at, "part", part("")));
        let before = self.written;
        for delta in deltas(text) {
            self.delta("response.reasoning_summary_text.delta", &at, delta);
        }
        self.written = before;
        self.emit("response.reasoning_summary_text.done", with(&at, "text", json!(text)));
        self.emit("response.reasoning_summary_part.done", with(&at, "part", part(text)));
    }

    /// Calls of one turn: a single one in a row, several with their deltas interleaved and
    /// finished in the reverse order.
    fn calls(&mut self, calls: Vec<Call>) {
        let mut open = Vec::new();
        for call in calls {
            let (index, id) = self.item(if call.custom { "ctc" } else { "fc" });
            self.added(index, &call.item(&id, "in_progress", ""));
            open.push(Open { index, id, call });
        }
        let written: Vec<Vec<&str>> = open.iter().map(|it| deltas(&it.call.body)).collect();
        let longest = written.iter().map(Vec::len).max().unwrap_or_default();
        for round in 0..longest {
            for (Open { index, id, call }, deltas) in open.iter().zip(&written) {
                if let Some(delta) = deltas.get(round) {
                    let at = json!({ "item_id": id, "output_index": index });
                    self.delta(&format!("response.{}.delta", call.event()), &at, delta);
                }
            }
        }
        for Open { index, id, call } in open.iter().rev() {
            let at = json!({ "item_id": id, "output_index": index });
            let mut done = with(&at, call.field(), json!(call.body));
            if !call.custom {
                done = with(&done, "name", json!(call.name));
            }
            self.emit(&format!("response.{}.done", call.event()), done);
            self.done(*index, &call.item(id, "completed", &call.body));
        }
    }

    fn image(&mut self) {
        let (index, id) = self.item("ig");
        let item = |status: &str, result: Option<&str>| {
            json!({
                "id": id,
                "type": "image_generation_call",
                "status": status,
                "revised_prompt": result.map(|_| "A white pixel."),
                "result": result,
                "output_format": "png",
            })
        };
        self.added(index, &item("in_progress", None));
        let at = json!({ "item_id": id, "output_index": index });
        self.emit("response.image_generation_call.in_progress", at.clone());
        self.emit("response.image_generation_call.generating", at.clone());
        let partial = with(&at, "partial_image_b64", json!(PIXEL));
        self.emit(
            "response.image_generation_call.partial_image",
            with(&partial, "partial_image_index", json!(0)),
        );
        self.emit("response.image_generation_call.completed", at);
        self.done(index, &item("completed", Some(PIXEL)));
    }
}

impl Call {
    fn event(&self) -> &'static str {
        if self.custom { "custom_tool_call_input" } else { "function_call_arguments" }
    }

    fn field(&self) -> &'static str {
        if self.custom { "input" } else { "arguments" }
    }

    fn item(&self, id: &str, status: &str, body: &str) -> Value {
        let kind = if self.custom { "custom_tool_call" } else { "function_call" };
        let mut item = json!({ "id": id, "type": kind, "status": status });
        if let Some(item) = item.as_object_mut() {
            item.insert(self.field().to_owned(), json!(body));
            item.insert("call_id".to_owned(), json!(self.id));
            item.insert("name".to_owned(), json!(self.name));
            if let Some(namespace) = &self.namespace {
                item.insert("namespace".to_owned(), json!(namespace));
            }
        }
        item
    }
}

fn message(id: &str, status: &str, content: &Value, phase: Option<&str>) -> Value {
    let mut item = json!({
        "id": id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    });
    if let (Some(item), Some(phase)) = (item.as_object_mut(), phase) {
        item.insert("phase".to_owned(), json!(phase));
    }
    item
}

/// A copy of an object with one more field.
fn with(fields: &Value, name: &str, value: Value) -> Value {
    let mut fields = fields.clone();
    if let Some(fields) = fields.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
    fields
}
