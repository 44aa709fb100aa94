//! Conversations as turns that go on from one another: what two turns have in common is held
//! once, and whatever is held is counted for as long as it lives.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::kept::Kept;
use crate::codex::draft::{Call, Kind};

/// What an item costs beside its text and its ids.
const ITEM_BYTES: usize = 224;
/// What an item's name costs beside itself.
const NAME_BYTES: usize = 128;
/// What a turn costs beside its items.
const SEQUENCE_BYTES: usize = 160;

/// How many bytes are held for one key, and for all keys together.
#[derive(Debug, Default)]
pub(super) struct Meter {
    own: AtomicUsize,
    /// Those of `own` that belong to requests under way: no turn gives them back.
    under_way: AtomicUsize,
    all: Arc<AtomicUsize>,
}

impl Meter {
    pub(super) fn new(all: &Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self { all: Arc::clone(all), ..Self::default() })
    }

    pub(super) fn own(&self) -> usize {
        self.own.load(Ordering::Relaxed)
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }
}

/// Bytes of a request under way, until dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    meter: Arc<Meter>,
    bytes: usize,
}

impl UnderWay {
    pub(super) fn new(meter: &Arc<Meter>) -> Self {
        Self { meter: Arc::clone(meter), bytes: 0 }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.meter.under_way.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.meter.under_way.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes on a meter, until dropped.
#[derive(Debug)]
pub(super) struct Charge {
    meter: Arc<Meter>,
    bytes: usize,
}

impl Charge {
    pub(super) fn new(meter: &Arc<Meter>, bytes: usize) -> Self {
        meter.own.fetch_add(bytes, Ordering::Relaxed);
        meter.all.fetch_add(bytes, Ordering::Relaxed);
        Self { meter: Arc::clone(meter), bytes }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.meter.own.fetch_sub(self.bytes, Ordering::Relaxed);
        self.meter.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Items that came together, in one piece of text.
struct Block {
    text: Box<str>,
    entries: Vec<Entry>,
    _charge: Charge,
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} items, {} bytes)", self.entries.len(), self.text.len())
    }
}

/// An item of a block. What is written of it follows one another in the text, behind what is
/// written of the item before.
struct Entry {
    /// Where the item ends.
    json_end: usize,
    /// Where its id ends, if it has one.
    id_end: Option<usize>,
    /// Where the id ends that its kind has; nothing of the entry comes behind it.
    end: usize,
    kind: KindOf,
    hoisted: bool,
}

/// A [`Kind`] without the id that some have.
#[derive(Clone, Copy)]
enum KindOf {
    User,
    Developer,
    Assistant,
    Call { custom: bool },
    Output { custom: bool },
    Reference,
    Other,
}

impl KindOf {
    /// The kind, and its id.
    fn of<'k>(kind: &'k Kind<'_>) -> (Self, &'k str) {
        match kind {
            Kind::User => (Self::User, ""),
            Kind::Developer => (Self::Developer, ""),
            Kind::Assistant => (Self::Assistant, ""),
            Kind::Call(call) => (Self::Call { custom: call.custom }, &call.id),
            Kind::Output(call) => (Self::Output { custom: call.custom }, &call.id),
            Kind::Reference(id) => (Self::Reference, id),
            Kind::Other => (Self::Other, ""),
        }
    }

    /// The kind with its id.
    fn with(self, id: &str) -> Kind<'_> {
        let call = |custom| Call { id: Cow::Borrowed(id), custom };
        match self {
            Self::User => Kind::User,
            Self::Developer => Kind::Developer,
            Self::Assistant => Kind::Assistant,
            Self::Call { custom } => Kind::Call(call(custom)),
            Self::Output { custom } => Kind::Output(call(custom)),
            Self::Reference => Kind::Reference(Cow::Borrowed(id)),
            Self::Other => Kind::Other,
        }
    }
}

/// An item that is held.
#[derive(Clone)]
pub(super) struct Held {
    block: Arc<Block>,
    place: usize,
}

shape!(Held, it => "Held({:?})", it.kept());

