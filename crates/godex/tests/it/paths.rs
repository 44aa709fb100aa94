//! N4, N6: where paths lead that clients put together by themselves.

use http::Method;

use crate::client::Call;
use crate::stage::{Stage, asked, play, question};

#[test]
fn n4_both_endpoints_are_found_however_the_base_url_was_written() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for prefix in ["/v1", "", "/v1/", "//v1", "/"] {
            for slash in ["", "/"] {
                let path = |end: &str| format!("{prefix}{end}{slash}");
                let call = Call::post(&path("/responses"), &question("hi"));
                assert_eq!(stage.proxy.send(call).await.status, 200, "{}", path("/responses"));
                let call = Call::post(&path("/chat/completions"), &asked("hi"));
                assert_eq!(stage.proxy.send(call).await.status, 200, "{}", path("/chat"));
                assert_eq!(stage.proxy.get(&path("/models")).await.status, 200);
                assert_eq!(stage.proxy.get(&path("/models?limit=1")).await.status, 200);
            }
        }
    });
}

#[test]
fn ids_of_models_may_be_percent_encoded() {
    play(async {
        let stage = Stage::on_mock(&["--model-alias=team/fast=gpt-5.5"]).await;
        for path in ["/v1/models/team/fast", "/v1/models/team%2Ffast", "/models/team%2ffas%74"] {
            assert_eq!(stage.proxy.get(path).await.json()["id"], "team/fast", "{path}");
        }
        for path in ["/v1/models/team%252Ffast", "/v1/models/%ff%00", "/v1/models/%0a"] {
            let reply = stage.proxy.get(path).await;
            assert_eq!(reply.error().0, 404, "{path}: {}", reply.body);
            assert_eq!(reply.error().2, "model_not_found");
            assert!(!reply.message().contains(['\0', '\n']), "{path}");
        }
    });
}

#[test]
fn n6_the_root_and_health_answer_anybody() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for path in ["/", "/health", "/healthz", "/v1/health"] {
            let get = stage.proxy.send(Call::get(path).header("authorization", "")).await;
            assert_eq!(get.status, 200);
            assert!(get.json().is_object(), "{path}: {}", get.body);
            let head = Call::new(Method::HEAD, path, "").header("authorization", "");
            let head = stage.proxy.send(head).await;
            assert_eq!((head.status, &*head.body), (200, ""), "{path}");
            assert_eq!(head.header("content-length"), get.body.len().to_string());
        }
        let root = stage.proxy.get("/").await.json();
        assert_eq!((&root["name"], &root["base_url"]), (&"godex".into(), &"/v1".into()));
    });
}
