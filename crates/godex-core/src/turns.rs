//! What earlier requests and answers contained, for clients that name it instead of sending it
//! again: responses by `previous_response_id`, items by `item_reference`. Everything is filed
//! under the API key that brought it, forgotten after a while without use, and bounded in bytes.
//! `now` is an argument.

mod expand;
mod kept;
mod sequence;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt};

pub use self::expand::{Origins, Recalled, references};
pub use self::kept::Kept;
use self::sequence::{Charge, Held, Meter, Place, Sequence, UnderWay};
use crate::codex::draft::Draft;
use crate::codex::refused::Refused;
use crate::identity::Name;
use crate::key::KeyId;

/// How much may be held.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long without use.
    pub ttl: Duration,
    /// Bytes in all.
    pub bytes: usize,
    /// Bytes of one key.
    pub bytes_per_key: usize,
    /// Bytes that one request and its answer may add.
    pub bytes_per_turn: usize,
}

impl Limits {
    /// The limits of the proxy, with the mission's `--cache-ttl`. With what sessions remember it
    /// is 64 MiB in all.
    pub fn with_ttl(ttl: Duration) -> Self {
        const MIB: usize = 1 << 20;
        Self { ttl, bytes: 40 * MIB, bytes_per_key: 16 * MIB, bytes_per_turn: 8 * MIB }
    }
}

/// What a turn costs beside its items.
const TURN_BYTES: usize = 512;
/// Up to this many keys nobody looks for those that hold nothing.
const FEW_OWNERS: usize = 64;
/// The most of an unknown id that an error repeats, in characters.
const LONGEST_SHOWN: usize = 80;

/// The turns of all keys.
pub struct Turns {
    limits: Limits,
    owners: HashMap<KeyId, Owner>,
    /// All turns by last use.
    order: BTreeMap<u64, (KeyId, Arc<str>)>,
    bytes: Arc<AtomicUsize>,
    clock: u64,
    /// At how many owners to look for those that hold nothing any more.
    sweep_at: usize,
}

shape!(Turns, it => "Turns{:?}", it.size());

struct Owner {
    /// Turns by the id of their response.
    turns: HashMap<Arc<str>, Turn>,
    /// Items by their id, with the turn that brought them. They are found for as long as any turn
    /// has them.
    items: HashMap<Box<str>, (Arc<str>, Place)>,
    /// How many items at most have lost a turn since names were looked through.
    stale: usize,
    /// The last turn of a conversation: the next one often begins with the same items.
    last: HashMap<Name, Arc<str>>,
    /// Turns by last use.
    order: BTreeMap<u64, Arc<str>>,
    meter: Arc<Meter>,
}

struct Turn {
    used_at: Instant,
    tick: u64,
    items: Arc<Sequence>,
    /// Items that have a name but nothing to replay.
    empty: Vec<Held>,
    conversation: Name,
    _charge: Charge,
}

/// A turn whose answer is still to come.
pub struct Open {
    items: Sequence,
    /// Items that have a name but nothing to replay.
    empty: Vec<Held>,
    conversation: Name,
    meter: Arc<Meter>,
    under_way: UnderWay,
    /// What the answer may add, in bytes.
    room: usize,
}

shape!(Open, it => "Open({:?})", it.items);

