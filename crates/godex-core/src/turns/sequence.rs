//! Conversations as turns that go on from one another: what two turns have in common is held
//! once, and whatever is held is counted for as long as it lives.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::kept::Kept;
use crate::codex::draft::Kind;

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

struct Entry {
    id: Option<Box<str>>,
    kind: Kind<'static>,
    hoisted: bool,
    /// Where in the text it ends; it begins where the one before ends.
    end: usize,
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
        let mut text = String::with_capacity(items.iter().map(|it| it.json.len()).sum());
        let entries = items.iter().map(|it| {
            text.push_str(it.json);
            let kind = it.kind.borrowed().into_owned();
            Entry { id: it.id.map(Into::into), kind, hoisted: it.hoisted, end: text.len() }
        });
        let entries: Vec<Entry> = entries.collect();
        let count = entries.len();
        let text = text.into_boxed_str();
        let block = Arc::new(Block { text, entries, _charge: Charge::new(meter, cost) });
        (0..count).map(|place| Self { block: Arc::clone(&block), place }).collect()
    }

    /// What an item costs.
    pub(super) fn cost(item: &Kept<'_>) -> usize {
        let named = match &item.kind {
            Kind::Call(call) | Kind::Output(call) => call.id.len(),
            Kind::Reference(id) => id.len(),
            Kind::User | Kind::Developer | Kind::Assistant | Kind::Other => 0,
        };
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
        let entries = &self.block.entries;
        let end_of = |place: usize| entries.get(place).map_or(0, |it| it.end);
        let start = self.place.checked_sub(1).map_or(0, end_of);
        let json = self.block.text.get(start..end_of(self.place)).unwrap_or_default();
        match entries.get(self.place) {
            Some(Entry { id, kind, hoisted, .. }) => {
                Kept { id: id.as_deref(), kind: kind.borrowed(), json, hoisted: *hoisted }
            }
            None => Kept { id: None, kind: Kind::Other, json, hoisted: false },
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
