//! The login against a token endpoint and other writers of its file.

mod issuer;
mod no_login;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::issuer::{Issuer, refusing, rotating};
use super::token::tests::jwt;
use super::*;
use crate::upstream::connect::client;

/// An `auth.json` in a folder of its own.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new(tokens: &Value) -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        home.write(tokens);
        home
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("auth.json")
    }

    fn write(&self, tokens: &Value) {
        let file = json!({"auth_mode": "chatgpt", "OPENAI_API_KEY": null, "tokens": tokens});
        fs::write(self.path(), file.to_string()).unwrap();
    }

    fn read(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path()).unwrap()).unwrap()
    }

    fn login(&self, issuer: &Issuer, allow_refresh: bool) -> Login {
        login(&self.path(), &issuer.url, allow_refresh)
    }
}

fn login(path: &Path, token_url: &Uri, allow_refresh: bool) -> Login {
    let settings = Settings {
        auth_path: path.to_owned(),
        allow_refresh,
        token_url: token_url.clone(),
        user_agent: HeaderValue::from_static("godex/test"),
        originator: HeaderValue::from_static("codex_cli_rs"),
    };
    Login::open(settings, client(Duration::from_secs(5)), Tasks::default()).unwrap()
}

fn tokens(access: &str, refresh: &str) -> Value {
    json!({"id_token": "i1", "access_token": access, "refresh_token": refresh, "account_id": "acc"})
}

/// A token that ends in so many seconds.
fn ending_in(seconds: i64) -> String {
    jwt(&json!({"exp": refresh::now().as_second() + seconds}))
}

#[track_caller]
fn assert_bearer(credentials: &Credentials, token: &str) {
    assert_eq!(credentials.authorization().to_str().unwrap(), format!("Bearer {token}"));
}

