//! What a follow-up may leave out: the last instructions of its session and the calls its
//! outputs belong to. Everything is filed under the API key that brought it, forgotten after
//! a while without use, and bounded in bytes. `now` is an argument.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt};

use crate::identity::Name;
use crate::key::KeyId;

/// How much may be remembered.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long without use.
    pub ttl: Duration,
    /// Bytes in all.
    pub bytes: usize,
    /// Bytes of one key: nobody can crowd out the others.
    pub bytes_per_key: usize,
    /// Bytes of one session.
    pub bytes_per_session: usize,
    /// Calls of one session.
    pub calls_per_session: usize,
}

impl Limits {
    /// The limits of the proxy, with the mission's `--cache-ttl`. With the turns that are held
    /// it is 64 MiB in all.
    pub fn with_ttl(ttl: Duration) -> Self {
        const MIB: usize = 1 << 20;
        Self {
            ttl,
            bytes: 24 * MIB,
            bytes_per_key: 12 * MIB,
            bytes_per_session: MIB,
            calls_per_session: 256,
        }
    }
}

/// What a session had to say about a request.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Recalled {
    /// The session's last instructions, with the escapes of a JSON string.
    pub instructions: Option<Arc<str>>,
    /// The calls that were asked for, by id, each as the backend gave it.
    pub calls: HashMap<String, String>,
    /// The conversation of the session's last request.
    pub conversation: Option<Name>,
}

impl fmt::Debug for Recalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instructions = self.instructions.as_ref().map_or(0, |text| text.len());
        write!(f, "Recalled({instructions} bytes, {} calls)", self.calls.len())
    }
}

/// The memory of all sessions.
#[derive(Debug)]
pub struct Memory {
    limits: Limits,
    owners: HashMap<KeyId, Owner>,
    /// All sessions by last use.
    order: BTreeMap<u64, (KeyId, Name)>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug, Default)]
struct Owner {
    sessions: HashMap<Name, Session>,
    /// Sessions by last use.
    order: BTreeMap<u64, Name>,
    bytes: usize,
}

struct Session {
    used_at: Instant,
    tick: u64,
    instructions: Option<Arc<str>>,
    calls: HashMap<String, Box<str>>,
    /// Calls, oldest first.
    call_order: std::collections::VecDeque<String>,
    conversation: Option<Name>,
    bytes: usize,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} bytes)", self.bytes)
    }
}

/// What a session costs beside its texts.
const SESSION_BYTES: usize = 256;

impl Memory {
    /// An empty memory.
    pub fn new(limits: Limits) -> Self {
        Self { limits, owners: HashMap::new(), order: BTreeMap::new(), bytes: 0, clock: 0 }
    }

    /// What is known of a session, which counts as a use of it.
    pub fn recall(
        &mut self,
        key: &KeyId,
        session: &Name,
        calls: &[String],
        now: Instant,
    ) -> Recalled {
        self.expire(now);
        self.touch(key, session, now);
        let Some(found) = self.owners.get(key).and_then(|owner| owner.sessions.get(session)) else {
            return Recalled::default();
        };
        let known =
            |id: &String| found.calls.get(id).map(|json| (id.clone(), json.clone().into_string()));
        Recalled {
            instructions: found.instructions.clone(),
            calls: calls.iter().filter_map(known).collect(),
            conversation: found.conversation.clone(),
        }
    }

    /// Keeps the instructions of a request for the next one.
    pub fn keep_instructions(
        &mut self,
        key: &KeyId,
        session: &Name,
        instructions: &Arc<str>,
        now: Instant,
    ) {
        let limits = self.limits;
        let fits = instructions.len() + SESSION_BYTES <= limits.bytes_per_session;
        self.change(key, session, now, |it| {
            // What is too large to keep still ends the life of what was there before.
            it.instructions = fits.then(|| Arc::clone(instructions));
            it.trim(&limits);
        });
    }

    /// Keeps the conversation of a request for a follow-up that does not show which it is.
    pub fn keep_conversation(
        &mut self,
        key: &KeyId,
        session: &Name,
        conversation: &Name,
        now: Instant,
    ) {
        self.change(key, session, now, |it| it.conversation = Some(conversation.clone()));
    }

