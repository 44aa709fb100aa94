//! Facts about keys.

use std::collections::HashMap;

use super::*;

#[test]
fn a_generated_key_has_the_documented_form() {
    let key = ApiKey::generate(&[0xA5; 32]);
    assert_eq!(key.expose().len(), GENERATED_LEN);
    assert!(key.expose().starts_with("gxk_paWlpaWl"));
    assert!(key.expose().bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_' || it == b'-'));
    assert!(key.checksum_holds());
}

#[test]
fn the_checksum_is_crc_32_in_base_62() {
    // The standard check value of CRC-32 is 0xCBF43926 = 3421780262.
    assert_eq!(checksum(b"123456789"), "3jZRME");
}

#[test]
fn one_wrong_character_breaks_the_checksum() {
    let good = ApiKey::generate(&[7; 32]);
    for at in 0..good.expose().len() {
        let mut text = good.expose().to_owned();
        let other = if text.as_bytes()[at] == b'x' { "y" } else { "x" };
        text.replace_range(at..=at, other);
        assert!(!ApiKey::from(text).checksum_holds(), "character {at}");
    }
}

#[test]
fn any_string_is_a_key() {
    for text in ["local-dev-key", "", "gxk_", "ключ", "gxk_é".repeat(20).as_str()] {
        let key: ApiKey = text.parse().unwrap();
        assert_eq!(key.expose(), text);
        assert!(!key.checksum_holds());
        let _ = key.hint();
    }
}

#[test]
fn a_key_is_never_printed() {
    let key = ApiKey::from("local-dev-key".to_owned());
    assert_eq!(format!("{key:?}"), "ApiKey(…)");
    assert_eq!(format!("{:?}", key.hash()), "KeyHash(…)");
}

#[test]
fn a_hint_shows_the_end_of_a_long_key_only() {
    #[track_caller]
    fn check(key: &str, hint: &str) {
        assert_eq!(ApiKey::from(key.to_owned()).hint(), hint);
    }
    check("gxk_0123456789012345678901234567890123456789012abcdef", "gxk_…cdef");
    check("a-key-that-somebody-has-chosen", "…osen");
    check("local-dev-key", "…");
    check("gxk_short", "gxk_…");
}

#[test]
fn a_hash_reads_back_what_it_writes() {
    let hash = KeyHash::of("abc");
    let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(hash.to_string(), text);
    assert_eq!(text.parse(), Ok(hash));
    assert_eq!(text.to_uppercase().replace("SHA", "sha").parse(), Ok(hash));
    assert_eq!(HashMap::from([(hash, 1)]).get(&KeyHash::of("abc")), Some(&1));
    assert_ne!(KeyHash::of("abd"), hash);
}

#[test]
fn a_damaged_hash_is_refused() {
    let good = KeyHash::of("abc").to_string();
    for text in
        ["", "sha256:", &good[7..], &good[..70], &format!("{good}0"), &good.replace('b', "g")]
    {
        assert_eq!(text.parse::<KeyHash>(), Err(NotAHash), "{text}");
    }
}

#[test]
fn ids_say_what_kind_of_key_they_name() {
    assert_eq!(KeyId::generate(&[0x7f, 0x3a, 0x1c]).as_str(), "key_7f3a1c");
    assert_eq!(KeyId::fixed().as_str(), "static");
    let token = KeyId::of_token(&KeyHash::of("abc"));
    assert_eq!(token.as_str(), "any_ba7816bf8f01cfea");
    assert!(token.is_token());
    assert!(!KeyId::fixed().is_token());
}
