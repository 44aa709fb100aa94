//! JSON kept as pieces of its own text: an object is the list of its fields, each value the
//! bytes the client wrote. What nobody needs to understand is copied, never rebuilt.

mod run;
mod scan;

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::{Deserialize, Deserializer};
use serde_json::value::RawValue;

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
        value.map_err(|fault| fault.explain(text))
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

    /// A list as its elements, the objects among them taken apart on the way; `None` when the
    /// value is something else.
    pub fn elements(self) -> Option<Vec<Element<'a>>> {
        Scanner::trusting(self.0).elements(0).ok()
    }

    /// A list as its elements; `None` when the value is something else.
    pub fn list(self) -> Option<Vec<Self>> {
        Scanner::trusting(self.0).values().ok()
    }
}

/// The value of a field of a [`Body`].
#[derive(Clone)]
pub struct Value<'a> {
    raw: Raw<'a>,
    /// What is in it, if it is a list.
    elements: Option<Vec<Element<'a>>>,
}

shape!(Value<'_>, it => "Value({} bytes)", it.raw.0.len());

impl<'a> Value<'a> {
    /// Its text.
    pub fn raw(&self) -> Raw<'a> {
        self.raw
    }

    /// Its elements; `None` when it is no list of a [`Body`].
    pub fn elements(&self) -> Option<&[Element<'a>]> {
        self.elements.as_deref()
    }

    /// Its elements; `None` when it is no list.
    pub fn into_elements(self) -> Option<Vec<Element<'a>>> {
        self.elements.or_else(|| self.raw.elements())
    }
}

impl<'a> From<Raw<'a>> for Value<'a> {
    fn from(raw: Raw<'a>) -> Self {
        Self { raw, elements: None }
    }
}

/// The body of a request: one object, read in one pass together with the lists and the
/// objects in them, which make up nearly all of a request. A field that was written twice
/// keeps its first place and its last value.
#[derive(Clone)]
pub struct Body<'a> {
    fields: Vec<(Cow<'a, str>, Value<'a>)>,
}

shape!(Body<'_>, it => "Body({} fields)", it.fields.len());

impl<'a> Body<'a> {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// When it is not one JSON object, not UTF-8 or nested too deeply.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let text = utf8(body)?;
        let mut scanner = Scanner::new(text);
        let fields = scanner.body().and_then(|fields| scanner.end().map(|()| fields));
        let mut fields = fields.map_err(|fault| fault.explain(text))?;
        keep_last_of_each(&mut fields);
        Ok(Self { fields })
    }

    /// The value of a field; `null` counts as absent.
    pub fn some(&self, name: &str) -> Option<&Value<'a>> {
        let field = self.fields.iter().find(|(key, _)| key == name);
        field.map(|(_, value)| value).filter(|value| !value.raw.is_null())
    }

    /// The fields in the order written.
    pub fn into_fields(self) -> Vec<(Cow<'a, str>, Value<'a>)> {
        self.fields
    }
}

/// One element of a list.
#[derive(Clone)]
pub struct Element<'a> {
    /// Its text.
    pub raw: Raw<'a>,
    /// Its fields, if it is an object.
    pub object: Option<Object<'a>>,
}

shape!(Element<'_>, it => "Element({} bytes)", it.raw.0.len());

impl<'a> Element<'a> {
    /// One value by itself.
    pub fn of(raw: Raw<'a>) -> Self {
        Self { raw, object: Object::of(raw) }
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

/// An object as the list of its fields, in the order written. A field that was written twice
/// keeps its first place and its last value.
#[derive(Default, Clone)]
pub struct Object<'a> {
    fields: Vec<(Cow<'a, str>, Raw<'a>)>,
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
        Ok(Self::of_fields(fields.map_err(|fault| fault.explain(text))?))
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

    /// The value of a field, absent and `null` being different things.
    pub fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The value of a field; `null` counts as absent.
    pub fn some(&self, name: &str) -> Option<Raw<'a>> {
        self.get(name).filter(|value| !value.is_null())
    }

    /// The field as a string, if it is one.
    pub fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(Raw::string)
    }

    /// The fields in the order written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Raw<'a>)> {
        self.fields.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// The fields in the order written, by value.
    pub fn into_fields(self) -> Vec<(Cow<'a, str>, Raw<'a>)> {
        self.fields
    }

    fn of_fields(mut fields: Vec<(Cow<'a, str>, Raw<'a>)>) -> Self {
        keep_last_of_each(&mut fields);
        Self { fields }
    }
}

/// Of fields that were written more than once, keeps the first place and the last value.
fn keep_last_of_each<V>(fields: &mut Vec<(Cow<'_, str>, V)>) {
    if !has_duplicates(fields) {
        return;
    }
    let mut places: HashMap<Cow<'_, str>, usize> = HashMap::new();
    let mut kept: Vec<(Cow<'_, str>, V)> = Vec::with_capacity(fields.len());
    for (key, value) in fields.drain(..) {
        if let Some(slot) = places.get(&key).and_then(|place| kept.get_mut(*place)) {
            slot.1 = value;
        } else {
            places.insert(key.clone(), kept.len());
            kept.push((key, value));
        }
    }
    *fields = kept;
}

fn has_duplicates<V>(fields: &[(Cow<'_, str>, V)]) -> bool {
    if fields.len() > FEW_FIELDS {
        return true;
    }
    let mut rest = fields;
    while let Some(((key, _), tail)) = rest.split_first() {
        if tail.iter().any(|(other, _)| other == key) {
            return true;
        }
        rest = tail;
    }
    false
}

/// Appends `text` as a JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
}

/// Appends `text` with the escapes of a JSON string, without its quotes.
pub fn write_escaped(out: &mut Vec<u8>, text: &str) {
    if run::is_plain(text) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or_default();
    out.extend_from_slice(inner.as_bytes());
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
    let mut out = Vec::with_capacity(text.len() + 16);
    write_escaped(&mut out, text);
    Cow::Owned(String::from_utf8(out).unwrap_or_default())
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
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

/// Writes one object, field by field.
pub struct Writer {
    out: Vec<u8>,
}

shape!(Writer, it => "Writer({} bytes)", it.out.len());

impl Writer {
    /// Starts an object with room for `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.push(b'{');
        Self { out }
    }

    /// Starts a field; the caller then appends its value.
    pub fn field(&mut self, name: &str) -> &mut Vec<u8> {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        write_string(&mut self.out, name);
        self.out.push(b':');
        &mut self.out
    }

    /// Appends a field whose value is JSON already.
    pub fn raw(&mut self, name: &str, value: &str) {
        self.field(name).extend_from_slice(value.as_bytes());
    }

    /// Appends a field with a string.
    pub fn string(&mut self, name: &str, value: &str) {
        write_string(self.field(name), value);
    }

    /// Ends the object.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    /// Ends the object as text.
    pub fn finish_text(self) -> String {
        String::from_utf8(self.finish()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