impl Held {
    /// Holds items that came together.
    pub(super) fn all(meter: &Arc<Meter>, items: &[Kept<'_>]) -> Vec<Self> {
        if items.is_empty() {
            return Vec::new();
        }
        let cost = items.iter().map(Self::cost).sum();
        let lengths = items
            .iter()
            .map(|it| it.json.len() + it.id.map_or(0, str::len) + KindOf::of(&it.kind).1.len());
        let mut text = String::with_capacity(lengths.sum());
        let entries = items.iter().map(|it| {
            text.push_str(it.json);
            let json_end = text.len();
            text.push_str(it.id.unwrap_or_default());
            let id_end = it.id.map(|_| text.len());
            let (kind, id) = KindOf::of(&it.kind);
            text.push_str(id);
            Entry { json_end, id_end, end: text.len(), kind, hoisted: it.hoisted }
        });
        let entries: Vec<Entry> = entries.collect();
        let count = entries.len();
        let text = text.into_boxed_str();
        let block = Arc::new(Block { text, entries, _charge: Charge::new(meter, cost) });
        (0..count).map(|place| Self { block: Arc::clone(&block), place }).collect()
    }

    /// What an item costs.
    pub(super) fn cost(item: &Kept<'_>) -> usize {
        let named = KindOf::of(&item.kind).1.len();
        // An id stands with its item and among the names by which items are found.
        let name = item.id.map_or(0, |id| 2 * id.len() + NAME_BYTES);
        ITEM_BYTES + item.json.len() + name + named
    }

    /// Where the item is found for as long as anybody holds it.
    pub(super) fn place(&self) -> Place {
        Place { block: Arc::downgrade(&self.block), at: self.place }
    }

    /// The item.
    pub(super) fn kept(&self) -> Kept<'_> {
        let Block { text, entries, .. } = &*self.block;
        let Some(entry) = entries.get(self.place) else {
            return Kept { id: None, kind: Kind::Other, json: "", hoisted: false };
        };
        let before = self.place.checked_sub(1).and_then(|place| entries.get(place));
        let piece = |start: usize, end: usize| text.get(start..end).unwrap_or_default();
        let kind = entry.kind.with(piece(entry.id_end.unwrap_or(entry.json_end), entry.end));
        Kept {
            id: entry.id_end.map(|end| piece(entry.json_end, end)),
            kind,
            json: piece(before.map_or(0, |it| it.end), entry.json_end),
            hoisted: entry.hoisted,
        }
    }
}

/// Where an item is, if it is still held.
pub(super) struct Place {
    block: Weak<Block>,
    at: usize,
}

impl Place {
    /// The item.
    pub(super) fn held(&self) -> Option<Held> {
        Some(Held { block: self.block.upgrade()?, place: self.at })
    }

    /// Whether nobody holds the item any more.
    pub(super) fn is_gone(&self) -> bool {
        self.block.strong_count() == 0
    }
}

/// The items of a conversation up to one answer.
pub(super) struct Sequence {
    base: Option<Arc<Sequence>>,
    /// How many items of the base it begins with.
    shared: usize,
    own: Vec<Held>,
    /// How many of its items were the request's.
    input: usize,
    _charge: Charge,
}

shape!(Sequence, it => "Sequence({} items)", it.len());

impl Sequence {
    /// The items that begin with the first `shared` ones of `base` and go on with `own`. What is
    /// taken nothing or little from is not kept alive for it.
    pub(super) fn new(
        meter: &Arc<Meter>,
        base: Option<(Arc<Self>, usize)>,
        own: Vec<Held>,
    ) -> Self {
        let (mut base, mut shared, mut own) = match base {
            Some((base, shared)) => (Some(base), shared, own),
            None => (None, 0, own),
        };
        while let Some(link) = &base
            && shared <= link.shared
        {
            base = link.base.clone();
        }
        if let Some(link) = base.take_if(|link| 2 * (shared - link.shared) < link.own.len()) {
            let taken = link.own.iter().take(shared - link.shared).cloned();
            own = taken.chain(own).collect();
            (base, shared) = (link.base.clone(), link.shared);
        }
        let input = shared + own.len();
        let charge = Charge::new(meter, Self::cost(own.len()));
        Self { base, shared, own, input, _charge: charge }
    }

    pub(super) fn cost(own: usize) -> usize {
        SEQUENCE_BYTES + own * size_of::<Held>()
    }

    /// Adds items of the answer.
    pub(super) fn answer(&mut self, items: impl IntoIterator<Item = Held>) {
        self.own.extend(items);
    }

    pub(super) fn len(&self) -> usize {
        self.shared + self.own.len()
    }

    /// How many of its items were the request's.
    pub(super) fn input(&self) -> usize {
        self.input
    }

    /// The items that it does not share with its base.
    pub(super) fn own(&self) -> &[Held] {
        &self.own
    }

    /// All items, oldest first.
    pub(super) fn items(&self) -> Vec<&Held> {
        let (mut links, mut wanted, mut at) = (Vec::new(), self.len(), Some(self));
        while let Some(link) = at {
            let own = wanted.saturating_sub(link.shared);
            links.push(link.own.get(..own).unwrap_or(&link.own));
            wanted = wanted.min(link.shared);
            at = link.base.as_deref();
        }
        links.into_iter().rev().flatten().collect()
    }
}

impl Drop for Sequence {
    /// One link after the other: a long conversation must not end in a deep recursion.
    fn drop(&mut self) {
        let mut next = self.base.take();
        while let Some(mut link) = next.and_then(Arc::into_inner) {
            next = link.base.take();
        }
    }
}
