//! The output of a stream, item by item. The backend's last event carries none of it, so it
//! is gathered on the way: a finished item wins over its finished arguments, these over their
//! pieces, and anything over the placeholder the item began with.
//! Source: `docs/wire.md#empty-output`.

use std::borrow::Cow;
use std::collections::HashSet;

use super::delta::{Delta, Deltas};
use super::event::{Done, Event, ItemEvent, ItemHead, Kind};
use crate::json::{self, Object, Raw, Writer};

/// Room for the pieces of an item, in bytes, when the first comes.
const USUAL: usize = 256;

/// Gathers the items of one stream.
#[derive(Default)]
pub struct Output {
    /// The items by their place in the output.
    items: Vec<Entry>,
    deltas: Deltas,
    taken: usize,
}

shape!(Output, it => "Output({} items)", it.items.len());

#[derive(Default)]
struct Entry {
    /// Its place in the output.
    index: u64,
    id: String,
    added: Option<Box<str>>,
    done: Option<Box<str>>,
    /// Text, arguments or input so far, with the escapes of a JSON string.
    pieces: String,
    refusal: String,
    /// `pieces` came whole.
    whole: bool,
    /// What came in pieces is text of a message.
    text: bool,
}

impl Output {
    /// How much was taken so far, in bytes; at least what is held.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Takes one event. Those that say nothing about the output are ignored.
    pub fn push(&mut self, event: &Event<'_>) {
        match event.kind {
            Kind::ItemAdded | Kind::ItemDone => {
                if let Some(told) = event.item() {
                    self.push_item(told, event.kind == Kind::ItemDone);
                }
            }
            Kind::TextDelta | Kind::RefusalDelta | Kind::ArgumentsDelta => {
                if let Some(delta) = self.deltas.read(event) {
                    self.delta(event.kind, &delta);
                }
            }
            Kind::TextDone | Kind::RefusalDone | Kind::ArgumentsDone => {
                if let Some(done) = Done::of(event) {
                    self.done(&done);
                }
            }
            Kind::Created
            | Kind::InProgress
            | Kind::Completed
            | Kind::Incomplete
            | Kind::Failed
            | Kind::Error
            | Kind::SummaryPartAdded
            | Kind::ReasoningDelta
            | Kind::Codex
            | Kind::Idle
            | Kind::Other
            | Kind::Unknown => {}
        }
    }

    /// The items as one JSON list; `None` when there were none. Items whose end never came get
    /// `status`.
    pub fn json(&self, status: &str) -> Option<String> {
        let items = self.items(status);
        (!items.is_empty()).then(|| json::list(&items))
    }

