//! What is held, for whom, for how long, and how much of it.

use proptest::prelude::*;

use super::*;
use crate::codex::draft::{Call, Dialect, Item, Kind};
use crate::identity::{Namer, Source};
use crate::key::KeyHash;

const TTL: Duration = Duration::from_secs(60);

fn key(name: &str) -> KeyId {
    KeyId::of_token(&KeyHash::of(name))
}

fn conversation(name: &str) -> Name {
    Namer::new([0; 32]).session(&key("any"), Source::User(name))
}

#[expect(clippy::disallowed_methods, reason = "a starting point; the tests move it by hand")]
fn start() -> Instant {
    Instant::now()
}

fn roomy() -> Turns {
    Turns::new(Limits { ttl: TTL, bytes: 1 << 20, bytes_per_key: 1 << 20, bytes_per_turn: 1 << 19 })
}

fn draft<'a>(texts: &[&'a str]) -> Draft<'a> {
    let mut draft = Draft::new(Dialect::Standard);
    draft.items = texts.iter().map(|it| Item { kind: Kind::User, json: (*it).into() }).collect();
    draft
}

fn said<'k>(id: &'k str, json: &'k str) -> Kept<'k> {
    Kept { id: Some(id), kind: Kind::Assistant, json, hoisted: false }
}

fn reference(id: &str) -> Item<'_> {
    Item { kind: Kind::Reference(id.into()), json: "{}".into() }
}

/// One whole turn: what went upstream, or why nothing did.
fn turn(
    turns: &mut Turns,
    (key, id): (&str, &str),
    previous: Option<&str>,
    input: &[&str],
    now: Instant,
) -> Result<Vec<String>, Refused> {
    let key = self::key(key);
    let recalled = turns.recall(&key, previous, &[], now)?;
    let mut draft = draft(input);
    let origins = recalled.expand(&mut draft);
    let sent = draft.items.iter().map(|item| item.json.clone().into_owned()).collect();
    let open = turns.open(&key, &conversation("c"), &draft, &origins, now);
    let (name, words) = (format!("msg_{id}"), format!("answer {id}"));
    if let Some(open) = open.and_then(|open| open.answer(&[said(&name, &words)])) {
        turns.keep(&key, open, id, now);
    }
    Ok(sent)
}

#[test]
fn a_turn_goes_on_from_any_earlier_one() {
    let (mut turns, now) = (roomy(), start());
    turn(&mut turns, ("a", "1"), None, &["one"], now).unwrap();
    turn(&mut turns, ("a", "2"), Some("1"), &["two"], now).unwrap();
    let sent = turn(&mut turns, ("a", "3"), Some("2"), &["three"], now).unwrap();
    assert_eq!(sent, ["one", "answer 1", "two", "answer 2", "three"]);
    let sent = turn(&mut turns, ("a", "4"), Some("1"), &["other"], now).unwrap();
    assert_eq!(sent, ["one", "answer 1", "other"]);
    let sent = turn(&mut turns, ("a", "5"), Some("3"), &["four"], now).unwrap();
    assert_eq!(sent, ["one", "answer 1", "two", "answer 2", "three", "answer 3", "four"]);
}

#[test]
fn nothing_is_there_for_another_key_or_a_revoked_one() {
    let (mut turns, now) = (roomy(), start());
    turn(&mut turns, ("a", "1"), None, &["one"], now).unwrap();
    let error = turns.recall(&key("b"), Some("1"), &[], now).unwrap_err();
    assert_eq!(error.code, Some("previous_response_not_found"));
    assert_eq!(error.param, "previous_response_id");
    let error = turns.recall(&key("b"), None, &["msg_1"], now).unwrap_err();
    assert!(error.message.starts_with("Item with id 'msg_1' not found."), "{error}");
    assert!(turns.recall(&key("a"), Some("1"), &["msg_1"], now).is_ok());

    let unknown = turns.recall(&key("a"), None, &["msg_1", "msg_2"], now).unwrap_err();
    assert!(unknown.message.contains("msg_2"));
    turns.forget_unless(|it| *it != key("a"));
    assert!(turns.recall(&key("a"), Some("1"), &[], now).is_err());
    assert_eq!(turns.size(), (0, 0));
}