impl Open {
    /// Takes the items of the answer; `None` when they are too much to be held.
    pub fn answer(mut self, items: &[Kept<'_>]) -> Option<Self> {
        let cost = items.iter().map(Held::cost).sum::<usize>();
        if cost > self.room {
            return None;
        }
        self.under_way.add(cost);
        let held = Held::all(&self.meter, items).into_iter();
        let (empty, full): (Vec<_>, Vec<_>) = held.partition(|it| it.kept().json.is_empty());
        self.empty = empty;
        self.items.answer(full);
        Some(self)
    }
}

impl Turns {
    /// Nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            owners: HashMap::new(),
            order: BTreeMap::new(),
            bytes: Arc::default(),
            clock: 0,
            sweep_at: FEW_OWNERS,
        }
    }

    /// What a request names instead of sending it, which counts as a use of it.
    ///
    /// # Errors
    ///
    /// When it names what this key never brought, or what is forgotten.
    pub fn recall(
        &mut self,
        key: &KeyId,
        previous: Option<&str>,
        references: &[&str],
        now: Instant,
    ) -> Result<Recalled, Refused> {
        self.expire(now);
        let owner = self.owners.get(key);
        let turn = |id: &str| owner?.turns.get_key_value(id);
        let previous = previous.map(|id| turn(id).ok_or_else(|| no_response(id))).transpose()?;
        let item = |id: &str| {
            let (turn, place) = owner?.items.get(id)?;
            Some((turn, place.held()?))
        };
        let items = references.iter().map(|id| item(id).ok_or_else(|| no_item(id)));
        let items: Vec<(&Arc<str>, Held)> = items.collect::<Result<_, _>>()?;

        let mut used: Vec<Arc<str>> = previous.iter().map(|(id, _)| Arc::clone(id)).collect();
        used.extend(items.iter().map(|(turn, _)| Arc::clone(turn)));
        used.dedup();
        let recalled = Recalled::new(
            previous.map(|(_, turn)| Arc::clone(&turn.items)),
            items.into_iter().map(|(_, held)| held).collect(),
        );
        for id in &used {
            self.touch(key, id, now);
        }
        Ok(recalled)
    }

    /// Holds the input of a request, as `Recalled::expand` left it, until its answer is there.
    /// `None` when there is no room for it.
    pub fn open(
        &mut self,
        key: &KeyId,
        conversation: &Name,
        draft: &Draft<'_>,
        origins: &Origins<'_>,
        now: Instant,
    ) -> Option<Open> {
        self.expire(now);
        self.sweep();
        let all = &self.bytes;
        let owner = self.owners.entry(key.clone()).or_insert_with(|| Owner::new(all));
        let last = owner.last.get(conversation).and_then(|id| owner.turns.get(id));
        let base = origins.previous.cloned().or_else(|| last.map(|turn| Arc::clone(&turn.items)));
        let before = base.as_ref().map(|base| base.items()).unwrap_or_default();
        let meter = Arc::clone(&owner.meter);

        let input = expand::Input::new(draft, origins);
        let shared = input.shared(&before);
        let new = input.new_items(shared);
        let new_cost = new.iter().map(Held::cost).sum::<usize>();
        let cost = new_cost + Sequence::cost(before.len() + draft.items.len());
        let in_use = || before.iter().take(shared).map(|held| Held::cost(&held.kept())).sum();
        if cost > self.limits.bytes_per_turn
            || !self.has_room(key, cost) && !self.make_room(key, cost, in_use())
        {
            return None;
        }
        let mut under_way = UnderWay::new(&meter);
        under_way.add(new_cost);
        let own = input.held(shared, &new, &meter);
        drop(before);
        let items = Sequence::new(&meter, base.map(|base| (base, shared)), own);
        let (conversation, room) = (conversation.clone(), self.limits.bytes_per_turn - cost);
        Some(Open { items, empty: Vec::new(), conversation, meter, under_way, room })
    }

    /// Files a turn under the id of its response, so that a request may name it.
    pub fn keep(&mut self, key: &KeyId, open: Open, response_id: &str, now: Instant) {
        let Open { items, empty, conversation, meter, under_way, .. } = open;
        drop(under_way);
        self.expire(now);
        // The key may have been revoked since: then nothing of it is kept.
        let known = self.owners.get(key).is_some_and(|it| Arc::ptr_eq(&it.meter, &meter));
        if !known {
            return;
        }
        self.remove(key, response_id);
        let Some(owner) = self.owners.get_mut(key) else { return };
        self.clock += 1;
        let (tick, id): (u64, Arc<str>) = (self.clock, response_id.into());
        for held in items.own().iter().chain(&empty) {
            if let Some(name) = held.kept().id {
                owner.items.insert(name.into(), (Arc::clone(&id), held.place()));
            }
        }
        let charge = Charge::new(&meter, TURN_BYTES);
        owner.last.insert(conversation.clone(), Arc::clone(&id));
        owner.order.insert(tick, Arc::clone(&id));
        self.order.insert(tick, (key.clone(), Arc::clone(&id)));
        let items = Arc::new(items);
        let turn = Turn { used_at: now, tick, items, empty, conversation, _charge: charge };
        owner.turns.insert(Arc::clone(&id), turn);
        if !self.has_room(key, 0) && !self.make_room(key, 0, 0) {
            self.remove(key, &id);
        }
    }

    /// Forgets all that a key brought.
    pub fn forget(&mut self, key: &KeyId) {
        if let Some(owner) = self.owners.remove(key) {
            for tick in owner.order.keys() {
                self.order.remove(tick);
            }
        }
    }

    /// Forgets all keys that are not `known`.
    pub fn forget_unless(&mut self, known: impl Fn(&KeyId) -> bool) {
        let gone: Vec<KeyId> = self.owners.keys().filter(|key| !known(key)).cloned().collect();
        for key in &gone {
            self.forget(key);
        }
    }

    /// Turns and bytes held.
    pub fn size(&self) -> (usize, usize) {
        let turns = self.owners.values().map(|owner| owner.turns.len()).sum();
        (turns, self.bytes.load(Ordering::Relaxed))
    }

    /// Whether `bytes` more of a key fit as it is.
    fn has_room(&self, key: &KeyId, bytes: usize) -> bool {
        let own = self.owners.get(key).map_or(0, |owner| owner.meter.own());
        own + bytes <= self.limits.bytes_per_key
            && self.bytes.load(Ordering::Relaxed) + bytes <= self.limits.bytes
    }

    /// Lets go of the oldest turns until `bytes` more of a key fit; `false` when they cannot, and
    /// then nothing is let go. `in_use` bytes of its turns are used by the request itself and come
    /// free with none. What is too much for all is taken from the key that holds the most, and
    /// from nobody who holds no more than a fair share.
    fn make_room(&mut self, key: &KeyId, bytes: usize, in_use: usize) -> bool {
        if !self.can_make_room(key, bytes, in_use) {
            return false;
        }
        let own = |it: &Self| it.owners.get(key).map_or(0, |owner| owner.meter.own());
        while own(self) + bytes > self.limits.bytes_per_key {
            if !self.evict(key) {
                return false;
            }
        }
        let fair = self.fair_share(key);
        while self.bytes.load(Ordering::Relaxed) + bytes > self.limits.bytes {
            let holding = self.owners.iter().filter(|(_, owner)| !owner.turns.is_empty());
            let wanted = holding
                .map(|(it, owner)| (owner.meter.own() + if it == key { bytes } else { 0 }, it));
            let largest = wanted.filter(|(held, _)| *held > fair).max_by_key(|(held, _)| *held);
            let Some(largest) = largest.map(|(_, key)| key.clone()) else { return false };
            self.evict(&largest);
        }
        true
    }

    /// Whether letting go of turns can help at all.
    fn can_make_room(&self, key: &KeyId, bytes: usize, in_use: usize) -> bool {
        let fixed = |it: &KeyId, owner: &Owner| {
            owner.meter.under_way() + if it == key { in_use } else { 0 }
        };
        let own = self.owners.get(key).map_or(0, |owner| fixed(key, owner));
        if own + bytes > self.limits.bytes_per_key {
            return false;
        }
        let all = self.bytes.load(Ordering::Relaxed) + bytes;
        let Some(excess) = all.checked_sub(self.limits.bytes).filter(|it| *it > 0) else {
            return true;
        };
        let fair = self.fair_share(key);
        let free = self.owners.iter().map(|(it, owner)| {
            let held = owner.meter.own();
            let above = (held + if it == key { bytes } else { 0 }).saturating_sub(fair);
            above.min(held.saturating_sub(fixed(it, owner)))
        });
        free.sum::<usize>() >= excess
    }

    /// What each key could hold if all that hold something, and this one, held the same.
    fn fair_share(&self, key: &KeyId) -> usize {
        let others =
            self.owners.iter().filter(|(it, owner)| *it != key && owner.meter.own() > 0).count();
        self.limits.bytes / (others + 1)
    }

    fn touch(&mut self, key: &KeyId, id: &Arc<str>, now: Instant) {
        self.clock += 1;
        let tick = self.clock;
        let Some(owner) = self.owners.get_mut(key) else { return };
        let Some(turn) = owner.turns.get_mut(id) else { return };
        owner.order.remove(&turn.tick);
        owner.order.insert(tick, Arc::clone(id));
        self.order.remove(&turn.tick);
        self.order.insert(tick, (key.clone(), Arc::clone(id)));
        (turn.tick, turn.used_at) = (tick, now);
    }

    /// Drops the oldest turn of a key; `false` when it has none.
    fn evict(&mut self, key: &KeyId) -> bool {
        let oldest = self.owners.get(key).and_then(|owner| owner.order.first_key_value());
        let Some(oldest) = oldest.map(|(_, id)| Arc::clone(id)) else { return false };
        self.remove(key, &oldest);
        true
    }

    fn remove(&mut self, key: &KeyId, id: &str) {
        let Some(owner) = self.owners.get_mut(key) else { return };
        let Some(turn) = owner.turns.remove(id) else { return };
        owner.order.remove(&turn.tick);
        self.order.remove(&turn.tick);
        if owner.last.get(&turn.conversation).is_some_and(|last| last.as_ref() == id) {
            owner.last.remove(&turn.conversation);
        }
        owner.stale += turn.items.len() + turn.empty.len();
        drop(turn);
        owner.forget_names();
    }

    fn expire(&mut self, now: Instant) {
        while let Some((_, (key, id))) = self.order.first_key_value() {
            let found = self.owners.get(key).and_then(|owner| owner.turns.get(id));
            let fresh = |it: &Turn| now.saturating_duration_since(it.used_at) < self.limits.ttl;
            if found.is_some_and(fresh) {
                return;
            }
            let (key, id) = (key.clone(), Arc::clone(id));
            self.remove(&key, &id);
        }
    }

    /// Forgets keys that hold nothing and have no answer under way.
    fn sweep(&mut self) {
        if self.owners.len() >= self.sweep_at {
            self.owners.retain(|_, it| !it.turns.is_empty() || Arc::strong_count(&it.meter) > 1);
            self.sweep_at = FEW_OWNERS.max(2 * self.owners.len());
        }
    }
}

