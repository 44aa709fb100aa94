//! Both request parsers: whatever a client sends, what goes to the backend is JSON that keeps to
//! `docs/wire.md#request`, says nothing that the backend refuses, and is not out of proportion.
//! What was answered is gone on from, so that the memory of turns is read and written, too.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use godex_core::codex::draft::{Ask, Dialect, Draft};
use godex_core::codex::fields::Refusals;
use godex_core::codex::outgoing::Settled;
use godex_core::codex::pairs;
use godex_core::codex::refused::Refused;
use godex_core::identity::{Name, Namer, Source};
use godex_core::json::Body;
use godex_core::key::{KeyHash, KeyId};
use godex_core::responses::item;
use godex_core::responses::request;
use godex_core::translate::responses_from_chat;
use godex_core::turns::{self, Kept, Limits, Turns};
use serde_json::{Value, json};

use crate::deep;

/// How many times longer than its request a body may be: the shortest item is `""` and a comma,
/// and becomes a whole message; so does the shortest tool.
const GROWTH: usize = 48;
/// What every body has.
const FIXED: usize = 2048;

const INSTRUCTIONS: &str = "You are a helpful assistant.";

/// Checks a body on `/v1/responses`.
pub fn responses(data: &[u8]) {
    let Some(body) = plain(data) else { return };
    check(data, Dialect::Codex, |refusals| request::read(&body, Dialect::Codex, refusals));
    let read = |refusals: &Refusals| request::read(&body, Dialect::Standard, refusals);
    if check(data, Dialect::Standard, read) {
        follow_up(data);
    }
}

/// Checks a body on `/v1/chat/completions`.
pub fn chat(data: &[u8]) {
    let Ok(body) = responses_from_chat::parse(data) else { return };
    for shown in [true, false] {
        check(data, Dialect::Standard, |refusals| {
            let (ask, draft, _) = responses_from_chat::read_either(&body, refusals, shown)?;
            Ok((ask, draft))
        });
    }
}

fn plain(data: &[u8]) -> Option<Body<'_>> {
    Body::parse(data).ok()
}

/// Whether the request could be carried.
fn check<'a>(
    data: &[u8],
    dialect: Dialect,
    read: impl Fn(&Refusals) -> Result<(Ask, Draft<'a>), Refused>,
) -> bool {
    let refusals = Refusals::default();
    let (ask, mut draft) = match read(&refusals) {
        Ok(read) => read,
        Err(refused) => {
            assert!(!refused.to_string().is_empty());
            return false;
        }
    };
    if dialect == Dialect::Standard && !turns::references(&draft).is_empty() {
        // Nobody brought what it refers to.
        return false;
    }
    mend(&mut draft, dialect);
    let sent = send(&draft);
    judge(&sent, data, dialect, &refusals);
    assert_eq!(send(&draft), sent, "the same request gave other bytes");
    let (_, mut again) = read(&refusals).ok().expect("it was read before");
    mend(&mut again, dialect);
    assert_eq!(send(&again), sent, "the same text gave other bytes");
    for (name, json) in &ask.echo {
        assert!(deep::is_json(json), "the echo of {name} is no JSON");
    }
    true
}

/// What the program does with calls and outputs before it sends a request.
fn mend(draft: &mut Draft<'_>, dialect: Dialect) {
    let missing = pairs::missing_calls(&draft.items);
    if missing.is_none_or(|it| it.is_empty() && dialect == Dialect::Codex) {
        return;
    }
    let (items, _) = pairs::repair(std::mem::take(&mut draft.items), &HashMap::new());
    draft.items = items;
    if dialect == Dialect::Standard {
        assert_eq!(pairs::missing_calls(&draft.items), None, "still not whole");
    }
}

fn send(draft: &Draft<'_>) -> bytes::Bytes {
    let outgoing = draft.prepare(Settled {
        model: "gpt-5.5",
        effort: None,
        cache_key: "key",
        remembered: None,
        fallback: INSTRUCTIONS,
    });
    outgoing.body().clone()
}