#[test]
fn an_answer_to_a_key_that_was_revoked_meanwhile_is_not_kept() {
    let (mut turns, now) = (roomy(), start());
    let none = Origins::default();
    let open = turns.open(&key("a"), &conversation("c"), &draft(&["one"]), &none, now).unwrap();
    turns.forget(&key("a"));
    turns.keep(&key("a"), open, "1", now);
    assert_eq!(turns.size(), (0, 0));
}

#[test]
fn use_keeps_a_turn_and_time_ends_it() {
    let (mut turns, now) = (roomy(), start());
    let after = |seconds| now + Duration::from_secs(seconds);
    turn(&mut turns, ("a", "1"), None, &["one"], now).unwrap();
    assert!(turns.recall(&key("a"), Some("1"), &[], after(59)).is_ok());
    assert!(turns.recall(&key("a"), None, &["msg_1"], after(118)).is_ok());
    assert!(turns.recall(&key("a"), Some("1"), &[], after(178)).is_err());
    assert!(turns.recall(&key("a"), None, &["msg_1"], after(178)).is_err());
    assert_eq!(turns.size(), (0, 0));
}

#[test]
fn a_conversation_outlives_the_name_of_its_first_turn() {
    let (mut turns, now) = (roomy(), start());
    let after = |seconds| now + Duration::from_secs(seconds);
    turn(&mut turns, ("a", "1"), None, &["one"], now).unwrap();
    turn(&mut turns, ("a", "2"), Some("1"), &["two"], after(50)).unwrap();
    let sent = turn(&mut turns, ("a", "3"), Some("2"), &["three"], after(109)).unwrap();
    assert_eq!(sent, ["one", "answer 1", "two", "answer 2", "three"]);
    assert!(turns.recall(&key("a"), Some("1"), &[], after(110)).is_err());
}

#[test]
fn an_item_is_found_for_as_long_as_any_turn_has_it() {
    let (mut turns, now) = (roomy(), start());
    let after = |seconds| now + Duration::from_secs(seconds);
    turn(&mut turns, ("a", "1"), None, &["one"], now).unwrap();
    turn(&mut turns, ("a", "2"), Some("1"), &["two"], after(50)).unwrap();
    turn(&mut turns, ("a", "3"), Some("2"), &["three"], after(109)).unwrap();
    assert!(turns.recall(&key("a"), Some("1"), &[], after(110)).is_err());
    let found = turns.recall(&key("a"), None, &["msg_1", "msg_2"], after(160)).unwrap();
    let mut draft = draft(&[]);
    draft.items = ["msg_1", "msg_2"].map(reference).into();
    found.expand(&mut draft);
    let said: Vec<&str> = draft.items.iter().map(|item| item.json.as_ref()).collect();
    assert_eq!(said, ["answer 1", "answer 2"]);
    drop(draft);
    drop(found);
    // With the last turn that has it, it goes.
    assert!(turns.recall(&key("a"), None, &["msg_1"], after(300)).is_err());
    assert_eq!(turns.size(), (0, 0));
    assert!(turns.owners.values().all(|it| it.items.is_empty()));
}

#[test]
fn names_of_items_that_are_gone_take_no_room() {
    let limits = Limits { ttl: TTL, bytes: 40_000, bytes_per_key: 16_000, bytes_per_turn: 8_000 };
    let (mut turns, now) = (Turns::new(limits), start());
    for n in 0..1_000 {
        let before = (n % 10 > 0).then(|| (n - 1).to_string());
        let text = format!("{}", n / 10);
        turn(&mut turns, ("a", &n.to_string()), before.as_deref(), &[&text], now).unwrap();
        let owner = turns.owners.values().next().unwrap();
        assert!(owner.items.len() <= 100, "{n}: {}", owner.items.len());
    }
    assert!(turns.recall(&key("a"), None, &["msg_999"], now).is_ok());
    assert!(turns.recall(&key("a"), None, &["msg_0"], now).is_err());
}

