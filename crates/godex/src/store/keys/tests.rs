//! Facts about the key file and who gets in.

use std::fs;

use super::record::{Previous, Record, Unclear};
use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-22T10:00:00Z")
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deeper/proxy-keys.json");
    (folder, path)
}

fn add(path: &Path, id: &str, secret: &str) -> Result<(), Error> {
    edit(path, |records| {
        let mut record = Record::new(KeyId::from(id), KeyHash::of(secret), now());
        record.label = format!("label-{id}");
        records.keys.push(record);
    })
}

fn edit(path: &Path, work: impl FnOnce(&mut Records)) -> Result<(), Error> {
    Records::change(path, |records| {
        work(records);
        Ok(())
    })
}

fn id_of(keys: &Keys, secret: &str, now: Timestamp) -> Option<String> {
    keys.resolve(&KeyHash::of(secret), now).map(|it| it.id.to_string())
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn only_the_secret_opens_the_door() {
    let (_folder, path) = scratch();
    add(&path, "key_1", "one").unwrap();
    let keys = Keys::open(&path, Others::Nobody).unwrap();
    assert_eq!(id_of(&keys, "one", now()), Some("key_1".to_owned()));
    let hash = KeyHash::of("one").to_string();
    for other in ["two", "", "key_1", "label-key_1", &hash, &hash[7..]] {
        assert_eq!(id_of(&keys, other, now()), None, "{other}");
    }
}

#[test]
fn a_missing_file_has_no_keys() {
    let (_folder, path) = scratch();
    let keys = Keys::open(&path, Others::Nobody).unwrap();
    assert!(keys.is_empty(now()));
    assert!(!path.exists());
}

#[test]
fn the_shared_key_and_any_token_get_in_when_they_may() {
    let (_folder, path) = scratch();
    add(&path, "key_1", "one").unwrap();
    let shared = Others::shared(&ApiKey::from("local-dev-key".to_owned()));
    let keys = Keys::open(&path, shared).unwrap();
    assert_eq!(id_of(&keys, "local-dev-key", now()).as_deref(), Some("static"));
    assert_eq!(id_of(&keys, "one", now()).as_deref(), Some("key_1"));
    assert_eq!(id_of(&keys, "two", now()), None);
    let keys = Keys::open(&path, Others::Anyone).unwrap();
    assert_eq!(id_of(&keys, "one", now()).as_deref(), Some("key_1"));
    let token = id_of(&keys, "two", now()).unwrap();
    assert!(token.starts_with("any_"), "{token}");
    assert_eq!(id_of(&keys, "two", now()), Some(token));
}

#[test]
fn revoked_and_expired_keys_and_old_secrets_end_in_their_time() {
    let (_folder, path) = scratch();
    add(&path, "key_1", "revoked").unwrap();
    add(&path, "key_2", "expiring").unwrap();
    add(&path, "key_3", "old").unwrap();
    let soon = at("2026-11-22T11:00:00Z");
    edit(&path, |records| {
        records.find("key_1").unwrap().revoked_at = Some(now());
        records.find("key_2").unwrap().expires_at = Some(soon);
        let rotated = records.find("key_3").unwrap();
        rotated.previous.push(Previous { hash: rotated.hash, until: soon });
        rotated.hash = KeyHash::of("new");
    })
    .unwrap();
    let keys = Keys::open(&path, Others::Nobody).unwrap();
    let open =
        |now| ["revoked", "expiring", "old", "new"].map(|it| id_of(&keys, it, now).is_some());
    assert_eq!(open(now()), [false, true, true, true]);
    assert_eq!(open(soon), [false, false, false, true]);
    assert_eq!((keys.active(now()), keys.active(soon)), (2, 1));
}

#[test]
fn sixteen_writers_at_once_lose_no_key() {
    let (_folder, path) = scratch();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let path = &path;
            scope.spawn(move || add(path, &format!("key_{number}"), &number.to_string()).unwrap());
        }
    });
    assert_eq!(Records::read(&path).unwrap().keys.len(), 16);
}

#[test]
fn the_file_is_for_its_owner_only_and_holds_no_secret() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = scratch();
    add(&path, "key_1", "a secret of mine").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&path).unwrap().contains("secret of mine"));
}