fn judge(sent: &[u8], data: &[u8], dialect: Dialect, refusals: &Refusals) {
    let text = std::str::from_utf8(sent).expect("what is sent is UTF-8");
    assert!(deep::is_json(text), "what is sent is no JSON: {text}");
    assert!(sent.len() <= GROWTH * data.len() + FIXED, "{} of {}", sent.len(), data.len());
    let body = Body::parse(sent).ok();
    let names: Vec<_> = body.iter().flat_map(Body::fields).map(|(name, _)| name).collect();
    for (place, name) in names.iter().enumerate() {
        assert!(!refusals.refuses(name), "the backend refuses {name}");
        let again = names.iter().skip(place + 1).any(|other| other == name);
        assert!(!again, "{name} goes twice");
    }
    let Some(sent) = deep::value(text) else {
        let given = std::str::from_utf8(data).ok().and_then(deep::value);
        assert!(given.is_none(), "good values became others: {text}");
        return;
    };
    assert_eq!(count_of(text, &sent), sent.as_object().map_or(0, serde_json::Map::len));
    assert_eq!((&sent["store"], &sent["stream"]), (&json!(false), &json!(true)));
    assert_eq!(sent["model"], "gpt-5.5");
    assert_eq!(sent["prompt_cache_key"], "key");
    let include = sent["include"].as_array().expect("include is a list");
    assert!(include.contains(&json!("reasoning.encrypted_content")));
    let input = sent["input"].as_array().expect("the input is a list");
    assert!(!input.is_empty(), "no input");
    if dialect == Dialect::Standard {
        let instructions = sent["instructions"].as_str().expect("instructions are a text");
        assert!(!instructions.is_empty(), "no instructions");
    }
    let refers = input.iter().any(|it| it["type"] == "item_reference");
    assert!(!refers || dialect == Dialect::Codex, "the backend holds no items");
    for item in input.iter().filter(|it| it["type"].is_null() || it["type"] == "message") {
        assert_ne!(item["role"], "system", "the backend takes no system messages: {item}");
    }
    for tool in sent["tools"].as_array().into_iter().flatten() {
        assert!(tool.is_object(), "a tool that is no object");
    }
}

/// How many members an object has as it is written.
fn count_of(text: &str, value: &Value) -> usize {
    match value {
        Value::Object(_) => Body::parse(text.as_bytes()).map_or(0, |it| it.fields().count()),
        _ => 0,
    }
}

/// A conversation of two turns, the second of which names the first one and what it said.
fn follow_up(data: &[u8]) {
    let Some(Value::Object(mut second)) = std::str::from_utf8(data).ok().and_then(deep::value)
    else {
        return;
    };
    let (key, name) = who();
    let now = now();
    let limits = Limits {
        ttl: Duration::from_secs(60),
        bytes: 1 << 20,
        bytes_per_key: 1 << 19,
        bytes_per_turn: 1 << 18,
    };
    let mut turns = Turns::new(limits);
    if turn(&mut turns, data, "resp_1", (&key, &name), now).is_none() {
        return;
    }
    second.insert("previous_response_id".to_owned(), json!("resp_1"));
    if let Some(Value::Array(input)) = second.get_mut("input") {
        input.push(json!({"type": "item_reference", "id": "msg_resp_1"}));
    }
    let body = Value::Object(second).to_string();
    if turns.size().0 > 0 && deep::depth(&body) < 120 {
        let found = turn(&mut turns, body.as_bytes(), "resp_2", (&key, &name), now);
        assert!(found.is_some_and(|it| it > 0), "what was kept is not found");
    }
    turns.forget(&key);
    assert_eq!(turns.size(), (0, 0), "something is left behind");
}

/// One turn as the program goes through it; how many items went upstream, `None` when it was
/// refused.
fn turn(
    turns: &mut Turns,
    data: &[u8],
    id: &str,
    (key, name): (&KeyId, &Name),
    now: Instant,
) -> Option<usize> {
    let refusals = Refusals::default();
    let (ask, draft) = request::read(&plain(data)?, Dialect::Standard, &refusals).ok()?;
    let references = turns::references(&draft);
    let recalled = turns.recall(key, ask.previous.as_deref(), &references, now).ok()?;
    // From here on it may borrow from what was recalled, too.
    let mut draft: Draft<'_> = draft;
    let origins = recalled.expand(&mut draft);
    let open = turns.open(key, name, &draft, &origins, now);
    mend(&mut draft, Dialect::Standard);
    let sent = send(&draft);
    judge(&sent, &[data, &[0; 4096]].concat(), Dialect::Standard, &refusals);
    let answer = json!({"type": "message", "id": format!("msg_{id}"), "role": "assistant",
        "status": "completed", "content": [{"type": "output_text", "text": "hello"}]});
    let answer = answer.to_string();
    let (own, item) = item::of_answer(&answer).expect("it is an item");
    let kept = [Kept::of_answer(own.as_deref(), &item)];
    if let Some(open) = open.filter(|_| ask.keeps).and_then(|open| open.answer(&kept)) {
        turns.keep(key, open, id, now);
    }
    Some(draft.items.len())
}

fn who() -> (KeyId, Name) {
    let key = KeyId::of_token(&KeyHash::of("key"));
    let name = Namer::new([0; 32]).session(&key, Source::User("user"));
    (key, name)
}

fn now() -> Instant {
    Instant::now()
}
