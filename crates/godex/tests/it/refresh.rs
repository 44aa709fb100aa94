//! The proxy's own login: renewed when allowed, picked up from disk, never the client's
//! business.

use std::time::Duration;

use serde_json::Value;

use crate::client::Reply;
use crate::stage::{Stage, Strict, four_ways, play, question, together};

/// The tokens in the login file.
fn tokens(stage: &Stage<Strict>) -> Value {
    let path = stage.home.path().join(".codex/auth.json");
    let login: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    login["tokens"].clone()
}

/// Asks whether it is ready until the answer has this status.
async fn becomes(stage: &Stage<Strict>, status: u16) -> Reply {
    loop {
        let reply = stage.proxy.get("/readyz").await;
        if reply.status == status {
            return reply;
        }
    }
}

#[test]
fn an_expired_token_is_renewed_without_the_client_noticing() {
    play(async {
        let stage = Stage::with_login(&["--allow-refresh"]).await;
        let before = tokens(&stage);
        for (turn, call) in (1..).zip(four_ways("hi")) {
            stage.backend.mock.expire_tokens();
            let reply = stage.proxy.send(call).await;
            assert_eq!((reply.status, reply.whole), (200, true), "{}", reply.body);
            assert_eq!(stage.backend.mock.token_posts(), turn);
        }
        let after = tokens(&stage);
        for name in ["access_token", "refresh_token", "id_token"] {
            assert_ne!(after[name], before[name], "{name}");
        }
        assert_eq!(after["access_token"], stage.backend.mock.access_token());
        assert_eq!(after["account_id"], before["account_id"]);
        stage.proxy.responses(&question("hi")).await.fine();
        assert_eq!(stage.backend.mock.token_posts(), 4, "a good token is not renewed");
    });
}

#[test]
fn fifty_requests_at_once_renew_once() {
    play(async {
        let stage = Stage::with_login(&["--allow-refresh"]).await;
        stage.proxy.get("/v1/models").await.fine();
        stage.backend.mock.delay_refresh(Duration::from_millis(200));
        stage.backend.mock.expire_tokens();
        let body = question("hi");
        for reply in together((0..50).map(|_| stage.proxy.responses(&body))).await {
            assert_eq!(reply.status, 200, "{}", reply.body);
        }
        assert_eq!(stage.backend.mock.token_posts(), 1);
    });
}

#[test]
fn without_permission_nothing_is_renewed_over_the_network() {
    play(async {
        let stage = Stage::with_login(&[]).await;
        let before = tokens(&stage);
        stage.backend.mock.expire_tokens();
        for call in four_ways("hi") {
            let reply = stage.proxy.send(call).await;
            let (status, kind, code) = reply.error();
            assert_eq!(
                (status, kind.as_str(), code.as_str()),
                (502, "server_error", "upstream_auth")
            );
            assert!(reply.message().contains("godex login"), "{}", reply.message());
            assert_eq!(reply.header("x-should-retry"), "false");
            for secret in ["eyJ", ".codex", "/tmp"] {
                assert!(!reply.body.contains(secret), "{}", reply.body);
            }
        }
        assert_eq!(stage.backend.mock.token_posts(), 0);
        assert_eq!(tokens(&stage), before);
    });
}

#[test]
fn a_login_renewed_on_disk_is_picked_up_without_any_network() {
    play(async {
        for arguments in [&[][..], &["--allow-refresh"]] {
            let stage = Stage::with_login(arguments).await;
            stage.proxy.responses(&question("hi")).await.fine();
            stage.backend.mock.expire_tokens();
            let login = stage.backend.mock.new_login(Duration::from_secs(3600));
            stage.home.write(".codex/auth.json", &login);
            for call in four_ways("hi") {
                assert_eq!(stage.proxy.send(call).await.status, 200);
            }
            assert_eq!(stage.backend.mock.token_posts(), 0);
        }
    });
}

#[test]
fn a_token_about_to_expire_is_renewed_before_it_is_used() {
    play(async {
        let mut stage = Stage::with_login(&[]).await;
        let login = stage.backend.mock.new_login(Duration::from_secs(60));
        stage.home.write(".codex/auth.json", &login);
        let url = stage.backend.mock.token_url();
        stage.renew_at(&url).await;
        stage.proxy.responses(&question("hi")).await.fine();
        assert_eq!(stage.backend.mock.token_posts(), 1);
        let refused = stage
            .backend
            .mock
            .requests()
            .into_iter()
            .any(|it| matches!(it.verdict, godex_mock::record::Verdict::Refused(_)));
        assert!(!refused, "the backend never saw a stale token");
    });
}