#[test]
fn a_long_conversation_is_held_once_however_its_client_tells_it() {
    const TURNS: usize = 150;
    let text = "x".repeat(1_000);
    let texts: Vec<String> = (0..TURNS).map(|n| format!("{n} {text}")).collect();
    let most = TURNS * (1_000 + 2_000);

    // By the id of the turn before.
    let (mut turns, now) = (Turns::new(Limits::with_ttl(TTL)), start());
    for (n, text) in texts.iter().enumerate() {
        let previous = n.checked_sub(1).map(|n| n.to_string());
        turn(&mut turns, ("a", &n.to_string()), previous.as_deref(), &[text], now).unwrap();
    }
    assert!(turns.size().1 < most, "{:?}", turns.size());
    assert_eq!(turns.size().0, TURNS);

    // By sending all of it again, at every turn.
    let (mut turns, now) = (Turns::new(Limits::with_ttl(TTL)), start());
    let all: Vec<&str> = texts.iter().map(String::as_str).collect();
    for n in 0..TURNS {
        turn(&mut turns, ("a", &n.to_string()), None, &all[..=n], now).unwrap();
    }
    assert!(turns.size().1 < most, "{:?}", turns.size());

    turns.forget(&key("a"));
    assert_eq!(turns.size(), (0, 0));
}

#[test]
fn what_only_earlier_turns_said_goes_with_them() {
    let (mut turns, now) = (Turns::new(Limits::with_ttl(TTL)), start());
    let prefix = "x".repeat(10_000);
    for n in 0..200 {
        let question = format!("{n} {}", "y".repeat(1_000));
        turn(&mut turns, ("a", &n.to_string()), None, &[&prefix, &question], now).unwrap();
    }
    assert!(turns.size().1 < 200 * 2_500 + 20_000, "{:?}", turns.size());
    for n in 0..199 {
        turns.remove(&key("a"), &n.to_string());
    }
    assert!(turns.size().1 < 15_000, "{:?}", turns.size());
}

#[test]
fn nobody_crowds_out_the_others() {
    let limits = Limits { ttl: TTL, bytes: 40_000, bytes_per_key: 16_000, bytes_per_turn: 8_000 };
    let (mut turns, now) = (Turns::new(limits), start());
    let text = "x".repeat(1_000);
    turn(&mut turns, ("quiet", "1"), None, &[&text], now).unwrap();
    for n in 0..100 {
        for loud in ["a", "b", "c", "d"] {
            let text = format!("{n} {loud} {text}");
            turn(&mut turns, (loud, &n.to_string()), None, &[&text], now).unwrap();
            assert!(turns.size().1 <= limits.bytes, "{:?}", turns.size());
        }
    }
    assert!(turns.recall(&key("quiet"), Some("1"), &[], now).is_ok());
    assert!(turns.recall(&key("a"), Some("99"), &[], now).is_ok());
    assert!(turns.recall(&key("a"), Some("0"), &[], now).is_err());
    let huge = "x".repeat(8_000);
    turn(&mut turns, ("quiet", "2"), None, &[&huge], now).unwrap();
    assert!(turns.recall(&key("quiet"), Some("2"), &[], now).is_err());
    let none = Origins::default();
    let open = turns.open(&key("quiet"), &conversation("c"), &draft(&["x"]), &none, now);
    assert!(open.unwrap().answer(&[said("m", &huge)]).is_none());
    assert!(turns.recall(&key("quiet"), Some("1"), &[], now).is_ok());
}

