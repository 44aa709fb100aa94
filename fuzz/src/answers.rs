//! Any answer of a model, told as the backend tells it: texts and arguments in pieces cut
//! anywhere, parallel calls mixed up, pieces, ends and the closing list left out or not. A chat
//! stream, put together again, says what the completion in one piece says.

use std::collections::VecDeque;

use arbitrary::{Result, Unstructured};
use godex_core::json::Object;
use godex_core::sse::Frame;
use godex_core::translate::chat_from_responses::{Look, ReasoningMode};
use godex_core::translate::responses_from_chat::CallStyle;
use serde_json::{Value, json};

use crate::serve::{Client, collect, relay};
use crate::{deep, stream};

/// Checks the answer that these bytes make.
pub fn check(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(story) = Story::of(&mut bytes) else { return };
    let frames = story.frames();
    stream::check_frames(&frames, deep::dice(data));
    let client = Client::Chat(story.look.clone());
    let streamed = relay(&frames, &client, || false);
    let whole = collect(&frames, &client).expect("the answer ended well");
    let whole = std::str::from_utf8(&whole).expect("UTF-8");
    let whole = deep::value(whole).unwrap_or_else(|| panic!("no JSON: {whole}"));
    let put_together = Said::of_stream(&stream::seen(&streamed));
    assert_eq!(put_together, Said::of_completion(&whole), "stream and answer differ");
}

/// One answer.
struct Story {
    items: Vec<Item>,
    look: Look,
    usage: bool,
    /// The closing event lists the output.
    lists: bool,
    end: End,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Completed,
    Incomplete,
}

/// One item: what it says and how it is told.
struct Item {
    content: Content,
    /// Its pieces are told.
    pieces: bool,
    /// The end of its text or arguments is told.
    ends: bool,
    /// Its own end is told.
    done: bool,
    /// Where its texts are cut.
    cuts: Vec<u8>,
}

enum Content {
    Reasoning(Vec<String>),
    Message { texts: Vec<String>, refusal: Option<String> },
    Call { name: String, argument: String, custom: bool },
}

impl Story {
    fn of(bytes: &mut Unstructured<'_>) -> Result<Self> {
        let count = bytes.int_in_range(0..=5)?;
        let items = (0..count).map(|_| Item::of(bytes)).collect::<Result<Vec<_>>>()?;
        // Thoughts between texts stand elsewhere in a completion, as they must.
        let spoke = items.iter().position(|it| !matches!(it.content, Content::Reasoning(_)));
        let mut rest = items.iter().skip(spoke.unwrap_or_default());
        let first = spoke.is_none() || rest.all(|it| !matches!(it.content, Content::Reasoning(_)));
        let reasoning = match bytes.int_in_range(0..=2)? {
            0 => ReasoningMode::Content,
            1 if first => ReasoningMode::Think,
            _ => ReasoningMode::Off,
        };
        let style = if bytes.ratio(1, 8)? { CallStyle::Function } else { CallStyle::Tools };
        let stop =
            if bytes.ratio(1, 4)? { vec![bytes.arbitrary()?, "ab".to_owned()] } else { vec![] };
        let look = Look {
            model: "gpt-4o".to_owned(),
            include_usage: true,
            reasoning,
            style,
            stop: stop.into_iter().filter(|it: &String| !it.is_empty()).collect(),
            fallback_id: "chatcmpl-0".to_owned(),
            now: 1,
            ..Look::default()
        };
        let end = if bytes.ratio(1, 6)? { End::Incomplete } else { End::Completed };
        Ok(Self { items, look, usage: bytes.arbitrary()?, lists: bytes.arbitrary()?, end })
    }

    /// The stream as the backend sends it.
    fn frames(&self) -> Vec<Frame> {
        let mut frames =
            vec![event("response.created", &json!({"response": self.response("in_progress")}))];
        let mut parallel: Vec<VecDeque<Frame>> = Vec::new();
        let mut cuts = 0;
        for (index, item) in self.items.iter().enumerate() {
            let mut told = item.frames(index);
            if matches!(item.content, Content::Call { .. }) {
                // Calls that follow each other may mix, but for their beginnings.
                let first = told.pop_front().expect("its beginning is told");
                if parallel.is_empty() {
                    cuts = index;
                }
                frames.push(first);
                parallel.push(told);
            } else {
                mix(&mut parallel, &self.items[cuts].cuts, &mut frames);
                frames.extend(told);
            }
        }
        if !self.items.is_empty() {
            mix(&mut parallel, &self.items[cuts].cuts, &mut frames);
        }
        let (name, status) = match self.end {
            End::Completed => ("response.completed", "completed"),
            End::Incomplete => ("response.incomplete", "incomplete"),
        };
        frames.push(event(name, &json!({"response": self.response(status)})));
        frames
    }

