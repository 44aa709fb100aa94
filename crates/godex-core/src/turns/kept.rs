//! Items as they are kept: ready to be sent once more.

use std::borrow::Cow;
use std::fmt;

use crate::codex::content;
use crate::codex::draft::{Item, Kind};
use crate::json::Object;

/// An item as it is kept.
pub struct Kept<'k> {
    /// Its id, as its client knows it.
    pub id: Option<&'k str>,
    /// What kind of item it is.
    pub kind: Kind<'k>,
    /// The item as it goes upstream; empty for one that has a name, but nothing to replay.
    pub json: &'k str,
    /// It was a leading message, which goes upstream as instructions.
    pub hoisted: bool,
}

impl fmt::Debug for Kept<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} bytes)", self.json.len())
    }
}

impl<'k> Kept<'k> {
    /// An item of an answer.
    pub fn of_answer(id: Option<&'k str>, item: &'k Item<'_>) -> Self {
        Self { id, kind: item.kind.borrowed(), json: &item.json, hoisted: false }
    }

    /// The item for another request.
    pub(super) fn into_item(self) -> Item<'k> {
        Item { kind: self.kind, json: Cow::Borrowed(self.json) }
    }

    /// The texts of a message that goes as instructions.
    pub(super) fn texts(&self) -> Vec<Cow<'k, str>> {
        let content = Object::of_text(self.json).and_then(|message| message.get("content"));
        let texts = content.and_then(content::texts).unwrap_or_default();
        texts.into_iter().map(Cow::Borrowed).collect()
    }

    /// Whether it is this item of a request.
    pub(super) fn is(&self, item: &Item<'_>, hoisted: bool) -> bool {
        let (one, other): (&str, &str) = (self.json, &item.json);
        self.hoisted == hoisted && (std::ptr::eq(one, other) || one == other)
    }
}