    /// The items in the order of the output, a call that came twice only once. Items whose end
    /// never came get `status`.
    pub fn items(&self, status: &str) -> Vec<Cow<'_, str>> {
        let mut calls = HashSet::new();
        let one = self.items.len() == 1;
        let fresh = |item: &Cow<'_, str>| {
            if one {
                return true;
            }
            let head = ItemHead::of_text(item);
            let call =
                head.filter(|head| head.custom_call().is_some()).and_then(|head| head.call_id);
            call.is_none_or(|id| calls.insert(id.into_owned()))
        };
        self.items.iter().filter_map(|entry| entry.json(status)).filter(fresh).collect()
    }

    /// Takes the output that the last event lists, if no item was gathered before it.
    pub fn adopt(&mut self, list: Raw<'_>) {
        let named = |entry: &Entry| entry.added.is_some() && entry.json("completed").is_some();
        let gathered = |entry: &Entry| entry.done.is_some() || named(entry);
        if self.items.iter().any(gathered) {
            return;
        }
        for (output_index, item) in (0..).zip(list.list().unwrap_or_default()) {
            self.push_item(&ItemEvent::new(output_index, item), true);
        }
    }

    /// The text of `response.function_call_arguments.done` with the name of the function, which
    /// the backend may leave out; `None` when there is nothing to add.
    pub fn named(&self, event: &Event<'_>) -> Option<String> {
        let done = Done::of(event)?;
        let object = Object::of_text(event.text)?;
        if done.arguments.is_none() || object.get("name").is_some() {
            return None;
        }
        let entry = self
            .items
            .iter()
            .find(|entry| !done.item_id.is_empty() && entry.id == done.item_id)
            .or_else(|| self.items.get(self.place(done.output_index).ok()?))?;
        let head = ItemHead::of_text(entry.added.as_deref()?)?;
        let mut writer = Writer::new(event.text.len() + 64);
        for (name, value) in object.iter() {
            writer.raw(name, value.get());
        }
        writer.string("name", &head.name?);
        Some(writer.finish_text())
    }

    /// Takes an item that has begun or is `done`.
    fn push_item(&mut self, told: &ItemEvent<'_>, done: bool) {
        self.taken += told.item.get().len();
        let head = told.head.as_ref();
        let id = head.and_then(|head| head.id.as_deref().or(head.call_id.as_deref()));
        let Some(entry) = self.entry_of(told, id.unwrap_or_default(), done) else { return };
        if let Some(id) = id {
            id.clone_into(&mut entry.id);
        }
        let slot = if done { &mut entry.done } else { &mut entry.added };
        *slot = Some(told.item.get().into());
        if done {
            entry.pieces = String::new();
        }
    }

    /// The entry of an item: by its id, else by its index. Another item whose event does not tell
    /// its index, or that of one before it, comes after all others.
    fn entry_of(&mut self, told: &ItemEvent<'_>, id: &str, done: bool) -> Option<&mut Entry> {
        if self.items.iter().any(|entry| !id.is_empty() && entry.id == id) {
            return self.entry(id, told.output_index);
        }
        let taken = |entry: &Entry| {
            let slot = if done { &entry.done } else { &entry.added };
            slot.as_deref().is_some_and(|it| it != told.item.get())
        };
        let place = self.place(told.output_index).ok();
        let index = match place.and_then(|place| self.items.get(place)).filter(|it| taken(it)) {
            Some(_) => self.items.last().map_or(0, |last| last.index + 1),
            None => told.output_index,
        };
        self.entry_at(index)
    }

    /// The entry an event speaks of: by its item's id, else by its index.
    fn entry(&mut self, id: &str, index: u64) -> Option<&mut Entry> {
        let by_id = |entry: &Entry| !id.is_empty() && entry.id == id;
        match self.items.iter().position(by_id) {
            Some(place) => self.items.get_mut(place),
            None => self.entry_at(index),
        }
    }

    /// The entry of an index, which is made if there is none; never `None`.
    fn entry_at(&mut self, index: u64) -> Option<&mut Entry> {
        let place = self.place(index).unwrap_or_else(|place| {
            self.items.insert(place, Entry { index, ..Entry::default() });
            place
        });
        self.items.get_mut(place)
    }

    /// Where the entry of an index is, or where it belongs.
    fn place(&self, index: u64) -> Result<usize, usize> {
        self.items.binary_search_by_key(&index, |entry| entry.index)
    }

    fn delta(&mut self, kind: Kind, delta: &Delta<'_>) {
        let Some(piece) = delta.delta.escaped() else { return };
        self.taken += piece.len();
        let Some(entry) = self.entry(&delta.item_id, delta.output_index) else { return };
        if entry.id.is_empty() {
            delta.item_id.as_ref().clone_into(&mut entry.id);
        }
        entry.text |= kind != Kind::ArgumentsDelta;
        if kind == Kind::RefusalDelta {
            entry.refusal.push_str(piece);
        } else if entry.done.is_none() {
            if entry.pieces.is_empty() {
                entry.pieces.reserve(USUAL);
            }
            entry.pieces.push_str(piece);
        }
    }

    fn done(&mut self, done: &Done<'_>) {
        let refusal = done.refusal.and_then(Raw::escaped);
        let call = done.arguments.or(done.input).and_then(Raw::escaped);
        let text = done.text.and_then(Raw::escaped);
        self.taken += [refusal, call, text].into_iter().flatten().map(str::len).sum::<usize>();
        let Some(entry) = self.entry(&done.item_id, done.output_index) else { return };
        if entry.id.is_empty() {
            done.item_id.as_ref().clone_into(&mut entry.id);
        }
        entry.text |= call.is_none();
        if let Some(text) = refusal {
            text.clone_into(&mut entry.refusal);
        }
        if entry.done.is_some() {
            return;
        }
        if let Some(whole) = call {
            whole.clone_into(&mut entry.pieces);
            entry.whole = true;
        } else if let Some(text) = text
            && entry.pieces.is_empty()
        {
            text.clone_into(&mut entry.pieces);
        }
    }
}

impl Entry {
    fn json(&self, status: &str) -> Option<Cow<'_, str>> {
        if let Some(done) = &self.done {
            return Some(Cow::Borrowed(done));
        }
        let Some(added) = self.added.as_deref() else { return self.message(status) };
        let object = Object::of_text(added)?;
        let kind = object.string("type")?;
        let content = match kind.as_ref() {
            "message" => Some(("content", self.content())),
            "function_call" if self.whole || !self.pieces.is_empty() => {
                Some(("arguments", format!("\"{}\"", self.pieces)))
            }
            "custom_tool_call" if self.whole || !self.pieces.is_empty() => {
                Some(("input", format!("\"{}\"", self.pieces)))
            }
            _ => None,
        };
        let mut writer = Writer::new(added.len() + self.pieces.len() + 64);
        for (name, value) in object.iter() {
            match (name, &content) {
                ("status", _) => writer.string(name, status),
                (_, Some((replaced, json))) if *replaced == name => writer.raw(name, json),
                _ => writer.raw(name, value.get()),
            }
        }
        if let Some((name, json)) = content.filter(|(name, _)| object.get(name).is_none()) {
            writer.raw(name, &json);
        }
        Some(Cow::Owned(writer.finish_text()))
    }

    /// The message that text belongs to which came without one.
    fn message(&self, status: &str) -> Option<Cow<'_, str>> {
        if !self.text || (self.pieces.is_empty() && self.refusal.is_empty()) {
            return None;
        }
        let mut writer = Writer::new(self.pieces.len() + self.refusal.len() + 256);
        if self.id.is_empty() {
            writer.string("id", &format!("msg_{}", self.index));
        } else {
            writer.string("id", &self.id);
        }
        writer.string("type", "message");
        writer.string("status", status);
        writer.string("role", "assistant");
        writer.raw("content", &self.content());
        Some(Cow::Owned(writer.finish_text()))
    }

    fn content(&self) -> String {
        let mut parts = Vec::new();
        if !self.pieces.is_empty() {
            parts.push(format!(
                r#"{{"type":"output_text","annotations":[],"logprobs":[],"text":"{}"}}"#,
                self.pieces
            ));
        }
        if !self.refusal.is_empty() {
            parts.push(format!(r#"{{"type":"refusal","refusal":"{}"}}"#, self.refusal));
        }
        json::list(&parts)
    }
}

#[cfg(test)]
mod tests;
