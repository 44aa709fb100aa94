//! Tokens: issue, expiry, rotation.

use super::*;

const CLIENT: &str = "app_EMoamEEZ73f0CkXaXp7hrann";

fn tokens(auth_json: &str) -> Value {
    let file: Value = serde_json::from_str(auth_json).unwrap();
    file["tokens"].clone()
}

fn refresh(token: &Value) -> String {
    json!({
        "client_id": CLIENT,
        "grant_type": "refresh_token",
        "refresh_reason": "proactive_expiry",
        "refresh_token": token,
    })
    .to_string()
}

fn claims(token: &Value) -> Value {
    use base64::Engine as _;
    let body = token.as_str().unwrap().split('.').nth(1).unwrap();
    let body = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

async fn issued() -> Stage {
    Stage::with(Options { tokens: TokenPolicy::Issued, ..Options::default() }).await
}

#[tokio::test]
async fn the_login_file_is_the_one_the_cli_writes() {
    let stage = Stage::new().await;
    let file = stage.mock.auth_json();
    assert!(file.starts_with("{\n  \"auth_mode\": \"chatgpt\",\n  \"OPENAI_API_KEY\": null,"));
    let tokens = tokens(&file);
    assert_eq!(tokens["account_id"], stage.mock.account_id());
    for name in ["id_token", "access_token"] {
        let claims = claims(&tokens[name]);
        let auth = &claims["https://api.openai.com/auth"];
        assert_eq!(auth["chatgpt_account_id"], stage.mock.account_id());
        assert_eq!(auth["chatgpt_plan_type"], "plus");
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
    }
    let short = stage.mock.new_login(Duration::from_secs(10));
    let claims = claims(&self::tokens(&short)["access_token"]);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 10);
}

#[tokio::test]
async fn a_refresh_token_is_good_once() {
    let stage = issued().await;
    let old = tokens(&stage.mock.auth_json());
    let first = stage.post("/oauth/token", &refresh(&old["refresh_token"])).await;
    assert_eq!(first.status, 200);
    let new = first.json();
    assert_ne!(new["access_token"], old["access_token"]);
    assert_ne!(new["refresh_token"], old["refresh_token"]);
    assert_eq!(tokens(&stage.mock.auth_json())["refresh_token"], new["refresh_token"]);
    let second = stage.post("/oauth/token", &refresh(&old["refresh_token"])).await;
    assert_eq!(second.status, 401);
    assert_eq!(second.json()["error"]["code"], "refresh_token_reused");
    assert_eq!(stage.post("/oauth/token", &refresh(&new["refresh_token"])).await.status, 200);
    let foreign = stage.post("/oauth/token", &refresh(&json!("rt_foreign"))).await;
    assert_eq!(foreign.json()["error"]["code"], "refresh_token_invalidated");
    assert_eq!(stage.mock.token_posts(), 4);
}

#[tokio::test]
async fn the_token_endpoint_wants_json_of_the_right_client() {
    let stage = Stage::new().await;
    let token = tokens(&stage.mock.auth_json())["refresh_token"].clone();
    let good: Value = serde_json::from_str(&refresh(&token)).unwrap();
    for (name, value) in [
        ("client_id", json!("app_other")),
        ("grant_type", json!("password")),
        ("refresh_reason", json!("boredom")),
        ("refresh_token", json!(null)),
    ] {
        let mut body = good.clone();
        body[name] = value;
        assert_eq!(stage.post("/oauth/token", &body.to_string()).await.status, 400, "{name}");
    }
    let url = stage.mock.token_url();
    let mut form = stage.request(&Method::POST, &url, "grant_type=refresh_token");
    form.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    assert_eq!(stage.send(form).await.status, 400);
    let mut library = stage.request(&Method::POST, &url, good.to_string());
    library.headers_mut().insert("user-agent", "reqwest/0.13".parse().unwrap());
    assert_eq!(stage.send(library).await.status, 403);
    assert_eq!(stage.post("/oauth/token", &good.to_string()).await.status, 200);
}

#[tokio::test]
async fn tokens_that_expire_are_renewed_by_a_refresh() {
    for policy in [TokenPolicy::Any, TokenPolicy::Issued] {
        let stage = Stage::with(Options { tokens: policy, ..Options::default() }).await;
        let old = tokens(&stage.mock.auth_json());
        assert_eq!(stage.ask("hi").await.status, 200);
        stage.mock.expire_tokens();
        let refused = stage.ask("hi").await;
        assert_eq!(
            (refused.status, &refused.json()["error"]["code"]),
            (401, &json!("token_expired"))
        );
        let renewed = stage.post("/oauth/token", &refresh(&old["refresh_token"])).await.json();
        assert_eq!(renewed["access_token"], stage.mock.access_token());
        assert_eq!(stage.ask("hi").await.status, 200);
        assert_eq!(stage.mock.counts().refused, 0);
    }
}

#[tokio::test]
async fn the_policy_decides_about_foreign_tokens() {
    for (policy, expected) in [
        (TokenPolicy::Any, 200),
        (TokenPolicy::Issued, 401),
        (TokenPolicy::Listed(vec!["mine".to_owned()]), 200),
        (TokenPolicy::Listed(vec!["other".to_owned()]), 401),
    ] {
        let stage = Stage::with(Options { tokens: policy, ..Options::default() }).await;
        let url = format!("{}/responses", stage.mock.base_url());
        let mut request = stage.request(&Method::POST, &url, question("hi").to_string());
        request.headers_mut().insert("authorization", "Bearer mine".parse().unwrap());
        let reply = stage.send(request).await;
        assert_eq!(reply.status, expected);
        if expected == 401 {
            assert_eq!(reply.json()["error"]["code"], "token_invalidated");
        }
    }
}

#[tokio::test]
async fn an_issued_token_belongs_to_its_account() {
    let stage = issued().await;
    let url = format!("{}/responses", stage.mock.base_url());
    let mut request = stage.request(&Method::POST, &url, question("hi").to_string());
    request.headers_mut().insert("chatgpt-account-id", "another".parse().unwrap());
    assert_eq!(stage.send(request).await.status, 401);
}

#[tokio::test]
async fn refreshes_can_fail_wait_and_leave_things_out() {
    let stage = issued().await;
    let token = tokens(&stage.mock.auth_json())["refresh_token"].clone();
    stage.mock.fail_refresh(401, "refresh_token_expired");
    let failed = stage.post("/oauth/token", &refresh(&token)).await;
    assert_eq!(
        (failed.status, &failed.json()["error"]["code"]),
        (401, &json!("refresh_token_expired"))
    );
    stage.mock.mend_refresh();
    stage.mock.withhold_from_refresh(&["id_token", "refresh_token"]);
    let partial = stage.post("/oauth/token", &refresh(&token)).await.json();
    assert!(partial.get("id_token").is_none() && partial.get("refresh_token").is_none());
    assert!(partial["access_token"].is_string());
    stage.mock.withhold_from_refresh(&[]);
    assert_eq!(stage.post("/oauth/token", &refresh(&token)).await.status, 200);
    stage.mock.delay_refresh(Duration::from_mins(10));
    let url = stage.mock.token_url();
    let waiting = stage.http.request(stage.request(&Method::POST, &url, refresh(&token)));
    let seen = stage.mock.until(|it| it.len() == 4);
    tokio::select! {
        _ = waiting => panic!("the refresh did not wait"),
        () = seen => {}
    }
}
