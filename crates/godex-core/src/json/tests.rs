//! Objects and their fields.

use super::*;

#[test]
fn fields_keep_their_order_and_their_bytes() {
    let object = Object::parse(br#"{"b": 1.00, "a":{"x":[1, 2]}}"#).unwrap();
    let fields: Vec<_> = object.iter().map(|(key, value)| (key.to_owned(), value.get())).collect();
    assert_eq!(fields, [("b".to_owned(), "1.00"), ("a".to_owned(), r#"{"x":[1, 2]}"#)]);
}

#[test]
fn a_duplicated_field_keeps_its_place_and_its_last_value() {
    let object = Object::parse(br#"{"a":1,"b":2,"a":3}"#).unwrap();
    let fields: Vec<_> = object.iter().map(|(key, value)| (key.to_owned(), value.get())).collect();
    assert_eq!(fields, [("a".to_owned(), "3"), ("b".to_owned(), "2")]);
    let many: Vec<String> = (0..100).map(|n| format!("\"k{}\":{n}", n % 50)).collect();
    let text = format!("{{{},\"z\":0}}", many.join(","));
    assert_eq!(Object::parse(text.as_bytes()).unwrap().iter().count(), 51);
}

#[test]
fn a_member_that_is_written_twice_counts_as_it_was_written_last() {
    let member = |text| Object::with_member(text, "m").map(|(_, member)| member.string("a"));
    assert_eq!(member(r#"{"m":{"a":"1"}}"#), Some(Some("1".into())));
    assert_eq!(member(r#"{"m":{"a":"1"},"m":{"a":"2"}}"#), Some(Some("2".into())));
    assert_eq!(member(r#"{"m":7,"m":{"a":"1"}}"#), Some(Some("1".into())));
    assert_eq!(member(r#"{"m":{"a":"1"},"m":7}"#), None);
}

#[test]
fn what_is_not_one_object_is_refused() {
    for body in ["", "[]", "1", "{", "{}x", r#"{"a":}"#, "{\"a\":\"\u{1}\"}"] {
        assert!(Object::parse(body.as_bytes()).is_err(), "{body}");
    }
    assert!(Object::parse(b"{\"a\":\"\xff\"}").is_err());
}

#[test]
fn nesting_is_limited_to_128_levels_and_brackets_in_strings_do_not_count() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(Object::parse(nested(127).as_bytes()).is_ok());
    assert!(matches!(Object::parse(nested(128).as_bytes()), Err(Malformed::TooDeep)));
    let text = format!(r#"{{"a":"\\\"{}"}}"#, "[".repeat(500));
    assert!(Object::parse(text.as_bytes()).is_ok());
}

#[test]
fn strings_come_back_unescaped() {
    let object = Object::parse(br#"{"a":"x\n\u00e9","b":"plain","c":1}"#).unwrap();
    assert_eq!(object.string("a").as_deref(), Some("x\né"));
    assert!(matches!(object.string("b"), Some(Cow::Borrowed("plain"))));
    assert_eq!(object.string("c"), None);
}

#[test]
fn what_is_held_of_a_text_is_bounded() {
    let list = |elements: usize| format!(r#"{{"a":[{}{{}}]}}"#, "{},".repeat(elements - 1));
    assert!(Body::parse(list(MOST_HELD - 1).as_bytes()).is_ok());
    assert!(matches!(Body::parse(list(MOST_HELD).as_bytes()), Err(Malformed::TooMany)));
    let wide = format!(r#"{{"b":[{{"x":1}}],{}"z":0}}"#, r#""a":1,"#.repeat(MOST_HELD));
    assert!(matches!(Object::parse(wide.as_bytes()), Err(Malformed::TooMany)));
    // What nobody takes apart may be as long as the body.
    let deep = format!(r#"{{"a":{{"b":[{}0]}}}}"#, "0,".repeat(MOST_HELD));
    assert!(Body::parse(deep.as_bytes()).is_ok());
}
