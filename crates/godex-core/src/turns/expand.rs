//! A request whose client names earlier turns and items becomes the whole conversation: what it
//! goes on from is put in front, what it refers to is put in its place.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::kept::Kept;
use super::sequence::{Held, Meter, Sequence};
use crate::codex::draft::{Draft, Item, Kind};

/// What a request names instead of sending it.
#[derive(Debug, Default)]
pub struct Recalled {
    previous: Option<Arc<Sequence>>,
    /// What the references stand for, in order.
    references: Vec<Held>,
}

/// Where the items of an expanded request come from.
#[derive(Debug, Default)]
pub struct Origins<'r> {
    /// The turn it goes on from.
    pub(super) previous: Option<&'r Arc<Sequence>>,
    /// For each item the one that is held already; empty when there are none.
    items: Vec<Option<&'r Held>>,
}

/// The ids that a request refers to.
pub fn references<'d>(draft: &'d Draft<'_>) -> Vec<&'d str> {
    let ids = draft.items.iter().filter_map(|item| match &item.kind {
        Kind::Reference(id) => Some(id.as_ref()),
        Kind::User
        | Kind::Developer
        | Kind::Assistant
        | Kind::Call(_)
        | Kind::Output(_)
        | Kind::Other => None,
    });
    ids.collect()
}

impl Recalled {
    pub(super) fn new(previous: Option<Arc<Sequence>>, references: Vec<Held>) -> Self {
        Self { previous, references }
    }

    /// Completes the input. An item that is there already is not repeated; one that says something
    /// else under the same id goes as well, without the id.
    pub fn expand<'a>(&'a self, draft: &mut Draft<'a>) -> Origins<'a> {
        let previous = self.previous.as_ref().map(|previous| (previous, previous.items()));
        let previous = previous.filter(|(turn, items)| !repeats(draft, turn, items));
        if previous.is_none() && self.references.is_empty() {
            return Origins::default();
        }
        let mut out = Expansion::default();
        if let Some((_, earlier)) = &previous {
            // What stood at the head of this input now stands in the middle of a conversation.
            draft.unhoist();
            for held in earlier {
                out.put(held, draft);
            }
        }
        let items = std::mem::take(&mut draft.items);
        let mut named = std::mem::take(&mut draft.ids).into_iter().peekable();
        let mut references = self.references.iter();
        for (place, item) in items.into_iter().enumerate() {
            let id = named.next_if(|(at, _)| *at == place).map(|(_, id)| id);
            if matches!(item.kind, Kind::Reference(_)) {
                if let Some(held) = references.next()
                    && held.kept().id.is_none_or(|id| !out.seen.contains_key(id))
                {
                    out.put(held, draft);
                }
            } else {
                out.take(item, id, draft);
            }
        }
        draft.items = out.items;
        Origins { previous: previous.map(|(turn, _)| turn), items: out.origins }
    }
}

/// Whether the client sends the conversation although it names it: its input begins with all of
/// the earlier one, and goes on with what the model said to that.
fn repeats(draft: &Draft<'_>, previous: &Sequence, items: &[&Held]) -> bool {
    let Some(asked) = items.get(..previous.input()) else { return false };
    let unknown = Origins::default();
    let sent = Input::new(draft, &unknown);
    sent.shared(asked) == asked.len()
        && sent.items().nth(asked.len()).is_some_and(|(item, ..)| match item.kind {
            Kind::Assistant | Kind::Call(_) | Kind::Reference(_) | Kind::Other => true,
            Kind::User | Kind::Developer | Kind::Output(_) => false,
        })
}

/// An input while it is completed.
#[derive(Default)]
struct Expansion<'a> {
    items: Vec<Item<'a>>,
    origins: Vec<Option<&'a Held>>,
    /// The ids so far.
    seen: HashMap<Cow<'a, str>, Seen>,
}

/// Where the item of an id is.
enum Seen {
    Input(usize),
    Hoisted(usize),
    /// It cannot be replayed.
    LeftOut,
}