#[test]
fn a_login_that_has_ended_is_told_and_not_tried_for_ever() {
    play(async {
        let stage = Stage::with_login(&["--allow-refresh"]).await;
        stage.proxy.get("/v1/models").await.fine();
        stage.backend.mock.fail_refresh(401, "refresh_token_expired");
        stage.backend.mock.expire_tokens();
        for call in four_ways("hi") {
            let reply = stage.proxy.send(call).await;
            let (status, _, code) = reply.error();
            assert_eq!((status, code.as_str()), (502, "upstream_auth"), "{}", reply.body);
            assert!(reply.message().contains("log in again"), "{}", reply.message());
        }
        assert_eq!(stage.backend.mock.token_posts(), 1);
        assert_eq!(stage.proxy.get("/readyz").await.status, 503);

        // A new login on disk ends it.
        stage.backend.mock.mend_refresh();
        let login = stage.backend.mock.new_login(Duration::from_secs(3600));
        stage.home.write(".codex/auth.json", &login);
        stage.proxy.responses(&question("hi")).await.fine();
        assert_eq!(stage.proxy.get("/readyz").await.status, 200);
    });
}

#[test]
fn a_login_on_disk_that_is_refused_as_well_is_renewed_for_the_same_request() {
    play(async {
        let mut stage = Stage::with_login(&[]).await;
        let url = stage.backend.mock.token_url();
        stage.renew_at(&url).await;
        stage.proxy.responses(&question("hi")).await.fine();
        let login = stage.backend.mock.new_login(Duration::from_secs(3600));
        stage.home.write(".codex/auth.json", &login);
        // By now neither the one in memory nor the one on disk is good.
        stage.backend.mock.expire_tokens();
        stage.proxy.responses(&question("hi")).await.fine();
        assert_eq!(stage.backend.mock.token_posts(), 1);
    });
}

#[test]
fn an_api_key_in_the_place_of_the_login_is_told_until_the_login_is_back() {
    play(async {
        let stage = Stage::with_login(&["--allow-refresh"]).await;
        let path = stage.home.path().join(".codex/auth.json");
        let login = std::fs::read_to_string(&path).unwrap();
        stage.home.write(".codex/auth.json", r#"{"auth_mode":"apikey","OPENAI_API_KEY":"sk-1"}"#);
        let unready = becomes(&stage, 503).await;
        assert!(unready.body.contains("holds an API key now"), "{}", unready.body);
        for call in four_ways("hi") {
            let reply = stage.proxy.send(call).await;
            let (status, _, code) = reply.error();
            assert_eq!((status, code.as_str()), (502, "upstream_auth"), "{}", reply.body);
            assert!(reply.message().contains("`godex login`"), "{}", reply.message());
        }
        assert!(stage.sent().is_empty());
        stage.home.write(".codex/auth.json", &login);
        // Nobody has to send a request for the new login to be noticed.
        becomes(&stage, 200).await;
        stage.proxy.responses(&question("hi")).await.fine();
        assert_eq!(stage.backend.mock.token_posts(), 0);
    });
}

#[test]
fn a_token_that_has_ended_and_that_nothing_renews_is_told_from_the_start() {
    play(async {
        let mut stage = Stage::with_login(&[]).await;
        let login = stage.backend.mock.new_login(Duration::ZERO);
        stage.home.write(".codex/auth.json", &login);
        let mut without: Value = serde_json::from_str(&login).unwrap();
        without["tokens"]["refresh_token"] = Value::Null;
        for (flags, why) in
            [(&[][..], "--allow-refresh is off"), (&["--allow-refresh"], "it has no refresh token")]
        {
            stage.restart(flags).await;
            let why = format!("the access token has expired and {why}");
            stage.proxy.says(&why).await;
            let reply = stage.proxy.get("/readyz").await;
            assert_eq!((reply.status, &reply.json()["reason"]), (503, &Value::from(why)));
            stage.home.write(".codex/auth.json", &without.to_string());
        }
    });
}