impl Owner {
    fn new(all: &Arc<AtomicUsize>) -> Self {
        Self {
            turns: HashMap::new(),
            items: HashMap::new(),
            stale: 0,
            last: HashMap::new(),
            order: BTreeMap::new(),
            meter: Meter::new(all),
        }
    }

    /// Forgets the names of items that no turn has any more, once they may be many.
    fn forget_names(&mut self) {
        if self.turns.is_empty() {
            self.items = HashMap::new();
            self.stale = 0;
        } else if 2 * self.stale > self.items.len() {
            self.items.retain(|_, (_, place)| !place.is_gone());
            self.stale = 0;
        }
    }
}

fn no_response(id: &str) -> Refused {
    let mut refused = Refused::new(
        "previous_response_id",
        format!(
            "Previous response with id '{}' not found. Responses are kept in memory only, for a while and for the API key that asked; those asked for with `store: false` are not. Send the whole conversation in `input`, with `store: false`, instead of the id.",
            shown(id)
        ),
    );
    refused.code = Some("previous_response_not_found");
    refused
}

fn no_item(id: &str) -> Refused {
    Refused::new(
        "input",
        format!(
            "Item with id '{}' not found. Items are kept in memory only, for a while and for the API key that brought them; those of requests with `store: false` are not. Send the items themselves in `input`, with `store: false`, instead of references.",
            shown(id)
        ),
    )
}

fn shown(id: &str) -> String {
    id.chars().filter(|c| !c.is_control()).take(LONGEST_SHOWN).collect()
}

#[cfg(test)]
mod tests;