    /// Keeps a call of the model until its output comes.
    pub fn keep_call(
        &mut self,
        key: &KeyId,
        session: &Name,
        call_id: &str,
        json: &str,
        now: Instant,
    ) {
        if json.len() + SESSION_BYTES > self.limits.bytes_per_session {
            return;
        }
        let limits = self.limits;
        self.change(key, session, now, |it| {
            if it.calls.insert(call_id.to_owned(), json.into()).is_none() {
                it.call_order.push_back(call_id.to_owned());
            }
            it.trim(&limits);
        });
    }

    /// Forgets all that a key brought.
    pub fn forget(&mut self, key: &KeyId) {
        if let Some(owner) = self.owners.remove(key) {
            self.bytes -= owner.bytes;
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

    /// Sessions and bytes held.
    pub fn size(&self) -> (usize, usize) {
        (self.owners.values().map(|owner| owner.sessions.len()).sum(), self.bytes)
    }

    fn change(
        &mut self,
        key: &KeyId,
        session: &Name,
        now: Instant,
        change: impl FnOnce(&mut Session),
    ) {
        self.expire(now);
        self.clock += 1;
        let tick = self.clock;
        let owner = self.owners.entry(key.clone()).or_default();
        let entry =
            owner.sessions.entry(session.clone()).or_insert_with(|| Session::new(now, tick));
        owner.order.remove(&entry.tick);
        owner.order.insert(tick, session.clone());
        self.order.remove(&entry.tick);
        self.order.insert(tick, (key.clone(), session.clone()));
        (entry.tick, entry.used_at) = (tick, now);
        change(entry);
        let cost = entry.cost();
        let before = std::mem::replace(&mut entry.bytes, cost);
        owner.bytes = owner.bytes + cost - before;
        self.bytes = self.bytes + cost - before;
        while self.owners.get(key).is_some_and(|owner| owner.bytes > self.limits.bytes_per_key) {
            self.evict(&key.clone());
        }
        while self.bytes > self.limits.bytes {
            let Some(oldest) = self.oldest() else { break };
            self.evict(&oldest);
        }
    }

    fn touch(&mut self, key: &KeyId, session: &Name, now: Instant) {
        self.clock += 1;
        let tick = self.clock;
        let Some(owner) = self.owners.get_mut(key) else { return };
        let Some(entry) = owner.sessions.get_mut(session) else { return };
        owner.order.remove(&entry.tick);
        owner.order.insert(tick, session.clone());
        self.order.remove(&entry.tick);
        self.order.insert(tick, (key.clone(), session.clone()));
        (entry.tick, entry.used_at) = (tick, now);
    }

    /// The key whose oldest session is the oldest of all.
    fn oldest(&self) -> Option<KeyId> {
        self.order.first_key_value().map(|(_, (key, _))| key.clone())
    }

    /// Drops the oldest session of a key.
    fn evict(&mut self, key: &KeyId) {
        let Some(owner) = self.owners.get_mut(key) else { return };
        let oldest = owner.order.pop_first().and_then(|(tick, name)| {
            self.order.remove(&tick);
            owner.sessions.remove(&name)
        });
        let bytes = oldest.map_or(0, |session| session.bytes);
        owner.bytes -= bytes;
        self.bytes -= bytes;
        if owner.sessions.is_empty() {
            self.owners.remove(key);
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some((_, (key, session))) = self.order.first_key_value() {
            let found = self.owners.get(key).and_then(|owner| owner.sessions.get(session));
            let fresh = |it: &Session| now.saturating_duration_since(it.used_at) < self.limits.ttl;
            if found.is_some_and(fresh) {
                return;
            }
            self.evict(&key.clone());
        }
    }
}

impl Session {
    fn new(now: Instant, tick: u64) -> Self {
        Self {
            used_at: now,
            tick,
            instructions: None,
            calls: HashMap::new(),
            call_order: std::collections::VecDeque::new(),
            conversation: None,
            bytes: 0,
        }
    }

    /// Lets go of the oldest calls until the session is within its bounds.
    fn trim(&mut self, limits: &Limits) {
        while self.calls.len() > limits.calls_per_session || self.cost() > limits.bytes_per_session
        {
            let Some(oldest) = self.call_order.pop_front() else { return };
            self.calls.remove(&oldest);
        }
    }

    fn cost(&self) -> usize {
        let calls: usize = self.calls.iter().map(|(id, json)| 2 * id.len() + json.len() + 96).sum();
        SESSION_BYTES + calls + self.instructions.as_ref().map_or(0, |text| text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Namer, Source};
    use crate::key::KeyHash;

    fn key(name: &str) -> KeyId {
        KeyId::of_token(&KeyHash::of(name))
    }

    fn session(name: &str) -> Name {
        Namer::new([0; 32]).session(&key("any"), Source::User(name))
    }

    fn limits() -> Limits {
        Limits {
            ttl: Duration::from_secs(60),
            bytes: 4_000,
            bytes_per_key: 3_000,
            bytes_per_session: 1_000,
            calls_per_session: 2,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a starting point; the tests move it by hand")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn nothing_that_was_said_shows_in_debug() {
        let (mut memory, now) = (Memory::new(limits()), start());
        memory.keep_instructions(&key("a"), &session("s"), &"secret".into(), now);
        memory.keep_call(&key("a"), &session("s"), "c", "secret", now);
        let recalled = memory.recall(&key("a"), &session("s"), &["c".to_owned()], now);
        let shown = format!("{memory:?} {recalled:?}");
        assert!(shown.contains("1 calls") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_follow_up_gets_what_its_session_said_and_no_other() {
        let (mut memory, now) = (Memory::new(limits()), start());
        memory.keep_instructions(&key("a"), &session("s"), &"be brief".into(), now);
        memory.keep_call(&key("a"), &session("s"), "c1", "{}", now);
        let wanted = ["c1".to_owned(), "c2".to_owned()];
        let recalled = memory.recall(&key("a"), &session("s"), &wanted, now);
        assert_eq!(recalled.instructions.as_deref(), Some("be brief"));
        assert_eq!(recalled.calls.keys().collect::<Vec<_>>(), ["c1"]);
        assert_eq!(memory.recall(&key("b"), &session("s"), &wanted, now), Recalled::default());
        assert_eq!(memory.recall(&key("a"), &session("t"), &wanted, now), Recalled::default());
    }

    #[test]
    fn use_keeps_a_session_and_time_ends_it() {
        let (mut memory, now) = (Memory::new(limits()), start());
        let after = |seconds| now + Duration::from_secs(seconds);
        memory.keep_instructions(&key("a"), &session("s"), &"x".into(), now);
        assert!(memory.recall(&key("a"), &session("s"), &[], after(59)).instructions.is_some());
        assert!(memory.recall(&key("a"), &session("s"), &[], after(118)).instructions.is_some());
        assert!(memory.recall(&key("a"), &session("s"), &[], after(178)).instructions.is_none());
        assert_eq!(memory.size(), (0, 0));
    }

    #[test]
    fn the_oldest_make_room_and_nobody_crowds_out_the_others() {
        let (mut memory, now) = (Memory::new(limits()), start());
        let text: Arc<str> = "x".repeat(600).into();
        memory.keep_instructions(&key("quiet"), &session("s"), &text, now);
        for n in 0..50 {
            memory.keep_instructions(&key("loud"), &session(&n.to_string()), &text, now);
        }
        assert!(memory.recall(&key("quiet"), &session("s"), &[], now).instructions.is_some());
        assert!(memory.recall(&key("loud"), &session("49"), &[], now).instructions.is_some());
        assert!(memory.recall(&key("loud"), &session("0"), &[], now).instructions.is_none());
        assert!(memory.size().1 <= 4_000);
    }

    #[test]
    fn a_session_keeps_its_latest_calls_within_its_bounds() {
        let (mut memory, now) = (Memory::new(limits()), start());
        for id in ["1", "2", "3"] {
            memory.keep_call(&key("a"), &session("s"), id, "{}", now);
        }
        memory.keep_call(&key("a"), &session("s"), "huge", &"x".repeat(2_000), now);
        let all: Vec<String> = ["1", "2", "3", "huge"].map(str::to_owned).into();
        let mut kept: Vec<_> =
            memory.recall(&key("a"), &session("s"), &all, now).calls.into_keys().collect();
        kept.sort();
        assert_eq!(kept, ["2", "3"]);
    }

    #[test]
    fn a_revoked_key_leaves_nothing_behind() {
        let (mut memory, now) = (Memory::new(limits()), start());
        memory.keep_instructions(&key("a"), &session("s"), &"x".into(), now);
        memory.forget(&key("a"));
        assert_eq!(memory.size(), (0, 0));
    }
}
