//! The scanner judges as `serde_json` does, and loses nothing.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::super::{Body, Elements, List, Object};
use super::*;

/// Whether a text is taken, as a value by itself and wherever it may stand in a body.
fn accepted(text: &str) -> bool {
    let taken = Raw::parse(text).is_ok();
    for body in [
        format!(r#"{{"a":{text}}}"#),
        format!(r#"{{"a":[{text}]}}"#),
        format!(r#"{{"a":[{{"b":{text}}}]}}"#),
    ] {
        let read = Body::parse(body.as_bytes());
        let proper = serde_json::from_str::<IgnoredAny>(&body).is_ok();
        assert_eq!(read.is_ok(), proper, "{body:?}");
    }
    taken
}

#[test]
fn what_serde_json_accepts_is_accepted_and_nothing_else() {
    for text in [
        "",
        " ",
        "null",
        " true ",
        "false",
        "nul",
        "truex",
        "0",
        "-0",
        "01",
        "-",
        "1.",
        "1.5",
        ".5",
        "1e5",
        "1e",
        "1E+7",
        "1e-",
        "+1",
        "\"\"",
        "\"a",
        "\"\\n\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u0041\"",
        "\"\u{1}\"",
        "[]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1",
        "{}",
        "{\"a\":1}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":}",
        "{\"a\":1]",
        "[}",
        "]",
        "{\"a\":[{\"b\":[]}]}",
        "1 2",
        "\"é\"",
        "\u{feff}1",
        "[1,\n 2\t]\r",
    ] {
        assert_eq!(accepted(text), serde_json::from_str::<IgnoredAny>(text).is_ok(), "{text:?}");
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(".*", inner, 0..5).prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_taken_apart_and_put_together(value in json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let raw = Raw::parse(&text).unwrap();
        let body = format!(r#"{{"a":{text},"b":[{text}, {{"c":{text}}}]}}"#);
        let body = Body::parse(body.as_bytes()).unwrap();
        let fields: Vec<_> = body.fields().collect();
        let [(_, alone), (_, listed)] = fields.as_slice() else { panic!("{fields:?}") };
        prop_assert_eq!(alone.raw.get(), text.as_str());
        prop_assert_eq!(alone.list.map(List::len), value.as_array().map(Vec::len));
        let elements: Vec<_> = listed.list.unwrap().iter().collect();
        prop_assert_eq!(elements.len(), 2);
        prop_assert_eq!(elements[0].raw.get(), text.as_str());
        prop_assert_eq!(elements[0].object.is_some(), value.is_object());
        prop_assert_eq!(elements[1].object.unwrap().get("c").unwrap().get(), text.as_str());
        if let Value::Array(list) = &value {
            let parts: Vec<Value> = raw.list().unwrap().iter().map(|it| serde_json::from_str(it.get()).unwrap()).collect();
            prop_assert_eq!(&parts, list);
            let elements = Elements::of(raw).unwrap();
            prop_assert_eq!(elements.list().len(), list.len());
            for (element, part) in elements.list().iter().zip(list) {
                let members = element.object.map(|it| it.iter().count());
                prop_assert_eq!(members, part.as_object().map(serde_json::Map::len));
            }
        }
        if let Value::Object(map) = &value {
            let object = crate::json::Object::of(raw).unwrap();
            prop_assert_eq!(object.iter().count(), map.len());
            for (name, part) in object.iter() {
                prop_assert_eq!(&serde_json::from_str::<Value>(part.get()).unwrap(), &map[name]);
            }
        }
        if let Value::String(string) = &value {
            prop_assert_eq!(raw.string().unwrap(), string.as_str());
        }
    }

    #[test]
    fn an_object_that_is_asked_for_is_taken_apart_on_the_way(
        values in prop::collection::vec((prop_oneof![Just("a"), Just("f"), Just("\\u0066")], json()), 0..4)
    ) {
        let members: Vec<String> = values.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let text = format!(r#"{{"l":[1,{{{}}}]}}"#, members.join(","));
        let body = Body::with_inner(text.as_bytes(), "f").unwrap();
        let list = body.some("l").unwrap();
        let apart = Elements::with_inner(list.raw, "f").unwrap();
        for list in [list.list.unwrap(), apart.list()] {
            prop_assert!(list.iter().next().unwrap().inner.is_none());
            let element = list.iter().nth(1).unwrap();
            let expected = element.object.unwrap().get("f").and_then(Object::of);
            let expected = expected.as_ref().map(|it| it.iter().collect::<Vec<_>>());
            prop_assert_eq!(element.inner.map(|it| it.iter().collect::<Vec<_>>()), expected);
        }
        let plain = Body::parse(text.as_bytes()).unwrap();
        prop_assert!(plain.some("l").unwrap().list.unwrap().iter().all(|it| it.inner.is_none()));
    }

    #[test]
    fn damaged_json_is_judged_as_serde_json_does(value in json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(text) = std::str::from_utf8(&bytes) {
            prop_assert_eq!(accepted(text), serde_json::from_str::<IgnoredAny>(text).is_ok(), "{:?}", text);
        }
    }
}
