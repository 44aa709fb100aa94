//! Facts about calls and their outputs.

use proptest::prelude::*;

use super::*;

fn call(id: &str) -> Item<'static> {
    let kind = Kind::Call(Call { id: id.to_owned().into(), custom: false });
    Item { kind, json: format!(r#"{{"type":"function_call","call_id":"{id}"}}"#).into() }
}

fn output(id: &str) -> Item<'static> {
    let kind = Kind::Output(Call { id: id.to_owned().into(), custom: false });
    Item {
        kind,
        json: format!(r#"{{"type":"function_call_output","call_id":"{id}","output":"o-{id}"}}"#)
            .into(),
    }
}

fn user() -> Item<'static> {
    Item { kind: Kind::User, json: r#"{"type":"message"}"#.into() }
}

fn sketch(items: &[Item<'_>]) -> Vec<String> {
    items
        .iter()
        .map(|item| match &item.kind {
            Kind::Call(call) => {
                format!("{}{}", if call.custom { "custom " } else { "call " }, call.id)
            }
            Kind::Output(call) => {
                let mark =
                    if item.json.contains("interrupted") { "interrupted " } else { "output " };
                format!("{mark}{}{}", if call.custom { "custom " } else { "" }, call.id)
            }
            Kind::Other if item.json.contains("Output of the tool call") => "text".to_owned(),
            Kind::User | Kind::Developer | Kind::Assistant | Kind::Reference(_) | Kind::Other => {
                "message".to_owned()
            }
        })
        .collect()
}

#[track_caller]
fn check(items: Vec<Item<'static>>, remembered: &[&str], expected: &[&str]) {
    let memory: HashMap<String, String> = remembered
        .iter()
        .map(|id| {
            let kind = if id.starts_with('c') { "custom_tool_call" } else { "function_call" };
            ((*id).to_owned(), format!(r#"{{"type":"{kind}","call_id":"{id}"}}"#))
        })
        .collect();
    assert_eq!(sketch(&repair(items, &memory).0), expected);
}

#[test]
fn whole_pairs_are_left_alone() {
    let items = vec![user(), call("a"), call("b"), output("b"), output("a"), user()];
    check(items, &[], &["message", "call a", "call b", "output b", "output a", "message"]);
}

#[test]
fn pairs_are_whole_only_one_to_one_and_in_order() {
    #[track_caller]
    fn whole(items: &[Item<'static>], expected: bool) {
        assert_eq!(are_whole(items), expected, "{:?}", sketch(items));
    }
    whole(&[], true);
    whole(&[user()], true);
    whole(&[call("b"), call("a"), output("a"), user(), output("b")], true);
    whole(&[call("a")], false);
    whole(&[output("a")], false);
    whole(&[output("a"), call("a")], false);
    whole(&[call("a"), output("a"), output("a")], false);
    whole(&[call("a"), call("a"), output("a")], false);
    whole(&[call("a"), output("a"), call("a"), output("a")], false);
    whole(&[call("a"), call("b"), output("a"), output("c")], false);
}

#[test]
fn a_missing_call_comes_back_right_before_its_output_and_once() {
    check(vec![output("a")], &["a"], &["call a", "output a"]);
    check(
        vec![user(), output("a"), output("b")],
        &["a", "b"],
        &["message", "call a", "output a", "call b", "output b"],
    );
    check(vec![output("a"), output("a")], &["a"], &["call a", "output a", "text"]);
}

#[test]
fn an_output_takes_the_type_of_its_call() {
    check(vec![output("c1")], &["c1"], &["custom c1", "output custom c1"]);
}

#[test]
fn an_output_without_any_call_becomes_text() {
    check(vec![output("a")], &[], &["text"]);
    let (items, orphans) = repair(vec![output("a")], &HashMap::new());
    assert!(orphans);
    assert!(items[0].json.contains("o-a"), "{}", items[0].json);
}

#[test]
fn a_call_without_output_is_called_interrupted() {
    check(vec![call("a"), user()], &[], &["call a", "interrupted a", "message"]);
    check(
        vec![call("a"), call("b"), output("b")],
        &[],
        &["call a", "interrupted a", "call b", "output b"],
    );
}

#[test]
fn repeated_and_late_calls_are_put_in_order() {
    check(vec![call("a"), call("a"), output("a")], &[], &["call a", "output a"]);
    check(vec![output("a"), call("a")], &[], &["call a", "output a"]);
}

#[test]
fn a_pair_under_the_id_of_an_earlier_one_gets_an_id_of_its_own() {
    let turn = || [user(), call("a"), output("a")];
    let whole = ["message", "call a", "output a", "message", "call a_2", "output a_2"];
    let items: Vec<_> = [turn(), turn()].into_iter().flatten().collect();
    check(items.clone(), &[], &whole);
    // One turn more changes nothing of those before.
    let (longer, orphans) =
        repair([turn(), turn(), turn()].into_iter().flatten().collect(), &HashMap::new());
    assert!(!orphans);
    assert_eq!(sketch(&longer)[..6], whole);
    assert_eq!(sketch(&longer)[6..], ["message", "call a_3", "output a_3"]);
    assert_eq!(longer[7].json, r#"{"type":"function_call","call_id":"a_3"}"#);
    // An id that somebody else has is left to him.
    check(
        vec![call("a_2"), output("a_2"), call("a"), output("a"), call("a"), output("a")],
        &[],
        &["call a_2", "output a_2", "call a", "output a", "call a_3", "output a_3"],
    );
    // Side by side, in the order of the calls.
    check(
        vec![call("a"), call("a"), output("a"), output("a")],
        &[],
        &["call a", "call a_2", "output a", "output a_2"],
    );
    check(vec![call("a"), output("a"), call("a"), user()], &[], &["call a", "output a", "message"]);
    let long = "x".repeat(64);
    let (items, _) =
        repair(vec![call(&long), output(&long), call(&long), output(&long)], &HashMap::new());
    let Kind::Call(named) = &items[2].kind else { panic!("{:?}", sketch(&items)) };
    assert_eq!(named.id, format!("{}_2", "x".repeat(56)));
}

proptest! {
    #[test]
    fn whatever_comes_every_pair_is_whole_and_no_output_is_lost(
        told in prop::collection::vec((0..5, 0..3_usize, any::<bool>()), 0..14),
        remembered in any::<bool>(),
    ) {
        let mut count = 0;
        let items: Vec<_> = told.iter().map(|(kind, id, custom)| {
            let id = ["a", "b", "a_2"][*id];
            count += 1;
            let (kind, json) = match kind {
                0 | 1 => (Kind::Call as fn(_) -> _, format!(r#"{{"call_id":"{id}"}}"#)),
                2 | 3 => (
                    Kind::Output as fn(_) -> _,
                    format!(r#"{{"call_id":"{id}","output":"said {count}."}}"#),
                ),
                _ => return user(),
            };
            Item { kind: kind(Call { id: id.into(), custom: *custom }), json: json.into() }
        }).collect();
        let outputs = items.iter().filter(|it| it.json.contains("said"));
        let said: Vec<_> = outputs.map(|it| it.json.split('"').nth(7).unwrap().to_owned()).collect();
        let memory = HashMap::from([(
            "b".to_owned(),
            r#"{"type":"function_call","call_id":"b"}"#.to_owned(),
        )]);
        let (found, _) = repair(items, &if remembered { memory } else { HashMap::new() });
        prop_assert!(are_whole(&found), "{:?}", sketch(&found));
        for item in &found {
            if let Kind::Call(call) | Kind::Output(call) = &item.kind {
                let object = Object::of_text(&item.json).unwrap();
                prop_assert_eq!(object.string("call_id").unwrap(), call.id.as_ref());
            }
        }
        for said in said {
            let with = found.iter().filter(|it| it.json.contains(&said)).count();
            prop_assert_eq!(with, 1, "{} in {:?}", said, sketch(&found));
        }
        let again = sketch(&found);
        prop_assert_eq!(sketch(&repair(found, &HashMap::new()).0), again);
    }
}

#[test]
fn the_calls_to_remember_are_named_once() {
    let items = [call("a"), output("a"), output("b"), output("b")];
    assert_eq!(missing_calls(&items), Some(vec!["b".to_owned()]));
    assert_eq!(missing_calls(&[call("a")]), Some(vec![]), "its output is missing");
    assert_eq!(missing_calls(&items[..2]), None);
}
