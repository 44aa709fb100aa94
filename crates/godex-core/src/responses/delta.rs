//! Deltas: most of a stream, and each like the one before it but for its piece of text. The form
//! of one is learned, so that the next ones are compared with it instead of being read.
//! Source: `docs/wire.md#stream`.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;

use super::event::Event;
use crate::json::Raw;

/// After this many forms that nothing fitted no more are learned: the events are not alike.
const IN_VAIN: u8 = 8;

/// Any delta.
#[derive(Deserialize)]
pub struct Delta<'a> {
    /// The place of the item in the output.
    #[serde(default)]
    pub output_index: u64,
    /// The item.
    #[serde(borrow, default)]
    pub item_id: Cow<'a, str>,
    /// The piece of text, as JSON.
    #[serde(borrow)]
    pub delta: Raw<'a>,
}

shape!(Delta<'_>, it => "Delta({:?})", it.delta);

/// Reads the deltas of one stream.
#[derive(Default)]
pub struct Deltas {
    form: Form,
    in_vain: u8,
}

shape!(Deltas, it => "Deltas({} bytes)", it.form.text.len());

/// A delta event up to the last of the three members that count, and what differs in it from
/// event to event.
#[derive(Default)]
struct Form {
    /// Its text; empty when nothing was learned yet.
    text: String,
    /// What differs, in order.
    holes: Vec<Hole>,
    output_index: u64,
    item_id: Range<usize>,
}

struct Hole {
    place: Range<usize>,
    kind: HoleKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HoleKind {
    /// The piece of text.
    Delta,
    /// Another string.
    String,
    /// A number.
    Number,
}

impl Deltas {
    /// Reads the next delta.
    pub fn read<'a>(&mut self, event: &Event<'a>) -> Option<Delta<'a>> {
        if let Some(delta) = self.form.fit(event.text) {
            self.in_vain = 0;
            return Some(delta);
        }
        let Some((delta, holes, end)) = walk(event.text) else { return event.read() };
        if self.in_vain < IN_VAIN {
            self.in_vain += 1;
            self.form.learn(event.text, &delta, holes, end);
        }
        Some(delta)
    }
}

impl Form {
    fn learn(&mut self, text: &str, delta: &Delta<'_>, holes: Vec<Hole>, end: usize) {
        text.get(..end).unwrap_or_default().clone_into(&mut self.text);
        let start = delta.item_id.as_ptr().addr() - text.as_ptr().addr();
        self.item_id = start..start + delta.item_id.len();
        self.output_index = delta.output_index;
        self.holes = holes;
    }

    /// The delta in an event of this form.
    fn fit<'a>(&self, text: &'a str) -> Option<Delta<'a>> {
        let (mut delta, mut id) = (None, None);
        // How far this text and that of the form are compared.
        let (mut at, mut known) = (0, 0);
        for hole in &self.holes {
            let same = self.text.get(known..hole.place.start)?;
            let rest = text.get(at..)?.strip_prefix(same)?;
            if self.item_id.start >= known && self.item_id.end <= hole.place.start {
                id = Some(at + self.item_id.start - known);
            }
            at += same.len();
            known = hole.place.end;
            at += match hole.kind {
                HoleKind::Delta => delta.insert(Raw::string_at(text, at)?).get().len(),
                HoleKind::String => rest.len() - plain_string(rest)?.1.len(),
                HoleKind::Number => digits(rest)?.len(),
            };
        }
        let same = self.text.get(known..)?;
        if !text.get(at..)?.starts_with(same) {
            return None;
        }
        let id = id.or_else(|| Some(at + self.item_id.start.checked_sub(known)?))?;
        let item_id = text.get(id..id + self.item_id.len())?.into();
        Some(Delta { output_index: self.output_index, item_id, delta: delta? })
    }
}

/// Walks over an event that has no more than short strings, numbers and empty lists, without
/// spaces. Gives what differs in it, and where what counts of it ends.
fn walk(text: &str) -> Option<(Delta<'_>, Vec<Hole>, usize)> {
    let (mut index, mut id, mut delta) = (None, None, None);
    let mut holes = Vec::with_capacity(3);
    let mut rest = text.strip_prefix('{')?;
    loop {
        let (name, value) = plain_string(rest)?;
        let value = value.strip_prefix(':')?;
        let start = text.len() - value.len();
        let mut differs = |kind, len| holes.push(Hole { place: start..start + len, kind });
        rest = if name == "delta" {
            let piece = Raw::string_at(value, 0)?;
            delta = Some(piece);
            differs(HoleKind::Delta, piece.get().len());
            value.get(piece.get().len()..)?
        } else if value.starts_with('"') {
            let (string, after) = plain_string(value)?;
            if name == "item_id" {
                id = Some(string);
            } else if name == "obfuscation" {
                differs(HoleKind::String, value.len() - after.len());
            }
            after
        } else if let Some(after) = value.strip_prefix("[]") {
            after
        } else {
            let number = digits(value)?;
            if name == "output_index" {
                index = Some(number.parse().ok()?);
            } else if name == "sequence_number" {
                differs(HoleKind::Number, number.len());
            }
            value.get(number.len()..)?
        };
        if let (Some(output_index), Some(item_id), Some(delta)) = (index, id, delta) {
            // With what follows, lest a longer number is taken for the same.
            let end = text.len() - rest.len() + 1;
            let item_id = Cow::Borrowed(item_id);
            return rest.starts_with([',', '}']).then_some((
                Delta { output_index, item_id, delta },
                holes,
                end,
            ));
        }
        rest = rest.strip_prefix(',')?;
    }
}

/// The digits a text begins with.
fn digits(text: &str) -> Option<&str> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    text.get(..count).filter(|digits| !digits.is_empty())
}

/// A string without escapes, and what follows it.
fn plain_string(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let end = memchr::memchr2(b'"', b'\\', inside.as_bytes())?;
    let (string, after) = inside.split_at_checked(end)?;
    Some((string, after.strip_prefix('"')?))
}

#[cfg(test)]
mod tests;
