//! Files that hold no login, at the start and later.

use super::*;

#[tokio::test]
async fn an_api_key_in_the_place_of_the_login_is_not_sent_and_ends_the_service_until_it_is_gone() {
    let issuer = Issuer::start(rotating).await;
    let home = Home::new(&tokens("a1", "r1"));
    let login = home.login(&issuer, true);
    let seen = login.current().await.unwrap();
    let before = fs::read(home.path()).unwrap();
    fs::write(home.path(), r#"{"auth_mode":"apikey","OPENAI_API_KEY":"sk-1"}"#).unwrap();
    for _ in 0..2 {
        let refused = login.renew(&seen).await;
        assert!(matches!(refused, Err(Error::Rejected(Rejection::ApiKey))));
        let refused = login.current().await;
        assert!(matches!(refused, Err(Error::Rejected(Rejection::ApiKey))));
    }
    assert_eq!(login.status().ended, Some(Rejection::ApiKey));
    assert_eq!(issuer.calls(), 0);
    fs::write(home.path(), before).unwrap();
    // To ask for new credentials is to look at the file, however short ago that was done.
    assert_bearer(&login.renew(&seen).await.unwrap(), "a2");
    assert_bearer(&login.current().await.unwrap(), "a2");
    assert_eq!(login.status().ended, None);
}

#[test]
fn an_api_key_is_no_login_to_start_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.json");
    fs::write(&path, r#"{"OPENAI_API_KEY":"sk-1"}"#).unwrap();
    assert!(matches!(describe(&path).map(|_| ()), Err(Error::ApiKey { .. })));
    let opened = open(path);
    assert!(matches!(opened.map(|_| ()), Err(Error::ApiKey { .. })));
}

fn open(auth_path: std::path::PathBuf) -> Result<Login, Error> {
    let settings = Settings {
        auth_path,
        allow_refresh: true,
        token_url: Uri::from_static("http://127.0.0.1:1/"),
        user_agent: HeaderValue::from_static("godex/test"),
        originator: HeaderValue::from_static("codex_cli_rs"),
    };
    Login::open(settings, client(Duration::from_secs(5)), Tasks::default())
}

#[test]
fn where_there_is_no_login_opening_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path().join("auth.json"));
    assert!(matches!(opened.map(|_| ()), Err(Error::Missing { .. })));
}