#[test]
fn answers_under_way_count_and_leave_nothing_behind() {
    let limits = Limits { ttl: TTL, bytes: 10_000, bytes_per_key: 9_000, bytes_per_turn: 5_000 };
    let (mut turns, now) = (Turns::new(limits), start());
    let (text, none) = ("x".repeat(3_000), Origins::default());
    let mut open =
        |n: u8| turns.open(&key("a"), &conversation(&n.to_string()), &draft(&[&text]), &none, now);
    let under_way = [open(1), open(2), open(3)];
    assert_eq!(under_way.each_ref().map(Option::is_some), [true, true, false]);
    assert!(turns.size().1 > 6_000);
    drop(under_way);
    assert_eq!(turns.size(), (0, 0));
    for n in 0..1_000 {
        turns.open(&key(&n.to_string()), &conversation("c"), &draft(&["x"]), &none, now);
    }
    assert!(turns.owners.len() <= 2 * FEW_OWNERS, "{}", turns.owners.len());
}

#[test]
fn requests_under_way_take_nothing_from_keys_that_hold_little() {
    let limits = Limits { ttl: TTL, bytes: 40_000, bytes_per_key: 16_000, bytes_per_turn: 8_000 };
    let (mut turns, now) = (Turns::new(limits), start());
    turn(&mut turns, ("quiet", "1"), None, &["one"], now).unwrap();
    let (text, none) = ("x".repeat(7_000), Origins::default());
    let draft = draft(&[&text]);
    let mut open =
        |owner: &str, name: &str| turns.open(&key(owner), &conversation(name), &draft, &none, now);
    let under_way = ["a", "b", "c"].map(|owner| [open(owner, "1"), open(owner, "2")]);
    assert!(under_way.iter().flatten().any(Option::is_none));
    assert!(turns.recall(&key("quiet"), Some("1"), &[], now).is_ok());
}

#[test]
fn a_turn_that_cannot_be_held_costs_its_key_nothing() {
    let limits = Limits { ttl: TTL, bytes: 40_000, bytes_per_key: 16_000, bytes_per_turn: 8_000 };
    let (mut turns, now) = (Turns::new(limits), start());
    turn(&mut turns, ("a", "small"), None, &["small"], now).unwrap();
    let text = "x".repeat(6_000);
    turn(&mut turns, ("a", "1"), None, &[&text], now).unwrap();
    turn(&mut turns, ("a", "2"), Some("1"), &[&text], now).unwrap();
    turn(&mut turns, ("a", "3"), Some("2"), &[&text], now).unwrap();
    assert!(turns.recall(&key("a"), Some("3"), &[], now).is_err());
    assert!(turns.recall(&key("a"), Some("2"), &[], now).is_ok());
    assert!(turns.recall(&key("a"), Some("small"), &[], now).is_ok());
}

#[test]
fn the_names_that_items_bring_are_counted() {
    let (mut turns, now) = (roomy(), start());
    let (id, call_id) = ("i".repeat(3_000), "c".repeat(20_000));
    let call = Call { id: call_id.as_str().into(), custom: false };
    let mut draft = draft(&[]);
    draft.items = vec![Item { kind: Kind::Output(call.clone()), json: "{}".into() }];
    draft.ids = vec![(0, id.as_str().into())];
    let none = Origins::default();
    let open = turns.open(&key("a"), &conversation("c"), &draft, &none, now).unwrap();
    let asked = turns.size().1;
    assert!(asked >= 23_000, "{asked}");
    let answer = Kept { id: Some(&id), kind: Kind::Call(call), json: "{}", hoisted: false };
    let open = open.answer(&[answer]).unwrap();
    assert!(turns.size().1 >= asked + 23_000, "{:?}", turns.size());
    drop(open);
    draft.ids = vec![(0, "i".repeat(1 << 19).into())];
    assert!(turns.open(&key("a"), &conversation("c"), &draft, &none, now).is_none());
}

