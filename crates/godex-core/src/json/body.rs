//! The body of a request: one object, read in one pass together with the lists and the objects
//! in them, which make up nearly all of a request. All their members lie in one row, and so do
//! all their elements: a body of a hundred items takes no more memory blocks than one of two.

use std::borrow::Cow;

use super::scan::Scanner;
use super::{Malformed, Member, Members, Raw, keep_last_of_each, utf8};

/// The elements of lists, and the members of the objects among them.
#[derive(Default, Clone)]
pub(super) struct Rows<'a> {
    pub(super) parts: Vec<Part<'a>>,
    pub(super) members: Vec<Member<'a>>,
    /// Objects under this name are taken apart too, if they are members of an element.
    pub(super) inner: Option<&'static str>,
    pub(super) inner_members: Vec<Member<'a>>,
}

/// A value of which more is known.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) raw: Raw<'a>,
    /// Of an object, its members; of a list in a body, its elements: the first, and how many.
    pub(super) inside: (u32, u32),
    /// Of an object, the members of the one in it that is taken apart too.
    pub(super) inner: Option<(u32, u32)>,
}

impl<'a> From<Raw<'a>> for Part<'a> {
    fn from(raw: Raw<'a>) -> Self {
        Self { raw, inside: (0, 0), inner: None }
    }
}

impl<'a> Rows<'a> {
    /// Rows for a text of so many bytes.
    fn of(length: usize, inner: Option<&'static str>) -> Self {
        let most = (length / 128).clamp(8, 4096);
        let (parts, members) = (Vec::with_capacity(most / 4), Vec::with_capacity(most));
        Self { parts, members, inner, inner_members: Vec::new() }
    }

    fn list(&self, inside: (u32, u32)) -> List<'_, 'a> {
        List { parts: stretch(&self.parts, inside), rows: self }
    }
}

fn stretch<T>(row: &[T], (first, count): (u32, u32)) -> &[T] {
    row.get(first as usize..).and_then(|rest| rest.get(..count as usize)).unwrap_or_default()
}

/// A body. A field that was written twice keeps its first place and its last value.
#[derive(Clone)]
pub struct Body<'a> {
    fields: Vec<(Cow<'a, str>, Part<'a>)>,
    rows: Rows<'a>,
}

shape!(Body<'_>, it => "Body({} fields)", it.fields.len());

impl<'a> Body<'a> {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// When it is not one JSON object, not UTF-8 or nested too deeply.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        Self::read(body, None)
    }

    /// Reads a body together with the objects that elements of its lists have under one name.
    ///
    /// # Errors
    ///
    /// When it is not one JSON object, not UTF-8 or nested too deeply.
    pub fn with_inner(body: &'a [u8], name: &'static str) -> Result<Self, Malformed> {
        Self::read(body, Some(name))
    }

    fn read(body: &'a [u8], inner: Option<&'static str>) -> Result<Self, Malformed> {
        let text = utf8(body)?;
        let mut scanner = Scanner::new(text);
        let mut rows = Rows::of(text.len(), inner);
        let fields = scanner.body(&mut rows).and_then(|fields| scanner.end().map(|()| fields));
        let mut fields = fields.map_err(|_| scanner.explain())?;
        keep_last_of_each(&mut fields, 0);
        Ok(Self { fields, rows })
    }

    /// The value of a field; `null` counts as absent.
    pub fn some(&self, name: &str) -> Option<Value<'_, 'a>> {
        let value = self.fields().find(|(key, _)| *key == name).map(|(_, value)| value);
        value.filter(|value| !value.raw.is_null())
    }

    /// The fields in the order written.
    pub fn fields(&self) -> impl Iterator<Item = (&Cow<'a, str>, Value<'_, 'a>)> {
        self.fields.iter().map(|(name, part)| {
            let list = part.raw.is_list().then(|| self.rows.list(part.inside));
            (name, Value { raw: part.raw, list })
        })
    }
}

/// The value of a field of a [`Body`].
#[derive(Clone, Copy)]
pub struct Value<'s, 'a> {
    /// Its text.
    pub raw: Raw<'a>,
    /// What is in it, if it is a list.
    pub list: Option<List<'s, 'a>>,
}

shape!(Value<'_, '_>, it => "Value({} bytes)", it.raw.0.len());

/// The elements of a list.
#[derive(Clone, Copy)]
pub struct List<'s, 'a> {
    parts: &'s [Part<'a>],
    rows: &'s Rows<'a>,
}

shape!(List<'_, '_>, it => "List({})", it.parts.len());

impl<'s, 'a> List<'s, 'a> {
    /// How many there are.
    pub fn len(self) -> usize {
        self.parts.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.parts.is_empty()
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Element<'s, 'a>> {
        self.parts.iter().map(move |part| {
            let object = part.raw.is_object();
            let object = object.then(|| Members(stretch(&self.rows.members, part.inside)));
            let inner = part.inner.map(|it| Members(stretch(&self.rows.inner_members, it)));
            Element { raw: part.raw, object, inner }
        })
    }
}

/// One element of a list.
#[derive(Clone, Copy)]
pub struct Element<'s, 'a> {
    /// Its text.
    pub raw: Raw<'a>,
    /// Its members, if it is an object.
    pub object: Option<Members<'s, 'a>>,
    /// The members of the object in it that was asked for, if there is one.
    pub inner: Option<Members<'s, 'a>>,
}

shape!(Element<'_, '_>, it => "Element({} bytes)", it.raw.0.len());

/// A list by itself, the objects among its elements taken apart.
#[derive(Clone)]
pub struct Elements<'a>(Rows<'a>);

shape!(Elements<'_>, it => "Elements({})", it.0.parts.len());

impl<'a> Elements<'a> {
    /// Takes a list apart; `None` when the value is something else.
    pub fn of(value: Raw<'a>) -> Option<Self> {
        Self::read(value, None)
    }

    /// Takes a list apart together with the objects that its elements have under one name; `None`
    /// when the value is something else.
    pub fn with_inner(value: Raw<'a>, name: &'static str) -> Option<Self> {
        Self::read(value, Some(name))
    }

    fn read(value: Raw<'a>, inner: Option<&'static str>) -> Option<Self> {
        let mut rows = Rows::of(0, inner);
        Scanner::trusting(value.0).parts(&mut rows).ok()?;
        Some(Self(rows))
    }

    /// The elements.
    pub fn list(&self) -> List<'_, 'a> {
        List { parts: &self.0.parts, rows: &self.0 }
    }
}
