//! Facts about the recipes that need no files.

use super::*;

fn all() -> impl Iterator<Item = Client> {
    Client::value_variants().iter().copied()
}

#[test]
fn every_recipe_has_the_address_the_key_and_the_model() {
    let target = Target {
        url: "http://127.0.0.1:39005/v1".to_owned(),
        key: Some("gxk_abc".to_owned()),
        model: "gpt-x".to_owned(),
    };
    for client in all() {
        let snippet = client.snippet(&target);
        for part in ["http://127.0.0.1:39005/v1", "gxk_abc", "gpt-x"] {
            assert!(snippet.contains(part), "{client:?} lacks {part}:\n{snippet}");
        }
        assert!(snippet.ends_with('\n') && !snippet.contains("@KEY"), "{client:?}:\n{snippet}");
    }
    assert_eq!(all().count(), 14);
}

#[test]
fn a_client_connects_to_where_the_proxy_listens_or_to_this_machine() {
    #[track_caller]
    fn check(listen: &str, expected: &str) {
        assert_eq!(address(listen.parse().unwrap()), expected);
    }
    check("127.0.0.1:39001", "http://127.0.0.1:39001/v1");
    check("0.0.0.0:80", "http://127.0.0.1:80/v1");
    check("[::]:80", "http://[::1]:80/v1");
    check("192.168.1.2:80", "http://192.168.1.2:80/v1");
}

#[test]
fn a_model_that_is_served_comes_before_the_name_that_always_works() {
    let served = ["gpt-5.2-codex".to_owned(), "gpt-5.5".to_owned()];
    assert_eq!(fallback(Client::Python, None, &served), "gpt-5.5");
    assert_eq!(fallback(Client::Python, None, &served[..1]), "gpt-5.2-codex");
    assert_eq!(fallback(Client::Python, None, &[]), "gpt-5.2-codex");
    for client in [Client::Python, Client::Codex] {
        assert_eq!(fallback(client, Some("chosen"), &served), "chosen");
        assert_eq!(fallback(client, Some("gpt-5.2-codex"), &served), "gpt-5.5");
    }
    assert_ne!(fallback(Client::Codex, None, &[]), "gpt-5.2-codex", "it would warn about it");
}
