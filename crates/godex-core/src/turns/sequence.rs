//! Conversations as turns that go on from one another: what two turns have in common is held
//! once, and whatever is held is counted for as long as it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::kept::Kept;

/// What an item costs beside its text, its id included.
const ITEM_BYTES: usize = 224;
/// What a turn costs beside its items.
const SEQUENCE_BYTES: usize = 160;

/// How many bytes are held for one key, and for all keys together.
#[derive(Debug, Default)]
pub(super) struct Meter {
    own: AtomicUsize,
    all: Arc<AtomicUsize>,
}

impl Meter {
    pub(super) fn new(all: &Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self { own: AtomicUsize::new(0), all: Arc::clone(all) })
    }

    pub(super) fn own(&self) -> usize {
        self.own.load(Ordering::Relaxed)
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

/// An item that is held.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) kept: Kept,
    _charge: Charge,
}

impl Held {
    pub(super) fn new(meter: &Arc<Meter>, kept: Kept) -> Arc<Self> {
        let charge = Charge::new(meter, Self::cost(&kept.json));
        Arc::new(Self { kept, _charge: charge })
    }

    /// What an item of this text costs.
    pub(super) fn cost(json: &str) -> usize {
        ITEM_BYTES + json.len()
    }
}

/// The items of a conversation up to one answer.
#[derive(Debug)]
pub(super) struct Sequence {
    base: Option<Arc<Sequence>>,
    /// How many items of the base it begins with.
    shared: usize,
    own: Vec<Arc<Held>>,
    /// How many of its items were the request's.
    input: usize,
    _charge: Charge,
}

impl Sequence {
    /// The items that begin like those of `base`, `shared` of them, and go on with `own`. A base
    /// that little is taken from is not kept alive for it.
    pub(super) fn new(
        meter: &Arc<Meter>,
        base: Option<(&Arc<Self>, &[Arc<Held>])>,
        own: Vec<Arc<Held>>,
    ) -> Self {
        let (base, shared, own) = match base {
            None => (None, 0, own),
            Some((base, shared)) if 2 * shared.len() < base.len() => {
                (None, 0, shared.iter().cloned().chain(own).collect())
            }
            Some((base, shared)) => (Some(Arc::clone(base)), shared.len(), own),
        };
        let input = shared + own.len();
        let charge = Charge::new(meter, Self::cost(own.len()));
        Self { base, shared, own, input, _charge: charge }
    }

    pub(super) fn cost(own: usize) -> usize {
        SEQUENCE_BYTES + own * size_of::<Arc<Held>>()
    }

    /// Adds items of the answer.
    pub(super) fn answer(&mut self, items: impl IntoIterator<Item = Arc<Held>>) {
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
    pub(super) fn own(&self) -> &[Arc<Held>] {
        &self.own
    }

    /// All items, oldest first.
    pub(super) fn items(&self) -> Vec<Arc<Held>> {
        let (mut links, mut wanted, mut at) = (Vec::new(), self.len(), Some(self));
        while let Some(link) = at {
            let own = wanted.saturating_sub(link.shared);
            links.push(link.own.get(..own).unwrap_or(&link.own));
            wanted = wanted.min(link.shared);
            at = link.base.as_deref();
        }
        links.into_iter().rev().flatten().cloned().collect()
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