#[test]
fn a_refused_change_writes_nothing() {
    let (_folder, path) = scratch();
    add(&path, "key_1", "one").unwrap();
    let before = fs::read(&path).unwrap();
    let refused: Result<(), Error> = Records::change(&path, |records| {
        records.keys.clear();
        Err(Error::TooNew { path: path.clone(), version: 9 })
    });
    assert!(refused.is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_running_proxy_follows_the_file_and_survives_its_damage() {
    let (_folder, path) = scratch();
    add(&path, "key_1", "one").unwrap();
    let keys = Keys::open(&path, Others::Nobody).unwrap();
    let open = || ["one", "two"].map(|it| id_of(&keys, it, now()).is_some());
    add(&path, "key_2", "two").unwrap();
    keys.look();
    assert_eq!(open(), [true, true]);
    edit(&path, |records| records.find("key_1").unwrap().revoked_at = Some(now())).unwrap();
    keys.look();
    assert_eq!(open(), [false, true]);
    let good = fs::read_to_string(&path).unwrap();
    for damaged in ["", "{", &good[..good.len() / 2], "[]", "{\"version\":99,\"keys\":[]}"] {
        fs::write(&path, damaged).unwrap();
        keys.look();
        assert_eq!(open(), [false, true], "{damaged}");
    }
    fs::write(&path, good.replace(&KeyHash::of("one").to_string(), &KeyHash::of("x").to_string()))
        .unwrap();
    edit(&path, |records| records.find("key_2").unwrap().revoked_at = Some(now())).unwrap();
    keys.look();
    assert_eq!(open(), [false, false]);
}

#[test]
fn a_file_that_is_gone_takes_its_keys_along_but_not_at_the_first_look() {
    let (_folder, path) = scratch();
    add(&path, "key_1", "one").unwrap();
    let keys = Keys::open(&path, Others::Nobody).unwrap();
    fs::remove_file(&path).unwrap();
    keys.look();
    assert!(!keys.is_empty(now()));
    keys.look();
    assert!(keys.is_empty(now()));
    add(&path, "key_1", "one").unwrap();
    keys.look();
    assert!(!keys.is_empty(now()));
}

#[tokio::test(start_paused = true)]
async fn nobody_looks_while_nobody_comes_and_who_comes_next_looks_first() {
    let (_folder, path) = scratch();
    add(&path, "key_1", "one").unwrap();
    let keys = Keys::open(&path, Others::Nobody).unwrap();
    let (stop, told) = (CancellationToken::new(), Arc::new(Notify::new()));
    let tell = Arc::clone(&told);
    let watch = Arc::clone(&keys).watch(stop.clone(), move |_| tell.notify_one());
    let rest = async |secret| {
        assert_eq!(id_of(&keys, secret, now()), Some("key_1".to_owned()));
        tokio::time::sleep(LOOK_EVERY).await;
        assert!(!keys.resting.load(Ordering::Acquire), "somebody has just come");
        tokio::time::sleep(LOOK_EVERY * (LOOKS_UNTIL_REST + 2)).await;
        assert!(keys.resting.load(Ordering::Acquire));
    };
    let work = async {
        rest("one").await;
        edit(&path, |records| records.find("key_1").unwrap().revoked_at = Some(now())).unwrap();
        assert_eq!(id_of(&keys, "one", now()), None);
        told.notified().await;

        edit(&path, |records| records.keys[0].revoked_at = None).unwrap();
        told.notified().await;
        rest("one").await;
        // An editor may be saving it: half a second later it counts as gone.
        fs::remove_file(&path).unwrap();
        assert_eq!(id_of(&keys, "one", now()), Some("key_1".to_owned()));
        told.notified().await;
        assert_eq!(id_of(&keys, "one", now()), None);
        stop.cancel();
    };
    tokio::join!(watch, work);
}

#[test]
fn files_of_version_one_are_read() {
    let (_folder, path) = scratch();
    let [one, two, three] = ["one", "two", "three"].map(|it| KeyHash::of(it).to_string());
    write(
        &path,
        &format!(
            r#"{{"version":1,"keys":[
            {{"id":"key_abc123","label":"agent-a","hash":"{one}","created_at":"2026-02-12T09:30:00.5+01:00","revoked_at":null,"rate":"30/m","burst":5,"quota_tokens":1000}},
            {{"id":"key_b","label":"","hash":"{two}","created_at":"2026-02-12T09:30:00Z","rate":"","burst":0,"quota_tokens":0}},
            {{"id":"key_c","label":"c","hash":"{three}","created_at":1770885000,"revoked_at":"2026-03-01T00:00:00Z","rate":null}}
            ]}}"#
        ),
    );
    let keys = Keys::open(&path, Others::Nobody).unwrap();
    let limits = |secret| keys.resolve(&KeyHash::of(secret), now()).map(|it| it.limits);
    let own = limits("one").unwrap();
    assert_eq!(own.rate.unwrap().to_string(), "30/m");
    assert_eq!(own.burst, Burst::new(5));
    assert!(matches!(own.quota, Allowance::Tokens(quota) if quota.tokens.get() == 1000));
    assert_eq!(limits("two"), Some(Limits::default()));
    assert_eq!(limits("three"), None);
}