#[test]
fn the_end_of_a_very_long_conversation_is_no_deep_recursion() {
    let meter = Meter::new(&Arc::default());
    let mut last: Option<Arc<Sequence>> = None;
    for _ in 0..20_000 {
        let on = last.take().map(|it| (Arc::clone(&it), it.len()));
        last = Some(Arc::new(Sequence::new(&meter, on, Held::all(&meter, &[said("m", "x")]))));
    }
    let small = std::thread::Builder::new().stack_size(64 << 10);
    small.spawn(move || drop(last)).unwrap().join().unwrap();
    assert_eq!(meter.own(), 0);
}

/// What a client does next: which key, after which turn if any, how long its words are, how
/// long it waits.
type Step = (u8, Option<u8>, usize, u64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..3_u8, proptest::option::of(0..40_u8), 0..3_000_usize, 0..20_u64);
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn whatever_clients_do_the_bounds_hold_and_what_is_there_is_right(steps in steps()) {
        let limits =
            Limits { ttl: TTL, bytes: 20_000, bytes_per_key: 9_000, bytes_per_turn: 5_000 };
        let (mut turns, mut now) = (Turns::new(limits), start());
        let mut told: HashMap<(u8, u8), Vec<String>> = HashMap::new();
        for (n, (owner, previous, length, wait)) in (0..).zip(steps) {
            now += Duration::from_secs(wait);
            let text = format!("{n} {}", "x".repeat(length));
            let id = format!("{n}");
            let before = previous.map(|it| it.to_string());
            let name = (&*owner.to_string(), id.as_str());
            let sent = turn(&mut turns, name, before.as_deref(), &[&text], now);
            if let Ok(sent) = sent {
                let mut expected = match previous {
                    Some(previous) => told[&(owner, previous)].clone(),
                    None => Vec::new(),
                };
                expected.push(text);
                prop_assert_eq!(&sent, &expected);
                expected.push(format!("answer {n}"));
                told.insert((owner, n), expected);
            }
            let bytes = turns.size().1;
            prop_assert!(bytes <= limits.bytes, "{bytes}");
            for owner in turns.owners.values() {
                prop_assert!(owner.meter.own() <= limits.bytes_per_key);
                prop_assert_eq!(owner.order.len(), owner.turns.len());
            }
            let in_order: usize = turns.owners.values().map(|it| it.turns.len()).sum();
            prop_assert_eq!(turns.order.len(), in_order);
        }
        turns.forget_unless(|_| false);
        prop_assert_eq!(turns.size(), (0, 0));
    }

    #[test]
    fn a_sequence_gives_back_what_it_was_made_of(
        parts in proptest::collection::vec((0..10_usize, 0..6_usize), 1..12),
    ) {
        let meter = Meter::new(&Arc::default());
        let (mut base, mut expected): (Option<Arc<Sequence>>, Vec<String>) = (None, Vec::new());
        for (n, (shared, count)) in parts.into_iter().enumerate() {
            let shared = shared.min(base.as_ref().map_or(0, |it| it.len()));
            let new: Vec<String> = (0..count).map(|it| format!("{n}.{it}")).collect();
            let own: Vec<Kept<'_>> = new.iter().map(|it| said(it, it)).collect();
            let own = Held::all(&meter, &own);
            let next = Arc::new(Sequence::new(&meter, base.map(|it| (it, shared)), own));
            expected.truncate(shared);
            expected.extend(new);
            let found: Vec<String> = next.items().iter().map(|it| it.kept().json.to_owned()).collect();
            prop_assert_eq!(&found, &expected);
            base = Some(next);
        }
        drop(base);
        prop_assert_eq!(meter.own(), 0);
    }
}

#[test]
fn what_an_error_repeats_of_an_id_is_short_and_printable() {
    let error = no_item(&format!("a\u{7}\n{}", "x".repeat(500)));
    assert!(error.message.len() < 500 && !error.message.contains(['\u{7}', '\n']), "{error}");
}
