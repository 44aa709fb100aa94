//! JSON kept as pieces of its own text: an object is the list of its fields, each value the
//! bytes the client wrote. What nobody needs to understand is copied, never rebuilt.

mod body;
mod fault;
mod run;
mod scan;

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub use self::body::{Body, Element, Elements, List, Value};
use self::scan::Scanner;

/// The deepest nesting a request may have; `serde_json` draws the same line.
const MAX_DEPTH: u32 = 128;

/// How many members and elements are held of one text: they take many times the room of a text
/// that is made of little else. The longest conversations of agents have a hundredth of it.
const MOST_HELD: usize = 1 << 19;

/// Past this many fields, duplicates are found through a hash table.
const FEW_FIELDS: usize = 32;

/// Why a text is not JSON that can be worked with.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, not UTF-8, or not an object.
    #[error("{0}")]
    Syntax(String),
    /// Nested deeper than 128 levels.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More members and elements than are held.
    #[error("more than {MOST_HELD} members and elements")]
    TooMany,
}

/// The text of one JSON value. That it exists is the proof that it is valid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

shape!(Raw<'_>, it => "Raw({} bytes)", it.0.len());

impl<'a> Raw<'a> {
    /// Checks a whole text.
    ///
    /// # Errors
    ///
    /// When it is not one JSON value or is nested too deeply.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let mut scanner = Scanner::new(text);
        let value = scanner.value().and_then(|value| scanner.end().map(|()| value));
        value.map_err(|_| scanner.explain())
    }

    /// The string that begins at `start` of a text; `None` when none does.
    pub fn string_at(text: &'a str, start: usize) -> Option<Self> {
        let rest = text.get(start..).filter(|rest| rest.starts_with('"'))?;
        Scanner::new(rest).value().ok()
    }

    /// The text.
    pub fn get(self) -> &'a str {
        self.0
    }

    /// Whether the value is `null`.
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// Whether the value is a string.
    pub fn is_string(self) -> bool {
        self.0.starts_with('"')
    }

    /// Whether the value is an object.
    pub fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// Whether the value is a list.
    pub fn is_list(self) -> bool {
        self.0.starts_with('[')
    }

    /// What stands between the quotes of a string, escapes as written.
    pub fn escaped(self) -> Option<&'a str> {
        self.0.strip_prefix('"')?.strip_suffix('"')
    }

    /// The string a value holds, if it holds one.
    pub fn string(self) -> Option<Cow<'a, str>> {
        unescape(self.escaped()?)
    }

    /// A boolean value.
    pub fn boolean(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// A list as its elements; `None` when the value is something else.
    pub fn list(self) -> Option<Vec<Self>> {
        Scanner::trusting(self.0).values().ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|value| Self(value.get()))
    }
}

fn utf8(text: &[u8]) -> Result<&str, Malformed> {
    // The first look is fast, the second one says where it is wrong.
    let utf8 = simdutf8::basic::from_utf8(text).or_else(|_| std::str::from_utf8(text));
    utf8.map_err(|error| Malformed::Syntax(format!("the body is not UTF-8: {error}")))
}

/// A string's text without its escapes; `None` when they name no character.
pub(crate) fn unescape(escaped: &str) -> Option<Cow<'_, str>> {
    if !escaped.contains('\\') {
        return Some(Cow::Borrowed(escaped));
    }
    serde_json::from_str::<String>(&format!("\"{escaped}\"")).ok().map(Cow::Owned)
}

/// A field: its name and its value.
type Member<'a> = (Cow<'a, str>, Raw<'a>);

/// The fields of an object, in the order written.
#[derive(Clone, Copy)]
pub struct Members<'s, 'a>(&'s [Member<'a>]);

shape!(Members<'_, '_>, it => "Members({})", it.0.len());

impl<'s, 'a> Members<'s, 'a> {
    /// The value of a field, absent and `null` being different things.
    #[inline]
    pub fn get(self, name: &str) -> Option<Raw<'a>> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The value of a field; `null` counts as absent.
    #[inline]
    pub fn some(self, name: &str) -> Option<Raw<'a>> {
        self.get(name).filter(|value| !value.is_null())
    }

    /// The field as a string, if it is one.
    #[inline]
    pub fn string(self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(Raw::string)
    }

    /// The fields in the order written.
    pub fn iter(self) -> impl Iterator<Item = (&'s str, Raw<'a>)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), *value))
    }
}

/// An object as the list of its fields, in the order written. A field that was written twice
/// keeps its first place and its last value.
#[derive(Default, Clone)]
pub struct Object<'a> {
    fields: Vec<Member<'a>>,
}

