//! The forms of the file, torn reads and the merge.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

fn read_text(text: &str) -> Result<Tokens, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.json");
    fs::write(&path, text).unwrap();
    read(&path).map(|it| it.tokens)
}

#[test]
fn every_form_of_the_file_is_understood() {
    #[track_caller]
    fn check(text: &str, expected: Option<&Tokens>) {
        let found = read_text(text).ok();
        assert!(found.as_ref() == expected, "{text}");
    }
    #[track_caller]
    fn is_key(text: &str) {
        let Err(error) = read_text(text) else { panic!("a login") };
        assert!(matches!(error, Error::ApiKey { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("sk-1"));
    }
    let tokens = |id: Option<&str>, account_id: Option<&str>| Tokens {
        access: "a".into(),
        id: id.map(str::to_owned),
        refresh: Some("r".into()),
        account_id: account_id.map(str::to_owned),
        last_refresh: None,
    };
    check(
        r#"{"auth_mode":"chatgpt","OPENAI_API_KEY":null,"tokens":{"id_token":"i","access_token":"a","refresh_token":"r","account_id":"acc"}}"#,
        Some(&tokens(Some("i"), Some("acc"))),
    );
    check(
        r#"{"OPENAI_API_KEY":"sk-1","tokens":{"access_token":"a","refresh_token":"r","account_id":null}}"#,
        Some(&tokens(None, None)),
    );
    is_key(r#"{"auth_mode":"apikey","OPENAI_API_KEY":"sk-1","tokens":null}"#);
    is_key(r#"{"auth_mode":"apikey","OPENAI_API_KEY":"sk-1","tokens":{"access_token":"a"}}"#);
    is_key(r#"{"OPENAI_API_KEY":"sk-1"}"#);
    check(
        r#"{"auth_mode":"apikey","OPENAI_API_KEY":"","tokens":{"access_token":"a","refresh_token":"r"}}"#,
        Some(&tokens(None, None)),
    );
    check("\u{20}{}", None);
    check(r#"{"tokens":{"access_token":""}}"#, None);
    check(r#"{"tokens":{"refresh_token":"r"}}"#, None);
    check("[]", None);
}

#[test]
fn the_date_of_the_last_refresh_is_read() {
    let text = r#"{"tokens":{"access_token":"a"},"last_refresh":"2026-11-22T09:46:00.134265825Z"}"#;
    let Ok(tokens) = read_text(text) else { panic!("tokens") };
    assert_eq!(tokens.last_refresh.unwrap().as_nanosecond(), 1_795_340_760_134_265_825);
}

#[test]
fn a_file_that_is_no_login_says_so_without_quoting_itself() {
    #[track_caller]
    fn check(text: &str) {
        let Err(error) = read_text(text) else { panic!("a login") };
        assert!(matches!(error, Error::Malformed { .. }));
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
    check("secret");
    check("");
    check(r#"{"tokens":{"access_token":"secr"#);
    check(r#"{"secret":1}"#);
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(read(&folder.path().join("auth.json")), Err(Error::Missing { .. })));
    assert!(matches!(read(folder.path()), Err(Error::Unreadable { .. })));
}

#[test]
fn a_torn_file_is_read_once_it_is_whole() {
    #[track_caller]
    fn check(states: &[&str], expected: bool) {
        let folder = tempfile::tempdir().unwrap();
        let stamp = stamp(folder.path()).unwrap();
        let mut states = states.iter();
        let found =
            whole(folder.path(), || Ok((stamp, states.next().unwrap().as_bytes().to_vec())));
        assert_eq!(found.is_ok(), expected);
        assert_eq!(states.len(), 0);
    }
    let (torn, good) = (r#"{"tokens":{"acc"#, r#"{"tokens":{"access_token":"a"}}"#);
    check(&[good], true);
    check(&["", torn, torn, good], true);
    check(&["", torn, torn, torn], false);
}

#[test]
fn new_tokens_change_nothing_else() {
    let before = r#"{
  "future": {"z": [1, 2.50, null], "a": "ü"},
  "tokens": {
    "refresh_token": "r1",
    "hint": "kept",
    "id_token": "i1",
    "access_token": "a1",
    "account_id": null
  },
  "OPENAI_API_KEY": null,
  "last_refresh": "2026-01-01T00:00:00Z",
  "tail": true
}"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.json");
    fs::write(&path, before).unwrap();
    let mut raw = read(&path).unwrap().raw;
    let tokens = Tokens {
        access: "a2".into(),
        id: Some("i2".into()),
        refresh: Some("r2".into()),
        account_id: None,
        last_refresh: Some("2026-11-22T09:46:00.5Z".parse().unwrap()),
    };
    merge(&mut raw, &tokens);
    write(&path, &raw).unwrap();
    let expected = r#"{
  "future": {
    "z": [
      1,
      2.5,
      null
    ],
    "a": "ü"
  },
  "tokens": {
    "refresh_token": "r2",
    "hint": "kept",
    "id_token": "i2",
    "access_token": "a2",
    "account_id": null
  },
  "OPENAI_API_KEY": null,
  "last_refresh": "2026-11-22T09:46:00.500000000Z",
  "tail": true
}"#;
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(read(&path).unwrap().tokens == tokens);
}

#[test]
fn a_write_leaves_another_stamp() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.json");
    fs::write(&path, r#"{"tokens":{"access_token":"a"}}"#).unwrap();
    let before = read(&path).unwrap();
    assert_eq!(stamp(&path), Some(before.stamp));
    write(&path, &before.raw).unwrap();
    assert_ne!(stamp(&path), Some(before.stamp));
}

/// A document with anything in it: names that the proxy knows among others, in any order.
fn document() -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof![
        Just("tokens".to_owned()),
        Just("last_refresh".to_owned()),
        Just("id_token".to_owned()),
        Just("access_token".to_owned()),
        Just("refresh_token".to_owned()),
        "[a-z]{1,3}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let fields = |value| prop::collection::vec((name.clone(), value), 0..6);
    let object = fields(leaf.clone().boxed()).prop_map(Map::from_iter);
    let value = prop_oneof![leaf, object.prop_map(Value::Object)];
    fields(value.boxed()).prop_map(Map::from_iter)
}

/// The names in their order, without those of `written`, and what they stand for.
fn others<'m>(map: &'m Map<String, Value>, written: &[&str]) -> Vec<(&'m str, &'m Value)> {
    let members = map.iter().map(|(name, value)| (name.as_str(), value));
    members.filter(|(name, _)| !written.contains(name)).collect()
}

proptest! {
    #[test]
    fn whatever_else_is_in_the_file_keeps_its_place_and_its_value(
        before in document(), id in proptest::option::of("[a-z]{3}"), refresh in proptest::option::of("[a-z]{3}"),
    ) {
        let last_refresh = Some("2026-11-22T09:46:00Z".parse().unwrap());
        let tokens = Tokens { access: "new".into(), id, refresh, account_id: None, last_refresh };
        let mut after = before.clone();
        merge(&mut after, &tokens);

        prop_assert_eq!(others(&after, &["tokens", "last_refresh"]), others(&before, &["tokens", "last_refresh"]));
        let names: Vec<&String> = after.keys().filter(|it| before.contains_key(*it)).collect();
        prop_assert_eq!(names, before.keys().collect::<Vec<_>>());
        let mut written = vec!["access_token"];
        written.extend(tokens.id.as_ref().map(|_| "id_token"));
        written.extend(tokens.refresh.as_ref().map(|_| "refresh_token"));
        let inner = after["tokens"].as_object().unwrap();
        if let Some(inner_before) = before.get("tokens").and_then(Value::as_object) {
            prop_assert_eq!(others(inner, &written), others(inner_before, &written));
        }
        prop_assert_eq!(&inner["access_token"], "new");

        let mut again = after.clone();
        merge(&mut again, &tokens);
        prop_assert_eq!(again, after);
    }
}