#[test]
fn a_quota_of_zero_is_a_choice_and_survives_a_rewrite() {
    let (_folder, path) = scratch();
    add(&path, "key_1", "one").unwrap();
    edit(&path, |records| records.find("key_1").unwrap().quota_tokens = Some(0)).unwrap();
    add(&path, "key_2", "two").unwrap();
    let keys = Keys::open(&path, Others::Nobody).unwrap();
    let quota = |it| keys.resolve(&KeyHash::of(it), now()).unwrap().limits.quota;
    assert_eq!((quota("one"), quota("two")), (Allowance::Unlimited, Allowance::Default));
}

#[test]
fn fields_of_other_versions_survive_a_change() {
    let (_folder, path) = scratch();
    let hash = KeyHash::of("one");
    write(
        &path,
        &format!(
            r#"{{"version":1,"note":"mine","keys":[{{"id":"key_1","hash":"{hash}","owner":{{"team":7}}}}]}}"#
        ),
    );
    add(&path, "key_2", "two").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(r#""note": "mine""#) && text.contains(r#""team": 7"#), "{text}");
}

#[test]
fn a_damaged_file_is_refused_with_its_path_and_the_reason() {
    let (_folder, path) = scratch();
    let (one, two) = (KeyHash::of("one"), KeyHash::of("two"));
    let key =
        |id: &str, hash: &KeyHash, more: &str| format!(r#"{{"id":"{id}","hash":"{hash}"{more}}}"#);
    let file = |keys: &[String]| format!(r#"{{"version":1,"keys":[{}]}}"#, keys.join(","));
    for (text, why) in [
        (String::new(), "EOF"),
        ("[]".to_owned(), "an object with a version and keys"),
        ("{\"keys\":[]}".to_owned(), "missing field `version`"),
        (file(&[key("key_1", &one, r#","rate":"60/d""#)]), "`60/d` is not a rate"),
        (file(&[key("key_1", &one, r#","rate":"0/m""#)]), "`0/m` is not a rate"),
        (file(&[key("key_1", &one, r#","burst":-1"#)]), "invalid value"),
        (file(&[key("key_1", &one, r#","expires_at":"soon""#)]), "as year"),
        (file(&[r#"{"id":"key_1","hash":"sha256:12"}"#.to_owned()]), "64 hexadecimal"),
        (file(&[key("", &one, "")]), "no id"),
        (file(&[key("key_1", &one, ""), key("key_1", &two, "")]), "two keys have the id"),
        (file(&[key("key_1", &one, ""), key("key_2", &one, "")]), "secret of another"),
    ] {
        write(&path, &text);
        let Err(error) = Keys::open(&path, Others::Nobody) else { panic!("{text} was accepted") };
        let message = error.to_string();
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        assert!(message.contains(why), "{message} does not say {why}");
        assert!(error.help().iter().any(|it| it.contains("mv ")));
        assert!(add(&path, "key_9", "nine").is_err(), "a change would have hidden it");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    write(&path, "{\"version\":3,\"keys\":7}");
    assert!(matches!(Keys::open(&path, Others::Nobody), Err(Error::TooNew { version: 3, .. })));
}

#[test]
fn a_key_is_named_by_id_label_or_the_beginning_of_its_id() {
    let (_folder, path) = scratch();
    for id in ["key_aa1111", "key_aa2222", "key_bb3333"] {
        add(&path, id, id).unwrap();
    }
    let mut records = Records::read(&path).unwrap();
    records.keys[0].label = "same".to_owned();
    records.keys[1].label = "same".to_owned();
    records.keys[2].label = "key_aa1111".to_owned();
    let mut found = |name: &str| records.find(name).map(|it| it.id.to_string());
    assert_eq!(found("key_aa1111").as_deref(), Ok("key_aa1111"), "an id wins over a label");
    assert_eq!(found("key_b").as_deref(), Ok("key_bb3333"));
    assert_eq!(found("bb3").as_deref(), Ok("key_bb3333"));
    for name in ["same", "key_aa", "aa", "key_"] {
        let Err(Unclear::Several { ids, .. }) = found(name) else { panic!("{name} is clear") };
        assert!(ids.len() > 1);
    }
    for name in ["", "nope", "sam", "KEY_AA1111"] {
        assert_eq!(found(name), Err(Unclear::Unknown(name.to_owned())));
    }
    records.keys[0].revoked_at = Some(now());
    assert_eq!(records.find("same").unwrap().id.as_str(), "key_aa2222");
}

#[test]
fn a_key_may_be_bound_to_models() {
    let mut key = Key::plain(KeyId::fixed());
    assert!(key.allows("gpt-5.2-codex"));
    key.models = Some(vec!["gpt-5.2".to_owned()]);
    assert!(key.allows("gpt-5.2"));
    assert!(!key.allows("gpt-5.2-codex"));
}
