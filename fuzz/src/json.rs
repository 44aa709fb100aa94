//! The JSON scanner against `serde_json`. It takes all that a `serde_json::Value` can hold, and
//! nothing that is no JSON; between the two lie numbers without bounds and halves of
//! characters. Its own limits are the documented ones: 128 levels, and so many members.

use godex_core::json::{self, Body, Element, Elements, List, Malformed, Object, Raw};
use serde_json::Value;

use crate::deep;

/// The documented limit of nesting.
const MOST_LEVELS: usize = 128;

/// Checks one text.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        assert!(Body::parse(data).is_err(), "not UTF-8");
        return;
    };
    let value = deep::value(text);
    check_value(text, value.as_ref());
    check_body(text, value.as_ref());
    check_strings(text);
}

/// The scanner may judge as it did.
fn judged(text: &str, value: Option<&Value>, verdict: Result<(), Malformed>) {
    match verdict {
        Ok(()) => {
            assert!(deep::is_json(text), "taken, but no JSON: {text:?}");
            assert!(deep::depth(text) <= MOST_LEVELS, "taken, but too deep");
        }
        Err(Malformed::TooDeep) => {
            assert!(deep::depth(text) > MOST_LEVELS, "not too deep: {text:?}");
        }
        Err(Malformed::TooMany) => panic!("a fuzzer's input has not so many members"),
        Err(Malformed::Syntax(why)) => {
            assert!(value.is_none(), "refused, but JSON ({why}): {text:?}");
        }
    }
}

fn check_value(text: &str, value: Option<&Value>) {
    let raw = match Raw::parse(text) {
        Ok(raw) => {
            judged(text, value, Ok(()));
            raw
        }
        Err(error) => {
            judged(text, value, Err(error));
            return;
        }
    };
    assert!(deep::is_json(raw.get()), "not a value: {:?}", raw.get());
    assert_eq!(raw.get().trim_matches([' ', '\t', '\r', '\n']), raw.get(), "white space");
    let Some(value) = value else { return };
    assert_eq!(raw.boolean(), value.as_bool());
    assert_eq!(raw.is_null(), value.is_null());
    assert_eq!(raw.string().as_deref(), value.as_str());
    let list = raw.list();
    assert_eq!(list.is_some(), value.is_array());
    if let (Some(list), Value::Array(values)) = (list, value) {
        let elements = Elements::of(raw).expect("it is a list");
        let elements = elements.list();
        assert_eq!((list.len(), elements.len()), (values.len(), values.len()));
        for ((raw, element), value) in list.iter().zip(elements.iter()).zip(values) {
            assert_eq!(raw.get(), element.raw.get());
            assert_eq!(deep::value(raw.get()).as_ref(), Some(value));
            check_element(element, value);
        }
    }
    let object = Object::of(raw);
    assert_eq!(object.is_some(), value.is_object());
    if let (Some(object), Value::Object(_)) = (object, value) {
        let members = object.iter().map(|(name, raw)| (name.to_owned(), raw));
        check_members(members.collect(), value);
    }
}

fn check_body(text: &str, value: Option<&Value>) {
    let object = value.filter(|it| it.is_object());
    let body = Body::parse(text.as_bytes());
    match (body, value) {
        (Err(Malformed::Syntax(_)), Some(value)) if !value.is_object() => {}
        (Err(error), _) => judged(text, object, Err(error)),
        (Ok(body), _) => {
            judged(text, object, Ok(()));
            if let Some(value) = object {
                let members = body.fields().map(|(name, it)| (name.to_string(), it.raw));
                check_members(members.collect(), value);
                for (name, field) in body.fields() {
                    let values = value.get(&**name).and_then(Value::as_array);
                    assert_eq!(field.list.map(List::len), values.map(Vec::len));
                    let elements = field.list.iter().flat_map(|list| list.iter());
                    elements.zip(values.into_iter().flatten()).for_each(|(element, value)| {
                        assert_eq!(deep::value(element.raw.get()).as_ref(), Some(value));
                        check_element(element, value);
                    });
                }
            }
            for (name, _) in body.fields() {
                let with = Object::with_member(text, name).is_some();
                let inner = Object::of_text(text).and_then(|it| it.get(name)).and_then(Object::of);
                // Of a name that is written more than once, an earlier object may have names that
                // are none.
                let same = with == inner.is_some() || (!with && text.matches(&**name).count() > 1);
                assert!(same, "the member {name:?} of {text:?}");
            }
        }
    }
}

/// An element of a list, taken apart if it is an object.
fn check_element(element: Element<'_, '_>, value: &Value) {
    assert_eq!(element.object.is_some(), value.is_object());
    if let Some(object) = element.object {
        let members = object.iter().map(|(name, raw)| (name.to_owned(), raw));
        check_members(members.collect(), value);
    }
}

/// Members in their order, the last value of each name.
fn check_members(members: Vec<(String, Raw<'_>)>, value: &Value) {
    let expected = value.as_object().expect("an object");
    assert_eq!(members.len(), expected.len());
    for ((name, raw), (expected_name, expected)) in members.iter().zip(expected) {
        assert_eq!(name, expected_name);
        assert_eq!(deep::value(raw.get()).as_ref(), Some(expected));
    }
}

fn check_strings(text: &str) {
    let quoted = json::quote(text);
    assert_eq!(deep::value(&quoted), Some(Value::from(text)));
    assert_eq!(format!("\"{}\"", json::escape(text)), quoted);
    let raw = Raw::parse(&quoted).expect("a string");
    assert_eq!(raw.string().as_deref(), Some(text));
    let behind = format!("{}{text}", &quoted[1..]);
    assert_eq!(json::split_string(&behind), Some((&quoted[1..quoted.len() - 1], text)));
    assert_eq!(Raw::string_at(&quoted, 0).map(Raw::get), Some(quoted.as_str()));
}