#[tokio::test]
async fn a_refused_token_is_traded_for_a_new_one_that_is_written_down() {
    let issuer = Issuer::start(|_, _| {
        (200, json!({"id_token": "i2", "access_token": "a2", "refresh_token": "r2"}))
    })
    .await;
    let home = Home::new(&tokens("a1", "r1"));
    let login = home.login(&issuer, true);
    let seen = login.current().await.unwrap();
    assert_bearer(&seen, "a1");
    assert_eq!(seen.account_id().unwrap(), "acc");
    let renewed = login.renew(&seen).await.unwrap();
    assert_bearer(&renewed, "a2");
    assert!(renewed.generation() > seen.generation());
    assert_bearer(&login.current().await.unwrap(), "a2");
    let expected = json!({
        "request": "POST /oauth/token",
        "content-type": "application/json",
        "user-agent": "godex/test",
        "originator": "codex_cli_rs",
        "body": {
            "client_id": "app_EMoamEEZ73f0CkXaXp7hrann",
            "grant_type": "refresh_token",
            "refresh_reason": "unauthorized_recovery",
            "refresh_token": "r1",
        },
    });
    assert_eq!(*issuer.asked.lock().unwrap(), [expected]);
    let file = home.read();
    assert_eq!(
        file["tokens"],
        json!({"id_token": "i2", "access_token": "a2", "refresh_token": "r2", "account_id": "acc"})
    );
    assert_eq!(file["auth_mode"], "chatgpt");
    let last_refresh = file["last_refresh"].as_str().unwrap();
    assert_eq!(last_refresh.len(), "2026-11-22T09:46:00.134265825Z".len());
    assert_eq!(fs::metadata(home.path()).unwrap().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_backend_that_refuses_new_tokens_too_does_not_wear_out_the_endpoint() {
    let issuer = Issuer::start(rotating).await;
    let home = Home::new(&tokens("a1", "r1"));
    let login = home.login(&issuer, true);
    let seen = login.current().await.unwrap();
    let renewed = login.renew(&seen).await.unwrap();
    assert!(renewed.is_issued() && !seen.is_issued());
    // Somebody who still speaks of the old ones says nothing about the new ones.
    login.is_of_no_use(&seen);
    for _ in 0..10 {
        login.is_of_no_use(&renewed);
    }
    let Err(Error::Unavailable { retry_after }) = login.renew(&renewed).await else { panic!() };
    assert!(retry_after <= Duration::from_secs(1), "{retry_after:?}");
    assert_eq!(issuer.calls(), 1);
}

#[tokio::test]
async fn an_answer_without_any_token_renews_nothing() {
    for answer in [json!({}), json!({"access_token": ""}), json!({"access_token": null})] {
        let issuer = Issuer::start(move |_, _| (200, answer.clone())).await;
        let home = Home::new(&tokens("a1", "r1"));
        let before = home.read();
        let login = home.login(&issuer, true);
        let refused = login.renew(&login.current().await.unwrap()).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        assert_eq!(home.read(), before);
    }
}

#[tokio::test]
async fn a_hundred_refused_requests_make_one_call() {
    let issuer = Issuer::hesitant(rotating).await;
    let home = Home::new(&tokens("a1", "r1"));
    let login = home.login(&issuer, true);
    let seen = login.current().await.unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let (login, seen) = (login.clone(), seen.clone());
        waiting.spawn(async move { login.renew(&seen).await.unwrap() });
    }
    issuer.called(1).await;
    issuer.permits.add_permits(100);
    let renewed = waiting.join_all().await;
    assert_eq!(renewed.len(), 100);
    for credentials in &renewed {
        assert_bearer(credentials, "a2");
    }
    // Somebody who was refused before all this and only now comes to say so.
    assert_bearer(&login.renew(&seen).await.unwrap(), "a2");
    assert_eq!(issuer.calls(), 1);
}

#[tokio::test]
async fn the_client_that_leaves_does_not_take_the_renewal_with_it() {
    let issuer = Issuer::hesitant(rotating).await;
    let home = Home::new(&tokens("a1", "r1"));
    let login = home.login(&issuer, true);
    let seen = login.current().await.unwrap();
    let mut leaving = JoinSet::new();
    let leaver = (login.clone(), seen.clone());
    leaving.spawn(async move { leaver.0.renew(&leaver.1).await });
    issuer.called(1).await;
    leaving.shutdown().await;
    issuer.permits.add_permits(1);
    assert_bearer(&login.renew(&seen).await.unwrap(), "a2");
    assert_eq!(home.read()["tokens"]["refresh_token"], "r2");
    assert_eq!(issuer.calls(), 1);
}

#[tokio::test]
async fn a_newer_token_in_the_file_is_adopted_without_a_call() {
    for allow_refresh in [true, false] {
        let issuer = Issuer::start(rotating).await;
        let home = Home::new(&tokens("a1", "r1"));
        let login = home.login(&issuer, allow_refresh);
        let seen = login.current().await.unwrap();
        home.write(&tokens("theirs", "r9"));
        assert_bearer(&login.renew(&seen).await.unwrap(), "theirs");
        assert_eq!(issuer.calls(), 0);
    }
}

#[tokio::test]
async fn a_change_of_the_file_is_noticed_without_a_refusal() {
    let issuer = Issuer::start(rotating).await;
    let home = Home::new(&tokens("a1", "r1"));
    let login = home.login(&issuer, false);
    let first = login.current().await.unwrap();
    home.write(&tokens("theirs", "r9"));
    while login.current().await.unwrap().generation() == first.generation() {
        tokio::task::yield_now().await;
    }
    assert_bearer(&login.current().await.unwrap(), "theirs");
    assert_eq!(issuer.calls(), 0);
}

#[tokio::test]
async fn an_ended_token_in_the_file_is_not_adopted_but_its_refresh_token_is_used() {
    let issuer = Issuer::start(rotating).await;
    let home = Home::new(&tokens("a1", "r1"));
    let login = home.login(&issuer, true);
    let seen = login.current().await.unwrap();
    home.write(&tokens(&ending_in(-10), "r9"));
    assert_bearer(&login.renew(&seen).await.unwrap(), "a2");
    assert_eq!(issuer.asked.lock().unwrap()[0]["body"]["refresh_token"], "r9");
}

#[tokio::test]
async fn without_permission_nobody_is_asked_and_the_message_says_what_to_do() {
    let issuer = Issuer::start(rotating).await;
    let home = Home::new(&tokens(&ending_in(-10), "r1"));
    let login = home.login(&issuer, false);
    let seen = login.current().await.unwrap();
    let error = login.renew(&seen).await.unwrap_err();
    assert!(matches!(error, Error::Rejected(Rejection::RefreshOff)));
    for remedy in ["`godex login`", "`codex login`", "`--allow-refresh`"] {
        assert!(error.to_string().contains(remedy));
    }
    assert_eq!(issuer.calls(), 0);
}

#[tokio::test]
async fn a_token_about_to_end_is_renewed_before_it_is_sent() {
    let issuer = Issuer::start(rotating).await;
    let home = Home::new(&tokens(&ending_in(200), "r1"));
    let login = home.login(&issuer, true);
    assert_bearer(&login.current().await.unwrap(), "a2");
    assert_bearer(&login.current().await.unwrap(), "a2");
    assert_eq!(issuer.calls(), 1);
    assert_eq!(issuer.asked.lock().unwrap()[0]["body"]["refresh_reason"], "proactive_expiry");
}

#[tokio::test]
async fn a_token_issued_about_to_end_is_not_renewed_for_every_request() {
    let short = ending_in(30);
    let answer = json!({"access_token": short});
    let issuer = Issuer::start(move |_, _| (200, answer.clone())).await;
    let home = Home::new(&tokens(&ending_in(-30), "r1"));
    let login = home.login(&issuer, true);
    for _ in 0..5 {
        assert_bearer(&login.current().await.unwrap(), &short);
    }
    assert_eq!(issuer.calls(), 1);
    assert_eq!(home.read()["tokens"]["refresh_token"], "r1");
}

#[tokio::test]
async fn a_token_that_is_still_good_is_served_while_the_endpoint_is_down() {
    let issuer = Issuer::start(|_, _| (503, Value::Null)).await;
    let token = ending_in(200);
    let home = Home::new(&tokens(&token, "r1"));
    let before = fs::read(home.path()).unwrap();
    let login = home.login(&issuer, true);
    for _ in 0..5 {
        assert_bearer(&login.current().await.unwrap(), &token);
    }
    assert_eq!(issuer.calls(), 1);
    assert_eq!(fs::read(home.path()).unwrap(), before);
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_asked_once_and_everybody_else_fails_fast() {
    let issuer = Issuer::start(|_, _| (500, Value::Null)).await;
    let home = Home::new(&tokens(&ending_in(-10), "r1"));
    let login = home.login(&issuer, true);
    for _ in 0..5 {
        let error = login.current().await.unwrap_err();
        assert!(
            matches!(error, Error::Unavailable { retry_after } if retry_after <= Duration::from_secs(1))
        );
    }
    assert_eq!(issuer.calls(), 1);
}

#[tokio::test]
async fn a_login_that_is_over_is_not_tried_again_until_the_file_changes() {
    let issuer = Issuer::start(refusing("refresh_token_reused")).await;
    let good = ending_in(200);
    let home = Home::new(&tokens(&good, "r1"));
    let login = home.login(&issuer, true);
    let seen = login.current().await.unwrap();
    assert_bearer(&seen, &good);
    for _ in 0..3 {
        let error = login.renew(&seen).await.unwrap_err();
        assert!(matches!(error, Error::Rejected(Rejection::Reused)));
        assert!(error.to_string().contains("`godex login` or `codex login`"));
        assert_bearer(&login.current().await.unwrap(), &good);
    }
    assert_eq!(issuer.calls(), 1);
    assert_eq!(login.status().ended, Some(Rejection::Reused));
    home.write(&tokens(&good, "r7"));
    assert!(login.renew(&seen).await.is_err());
    assert_eq!(issuer.calls(), 2);
    home.write(&tokens("a8", "r8"));
    assert_bearer(&login.renew(&seen).await.unwrap(), "a8");
    assert_eq!(issuer.calls(), 2);
    assert_eq!(login.status().ended, None);
}

#[tokio::test]
async fn who_lost_the_race_for_the_refresh_token_takes_what_the_winner_wrote() {
    let home = Arc::new(Home::new(&tokens("a1", "r1")));
    let winner = Arc::clone(&home);
    let issuer = Issuer::start(move |nth, body| {
        winner.write(&tokens("winner", "r2"));
        refusing("refresh_token_reused")(nth, body)
    })
    .await;
    let login = home.login(&issuer, true);
    let seen = login.current().await.unwrap();
    assert_bearer(&login.renew(&seen).await.unwrap(), "winner");
    assert_eq!(issuer.calls(), 1);
    assert_eq!(login.status().ended, None);
}

#[tokio::test]
async fn two_programs_with_the_same_file_make_one_call() {
    let issuer = Issuer::hesitant(rotating).await;
    let home = Home::new(&tokens("a1", "r1"));
    let (one, other) = (home.login(&issuer, true), home.login(&issuer, true));
    let (seen, seen_too) = (one.current().await.unwrap(), other.current().await.unwrap());
    let released = async {
        issuer.called(1).await;
        issuer.permits.add_permits(2);
    };
    let (first, second, ()) = tokio::join!(one.renew(&seen), other.renew(&seen_too), released);
    assert_bearer(&first.unwrap(), "a2");
    assert_bearer(&second.unwrap(), "a2");
    assert_eq!(issuer.calls(), 1);
}

#[tokio::test]
async fn somebody_who_logs_in_while_we_ask_is_not_overwritten() {
    let home = Arc::new(Home::new(&tokens("a1", "r1")));
    let other = Arc::clone(&home);
    let issuer = Issuer::start(move |nth, body| {
        other.write(&tokens("other", "r9"));
        rotating(nth, body)
    })
    .await;
    let login = home.login(&issuer, true);
    let seen = login.current().await.unwrap();
    assert_bearer(&login.renew(&seen).await.unwrap(), "other");
    assert_eq!(home.read()["tokens"]["access_token"], "other");
}

#[tokio::test]
async fn what_the_file_holds_besides_and_the_link_to_it_stay() {
    let issuer = Issuer::start(rotating).await;
    let home = Home::new(&Value::Null);
    let real = home.folder.path().join("real.json");
    let before = r#"{"z":1,"tokens":{"refresh_token":"r1","x":[{}],"access_token":"a1","account_id":null},"a":{"b":null}}"#;
    fs::write(&real, before).unwrap();
    fs::remove_file(home.path()).unwrap();
    symlink("real.json", home.path()).unwrap();
    let login = home.login(&issuer, true);
    login.renew(&login.current().await.unwrap()).await.unwrap();
    assert!(fs::symlink_metadata(home.path()).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o600);
    let mut after: Value = serde_json::from_slice(&fs::read(&real).unwrap()).unwrap();
    after.as_object_mut().unwrap().remove("last_refresh").unwrap();
    assert_eq!(after.to_string(), before.replace("\"r1\"", "\"r2\"").replace("\"a1\"", "\"a2\""));
}

/// A name so long that neither a temporary name nor the file can be written in its place.
fn unwritable(home: &Home) -> PathBuf {
    let path = home.folder.path().join("a".repeat(250));
    fs::rename(home.path(), &path).unwrap();
    path
}

#[tokio::test]
async fn tokens_that_cannot_be_written_live_on_in_memory() {
    let issuer = Issuer::start(rotating).await;
    let home = Home::new(&tokens("a1", "r1"));
    let path = unwritable(&home);
    let before = fs::read(&path).unwrap();
    let login = login(&path, &issuer.url, true);
    let mut seen = login.current().await.unwrap();
    for expected in ["a2", "a3"] {
        seen = login.renew(&seen).await.unwrap();
        assert_bearer(&seen, expected);
        assert_bearer(&login.current().await.unwrap(), expected);
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(issuer.asked.lock().unwrap()[1]["body"]["refresh_token"], "r2");
    // A new login by hand still counts for more.
    let file = json!({"tokens": tokens("by hand", "r9")});
    fs::write(&path, file.to_string()).unwrap();
    assert_bearer(&login.renew(&seen).await.unwrap(), "by hand");
}

#[tokio::test]
async fn tokens_that_could_not_be_written_are_written_when_it_works_again() {
    let issuer = Issuer::start(rotating).await;
    let home = Home::new(&tokens("a1", "r1"));
    let long = unwritable(&home);
    // The link is what the login is told; it can be pointed at a better place.
    symlink(&long, home.path()).unwrap();
    let login = home.login(&issuer, true);
    let seen = login.renew(&login.current().await.unwrap()).await.unwrap();
    assert_bearer(&seen, "a2");
    fs::remove_file(home.path()).unwrap();
    fs::rename(&long, home.path()).unwrap();
    login.shared.join(Reason::Unsaved).await.unwrap();
    assert_eq!(home.read()["tokens"]["refresh_token"], "r2");
    assert_bearer(&login.renew(&seen).await.unwrap(), "a3");
    assert_eq!(home.read()["tokens"]["refresh_token"], "r3");
    assert_eq!(issuer.calls(), 2);
}

#[tokio::test]
async fn a_file_that_breaks_while_we_run_does_not_end_the_service() {
    let issuer = Issuer::start(rotating).await;
    let home = Home::new(&tokens("a1", "r1"));
    let login = home.login(&issuer, true);
    let seen = login.current().await.unwrap();
    fs::write(home.path(), "{").unwrap();
    assert_bearer(&login.current().await.unwrap(), "a1");
    assert!(matches!(login.renew(&seen).await, Err(Error::Malformed { .. })));
    fs::remove_file(home.path()).unwrap();
    assert!(matches!(login.renew(&seen).await, Err(Error::Missing { .. })));
    assert!(!home.path().exists());
    assert_eq!(issuer.calls(), 0);
}

#[tokio::test]
async fn a_slow_endpoint_does_not_hold_up_a_token_that_is_still_good() {
    let issuer = Issuer::hesitant(rotating).await;
    let token = ending_in(200);
    let home = Home::new(&tokens(&token, "r1"));
    let login = home.login(&issuer, true);
    assert_bearer(&login.current_within(Duration::ZERO).await.unwrap(), &token);
    issuer.permits.add_permits(1);
    assert_bearer(&login.current().await.unwrap(), "a2");
    assert_eq!(issuer.calls(), 1);
}

#[tokio::test]
async fn no_secret_is_printed() {
    let issuer = Issuer::start(rotating).await;
    let secret = jwt(&json!({"https://api.openai.com/auth": {"chatgpt_plan_type": "pro"}}));
    let home = Home::new(&json!({"access_token": secret, "account_id": "account-1234"}));
    let login = home.login(&issuer, true);
    let credentials = login.current().await.unwrap();
    let status = login.status();
    assert_eq!(status.plan.as_deref(), Some("pro"));
    assert_eq!(status.account_tail.as_deref(), Some("1234"));
    let printed = format!("{credentials:?} {:?} {status:?}", credentials.authorization());
    assert!(!printed.contains(&secret) && !printed.contains("account-"));
}
