//! The other endpoints, encodings and the inspection.

use super::*;
use crate::Window;
use crate::record::Verdict;

#[tokio::test]
async fn the_catalogue_needs_a_version_and_knows_its_etag() {
    let stage = Stage::new().await;
    let path = "/backend-api/codex/models";
    assert_eq!(stage.get(path).await.status, 400);
    let reply = stage.get(&format!("{path}?client_version=0.169.0")).await;
    let models = reply.json()["models"].as_array().unwrap().clone();
    let listed = models.iter().filter(|it| it["visibility"] == "list").count();
    assert_eq!((models.len(), listed), (12, 9));
    assert_eq!(models[0]["slug"], "gpt-6.1-sol");
    assert_eq!(models[8]["use_responses_lite"], false);
    let url = format!("http://{}{path}?client_version=0.169.0", stage.mock.address());
    let mut again = stage.request(&Method::GET, &url, "");
    again.headers_mut().insert("if-none-match", reply.headers["etag"].clone());
    let again = stage.send(again).await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    stage.mock.fail_models(Some(503));
    assert_eq!(stage.get(&format!("{path}?client_version=1")).await.status, 503);
}

#[tokio::test]
async fn usage_is_told_at_both_addresses() {
    let stage = Stage::new().await;
    let week = Window { used_percent: 100.0, minutes: 10_080, resets_in: Duration::from_mins(1) };
    stage.mock.set_windows(Some(week), None);
    for path in ["/backend-api/wham/usage", "/backend-api/codex/usage"] {
        let usage = stage.get(path).await.json();
        assert_eq!(usage["rate_limit"]["primary_window"]["limit_window_seconds"], 604_800);
        assert_eq!(usage["rate_limit"]["secondary_window"], Value::Null);
        assert_eq!(usage["rate_limit"]["limit_reached"], true);
    }
    let reply = stage.ask("hi").await;
    assert_eq!(reply.headers["x-codex-primary-used-percent"], "100");
    assert!(!reply.headers.contains_key("x-codex-secondary-used-percent"));
}

#[tokio::test]
async fn every_path_wants_a_caller() {
    let stage = Stage::new().await;
    for path in ["models?client_version=1", "usage"] {
        let url = format!("{}/{path}", stage.mock.base_url());
        let mut request = stage.request(&Method::GET, &url, "");
        request.headers_mut().remove("authorization");
        let reply = stage.send(request).await;
        assert_eq!((reply.status, reply.body.as_str()), (401, r#"{"detail":"Unauthorized"}"#));
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let stage = Stage::new().await;
    assert_eq!(stage.get("/v1/models").await.status, 404);
    assert_eq!(stage.get("/oauth/token").await.status, 405);
    assert_eq!(stage.get("/backend-api/codex/responses").await.status, 426);
    assert_eq!(stage.post("/backend-api/codex/responses", "{").await.status, 400);
    assert_eq!(stage.post("/backend-api/codex/responses", "[]").await.status, 400);
}

#[tokio::test]
async fn zstd_bodies_are_read() {
    let stage = Stage::new().await;
    let body = question("packed").to_string();
    let packed = ruzstd::encoding::compress_to_vec(
        body.as_bytes(),
        ruzstd::encoding::CompressionLevel::Fastest,
    );
    let url = format!("{}/responses", stage.mock.base_url());
    let send = |body: Vec<u8>| {
        let mut request = stage.request(&Method::POST, &url, body);
        request.headers_mut().insert("content-encoding", "zstd".parse().unwrap());
        stage.send(request)
    };
    assert_eq!(send(packed).await.text(), "Mock answer to: packed");
    assert_eq!(send(b"not zstd".to_vec()).await.status, 400);
}

#[tokio::test]
async fn a_second_version_of_http_is_spoken() {
    let stage = Stage::new().await;
    let http: Http = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let stage = Stage { http, ..stage };
    assert_eq!(stage.ask("hello").await.text(), "Mock answer to: hello");
    assert!(!stage.ask("[[mock: drop]]").await.whole);
}

#[tokio::test]
async fn what_was_received_can_be_inspected() {
    let stage = Stage::with(Options { record: 2, ..Options::default() }).await;
    stage.ask("forgotten").await;
    stage.ask("kept").await;
    let mut bad = question("bad");
    bad["temperature"] = json!(0);
    stage.responses(&bad).await;
    let requests = stage.mock.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].verdict, Verdict::Accepted);
    assert_eq!(requests[0].headers.get("Session-Id"), Some("session"));
    assert_eq!(
        requests[1].verdict,
        Verdict::Refused(r#"400 {"detail":"Unsupported parameter: temperature"}"#.to_owned())
    );
    assert!(!format!("{requests:?}").contains(&stage.mock.access_token()));
    let document = stage.get("/__mock/requests").await.json();
    assert_eq!(document[0]["headers"]["authorization"], "(redacted)");
    assert_eq!(document[0]["body"]["input"][0]["content"], "kept");
    assert_eq!(document[1]["verdict"], "refused");
    assert_eq!(document[1]["ending"], "completed");
    let counted = stage.get("/__mock/state").await.json();
    assert_eq!(
        counted,
        json!({ "requests": 3, "open": 0, "cancelled": 0, "refused": 1, "token_posts": 0 })
    );
    stage.post("/__mock/expire-tokens", "").await;
    assert_eq!(stage.ask("hi").await.status, 401);
    let url = format!("http://{}/__mock/requests", stage.mock.address());
    stage.send(stage.request(&Method::DELETE, &url, "")).await;
    assert!(stage.mock.requests().is_empty());
}

#[tokio::test]
async fn a_dropped_mock_is_gone() {
    let stage = Stage::new().await;
    let address = stage.mock.address();
    stage.ask("hi").await;
    drop(stage);
    tokio::task::yield_now().await;
    assert!(tokio::net::TcpListener::bind(address).await.is_ok());
}