shape!(Object<'_>, it => "Object({} fields)", it.fields.len());

impl<'a> Object<'a> {
    /// Reads one object that is a whole text.
    ///
    /// # Errors
    ///
    /// When it is something else, not UTF-8 or nested too deeply.
    pub fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        Self::checked(utf8(text)?)
    }

    fn checked(text: &'a str) -> Result<Self, Malformed> {
        let mut scanner = Scanner::new(text);
        let fields = scanner.fields().and_then(|fields| scanner.end().map(|()| fields));
        Ok(Self::of_fields(fields.map_err(|_| scanner.explain())?))
    }

    /// Reads an object that is part of valid JSON; `None` when it is something else.
    pub fn of(value: Raw<'a>) -> Option<Self> {
        Scanner::trusting(value.0).fields().ok().map(Self::of_fields)
    }

    /// Reads a text; `None` when it is not one JSON object.
    pub fn of_text(text: &'a str) -> Option<Self> {
        Self::checked(text).ok()
    }

    /// Reads a text together with the object under one of its names; `None` when either is
    /// something else.
    pub fn with_member(text: &'a str, name: &str) -> Option<(Self, Self)> {
        let mut scanner = Scanner::new(text);
        let (fields, member) = scanner.fields_with(name).ok()?;
        scanner.end().ok()?;
        Some((Self::of_fields(fields), Self::of_fields(member?)))
    }

    /// Its fields.
    #[inline]
    pub fn members(&self) -> Members<'_, 'a> {
        Members(&self.fields)
    }

    /// The value of a field, absent and `null` being different things.
    pub fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.members().get(name)
    }

    /// The value of a field; `null` counts as absent.
    pub fn some(&self, name: &str) -> Option<Raw<'a>> {
        self.members().some(name)
    }

    /// The field as a string, if it is one.
    pub fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        self.members().string(name)
    }

    /// The fields in the order written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Raw<'a>)> {
        self.members().iter()
    }

    /// The fields in the order written, by value.
    pub fn into_fields(self) -> Vec<(Cow<'a, str>, Raw<'a>)> {
        self.fields
    }

    fn of_fields(mut fields: Vec<Member<'a>>) -> Self {
        keep_last_of_each(&mut fields, 0);
        Self { fields }
    }
}

/// Of the fields from `first` on that were written more than once, keeps the first place and the
/// last value.
fn keep_last_of_each<V>(fields: &mut Vec<(Cow<'_, str>, V)>, first: usize) {
    if are_distinct(fields.get(first..).unwrap_or_default()) {
        return;
    }
    let mut places: HashMap<Cow<'_, str>, usize> = HashMap::new();
    for (key, value) in fields.split_off(first) {
        if let Some(slot) = places.get(&key).and_then(|place| fields.get_mut(*place)) {
            slot.1 = value;
        } else {
            places.insert(key.clone(), fields.len());
            fields.push((key, value));
        }
    }
}

/// Whether no name is written twice; of many fields, no answer is not said.
fn are_distinct<V>(fields: &[(Cow<'_, str>, V)]) -> bool {
    // Names that differ in this are different: mostly, all do.
    let mark = |name: &str| {
        let ends = name.as_bytes().first().zip(name.as_bytes().last());
        let ends = ends.map_or(0, |(first, last)| usize::from(*first) * 3 + usize::from(*last));
        1_u64 << ((ends + name.len()) % 64)
    };
    let mut marks = 0;
    let differ = fields.iter().all(|(name, _)| {
        let before = marks;
        marks |= mark(name);
        marks != before
    });
    differ || (fields.len() <= FEW_FIELDS && differ_by_pairs(fields))
}

fn differ_by_pairs<V>(mut fields: &[(Cow<'_, str>, V)]) -> bool {
    while let Some(((key, _), rest)) = fields.split_first() {
        if rest.iter().any(|(other, _)| other == key) {
            return false;
        }
        fields = rest;
    }
    true
}

/// Appends `text` as a JSON string.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    write_escaped(out, text);
    out.push('"');
}

/// Appends `text` with the escapes of a JSON string, without its quotes.
pub fn write_escaped(out: &mut String, text: &str) {
    if run::is_plain(text) {
        out.push_str(text);
        return;
    }
    let quoted = serde_json::Value::from(text).to_string();
    out.push_str(quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or_default());
}

/// Splits valid JSON behind the opening quote of a string: what the string holds, escapes as
/// written, and what follows its closing quote.
pub fn split_string(inside: &str) -> Option<(&str, &str)> {
    let end = run::closing_quote(inside.as_bytes(), 0)?;
    Some((inside.get(..end)?, inside.get(end + 1..)?))
}

/// `text` with the escapes of a JSON string, without its quotes.
pub fn escape(text: &str) -> Cow<'_, str> {
    if run::is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    write_escaped(&mut out, text);
    Cow::Owned(out)
}

/// Values as a JSON list.
pub fn list(values: &[impl AsRef<str>]) -> String {
    let room = values.iter().map(|value| value.as_ref().len() + 1).sum::<usize>();
    let mut out = String::with_capacity(room + 2);
    out.push('[');
    for value in values {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(value.as_ref());
    }
    out.push(']');
    out
}

/// `text` as a JSON string.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    out
}

/// Writes one object, field by field.
pub struct Writer {
    out: String,
}

shape!(Writer, it => "Writer({} bytes)", it.out.len());

impl Writer {
    /// Starts an object with room for `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        let mut out = String::with_capacity(capacity);
        out.push('{');
        Self { out }
    }

    /// Starts a field; the caller then appends its value.
    pub fn field(&mut self, name: &str) -> &mut String {
        if self.out.len() > 1 {
            self.out.push(',');
        }
        write_string(&mut self.out, name);
        self.out.push(':');
        &mut self.out
    }

    /// Appends a field whose value is JSON already.
    pub fn raw(&mut self, name: &str, value: &str) {
        self.field(name).push_str(value);
    }

    /// Appends a field with a string.
    pub fn string(&mut self, name: &str, value: &str) {
        write_string(self.field(name), value);
    }

    /// Ends the object.
    pub fn finish(self) -> Vec<u8> {
        self.finish_text().into_bytes()
    }

    /// Ends the object as text.
    pub fn finish_text(mut self) -> String {
        self.out.push('}');
        self.out
    }
}

#[cfg(test)]
mod tests;