    fn response(&self, status: &str) -> Value {
        let mut response = json!({"id": "resp_1", "object": "response", "created_at": 1_700_000_000,
            "status": status, "model": "gpt-5.5", "output": []});
        if status == "incomplete" {
            response["incomplete_details"] = json!({"reason": "max_output_tokens"});
        }
        if status != "in_progress" {
            if self.usage {
                response["usage"] = json!({"input_tokens": 3, "input_tokens_details": {"cached_tokens": 1},
                    "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 5});
            }
            if self.lists {
                let items = self.items.iter().enumerate().map(|(at, it)| it.json(at, true));
                response["output"] = items.collect();
            }
        }
        response
    }
}

/// Empties the queues in an order that the bytes choose.
fn mix(queues: &mut Vec<VecDeque<Frame>>, choices: &[u8], out: &mut Vec<Frame>) {
    let mut choices = choices.iter().cycle();
    while !queues.is_empty() {
        let at = usize::from(choices.next().copied().unwrap_or_default()) % queues.len();
        match queues[at].pop_front() {
            Some(frame) => out.push(frame),
            None => drop(queues.remove(at)),
        }
    }
}

impl Item {
    fn of(bytes: &mut Unstructured<'_>) -> Result<Self> {
        let some = |bytes: &mut Unstructured<'_>| {
            let text: String = bytes.arbitrary()?;
            Ok(if text.is_empty() { "x".to_owned() } else { text })
        };
        let content = match bytes.int_in_range(0..=4)? {
            0 => {
                let count = bytes.int_in_range(1..=3)?;
                Content::Reasoning((0..count).map(|_| some(bytes)).collect::<Result<_>>()?)
            }
            1 | 2 => {
                let count = bytes.int_in_range(1..=2)?;
                let texts = (0..count).map(|_| some(bytes)).collect::<Result<_>>()?;
                let refusal = if bytes.ratio(1, 6)? { Some(some(bytes)?) } else { None };
                Content::Message { texts, refusal }
            }
            kind => {
                let name = format!("tool_{}", bytes.int_in_range(0..=3)?);
                Content::Call { name, argument: some(bytes)?, custom: kind == 4 }
            }
        };
        let mut item = Self {
            content,
            pieces: bytes.ratio(7, 8)?,
            ends: bytes.ratio(7, 8)?,
            done: bytes.ratio(7, 8)?,
            cuts: bytes.arbitrary()?,
        };
        let simple = match &item.content {
            Content::Reasoning(_) => false,
            Content::Message { texts, .. } => texts.len() == 1,
            Content::Call { .. } => true,
        };
        // What is never told in full cannot be known; only a whole item tells of its parts.
        item.done |= !simple || !(item.pieces || item.ends);
        // A text is streamed in pieces, and so are thoughts.
        item.pieces |= !matches!(item.content, Content::Call { .. });
        Ok(item)
    }

    fn frames(&self, index: usize) -> VecDeque<Frame> {
        let id = self.id(index);
        let mut told = VecDeque::new();
        told.push_back(event(
            "response.output_item.added",
            &json!({"output_index": index, "item": self.json(index, false)}),
        ));
        let head = |part: usize| {
            format!(r#""item_id":"{id}","output_index":{index},"content_index":{part}"#)
        };
        match &self.content {
            Content::Reasoning(parts) => {
                for (at, part) in parts.iter().enumerate() {
                    told.push_back(written(
                        "reasoning_summary_part.added",
                        &head(at),
                        r#""part":{}"#,
                    ));
                    self.tell("reasoning_summary_text", &head(at), "text", part, &mut told);
                }
            }
            Content::Message { texts, refusal } => {
                for (at, text) in texts.iter().enumerate() {
                    self.tell("output_text", &head(at), "text", text, &mut told);
                }
                if let Some(refusal) = refusal {
                    self.tell("refusal", &head(texts.len()), "refusal", refusal, &mut told);
                }
            }
            Content::Call { argument, custom: true, .. } => {
                self.tell("custom_tool_call_input", &head(0), "input", argument, &mut told);
            }
            Content::Call { argument, custom: false, .. } => {
                self.tell("function_call_arguments", &head(0), "arguments", argument, &mut told);
            }
        }
        if self.done {
            told.push_back(event(
                "response.output_item.done",
                &json!({"output_index": index, "item": self.json(index, true)}),
            ));
        }
        told
    }

    /// A text in pieces, and its end.
    fn tell(&self, family: &str, head: &str, field: &str, text: &str, told: &mut VecDeque<Frame>) {
        if self.pieces {
            for piece in self.cut(text) {
                let piece = format!(r#""delta":"{piece}""#);
                told.push_back(written(&format!("{family}.delta"), head, &piece));
            }
        }
        if self.ends {
            let whole = format!(r#""{field}":{}"#, Value::from(text));
            told.push_back(written(&format!("{family}.done"), head, &whole));
        }
    }

    /// A text with the escapes of JSON, every character written as its number, cut between any
    /// two of them: a character may be in two halves.
    fn cut(&self, text: &str) -> Vec<String> {
        let mut cuts = self.cuts.iter().cycle();
        let mut pieces = vec![String::new()];
        for unit in text.encode_utf16() {
            if cuts.next().is_some_and(|it| it % 8 == 0) {
                pieces.push(String::new());
            }
            let piece = pieces.last_mut().expect("there is one");
            match u8::try_from(unit) {
                Ok(plain) if plain.is_ascii_alphanumeric() => piece.push(char::from(plain)),
                Ok(_) | Err(_) => piece.push_str(&format!("\\u{unit:04x}")),
            }
        }
        pieces
    }

    fn id(&self, index: usize) -> String {
        match &self.content {
            Content::Reasoning(_) => format!("rs_{index}"),
            Content::Message { .. } => format!("msg_{index}"),
            Content::Call { custom: true, .. } => format!("ctc_{index}"),
            Content::Call { custom: false, .. } => format!("fc_{index}"),
        }
    }

    /// The item, at its end or at its beginning.
    fn json(&self, index: usize, whole: bool) -> Value {
        let id = self.id(index);
        let status = if whole { "completed" } else { "in_progress" };
        match &self.content {
            Content::Reasoning(parts) => {
                let told = parts.iter().filter(|_| whole);
                let parts = told.map(|it| json!({"type": "summary_text", "text": it}));
                json!({"type": "reasoning", "id": id, "summary": parts.collect::<Vec<_>>()})
            }
            Content::Message { texts, refusal } => {
                let told = texts.iter().filter(|_| whole);
                let texts =
                    told.map(|it| json!({"type": "output_text", "text": it, "annotations": []}));
                let refusal = refusal.iter().filter(|_| whole);
                let refusal = refusal.map(|it| json!({"type": "refusal", "refusal": it}));
                let content = texts.chain(refusal).collect::<Vec<_>>();
                json!({"type": "message", "id": id, "status": status, "role": "assistant", "content": content})
            }
            Content::Call { name, argument, custom } => {
                let (kind, field) = if *custom {
                    ("custom_tool_call", "input")
                } else {
                    ("function_call", "arguments")
                };
                let argument = if whole { argument.as_str() } else { "" };
                json!({"type": kind, "id": id, "status": status, "call_id": format!("call_{index}"),
                    "name": name, field: argument})
            }
        }
    }
}

/// An event whose text is written by hand: halves of characters are no values.
fn written(name: &str, head: &str, rest: &str) -> Frame {
    let name = format!("response.{name}");
    Frame::new(&name, format!(r#"{{"type":"{name}",{head},{rest}}}"#).as_bytes())
}

fn event(name: &str, fields: &Value) -> Frame {
    let mut event = json!({"type": name});
    if let (Some(event), Some(fields)) = (event.as_object_mut(), fields.as_object()) {
        event.extend(fields.clone());
    }
    Frame::new(name, event.to_string().as_bytes())
}

/// What a client knows in the end.
#[derive(Debug, Default, PartialEq)]
struct Said {
    id: String,
    created: u64,
    model: String,
    text: String,
    refusal: String,
    reasoning: String,
    calls: Vec<Call>,
    reason: String,
    usage: Value,
}

#[derive(Debug, Default, PartialEq)]
struct Call {
    id: String,
    kind: String,
    name: String,
    argument: String,
}

impl Said {
    fn of_completion(whole: &Value) -> Self {
        let choice = &whole["choices"][0];
        let message = &choice["message"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| {
            let kind = text(&call["type"]);
            let inner = &call[&kind];
            let argument = if kind == "custom" { &inner["input"] } else { &inner["arguments"] };
            let (id, name) = (text(&call["id"]), text(&inner["name"]));
            Call { id, kind, name, argument: text(argument) }
        });
        let legacy = message.get("function_call").map(|call| Call {
            name: text(&call["name"]),
            argument: text(&call["arguments"]),
            ..Call::default()
        });
        Self {
            id: text(&whole["id"]),
            created: whole["created"].as_u64().unwrap_or_default(),
            model: text(&whole["model"]),
            text: text(&message["content"]),
            refusal: text(&message["refusal"]),
            reasoning: text(&message["reasoning_content"]),
            calls: calls.chain(legacy).collect(),
            reason: text(&choice["finish_reason"]),
            usage: whole["usage"].clone(),
        }
    }

    /// Puts a stream together. Pieces stay escaped until the end: a character may come in two.
    fn of_stream(events: &[(String, String)]) -> Self {
        let mut said = Self::default();
        for (_, text) in events.iter().filter(|(_, text)| text != "[DONE]") {
            let chunk = Object::of_text(text).expect("a chunk is an object");
            said.id = chunk.string("id").unwrap_or_default().into_owned();
            said.model = chunk.string("model").unwrap_or_default().into_owned();
            said.created =
                chunk.get("created").and_then(|it| it.get().parse().ok()).unwrap_or_default();
            if let Some(usage) = chunk.some("usage") {
                said.usage = deep::value(usage.get()).expect("numbers");
            }
            let choices = chunk.get("choices").and_then(|it| it.list()).expect("a list of choices");
            for choice in choices.into_iter().filter_map(Object::of) {
                said.reason += choice.string("finish_reason").as_deref().unwrap_or_default();
                let delta = choice.get("delta").and_then(Object::of).expect("a delta");
                said.take(&delta);
            }
        }
        for text in [&mut said.text, &mut said.refusal, &mut said.reasoning] {
            *text = unescaped(text);
        }
        for call in &mut said.calls {
            call.argument = unescaped(&call.argument);
        }
        said
    }

    fn take(&mut self, delta: &Object<'_>) {
        for (name, to) in [
            ("content", &mut self.text),
            ("refusal", &mut self.refusal),
            ("reasoning_content", &mut self.reasoning),
        ] {
            to.push_str(delta.get(name).and_then(|it| it.escaped()).unwrap_or_default());
        }
        if let Some(call) = delta.get("function_call").and_then(Object::of) {
            if self.calls.is_empty() {
                self.calls.push(Call::default());
            }
            self.calls[0].take(&call, "arguments");
        }
        let calls = delta.get("tool_calls").and_then(|it| it.list()).unwrap_or_default();
        for call in calls.into_iter().filter_map(Object::of) {
            let index: usize =
                call.get("index").expect("a call has a number").get().parse().expect("a number");
            if index == self.calls.len() {
                let kind = call.string("type").expect("a new call has a type").into_owned();
                let id = call.string("id").expect("a new call has an id").into_owned();
                self.calls.push(Call { id, kind, ..Call::default() });
            }
            assert_eq!(index + 1, self.calls.len(), "calls are told one after the other");
            for (field, argument) in [("function", "arguments"), ("custom", "input")] {
                if let Some(inner) = call.get(field).and_then(Object::of) {
                    assert_eq!(self.calls[index].kind, field);
                    self.calls[index].take(&inner, argument);
                }
            }
        }
    }
}

impl Call {
    fn take(&mut self, inner: &Object<'_>, argument: &str) {
        self.name += inner.string("name").as_deref().unwrap_or_default();
        let piece = inner.get(argument).and_then(|it| it.escaped());
        self.argument.push_str(piece.unwrap_or_default());
    }
}

fn unescaped(text: &str) -> String {
    let value = deep::value(&format!("\"{text}\""));
    value.and_then(|it| it.as_str().map(str::to_owned)).unwrap_or_else(|| panic!("halves: {text}"))
}
