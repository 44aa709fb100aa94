//! Signing in: the browser's code, the device's code, and what the issuer refuses.

use super::*;

const CALLBACK: &str = "http://localhost:1455/auth/callback";
/// A verifier and its S256 challenge, from RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn question(change: impl Fn(&str) -> Option<&'static str>) -> String {
    let fields = [
        ("response_type", "code"),
        ("client_id", "app_EMoamEEZ73f0CkXaXp7hrann"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid profile email offline_access api.connectors.read api.connectors.invoke"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("id_token_add_organizations", "true"),
        ("codex_cli_simplified_flow", "true"),
        ("state", "a-state-of-some-length"),
        ("originator", "codex_cli_rs"),
    ];
    let fields = fields.map(|(name, value)| (name, change(name).unwrap_or(value)));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

async fn authorize(stage: &Stage, query: &str) -> Reply {
    stage.get(&format!("/oauth/authorize?{query}")).await
}

async fn exchange(stage: &Stage, code: &str, redirect: &str, verifier: &str) -> Reply {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("client_id", "app_EMoamEEZ73f0CkXaXp7hrann"),
            ("code_verifier", verifier),
        ])
        .finish();
    let mut request = stage.request(&Method::POST, &stage.mock.token_url(), body);
    let form = "application/x-www-form-urlencoded".parse().unwrap();
    request.headers_mut().insert("content-type", form);
    stage.send(request).await
}

fn code_of(reply: &Reply) -> String {
    assert_eq!(reply.status, 302);
    let location = reply.headers["location"].to_str().unwrap();
    let query = location.strip_prefix(&format!("{CALLBACK}?code=")).unwrap();
    query.strip_suffix("&state=a-state-of-some-length").unwrap().to_owned()
}

#[tokio::test]
async fn a_browser_comes_back_with_a_code_that_is_good_once_and_for_its_verifier() {
    let stage = Stage::new().await;
    let code = code_of(&authorize(&stage, &question(|_| None)).await);
    let tokens = exchange(&stage, &code, CALLBACK, VERIFIER).await;
    assert_eq!(tokens.status, 200);
    assert_eq!(tokens.json()["access_token"], stage.mock.access_token());
    assert!(tokens.json()["id_token"].is_string() && tokens.json()["refresh_token"].is_string());
    assert_eq!(exchange(&stage, &code, CALLBACK, VERIFIER).await.status, 400);

    let other = VERIFIER.replace('d', "e");
    for (redirect, verifier) in
        [(CALLBACK, other.as_str()), (CALLBACK, "short"), ("http://localhost:1457/x", VERIFIER)]
    {
        let code = code_of(&authorize(&stage, &question(|_| None)).await);
        assert_eq!(exchange(&stage, &code, redirect, verifier).await.status, 400);
    }
}

#[tokio::test]
async fn the_page_wants_every_parameter_as_it_is_registered() {
    let stage = Stage::new().await;
    for (name, wrong) in [
        ("response_type", "token"),
        ("client_id", "app_other"),
        ("redirect_uri", "http://localhost:1456/auth/callback"),
        ("scope", "openid"),
        ("code_challenge", "short"),
        ("code_challenge_method", "plain"),
        ("id_token_add_organizations", ""),
        ("codex_cli_simplified_flow", "false"),
        ("state", "short"),
        ("originator", ""),
    ] {
        let query = question(|field| (field == name).then_some(wrong));
        assert_eq!(authorize(&stage, &query).await.status, 400, "{name}");
    }
    stage.mock.deny_sign_ins(true);
    let denied = authorize(&stage, &question(|_| None)).await;
    let location = denied.headers["location"].to_str().unwrap();
    assert!(location.contains("error=access_denied") && location.contains("&state=a-state"));
}

#[tokio::test]
async fn a_device_waits_until_its_code_is_entered() {
    let stage = Stage::new().await;
    let client = json!({ "client_id": "app_EMoamEEZ73f0CkXaXp7hrann" }).to_string();
    let device = stage.post("/api/accounts/deviceauth/usercode", &client).await.json();
    assert_eq!(device["interval"], "5");
    let question = json!({
        "device_auth_id": device["device_auth_id"], "user_code": device["user_code"],
    });
    let poll =
        || async { stage.post("/api/accounts/deviceauth/token", &question.to_string()).await };
    assert_eq!(poll().await.status, 403);
    let form = format!("user_code={}", device["user_code"].as_str().unwrap());
    assert!(stage.get("/codex/device").await.body.contains("user_code"));
    assert_eq!(stage.post("/codex/device", "user_code=MOCK-99999").await.status, 404);
    assert_eq!(stage.post("/codex/device", &form).await.status, 200);
    let found = poll().await.json();
    let redirect = format!("{}/deviceauth/callback", stage.mock.issuer());
    let text = |name: &str| found[name].as_str().unwrap().to_owned();
    let (code, verifier) = (text("authorization_code"), text("code_verifier"));
    assert_eq!(exchange(&stage, &code, &redirect, &verifier).await.status, 200);
    assert_eq!(poll().await.status, 400, "the code is spent");

    let device = stage.post("/api/accounts/deviceauth/usercode", &client).await.json();
    let form = format!("user_code={}&action=deny", device["user_code"].as_str().unwrap());
    stage.post("/codex/device", &form).await;
    let question = json!({
        "device_auth_id": device["device_auth_id"], "user_code": device["user_code"],
    });
    let denied = stage.post("/api/accounts/deviceauth/token", &question.to_string()).await;
    assert_eq!(denied.json()["error"]["code"], "access_denied");
}