impl<'a> Expansion<'a> {
    /// Puts an earlier item at the end.
    fn put(&mut self, held: &'a Held, draft: &mut Draft<'a>) {
        let kept = held.kept();
        let id = kept.id;
        let place = if kept.json.is_empty() {
            // Reasoning that came without its encrypted content.
            draft.drop_named(id.unwrap_or_default());
            Seen::LeftOut
        } else if kept.hoisted {
            draft.hoist_recalled(kept.texts(), kept.into_item());
            Seen::Hoisted(draft.hoisted.len() - 1)
        } else {
            self.items.push(kept.into_item());
            self.origins.push(Some(held));
            Seen::Input(self.items.len() - 1)
        };
        self.seen.extend(id.map(|id| (Cow::Borrowed(id), place)));
    }

    /// Takes an item of the request.
    fn take(&mut self, mut item: Item<'a>, id: Option<Cow<'a, str>>, draft: &mut Draft<'a>) {
        if let Some(id) = id {
            let known = self.seen.get(&id).and_then(|place| match place {
                Seen::Input(at) => self.items.get(*at),
                Seen::Hoisted(at) => draft.hoisted.get(*at).map(|(_, item)| item),
                Seen::LeftOut => None,
            });
            match known {
                Some(known) if known.repeats(&item) => return,
                Some(_) => item.remove_id(),
                None => {
                    self.seen.insert(id.clone(), Seen::Input(self.items.len()));
                    draft.ids.push((self.items.len(), id));
                }
            }
        }
        self.items.push(item);
        self.origins.push(None);
    }
}

/// All that a request says, for keeping it.
pub(super) struct Input<'d, 'a> {
    draft: &'d Draft<'a>,
    origins: &'d Origins<'d>,
}

impl<'d, 'a> Input<'d, 'a> {
    pub(super) fn new(draft: &'d Draft<'a>, origins: &'d Origins<'d>) -> Self {
        Self { draft, origins }
    }

    /// The items, whether each became instructions, and the one that is held already.
    fn items(&self) -> impl Iterator<Item = (&'d Item<'a>, bool, Option<&'d Held>)> {
        let origins = self.origins.items.iter().copied().chain(std::iter::repeat(None));
        let hoisted = self.draft.hoisted.iter().map(|(_, item)| (item, true, None));
        hoisted.chain(self.draft.items.iter().zip(origins).map(|(it, origin)| (it, false, origin)))
    }

    /// With how many of these items it begins.
    pub(super) fn shared(&self, held: &[&Held]) -> usize {
        let same = |((item, hoisted, _), held): &((&Item<'a>, bool, _), &&Held)| {
            held.kept().is(item, *hoisted)
        };
        self.items().zip(held).take_while(same).count()
    }

    /// The items behind the first `shared` ones, held: `new` are those that were not yet.
    pub(super) fn held(&self, shared: usize, new: &[Kept<'_>], meter: &Arc<Meter>) -> Vec<Held> {
        let new = Held::all(meter, new);
        if self.origins.items.is_empty() {
            return new;
        }
        let mut new = new.into_iter();
        let all = self.items().skip(shared);
        all.filter_map(|(_, _, origin)| origin.cloned().or_else(|| new.next())).collect()
    }

    /// The items behind the first `shared` ones that are not held yet.
    pub(super) fn new_items(&self, shared: usize) -> Vec<Kept<'d>> {
        let first = self.draft.hoisted.len();
        let mut named = self.draft.ids.iter().peekable();
        let items = self.items().enumerate().skip(shared);
        let new = items.filter(|(_, (_, _, origin))| origin.is_none());
        let most = (first + self.draft.items.len()).saturating_sub(shared);
        let mut kept = Vec::with_capacity(most);
        kept.extend(new.map(|(place, (item, hoisted, _))| {
            while named.next_if(|(at, _)| first + at < place).is_some() {}
            let id = named.next_if(|(at, _)| first + at == place).map(|(_, id)| id.as_ref());
            Kept { id, kind: item.kind.borrowed(), json: &item.json, hoisted }
        }));
        kept
    }
}
